"""The register tiles under the convolutions: a few rows of sums stay in registers while two loops run.

    outer      c[m, n] = s[m, n] + Σ a[m, i, l] · b[i, l, n]     n over V vectors: R numbers of a meet V vectors of b
    packed     the same, where a's R rows lie number by number, as b's vectors do
    channels   c[m, n] = s[m, n] + Σ a[m, i, n] · b[i, n]        lane by lane, as in a depthwise convolution
    dot        c[m, n] = s[n] + Σ a[m, i, l] · b[n, i, l]        few columns: the lanes run along l
    turn       c[l, m] = a[m, l]                                 LANES rows at a time
    copy       c[m, l] = a[m, l]                                 l < k, and zeros up to whole vectors
    line       c[m, n] = Σ F[m, j] Σ f[i] · a[i, j, n]           F a constant: one of winograd.py's forms, or A, or G
    made       c[i, j, n] += f[i] · Σ F[j, m] · a[m, n]
    couple     c[l] = (a[l], b[l])                               rounded to bfloat16
    deal       c[m, l, r] = a[l, m·R + r]                        as `packed` reads it

over steps i and l < k; l is next to l + 1. Sums start from s: from c as it is, or from one row, a bias, for all m. The
rows of a and c and the steps are wherever tables of offsets say: neighbouring pixels, one pixel of many images, or
taps; the taps inside the image, or rows of pixels.

In `outer` an l loads V vectors of b and R broadcast numbers of a for R·V multiply-adds: 8 loads for 12 on AVX2, 10
for 16 on AVX-512, so their units and not the loads are what limits it. Numba's own loops would not keep the sums in
registers, so the tiles are written as LLVM instructions. Arrays and tables are addresses, offsets count floats.
Where k is short, entering and leaving the loop over l costs more than the loop: a flat tile has steps only, each of one
l. Vectors in part are stored by halves: AVX2's masked store takes 12 cycles on AMD's processors.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.config import DISABLE_JIT  # type: ignore[attr-defined]
from numba.extending import intrinsic

from .compiling import SOURCES, WholeCompiler, compiled
from .forms import FORMS, LINES, Matrix

Array = Any

_pasted: Any = intrinsic  # a function that writes its caller's LLVM instructions

_INDEX, _INT32, _FLOAT, _POINTER = ir.IntType(64), ir.IntType(32), ir.FloatType(), ir.PointerType()


def has(feature: str) -> bool:
    """Whether Numba compiles for a processor with this feature."""
    target = numba.core.registry.cpu_target.target_context.codegen()
    return f"+{feature}" in target._tm_features.split(",")


# AVX-512 has 32 registers of 16 floats: 16 hold sums, of 8 rows, for batches and channels are mostly whole eights; 24
# are no faster. AVX2 has 16 of 8: 12 hold sums. NEON has 32 of 4; 16 hold sums.
LANES = 16 if has("avx512f") else 8 if has("avx2") else 4
_FUSED = has("fma") or has("neon")  # elsewhere a fused multiply-add is a call into the C library
ROWS, VECTORS = (8, 2) if LANES == 16 else (6, 2) if LANES == 8 else (4, 4)
COLUMNS = VECTORS * LANES
HALF_ROWS = 8  # of the outer tile of one vector: two sums begin in a cycle, and each takes four
FEW = 4  # rows of the shorter outer tile; with fewer, each sum waits for itself, and none would be faster
DOT_ROWS = (8, 6, 4, 3)  # of `dot`, with 1, 2, .. columns
CHANNEL_ROWS, CHANNEL_VECTORS = 3, 4  # of `channels`
CHANNELS = CHANNEL_VECTORS * LANES
SPARE = max(ROWS, HALF_ROWS, CHANNEL_ROWS, *DOT_ROWS)  # rows that fill the last tile
_AHEAD = 64  # numbers that `turn` fetches ahead
_SHORT = 8  # terms of a step that are steps of their own
_UNROLLED = 4  # terms at a time: counting takes 1 instruction in 21 and not, as in LLVM's pairs, 1 in 11


class _BFloat(ir.Type):  # type: ignore[misc]  # llvmlite has no name for it
    def _to_string(self) -> str:
        return "bfloat"


_TWICE = ir.VectorType(_BFloat(), 2 * LANES)


class _Emit:
    """LLVM instructions on vectors of LANES floats; of factors, LANES pairs of bfloat16 if these are `pairs`."""

    def __init__(self, builder: Any, pairs: bool):
        self.builder, self.vector, self.pairs = builder, ir.VectorType(_FLOAT, LANES), pairs
        self.zero = ir.Constant(self.vector, [0.0] * LANES)

    def declare(self, name: str, result: Any, *parameters: Any) -> Any:
        return cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(result, parameters), name)

    def at(self, base: Any, *offsets: Any, kind: Any = _FLOAT) -> Any:
        for offset in offsets:
            base = self.builder.gep(base, [_INDEX(offset) if isinstance(offset, int) else offset], source_etype=kind)
        return base

    def pointer(self, address: Any) -> Any:
        return self.builder.inttoptr(address, _POINTER)

    def entry(self, table: Any, number: Any) -> Any:
        """Of a table of offsets."""
        return self.builder.load(self.at(self.pointer(table), number, kind=_INDEX), typ=_INDEX)

    def rows(self, base: Any, table: Any, count: int) -> list[Any]:
        return [self.at(self.pointer(base), self.entry(table, m)) for m in range(count)]

    @contextmanager
    def tiles(self, count: Any, rows: int, *tables: Any) -> Iterator[list[Any]]:
        """One tile after the other: where its part of each table begins."""
        with cgutils.for_range(self.builder, count) as tile:
            on = self.builder.mul(tile.index, _INDEX(8 * rows))
            yield [self.builder.add(table, on) for table in tables]

    @contextmanager
    def steps(self, table: Any, count: Any) -> Iterator[tuple[Any, Any]]:
        """One step after the other: its offsets in a and in b."""
        with cgutils.for_range(self.builder, count) as step:
            first = self.builder.mul(step.index, _INDEX(2))
            yield self.entry(table, first), self.entry(table, self.builder.add(first, _INDEX(1)))

    def load(self, place: Any, mask: Any = None) -> Any:
        if mask is None:
            return self.builder.load(place, typ=self.vector, align=4)
        load = self.declare(f"llvm.masked.load.v{LANES}f32.p0", self.vector, _POINTER, _INT32, mask.type, self.vector)
        return self.builder.call(load, [place, _INT32(4), mask, self.zero])

    def prefetch(self, place: Any, to_write: bool) -> None:
        """Of a place that need not exist."""
        prefetch = self.declare("llvm.prefetch.p0", ir.VoidType(), _POINTER, _INT32, _INT32, _INT32)
        self.builder.call(prefetch, [place, _INT32(int(to_write)), _INT32(3), _INT32(1)])

    def store_first(self, count: Any, sums: list[Any], places: list[Any]) -> None:
        """The first `count` ≤ LANES lanes of each sum, by powers of two."""
        done, lanes = cgutils.alloca_once_value(self.builder, _INDEX(0)), LANES
        while lanes:
            with self.builder.if_then(self.builder.icmp_signed("!=", self.builder.and_(count, _INDEX(lanes)),
                                                               _INDEX(0))):  # fmt: skip
                at = self.builder.load(done, typ=_INDEX)
                for total, place in zip(sums, places, strict=True):
                    value = self.builder.load(total, typ=self.vector)
                    self.builder.store(self.lanes(value, range(lanes)), self.at(place, at), align=4)
                    if lanes < LANES:
                        self.builder.store(self.lanes(value, [(n + lanes) % LANES for n in range(LANES)]), total)
                self.builder.store(self.builder.add(at, _INDEX(lanes)), done)
            lanes //= 2

    def lanes(self, value: Any, order: Any) -> Any:
        places = ir.Constant(ir.VectorType(_INT32, len(order)), list(order))
        return self.builder.shuffle_vector(value, value, places)

    def splat(self, value: Any, kind: Any) -> Any:
        undefined = ir.Constant(ir.VectorType(kind, LANES), ir.Undefined)
        order = ir.Constant(ir.VectorType(_INT32, LANES), [0] * LANES)
        return self.builder.shuffle_vector(self.builder.insert_element(undefined, value, _INT32(0)), undefined, order)

    def first(self, count: Any) -> Any:
        """The mask of the first `count` lanes."""
        numbers = ir.Constant(ir.VectorType(_INDEX, LANES), list(range(LANES)))
        return self.builder.icmp_signed("<", numbers, self.splat(count, _INDEX))

    def within(self, count: Any, before: int) -> Any:
        """How many of `count` lanes are in the vector after the first `before`."""
        least = self.builder.icmp_signed(">", count, _INDEX(before))
        rest = self.builder.select(least, self.builder.sub(count, _INDEX(before)), _INDEX(0))
        return self.least(rest, _INDEX(LANES))

    def least(self, x: Any, y: Any) -> Any:
        return self.builder.select(self.builder.icmp_signed("<", x, y), x, y)

    def multiply_add(self, x: Any, y: Any, place: Any) -> None:
        """The sum in the register `place` += x·y, of pairs x₀·y₀ + x₁·y₁."""
        total = self.builder.load(place, typ=self.vector)
        if self.pairs:
            dot = self.declare("llvm.x86.avx512bf16.dpbf16ps.512", self.vector, self.vector, _TWICE, _TWICE)
            total = self.builder.call(dot, [total, *(self.builder.bitcast(factor, _TWICE) for factor in (x, y))])
        else:
            total = self.fused(x, y, total)
        self.builder.store(total, place)

    def fused(self, x: Any, y: Any, z: Any) -> Any:
        """x·y + z"""
        if not _FUSED:
            return self.builder.fadd(self.builder.fmul(x, y), z)
        return self.builder.call(self.declare(f"llvm.fma.v{LANES}f32", *[self.vector] * 4), [x, y, z])

    def sums(self, rows: list[Any], counts: list[Any], add: Any = None, start: Any = None) -> list[list[Any]]:
        """A register for each vector of a row, which begins as what is there, or else at `start`; as 0 without both.

        counts: how many lanes of each vector there are, None for all.
        """
        masks = [None if count is None else self.first(count) for count in counts]
        sums = []
        for row in rows:
            source = None if add is None else self.builder.select(add, row, start)
            sums.append([cgutils.alloca_once(self.builder, self.vector) for _ in masks])
            for v, (place, mask) in enumerate(zip(sums[-1], masks, strict=True)):
                first = self.zero if source is None else self.load(self.at(source, v * LANES), mask)
                self.builder.store(first, place)
        return sums

    def pair(self, first: Any, second: Any, order: Any = None) -> Any:
        """Both, rounded to the nearest bfloat16, in this order of their numbers: without one, of each in turn."""
        in_turn = [n // 2 + n % 2 * LANES for n in range(2 * LANES)]
        name = "llvm.x86.avx512bf16.cvtne2ps2bf16.512"
        rounded = self.builder.call(self.declare(name, _TWICE, self.vector, self.vector), [second, first])
        return self.builder.bitcast(self.lanes(rounded, in_turn if order is None else order), self.vector)

    def finish(self, sums: list[list[Any]], targets: list[Any], counts: list[Any]) -> None:
        for v, count in enumerate(counts):
            places = [self.at(target, v * LANES) for target in targets]
            if count is None:
                for row, place in zip(sums, places, strict=True):
                    self.builder.store(self.builder.load(row[v], typ=self.vector), place, align=4)
            else:
                self.store_first(count, [row[v] for row in sums], places)

    def add_up(self, value: Any) -> Any:
        """The sum of the lanes, pairwise."""
        half = LANES // 2
        while half:
            upper = self.lanes(value, [n + half if n < half else n for n in range(LANES)])
            value, half = self.builder.fadd(value, upper), half // 2
        return self.builder.extract_element(value, _INT32(0))


@_pasted
def call(typing, address, numbers):  # type: ignore[no-untyped-def]
    """Call the machine code at `address` with a tuple of integers. It was compiled once, not inside each caller."""

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        values = cgutils.unpack_tuple(builder, arguments[1])
        function = ir.FunctionType(ir.VoidType(), [_INDEX] * len(values))
        builder.call(builder.inttoptr(arguments[0], function.as_pointer()), values)
        return context.get_dummy_value()

    return types.void(types.intp, types.UniTuple(types.intp, len(numbers))), codegen


@_pasted
def keep(typing, arrays):  # type: ignore[no-untyped-def]
    """A tuple of arrays whose memory is still wanted here: Numba frees an array after its last use by name."""

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return context.get_dummy_value()

    return types.void(arrays), codegen


def loop(builder: Any, k: Any, step: Callable[[Any], None], at_once: int = _UNROLLED) -> None:
    """step(l) for each l < k."""
    whole = builder.and_(k, _INDEX(-at_once))
    with cgutils.for_range_slice(builder, _INDEX(0), whole, _INDEX(at_once), inc=True) as (at, _):
        for n in range(at_once):
            step(builder.add(at, _INDEX(n)))
    if at_once > 1:
        with cgutils.for_range_slice(builder, whole, k, _INDEX(1), inc=True) as (at, _):
            step(at)


def _outer(rows: int, vectors: int, part: bool = False, flat: bool = False) -> Any:
    """part: only `last` // 2 columns are there, more than the first of several vectors. flat: k is 1."""

    def emit(e: _Emit, a: Any, a_table: Any, c: Any, c_table: Any, tiles: Any, b: Any, steps: Any, count: Any,
             k: Any, last: Any, start: Any) -> None:  # fmt: skip
        there, add = e.builder.ashr(last, _INDEX(1)), e.builder.trunc(last, ir.IntType(1))
        counts = [e.within(there, v * LANES) if part and v >= min(1, vectors - 1) else None for v in range(vectors)]
        with e.tiles(tiles, rows, a_table, c_table) as (a_place, c_place):
            a_rows, c_rows = e.rows(a, a_place, rows), e.rows(c, c_place, rows)
            sums = e.sums(c_rows, counts, add, e.pointer(start))
            with e.steps(steps, count) as (a_step, b_step):

                def step(at: Any) -> None:
                    place = e.at(e.pointer(b), b_step, e.builder.mul(at, _INDEX(vectors * LANES)))
                    b_row = [e.load(e.at(place, v * LANES)) for v in range(vectors)]
                    for m in range(rows):
                        x = e.builder.load(e.at(a_rows[m], e.builder.add(a_step, at)), typ=_FLOAT)
                        x = e.splat(x, _FLOAT)
                        for v in range(vectors):
                            e.multiply_add(x, b_row[v], sums[m][v])

                if flat:
                    step(_INDEX(0))
                else:
                    loop(e.builder, k, step, 1 if part and vectors > 1 else _UNROLLED)  # the last panel is rare
            e.finish(sums, c_rows, counts)

    return emit


