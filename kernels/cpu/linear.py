"""The dense layer: a product, then bias and activation in one pass over it, and so backward.

Bytes beside the products, for y of n floats: forward 8n, where the plain form makes 4 to 8 passes; backward 12n, for
the cotangent and the result read once and h = g·f' written, with the sum of its rows on the way.

Each thread computes some of the columns of a product, and applies bias and activation while they are in its cache, or
has just computed h there. In float32 the products are ours (gemm.py), in float64 they are NumPy's BLAS's.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from numba.core.config import DISABLE_JIT  # type: ignore[attr-defined]

from ..reference import linear as reference
from . import blas, precision
from .blas import dgemm
from .compiling import compiled, contracted, plain
from .gemm import WORDS, sgemm
from .math import sigmoid32, tanh32
from .memory import empty
from .threads import get_num_threads, later, share
from .tile import TILE, keep, tile_of_pairs

Array = Any
Pair = tuple[int, int]

NONE, RELU, LEAKY_RELU, SIGMOID, TANH = range(5)
_CODES = {"none": NONE, "relu": RELU, "leaky_relu": LEAKY_RELU, "sigmoid": SIGMOID, "tanh": TANH}
_BLOCK = 1 << 16  # elements that are worth a thread: 10 to 40 µs
_WORTH = 1 << 21  # multiply-adds that are worth all threads: 50 µs on one core
_LONG = 1 << 23  # multiply-adds that are worth to be put off: 200 µs on one core
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

    With `waits`, which is for float32, it may be done as late as `threads.finish`.
    """
    if out is None:
        over = np.broadcast_shapes(a.shape[:-2], b.shape[:-2]) if a.ndim + b.ndim > 4 else ()
        out = empty((*over, a.shape[-2], b.shape[-1]), np.result_type(a, b))
    (m, k), n = a.shape[-2:], b.shape[-1]
    if not _compiled(a, b, out) or k == 0 or out.size == 0:
        return np.matmul(a, b, out=out)
    if min(m, n) == 1:  # BLAS has another function for these
        with blas.serial:
            return np.matmul(a, b, out=out)
    with nullcontext() if out.dtype.char == "f" else blas.serial:
        if out.ndim > 2:
            a, b = (np.broadcast_to(f, out.shape[:-2] + f.shape[-2:]).reshape(-1, *f.shape[-2:]) for f in (a, b))
            worth, matrices = max(1, _WORTH // (m * k * n)), out.reshape(-1, m, n)
            share(_matrices, len(matrices), worth, *_factor(a), *_factor(b), _how(), matrices)
        elif k > 8 * max(m, n) and m * k * n >= _WORTH:  # a deep one is rather a sum of products
            _add_up(a, b, out, min(16, k // (4 * max(m, n))))
        else:
            kernel, size, part = _cut(a, b, _rows, _columns)
            (later if waits else share)(kernel, size, part, *_factor(a), *_factor(b), _how(), out)
    return out


def _compiled(a: Array, b: Array, out: Array) -> bool:
    """Whether compiled code can multiply these: float32 or float64, and the result's rows in one piece each."""
    kind = a.dtype.char
    return ((kind == "f" or (kind == "d" and blas.COMPILED)) and kind == b.dtype.char == out.dtype.char
            and not DISABLE_JIT and out.strides[-1] == out.itemsize and out.strides[-2] >= out.shape[-1] * out.itemsize)


def _factor(a: Array) -> tuple[Array, bool]:
    """Matrices as rows in one piece each, themselves or copies, and whether these are the columns."""
    for turned, rows in ((False, a), (True, a.swapaxes(-1, -2))):
        across, along = rows.strides[-2:]
        apart = along == a.itemsize and across >= rows.shape[-1] * along and across % along == 0
        if (rows.flags.c_contiguous or apart) and a.flags.aligned:
            return rows, turned
    return np.array(a, order="C"), False


def _how() -> Pair:
    """What multiplies float32 factors, and how many terms at a time."""
    return (tile_of_pairs(), 2) if precision.bfloat16 else (TILE, 1)


def dense(x: Array, w: Array, b: Array, *, activation: str, slope: float) -> Array:
    """As the reference, which serves other dtypes."""
    if x.dtype != np.float32:
        return reference.dense(x, w, b, activation=activation, slope=slope)
    y = empty((x.shape[0], w.shape[1]))
    settings = y, plain(b), _CODES[activation], np.float32(slope)
    if not _compiled(x, w, y) or min(y.shape) <= 1 or x.shape[1] == 0:
        product(x, w, y)
        share(_activate, y.shape[1], max(16, _BLOCK // max(1, len(y))), *settings)
        return y
    kernel, size, part = _cut(x, w, _dense_rows, _dense_columns)
    share(kernel, size, part, *_factor(x), *_factor(w), _how(), *settings)
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
        out, parts = empty(h.shape) if activation != "none" else h, -(-len(h) // _PART)
        sums = np.empty((parts, g.shape[1]), np.float64)
        settings = h, plain(y), out, sums, _CODES[activation], np.float32(slope)
        kernel, size, part = _cut(x.T, h, _deactivate, _backward_columns)
        if wanted[1] and kernel is _backward_columns and not waits and _compiled(x, h, h) and min(w.shape) > 1:
            gw = empty(w.shape)
            share(kernel, size, part, *_factor(x.T), _how(), gw, *settings)
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

    Its factors are copied first: for each part the whole other factor, which is therefore to be the smaller one.
    """
    (m, k), n = a.shape, b.shape[1]
    kernel, size = (columns, n) if n >= m else (rows, m)
    threads = _threads(m * k * n + 16 * (m * k + k * n + m * n))  # memory counts too
    return kernel, size, max(1, -(-size // (16 * threads)) * 16)


def _add_up(a: Array, b: Array, out: Array, parts: int) -> None:
    """Of so many terms each whatever threads there are, so that the sums have the same bits."""
    part = 2 * -(-a.shape[1] // (2 * parts))  # of pairs, for bfloat16
    sums = empty((-(-a.shape[1] // part), *out.shape), out.dtype)
    share(_terms, len(sums), 1, *_factor(a), *_factor(b), _how(), sums, part)
    np.sum(sums, axis=0, out=out)


# ---- compiled: some of the columns, rows, terms or matrices of a product; a factor is turned if its rows are columns


@compiled
def _multiply(a: Array, a_turned: bool, row: int, b: Array, b_turned: bool, column: int, inner: int, out: Array,
              m: int, k: int, n: int, memory: Array, how: Pair) -> None:  # fmt: skip
    """k terms, from number `inner` on, of m rows and n columns of out = a b, from (row, column) on"""
    size = a.itemsize
    lda, ldb = max(a.strides[0] // size, a.shape[1]), max(b.strides[0] // size, b.shape[1])
    ldc = max(out.strides[0] // size, out.shape[1])
    of_a = a.ctypes.data + size * (inner * lda + row if a_turned else row * lda + inner)
    of_b = b.ctypes.data + size * (column * ldb + inner if b_turned else inner * ldb + column)
    to = out.ctypes.data + size * (row * ldc + column)
    if size == 4:
        sgemm(of_a, lda, a_turned, of_b, ldb, b_turned, to, ldc, m, n, k, memory, how)
    else:
        lies_a, lies_b = blas.TURNED if a_turned else blas.PLAIN, blas.TURNED if b_turned else blas.PLAIN
        dgemm(blas.ROWS, lies_a, lies_b, m, n, k, 1.0, of_a, lda, of_b, ldb, 0.0, to, ldc)


@compiled
def _columns(first: int, end: int, a: Array, a_turned: bool, b: Array, b_turned: bool, how: Pair, out: Array) -> None:
    inner, memory = len(a) if a_turned else a.shape[1], np.empty(WORDS, np.int64)
    _multiply(a, a_turned, 0, b, b_turned, first, 0, out, len(out), inner, end - first, memory, how)
    keep((memory,))


@compiled
def _rows(first: int, end: int, a: Array, a_turned: bool, b: Array, b_turned: bool, how: Pair, out: Array) -> None:
    inner, memory = len(a) if a_turned else a.shape[1], np.empty(WORDS, np.int64)
    _multiply(a, a_turned, first, b, b_turned, 0, 0, out, end - first, inner, out.shape[1], memory, how)
    keep((memory,))


@compiled
def _terms(first: int, end: int, a: Array, a_turned: bool, b: Array, b_turned: bool, how: Pair, sums: Array,
           part: int) -> None:  # fmt: skip
    inner, memory = len(a) if a_turned else a.shape[1], np.empty(WORDS, np.int64)
    for i in range(first, end):
        out, start = sums[i], i * part
        some = min(part, inner - start)
        _multiply(a, a_turned, 0, b, b_turned, 0, start, out, len(out), some, out.shape[1], memory, how)
    keep((memory,))


@compiled
def _matrices(first: int, end: int, a: Array, a_turned: bool, b: Array, b_turned: bool, how: Pair, out: Array) -> None:
    inner, memory = a.shape[1] if a_turned else a.shape[2], np.empty(WORDS, np.int64)
    for i in range(first, end):
        _multiply(a[i], a_turned, 0, b[i], b_turned, 0, 0, out[i], out.shape[1], inner, out.shape[2], memory, how)
    keep((memory,))


@compiled
def _dense_columns(first: int, end: int, x: Array, x_turned: bool, w: Array, w_turned: bool, how: Pair, y: Array,
                   b: Array, code: int, slope: Any) -> None:  # fmt: skip
    _columns(first, end, x, x_turned, w, w_turned, how, y)
    _activate(first, end, y, b, code, slope)


@compiled
def _dense_rows(first: int, end: int, x: Array, x_turned: bool, w: Array, w_turned: bool, how: Pair, y: Array, b: Array,
                code: int, slope: Any) -> None:  # fmt: skip
    _rows(first, end, x, x_turned, w, w_turned, how, y)
    _activate(0, y.shape[1], y[first:end], b, code, slope)


@compiled
def _deactivate_rows(first: int, end: int, g: Array, y: Array, h: Array, sums: Array, code: int, slope: Any) -> None:
    for part in range(first, end):
        start, after = part * _PART, min(len(g), (part + 1) * _PART)
        _deactivate(0, g.shape[1], g[start:after], y[start:after], h[start:after], sums[part : part + 1], code, slope)


@compiled
def _backward_columns(first: int, end: int, x: Array, x_turned: bool, how: Pair, gw: Array, g: Array, y: Array,
                      h: Array, sums: Array, code: int, slope: Any) -> None:  # fmt: skip
    """gw = xᵀ h, where the h of these columns has just been computed"""
    _deactivate(first, end, g, y, h, sums, code, slope)
    _columns(first, end, x, x_turned, h, False, how, gw)


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
