"""Pooling in one pass over x, channels last: the channels of a pixel are the vector lanes.

    y[n, i, j, :] = max or sum of x[n, i·s - p + a, j·s - p + b, :] over the taps (a, b) inside the image

Bytes: forward x once and y once, where one NumPy pass a tap moves y as often; backward x, y and g once and the result
twice. A task is a row of y forward, where rows are written once, and an image backward, where windows may overlap:
each sum has its order whatever the number of threads.
"""

from typing import Any

import numpy as np

from ..reference import pool as reference
from ..reference.conv import Array, Padding, Pair, output_size
from .threads import compiled, plain, share

_BLOCK = 1 << 16  # elements read that are worth a thread


def max_pool(x: Array, *, size: Pair, stride: Pair, padding: Padding) -> Array:
    """As the reference, which serves arrays that are not floating."""
    if x.dtype.kind != "f":
        return reference.max_pool(x, size=size, stride=stride, padding=padding)
    return _pool(_max_rows, x, size, stride, padding)


def sum_pool(x: Array, *, size: Pair, stride: Pair, padding: Padding) -> Array:
    """As the reference, likewise."""
    if x.dtype.kind != "f":
        return reference.sum_pool(x, size=size, stride=stride, padding=padding)
    return _pool(_sum_rows, x, size, stride, padding)


def max_pool_input(g: Array, x: Array, y: Array, *, size: Pair, stride: Pair, padding: Padding) -> Array:
    """As the reference, to the rounding of sums where windows overlap."""
    gx = np.zeros_like(x, order="C")
    share(_max_images, x.shape[0], _images(x), plain(g), plain(x), plain(y), gx, np.array([*size, *stride]),
          padding[0][0], padding[1][0])  # fmt: skip
    return gx


def sum_pool_input(g: Array, *, size_in: Pair, size: Pair, stride: Pair, padding: Padding) -> Array:
    """As the reference, likewise."""
    if g.dtype.kind != "f":
        return reference.sum_pool_input(g, size_in=size_in, size=size, stride=stride, padding=padding)
    gx = np.zeros((g.shape[0], *size_in, g.shape[3]), g.dtype)
    share(_sum_images, g.shape[0], _images(gx), plain(g), gx, np.array([*size, *stride]), padding[0][0],
          padding[1][0])  # fmt: skip
    return gx


def _pool(kernel: Any, x: Array, size: Pair, stride: Pair, padding: Padding) -> Array:
    out = output_size(x.shape[1:3], size, stride, padding, (1, 1))
    y = np.empty((x.shape[0], *out, x.shape[3]), x.dtype)
    row = max(1, size[0] * size[1] * out[1] * x.shape[3])
    share(kernel, x.shape[0] * out[0], -(-_BLOCK // row), plain(x), y, np.array([*size, *stride]), padding[0][0],
          padding[1][0])  # fmt: skip
    return y


def _images(x: Array) -> int:
    images: int = -(-_BLOCK * max(1, x.shape[0]) // max(1, x.size))
    return images


@compiled
def _inside(at: int, length: int, size: int) -> tuple[int, int]:
    """The part of a window from `at` to at + length that is in the image."""
    return max(0, at), min(size, at + length)


@compiled
def _max_rows(first: int, end: int, x: Array, y: Array, how: Array, top: int, left: int) -> None:
    _, height, width, channels = x.shape
    for row in range(first, end):
        n, i = row // y.shape[1], row % y.shape[1]
        r0, r1 = _inside(i * how[2] - top, how[0], height)
        for j in range(y.shape[2]):
            q0, q1 = _inside(j * how[3] - left, how[1], width)
            best = y[n, i, j]
            best[:] = -np.inf
            for r in range(r0, r1):
                for q in range(q0, q1):
                    new = x[n, r, q]
                    for c in range(channels):
                        m, v = best[c], new[c]
                        best[c] = v if (v > m) | (v != v) else m  # a NaN that is there stays: nothing is above it


@compiled
def _sum_rows(first: int, end: int, x: Array, y: Array, how: Array, top: int, left: int) -> None:
    _, height, width, channels = x.shape
    for row in range(first, end):
        n, i = row // y.shape[1], row % y.shape[1]
        r0, r1 = _inside(i * how[2] - top, how[0], height)
        for j in range(y.shape[2]):
            q0, q1 = _inside(j * how[3] - left, how[1], width)
            total = y[n, i, j]
            total[:] = 0
            for r in range(r0, r1):
                for q in range(q0, q1):
                    new = x[n, r, q]
                    for c in range(channels):
                        total[c] += new[c]


@compiled
def _max_images(first: int, end: int, g: Array, x: Array, y: Array, gx: Array, how: Array, top: int,
                left: int) -> None:  # fmt: skip
    _, height, width, channels = x.shape
    share_of = np.empty(channels, g.dtype)  # of each tie: NaN where the maximum is
    for n in range(first, end):
        for i in range(y.shape[1]):
            r0, r1 = _inside(i * how[2] - top, how[0], height)
            for j in range(y.shape[2]):
                q0, q1 = _inside(j * how[3] - left, how[1], width)
                best, cotangent = y[n, i, j], g[n, i, j]
                for c in range(channels):
                    share_of[c] = best[c] * 0 if best[c] != best[c] else 0
                for r in range(r0, r1):
                    for q in range(q0, q1):
                        old = x[n, r, q]
                        for c in range(channels):
                            share_of[c] += 0 if old[c] < best[c] else 1
                for c in range(channels):
                    share_of[c] = cotangent[c] / share_of[c]
                for r in range(r0, r1):
                    for q in range(q0, q1):
                        old, to = x[n, r, q], gx[n, r, q]
                        for c in range(channels):
                            to[c] += 0 if old[c] < best[c] else share_of[c]


@compiled
def _sum_images(first: int, end: int, g: Array, gx: Array, how: Array, top: int, left: int) -> None:
    _, height, width, channels = gx.shape
    for n in range(first, end):
        for i in range(g.shape[1]):
            r0, r1 = _inside(i * how[2] - top, how[0], height)
            for j in range(g.shape[2]):
                q0, q1 = _inside(j * how[3] - left, how[1], width)
                cotangent = g[n, i, j]
                for r in range(r0, r1):
                    for q in range(q0, q1):
                        to = gx[n, r, q]
                        for c in range(channels):
                            to[c] += cotangent[c]