def _packed(vectors: int, part: bool) -> Any:
    """ROWS numbers of a to a term, and k + 1 terms to a tile.

    A tile also has `count` terms of b's next panel fetched into the cache, and copies them in the end. Those of the
    first tile begin at `ahead`. following: how far it is from there to the next tile's, and from a term to the next;
    how many terms are to be copied, and where to; where the other row of a pair is.
    """

    def emit(e: _Emit, a: Any, ahead: Any, c: Any, c_table: Any, tiles: Any, b: Any, following: Any, count: Any,
             k: Any, last: Any, start: Any) -> None:  # fmt: skip
        builder = e.builder
        there, add = builder.ashr(last, _INDEX(1)), builder.trunc(last, ir.IntType(1))
        counts = [e.within(there, v * LANES) if part else None for v in range(vectors)]
        at_once = 1 if part and vectors > 1 else _UNROLLED
        fetches = e.least(count, builder.udiv(k, _INDEX(at_once)))
        apart = builder.mul(builder.add(k, _INDEX(1)), _INDEX(ROWS))  # with a spare term, for `deal`
        outer, inner, copied, target, second = (e.entry(following, _INDEX(i)) for i in range(5))
        with cgutils.for_range(builder, tiles) as tile:
            a_tile = e.at(e.pointer(a), builder.mul(tile.index, apart))
            c_rows = e.rows(c, builder.add(c_table, builder.mul(tile.index, _INDEX(8 * ROWS))), ROWS)
            source = e.at(e.pointer(ahead), builder.mul(tile.index, outer))
            for row in c_rows:
                for number in (0, COLUMNS - 1):
                    e.prefetch(e.at(row, number), to_write=True)
            sums = e.sums(c_rows, [None] * vectors)

            def step(at: Any) -> None:
                a_numbers, b_row = (e.at(base, builder.mul(at, _INDEX(width))) for base, width in (
                    (a_tile, ROWS), (e.pointer(b), vectors * LANES)))  # fmt: skip
                b_vectors = [e.load(e.at(b_row, v * LANES)) for v in range(vectors)]
                for m in range(ROWS):
                    x = e.splat(builder.load(e.at(a_numbers, m), typ=_FLOAT), _FLOAT)
                    for v in range(vectors):
                        e.multiply_add(x, b_vectors[v], sums[m][v])

            # Not all at once: they would take the place of what a is waiting for.
            with cgutils.for_range(builder, fetches) as term:
                place = e.at(source, builder.mul(term.index, inner))
                for row in (place, e.at(place, second)) if e.pairs else (place,):
                    for number in (0, COLUMNS - 1):
                        e.prefetch(e.at(row, number), to_write=False)
                first = builder.mul(term.index, _INDEX(at_once))
                for n in range(at_once):
                    step(builder.add(first, _INDEX(n)))
            first = builder.mul(fetches, _INDEX(at_once))
            loop(builder, builder.sub(k, first), lambda at: step(builder.add(first, at)), at_once)
            for row, places in zip(c_rows, sums, strict=True):
                before = builder.select(add, row, e.pointer(start))
                for v, (place, lanes) in enumerate(zip(places, counts, strict=True)):
                    value = e.load(e.at(before, v * LANES), None if lanes is None else e.first(lanes))
                    builder.store(builder.fadd(builder.load(place, typ=e.vector), value), place)
            e.finish(sums, c_rows, counts)
            done = builder.mul(tile.index, count)
            with cgutils.for_range(builder, e.least(builder.sub(copied, done), count)) as term:
                place = e.at(source, builder.mul(term.index, inner))
                to = e.at(e.pointer(target), builder.mul(builder.add(done, term.index), _INDEX(COLUMNS)))
                for v in range(VECTORS):
                    value = e.load(e.at(place, v * LANES))
                    if e.pairs:  # of two rows
                        value = e.pair(value, e.load(e.at(place, second, v * LANES)))
                    builder.store(value, e.at(to, v * LANES), align=4)

    return emit


