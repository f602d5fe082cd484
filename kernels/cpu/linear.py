"""The dense layer: a product through NumPy's BLAS, then bias and activation in one pass over it, and so backward.

Bytes beside the products, for y of n floats: forward 8n, where the plain form makes 4 to 8 passes; backward 12n, for
the cotangent and the result read once and h = g·f' written, with the sum of its rows on the way.

The products stay BLAS's: each thread asks it for its part of the columns, and applies bias and activation while they
are in its cache, or has just computed h there. With 1024 x 1024 weights OpenBLAS reaches 73 to 78 GFLOP/s for 64 rows,
80 to 84 for 128 and 82 to 89 for 256, of the 91 of a large square, on a core of Zen 3: a product without any loss would
be 1.2, 1.1 and 1.05 times as fast. The tiles of the convolutions reach 94 to 98 there while both factors stay in the
cache. With what brings them there (panels packed and fetched ahead, rows copied that lie a power of two apart), a
product on them came to between 0.85 and 1.0 of OpenBLAS's rate.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..reference import linear as reference
from .math import sigmoid32, tanh32
from .threads import contracted, get_num_threads, later, plain, serial_blas, share

Array = Any

NONE, RELU, LEAKY_RELU, SIGMOID, TANH = range(5)
_CODES = {"none": NONE, "relu": RELU, "leaky_relu": LEAKY_RELU, "sigmoid": SIGMOID, "tanh": TANH}
_BLOCK = 1 << 17  # elements that are worth a thread: 30 to 80 µs
_WORTH = 1 << 22  # multiply-adds that are worth all threads: 100 µs on one core
_LONG = 1 << 25  # multiply-adds that are worth to be put off: a millisecond on one core
_SUM = 32  # rows that are summed in float32, before the sum goes into float64
_PART = 512  # rows to a sum of their own: many rows of few columns are cut there, few rows of many by columns

_0, _1 = np.float32(0), np.float32(1)


def matmul(a: Array, b: Array) -> Array:
    """As the reference. A column times a row is not worth BLAS's preparations."""
    if a.shape[-1] == 1 and a.ndim == b.ndim == 2 and b.shape[0] == 1:
        return np.multiply(a, b)
    return product(a, b)


