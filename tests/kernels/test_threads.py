"""`share` and `later`: all is done once, by any number of threads, by several callers, after a fork; errors come
through."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinyart.kernels.cpu import blas, linear, pool, reduce, threads
from tinyart.kernels.cpu.compiling import compiled
from tinyart.kernels.cpu.jobs import writer_of
from tinyart.kernels.cpu.linear import product
from tinyart.kernels.cpu.threads import share

import tinyart as ta
from tinyart.errors import ArgumentError


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


this_thread = numba.types.ExternalFunction("pthread_self", numba.types.intp())
sleep = numba.types.ExternalFunction("usleep", numba.types.intc(numba.types.uint32))


def patiently(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


@compiled
def count(first: int, end: int, counts: np.ndarray, stretches: np.ndarray) -> None:
    """Count what is done, and write at the beginning of each stretch how long it is."""
    stretches[first] = end - first
    for i in range(first, end):
        counts[i] += 1


@compiled
def spend(first: int, end: int, who: np.ndarray, seconds: float) -> None:
    """Write who does each index, which takes so many seconds."""
    for i in range(first, end):
        who[i] = this_thread()
        sleep(np.uint32(1e6 * seconds))


@compiled
def linger(first: int, end: int, who: np.ndarray, caller: int) -> None:
    """Helpers take twenty times as long, and say at the end who they are."""
    for i in range(first, end):
        sleep(np.uint32(10_000 if this_thread() == caller else 200_000))
        who[i] = this_thread()


@compiled
def fail(first: int, end: int, which: int) -> None:
    if first == which:
        np.empty(1 << 60)


@given(size=st.integers(0, 300), piece=st.integers(1, 50), number=st.integers(1, 5))
def test_every_index_is_done_once_in_equal_stretches(size: int, piece: int, number: int) -> None:
    counts, stretches = np.zeros(size, int), np.zeros(size, int)
    threads.set_num_threads(number)
    share(count, size, piece, counts, stretches)
    assert (counts == 1).all()
    lengths = sorted(stretches[stretches > 0])
    assert len(lengths) <= max(1, 16 * number)
    assert lengths[1:] == lengths[-1:] * (len(lengths) - 1)  # all but one are equal
    assert len(lengths) < 2 or lengths[-1] * 2 > piece
    assert number == 1 or size < 1.5 * piece or len(lengths) > 1


@pytest.mark.parametrize("number", [1, 2, 4])
def test_what_is_put_off_is_done_when_it_is_finished(number: int) -> None:
    threads.set_num_threads(number)
    counts, other = np.zeros((20, 60), int), np.zeros((2, 60), int)
    for row in counts:
        threads.later(count, 60, 10, row, np.zeros(60, int))
        share(count, 60, 10, *other)
    threads.finish()
    assert (counts == 1).all()
    assert (other[0] == 20).all()
    threads.finish()  # nothing is left, and BLAS as before
    assert numpys_threads() == number


def test_helpers_do_what_is_put_off_while_the_caller_does_other_things() -> None:
    threads.set_num_threads(2)
    who = np.zeros(4, int)
    threads.later(spend, 4, 1, who, 0.0)
    patiently(lambda: who.all())
    threads.finish()
    assert threading.get_ident() not in who


def test_what_is_shared_goes_before_what_was_put_off() -> None:
    threads.set_num_threads(2)
    later, now = np.zeros(8, int), np.zeros(8, int)
    threads.later(spend, 8, 1, later, 0.1)
    patiently(lambda: later.any())
    share(spend, 8, 1, now, 0.05)
    assert len(set(now)) == 2  # the helper does one stretch of eight, and then helps
    assert (later > 0).sum() < 6
    threads.finish()
    assert later.all()


def test_the_caller_waits_for_slow_helpers() -> None:
    threads.set_num_threads(3)
    caller = threading.get_ident()

    def attempt() -> bool:
        now, later = np.zeros(16, int), np.zeros(16, int)
        share(linger, 16, 1, now, caller)
        assert now.all()
        threads.later(linger, 16, 1, later, caller)
        threads.finish()
        assert later.all()
        return len(set(now)) > 1 and len(set(later)) > 1

    patiently(attempt)


def test_who_waits_does_what_was_put_off() -> None:
    threads.set_num_threads(2)
    caller = threading.get_ident()

    def attempt() -> bool:
        later, now = np.zeros(8, int), np.zeros(8, int)
        threads.later(spend, 8, 1, later, 0.02)
        patiently(lambda: later.any())
        share(linger, 8, 1, now, caller)
        found = caller in later
        threads.finish()
        return found and bool(later.all()) and bool(now.all())

    patiently(attempt)


def test_a_failure_in_what_is_put_off_comes_when_it_is_finished() -> None:
    threads.set_num_threads(2)
    threads.later(fail, 4, 1, 2)
    with pytest.raises(MemoryError):
        threads.finish()
    threads.finish()
    assert numpys_threads() == 2


def test_helpers_take_their_share() -> None:
    threads.set_num_threads(3)
    who = np.zeros(12, int)
    share(spend, 12, 1, who, 0.05)
    assert len(set(who)) == 3


@pytest.mark.parametrize(("number", "starts"), [(1, (0,)), (2, range(0, 100, 4))])
def test_whatever_fails_is_the_callers_error(number: int, starts: Iterable[int]) -> None:
    threads.set_num_threads(number)
    for start in starts:
        with pytest.raises(MemoryError):
            share(fail, 100, 1, start)
    share(fail, 100, 1, 1)  # where none begins
    who = np.zeros(4, int)
    share(spend, 4, 1, who, 0.05)  # and the helper still lives
    assert len(set(who)) == number


def test_nobody_holds_the_arrays_afterwards() -> None:
    threads.set_num_threads(2)
    counts, stretches = np.zeros((2, 100), int)
    before = sys.getrefcount(counts)
    for _ in range(20):
        share(count, 100, 1, counts, stretches)
        threads.later(count, 100, 1, counts, stretches)
        threads.finish()
    assert sys.getrefcount(counts) == before
    assert (counts == 40).all()


def test_the_machine_code_of_kernels_of_one_name_is_kept_apart() -> None:
    files = {Path(writer_of(module._rows)._cache.cache_path, writer_of(module._rows)._cache._impl.filename_base)
             for module in (linear, pool, reduce)}
    assert len(files) == 3
    assert not isinstance(writer_of(count)._cache, type(writer_of(linear._rows)._cache))  # not kept: it may change


@pytest.mark.skipif(threads.DISABLE_JIT, reason="it is Python then")
def test_python_may_not_call_what_is_compiled_into_other_code() -> None:
    with pytest.raises(TypeError, match="count is for `share` and compiled code"):
        count(0, 1, np.zeros(1), np.zeros(1))


def test_kernels_of_other_things_are_refused() -> None:
    @compiled
    def kernel(first: int, end: int, name: str) -> None:
        pass

    with pytest.raises(TypeError, match="arrays, numbers and tuples of numbers"):
        share(kernel, 4, 1, "name")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_helpers_of_its_own() -> None:
    threads.set_num_threads(2)
    share(spend, 4, 1, np.zeros(4, int), 0.0)
    child = os.fork()
    if child == 0:
        who = np.zeros(8, int)
        share(spend, 8, 1, who, 0.02)
        os._exit(len(set(who)))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2


def test_the_number_is_numpys_too() -> None:
    for number in (1, 2):
        threads.set_num_threads(number)
        assert threads.get_num_threads() == number
        assert numpys_threads() == number


def test_the_public_setting() -> None:
    ta.set_num_threads(3)
    assert ta.get_num_threads() == threads.get_num_threads() == 3
    for wrong in (0, -1, 1.5, "2"):
        with pytest.raises(ArgumentError, match=r"set_num_threads.*integer of at least 1"):
            ta.set_num_threads(wrong)  # type: ignore[arg-type]


def numpys_threads() -> int:
    """Of NumPy's BLAS, by another way than ours."""
    threadpoolctl = pytest.importorskip("threadpoolctl")
    found = [library["num_threads"] for library in threadpoolctl.threadpool_info()
             if library["user_api"] == "blas" and "numpy" in library["filepath"]]
    if not found:
        pytest.skip("NumPy's BLAS is none that threadpoolctl knows")
    return int(found[0])


