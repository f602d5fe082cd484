"""Softmax, its logarithm, cross-entropy and their gradients: float32 rows of C numbers, a row from the first cache.

    m = max x      e_k = e^(x_k - m)      s = Σ e_k      p = e / s      log p = (x - m) - log s

Bytes for n numbers: softmax and log_softmax 8n, cross_entropy 4n and its gradient 8n, that of softmax 12n; NumPy moves
n some ten times. Operations: some 16 a number for e^x, 4 for the rest. The largest number is found by folding the row
in half, again and again: a running maximum is no vector instruction.
"""

from typing import Any

import numpy as np

from ..reference import loss as losses
from ..reference import reduce as reference
from .compiling import contracted, plain, summed
from .math import exp32
from .memory import empty
from .threads import share

Array = Any

_BLOCK = 1 << 14  # elements that are worth a thread
_PART = 512  # numbers that are added in float32, before their sum goes into float64


def softmax(x: Array, *, axis: int) -> Array:
    """As the reference, which serves other dtypes and axes than the last."""
    return _rows(_softmax, x) if _fits(x, axis) else reference.softmax(x, axis=axis)


def log_softmax(x: Array, *, axis: int) -> Array:
    """As the reference, likewise."""
    return _rows(_log_softmax, x) if _fits(x, axis) else reference.log_softmax(x, axis=axis)


def softmax_backward(g: Array, y: Array, *, axis: int) -> Array:
    """As the reference, likewise."""
    return _rows(_softmax_backward, g, y) if _fits(g, axis) else reference.softmax_backward(g, y, axis=axis)


def cross_entropy(logits: Array, target: Array) -> tuple[Array, Array, Array]:
    """As the reference, likewise."""
    if not _fits(logits, -1):
        return losses.cross_entropy(logits, target)
    columns, classes = logits.shape[-1], target.reshape(-1).astype(np.int64)
    if classes.min() < 0 or classes.max() >= columns:  # compiled code would read elsewhere
        raise IndexError(f"a class outside 0 <= t < {columns}")
    loss, largest, log_sum = (np.empty(target.shape, np.float32) for _ in range(3))
    share(_cross_entropy, classes.size, -(-_BLOCK // columns), plain(logits).reshape(-1, columns), classes,
          loss.reshape(-1), largest.reshape(-1), log_sum.reshape(-1))  # fmt: skip
    return loss, largest, log_sum


def cross_entropy_backward(
    g: Array, logits: Array, target: Array, largest: Array, log_sum: Array
) -> tuple[Array, None]:
    """As the reference, likewise."""
    if not _fits(logits, -1):
        return losses.cross_entropy_backward(g, logits, target, largest, log_sum)
    return _rows(_cross_entropy_backward, logits, settings=(
        target.reshape(-1).astype(np.int64), *(plain(a).reshape(-1) for a in (g, largest, log_sum)))), None  # fmt: skip


def _fits(x: Array, axis: int) -> bool:
    return bool(x.dtype == np.float32 and x.size and axis in (-1, x.ndim - 1))


def _rows(kernel: Any, *arrays: Array, settings: tuple[Any, ...] = ()) -> Array:
    """A new array of rows, filled by kernel(first, end, *arrays, y, *settings)."""
    columns = arrays[0].shape[-1]
    y = empty(arrays[0].shape)
    share(kernel, y.size // columns, -(-_BLOCK // columns), *[plain(a).reshape(-1, columns) for a in arrays],
          y.reshape(-1, columns), *settings)  # fmt: skip
    return y


@contracted
def _largest(x: Array, halves: Array) -> Any:
    """max x, where a NaN may be left out: it makes the row's sum NaN in any case. halves: room for two half rows"""
    a, count, side = x, len(x), 0
    while count > 8:
        half = (count + 1) // 2
        b = halves[side]
        for k in range(half):
            u, v = a[k], a[count - half + k]
            b[k] = u if u > v else v
        a, count, side = b, half, 1 - side
    largest = a[0]
    for k in range(1, count):
        largest = a[k] if a[k] > largest else largest
    return largest


@summed
def _dot(x: Array, y: Array) -> float:
    total = 0.0
    for start in range(0, len(x), _PART):
        a, b = x[start : start + _PART], y[start : start + _PART]
        part: Any = np.float32(0)
        for k in range(len(a)):
            part += a[k] * b[k]
        total += np.float64(part)
    return total


@summed
def _total(x: Array) -> float:
    total = 0.0
    for start in range(0, len(x), _PART):
        a = x[start : start + _PART]
        part: Any = np.float32(0)
        for k in range(len(a)):
            part += a[k]
        total += np.float64(part)
    return total


@contracted
def _exponentials(x: Array, e: Array, halves: Array) -> tuple[Any, float]:
    """e = e^(x - m); (m, Σ e)"""
    largest = _largest(x, halves)
    for k in range(len(e)):
        e[k] = exp32(x[k] - largest)
    return largest, _total(e)


@contracted
def _softmax(first: int, end: int, x: Array, y: Array) -> None:
    halves = np.empty((2, (x.shape[1] + 1) // 2), np.float32)
    for i in range(first, end):
        row = y[i]
        _, total = _exponentials(x[i], row, halves)
        scale = np.float32(1 / total)
        for k in range(len(row)):
            row[k] *= scale


@contracted
def _log_softmax(first: int, end: int, x: Array, y: Array) -> None:
    halves = np.empty((2, (x.shape[1] + 1) // 2), np.float32)
    for i in range(first, end):
        given, row = x[i], y[i]
        largest, total = _exponentials(given, row, halves)
        log = np.float32(np.log(total))
        for k in range(len(row)):
            row[k] = (given[k] - largest) - log


@contracted
def _softmax_backward(first: int, end: int, g: Array, y: Array, gx: Array) -> None:
    for i in range(first, end):
        cotangent, p, row = g[i], y[i], gx[i]
        along = np.float32(_dot(cotangent, p))
        for k in range(len(row)):
            row[k] = p[k] * (cotangent[k] - along)


@contracted
def _cross_entropy(
    first: int, end: int, x: Array, classes: Array, loss: Array, largest: Array, log_sum: Array
) -> None:
    columns = x.shape[1]
    halves, e = np.empty((2, (columns + 1) // 2), np.float32), np.empty(columns, np.float32)
    for i in range(first, end):
        m, total = _exponentials(x[i], e, halves)
        largest[i], log_sum[i] = m, np.log(total)
        loss[i] = log_sum[i] - (x[i, classes[i]] - m)


@contracted
def _cross_entropy_backward(
    first: int, end: int, x: Array, gx: Array, classes: Array, g: Array, largest: Array, log_sum: Array
) -> None:
    for i in range(first, end):
        row, given, cotangent, m, log = gx[i], x[i], g[i], largest[i], log_sum[i]
        for k in range(len(row)):
            row[k] = cotangent * exp32((given[k] - m) - log)
        if 0 <= classes[i] < len(row):  # from less than 1 what it lacks of 1, not 1 from a product
            c = classes[i]
            row[c] = cotangent * (exp32((given[c] - m) - log) - np.float32(1))
