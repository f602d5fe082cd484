"""Pooling on the device (pool.cu)."""

import numpy as np

from .. import reference
from ..reference.conv import Padding, Pair, output_size
from .launch import Array, empty, flat, launch, plain, usable

_WINDOW = np.dtype([(name, np.int32) for name in ["n", "h", "w", "c", "oh", "ow", "kh", "kw", "sh", "sw", "ph", "pw"]])


def max_pool(x: Array, *, size: Pair, stride: Pair, padding: Padding) -> Array:
    """As the reference, bit for bit."""
    if not usable(x):
        return reference.max_pool(x, size=size, stride=stride, padding=padding)
    y = _output(x, size, stride, padding)
    return _run("max_pool", x.shape, y.shape, size, stride, padding, [x], y)


def max_pool_input(g: Array, x: Array, y: Array, *, size: Pair, stride: Pair, padding: Padding) -> Array:
    """As the reference, to rounding."""
    if not usable(g, x, y):
        return reference.max_pool_input(g, x, y, size=size, stride=stride, padding=padding)
    share, gx = empty(y.shape, y.dtype), empty(x.shape, x.dtype)
    _run("max_pool_share", x.shape, y.shape, size, stride, padding, [g, x, y], share)
    return _run("max_pool_input", x.shape, y.shape, size, stride, padding, [share, x, y], gx)


def max_pool_gather(v: Array, x: Array, y: Array, *, size: Pair, stride: Pair, padding: Padding) -> Array:
    """As the reference, to rounding."""
    if not usable(v, x, y):
        return reference.max_pool_gather(v, x, y, size=size, stride=stride, padding=padding)
    return _run("max_pool_gather", x.shape, y.shape, size, stride, padding, [v, x, y], empty(y.shape, y.dtype))


def sum_pool(x: Array, *, size: Pair, stride: Pair, padding: Padding) -> Array:
    """As the reference, to rounding."""
    if not usable(x):
        return reference.sum_pool(x, size=size, stride=stride, padding=padding)
    y = _output(x, size, stride, padding)
    return _run("sum_pool", x.shape, y.shape, size, stride, padding, [x], y)


def sum_pool_input(g: Array, *, size_in: Pair, size: Pair, stride: Pair, padding: Padding) -> Array:
    """As the reference, to rounding."""
    if not usable(g):
        return reference.sum_pool_input(g, size_in=size_in, size=size, stride=stride, padding=padding)
    gx = empty((g.shape[0], *size_in, g.shape[3]), g.dtype)
    return _run("sum_pool_input", gx.shape, g.shape, size, stride, padding, [g], gx)


def _output(x: Array, size: Pair, stride: Pair, padding: Padding) -> Array:
    return empty((x.shape[0], *output_size(x.shape[1:3], size, stride, padding, (1, 1)), x.shape[3]), x.dtype)


def _run(kernel: str, x: tuple[int, ...], y: tuple[int, ...], size: Pair, stride: Pair, padding: Padding,
         arrays: list[Array], out: Array) -> Array:  # fmt: skip
    window = np.array((*x, *y[1:3], *size, *stride, padding[0][0], padding[1][0]), _WINDOW)
    launch("pool", kernel, out.dtype, flat(out.size), window, *map(plain, arrays), out)
    return out
