"""Convolution on the device: the plan of each launch, and the launch (conv.cu says what it does)."""

import math
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np

from .. import reference
from ..reference.conv import Array, Padding, Pair, output_size
from . import depthwise, precision
from .launch import LIMIT, Grid, divisor, empty, launch, multiprocessors, plain, usable

_GEOMETRY = np.dtype([(name, np.int32) for name in (
    ["n", "h", "w", "c", "oh", "ow", "o", "kh", "kw", "sh", "sw", "ph", "pw", "dh", "dw", "groups", "parts", "stretch",
     "cg", "og"]
)] + [(f"by_{name}", np.uint32, 2) for name in ("oh", "ow", "kw", "cg", "og")])  # fmt: skip
_SLICE = 16  # the sum is cut at multiples of it
# (rows, columns) of a block's tile: which share of the multipliers' time they do something, estimated, when it is full
TILES = {(128, 128): 0.8, (128, 64): 0.7, (128, 32): 0.5, (64, 64): 0.5, (256, 16): 0.4, (256, 4): 0.2}
TILES_DOUBLE = {(64, 64): 0.5}  # larger ones take more than the 48 KiB of shared memory
TILES_TF32 = {(128, 128): 4.0, (64, 64): 2.0, (256, 16): 0.4, (256, 4): 0.2}  # the narrow ones multiply in float32


class Plan(NamedTuple):
    """A launch: `rows` and `columns` to a block; `parts` stretches of the sum, `stretch` terms each."""

    grid: Grid
    rows: int
    columns: int
    parts: int
    stretch: int


