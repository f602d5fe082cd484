"""Matrix products by cuBLAS, through a handle of our own.

CuPy refuses its own while a graph is being recorded. cuBLAS itself does not, if it need not allocate: so the handle has
a fixed workspace. cuBLAS counts columns first, NumPy rows: a row-major A (M, K) is its Aᵀ, and C = A·B is Cᵀ = Bᵀ·Aᵀ,
so the operands change places, and a transposed view is an operand that cuBLAS transposes: no copies.
"""

import ctypes
import math
import threading
from functools import cache
from typing import Any, NamedTuple

import cupy
import numpy as np

from .. import reference
from . import precision
from .launch import LIMIT, Array, empty

_WORKSPACE = 32 << 20  # bytes: what NVIDIA advises for Hopper
_N, _T = 0, 1  # cublasOperation_t
_DATA = {"float32": 0, "float64": 1}  # cudaDataType_t: CUDA_R_32F, CUDA_R_64F
_COMPUTE_32F, _COMPUTE_32F_FAST_TF32, _COMPUTE_64F = 68, 77, 70  # cublasComputeType_t
_handles = threading.local()


class Operand(NamedTuple):
    """A stack of matrices as cuBLAS reads them: whether transposed, the length of a line, and from one to the next."""

    transposed: bool
    line: int
    step: int


def operand(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> Operand | None:
    """How cuBLAS reads an array (.., R, C), row-major to us; None where it cannot and a copy is needed."""
    *batch, rows, columns = shape
    *outer, down, across = (s // itemsize for s in strides)
    step = _step(batch, outer)
    if step is None or any(s % itemsize for s in strides):
        return None
    if (across == 1 or columns == 1) and (down >= max(1, columns) or rows == 1):
        return Operand(False, max(down, columns, 1) if rows > 1 else max(1, columns), step)
    if (down == 1 or rows == 1) and (across >= max(1, rows) or columns == 1):
        return Operand(True, max(across, rows, 1) if columns > 1 else max(1, rows), step)
    return None


def _step(lengths: list[int], strides: list[int]) -> int | None:
    """The one stride of several axes taken as one; None where they have none, or a negative one."""
    step, count = 0, 1
    for n, stride in zip(reversed(lengths), reversed(strides), strict=True):
        if n == 1:
            continue
        if count == 1:
            step = stride
        elif stride != step * count:
            return None
        count *= n
    return step if step >= 0 else None


def matmul(a: Array, b: Array) -> Array:
    """As the reference, to rounding."""
    fits = a.ndim >= 2 and b.ndim >= 2 and a.shape[-1] == b.shape[-2]
    if not fits or a.dtype != b.dtype or a.dtype.name not in _DATA or max(a.size, b.size) >= LIMIT:
        return reference.matmul(a, b)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    c = empty((*batch, m, n), a.dtype)
    if not c.size or not k:
        c[...] = 0
        return c
    a, how_a = _readable(a, batch)
    b, how_b = _readable(b, batch)
    wide = a.dtype == np.float64
    one, zero = (np.array(value, a.dtype) for value in (1, 0))
    compute = _COMPUTE_64F if wide else _COMPUTE_32F_FAST_TF32 if precision.tf32 else _COMPUTE_32F
    kind = _DATA[a.dtype.name]
    _check("GemmStridedBatchedEx", _library().cublasGemmStridedBatchedEx(
        _handle(), _T if how_b.transposed else _N, _T if how_a.transposed else _N, n, m, k, _pointer(one.ctypes.data),
        _pointer(b.data.ptr), kind, how_b.line, _long(how_b.step), _pointer(a.data.ptr), kind, how_a.line,
        _long(how_a.step), _pointer(zero.ctypes.data), _pointer(c.data.ptr), kind, n, _long(m * n), math.prod(batch),
        compute, -1,
    ))  # fmt: skip
    return c


_pointer, _long = ctypes.c_void_p, ctypes.c_longlong


def _readable(x: Array, batch: tuple[int, ...]) -> tuple[Array, Operand]:
    """x, broadcast to the batch, and how cuBLAS reads it, copied where it cannot."""
    stack = x if x.shape[:-2] == batch else cupy.broadcast_to(x, (*batch, *x.shape[-2:]))
    how = operand(stack.shape, stack.strides, x.dtype.itemsize)
    if how is not None:
        return x, how
    copy = cupy.ascontiguousarray(stack)
    how = operand(copy.shape, copy.strides, x.dtype.itemsize)
    assert how is not None
    return copy, how


@cache
def _library() -> Any:
    """libcublas: the one that CuPy has loaded."""
    major = cupy.cuda.runtime.runtimeGetVersion() // 1000
    try:
        return ctypes.CDLL(f"libcublas.so.{major}")  # on the loader's path, or loaded already under this name
    except OSError:
        from cuda import pathfinder  # comes with CuPy

        return ctypes.CDLL(pathfinder.load_nvidia_dynamic_lib("cublas").abs_path)


def _handle() -> Any:
    """The handle of this thread and device, on the current stream, with its workspace."""
    device = cupy.cuda.runtime.getDevice()
    made = vars(_handles)
    if device not in made:
        handle = ctypes.c_void_p()
        _check("Create", _library().cublasCreate_v2(ctypes.byref(handle)))
        made[device] = handle, cupy.empty(_WORKSPACE, np.uint8)
    handle, workspace = made[device]
    _check("SetStream", _library().cublasSetStream_v2(handle, _pointer(cupy.cuda.get_current_stream().ptr)))
    _check("SetWorkspace", _library().cublasSetWorkspace_v2(  # after the stream, which takes it away
        handle, _pointer(workspace.data.ptr), ctypes.c_size_t(_WORKSPACE)))  # fmt: skip
    return handle


def _check(call: str, status: int) -> None:
    if status:
        raise RuntimeError(f"cublas{call}: status {status} (cublasStatus_t)")
