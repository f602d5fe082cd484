"""backend.Kernels lists the kernels: those of the reference, each with its signature."""

import inspect
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
import tinyart.kernels.reference as reference

from tinyart.backend import Array, Kernels, kernels_of

# All that the reference offers, but for the types that its table of names brings along.
OFFERED: dict[str, Any] = {
    name: value for name, value in vars(reference).items() if callable(value) and value is not Any and name[0] != "_"
}
CALLABLES: dict[str, Any] = inspect.get_annotations(Kernels)  # negative: Unary
METHODS: dict[str, Any] = {n: v for n, v in vars(Kernels).items() if inspect.isfunction(v) and n[0] != "_"}


def difference(name: str, kernel: Callable[..., Any], callables: dict[str, Any], methods: dict[str, Any]) -> str:
    """How the declaration of a kernel differs from the kernel; "" where it does not."""
    if name in methods:
        declared = inspect.signature(methods[name])
        first, *rest = declared.parameters.values()
        declared = declared.replace(parameters=rest)
        found = inspect.signature(kernel)
        return "" if (first.name, declared) == ("self", found) else f"{name}{declared} for {name}{found}"
    if name not in callables:
        return f"{name} is missing"
    arguments, result = get_args(callables[name])
    if kernel is np.where:
        count = 3  # built in: it has no signature
    elif isinstance(kernel, np.ufunc):
        count = kernel.nin
    else:
        parameters = inspect.signature(kernel).parameters.values()
        count = len(parameters)
        if any(p.kind is not p.POSITIONAL_OR_KEYWORD or p.default is not p.empty for p in parameters):
            return f"{name} has settings"
    return "" if (len(arguments), result) == (count, Array) else f"{name} takes {count} arrays"


@pytest.mark.parametrize("name", sorted(OFFERED))
def test_every_kernel_is_declared_with_its_signature(name: str) -> None:
    assert difference(name, OFFERED[name], CALLABLES, METHODS) == ""


def test_nothing_is_declared_that_is_no_kernel() -> None:
    assert sorted([*CALLABLES, *METHODS]) == sorted(OFFERED)


def test_the_comparison_finds_planted_differences() -> None:
    def kernel(x: Array, *, axis: int) -> Array: ...
    def same(self: Any, x: Array, *, axis: int) -> Array: ...
    def other_name(self: Any, x: Array, *, axes: int) -> Array: ...
    def other_kind(self: Any, x: Array, axis: int) -> Array: ...
    def other_default(self: Any, x: Array, *, axis: int = 0) -> Array: ...
    def other_type(self: Any, x: Array, *, axis: int | None) -> Array: ...

    assert difference("k", kernel, {}, {"k": same}) == ""
    for method in (other_name, other_kind, other_default, other_type):
        assert difference("k", kernel, {}, {"k": method}) != ""
    assert difference("k", kernel, {}, {}) == "k is missing"
    unary, binary = Callable[[Array], Array], Callable[[Array, Array], Array]
    assert difference("exp", np.exp, {"exp": unary}, {}) == ""
    assert difference("exp", np.exp, {"exp": binary}, {}) != ""
    assert difference("k", kernel, {"k": binary}, {}) != ""
    assert difference("relu", reference.relu, {"relu": binary}, {}) != ""


def test_the_cpu_offers_them_all() -> None:
    table = kernels_of(np.empty(0))
    for name in OFFERED:
        assert callable(getattr(table, name))
    with pytest.raises(AttributeError):
        table.no_such_kernel  # type: ignore[attr-defined]  # noqa: B018
