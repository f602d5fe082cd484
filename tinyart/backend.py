"""The only door to `kernels/`: which kernels an array needs follows from its type, and arrays come in here.

NumPy arrays are on the CPU, CuPy arrays on CUDA. There is no current device.
"""

import ctypes
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np

from tinyart.errors import ArgumentError, DeviceError, DtypeError, OutOfMemory, ShapeError, TinyartError

Array = Any  # numpy.ndarray or cupy.ndarray
DTYPES = tuple(np.dtype(name) for name in ("float32", "float64", "int32", "int64", "uint8", "bool"))
_SCALARS = (int, float, bool)

Unary = Callable[[Array], Array]
Binary = Callable[[Array, Array], Array]
Ternary = Callable[[Array, Array, Array], Array]
Triple = tuple[Array, Array, Array]
Pair = tuple[int, int]  # (down, across), in pixels
Lengths = tuple[int, ...] | None  # of sequences, in steps; None: all of the full length
Padding = tuple[Pair, Pair]  # ((top, bottom), (left, right)), in pixels


class Kernels(Protocol):
    """Every kernel, with its signature in kernels/reference/, where its docstring is; every device offers them all.

    Arrays come by position, settings by keyword. Inputs stay as they are, unless the name ends in "_".
    """

    # elementwise
    negative: Unary; absolute: Unary; sign: Unary; isfinite: Unary; logical_not: Unary  # noqa: E702
    exp: Unary; expm1: Unary; log: Unary; log1p: Unary; sqrt: Unary; erf: Unary  # noqa: E702
    sin: Unary; cos: Unary; tan: Unary; arcsin: Unary; arccos: Unary; arctan: Unary  # noqa: E702
    sinh: Unary; cosh: Unary; tanh: Unary; arcsinh: Unary; arccosh: Unary; arctanh: Unary  # noqa: E702
    sigmoid: Unary; softplus: Unary; relu: Unary  # noqa: E702
    relu_backward: Binary; sigmoid_backward: Binary; tanh_backward: Binary  # noqa: E702
    add: Binary; subtract: Binary; multiply: Binary; divide: Binary; power: Binary  # noqa: E702
    maximum: Binary; minimum: Binary; logical_and: Binary; logical_or: Binary; bce_with_logits: Binary  # noqa: E702
    equal: Binary; not_equal: Binary; less: Binary; less_equal: Binary; greater: Binary; greater_equal: Binary  # noqa: E702
    where: Ternary
    def add_(self, a: Array, b: Array) -> None: ...
    def clip(self, x: Array, *, low: float | None, high: float | None) -> Array: ...
    def leaky_relu(self, x: Array, *, slope: float) -> Array: ...
    def leaky_relu_backward(self, g: Array, x: Array, *, slope: float) -> Array: ...
    def bce_with_logits_backward(self, g: Array, x: Array, t: Array, wanted: Sequence[bool]) -> tuple[Array, Array]: ...
    def masked(self, x: Array, kept: Array, *, scale: float) -> Array: ...
    def lerp_(self, a: Array, b: Array, *, weight: float) -> None: ...
    def lerp_all_(self, targets: Sequence[Array], sources: Sequence[Array], *, weight: float) -> None: ...
    def elu(self, x: Array, *, alpha: float) -> Array: ...
    def cast(self, x: Array, *, dtype: str) -> Array: ...
    def full(self, like: Array, *, value: float, shape: tuple[int, ...] | None = None, dtype: Any = None) -> Array: ...

    # reduce
    def sum(self, x: Array, *, axis: Any, keepdims: bool) -> Array: ...
    def max(self, x: Array, *, axis: Any, keepdims: bool) -> Array: ...
    def min(self, x: Array, *, axis: Any, keepdims: bool) -> Array: ...
    def argmax(self, x: Array, *, axis: int | None, keepdims: bool) -> Array: ...
    def argmin(self, x: Array, *, axis: int | None, keepdims: bool) -> Array: ...
    def logsumexp(self, x: Array, *, axis: Any, keepdims: bool) -> Array: ...
    def softmax(self, x: Array, *, axis: int) -> Array: ...
    def log_softmax(self, x: Array, *, axis: int) -> Array: ...
    def softmax_backward(self, g: Array, y: Array, *, axis: int) -> Array: ...

    # shape
    def reshape(self, x: Array, *, shape: tuple[int, ...]) -> Array: ...
    def transpose(self, x: Array, *, axes: tuple[int, ...]) -> Array: ...
    def broadcast_to(self, x: Array, *, shape: tuple[int, ...]) -> Array: ...
    def concatenate(self, *xs: Array, axis: int) -> Array: ...
    def split(self, x: Array, *, sizes: tuple[int, ...], axis: int) -> list[Array]: ...
    def pad(self, x: Array, *, widths: tuple[Pair, ...], value: float) -> Array: ...
    def flip(self, x: Array, *, axis: tuple[int, ...]) -> Array: ...
    def getitem(self, x: Array, *, key: Any) -> Array: ...

    # linear
    matmul: Binary
    def dense(self, x: Array, w: Array, b: Array, *, activation: str, slope: float) -> Array: ...
    def dense_backward(self, g: Array, x: Array, w: Array, y: Array,
                       activation: str, slope: float, wanted: Sequence[Any]) -> Triple: ...

    # index
    def put_add(self, g: Array, key: Any, *, shape: tuple[int, ...]) -> Array: ...
    def take(self, x: Array, indices: Array, *, axis: int) -> Array: ...
    def take_add(self, g: Array, indices: Array, *, axis: int, size: int) -> Array: ...
    def take_along(self, x: Array, indices: Array, *, axis: int) -> Array: ...
    def take_along_add(self, g: Array, indices: Array, *, axis: int, size: int) -> Array: ...

    # conv, pool
    def conv(self, x: Array, w: Array, b: Array | None = None, *,
             stride: Pair, padding: Padding, dilation: Pair, groups: int) -> Array: ...
    def conv_input(self, g: Array, w: Array, b: Array | None = None, *,
                   size: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int) -> Array: ...
    def conv_weight(self, x: Array, g: Array, *,
                    size: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int) -> Array: ...
    def max_pool(self, x: Array, *, size: Pair, stride: Pair, padding: Padding) -> Array: ...
    def max_pool_input(self, g: Array, x: Array, y: Array, *, size: Pair, stride: Pair, padding: Padding) -> Array: ...
    def max_pool_gather(self, v: Array, x: Array, y: Array, *, size: Pair, stride: Pair, padding: Padding) -> Array: ...
    def sum_pool(self, x: Array, *, size: Pair, stride: Pair, padding: Padding) -> Array: ...
    def sum_pool_input(self, g: Array, *, size_in: Pair, size: Pair, stride: Pair, padding: Padding) -> Array: ...

    # norm
    def batch_norm(self, x: Array, gamma: Array, beta: Array, *, eps: float) -> tuple[Array, Array, Array, Array]: ...
    def batch_norm_backward(self, g: Array, x: Array, gamma: Array, mean: Array, rstd: Array) -> Triple: ...
    def layer_norm(self, x: Array, gamma: Array, beta: Array, *, eps: float) -> Triple: ...
    def layer_norm_backward(self, g: Array, x: Array, gamma: Array, mean: Array, rstd: Array) -> Triple: ...

    # loss
    def cross_entropy(self, logits: Array, target: Array) -> Triple: ...
    def cross_entropy_backward(self, g: Array, logits: Array, target: Array,
                               largest: Array, log_sum: Array) -> tuple[Array, None]: ...
    kl_to_standard_normal: Binary
    def kl_to_standard_normal_backward(self, g: Array, mu: Array, log_var: Array,
                                       wanted: Sequence[bool]) -> tuple[Array, Array]: ...

    # recurrent
    def rnn(self, x: Array, W: Array, R: Array, b: Array, h0: Array, *,
            activation: str, lengths: Lengths, reverse: bool) -> Array: ...
    def rnn_backward(self, g: Array, x: Array, W: Array, R: Array, h0: Array, y: Array,
                     activation: str, lengths: Lengths, reverse: bool, wanted: Sequence[bool]) -> tuple[Array, ...]: ...
    def lstm(self, x: Array, W: Array, R: Array, b: Array, h0: Array, c0: Array, *,
             lengths: Lengths, reverse: bool) -> tuple[Array, Array, Array, Array]: ...
    def lstm_backward(self, gy: Array, gc: Array, x: Array, W: Array, R: Array, h0: Array, c0: Array,
                      y: Array, c: Array, gates: Array,
                      lengths: Lengths, reverse: bool, wanted: Sequence[bool]) -> tuple[Array, ...]: ...
    def gru(self, x: Array, W: Array, R: Array, b: Array, h0: Array, *,
            lengths: Lengths, reverse: bool) -> tuple[Array, Array]: ...
    def gru_backward(self, g: Array, x: Array, W: Array, R: Array, h0: Array, y: Array, gates: Array,
                     lengths: Lengths, reverse: bool, wanted: Sequence[bool]) -> tuple[Array, ...]: ...

    # optim
    def sgd_(self, p: Array, g: Array, m: Array, *,
             lr: float, momentum: float, nesterov: bool, weight_decay: float) -> None: ...
    def rmsprop_(self, p: Array, g: Array, v: Array, m: Array = None, mean: Array | None = None, *,
                 lr: float, alpha: float, eps: float, weight_decay: float, momentum: float = 0.0) -> None: ...
    def sgd_all_(self, ps: Sequence[Array], gs: Sequence[Array], ms: Sequence[Array], *,
                 lr: Any, momentum: float, nesterov: bool, weight_decay: float) -> None: ...
    def rmsprop_all_(self, ps: Sequence[Array], gs: Sequence[Array], vs: Sequence[Array], ms: Sequence[Array],
                     means: Sequence[Array], *, lr: Any, alpha: float, eps: float, weight_decay: float,
                     momentum: float) -> None: ...
    def norm_all(self, xs: Sequence[Array]) -> Array: ...
    def scaled_all(self, xs: Sequence[Array], scale: Array) -> list[Array]: ...
    def adam_(self, p: Array, g: Array, m: Array, v: Array, *, lr: float, beta1: float, beta2: float, eps: float,
              step: int, weight_decay: float, decoupled: bool) -> None: ...
    def adam_all_(self, ps: Sequence[Array], gs: Sequence[Array], ms: Sequence[Array], vs: Sequence[Array], *, lr: Any,
                  beta1: float, beta2: float, eps: float, step: Any, weight_decay: float, decoupled: bool) -> None: ...

    # random
    def counters_used(self, size: int, dtype: Any) -> int: ...
    def uniform(self, key: int, counter: int, *, shape: tuple[int, ...], dtype: Any, like: Array) -> Array: ...
    def normal(self, key: int, counter: int, *, shape: tuple[int, ...], dtype: Any, like: Array) -> Array: ...
    def bernoulli(self, key: int, counter: int, *, shape: tuple[int, ...], p: float, like: Array) -> Array: ...
    def randint(self, key: int, counter: int, *, shape: tuple[int, ...], low: int, high: int, like: Array) -> Array: ...
    def permutation(self, key: int, counter: int, *, n: int, like: Array) -> Array: ...


