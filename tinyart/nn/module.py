"""Module: attributes that are parameters, buffers and modules, in the order in which they were defined."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from tinyart import graph
from tinyart.backend import Array, as_array, device_of, owned, to_device
from tinyart.errors import DtypeError, FormatError, TinyartError
from tinyart.graph import Variable
from tinyart.tensor import Tensor

_M = TypeVar("_M")
_SHOWN = (int, float, str, tuple, type(None))  # constructor arguments that a repr repeats


class UnknownAttribute(TinyartError, AttributeError):
    """A module's attribute that its constructor did not define, or defined as something else."""


class Parameter(Tensor):
    """A tensor to be trained: a leaf of the tape with memory of its own, copied from `data`."""

    __slots__ = ()

    def __init__(self, data: Any) -> None:
        super().__init__(owned(as_array(data.array if isinstance(data, Variable) else data)))
        graph.leaf(self)

    def __reduce__(self) -> Any:
        """A copy is a leaf of its own: gradients of the copy must not land in the original."""
        return Parameter, (self.array,)


class _Sealing(type):
    """What follows a module's constructor: its attributes are known from here on, and its call is kept as its repr."""

    def __call__(cls: type[_M], *args: Any, **settings: Any) -> _M:
        module: _M = type.__call__(cls, *args, **settings)
        shown = [repr(value) for value in args if isinstance(value, _SHOWN)]
        shown += [f"{name}={value!r}" for name, value in settings.items() if isinstance(value, _SHOWN)]
        vars(module)["_call"] = ", ".join(shown)
        return module


class Module(metaclass=_Sealing):
    """A function with parameters: define them as attributes in `__init__`, and the function as `forward`.

    A `Parameter` is trained; another `Tensor` is a buffer, kept in the state but not trained; a `Module` brings its
    own. All of them are walked in the order of definition; what is shared counts once, under its first name.

    Errors: `UnknownAttribute` for an attribute set after the constructor that it did not define, or defined as another
    kind, and for modules in a list, where nobody would find them.
    """

    training = True
    _call = ""

    def forward(self, *inputs: Any, **settings: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} defines no forward")

    def __call__(self, *inputs: Any, **settings: Any) -> Any:
        return self.forward(*inputs, **settings)

    def __setattr__(self, name: str, value: Any) -> None:
        own = type(self).__name__
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
        if any(_kind(v) for v in inside):
            raise UnknownAttribute(own, name, "a parameter, tensor, module or plain value", f"a {type(value).__name__} "
                                   "of them", fix="nn.Sequential(*modules), or an attribute for each")
        if "_call" in vars(self):
            if not hasattr(self, name):
                raise UnknownAttribute(own, name, f"one of {', '.join(n for n in vars(self) if n[0] != '_')}",
                                       "a new attribute", fix="define it in __init__")
            old = getattr(self, name)
            if _kind(old) != _kind(value):
                raise UnknownAttribute(own, name, f"a {type(old).__name__}, as it was defined",
                                       f"a {type(value).__name__}", fix="tensor[...] = values, under no_grad()")
        object.__setattr__(self, name, value)

    def _named(self, prefix: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
        """(path, value) of every tensor and module below this one, each once."""
        for name, value in vars(self).items():
            if _kind(value) and id(value) not in seen:
                seen.add(id(value))
                yield prefix + name, value
                if isinstance(value, Module):
                    yield from value._named(f"{prefix}{name}.", seen)

    def modules(self) -> list["Module"]:
        """This module and all below it."""
        return [self, *(value for _, value in self._named("", {id(self)}) if isinstance(value, Module))]

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """("encoder.0.weight", parameter), ..: what is trained, in the order of definition."""
        return ((name, value) for name, value in self._named("", {id(self)}) if isinstance(value, Parameter))

    def parameters(self) -> list[Parameter]:
        """What is trained, in the order of definition."""
        return [parameter for _, parameter in self.named_parameters()]

    def _tensors(self) -> dict[str, Tensor]:
        return {name: value for name, value in self._named("", {id(self)}) if isinstance(value, Tensor)}

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """Name -> array of all parameters and buffers: copies, which later training does not change."""
        return {name: tensor.numpy().copy() for name, tensor in self._tensors().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy the arrays or tensors of `state` into the parameters and buffers of the same names.

        Errors: `FormatError` that lists everything missing, extra or of another shape or dtype; nothing is changed.
        """
        tensors = self._tensors()
        fill(f"{type(self).__name__}.load_state_dict", {name: tensor.array for name, tensor in tensors.items()}, state)
        for tensor in tensors.values():
            tensor.version[0] += 1

    def train(self, training: bool = True) -> "Module":
        """Use batch statistics and dropout."""
        for module in self.modules():
            module.training = training
        return self

    def eval(self) -> "Module":
        """Use running statistics and no dropout."""
        return self.train(False)

    def to(self, device: str | None = None, dtype: Any = None) -> "Module":
        """Move everything to "cpu" or "cuda", what is floating to `dtype`. The parameters stay the same objects.

        Gradients are dropped. Optimisers and averages made before hold arrays of the old kind: make them afterwards.
        """
        if dtype is not None and np.dtype(dtype).kind != "f":
            raise DtypeError(f"{type(self).__name__}.to", "dtype", "float32 or float64", str(np.dtype(dtype)))
        for tensor in self._tensors().values():
            tensor.array = as_array(tensor.array, dtype if tensor.dtype.kind == "f" else None, device)
            tensor.version[0] += 1
            tensor.grad = None
            if tensor.node is not None:
                graph.leaf(tensor)  # its node knows the dtype
        return self

    def zero_grad(self) -> None:
        for parameter in self.parameters():
            parameter.grad = None

    def __repr__(self) -> str:
        children = [f"{name}: {child!r}" for name, child in vars(self).items() if isinstance(child, Module)]
        head = type(self).__name__ + (f"({self._call})" if self._call or not children else "")
        return "\n  ".join([head + ":", *(child.replace("\n", "\n  ") for child in children)]) if children else head


def _kind(value: Any) -> Any:
    """Parameter, Tensor or Module; None for anything else."""
    return next((kind for kind in (Parameter, Tensor, Module) if isinstance(value, kind)), None)


def fill(operation: str, arrays: Mapping[str, Array], state: Mapping[str, Any]) -> None:
    """Copy `state` into `arrays`, in place, if names, shapes and dtypes agree; else change nothing.

    Errors: `FormatError` that lists everything missing, extra or of another shape or dtype.
    """
    given = {name: _array(value) for name, value in state.items()}
    problems = [f"{name} is missing" for name in arrays if name not in given]
    problems += [f"{name} is extra" for name in given if name not in arrays]
    for name, array in arrays.items():
        if name in given and (given[name].shape, given[name].dtype) != (array.shape, array.dtype):
            problems.append(f"{name} is {given[name].shape} {given[name].dtype}, not {array.shape} {array.dtype}")
    if problems:
        raise FormatError(operation, "state", f"{len(arrays)} arrays like its own", "; ".join(problems),
                          fix="build it with the settings that it was saved with")
    for name, array in arrays.items():
        array[...] = to_device(given[name], device_of(array))


def _array(value: Any) -> Array:
    value = value.array if isinstance(value, Variable) else value
    return value if hasattr(value, "shape") else np.asarray(value)
