"""`share`: every block done once, by any number of threads, by several callers, after a fork; errors come through."""

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
from tinyart.kernels.cpu.threads import share

import tinyart as ta
from tinyart.errors import ArgumentError


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


@given(size=st.integers(0, 300), block=st.integers(1, 50), number=st.integers(1, 5))
def test_every_index_is_done_once_in_whole_blocks(size: int, block: int, number: int) -> None:
    counts, stretches = np.zeros(size, int), []

    def kernel(first: int, end: int, counts: np.ndarray) -> None:
        counts[first:end] += 1
        stretches.append((first, end))

    threads.set_num_threads(number)
    share(kernel, size, block, counts)
    assert (counts == 1).all()
    assert all(first % block == 0 and (end % block == 0 or end == size) and first < end for first, end in stretches)
    assert len(stretches) <= max(1, 4 * number)


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
    threadpoolctl = pytest.importorskip("threadpoolctl")

    def blas() -> list[int]:
        return [library["num_threads"] for library in threadpoolctl.threadpool_info()
                if library["user_api"] == "blas" and "numpy" in library["filepath"]]

    if not blas():
        pytest.skip("NumPy's BLAS is none that threadpoolctl knows")
    for number in (1, 2):
        threads.set_num_threads(number)
        assert threads.get_num_threads() == number
        assert set(blas()) == {number}


def test_the_public_setting() -> None:
    ta.set_num_threads(3)
    assert ta.get_num_threads() == threads.get_num_threads() == 3
    for wrong in (0, -1, 1.5, "2"):
        with pytest.raises(ArgumentError, match=r"set_num_threads.*integer of at least 1"):
            ta.set_num_threads(wrong)  # type: ignore[arg-type]


SLEEPY = """
import ctypes, sys, threading
import numpy as np
a = np.random.default_rng(0).normal(size=(300, 300))
before = a @ a
stop = threading.Event()
if "threads" in sys.argv:
    threading.Thread(target=stop.wait).start()
import tinyart.kernels.cpu.threads as threads
stop.set()
assert np.array_equal(a @ a, before)
threads.set_num_threads(2)
assert np.allclose(a @ a, before)
blas = ctypes.CDLL(np._core._multiarray_umath.__file__)
print(blas.openblas_thread_timeout() if hasattr(blas, "openblas_thread_timeout") else "another BLAS")
"""


@pytest.mark.parametrize(("arguments", "environment", "expected"), [
    ([], {}, 22), (["threads"], {}, 0), ([], {"OPENBLAS_THREAD_TIMEOUT": "20"}, 20)])
def test_blas_does_not_spin_for_long(arguments: list[str], environment: dict[str, str], expected: int) -> None:
    """Unless another thread could be in the middle of a product, or the user said how long. 0 is OpenBLAS's default."""
    kept = {key: value for key, value in os.environ.items() if key != "OPENBLAS_THREAD_TIMEOUT"}
    done = subprocess.run([sys.executable, "-c", SLEEPY, *arguments], env=kept | environment, text=True, timeout=60,
                          capture_output=True, check=True)
    if "another" in done.stdout:
        pytest.skip("NumPy's BLAS is not OpenBLAS")
    assert int(done.stdout) == expected
