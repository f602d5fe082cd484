"""How each library does the rows: a module has a function for each kind of row that it can do, and `wait`."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

DEVICE = os.environ.get("BENCHMARK_DEVICE", "cpu")  # or "cuda"
PRECISION = os.environ.get("BENCHMARK_PRECISION", "float32")  # or, of products, "tf32" or "bfloat16"


class Work(NamedTuple):
    """`step(i)` does the work of a row on batch i. `answer` makes an array or numbers of its result, to be compared.

    A step may do what is measured many times: `operations`. Where dropout belongs to the work, `dropout(False)` leaves
    it out, for comparison. Without an answer a step measures by itself, and returns it.
    """

    step: Callable[[int], Any]
    answer: Callable[[Any], Any] | None
    dropout: Callable[[bool], None] = lambda on: None
    operations: int = 1


class Measured(NamedTuple):
    """Seconds or bytes, and a peak of memory in bytes."""

    value: float
    peak: int


class Skip(Exception):
    """Why a library does not take part in a row."""
