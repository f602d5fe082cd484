"""Convolution as implicit matrix products on the register tile of tile.py: float32, channels last.

All rows of a tile have the same taps inside the image: they are neighbouring pixels away from the border, or one pixel
of many images. What lies in the padding is never multiplied. The sum runs over the taps and channels where they lie in
memory. `conv` and `conv_input` are both

    y[n, i, j, :] = Σ over taps of source[n, row, column, :] · weights[tap]

with another plan, worked out here for each axis: where the first tap of pixel i reads, how many taps there are, and
which is the first. For `conv_input` with stride s the taps of pixel i are those of its residue modulo s: a transposed
convolution multiplies no zeros. `conv_weight` sums over the pixels instead, tap by tap, with channels as rows.

Bytes: the weights are packed once, in columns of the tile's width, and a panel of them (KH·KW·C·128 bytes) stays in the
second-level cache while each pixel's tile streams it at 128 bytes per 24 vector multiply-adds.
"""

import math
from typing import Any

import numba
import numpy as np

from ..reference.conv import Array, Padding, Pair, output_size
from ..reference.conv import conv as reference_conv
from ..reference.conv import conv_input as reference_conv_input
from ..reference.conv import conv_weight as reference_conv_weight
from .threads import compiled, compiled_parallel, run
from .tile import COLUMNS, ROWS, narrow_four, narrow_full, narrow_one, wide_four, wide_full, wide_one

_NARROW = 4  # columns of the narrow tile, for images of few channels
_PARALLEL_FROM = 1 << 21  # multiply-adds: 40 µs on one core


def conv(x: Array, w: Array, *, stride: Pair, padding: Padding, dilation: Pair, groups: int) -> Array:
    """As the reference, which serves other dtypes and layouts, and batches too small to fill a tile."""
    if not _fits(x, w):
        return reference_conv(x, w, stride=stride, padding=padding, dilation=dilation, groups=groups)
    out = output_size(x.shape[1:3], w.shape[:2], stride, padding, dilation)
    y = np.empty((x.shape[0], *out, w.shape[3]), np.float32)
    plans = [
        _reading(n, m, k, s, p[0], d)
        for n, m, k, s, p, d in zip(x.shape[1:3], out, w.shape[:2], stride, padding, dilation, strict=True)
    ]
    _apply(x, w, y, plans, groups, (*dilation, 1, stride[1]), False)
    return y


