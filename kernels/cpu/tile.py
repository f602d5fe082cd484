"""The register tiles under the convolutions: a few rows of sums stay in registers while three loops run.

    outer      c[m, n] (+)= Σ a[m, i, j, l] · b[i, j, l, n]     n over V vectors: R numbers of a meet V vectors of b
    channels   c[m, n] (+)= Σ a[m, i, j, n] · b[i, j, n]        lane by lane, as in a depthwise convolution
    dot        c[m, n]    = Σ a[m, i, j, l] · b[n, i, j, l]     few columns: the lanes run along l

over i < k3, j < k2, l < k. Step (i, j) reads a at i·a3 + j·a2 and b at i·b3 + j·b2; l is next to l + 1 in a. The rows
are wherever a table of offsets says: neighbouring pixels, one pixel of many images, or taps of a window.

A step of `outer` loads V vectors of b and R broadcast numbers of a for R·V multiply-adds: 8 loads for 12 on AVX2, 14
for 24 on AVX-512, so their units and not the loads are what limits it. Numba's own loops would not keep the sums in
registers, so the tiles are written as LLVM instructions. a, b, c and the tables of rows are addresses; offsets and
strides count floats.
"""

from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.config import DISABLE_JIT  # type: ignore[attr-defined]
from numba.extending import intrinsic

from .threads import _sources

_pasted: Any = intrinsic  # a function that writes its caller's LLVM instructions

_INDEX, _INT32, _FLOAT, _POINTER = ir.IntType(64), ir.IntType(32), ir.FloatType(), ir.PointerType()


def _has(feature: str) -> bool:
    """Whether Numba compiles for a processor with this feature."""
    target = numba.core.registry.cpu_target.target_context.codegen()
    return f"+{feature}" in target._tm_features.split(",")


# AVX-512 has 32 registers of 16 floats: 24 hold sums. AVX2 has 16 of 8: 12 hold sums. NEON has 32 of 4; 16 hold sums.
LANES = 16 if _has("avx512f") else 8 if _has("avx2") else 4
_FUSED = _has("fma") or _has("neon")  # elsewhere a fused multiply-add is a call into the C library
ROWS, VECTORS = (12, 2) if LANES == 16 else (6, 2) if LANES == 8 else (4, 4)
COLUMNS = VECTORS * LANES
FEW = 4  # rows of the shorter outer tile; with fewer, each sum waits for itself, and none would be faster
DOT_ROWS = (8, 6, 4, 3)  # of `dot`, with 1, 2, .. columns
CHANNEL_ROWS, CHANNEL_VECTORS = 3, 4  # of `channels`
CHANNELS = CHANNEL_VECTORS * LANES


