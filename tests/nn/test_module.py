"""Module and Parameter: what is found, in which order, and what is refused."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyart as ta
from tinyart import nn
from tinyart.errors import DtypeError, FormatError
from tinyart.nn.module import UnknownAttribute


class Scale(nn.Module):
    """A parameter between two modules, a buffer, a plain setting."""

    def __init__(self, factor: float, name: str = "") -> None:
        self.first = nn.Dense(2, 3)
        self.shift = nn.Parameter([1.0, 2.0, 3.0])
        self.count = ta.tensor([0.0])
        self.factor = factor
        self.last = nn.Sequential(nn.Dense(3, 1, bias=False), nn.Dropout(0.5))
        self.bias = None

    def forward(self, x: Any, *, twice: bool = False) -> Any:
        y = self.last(self.first(x) * self.factor + self.shift)
        return y * 2.0 if twice else y


STATE = ["first.weight", "first.bias", "shift", "count", "last.0.weight"]


# ---- what is found


def test_parameters_come_in_the_order_of_definition() -> None:
    module = Scale(2.0)
    names = [name for name, _ in module.named_parameters()]
    assert names == ["first.weight", "first.bias", "shift", "last.0.weight"]
    assert [id(p) for p in module.parameters()] == [id(p) for _, p in module.named_parameters()]
    assert module.parameters()[2] is module.shift
    assert list(module.state_dict()) == STATE


@given(st.permutations([f"layer{i}" for i in range(6)]))
def test_the_order_is_that_of_definition_whatever_the_names(names: list[str]) -> None:
    class Wide(nn.Module):
        def __init__(self) -> None:
            for name in names:
                setattr(self, name, nn.Parameter([0.0]))

    assert [name for name, _ in Wide().named_parameters()] == names


def test_a_shared_parameter_or_module_counts_once_under_its_first_name() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            self.embed = nn.Embedding(4, 3)
            self.out = nn.Dense(3, 4, bias=False)
            self.out.weight = self.embed.weight
            self.again = self.out

    assert [name for name, _ in Tied().named_parameters()] == ["embed.weight"]
    assert list(Tied().state_dict()) == ["embed.weight"]
    assert len(Tied().modules()) == 3


def test_a_module_may_know_its_parent() -> None:
    class Node(nn.Module):
        def __init__(self, parent: Any = None) -> None:
            self.weight = nn.Parameter([1.0])
            self.parent = parent
            self.child = None if parent else Node(self)

    assert [name for name, _ in Node().named_parameters()] == ["weight", "child.weight"]
    assert len(Node().modules()) == 2


def test_train_and_eval_reach_every_module() -> None:
    module = Scale(2.0)
    assert all(m.training for m in module.modules())
    assert len(module.modules()) == 5
    assert module.eval() is module
    assert not any(m.training for m in module.modules())
    assert module.train() is module
    assert all(m.training for m in module.modules())
    assert nn.Dense(1, 1).training  # the others' default is untouched


def test_call_passes_inputs_and_settings_to_forward() -> None:
    module, x = Scale(2.0).eval(), ta.tensor([[1.0, -1.0]])
    assert np.allclose(module(x, twice=True).array, 2 * module(x).array)
    with pytest.raises(NotImplementedError, match="Module defines no forward"):
        nn.Module()(x)


def test_zero_grad() -> None:
    module = Scale(2.0)
    module(ta.tensor([[1.0, -1.0]])).sum().backward()
    assert all(p.grad is not None for p in module.parameters())
    module.zero_grad()
    assert all(p.grad is None for p in module.parameters())


def test_repr_is_the_calls_that_make_it() -> None:
    net = nn.Sequential(nn.Conv2d(1, 64, 5, stride=2, padding="same"), nn.LeakyReLU(0.3), nn.Flatten(), Scale(0.5))
    assert repr(net) == (
        "Sequential:\n"
        "  0: Conv2d(1, 64, 5, stride=2, padding='same')\n"
        "  1: LeakyReLU(0.3)\n"
        "  2: Flatten()\n"
        "  3: Scale(0.5):\n"
        "    first: Dense(2, 3)\n"
        "    last: Sequential:\n"
        "      0: Dense(3, 1, bias=False)\n"
        "      1: Dropout(0.5)"
    )
    assert repr(nn.Dropout(generator=ta.random.Generator(1), p=0.25)) == "Dropout(p=0.25)"


# ---- state


@given(st.integers(0, 2**32), st.booleans())
def test_state_dict_round_trip(seed: int, as_tensors: bool) -> None:
    rng = np.random.default_rng(seed)
    state: dict[str, Any] = {n: rng.normal(size=a.shape).astype(a.dtype) for n, a in Scale(1.0).state_dict().items()}
    module = Scale(1.0)
    parameters = module.parameters()
    module.load_state_dict({n: ta.tensor(a) for n, a in reversed(state.items())} if as_tensors else state)
    assert all(np.array_equal(module.state_dict()[name], state[name]) for name in STATE)
    assert all(a is b for a, b in zip(parameters, module.parameters(), strict=True))


def test_state_goes_through_a_file(tmp_path: Path) -> None:
    first, second, x = Scale(2.0).eval(), Scale(2.0).eval(), ta.tensor([[1.0, -1.0]])
    assert first(x).item() != second(x).item()
    ta.save(tmp_path / "scale.safetensors", first.state_dict())
    second.load_state_dict(ta.load(tmp_path / "scale.safetensors"))
    assert first(x).item() == second(x).item()


def test_state_dict_is_a_copy_both_ways() -> None:
    module = Scale(1.0)
    state = module.state_dict()
    state["shift"][:] = 7
    assert module.shift.array.tolist() == [1, 2, 3]
    module.load_state_dict(state)
    state["shift"][:] = 8
    assert module.shift.array.tolist() == [7, 7, 7]


def test_load_state_dict_names_all_problems_at_once_and_changes_nothing() -> None:
    module = Scale(1.0)
    before = module.state_dict()
    state: dict[str, Any] = {name: array + 1 for name, array in before.items()}
    del state["first.bias"]
    state["shift"] = state["shift"][:2]
    state["count"] = state["count"].astype(np.float64)
    state["surplus"] = 3
    with pytest.raises(FormatError) as caught:
        module.load_state_dict(state)
    message = str(caught.value)
    assert message.startswith("Scale.load_state_dict: state: expected 5 arrays like its own, got ")
    for problem in ("first.bias is missing", "surplus is extra", "shift is (2,) float32, not (3,) float32",
                    "count is (1,) float64, not (1,) float32"):
        assert problem in message
    assert "first.weight" not in message
    assert all(np.array_equal(module.state_dict()[name], before[name]) for name in STATE)


def test_loading_counts_as_a_change_in_place() -> None:
    module = Scale(1.0)
    y = (module.shift * module.shift).sum()
    module.load_state_dict(module.state_dict())
    with pytest.raises(ta.graph.GraphError, match="change"):
        ta.grad(y, module.shift)


# ---- attributes


def test_a_new_attribute_after_construction_is_refused() -> None:
    module = Scale(1.0)
    with pytest.raises(UnknownAttribute) as caught:
        module.fator = 3.0
    assert str(caught.value) == ("Scale: fator: expected one of first, shift, count, factor, last, bias, got a new "
                                 "attribute. Fix: define it in __init__.")
    module.factor = 3.0
    assert module.factor == 3.0
    assert isinstance(caught.value, AttributeError)


def test_an_unknown_attribute_cannot_be_read() -> None:
    with pytest.raises(AttributeError, match="wieght"):
        nn.Dense(1, 1).wieght  # noqa: B018
    assert not hasattr(nn.Dense(1, 1), "gamma")


@pytest.mark.parametrize(("name", "value", "expected"), [
    ("shift", np.zeros(3), "shift: expected a Parameter, as it was defined, got a ndarray"),
    ("shift", ta.tensor([1.0]), "expected a Parameter, as it was defined, got a Tensor"),
    ("count", 3, "expected a Tensor, as it was defined, got a int"),
    ("first", None, "expected a Dense, as it was defined, got a NoneType"),
    ("bias", nn.Parameter([1.0]), "expected a NoneType, as it was defined, got a Parameter"),
    ("factor", nn.ReLU(), "expected a float, as it was defined, got a ReLU"),
])
def test_an_attribute_keeps_its_kind(name: str, value: Any, expected: str) -> None:
    with pytest.raises(UnknownAttribute) as caught:
        setattr(Scale(1.0), name, value)
    assert expected in str(caught.value)


@pytest.mark.parametrize("group", [[nn.ReLU()], (nn.Parameter([1.0]),), {"a": nn.ReLU()}])
def test_modules_in_a_list_are_refused_because_nobody_would_find_them(group: Any) -> None:
    class Hidden(nn.Module):
        def __init__(self) -> None:
            self.layers = group

    with pytest.raises(UnknownAttribute, match=r"Hidden: layers: .* Fix: nn.Sequential\(\*modules\)"):
        Hidden()


def test_a_property_can_be_set() -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            self.twice = 4.0

        @property
        def value(self) -> float:
            return self.twice / 2

        @value.setter
        def value(self, v: float) -> None:
            self.twice = 2 * v

    module = Half()
    module.value = 5.0
    assert module.twice == 10.0


# ---- Parameter, copies, dtype


def test_a_parameter_is_a_leaf_with_memory_of_its_own() -> None:
    data = np.array([1.0, 2.0], np.float32)
    parameter = nn.Parameter(data)
    data[0] = 5
    assert parameter.array.tolist() == [1, 2]
    assert parameter.requires_grad
    assert (parameter * 1.0).__class__ is not nn.Parameter
    assert nn.Parameter(parameter).array is not parameter.array
    assert nn.Parameter(np.zeros((3, 4)).T).array.flags.c_contiguous
    with pytest.raises(DtypeError, match="floating"):
        nn.Parameter([1, 2])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_has_gradients_of_its_own(copied: Any) -> None:
    net = nn.Sequential(nn.Dense(2, 3), nn.BatchNorm(3))
    other = copied(net)
    other(ta.tensor([[1.0, 2.0], [0.0, 1.0]])).sum().backward()
    assert all(p.grad is None for p in net.parameters())
    assert all(p.grad is not None for p in other.parameters())
    assert all(a is not b for a, b in zip(net.parameters(), other.parameters(), strict=True))
    assert net[1].running_mean.array.tolist() == [0, 0, 0]
    with pytest.raises(UnknownAttribute):
        other[0].wieght = 1


def test_to_another_dtype_keeps_the_parameters() -> None:
    class Counted(nn.Module):
        def __init__(self) -> None:
            self.dense = nn.Dense(2, 2)
            self.steps = ta.tensor([0])

    module = Counted()
    before, x = module.dense.weight, ta.tensor(np.ones((1, 2)), "float64")
    module.dense(ta.tensor([[1.0, 1.0]])).sum().backward()
    assert module.to(dtype="float64") is module
    assert module.dense.weight is before
    assert before.dtype == np.float64
    assert before.grad is None
    assert module.steps.dtype == np.int64
    gradient = ta.grad(module.dense(x).sum(), before)
    assert gradient.dtype == np.float64
    with pytest.raises(DtypeError, match=r"Counted.to: dtype: expected float32 or float64, got int32"):
        module.to(dtype="int32")
    assert before.dtype == np.float64
