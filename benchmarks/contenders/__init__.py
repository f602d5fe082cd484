"""How each library does the rows: a module has a function for each kind of row that it can do, and `wait`."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Work(NamedTuple):
    """`step(i)` does the work of a row on batch i. `answer` makes arrays of its result, which `check` compares.

    Where dropout belongs to the work, `dropout(False)` leaves it out, for comparison.
    """

    step: Callable[[int], Any]
    answer: Callable[[Any], Any]
    dropout: Callable[[bool], None] = lambda on: None


class Skip(Exception):
    """Why a library does not take part in a row."""
