"""Pooling, channels last. Padding is never the maximum, and counts as 0 in an average unless it is left out."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tinyart.errors import ArgumentError, ShapeError
from tinyart.graph import apply
from tinyart.ops.conv import Padding, Pair, _pair, pad_pairs
from tinyart.ops.op import Op

if TYPE_CHECKING:
    from tinyart.tensor import Tensor

# The maximum's gradient is linear in g and does not change with x but at ties, hence no rules for x and y.
_MAX_POOL = Op("max_pool", "x",
               x=lambda g, x, y, settings: apply(_MAX_POOL_INPUT, g, x.detach(), y.detach(), **settings))
_MAX_POOL_INPUT = Op("max_pool_input", "g x y", results="gx",
                     g=lambda v, x, y, settings: apply(_MAX_POOL_GATHER, v, x, y, **settings))
_MAX_POOL_GATHER = Op("max_pool_gather", "v x y", results="gy",
                      v=lambda g, x, y, settings: apply(_MAX_POOL_INPUT, g, x, y, **settings))
_SUM_POOL = Op("sum_pool", "x",
               x=lambda g, x_shape, settings: apply(_SUM_POOL_INPUT, g, size_in=x_shape[1:3], **settings))
_SUM_POOL_INPUT = Op("sum_pool_input", "g", g=lambda v, settings: apply(_SUM_POOL, v, **_sizeless(settings)))


def _sizeless(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != "size_in"}


def max_pool2d(x: Any, size: int | Pair, *, stride: int | Pair | None = None, padding: Padding = 0) -> "Tensor":
    """The largest pixel of each window: (N, H, W, C) -> (N, OH, OW, C), OH = (H + padding - size) // stride + 1.

    `stride` is by default the window's size. Ties share the gradient equally.

    Errors: `ArgumentError` for padding over half the window, `ShapeError` for an image smaller than the window.
    """
    y: Tensor = apply(_MAX_POOL, x, **_window("max_pool2d", x, size, stride, padding))
    return y


def avg_pool2d(x: Any, size: int | Pair, *, stride: int | Pair | None = None, padding: Padding = 0,
               count_include_pad: bool = True) -> "Tensor":
    """The mean of each window: (N, H, W, C) -> (N, OH, OW, C). Padding counts as zeros, or with
    `count_include_pad=False` not at all (Keras's rule). Errors: as `max_pool2d`.
    """
    window = _window("avg_pool2d", x, size, stride, padding)
    total: Tensor = apply(_SUM_POOL, x, **window)
    if count_include_pad:
        return total / float(window["size"][0] * window["size"][1])
    counts: Tensor = apply(_SUM_POOL, np.ones_like(x.array, shape=(1, *x.shape[1:3], 1)), **window)
    return total / counts


def _window(name: str, x: Any, size: Any, stride: Any, padding: Padding) -> dict[str, Any]:
    if x.ndim != 4:
        raise ShapeError(name, "x", "shape (N, H, W, C)", f"{x.shape}")
    size = _pair(name, "size", size)
    stride = size if stride is None else _pair(name, "stride", stride)
    around = pad_pairs(name, padding, x.shape[1:3], size, stride, (1, 1))
    if any(2 * max(p) > k for p, k in zip(around, size, strict=True)):
        raise ArgumentError(name, "padding", f"at most half the window, {size}", f"{around}")
    if any(n + sum(p) < k for n, p, k in zip(x.shape[1:3], around, size, strict=True)):
        raise ShapeError(name, "x", f"an image of at least the window, {size}", f"{x.shape[1:3]}")
    return {"size": size, "stride": stride, "padding": around}
