"""Convolution on the device: the plan of each launch, and the launch (conv.cu says what it does)."""

from typing import Any, NamedTuple

import numpy as np

from .. import reference
from ..reference.conv import Array, Padding, Pair, output_size
from . import precision
from .launch import LIMIT, Grid, empty, flat, launch, multiprocessors, plain, usable

_GEOMETRY = np.dtype([(name, np.int32) for name in (
    ["n", "h", "w", "c", "oh", "ow", "o", "kh", "kw", "sh", "sw", "ph", "pw", "dh", "dw", "groups", "parts", "stretch"]
)])  # fmt: skip
_DEPTH = 16  # terms of the sum that a block takes at a time


class Plan(NamedTuple):
    """A launch: `tile` rows and columns to a block; `parts` stretches of the sum, `stretch` terms each."""

    grid: Grid
    tile: int
    parts: int = 1
    stretch: int = 0


def plan(rows: int, columns: int, batch: int, *, terms: int, split: bool, double: bool, processors: int) -> Plan:
    """The launch for `batch` products of (rows, terms) and (terms, columns).

    The larger tile reads less, but leaves processors idle where it gives fewer blocks than there are of them. A `split`
    sum is cut, at multiples of 16 terms, into so many parts that there are two blocks for each processor.
    """
    def blocks(tile: int) -> int:
        return -(-rows // tile) * -(-columns // tile) * batch

    tile = 64 if double or blocks(128) < processors or min(rows, columns) <= 64 else 128
    parts = stretch = 1
    if split:
        slices = max(1, -(-terms // _DEPTH))  # of 16 terms
        parts = min(slices, max(1, 2 * processors // max(1, blocks(tile))), 65535 // max(1, batch))
        stretch = -(-slices // parts) * _DEPTH
        parts = max(1, -(-terms // stretch))  # without parts that have nothing to do
    return Plan((-(-rows // tile), -(-columns // tile), batch * parts), tile, parts, stretch)


def fits(made: Plan, rows: int) -> bool:
    """Whether CUDA takes the grid, and an int counts the rows."""
    return rows < LIMIT and max(made.grid[1:]) < 65536


def _geometry(x: tuple[int, ...], w: tuple[int, ...], out: Pair, stride: Pair, padding: Padding, dilation: Pair,
              groups: int, parts: int = 1, stretch: int = 0) -> Any:  # fmt: skip
    """Shapes of the image (N, H, W, C) and the weight (KH, KW, C/groups, O) as what the kernels are given."""
    top, left = padding[0][0], padding[1][0]
    return np.array((*x, *out, w[3], *w[:2], *stride, top, left, *dilation, groups, parts, stretch), _GEOMETRY)


def _run(kernel: str, geometry: Any, made: Plan, out: Array, *arrays: Array | None) -> None:
    tensor_cores = {"TF32": 1} if precision.tf32 and out.dtype == np.float32 else {}
    given = [a if a is None else plain(a) for a in arrays]
    launch("conv", kernel, out.dtype, made.grid, geometry, *given, out, TILE=made.tile, **tensor_cores)


def _plan(a: Array, rows: int, columns: int, batch: int, terms: int = 0, split: bool = False) -> Plan:
    return plan(rows, columns, batch, terms=terms, split=split, double=a.dtype == np.float64,
                processors=multiprocessors())  # fmt: skip


def conv(
    x: Array, w: Array, b: Array | None = None, *, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """As the reference, to rounding."""
    out = output_size(x.shape[1:3], w.shape[:2], stride, padding, dilation)
    shape = (x.shape[0], *out, w.shape[3])
    rows = shape[0] * out[0] * out[1]
    made = _plan(x, rows, w.shape[3] // groups, groups)
    if not (usable(x, w, x if b is None else b) and fits(made, rows)):
        return reference.conv(x, w, b, stride=stride, padding=padding, dilation=dilation, groups=groups)
    y = empty(shape, x.dtype)
    _run("conv", _geometry(x.shape, w.shape, out, stride, padding, dilation, groups), made, y, x, w, b)
    return y


def conv_input(
    g: Array, w: Array, b: Array | None = None, *, size: Pair, stride: Pair, padding: Padding, dilation: Pair,
    groups: int,
) -> Array:  # fmt: skip
    """As the reference, to rounding."""
    shape = (g.shape[0], *size, w.shape[2] * groups)
    phase = [-(-n // s) for n, s in zip(size, stride, strict=True)]  # of which the first is the largest
    rows = shape[0] * phase[0] * phase[1]
    made = _plan(g, rows, w.shape[2], groups * stride[0] * stride[1])
    if not (usable(g, w, g if b is None else b) and fits(made, rows)):
        return reference.conv_input(g, w, b, size=size, stride=stride, padding=padding, dilation=dilation,
                                    groups=groups)  # fmt: skip
    x = empty(shape, g.dtype)
    _run("conv_input", _geometry(shape, w.shape, g.shape[1:3], stride, padding, dilation, groups), made, x, g, w, b)
    return x


def conv_weight(
    x: Array, g: Array, *, size: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """As the reference, to rounding."""
    shape = (*size, x.shape[3] // groups, g.shape[3])
    terms = g.shape[0] * g.shape[1] * g.shape[2]
    made = _plan(x, size[0] * size[1] * shape[2], shape[3] // groups, groups, terms, split=True)
    if not (usable(x, g) and fits(made, terms)):
        return reference.conv_weight(x, g, size=size, stride=stride, padding=padding, dilation=dilation, groups=groups)
    w = empty(shape, x.dtype)
    parts = empty((made.parts, *shape), x.dtype) if made.parts > 1 else w
    geometry = _geometry(x.shape, shape, g.shape[1:3], stride, padding, dilation, groups, made.parts, made.stretch)
    _run("conv_weight", geometry, made, parts, x, g)
    if made.parts > 1:
        launch("conv", "add_parts", x.dtype, flat(w.size), parts, w, made.parts, np.int64(w.size), TILE=made.tile)
    return w
