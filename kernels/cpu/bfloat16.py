"""Products of float32 matrices and images whose factors are rounded to bfloat16, on processors with AVX512-BF16.

    c[m, n] = Σ r(a[m, k]) · r(b[k, n])         r(x): the nearest number with 8 significant bits, of two the even one

One instruction multiplies LANES pairs by as many and adds both products to a sum in float32, in the time of one product
in float32. So two terms of a sum lie side by side in the place of one float. What copies, packs and adds up floats does
the same with pairs: the kernels are those of float32, over half as many terms, with another `tile` (tile.py).

A product's pairs are made where its factors are copied (gemm.py), those of images and their weights before: 8 bytes are
read and 4 written for each.
"""

from typing import Any

from .compiling import compiled
from .memory import empty
from .threads import share
from .tile import COUPLE_ALONG, COUPLE_ROWS, DISABLE_JIT, call, has, keep, tile_of_pairs

Array = Any

SUPPORTED = has("avx512bf16") and not DISABLE_JIT

_STRETCH = 1 << 12  # pairs to a task, at most
_WORTH = 1 << 15  # pairs that are worth a thread


def neighbours(x: Array) -> Array:
    """Numbers 2i and 2i + 1 of the last axis as pair i. x: float32 in C order, the axis of even length."""
    made = empty((*x.shape[:-1], x.shape[-1] // 2))
    share(_neighbours, made.size, _WORTH, x.reshape(-1), made.reshape(-1), tile_of_pairs())
    return made


def rows(x: Array) -> Array:
    """Rows 2i and 2i + 1 as a row of pairs; an odd last one with zeros. x: (rows, columns), float32 in C order."""
    count, columns = x.shape
    made = empty(((count + 1) // 2, columns))
    across = -(-columns // _STRETCH)
    share(_rows, len(made) * across, max(1, _WORTH // min(columns, _STRETCH)), x, made, across, tile_of_pairs())
    return made


@compiled
def _neighbours(first: int, end: int, x: Array, made: Array, tile: int) -> None:
    call(tile, (COUPLE_ALONG, x.ctypes.data + 8 * first, 0, made.ctypes.data + 4 * first, 0, 0, 0, 0, 0, end - first,
                0, 0))
    keep((x, made))


@compiled
def _rows(first: int, end: int, x: Array, made: Array, across: int, tile: int) -> None:
    count, columns = x.shape
    for task in range(first, end):
        row, start = task // across, task % across * _STRETCH
        some, place = min(_STRETCH, columns - start), x.ctypes.data + 4 * (2 * row * columns + start)
        there = some if 2 * row + 1 < count else 0
        call(tile, (COUPLE_ROWS, place, 0, made.ctypes.data + 4 * (row * columns + start), 0, 0, place + 4 * columns, 0,
                    there, some, 0, 0))
    keep((x, made))