def product(a: Array, b: Array, out: Array | None = None, *, waits: bool = False) -> Array:
    """a b, with two dimensions or more each: every thread computes some of the columns, rows or matrices.

    With `waits` it may be done as late as `threads.finish`.
    """
    if out is None:
        shape = *np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]
        out = np.empty(shape, np.result_type(a, b))
    with serial_blas:
        if out.ndim == 2:
            kernel, size, part = _cut(a, b, _rows, _columns)
            if a.shape[1] > 8 * max(out.shape) and part < size:  # a deep one is rather a sum of products
                _add_up(a, b, out, -(-size // part))
                return out
            (later if waits else share)(kernel, size, part, a, b, out)
        else:
            share(_matrices, len(out), -(-len(out) // _threads(out.size * a.shape[-1])), a, b, out)
    return out


def dense(x: Array, w: Array, b: Array, *, activation: str, slope: float) -> Array:
    """As the reference, which serves other dtypes."""
    if x.dtype != np.float32:
        return reference.dense(x, w, b, activation=activation, slope=slope)
    y = np.empty((x.shape[0], w.shape[1]), np.float32)
    kernel, size, part = _cut(x, w, _dense_rows, _dense_columns)
    with serial_blas:
        share(kernel, size, part, x, w, y, plain(b), np.int64(_CODES[activation]), np.float32(slope))
    return y


def dense_backward(
    g: Array, x: Array, w: Array, y: Array, activation: str, slope: float, wanted: Sequence[Any]
) -> tuple[Array, Array, Array]:
    """As the reference, likewise; a large gw that is wanted "later" is put off."""
    if g.dtype != np.float32 or g.size == 0:
        return reference.dense_backward(g, x, w, y, activation, slope, wanted)
    h, gw, gb = plain(g), None, None
    waits = wanted[1] == "later" and h.size * x.shape[1] >= _LONG
    if activation != "none" or wanted[2]:
        out, parts = np.empty_like(h) if activation != "none" else h, -(-len(h) // _PART)
        sums = np.empty((parts, g.shape[1]), np.float64)
        settings = h, plain(y), out, sums, np.int64(_CODES[activation]), np.float32(slope)
        kernel, size, part = _cut(x.T, h, _deactivate, _backward_columns)
        if wanted[1] and kernel is _backward_columns and not waits:
            gw = np.empty(w.shape, np.float32)
            with serial_blas:
                share(kernel, size, part, x, gw, *settings)
        elif parts > 1:
            share(_deactivate_rows, parts, max(1, _BLOCK // (_PART * g.shape[1])), *settings)
        else:
            share(_deactivate, g.shape[1], max(16, _BLOCK // len(h)), *settings)
        gb, h = np.add.reduce(sums, 0).astype(np.float32), out
    if wanted[1] and gw is None:
        gw = product(x.T, h, waits=True) if waits else matmul(x.T, h)
    return matmul(h, w.T) if wanted[0] else None, gw, gb if wanted[2] else None


def _threads(work: int) -> int:
    return get_num_threads() if work >= _WORTH else 1


def _cut(a: Array, b: Array, rows: Any, columns: Any) -> tuple[Any, int, int]:
    """Which kernel shares a b, by rows or by columns, how many there are of these, and of how many a part consists.

    BLAS reorders its factors first: for each part the whole other factor, which is therefore to be the smaller one.
    """
    (m, k), n = a.shape, b.shape[1]
    kernel, size = (columns, n) if n >= m else (rows, m)
    threads = _threads(m * k * n + 16 * (m * k + k * n + m * n))  # memory counts too
    return kernel, size, max(1, -(-size // (16 * threads)) * 16)


def _add_up(a: Array, b: Array, out: Array, parts: int) -> None:
    sums = np.empty((parts, *out.shape), out.dtype)
    part = -(-a.shape[1] // parts)
    share(_terms, parts, 1, a, b, sums, part)
    np.sum(sums, axis=0, out=out)


# ---- some of the columns or rows of a product


def _terms(first: int, end: int, a: Array, b: Array, sums: Array, part: int) -> None:
    for i in range(first, end):
        np.matmul(a[:, i * part : (i + 1) * part], b[i * part : (i + 1) * part], out=sums[i])


def _columns(first: int, end: int, a: Array, b: Array, out: Array) -> None:
    np.matmul(a, b[:, first:end], out=out[:, first:end])


def _rows(first: int, end: int, a: Array, b: Array, out: Array) -> None:
    np.matmul(a[first:end], b, out=out[first:end])


def _matrices(first: int, end: int, a: Array, b: Array, out: Array) -> None:
    a, b = (m[first:end] if m.ndim == out.ndim and len(m) > 1 else m for m in (a, b))  # others are used again
    np.matmul(a, b, out=out[first:end])


def _dense_columns(first: int, end: int, x: Array, w: Array, y: Array, *settings: Any) -> None:
    _columns(first, end, x, w, y)
    _activate(first, end, y, *settings)


def _dense_rows(first: int, end: int, x: Array, w: Array, y: Array, *settings: Any) -> None:
    _rows(first, end, x, w, y)
    _activate(0, y.shape[1], y[first:end], *settings)


def _deactivate_rows(first: int, end: int, g: Array, y: Array, h: Array, sums: Array, *settings: Any) -> None:
    for part in range(first, end):
        rows = slice(part * _PART, (part + 1) * _PART)
        _deactivate(0, g.shape[1], g[rows], y[rows], h[rows], sums[part : part + 1], *settings)


def _backward_columns(first: int, end: int, x: Array, gw: Array, *settings: Any) -> None:
    _deactivate(first, end, *settings)
    h = settings[2]
    _columns(first, end, x.T, h, gw)


# ---- compiled


@contracted
def _activate(first: int, end: int, y: Array, b: Array, code: int, slope: Any) -> None:
    """y ← f(y + b) on columns first to end"""
    bias, columns = b[first:end], end - first
    for i in range(len(y)):
        yi = y[i][first:end]
        if code == NONE:
            for j in range(columns):
                yi[j] += bias[j]
        elif code == RELU:
            for j in range(columns):
                z = yi[j] + bias[j]
                yi[j] = _0 if z <= _0 else z
        elif code == LEAKY_RELU:
            for j in range(columns):
                z = yi[j] + bias[j]
                yi[j] = z if z > _0 else slope * z
        elif code == SIGMOID:
            for j in range(columns):
                yi[j] = sigmoid32(yi[j] + bias[j])
        else:
            for j in range(columns):
                yi[j] = tanh32(yi[j] + bias[j])


@contracted
def _deactivate(first: int, end: int, g: Array, y: Array, h: Array, sums: Array, code: int, slope: Any) -> None:
    """h = g·f', and its sums over each _PART of the rows, on columns first to end: 32 rows at a time in float32"""
    rows, columns = len(g), end - first
    part, total = np.zeros(columns, np.float32), np.zeros(columns, np.float64)
    for i in range(rows):
        gi, yi, hi = g[i][first:end], y[i][first:end], h[i][first:end]  # g[:, first:end] would not be vectorised
        if code == NONE:
            for j in range(columns):
                part[j] += gi[j]
        elif code == RELU:
            for j in range(columns):
                hi[j] = gi[j] if yi[j] > _0 else _0
                part[j] += hi[j]
        elif code == LEAKY_RELU:
            for j in range(columns):
                hi[j] = gi[j] if yi[j] > _0 else slope * gi[j]
                part[j] += hi[j]
        elif code == SIGMOID:
            for j in range(columns):
                hi[j] = gi[j] * yi[j] * (_1 - yi[j])
                part[j] += hi[j]
        else:
            for j in range(columns):
                hi[j] = gi[j] * (_1 - yi[j] * yi[j])
                part[j] += hi[j]
        if (i + 1) % _SUM == 0 or i + 1 == rows:
            for j in range(columns):
                total[j] += part[j]
                part[j] = _0
        if (i + 1) % _PART == 0 or i + 1 == rows:
            for j in range(columns):
                sums[i // _PART, first + j] = total[j]
                total[j] = 0
