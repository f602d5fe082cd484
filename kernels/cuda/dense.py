"""The dense layer: products by cuBLAS, bias and activation in one pass (dense.cu)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import reference
from .blas import matmul
from .launch import Array, empty, flat, launch, multiprocessors, plain, usable
from .norm import plan

_ACTIVATIONS = ("none", "relu", "leaky_relu", "sigmoid", "tanh")  # dense.cu counts them


def dense(x: Array, w: Array, b: Array, *, activation: str, slope: float) -> Array:
    """As the reference, to rounding."""
    if not usable(x, w, b) or activation not in _ACTIVATIONS:
        return reference.dense(x, w, b, activation=activation, slope=slope)
    y = matmul(x, w)
    launch("dense", "bias_activation", x.dtype, flat(y.size), y, plain(b), _ACTIVATIONS.index(activation), float(slope),
           y.shape[1], np.int64(y.size))  # fmt: skip
    return y


def dense_backward(
    g: Array, x: Array, w: Array, y: Array, activation: str, slope: float, wanted: Sequence[Any]
) -> tuple[Array, Array, Array]:
    """As the reference, to rounding."""
    if not usable(g, x, w, y) or not g.size or activation not in _ACTIVATIONS:
        return reference.dense_backward(g, x, w, y, activation, slope, wanted)
    h, gb = activation_backward(g, y, activation, slope)
    return matmul(h, w.T) if wanted[0] else None, matmul(x.T, h) if wanted[1] else None, gb if wanted[2] else None


def activation_backward(g: Array, y: Array, activation: str, slope: float = 0.0) -> tuple[Array, Array]:
    """(g·f', its sum over the rows): (R, C) and (C,)."""
    (rows, columns), h, sums = g.shape, empty(g.shape, g.dtype), empty(g.shape[1:], g.dtype)
    made = plan(rows, columns, multiprocessors())
    parts = empty((made.parts, columns), np.float64)
    launch("dense", "activation_backward", g.dtype, made.grid, plain(g), plain(y), h, parts,
           _ACTIVATIONS.index(activation), float(slope), rows, columns, made.stretch)  # fmt: skip
    launch("reduce", "add_column_parts", g.dtype, (made.grid[0], 1, 1), parts, made.parts, sums, columns)
    return h, sums
