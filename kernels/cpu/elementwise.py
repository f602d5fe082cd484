"""Activations, losses and their gradients in one pass: 4 bytes an element for each array, where NumPy makes several
passes over temporaries, and the C library's exp and tanh one element at a time.

As the reference, to 3 units in the last place of float32; other dtypes are the reference's. Arrays that are not in C
order are copied first.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..reference import elementwise as reference
from .compiling import contracted, plain
from .math import exp32, log1p32, sigmoid32, softplus32, tanh32
from .memory import empty
from .threads import share

Array = Any

_BLOCK = 1 << 15  # elements that are worth a thread: 15 to 75 µs
_0, _1 = np.float32(0), np.float32(1)


def exp(x: Array) -> Array:
    return _map(_exp, x) if x.dtype == np.float32 else reference.exp(x)


def tanh(x: Array) -> Array:
    return _map(_tanh, x) if x.dtype == np.float32 else reference.tanh(x)


def tanh_backward(g: Array, y: Array) -> Array:
    return _map(_tanh_backward, g, y) if g.dtype == np.float32 else reference.tanh_backward(g, y)


def sigmoid(x: Array) -> Array:
    return _map(_sigmoid, x) if x.dtype == np.float32 else reference.sigmoid(x)


def sigmoid_backward(g: Array, y: Array) -> Array:
    return _map(_sigmoid_backward, g, y) if g.dtype == np.float32 else reference.sigmoid_backward(g, y)


def softplus(x: Array) -> Array:
    return _map(_softplus, x) if x.dtype == np.float32 else reference.softplus(x)


def relu(x: Array) -> Array:
    return _map(_relu, x) if x.dtype == np.float32 else reference.relu(x)


def relu_backward(g: Array, y: Array) -> Array:
    return _map(_relu_backward, g, y) if g.dtype == np.float32 else reference.relu_backward(g, y)


def leaky_relu(x: Array, *, slope: float) -> Array:
    if x.dtype != np.float32:
        return reference.leaky_relu(x, slope=slope)
    return _map(_leaky_relu, x, settings=(np.float32(slope),))


def leaky_relu_backward(g: Array, x: Array, *, slope: float) -> Array:
    if g.dtype != np.float32:
        return reference.leaky_relu_backward(g, x, slope=slope)
    return _map(_leaky_relu_backward, g, x, settings=(np.float32(slope),))


def bce_with_logits(x: Array, t: Array) -> Array:
    return _map(_bce, x, t) if _alike(x, t) else reference.bce_with_logits(x, t)


def bce_with_logits_backward(g: Array, x: Array, t: Array, wanted: Sequence[bool]) -> tuple[Array, Array]:
    if not _alike(x, t):
        return reference.bce_with_logits_backward(g, x, t, wanted)
    return _map(_bce_backward, g, x, t) if wanted[0] else None, -g * x if wanted[1] else None


def masked(x: Array, kept: Array, *, scale: float) -> Array:
    if x.dtype != np.float32 or x.shape != kept.shape:
        return reference.masked(x, kept, scale=scale)
    return _map(_masked, x, kept, settings=(np.float32(scale),))


def lerp_(a: Array, b: Array, *, weight: float) -> None:
    if not (_alike(a, b) and a.flags.carray):
        reference.lerp_(a, b, weight=weight)
    else:
        share(_lerp, a.size, _BLOCK, a.reshape(-1), plain(b).reshape(-1), np.float32(weight))


def lerp_all_(targets: Sequence[Array], sources: Sequence[Array], *, weight: float) -> None:
    for a, b in zip(targets, sources, strict=True):
        lerp_(a, b, weight=weight)


def _alike(a: Array, b: Array) -> bool:
    return bool(a.dtype == np.float32 and isinstance(b, np.ndarray) and b.dtype == a.dtype and b.shape == a.shape)


def _map(kernel: Any, *arrays: Array, settings: tuple[Any, ...] = ()) -> Array:
    """A new array y, filled by kernel(first, end, *arrays, y, *settings), all flat."""
    y = empty(arrays[0].shape)
    share(kernel, y.size, _BLOCK, *[plain(a).reshape(-1) for a in arrays], y.reshape(-1), *settings)
    return y


@contracted
def _exp(first: int, end: int, x: Array, y: Array) -> None:
    x, y = x[first:end], y[first:end]
    for i in range(len(y)):
        y[i] = exp32(x[i])


@contracted
def _tanh(first: int, end: int, x: Array, y: Array) -> None:
    x, y = x[first:end], y[first:end]
    for i in range(len(y)):
        y[i] = tanh32(x[i])


@contracted
def _tanh_backward(first: int, end: int, g: Array, y: Array, gx: Array) -> None:
    g, y, gx = g[first:end], y[first:end], gx[first:end]
    for i in range(len(gx)):
        gx[i] = g[i] * (_1 - y[i] * y[i])


@contracted
def _sigmoid(first: int, end: int, x: Array, y: Array) -> None:
    x, y = x[first:end], y[first:end]
    for i in range(len(y)):
        y[i] = sigmoid32(x[i])


@contracted
def _sigmoid_backward(first: int, end: int, g: Array, y: Array, gx: Array) -> None:
    g, y, gx = g[first:end], y[first:end], gx[first:end]
    for i in range(len(gx)):
        gx[i] = g[i] * y[i] * (_1 - y[i])


@contracted
def _softplus(first: int, end: int, x: Array, y: Array) -> None:
    x, y = x[first:end], y[first:end]
    for i in range(len(y)):
        y[i] = softplus32(x[i])


@contracted
def _relu(first: int, end: int, x: Array, y: Array) -> None:
    x, y = x[first:end], y[first:end]
    for i in range(len(y)):
        y[i] = _0 if x[i] <= _0 else x[i]  # NaN stays


@contracted
def _relu_backward(first: int, end: int, g: Array, y: Array, gx: Array) -> None:
    g, y, gx = g[first:end], y[first:end], gx[first:end]
    for i in range(len(gx)):
        gx[i] = g[i] if y[i] > _0 else _0


@contracted
def _leaky_relu(first: int, end: int, x: Array, y: Array, slope: Any) -> None:
    x, y = x[first:end], y[first:end]
    for i in range(len(y)):
        y[i] = x[i] if x[i] > _0 else slope * x[i]


@contracted
def _leaky_relu_backward(first: int, end: int, g: Array, x: Array, gx: Array, slope: Any) -> None:
    g, x, gx = g[first:end], x[first:end], gx[first:end]
    for i in range(len(gx)):
        gx[i] = g[i] if x[i] > _0 else slope * g[i]


@contracted
def _bce(first: int, end: int, x: Array, t: Array, y: Array) -> None:
    x, t, y = x[first:end], t[first:end], y[first:end]
    for i in range(len(y)):
        y[i] = log1p32(exp32(-np.abs(x[i]))) + ((_1 - t[i]) * x[i] if x[i] > _0 else -t[i] * x[i])


@contracted
def _bce_backward(first: int, end: int, g: Array, x: Array, t: Array, gx: Array) -> None:
    g, x, t, gx = g[first:end], x[first:end], t[first:end], gx[first:end]
    for i in range(len(gx)):
        gx[i] = g[i] * (sigmoid32(x[i]) - t[i])


@contracted
def _masked(first: int, end: int, x: Array, kept: Array, y: Array, scale: Any) -> None:
    x, kept, y = x[first:end], kept[first:end], y[first:end]
    for i in range(len(y)):
        y[i] = scale * x[i] if kept[i] else _0


@contracted
def _lerp(first: int, end: int, a: Array, b: Array, weight: Any) -> None:
    a, b = a[first:end], b[first:end]
    for i in range(len(a)):
        a[i] += weight * (b[i] - a[i])
