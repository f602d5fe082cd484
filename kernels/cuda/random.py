"""Philox noise on the device, with the CPU's bits (philox.cu says how).

`counter` may also be an array uint64 (3,) on the device, which holds a generator's key and the counter's lower and
upper half: `tinyart.replay` draws so.
"""

import math
from typing import Any

import numpy as np

from ..reference.random import counters_used
from .launch import Array, empty, flat, launch


def uniform(key: int, counter: int, *, shape: tuple[int, ...], dtype: Any, like: Array) -> Array:
    """As the reference, bit for bit."""
    return _filled("uniform", key, counter, shape, dtype)


def normal(key: int, counter: int, *, shape: tuple[int, ...], dtype: Any, like: Array) -> Array:
    """As the reference, to the rounding of log, cos and sin."""
    return _filled("normal", key, counter, shape, dtype)


def bernoulli(key: int, counter: int, *, shape: tuple[int, ...], p: float, like: Array) -> Array:
    """As the reference, bit for bit."""
    return _filled("bernoulli", key, counter, shape, np.bool_, np.uint64(round(p * 2**32)))


def randint(key: int, counter: int, *, shape: tuple[int, ...], low: int, high: int, like: Array) -> Array:
    """As the reference, bit for bit."""
    return _filled("randint", key, counter, shape, np.int64, np.uint64(low % 2**64),
                   np.uint64((high - low) % 2**64))


def _filled(kernel: str, key: int, counter: Any, shape: tuple[int, ...], dtype: Any, *more: Any) -> Array:
    n = math.prod(shape)
    out = empty(shape, dtype)
    state, at = (counter, 0) if hasattr(counter, "data") else (None, counter)
    words = np.uint64(key), np.uint64(at % 2**64), np.uint64(at >> 64)
    floating = dtype if out.dtype.kind == "f" else np.float32
    launch("philox", kernel, floating, flat(counters_used(n, dtype)), *words, state, *more, out, np.int64(n))
    return out
