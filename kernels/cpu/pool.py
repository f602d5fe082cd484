"""Pooling by rows, channels last: first down over the rows of a window, then across its pixels.

    y[n, i, j, :] = max or sum of x[n, i·s - p + a, j·s - p + b, :] over the taps (a, b) inside the image

Down, a row is W·C numbers side by side, whole vectors for any number of channels. Across, vectors are as long as the
channels are many; with fewer than `_FEW` a table says where each number of a row comes from, since a loop over 6 of
them costs as much as one over 30. With stride 1 neighbouring windows are one long vector.

The gradient of max goes the same way back: y is spread over the pixels of its windows; down, the pixels that equal it
are counted; across, counts become shares g / count, which are spread and added where the pixel is the maximum.
Windows that overlap across take turns: window j belongs to class j mod ⌈size/stride⌉, and a class has no overlaps.
Where none overlap, all is done window by window instead.

Bytes: forward x and y once, backward x, y, g and gx once; what is between are rows in the first cache. A task is a row
of y forward, an image backward: each sum has its order whatever the number of threads.
"""

from functools import lru_cache

import numpy as np

from ..reference import pool as reference
from ..reference.conv import Array, Padding, Pair, output_size
from .compiling import compiled, plain
from .memory import empty
from .threads import share

_BLOCK = 1 << 15  # elements read that are worth a thread
_FEW = 32  # channels
_APART = 16  # channels that are worth it to go over a window's pixels one by one


def max_pool(x: Array, *, size: Pair, stride: Pair, padding: Padding) -> Array:
    """As the reference, which serves arrays that are not floating."""
    if x.dtype.kind != "f":
        return reference.max_pool(x, size=size, stride=stride, padding=padding)
    return _pool(x, size, stride, padding, True)


def sum_pool(x: Array, *, size: Pair, stride: Pair, padding: Padding) -> Array:
    """As the reference, likewise, to the rounding of sums."""
    if x.dtype.kind != "f":
        return reference.sum_pool(x, size=size, stride=stride, padding=padding)
    return _pool(x, size, stride, padding, False)


def max_pool_input(g: Array, x: Array, y: Array, *, size: Pair, stride: Pair, padding: Padding) -> Array:
    """As the reference, to the rounding of sums where windows overlap."""
    gx = empty(x.shape, x.dtype)
    apart = size[0] <= stride[0] and size[1] <= stride[1] and x.shape[3] >= _APART
    if apart or x.shape[3] < _FEW:
        kernel = _max_apart if apart else _max_windows
        share(kernel, x.shape[0], _images(x), plain(g), plain(x), plain(y), gx, *size, *stride, padding[0][0],
              padding[1][0])  # fmt: skip
        return gx
    at, run, spread = _tables(x.shape[2:], y.shape[2], size[1], stride[1], padding[1])
    share(_max_images, x.shape[0], _images(x), plain(g), plain(x), plain(y), gx, at, run, spread, *size, stride[0],
          padding[0][0], *padding[1])  # fmt: skip
    return gx


def sum_pool_input(g: Array, *, size_in: Pair, size: Pair, stride: Pair, padding: Padding) -> Array:
    """As the reference, likewise."""
    if g.dtype.kind != "f":
        return reference.sum_pool_input(g, size_in=size_in, size=size, stride=stride, padding=padding)
    gx = empty((g.shape[0], *size_in, g.shape[3]), g.dtype)
    _, _, spread = _tables(gx.shape[2:], g.shape[2], size[1], stride[1], padding[1])
    share(_sum_images, g.shape[0], _images(gx), plain(g), gx, spread, size[0], stride[0], padding[0][0])
    return gx


