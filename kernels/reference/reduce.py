"""Reductions. `axis` is None, an int or a tuple of ints, `keepdims` as in NumPy."""

from typing import Any

import numpy as np

Array = Any


def sum(x: Array, *, axis: Any, keepdims: bool) -> Array:
    """Integers and booleans add up in int64."""
    return np.sum(x, axis=_axis(x, axis), keepdims=keepdims, dtype=None if x.dtype.kind == "f" else np.int64)


def max(x: Array, *, axis: Any, keepdims: bool) -> Array:
    return np.max(x, axis=_axis(x, axis), keepdims=keepdims)


def min(x: Array, *, axis: Any, keepdims: bool) -> Array:
    return np.min(x, axis=_axis(x, axis), keepdims=keepdims)


def argmax(x: Array, *, axis: int | None, keepdims: bool) -> Array:
    return np.argmax(x, axis=_axis(x, axis), keepdims=keepdims)


def argmin(x: Array, *, axis: int | None, keepdims: bool) -> Array:
    return np.argmin(x, axis=_axis(x, axis), keepdims=keepdims)


def logsumexp(x: Array, *, axis: Any, keepdims: bool) -> Array:
    """log Σ e^x = m + log Σ e^(x - m), m = max x, or 0 where that is infinite"""
    m = _max(x, axis)
    m = np.where(np.isfinite(m), m, 0)
    total = np.log(np.sum(np.exp(x - m), axis=_axis(x, axis), keepdims=True)) + m
    return total if keepdims else np.squeeze(total, axis=_axis(x, axis))


def softmax(x: Array, *, axis: int) -> Array:
    """e^(x - max) / Σ e^(x - max)"""
    e = np.exp(x - _max(x, axis))
    return e / np.sum(e, axis=_axis(x, axis), keepdims=True)


def log_softmax(x: Array, *, axis: int) -> Array:
    """(x - max) - log Σ e^(x - max)"""
    d = x - _max(x, axis)
    return d - np.log(np.sum(np.exp(d), axis=_axis(x, axis), keepdims=True))


def softmax_backward(g: Array, y: Array, *, axis: int) -> Array:
    """y·(g - Σ g·y), y the softmax"""
    return y * (g - np.sum(g * y, axis=_axis(y, axis), keepdims=True))


def _max(x: Array, axis: Any) -> Array:
    """max x with the axes kept, -∞ over nothing (for which CuPy has no `initial`)."""
    if x.size:
        return np.max(x, axis=_axis(x, axis), keepdims=True)
    return np.full_like(x, -np.inf, shape=np.sum(x, axis=axis, keepdims=True).shape)


def _axis(x: Array, axis: Any) -> Any:
    """A number has an axis 0 in NumPy, and none in CuPy."""
    return None if x.ndim == 0 and axis in (0, -1) else axis
