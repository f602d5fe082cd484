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

Products are shared like all else, those in float64 through BLAS (see linear.py). Its own threads, which spin for 20 ms
and more after a product, would hold the cores that these need: `blas.serial` keeps them out.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

import numpy as np
from numba.core.config import DISABLE_JIT  # type: ignore[attr-defined]

from . import blas
from .jobs import WORDS, close, complete, done, help_with, put, work, writer_of

_PATIENCE = 1 << 11  # calls of sched_yield, some 0.7 µs each, for which a helper waits for its next job
_URGENT, _WAITING = 4, 4  # jobs at once: of callers who wait for them, and of those put off, whose arrays take memory


class _Helpers:
    """Threads that work on jobs; as many as there are threads beside the caller."""

    def __init__(self, threads: int):
        self.threads, self.started, self.starting = threads, 0, threading.Lock()
        self.rows = np.zeros((_URGENT + _WAITING, WORDS), np.int64)
        places = [self.rows.ctypes.data + 8 * WORDS * i for i in range(len(self.rows))]
        self.urgent, self.waiting = places[:_URGENT], places[_URGENT:]  # those that nobody uses
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
            self.asleep.add(number)  # before the last look: who opens a job looks afterwards who sleeps
            if not help_with(self.rows, _URGENT, self.stop, 1) and not self.stop[0]:
                self.calls.get()
            self.asleep.discard(number)

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
    step, places = helpers.step(size, piece), helpers.urgent
    try:
        job = places.pop()
    except IndexError:  # more callers than places: this one works alone
        own = np.zeros(WORDS, np.int64)
        job, places = own.ctypes.data, []
    try:
        writer_of(kernel)(job, *arguments)
        put(job, size, step)
        if step < size:
            helpers.wake()
        if complete(job, helpers.rows, _URGENT):
            raise MemoryError("for what a kernel keeps")
    finally:
        places.append(job)


class _PutOff(threading.local):
    """This thread's jobs that wait, the oldest first: the job, whose it is, and the arrays, whose addresses it has."""

    def __init__(self) -> None:
        self.jobs: list[tuple[int, _Helpers, Any]] = []
        self.failed = False


_put_off = _PutOff()


def later(kernel: Callable[..., None], size: int, piece: int, *arguments: Any) -> None:
    """As `share`, but done some time before `finish` returns: until then nobody touches these arrays."""
    helpers = _helpers
    step = size if DISABLE_JIT else helpers.step(size, piece)
    if step < size and not helpers.waiting:
        for waiting in _put_off.jobs:
            if done(waiting[0]):
                _end(waiting)
    job = None
    if step < size:
        with suppress(IndexError):
            job = helpers.waiting.pop()
    if job is None:
        share(kernel, size, piece, *arguments)
        return
    _put_off.jobs.append((job, helpers, arguments))
    writer_of(kernel)(job, *arguments)
    put(job, size, step)
    helpers.wake()


def _end(waiting: tuple[int, _Helpers, Any]) -> None:
    """Only when all is done its arrays leave the list, whatever interrupts."""
    job, helpers, _ = waiting
    _put_off.failed |= bool(close(job, helpers.rows, _URGENT))
    _put_off.jobs = [other for other in _put_off.jobs if other is not waiting]
    helpers.waiting.append(job)


def finish() -> None:
    """Do what this thread has put off. Errors: `MemoryError`, as `share`."""
    if not _put_off.jobs:
        return
    for job, _, _ in _put_off.jobs:
        work(job)
    for waiting in _put_off.jobs:
        _end(waiting)
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
