"""Indexing on the device: adjoints that add up in a fixed order (index.cu says how)."""

import math
from typing import Any

import cupy
import numpy as np

from .. import reference
from .launch import Array, empty, flat, launch, plain, usable

_SORT_FROM = 1 << 15  # indices from which CuPy's sort is faster than counting; a graph does not hold it


def put_add(g: Array, key: Any, *, shape: tuple[int, ...]) -> Array:
    """As the reference, to rounding."""
    parts = key if isinstance(key, tuple) else (key,)
    if all(getattr(part, "dtype", np.bool_) == np.bool_ for part in parts):
        x = cupy.zeros(shape, g.dtype)
        x[key] = g  # nothing is named twice
        return x
    size = math.prod(shape)
    places = cupy.arange(size).reshape(shape)[key]  # where each element of g goes
    return take_add(g.reshape(-1), places.reshape(-1), axis=0, size=size).reshape(shape)


def take(x: Array, indices: Array, *, axis: int) -> Array:
    """As the reference; NaN for an index that is out of range, which there wraps around."""
    if not usable(x):
        return reference.take(x, indices, axis=axis)
    before, after = x.shape[:axis], math.prod(x.shape[axis + 1 :])
    y = empty((*before, *indices.shape, *x.shape[axis + 1 :]), x.dtype)
    launch("index", "take", x.dtype, flat(y.size), plain(x), _long(indices), y, np.int64(y.size), x.shape[axis],
           indices.size, after)  # fmt: skip
    return y


def take_add(g: Array, indices: Array, *, axis: int, size: int) -> Array:
    """As the reference, to rounding; an index that is out of range adds to nothing."""
    shape = (*g.shape[:axis], size, *g.shape[axis + indices.ndim :])
    after = math.prod(shape[axis + 1 :])
    if not usable(g):
        return _integers(g, lambda real: take_add(real, indices, axis=axis, size=size))
    x, indices = cupy.zeros(shape, g.dtype), _long(indices).reshape(-1)
    if indices.size < _SORT_FROM:
        order = empty(indices.shape, np.int32)
        launch("index", "order_of", g.dtype, (-(-indices.size // 256), 1, 1), indices, order, indices.size)
    else:
        order = cupy.argsort(indices, kind="stable").astype(np.int32)
    launch("index", "add_runs", g.dtype, flat(g.size), plain(g), indices, order, x, np.int64(g.size), size,
           indices.size, after)  # fmt: skip
    return x


def take_along_add(g: Array, indices: Array, *, axis: int, size: int) -> Array:
    """As the reference, to rounding; an index that is out of range adds to nothing."""
    if not usable(g):
        return _integers(g, lambda real: take_along_add(real, indices, axis=axis, size=size))
    x = empty((*g.shape[:axis], size, *g.shape[axis + 1 :]), g.dtype)
    launch("index", "add_along", g.dtype, flat(x.size), plain(g), _long(indices), x, np.int64(x.size), size,
           g.shape[axis], math.prod(g.shape[axis + 1 :]))  # fmt: skip
    return x


def _long(indices: Array) -> Array:
    return plain(indices.astype(np.int64, copy=False))


def _integers(g: Array, add: Any) -> Array:
    """Sums of integers, in float64, which is exact up to 2⁵³."""
    return add(g.astype(np.float64)).astype(g.dtype)
