"""Layer norm on the device (layer.cu)."""

import numpy as np

from .. import reference
from .launch import Array, Grid, empty, launch, multiprocessors, plain, usable
from .norm import plan


def groups(rows: int, columns: int) -> tuple[Grid, int]:
    """The grid, and how many threads take a row: a warp, or a whole block for a long one."""
    group = 32 if columns <= 1024 else 256
    return (-(-rows * group // 256), 1, 1), group


def layer_norm(x: Array, gamma: Array, beta: Array, *, eps: float) -> tuple[Array, Array, Array]:
    """As the reference, to rounding."""
    if not x.size or not usable(x, gamma, beta):
        return reference.layer_norm(x, gamma, beta, eps=eps)
    rows, columns = x.size // x.shape[-1], x.shape[-1]
    grid, group = groups(rows, columns)
    y, mean, rstd = empty(x.shape, x.dtype), empty(x.shape[:-1], x.dtype), empty(x.shape[:-1], x.dtype)
    launch("layer", "layer_norm", x.dtype, grid, plain(x), plain(gamma), plain(beta), float(eps), y, mean, rstd, group,
           np.int64(rows), columns)  # fmt: skip
    return y, mean, rstd


def layer_norm_backward(
    g: Array, x: Array, gamma: Array, mean: Array, rstd: Array
) -> tuple[Array, Array, Array]:
    """As the reference, to rounding."""
    if not x.size or not usable(g, x, gamma, mean, rstd):
        return reference.layer_norm_backward(g, x, gamma, mean, rstd)
    rows, columns = x.size // x.shape[-1], x.shape[-1]
    grid, group = groups(rows, columns)
    made = plan(rows, columns, multiprocessors())
    g, x, gamma, mean, rstd = map(plain, (g, x, gamma, mean, rstd))
    gx, ggamma, gbeta = empty(x.shape, x.dtype), empty((columns,), x.dtype), empty((columns,), x.dtype)
    parts = empty((2, made.parts, columns), np.float64)
    launch("layer", "layer_gradient", x.dtype, grid, g, x, gamma, mean, rstd, gx, group, np.int64(rows), columns)
    launch("layer", "layer_sums", x.dtype, made.grid, g, x, mean, rstd, parts, rows, columns, made.stretch)
    launch("layer", "layer_parameters", x.dtype, (made.grid[0], 1, 1), parts, made.parts, ggamma, gbeta, columns)
    return gx, ggamma, gbeta
