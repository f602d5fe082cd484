"""How the CPU kernels are compiled, and how they use more than one thread.

A kernel is a function of a stretch of its work, kernel(first, end, *arguments), that releases Python's lock. `share`
calls it on stretches that make up all of it, which the calling thread and its helpers take from one list until none is
left. What a kernel does for an index, it does whatever stretch that is in: so every number of threads gives the same
bits. A kernel cuts its arrays to the stretch and counts from 0: an index that could be negative is not vectorised.

Why Python threads and not Numba's: a helper that gets no time slice is not waited for. Where other processes hold the
cores, an OpenMP loop took 20 ms for 0.2 ms of work, while the caller here does all of it alone; two callers at once and
forked processes are safe, where Numba's layers end the process; and no kernel is compiled twice.

Who waits, gives way: it asks for its job again and again, and calls sched_yield in between, which lets another process
have the core. A helper does so for a millisecond or two after its last job, and then sleeps: to be woken takes 80 µs.
Both wait in compiled code without Python's lock, for the thread that finds it taken sleeps too. That is also why a
helper that sees its job lets the caller begin its own stretch first.

Work that can wait is put off with `later`: a product that is the gradient of weights, which nobody reads before the
walk back over the graph has ended. Helpers do it when nothing is shared, a stretch at a time: while Python runs, and
where they would wait for each other at the end of a product. 20 and 165 layers of 1024 units take 8 % less time a step.

Products are shared like all else (see linear.py): BLAS's own threads, which spin for 20 ms and more after a product,
would hold the cores that these need. `serial_blas` keeps them out.
"""

import ctypes
import hashlib
import os
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numba
import numpy as np
from numba.core.config import DISABLE_JIT  # type: ignore[attr-defined]

# Calls of sched_yield, some 0.7 µs each, for which a helper waits for its next job, and lets the caller begin.
_PATIENCE, _COURTESY = 1 << 11, 16
_MOST = 4  # jobs that wait

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


_blas = ctypes.PyDLL(np._core._multiarray_umath.__file__)  # type: ignore[attr-defined]  # NumPy's, whichever it is


def _blas_function(*names: str) -> Any:
    """The first of these names that NumPy's BLAS has: OpenBLAS's in NumPy's wheels and elsewhere, or MKL's"""
    return next((getattr(_blas, name) for name in names if hasattr(_blas, name)), None)


_set_blas_threads = _blas_function("scipy_openblas_set_num_threads64_", "scipy_openblas_set_num_threads",
                                   "openblas_set_num_threads64_", "openblas_set_num_threads", "MKL_Set_Num_Threads")
_get_blas_threads = _blas_function("scipy_openblas_get_num_threads64_", "scipy_openblas_get_num_threads",
                                   "openblas_get_num_threads64_", "openblas_get_num_threads", "MKL_Get_Max_Threads")


class _SerialBlas:
    """While anyone is inside, a product of NumPy's is computed by the thread that asks for it."""

    def __init__(self) -> None:
        self.lock, self.inside, self.before = threading.Lock(), 0, 1

    def leave(self) -> None:
        """As if nobody were inside."""
        if self.inside:
            _set_blas_threads(self.before)
        self.lock, self.inside = threading.Lock(), 0

    def __enter__(self) -> None:
        with self.lock:
            if self.inside == 0:
                self.before = _get_blas_threads()
                _set_blas_threads(1)
            self.inside += 1

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                _set_blas_threads(self.before)


# A BLAS that cannot be told, as Apple's, is called from several threads all the same.
serial_blas: Any = _SerialBlas() if _set_blas_threads and _get_blas_threads else nullcontext()


class _Job:
    """One kernel's work: the stretches that nobody has taken yet, who works on it, and what went wrong."""

    def __init__(self, kernel: Callable[..., None], stretches: list[tuple[int, int]], arguments: tuple[Any, ...],
                 helpers: int, waits: bool):  # fmt: skip
        self.kernel, self.stretches, self.arguments, self.waits = kernel, stretches, arguments, waits
        self.busy = np.zeros(helpers, np.bool_)
        self.errors: list[BaseException] = []

    def take(self) -> bool:
        """Do one stretch; False if there was none left."""
        try:
            first, end = self.stretches.pop()
        except IndexError:
            return False
        self.kernel(first, end, *self.arguments)
        return True

    def help(self, number: int, others: Any) -> None:
        """Do what is left, as helper `number`, who says itself when it is busy no more; others go before what waits."""
        self.busy[number] = True  # before it takes any: who finds no stretch left knows whom to wait for
        try:
            while self.take():
                if self.waits and not others.empty():
                    others.put(self)
                    return
        except BaseException as error:  # raised again in the thread that shares
            self.errors.append(error)

    def finish(self) -> None:
        while self.take():
            pass
        if self.busy.any():
            _wait_for(self.busy)
        self.arguments = ()  # a helper that comes too late holds no arrays
        for error in self.errors:
            raise error


