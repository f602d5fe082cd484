"""The generator: its bits, its state, and whether its numbers have the distributions that their names say."""

import copy
import math
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyart as ta
from tinyart import random
from tinyart.errors import ArgumentError, DtypeError
from tinyart.random import Generator

N = 1 << 17

DRAWS: dict[str, Callable[[Generator, int], Any]] = {
    "uniform": lambda g, n: g.uniform(n),
    "uniform float64": lambda g, n: g.uniform(n, "float64"),
    "normal": lambda g, n: g.normal((n,)),
    "normal float64": lambda g, n: g.normal(n, "float64"),
    "bernoulli": lambda g, n: g.bernoulli(0.3, n),
    "randint": lambda g, n: g.randint(-5, 1000, n),
    "permutation": lambda g, n: g.permutation(n),
}
draws = st.lists(st.tuples(st.sampled_from(list(DRAWS)), st.integers(0, 9)), min_size=1, max_size=6)
seeds = st.integers(0, 2**64 - 1)


def drawn(generator: Generator, plan: list[tuple[str, int]]) -> list[bytes]:
    return [DRAWS[name](generator, n).array.tobytes() for name, n in plan]


def test_the_bits_are_those_published_for_philox4x32_10() -> None:
    """Random123's kat_vectors: key 0, counter 0."""
    words = np.array([0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8], np.uint64)
    assert Generator(0).uniform(4).array.tolist() == ((words >> 8) * 2.0**-24).tolist()
    pairs = words[0::2] | words[1::2] << 32
    assert Generator(0).uniform(2, "float64").array.tolist() == ((pairs >> 11) * 2.0**-53).tolist()
    assert Generator(0).bernoulli(words[1] / 2**32, 4).array.tolist() == [True, False, True, True]


@given(seeds, draws)
def test_same_seed_same_bits(seed: int, plan: list[tuple[str, int]]) -> None:
    assert drawn(Generator(seed), plan) == drawn(Generator(seed), plan)


@given(seeds, seeds)
def test_another_seed_other_bits(a: int, b: int) -> None:
    same = Generator(a).uniform(8).array.tobytes() == Generator(b).uniform(8).array.tobytes()
    assert same == (a == b)


@given(seeds, draws, draws)
def test_state_saved_and_restored_continues_exactly(
    seed: int, before: list[tuple[str, int]], after: list[tuple[str, int]]
) -> None:
    first, second = Generator(seed), Generator(0)
    drawn(first, before)
    state = first.state
    expected = drawn(first, after)
    second.state = state
    assert drawn(second, after) == expected
    assert state.dtype == np.uint64
    assert state.shape == (3,)
    assert np.array_equal(second.state, first.state)


def test_state_goes_through_a_file(tmp_path: Path) -> None:
    generator, other = Generator(2**64 - 1), Generator(0)
    generator.normal(7)
    ta.save(tmp_path / "state.safetensors", {"generator": generator.state})
    expected = generator.uniform(5).array.tolist()
    other.state = ta.load(tmp_path / "state.safetensors")["generator"]
    assert other.uniform(5).array.tolist() == expected


@given(st.integers(0, 8), st.integers(0, 8))
def test_a_call_goes_on_where_the_last_one_stopped(a: int, b: int) -> None:
    """In whole counters, of four float32 words each: no word is used twice, none is left out."""
    whole, parts = Generator(3), Generator(3)
    expected = whole.uniform(4 * (a + b)).array.tolist()
    assert parts.uniform(4 * a).array.tolist() + parts.uniform(4 * b).array.tolist() == expected


@pytest.mark.parametrize(("name", "used"), [
    ("uniform", 3), ("uniform float64", 5), ("normal", 3), ("normal float64", 5), ("bernoulli", 3), ("randint", 5),
    ("permutation", 5),
])
def test_counters_used_by_nine_elements(name: str, used: int) -> None:
    generator = Generator(1)
    DRAWS[name](generator, 9)
    assert generator.state.tolist() == [1, used, 0]


