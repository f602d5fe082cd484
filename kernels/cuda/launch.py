"""How CUDA C gets to the device: NVRTC compiles a source at first use, through CuPy, which keeps the result on disk.

A launch's plan, its grid, is computed by plain functions of shapes, which the tests try without a GPU.
"""

from functools import cache
from pathlib import Path
from typing import Any

import cupy
import numpy as np

Array = Any
Grid = tuple[int, int, int]

THREADS = 256  # of every block
LIMIT = 2**31  # elements of an array: what is not smaller goes to the reference, for indices are ints
_FOLDER = Path(__file__).parent
_REAL = {"float32": "float", "float64": "double"}


def source(name: str) -> str:
    """The text of `name`.cu, prelude included."""
    return (_FOLDER / "prelude.cuh").read_text() + (_FOLDER / f"{name}.cu").read_text()


def options(dtype: str, **macros: int) -> tuple[str, ...]:
    """What NVRTC is told, besides the architecture."""
    return "-std=c++17", f"-DREAL={_REAL[dtype]}", *(f"-D{name}={value}" for name, value in macros.items())


@cache
def _function(name: str, kernel: str, dtype: np.dtype[Any], macros: tuple[tuple[str, int], ...]) -> Any:
    return cupy.RawModule(code=source(name), options=options(dtype.name, **dict(macros))).get_function(kernel)


def launch(name: str, kernel: str, dtype: Any, grid: Grid, *arguments: Any, **macros: int) -> None:
    """Run `kernel` of `name`.cu on a grid of blocks of 256 threads; nothing where the grid is empty.

    Arrays are passed by address, None as null, int as int, float as double, records of NumPy by value.
    """
    if 0 not in grid:
        plain = tuple(np.int32(a) if type(a) is int else np.float64(a) if type(a) is float else a for a in arguments)
        _function(name, kernel, np.dtype(dtype), tuple(macros.items()))(grid, (THREADS, 1, 1), plain)


def flat(n: int) -> Grid:
    """The grid for FOR_EACH over n elements."""
    return -(-n // 1024), 1, 1


def divisor(d: int) -> tuple[int, int]:
    """What `quotient` in prelude.cuh multiplies by and shifts by."""
    shift = max(0, d - 1).bit_length()
    return ((1 << shift) - d << 32) // d + 1 if d else 1, shift


def usable(*arrays: Array) -> bool:
    """Whether kernels here take these arrays: one floating dtype, and ints can count their elements."""
    dtype = arrays[0].dtype
    return dtype.char in "fd" and all(a.dtype == dtype and a.size < LIMIT for a in arrays)


def empty(shape: tuple[int, ...], dtype: Any) -> Array:
    return cupy.empty(shape, dtype)


def plain(x: Array) -> Array:
    """x, or a copy of it that is C-contiguous."""
    return x if x.flags.c_contiguous else cupy.ascontiguousarray(x)


def plain_int64(x: Array) -> Array:
    """Indices as the kernels take them."""
    return plain(x.astype(np.int64, copy=False))


def multiprocessors() -> int:
    return _multiprocessors(cupy.cuda.runtime.getDevice())


@cache
def _multiprocessors(device: int) -> int:
    count: int = cupy.cuda.Device(device).attributes["MultiProcessorCount"]
    return count
