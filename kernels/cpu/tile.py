"""The register tile under the convolutions: R rows by V vectors of sums stay in registers while three loops run.

    c[m, n] (+)= Σ_{i < k3} Σ_{j < k2} Σ_{l < k} a[m·am + i·a3 + j·a2 + l·a1] · b[i·b3 + j·b2 + l·b1 + n]

Every step of the inner loop loads V vectors of b, broadcasts R numbers of a, and does R·V multiply-adds of L lanes:
with AVX-512 12 × 2 × 16, so 14 loads for 24 multiply-adds, which their units, not the loads, then limit. a is read
where it lies: no column matrix, no packing. Columns past the last are masked, neither read nor written.

Numba's own loops would not keep a tile in registers, so the tile is written as LLVM instructions. Addresses and
strides are integers; strides count elements.
"""

from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

_INDEX, _INT32, _BIT, _FLOAT = ir.IntType(64), ir.IntType(32), ir.IntType(1), ir.FloatType()


def _has(feature: str) -> bool:
    """Whether Numba compiles for a processor with this feature."""
    target = numba.core.registry.cpu_target.target_context.codegen()
    return f"+{feature}" in target._tm_features.split(",")


# AVX-512 has 32 registers of 16 floats: 24 hold sums. AVX2 has 16 of 8: 12 hold sums. NEON has 32 of 4; 16 hold sums.
LANES = 16 if _has("avx512f") else 8 if _has("avx2") else 4
_FUSED = _has("fma") or _has("neon")  # elsewhere a fused multiply-add is a call into the C library
ROWS, VECTORS = (12, 2) if LANES == 16 else (6, 2) if LANES == 8 else (4, 4)
COLUMNS = VECTORS * LANES


def _make_tile(rows: int, vectors: int, lanes: int) -> Any:
    vector, mask = ir.VectorType(_FLOAT, lanes), ir.VectorType(_BIT, lanes)

    @intrinsic
    def tile(typing, a, am, a3, a2, a1, b, b3, b2, b1, c, cm, columns, k3, k2, k, add):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            a, am, a3, a2, a1, b, b3, b2, b1, c, cm, columns, k3, k2, k, add = arguments
            module, pointer = builder.module, ir.PointerType()
            undefined, zero = ir.Constant(vector, ir.Undefined), ir.Constant(vector, [0.0] * lanes)

            def declare(name: str, result: Any, parameters: list[Any]) -> Any:
                return cgutils.get_or_insert_function(module, ir.FunctionType(result, parameters), name)

            kind = f"v{lanes}f32"
            fma = declare(f"llvm.fma.{kind}", vector, [vector] * 3)
            load = declare(f"llvm.masked.load.{kind}.p0", vector, [pointer, _INT32, mask, vector])
            store = declare(f"llvm.masked.store.{kind}.p0", ir.VoidType(), [vector, pointer, _INT32, mask])
            align = _INT32(4)

            def multiply_add(x: Any, y: Any, total: Any) -> Any:
                return builder.call(fma, [x, y, total]) if _FUSED else builder.fadd(builder.fmul(x, y), total)

            def address(base: Any, *terms: tuple[Any, Any]) -> Any:
                for count, stride in terms:
                    base = builder.add(base, builder.mul(builder.mul(count, stride), _INDEX(4)))
                return base

            def splat(value: Any, kind: Any) -> Any:
                one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, _INT32(0))
                order = ir.Constant(ir.VectorType(_INT32, lanes), [0] * lanes)
                return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), order)

            wide = ir.VectorType(_INDEX, lanes)
            masks = [
                builder.icmp_signed("<", ir.Constant(wide, [v * lanes + n for n in range(lanes)]), splat(columns, wide))
                for v in range(vectors)
            ]
            sums = [[cgutils.alloca_once(builder, vector) for _ in range(vectors)] for _ in range(rows)]
            targets = [[builder.inttoptr(address(c, (cm, _INDEX(m)), (_INDEX(v * lanes), _INDEX(1))), pointer)
                        for v in range(vectors)] for m in range(rows)]
            with builder.if_else(builder.icmp_signed("!=", add, _INDEX(0))) as (more, fresh):
                with more:
                    for m in range(rows):
                        for v in range(vectors):
                            builder.store(builder.call(load, [targets[m][v], align, masks[v], zero]), sums[m][v])
                with fresh:
                    for m in range(rows):
                        for v in range(vectors):
                            builder.store(zero, sums[m][v])
            with cgutils.for_range(builder, k3) as outer, cgutils.for_range(builder, k2) as middle:
                a_row = address(a, (outer.index, a3), (middle.index, a2))
                b_row = address(b, (outer.index, b3), (middle.index, b2))
                with cgutils.for_range(builder, k) as inner:
                    a_now, b_now = address(a_row, (inner.index, a1)), address(b_row, (inner.index, b1))
                    places = [address(b_now, (_INDEX(v * lanes), _INDEX(1))) for v in range(vectors)]
                    row = [builder.call(load, [builder.inttoptr(place, pointer), align, masks[v], undefined])
                           for v, place in enumerate(places)]
                    for m in range(rows):
                        x = builder.load(builder.inttoptr(address(a_now, (am, _INDEX(m))), pointer), typ=_FLOAT)
                        x = splat(x, vector)
                        for v in range(vectors):
                            total = builder.load(sums[m][v], typ=vector)
                            builder.store(multiply_add(x, row[v], total), sums[m][v])
            for m in range(rows):
                for v in range(vectors):
                    total = builder.load(sums[m][v], typ=vector)
                    builder.call(store, [total, targets[m][v], align, masks[v]])
            return context.get_dummy_value()

        return types.void(*[types.intp] * 16), codegen

    return tile


wide_full, wide_four, wide_one = (_make_tile(rows, VECTORS, LANES) for rows in (ROWS, 4, 1))
narrow_full, narrow_four, narrow_one = (_make_tile(rows, 1, 4) for rows in (ROWS, 4, 1))
