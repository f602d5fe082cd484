"""Convolution as implicit matrix products on the register tiles of tile.py: float32, channels last.

    y[n, i, j, :] = b + Σ over taps of source[n, row, column, :] · weights[tap]                 conv, conv_input
    w[a, b, c, :] = Σ over pixels of x[n, i·s + a·d - p, j·s + b·d - p, c] · g[n, i, j, :]       conv_weight

No column matrix, no multiplication by padding. The pixels of y fall into classes with the same taps inside the image:
the interior, each border, each corner, and for `conv_input` with stride s each residue modulo s, whose taps stand side
by side once the weights are reordered, so that a transposed convolution multiplies no zeros. The rows of a product are
the pixels of one class, of all images, and its inner sum runs over taps and channels where they lie in memory.

Blocking: the weights are packed once into panels of COLUMNS columns. A task is _ROWS_AT_ONCE pixels of a class, and up
to 16 times as many where the inner sum is short and they fill at most 130 kB. For about _DEPTH of the inner sum at a
time, their part of the source (at most 300 kB on AVX2, less where windows overlap) stays in the second-level cache
while panel after panel passes, each for 16 tiles: a row of a panel, 64 bytes, comes in for 192 multiply-adds of
vectors, and the sums leave their registers once in _DEPTH steps. They start from the bias, which costs nothing.

Where the channels are many, winograd.py computes what it can with fewer multiplications, and leaves areas of y to this.

Up to four columns are dot products instead, whose vectors run along the inner sum: nothing is computed for columns
that are not there. Depthwise convolution has its own tile: a multiply-add for each number read, bound by memory, which
it asks for _AHEAD of time: 3.8 ms instead of 5.2 for 64 images of 28 x 28 x 128 on two cores.

conv_weight: a task takes some images, a few at a time. Its rows are the channels of one tap or, where those are few,
all taps and channels of a class; the inner sum runs over pixels, up to 128 or 512 at a time, so that both factors come
from the first two caches. Both are read where they lie: a table says where each pixel and its gradient are. A panel
that is not full is read on into the next pixel's gradient, whose columns are not kept; at the end of g, a copy is read.
Partial sums of fixed parts of the images are added up at the end in order.

Counts: 2·KH·KW·C/groups·O operations an output pixel; x, y and g come from memory about once.
"""

import math
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from ..reference.conv import Array, Padding, Pair, output_size
from ..reference.conv import conv as reference_conv
from ..reference.conv import conv_input as reference_conv_input
from ..reference.conv import conv_weight as reference_conv_weight
from . import bfloat16, precision, winograd
from .compiling import compiled, plain
from .linear import product
from .memory import empty
from .threads import share
from .tile import (
    CHANNEL_ROWS,
    CHANNELS,
    CHANNELS_FULL,
    CHANNELS_PART,
    COLUMNS,
    COPY,
    COPY_HALF,
    DISABLE_JIT,
    DOT_ONE,
    DOT_ROWS,
    LANES,
    ROWS,
    SPARE,
    TILE,
    TURN,
    call,
    keep,
    multiply,
    padded_width,
    panel,
    panel_width,
    tile_of_pairs,
)

Ints = tuple[int, ...]

_ROWS_AT_ONCE = 16 * ROWS
_DEPTH = 768
_BLOCK = 1 << 21  # multiply-adds that are worth a thread: 45 µs
_ELEMENTS = 1 << 14  # of a sum of parts
_OUTER, _DOT, _CHANNELS = range(3)
_AHEAD = 24  # pixels; no matter how many exactly, from 12 on