class _Emit:
    """LLVM instructions on vectors of LANES floats."""

    def __init__(self, builder: Any):
        self.builder, self.vector = builder, ir.VectorType(_FLOAT, LANES)
        self.zero = ir.Constant(self.vector, [0.0] * LANES)

    def declare(self, name: str, result: Any, *parameters: Any) -> Any:
        return cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(result, parameters), name)

    def at(self, base: Any, *offsets: Any, kind: Any = _FLOAT) -> Any:
        for offset in offsets:
            base = self.builder.gep(base, [_INDEX(offset) if isinstance(offset, int) else offset], source_etype=kind)
        return base

    def rows(self, base: Any, table: Any, count: int) -> list[Any]:
        base, table = (self.builder.inttoptr(address, _POINTER) for address in (base, table))
        return [self.at(base, self.builder.load(self.at(table, m, kind=_INDEX), typ=_INDEX)) for m in range(count)]

    def load(self, place: Any) -> Any:
        return self.builder.load(place, typ=self.vector, align=4)

    def splat(self, value: Any, kind: Any) -> Any:
        undefined = ir.Constant(ir.VectorType(kind, LANES), ir.Undefined)
        order = ir.Constant(ir.VectorType(_INT32, LANES), [0] * LANES)
        return self.builder.shuffle_vector(self.builder.insert_element(undefined, value, _INT32(0)), undefined, order)

    def first(self, count: Any) -> Any:
        """The mask of the first `count` lanes."""
        numbers = ir.Constant(ir.VectorType(_INDEX, LANES), list(range(LANES)))
        return self.builder.icmp_signed("<", numbers, self.splat(count, _INDEX))

    def masked_load(self, place: Any, mask: Any) -> Any:
        load = self.declare(f"llvm.masked.load.v{LANES}f32.p0", self.vector, _POINTER, _INT32, mask.type, self.vector)
        return self.builder.call(load, [place, _INT32(4), mask, self.zero])

    def masked_store(self, value: Any, place: Any, mask: Any) -> None:
        store = self.declare(f"llvm.masked.store.v{LANES}f32.p0", ir.VoidType(), self.vector, _POINTER, _INT32,
                             mask.type)  # fmt: skip
        self.builder.call(store, [value, place, _INT32(4), mask])

    def multiply_add(self, x: Any, y: Any, place: Any) -> None:
        """The sum in the register `place` += x·y."""
        total = self.builder.load(place, typ=self.vector)
        if _FUSED:
            fma = self.declare(f"llvm.fma.v{LANES}f32", *[self.vector] * 4)
            total = self.builder.call(fma, [x, y, total])
        else:
            total = self.builder.fadd(self.builder.fmul(x, y), total)
        self.builder.store(total, place)

    def sums(self, rows: int, columns: int) -> list[list[Any]]:
        places = [[cgutils.alloca_once(self.builder, self.vector) for _ in range(columns)] for _ in range(rows)]
        for row in places:
            for place in row:
                self.builder.store(self.zero, place)
        return places

    def add_up(self, value: Any) -> Any:
        """The sum of the lanes, pairwise."""
        half = LANES // 2
        while half:
            order = [n + half if n < half else n for n in range(LANES)]
            upper = self.builder.shuffle_vector(value, value, ir.Constant(ir.VectorType(_INT32, LANES), order))
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


def _tables(rows: int, emit: Callable[..., None]) -> Callable[..., None]:
    """`emit` for one tile after the other: the tables of the next one begin `rows` entries further."""

    def emit_all(e: _Emit, a: Any, a_table: Any, c: Any, c_table: Any, tiles: Any, *rest: Any) -> None:
        with cgutils.for_range(e.builder, tiles) as tile:
            on = e.builder.mul(tile.index, _INDEX(8 * rows))
            emit(e, a, e.builder.add(a_table, on), c, e.builder.add(c_table, on), *rest)

    return emit_all


def _outer(rows: int, vectors: int) -> Any:
    def emit(e: _Emit, a: Any, a_table: Any, c: Any, c_table: Any, a3: Any, a2: Any, b: Any, b3: Any, b2: Any,
             k3: Any, k2: Any, k: Any, add: Any) -> None:  # fmt: skip
        builder, width = e.builder, vectors * LANES
        sums = e.sums(rows, vectors)
        a_rows, base = e.rows(a, a_table, rows), builder.inttoptr(b, _POINTER)
        with cgutils.for_range(builder, k3) as outer, cgutils.for_range(builder, k2) as middle:
            a_now = builder.add(builder.mul(outer.index, a3), builder.mul(middle.index, a2))
            b_now = builder.add(builder.mul(outer.index, b3), builder.mul(middle.index, b2))
            with cgutils.for_range(builder, k) as inner:
                place = e.at(base, builder.add(b_now, builder.mul(inner.index, _INDEX(width))))
                b_row = [e.load(e.at(place, v * LANES)) for v in range(vectors)]
                for m in range(rows):
                    x = builder.load(e.at(a_rows[m], builder.add(a_now, inner.index)), typ=_FLOAT)
                    x = e.splat(x, _FLOAT)
                    for v in range(vectors):
                        e.multiply_add(x, b_row[v], sums[m][v])
        targets = e.rows(c, c_table, rows)
        _finish(e, sums, targets, add, None)

    return _tables(rows, emit)