def conv_input(
    g: Array, w: Array, *, size: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """As the reference, likewise."""
    if not _fits(g, w):
        return reference_conv_input(g, w, size=size, stride=stride, padding=padding, dilation=dilation,
                                    groups=groups)  # fmt: skip
    x = np.empty((g.shape[0], *size, w.shape[2] * groups), np.float32)
    plans, orders, steps = [], [], []
    for n, m, k, s, p, d in zip(g.shape[1:3], size, w.shape[:2], stride, padding, dilation, strict=True):
        plan, order, step = _spreading(n, m, k, s, p[0], d)
        plans.append(plan)
        orders.append(order)
        steps.append(step)
    _apply(g, w[np.ix_(*orders)], x, plans, groups, (*steps, stride[1], 1), True)
    return x


def conv_weight(
    x: Array, g: Array, *, size: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """As the reference, likewise."""
    if not _fits(x, g):
        return reference_conv_weight(x, g, size=size, stride=stride, padding=padding, dilation=dilation,
                                     groups=groups)  # fmt: skip
    w = np.empty((*size, x.shape[3] // groups, g.shape[3]), np.float32)
    plans = [
        _pairing(n, m, k, s, p[0], d)
        for n, m, k, s, p, d in zip(x.shape[1:3], g.shape[1:3], size, stride, padding, dilation, strict=True)
    ]
    work = g.size * w.size // max(1, g.shape[3])
    narrow = g.shape[3] // groups <= _NARROW
    run(_weight, _weight_parallel, work >= _PARALLEL_FROM, x, g, w, *plans, *stride, groups, narrow)
    return w


def _fits(*arrays: Array) -> bool:
    """float32 in C order, not empty, and enough images for the rows of a tile."""
    plain = all(a.dtype == np.float32 and a.flags.carray and a.size for a in arrays)
    return plain and arrays[0].shape[0] >= 4


def _reading(size: int, out: int, kernel: int, stride: int, before: int, dilation: int) -> Array:
    """Pixel i reads i·stride + k·dilation - before for its taps k: (out, 3) of first pixel, first tap, taps."""
    start = np.arange(out) * stride - before
    first = np.maximum(0, -(start // dilation))  # the smallest tap inside
    end = np.minimum(kernel, (size - 1 - start) // dilation + 1)
    return np.stack([start + first * dilation, first, np.maximum(0, end - first)], axis=1)


def _spreading(size: int, out: int, kernel: int, stride: int, before: int, dilation: int) -> tuple[Array, Array, int]:
    """The taps k that reach pixel i read pixel (i + before - k·dilation)/stride of g, where that is whole and inside.

    They are every `period`-th tap. Sorted by residue and descending within it, a pixel's taps stand together and read
    pixels `step` apart: (out, 3) of first pixel, first place in that order, taps; the order; the step.
    """
    common = math.gcd(stride, dilation)
    period, step = stride // common, dilation // common
    order = sorted(range(kernel), key=lambda k: (k % period, -k))
    place = {k: i for i, k in enumerate(order)}
    plan = np.zeros((out, 3), np.int64)
    for i in range(out):
        taps = [k for k in order if (i + before - k * dilation) % stride == 0
                and 0 <= (i + before - k * dilation) // stride < size]  # fmt: skip
        if taps:
            plan[i] = (i + before - taps[0] * dilation) // stride, place[taps[0]], len(taps)
    return plan, np.array(order), step


def _pairing(size: int, out: int, kernel: int, stride: int, before: int, dilation: int) -> Array:
    """Tap k pairs pixel i of y with i·stride + k·dilation - before of x: (kernel, 3) of first pixels of x, y, count."""
    start = np.arange(kernel) * dilation - before
    first = np.maximum(0, -(start // stride))
    end = np.minimum(out, (size - 1 - start) // stride + 1)
    return np.stack([start + first * stride, first, np.maximum(0, end - first)], axis=1)


def _in_groups(across: Array, period: int, between: int) -> tuple[Array, Array]:
    """Where ROWS pixels, `period` apart, have the same taps and read pixels `between` apart: (first ones, the rest)."""
    firsts: list[int] = []
    lone: list[int] = []
    for residue in range(period):
        pixels = list(range(residue, len(across), period))
        while pixels:
            some = across[pixels[:ROWS]]
            even = len(some) == ROWS and (some[:, 1:] == some[0, 1:]).all() and (np.diff(some[:, 0]) == between).all()
            (firsts if even else lone).append(pixels[0])
            del pixels[: ROWS if even else 1]
    return np.array(firsts, np.int64), np.array(lone, np.int64)


def _apply(x: Array, w: Array, y: Array, plans: Any, groups: int, how: Any, transposed: bool) -> None:
    """`how`: pixels from one tap to the next, down and across; columns of y with the same taps, of x between them."""
    columns = y.shape[3] // groups
    narrow = columns <= _NARROW
    width = _NARROW if narrow else COLUMNS
    inner = x.shape[3] // groups
    packed = np.empty((groups, -(-columns // width), w.shape[0], w.shape[1], inner, width), np.float32)
    work = y.size * w.shape[0] * w.shape[1] * inner
    run(_pack, _pack_parallel, w.size > 1 << 16, w, packed, columns, transposed)
    run(_gather, _gather_parallel, work >= _PARALLEL_FROM, x, packed, y, *plans, *_in_groups(plans[1], *how[2:]), how,
        columns, narrow)  # fmt: skip


@compiled
def _pack_tap(w: Array, packed: Array, columns: int, transposed: bool, a: int, b: int) -> None:
    groups, tiles, _, _, inner, width = packed.shape
    for q in range(groups):
        for t in range(tiles):
            for k in range(inner):
                for n in range(min(width, columns - t * width)):
                    c = t * width + n
                    packed[q, t, a, b, k, n] = w[a, b, c, q * inner + k] if transposed else w[a, b, k, q * columns + c]


@compiled
def _pack(w: Array, packed: Array, columns: int, transposed: bool) -> None:
    """(KH, KW, K, groups·columns) -> (groups, tiles, KH, KW, K, width); transposed from (KH, KW, columns, groups·K)."""
    for tap in range(w.shape[0] * w.shape[1]):
        _pack_tap(w, packed, columns, transposed, tap // w.shape[1], tap % w.shape[1])


@compiled_parallel
def _pack_parallel(w: Array, packed: Array, columns: int, transposed: bool) -> None:
    for tap in numba.prange(w.shape[0] * w.shape[1]):
        _pack_tap(w, packed, columns, transposed, tap // w.shape[1], tap % w.shape[1])


@compiled
def _tiles(rows: int, narrow: bool, a: int, am: int, a3: int, a2: int, b: int, b3: int, b2: int, b1: int, c: int,
           cm: int, columns: int, k3: int, k2: int, k: int) -> None:  # fmt: skip
    """The tile on any number of rows: as many full tiles as there are, then by four, then one by one."""
    m = 0
    while m < rows:
        now = ROWS if rows - m >= ROWS else 4 if rows - m >= 4 else 1
        a_m, c_m = a + 4 * m * am, c + 4 * m * cm
        if narrow:
            if now == ROWS:
                narrow_full(a_m, am, a3, a2, 1, b, b3, b2, b1, c_m, cm, columns, k3, k2, k, 0)
            elif now == 4:
                narrow_four(a_m, am, a3, a2, 1, b, b3, b2, b1, c_m, cm, columns, k3, k2, k, 0)
            else:
                narrow_one(a_m, am, a3, a2, 1, b, b3, b2, b1, c_m, cm, columns, k3, k2, k, 0)
        elif now == ROWS:
            wide_full(a_m, am, a3, a2, 1, b, b3, b2, b1, c_m, cm, columns, k3, k2, k, 0)
        elif now == 4:
            wide_four(a_m, am, a3, a2, 1, b, b3, b2, b1, c_m, cm, columns, k3, k2, k, 0)
        else:
            wide_one(a_m, am, a3, a2, 1, b, b3, b2, b1, c_m, cm, columns, k3, k2, k, 0)
        m += now


@compiled
def _gather_row(x: Array, packed: Array, y: Array, down: Array, across: Array, groups: Array, lone: Array, how: Any,
                columns: int, narrow: bool, panel: int, i: int) -> None:  # fmt: skip
    """Row i of y, all images, one panel of columns."""
    step_down, step_across, period, between = how
    images, height, width, channels = x.shape
    rows_out, columns_out, channels_out = y.shape[1:]
    tiles, kernel_down, kernel_across, inner, lanes = packed.shape[1:]
    group, tile = panel // tiles, panel % tiles
    first = group * columns + tile * lanes
    count = min(lanes, columns - tile * lanes)
    row, tap_down, taps_down = down[i]
    image, image_out = height * width * channels, rows_out * columns_out * channels_out
    a3, a2, b3, b2 = step_down * width * channels, step_across * channels, kernel_across * inner * lanes, inner * lanes
    for place in range(len(groups) + len(lone)):
        j = groups[place] if place < len(groups) else lone[place - len(groups)]
        column, tap_across, taps_across = across[j]
        if taps_down * taps_across == 0:
            for n in range(images):
                for m in range(ROWS if place < len(groups) else 1):
                    for c in range(count):
                        y[n, i, j + m * period, first + c] = 0
            continue
        a = x.ctypes.data + 4 * ((row * width + column) * channels + group * inner)
        b = packed.ctypes.data + 4 * ((panel * kernel_down + tap_down) * kernel_across + tap_across) * inner * lanes
        c = y.ctypes.data + 4 * ((i * columns_out + j) * channels_out + first)
        k2, k = taps_across, inner
        if step_across == 1 and inner == channels:  # neighbouring taps read one stretch of memory
            k2, k = 1, taps_across * inner
        if place < len(groups):
            for n in range(images):
                _tiles(ROWS, narrow, a + 4 * n * image, between * channels, a3, a2, b, b3, b2, lanes,
                       c + 4 * n * image_out, period * channels_out, count, taps_down, k2, k)
        else:
            _tiles(images, narrow, a, image, a3, a2, b, b3, b2, lanes, c, image_out, count, taps_down, k2, k)


@compiled
def _gather(x: Array, packed: Array, y: Array, down: Array, across: Array, groups: Array, lone: Array, how: Any,
            columns: int, narrow: bool) -> None:  # fmt: skip
    rows = y.shape[1]
    for task in range(packed.shape[0] * packed.shape[1] * rows):
        _gather_row(x, packed, y, down, across, groups, lone, how, columns, narrow, task // rows, task % rows)


@compiled_parallel
def _gather_parallel(x: Array, packed: Array, y: Array, down: Array, across: Array, groups: Array, lone: Array,
                     how: Any, columns: int, narrow: bool) -> None:  # fmt: skip
    rows = y.shape[1]
    for task in numba.prange(packed.shape[0] * packed.shape[1] * rows):
        _gather_row(x, packed, y, down, across, groups, lone, how, columns, narrow, task // rows, task % rows)


@compiled
def _weight_tap(x: Array, g: Array, w: Array, down: Array, across: Array, stride_down: int, stride_across: int,
                groups: int, narrow: bool, task: int) -> None:  # fmt: skip
    """One tap's gradient for one group: images outermost, so that one of them stays in the cache for all tiles."""
    images, height, width, channels = x.shape
    rows_out, columns_out, channels_out = g.shape[1:]
    inner, columns = w.shape[2], channels_out // groups
    group, tap = task % groups, task // groups
    a, b = tap // w.shape[1], tap % w.shape[1]
    row, row_out, rows = down[a]
    column, column_out, pixels = across[b]
    if rows * pixels == 0:
        for k in range(inner):
            for n in range(columns):
                w[a, b, k, group * columns + n] = 0
        return
    lanes = 4 if narrow else COLUMNS
    for n in range(images):
        source = ((n * height + row) * width + column) * channels + group * inner
        cotangent = ((n * rows_out + row_out) * columns_out + column_out) * channels_out + group * columns
        k = 0
        while k < inner:
            left = inner - k
            rows_now = ROWS if left >= ROWS else 4 if left >= 4 else 1
            pa = x.ctypes.data + 4 * (source + k)
            for t in range(0, columns, lanes):
                count = min(lanes, columns - t)
                pb = g.ctypes.data + 4 * (cotangent + t)
                pc = w.ctypes.data + 4 * (((a * w.shape[1] + b) * inner + k) * channels_out + group * columns + t)
                a2, a1 = stride_down * width * channels, stride_across * channels
                b2, b1 = columns_out * channels_out, channels_out
                if narrow:
                    if rows_now == ROWS:
                        narrow_full(pa, 1, 0, a2, a1, pb, 0, b2, b1, pc, channels_out, count, 1, rows, pixels, n)
                    elif rows_now == 4:
                        narrow_four(pa, 1, 0, a2, a1, pb, 0, b2, b1, pc, channels_out, count, 1, rows, pixels, n)
                    else:
                        narrow_one(pa, 1, 0, a2, a1, pb, 0, b2, b1, pc, channels_out, count, 1, rows, pixels, n)
                elif rows_now == ROWS:
                    wide_full(pa, 1, 0, a2, a1, pb, 0, b2, b1, pc, channels_out, count, 1, rows, pixels, n)
                elif rows_now == 4:
                    wide_four(pa, 1, 0, a2, a1, pb, 0, b2, b1, pc, channels_out, count, 1, rows, pixels, n)
                else:
                    wide_one(pa, 1, 0, a2, a1, pb, 0, b2, b1, pc, channels_out, count, 1, rows, pixels, n)
            k += rows_now


@compiled
def _weight(x: Array, g: Array, w: Array, down: Array, across: Array, stride_down: int, stride_across: int,
            groups: int, narrow: bool) -> None:  # fmt: skip
    for task in range(w.shape[0] * w.shape[1] * groups):
        _weight_tap(x, g, w, down, across, stride_down, stride_across, groups, narrow, task)


@compiled_parallel
def _weight_parallel(x: Array, g: Array, w: Array, down: Array, across: Array, stride_down: int, stride_across: int,
                     groups: int, narrow: bool) -> None:  # fmt: skip
    for task in numba.prange(w.shape[0] * w.shape[1] * groups):
        _weight_tap(x, g, w, down, across, stride_down, stride_across, groups, narrow, task)
