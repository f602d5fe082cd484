"""Products, and the dense layer: a product, a bias and an activation."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .elementwise import (
    leaky_relu,
    leaky_relu_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    tanh,
    tanh_backward,
)

Array = Any


def matmul(a: Array, b: Array) -> Array:
    return np.matmul(a, b)


def dense(x: Array, w: Array, b: Array, *, activation: str, slope: float) -> Array:
    """f(x w + b): x (N, I), w (I, O), b (O,) -> (N, O); f "none", "relu", "leaky_relu", "sigmoid" or "tanh" """
    z = np.matmul(x, w) + b
    if activation == "none":
        return z
    if activation == "leaky_relu":
        return leaky_relu(z, slope=slope)
    activations: dict[str, Any] = {"relu": relu, "sigmoid": sigmoid, "tanh": tanh}
    return activations[activation](z)


def dense_backward(
    g: Array, x: Array, w: Array, y: Array, activation: str, slope: float, wanted: Sequence[Any]
) -> tuple[Array, Array, Array]:
    """(gx, gw, gb) for the cotangent g of y, None for those that are not wanted. One that is wanted "later" than now
    may be put off, as `tinyart.ops.op.Fused` says.

    h = g · f'      gx = h wᵀ      gw = xᵀ h      gb = Σ h      f' from y = f, for slope ≥ 0
    """
    h = g
    if activation == "leaky_relu":
        h = leaky_relu_backward(g, y, slope=slope)
    elif activation != "none":
        h = {"relu": relu_backward, "sigmoid": sigmoid_backward, "tanh": tanh_backward}[activation](g, y)
    return (np.matmul(h, w.T) if wanted[0] else None, np.matmul(x.T, h) if wanted[1] else None,
            np.sum(h, axis=0) if wanted[2] else None)  # fmt: skip
