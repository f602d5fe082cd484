"""Products of rounded factors against NumPy's of the same factors in float64, where the processor has AVX512-BF16."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinyart.kernels.cpu import bfloat16, linear, precision, threads

import tinyart as ta
from tests.kernels.test_conv_cpu import SAME, Geometry, canaries, geometries
from tinyart import ops
from tinyart.errors import ArgumentError
from tinyart.ops.matmul import dense

conv = import_module("tinyart.kernels.cpu.conv")
reference = import_module("tinyart.kernels.reference.conv")
SIDES = st.sampled_from([0, 2, 3, 12, 16, 31, 33, 64, 100, 270])
SEEDS = st.integers(0, 2**32 - 1)
with_bfloat16 = pytest.mark.skipif(not bfloat16.SUPPORTED, reason="needs a processor with AVX512-BF16")


@pytest.fixture(autouse=True, params=[1, 3])
def shared(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = threads.get_num_threads()
    threads.set_num_threads(request.param)
    monkeypatch.setattr(linear, "_WORTH", 0)
    monkeypatch.setattr(bfloat16, "_WORTH", 1)
    if bfloat16.SUPPORTED:
        ta.set_matmul_precision("bfloat16")
    yield
    ta.set_matmul_precision("float32")
    threads.set_num_threads(before)


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def rounded(x: np.ndarray) -> np.ndarray:
    """To the nearest number with 8 significant bits, of two the even one, as float64."""
    bits = np.ascontiguousarray(x).view(np.uint32).astype(np.uint64)
    high = np.where(np.isfinite(x), bits + 0x7FFF + (bits >> 16 & 1), bits) >> 16 << 16
    return high.astype(np.uint32).view(np.float32).astype(float)


def close(found: np.ndarray, expected: np.ndarray, terms: int) -> bool:
    return found.dtype == np.float32 and np.allclose(found, expected, rtol=1e-5, atol=1e-6 * max(terms, 1))


@with_bfloat16
def test_factors_are_rounded_to_the_nearest_even_number() -> None:
    one = np.float32(1)
    x = np.array([one, one + 2**-8, one + 3 * 2**-8, one + 2**-8 + 2**-20, -1e38, 3.4e38, 1 + 2**-9, np.inf, -np.inf,
                  np.nan, 1e-30, 0, -7.0078125], np.float32)  # fmt: skip
    expected = rounded(x)
    expected[5] = np.inf  # the next one is none
    for column in (linear.product(np.stack([x, x]).T, np.float32([[1, 0], [0, 1]])),
                   linear.product(np.float32([[0, 1], [1, 0]]), np.stack([x, x])).T):  # fmt: skip
        finite = np.isfinite(x) & np.isfinite(expected)
        np.testing.assert_array_equal(column[finite, 0], expected[finite])
        assert not np.isfinite(column[~finite]).any()
    assert np.isnan(column[9, 0])


@with_bfloat16
@given(m=SIDES, k=st.sampled_from([0, 1, 3, 30, 31, 513, 1100, 2049]), n=SIDES, turned=st.tuples(*[st.booleans()] * 2),
       seed=SEEDS)
def test_products_of_all_shapes(m: int, k: int, n: int, turned: tuple[bool, bool], seed: int) -> None:
    a = canaries(normal(seed, k, m)).T if turned[0] else canaries(normal(seed, m, k))
    b = canaries(normal(seed + 1, n, k)).T if turned[1] else canaries(normal(seed + 1, k, n))
    wide = np.full((m + 2, n + 2), 7, np.float32)
    linear.product(a, b, wide[1:-1, 1:-1])
    exact = rounded(a) @ rounded(b)
    assert close(wide[1:-1, 1:-1], exact, k)
    if k and m * n > 100:
        assert not np.allclose(wide[1:-1, 1:-1], a.astype(float) @ b.astype(float), rtol=1e-5, atol=1e-6)
    wide[1:-1, 1:-1] = 7
    assert (wide == 7).all()


@with_bfloat16
@given(m=SIDES, k=st.sampled_from([1, 64, 301, 5001]), n=SIDES, seed=SEEDS)
def test_the_same_bits_for_any_number_of_threads(m: int, k: int, n: int, seed: int) -> None:
    a, b = normal(seed, m, k), normal(seed + 1, k, n)
    found = linear.product(a, b)
    threads.set_num_threads(4)
    assert np.array_equal(found, linear.product(a, b))


@with_bfloat16
@given(geometries(), st.integers(0, 99))
def test_convolutions(geometry: Geometry, seed: int) -> None:
    """Factors are pairs of channels, where there is an even number of them, and for the weights of images."""
    x_shape, w_shape, settings = geometry
    x, w = canaries(normal(seed, *x_shape)), canaries(normal(seed + 1, *w_shape))
    inner, outer = w_shape[2], w_shape[3] // settings["groups"]

    def factors(a: np.ndarray, b: np.ndarray, channels: int) -> tuple[np.ndarray, np.ndarray]:
        return (rounded(a), rounded(b)) if channels % 2 == 0 else (a.astype(float), b.astype(float))

    y = reference.conv(*factors(x, w, inner), **settings)
    g = canaries(normal(seed + 2, *y.shape))
    assert close(conv.conv(x, w, **settings), y, w[..., 0].size)
    size = {"size": x_shape[1:3]}
    assert close(conv.conv_input(g, w, **size, **settings),
                 reference.conv_input(*factors(g, w, outer), **size, **settings), w_shape[0] * w_shape[1] * outer)
    size = {"size": w_shape[:2]}
    assert close(conv.conv_weight(x, g, **size, **settings),
                 reference.conv_weight(*factors(x, g, 1 if len(x) == 1 else 2), **size, **settings), g[..., 0].size)


@with_bfloat16
def test_convolutions_in_squares_are_left_to_the_tiles() -> None:
    x, w = normal(0, 8, 12, 12, 64), normal(1, 3, 3, 64, 64)
    assert close(conv.conv(x, w, **SAME), reference.conv(rounded(x), rounded(w), **SAME), 576)
    assert close(conv.conv_input(x, w, size=(12, 12), **SAME),
                 reference.conv_input(rounded(x), rounded(w), size=(12, 12), **SAME), 576)


@with_bfloat16
def test_a_network_is_near_that_in_float32_which_stays_as_it_was() -> None:
    def gradients() -> list[Any]:
        x, w, v, b = (ta.tensor(normal(i, *shape), requires_grad=True) for i, shape in enumerate(
            [(8, 6, 6, 4), (3, 3, 4, 16), (576, 10), (10,)]))  # fmt: skip
        y = dense(ops.tanh(ops.conv2d(x, w, padding="same")).reshape((8, 576)), v / 24, b, activation="tanh")
        return [g.array for g in ta.grad((y**2).sum(), [x, w, v, b])]

    rough = gradients()
    ta.set_matmul_precision("float32")
    exact = gradients()
    ta.set_matmul_precision("bfloat16")
    again = gradients()
    ta.set_matmul_precision("float32")
    for found, other, expected, same in zip(rough, again, exact, gradients(), strict=True):
        assert found.tobytes() == other.tobytes()
        assert same.tobytes() == expected.tobytes()
        assert 1e-4 < np.linalg.norm(found - expected) / np.linalg.norm(expected) < 0.05


@with_bfloat16
def test_float64_is_not_rounded() -> None:
    a, b = normal(0, 40, 30).astype(float), normal(1, 30, 50).astype(float)
    assert np.allclose(linear.product(a, b), a @ b, rtol=1e-14, atol=1e-13)


def test_other_processors_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    ta.set_matmul_precision("float32")
    monkeypatch.setattr(bfloat16, "SUPPORTED", False)
    with pytest.raises(ArgumentError, match="expected a processor with AVX512-BF16, got 'bfloat16'"):
        ta.set_matmul_precision("bfloat16")
    assert not precision.bfloat16
