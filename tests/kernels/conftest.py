"""What every kernel test asks for: its inputs as they were, and a result of the right dtype."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session")
def call() -> Callable[..., Any]:
    """call(kernel, *arrays, **settings): the kernel's result, once its arrays have proved to be unchanged."""

    def checked(kernel: Callable[..., Any], *arrays: np.ndarray, **settings: Any) -> Any:
        before = [a.copy() for a in arrays]
        result = kernel(*arrays, **settings)
        for a, was in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(a, was)
        return result

    return checked


@pytest.fixture(scope="session")
def assert_adjoint() -> Callable[..., None]:
    """assert_adjoint(a, b, c, d): ⟨a, b⟩ = ⟨c, d⟩ to 1e-12 of the sum of the terms' magnitudes."""

    def check(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> None:
        assert a.shape == b.shape
        assert c.shape == d.shape
        scale = max(np.abs(a * b).sum(), np.abs(c * d).sum())
        assert abs((a * b).sum() - (c * d).sum()) <= 1e-12 * scale

    return check