def _channels(rows: int, vectors: int) -> Any:
    """Its last vector has `lanes` lanes."""

    def emit(e: _Emit, a: Any, a_table: Any, c: Any, c_table: Any, a3: Any, a2: Any, b: Any, b3: Any, b2: Any,
             k3: Any, k2: Any, lanes: Any, add: Any) -> None:  # fmt: skip
        builder = e.builder
        sums = e.sums(rows, vectors)
        a_rows, base = e.rows(a, a_table, rows), builder.inttoptr(b, _POINTER)
        mask = e.first(lanes) if vectors == 1 else None

        def load(place: Any) -> Any:
            return e.load(place) if mask is None else e.masked_load(place, mask)

        with cgutils.for_range(builder, k3) as outer, cgutils.for_range(builder, k2) as middle:
            a_now = builder.add(builder.mul(outer.index, a3), builder.mul(middle.index, a2))
            b_now = builder.add(builder.mul(outer.index, b3), builder.mul(middle.index, b2))
            b_row = [load(e.at(base, b_now, v * LANES)) for v in range(vectors)]
            for m in range(rows):
                for v in range(vectors):
                    e.multiply_add(load(e.at(a_rows[m], a_now, v * LANES)), b_row[v], sums[m][v])
        _finish(e, sums, e.rows(c, c_table, rows), add, mask)

    return _tables(rows, emit)


def _finish(e: _Emit, sums: Any, targets: Any, add: Any, mask: Any) -> None:
    def places() -> Any:
        for m, row in enumerate(sums):
            for v, total in enumerate(row):
                yield total, e.at(targets[m], v * LANES)

    with e.builder.if_then(e.builder.icmp_signed("!=", add, _INDEX(0))):
        for total, target in places():
            old = e.load(target) if mask is None else e.masked_load(target, mask)
            e.builder.store(e.builder.fadd(old, e.builder.load(total, typ=e.vector)), total)
    for total, target in places():
        value = e.builder.load(total, typ=e.vector)
        if mask is None:
            e.builder.store(value, target, align=4)
        else:
            e.masked_store(value, target, mask)


def _dot(columns: int) -> Any:
    """Column n of b lies n·b4 further."""
    rows = DOT_ROWS[columns - 1]

    def emit(e: _Emit, a: Any, a_table: Any, c: Any, c_table: Any, a3: Any, a2: Any, b: Any, b3: Any, b2: Any,
             k3: Any, k2: Any, k: Any, b4: Any) -> None:  # fmt: skip
        builder = e.builder
        sums = e.sums(rows, columns)
        a_rows, base = e.rows(a, a_table, rows), builder.inttoptr(b, _POINTER)
        b_rows = [e.at(base, builder.mul(b4, _INDEX(n))) for n in range(columns)]
        whole = builder.and_(k, _INDEX(-LANES))
        mask = e.first(builder.sub(k, whole))
        with cgutils.for_range(builder, k3) as outer, cgutils.for_range(builder, k2) as middle:
            a_now = builder.add(builder.mul(outer.index, a3), builder.mul(middle.index, a2))
            b_now = builder.add(builder.mul(outer.index, b3), builder.mul(middle.index, b2))

            def step(at: Any, load: Callable[[Any], Any]) -> None:
                b_row = [load(e.at(row, builder.add(b_now, at))) for row in b_rows]
                for m in range(rows):
                    x = load(e.at(a_rows[m], builder.add(a_now, at)))
                    for n in range(columns):
                        e.multiply_add(x, b_row[n], sums[m][n])

            with cgutils.for_range_slice(builder, _INDEX(0), whole, _INDEX(LANES), inc=True) as (at, _):
                step(at, e.load)
            with builder.if_then(builder.icmp_signed("<", whole, k)):
                step(whole, lambda place: e.masked_load(place, mask))
        for m, target in enumerate(e.rows(c, c_table, rows)):
            for n in range(columns):
                builder.store(e.add_up(builder.load(sums[m][n], typ=e.vector)), e.at(target, n), align=4)

    return _tables(rows, emit)


