"""The rows in NumPy alone: what an operation costs that nobody records."""

from typing import Any

import numpy as np

from benchmarks.contenders import Work
from benchmarks.rows import Overhead


def recording(row: Overhead) -> Work:
    x, y = np.ones(16, np.float32), np.ones(16, np.float32)

    def step(i: int) -> Any:
        for _ in range(1000):
            z = x + y
        return z

    return Work(step, np.asarray, operations=1000)


def wait(result: Any) -> None:
    """Every operation ends before it returns."""
