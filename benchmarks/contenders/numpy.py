"""The rows in NumPy alone: what its BLAS takes for a product, and what an operation costs that nobody records."""

from typing import Any

import numpy as np

from benchmarks.contenders import Work
from benchmarks.rows import Overhead, Product


def product(row: Product) -> Work:
    x, weights, g = row.arrays()
    steps = {"forward": lambda i: x @ weights[i % len(weights)], "input": lambda i: g @ weights[i % len(weights)].T,
             "weight": lambda i: x.T @ g}
    return Work(steps[row.direction], np.asarray)


def recording(row: Overhead) -> Work:
    x, y = np.ones(16, np.float32), np.ones(16, np.float32)

    def step(i: int) -> Any:
        for _ in range(1000):
            z = x + y
        return z

    return Work(step, np.asarray, operations=1000)


def wait(result: Any) -> None:
    """Every operation ends before it returns."""
