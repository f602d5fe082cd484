"""Convolutions with fewer multiplications, by Winograd's forms F(2, r) of forms.py in both dimensions.

    Y = Aᵀ [Σ_c (G w Gᵀ) ⊙ (Bᵀ d B)] A + b            Lavin & Gray 2016, section 4.1
    ∂w = Gᵀ [Σ (Bᵀ d B) ⊙ (A ∂Y Aᵀ)] G                its adjoint: the sum runs over squares

Y is a square of pixels of y, d the window of x that it reads, w the kernel of channel c, ⊙ place by place. Along one
dimension r taps take r + 1 multiplications for two pixels instead of 2r. With stride s the taps of each residue modulo
s have a form of their own, over every s-th pixel: 5 taps with stride 2 are F(2, 3) and F(2, 2) side by side, 7
multiplications instead of 10. For the gradient to the input, and a transposed convolution, the residues are those of
the pixels, and a square is 2s wide. In two dimensions 49 multiplications are left of 100, of 3 × 3 taps 16 of 36.

What fills no square, at an edge of an odd side, is left to conv.py, as is a geometry in which this is no faster.

Blocking: between the forms are products of matrices, one for each place of ⊙, whose rows are squares. A task is some 50
squares or more, of which a line of places is in memory at a time (500 kB): their windows become rows, which meet the
transformed weights of the line, and the products are added to y. Those weights, places·C·O numbers, come from the
third-level cache once a task.

Counts: for a square places·C·O multiply-adds. A number of the window is read for two lines of places in turn (for five
with F(2, 5)) and so becomes places; of these, y's are made. `plan` reckons with 9/C + 9/O of the products' time for it.
Rounding: see forms.py.

A number that is not finite, or a sum near the largest float, would spread over its square: the functions here say
whether the result is finite, and it is computed as it stands if not.
"""

import math
from collections.abc import Iterator
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np

from ..reference.conv import Array, Padding, Pair
from . import forms
from .compiling import compiled, summed
from .forms import FORMS
from .memory import empty
from .threads import share
from .tile import (
    COLUMNS,
    COPY,
    COPY_HALF,
    GRADIENT,
    LANES,
    MADE,
    READ,
    ROWS,
    SPARE,
    TILE,
    TOTAL,
    TURN,
    VECTORS,
    WEIGHTS,
    call,
    keep,
    multiply,
)

Shape = tuple[int, ...]
Area = tuple[int, int, int, int]  # rows from the first to before the second, columns likewise

_AT_ONCE = 500_000  # bytes of a line of places in a task
_FEWEST = 6 * ROWS  # squares of a task, for which the weights come from the cache
_TASKS = 8  # that there should be
_PARTS = 1 << 23  # numbers of all parts of a gradient of weights


class _Part(NamedTuple):
    """A form in one dimension: which pixels of a square's window it reads, which of its pixels it makes, its taps."""

    read: range
    made: range
    taps: range


class _Axis(NamedTuple):
    """Square t makes `made` pixels from t·made on, and reads `window` pixels from start + t·advance on."""

    parts: list[_Part]
    made: int
    window: int
    start: int
    advance: int


def _reading(kernel: int, stride: int, before: int) -> _Axis:
    """Pixel i of y reads pixel i·stride + k - before by tap k: a part for each residue of k."""
    parts = [_Part(range(r, kernel + stride, stride), range(2), range(r, kernel, stride))
             for r in range(min(kernel, stride))]  # fmt: skip
    return _Axis(parts, 2, kernel + stride, -before, 2 * stride)


