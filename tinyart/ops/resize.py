"""Resizing images as two matrix products, one an axis: the gradients are those of the product."""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyart.backend import Array, device_of, to_device
from tinyart.errors import ArgumentError, ShapeError
from tinyart.ops.conv import Pair, _pair
from tinyart.ops.matmul import matmul
from tinyart.ops.shape import reshape

if TYPE_CHECKING:
    from tinyart.tensor import Tensor


def resize(x: Any, size: int | Pair, method: str = "nearest") -> "Tensor":
    """Images at another size: (N, H, W, C) -> (N, OH, OW, C).

    Output pixel i is centred at s = (i + ½)·H/OH - ½ of the input. "nearest" takes pixel ⌊(i + ½)·H/OH⌋, "bilinear"
    mixes pixels ⌊s⌋ and ⌊s⌋ + 1 by (1 - t), t with t = s - ⌊s⌋, the border repeated (PyTorch's align_corners=False).
    Cost: 2·(OH·H·W + OH·OW·W)·N·C operations.

    Errors: `ShapeError` for x that is not (N, H, W, C) or has no pixel, `ArgumentError` for size and method.
    """
    if x.ndim != 4 or 0 in x.shape[1:3]:
        raise ShapeError("resize", "x", "shape (N, H, W, C) with at least one pixel", f"{x.shape}")
    size = _pair("resize", "size", size)
    if method not in ("nearest", "bilinear"):
        raise ArgumentError("resize", "method", "'nearest' or 'bilinear'", f"{method!r}")
    n, h, w, c = x.shape
    like = str(x.dtype), device_of(x.array)
    rows, columns = (_weights(old, new, method, *like) for old, new in zip((h, w), size, strict=True))
    y = matmul(rows, reshape(x, (n, h, w * c)))  # (N, OH, W·C)
    y = matmul(columns, reshape(y, (n * size[0], w, c)))  # (N·OH, OW, C)
    return reshape(y, (n, *size, c))


@lru_cache(64)  # so that a training step on a GPU uploads none
def _weights(old: int, new: int, method: str, dtype: str, device: str) -> Array:
    """(new, old): how much of each old pixel is in each new one; every row sums to 1."""
    weights = np.zeros((new, old), dtype)
    i = np.arange(new)
    if method == "nearest":
        weights[i, (2 * i + 1) * old // (2 * new)] = 1
    else:
        s = np.clip((i + 0.5) * old / new - 0.5, 0, old - 1)
        below = s.astype(int)
        np.add.at(weights, (i, below), 1 - (s - below))
        np.add.at(weights, (i, np.minimum(below + 1, old - 1)), s - below)
    return to_device(weights, device)
