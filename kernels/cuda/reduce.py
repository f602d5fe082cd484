"""Sums over leading axes (reduce.cu); over others the reference serves."""

import math
from typing import Any, NamedTuple

import numpy as np

from .. import reference
from .launch import Array, Grid, empty, launch, multiprocessors, usable


class Plan(NamedTuple):
    grid: Grid
    parts: int  # of each column
    stretch: int  # rows to a part


def plan(rows: int, columns: int, processors: int) -> Plan:
    """256 columns to a block, at least 16 rows to a thread, and no more than eight blocks for each processor."""
    across, deep = -(-columns // 256), max(1, 256 // columns)
    parts = max(1, min(-(-rows // (16 * deep)), 8 * processors // across))
    stretch = -(-rows // parts)
    parts = -(-rows // stretch)  # without parts that have no rows
    return Plan((across, parts, 1), parts, stretch)


def sum(x: Array, *, axis: Any, keepdims: bool) -> Array:
    """As the reference, to rounding."""
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    count, columns = len(axes), math.prod(x.shape[len(axes) :])
    leading = sorted(a % max(1, x.ndim) for a in axes) == [*range(count)]
    if not (count and leading and columns > 1 and x.size and usable(x) and x.flags.c_contiguous):
        return reference.sum(x, axis=axis, keepdims=keepdims)
    y, rows = empty((1,) * count * keepdims + x.shape[count:], x.dtype), x.size // columns
    made = plan(rows, columns, multiprocessors())
    parts = empty((made.parts, columns), np.float64) if made.parts > 1 else None
    launch("reduce", "column_sums", x.dtype, made.grid, x, parts, y, rows, columns, made.stretch)
    if made.parts > 1:
        launch("reduce", "add_column_parts", x.dtype, (-(-columns // 32), 1, 1), parts, made.parts, y, columns)
    return y
