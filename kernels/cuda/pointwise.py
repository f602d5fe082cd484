"""Elementwise kernels in one pass (pointwise.cu)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import reference
from .launch import Array, empty, flat, launch, plain, usable


def exp(x: Array) -> Array:
    return _made("exp", [x])


def tanh(x: Array) -> Array:
    return _made("tanh", [x])


def sigmoid(x: Array) -> Array:
    return _made("sigmoid", [x])


def softplus(x: Array) -> Array:
    return _made("softplus", [x])


def relu(x: Array) -> Array:
    return _made("relu", [x])


def leaky_relu(x: Array, *, slope: float) -> Array:
    return _made("leaky_relu", [x], slope=slope)


def elu(x: Array, *, alpha: float) -> Array:
    return _made("elu", [x], alpha=alpha)


def bce_with_logits(x: Array, t: Array) -> Array:
    return _made("bce_with_logits", [x, t])


def relu_backward(g: Array, y: Array) -> Array:
    return _made("relu_backward", [g, y])


def sigmoid_backward(g: Array, y: Array) -> Array:
    return _made("sigmoid_backward", [g, y])


def tanh_backward(g: Array, y: Array) -> Array:
    return _made("tanh_backward", [g, y])


def leaky_relu_backward(g: Array, x: Array, *, slope: float) -> Array:
    return _made("leaky_relu_backward", [g, x], slope=slope)


def bce_with_logits_backward(g: Array, x: Array, t: Array, wanted: Sequence[bool]) -> tuple[Array, Array]:
    if not wanted[0] or not usable(g, x, t) or not g.shape == x.shape == t.shape:
        return reference.bce_with_logits_backward(g, x, t, wanted)
    return _made("bce_with_logits_backward", [g, x, t]), -g * x if wanted[1] else None


def masked(x: Array, kept: Array, *, scale: float) -> Array:
    if not usable(x) or kept.shape != x.shape or kept.dtype != np.bool_:
        return reference.masked(x, kept, scale=scale)
    y = empty(x.shape, x.dtype)
    launch("pointwise", "masked", x.dtype, flat(x.size), plain(x), plain(kept), float(scale), y, np.int64(x.size))
    return y


def _made(kernel: str, arrays: list[Array], **settings: float) -> Array:
    """As the reference, which also serves where shapes differ."""
    x = arrays[0]
    if not usable(*arrays) or any(a.shape != x.shape for a in arrays):
        return getattr(reference, kernel)(*arrays, **settings)
    y = empty(x.shape, x.dtype)
    given: list[Any] = [*map(plain, arrays), *map(float, settings.values())]
    name = f"{kernel}_of" if kernel in ("exp", "tanh") else kernel  # CUDA has functions of these names
    launch("pointwise", name, x.dtype, flat(x.size), *given, y, np.int64(x.size))
    return y