def _spreading(kernel: int, stride: int, before: int) -> _Axis:
    """Pixel i reads pixel (i + before - k)/stride of g by each tap k for which that is whole: a part for each residue.

    From the pixel that the last tap reads on.
    """
    taps = [range(r, kernel, stride) for r in range(min(kernel, stride))]
    starts = [-((r - before) // stride) - len(t) + 1 for r, t in enumerate(taps)]
    start = min(starts)
    parts = [_Part(range(s - start, s - start + len(t) + 1), range((t[0] - before) % stride, 2 * stride, stride),
                   t[::-1]) for s, t in zip(starts, taps, strict=True)]  # fmt: skip
    return _Axis(parts, 2 * stride, max(part.read.stop for part in parts), start, 2)


class Plan(NamedTuple):
    """A convolution in a geometry in which multiplications are worth saving. Of a gradient of weights, that of y."""

    geometry: Shape
    left: tuple[Area, ...]  # of y, to be computed otherwise
    squares: int
    at_once: int  # of a task
    lines: int
    places: int
    parts: int  # of a gradient of weights, which are added up at the end
    read: Array  # calls of `tile`, for each line of places and each form across
    made: Array
    gradient: Array
    weights: Array
    total: Array
    x_pixels: tuple[Array, Array]  # of each square of an image
    y_pixels: tuple[Array, Array]
    tables: list[Array]  # which the calls point into


def _calls(first: int, what: Any, down: list[tuple[int, Any]], across: list[tuple[int, Any]], pitch: int, tables: Any,
           kept: list[Array]) -> Array:  # fmt: skip
    """For each row of the matrices down, and each form across: kind, and addresses of places, factors, rows, columns.

    down, across: of each part, how many taps it has, and the pixels, taps or places that go with the matrix's columns;
    those down are `pitch` apart. tables: of a row and a part, where its places are.
    """
    matrix, terms = what
    calls, row = [], 0
    for r, numbers in down:
        for factors in matrix(FORMS[r]):
            some = [(number * pitch, factor) for number, factor in zip(numbers, factors, strict=True) if factor]
            some += [(some[0][0], 0)] * (terms(r) - len(some))
            pair = np.array([number for number, _ in some], np.int64), np.array([f for _, f in some], np.float32)
            for part, (r_across, columns) in enumerate(across):
                some_tables = np.array(tables(row, part), np.int64), np.array(columns, np.int64)
                kept += [*pair, *some_tables]
                calls.append([first + list(FORMS).index(r_across), *(a.ctypes.data for a in (
                    some_tables[0], pair[1], pair[0], some_tables[1]))])  # fmt: skip
            row += 1
    return np.array(calls, np.int64)


def plan(x: Shape, w: Shape, y: Shape, stride: Pair, padding: Padding, taps: tuple[Array, Array],
         transposed: bool) -> Plan | None:  # fmt: skip
    """Of y from x; None where it does not pay.

    w: (KH, KW, ..). taps: of each row and of each column of y, how many are inside the image.
    """
    channels, outputs = x[3], y[3]
    if channels % LANES or outputs % COLUMNS or channels < 32:
        return None

    def axes(first: Pair) -> list[_Axis]:
        return [_spreading(k, s, p[0] + i) if transposed else _reading(k, s, p[0] - i * s)
                for k, s, p, i in zip(w[:2], stride, padding, first, strict=True)]

    down, across = axes((0, 0))
    many = [{len(part.taps) for part in axis.parts} for axis in (down, across)]
    if not many[0] | many[1] <= FORMS.keys() or many[0] | many[1] == {1} or (5 in many[0] | many[1]
                                                                             and many != [{5}, {5}]):  # fmt: skip
        return None  # a form of many terms goes with its like alone
    lines, line = (sum(len(part.read) for part in axis.parts) for axis in (down, across))
    cost, area, squares = min(_areas(x[0], y[1:3], (down.made, across.made), taps,
                                     lines * line * (1.1 + 9 / channels + 9 / outputs)))  # fmt: skip
    i0, i1, j0, j1 = area
    if cost >= x[0] * taps[0].sum() * taps[1].sum():
        return None
    down, across = axes((i0, j0))
    left = (0, i0, 0, y[2]), (i1, y[1], 0, y[2]), (i0, i1, 0, j0), (i0, i1, j1, y[2])
    at_once = max(_FEWEST, _AT_ONCE // (4 * (channels + outputs) * line))
    at_once = max(1, min(at_once, squares // _TASKS) // ROWS) * ROWS
    per_image = -(-(i1 - i0) // down.made), -(-(j1 - j0) // across.made)
    pitches = channels + LANES, outputs + COLUMNS  # what is a power of two apart would share a few lines of a cache
    geometry = (channels, outputs, lines, line, squares, at_once, *pitches, math.prod(x[1:]), math.prod(y[1:]),
                int(transposed))  # fmt: skip
    parts = max(n for n in (1, 2, -(-12 // lines)) if n == 1 or (n * lines * line * channels * outputs <= _PARTS
                                                                 and n * 2 * at_once <= squares))  # fmt: skip
    kept: list[Array] = []

    def calls(first: int, what: Any, numbers: Any, pitch: int, tables: Any) -> Array:
        both = [[(len(part.taps), numbers(axis, n)) for n, part in enumerate(axis.parts)] for axis in (down, across)]
        return _calls(first, what, both[0], both[1], pitch, tables, kept)

    def places(axis: _Axis, part: int) -> range:
        before = sum(len(other.read) for other in axis.parts[:part])
        return range(before, before + len(axis.parts[part].read))

    def lie(apart: int, place: int) -> Any:  # places of squares
        return lambda _, part: [apart, *(p * place for p in places(across, part))]

    size = channels * outputs
    weight = LANES * COLUMNS if transposed else size  # from a place to the next
    order = [tap for part in down.parts for tap in part.taps]
    return Plan(
        tuple(map(int, geometry)), tuple(a for a in left if a[0] < a[1] and a[2] < a[3]), squares, at_once, lines,
        lines * line, parts,
        calls(READ, forms.READ, lambda axis, n: axis.parts[n].read, across.window,
              lie(pitches[0], at_once * pitches[0])),
        calls(MADE, forms.GRADIENT, lambda axis, n: axis.parts[n].made, across.made,
              lie(pitches[1], at_once * pitches[1])),
        calls(GRADIENT, forms.GRADIENT, lambda axis, n: axis.parts[n].made, across.made,
              lie(pitches[1], at_once * pitches[1])),
        calls(WEIGHTS, forms.WEIGHTS, lambda axis, n: axis.parts[n].taps, w[1],
              lambda row, n: [0, *((row * line + p) * weight for p in places(across, n))]),
        calls(TOTAL, forms.TOTAL, places, line,
              lambda row, n: [0, *((order[row] * w[1] + tap) * size for tap in across.parts[n].taps)]),
        _pixels(x, (down.start, across.start), (down.advance, across.advance), (down.window, across.window), per_image),
        _pixels(y, (i0, j0), (down.made, across.made), (down.made, across.made), per_image),
        kept,
    )  # fmt: skip


def _pixels(shape: Shape, start: Pair, advance: Pair, size: Pair, squares: Pair) -> tuple[Array, Array]:
    """(squares, pixels) of a column and of a row of squares: where in an image they are, and -1 outside."""
    sides = [s + a * np.arange(n)[:, None] + np.arange(k)
             for s, a, k, n in zip(start, advance, size, squares, strict=True)]  # fmt: skip
    rows, columns = (np.where((side >= 0) & (side < n), side, -1) for side, n in zip(sides, shape[1:], strict=False))
    return np.maximum(rows * shape[2] * shape[3], -1), np.maximum(columns * shape[3], -1)


def _areas(images: int, size: Shape, made: Pair, taps: tuple[Array, Array],
           cost: float) -> Iterator[tuple[float, Area, int]]:  # fmt: skip
    """Areas of y in which squares could be, with all multiplications then and the number of squares.

    A side that is no whole number of squares has one more that is there in part, or ends or begins with pixels that are
    left: those at an edge have few taps. cost: of a square. The transformed weights cost as much as 32 squares.
    """
    sides = [{(0, -(-n // m)), (0, n // m), (n % m, n // m)} for n, m in zip(size, made, strict=True)]
    for (i0, tall), (j0, wide) in product(*sides):
        i1, j1 = min(size[0], i0 + tall * made[0]), min(size[1], j0 + wide * made[1])
        left = taps[0].sum() * taps[1].sum() - taps[0][i0:i1].sum() * taps[1][j0:j1].sum()
        if tall * wide:
            yield cost * (images * tall * wide + 32) + images * left, (i0, i1, j0, j1), images * tall * wide


def conv(x: Array, w: Array, b: Array, y: Array, plan: Plan, block: int) -> bool:
    """Fill y (N, OH, OW, O), but for what is left, from x (N, H, W, C) and b (O,); say whether it is finite.

    w: (KH, KW, C, O), of a plan that is transposed (KH, KW, O, C). block: the multiply-adds that are worth a thread.
    """
    channels, outputs = x.shape[3], y.shape[3]
    u = empty((plan.places * channels * outputs,))
    stretches = channels // LANES * (outputs // COLUMNS)
    share(_weights, stretches, max(1, stretches * block // (16 * u.size)), w.reshape(-1), u, plan.geometry,
          plan.weights, TILE)  # fmt: skip
    tasks = -(-plan.squares // plan.at_once)
    finite = np.zeros(tasks, np.bool_)
    share(_squares, tasks, max(1, tasks * block // (plan.squares * u.size)), x.reshape(-1), u, b, y.reshape(-1),
          plan.geometry, plan.read, plan.made, *plan.x_pixels, *plan.y_pixels, finite, TILE)  # fmt: skip
    return bool(finite.all())


def conv_weight(x: Array, g: Array, w: Array, plan: Plan, block: int) -> bool:
    """Fill w (KH, KW, C, O) from x (N, H, W, C) and g (N, OH, OW, O), but for what is left of g; say as `conv`."""
    channels, outputs, size = x.shape[3], g.shape[3], plan.places * x.shape[3] * g.shape[3]
    shares = max(1, min(outputs // COLUMNS // 4, 16 // (plan.parts * plan.lines)))
    edges = [plan.squares * p // plan.parts for p in range(plan.parts + 1)]
    cuts = [COLUMNS * (outputs // COLUMNS * q // shares) for q in range(shares + 1)]
    tasks = np.array([(s0, s1, p, line, o0, o1) for p, (s0, s1) in enumerate(pairwise(edges))
                      for o0, o1 in pairwise(cuts) for line in range(plan.lines)])  # fmt: skip
    sums = empty((plan.parts * size,))
    share(_sums, len(tasks), max(1, len(tasks) * block // (plan.squares * size)), x.reshape(-1), g.reshape(-1), sums,
          plan.geometry, plan.read, plan.gradient, *plan.x_pixels, *plan.y_pixels, tasks, TILE)  # fmt: skip
    finite = np.zeros(channels, np.bool_)
    share(_gradient, channels, max(1, channels * block // (16 * sums.size)), sums, w.reshape(-1), plan.geometry,
          plan.total, finite, TILE)  # fmt: skip
    return bool(finite.all())


@compiled
def _run(calls: Array, first: int, end: int, pixels: int, rows: Array, places: int, squares: int, vectors: int,
         entries: int, tile: int) -> None:  # fmt: skip
    for i in range(first, end):
        call(tile, (calls[i, 0], pixels, rows.ctypes.data, places, calls[i, 1], squares, calls[i, 2], calls[i, 3], 0,
                    vectors, entries, calls[i, 4]))


@compiled
def _find(rows: Array, columns: Array, first: int, now: int, image: int, outside: int, places: Array) -> None:
    """Where the pixels of some squares are. image: how far it is from one to the next."""
    tall, wide = rows.shape[1], columns.shape[1]
    for r in range(now):
        across = (first + r) // len(columns)
        n, i, j = across // len(rows), across % len(rows), (first + r) % len(columns)
        for a in range(tall):
            for b in range(wide):
                row, column = rows[i, a], columns[j, b]
                inside = row >= 0 and column >= 0
                places[(r * tall + a) * wide + b] = n * image + row + column if inside else outside


@summed
def _finite(row: Array) -> bool:
    bad = np.float32(0)
    for c in range(len(row)):
        bad += row[c] * np.float32(0)  # NaN, if it is not finite
    return bool(bad == 0)


@compiled
def _weights(first: int, end: int, w: Array, u: Array, geometry: Shape, calls: Array, tile: int) -> None:
    """G w Gᵀ as (places, panels, C, COLUMNS): a task is LANES channels of one panel."""
    channels, outputs, places, transposed = geometry[0], geometry[1], geometry[2] * geometry[3], geometry[10]
    taps, stretches, size = w.size // (channels * outputs), channels // LANES, LANES * COLUMNS
    pitch = size + LANES
    some, turned = np.empty(taps * pitch, np.float32), np.empty(places * size, np.float32)
    w_rows, copied, columns = np.empty(taps, np.int64), np.empty(COLUMNS, np.int64), np.empty(COLUMNS, np.int64)
    high, width, line = (COLUMNS, LANES, channels) if transposed else (LANES, COLUMNS, outputs)
    for tap in range(taps):
        w_rows[tap] = tap * pitch
    for n in range(COLUMNS):
        copied[n], columns[n] = n * line, n * LANES
    for task in range(first, end):
        panel, c = task // stretches * COLUMNS, task % stretches * LANES
        source = panel * channels + c if transposed else c * outputs + panel
        target = u.ctypes.data + 4 * (panel * channels + c * COLUMNS)
        for tap in range(taps):
            call(tile, (COPY_HALF if transposed else COPY, w.ctypes.data + 4 * (tap * channels * outputs + source),
                        copied.ctypes.data, some.ctypes.data + 4 * tap * pitch, 0, high, 0, 0, 0, width, width, 0))
        _run(calls, 0, len(calls), some.ctypes.data, w_rows, turned.ctypes.data if transposed else target, 1,
             size // LANES, 0, tile)  # fmt: skip
        if transposed:
            for p in range(places):
                call(tile, (TURN, turned.ctypes.data + 4 * p * size, columns.ctypes.data,
                            target + 4 * p * channels * outputs, 0, 1, 0, 0, VECTORS, 0, COLUMNS, 0))
    keep((some, turned, w_rows, copied, columns))


@compiled
def _squares(first: int, end: int, x: Array, u: Array, b: Array, y: Array, geometry: Shape, read: Array, made: Array,
             x_down: Array, x_across: Array, y_down: Array, y_across: Array, finite: Array,
             tile: int) -> None:  # fmt: skip
    """A task is some squares: line by line of places, their rows are made, multiplied, and added to y."""
    channels, outputs, lines, line, squares, at_once, v_pitch, m_pitch, x_image, y_image = geometry[:10]
    window, pixels = x_down.shape[1] * x_across.shape[1], y_down.shape[1] * y_across.shape[1]
    v, m = np.empty(line * at_once * v_pitch, np.float32), np.empty(line * at_once * m_pitch, np.float32)
    zeros, spare = np.zeros(max(channels, outputs), np.float32), np.empty(outputs, np.float32)
    outside, nowhere = (zeros.ctypes.data - x.ctypes.data) // 4, (spare.ctypes.data - y.ctypes.data) // 4
    x_rows, y_rows = np.empty(at_once * window, np.int64), np.empty(at_once * pixels, np.int64)
    v_rows, m_rows, steps = np.empty(at_once, np.int64), np.empty(at_once, np.int64), np.zeros((1, 2), np.int64)
    zero, one = np.int64(0), np.int64(1)  # numbers as they stand would have `multiply` compiled for them
    for r in range(at_once):
        v_rows[r], m_rows[r] = r * v_pitch, r * m_pitch
    for task in range(first, end):
        start = task * at_once
        now = min(at_once, squares - start)
        _find(x_down, x_across, start, now, x_image, outside, x_rows)
        _find(y_down, y_across, start, now, y_image, nowhere, y_rows)
        for r in range(now * pixels):
            if y_rows[r] != nowhere:
                pixel = y[y_rows[r] : y_rows[r] + outputs]
                for c in range(outputs):
                    pixel[c] = b[c]
        for a in range(lines):
            n = len(read) // lines
            _run(read, a * n, (a + 1) * n, x.ctypes.data, x_rows, v.ctypes.data, now, channels // LANES, window, tile)
            for p in range(line):
                multiply(v.ctypes.data + 4 * p * at_once * v_pitch, v_rows,
                         u.ctypes.data + 4 * (a * line + p) * channels * outputs, channels, steps, one, zero, m,
                         p * at_once * m_pitch, m_rows, now, outputs, channels, np.int64(zeros.ctypes.data), tile)
            _run(made, a * n, (a + 1) * n, y.ctypes.data, y_rows, m.ctypes.data, now, outputs // LANES, pixels, tile)
        good = True
        for r in range(now * pixels):
            good &= y_rows[r] == nowhere or _finite(y[y_rows[r] : y_rows[r] + outputs])
        finite[task] = good
    keep((v, zeros, spare, x_rows, y_rows))


@compiled
def _sums(first: int, end: int, x: Array, g: Array, sums: Array, geometry: Shape, read: Array, gradient: Array,
          x_down: Array, x_across: Array, g_down: Array, g_across: Array, tasks: Array, tile: int) -> None:  # fmt: skip
    """(parts, places, C, O): a task is squares s0 to s1, which are a part; a line of places; columns o0 to o1."""
    channels, outputs, lines, line, _, at_once, v_pitch, h_pitch, x_image, g_image = geometry[:10]
    window, pixels = x_down.shape[1] * x_across.shape[1], g_down.shape[1] * g_across.shape[1]
    v, h = np.empty(line * at_once * v_pitch, np.float32), np.empty(line * at_once * h_pitch, np.float32)
    zeros, spare = np.zeros(max(channels, outputs), np.float32), np.empty(outputs, np.float32)
    x_outside, g_outside = (zeros.ctypes.data - x.ctypes.data) // 4, (zeros.ctypes.data - g.ctypes.data) // 4
    x_rows, g_rows = np.empty(at_once * window, np.int64), np.empty(at_once * pixels, np.int64)
    steps = np.empty((at_once, 2), np.int64)
    a_rows, c_rows = np.empty(channels + SPARE, np.int64), np.empty(channels + SPARE, np.int64)
    zero, one = np.int64(0), np.int64(1)
    for r in range(at_once):
        steps[r, 0], steps[r, 1] = r * v_pitch, r * (h_pitch // COLUMNS)
    for c in range(channels + SPARE):
        a_rows[c], c_rows[c] = c if c < channels else 0, c * outputs
    for task in range(first, end):
        s0, s1, number, a, o0, o1 = tasks[task, 0], tasks[task, 1], tasks[task, 2], tasks[task, 3], tasks[task, 4], (
            tasks[task, 5])
        for start in range(s0, s1, at_once):
            now, n = min(at_once, s1 - start), len(read) // lines
            _find(x_down, x_across, start, now, x_image, x_outside, x_rows)
            _find(g_down, g_across, start, now, g_image, g_outside, g_rows)
            _run(read, a * n, (a + 1) * n, x.ctypes.data, x_rows, v.ctypes.data, now, channels // LANES, window, tile)
            _run(gradient, a * n, (a + 1) * n, g.ctypes.data + 4 * o0, g_rows, h.ctypes.data + 4 * o0, now,
                 (o1 - o0) // LANES, pixels, tile)  # fmt: skip
            for p in range(line):
                to = ((number * lines + a) * line + p) * channels * outputs + o0
                for c in range(channels, channels + SPARE):
                    c_rows[c] = (spare.ctypes.data - sums.ctypes.data) // 4 - to
                multiply(np.int64(v.ctypes.data + 4 * p * at_once * v_pitch), a_rows,
                         h.ctypes.data + 4 * (p * at_once * h_pitch + o0), one, steps, now, zero, sums, to, c_rows,
                         channels, o1 - o0, one, np.int64(zeros.ctypes.data) if start == s0 else zero, tile)
    keep((v, h, zeros, spare, x_rows, g_rows))


@compiled
def _gradient(first: int, end: int, sums: Array, w: Array, geometry: Shape, calls: Array, finite: Array,
              tile: int) -> None:  # fmt: skip
    """Gᵀ s G of the sum of all parts: a task is a channel."""
    channels, outputs, places, pitch = geometry[0], geometry[1], geometry[2] * geometry[3], geometry[1] + LANES
    apart = channels * outputs
    some, rows = np.empty(places * pitch, np.float32), np.empty(places, np.int64)
    for p in range(places):
        rows[p] = p * pitch
    for c in range(first, end):
        for p in range(places):
            total = some[p * pitch : p * pitch + outputs]
            for o in range(outputs):
                total[o] = 0
            for part in range(sums.size // (places * apart)):
                at = (part * places + p) * apart + c * outputs
                row = sums[at : at + outputs]
                for o in range(outputs):
                    total[o] += row[o]
        _run(calls, 0, len(calls), some.ctypes.data, rows, w.ctypes.data + 4 * c * outputs, 1, outputs // LANES, 0,
             tile)  # fmt: skip
        good = True
        for tap in range(w.size // apart):
            good &= _finite(w[tap * apart + c * outputs : tap * apart + (c + 1) * outputs])
        finite[c] = good
    keep((some, rows))
