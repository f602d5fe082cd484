"""Shape kernels: views where NumPy gives views."""

from typing import Any

import numpy as np

Array = Any


def reshape(x: Array, *, shape: tuple[int, ...]) -> Array:
    return x.reshape(shape)


def transpose(x: Array, *, axes: tuple[int, ...]) -> Array:
    return x.transpose(axes)


def broadcast_to(x: Array, *, shape: tuple[int, ...]) -> Array:
    return np.broadcast_to(x, shape)


def concatenate(*xs: Array, axis: int) -> Array:
    return np.concatenate(xs, axis=axis)


def split(x: Array, *, sizes: tuple[int, ...], axis: int) -> list[Array]:
    ends = np.cumsum(sizes)[:-1].tolist()
    return list(np.split(x, ends, axis=axis))


def pad(x: Array, *, widths: tuple[tuple[int, int], ...], value: float) -> Array:
    return np.pad(x, widths, constant_values=value) if x.ndim else x  # NumPy refuses an empty list of widths


def flip(x: Array, *, axis: tuple[int, ...]) -> Array:
    return np.flip(x, axis)


def getitem(x: Array, *, key: Any) -> Array:
    return x[key]
