"""`share` and `later`: all is done once, by any number of threads, by several callers, after a fork; errors come
through."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinyart.kernels.cpu import threads
from tinyart.kernels.cpu.linear import product
from tinyart.kernels.cpu.threads import share

import tinyart as ta
from tinyart.errors import ArgumentError


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


@given(size=st.integers(0, 300), piece=st.integers(1, 50), number=st.integers(1, 5))
def test_every_index_is_done_once_in_equal_stretches(size: int, piece: int, number: int) -> None:
    counts, stretches = np.zeros(size, int), []

    def kernel(first: int, end: int, counts: np.ndarray) -> None:
        counts[first:end] += 1
        stretches.append((first, end))

    threads.set_num_threads(number)
    share(kernel, size, piece, counts)
    assert (counts == 1).all()
    assert len(stretches) <= max(1, 4 * number)
    lengths = sorted(end - first for first, end in stretches)
    assert lengths[1:] == lengths[-1:] * (len(lengths) - 1)  # all but one are equal
    assert len(lengths) < 2 or lengths[-1] * 2 > piece
    assert number == 1 or size < 1.5 * piece or len(lengths) > 1


@pytest.mark.parametrize("number", [1, 2, 4])
def test_what_is_put_off_is_done_when_it_is_finished(number: int) -> None:
    threads.set_num_threads(number)
    counts = np.zeros((20, 60), int)
    for row in counts:
        threads.later(lambda first, end, row: np.add(row[first:end], 1, out=row[first:end]), 60, 10, row)
        share(lambda first, end: None, 10, 1)
    threads.finish()
    assert (counts == 1).all()
    threads.finish()  # nothing is left, and BLAS as before
    assert numpys_threads() == number


def test_helpers_do_what_is_put_off_while_the_caller_does_other_things() -> None:
    threads.set_num_threads(2)
    done = threading.Event()
    threads.later(lambda first, end: done.set() if first == 0 else None, 4, 1)
    assert done.wait(30)
    threads.finish()


def test_what_is_shared_goes_before_what_was_put_off() -> None:
    threads.set_num_threads(2)
    order: list[str] = []
    caller, begun = threading.get_ident(), threading.Event()

    def slow(first: int, end: int) -> None:
        begun.set()
        time.sleep(0.05)
        order.append("put off")

    def quick(first: int, end: int) -> None:
        if threading.get_ident() != caller:
            order.append("shared")
        time.sleep(0.1)

    threads.later(slow, 4, 1)
    assert begun.wait(30)
    share(quick, 4, 1)
    threads.finish()
    assert order.count("put off") == 4
    assert "shared" in order[:2]  # the helper does one stretch of four, and then helps


def test_an_error_in_what_is_put_off_comes_when_it_is_finished() -> None:
    threads.set_num_threads(2)

    def wrong(first: int, end: int) -> None:
        raise ZeroDivisionError

    threads.later(wrong, 4, 1)
    with pytest.raises(ZeroDivisionError):
        threads.finish()
    threads.finish()
    assert numpys_threads() == 2


def test_helpers_take_their_share() -> None:
    threads.set_num_threads(3)
    names: set[str] = set()

    def kernel(first: int, end: int) -> None:
        names.add(threading.current_thread().name + str(threading.get_ident()))
        time.sleep(0.05)

    share(kernel, 12, 1)
    assert len(names) == 3


def test_a_helpers_error_is_the_callers() -> None:
    threads.set_num_threads(2)
    caller = threading.get_ident()

    def kernel(first: int, end: int) -> None:
        time.sleep(0.02)
        if threading.get_ident() != caller:
            raise ZeroDivisionError(f"{first}")

    with pytest.raises(ZeroDivisionError):
        share(kernel, 100, 1)
    share(lambda first, end: None, 100, 1)  # and the helper still lives


def test_a_late_helper_holds_no_arrays() -> None:
    threads.set_num_threads(2)
    held = np.zeros(3)
    before = len(_referrers(held))
    for _ in range(20):
        share(lambda first, end, a: None, 100, 1, held)
    assert len(_referrers(held)) == before


def _referrers(x: object) -> list[object]:
    import gc

    return [r for r in gc.get_referrers(x) if isinstance(r, tuple)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_helpers_of_its_own() -> None:
    threads.set_num_threads(2)
    share(lambda first, end: None, 100, 1)
    child = os.fork()
    if child == 0:
        seen: set[int] = set()
        share(lambda first, end: (time.sleep(0.02), seen.add(threading.get_ident())), 8, 1)
        os._exit(len(seen))
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
    with threads.serial_blas:
        assert numpys_threads() == 1
        with pytest.raises(ZeroDivisionError), threads.serial_blas:
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
        names: set[int] = set()
        share(lambda first, end, names: (time.sleep(0.01), names.add(threading.get_ident())), 4, 1, names)
        assert len(names) == 2
        time.sleep(pause)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_multiplies_though_another_thread_was_inside() -> None:
    threads.set_num_threads(2)
    assert numpys_threads() == 2  # or skipped, here and not in the child
    a, entered, leave = np.ones((300, 300)), threading.Event(), threading.Event()

    def inside() -> None:
        with threads.serial_blas:
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


def test_several_callers_share_the_helpers() -> None:
    threads.set_num_threads(3)
    wrong: list[int] = []

    def call(number: int) -> None:
        for _ in range(200):
            counts = np.zeros(12, int)
            share(lambda first, end, counts: np.add(counts[first:end], 1, out=counts[first:end]), 12, 1, counts)
            if not (counts == 1).all():
                wrong.append(number)

    callers = [threading.Thread(target=call, args=(n,)) for n in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


AT_ONCE = """
import numpy as np
from tinyart.kernels.cpu import threads
from tinyart.kernels.cpu.linear import product
threads.set_num_threads(4)
a = np.ones((400, 400), np.float32)
for _ in range(3):
    threads.share(lambda first, end: a @ a, 16, 1)
"""


def test_the_process_ends_while_helpers_wait() -> None:
    for _ in range(5):
        subprocess.run([sys.executable, "-c", AT_ONCE], check=True, timeout=60)
