"""Indexing. Reading with an index and adding with it are adjoint, so each is the other's gradient."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tinyart.backend import as_array, device_of
from tinyart.errors import DtypeError, ShapeError
from tinyart.graph import Variable, apply
from tinyart.ops.op import Op
from tinyart.ops.shape import checked_axis

if TYPE_CHECKING:
    from tinyart.tensor import Tensor

_GETITEM = Op("getitem", "x", view=True, floating=False, x=lambda g, key, x_shape: _put_add(g, key, x_shape))
_PUT_ADD = Op("put_add", "g", floating=False, g=lambda gg, key: getitem(gg, key))
_TAKE = Op("take", "x indices", floating=False, free="indices",
           x=lambda g, indices, axis, x_shape: apply(_TAKE_ADD, g, indices, axis=axis, size=x_shape[axis]))
_TAKE_ADD = Op("take_add", "g indices", floating=False, free="indices",
               g=lambda gg, indices, axis: take(gg, indices, axis))
_GATHER = Op("gather", "x indices", kernel="take_along", floating=False, free="indices",
             x=lambda g, indices, axis, x_shape: apply(_GATHER_ADD, g, indices, axis=axis, size=x_shape[axis]))
_GATHER_ADD = Op("gather_add", "g indices", kernel="take_along_add", floating=False, free="indices",
                 g=lambda gg, indices, axis: gather(gg, indices, axis))


def getitem(x: Any, key: Any) -> "Tensor":
    """x[key] as in NumPy: integers, slices, None, ..., integer arrays (repeats add up in the gradient), one mask."""
    parts = key if isinstance(key, tuple) else (key,)
    y: Tensor = apply(_GETITEM, x, key=tuple(map(_plain_key, parts)))
    return y


def _plain_key(part: Any) -> Any:
    part = part.array if isinstance(part, Variable) else np.asarray(part) if isinstance(part, list) else part
    if hasattr(part, "dtype") and part.dtype.kind not in "iub":
        raise DtypeError("getitem", "key", "integer or boolean arrays", f"{part.dtype}", fix="key.astype('int64')")
    return part


def _put_add(g: Any, key: Any, shape: tuple[int, ...]) -> "Tensor":
    y: Tensor = apply(_PUT_ADD, g, key=key, shape=shape)
    return y


def take(x: Any, indices: Any, axis: int = 0) -> "Tensor":
    """Whole slices of x along `axis`: (..., n, ...) and indices (K...) -> (..., K..., ...). Indices count from 0.

    Errors: `DtypeError` for indices that are not integers, `ShapeError` for one outside 0 ≤ i < n.
    """
    axis = checked_axis("take", axis, x.ndim)
    y: Tensor = apply(_TAKE, x, checked_indices("take", "indices", x, indices, axis), axis=axis)
    return y


def embedding(indices: Any, weight: Any) -> "Tensor":
    """Row i of weight (V, E) for each index i: (...) -> (..., E); the product of a one-hot vector with weight."""
    return take(weight, indices)


def gather(x: Any, indices: Any, axis: int) -> "Tensor":
    """y[.., i, ..] = x[.., indices[.., i, ..], ..] along `axis`; indices has x's shape but for that axis.

    Errors: as `take`.
    """
    axis = checked_axis("gather", axis, x.ndim)
    indices = checked_indices("gather", "indices", x, indices, axis)
    rest, wanted = list(indices.shape), list(x.shape)
    rest[axis : axis + 1], wanted[axis : axis + 1] = [], []
    if len(indices.shape) != x.ndim or rest != wanted:
        raise ShapeError("gather", "indices", f"x's shape {x.shape} but for axis {axis}", f"{indices.shape}")
    y: Tensor = apply(_GATHER, x, indices, axis=axis)
    return y


def checked_indices(name: str, argument: str, x: Any, indices: Any, axis: int) -> Any:
    """`indices` as a tensor or an array. Errors: as `take`, but on a GPU none for an index out of range: to look for
    one the program would wait for the device, so there it reads as NaN (0 of integers), and adds to nothing.
    """
    array = indices.array if isinstance(indices, Variable) else as_array(indices)
    if array.dtype.kind not in "iu":
        raise DtypeError(name, argument, "integers", f"{array.dtype}", fix=f"{argument}.astype('int64')")
    if array.size and device_of(array) == "cpu" and not (int(array.min()) >= 0 and int(array.max()) < x.shape[axis]):
        raise ShapeError(name, argument, f"0 <= index < {x.shape[axis]}, the length of axis {axis}",
                         f"{array.min()} to {array.max()}")
    return indices if isinstance(indices, Variable) else array