def test_blas_is_serial_inside_and_as_before_after() -> None:
    threads.set_num_threads(2)
    with blas.serial:
        assert numpys_threads() == 1
        with pytest.raises(ZeroDivisionError), blas.serial:
            raise ZeroDivisionError
        assert numpys_threads() == 1  # the first one is still inside
    assert numpys_threads() == 2


def test_blas_is_as_before_after_many_callers() -> None:
    threads.set_num_threads(2)
    a = np.random.default_rng(0).normal(size=(200, 200))

    def call() -> None:
        for _ in range(100):
            assert np.allclose(product(a, a), a @ a)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert numpys_threads() == 2


def test_a_helper_rests_and_is_woken() -> None:
    """Jobs come while it waits for one, and after it went to sleep."""
    threads.set_num_threads(2)
    for pause in (0, 0, 0.001, 0.05, 0, 0.05):
        who = np.zeros(4, int)
        share(spend, 4, 1, who, 0.01)
        assert len(set(who)) == 2
        time.sleep(pause)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_multiplies_though_another_thread_was_inside() -> None:
    threads.set_num_threads(2)
    assert numpys_threads() == 2  # or skipped, here and not in the child
    a, entered, leave = np.ones((300, 300)), threading.Event(), threading.Event()

    def inside() -> None:
        with blas.serial:
            entered.set()
            leave.wait(30)

    other = threading.Thread(target=inside)
    other.start()
    entered.wait(30)
    child = os.fork()
    if child == 0:
        right = False
        try:
            right = np.array_equal(product(a, a), a * 300) and numpys_threads() == 2
        finally:
            os._exit(0 if right else 1)  # and never back into pytest
    leave.set()
    other.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("callers", [2, 9])
def test_several_callers_share_the_helpers(callers: int) -> None:
    """Also more than there are places for jobs."""
    threads.set_num_threads(3)
    wrong: list[int] = []

    def call(number: int) -> None:
        for _ in range(200):
            counts, others = np.zeros((2, 12), int)
            threads.later(count, 12, 1, others, np.zeros(12, int))
            share(count, 12, 1, counts, np.zeros(12, int))
            threads.finish()
            if not (counts == 1).all() or not (others == 1).all():
                wrong.append(number)

    together = [threading.Thread(target=call, args=(n,)) for n in range(callers)]
    for caller in together:
        caller.start()
    for caller in together:
        caller.join()
    assert not wrong
    who = np.zeros(12, int)
    share(spend, 12, 1, who, 0.05)
    assert len(set(who)) == 3  # and all places are free again


AT_ONCE = """
import numpy as np
from tinyart.kernels.cpu import threads
from tinyart.kernels.cpu.linear import product
threads.set_num_threads(4)
a = np.ones((400, 400), np.float32)
for _ in range(3):
    product(a, a)
"""


def test_the_process_ends_while_helpers_wait() -> None:
    for _ in range(5):
        subprocess.run([sys.executable, "-c", AT_ONCE], check=True, timeout=60)
