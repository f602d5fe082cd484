"""Compiled pooling against the reference: every geometry, layout and dtype; ties, NaN and infinities; threads."""

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

cpu = import_module("tinyart.kernels.cpu.pool")
threads = import_module("tinyart.kernels.cpu.threads")
reference = import_module("tinyart.kernels.reference.pool")


@st.composite
def windows(draw: Any) -> tuple[tuple[int, ...], dict[str, Any]]:
    some = st.integers(1, 4)
    size, stride = draw(st.tuples(some, some)), draw(st.tuples(some, some))
    padding = tuple(draw(st.tuples(st.integers(0, k // 2), st.integers(0, k // 2))) for k in size)
    shape = [max(1, k - sum(p)) + draw(st.integers(0, 6)) for k, p in zip(size, padding, strict=True)]
    channels = draw(st.one_of(st.integers(0, 19), st.sampled_from([32, 35])))
    return (draw(st.integers(0, 3)), *shape, channels), {
        "size": size, "stride": stride, "padding": padding}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(window=windows(), seed=st.integers(0, 99), layout=st.sampled_from(["C", "Fortran", "reversed", "one value"]))
def test_against_the_reference(dtype: str, window: Any, seed: int, layout: str) -> None:
    shape, how = window
    rng = np.random.default_rng(seed)
    x = rng.choice([0, 1, 2, -1, np.nan, np.inf, -np.inf], shape, p=[0.3, 0.2, 0.2, 0.2, 0.02, 0.04, 0.04])
    x = np.asarray(x, dtype)
    y = reference.max_pool(x, **how)
    g = rng.normal(size=y.shape).astype(dtype)
    if layout == "Fortran":
        x, g = np.asfortranarray(x), np.asfortranarray(g)
    elif layout == "reversed":
        x, g, y = x[:, ::-1], g[..., ::-1], reference.max_pool(x[:, ::-1], **how)
    elif layout == "one value":
        g = np.broadcast_to(g.dtype.type(0.5), g.shape)
    tolerance = 16 * np.finfo(dtype).eps
    with np.errstate(invalid="ignore"):
        for name, arrays, size in [("max_pool", (x,), {}), ("max_pool_input", (g, x, y), {}), ("sum_pool", (x,), {}),
                                   ("sum_pool_input", (g,), {"size_in": shape[1:3]})]:
            made, want = (getattr(k, name)(*arrays, **size, **how) for k in (cpu, reference))
            assert (made.dtype, made.flags.c_contiguous) == (want.dtype, True)
            np.testing.assert_allclose(made, want, rtol=tolerance, atol=16 * tolerance)


def test_bits_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "_BLOCK", 1)
    rng = np.random.default_rng(0)
    how = {"size": (3, 2), "stride": (2, 1), "padding": ((1, 1), (0, 1))}
    x = rng.normal(size=(9, 11, 10, 5)).astype(np.float32)
    before, found = threads.get_num_threads(), []
    try:
        for count in (1, 2, 3, 7):
            threads.set_num_threads(count)
            y = cpu.max_pool(x, **how)
            found.append([y, cpu.max_pool_input(y, x, y, **how), cpu.sum_pool(x, **how),
                          cpu.sum_pool_input(y, size_in=(11, 10), **how)])
    finally:
        threads.set_num_threads(before)
    for results in zip(*found, strict=True):
        for result in results[1:]:
            np.testing.assert_array_equal(result, results[0])


def test_whole_numbers_go_to_the_reference() -> None:
    x = np.arange(16).reshape(1, 4, 4, 1)
    how = {"size": (2, 2), "stride": (2, 2), "padding": ((0, 0), (0, 0))}
    assert cpu.sum_pool(x, **how).ravel().tolist() == [10, 18, 42, 50]
    assert cpu.sum_pool_input(x, size_in=(8, 8), **how).dtype == x.dtype