def _channels(rows: int, vectors: int) -> Any:
    """With one vector, k of its lanes. Rows of a and c are fetched into the cache last // 2 numbers ahead."""

    def emit(e: _Emit, a: Any, a_table: Any, c: Any, c_table: Any, tiles: Any, b: Any, steps: Any, count: Any,
             k: Any, last: Any, start: Any) -> None:  # fmt: skip
        mask, counts = (e.first(k), [k]) if vectors == 1 else (None, [None] * vectors)
        add, ahead = e.builder.trunc(last, ir.IntType(1)), e.builder.ashr(last, _INDEX(1))
        final = e.entry(steps, e.builder.mul(e.builder.sub(count, _INDEX(1)), _INDEX(2)))
        with e.tiles(tiles, rows, a_table, c_table) as (a_place, c_place):
            a_rows, c_rows = e.rows(a, a_place, rows), e.rows(c, c_place, rows)
            for a_row, c_row in zip(a_rows, c_rows, strict=True):
                for line in range(0, vectors * LANES, 16):  # 64 bytes
                    e.prefetch(e.at(a_row, final, ahead, line), to_write=False)
                    e.prefetch(e.at(c_row, ahead, line), to_write=True)
            sums = e.sums(c_rows, counts, add, e.pointer(start))
            with e.steps(steps, count) as (a_step, b_step):
                b_row = [e.load(e.at(e.pointer(b), b_step, v * LANES), mask) for v in range(vectors)]
                for m in range(rows):
                    for v in range(vectors):
                        e.multiply_add(e.load(e.at(a_rows[m], a_step, v * LANES), mask), b_row[v], sums[m][v])
            e.finish(sums, c_rows, counts)

    return emit


