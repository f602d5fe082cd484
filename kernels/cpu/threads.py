"""How the CPU kernels are compiled, and when they use more than one thread.

A kernel is a serial function of a stretch of its arrays, and a parallel one that gives it fixed blocks of them: which
thread takes which block changes nothing, so every number of threads gives the same bits.

Threads help from about a millisecond of work. Where another process holds a core, a parallel call waits for that
thread's turn: on two cores, one busy, it took 8 ms for what is 0.1 ms of work on one thread.
"""

import os
import threading
from collections.abc import Callable
from typing import Any

import numba


def _compiler(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A decorator that compiles at the first call, and keeps the machine code on disk for other processes."""

    def compiled(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:  # neither the package's folder nor the user's cache can be written
            return numba.njit(**options)(function)

    return compiled


# x / 0 is inf or nan as in NumPy: Python's exception would stop vectorisation.
compiled = _compiler(nogil=True, error_model="numpy")
contracted = _compiler(nogil=True, error_model="numpy", fastmath={"contract"})  # a·b + c is rounded once
compiled_parallel = _compiler(nogil=True, error_model="numpy", parallel=True)
# Pasted into the compiled functions that call it: a call that could raise would stop theirs.
inlined = numba.njit(inline="always", error_model="numpy")

_one_at_a_time = threading.Lock()
_process = os.getpid()


def run(serial: Callable[..., None], parallel: Callable[..., None], worth_it: bool, *arguments: Any) -> None:
    """Call `parallel` if it is worth it and safe, otherwise `serial`.

    Two threads at once in Numba's workqueue layer end the process, and its OpenMP layer ends the child of a fork:
    whoever comes second, and every child, works serially.
    """
    if worth_it and os.getpid() == _process and _one_at_a_time.acquire(blocking=False):
        try:
            parallel(*arguments)
        finally:
            _one_at_a_time.release()
    else:
        serial(*arguments)