def test_the_counter_carries_into_its_upper_half_and_wraps_around() -> None:
    generator = Generator(0)
    generator.state = np.array([5, 2**64 - 1, 0], np.uint64)
    generator.uniform(8)
    assert generator.state.tolist() == [5, 1, 1]
    generator.state = np.array([5, 2**64 - 1, 2**64 - 1], np.uint64)
    wrapped = generator.uniform(8).array.tolist()
    assert generator.state.tolist() == [5, 1, 0]
    assert wrapped[4:] == Generator(5).uniform(4).array.tolist()


def test_threads_never_share_numbers() -> None:
    generator = Generator(11)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda _: generator.uniform(8, "float64").array.tolist(), range(200)))
    numbers = [number for part in parts for number in part]
    assert sorted(numbers) == sorted(Generator(11).uniform(1600, "float64").array.tolist())


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))])
def test_a_copy_is_a_stream_of_its_own(copied: Any) -> None:
    generator = Generator(4)
    generator.uniform(3)
    other = copied(generator)
    expected = other.uniform(5).array.tolist()
    assert generator.uniform(5).array.tolist() == expected


# ---- distributions: fixed seeds, bounds of six standard deviations, so a right generator passes 1 - 1e-8 of all seeds


def check_moments(values: Any, mean: float, std: float, kurtosis: float) -> None:
    """Sample mean and variance; their standard errors are σ/√n and σ²·√((kurtosis - 1)/n)."""
    values = values.astype(np.float64)
    assert abs(values.mean() - mean) < 6 * std / math.sqrt(values.size)
    assert abs(values.var() - std**2) < 6 * std**2 * math.sqrt((kurtosis - 1) / values.size)


