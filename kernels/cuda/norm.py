"""Batch norm on the device: the plan, and the launches (norm.cu says what they do)."""

from typing import NamedTuple

import numpy as np

from .. import reference
from .launch import Array, Grid, empty, launch, multiprocessors, plain, usable


class Plan(NamedTuple):
    grid: Grid
    parts: int  # of each column
    stretch: int  # rows to a part


def plan(rows: int, columns: int, processors: int) -> Plan:
    """32 columns and at least 64 rows to a block, and no more than eight blocks for each processor."""
    across = -(-columns // 32)
    parts = max(1, min(-(-rows // 64), 8 * processors // max(1, across)))
    stretch = -(-max(1, rows) // parts)
    parts = max(1, -(-rows // stretch))  # without parts that have no rows
    return Plan((across, parts, 1), parts, stretch)


def batch_norm(x: Array, gamma: Array, beta: Array, *, eps: float) -> tuple[Array, Array, Array, Array]:
    """As the reference, to rounding."""
    if not x.size or not usable(x, gamma, beta):
        return reference.batch_norm(x, gamma, beta, eps=eps)
    rows, columns = x.size // x.shape[-1], x.shape[-1]
    made = plan(rows, columns, multiprocessors())
    x, shape = plain(x), (rows, columns, made.stretch)
    sums, squares = empty((made.parts, columns), np.float64), empty((made.parts, columns), np.float64)
    y, mean, var, rstd = empty(x.shape, x.dtype), *(empty((columns,), x.dtype) for _ in range(3))
    launch("norm", "sums", x.dtype, made.grid, x, sums, *shape)
    launch("norm", "squares", x.dtype, made.grid, x, sums, made.parts, squares, *shape)
    launch("norm", "normalise", x.dtype, made.grid, x, plain(gamma), plain(beta), sums, squares, made.parts, float(eps),
           y, mean, var, rstd, *shape)  # fmt: skip
    return y, mean, var, rstd


def batch_norm_backward(
    g: Array, x: Array, gamma: Array, mean: Array, rstd: Array
) -> tuple[Array, Array, Array]:
    """As the reference, to rounding."""
    if not x.size or not usable(g, x, gamma, mean, rstd):
        return reference.batch_norm_backward(g, x, gamma, mean, rstd)
    rows, columns = x.size // x.shape[-1], x.shape[-1]
    made = plan(rows, columns, multiprocessors())
    g, x, gamma, mean, rstd = map(plain, (g, x, gamma, mean, rstd))
    shape = (rows, columns, made.stretch)
    parts = empty((2, made.parts, columns), np.float64)
    gx, ggamma, gbeta = empty(x.shape, x.dtype), empty((columns,), x.dtype), empty((columns,), x.dtype)
    launch("norm", "gradient_sums", x.dtype, made.grid, g, x, mean, rstd, parts, *shape)
    launch("norm", "gradient", x.dtype, made.grid, g, x, gamma, mean, rstd, parts, made.parts,
           gx, ggamma, gbeta, *shape)  # fmt: skip
    return gx, ggamma, gbeta
