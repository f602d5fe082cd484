"""Sums over all axes but the last: the gradient of a bias, one number a channel.

    y[c] = Σ_i x[i, c]      x (.., C) as rows of C numbers

x is read once. Some rows side by side make a row of at least 64 numbers, so that vectors are full for few channels;
32 of those are added in float32, their sums in float64. Each block of rows has its sums, added up at the end in order.
"""

from typing import Any

import numpy as np

from ..reference import reduce as reference
from .threads import contracted, share

Array = Any

_WIDTH = 64  # numbers of a row, or more
_ROWS = 32  # that are summed in float32
_BLOCK = 1 << 16  # elements that are worth a thread


def sum(x: Array, *, axis: Any, keepdims: bool) -> Array:
    """As the reference, to rounding, for float32 and all axes but the last; its own for others."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    if axis is None or x.dtype != np.float32 or x.ndim < 2 or not x.size or not x.flags.carray or (
            sorted(a % x.ndim for a in axes) != list(range(x.ndim - 1))):  # fmt: skip
        return reference.sum(x, axis=axis, keepdims=keepdims)
    channels = x.shape[-1]
    width = channels * -(-_WIDTH // channels)
    block = width * _ROWS * max(1, _BLOCK // (width * _ROWS))  # elements
    parts = np.zeros((-(-x.size // block), channels), np.float64)
    share(_rows, len(parts), 1, x.reshape(-1), parts, width, block)
    y = parts.sum(axis=0).astype(np.float32)
    return y.reshape(*[1] * (x.ndim - 1), channels) if keepdims else y


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