def _pool(x: Array, size: Pair, stride: Pair, padding: Padding, largest: bool) -> Array:
    out = output_size(x.shape[1:3], size, stride, padding, (1, 1))
    y = empty((x.shape[0], *out, x.shape[3]), x.dtype)
    row = max(1, size[0] * x.shape[2] * x.shape[3])
    at, run, _ = _tables(x.shape[2:], out[1], size[1], stride[1], padding[1])
    share(_rows, x.shape[0] * out[0], -(-_BLOCK // row), plain(x), y, at, run, *size, stride[0], padding[0][0],
          *padding[1], largest)  # fmt: skip
    return y


def _images(x: Array) -> int:
    images: int = -(-_BLOCK * max(1, x.shape[0]) // max(1, x.size))
    return images


@lru_cache(64)
def _tables(pixels: Pair, out: int, size: int, stride: int, padding: Pair) -> tuple[Array, int, Array]:
    """For rows of (W, C): (at, run, spread).

    Stretch k of `run` numbers of a row of y begins, for its first tap, at number at[k] of the padded row of x. Of class
    l, the numbers at stretch k of a row of x belong to stretch spread[l, k] of a row of y, the last + 1 for no window.
    """
    width, channels = pixels
    windows = np.arange(out)
    place = np.arange(width) + padding[0]
    classes = -(-size // stride)
    lasts = place // stride - (place // stride - np.arange(classes)[:, None]) % classes  # (L, W)
    inside = (lasts >= 0) & (lasts < out) & (place < lasts * stride + size)
    spread = np.where(inside, lasts, out)
    if channels >= _FEW:
        at, run = windows * stride * channels, channels
    else:
        each, run = np.arange(channels), 1
        at = (windows[:, None] * stride * channels + each).ravel()
        spread = (spread[..., None] * channels + each).reshape(classes, -1)
    return (at, run, spread) if stride > 1 else (np.zeros(1, np.int64), out * channels, spread)


@compiled
def _inside(at: int, length: int, size: int) -> tuple[int, int]:
    """The part of a window from `at` to at + length that is in the image."""
    return max(0, at), min(size, at + length)


@compiled
def _across(row: Array, at: Array, run: int, taps: int, apart: int, largest: bool, scratch: Array, y: Array) -> None:
    """y = max or sum over the taps of a padded row, `apart` numbers from each other."""
    if run > 1:
        for k in range(len(at)):
            _over(row, at[k], apart, taps, largest, scratch, y[k * run : (k + 1) * run])
    elif largest:
        for k in range(len(at)):
            best = row[at[k]]
            for tap in range(1, taps):
                v = row[at[k] + tap * apart]
                best = v if (v > best) | (v != v) else best  # a NaN that is there stays: nothing is above it
            y[k] = best
    else:
        for k in range(len(at)):
            total = row[at[k]]
            for tap in range(1, taps):
                total += row[at[k] + tap * apart]
            y[k] = total


@compiled
def _over(a: Array, start: int, apart: int, count: int, largest: bool, scratch: Array, y: Array) -> None:
    """y = max or sum over t < count of a[start + t·apart + k]

    Never max in place: LLVM would leave out the stores that change nothing, and do the rest one by one.
    """
    size = len(y)
    before = a[start : start + size]
    for t in range(1, count):
        new, to = a[start + t * apart : start + t * apart + size], scratch[t % 2, :size]
        to = y if t == count - 1 else to
        if largest:
            for k in range(size):
                m, v = before[k], new[k]
                to[k] = v if (v > m) | (v != v) else m
        else:
            for k in range(size):
                to[k] = before[k] + new[k]
        before = to
    if count == 1:
        for k in range(size):
            y[k] = before[k]
    elif count == 0:  # all in the padding
        for k in range(size):
            y[k] = -np.inf if largest else 0


@compiled
def _spread(y: Array, places: Array, run: int, row: Array) -> None:
    """Stretch k of the row ← stretch places[k] of y."""
    if run == 1:
        for k in range(len(places)):
            row[k] = y[places[k]]
    else:
        for k in range(len(places)):
            to, new = row[k * run : (k + 1) * run], y[places[k] * run : (places[k] + 1) * run]
            for c in range(run):
                to[c] = new[c]


@compiled
def _rows(first: int, end: int, x: Array, y: Array, at: Array, run: int, down: int, taps: int, stride: int, top: int,
          left: int, right: int, largest: bool) -> None:  # fmt: skip
    _, height, width, channels = x.shape
    numbers, out = x.reshape(-1), y.reshape(len(y) * y.shape[1], -1)
    line = width * channels
    padded = np.full((left + width + right) * channels, -np.inf if largest else 0, x.dtype)
    row = padded[left * channels : left * channels + line]
    scratch = np.empty((2, max(line, run)), x.dtype)
    for number in range(first, end):
        n, i = number // y.shape[1], number % y.shape[1]
        r0, r1 = _inside(i * stride - top, down, height)
        _over(numbers, (n * height + r0) * line, line, r1 - r0, largest, scratch, row)
        _across(padded, at, run, taps, channels, largest, scratch, out[number])


@compiled
def _max_images(first: int, end: int, g: Array, x: Array, y: Array, gx: Array, at: Array, run: int, spread: Array,
                down: int, taps: int, stride: int, top: int, left: int, right: int) -> None:  # fmt: skip
    count, height, width, channels = x.shape
    lines, to = x.reshape(count, height, width * channels), gx.reshape(count, height, width * channels)
    outs = y.reshape(count, y.shape[1], y.shape[2] * channels)
    cotangents = g.reshape(count, y.shape[1], y.shape[2] * channels)
    size, wide = outs.shape[2], width * channels
    best, shares = np.zeros(size + channels, x.dtype), np.zeros(size + channels, x.dtype)  # the last: no window
    near, part = np.empty(wide, x.dtype), np.empty(wide, x.dtype)
    padded = np.zeros((left + width + right) * channels, x.dtype)
    ties = padded[left * channels : left * channels + wide]
    scratch = np.empty((2, run), x.dtype)
    each = len(spread[0]) and wide // len(spread[0])
    zero, one = padded[0], padded[0] + np.ones(1, x.dtype)[0]  # as numbers of that type: 0 and 1 are 64 bits wide
    for n in range(first, end):
        to[n] = 0
        for i in range(y.shape[1]):
            r0, r1 = _inside(i * stride - top, down, height)
            out, cotangent = outs[n, i], cotangents[n, i]
            for k in range(size):
                best[k] = out[k]
            for places in spread:
                _spread(best, places, each, near)
                for k in range(wide):
                    ties[k] = 0
                for r in range(r0, r1):
                    row = lines[n, r]
                    for k in range(wide):
                        ties[k] += zero if row[k] < near[k] else one
                _across(padded, at, run, taps, channels, False, scratch, shares[:size])
                for k in range(size):
                    shares[k] = cotangent[k] / (shares[k] if out[k] == out[k] else out[k])  # NaN where the maximum is
                _spread(shares, places, each, part)
                for r in range(r0, r1):
                    row, sums = lines[n, r], to[n, r]
                    for k in range(wide):
                        sums[k] += zero if row[k] < near[k] else part[k]


@compiled
def _max_apart(first: int, end: int, g: Array, x: Array, y: Array, gx: Array, down: int, across: int, stride_down: int,
               stride_across: int, top: int, left: int) -> None:  # fmt: skip
    """Of windows that do not overlap, one after the other: each number of x is read while it is in the first cache."""
    _, height, width, channels = x.shape
    pixels, best, cotangents, to = x.reshape(-1), y.reshape(-1), g.reshape(-1), gx.reshape(-1)
    ties, zero = np.zeros(channels, x.dtype), np.zeros(1, x.dtype)[0]
    one = zero + np.ones(1, x.dtype)[0]
    for n in range(first, end):
        gx[n] = 0
        for i in range(y.shape[1]):
            r0, r1 = _inside(i * stride_down - top, down, height)
            for j in range(y.shape[2]):
                c0, c1 = _inside(j * stride_across - left, across, width)
                window = ((n * y.shape[1] + i) * y.shape[2] + j) * channels
                largest, cotangent = best[window : window + channels], cotangents[window : window + channels]
                for c in range(channels):
                    ties[c] = zero
                for r in range(r0, r1):
                    for column in range(c0, c1):
                        at = ((n * height + r) * width + column) * channels
                        pixel = pixels[at : at + channels]
                        for c in range(channels):
                            ties[c] += zero if pixel[c] < largest[c] else one
                for c in range(channels):
                    ties[c] = cotangent[c] / (ties[c] if largest[c] == largest[c] else largest[c])
                for r in range(r0, r1):
                    for column in range(c0, c1):
                        at = ((n * height + r) * width + column) * channels
                        pixel, part = pixels[at : at + channels], to[at : at + channels]
                        for c in range(channels):
                            part[c] = zero if pixel[c] < largest[c] else ties[c]


@compiled
def _max_windows(first: int, end: int, g: Array, x: Array, y: Array, gx: Array, down: int, across: int,
                 stride_down: int, stride_across: int, top: int, left: int) -> None:  # fmt: skip
    """The same number by number, for few channels."""
    _, height, width, channels = x.shape
    pixels, best, cotangent, to = x.reshape(-1), y.reshape(-1), g.reshape(-1), gx.reshape(-1)
    line, zero = width * channels, np.zeros(1, x.dtype)[0]
    for n in range(first, end):
        gx[n] = 0
        for i in range(y.shape[1]):
            r0, r1 = _inside(i * stride_down - top, down, height)
            for j in range(y.shape[2]):
                c0, c1 = _inside(j * stride_across - left, across, width)
                window, begin = ((n * y.shape[1] + i) * y.shape[2] + j) * channels, (n * height * width + c0) * channels
                if (r1 - r0, c1 - c0) == (2, 2):  # by far the most, and faster without inner loops
                    a, b = begin + r0 * line, begin + r0 * line + line
                    for c in range(channels):
                        largest = best[window + c]
                        less_a, less_b = pixels[a] < largest, pixels[a + channels] < largest
                        less_c, less_d = pixels[b] < largest, pixels[b + channels] < largest
                        ties = 4 - less_a - less_b - less_c - less_d
                        part = cotangent[window + c] / x.dtype.type(ties) if largest == largest else largest
                        to[a] += zero if less_a else part
                        to[a + channels] += zero if less_b else part
                        to[b] += zero if less_c else part
                        to[b + channels] += zero if less_d else part
                        a, b = a + 1, b + 1
                    continue
                for c in range(channels):
                    largest, ties = best[window + c], 0
                    for r in range(r0, r1):
                        at = begin + r * line + c
                        for _ in range(c0, c1):
                            ties += 0 if pixels[at] < largest else 1
                            at += channels
                    part = cotangent[window + c] / x.dtype.type(ties) if largest == largest else largest
                    for r in range(r0, r1):
                        at = begin + r * line + c
                        for _ in range(c0, c1):
                            to[at] += zero if pixels[at] < largest else part
                            at += channels


@compiled
def _sum_images(first: int, end: int, g: Array, gx: Array, spread: Array, down: int, stride: int, top: int) -> None:
    count, height, width, channels = gx.shape
    to, outs = gx.reshape(count, height, width * channels), g.reshape(count, g.shape[1], g.shape[2] * channels)
    size, wide = outs.shape[2], width * channels
    source, part = np.zeros(size + channels, g.dtype), np.empty(wide, g.dtype)  # the last of the first: no window
    each = len(spread[0]) and wide // len(spread[0])
    for n in range(first, end):
        to[n] = 0
        for i in range(g.shape[1]):
            r0, r1 = _inside(i * stride - top, down, height)
            out = outs[n, i]
            for k in range(size):
                source[k] = out[k]
            for places in spread:
                _spread(source, places, each, part)
                for r in range(r0, r1):
                    sums = to[n, r]
                    for k in range(wide):
                        sums[k] += part[k]
