"""Indexing on the device: adjoints that add up in a fixed order (index.cu says how)."""

import math
from typing import Any

import cupy
import numpy as np

from .. import reference
from .launch import LIMIT, Array, empty, flat, launch, plain, plain_int64, usable

_RUN = 1024  # keys that index.cu sorts by counting


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
    before, after = x.shape[:axis], math.prod(x.shape[axis + 1 :])
    if not usable(x) or math.prod(before) * indices.size * after >= LIMIT:
        return reference.take(x, indices, axis=axis)
    y = empty((*before, *indices.shape, *x.shape[axis + 1 :]), x.dtype)
    launch("index", "take", x.dtype, flat(y.size), plain(x), plain_int64(indices), y, np.int64(y.size), x.shape[axis],
           indices.size, after)  # fmt: skip
    return y


def take_add(g: Array, indices: Array, *, axis: int, size: int) -> Array:
    """As the reference, to rounding; an index that is out of range adds to nothing."""
    shape = (*g.shape[:axis], size, *g.shape[axis + indices.ndim :])
    after = math.prod(shape[axis + 1 :])
    if not usable(g):
        return _integers(g, lambda real: take_add(real, indices, axis=axis, size=size))
    x, count = cupy.zeros(shape, g.dtype), indices.size
    keys, other = empty((count,), np.uint64), empty((count,), np.uint64)
    launch("index", "sort_runs", g.dtype, (-(-count // 256), 1, 1), plain_int64(indices), keys, size, count)
    for run in merges(count):
        launch("index", "merge_runs", g.dtype, flat(count), keys, other, np.int64(run), np.int64(count))
        keys, other = other, keys
    launch("index", "add_runs", g.dtype, flat(g.size), plain(g), keys, x, np.int64(g.size), size, count, after)
    return x


def merges(count: int) -> list[int]:
    """The length of the runs that each launch joins in pairs, until one run holds all keys."""
    return [_RUN << i for i in range((-(-count // _RUN) - 1).bit_length() if count else 0)]


def take_along_add(g: Array, indices: Array, *, axis: int, size: int) -> Array:
    """As the reference, to rounding; an index that is out of range adds to nothing."""
    if not usable(g):
        return _integers(g, lambda real: take_along_add(real, indices, axis=axis, size=size))
    x = empty((*g.shape[:axis], size, *g.shape[axis + 1 :]), g.dtype)
    launch("index", "add_along", g.dtype, flat(x.size), plain(g), plain_int64(indices), x, np.int64(x.size), size,
           g.shape[axis], math.prod(g.shape[axis + 1 :]))  # fmt: skip
    return x


def _integers(g: Array, add: Any) -> Array:
    """Sums of integers, in float64, which is exact up to 2⁵³."""
    return add(g.astype(np.float64)).astype(g.dtype)