def conv(
    x: Array, w: Array, b: Array | None = None, *, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """As the reference, which serves other dtypes."""
    if not _fits(x, w):
        return reference_conv(x, w, b, stride=stride, padding=padding, dilation=dilation, groups=groups)
    x, w = plain(x), plain(w)
    out = output_size(x.shape[1:3], w.shape[:2], stride, padding, dilation)
    y = empty((x.shape[0], *out, w.shape[3]))
    start = np.zeros(w.shape[3], np.float32) if b is None else plain(b)
    tile = TILE
    if precision.bfloat16 and w.shape[2] % 2 == 0:
        x, tile = bfloat16.neighbours(x), tile_of_pairs()
        w = bfloat16.rows(w.reshape(-1, w.shape[3])).reshape(*w.shape[:2], -1, w.shape[3])
    saving = _saving(x.shape, y.shape, w.shape, stride, padding, dilation, groups) if tile == TILE else None
    left = saving.left if saving and winograd.conv(x, w, start, y, saving, _BLOCK) else _all(y)
    if left:
        plan = _gather_plan(x.shape, w.shape, y.shape, stride, padding, dilation, groups, False, left)
        _apply(x, w, start, y, plan, tile)
    return y


def conv_input(
    g: Array, w: Array, b: Array | None = None, *, size: Pair, stride: Pair, padding: Padding, dilation: Pair,
    groups: int,
) -> Array:  # fmt: skip
    """As the reference, likewise."""
    if not _fits(g, w):
        return reference_conv_input(g, w, b, size=size, stride=stride, padding=padding, dilation=dilation,
                                    groups=groups)  # fmt: skip
    g, w = plain(g), plain(w)
    x = empty((g.shape[0], *size, w.shape[2] * groups))
    start = np.zeros(x.shape[3], np.float32) if b is None else plain(b)
    tile = TILE
    if precision.bfloat16 and w.shape[3] // groups % 2 == 0:
        g, w, tile = bfloat16.neighbours(g), bfloat16.neighbours(w), tile_of_pairs()
    saving = _saving(x.shape, g.shape, w.shape, stride, padding, dilation, groups, True) if tile == TILE else None
    left = saving.left if saving and winograd.conv(g, w, start, x, saving, _BLOCK) else _all(x)
    if left:
        plan = _gather_plan(g.shape, w.shape, x.shape, stride, padding, dilation, groups, True, left)
        _apply(g, w, start, x, plan, tile)
    return x


def conv_weight(
    x: Array, g: Array, *, size: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """As the reference, likewise."""
    if not _fits(x, g):
        return reference_conv_weight(x, g, size=size, stride=stride, padding=padding, dilation=dilation,
                                     groups=groups)  # fmt: skip
    x, g = plain(x), plain(g)
    shape = (*size, x.shape[3] // groups, g.shape[3])
    if (*size, *stride, groups) == (1, 1, 1, 1, 1) and not any(map(any, padding)):  # a product as it stands
        return product(x.reshape(-1, x.shape[3]).T, g.reshape(-1, g.shape[3])).reshape(shape)
    tile = TILE
    if precision.bfloat16 and len(x) > 1:  # two images side by side
        x, g = (bfloat16.rows(a.reshape(len(a), -1)).reshape(-1, *a.shape[1:]) for a in (x, g))
        tile = tile_of_pairs()
    saving = _saving(x.shape, g.shape, shape, stride, padding, dilation, groups) if tile == TILE else None
    saved, left = None, _all(g)
    if saving and winograd.conv_weight(x, g, made := empty(shape), saving, _BLOCK):
        saved, left = made, saving.left
    if saved is not None and not left:
        return saved
    by_channel, geometry, jobs, tasks, parts, work = _weight_plan(x.shape, g.shape, shape, stride, padding, dilation,
                                                                  groups, left)  # fmt: skip
    sums = empty((parts, math.prod(shape)))
    kernel = _weight_channels if by_channel else _weight
    share(kernel, len(tasks), _worth(len(tasks), work), x.reshape(-1), g.reshape(-1), sums.reshape(-1), geometry, jobs,
          tasks, tile)  # fmt: skip
    if parts == 1 and saved is None:
        return sums.reshape(shape)
    total = empty(shape) if saved is None else saved
    share(_total, total.size, _ELEMENTS, sums, total.reshape(-1), saved is not None)
    return total


@compiled
def _total(first: int, end: int, sums: Array, total: Array, add: bool) -> None:
    total = total[first:end]
    if not add:
        total[:] = 0
    for part in range(len(sums)):
        row = sums[part, first:end]
        for j in range(len(total)):
            total[j] += row[j]


def _all(y: Array) -> tuple[winograd.Area, ...]:
    return ((0, y.shape[1], 0, y.shape[2]),) if y.size else ()


def _fits(*arrays: Array) -> bool:
    """float32, not empty, and compiled: the tiles are no Python."""
    return all(a.dtype == np.float32 and a.size for a in arrays) and not DISABLE_JIT


@lru_cache(128)
def _gather_plan(source: Any, w: Any, y: Any, stride: Pair, padding: Padding, dilation: Pair, groups: int,
                 transposed: bool, areas: tuple[winograd.Area, ...]) -> Any:  # fmt: skip
    """What the compiled code needs to know of a geometry and some areas of y. Shapes are those of the arrays."""
    axes = [
        (_spreading if transposed else _reading)(n, m, k, s, p[0], d)
        for n, m, k, s, p, d in zip(source[1:3], y[1:3], w[:2], stride, padding, dilation, strict=True)
    ]
    (down, down_order, step_down), (across, across_order, step_across) = axes
    order = (down_order[:, None] * w[1] + across_order).ravel()
    rows, row_classes = _classes(down, [area[:2] for area in areas])
    columns, column_classes = _classes(across, [area[2:] for area in areas])
    tasks, work = [], 0
    inner, width = source[3] // groups, y[3] // groups
    kind = _DOT if width <= len(DOT_ROWS) else _OUTER
    if inner == width == 1 and groups >= LANES:
        kind = _CHANNELS
    kilobytes = 4 * _ROWS_AT_ONCE * (source[3] + y[3]) // 1000 + 1  # of source and y
    rows_at_once = _ROWS_AT_ONCE * max(1, min(16, _DEPTH // (order.size * inner), 130 // kilobytes))
    for d, (*_, taps_down, tall, row_area) in enumerate(row_classes):
        for a, (*_, taps_across, wide, column_area) in enumerate(column_classes):
            if row_area == column_area:
                first = np.arange(0, y[0] * tall * wide, rows_at_once)
                count = np.minimum(y[0] * tall * wide - first, rows_at_once)
                after = first * 1000 // (y[0] * tall * wide)  # thousandths of the images before it
                work += y[0] * tall * wide * taps_down * taps_across
                tasks.append(np.stack([np.full_like(first, d), np.full_like(first, a), first, count, after], axis=1))
    panels = width // COLUMNS * COLUMNS
    padded = width if kind != _OUTER else panels + padded_width(width - panels)
    geometry = _integers(kind, groups, inner, width, *source[1:], *y[1:], *w[:2], step_down, step_across, transposed,
                         padded)  # fmt: skip
    dealt = np.concatenate(tasks)  # in the order of the images, so that neighbours meet in the caches
    dealt = dealt[np.argsort(dealt[:, 4], kind="stable")]
    packing = order.size * (1 if kind == _CHANNELS else groups * (width if kind == _DOT else -(-width // COLUMNS)))
    return (geometry, order, packing, groups * inner * padded * order.size, dealt,
            (rows, row_classes, columns, column_classes), int(work * inner * y[3]))  # fmt: skip


@lru_cache(128)
def _saving(x: Any, y: Any, w: Any, stride: Pair, padding: Padding, dilation: Pair, groups: int,
            transposed: bool = False) -> winograd.Plan | None:  # fmt: skip
    """How winograd.py computes it, where that pays. x and y are those of the convolution, also of its transpose."""
    source, made = (y, x) if transposed else (x, y)
    if dilation != (1, 1) or groups > 1 or not math.prod(made):
        return None
    taps = [(_spreading if transposed else _reading)(n, m, k, s, p[0], 1)[0][:, 2]
            for n, m, k, s, p in zip(source[1:3], made[1:3], w[:2], stride, padding, strict=True)]
    return winograd.plan(source, w, made, stride, padding, (taps[0], taps[1]), transposed)


def _apply(source: Array, w: Array, start: Array, y: Array, plan: Any, tile: int) -> None:
    geometry, order, packing, size, tasks, tables, work = plan
    packed = empty((size,))
    share(_pack, packing, _worth(packing, 64 * size), w.reshape(-1), packed, geometry, order, tile)
    share(_gather, len(tasks), _worth(len(tasks), work), source, packed, start, y.reshape(-1), geometry, *tables,
          tasks, tile)  # fmt: skip


def _integers(*values: Any) -> Ints:
    """What the compiled code takes apart by position: of an array, it would check each of them."""
    return tuple(map(int, values))


def _worth(tasks: int, work: int) -> int:
    """How many of the tasks, which are `work` multiply-adds together, are worth a thread."""
    return max(1, tasks * _BLOCK // max(1, work))


def _reading(size: int, out: int, kernel: int, stride: int, before: int, dilation: int) -> tuple[Array, Array, int]:
    """Pixel i reads i·stride + k·dilation - before for its taps k.

    (out, 3) of first pixel, first tap, taps; the order of the taps; the step in pixels from one tap to the next.
    """
    start = np.arange(out) * stride - before
    first = np.maximum(0, -(start // dilation))  # the smallest tap inside
    end = np.minimum(kernel, (size - 1 - start) // dilation + 1)
    return (np.stack([start + first * dilation, first, np.maximum(0, end - first)], axis=1), np.arange(kernel),
            dilation)  # fmt: skip


def _spreading(size: int, out: int, kernel: int, stride: int, before: int, dilation: int) -> tuple[Array, Array, int]:
    """The taps k that reach pixel i read pixel (i + before - k·dilation)/stride of g, where that is whole and inside.

    They are every `period`-th tap. Sorted by residue and descending within it, a pixel's taps stand together and read
    pixels `step` apart. As `_reading`, with places in that order for taps.
    """
    common = math.gcd(stride, dilation)
    period, step = stride // common, dilation // common
    order = sorted(range(kernel), key=lambda k: (k % period, -k))
    plan = np.zeros((out, 3), np.int64)
    for i in range(out):
        places = [q for q, k in enumerate(order) if (i + before - k * dilation) % stride == 0
                  and 0 <= (i + before - k * dilation) // stride < size]  # fmt: skip
        if places:
            plan[i] = (i + before - order[places[0]] * dilation) // stride, places[0], len(places)
    return plan, np.array(order), step


def _classes(plan: Array, areas: list[tuple[int, int]]) -> tuple[Array, Array]:
    """The pixels of y and of the source, class after class; each class's start there, tap, taps, size, area."""
    pixels, classes, before = [], [], 0
    for area, (first, end) in enumerate(areas):
        found, which, count = np.unique(plan[first:end, 1:], axis=0, return_inverse=True, return_counts=True)
        order = first + np.argsort(which.ravel(), kind="stable")
        pixels.append(np.stack([order, plan[order, 0]], axis=1))
        classes.append(np.column_stack([before + np.cumsum(count) - count, found, count, np.full_like(count, area)]))
        before += len(order)
    return np.concatenate(pixels), np.concatenate(classes)


@lru_cache(128)
def _weight_plan(x: Any, g: Any, w: Any, stride: Pair, padding: Padding, dilation: Pair, groups: int,
                 areas: tuple[winograd.Area, ...]) -> Any:  # fmt: skip
    """Of some areas of g. Jobs: pixels i0 to i1, j0 to j1 of g, taps a0 to a1, b0 to b1.

    Tasks: a part's images, its number, columns.
    """
    (top, _), (left, _) = padding
    inner, width = w[2], g[3] // groups
    axes = list(zip(x[1:3], g[1:3], w[:2], stride, (top, left), dilation, strict=True))
    by_channel = inner == width == 1 and groups >= LANES
    if inner >= ROWS:  # the channels of a tap fill the tile
        pairs = [[(i, i + n, k, k + 1) for k, (i, n) in enumerate(_pairing(*axis)) if n] for axis in axes]
    else:
        pairs = [[(np.min(rows[s : s + n, 0]), np.max(rows[s : s + n, 0]) + 1, tap, tap + taps)
                  for s, tap, taps, n, _ in classes if taps]
                 for rows, classes in (_classes(_reading(*axis)[0], [(0, axis[1])]) for axis in axes)]  # fmt: skip
    jobs = [(max(i0, y0), min(i1, y1), max(j0, x0), min(j1, x1), a0, a1, b0, b1) for y0, y1, x0, x1 in areas
            for i0, i1, a0, a1 in pairs[0] for j0, j1, b0, b1 in pairs[1]
            if max(i0, y0) < min(i1, y1) and max(j0, x0) < min(j1, x1)]  # fmt: skip
    work = x[0] * inner * g[3] * sum((i1 - i0) * (j1 - j0) * (a1 - a0) * (b1 - b0)
                                     for i0, i1, j0, j1, a0, a1, b0, b1 in jobs)  # fmt: skip
    pixels = sum((i1 - i0) * (j1 - j0) for i0, i1, j0, j1 in areas)
    if by_channel:
        some = 1
    else:  # images at a time: 400 kB of them, and more where their pixels are few
        some = max(1, min(x[0], max(100_000 // (math.prod(x[1:]) + math.prod(g[1:])), -(-512 // pixels))))
    blocks = -(-x[0] // some)
    parts = max(1, min(blocks, 16, (1 << 22) // math.prod(w)))
    panels = 1 if by_channel else -(-width // COLUMNS)
    shares = min(panels, -(-16 // parts))
    edges = [min(x[0], some * (blocks * p // parts)) for p in range(parts + 1)]
    cuts = [min(width, COLUMNS * (panels * q // shares)) for q in range(shares + 1)]
    if by_channel:
        cuts = [0, width]
    tasks = [(n0, n1, p, t0, t1) for p, (n0, n1) in enumerate(pairwise(edges))
             for t0, t1 in pairwise(cuts)]  # fmt: skip
    depth = 128 if inner >= ROWS else 512
    geometry = _integers(groups, inner, width, *x[1:], *g[1:], *w[:2], *stride, top, left, *dilation, some,
                         depth)  # fmt: skip
    return by_channel, geometry, np.array(jobs, np.int64).reshape(-1, 8), np.array(tasks), parts, work


def _pairing(size: int, out: int, kernel: int, stride: int, before: int, dilation: int) -> list[tuple[int, int]]:
    """The first pixel of y that tap k pairs with one of x inside, and how many there are."""
    offsets = [k * dilation - before for k in range(kernel)]
    firsts = [max(0, -(offset // stride)) for offset in offsets]
    return [(first, max(0, min(out, (size - 1 - offset) // stride + 1) - first))
            for first, offset in zip(firsts, offsets, strict=True)]  # fmt: skip


@compiled
def _pack(first: int, end: int, w: Array, packed: Array, geometry: Ints, order: Array, tile: int) -> None:
    """One tap of one panel: (groups, panels, KH·KW, K, width), or for the dots (groups, columns, KH·KW, K)."""
    kind, groups, inner, columns = geometry[:4]
    transposed, padded = geometry[14], geometry[15]
    taps = order.size
    for task in range(first, end):
        tap, panel = task % taps, task // taps
        source = order[tap] * (w.size // taps)
        if kind == _CHANNELS:
            for c in range(groups):
                packed[tap * groups + c] = w[source + c]
            continue
        if kind == _DOT:
            q, n = panel // columns, panel % columns
            for k in range(inner):
                place = (n * groups + q) * inner + k if transposed else (k * groups + q) * columns + n
                packed[(panel * taps + tap) * inner + k] = w[source + place]
            continue
        panels = (columns + COLUMNS - 1) // COLUMNS
        q, t = panel // panels, panel % panels * COLUMNS
        count = min(COLUMNS, columns - t)
        width = panel_width(count)
        target = (q * padded + t) * taps * inner + tap * inner * width
        if transposed:
            done = 0
            for n in range(count, width):
                for k in range(inner):
                    packed[target + k * width + n] = 0
            at = source + (t * groups + q) * inner
            if count == COLUMNS:
                done = inner - inner % LANES
                table = np.empty(COLUMNS, np.int64)
                for n in range(COLUMNS):
                    table[n] = n * groups * inner
                call(tile, (TURN, w.ctypes.data + 4 * at, table.ctypes.data, packed.ctypes.data + 4 * target, 0,
                            inner // LANES, 0, 0, COLUMNS // LANES, 0, width, 0))
                keep((table,))
            for n in range(count):
                for k in range(done, inner):
                    packed[target + k * width + n] = w[at + n * groups * inner + k]
        else:
            table = np.empty(inner, np.int64)
            for k in range(inner):
                table[k] = k * groups * columns
            call(tile, (COPY if width == COLUMNS else COPY_HALF, w.ctypes.data + 4 * (source + q * columns + t),
                        table.ctypes.data, packed.ctypes.data + 4 * target, 0, inner, 0, 0, 0, count, width, 0))
            keep((table,))


@compiled
def _gather(first: int, end: int, source: Array, packed: Array, bias: Array, y: Array, geometry: Ints, rows: Array,
            row_classes: Array, columns: Array, column_classes: Array, tasks: Array, tile: int) -> None:  # fmt: skip
    """A task is some pixels of one class."""
    kind, groups, inner, width, height_in, width_in, channels_in, height_out, width_out, channels_out = geometry[:10]
    kernel_across, step_down, step_across = geometry[11], geometry[12], geometry[13]
    for task in range(first, end):
        pixel, count = tasks[task, 2], tasks[task, 3]
        down, across = row_classes[tasks[task, 0]], column_classes[tasks[task, 1]]
        first_row, tap_down, taps_down, tall = down[0], down[1], down[2], down[3]
        first_column, tap_across, taps_across, wide = across[0], across[1], across[2], across[3]
        a_rows, c_rows = np.empty(count + SPARE, np.int64), np.empty(count + SPARE, np.int64)
        n, place = pixel // (tall * wide), pixel % (tall * wide)
        i, j, m = place // wide, place % wide, 0
        while m < count:  # row by row
            some = min(wide - j, count - m)
            a_row = (n * height_in + rows[first_row + i, 1]) * width_in * channels_in
            c_row = (n * height_out + rows[first_row + i, 0]) * width_out * channels_out
            for r in range(some):
                a_rows[m + r] = a_row + columns[first_column + j + r, 1] * channels_in
                c_rows[m + r] = c_row + columns[first_column + j + r, 0] * channels_out
            i, j, m = i + 1, 0, m + some
            if i == tall:
                n, i = n + 1, 0
        if taps_down * taps_across == 0:
            for m in range(count):
                for c in range(channels_out):
                    y[c_rows[m] + c] = bias[c]
            continue
        spare = np.empty(channels_out + CHANNELS, np.float32)
        for m in range(count, count + SPARE):
            a_rows[m], c_rows[m] = a_rows[0], (spare.ctypes.data - y.ctypes.data) // 4
        positions = geometry[10] * kernel_across * inner
        k2, k = taps_across, inner
        if step_across == 1 and inner == channels_in:  # neighbouring taps read one stretch of memory
            k2, k = 1, taps_across * inner
        steps = np.empty((taps_down * k2, 2), np.int64)
        unit = groups if kind == _CHANNELS else 1
        for i in range(taps_down):
            for j in range(k2):
                steps[i * k2 + j, 0] = (i * step_down * width_in + j * step_across) * channels_in
                steps[i * k2 + j, 1] = ((tap_down + i) * kernel_across + tap_across + j) * inner * unit
        if kind == _CHANNELS:
            for m in range(0, count, CHANNEL_ROWS):  # memory is walked in order
                t = 0
                while t < groups:
                    lanes = CHANNELS if groups - t >= CHANNELS else min(LANES, groups - t)
                    call(tile, (CHANNELS_FULL if lanes == CHANNELS else CHANNELS_PART, source.ctypes.data + 4 * t,
                                a_rows.ctypes.data + 8 * m, y.ctypes.data + 4 * t, c_rows.ctypes.data + 8 * m, 1,
                                packed.ctypes.data + 4 * t, steps.ctypes.data, len(steps), lanes,
                                2 * _AHEAD * channels_in, bias.ctypes.data + 4 * t))
                    t += lanes
            keep((a_rows, c_rows, steps, spare))
            continue
        for q in range(groups):
            a = source.ctypes.data + 4 * q * inner
            if kind == _DOT:
                tiles = (count + DOT_ROWS[width - 1] - 1) // DOT_ROWS[width - 1]
                call(tile, (DOT_ONE + width - 1, a, a_rows.ctypes.data, y.ctypes.data + 4 * q * width,
                            c_rows.ctypes.data, tiles, packed.ctypes.data + 4 * q * width * positions,
                            steps.ctypes.data, len(steps), k, positions, bias.ctypes.data + 4 * q * width))
                continue
            b = packed.ctypes.data + 4 * q * positions * geometry[15]
            at_once = len(steps) if len(steps) * k <= 3 * _DEPTH // 2 else max(1, _DEPTH // k)
            parts = (k + _DEPTH - 1) // _DEPTH
            stretch = (k + parts - 1) // parts
            for step in range(0, len(steps), at_once):
                now = min(at_once, len(steps) - step)
                for start in range(0, k, stretch):
                    multiply(a, a_rows, b, positions, steps[step:], now, start, y, q * width, c_rows, count, width,
                              min(stretch, k - start), 0 if step + start else bias.ctypes.data + 4 * q * width, tile)
        keep((a_rows, c_rows, steps, spare))


@compiled
def _weight(first: int, end: int, x: Array, g: Array, sums: Array, geometry: Ints, jobs: Array, tasks: Array,
            tile: int) -> None:  # fmt: skip
    """A task is images n0 to n1 and columns t0 to t1 of each group, into one part of the sums."""
    groups, inner, columns, height, width, channels_in, rows_out, columns_out, channels_out = geometry[:9]
    kernel_down, kernel_across, stride_down, stride_across, top, left, dilation_down, dilation_across = geometry[9:17]
    some, depth = geometry[17:]
    zero, pixels = np.int64(0), rows_out * columns_out  # a 0 as it stands would have `panel` compiled for it
    pitch = columns // COLUMNS * COLUMNS + panel_width(columns % COLUMNS)
    copies = pixels * some if columns % COLUMNS else 0
    packed, table = np.empty(groups * pitch * copies, np.float32), np.empty(copies, np.int64)
    a_rows, c_rows = np.empty(_ROWS_AT_ONCE + SPARE, np.int64), np.empty(_ROWS_AT_ONCE + SPARE, np.int64)
    spare, steps = np.empty(columns, np.float32), np.empty((depth, 2), np.int64)
    for pixel in range(len(table)):
        table[pixel] = pixel * channels_out
    for task in range(first, end):
        n0, n1, part, t0, t1 = tasks[task, 0], tasks[task, 1], tasks[task, 2], tasks[task, 3], tasks[task, 4]
        part *= kernel_down * kernel_across * inner * channels_out
        for r in range(kernel_down * kernel_across * inner * groups):
            row = part + r * columns
            sums[row + t0 : row + t1] = np.float32(0)
        for n in range(n0, n1, some):
            images = min(some, n1 - n)
            # A panel that is not full is read on into the next pixel; where g might end there, from a copy.
            copied = columns % COLUMNS and g.size - (n + images) * pixels * channels_out < COLUMNS
            unit, apart, panels = channels_out, columns, g.ctypes.data + 4 * n * pixels * channels_out
            if copied:
                for q in range(groups):
                    for t in range(t0, t1, COLUMNS):
                        call(tile, (COPY if t + LANES < t1 else COPY_HALF, panels + 4 * (q * columns + t),
                                    table.ctypes.data, packed.ctypes.data + 4 * (q * pixels * images * pitch + t), 0,
                                    pixels * images, 0, 0, 0, min(COLUMNS, t1 - t), pitch, 0))
                unit, apart, panels = pitch, pixels * images * pitch, packed.ctypes.data
            for job in range(len(jobs)):
                i0, i1, j0, j1 = jobs[job, 0], jobs[job, 1], jobs[job, 2], jobs[job, 3]
                a0, a1, b0, b1 = jobs[job, 4], jobs[job, 5], jobs[job, 6], jobs[job, 7]
                image, i, j = 0, i0, j0
                while image < images:
                    count = 0
                    while count < depth and image < images:  # row by row
                        run = min(j1 - j, depth - count)
                        source = ((image * height + i * stride_down) * width + j * stride_across) * channels_in
                        pixel = (image * rows_out + i) * columns_out + j
                        for r in range(run):
                            steps[count + r, 0] = source + r * stride_across * channels_in
                            steps[count + r, 1] = (pixel + r) * unit
                        count, j = count + run, j + run
                        if j == j1:
                            i, j = i + 1, j0
                            if i == i1:
                                image, i = image + 1, i0
                    for q in range(groups):
                        m, left_over = 0, (a1 - a0) * (b1 - b0) * inner
                        for a in range(a0, a1):
                            for b in range(b0, b1):
                                row, column = n * height + a * dilation_down - top, b * dilation_across - left
                                start = (row * width + column) * channels_in + q * inner
                                target = part + (a * kernel_across + b) * inner * channels_out + q * columns + t0
                                for c in range(inner):
                                    a_rows[m] = start + c
                                    c_rows[m] = target + c * channels_out
                                    m, left_over = m + 1, left_over - 1
                                    if m < _ROWS_AT_ONCE and left_over:
                                        continue
                                    for r in range(m, m + SPARE):
                                        a_rows[r] = a_rows[0]
                                        c_rows[r] = (spare.ctypes.data - sums.ctypes.data) // 4
                                    for t in range(t0, t1, COLUMNS):
                                        panel(np.int64(x.ctypes.data), a_rows, panels + 4 * (q * apart + t), steps,
                                              count, sums.ctypes.data + 4 * (t - t0), c_rows, m, min(COLUMNS, t1 - t),
                                              zero, zero, tile)  # fmt: skip
                                    m = 0
        keep((packed, table, spare))


@compiled
def _weight_channels(first: int, end: int, x: Array, g: Array, sums: Array, geometry: Ints, jobs: Array,
                     tasks: Array, tile: int) -> None:  # fmt: skip
    """Depthwise: the taps are the rows, one image after the other adds its share."""
    height, width, channels_in, rows_out, columns_out = geometry[3:8]
    kernel_down, kernel_across, stride_down, stride_across, top, left, dilation_down, dilation_across = geometry[9:17]
    sums_apart = kernel_down * kernel_across * channels_in
    a_rows, c_rows = np.empty(CHANNEL_ROWS, np.int64), np.empty(CHANNEL_ROWS, np.int64)
    spare = np.empty(channels_in + CHANNELS, np.float32)
    for task in range(first, end):
        for c in range(sums_apart):
            sums[tasks[task, 2] * sums_apart + c] = 0
        for n in range(tasks[task, 0], tasks[task, 1]):
            for job in range(len(jobs)):
                i0, i1, j0, j1 = jobs[job, 0], jobs[job, 1], jobs[job, 2], jobs[job, 3]
                a0, a1, b0, b1 = jobs[job, 4], jobs[job, 5], jobs[job, 6], jobs[job, 7]
                steps = np.empty(((i1 - i0) * (j1 - j0), 2), np.int64)
                for i in range(i1 - i0):
                    for j in range(j1 - j0):
                        steps[i * (j1 - j0) + j, 0] = (i * stride_down * width + j * stride_across) * channels_in
                        steps[i * (j1 - j0) + j, 1] = (((n * rows_out + i0 + i) * columns_out) + j0 + j) * channels_in
                m, left_over = 0, (a1 - a0) * (b1 - b0)
                for a in range(a0, a1):
                    row = i0 * stride_down + a * dilation_down - top
                    for b in range(b0, b1):
                        column = j0 * stride_across + b * dilation_across - left
                        a_rows[m] = ((n * height + row) * width + column) * channels_in
                        c_rows[m] = tasks[task, 2] * sums_apart + (a * kernel_across + b) * channels_in
                        m, left_over = m + 1, left_over - 1
                        if m < CHANNEL_ROWS and left_over:
                            continue
                        for r in range(m, CHANNEL_ROWS):
                            a_rows[r], c_rows[r] = a_rows[0], (spare.ctypes.data - sums.ctypes.data) // 4
                        t = 0
                        while t < channels_in:
                            lanes = CHANNELS if channels_in - t >= CHANNELS else min(LANES, channels_in - t)
                            call(tile, (CHANNELS_FULL if lanes == CHANNELS else CHANNELS_PART, x.ctypes.data + 4 * t,
                                        a_rows.ctypes.data, sums.ctypes.data + 4 * t, c_rows.ctypes.data, 1,
                                        g.ctypes.data + 4 * t, steps.ctypes.data, len(steps), lanes, 1, 0))
                            t += lanes
                        m = 0
                keep((a_rows, c_rows, steps, spare))
