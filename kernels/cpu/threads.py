"""How the CPU kernels are compiled, and when they use more than one thread.

A kernel is a serial function of a stretch of its arrays, and a parallel one that gives it fixed blocks of them: which
thread takes which block changes nothing, so every number of threads gives the same bits.
"""

import os
import threading
from collections.abc import Callable
from typing import Any

import numba

# Machine code, kept on disk. x / 0 is inf or nan as in NumPy: Python's exception would stop vectorisation.
compiled = numba.njit(cache=True, nogil=True, error_model="numpy")
compiled_parallel = numba.njit(cache=True, nogil=True, error_model="numpy", parallel=True)
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
