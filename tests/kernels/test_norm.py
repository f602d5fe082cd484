"""Normalisation against exactly summed definitions, difference quotients of them, and PyTorch."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinyart.kernels.cpu import norm as cpu
from tinyart.kernels.cpu import threads as cpu_threads
from tinyart.kernels.reference import norm as reference
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


# The compiled form, which is float32's
NAMES = ["batch_norm", "layer_norm"]


def laid(x: np.ndarray, layout: str) -> np.ndarray:
    """x in column-major order, or its rows in reverse."""
    return np.asfortranarray(x) if layout == "Fortran" else x[::-1] if layout == "reversed" else x


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("block", [3, 1 << 15], ids=["many tasks", "one task"])
@given(data=st.data())
def test_compiled_norms_agree_with_the_reference_in_float64(call: Any, name: str, block: int, data: Any) -> None:
    n, c = data.draw(st.sampled_from([1, 2, 3, 63, 64, 65, 130])), data.draw(st.sampled_from([1, 2, 15, 16, 17, 33]))
    shape = data.draw(st.sampled_from([(n, c), (n, 1, c), (1, n, 1, c)]))
    rng = np.random.default_rng(n * c)
    shift = data.draw(st.sampled_from([0.0, -3.0, 1000.0]))
    x, g = (rng.normal(size=shape) + shift).astype("float32"), rng.normal(size=shape).astype("float32")
    x, g = (laid(a, data.draw(st.sampled_from(["C", "Fortran", "reversed"]))) for a in (x, g))
    gamma, beta = (laid(rng.normal(size=c).astype("float32"), "reversed") for _ in "ab")
    exact = [a.astype("float64") for a in (g, x, gamma, beta)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu, "_BLOCK", block)
        ours = call(getattr(cpu, name), x, gamma, beta, eps=EPS)
        gradients = call(getattr(cpu, name + "_backward"), g, x, gamma, ours[1], ours[-1])
    theirs = getattr(reference, name)(*exact[1:], eps=EPS)
    # x is rounded to shift · eps, and where a set has few values its deviation may be √EPS = 1/30
    slack = (1 + abs(shift)) * np.finfo("float32").eps
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == np.float32
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=200 * slack, atol=500 * slack)
    for a, b in zip(gradients, getattr(reference, name + "_backward")(*exact[:3], theirs[1], theirs[-1]), strict=True):
        assert a.dtype == np.float32
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=2000 * slack * (1 + np.abs(b).max()))


@pytest.mark.parametrize("name", NAMES)
def test_compiled_norms_of_float64_and_of_nothing_are_the_references(name: str) -> None:
    rng = np.random.default_rng(0)
    for shape, dtype in (((5, 3), "float64"), ((0, 3), "float32"), ((3, 0), "float32")):
        x, g = rng.normal(size=shape).astype(dtype), rng.normal(size=shape).astype(dtype)
        gamma = rng.normal(size=shape[-1]).astype(dtype)
        made = [getattr(k, name)(x, gamma, gamma, eps=1.0) for k in (cpu, reference)]
        made += [getattr(k, name + "_backward")(g, x, gamma, made[0][1], made[0][-1]) for k in (cpu, reference)]
        for ours, theirs in (made[:2], made[2:]):
            for a, b in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(cpu_threads.DISABLE_JIT, reason="too much for Python")
def test_blocks_are_joined_by_several_threads() -> None:
    rng, before, found = np.random.default_rng(0), cpu_threads.get_num_threads(), []
    x, g = (rng.normal(size=(100_000, 50)).astype(np.float32) for _ in range(2))
    gamma, beta = (rng.normal(size=50).astype(np.float32) for _ in range(2))
    try:
        for n in (1, 3):
            cpu_threads.set_num_threads(n)
            y, mean, var, rstd = cpu.batch_norm(x, gamma, beta, eps=1e-5)
            found.append([y, mean, var, rstd, *cpu.batch_norm_backward(g, x, gamma, mean, rstd)])
        assert cpu_threads._helpers.step(50, cpu._columns(100_000 // cpu._ROWS)) < 50
    finally:
        cpu_threads.set_num_threads(before)
    exact = [a.astype(float) for a in (x, g, gamma, beta)]
    y, mean, var, rstd = batch_norm(exact[0], exact[2], exact[3], eps=1e-5)
    expected = [y, mean, var, rstd, *batch_norm_backward(exact[1], exact[0], exact[2], mean, rstd)]
    for one, three, e in zip(*found, expected, strict=True):
        assert np.array_equal(one, three)
        np.testing.assert_allclose(three, e, rtol=1e-5, atol=1e-5 * np.abs(e).max())


def test_compiled_sums_do_not_drift() -> None:
    rows = 300 if cpu_threads.DISABLE_JIT else 300_000
    x = np.full((rows, 2), 0.1, np.float32)
    ones = np.ones(2, np.float32)
    y, mean, var, _ = cpu.batch_norm(x, ones, ones, eps=1e-5)
    assert mean.tolist() == [np.float32(0.1)] * 2
    assert var.tolist() == [0, 0]
    assert (y == 1).all()
    _, _, gbeta = cpu.batch_norm_backward(x, x, ones, mean, ones)
    np.testing.assert_allclose(gbeta, rows * np.float64(np.float32(0.1)), rtol=1e-6)
    big = 1e4 + np.random.default_rng(0).normal(size=(1000, 2)).astype(np.float32)
    np.testing.assert_allclose(cpu.batch_norm(big, ones, ones, eps=0.0)[2], big.astype(float).var(axis=0), rtol=1e-5)
    np.testing.assert_allclose(cpu.layer_norm(big.T, *[np.ones(1000, np.float32)] * 2, eps=0.0)[2] ** -2.0,
                               big.astype(float).var(axis=0), rtol=1e-5)  # fmt: skip


def test_compiled_a_nan_reaches_its_own_channel_only() -> None:
    x = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    x[70, 1] = np.nan
    x[3, 2] = np.inf
    ones = np.ones(3, np.float32)
    y, mean, var, rstd = cpu.batch_norm(x, ones, ones, eps=EPS)
    assert np.isfinite(y[:, 0]).all()
    assert np.isnan(y[:, 1:]).all()
    assert np.isnan(var[1:]).all()
    y, _, _ = cpu.layer_norm(x, ones, ones, eps=EPS)
    assert np.isnan(y[[3, 70]]).all()
    assert np.isfinite(np.delete(y, [3, 70], 0)).all()
    gx, _, _ = cpu.batch_norm_backward(x, x[::-1].copy(), ones, mean, rstd)
    assert np.isfinite(gx[:, 0]).all()
    assert np.isnan(gx[:, 1]).all()
