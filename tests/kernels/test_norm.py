"""Normalisation against exactly summed definitions, difference quotients of them, and PyTorch."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinyart.kernels.reference.norm import batch_norm, batch_norm_backward, layer_norm, layer_norm_backward

from tinyart.testing import arrays

EPS = 1e-3


def normalised(values: list[float]) -> tuple[list[float], float, float]:
    """(x̂, mean, biased variance) of a list, with exact sums."""
    mean = math.fsum(values) / len(values)
    var = math.fsum((v - mean) ** 2 for v in values) / len(values)
    return [(v - mean) / math.sqrt(var + EPS) for v in values], mean, var


def lines(x: np.ndarray, axis: int) -> np.ndarray:
    """The sets of values that are normalised together, one a row: channels, or positions."""
    return x.reshape(-1, x.shape[-1]) if axis == -1 else x.reshape(-1, x.shape[-1]).T


@st.composite
def cases(draw: Any, dtype: str = "float64") -> tuple[np.ndarray, ...]:
    """g, x (.., C), gamma, beta (C,)."""
    shape = draw(st.sampled_from([(4, 3), (1, 2), (2, 1), (2, 3, 2, 3), (3, 2, 4), (5,)]))
    channels = shape[-1:]
    gamma, beta = draw(arrays(channels, 0.5, 2, dtype)), draw(arrays(channels, dtype=dtype))
    return draw(arrays(shape, dtype=dtype)), draw(arrays(shape, dtype=dtype)), gamma, beta


@given(cases())
def test_batch_norm_is_the_definition(call: Any, case: Any) -> None:
    _, x, gamma, beta = case
    y, mean, var, rstd = call(batch_norm, x, gamma, beta, eps=EPS)
    assert (y.shape, mean.shape, var.shape, rstd.shape) == (x.shape, *[x.shape[-1:]] * 3)
    for c, values in enumerate(lines(x, 0).tolist()):
        expected, m, v = normalised(values)
        found = [mean[c], var[c], rstd[c], *y[..., c].ravel()]
        wanted = [m, v, 1 / math.sqrt(v + EPS), *[e * gamma[c] + beta[c] for e in expected]]
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-13)


@given(cases())
def test_layer_norm_is_the_definition(call: Any, case: Any) -> None:
    _, x, gamma, beta = case
    y, mean, rstd = call(layer_norm, x, gamma, beta, eps=EPS)
    assert (y.shape, mean.shape, rstd.shape) == (x.shape, x.shape[:-1], x.shape[:-1])
    for i, values in enumerate(lines(x, -1).tolist()):
        expected, m, v = normalised(values)
        found = [mean.ravel()[i], rstd.ravel()[i], *lines(y, -1)[i]]
        wanted = [m, 1 / math.sqrt(v + EPS), *(np.array(expected) * gamma + beta)]
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-13)


def quotient(axis: int, g: np.ndarray, x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, which: int) -> np.ndarray:
    """The gradient of ⟨g, y⟩ in argument `which` of (x, gamma, beta), by central differences in long double."""

    def value(arguments: list[np.ndarray]) -> Any:
        a, scale, shift = arguments
        axes = -1 if axis == -1 else tuple(range(a.ndim - 1))
        centred = a - a.mean(axis=axes, keepdims=True)
        return (g * (centred / np.sqrt((centred**2).mean(axis=axes, keepdims=True) + EPS) * scale + shift)).sum()

    arguments = [a.astype(np.longdouble) for a in (x, gamma, beta)]
    result = np.zeros(arguments[which].shape)
    for at in np.ndindex(result.shape):
        up, down = [a.copy() for a in arguments], [a.copy() for a in arguments]
        up[which][at] += 1e-6
        down[which][at] -= 1e-6
        result[at] = (value(up) - value(down)) / np.longdouble(2e-6)
    return result


@pytest.mark.parametrize("axis", [0, -1])
@given(case=cases())
def test_backward_is_the_difference_quotient_of_the_definition(call: Any, axis: int, case: Any) -> None:
    g, x, gamma, beta = case
    if axis == -1:
        _, mean, rstd = layer_norm(x, gamma, beta, eps=EPS)
        found = call(layer_norm_backward, g, x, gamma, mean, rstd)
    else:
        _, mean, _, rstd = batch_norm(x, gamma, beta, eps=EPS)
        found = call(batch_norm_backward, g, x, gamma, mean, rstd)
    for which, gradient in enumerate(found):
        # third derivatives reach eps^(-3/2) · |g| · gamma = 1e5, times h²/6 = 2e-13
        np.testing.assert_allclose(gradient, quotient(axis, g, x, gamma, beta, which), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(data=st.data())
def test_agrees_with_pytorch(dtype: str, data: Any) -> None:
    torch = pytest.importorskip("torch")
    two_values = cases(dtype).filter(lambda case: case[1].size > case[1].shape[-1])  # for each channel, PyTorch's rule
    g, x, gamma, beta = data.draw(two_values)
    close = {"rtol": 0, "atol": 24 * 128 * np.finfo(dtype).eps / 2}  # 24 roundings of g · gamma · rstd, up to 2·2·32
    functional = torch.nn.functional
    for ours in ("batch", "layer"):
        t, scale, shift = (torch.tensor(a.copy(), requires_grad=True) for a in (x, gamma, beta))
        if ours == "batch":
            rows = t.reshape(-1, t.shape[-1])
            y = functional.batch_norm(rows, None, None, scale, shift, training=True, eps=EPS).reshape(t.shape)
            found, mean, _, rstd = batch_norm(x, gamma, beta, eps=EPS)
            gradients = batch_norm_backward(g, x, gamma, mean, rstd)
        else:
            y = functional.layer_norm(t, t.shape[-1:], scale, shift, eps=EPS)
            found, mean, rstd = layer_norm(x, gamma, beta, eps=EPS)
            gradients = layer_norm_backward(g, x, gamma, mean, rstd)
        y.backward(torch.tensor(g.copy()))
        np.testing.assert_allclose(found, y.detach().numpy(), **close)
        for gradient, a in zip(gradients, (t, scale, shift), strict=True):
            np.testing.assert_allclose(gradient, a.grad.numpy(), **close)
            assert gradient.dtype == np.dtype(dtype)
        assert found.dtype == mean.dtype == rstd.dtype == np.dtype(dtype)


def test_the_variance_survives_a_mean_a_million_times_the_deviation() -> None:
    rng = np.random.default_rng(0)
    x = 1e6 + rng.normal(size=(1000, 2))
    ones, zeros = np.ones(2), np.zeros(2)
    _, _, var, _ = batch_norm(x, ones, zeros, eps=0.0)
    np.testing.assert_allclose(var, [normalised(c)[2] for c in x.T.tolist()], rtol=1e-9)
    _, _, rstd = layer_norm(x.T, np.ones(1000), np.zeros(1000), eps=0.0)
    np.testing.assert_allclose(rstd**-2, var, rtol=1e-9)


def test_float32_sums_do_not_drift() -> None:
    """A running float32 sum of 300,000 times 0.1 is 29,996.6 or worse; mean and variance show it."""
    x = np.full((300_000, 2), 0.1, np.float32)
    _, mean, var, _ = batch_norm(x, np.ones(2, np.float32), np.zeros(2, np.float32), eps=1e-5)
    assert mean.tolist() == [np.float32(0.1)] * 2
    assert var.tolist() == [0, 0]
    _, ggamma, gbeta = batch_norm_backward(x, x + 1, np.ones(2, np.float32), mean, np.ones(2, np.float32))
    np.testing.assert_allclose(gbeta, 300_000 * np.float64(np.float32(0.1)), rtol=1e-7)
    np.testing.assert_allclose(ggamma, 300_000 * np.float64(np.float32(0.1)), rtol=1e-6)


def test_an_empty_batch_is_quiet() -> None:
    x, ones = np.zeros((0, 3)), np.ones(3)
    y, mean, var, rstd = batch_norm(x, ones, ones, eps=1.0)
    assert (y.shape, mean.tolist(), var.tolist(), rstd.tolist()) == ((0, 3), [0] * 3, [0] * 3, [1] * 3)
    gx, ggamma, gbeta = batch_norm_backward(x, x, ones, mean, rstd)
    assert (gx.shape, ggamma.tolist(), gbeta.tolist()) == ((0, 3), [0] * 3, [0] * 3)
    assert layer_norm(x, ones, ones, eps=1.0)[0].shape == (0, 3)
    empty = np.zeros((2, 0))
    y, mean, rstd = layer_norm(empty, np.zeros(0), np.zeros(0), eps=1.0)
    assert (y.shape, mean.tolist(), rstd.tolist()) == ((2, 0), [0, 0], [1, 1])
    assert layer_norm_backward(empty, empty, np.zeros(0), mean, rstd)[0].shape == (2, 0)


def test_a_nan_reaches_its_own_channel_only() -> None:
    x = np.random.default_rng(0).normal(size=(4, 3))
    x[1, 1] = np.nan
    y, mean, _, _ = batch_norm(x, np.ones(3), np.zeros(3), eps=EPS)
    assert np.isnan(y[:, 1]).all()
    assert np.isnan(mean).tolist() == [False, True, False]
    assert np.isfinite(y[:, [0, 2]]).all()