_yield: Any = partial(time.sleep, 0) if DISABLE_JIT else numba.types.ExternalFunction(
    "sched_yield" if os.name == "posix" else "SwitchToThread", numba.types.intc())


@compiled
def _rest(busy: Any, number: int, put: Any, seen: int, patience: int, courtesy: int) -> None:
    """No longer busy: wait until a job is put."""
    busy[number] = False
    for _ in range(patience):
        if put[0] != seen:
            for _ in range(courtesy):
                _yield()
            return
        _yield()


@compiled
def _wait_for(busy: Any) -> None:
    for number in range(len(busy)):
        while busy[number]:
            _yield()


class _Helpers:
    """Threads that wait for jobs; as many as there are threads beside the caller."""

    def __init__(self, threads: int):
        self.threads, self.jobs = threads, SimpleQueue[_Job | None]()
        self.put = np.zeros(1, np.int64)  # jobs so far
        self.started = 0
        self.starting = threading.Lock()

    def start(self) -> None:
        with self.starting:
            while self.started < self.threads - 1:
                threading.Thread(target=self.serve, args=(self.started,), name="tinyart", daemon=True).start()
                self.started += 1

    def announce(self, job: _Job | None, helpers: int) -> None:
        for _ in range(helpers):
            self.jobs.put(job)
        self.put[0] += 1

    def ask(self, kernel: Callable[..., None], size: int, piece: int, arguments: tuple[Any, ...],
            waits: bool) -> _Job | None:  # fmt: skip
        """A new job for as many helpers as find something to do; None where the caller did it, alone and so faster."""
        if size == 0:
            return None
        pieces = (2 * size + piece) // (2 * piece)  # the nearest whole number
        if pieces < 2 or self.threads == 1:
            kernel(0, size, *arguments)
            return None
        # Up to four a thread, and as many for each: who is late does fewer.
        count = pieces if pieces < self.threads else self.threads * min(4, pieces // self.threads)
        unit = 1 << max(0, (int(piece) // 8).bit_length() - 1)  # whole vectors
        step = unit * -(-size // (unit * count))
        stretches = [(first, min(first + step, size)) for first in range(0, size, step)]
        job = _Job(kernel, stretches, arguments, self.threads - 1, waits)
        if self.started < self.threads - 1:
            self.start()
        self.announce(job, min(self.threads, len(stretches)) - 1)
        return job

    def serve(self, number: int) -> None:
        while (job := self.jobs.get()) is not None:
            job.help(number, self.jobs)
            busy, job, seen = job.busy, None, int(self.put[0])
            _rest(busy, number, self.put, seen, _PATIENCE if self.jobs.empty() else 0, _COURTESY)


_helpers = _Helpers(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def _after_fork() -> None:
    """A fork takes the calling thread along, and none of the helpers or of those inside `serial_blas`."""
    global _helpers
    _helpers = _Helpers(_helpers.threads)
    if isinstance(serial_blas, _SerialBlas):
        serial_blas.leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def share(kernel: Callable[..., None], size: int, piece: int, *arguments: Any) -> None:
    """kernel(first, end, *arguments) over stretches that make up range(size), of about equal length.

    `piece` is what is worth a stretch of its own: some 50 µs, since a helper may take as long to begin.
    """
    job = _helpers.ask(kernel, size, piece, arguments, waits=False)
    if job is not None:
        job.finish()


class _PutOff(threading.local):
    """This thread's jobs that wait, the oldest first."""

    def __init__(self) -> None:
        self.jobs: list[_Job] = []


_put_off = _PutOff()


def later(kernel: Callable[..., None], size: int, piece: int, *arguments: Any) -> None:
    """As `share`, but done some time before `finish` returns: until then nobody touches these arrays."""
    jobs = _put_off.jobs
    if len(jobs) == _MOST:  # their arrays take memory
        jobs.pop(0).finish()
    job = _helpers.ask(kernel, size, piece, arguments, waits=True)
    if job is not None:
        if not jobs:
            serial_blas.__enter__()
        jobs.append(job)


def finish() -> None:
    """Do what this thread has put off."""
    jobs = _put_off.jobs
    if not jobs:
        return
    try:
        for job in jobs:
            while job.take():
                pass
        for job in jobs:
            job.finish()
    finally:
        jobs.clear()
        serial_blas.__exit__()


def get_num_threads() -> int:
    """How many threads work on one kernel."""
    return _helpers.threads


def set_num_threads(n: int) -> None:
    """Let n threads, the caller among them, work on one kernel of ours, and as many on one of NumPy's products."""
    global _helpers
    _helpers.announce(None, _helpers.started)
    _helpers = _Helpers(n)
    if _set_blas_threads:
        _set_blas_threads(n)