class _Table:
    """The kernels of one device: its overrides, and the reference for everything else, each loaded at first use."""

    def __init__(self, device: str) -> None:
        self.device = device

    def __getattr__(self, name: str) -> Any:
        overrides = import_module(f"tinyart.kernels.{self.device}").OVERRIDES
        module = f"{self.device}.{overrides[name]}" if name in overrides else "reference"
        kernel = getattr(import_module(f"tinyart.kernels.{module}"), name)
        setattr(self, name, kernel)  # found once: the next look-up does not come here
        return kernel


def _keep_freed_memory() -> None:
    """Let the C library keep what freed arrays leave, up to 512 MiB, for the next ones: it is the pool of buffers.

    By default glibc gives large blocks back and the system hands them out again page by page, filled with zeros: 5,500
    page faults and a fifth of the time of a step of the dense GAN, 10,000 and a quarter for 20 blocks of 1024 units.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 25)  # the largest that glibc takes
        mallopt(_M_TRIM_THRESHOLD, 1 << 29)


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_keep_freed_memory()

_cpu = cast(Kernels, _Table("cpu"))
_cuda = cast(Kernels, _Table("cuda"))


def device_of(array: Array) -> str:
    return "cpu" if isinstance(array, np.ndarray) else "cuda"


def kernels_of(*arrays: Any) -> Kernels:
    """The kernels for these arrays; Python numbers among them fit any device."""
    for array in arrays:
        if type(array) is not np.ndarray and type(array) not in _SCALARS:
            return _kernels_elsewhere(arrays)
    return _cpu


def _kernels_elsewhere(arrays: tuple[Any, ...]) -> Kernels:
    devices = {device_of(a) for a in arrays if type(a) not in _SCALARS}
    if len(devices) > 1:
        raise DeviceError("operation", "inputs", "arrays of one device", " and ".join(map(describe, arrays)),
                          fix="move one: x.to('cuda') or x.to('cpu')")
    return _cuda if devices == {"cuda"} else _cpu


def finish() -> None:
    """Wait for the gradients that kernels were allowed to put off."""
    threads: Any = sys.modules.get("tinyart.kernels.cpu.threads")  # nobody else puts anything off
    if threads is not None:
        threads.finish()


@contextmanager
def finishing() -> Iterator[None]:
    """`finish` at the end, whatever happens."""
    try:
        yield
    finally:
        finish()


def cupy() -> Any:
    """CuPy. Errors: `DeviceError` without it, its driver or a GPU."""
    try:
        import cupy

        cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # a missing package, driver or card: each raises its own type
        raise DeviceError("device", "'cuda'", "CuPy and an NVIDIA GPU", f"{type(error).__name__}: {error}",
                          fix="pip install 'tinyart[cuda12]' or 'tinyart[cuda13]', to match the driver") from error
    return cupy


def as_array(value: Any, dtype: Any = None, device: str | None = None) -> Array:
    """`value` as an array of a supported dtype on `device`: arrays stay where they are, the rest goes to the CPU.

    Python floats become float32. Nothing is copied that already fits.
    """
    if type(value) is np.ndarray:
        if dtype is None and device is None and value.dtype in DTYPES:
            return value
    elif not hasattr(value, "__cuda_array_interface__"):
        value = _from_python(value, dtype)
    elif not hasattr(value, "get"):  # another library's array on a GPU, which CuPy takes over without a copy
        value = cupy().asarray(value)
    if dtype is not None and value.dtype != dtype:
        value = value.astype(_supported(np.dtype(dtype)))
    elif value.dtype not in DTYPES:
        _supported(value.dtype)
    return value if device is None or device == device_of(value) else to_device(value, device)


def _from_python(value: Any, dtype: Any) -> Array:
    array = np.asarray(value)
    rounded = array.dtype == np.float64 and not hasattr(value, "dtype") and dtype is None
    return array.astype(np.float32) if rounded else array


def _supported(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype not in DTYPES:
        raise DtypeError("tensor", "dtype", f"one of {', '.join(sorted(map(str, DTYPES)))}", str(dtype),
                         fix="x.astype('float32')")
    return dtype


def to_device(array: Array, device: str) -> Array:
    if device not in ("cpu", "cuda"):
        raise ArgumentError("device", "device", "'cpu' or 'cuda'", repr(device))
    if device == device_of(array):
        return array
    return cupy().asarray(array) if device == "cuda" else array.get()


def owned(array: Array) -> Array:
    """A copy in C order; on the CPU, where its kernels like it to begin (kernels/cpu/memory.py)."""
    if device_of(array) == "cuda":
        return array.copy()
    copied: Array = import_module("tinyart.kernels.cpu.memory").copied(array)
    return copied


def copied_to_host(array: Array) -> Callable[[], Array]:
    """Begin to copy `array` to the host, behind the work asked for so far; the result waits for the copy and gives it.

    The copy has a stream of its own: the device goes on with what it is asked for later, and is not waited for.
    """
    if device_of(array) == "cpu":
        kept = array.copy()
        return lambda: kept
    import cupyx

    source, (stream, current) = cupy().ascontiguousarray(array), (_copying(), cupy().cuda.get_current_stream())
    host = cupyx.empty_pinned(source.shape, source.dtype)  # the card copies to other memory only while the CPU waits
    stream.wait_event(current.record())
    source.get(stream=stream, out=host, blocking=False)
    done = stream.record()

    def read(source: Array = source) -> Array:  # holds the source until the copy is done
        done.synchronize()
        return host

    return read


@cache
def _copying() -> Any:
    return cupy().cuda.Stream(non_blocking=True)


@cache
def prototype(device: str) -> Array:
    """An empty array there, for kernels that are given no other: they make theirs on the device of `like`."""
    return to_device(np.empty(0, np.uint64), device)


def may_share_memory(array: Array, source: Any) -> bool:
    """Whether `array`, made of `source` by `as_array`, can be its memory."""
    if device_of(array) == "cpu":
        return not hasattr(source, "__cuda_array_interface__") and np.may_share_memory(array, source)
    return hasattr(source, "__cuda_array_interface__")


def explained(error: Exception, operation: str, arrays: Iterable[Any]) -> TinyartError:
    """What a kernel's own error says about its inputs."""
    inputs = ", ".join(map(describe, arrays))
    if isinstance(error, MemoryError):
        return OutOfMemory(operation, "result", f"room for what is made of {inputs}", str(error),
                           fix="a smaller batch, or fewer tensors kept")
    return ShapeError(operation, "inputs", f"arguments that fit together ({error})", inputs)


