"""Softmax, its relatives and losses along the last axis (rows.cu); along any other the reference serves."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import reference
from .launch import Array, Grid, empty, flat, launch, plain, plain_int64, usable


def softmax(x: Array, *, axis: int) -> Array:
    return _run("softmax", x, empty(x.shape, x.dtype)) if _last(x, axis) else reference.softmax(x, axis=axis)


def softmax_backward(g: Array, y: Array, *, axis: int) -> Array:
    """As the reference, to rounding."""
    if not (_last(g, axis) and usable(g, y)):
        return reference.softmax_backward(g, y, axis=axis)
    gx, columns = empty(g.shape, g.dtype), g.shape[-1]
    launch("rows", "softmax_backward", g.dtype, grid(g.size // columns), plain(g), plain(y), gx,
           np.int64(g.size // columns), columns)  # fmt: skip
    return gx


def log_softmax(x: Array, *, axis: int) -> Array:
    return _run("log_softmax", x, empty(x.shape, x.dtype)) if _last(x, axis) else reference.log_softmax(x, axis=axis)


def logsumexp(x: Array, *, axis: Any, keepdims: bool) -> Array:
    if not _last(x, axis):
        return reference.logsumexp(x, axis=axis, keepdims=keepdims)
    return _run("logsumexp", x, empty((*x.shape[:-1], 1) if keepdims else x.shape[:-1], x.dtype))


def cross_entropy(logits: Array, target: Array) -> tuple[Array, Array, Array]:
    """As the reference, to rounding; NaN for a class that is out of range."""
    if not logits.size or not usable(logits):
        return reference.cross_entropy(logits, target)
    loss, largest, log_sum = (empty(target.shape, logits.dtype) for _ in range(3))
    launch("rows", "cross_entropy", logits.dtype, grid(loss.size), plain(logits), plain_int64(target), loss,
           largest, log_sum, np.int64(loss.size), logits.shape[-1])  # fmt: skip
    return loss, largest, log_sum


def cross_entropy_backward(
    g: Array, logits: Array, target: Array, largest: Array, log_sum: Array
) -> tuple[Array, None]:
    """As the reference, to rounding."""
    if not usable(g, logits, largest, log_sum):
        return reference.cross_entropy_backward(g, logits, target, largest, log_sum)
    y = empty(logits.shape, logits.dtype)
    launch("rows", "cross_entropy_backward", y.dtype, flat(y.size), plain(g), plain(logits), plain_int64(target),
           plain(largest), plain(log_sum), y, logits.shape[-1], np.int64(y.size))  # fmt: skip
    return y, None


def kl_to_standard_normal(mu: Array, log_var: Array) -> Array:
    """As the reference, to rounding."""
    if not mu.size or not usable(mu, log_var):
        return reference.kl_to_standard_normal(mu, log_var)
    y = empty(mu.shape[:-1], mu.dtype)
    launch("rows", "kl", y.dtype, grid(y.size), plain(mu), plain(log_var), y, np.int64(y.size), mu.shape[-1])
    return y


def kl_to_standard_normal_backward(
    g: Array, mu: Array, log_var: Array, wanted: Sequence[bool]
) -> tuple[Array, Array]:
    """As the reference, to rounding."""
    if not usable(g, mu, log_var):
        return reference.kl_to_standard_normal_backward(g, mu, log_var, wanted)
    gradients = [empty(mu.shape, mu.dtype) if want else None for want in wanted]
    launch("rows", "kl_backward", mu.dtype, flat(mu.size), plain(g), plain(mu), plain(log_var), *gradients,
           mu.shape[-1], np.int64(mu.size))  # fmt: skip
    return gradients[0], gradients[1]


def grid(rows: int) -> Grid:
    """Eight rows to a block, a warp to a row."""
    return -(-rows // 8), 1, 1


def _last(x: Array, axis: Any) -> bool:
    return bool(x.ndim and x.size and axis in (-1, x.ndim - 1, (-1,), (x.ndim - 1,)) and usable(x))


def _run(kernel: str, x: Array, y: Array) -> Array:
    columns = x.shape[-1]
    rows = x.size // columns
    launch("rows", kernel, x.dtype, grid(rows), plain(x), y, np.int64(rows), columns)
    return y