def check_chi_square(counts: Any, expected: float) -> None:
    """Σ (n_i - e)²/e has mean k - 1 and variance 2(k - 1): too large is skewed, too small is not random."""
    free = counts.size - 1
    assert abs(((counts - expected) ** 2 / expected).sum() - free) < 6 * math.sqrt(2 * free) + 6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform_moments_and_chi_square(dtype: str) -> None:
    u = Generator(1).uniform((2, N // 2), dtype)
    assert u.dtype == dtype
    assert u.shape == (2, N // 2)
    assert u.array.min() >= 0
    assert u.array.max() < 1
    check_moments(u.array, 1 / 2, math.sqrt(1 / 12), 9 / 5)
    check_chi_square(np.bincount((u.array.ravel() * 64).astype(int), minlength=64), N / 64)
    pairs = (u.array.reshape(-1, 2) * 16).astype(int) @ [16, 1]  # neighbours are independent
    check_chi_square(np.bincount(pairs, minlength=256), N / 2 / 256)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_moments_and_chi_square(dtype: str) -> None:
    z = Generator(2).normal(N, dtype)
    assert z.dtype == dtype
    check_moments(z.array, 0, 1, 3)
    phi = np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in z.array.tolist()])
    check_chi_square(np.bincount((phi * 64).astype(int), minlength=64), N / 64)


def test_uniform_and_normal_take_a_range_and_a_scale() -> None:
    check_moments(Generator(3).uniform(N, low=-3.0, high=5.0).array, 1, 8 * math.sqrt(1 / 12), 9 / 5)
    check_moments(Generator(4).normal(N, mean=-2.0, std=0.5).array, -2, 0.5, 3)
    assert Generator(5).normal(6, mean=2.5, std=0.0).array.tolist() == [2.5] * 6
    assert Generator(5).uniform(6, low=2.5, high=2.5).array.tolist() == [2.5] * 6
    assert np.array_equal(Generator(5).uniform(6, low=1.0, high=2.0).array, Generator(5).uniform(6).array + 1)


def test_bernoulli() -> None:
    kept = Generator(6).bernoulli(0.3, (N,))
    assert kept.dtype == bool
    check_moments(kept.array, 0.3, math.sqrt(0.21), 1 / 0.21 - 3)
    assert not Generator(6).bernoulli(0.0, N).array.any()
    assert Generator(6).bernoulli(1.0, N).array.all()


def test_randint() -> None:
    values = Generator(7).randint(-30, 70, N)
    assert values.dtype == np.int64
    check_chi_square(np.bincount(values.array + 30, minlength=100), N / 100)
    assert np.bincount(values.array + 30).size == 100
    wide = Generator(8).randint(-(2**63), 2**63, N).array
    check_chi_square(np.bincount((wide >> 58) + 32, minlength=64), N / 64)


def test_permutation() -> None:
    generator, n = Generator(9), 3000
    orders = [tuple(generator.permutation(4).array.tolist()) for _ in range(n)]
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
    check_chi_square(np.array([orders.count(order) for order in set(orders)]), n / 24)
    assert len(set(orders)) == 24
    assert generator.permutation(5).dtype == np.int64


@given(st.lists(st.integers(0, 4), max_size=3).map(tuple))
def test_shapes_with_zero_sizes(shape: tuple[int, ...]) -> None:
    generator = Generator(0)
    for tensor in (generator.uniform(shape), generator.normal(shape), generator.bernoulli(0.5, shape),
                   generator.randint(0, 2, shape)):
        assert tensor.shape == shape


# ---- the global generator


def test_manual_seed_starts_the_global_generator_anew() -> None:
    random.manual_seed(12)
    first = [random.uniform(3), random.normal(3), random.bernoulli(0.5, 3), random.randint(0, 9, 3),
             random.permutation(3)]
    random.manual_seed(12)
    assert random.default_generator().state.tolist() == [12, 0, 0]
    own = random.default_generator()
    again = [own.uniform(3), own.normal(3), own.bernoulli(0.5, 3), own.randint(0, 9, 3), own.permutation(3)]
    assert [t.array.tolist() for t in first] == [t.array.tolist() for t in again]


# ---- errors


@pytest.mark.parametrize(("call", "message"), [
    (lambda: Generator(-1), "Generator: seed: expected an integer from 0 to 2**64 - 1, got -1"),
    (lambda: Generator(2**64), "got 18446744073709551616"),
    (lambda: Generator(1.5), "got 1.5"),  # type: ignore[arg-type]
    (lambda: random.manual_seed(-3), "Generator: seed"),
    (lambda: setattr(Generator(), "state", [1, 2, 3]), r"Generator: state: expected (3,) uint64"),
    (lambda: setattr(Generator(), "state", np.zeros(2, np.uint64)), "got (2,) uint64"),
    (lambda: random.uniform((2, -1)), "uniform: shape: expected lengths of at least 0, got (2, -1)"),
    (lambda: random.uniform(2.5), "uniform: shape: expected lengths of at least 0, got 2.5"),  # type: ignore[arg-type]
    (lambda: random.uniform(2, low=1.0, high=0.0), "uniform: low, high: expected finite numbers, low <= high"),
    (lambda: random.uniform(2, high=math.inf), "uniform: low, high"),
    (lambda: random.normal(2, std=-1.0), "normal: mean, std: expected finite numbers, std >= 0, got 0.0 and -1.0"),
    (lambda: random.normal(2, mean=math.nan), "normal: mean, std"),
    (lambda: random.bernoulli(1.5, 2), "bernoulli: p: expected a probability, from 0 to 1, got 1.5"),
    (lambda: random.bernoulli(math.nan, 2), "bernoulli: p"),
    (lambda: random.randint(3, 3, 2), "randint: low, high: expected -2**63 <= low < high <= 2**63, got 3 and 3"),
    (lambda: random.randint(0, 2**63 + 1, 2), "randint: low, high"),
    (lambda: random.permutation(-1), "permutation: shape"),
    (lambda: random.uniform(2, device="tpu"), "device: device: expected 'cpu' or 'cuda', got 'tpu'"),
])
def test_settings_out_of_range(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        call()
    assert message in str(caught.value)


@pytest.mark.parametrize("draw", [random.uniform, random.normal])
def test_integers_are_not_drawn_as_fractions(draw: Any) -> None:
    with pytest.raises(DtypeError, match="dtype: expected float32 or float64, got int32"):
        draw(3, "int32")
