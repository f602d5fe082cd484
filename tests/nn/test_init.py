"""Initialisers against their formulas: bounds, moments, orthogonality. Fans are written out by hand."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyart import nn, random
from tinyart.errors import ArgumentError, ShapeError
from tinyart.nn import init
from tinyart.random import Generator

SHAPES = [  # weight, fan_in, fan_out
    ((300, 500), 300, 500),
    ((5, 60, 400), 300, 2000),  # Conv1d of 5, 60 -> 400
    ((3, 4, 50, 200), 600, 2400),  # Conv2d of 3×4
]


def filled(shape: tuple[int, ...], fill: Callable[..., Any], *args: Any, dtype: str = "float32") -> Any:
    parameter = nn.Parameter(np.full(shape, np.nan, dtype))
    assert fill(parameter, *args, generator=Generator(5)) is parameter
    assert parameter.dtype == dtype
    return parameter.array.astype(np.float64)


def check_std(values: Any, std: float, kurtosis: float) -> None:
    """Six standard errors of mean and standard deviation."""
    assert abs(values.mean()) < 6 * std / math.sqrt(values.size)
    assert abs(values.std() / std - 1) < 3 * math.sqrt((kurtosis - 1) / values.size)


@pytest.mark.parametrize(("shape", "fan_in", "fan_out"), SHAPES)
def test_fans(shape: tuple[int, ...], fan_in: int, fan_out: int) -> None:
    assert init.fans(nn.Parameter(np.zeros(shape))) == (fan_in, fan_out)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "fan_in", "fan_out"), SHAPES)
def test_glorot_and_he(shape: tuple[int, ...], fan_in: int, fan_out: int, dtype: str) -> None:
    slope, gain = 0.2, 1.5
    glorot, he = gain * math.sqrt(2 / (fan_in + fan_out)), math.sqrt(2 / ((1 + slope * slope) * fan_in))
    for fill, setting, std in [(init.glorot_uniform_, gain, glorot), (init.he_uniform_, slope, he)]:
        values = filled(shape, fill, setting, dtype=dtype)
        bound = math.sqrt(3) * std
        assert 0.999 * bound < np.abs(values).max() <= bound * (1 + 1e-6)
        check_std(values, std, 9 / 5)
    for fill, setting, std in [(init.glorot_normal_, gain, glorot), (init.he_normal_, slope, he)]:
        values = filled(shape, fill, setting, dtype=dtype)
        assert np.abs(values).max() > 3.5 * std
        check_std(values, std, 3)


def test_the_defaults_are_gain_1_and_relu() -> None:
    check_std(filled((300, 500), init.glorot_normal_), math.sqrt(2 / 800), 3)
    check_std(filled((300, 500), init.glorot_uniform_), math.sqrt(2 / 800), 9 / 5)
    check_std(filled((300, 500), init.he_normal_), math.sqrt(2 / 300), 3)
    check_std(filled((300, 500), init.he_uniform_), math.sqrt(2 / 300), 9 / 5)


@pytest.mark.parametrize("gain", [1.0, 0.5])
@given(shape=st.lists(st.integers(1, 6), min_size=2, max_size=4).map(tuple), seed=st.integers(0, 1000))
def test_orthogonal(gain: float, shape: tuple[int, ...], seed: int) -> None:
    parameter = init.orthogonal_(nn.Parameter(np.zeros(shape)), gain, generator=Generator(seed))
    q = parameter.array.reshape(-1, shape[-1])
    product = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    assert np.allclose(product, gain**2 * np.eye(min(q.shape)), atol=1e-12)


def test_orthogonal_is_uniform_over_the_signs() -> None:
    generator, n = Generator(1), 600
    qs = np.array([init.orthogonal_(nn.Parameter(np.zeros((3, 3))), generator=generator).array for _ in range(n)])
    share = (qs > 0).mean(axis=0)  # a half for every entry; QR alone makes the diagonal all but negative
    assert np.abs(share - 0.5).max() < 6 * 0.5 / math.sqrt(n)
    assert np.abs((qs**2).mean(axis=0) - 1 / 3).max() < 6 * math.sqrt(1 / 5 - 1 / 9) / math.sqrt(n)


def test_uniform_normal_and_zeros_fill_any_shape() -> None:
    values = filled((40_000,), init.uniform_, -0.05, 0.15)
    assert -0.05 <= values.min() < -0.0499
    assert 0.1499 < values.max() <= 0.15 * (1 + 1e-6)
    values = filled((40_000,), init.normal_, 1.0, 0.02)
    check_std(values - 1, 0.02, 3)
    assert init.zeros_(nn.Parameter([1.0, 2.0])).array.tolist() == [0, 0]


def test_without_a_generator_the_global_one_draws() -> None:
    weights = []
    for _ in range(2):
        random.manual_seed(8)
        weights.append(init.he_normal_(nn.Parameter(np.zeros((3, 3)))).array.tolist())
    assert weights[0] == weights[1]
    assert init.he_normal_(nn.Parameter(np.zeros((3, 3)))).array.tolist() != weights[0]


def test_filling_counts_as_a_change_in_place_and_is_not_recorded() -> None:
    parameter = nn.Parameter(np.zeros((2, 2)))
    node = parameter.node
    init.uniform_(parameter)
    assert parameter.version[0] == 1
    assert parameter.node is node


def test_errors() -> None:
    for fill in (init.glorot_uniform_, init.glorot_normal_, init.he_uniform_, init.he_normal_, init.orthogonal_):
        with pytest.raises(ShapeError, match=r"init: tensor: expected a weight of at least two axes, got shape \(3,\)"):
            fill(nn.Parameter(np.zeros(3)))
    with pytest.raises(ArgumentError, match="orthogonal_: tensor: expected lengths of at least 1"):
        init.orthogonal_(nn.Parameter(np.zeros((0, 3))))