def _dot(columns: int) -> Any:
    """Column n of b lies n·apart further."""
    rows = DOT_ROWS[columns - 1]

    def emit(e: _Emit, a: Any, a_table: Any, c: Any, c_table: Any, tiles: Any, b: Any, steps: Any, count: Any,
             k: Any, apart: Any, start: Any) -> None:  # fmt: skip
        builder = e.builder
        b_rows = [e.at(e.pointer(b), builder.mul(apart, _INDEX(n))) for n in range(columns)]
        whole = builder.and_(k, _INDEX(-LANES))
        mask = e.first(builder.sub(k, whole))
        begin = [builder.load(e.at(e.pointer(start), n), typ=_FLOAT) for n in range(columns)]
        with e.tiles(tiles, rows, a_table, c_table) as (a_place, c_place):
            a_rows = e.rows(a, a_place, rows)
            sums = e.sums(a_rows, [None] * columns)
            with e.steps(steps, count) as (a_step, b_step):

                def step(at: Any, mask: Any) -> None:
                    b_row = [e.load(e.at(row, b_step, at), mask) for row in b_rows]
                    for m in range(rows):
                        x = e.load(e.at(a_rows[m], a_step, at), mask)
                        for n in range(columns):
                            e.multiply_add(x, b_row[n], sums[m][n])

                with cgutils.for_range_slice(builder, _INDEX(0), whole, _INDEX(LANES), inc=True) as (at, _):
                    step(at, None)
                with builder.if_then(builder.icmp_signed("<", whole, k)):
                    step(whole, mask)
            for m, target in enumerate(e.rows(c, c_place, rows)):
                for n in range(columns):
                    total = builder.fadd(e.add_up(builder.load(sums[m][n], typ=e.vector)), begin[n])
                    builder.store(total, e.at(target, n), align=4)

    return emit


