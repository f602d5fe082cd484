"""Tensor: an array, the node that made it, and operators that call operations; nothing else."""

from typing import Any

import numpy as np

from tinyart import graph, ops
from tinyart.backend import as_array, device_of, to_device
from tinyart.errors import ArgumentError, GraphError
from tinyart.graph import Variable


class Tensor(Variable):
    """A float32, float64, int32, int64, uint8 or bool array that knows how it was computed.

    `array` is the NumPy or CuPy array, `node` where it stands on the tape (None: a constant), `grad` what `backward`
    left. Arithmetic, comparison, indexing and the methods below are the operations of `tinyart.ops`.
    """

    __slots__ = ()
    __array_ufunc__ = None  # numpy_array * tensor is the tensor's business

    shape = property(lambda self: self.array.shape, doc="Lengths of the axes.")
    dtype = property(lambda self: self.array.dtype, doc="The dtype of the elements.")
    ndim = property(lambda self: self.array.ndim, doc="The number of axes.")
    size = property(lambda self: self.array.size, doc="The number of elements.")
    device = property(lambda self: device_of(self.array), doc="'cpu' or 'cuda'.")
    requires_grad = property(lambda self: self.node is not None, doc="Whether gradients reach this tensor.")
    T = property(lambda self: ops.transpose(self), doc="All axes reversed.")

    def __add__(self, b: Any) -> "Tensor": return ops.add(self, b)
    def __radd__(self, a: Any) -> "Tensor": return ops.add(a, self)
    def __sub__(self, b: Any) -> "Tensor": return ops.sub(self, b)
    def __rsub__(self, a: Any) -> "Tensor": return ops.sub(a, self)
    def __mul__(self, b: Any) -> "Tensor": return ops.mul(self, b)
    def __rmul__(self, a: Any) -> "Tensor": return ops.mul(a, self)
    def __truediv__(self, b: Any) -> "Tensor": return ops.div(self, b)
    def __rtruediv__(self, a: Any) -> "Tensor": return ops.div(a, self)
    def __pow__(self, b: Any) -> "Tensor": return ops.power(self, b)
    def __rpow__(self, a: Any) -> "Tensor": return ops.power(a, self)
    def __matmul__(self, b: Any) -> "Tensor": return ops.matmul(self, b)
    def __rmatmul__(self, a: Any) -> "Tensor": return ops.matmul(tensor(a), self)
    def __neg__(self) -> "Tensor": return ops.neg(self)
    def __abs__(self) -> "Tensor": return ops.abs(self)
    def __lt__(self, b: Any) -> "Tensor": return ops.less(self, b)
    def __le__(self, b: Any) -> "Tensor": return ops.less_equal(self, b)
    def __gt__(self, b: Any) -> "Tensor": return ops.greater(self, b)
    def __ge__(self, b: Any) -> "Tensor": return ops.greater_equal(self, b)
    def __eq__(self, b: Any) -> "Tensor": return ops.equal(self, b)  # type: ignore[override]  # elementwise
    def __ne__(self, b: Any) -> "Tensor": return ops.not_equal(self, b)  # type: ignore[override]  # elementwise
    def __getitem__(self, key: Any) -> "Tensor": return ops.getitem(self, key)

    __hash__ = object.__hash__  # by identity: equality is elementwise
    sum, mean, var, max, min, argmax = ops.sum, ops.mean, ops.var, ops.max, ops.min, ops.argmax
    reshape, transpose, flatten, astype, clip = ops.reshape, ops.transpose, ops.flatten, ops.astype, ops.clip
    backward = graph.backward

    def exp(self) -> "Tensor": return ops.exp(self)
    def log(self) -> "Tensor": return ops.log(self)
    def sqrt(self) -> "Tensor": return ops.sqrt(self)
    def tanh(self) -> "Tensor": return ops.tanh(self)

    def detach(self) -> "Tensor":
        """The same array as a constant: no gradient goes through it."""
        return Tensor(self.array, version=self.version)

    def to(self, device: str) -> "Tensor":
        """A copy on "cpu" or "cuda", a leaf where this is a tensor with gradient; itself if it is there already."""
        return self if device == self.device else tensor(self.array, device=device, requires_grad=self.requires_grad)

    def numpy(self) -> np.ndarray[Any, Any]:
        """The elements as a NumPy array, without a copy on the CPU."""
        array: np.ndarray[Any, Any] = to_device(self.array, "cpu")
        return array

    def item(self) -> Any:
        """The only element as a Python number."""
        return self.array.item()

    def __setitem__(self, key: Any, value: Any) -> None:
        """Change elements in place. Errors: `GraphError` for a tensor with gradient, except under `no_grad`."""
        if self.node is not None and graph._mode.recording:
            raise GraphError("setitem", "tensor", "one without gradient", "one on the tape",
                             fix="with no_grad(): x[...] = v, or build the value with where or concatenate")
        self.array[key] = value.array if isinstance(value, Variable) else value
        self.version[0] += 1

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.array(self.numpy(), dtype, copy=copy)

    def __dlpack__(self, **how: Any) -> Any:
        return self.array.__dlpack__(**how)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.array)

    def __float__(self) -> float:
        return float(self.array)

    def __int__(self) -> int:
        return int(self.array)

    def __repr__(self) -> str:
        made = "" if self.node is None else ", leaf" if self.node.op is None else f", {self.node.op.name}"
        return f"tensor({np.array2string(self.numpy(), separator=', ', prefix='tensor(')}, {self.dtype}{made})"


Variable.result = Tensor


def tensor(data: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """`data` (numbers, lists, an array, a tensor) as a tensor of its own memory; Python floats become float32.

    Errors: `DtypeError` for a dtype without support or a gradient of integers, `DeviceError` for a missing device.
    """
    array = as_array(data.array if isinstance(data, Variable) else data, dtype, device)
    result = Tensor(array.copy() if np.may_share_memory(array, getattr(data, "array", data)) else array)
    if requires_grad:
        graph.leaf(result)
    return result


def from_dlpack(source: Any) -> Tensor:
    """A tensor over the memory of another library's CPU or CUDA array: nothing is copied."""
    kind = source.__dlpack_device__()[0]
    if kind not in (1, 2):
        raise ArgumentError("from_dlpack", "source", "an array on the CPU or a CUDA device", f"device type {kind}")
    if kind == 1:
        return Tensor(as_array(np.from_dlpack(source)))
    import cupy

    return Tensor(as_array(cupy.from_dlpack(source)))
