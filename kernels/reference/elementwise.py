"""Elementwise kernels. NumPy's ufuncs are the plainest array code there is, and serve CuPy arrays as well."""

import math
from collections import abc
from typing import Any

import numpy as np

Array = Any

add, subtract, multiply, divide, negative = np.add, np.subtract, np.multiply, np.divide, np.negative
maximum, minimum, absolute, sign, isfinite = np.maximum, np.minimum, np.absolute, np.sign, np.isfinite
exp, expm1, log, log1p, sqrt = np.exp, np.expm1, np.log, np.log1p, np.sqrt
sin, cos, tan, arcsin, arccos, arctan = np.sin, np.cos, np.tan, np.arcsin, np.arccos, np.arctan
sinh, cosh, tanh, arcsinh, arccosh, arctanh = np.sinh, np.cosh, np.tanh, np.arcsinh, np.arccosh, np.arctanh
equal, not_equal, less, less_equal = np.equal, np.not_equal, np.less, np.less_equal
greater, greater_equal, logical_and, logical_or = np.greater, np.greater_equal, np.logical_and, np.logical_or
logical_not = np.logical_not
where = np.where


def add_(a: Array, b: Array) -> None:
    np.add(a, b, out=a)


def power(a: Array, b: Array) -> Array:
    return a**b  # the operator, because it turns squares and roots into products and sqrt


def clip(x: Array, *, low: float | None, high: float | None) -> Array:
    return np.clip(x, low, high)


def erf(x: Array) -> Array:
    """2/√π ∫_0^x e^(-t²) dt, from the C library, element by element."""
    if isinstance(x, np.ndarray):
        flat = [math.erf(v) for v in x.ravel().tolist()]
        return np.asarray(flat, x.dtype).reshape(x.shape)
    from cupyx.scipy.special import erf as cuda_erf

    return cuda_erf(x)


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x) = (1 + tanh(x/2)) / 2 would lose small results to cancellation; e^-|x| never overflows."""
    e = np.exp(-np.absolute(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def softplus(x: Array) -> Array:
    """log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)"""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.absolute(x)))


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def relu_backward(g: Array, y: Array) -> Array:
    """g where y > 0, else 0"""
    return np.where(y > 0, g, 0)


def leaky_relu(x: Array, *, slope: float) -> Array:
    return np.where(x > 0, x, slope * x)


def leaky_relu_backward(g: Array, x: Array, *, slope: float) -> Array:
    """g where x > 0, else slope·g"""
    return np.where(x > 0, g, slope * g)


def sigmoid_backward(g: Array, y: Array) -> Array:
    """g·y·(1 - y), y the sigmoid"""
    return g * y * (1 - y)


def tanh_backward(g: Array, y: Array) -> Array:
    """g·(1 - y²), y the tanh"""
    return g * (1 - y * y)


def elu(x: Array, *, alpha: float) -> Array:
    """x for x > 0, else α (e^x - 1)"""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def cast(x: Array, *, dtype: str) -> Array:
    return x.astype(dtype)


def full(like: Array, *, value: float, shape: tuple[int, ...] | None = None, dtype: Any = None) -> Array:
    """A new array on the device of `like`, by default of its shape and dtype, filled with one value."""
    return np.full_like(like, value, shape=like.shape if shape is None else shape, dtype=dtype)


def bce_with_logits(x: Array, t: Array) -> Array:
    """log(1 + e^x) - t·x; where x > 0 as log(1 + e^-x) + (1 - t)·x, which does not cancel for t = 1"""
    return np.log1p(np.exp(-np.absolute(x))) + np.where(x > 0, (1 - t) * x, -t * x)


def bce_with_logits_backward(g: Array, x: Array, t: Array, wanted: abc.Sequence[bool]) -> tuple[Array, Array]:
    """(g·(σ(x) - t), -g·x), None for one that is not wanted"""
    return g * (sigmoid(x) - t) if wanted[0] else None, -g * x if wanted[1] else None


def masked(x: Array, kept: Array, *, scale: float) -> Array:
    """scale·x where kept, else 0"""
    return np.where(kept, scale * x, 0)


def lerp_(a: Array, b: Array, *, weight: float) -> None:
    """a ← a + weight·(b - a)"""
    a += weight * (b - a)


def lerp_all_(targets: abc.Sequence[Array], sources: abc.Sequence[Array], *, weight: float) -> None:
    """`lerp_` for each of several arrays, which a device may do at once"""
    for a, b in zip(targets, sources, strict=True):
        lerp_(a, b, weight=weight)