def _turn(e: _Emit, a: Any, a_table: Any, c: Any, _: Any, __: Any, line: Any, ___: Any, *rest: Any) -> None:
    """LANES·k3 lines of LANES·k2 numbers, of c, `line` apart: number p of line n is n floats after where row p says.

    What the last vector of a line writes too far belongs to the next line, and is written again there.
    """
    builder = e.builder
    groups, across = rest[3], rest[4]
    with cgutils.for_range(builder, groups) as group, cgutils.for_range(builder, across) as place:
        lines = builder.mul(group.index, _INDEX(LANES))
        first = builder.mul(builder.sub(builder.sub(across, place.index), _INDEX(1)), _INDEX(LANES))
        table = builder.add(a_table, builder.mul(first, _INDEX(8)))
        square = [e.load(e.at(row, lines)) for row in e.rows(a, table, LANES)]
        low, high = ([n // 2 + half + LANES * (n % 2) for n in range(LANES)] for half in (0, LANES // 2))
        low, high = (ir.Constant(ir.VectorType(_INT32, LANES), order) for order in (low, high))
        for _ in range(LANES.bit_length() - 1):  # each interleaves the first half of the rows with the second
            pairs = list(zip(square[: LANES // 2], square[LANES // 2 :], strict=True))
            square = [builder.shuffle_vector(x, y, order) for x, y in pairs for order in (low, high)]
        target = e.at(builder.inttoptr(c, _POINTER), builder.mul(lines, line), first)
        for n, row in enumerate(square):
            builder.store(row, e.at(target, builder.mul(line, _INDEX(n))), align=4)


def _copy(e: _Emit, a: Any, _: Any, c: Any, __: Any, ___: Any, a3: Any, a2: Any, ____: Any, c3: Any, c2: Any,
          k3: Any, k2: Any, *rest: Any) -> None:  # fmt: skip
    """COLUMNS floats from a + i·a3 + j·a2 to c + i·c3 + j·c2, for i < k3, j < k2."""
    builder = e.builder
    with cgutils.for_range(builder, k3) as outer, cgutils.for_range(builder, k2) as inner:
        source, target = (
            e.at(builder.inttoptr(base, _POINTER), builder.mul(outer.index, far), builder.mul(inner.index, near))
            for base, far, near in ((a, a3, a2), (c, c3, c2)))  # fmt: skip
        row = [e.load(e.at(source, v * LANES)) for v in range(VECTORS)]
        for v, value in enumerate(row):
            builder.store(value, e.at(target, v * LANES), align=4)


# What `tile` computes: R rows of V vectors; fewer rows; one vector. R rows of channels; of one vector or less of them.
FULL, SHORT, HALF, CHANNELS_FULL, CHANNELS_PART, TURN, COPY, DOT_ONE = range(8)  # then dots of 2, .. columns
_EMIT = (_outer(ROWS, VECTORS), _outer(FEW, VECTORS), _outer(ROWS, 1), _channels(CHANNEL_ROWS, CHANNEL_VECTORS),
         _channels(CHANNEL_ROWS, 1), _turn, _copy, *[_dot(n + 1) for n in range(len(DOT_ROWS))])  # fmt: skip


@_pasted
def _any_tile(typing, which, numbers):  # type: ignore[no-untyped-def]
    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        values = cgutils.unpack_tuple(builder, arguments[1])
        end = builder.append_basic_block("end")
        switch = builder.switch(arguments[0], end)
        for number, emit in enumerate(_EMIT):
            block = builder.append_basic_block(f"tile_{number}")
            switch.add_case(_INDEX(number), block)
            builder.position_at_end(block)
            emit(_Emit(builder), *values)
            builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return types.void(types.intp, types.UniTuple(types.intp, 14)), codegen


def _tile(which, a, a_table, c, c_table, tiles, a3, a2, b, b3, b2, k3, k2, k, last):  # type: ignore[no-untyped-def]
    """Tiles of one of these kinds; last: for `dot` b4, for the others whether to add to c."""
    _any_tile(which, (a, a_table, c, c_table, tiles, a3, a2, b, b3, b2, k3, k2, k, last))


def _address_of(function: Callable[..., None]) -> int:
    """The function of 15 integers as machine code, kept on disk as in threads.py."""
    function.__qualname__ += "_" + _sources
    signature = types.void(*[types.intp] * 15)
    try:
        code: Any = numba.cfunc(signature, cache=True)(function)
    except RuntimeError:
        code = numba.cfunc(signature)(function)
    return int(code.address)


TILE = 0 if DISABLE_JIT else _address_of(_tile)
