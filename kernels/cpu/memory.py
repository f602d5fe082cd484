"""Memory for large arrays that begins where a cache line does.

NumPy's begins at any multiple of 16 bytes: with AVX-512 each vector then lies in two lines, with AVX2 every second one,
and is read and written twice.
"""

import math
from ctypes import addressof, c_char
from typing import Any

import numpy as np

_LINE = 64  # bytes
_LARGE = 1 << 14  # bytes that are worth the microsecond


class _Memory(np.ndarray):
    """Bytes of which one array is made: by this type of its base that array is told from a view of another array."""


def empty(shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
    """As np.empty; a large one is aligned."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < _LARGE:
        return np.empty(shape, dtype)
    memory: Any = _Memory(size + _LINE, np.uint8)
    return np.ndarray(shape, dtype, memory, -addressof(c_char.from_buffer(memory)) % _LINE)


def full(like: Any, *, value: float, shape: tuple[int, ...] | None = None, dtype: Any = None) -> Any:
    """As the reference."""
    made = empty(like.shape if shape is None else shape, like.dtype if dtype is None else dtype)
    made[...] = value
    return made


def copied(array: Any) -> Any:
    """In C order."""
    made = empty(array.shape, array.dtype)
    made[...] = array
    return made
