"""How the CPU kernels use more than one thread.

A kernel is a compiled function of a stretch of its work, kernel(first, end, *arguments). `share` has it called on
stretches that make up all of it, which the calling thread and its helpers take one after the other until none is left
(see jobs.py). What a kernel does for an index, it does whatever stretch that is in: so every number of threads gives
the same bits. A kernel cuts its arrays to the stretch and counts from 0: an index that could be negative is not
vectorised.

Why not Numba's threads: a helper that gets no time slice is not waited for. Where other processes hold the cores, an
OpenMP loop took 20 ms for 0.2 ms of work, while the caller here does all of it alone; two callers at once and forked
processes are safe, where Numba's layers end the process; and no kernel is compiled twice.

Who waits, gives way: it looks again and again, and calls sched_yield in between, which lets another process have the
core. A helper does so for a millisecond or two after its last job, and then sleeps: to be woken takes 80 µs. Helpers
are in compiled code all the while, so that nobody waits for Python's lock, whose waiters sleep too.

Work that can wait is put off with `later`: a product that is the gradient of weights, which nobody reads before the
walk back over the graph has ended. Helpers do it when nothing is shared, a stretch at a time: while Python runs, and
where they would wait for each other at the end of a product.

Products are shared like all else (see linear.py): BLAS's own threads, which spin for 20 ms and more after a product,
would hold the cores that these need. `blas.serial` keeps them out.
"""

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import numpy as np
from numba.core.config import DISABLE_JIT  # type: ignore[attr-defined]

from . import blas
from .jobs import WORDS, close, done, help_with, put, run, work, writer_of

_PATIENCE = 1 << 11  # calls of sched_yield, some 0.7 µs each, for which a helper waits for its next job
_URGENT, _WAITING = 4, 4  # jobs at once: of callers who wait for them, and of those put off, whose arrays take memory

Array = Any


class _Helpers:
    """Threads that work on jobs; as many as there are threads beside the caller."""

    def __init__(self, threads: int):
        self.threads, self.started, self.starting = threads, 0, threading.Lock()
        self.rows = np.zeros((_URGENT + _WAITING, WORDS), np.int64)
        self.urgent, self.waiting = list(self.rows[:_URGENT]), list(self.rows[_URGENT:])  # that nobody uses
        self.stop = np.zeros(1, np.int64)
        self.asleep: set[int] = set()
        self.calls = SimpleQueue[None]()

    def wake(self) -> None:
        """Those who sleep, and at first those who were not yet started."""
        while self.asleep:
            try:
                self.asleep.pop()
            except KeyError:  # another caller was faster
                return
            self.calls.put(None)
        if self.started < self.threads - 1:
            with self.starting:
                while self.started < self.threads - 1:
                    threading.Thread(target=self.serve, args=(self.started,), name="tinyart", daemon=True).start()
                    self.started += 1

    def end(self) -> None:
        self.stop[0] = 1
        self.started = self.threads  # none is started any more
        self.wake()

    def serve(self, number: int) -> None:
        while not self.stop[0]:
            help_with(self.rows, _URGENT, self.stop, _PATIENCE)
            self.asleep.add(number)
            if not self.stop[0]:
                self.calls.get()

    def step(self, size: int, piece: int) -> int:
        """The length of a stretch; all of it where another thread is not worth its while."""
        pieces = (2 * size + piece) // (2 * piece)  # the nearest whole number
        if pieces < 2 or self.threads == 1:
            return size
        # Up to 16 a thread, and as many for each: who is late does fewer.
        count = pieces if pieces < self.threads else self.threads * min(16, pieces // self.threads)
        unit = 1 << max(0, (int(piece) // 8).bit_length() - 1)  # whole vectors
        return unit * -(-size // (unit * count))


_helpers = _Helpers(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def _after_fork() -> None:
    """A fork takes the calling thread along, and none of the helpers or of those inside `blas.serial`."""
    global _helpers
    _helpers = _Helpers(_helpers.threads)
    if isinstance(blas.serial, blas._Serial):
        blas.serial.leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def share(kernel: Callable[..., None], size: int, piece: int, *arguments: Any) -> None:
    """kernel(first, end, *arguments) over stretches that make up range(size), of about equal length.

    `piece` is what is worth a stretch of its own: some 15 µs.

    Errors: `MemoryError` where a kernel found none for arrays of its own.
    """
    if DISABLE_JIT:
        kernel(0, size, *arguments)
    if DISABLE_JIT or size == 0:
        return
    helpers = _helpers
    step, rows = helpers.step(size, piece), helpers.urgent
    try:
        row = rows.pop()
    except IndexError:  # more callers than rows: this one works alone
        row, rows = np.zeros(WORDS, np.int64), []
    try:
        writer_of(kernel)(row, *arguments)
        if step < size:
            helpers.wake()
        if run(row, size, step, helpers.rows, _URGENT):
            raise MemoryError("for what a kernel keeps")
    finally:
        rows.append(row)


class _PutOff(threading.local):
    """This thread's jobs that wait, the oldest first: the row, whose it is, and the arrays, whose addresses it has."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Array, _Helpers, Any]] = []
        self.failed = False


_put_off = _PutOff()


def later(kernel: Callable[..., None], size: int, piece: int, *arguments: Any) -> None:
    """As `share`, but done some time before `finish` returns: until then nobody touches these arrays."""
    helpers, jobs = _helpers, _put_off.jobs
    step = size if DISABLE_JIT else helpers.step(size, piece)
    if step < size and not helpers.waiting:
        for job in jobs:
            if done(job[0]):
                _end(job)
    try:
        row = helpers.waiting.pop() if step < size else None
    except IndexError:
        row = None
    if row is None:
        share(kernel, size, piece, *arguments)
        return
    blas.serial.__enter__()
    _put_off.jobs.append((row, helpers, arguments))
    writer_of(kernel)(row, *arguments)
    helpers.wake()
    put(row, size, step)


def _end(job: tuple[Array, _Helpers, Any]) -> None:
    """Only when all is done its arrays leave the list, whatever interrupts."""
    row, helpers, _ = job
    _put_off.failed |= bool(close(row, helpers.rows, _URGENT))
    _put_off.jobs = [other for other in _put_off.jobs if other is not job]
    helpers.waiting.append(row)
    blas.serial.__exit__()


def finish() -> None:
    """Do what this thread has put off. Errors: `MemoryError`, as `share`."""
    if not _put_off.jobs:
        return
    for row, _, _ in _put_off.jobs:
        work(row)
    for job in _put_off.jobs:
        _end(job)
    failed, _put_off.failed = _put_off.failed, False
    if failed:
        raise MemoryError("for what a kernel keeps")


def get_num_threads() -> int:
    """How many threads work on one kernel."""
    return _helpers.threads


def set_num_threads(n: int) -> None:
    """Let n threads, the caller among them, work on one kernel of ours, and as many on one of NumPy's products."""
    global _helpers
    _helpers.end()
    _helpers = _Helpers(n)
    blas.set_num_threads(n)
