"""Depthwise convolution on the device: the plan of each launch, and the launch (depthwise.cu says what it does)."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..reference.conv import Array, Padding, Pair
from .launch import LIMIT, Grid, divisor, empty, launch, multiprocessors, plain

_WINDOW = np.dtype([(name, np.int32) for name in (
    "n", "h", "w", "c", "oh", "ow", "kh", "kw", "sh", "sw", "ph", "pw", "dh", "dw")
] + [(f"by_{name}", np.uint32, 2) for name in ("oh", "ow")])  # fmt: skip
PIXELS = 4  # of a line to a thread
TAPS = 9  # to a thread of the weight's gradient


class Plan(NamedTuple):
    """A launch for the weight's gradient: `lanes` threads side by side in channels, `parts` stretches of the pixels."""

    grid: Grid
    lanes: int
    parts: int
    stretch: int


def fours(width: int, stride: int = 1) -> int:
    """How many threads share a line of an image that is made: each has four pixels, a stride apart."""
    phases, pixels = min(stride, width), -(-width // stride)  # sets of pixels a stride apart, and of the largest
    return phases * -(-pixels // PIXELS)


def plan(taps: int, channels: int, wide: int, pixels: int, processors: int) -> Plan:
    """As many blocks as run at a time, two to a processor, but four pixels to a thread at least."""
    packs = channels // wide
    lanes = min(32, 1 << max(0, packs - 1).bit_length())
    across, deep = -(-packs // lanes), -(-taps // TAPS)
    parts = max(1, min(-(-pixels // (4 * 256 // lanes)), 2 * processors // max(1, across * deep)))
    stretch = max(1, -(-pixels // parts))
    parts = max(1, -(-pixels // stretch))  # without parts that have no pixels
    return Plan((across, parts, deep), lanes, parts, stretch)


def takes(made: tuple[int, ...], w: tuple[int, ...], groups: int, stride: Pair) -> bool:
    """Whether a convolution with w is depthwise, and ints count the threads that make an image, of which some may have
    nothing to do."""
    n, height, width, channels = made
    return w[2] == 1 and w[3] == groups and n * height * (width + PIXELS + stride[1]) * channels < LIMIT


@lru_cache(128)
def _window(x: tuple[int, ...], w: tuple[int, ...], out: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Any:
    return np.array((*x, *out, *w[:2], *stride, padding[0][0], padding[1][0], *dilation, *map(divisor, out)), _WINDOW)


def _wide(*arrays: Array) -> int:
    """How many channels are read at once."""
    aligned = arrays[0].dtype == np.float32 and all(a.data.ptr % 16 == 0 for a in arrays)
    return 4 if aligned and arrays[0].shape[-1] % 4 == 0 else 1


def image(kernel: str, a: Array, w: Array, b: Array | None, shape: tuple[int, ...], stride: Pair, padding: Padding,
          dilation: Pair) -> Array:  # fmt: skip
    """What `kernel`, depthwise or depthwise_input, makes of the image or gradient `a`."""
    out, a, w = empty(shape, a.dtype), plain(a), plain(w)
    x, y, step = (a, out, 1) if kernel == "depthwise" else (out, a, stride[1])
    wide, line = _wide(a, w, out), fours(shape[2], step)
    threads = shape[0] * shape[1] * line * shape[3] // wide
    launch("depthwise", kernel, out.dtype, (-(-threads // 256), 1, 1),
           _window(x.shape, w.shape, y.shape[1:3], stride, padding, dilation), line, a, w,
           None if b is None else plain(b), out, WIDE=wide)  # fmt: skip
    return out


def weight(x: Array, g: Array, shape: tuple[int, ...], stride: Pair, padding: Padding, dilation: Pair) -> Array:
    """The gradient of the weights, of this shape."""
    x, g, w = plain(x), plain(g), empty(shape, x.dtype)
    wide = _wide(x, g)
    made = plan(shape[0] * shape[1], shape[3], wide, g.size // shape[3], multiprocessors())
    parts = empty((made.parts, w.size), np.float64)
    launch("depthwise", "depthwise_weight", w.dtype, made.grid,
           _window(x.shape, shape, g.shape[1:3], stride, padding, dilation), made.lanes, made.stretch, x, g, parts,
           WIDE=wide)  # fmt: skip
    launch("reduce", "add_column_parts", w.dtype, (-(-w.size // 32), 1, 1), parts, made.parts, w, w.size)
    return w
