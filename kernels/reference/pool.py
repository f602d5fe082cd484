"""Pooling, channels last. Like convolution, it walks the taps of the window (see conv.py); padding is never read.

`size` and `stride` are (down, across), `padding` is ((top, bottom), (left, right)), all in pixels.
"""

from collections.abc import Iterator

import numpy as np

from .conv import Array, Padding, Pair, Part, output_size, taps


def max_pool(x: Array, *, size: Pair, stride: Pair, padding: Padding) -> Array:
    """y = max over the window: (N, H, W, C) -> (N, OH, OW, C). Padding counts as -∞; a NaN in a window is its max."""
    y = np.full_like(x, -np.inf, shape=_output_shape(x, size, stride, padding), order="C")
    for at_x, at_y in _windows(x, y, size, stride, padding):
        y[at_y] = np.maximum(y[at_y], x[at_x])
    return y


def max_pool_input(g: Array, x: Array, y: Array, *, size: Pair, stride: Pair, padding: Padding) -> Array:
    """The gradient of `max_pool`: each window's g is shared equally among the ties of its maximum.

    A window whose maximum is NaN gives NaN to each of its pixels: its maximum has no derivative, and a zero would
    hide that.
    """
    share = g / _count_ties(x, y, size, stride, padding)  # (N, OH, OW, C)
    gx = np.zeros_like(x, order="C")  # (N, H, W, C)
    for at_x, at_y in _windows(x, y, size, stride, padding):
        gx[at_x] += np.where(_ties(x[at_x], y[at_y]), share[at_y], 0)
    return gx


def max_pool_gather(v: Array, x: Array, y: Array, *, size: Pair, stride: Pair, padding: Padding) -> Array:
    """The adjoint of `max_pool_input` in g: the mean of v over the ties of each window's maximum, NaN where that is.

    (N, H, W, C) -> (N, OH, OW, C)
    """
    total = np.zeros_like(y, order="C")
    for at_x, at_y in _windows(x, y, size, stride, padding):
        total[at_y] += np.where(_ties(x[at_x], y[at_y]), v[at_x], 0)
    return total / _count_ties(x, y, size, stride, padding)


def sum_pool(x: Array, *, size: Pair, stride: Pair, padding: Padding) -> Array:
    """y = the sum over the window: (N, H, W, C) -> (N, OH, OW, C). Padding counts as 0."""
    y = np.zeros_like(x, shape=_output_shape(x, size, stride, padding), order="C")
    for at_x, at_y in _windows(x, y, size, stride, padding):
        y[at_y] += x[at_x]
    return y


def sum_pool_input(g: Array, *, size_in: Pair, size: Pair, stride: Pair, padding: Padding) -> Array:
    """The adjoint of `sum_pool`: (N, OH, OW, C) -> (N, H, W, C), size_in (H, W)."""
    gx = np.zeros_like(g, shape=(g.shape[0], *size_in, g.shape[3]), order="C")
    for at_x, at_y in _windows(gx, g, size, stride, padding):
        gx[at_x] += g[at_y]
    return gx


def _ties(x: Array, y: Array) -> Array:
    """Where x is its window's maximum y. Written so that all of a window is where the maximum is NaN."""
    return ~(x < y)


def _count_ties(x: Array, y: Array, size: Pair, stride: Pair, padding: Padding) -> Array:
    """How many pixels of each window share its maximum: (N, OH, OW, C); NaN where the maximum is."""
    count = np.where(np.isnan(y), y, np.zeros_like(y))
    for at_x, at_y in _windows(x, y, size, stride, padding):
        count[at_y] += _ties(x[at_x], y[at_y])
    return count


def _windows(x: Array, y: Array, size: Pair, stride: Pair, padding: Padding) -> Iterator[tuple[Part, Part]]:
    for _, _, at_x, at_y in taps(x.shape[1:3], y.shape[1:3], size, stride, padding, (1, 1)):
        yield at_x, at_y


def _output_shape(x: Array, size: Pair, stride: Pair, padding: Padding) -> tuple[int, ...]:
    return (x.shape[0], *output_size(x.shape[1:3], size, stride, padding, (1, 1)), x.shape[3])
