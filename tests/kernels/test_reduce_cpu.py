"""Sums over all axes but the last, or over all: against float64, whatever the sizes, the layout, the threads."""

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

cpu = import_module("tinyart.kernels.cpu.reduce")
reference = import_module("tinyart.kernels.reference.reduce")
threads = import_module("tinyart.kernels.cpu.threads")
EPS = np.finfo(np.float32).eps


@given(st.lists(st.integers(1, 40), min_size=1, max_size=2), st.integers(1, 200), st.booleans(), st.integers(0, 99))
def test_against_float64(lengths: list[int], channels: int, keepdims: bool, seed: int) -> None:
    shape = (*lengths, channels)
    memory = np.full(np.prod(shape) + 128, np.nan, np.float32)  # whoever reads past an end is found out
    x = memory[64:-64].reshape(shape)
    x[...] = np.random.default_rng(seed).normal(size=shape)
    for axis in (tuple(range(len(lengths))), tuple(range(-len(shape), -1))):
        y = cpu.sum(x, axis=axis, keepdims=keepdims)
        want = x.astype(float).sum(axis=axis, keepdims=keepdims)
        assert (y.dtype, y.shape) == (np.float32, want.shape)
        bound = np.abs(x).astype(float).sum(axis=axis, keepdims=keepdims)
        assert (np.abs(y - want) <= (cpu._ROWS + 1) * EPS * bound).all()


@given(st.integers(1, 70_000), st.sampled_from([None, 0, (0, 1), (1, -2)]), st.booleans(), st.integers(0, 99))
def test_all_axes_against_float64(size: int, axis: Any, keepdims: bool, seed: int) -> None:
    memory = np.full(size + 128, np.nan, np.float32)
    x = memory[64:-64] if axis == 0 else memory[64:-64].reshape(size, 1)
    x[...] = np.random.default_rng(seed).normal(size=x.shape)
    y, want = (f(x, axis=axis, keepdims=keepdims) for f in (cpu.sum, reference.sum))
    assert (y.dtype, y.shape) == (np.float32, want.shape)
    assert abs(float(y.sum()) - float(x.astype(float).sum())) <= 24 * EPS * float(np.abs(x).astype(float).sum())


def test_a_million_rows_lose_nothing() -> None:
    """NumPy adds them one by one: its error here is 3e-3."""
    x = np.full((1 << 20, 3), 0.1, np.float32)
    np.testing.assert_allclose(cpu.sum(x, axis=0, keepdims=False), x[0].astype(float) * len(x), rtol=4 * EPS)


@pytest.mark.parametrize("axis", [None, 0, 1, -1, (), (0,), (1, 2), (0, 2), (0, 1), (1, 0), (-3, 1)])
@pytest.mark.parametrize("shape", [(2, 3, 4), (0, 3, 4), (2, 3, 0), (2, 3, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "bool"])
def test_every_axis_and_dtype(axis: Any, shape: tuple[int, ...], dtype: str) -> None:
    x = (np.arange(np.prod(shape)).reshape(shape) % 3).astype(dtype)
    for a in (x, x[::-1], np.asfortranarray(x)):
        made, want = (module.sum(a, axis=axis, keepdims=True) for module in (cpu, reference))
        np.testing.assert_array_equal(made, want, strict=True)


def test_one_axis_and_none() -> None:
    x = np.arange(3, dtype=np.float32)
    assert cpu.sum(x, axis=0, keepdims=False) == 3
    assert cpu.sum(x[2], axis=0, keepdims=False) == 2  # NumPy has an axis 0 for a number, too


def test_what_is_not_finite_stays_in_its_channel() -> None:
    x = np.ones((100, 5), np.float32)
    x[7, 1], x[8, 2], x[9, 3], x[70, 3] = np.nan, np.inf, np.inf, -np.inf
    np.testing.assert_array_equal(cpu.sum(x, axis=0, keepdims=False), [100, np.nan, np.inf, np.nan, 100])


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    x = np.random.default_rng(0).normal(size=(200_000, 6)).astype(np.float32)
    before, found = threads.get_num_threads(), []
    try:
        for count in (1, 2, 3, 7):
            threads.set_num_threads(count)
            found.append(b"".join(cpu.sum(x, axis=axis, keepdims=False).tobytes() for axis in (0, None)))
    finally:
        threads.set_num_threads(before)
    assert len(set(found)) == 1
