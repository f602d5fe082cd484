"""Philox and what is drawn from it: published vectors, a loop over Python integers, and the compiled form."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats
from tinyart.kernels.cpu import random as cpu
from tinyart.kernels.reference import random as reference

ROOT = Path(__file__).parents[2]
LIKE = np.empty(0)
ONES = 2**32 - 1
N = 1 << 17
both = pytest.mark.parametrize("kernels", [reference, cpu], ids=["reference", "cpu"])
floats = pytest.mark.parametrize("dtype", ["float32", "float64"])
keys = st.integers(0, 2**64 - 1)
# Any counter, and often one shortly before a carry into the next word, or around to 0.
counters = st.integers(0, 2**128 - 1) | st.builds(
    lambda bits, back, high: ((high << bits) - back) % 2**128,
    st.sampled_from([32, 64, 96, 128]), st.integers(0, 5), st.integers(1, 2**32),
)  # fmt: skip
sizes = st.integers(0, 41)

# Multipliers and key steps as in the paper's table 2 (M4x32_0, M4x32_1, W32_0, W32_1).
M0, M1, W0, W1 = 0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85


def philox(key: int, counter: int) -> list[int]:
    """The block at `counter`, one Python integer at a time."""
    c = [counter >> 32 * i & ONES for i in range(4)]
    for turn in range(10):
        k0, k1 = (key + turn * W0) & ONES, ((key >> 32) + turn * W1) & ONES
        high0, low0 = divmod(c[0] * M0, 2**32)
        high1, low1 = divmod(c[2] * M1, 2**32)
        c = [high1 ^ c[1] ^ k0, low1, high0 ^ c[3] ^ k1, low0]
    return c


def counter_of(key: int, block: list[int]) -> int:
    """The counter whose block this is: each round of Philox can be undone, because its multipliers are odd."""
    for turn in reversed(range(10)):
        k0, k1 = (key + turn * W0) & ONES, ((key >> 32) + turn * W1) & ONES
        c0, c2 = block[3] * pow(M0, -1, 2**32) & ONES, block[1] * pow(M1, -1, 2**32) & ONES
        block = [c0, block[0] ^ k0 ^ (c2 * M1 >> 32), c2, block[2] ^ k1 ^ (c0 * M0 >> 32)]
    return sum(word << 32 * i for i, word in enumerate(block))


def words32(key: int, counter: int, n: int) -> list[int]:
    return [w for i in range(-(-n // 4)) for w in philox(key, (counter + i) % 2**128)][:n]


def words64(key: int, counter: int, n: int) -> list[int]:
    words = words32(key, counter, 2 * n)
    return [low + (high << 32) for low, high in zip(words[0::2], words[1::2], strict=True)]


# Random123's tests/kat_vectors, lines "philox4x32 10": counter, key, block, lowest word first.
VECTORS = """
00000000 00000000 00000000 00000000  00000000 00000000  6627e8d5 e169c58d bc57ac4c 9b00dbd8
ffffffff ffffffff ffffffff ffffffff  ffffffff ffffffff  408f276d 41c83b0e a20bc7c6 6d5451fd
243f6a88 85a308d3 13198a2e 03707344  a4093822 299f31d0  d16cfe09 94fdcceb 5001e420 24126ea1
"""


@pytest.mark.parametrize("line", VECTORS.split("\n")[1:-1])
def test_known_answers(line: str) -> None:
    numbers = [int(word, 16) for word in line.split()]
    counter = sum(word << 32 * i for i, word in enumerate(numbers[:4]))
    key = numbers[4] | numbers[5] << 32
    words = reference.philox_uint32(key, counter, 4, LIKE)
    assert words.dtype == np.uint32
    assert words.tolist() == numbers[6:]
    assert philox(key, counter) == numbers[6:]
    assert counter_of(key, numbers[6:]) == counter


@given(keys, counters, sizes)
@example(0, 2**32 - 2, 16)
@example(1, 2**64 - 2, 16)
@example(2, 2**96 - 2, 16)
@example(3, 2**128 - 2, 16)
def test_words_count_through_every_carry(key: int, counter: int, n: int) -> None:
    assert reference.philox_uint32(key, counter, n, LIKE).tolist() == words32(key, counter, n)


@both
@given(key=keys, counter=counters, n=sizes)
def test_uniform_is_its_words_high_bits(kernels: Any, key: int, counter: int, n: int) -> None:
    u = kernels.uniform(key, counter, shape=(n,), dtype="float32", like=LIKE)
    assert u.tolist() == [(w >> 8) / 2**24 for w in words32(key, counter, n)]
    u = kernels.uniform(key, counter, shape=(n,), dtype="float64", like=LIKE)
    assert u.tolist() == [(w >> 11) / 2**53 for w in words64(key, counter, n)]


@both
@given(key=keys, counter=counters, n=sizes)
def test_normal_is_box_and_mullers_formula(kernels: Any, key: int, counter: int, n: int) -> None:
    """To the rounding of 2πv and of a few functions, times r <= √(2 · 53 log 2) < 9."""
    words, long = words32(key, counter, n + n % 2), words64(key, counter, n + n % 2)
    pairs32 = [(float(np.float32((u + 1) / 2**32)), (v >> 8) / 2**24)
               for u, v in zip(words[0::2], words[1::2], strict=True)]  # fmt: skip
    pairs64 = [(((u >> 11) + 1) / 2**53, (v >> 11) / 2**53) for u, v in zip(long[0::2], long[1::2], strict=True)]
    for dtype, pairs in (("float32", pairs32), ("float64", pairs64)):
        expected = [math.sqrt(-2 * math.log(u)) * f(2 * math.pi * v) for u, v in pairs for f in (math.cos, math.sin)]
        z = kernels.normal(key, counter, shape=(n,), dtype=dtype, like=LIKE)
        np.testing.assert_allclose(z, expected[:n], rtol=0, atol=9 * 2 * math.pi * np.finfo(dtype).eps)


@both
@given(key=keys, counter=counters, n=sizes, p=st.floats(0, 1))
def test_bernoulli_compares_a_word_with_p(kernels: Any, key: int, counter: int, n: int, p: float) -> None:
    b = kernels.bernoulli(key, counter, shape=(n,), p=p, like=LIKE)
    assert b.tolist() == [w < round(p * 2**32) for w in words32(key, counter, n)]


@given(keys, counters, sizes, st.integers(-(2**63), 2**63 - 1), st.integers(1, 2**64 - 1))
@example(0, 0, 8, -(2**63), 2**64 - 1)
@example(0, 0, 8, 5, 1)
def test_randint_is_the_high_half_of_an_exact_product(key: int, counter: int, n: int, low: int, span: int) -> None:
    """Which maps equally many words, give or take one, to each integer."""
    span = min(span, 2**63 - low)
    i = reference.randint(key, counter, shape=(n,), low=low, high=low + span, like=LIKE)
    assert i.tolist() == [low + (w * span >> 64) for w in words64(key, counter, n)]


@given(keys, counters, sizes)
def test_permutation_sorts_words(key: int, counter: int, n: int) -> None:
    words = words64(key, counter, n)
    order = reference.permutation(key, counter, n=n, like=LIKE)
    assert order.tolist() == sorted(range(n), key=words.__getitem__)
    assert sorted(order.tolist()) == list(range(n))


@pytest.mark.parametrize("n", [2, 3, 4])
def test_all_permutations_are_equally_likely(n: int) -> None:
    orders = [tuple(reference.permutation(7, 2 * i, n=n, like=LIKE).tolist()) for i in range(3000)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == math.factorial(n)
    assert stats.chisquare(counts).pvalue > 1e-6


# Every kernel that draws n elements, with the dtype that counters_used is asked about.
DRAWS: dict[str, tuple[str, Callable[[Any, int, int], Any]]] = {
    "uniform32": ("float32", lambda k, c, n: k.uniform(5, c, shape=(n,), dtype="float32", like=LIKE)),
    "uniform64": ("float64", lambda k, c, n: k.uniform(5, c, shape=(n,), dtype="float64", like=LIKE)),
    "normal32": ("float32", lambda k, c, n: k.normal(5, c, shape=(n,), dtype="float32", like=LIKE)),
    "normal64": ("float64", lambda k, c, n: k.normal(5, c, shape=(n,), dtype="float64", like=LIKE)),
    "bernoulli": ("bool", lambda k, c, n: k.bernoulli(5, c, shape=(n,), p=0.5, like=LIKE)),
    "randint": ("int64", lambda k, c, n: k.randint(5, c, shape=(n,), low=-9, high=2**40, like=LIKE)),
    "permutation": ("int64", lambda k, c, n: k.permutation(5, c, n=n, like=LIKE)),
}
OVERRIDDEN = [name for name in DRAWS if name not in ("randint", "permutation")]
CALLS = [(reference, name) for name in DRAWS] + [(cpu, name) for name in OVERRIDDEN]
calls = pytest.mark.parametrize(("kernels", "name"), CALLS)


@pytest.mark.parametrize("name", DRAWS)
@given(n=sizes)
def test_counters_used_are_those_read_and_no_more(name: str, n: int) -> None:
    dtype, draw = DRAWS[name]
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        words = reference._words
        patch.setattr(reference, "_words", lambda key, c, n, like: asked.append(n) or words(key, c, n, like))
        draw(reference, 0, n)
    assert [reference.counters_used(n, dtype)] == [-(-words // 4) for words in asked]


@pytest.mark.parametrize(("kernels", "name"), [call for call in CALLS if call[1] != "permutation"])
@given(counter=counters, whole=st.integers(0, 10), rest=sizes)
def test_a_split_changes_nothing(kernels: Any, name: str, counter: int, whole: int, rest: int) -> None:
    dtype, draw = DRAWS[name]
    first = whole * (4 if dtype in ("float32", "bool") else 2)
    used = reference.counters_used(first, dtype)
    parts = [draw(kernels, counter, first), draw(kernels, (counter + used) % 2**128, rest)]
    together = draw(kernels, counter, first + rest)
    if kernels is reference and name.startswith("normal"):  # NumPy's log, cos and sin round otherwise at a vector's end
        np.testing.assert_allclose(np.concatenate(parts), together, rtol=0, atol=60 * np.finfo(dtype).eps)
    else:
        assert np.concatenate(parts).tobytes() == together.tobytes()


@calls
@pytest.mark.parametrize("n", [0, 1, 4, 9])
def test_dtypes_and_lengths(kernels: Any, name: str, n: int) -> None:
    dtype, draw = DRAWS[name]
    assert draw(kernels, 3, n).dtype == dtype
    assert draw(kernels, 3, n).shape == (n,)


@both
@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (2, 3), (1, 2, 2, 3)])
def test_a_shape_is_filled_in_order(kernels: Any, shape: tuple[int, ...]) -> None:
    n = math.prod(shape)
    for kernel, settings in (("uniform", {"dtype": "float32"}), ("uniform", {"dtype": "float64"}),
                             ("normal", {"dtype": "float32"}), ("normal", {"dtype": "float64"}),
                             ("bernoulli", {"p": 0.5})):  # fmt: skip
        flat, shaped = (getattr(kernels, kernel)(1, 2, shape=s, like=LIKE, **settings) for s in ((n,), shape))
        assert isinstance(shaped, np.ndarray)
        assert shaped.shape == shape
        assert np.array_equal(shaped.ravel(), flat)
    whole = reference.randint(1, 2, shape=shape, low=0, high=9, like=LIKE)
    assert (whole.shape, whole.dtype) == (shape, np.int64)


@both
@given(key=keys)
def test_the_extreme_words(kernels: Any, key: int) -> None:
    """Words of ones and of zeros, which no search would find, at the counters that Philox run backwards gives."""
    top, bottom = counter_of(key, [ONES] * 4), counter_of(key, [0] * 4)
    for dtype, bits, n in (("float32", 24, 4), ("float64", 53, 2)):
        settings: dict[str, Any] = {"shape": (n,), "dtype": dtype, "like": LIKE}
        assert kernels.uniform(key, top, **settings).tolist() == [1 - 2**-bits] * n
        assert kernels.uniform(key, bottom, **settings).tolist() == [0] * n
        assert kernels.normal(key, top, **settings).tolist() == [0] * n
        longest = math.sqrt(-2 * math.log(2**-32 if bits == 24 else 2**-53))
        assert kernels.normal(key, bottom, **settings).tolist() == pytest.approx([longest, 0] * (n // 2), rel=1e-6)
    for p, at_top, at_bottom in ((0, False, False), (0.4 * 2**-32, False, False), (0.6 * 2**-32, False, True),
                                 (1 - 2**-32, False, True), (1, True, True)):  # fmt: skip
        assert kernels.bernoulli(key, top, shape=(4,), p=p, like=LIKE).tolist() == [at_top] * 4
        assert kernels.bernoulli(key, bottom, shape=(4,), p=p, like=LIKE).tolist() == [at_bottom] * 4
    for low, high in ((0, 1), (-3, 7), (-(2**63), 2**63 - 1)):
        assert reference.randint(key, top, shape=(2,), low=low, high=high, like=LIKE).tolist() == [high - 1] * 2
        assert reference.randint(key, bottom, shape=(2,), low=low, high=high, like=LIKE).tolist() == [low] * 2


# Distributions. The seed is fixed, so these pass always or never; a right generator fails a bound for one seed in a
# million or fewer. The compiled form has the same bits (normal: to rounding), shown below.
@floats
def test_uniform_has_every_bit(dtype: str) -> None:
    """Each of the 24 (53) bits is 1 in half the numbers, to 5 standard deviations of √N/2; none is left below."""
    bits = 24 if dtype == "float32" else 53
    u = reference.uniform(1, 0, shape=(N,), dtype=dtype, like=LIKE)
    steps = u.astype(np.float64) * 2**bits
    assert np.array_equal(steps, np.floor(steps))
    ones = (steps.astype(np.int64)[:, None] >> np.arange(bits) & 1).sum(0)  # (bits,)
    assert np.abs(ones - N / 2).max() < 5 * math.sqrt(N) / 2


@floats
@pytest.mark.parametrize("name", ["uniform", "normal"])
def test_distribution(name: str, dtype: str) -> None:
    x = getattr(reference, name)(2, 0, shape=(N,), dtype=dtype, like=LIKE).astype(np.float64)
    law = stats.uniform() if name == "uniform" else stats.norm()
    # Dvoretzky, Kiefer, Wolfowitz, Massart: P(max |F_N - F| > d) <= 2 exp(-2 N d²)
    largest = math.sqrt(math.log(2 / 1e-6) / (2 * N))
    assert stats.ks_1samp(x, law.cdf).statistic < largest
    for k in range(1, 7):  # the mean of xᵏ has variance (E x²ᵏ - (E xᵏ)²) / N
        sd = math.sqrt((law.moment(2 * k) - law.moment(k) ** 2) / N)
        assert abs((x**k).mean() - law.moment(k)) < 5 * sd, f"moment {k}"
    for name_f, f in (("x", lambda c: c), ("x²", np.square)):  # r alone would tie x² of a Box-Muller pair together
        y = f(x - law.mean())
        y = (y - y.mean()) / y.std()
        for lag in (1, 2, 3, 4, 5, 8):  # independent: the correlation has variance 1/N
            assert abs((y[lag:] * y[:-lag]).mean()) < 5 / math.sqrt(N), f"{name_f}, {lag} apart"


@pytest.mark.parametrize("p", [1e-3, 0.1, 0.5, 0.9])
def test_bernoulli_has_mean_p(p: float) -> None:
    ones = reference.bernoulli(3, 0, shape=(N,), p=p, like=LIKE).sum()
    assert abs(ones - N * p) < 5 * math.sqrt(N * p * (1 - p))


@pytest.mark.parametrize("span", [2, 3, 5, 6, 7, 10, 100, 2**16 + 1])
def test_randint_has_no_bias(span: int) -> None:
    """The high-product form is exact (above); here χ² also sees the words behind it."""
    i = reference.randint(4, 0, shape=(N,), low=-1, high=span - 1, like=LIKE)
    counts = np.bincount((i + 1) % min(span, 50), minlength=min(span, 50))
    chances = np.bincount(np.arange(span) % min(span, 50)) / span
    assert stats.chisquare(counts, N * chances).pvalue > 1e-6


def test_neighbouring_keys_are_unrelated() -> None:
    a, b = (reference.uniform(key, 0, shape=(N,), dtype="float64", like=LIKE) - 0.5 for key in (8, 9))
    assert abs((a * b).mean()) < 5 / 12 / math.sqrt(N)


# The compiled form
@given(keys, counters, st.integers(0, 600), st.floats(0, 1))
def test_compiled_uniform_and_bernoulli_have_the_reference_bits(key: int, counter: int, n: int, p: float) -> None:
    for kernel, settings in (("uniform", {"dtype": "float32"}), ("uniform", {"dtype": "float64"}),
                             ("bernoulli", {"p": p})):  # fmt: skip
        ours, theirs = (getattr(k, kernel)(key, counter, shape=(n,), like=LIKE, **settings) for k in (cpu, reference))
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs)


@floats
@given(key=keys, counter=counters, n=st.integers(0, 600))
def test_compiled_normal_agrees_to_rounding(dtype: str, key: int, counter: int, n: int) -> None:
    """log, cos and sin of a few units in the last place each, of numbers below 9."""
    ours, theirs = (k.normal(key, counter, shape=(n,), dtype=dtype, like=LIKE) for k in (cpu, reference))
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=8 * np.finfo(dtype).eps, atol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_the_size_from_which_threads_help(name: str) -> None:
    """The numbers do not show on which side of a block's size they were made."""
    dtype, draw = DRAWS[name]
    block = 64 if numba.config.DISABLE_JIT else cpu._BLOCK
    lanes = 2 if dtype == "float64" else 4
    below, above = draw(cpu, 2**128 - 3, block * lanes), draw(cpu, 2**128 - 3, (block + 1) * lanes)
    assert np.array_equal(above[: len(below)], below)