@cache
def plan(rows: int, columns: int, batch: int, terms: int, *, double: bool, tf32: bool, processors: int) -> Plan:
    """The launch for `batch` products of (rows, terms) and (terms, columns) that is estimated to take least time.

    A tile of 128 × 128 reads least for what it multiplies, but computes in vain beyond the edges of the result, and
    leaves processors idle where there are few tiles. Then sums are cut into parts, which have to be added up.
    """
    slices = max(1, -(-terms // _SLICE))

    def tried(tile: tuple[int, int], share: float, parts: int) -> tuple[float, Plan]:
        stretch = -(-slices // parts)
        parts = -(-slices // stretch)  # without parts that have nothing to do
        grid = -(-rows // tile[0]), -(-columns // tile[1]), batch * parts
        each = -(-grid[0] * grid[1] * grid[2] // processors)  # blocks to a processor, two of which fill it
        time = (each + 0.4 * (each % 2)) * (stretch + 4) * tile[0] * tile[1] / share
        if parts > 1:  # in the same unit, 1/8 of a cycle: a launch, waiting once for 16 parts, 8 bytes for each element
            time += 40_000 + parts * (400 + 5 * rows * columns * batch / processors)
        return time, Plan(grid, *tile, parts, stretch * _SLICE)

    tiles = TILES_DOUBLE if double else TILES_TF32 if tf32 else TILES
    found = []
    for tile, share in tiles.items():
        blocks = max(1, -(-rows // tile[0]) * -(-columns // tile[1]) * batch)
        most = max(1, min(slices, 65535 // max(1, batch)))
        found += [tried(tile, share, min(most, max(1, n * processors // blocks))) for n in range(9)]
    return min(found)[1]


def fits(made: Plan, rows: int) -> bool:
    """Whether CUDA takes the grid, and an int counts the rows."""
    return rows < LIMIT - 1024 and max(made.grid[1:]) < 65536


def widths(kernel: str, cg: int, og: int, aligned: bool) -> dict[str, int]:
    """How many elements of the left and of the right operand are fetched at once: of the channels that lie next to each
    other, in x's groups cg, in y's og."""
    left, right = {"conv": (cg, og), "conv_input": (og, og), "conv_weight": (cg, og)}[kernel]
    return {"LEFT": 4 if aligned and left % 4 == 0 else 1, "RIGHT": 4 if aligned and right % 4 == 0 else 1}


@lru_cache(128)
def _geometry(x: tuple[int, ...], w: tuple[int, ...], out: Pair, stride: Pair, padding: Padding, dilation: Pair,
              groups: int, made: Plan) -> Any:  # fmt: skip
    """Shapes of the image (N, H, W, C) and the weight (KH, KW, C/groups, O) as what the kernels are given."""
    cg, og = x[3] // groups, w[3] // groups
    return np.array((*x, *out, w[3], *w[:2], *stride, padding[0][0], padding[1][0], *dilation, groups, made.parts,
                     made.stretch, cg, og, *map(divisor, (*out, w[1], cg, og))), _GEOMETRY)  # fmt: skip


def _run(kernel: str, geometry: Any, made: Plan, out: Array, *arrays: Array | None, bias: Array | None = None) -> None:
    given = [a if a is None else plain(a) for a in arrays]
    aligned = out.dtype == np.float32 and all(a.data.ptr % 16 == 0 for a in given if a is not None)
    macros = {kernel.upper(): 1, "ROWS": made.rows, "COLUMNS": made.columns,
              **widths(kernel, int(geometry["cg"]), int(geometry["og"]), aligned)}  # fmt: skip
    if precision.tf32 and out.dtype == np.float32 and (made.rows, made.columns) in ((128, 128), (64, 64)):
        macros["TF32"] = 1
    if kernel != "conv_weight":
        given.append(None if made.parts > 1 or bias is None else plain(bias))
    parts = empty((made.parts, *out.shape), out.dtype) if made.parts > 1 else out
    launch("conv", kernel, out.dtype, made.grid, geometry, *given, parts, **macros)
    if made.parts > 1:
        launch("conv", "add_parts", out.dtype, (-(-out.size // 256), 1, 1), parts,
               None if bias is None else plain(bias), out, made.parts, out.shape[-1], np.int64(out.size), **macros)


def _plan(a: Array, rows: int, columns: int, batch: int, terms: int) -> Plan:
    double = a.dtype == np.float64
    return plan(rows, columns, batch, terms, double=double, tf32=precision.tf32, processors=multiprocessors())


def conv(
    x: Array, w: Array, b: Array | None = None, *, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """As the reference, to rounding."""
    out = output_size(x.shape[1:3], w.shape[:2], stride, padding, dilation)
    shape = (x.shape[0], *out, w.shape[3])
    if depthwise.takes(shape, w.shape, groups, (1, 1)) and usable(x, w, x if b is None else b):
        return depthwise.image("depthwise", x, w, b, shape, stride, padding, dilation)
    rows = shape[0] * out[0] * out[1]
    made = _plan(x, rows, w.shape[3] // groups, groups, w.shape[0] * w.shape[1] * w.shape[2])
    if not (usable(x, w, x if b is None else b) and fits(made, rows)):
        return reference.conv(x, w, b, stride=stride, padding=padding, dilation=dilation, groups=groups)
    y = empty(shape, x.dtype)
    _run("conv", _geometry(x.shape, w.shape, out, stride, padding, dilation, groups, made), made, y, x, w, bias=b)
    return y


def conv_input(
    g: Array, w: Array, b: Array | None = None, *, size: Pair, stride: Pair, padding: Padding, dilation: Pair,
    groups: int,
) -> Array:  # fmt: skip
    """As the reference, to rounding."""
    shape = (g.shape[0], *size, w.shape[2] * groups)
    if depthwise.takes(shape, w.shape, groups, stride) and usable(g, w, g if b is None else b):
        return depthwise.image("depthwise_input", g, w, b, shape, stride, padding, dilation)
    phase = [-(-n // s) for n, s in zip(size, stride, strict=True)]  # of which the first is the largest
    rows = shape[0] * phase[0] * phase[1]
    taps = [-(-k // (s // math.gcd(s, d))) for k, s, d in zip(w.shape[:2], stride, dilation, strict=True)]  # at most
    made = _plan(g, rows, w.shape[2], groups * stride[0] * stride[1], taps[0] * taps[1] * w.shape[3] // groups)
    if not (usable(g, w, g if b is None else b) and fits(made, rows)):
        return reference.conv_input(g, w, b, size=size, stride=stride, padding=padding, dilation=dilation,
                                    groups=groups)  # fmt: skip
    x = empty(shape, g.dtype)
    geometry = _geometry(shape, w.shape, g.shape[1:3], stride, padding, dilation, groups, made)
    _run("conv_input", geometry, made, x, g, w, bias=b)
    return x


def conv_weight(
    x: Array, g: Array, *, size: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """As the reference, to rounding."""
    shape = (*size, x.shape[3] // groups, g.shape[3])
    if depthwise.takes(g.shape, shape, groups, (1, 1)) and usable(x, g):
        return depthwise.weight(x, g, shape, stride, padding, dilation)
    terms = g.shape[0] * g.shape[1] * g.shape[2]
    made = _plan(x, size[0] * size[1] * shape[2], shape[3] // groups, groups, terms)
    if not (usable(x, g) and fits(made, terms)):
        return reference.conv_weight(x, g, size=size, stride=stride, padding=padding, dilation=dilation, groups=groups)
    w = empty(shape, x.dtype)
    geometry = _geometry(x.shape, shape, g.shape[1:3], stride, padding, dilation, groups, made)
    _run("conv_weight", geometry, made, w, x, g)
    return w
