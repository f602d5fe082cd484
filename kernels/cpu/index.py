"""The gradient of an embedding: rows of g added where their indices say, in the reference's order, hence its bits.

4 or 8 bytes read for each element of g, and twice that for the row it is added to: NumPy's add.at takes each element
on its own, through a flat index that has to be made first.
"""

import math
from typing import Any

import numpy as np

from ..reference import index as reference
from .compiling import compiled, plain
from .threads import share

Array = Any

_BLOCK = 1 << 16  # elements that are worth a thread: 10 to 40 µs


def take_add(g: Array, indices: Array, *, axis: int, size: int) -> Array:
    """As the reference, which serves integers."""
    if g.dtype not in (np.float32, np.float64) or g.size == 0:
        return reference.take_add(g, indices, axis=axis, size=size)
    if indices.min() < 0 or indices.max() >= size:  # compiled code would write elsewhere
        raise IndexError(f"an index outside 0 <= index < {size}")
    before, after = g.shape[:axis], g.shape[axis + indices.ndim :]
    rows = plain(g).reshape(math.prod(before), indices.size, math.prod(after))  # (A, K, B)
    x = np.zeros((len(rows), size, rows.shape[2]), g.dtype)
    worth = max(16, _BLOCK // (len(rows) * indices.size))
    share(_take_add, rows.shape[2], worth, rows, plain(indices.astype(np.int64)).reshape(-1), x)
    return x.reshape(*before, size, *after)


@compiled
def _take_add(first: int, end: int, g: Array, indices: Array, x: Array) -> None:
    """x[a, indices[k], b] += g[a, k, b] for b from first to end"""
    for a in range(g.shape[0]):
        for k in range(g.shape[1]):
            row, total = g[a, k][first:end], x[a, indices[k]][first:end]
            for b in range(len(row)):
                total[b] += row[b]