# Bits for every way to run: a new process, because a mistake here ends it. `exact` has the reference's bits; normal's
# own are compared among the compiled forms.
WAYS = """
import hashlib, json, os, sys, threading
import numba, numpy as np
from tinyart.kernels import reference
from tinyart.kernels.cpu import optim, random, threads
if numba.config.DISABLE_JIT:
    random._BLOCK = optim._BLOCK = 8  # as Python it takes 20 microseconds a counter
n = 32 * 4 * 8 + 13 if numba.config.DISABLE_JIT else 3 * optim._BLOCK + 13
like, rng = np.empty(0), np.random.default_rng(0)
start = [rng.uniform(0.1, 1, n) for _ in range(4)]

def bits(kernels, adam_, names):
    found = hashlib.sha256()
    for dtype in ("float32", "float64"):
        for name in names:
            found.update(getattr(kernels, name)(7, 2**128 - 9, shape=(n,), dtype=dtype, like=like))
        if adam_:
            found.update(kernels.bernoulli(7, 2**64 - 9, shape=(n,), p=0.3, like=like))
            arrays = [a.astype(dtype) for a in start]
            adam_(*arrays, lr=0.1, beta1=0.9, beta2=0.99, eps=1e-6, step=3, weight_decay=0.1, decoupled=False)
            for a in arrays:
                found.update(a)
    return found.hexdigest()

def compiled():
    return [bits(random, optim.adam_, ["uniform"]), bits(random, None, ["normal"])]

ways = {}
for number in (1, 2, 3, 7):
    threads.set_num_threads(number)
    ways[f"{number} threads"] = compiled()

def at_once(name):
    together.wait()
    ways[name] = compiled()

together = threading.Barrier(4)
workers = [threading.Thread(target=at_once, args=[f"Python thread {i}"]) for i in range(4)]
for worker in workers: worker.start()
for worker in workers: worker.join()
if hasattr(os, "fork"):
    read, write = os.pipe()
    sys.stdout.flush()
    if os.fork() == 0:
        os.write(write, json.dumps(compiled()).encode())
        os._exit(0)
    os.close(write)
    ways["after a fork"] = json.loads(os.read(read, 9999) or '["died", "died"]')
    ways["the parent of a fork"] = compiled()
print(json.dumps([bits(reference, reference.adam_, ["uniform"]), ways]))
"""


@pytest.mark.parametrize("jit_off", ["0", "1"])
def test_bits_are_equal_in_every_way_to_run(jit_off: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", WAYS]
    env = {**os.environ, "NUMBA_DISABLE_JIT": jit_off}
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    exact, found = json.loads(run.stdout)
    assert {name for name, (bits, _) in found.items() if bits != exact} == set()
    assert {name for name, (_, bits) in found.items() if bits != found["1 threads"][1]} == set()
    assert len(found) == 8 + 2 * hasattr(os, "fork")
