"""exp, tanh, .. of float32 against float64's, in units of the last place, over the whole range of float32."""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest
from tinyart.kernels.cpu import math

Function = Callable[[Any], Any]
EXACT: dict[str, tuple[Function, float]] = {  # the same in float64, and the largest error allowed, in ulp
    "exp32": (np.exp, 1.1),
    "sigmoid32": (lambda x: 1 / (1 + np.exp(-x)), 2.5),
    "tanh32": (np.tanh, 2.6),
    "log1p32": (np.log1p, 2.0),
    "softplus32": (lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), 2.8),
}
STEP = 1_000_003 if numba.config.DISABLE_JIT else 1999  # every so many of all the 2³² floats


def everywhere(name: str) -> np.ndarray:
    return apply(name, inputs(name))


def inputs(name: str) -> np.ndarray:
    every = np.arange(0, 2**32, STEP, dtype=np.uint64).astype(np.uint32).view(np.float32)
    dense = np.linspace(-30, 30, len(every) // 10, dtype=np.float32)
    x = np.concatenate([every, dense, np.float32([0.0, -0.0, np.inf, -np.inf, np.nan])])
    return x[(x >= 0) & (x <= 1)] if name == "log1p32" else x


def apply(name: str, x: np.ndarray) -> np.ndarray:
    function = getattr(math, name)

    def kernel(x: np.ndarray, y: np.ndarray) -> None:
        for i in range(len(x)):
            y[i] = function(x[i])

    y = np.empty_like(x)
    with np.errstate(all="ignore"):
        numba.njit(error_model="numpy", fastmath={"contract"})(kernel)(x, y)
    return y


@pytest.mark.parametrize("name", EXACT)
def test_errors_are_within_the_stated_units_of_the_last_place(name: str) -> None:
    exact, allowed = EXACT[name]
    x, y = inputs(name), everywhere(name)
    with np.errstate(all="ignore"):
        wanted = exact(x.astype(np.float64))
        rounded = wanted.astype(np.float32)
    assert np.array_equal(np.isnan(y), np.isnan(x))
    infinite = np.isinf(rounded)
    assert np.array_equal(y[infinite], rounded[infinite])
    normal = np.isfinite(rounded) & (np.abs(rounded) >= np.finfo(np.float32).tiny)
    error = np.abs(y[normal] - wanted[normal]) / np.spacing(np.abs(rounded[normal])).astype(np.float64)
    assert error.max() <= allowed
    small = np.isfinite(rounded) & ~normal
    assert np.abs(y[small] - wanted[small]).max(initial=0) < 3e-39
