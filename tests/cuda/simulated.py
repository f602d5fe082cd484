"""The Numba kernels in Numba's simulator, against the reference: test_numba.py runs this file in a process of its own,

    NUMBA_ENABLE_CUDASIM=1 python -m pytest tests/cuda/simulated.py

because Numba decides when it is imported whether there is a GPU to pretend. Each thread is one of Python's, and those
of a block really wait at its barriers, so blocks are kept small here; the sources are the same.
"""

import inspect
import os
from typing import Any

import numpy as np
import pytest
import tinyart.kernels.reference as reference
from hypothesis import given, settings
from hypothesis import strategies as st

assert os.environ.get("NUMBA_ENABLE_CUDASIM") == "1", "run by test_numba.py"
import tinyart.kernels.cuda.numba_kernels as kernels  # noqa: E402

from tinyart.testing import arrays, conv_geometries  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::numba.core.errors.NumbaDeprecationWarning")
DTYPES = st.sampled_from(["float32", "float64"])
few = settings(max_examples=8)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks, more elements than threads, and tiles that are not whole, of little work."""
    for name, value in {"THREADS": 4, "BLOCKS": 2, "TILE": 3}.items():
        monkeypatch.setattr(kernels, name, value)
    kernels._softmax.cache_clear()


def check(name: str, *inputs: Any, **how: Any) -> None:
    before = [x.copy() for x in inputs]
    expected = getattr(reference, name)(*inputs, **how)
    found = getattr(kernels, name)(*inputs, **how)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    size = float(np.abs(expected[np.isfinite(expected)]).max(initial=1e-30))
    np.testing.assert_allclose(found, expected, rtol=0, atol=64 * np.finfo(expected.dtype).eps * size)
    for was, x in zip(before, inputs, strict=True):
        np.testing.assert_array_equal(was, x)


SHAPES = st.lists(st.integers(0, 5), min_size=1, max_size=3).map(tuple) | st.tuples(st.just(3), st.just(19))


@given(x=arrays(SHAPES), dtype=DTYPES)
@few
def test_leaky_relu(x: np.ndarray, dtype: str) -> None:
    check("leaky_relu", x.astype(dtype), slope=0.2)


@given(x=arrays(SHAPES), dtype=DTYPES, axis=st.integers(0, 2))
@few
def test_softmax(x: np.ndarray, dtype: str, axis: int) -> None:
    axis %= x.ndim
    if x.shape[axis]:
        check("softmax", 8 * x.astype(dtype), axis=axis if x.size % 2 else axis - x.ndim)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_of_infinities_and_nans(dtype: str) -> None:
    check("softmax", np.array([[0, 1, np.inf], [-np.inf] * 3, [np.nan, 0, 1], [0, 1, np.nan], [-np.inf, 2, 3]], dtype),
          axis=-1)  # fmt: skip


@given(sizes=st.tuples(*[st.integers(0, 7)] * 3), dtype=DTYPES, seed=st.integers(0, 9),
       activation=st.sampled_from(["none", "relu", "leaky_relu", "sigmoid", "tanh"]))  # fmt: skip
@few
def test_dense(sizes: Any, dtype: str, activation: str, seed: int) -> None:
    n, i, o = sizes
    rng = np.random.default_rng(seed)
    x, w, b = (rng.normal(size=shape).astype(dtype) for shape in ((i, n), (i, o), (o,)))
    check("dense", x.T, w, b, activation=activation, slope=0.2)


@given(g=conv_geometries(), seed=st.integers(0, 99), dtype=DTYPES, size=st.tuples(st.integers(1, 3), st.integers(1, 3)),
       stride=st.tuples(st.integers(1, 3), st.integers(1, 3)))  # fmt: skip
@few
def test_max_pool_input(g: Any, seed: int, dtype: str, size: Any, stride: Any) -> None:
    rng = np.random.default_rng(seed)
    how = {"size": size, "stride": stride, "padding": tuple((k // 2, rng.integers(0, k // 2 + 1).item()) for k in size)}
    x = rng.integers(0, 3, g.x).astype(dtype)  # ties
    if any(n + sum(p) < k for n, p, k in zip(g.x[1:3], how["padding"], size, strict=True)):
        return
    y = reference.max_pool(x, **how)
    check("max_pool_input", rng.normal(size=y.shape).astype(dtype), x, y, **how)


def test_a_nan_fills_its_windows() -> None:
    x = np.ones((1, 4, 4, 1))
    x[0, 1, 2] = np.nan
    how = {"size": (2, 2), "stride": (2, 2), "padding": ((0, 0), (0, 0))}
    y = reference.max_pool(x, **how)
    check("max_pool_input", y + 1, x, y, **how)


@given(size=st.sampled_from([0, 1, 7, 16, 41]), dtype=DTYPES, decoupled=st.booleans(),
       decay=st.sampled_from([0.0, 0.1]), fortran=st.booleans())  # fmt: skip
@few
def test_adam(size: int, dtype: str, decoupled: bool, decay: float, fortran: bool) -> None:
    rng = np.random.default_rng(size)
    theirs = [rng.uniform(0.1, 1, (size, 2)).astype(dtype, order="F" if fortran else "C") for _ in "pgmv"]
    ours = [a.copy(order="K") for a in theirs]
    how = {"lr": 0.01, "beta1": 0.9, "beta2": 0.99, "eps": 1e-6, "step": 3, "weight_decay": decay,
           "decoupled": decoupled}  # fmt: skip
    kernels.adam_(*ours, **how)
    reference.adam_(*theirs, **how)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=16 * np.finfo(dtype).eps)


def test_other_dtypes_and_activations_are_the_references_business() -> None:
    assert kernels.leaky_relu(np.arange(-2, 3), slope=2).tolist() == [-4, -2, 0, 1, 2]
    with pytest.raises(KeyError):
        kernels.dense(np.ones((1, 1)), np.ones((1, 1)), np.ones(1), activation="unknown", slope=0.0)


@pytest.mark.parametrize("name", ["leaky_relu", "adam_", "softmax", "dense", "max_pool_input"])
def test_a_kernel_has_the_signature_of_its_reference(name: str) -> None:
    assert inspect.signature(getattr(kernels, name)) == inspect.signature(getattr(reference, name))


@pytest.mark.parametrize("operation", ["adam", "softmax", "leaky_relu"])
def test_the_benchmark_times_what_tinyart_computes(operation: str) -> None:
    from benchmarks import contenders, measure, rows
    from benchmarks.contenders import tinyart as contender

    row = rows.Operation("small", operation, 512)
    ours, numba = (measure.check(contender.operation(row, numba=which)) for which in (False, True))
    np.testing.assert_allclose(numba, ours, rtol=1e-5)
    with pytest.raises(contenders.Skip, match="no kernel in Numba"):
        contender.operation(rows.Operation("small", "exp", 512), numba=True)


# ---- launch plans

COUNTS = st.integers(0, 300) | st.integers(0, 10**9)


@given(n=COUNTS)
def test_a_grid_that_strides_covers_every_element_once(n: int) -> None:
    blocks, threads = kernels.strides(n)
    assert blocks <= kernels.BLOCKS
    assert blocks == 0 if n == 0 else (blocks - 1) * threads < n
    if n < 300:
        step = blocks * threads
        assert sorted(i for t in range(step) for i in range(t, n, step)) == list(range(n))


@given(columns=st.integers(1, 10**6))
def test_threads_of_a_row_halve_down_to_one(columns: int) -> None:
    blocks, threads = kernels.rows(7, columns)
    assert (blocks, threads & (threads - 1)) == (7, 0)
    assert 1 <= threads <= kernels.THREADS
    assert threads < 2 * columns


@given(rows=COUNTS, columns=COUNTS, tile=st.integers(1, 32))
def test_tiles_cover_the_result(rows: int, columns: int, tile: int) -> None:
    blocks, threads = kernels.tiles(rows, columns, tile)
    assert threads == (tile, tile)
    for n, length in zip(blocks, (rows, columns), strict=True):
        assert (n - 1) * tile < length <= n * tile or n == length == 0
