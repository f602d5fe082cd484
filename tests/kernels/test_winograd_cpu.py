"""Winograd's forms: right over every kernel, stride, size and padding, and where numbers are not finite."""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kernels.test_conv_cpu import SAME, check

cpu = import_module("tinyart.kernels.cpu.conv")
forms = import_module("tinyart.kernels.cpu.forms")
winograd = import_module("tinyart.kernels.cpu.winograd")
reference = import_module("tinyart.kernels.reference.conv")
threads = import_module("tinyart.kernels.cpu.threads")


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What each call of winograd.conv and conv_weight said: whether its result is finite."""
    return saying(monkeypatch)


def saying(patch: pytest.MonkeyPatch) -> list[bool]:
    said: list[bool] = []

    def listened(real: Callable[..., bool]) -> Callable[..., bool]:
        return lambda *a: said.append(real(*a)) or said[-1]

    for name in ("conv", "conv_weight"):
        patch.setattr(winograd, name, listened(getattr(winograd, name)))
    return said


@pytest.mark.parametrize("r", forms.FORMS)
def test_the_forms_are_the_sum(r: int) -> None:
    """Aᵀ [(G w) ⊙ (Bᵀ d)] is what two pixels are, and Gᵀ [(Bᵀ d) ⊙ (A g)] the gradient of w."""
    b, g, a = map(np.array, forms.FORMS[r])
    rng = np.random.default_rng(0)
    d, w, y = (rng.integers(-9, 9, n) for n in (r + 1, r, 2))
    np.testing.assert_allclose(a @ ((g @ w) * (b @ d)), [d[:r] @ w, d[1:] @ w], atol=1e-12)
    np.testing.assert_allclose(g.T @ ((b @ d) * (a.T @ y)), y[0] * d[:r] + y[1] * d[1:], atol=1e-12)


def choosing(patch: pytest.MonkeyPatch, number: int) -> None:
    """That squares pay, in this one of the areas where they could be."""
    real = winograd._areas

    def areas(*a: Any) -> Iterator[Any]:
        found = sorted(real(*a), key=lambda one: one[1])
        yield from ((-1 if i == number % len(found) else 0, *rest) for i, (_, *rest) in enumerate(found))

    patch.setattr(winograd, "_areas", areas)
    cpu._saving.cache_clear()


pair = st.tuples(st.integers(0, 4), st.integers(0, 4))


@given(st.integers(1, 3), st.tuples(*[st.integers(1, 13)] * 2), st.tuples(*[st.integers(1, 10)] * 2),
       st.tuples(*[st.integers(1, 3)] * 2), st.tuples(pair, pair), pair, st.integers(0, 99))  # fmt: skip
def test_against_the_reference(n: int, size: Any, kernel: Any, stride: Any, padding: Any, more: Any, seed: int) -> None:
    """Whether it pays or not, and whether a square that is there in part is computed or left."""
    height, width = (max(s, k - sum(p)) for s, k, p in zip(size, kernel, padding, strict=True))
    c, o = (winograd.COLUMNS * (1 + m % 2) for m in more)
    with pytest.MonkeyPatch.context() as patch:
        choosing(patch, seed)
        said = saying(patch)
        # One term alone rounds as several do: F(2, 5) multiplies it by up to 5 and divides again, in both dimensions.
        taps = [{len(range(r, k, s)) for r in range(min(k, s))} for k, s in zip(kernel, stride, strict=True)]
        check((n, height, width, c), (*kernel, c, o), SAME | {"padding": padding, "stride": stride}, seed,
              rounding=200 if {5} in taps else 20)  # fmt: skip
    cpu._saving.cache_clear()
    known = taps[0] | taps[1] <= {1, 2, 3} != {1} or taps == [{5}, {5}]
    assert said == [True] * (3 if known and taps != [{1}, {1}] else 0)


@pytest.mark.parametrize("number", range(9))
@pytest.mark.parametrize("stride", [(1, 2), (2, 1), (2, 3)])
def test_each_area_of_odd_sides(number: int, stride: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    choosing(monkeypatch, number)
    size = tuple(12 * s + 1 for s in stride)  # 13 pixels of y, and 4s · 3 + 1 of x
    check((2, *size, 32), (3, 3, 32, 32), SAME | {"stride": stride}, rounding=20)
    cpu._saving.cache_clear()


@pytest.mark.parametrize(("x", "w", "change"), [
    ((20, 9, 11, 32), (3, 3, 32, 64), {}),
    ((16, 13, 12, 64), (3, 3, 64, 32), {"padding": ((0, 0), (0, 0))}),
    ((5, 13, 11, 96), (3, 3, 96, 32), {"padding": ((3, 0), (1, 2))}),
    ((9, 7, 7, 64), (5, 5, 64, 96), {"padding": ((2, 2), (2, 2))}),
    ((29, 16, 14, 64), (5, 5, 64, 32), {"padding": ((1, 2), (1, 2)), "stride": (2, 2)}),
    ((16, 16, 16, 64), (4, 4, 64, 64), {"stride": (2, 2)}),
])  # fmt: skip
def test_large_ones_go_through_it(said: list[bool], x: Any, w: Any, change: Any) -> None:
    check(x, w, SAME | change, seed=0)
    check(x, w, SAME | change, seed=1)
    assert said == [True] * 6


def test_a_result_without_pixels() -> None:
    x, w = np.ones((2, 2, 5, 64), np.float32), np.ones((3, 3, 64, 64), np.float32)
    settings = SAME | {"padding": ((0, 0), (0, 0))}
    assert cpu.conv(x, w, **settings).shape == reference.conv(x, w, **settings).shape == (2, 0, 3, 64)
    assert cpu.conv_input(x, w, size=(0, 7), **settings).shape == (2, 0, 7, 64)


@pytest.mark.parametrize("change", [{"dilation": (2, 1)}, {"groups": 2}, {"stride": (3, 3)}])
def test_others_do_not(said: list[bool], change: dict[str, Any]) -> None:
    check((3, 9, 11, 64), (3, 3, 64 // change.get("groups", 1), 64), SAME | change)
    assert said == []


@pytest.mark.parametrize(("kernel", "most"), [(2, (1.5, 1.5)), (3, (1, 1)), (5, (3, 6))])
def test_rounding(kernel: int, most: tuple[float, float], monkeypatch: pytest.MonkeyPatch) -> None:
    """The root of the mean square error, over that of the plain sum: F(2, 3) has less."""
    rng = np.random.default_rng(0)
    settings = SAME | {"padding": ((kernel // 2,) * 2,) * 2}
    x, w, g = (rng.normal(size=s).astype(np.float32) for s in ((16, 8, 8, 128), (kernel, kernel, 128, 64),
                                                               (16, 8, 8, 64)))  # fmt: skip

    def results(module: Any, *arrays: Any) -> list[Any]:
        x, w, g = arrays
        return [module.conv(x, w, **settings), module.conv_weight(x, g, size=w.shape[:2], **settings)]

    said, exact = saying(monkeypatch), results(reference, *(a.astype(float) for a in (x, w, g)))
    errors = [[np.sqrt(((a - b) ** 2).mean()) for a, b in zip(results(cpu, x, w, g), exact, strict=True)]]
    assert said == [True] * 2
    monkeypatch.setattr(cpu, "_saving", lambda *_: None)
    errors += [[np.sqrt(((a - b) ** 2).mean()) for a, b in zip(results(cpu, x, w, g), exact, strict=True)]]
    for forms_, plain, factor in zip(*errors, most, strict=True):
        assert forms_ < factor * plain


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("where", ["x", "w", "b", "g"])
@pytest.mark.parametrize("stride", [1, 2])
def test_what_is_not_finite_reaches_only_what_reads_it(said: list[bool], where: str, value: float, stride: int) -> None:
    rng = np.random.default_rng(0)
    settings = SAME | {"stride": (stride, stride), "padding": ((2, 2), (2, 2))}
    side = 16 // stride
    a = {"x": rng.normal(size=(16, 16, 16, 64)), "w": rng.normal(size=(5, 5, 64, 64)), "b": rng.normal(size=64),
         "g": rng.normal(size=(16, side, side, 64))}  # fmt: skip
    x, w, b, g = arrays = [v.astype(np.float32) for v in a.values()]
    arrays["xwbg".index(where)].ravel()[17] = value

    def all_of(module: Any) -> list[Any]:
        with np.errstate(invalid="ignore", over="ignore"):
            return [module.conv(x, w, b, **settings), module.conv_input(g, w, b, size=(16, 16), **settings),
                    module.conv_weight(x, g, size=(5, 5), **settings)]  # fmt: skip

    made, want = all_of(cpu), all_of(reference)
    assert len(said) == 3
    assert said == [bool(np.isfinite(y).all()) for y in want] or value == 3e38
    for y, exact in zip(made, want, strict=True):
        if np.isfinite(value):
            assert np.isfinite(y).all() == np.isfinite(exact).all()
        else:
            np.testing.assert_array_equal(np.isfinite(y), np.isfinite(exact))


def test_bits_do_not_depend_on_the_number_of_threads(said: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    monkeypatch.setattr(cpu, "_BLOCK", 1)  # every task is worth a thread
    before, found = threads.get_num_threads(), []
    settings = SAME | {"stride": (2, 2), "padding": ((1, 2), (1, 2))}
    x, w, g = (rng.normal(size=s).astype(np.float32) for s in ((64, 13, 13, 64), (5, 5, 64, 64), (64, 6, 6, 64)))
    try:
        for count in (1, 2, 3, 7):
            threads.set_num_threads(count)
            found.append(tuple(a.tobytes() for a in (
                cpu.conv(x, w, **settings), cpu.conv_input(g, w, size=(13, 13), **settings),
                cpu.conv_weight(x, g, size=(5, 5), **settings))))  # fmt: skip
    finally:
        threads.set_num_threads(before)
    assert said == [True] * 12
    assert len(set(found)) == 1
