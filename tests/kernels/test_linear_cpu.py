"""Products shared among threads, and the dense layer on them, against NumPy in float64."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinyart.kernels.cpu import linear, threads
from tinyart.kernels.reference import linear as reference

SIDES = st.sampled_from([0, 1, 2, 5, 16, 31, 64, 100])
SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(autouse=True, params=[1, 2, 3])
def shared_from_the_first_element(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = threads.get_num_threads()
    threads.set_num_threads(request.param)
    monkeypatch.setattr(linear, "_WORTH", 0)
    yield
    threads.set_num_threads(before)


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def close(found: np.ndarray, expected: np.ndarray, terms: int) -> bool:
    return np.allclose(found, expected, rtol=1e-5, atol=1e-6 * max(terms, 1))


@given(m=SIDES, k=st.sampled_from([0, 1, 3, 64, 1000, 2048]), n=SIDES, turned=st.tuples(*[st.booleans()] * 2),
       seed=SEEDS)
def test_products_of_all_shapes(m: int, k: int, n: int, turned: tuple[bool, bool], seed: int) -> None:
    a = normal(seed, k, m).T if turned[0] else normal(seed, m, k)
    b = normal(seed + 1, n, k).T if turned[1] else normal(seed + 1, k, n)
    found = linear.product(a, b)
    assert found.dtype == np.float32
    assert close(found, a.astype(float) @ b.astype(float), k)
    assert np.array_equal(linear.matmul(a.astype(float), b.astype(float)).shape, (m, n))


def test_a_product_into_some_columns() -> None:
    a, b, wide = normal(0, 30, 20), normal(1, 20, 48), np.zeros((30, 100), np.float32)
    linear.product(a, b, out=wide[:, 10:58])
    assert close(wide[:, 10:58], a.astype(float) @ b.astype(float), 20)
    assert not wide[:, :10].any()
    assert not wide[:, 58:].any()


@given(batch=st.sampled_from([(0, 0), (1, 1), (4, 4), (1, 5), (5, 1), (None, 3), (3, None)]), seed=SEEDS)
def test_batches_of_products(batch: tuple[int | None, int | None], seed: int) -> None:
    a, b = normal(seed, *[batch[0]] * (batch[0] is not None), 6, 7), normal(
        seed + 1, *[batch[1]] * (batch[1] is not None), 7, 4)
    assert close(linear.product(a, b), a.astype(float) @ b.astype(float), 7)


@given(n=SIDES, i=SIDES, o=SIDES, activation=st.sampled_from(["none", "relu", "leaky_relu", "sigmoid", "tanh"]),
       wanted=st.tuples(*[st.booleans()] * 3), seed=SEEDS)
def test_dense(n: int, i: int, o: int, activation: str, wanted: tuple[bool, bool, bool], seed: int) -> None:
    x, w, b, g = normal(seed, n, i), normal(seed + 1, i, o), normal(seed + 2, o), normal(seed + 3, n, o)
    y = linear.dense(x, w, b, activation=activation, slope=0.2)
    exact = [a.astype(float) for a in (x, w, b)]
    assert y.dtype == np.float32
    assert close(y, reference.dense(*exact, activation=activation, slope=0.2), i)
    found = linear.dense_backward(g, x, w, y, activation, 0.2, wanted)
    expected = reference.dense_backward(*[a.astype(float) for a in (g, x, w, y)], activation, 0.2, wanted)
    for a, e, terms in zip(found, expected, (o, n, n), strict=True):
        assert (a is None) == (e is None)
        assert a is None or close(a, e, terms)


@pytest.mark.parametrize("activation", ["none", "relu", "leaky_relu", "sigmoid", "tanh"])
@pytest.mark.parametrize(("n", "o"), [(1300, 24), (513, 3), (600, 64)])
def test_dense_of_many_rows(n: int, o: int, activation: str) -> None:
    """Sums of gradients of the bias in parts, which threads take by rows or by columns."""
    x, w, b, g = normal(0, n, 30), normal(1, 30, o), normal(2, o), normal(3, n, o)
    y = linear.dense(x, w, b, activation=activation, slope=0.2)
    found = linear.dense_backward(g, x, w, y, activation, 0.2, (True, True, True))
    expected = reference.dense_backward(*[a.astype(float) for a in (g, x, w, y)], activation, 0.2, (True, True, True))
    for a, e, terms in zip(found, expected, (o, n, n), strict=True):
        assert close(a, e, terms)
