"""How the CPU kernels are compiled, and how they use more than one thread.

A kernel is a function of a stretch of its work, kernel(first, end, *arguments), that releases Python's lock. `share`
calls it on stretches of whole blocks, which the calling thread and its helpers take from one list until none is left.
Blocks are fixed: who takes which changes nothing, so every number of threads gives the same bits. A kernel cuts its
arrays to the stretch and counts from 0: an index that could be negative is not vectorised.

Why Python threads and not Numba's: a helper that gets no time slice is not waited for. Where other processes hold the
cores, an OpenMP loop took 20 ms for 0.2 ms of work, while the caller here does all of it alone; two callers at once and
forked processes are safe, where Numba's layers end the process; and no kernel is compiled twice. The price is 30 µs to
wake a helper, so a block should be worth 50 µs. Helpers sleep when idle: they take nothing from BLAS's threads. BLAS's
do not return the favour unless they are told to: see `_let_blas_sleep`.
"""

import ctypes
import hashlib
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numba
import numpy as np

_sources = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()[:12]


def _compiler(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A decorator that compiles at the first call, and keeps the machine code on disk for other processes.

    Numba would use that code again if only a function that it calls changed: so the sources are part of its name.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        function.__qualname__ += "_" + _sources
        jit = partial(numba.njit, no_cfunc_wrapper=True, **options)  # C code never calls these
        try:
            return jit(cache=True)(function)
        except RuntimeError:  # neither the package's folder nor the user's cache can be written
            return jit()(function)

    return compiled


# x / 0 is inf or nan as in NumPy: Python's exception would stop vectorisation.
compiled = _compiler(nogil=True, error_model="numpy")
contracted = _compiler(nogil=True, error_model="numpy", fastmath={"contract"})  # a·b + c is rounded once
summed = _compiler(nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})  # sums in vectors; no exp32 there
# Pasted into the compiled functions that call it: a call that could raise would stop theirs.
inlined = numba.njit(inline="always", error_model="numpy")


def plain(a: Any) -> Any:
    """`a` in C order, aligned and writeable, itself or a copy: each other kind would be compiled for on its own."""
    return a if a.flags.carray else np.array(a, order="C")


_blas = ctypes.CDLL(np._core._multiarray_umath.__file__)  # type: ignore[attr-defined]  # NumPy's, whichever it is


def _let_blas_sleep() -> None:
    """Let the threads of NumPy's OpenBLAS wait for their next product 2²² ticks of the clock, 1 to 2 ms, not 2²⁶.

    They wait by spinning: for 20 ms and more after each product they would hold the cores that our helpers need. On
    two cores a step of the LSTM takes 36 ms so, and 29 without (`OPENBLAS_THREAD_TIMEOUT=26 python -m benchmarks --rows
    step/lstm-T100` is with it). With 2¹⁸ they sleep between the products of a dense network, whose step then takes a
    fifth more. OpenBLAS reads the number from the environment when it starts its threads: they are ended, as before a
    fork, and the next product starts new ones. Left alone where the user chose a number, and where other threads run,
    which may be in the middle of a product: there OPENBLAS_THREAD_TIMEOUT=22 in the environment of the process does
    the same.
    """
    name = "OPENBLAS_THREAD_TIMEOUT"
    if name in os.environ or threading.active_count() > 1 or not hasattr(_blas, "openblas_read_env"):
        return
    os.environ[name] = "22"
    _blas.openblas_read_env()
    del os.environ[name]
    _blas.blas_thread_shutdown_()


_let_blas_sleep()


class _Job:
    """One `share`: the stretches that nobody has taken yet, and what came of those that helpers took."""

    def __init__(self, kernel: Callable[..., None], stretches: list[tuple[int, int]], arguments: tuple[Any, ...]):
        self.kernel, self.stretches, self.arguments = kernel, stretches, arguments
        self.results: SimpleQueue[BaseException | None] = SimpleQueue()

    def take(self) -> bool:
        """Do one stretch; False if there was none left."""
        try:
            first, end = self.stretches.pop()
        except IndexError:
            return False
        self.kernel(first, end, *self.arguments)
        return True

    def help(self) -> None:
        try:
            while self.take():
                self.results.put(None)
        except BaseException as error:  # raised again in the thread that shares
            self.results.put(error)


class _Helpers:
    """Sleeping threads that wait for jobs; as many as there are threads beside the caller."""

    def __init__(self, threads: int):
        self.threads, self.jobs = threads, SimpleQueue[_Job | None]()
        self.started = 0
        self.starting = threading.Lock()

    def start(self) -> None:
        with self.starting:
            while self.started < self.threads - 1:
                threading.Thread(target=self.serve, name="tinyart", daemon=True).start()
                self.started += 1

    def serve(self) -> None:
        while (job := self.jobs.get()) is not None:
            job.help()

    def stop(self) -> None:
        for _ in range(self.started):
            self.jobs.put(None)


_helpers = _Helpers(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def _after_fork() -> None:
    """A fork takes the calling thread along and none of the helpers."""
    global _helpers
    _helpers = _Helpers(_helpers.threads)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def share(kernel: Callable[..., None], size: int, block: int, *arguments: Any) -> None:
    """kernel(first, end, *arguments) over stretches that make up range(size), each of whole blocks but for the last."""
    helpers = _helpers
    if size <= block or helpers.threads == 1:
        if size > 0:
            kernel(0, size, *arguments)
        return
    blocks = -(-size // block)
    step = block * -(-blocks // (4 * helpers.threads))  # some four stretches a thread: who is late does fewer
    job = _Job(kernel, [(first, min(first + step, size)) for first in range(0, size, step)], arguments)
    left = len(job.stretches)
    if helpers.started < helpers.threads - 1:
        helpers.start()
    for _ in range(min(helpers.threads, left) - 1):
        helpers.jobs.put(job)
    while job.take():
        left -= 1
    errors = [job.results.get() for _ in range(left)]
    job.arguments = ()  # a helper that comes too late holds no arrays
    for error in errors:
        if error is not None:
            raise error


def get_num_threads() -> int:
    """How many threads work on one kernel."""
    return _helpers.threads


def set_num_threads(n: int) -> None:
    """Let n threads, the caller among them, work on one kernel of ours, and as many on one of NumPy's products."""
    global _helpers
    _helpers.stop()
    _helpers = _Helpers(n)
    for name in ("scipy_openblas_set_num_threads64_", "scipy_openblas_set_num_threads", "openblas_set_num_threads64_",
                 "openblas_set_num_threads", "MKL_Set_Num_Threads"):  # fmt: skip
        setter = getattr(_blas, name, None)
        if setter is not None:
            setter(ctypes.c_int(n))
            return
