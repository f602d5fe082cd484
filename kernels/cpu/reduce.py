"""Sums over all axes but the last, as of a bias's gradient, one number a channel, and of large arrays over all axes.

    y[c] = Σ_i x[i, c]      x (.., C) as rows of C numbers; over all axes C is 1

x is read once. Some rows side by side make a row of at least 64 numbers, so that vectors are full for few channels;
32 of those are added in float32, their sums in float64. Each block of rows has its sums, added up at the end in order.
Of one channel alone, 512 numbers are added in the lanes of vectors and in float32, their sums in float64.
"""

from typing import Any

import numpy as np

from ..reference import reduce as reference
from .compiling import contracted, summed
from .threads import share

Array = Any

_WIDTH = 64  # numbers of a row, or more
_ROWS = 32  # that are summed in float32
_NUMBERS = 512  # of one channel that are summed in float32: 16 to a lane
_BLOCK = 1 << 16  # elements whose sums are put together: 5 to 10 µs
_PIECE = 2  # blocks that are worth a thread
_LARGE = 1 << 15  # fewer of one channel NumPy adds as fast


def sum(x: Array, *, axis: Any, keepdims: bool) -> Array:
    """As the reference, to rounding, for float32 and all axes but the last, or all of many elements; else its own."""
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    left = set(range(x.ndim)) - {a % max(1, x.ndim) for a in axes}
    channels = x.shape[-1] if left else 1
    if x.dtype != np.float32 or not x.size or not x.flags.carray or not (
            left == {x.ndim - 1} if left else x.size >= _LARGE) or x.ndim == len(left):  # fmt: skip
        return reference.sum(x, axis=axis, keepdims=keepdims)
    width = channels * -(-_WIDTH // channels)
    block = width * _ROWS * max(1, _BLOCK // (width * _ROWS))  # elements
    parts = np.zeros((-(-x.size // block), channels), np.float64)
    if channels == 1:
        share(_numbers, len(parts), _PIECE, x.reshape(-1), parts, block)
    else:
        share(_rows, len(parts), _PIECE, x.reshape(-1), parts, width, block)
    y = parts.sum(axis=0).astype(np.float32)
    shape = x.shape[-1:] if left else ()
    return y.reshape((1,) * (x.ndim - len(shape)) + shape if keepdims else shape)


@contracted
def _rows(first: int, end: int, x: Array, parts: Array, width: int, block: int) -> None:
    part, total = np.empty(width, np.float32), np.empty(width, np.float64)
    channels = parts.shape[1]
    for i in range(first, end):
        for j in range(width):
            total[j] = 0
        after = min(len(x), (i + 1) * block)
        for start in range(i * block, after, _ROWS * width):
            for j in range(width):
                part[j] = 0
            for at in range(start, min(after, start + _ROWS * width), width):
                row = x[at : min(after, at + width)]
                for j in range(len(row)):
                    part[j] += row[j]
            for j in range(width):
                total[j] += part[j]
        for j in range(width):
            parts[i, j % channels] += total[j]


@summed
def _numbers(first: int, end: int, x: Array, parts: Array, block: int) -> None:
    for i in range(first, end):
        after = min(len(x), (i + 1) * block)
        for start in range(i * block, after, _NUMBERS):
            numbers, total = x[start : min(after, start + _NUMBERS)], np.float32(0)
            for j in range(len(numbers)):
                total += numbers[j]
            parts[i, 0] += total
