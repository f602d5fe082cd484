"""Tensor: an array, the node that made it, and operators that call operations; nothing else."""

from typing import Any

import numpy as np

from tinyart import graph, ops
from tinyart.backend import as_array, cupy, device_of, may_share_memory, to_device
from tinyart.errors import ArgumentError, DtypeError, GraphError
from tinyart.graph import Variable
from tinyart.recording import read


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

    __add__, __mul__ = __radd__, __rmul__ = ops.add.method, ops.mul.method
    __sub__, __truediv__, __pow__, __matmul__ = ops.sub.method, ops.div.method, ops.power.method, ops.matmul
    __neg__, __abs__, __getitem__ = ops.neg.method, ops.abs.method, ops.getitem
    __lt__, __le__, __gt__, __ge__ = (op.method for op in (ops.less, ops.less_equal, ops.greater, ops.greater_equal))
    __eq__, __ne__ = ops.equal.method, ops.not_equal.method  # type: ignore[assignment]  # elementwise
    def __rsub__(self, a: Any) -> "Tensor": return ops.sub(a, self)
    def __rtruediv__(self, a: Any) -> "Tensor": return ops.div(a, self)
    def __rpow__(self, a: Any) -> "Tensor": return ops.power(a, self)
    def __rmatmul__(self, a: Any) -> "Tensor": return ops.matmul(tensor(a), self)

    __hash__ = object.__hash__  # by identity: equality is elementwise
    sum, mean, var, max, min, argmax = ops.sum, ops.mean, ops.var, ops.max, ops.min, ops.argmax
    reshape, transpose, flatten, astype, clip = ops.reshape, ops.transpose, ops.flatten, ops.astype, ops.clip
    exp, log, sqrt, tanh = (op.method for op in (ops.exp, ops.log, ops.sqrt, ops.tanh))
    backward = graph.backward

    def detach(self) -> "Tensor":
        """The same array as a constant: no gradient goes through it."""
        return Tensor(self.array, version=self.version)

    def to(self, device: str) -> "Tensor":
        """A copy on "cpu" or "cuda", a leaf where this is a tensor with gradient; itself if it is there already."""
        return self if device == self.device else tensor(self.array, device=device, requires_grad=self.requires_grad)

    def numpy(self) -> np.ndarray[Any, Any]:
        """The elements as a NumPy array, without a copy on the CPU."""
        array: np.ndarray[Any, Any] = to_device(read(self.array), "cpu")
        return array

    def item(self) -> Any:
        """The only element as a Python number."""
        return read(self.array).item()

    def __setitem__(self, key: Any, value: Any) -> None:
        """Change elements in place. `GraphError` for a tensor with gradient, except under `no_grad`."""
        if self.node is not None and graph._mode.recording:
            raise GraphError("setitem", "tensor", "one without gradient", "one on the tape",
                             fix="with no_grad(): x[...] = v, or build the value with where or concatenate")
        if isinstance(value, Tensor) and value.dtype != self.dtype:
            raise DtypeError("setitem", "value", f"{self.dtype} like the tensor", f"{value.dtype}", fix="x.astype(...)")
        self.array[key] = value.array if isinstance(value, Tensor) else value
        self.version[0] += 1

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.array(self.numpy(), dtype, copy=copy)

    def __dlpack__(self, **how: Any) -> Any:
        if min(self.array.strides, default=0) < 0:  # PyTorch aborts the process
            raise BufferError("no library takes negative strides by DLPack: export a copy, ta.tensor(x)")
        return self.array.__dlpack__(**how)

    def __dlpack_device__(self) -> Any: return self.array.__dlpack_device__()
    def __len__(self) -> int: return len(self.array)
    def __iter__(self) -> Any: return (self[i] for i in range(len(self)))
    def __bool__(self) -> bool: return bool(read(self.array))
    def __float__(self) -> float: return float(read(self.array))
    def __int__(self) -> int: return int(read(self.array))

    def __reduce__(self) -> Any:
        """A copy is a leaf of its own: gradients of the copy must not land in the original."""
        return tensor, (self.array, None, None, self.requires_grad)

    def __repr__(self) -> str:
        made = "" if self.node is None else ", leaf" if self.node.op is None else f", {self.node.op.name}"
        return f"tensor({np.array2string(self.numpy(), separator=', ', prefix='tensor(')}, {self.dtype}{made})"

    def _repr_png_(self) -> bytes | None:
        """What notebooks show for images, (N, H, W, C) or (H, W, C), C 1 or 3, all in [0, 1]; None: the text."""
        from tinyart.data.sheet import png, sheet

        x = self.numpy()[None] if self.ndim == 3 else self.numpy()
        drawable = x.ndim == 4 and x.dtype.kind == "f" and x.shape[3] in (1, 3) and x.size and x.min() >= 0
        return png(sheet(x)) if drawable and x.max() <= 1 else None


Variable.result = Tensor


def tensor(data: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """`data` (numbers, lists, an array, a tensor) as a tensor of its own memory; Python floats become float32.

    Errors: `DtypeError` for a dtype without support or a gradient of integers, `DeviceError` for a missing device.
    """
    source = data.array if isinstance(data, Variable) else data
    array = as_array(source, dtype, device)
    result = Tensor(array.copy() if may_share_memory(array, source) else array)
    if requires_grad:
        graph.leaf(result)
    return result


def from_dlpack(source: Any) -> Tensor:
    """A tensor over the memory of another library's CPU or CUDA array: nothing is copied."""
    kind = source.__dlpack_device__()[0]
    if kind not in (1, 2):
        raise ArgumentError("from_dlpack", "source", "an array on the CPU or a CUDA device", f"device type {kind}")
    return Tensor(as_array((np if kind == 1 else cupy()).from_dlpack(source)))