def turning(lanes: int) -> list[list[tuple[int, int, list[int]]]]:
    """Rounds that transpose a square of so many rows: from which two each new row is, and from which of their numbers.

    Single numbers, then pairs go between each other inside fours, at which processors are fast, and then the fours do.
    """
    fours, half = range(0, lanes, 4), lanes // 8

    def inside(order: list[int]) -> list[int]:
        return [first + n % 4 + n // 4 * lanes for first in fours for n in order]

    singles, pairs = ([inside(low), inside([n + 2 for n in low])] for low in ([0, 4, 1, 5], [0, 1, 4, 5]))
    between = [[4 * (n // 2 + high * half) + i + n % 2 * lanes for n in range(lanes // 4) for i in range(4)]
               for high in (0, 1)]  # fmt: skip
    return [
        [(n & ~1, n | 1, singles[n % 2]) for n in range(lanes)],
        [(first + n // 2, first + n // 2 + 2, pairs[n % 2]) for first in fours for n in range(4)],
        *[[(n // 8 * 4 + n % 4, (n // 8 + half) * 4 + n % 4, between[n // 4 % 2]) for n in range(lanes)]
          for _ in range(half.bit_length())],
    ]  # fmt: skip


def _turn(each: int) -> Any:
    """LANES·groups lines of LANES·across numbers, `line` apart; or of pairs, if there are two of `each`.

    What the last vector of a line writes too far belongs to the next line, and is written again there.
    """

    def emit(e: _Emit, a: Any, a_table: Any, c: Any, _: Any, groups: Any, __: Any, ___: Any, across: Any, ____: Any,
             line: Any, _____: Any) -> None:  # fmt: skip
        builder = e.builder
        with cgutils.for_range(builder, groups) as group, cgutils.for_range(builder, across) as place:
            lines = builder.mul(group.index, _INDEX(LANES))
            first = builder.mul(builder.sub(builder.sub(across, place.index), _INDEX(1)), _INDEX(LANES))
            table = builder.add(a_table, builder.mul(first, _INDEX(8)))
            rows = [e.at(row, *[lines] * each) for row in e.rows(a, table, LANES)]
            for row in rows:
                for part in range(each):
                    e.prefetch(e.at(row, _AHEAD + part * LANES), to_write=False)
            square = [e.load(row) for row in rows]
            if each == 2:
                square = [e.pair(value, e.load(e.at(row, LANES)), range(2 * LANES))
                          for value, row in zip(square, rows, strict=True)]  # fmt: skip
            for rows_of_round in turning(LANES):
                square = [builder.shuffle_vector(square[x], square[y], ir.Constant(ir.VectorType(_INT32, LANES), order))
                          for x, y, order in rows_of_round]  # fmt: skip
            target = e.at(e.pointer(c), builder.mul(lines, line), first)
            for n, row in enumerate(square):
                builder.store(row, e.at(target, builder.mul(line, _INDEX(n))), align=4)

    return emit


def _copy(vectors: int, each: int = 1) -> Any:
    """The first k numbers of each row and zeros, or pairs of `each` two rows; row m of c lies m·apart further."""

    def emit(e: _Emit, a: Any, a_table: Any, c: Any, _: Any, rows: Any, __: Any, ___: Any, ____: Any, k: Any,
             apart: Any, _____: Any) -> None:  # fmt: skip
        masks = [e.first(e.builder.sub(k, _INDEX(v * LANES))) for v in range(vectors)]
        with cgutils.for_range(e.builder, rows) as row:
            sources = [e.at(e.pointer(a), e.entry(a_table, e.builder.add(e.builder.mul(row.index, _INDEX(each)),
                                                                         _INDEX(n)))) for n in range(each)]
            values = [[e.load(e.at(source, v * LANES), mask) for v, mask in enumerate(masks)] for source in sources]
            values = [e.pair(*pair) for pair in zip(*values, strict=True)] if each == 2 else values[0]
            target = e.at(e.pointer(c), e.builder.mul(row.index, apart))
            for v, value in enumerate(values):
                e.builder.store(value, e.at(target, v * LANES), align=4)

    return emit


def _deal(e: _Emit, a: Any, _: Any, c: Any, __: Any, panels: Any, ___: Any, ____: Any, terms: Any, apart: Any,
          line: Any, _____: Any) -> None:  # fmt: skip
    """c's panels, `line` apart, get ROWS numbers each of all of a's terms, `apart`.

    And up to LANES - ROWS numbers beside them, which the next term is written over; the last ones stay.
    """
    builder = e.builder
    with cgutils.for_range(builder, terms) as term:
        source = e.at(e.pointer(a), *[builder.mul(term.index, apart)] * (1 + e.pairs))
        target = e.at(e.pointer(c), builder.mul(term.index, _INDEX(ROWS)))
        with cgutils.for_range(builder, panels) as panel:
            place = e.at(source, builder.mul(panel.index, _INDEX(ROWS)))
            value = e.load(place)
            if e.pairs:
                value = e.pair(value, e.load(e.at(place, apart)))
            builder.store(value, e.at(target, builder.mul(panel.index, line)), align=4)


def _couple(along: bool) -> Any:
    """c[l] = (a[2l], a[2l + 1]) if `along`, else (a[l], b[l]), for l < k; of b only `there` are, and zeros follow."""

    def emit(e: _Emit, a: Any, _: Any, c: Any, __: Any, ___: Any, b: Any, ____: Any, there: Any, k: Any, _____: Any,
             ______: Any) -> None:  # fmt: skip
        builder = e.builder
        store = e.declare(f"llvm.masked.store.v{LANES}f32.p0", ir.VoidType(), e.vector, _POINTER, _INT32,
                          e.first(k).type)  # fmt: skip
        with cgutils.for_range_slice(builder, _INDEX(0), k, _INDEX(LANES), inc=True) as (at, _):
            if along:
                end, place = builder.mul(k, _INDEX(2)), builder.mul(at, _INDEX(2))
                sources = (a, place, end), (a, builder.add(place, _INDEX(LANES)), end)
            else:
                sources = (a, at, k), (b, at, there)
            x, y = (e.load(e.at(e.pointer(base), place), e.first(builder.sub(end, place)))
                    for base, place, end in sources)
            value = e.pair(x, y, range(2 * LANES) if along else None)
            builder.call(store, [value, e.at(e.pointer(c), at), _INT32(4), e.first(builder.sub(k, at))])

    return emit


def _combine(e: _Emit, row: list[float], values: list[Any]) -> Any:
    """Σ row[j]·values[j], not all of row 0."""
    total: Any = None
    for factor, value in zip(row, values, strict=True):
        if factor in (1, -1) and total is not None:
            total = (e.builder.fadd if factor == 1 else e.builder.fsub)(total, value)
        elif factor == 1:
            total = value
        elif factor:
            constant = ir.Constant(e.vector, [float(factor)] * LANES)
            total = e.builder.fmul(value, constant) if total is None else e.fused(value, constant, total)
    return total


@contextmanager
def _squares(e: _Emit, size: tuple[int, int], many: int, a: Any, a_table: Any, c: Any, c_table: Any, squares: Any,
             factors: Any, rows: Any, k: Any, entries: Any, columns: Any) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """Of each vector of each square: the factors, a's rows by columns and terms, c's places, and where in them it is.

    a_table has `entries` rows of a for each square; c_table how far squares are apart in c, then where places begin.
    """
    builder = e.builder
    splats = [e.splat(builder.load(e.at(e.pointer(factors), t), typ=_FLOAT), _FLOAT) for t in range(size[1])]
    numbers = [[builder.add(e.entry(rows, _INDEX(t)), e.entry(columns, _INDEX(j))) for t in range(size[1])]
               for j in range(size[0])]  # fmt: skip
    apart, *to = (e.entry(c_table, _INDEX(p)) for p in range(many + 1))
    with cgutils.for_range(builder, squares) as square:
        table = builder.add(a_table, builder.mul(square.index, builder.mul(entries, _INDEX(8))))
        a_rows = [[e.at(e.pointer(a), e.entry(table, number)) for number in column] for column in numbers]
        places = [e.at(e.pointer(c), builder.mul(square.index, apart), place) for place in to]
        with cgutils.for_range(builder, k) as vector:
            yield splats, a_rows, places, builder.mul(vector.index, _INDEX(LANES))


def _line(matrix: Matrix, terms: int) -> Any:
    """Place p: Σ matrix[p, j] Σ factors[t]·a[rows[t] + columns[j]], k vectors in each of many squares."""

    def emit(e: _Emit, a: Any, a_table: Any, c: Any, c_table: Any, squares: Any, factors: Any, rows: Any, _: Any,
             k: Any, entries: Any, columns: Any) -> None:  # fmt: skip
        with _squares(e, (len(matrix[0]), terms), len(matrix), a, a_table, c, c_table, squares, factors, rows, k,
                      entries, columns) as (splats, sources, targets, at):  # fmt: skip
            values = []
            for column in sources:
                total = e.builder.fmul(splats[0], e.load(e.at(column[0], at)))
                for splat, source in zip(splats[1:], column[1:], strict=True):
                    total = e.fused(splat, e.load(e.at(source, at)), total)
                values.append(total)
            for row, target in zip(matrix, targets, strict=True):
                e.builder.store(_combine(e, row, values), e.at(target, at), align=4)

    return emit


def _made(matrix: Matrix) -> Any:
    """Two rows of a += factors[t] · Σ matrix[j, p] times place p of c, for columns j and two rows t of a square."""

    def emit(e: _Emit, a: Any, a_table: Any, c: Any, c_table: Any, squares: Any, factors: Any, rows: Any, _: Any,
             k: Any, entries: Any, columns: Any) -> None:  # fmt: skip
        with _squares(e, (len(matrix), 2), len(matrix[0]), a, a_table, c, c_table, squares, factors, rows, k, entries,
                      columns) as (splats, targets, sources, at):  # fmt: skip
            values = [e.load(e.at(source, at)) for source in sources]
            for row, column in zip(matrix, targets, strict=True):
                total = _combine(e, row, values)
                for splat, target in zip(splats, column, strict=True):
                    place = e.at(target, at)
                    e.builder.store(e.fused(splat, total, e.load(place)), place, align=4)

    return emit


# What `tile` computes: R rows of V vectors, the last one in part; fewer rows; one vector, in part; all of these flat; R
# rows of channels, or of one vector or less of them; lines from rows; copies of V vectors, of one; packed, in part, one
# vector; deal; dots of 1, 2, .. columns; for each form `made` and LINES. With pairs also: couples of two rows, and of
# neighbours; lines and copies that become pairs on the way.
FULL, PART, SHORT, HALF, HALF_PART, FLAT = range(6)
CHANNELS_FULL, CHANNELS_PART, TURN, COPY, COPY_HALF = range(2 * FLAT, 2 * FLAT + 5)
PACKED, PACKED_PART, PACKED_HALF, DEAL, DOT_ONE = range(2 * FLAT + 5, 2 * FLAT + 10)
MADE, READ, GRADIENT, WEIGHTS, TOTAL = (DOT_ONE + len(DOT_ROWS) + n * len(FORMS) for n in range(5))
_EMIT = (*[_outer(rows, vectors, part, flat) for flat in (False, True) for rows, vectors, part in (
    (ROWS, VECTORS, False), (ROWS, VECTORS, True), (FEW, VECTORS, False), (HALF_ROWS, 1, False), (HALF_ROWS, 1, True))],
         _channels(CHANNEL_ROWS, CHANNEL_VECTORS), _channels(CHANNEL_ROWS, 1), _turn(1), _copy(VECTORS), _copy(1),
         _packed(VECTORS, False), _packed(VECTORS, True), _packed(1, True), _deal,
         *[_dot(n + 1) for n in range(len(DOT_ROWS))],
         *[_made(form.made) for form in FORMS.values()],
         *[_line(matrix(form), terms(r)) for matrix, terms in LINES for r, form in FORMS.items()])  # fmt: skip
COUPLE_ROWS, COUPLE_ALONG, TURN_PAIRS, COPY_PAIRS, COPY_PAIRS_HALF = range(len(_EMIT), len(_EMIT) + 5)
_EMIT_PAIRS = _couple(False), _couple(True), _turn(2), _copy(VECTORS, 2), _copy(1, 2)


def _any(pairs: bool) -> Any:
    @_pasted
    def any_tile(typing, which, numbers):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            values = cgutils.unpack_tuple(builder, arguments[1])
            end = builder.append_basic_block("end")
            switch = builder.switch(arguments[0], end)
            for number, emit in enumerate(_EMIT + _EMIT_PAIRS if pairs else _EMIT):
                if pairs and MADE <= number < COUPLE_ROWS:
                    continue  # of float32 alone
                block = builder.append_basic_block(f"tile_{number}")
                switch.add_case(_INDEX(number), block)
                builder.position_at_end(block)
                emit(_Emit(builder, pairs), *values)
                builder.branch(end)
            builder.position_at_end(end)
            return context.get_dummy_value()

        return types.void(types.intp, types.UniTuple(types.intp, 11)), codegen

    return any_tile


_any_tile, _any_tile_of_pairs = _any(False), _any(True)


def _tile(which, a, a_table, c, c_table, tiles, b, steps, count, k, last, start):  # type: ignore[no-untyped-def]
    """Tiles of one of these kinds. last: whether to add to c instead of the row at `start`; but `apart` or `line`."""
    _any_tile(which, (a, a_table, c, c_table, tiles, b, steps, count, k, last, start))


def _tile_of_pairs(which, a, a_table, c, c_table, tiles, b, steps, count, k, last, start):  # type: ignore[no-untyped-def]
    """The same where a and b consist of pairs of bfloat16, in the place of one float each."""
    _any_tile_of_pairs(which, (a, a_table, c, c_table, tiles, b, steps, count, k, last, start))


def address_of(function: Callable[..., None], signature: Any) -> int:
    """The function's machine code, kept on disk as in compiling.py."""
    function.__qualname__ += "_" + SOURCES
    compile_ = partial(numba.cfunc, signature, error_model="numpy", pipeline_class=WholeCompiler)
    try:
        code: Any = compile_(cache=True)(function)
    except RuntimeError:
        code = compile_()(function)
    return int(code.address)


TILE = 0 if DISABLE_JIT else address_of(_tile, types.void(*[types.intp] * 12))


@cache
def tile_of_pairs() -> int:
    """Compiled when it is first asked for: where a processor has no AVX512-BF16, LLVM could not."""
    return address_of(_tile_of_pairs, types.void(*[types.intp] * 12))


def padded_width(columns: int) -> int:
    """What a panel that holds `columns` columns is padded to."""
    return 0 if columns <= 0 else LANES if columns <= LANES else COLUMNS


panel_width = compiled(padded_width)  # for compiled code


@compiled
def panel(a: int, a_rows: Array, b: int, steps: Array, count: int, target: int, c_rows: Array, rows: int, columns: int,
          k: int, start: int, tile: int) -> None:  # fmt: skip
    """What `multiply` does for a panel. steps: offsets of numbers in a and b; k = 0 if each of them is one term."""
    width = panel_width(columns)
    height = ROWS if width == COLUMNS else HALF_ROWS
    short = columns == COLUMNS and 0 < rows % ROWS <= FEW
    tiles = (rows + height - 1) // height - short
    whole = columns == width
    which = ((FULL if whole else PART) if width == COLUMNS else HALF if whole else HALF_PART) + (0 if k else FLAT)
    last = (start == 0) + (0 if whole else 2 * columns)
    k, start = max(1, k), start if start else target
    call(tile, (which, a, a_rows.ctypes.data, target, c_rows.ctypes.data, tiles, b, steps.ctypes.data, count, k, last,
                start))
    if short:
        done = 8 * tiles * ROWS
        call(tile, (which - FULL + SHORT, a, a_rows.ctypes.data + done, target, c_rows.ctypes.data + done, 1, b,
                    steps.ctypes.data, count, k, last, start))


@compiled
def multiply(a: int, a_rows: Array, b: int, positions: int, steps: Array, count: int, first: int, c: Array,
              c_shift: int, c_rows: Array, rows: int, columns: int, k: int, start: int, tile: int) -> None:  # fmt: skip
    """c[rows, columns] = what is at `start`, or where that is 0 c, + a · b, panel by panel of `positions` rows.

    steps: offsets in a, rows of b, plus `first`. Both tables of rows go on to a whole tile, with rows that do no harm.
    """
    short_sums = k <= _SHORT  # have a step for each of their terms
    terms = k if short_sums else 1
    wide = np.empty((count * terms, 2), np.int64)
    for t in range(0, columns, COLUMNS):
        here = min(COLUMNS, columns - t)
        width = panel_width(here)
        if t == 0 or width < COLUMNS:
            for i in range(count):
                for j in range(terms):
                    wide[i * terms + j, 0] = steps[i, 0] + first + j
                    wide[i * terms + j, 1] = (steps[i, 1] + first + j) * width
        panel(a, a_rows, b + 4 * t * positions, wide, len(wide), c.ctypes.data + 4 * (c_shift + t), c_rows, rows, here,
              0 if short_sums else k, start + 4 * t if start else start, tile)  # fmt: skip
    keep((wide,))
