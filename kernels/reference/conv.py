"""Convolution, channels last, as one matrix product for each tap of the kernel.

    y[n, i, j, o] = Σ_{a,b,c} x[n, i·s + a·d - p, j·s + b·d - p, c] · w[a, b, c, o]      s stride, d dilation, p padding

Tap (a, b) meets each pixel of y at most once, so all three kernels walk the taps and multiply the pixels that tap
pairs up: no column matrix, no padded copy, and a pair that lies in the padding is never multiplied.
`stride` and `dilation` are (down, across), `padding` is ((top, bottom), (left, right)), all in pixels. Channel c of x
and channel o of y belong to the groups c // (C/groups) and o // (O/groups).
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

Array = Any
Pair = tuple[int, int]
Padding = tuple[Pair, Pair]
Part = tuple[slice, slice, slice]


def conv(
    x: Array, w: Array, b: Array | None = None, *, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """The formula above, plus a bias b (O,): (N, H, W, C) and (KH, KW, C/groups, O) -> (N, OH, OW, O).

    OH = (H + top + bottom - dilation·(KH - 1) - 1) // stride + 1, or 0 where that is negative.
    """
    out = output_size(x.shape[1:3], w.shape[:2], stride, padding, dilation)
    y = np.zeros_like(x, shape=(x.shape[0], *out, w.shape[3]), order="C")
    for i, j, at_x, at_y in taps(x.shape[1:3], out, w.shape[:2], stride, padding, dilation):
        y[at_y] += _join(_split(x[at_x], groups) @ _split(w[i, j], groups), y[at_y].shape)
    return y if b is None else y + b


def conv_input(
    g: Array, w: Array, b: Array | None = None, *, size: Pair, stride: Pair, padding: Padding, dilation: Pair,
    groups: int,
) -> Array:  # fmt: skip
    """The adjoint of `conv` in x, that is transposed convolution, plus b (C,): (N, OH, OW, O) -> (N, H, W, C)."""
    x = np.zeros_like(g, shape=(g.shape[0], *size, w.shape[2] * groups), order="C")
    for i, j, at_x, at_y in taps(size, g.shape[1:3], w.shape[:2], stride, padding, dilation):
        x[at_x] += _join(_split(g[at_y], groups) @ _split(w[i, j], groups).swapaxes(1, 2), x[at_x].shape)
    return x if b is None else x + b


def conv_weight(
    x: Array, g: Array, *, size: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """The adjoint of `conv` in w: (N, H, W, C) and (N, OH, OW, O) -> (KH, KW, C/groups, O), size (KH, KW)."""
    w = np.zeros_like(x, shape=(*size, x.shape[3] // groups, g.shape[3]), order="C")
    for a, b, at_x, at_y in taps(x.shape[1:3], g.shape[1:3], size, stride, padding, dilation):
        w[a, b] = _join(_split(x[at_x], groups).swapaxes(1, 2) @ _split(g[at_y], groups), w[a, b].shape)
    return w


def output_size(size: Pair, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Pair:
    """(OH, OW): how many windows fit into the padded image."""
    h, w = (
        max(0, (n + sum(p) - d * (k - 1) - 1) // s + 1)
        for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )
    return h, w


def taps(
    size: Pair, out: Pair, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair
) -> Iterator[tuple[int, int, Part, Part]]:
    """(a, b, part of x, part of y) for each tap: two views of one shape, whose pixels the tap pairs up."""
    rows, columns = (
        list(_taps_along(*axis)) for axis in zip(size, out, kernel, stride, padding, dilation, strict=True)
    )
    for a, rows_x, rows_y in rows:
        for b, columns_x, columns_y in columns:
            yield a, b, (slice(None), rows_x, columns_x), (slice(None), rows_y, columns_y)


def _taps_along(
    size: int, out: int, kernel: int, stride: int, padding: Pair, dilation: int
) -> Iterator[tuple[int, slice, slice]]:
    """As `taps`, along one axis: y's pixel i reads x's pixel i·stride + offset, where there is one."""
    for k in range(kernel):
        offset = k * dilation - padding[0]
        first = max(0, -(offset // stride))  # the smallest i with i·stride + offset >= 0
        end = min(out, (size - 1 - offset) // stride + 1)  # after the largest with i·stride + offset < size
        if first < end:
            yield k, slice(first * stride + offset, end * stride + offset, stride), slice(first, end)


def _split(a: Array, groups: int) -> Array:
    """The group first, then every position, then the channels of the group, ready for matmul."""
    a = a.reshape(math.prod(a.shape[:-1]), groups, a.shape[-1] // groups)  # (.., C) -> (P, G, C/G)
    return a.transpose(1, 0, 2)  # (G, P, C/G)


def _join(a: Array, shape: tuple[int, ...]) -> Array:
    """`_split` undone: (G, P, C/G) -> (.., C)."""
    return a.transpose(1, 0, 2).reshape(shape)
