"""Winograd's form of 3 × 3 convolutions: right over every size and padding, and where numbers are not finite."""

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kernels.test_conv_cpu import EPS, SAME, canaries, check

cpu = import_module("tinyart.kernels.cpu.conv")
winograd = import_module("tinyart.kernels.cpu.winograd")
reference = import_module("tinyart.kernels.reference.conv")
threads = import_module("tinyart.kernels.cpu.threads")


@pytest.fixture
def finite(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What each call of winograd.conv said."""
    said: list[bool] = []
    real = winograd.conv
    monkeypatch.setattr(winograd, "conv", lambda *a: said.append(real(*a)) or said[-1])
    return said


def test_the_transforms_are_the_formula() -> None:
    """Aᵀ [(G w Gᵀ) ⊙ (Bᵀ d B)] A is the convolution of a square of 4 × 4, in exact numbers."""
    bt = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
    at = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])
    rng = np.random.default_rng(0)
    d, w = rng.integers(-9, 9, (4, 4)), rng.integers(-9, 9, (3, 3))
    y = at @ ((winograd._G @ w @ winograd._G.T) * (bt @ d @ bt.T)) @ at.T
    want = [[(d[i : i + 3, j : j + 3] * w).sum() for j in range(2)] for i in range(2)]
    np.testing.assert_array_equal(y, want)


some = st.integers(0, 3)


@given(st.integers(1, 5), st.tuples(st.integers(1, 9), st.integers(1, 9)), some,
       st.tuples(*[st.tuples(some, some)] * 2), st.booleans(), st.integers(0, 99))  # fmt: skip
def test_against_the_reference(n: int, size: tuple[int, int], more: int, padding: Any, bias: bool, seed: int) -> None:
    h, w = (max(s, 3 - sum(p)) for s, p in zip(size, padding, strict=True))
    before = (winograd.LANES * (1 + more), winograd.COLUMNS * (2 - more // 2))
    rng = np.random.default_rng(seed)
    x, k = canaries(rng.normal(size=(n, h, w, before[0]))), rng.normal(size=(3, 3, *before)).astype(np.float32)
    b = rng.normal(size=before[1]).astype(np.float32) * bias
    want = reference.conv(x.astype(float), k.astype(float), b.astype(float), **SAME | {"padding": padding})
    y = canaries(np.full(want.shape, np.nan))
    assert winograd.conv(x, k, b, y, (padding[0][0], padding[1][0]), 1)
    np.testing.assert_allclose(y, want, rtol=0, atol=16 * EPS * 9 * before[0])
    assert np.isnan(y.base[:8]).all()
    assert np.isnan(y.base[-8:]).all()


@pytest.mark.parametrize(("x", "w", "padding"), [
    ((3, 9, 11, 32), (3, 3, 32, 64), ((1, 1), (1, 1))),
    ((16, 12, 12, 64), (3, 3, 64, 32), ((0, 0), (0, 0))),
    ((2, 13, 11, 96), (3, 3, 96, 32), ((3, 0), (1, 2))),
])  # fmt: skip
def test_large_ones_go_through_it(finite: list[bool], x: Any, w: Any, padding: Any) -> None:
    check(x, w, SAME | {"padding": padding}, seed=0)
    check(x, w, SAME | {"padding": padding}, seed=1)
    assert finite == [True] * 4  # forward and to the input


@pytest.mark.parametrize("change", [{"stride": (1, 2)}, {"dilation": (2, 1)}, {"groups": 2}])
def test_others_do_not(finite: list[bool], change: dict[str, Any]) -> None:
    check((3, 9, 11, 64), (3, 3, 64 // change.get("groups", 1), 64), SAME | change)
    assert finite == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("where", ["x", "w", "b"])
def test_what_is_not_finite_reaches_only_the_pixels_that_read_it(finite: list[bool], where: str, value: float) -> None:
    rng = np.random.default_rng(0)
    a = {"x": rng.normal(size=(4, 8, 8, 32)), "w": rng.normal(size=(3, 3, 32, 32)), "b": rng.normal(size=32)}
    a = {name: v.astype(np.float32) for name, v in a.items()}
    a[where].ravel()[17] = value
    made = [cpu.conv(*a.values(), **SAME), cpu.conv_input(*a.values(), size=(8, 8), **SAME)]
    with np.errstate(invalid="ignore", over="ignore"):
        want = [reference.conv(*a.values(), **SAME), reference.conv_input(*a.values(), size=(8, 8), **SAME)]
    assert finite == [False] * 2 or value == 3e38
    for y, exact in zip(made, want, strict=True):
        if np.isfinite(value):
            assert np.isfinite(y).all() == np.isfinite(exact).all()
        else:
            np.testing.assert_array_equal(np.isfinite(y), np.isfinite(exact))


def test_bits_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    monkeypatch.setattr(cpu, "_BLOCK", 1)  # every task is worth a thread
    x, w = (rng.normal(size=s).astype(np.float32) for s in ((64, 9, 9, 32), (3, 3, 32, 32)))
    before, found = threads.get_num_threads(), []
    try:
        for count in (1, 2, 3, 7):
            threads.set_num_threads(count)
            found.append(cpu.conv(x, w, **SAME).tobytes())
    finally:
        threads.set_num_threads(before)
    assert len(set(found)) == 1
