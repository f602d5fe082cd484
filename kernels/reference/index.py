"""Indexing and its adjoints: where reading takes an element twice, the adjoint adds both cotangents up."""

import math
from typing import Any

import numpy as np

Array = Any


def put_add(g: Array, key: Any, *, shape: tuple[int, ...]) -> Array:
    """The adjoint of x[key] for x of `shape`: zeros with g added at key. Repeated indices accumulate.

    `key` is whatever NumPy takes: a tuple of slices, integers, integer arrays, None, ... and one boolean mask.
    """
    x = np.zeros_like(g, shape=shape, order="C")
    parts = key if isinstance(key, tuple) else (key,)
    if any(getattr(part, "dtype", np.bool_) != np.bool_ for part in parts):
        np.add.at(x, key, g)
    else:
        x[key] = g  # only integer arrays can name an element twice, and an assignment is far faster
    return x


def take(x: Array, indices: Array, *, axis: int) -> Array:
    """Whole slices of x along `axis`: (.., n, ..) and indices (K..) -> (.., K.., ..). 0 <= axis, 0 <= index < n."""
    return np.take(x, indices, axis=axis)


def take_add(g: Array, indices: Array, *, axis: int, size: int) -> Array:
    """The adjoint of `take`: g (.., K.., ..) -> (.., n, ..), n = size, where slices of the same index add up."""
    before, after = g.shape[:axis], g.shape[axis + indices.ndim :]
    g = g.reshape(math.prod(before), indices.size, math.prod(after))  # (A, K, B)
    return _add_along(g, indices.reshape(1, -1, 1), size).reshape(*before, size, *after)


def take_along(x: Array, indices: Array, *, axis: int) -> Array:
    """y[.., i, ..] = x[.., indices[.., i, ..], ..]: indices and y have x's shape but for `axis` >= 0."""
    return np.take_along_axis(x, indices, axis=axis)


def take_along_add(g: Array, indices: Array, *, axis: int, size: int) -> Array:
    """The adjoint of `take_along`: g, shaped as indices, -> the same with length `size` along `axis`."""
    before, after = g.shape[:axis], g.shape[axis + 1 :]
    rows = (math.prod(before), g.shape[axis], math.prod(after))  # (A, K, B)
    return _add_along(g.reshape(rows), indices.reshape(rows), size).reshape(*before, size, *after)


def _add_along(g: Array, indices: Array, size: int) -> Array:
    """x[a, indices[a, k, b], b] += g[a, k, b] from zero: g (A, K, B), indices broadcast to it -> x flat (A·size·B,).

    One flat index for each element, because np.add.at is five times faster on one axis than on several.
    """
    a, _, b = g.shape
    block, lane = np.arange(a, like=g)[:, None, None], np.arange(b, like=g)
    flat = (block * size + indices) * b + lane  # (A, K, B)
    x = np.zeros_like(g, shape=(a * size * b,))
    np.add.at(x, flat.ravel(), g.ravel())
    return x