def describe(x: Any) -> str:
    """How errors name an argument: its shape and dtype, or the Python number itself."""
    return f"{tuple(x.shape)} {x.dtype} on {device_of(x)}" if hasattr(x, "shape") else repr(x)


def set_matmul_precision(precision: str) -> None:
    """How float32 matrices and images are multiplied: "float32", the default, "tf32" on a GPU, "bfloat16" on a CPU.

    TF32 and bfloat16 round each factor to 11 and to 8 significant bits, add up in float32, and are for tensor cores of
    compute capability 8.0 and for processors with AVX512-BF16. bfloat16 is for `matmul`, dense layers, convolutions of
    an even number of channels, and weight gradients, of recurrent layers too; all else stays float32, and the other
    device's products do. What a `Replay` has recorded keeps the precision of its recording.

    Errors: `ArgumentError` for another name, and for "bfloat16" on another processor.
    """
    if precision not in ("float32", "tf32", "bfloat16"):
        raise ArgumentError("set_matmul_precision", "precision", "'float32', 'tf32' or 'bfloat16'", repr(precision))
    if precision == "bfloat16" and not import_module("tinyart.kernels.cpu.bfloat16").SUPPORTED:
        raise ArgumentError("set_matmul_precision", "precision", "a processor with AVX512-BF16", repr(precision),
                            fix="'float32': without the instruction bfloat16 is not faster")
    cuda: Any = import_module("tinyart.kernels.cuda.precision")
    cpu: Any = import_module("tinyart.kernels.cpu.precision")
    cuda.tf32, cpu.bfloat16 = precision == "tf32", precision == "bfloat16"


def set_num_threads(n: int) -> None:
    """Let n threads, the caller's among them, work on each CPU kernel and on each of NumPy's matrix products.

    The default is one a core. In float32, kernels and products give the same bits for every n. Products in float64 are
    NumPy's BLAS's, and may round differently. While tinyart computes one, BLAS is told to use no threads of its own:
    these would hold the cores, for many milliseconds after each product, that the kernels need.

    Errors: `ArgumentError` unless n is an integer of at least 1.
    """
    if not isinstance(n, int | np.integer) or n < 1:
        raise ArgumentError("set_num_threads", "n", "an integer of at least 1", repr(n))
    import_module("tinyart.kernels.cpu.threads").set_num_threads(int(n))


def get_num_threads() -> int:
    """How many threads work on each CPU kernel."""
    threads: int = import_module("tinyart.kernels.cpu.threads").get_num_threads()
    return threads
