"""c = a b in float32: a layer's batch of some hundred rows, and weights that are not in a cache any more.

    for a block of a, some 256 rows and terms:      copied, and stays in the second cache
        for a panel of b, COLUMNS columns of it:    copied, and stays in the first
            for each tile of c's part:              add up the terms

Both are copied in the order in which a tile reads them (`packed` in tile.py): rows that lie a power of two apart push
each other out of a cache. A number of b serves 2 m operations, so that a product of m = 64 to 256 rows would wait for
b. So the tiles of a panel fetch the next one from memory while they compute, a few terms each, and copy them when they
are done.

Terms are cut at the same places whatever part of c is computed: each number is the same sum for any number of threads.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import binding
from numba.core import types
from numba.core.config import DISABLE_JIT  # type: ignore[attr-defined]

from .compiling import compiled
from .tile import (
    COLUMNS,
    COPY,
    COPY_HALF,
    COPY_PAIRS,
    COPY_PAIRS_HALF,
    DEAL,
    LANES,
    PACKED,
    PACKED_HALF,
    PACKED_PART,
    ROWS,
    TURN,
    TURN_PAIRS,
    address_of,
    call,
    panel_width,
)

Array = Any

_ROWS, _TERMS = 264 // ROWS * ROWS, 256  # of a block, at most: half of a second cache of 512 KB
_LINE = 16  # numbers that are fetched at once

# Of a product's memory, in words: offsets of rows of c; what `packed` asks for; zeros; a row for what is not there; two
# panels; a block. In front a table for what copies.
_OF_C = 2 * max(_TERMS, LANES * COLUMNS)
_FOLLOWING = _OF_C + _ROWS
_ZEROS = _FOLLOWING + 6
_SPARE = _ZEROS + COLUMNS // 2
_PANELS = _SPARE + COLUMNS // 2
_BLOCK = _PANELS + COLUMNS * _TERMS + LANES + 8  # and what aligns a panel to 64 bytes
WORDS = _BLOCK + (_ROWS * (_TERMS + 1) + LANES) // 2

_gemm: Any = types.ExternalFunction("tinyart_sgemm", types.void(*[types.intp] * 15))  # the last one is a pointer there


@compiled
def sgemm(a: int, lda: int, a_turned: bool, b: int, ldb: int, b_turned: bool, c: int, ldc: int, m: int, n: int, k: int,
          memory: Array, how: tuple[int, int]) -> None:  # fmt: skip
    """c[m, n] = Σ a[m, k] b[k, n], k > 0: addresses, and floats from a row to the next. A turned factor is there as its
    columns. memory: WORDS integers of 8 bytes. how: (TILE, 1); (tile_of_pairs(), 2) rounds the factors to bfloat16."""
    tile, each = how
    _gemm(a, lda, a_turned, b, ldb, b_turned, c, ldc, m, n, k, tile, each, memory.ctypes.data, memory.ctypes.data)


@compiled
def _pack(source: int, apart: int, along: int, width: int, there: int, terms: int, target: int, memory: int,
          table: Array, tile: int, each: int, missing: int) -> None:  # fmt: skip
    """target[l, w] = source[w·apart + l] if `along`, else source[l·apart + w], for l < terms and w < width.

    Only `there` of the width are. Up to LANES numbers after the target's end are overwritten. If `each` is 2, what is
    at l is the pair of 2l and 2l + 1, whose last one may be missing.
    """
    turn, copy, copy_half = (TURN, COPY, COPY_HALF) if each == 1 else (TURN_PAIRS, COPY_PAIRS, COPY_PAIRS_HALF)
    zeros = (memory + 8 * _ZEROS - source) // 4
    if along:
        vectors = (width + LANES - 1) // LANES
        for w in range(vectors * LANES):
            table[w] = min(w, there - 1) * apart
        whole = (terms - missing) // LANES * LANES
        call(tile, (turn, source, memory, target, 0, whole // LANES, 0, 0, vectors, 0, width, 0))
        place = 0  # number by number
        for term in range(whole, terms):
            for w in range(width):
                for number in range(term * each, term * each + each):
                    table[place] = min(w, there - 1) * apart + number
                    place += 1
                if missing and term + 1 == terms:
                    table[place - 1] = zeros
        call(tile, (copy_half, source, memory, target + 4 * whole * width, 0, place // each, 0, 0, 0, 1, 1, 0))
    else:
        for number in range(terms * each):
            table[number] = number * apart
        if missing:
            table[terms * each - 1] = zeros
        call(tile, (copy if width > LANES else copy_half, source, memory, target, 0, terms, 0, 0, 0, there, width, 0))


@compiled
def _evenly(length: int, most: int, unit: int) -> int:
    """The length of parts, of whole units and up to `most`, which a multiple of the unit is."""
    parts = (length + most - 1) // most
    return (length + parts * unit - 1) // (parts * unit) * unit


def _sgemm(a, lda, a_turned, b, ldb, b_turned, c, ldc, m, n, k, tile, each, memory, pointer):  # type: ignore[no-untyped-def]
    table = numba.carray(pointer, WORDS)
    for word in range(_ZEROS, _SPARE):
        table[word] = 0
    panel = (memory + 8 * _PANELS + 63) // 64 * 64
    other = panel + 4 * (COLUMNS * _TERMS + LANES)
    block = memory + 8 * _BLOCK
    a_row = 1 if a_turned else lda
    a_term = each * (lda if a_turned else 1)
    b_column = ldb if b_turned else 1
    b_term = each * (1 if b_turned else ldb)
    missing, k = each * ((k + each - 1) // each) - k, (k + each - 1) // each
    of_block, of_tile, of_terms, of_lanes = np.int64(_ROWS), np.int64(ROWS), np.int64(_TERMS), np.int64(LANES)
    rows, terms = _evenly(m, of_block, of_tile), _evenly(k, of_terms, of_lanes)  # compiled once, for variables
    _pack(b, ldb, b_turned, panel_width(n), min(COLUMNS, n), min(terms, k), panel, memory, table, tile, each,
          missing if terms >= k else 0)  # fmt: skip
    for i in range(0, m, rows):
        high = min(rows, m - i)
        tiles = (high + ROWS - 1) // ROWS
        for term in range(0, k, terms):
            long = min(terms, k - term)
            from_here = a + 4 * (i * a_row + term * a_term)
            lacking = missing if term + terms >= k else 0
            # As far as LANES numbers are there.
            dealt = max(0, high + ROWS - LANES) // ROWS if a_turned and lacking == 0 else 0
            call(tile, (DEAL, from_here, 0, block, 0, dealt, 0, 0, long, lda, ROWS * (long + 1), 0))
            for r in range(dealt * ROWS, high, ROWS):
                _pack(from_here + 4 * r * a_row, lda, 1 - a_turned, of_tile, min(ROWS, high - r), long,
                      block + 4 * r * (long + 1), memory, table, tile, each, lacking)  # fmt: skip
            for r in range(high):
                table[_OF_C + r] = r * ldc
            for j in range(0, n, COLUMNS):
                wide, to = min(COLUMNS, n - j), c + 4 * (i * ldc + j)
                for r in range(high, tiles * ROWS):
                    table[_OF_C + r] = (memory + 8 * _SPARE - to) // 4
                next_j, next_term, next_long = j + COLUMNS, term, long
                if next_j >= n:
                    next_j, next_term = 0, term + terms
                    if next_term >= k:
                        next_term = 0
                    next_long = min(terms, k - next_term) if next_term > 0 or i + rows < m else 0
                ahead = b + 4 * (next_j * b_column + next_term * b_term)
                lacking = missing if next_term + terms >= k else 0
                by_tiles = not b_turned and n - next_j >= COLUMNS and lacking == 0
                count = (next_long + tiles - 1) // tiles
                table[_FOLLOWING], table[_FOLLOWING + 1], table[_FOLLOWING + 4] = count * each * ldb, each * ldb, ldb
                if b_turned:  # a line of each column to a tile, or two
                    count, table[_FOLLOWING] = COLUMNS if next_long > 0 else 0, each * _LINE
                    table[_FOLLOWING + 1], table[_FOLLOWING + 4] = ldb, _LINE
                table[_FOLLOWING + 2], table[_FOLLOWING + 3] = next_long if by_tiles else 0, other
                which = PACKED if wide == COLUMNS else PACKED_PART if wide > LANES else PACKED_HALF
                call(tile, (which, block, ahead, to, memory + 8 * _OF_C, tiles, panel, memory + 8 * _FOLLOWING, count,
                            long, 2 * wide + (term > 0), memory + 8 * _ZEROS))
                if next_long > 0 and not by_tiles:
                    _pack(ahead, ldb, b_turned, panel_width(n - next_j), min(COLUMNS, n - next_j), next_long, other,
                          memory, table, tile, each, lacking)  # fmt: skip
                panel, other = other, panel


if not DISABLE_JIT:
    binding.add_symbol("tinyart_sgemm", address_of(_sgemm, types.void(*[types.intp] * 14, types.CPointer(types.int64))))
