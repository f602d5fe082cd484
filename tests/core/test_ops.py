"""Every operation's values, against libraries or loops that share no code with it.

Gradients are compared with differences in test_gradients.py. Here they meet PyTorch, at second order where rules are
most easily wrong, and the places where floating point ends: ±10⁴, NaN, infinity, nothing at all.
"""

import inspect
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyart as ta

SHAPES: list[tuple[int, ...]] = [(), (1,), (5,), (0, 3), (2, 3), (2, 1, 4)]
inf, nan = math.inf, math.nan


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def leaf(x: Any, dtype: str = "float64") -> ta.Tensor:
    return ta.tensor(x, dtype, requires_grad=True)


def slowly(fn: Callable[..., Any], *arrays: np.ndarray) -> np.ndarray:
    """fn on Python numbers, one element at a time."""
    arrays = np.broadcast_arrays(*arrays)
    flat = [fn(*numbers) for numbers in zip(*(a.ravel().tolist() for a in arrays), strict=True)]
    return np.array(flat).reshape(arrays[0].shape)


def close(actual: Any, expected: Any, rtol: float = 1e-12, atol: float = 1e-12) -> None:
    actual = actual.array if isinstance(actual, ta.Tensor) else actual
    expected = expected.detach().numpy() if hasattr(expected, "detach") else np.asarray(expected)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


# ---- elementwise

UNARY: dict[str, tuple[Callable[[float], float], float, float]] = {
    "neg": (lambda x: -x, -3, 3), "abs": (math.fabs, -3, 3), "sign": (lambda x: (x > 0) - (x < 0), -3, 3),
    "exp": (math.exp, -3, 3), "expm1": (math.expm1, -3, 3), "log": (math.log, 0.1, 9), "log1p": (math.log1p, -0.9, 9),
    "sqrt": (math.sqrt, 0, 9), "sin": (math.sin, -9, 9), "cos": (math.cos, -9, 9), "tan": (math.tan, -1.5, 1.5),
    "arcsin": (math.asin, -1, 1), "arccos": (math.acos, -1, 1), "arctan": (math.atan, -9, 9),
    "sinh": (math.sinh, -3, 3), "cosh": (math.cosh, -3, 3), "tanh": (math.tanh, -3, 3),
    "arcsinh": (math.asinh, -9, 9), "arccosh": (math.acosh, 1, 9), "arctanh": (math.atanh, -0.9, 0.9),
    "erf": (math.erf, -3, 3), "relu": (lambda x: max(x, 0.0), -3, 3),
    "sigmoid": (lambda x: 1 / (1 + math.exp(-x)), -9, 9), "softplus": (lambda x: math.log(1 + math.exp(x)), -9, 9),
    "leaky_relu": (lambda x: x if x > 0 else 0.01 * x, -3, 3),
    "elu": (lambda x: x if x > 0 else math.exp(x) - 1, -3, 3),
    "gelu": (lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2, -3, 3),
    "silu": (lambda x: x / (1 + math.exp(-x)), -9, 9),
}
BINARY: dict[str, Callable[[float, float], Any]] = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": lambda a, b: a / b,
    "power": lambda a, b: a**b, "maximum": max, "minimum": min,
    "equal": lambda a, b: a == b, "not_equal": lambda a, b: a != b, "less": lambda a, b: a < b,
    "less_equal": lambda a, b: a <= b, "greater": lambda a, b: a > b, "greater_equal": lambda a, b: a >= b,
}


@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str, rng: np.random.Generator) -> None:
    fn, low, high = UNARY[name]
    for shape, (dtype, rtol) in itertools.product(SHAPES, (("float64", 1e-13), ("float32", 1e-5))):
        x = np.asarray(rng.uniform(low, high, shape), dtype)
        y = getattr(ta, name)(x)
        assert y.dtype == dtype
        close(y, slowly(fn, x), rtol, rtol)


@pytest.mark.parametrize("name", BINARY)
def test_binary(name: str, rng: np.random.Generator) -> None:
    for a_shape, b_shape in [*zip(SHAPES, SHAPES, strict=True), ((3, 1), (4,)), ((), (2, 2)), ((1, 0), (3, 1))]:
        for dtype, rtol in (("float64", 1e-13), ("float32", 1e-5)):
            a = np.asarray(rng.integers(1, 5, a_shape) / 2, dtype)  # halves: equal ones among them
            b = np.asarray(rng.integers(1, 5, b_shape) / 2, dtype)
            y = getattr(ta, name)(a, b)
            expected = slowly(BINARY[name], a, b)
            assert y.dtype == ("bool" if expected.dtype == bool else dtype) or not expected.size
            close(y, expected, rtol)


def test_functions_exact_near_zero() -> None:
    x = np.array([1e-300, -1e-20, 1e-10])
    assert (ta.expm1(x).array == [1e-300, -1e-20, math.expm1(1e-10)]).all()
    assert (ta.log1p(x).array == [1e-300, -1e-20, math.log1p(1e-10)]).all()


def test_logic_and_choice() -> None:
    a, b = np.array([True, True, False, False]), np.array([True, False, True, False])
    assert ta.logical_and(a, b).array.tolist() == [True, False, False, False]
    assert ta.logical_or(a, b).array.tolist() == [True, True, True, False]
    assert ta.logical_not(a).array.tolist() == [False, False, True, True]
    y = ta.where(np.array([[True], [False]]), np.array([1.0, 2.0]), 9.0)
    assert y.array.tolist() == [[1.0, 2.0], [9.0, 9.0]]


def test_clip() -> None:
    x = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    assert ta.clip(x, -1, 1).array.tolist() == [-1, -1, 0, 1, 1]
    assert ta.clip(x, None, 0.5).array.tolist() == [-2, -1, 0, 0.5, 0.5]
    assert ta.clip(x, 0.5).array.tolist() == [0.5, 0.5, 0.5, 1, 2]
    assert ta.clip(x, 1, 1).array.tolist() == [1] * 5
    inside = leaf(x)
    assert ta.grad(ta.clip(inside, -1, 1).sum(), inside).array.tolist() == [0, 1, 1, 1, 0]  # as torch.clamp
    whole = ta.clip(np.array([0, 5]), 1, 3)
    assert (whole.dtype, whole.array.tolist()) == ("int64", [1, 3])


def test_ties_share_the_gradient() -> None:
    for fn, of_a, of_b in ((ta.maximum, [0, 0.5, 1], [1, 0.5, 0]), (ta.minimum, [1, 0.5, 0], [0, 0.5, 1])):
        a, b = leaf([1.0, 2.0, 3.0]), leaf([2.0, 2.0, 2.0])
        ga, gb = ta.grad(fn(a, b).sum(), [a, b])
        assert (ga.array.tolist(), gb.array.tolist()) == (of_a, of_b)
    for fn in (ta.max, ta.min):
        x = leaf([[1.0, 1.0, 0.0 if fn is ta.max else 2.0], [5.0, 5.0, 5.0]])
        assert ta.grad(fn(x, 1).sum(), x).array[0].tolist() == [0.5, 0.5, 0.0]
        close(ta.grad(fn(x, 1).sum(), x).array[1], [1 / 3] * 3)


def test_powers_at_zero() -> None:
    """0 · 0^(-1) and 0^b · log 0 are limits, not NaN."""
    x = leaf([0.0, 0.0, 0.0])
    assert ta.grad((x**0).sum(), x, retain_graph=True).array.tolist() == [0, 0, 0]
    assert ta.grad((x**1).sum(), x).array.tolist() == [1, 1, 1]
    assert ta.grad((x**2).sum(), x).array.tolist() == [0, 0, 0]
    a, b = leaf([0.0, 0.0, 2.0]), leaf([0.0, 2.0, 3.0])
    ga, gb = ta.grad((a**b).sum(), [a, b])
    assert ga.array.tolist() == [0, 0, 12]
    close(gb, [0, 0, 8 * math.log(2)])
    for base, expected in ((0.0, 0.0), (2.0, 8 * math.log(2))):
        b = leaf(3.0)
        close(ta.grad(base**b, b), expected)
    b = leaf(3.0)
    assert math.isnan(ta.grad((-2.0) ** b, b).item())


# ---- reductions


def axes_of(ndim: int) -> list[Any]:
    return [None, *range(-ndim, ndim)] + ([(0, ndim - 1), (1, 0)] if ndim > 1 else [])


def reduced(fn: Callable[[np.ndarray], float], x: np.ndarray, axis: Any, keepdims: bool) -> np.ndarray:
    """fn of each line of elements that the axes sweep out."""
    axes = range(x.ndim) if axis is None else [a % x.ndim for a in ([axis] if isinstance(axis, int) else axis)]
    kept = [i for i in range(x.ndim) if i not in axes]
    shape = [x.shape[i] for i in kept]
    lines = x.transpose([*kept, *axes]).reshape(math.prod(shape), -1) if x.size else np.zeros((math.prod(shape), 0))
    y = np.array([fn(line) for line in lines]).reshape(shape)
    return y.reshape([x.shape[i] if i in kept else 1 for i in range(x.ndim)]) if keepdims else y


REDUCTIONS: dict[str, Callable[[np.ndarray], float]] = {
    "sum": math.fsum, "max": lambda line: max(line.tolist()), "min": lambda line: min(line.tolist()),
    "mean": lambda line: math.fsum(line) / len(line),
    "var": lambda line: math.fsum((v - math.fsum(line) / len(line)) ** 2 for v in line) / len(line),
    "logsumexp": lambda line: math.log(math.fsum(map(math.exp, line))),
}


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name: str, rng: np.random.Generator) -> None:
    for shape in [(), (5,), (2, 3), (2, 1, 4), (2, 3, 4)]:
        x = rng.normal(size=shape)
        for axis, keepdims in itertools.product(axes_of(len(shape)), (False, True)):
            close(getattr(ta, name)(x, axis, keepdims), reduced(REDUCTIONS[name], x, axis, keepdims))
        y = getattr(ta, name)(x.astype("float32"))
        assert y.dtype == "float32"
        close(y, reduced(REDUCTIONS[name], x, None, False), 1e-5, 1e-5)


def test_a_number_has_an_axis_0_as_in_numpy() -> None:
    for name in REDUCTIONS:
        x = leaf(2.0)
        y = getattr(ta, name)(x, 0)
        assert y.shape == ta.grad(y, x).shape == ()
    assert (ta.mean(2.0, 0).item(), ta.var(2.0).item()) == (2.0, 0.0)


def test_variance_with_correction(rng: np.random.Generator) -> None:
    x = rng.normal(size=(4, 5))
    close(ta.var(x, 1, correction=1), x.var(1, ddof=1))
    close(ta.var(x, (0, 1), True, 2), x.var((0, 1), ddof=2, keepdims=True))
    assert ta.var(np.ones(1), correction=0).item() == 0


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_extreme_places(name: str, rng: np.random.Generator) -> None:
    best = max if name == "argmax" else min
    for shape in [(5,), (3, 4), (2, 1, 4)]:
        x = rng.integers(0, 3, shape).astype(float)  # ties: the first counts
        for axis in [None, *range(-len(shape), len(shape))]:
            expected = reduced(lambda line: line.tolist().index(best(line.tolist())), x, axis, False)
            y = getattr(ta, name)(x, axis)
            assert y.dtype == "int64"
            assert y.array.tolist() == expected.tolist()
        assert getattr(ta, name)(x, 0, keepdims=True).shape == (1, *shape[1:])
        assert not getattr(ta, name)(leaf(x)).requires_grad


def test_softmax_family_against_scipy(rng: np.random.Generator) -> None:
    special = pytest.importorskip("scipy.special")
    x = rng.normal(size=(3, 4, 5)) * 30
    for axis in range(-3, 3):
        close(ta.softmax(x, axis), special.softmax(x, axis))
        close(ta.log_softmax(x, axis), special.log_softmax(x, axis))
        close(ta.logsumexp(x, axis), special.logsumexp(x, axis))
    close(ta.softmax(x), special.softmax(x, -1))


def test_reductions_over_nothing() -> None:
    x = np.zeros((0, 2))
    with np.errstate(all="ignore"):
        assert ta.sum(x, 0).array.tolist() == [0, 0]
        assert ta.logsumexp(x, 0).array.tolist() == [-inf, -inf]
        assert np.isnan(ta.mean(x, 0).array).all()
        assert ta.softmax(x, 0).shape == ta.log_softmax(x, 0).shape == (0, 2)
    assert ta.max(x, 1).shape == (0,)


# ---- at the ends of floating point


def value_and_slopes(fn: Callable[..., Any], x: Any, dtype: str) -> list[list[float]]:
    t = leaf(x, dtype)
    y = fn(t)
    first = ta.grad(y.sum(), t, create_graph=True)
    second = ta.grad(first.sum(), t) if first.requires_grad else first * 0.0
    assert y.dtype == first.dtype == second.dtype == dtype
    assert np.isfinite(second.array).all()
    return [y.array.tolist(), first.array.tolist()]


HUGE: dict[str, tuple[Callable[..., Any], list[float], Any, list[float]]] = {
    "sigmoid": (ta.sigmoid, [-1e4, 0, 1e4], [0, 0.5, 1], [0, 0.25, 0]),
    "softplus": (ta.softplus, [-1e4, 1e4], [0, 1e4], [0, 1]),
    "tanh": (ta.tanh, [-1e4, 0, 1e4], [-1, 0, 1], [0, 1, 0]),
    "elu": (ta.elu, [-1e4, 1e4], [-1, 1e4], [0, 1]),
    "gelu": (ta.gelu, [-1e4, 0, 1e4], [0, 0, 1e4], [0, 0.5, 1]),
    "silu": (ta.silu, [-1e4, 0, 1e4], [0, 0, 1e4], [0, 0.5, 1]),
    "softmax": (lambda x: ta.softmax(x)[0], [1e4, 0, -1e4], 1.0, [0, 0, 0]),
    "log_softmax": (lambda x: ta.log_softmax(x)[1:], [1e4, 0, -1e4], [-1e4, -2e4], [-2, 1, 1]),
    "logsumexp": (ta.logsumexp, [1e4, 1e4 - 64, -1e4], 1e4, [1, 0, 0]),
    "bce, t = 1": (lambda x: ta.bce_with_logits(x, np.ones_like(x.array), "none"), [-1e4, 1e4], [1e4, 0], [-1, 0]),
    "bce, t = 0": (lambda x: ta.bce_with_logits(x, np.zeros_like(x.array), "none"), [-1e4, 1e4], [0, 1e4], [0, 1]),
    "bce, t = 1/2": (lambda x: ta.bce_with_logits(x, np.full_like(x.array, 0.5), "none"), [-1e4, 1e4], [5e3, 5e3],
                     [-0.5, 0.5]),
    "cross entropy": (lambda x: ta.cross_entropy(x, np.array(1)), [1e4, -1e4], 2e4, [1, -1]),
    "cross entropy, right": (lambda x: ta.cross_entropy(x, np.array(0)), [1e4, -1e4], 0, [0, 0]),
    "cross entropy, soft": (lambda x: ta.cross_entropy(x, np.full_like(x.array, 0.5)), [1e4, -1e4], 1e4,
                            [0.5, -0.5]),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", HUGE)
def test_logits_of_ten_thousand(name: str, dtype: str) -> None:
    fn, x, value, slope = HUGE[name]
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        found, slopes = value_and_slopes(fn, x, dtype)
    np.testing.assert_allclose(found, value, atol=1e-27, rtol=1e-7)
    np.testing.assert_allclose(slopes, slope, atol=1e-27, rtol=1e-7)


def test_small_differences_of_large_numbers_survive() -> None:
    """Where the plain formula cancels: float32, relative error to a float64 of the textbook formula."""
    x = np.array([15.0, 30.0, 80.0], "float32")
    close(ta.sigmoid(-x), 1 / (1 + np.exp(x.astype(float))), 1e-6, 0)
    close(ta.softplus(-x), np.log1p(np.exp(-x.astype(float))), 1e-6, 0)
    close(ta.bce_with_logits(x, np.ones_like(x), "none"), np.log1p(np.exp(-x.astype(float))), 1e-6, 0)
    shifted = np.array([[1e4, 1e4 + 1, 1e4 + 2]], "float32")
    close(ta.log_softmax(shifted), np.array([[-2.4076059644, -1.4076059644, -0.4076059644]]), 1e-6, 0)
    x = np.array([1e4, 1e4 + 1, 1e4 + 2], "float32")
    close(ta.var(x), 2 / 3, 1e-6, 0)
    close(ta.layer_norm(x, np.ones(3, "f"), np.zeros(3, "f"), eps=0.0), [-(1.5**0.5), 0, 1.5**0.5], 1e-6, 0)


# NaN and infinity: value and gradient. `differs` says where PyTorch's gradient is another one, and which.
NOT_FINITE: dict[str, tuple[str, Any, Any, Any, Any]] = {
    "relu": ("relu", [nan, -inf, inf], [nan, 0, inf], [0, 0, 1], [1, 0, 1]),
    "leaky relu": ("nn.functional.leaky_relu", [nan, -inf, inf], [nan, -inf, inf], [0.01, 0.01, 1], None),
    "abs": ("abs", [nan, -inf, inf], [nan, inf, inf], [nan, -1, 1], [0, -1, 1]),
    "elu": ("nn.functional.elu", [nan, -inf, inf], [nan, -1, inf], [nan, 0, 1], [1, 0, 1]),
    "sigmoid": ("sigmoid", [nan, -inf, inf], [nan, 0, 1], [nan, 0, 0], None),
    "tanh": ("tanh", [nan, -inf, inf], [nan, -1, 1], [nan, 0, 0], None),
    "softplus": ("nn.functional.softplus", [nan, -inf, inf], [nan, 0, inf], [nan, 0, 1], None),
    "exp": ("exp", [nan, -inf, inf], [nan, 0, inf], [nan, 0, inf], None),
    "sqrt": ("sqrt", [nan, -1.0, 0.0], [nan, nan, 0], [nan, nan, inf], None),
    "log": ("log", [nan, -1.0, 0.0], [nan, nan, -inf], [nan, -1, inf], None),
    "sum": ("sum", [nan, 1.0], nan, [1, 1], None),
    "mean": ("mean", [inf, 1.0], inf, [0.5, 0.5], None),
    "max": ("max", [1.0, nan, 2.0], nan, [nan, nan, nan], [0, 1, 0]),  # as torch.amax; torch.max blames the NaN
    "min": ("min", [1.0, nan, 2.0], nan, [nan, nan, nan], [0, 1, 0]),
    "max of infinities": ("max", [inf, -inf, inf], inf, [0.5, 0, 0.5], None),
}


@pytest.mark.parametrize("name", NOT_FINITE)
def test_nan_and_infinity(name: str) -> None:
    torch = pytest.importorskip("torch")
    path, x, value, slope, differs = NOT_FINITE[name]
    with np.errstate(all="ignore"):
        t = leaf(x)
        y = getattr(ta, path.rpartition(".")[2])(t)
        g = ta.grad(y.sum(), t)
    np.testing.assert_array_equal(y.array, value)
    np.testing.assert_array_equal(g.array, slope)
    theirs: Any = torch
    for part in path.split("."):
        theirs = getattr(theirs, part)
    other = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    result = theirs(other)
    result.sum().backward()
    np.testing.assert_array_equal(result.detach().numpy(), value)
    np.testing.assert_array_equal(other.grad.numpy(), slope if differs is None else differs)


def test_nan_in_comparisons_and_extremes() -> None:
    torch = pytest.importorskip("torch")
    a, b = [nan, 1.0, nan, inf, -inf], [1.0, nan, nan, 2.0, 2.0]
    with np.errstate(all="ignore"):
        for name in ("maximum", "minimum", "equal", "not_equal", "less", "less_equal", "greater", "greater_equal"):
            theirs = getattr(torch, {"not_equal": "ne", "equal": "eq"}.get(name, name))
            expected = theirs(torch.tensor(a), torch.tensor(b)).numpy()
            np.testing.assert_array_equal(getattr(ta, name)(a, b).array, expected)
        for name in ("maximum", "minimum"):
            ours, other = [leaf(a), leaf(b)], [torch.tensor(v, requires_grad=True) for v in (a, b)]
            getattr(torch, name)(*other).sum().backward()
            gradients = ta.grad(getattr(ta, name)(*ours).sum(), ours)
            for mine, other_one in zip(gradients, other, strict=True):
                np.testing.assert_array_equal(mine.array, other_one.grad.numpy())
    assert ta.clip(np.array([nan, inf, -inf]), -1, 1).array.tolist()[1:] == [1, -1]
    assert math.isnan(ta.clip(np.array([nan]), -1, 1).item())
    assert ta.argmax(np.array([1.0, nan, 3.0])).item() == ta.argmin(np.array([1.0, nan, 3.0])).item() == 1
    y = ta.where(np.array([True, False]), np.array([1.0, nan]), np.array([nan, 2.0]))
    assert y.array.tolist() == [1, 2]


def test_masked_logits() -> None:
    """-inf is how attention masks: it takes no share and gets no gradient."""
    x = leaf([[-inf, 1.0, 2.0]])
    p = ta.softmax(x)
    close(p, [[0, 1 / (1 + math.e), math.e / (1 + math.e)]])
    (g,) = ta.grad((p * np.array([[5.0, 1.0, 2.0]])).sum(), [x])
    assert g.array[0, 0] == 0
    assert np.isfinite(g.array).all()
    close(ta.grad(ta.logsumexp(x), x), p.array)
    loss = ta.cross_entropy(x, np.array([2]))
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-1)))
    assert ta.grad(loss, x).array[0, 0] == 0
    with np.errstate(all="ignore"):
        assert ta.logsumexp(np.array([-inf, -inf])).item() == -inf
        assert ta.logsumexp(np.array([inf, 1.0])).item() == inf
        assert np.isnan(ta.softmax(np.array([-inf, -inf])).array).all()  # as PyTorch: there is no such distribution


# ---- shapes


def test_shape_operations_are_numpys(rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 3, 4))
    pairs = [
        (ta.reshape(x, (4, -1)), x.reshape(4, -1)), (ta.reshape(x, 24), x.reshape(24)),
        (ta.flatten(x), x.ravel()), (ta.flatten(x, 1), x.reshape(2, 12)), (ta.flatten(x, 2), x),
        (ta.transpose(x), x.T), (ta.transpose(x, (1, -1, 0)), x.transpose(1, 2, 0)),
        (ta.swapaxes(x, 0, -1), x.swapaxes(0, -1)),
        (ta.broadcast_to(x[:1], (2, 3, 4)), np.broadcast_to(x[:1], (2, 3, 4))),
        (ta.broadcast_to(ta.tensor([1, 2]), (3, 2)), np.array([[1, 2]] * 3)),
        (ta.expand_dims(x, 0), x[None]), (ta.expand_dims(x, -1), x[..., None]), (ta.expand_dims(x, 3), x[..., None]),
        (ta.expand_dims(x, -2), x[:, :, None]),
        (ta.squeeze(x[:, :1], 1), x[:, 0]), (ta.squeeze(x[..., :1], -1), x[..., 0]),
        (ta.concatenate([x, x[:, :1]], 1), np.concatenate([x, x[:, :1]], 1)), (ta.concatenate([x]), x),
        (ta.stack([x, x + 1], -1), np.stack([x, x + 1], -1)), (ta.stack([x, x + 1]), np.stack([x, x + 1])),
        (ta.flip(x, 1), x[:, ::-1]), (ta.flip(x, (0, -1)), x[::-1, :, ::-1]),
        (ta.pad(x, [(1, 0), (0, 2), (0, 0)], 7.0), np.pad(x, [(1, 0), (0, 2), (0, 0)], constant_values=7)),
        (ta.pad(x[0, 0], [(1, 1)]), np.pad(x[0, 0], 1)), (ta.pad(np.array(3.0), []), np.array(3.0)),
    ]
    for actual, expected in pairs:
        np.testing.assert_array_equal(actual.array, expected)
        assert actual.shape == np.shape(expected)


def test_split(rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 6))
    for sizes, ends in ((3, [2, 4]), ([1, 0, 5], [1, 1]), (1, []), ((6,), [])):
        for mine, theirs in zip(ta.split(x, sizes, 1), np.split(x, ends, 1), strict=True):
            np.testing.assert_array_equal(mine.array, theirs)
    assert [p.shape for p in ta.split(x, 2)] == [(1, 6), (1, 6)]


KEYS: list[Any] = [
    0, -1, slice(1, None), slice(None, None, -2), (slice(None), 1), (..., None, 0), (None, 2, slice(0, 0)), ..., None,
    (), [0, 2, 2], np.array([0, 2, -1]), (slice(None), np.array([[1, 1], [0, 3]])),
    (np.array([0, 0]), np.array([3, 3])),
    (1, slice(None, None, -1), 0), (np.array([[0], [1]]), np.array([1, 2])), [True, False, True],
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_indexing_is_numpys(key: Any, rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, 4, 2))
    np.testing.assert_array_equal(ta.tensor(x)[key].array, x[key])
    x_leaf, v = leaf(x), rng.normal(size=x[key].shape)
    expected = np.zeros_like(x)
    np.add.at(expected, key, v)
    np.testing.assert_allclose(ta.grad(x_leaf[key], x_leaf, cotangent=v).array, expected)


def test_indexing_with_tensors(rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, 4))
    i, mask = ta.tensor([2, 0]), ta.tensor(x) > 0
    np.testing.assert_array_equal(ta.tensor(x)[i].array, x[[2, 0]])
    np.testing.assert_array_equal(ta.tensor(x)[mask].array, x[x > 0])
    np.testing.assert_array_equal(ta.tensor(x)[i, 1].array, x[[2, 0], 1])


def test_take_gather_embedding(rng: np.random.Generator) -> None:
    x, i = rng.normal(size=(3, 4, 2)), rng.integers(0, 2, (2, 5))
    for axis in range(-3, 3):
        np.testing.assert_array_equal(ta.take(x, i, axis).array, np.take(x, i, axis))
        j = rng.integers(0, 2, np.insert(np.delete(x.shape, axis), axis % 3, 5))
        np.testing.assert_array_equal(ta.gather(x, j, axis).array, np.take_along_axis(x, j, axis))
    weight, words = leaf(rng.normal(size=(7, 3))), [[0, 6], [6, 6]]
    y = ta.embedding(ta.tensor(words), weight)
    np.testing.assert_array_equal(y.array, weight.array[words])
    assert ta.grad(y.sum(), weight).array[:, 0].tolist() == [1, 0, 0, 0, 0, 0, 3]
    assert ta.take(x, [0, 1]).shape == (2, 4, 2)  # a list of indices
    assert ta.take(x, np.zeros((0,), int), 1).shape == (3, 0, 2)


def test_matmul_is_numpys(rng: np.random.Generator) -> None:
    for a_shape, b_shape in [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)),
                             ((2, 3), (5, 3, 4)), ((5, 1, 2, 3), (6, 3, 4)), ((3,), (5, 3, 4)), ((5, 2, 3), (3,)),
                             ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((4, 0, 3), (3, 2)), ((1, 1), (1, 1))]:
        a, b = rng.normal(size=a_shape), rng.normal(size=b_shape)
        product = np.einsum("...ij,...jk->...ik", np.atleast_2d(a), b if b.ndim > 1 else b[:, None])
        close(ta.matmul(a, b), product.reshape(np.matmul(a, b).shape))


# ---- convolution: how settings are read; the kernels meet loops in tests/kernels


def tensorflow_same(n: int, k: int, s: int, d: int) -> tuple[int, int]:
    """tensorflow.org, tf.nn, "Notes on padding": the effective kernel is (k - 1)·d + 1."""
    k = (k - 1) * d + 1
    total = max(k - s, 0) if n % s == 0 else max(k - (n % s), 0)
    return total // 2, total - total // 2


def geometries(rng: np.random.Generator, count: int) -> list[dict[str, Any]]:
    return [{"stride": tuple(rng.integers(1, 4, 2).tolist()), "dilation": tuple(rng.integers(1, 3, 2).tolist()),
             "groups": int(rng.integers(1, 3))} for _ in range(count)]


def test_same_padding_is_tensorflows_rule(rng: np.random.Generator) -> None:
    for how in geometries(rng, 25):
        (n, m), (kh, kw) = rng.integers(1, 9, 2).tolist(), rng.integers(1, 5, 2).tolist()
        x, w = rng.normal(size=(2, n, m, 2)), rng.normal(size=(kh, kw, 2 // how["groups"], 2))
        around = [tensorflow_same(*a) for a in zip((n, m), (kh, kw), how["stride"], how["dilation"], strict=True)]
        y = ta.conv2d(x, w, padding="same", **how)
        assert y.shape == (2, -(-n // how["stride"][0]), -(-m // how["stride"][1]), 2)
        close(y, ta.conv2d(np.pad(x, [(0, 0), *around, (0, 0)]), w, **how).array)


def test_transposed_convolution_is_the_transpose(rng: np.random.Generator) -> None:
    """⟨conv2d(x, w), g⟩ = ⟨x, conv_transpose2d(g, w)⟩ for the same settings, "same" among them."""
    for how in geometries(rng, 25):
        groups, (sh, sv), (kh, kw) = how["groups"], how["stride"], rng.integers(1, 5, 2).tolist()
        g = rng.normal(size=(2, *rng.integers(1, 4, 2).tolist(), 4))
        w = rng.normal(size=(kh, kw, 6 // groups, 4))
        y = ta.conv_transpose2d(g, w, padding="same", **how)
        assert y.shape == (2, g.shape[1] * sh, g.shape[2] * sv, 6)  # stride · input
        x = rng.normal(size=y.shape)
        z = ta.conv2d(x, w, padding="same", **how)
        assert (z.array * g).sum() == pytest.approx((x * y.array).sum(), abs=1e-10)


def test_same_padding_of_pools_is_tensorflows_rule(rng: np.random.Generator) -> None:
    for _ in range(25):
        (n, m), size = rng.integers(3, 9, 2).tolist(), tuple(rng.integers(1, 4, 2).tolist())
        stride = tuple(int(rng.integers(1, k + 1)) for k in size)  # a larger one leaves windows of padding alone
        x = rng.normal(size=(2, n, m, 2))
        around = [tensorflow_same(*a, 1) for a in zip((n, m), size, stride, strict=True)]
        if all(2 * max(pair) <= k for pair, k in zip(around, size, strict=True)):
            for pool in (ta.max_pool2d, ta.avg_pool2d):
                y = pool(x, size, stride=stride, padding="same")
                assert y.shape == (2, -(-n // stride[0]), -(-m // stride[1]), 2)
                close(y, pool(x, size, stride=stride, padding=around).array)


def test_ways_to_say_padding(rng: np.random.Generator) -> None:
    x, w = rng.normal(size=(1, 5, 6, 1)), rng.normal(size=(3, 2, 1, 1))
    for one, other in ((1, ((1, 1), (1, 1))), ((1, 2), ((1, 1), (2, 2))), ("valid", 0), ([1, [0, 2]], ((1, 1), (0, 2))),
                       (0, ((0, 0), (0, 0)))):
        close(ta.conv2d(x, w, padding=one), ta.conv2d(x, w, padding=other).array)


def test_conv1d_causal(rng: np.random.Generator) -> None:
    """Padded before only, what comes later changes nothing before."""
    x, w = rng.normal(size=(2, 9, 4)), rng.normal(size=(3, 2, 6))
    y = ta.conv1d(x, w, padding=(2, 0), groups=2)
    x[:, 5:] = 0
    close(ta.conv1d(x, w, padding=(2, 0), groups=2).array[:, :5], y.array[:, :5])
    assert ta.conv1d(x, w, padding="same", stride=2, groups=2).shape == (2, 5, 6)


# ---- PyTorch: value, gradients and second derivatives


def nchw(t: Any) -> Any:
    return t.permute(0, 3, 1, 2)


def nhwc(t: Any) -> Any:
    return t.permute(0, 2, 3, 1)


def kl(m: Any, v: Any, n: Any, w: Any) -> Any:
    """PyTorch's divergence of normal distributions, given log variances."""
    d = pytest.importorskip("torch").distributions
    return d.kl_divergence(d.Normal(m, (v / 2).exp()), d.Normal(n, (w / 2).exp())).sum(-1)


def channels_second(fn: Callable[[Any], Any], x: Any) -> Any:
    return fn(x.movedim(-1, 1)).movedim(1, -1)


# Name -> ours, PyTorch's (given torch.nn.functional), the shapes of the arguments; below, tables of tables by setting.
CLASSES, SOFT = np.array([3, 0, 0, 2]), np.random.default_rng(1).dirichlet(np.ones(4), 4)
TWINS: dict[str, tuple[Callable[..., Any], Callable[..., Any], list[tuple[int, ...]]]] = {
    "conv2d": (
        lambda x, w, b: ta.conv2d(x, w, b, stride=(2, 1), padding=((1, 0), (2, 1)), dilation=(1, 2), groups=2),
        lambda F, x, w, b: nhwc(F.conv2d(F.pad(nchw(x), (2, 1, 1, 0)), w.permute(3, 2, 0, 1), b, (2, 1), 0, (1, 2), 2)),
        [(2, 7, 6, 4), (3, 2, 2, 6), (6,)]),
    "conv_transpose2d": (
        lambda x, w, b: ta.conv_transpose2d(
            x, w, b, stride=(2, 3), padding=(1, 0), output_padding=(1, 2), dilation=(2, 1), groups=2),
        lambda F, x, w, b: nhwc(F.conv_transpose2d(
            nchw(x), w.permute(3, 2, 0, 1), b, (2, 3), (1, 0), (1, 2), 2, (2, 1))),
        [(2, 4, 3, 4), (3, 3, 3, 4), (6,)]),
    "max_pool2d": (  # values far below 0, which padding is not
        lambda x: ta.max_pool2d(x - 9, (3, 2), stride=(2, 1), padding=((1, 1), (1, 0))),
        lambda F, x: nhwc(F.max_pool2d(F.pad(nchw(x - 9), (1, 0, 1, 1), value=-inf), (3, 2), (2, 1))), [(2, 7, 8, 3)]),
    **{f"resize, {method}, {size}": (
        lambda x, size=size, method=method: ta.resize(x, size, method),
        lambda F, x, size=size, how=how: nhwc(F.interpolate(nchw(x), size, **how)), [(2, 5, 6, 3)])
       for method, how in (("nearest", {"mode": "nearest-exact"}), ("bilinear", {"mode": "bilinear"}))
       for size in ((10, 12), (1, 1), (7, 4), (2, 9))},
    **{f"batch_norm {shape}": (
        lambda x, a, b: ta.batch_norm(x, a, b, eps=1e-3)[0],
        lambda F, x, a, b: channels_second(lambda t: F.batch_norm(t, None, None, a, b, training=True, eps=1e-3), x),
        [shape, shape[-1:], shape[-1:]]) for shape in ((4, 2, 6, 3), (2, 3, 1))},
    **{f"layer_norm {shape}": (
        ta.layer_norm, lambda F, x, a, b: F.layer_norm(x, x.shape[-1:], a, b), [shape, shape[-1:], shape[-1:]])
       for shape in ((5,), (2, 3, 6), (0, 4))},
    **{f"{ours.__name__}, {how}": (
        lambda x, t, ours=ours, how=how: ours(x, t, how),
        lambda F, x, t, name=name, how=how: getattr(F, name)(x, t, reduction=how), [(4, 3), (4, 3)])
       for ours, name in ((ta.mse_loss, "mse_loss"), (ta.l1_loss, "l1_loss"),
                          (ta.bce_with_logits, "binary_cross_entropy_with_logits")) for how in ("mean", "sum", "none")},
    **{f"cross_entropy, {target.dtype}, {how}": (
        lambda x, t=target, how=how: ta.cross_entropy(x * 3, t, how),
        lambda F, x, t=target, how=how: F.cross_entropy(x * 3, x.new_tensor(t).to(int if t.ndim == 1 else x.dtype),
                                                        reduction=how), [(4, 4)])
       for target in (CLASSES, SOFT) for how in ("mean", "sum", "none")},
    "kl_normal": (ta.kl_normal, lambda F, *xs: kl(*xs), [(5, 3)] * 4),
    "kl_to_standard_normal": (
        ta.kl_to_standard_normal, lambda F, m, v: kl(m, v, m * 0, v * 0), [(5, 3)] * 2),
}


@pytest.mark.parametrize("name", TWINS)
def test_pytorch_agrees_at_order_2(name: str, rng: np.random.Generator) -> None:
    """The gradients of Σ v tanh(y) too, and those of a random combination of them."""
    torch = pytest.importorskip("torch")
    ours, theirs, shapes = TWINS[name]
    xs = [rng.normal(size=shape) for shape in shapes]
    mine, other = [leaf(x) for x in xs], [torch.tensor(x, requires_grad=True) for x in xs]
    y, z = ours(*mine), theirs(torch.nn.functional, *other)
    close(y, z, 1e-10, 1e-10)
    v, us, results = rng.normal(size=y.shape), [rng.normal(size=shape) for shape in shapes], []
    for value, inputs, grad, number in ((ta.tanh(y) * v, mine, ta.grad, ta.tensor),
                                        (z.tanh() * torch.tensor(v), other, torch.autograd.grad, torch.tensor)):
        first = grad(value.sum(), inputs, create_graph=True)
        combined = sum((g * number(u)).sum() for g, u in zip(first, us, strict=True))
        results.append([*first, *grad(combined, inputs)])
    for a, b in zip(*results, strict=True):
        close(a, b, 1e-9, 1e-9)


DEFAULTS: dict[str, dict[str, Any]] = {
    "leaky_relu": {"slope": 0.01}, "elu": {"alpha": 1.0}, "dense": {"activation": "none", "slope": 0.01},
    "conv2d": {"bias": None, "stride": 1, "padding": 0, "dilation": 1, "groups": 1},
    "conv1d": {"bias": None, "stride": 1, "padding": 0, "dilation": 1, "groups": 1},
    "conv_transpose2d": {"bias": None, "stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "groups": 1},
    "max_pool2d": {"stride": None, "padding": 0},
    "avg_pool2d": {"stride": None, "padding": 0, "count_include_pad": True},
    "resize": {"method": "nearest"}, "batch_norm": {"eps": 1e-5}, "layer_norm": {"eps": 1e-5},
    "take": {"axis": 0}, "concatenate": {"axis": 0}, "stack": {"axis": 0}, "split": {"axis": 0},
    "flatten": {"start": 0}, "pad": {"value": 0.0}, "transpose": {"axes": None}, "clip": {"low": None, "high": None},
    "rnn": {"b": None, "h0": None, "activation": "tanh", "lengths": None, "reverse": False},
    "lstm": {"b": None, "h0": None, "c0": None, "lengths": None, "reverse": False},
    "gru": {"b": None, "h0": None, "lengths": None, "reverse": False},
    "softmax": {"axis": -1}, "log_softmax": {"axis": -1},
    "var": {"axis": None, "keepdims": False, "correction": 0},
    **{name: {"axis": None, "keepdims": False}
       for name in ("sum", "mean", "max", "min", "argmax", "argmin", "logsumexp")},
    **{name: {"reduction": "mean"} for name in ("mse_loss", "l1_loss", "bce_with_logits", "cross_entropy")},
}


def test_default_settings() -> None:
    """Written down a second time: a model whose code is silent about a setting depends on it."""
    found = {}
    for name, op in vars(ta.ops).items():
        if inspect.isfunction(op) and not name.startswith("_"):
            parameters = inspect.signature(op).parameters
            settings = {key: p.default for key, p in parameters.items() if p.default is not p.empty}
            found |= {name: settings} if settings else {}
    assert found == DEFAULTS


def test_defaults_and_other_ways_to_say_it(rng: np.random.Generator) -> None:
    x, t, c = rng.normal(size=(4, 3)), rng.uniform(size=(4, 3)), np.array([0, 2, 1, 1])
    ones, zeros = np.ones(3), np.zeros(3)
    image = rng.normal(size=(1, 5, 6, 3))
    for one, other in [(fn(x, t), fn(x, t, "mean")) for fn in (ta.mse_loss, ta.l1_loss, ta.bce_with_logits)] + [
            (ta.cross_entropy(x, c), ta.cross_entropy(x, np.eye(3)[c])),
            (ta.cross_entropy(x, c.tolist()), ta.cross_entropy(x, c.astype("uint8"), "mean")),
            (ta.cross_entropy(x.reshape(2, 2, 3), c.reshape(2, 2)), ta.cross_entropy(x, c)),  # classes of any shape
            (ta.batch_norm(x * 1e-3, ones, zeros)[0], ta.batch_norm(x * 1e-3, ones, zeros, eps=1e-5)[0]),
            (ta.layer_norm(x * 1e-3, ones, zeros), ta.layer_norm(x * 1e-3, ones, zeros, eps=1e-5)),
            (ta.resize(leaf(image), 3), ta.resize(leaf(image), (3, 3), "nearest"))]:
        close(one, other.array)
    _, mean, var = ta.batch_norm(leaf(image), ones, zeros)
    close(mean, image.mean((0, 1, 2)))
    close(var, image.var((0, 1, 2)))  # biased
    assert not mean.requires_grad
    assert not var.requires_grad


# ---- batches of none and of one, and arrays that lie in memory in every way


def layers(dtype: str = "float64") -> dict[str, Callable[[Any], Any]]:
    """Operations on images (N, 4, 4, 2)."""
    w, c = np.linspace(-1, 1, 72).reshape(3, 3, 2, 4).astype(dtype), np.array([1.0, 2.0], dtype)
    return {
        "conv2d": lambda x: ta.conv2d(x, w, padding="same", stride=2),
        "conv_transpose2d": lambda x: ta.conv_transpose2d(x, w.swapaxes(2, 3), padding="same", stride=2),
        "max_pool2d": lambda x: ta.max_pool2d(x, 2),
        "avg_pool2d": lambda x: ta.avg_pool2d(x, 3, padding=1, count_include_pad=False),
        "resize": lambda x: ta.resize(x, (8, 3), "bilinear"), "batch_norm": lambda x: ta.batch_norm(x, c, c)[0],
        "layer_norm": lambda x: ta.layer_norm(x, c, c), "dense": lambda x: ta.flatten(x, 1) @ w.reshape(32 + 40)[:32],
        "softmax": ta.softmax, "cross_entropy": lambda x: ta.cross_entropy(x, np.ones(x.shape[:3], int), "none"),
        "concatenate": lambda x: ta.concatenate([x, x], 1), "take": lambda x: ta.take(x, np.array([3, 0, 3]), 1),
        "kl": lambda x: ta.kl_to_standard_normal(x, x), "pad": lambda x: ta.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)]),
        "split": lambda x: ta.split(x, 2, 1)[1], "gelu": ta.gelu, "mul": lambda x: x * c, "sum": lambda x: x.sum(-1),
    }


@pytest.mark.parametrize("name", layers())
def test_a_batch_of_none_and_of_one_are_parts_of_a_batch(name: str, rng: np.random.Generator) -> None:
    whole = rng.normal(size=(2, 4, 4, 2))
    full = layers()[name](leaf(whole))
    for n in (0, 1):
        x = leaf(whole[:n])
        y = layers()[name](x)
        g = ta.grad(y.sum(), x)
        assert (y.shape, g.shape) == ((n, *full.shape[1:]), x.shape)
        assert np.isfinite(y.array).all()
        assert np.isfinite(g.array).all()
        if name != "batch_norm":  # whose images know of each other
            close(y, full.array[:n])


def layouts(x: np.ndarray) -> list[np.ndarray]:
    """x with gaps, with negative strides, and with its last axis first in memory."""
    gaps = np.full([2 * n for n in x.shape], nan, x.dtype)[tuple(slice(None, None, 2) for _ in x.shape)]
    gaps[...] = x
    return [gaps, np.flip(np.flip(x).copy()), np.moveaxis(np.moveaxis(x, -1, 0).copy(), 0, -1)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", layers())
def test_where_an_array_lies_in_memory_changes_nothing(name: str, dtype: str, rng: np.random.Generator) -> None:
    """Nor where its cotangent does; stride 0 (one image or one number, seen as many) among them."""
    op, tolerance = layers(dtype)[name], 1e-5 if dtype == "float32" else 1e-13
    for source in (rng.normal(size=(3, 4, 4, 2)), np.broadcast_to(rng.normal(size=(4, 4, 2)), (3, 4, 4, 2))):
        source = source.astype(dtype, order="K")
        x = leaf(source.copy(), dtype)
        y = op(x)
        for v in (rng.normal(size=y.shape).astype(dtype), np.broadcast_to(np.asarray(0.7, dtype), y.shape)):
            expected = ta.grad(y, x, cotangent=v.copy(), retain_graph=True)
            for array, cotangent in itertools.product([source, *layouts(source)], [v, *layouts(v)]):
                other = ta.Tensor(array)
                ta.graph.leaf(other)
                result = op(other)
                g = ta.grad(result, other, cotangent=cotangent)
                assert result.dtype == g.dtype == dtype
                close(result, y.array, tolerance, tolerance)
                close(g, expected.array, tolerance, tolerance)


# ---- dtypes


def test_numpy_scalars_as_settings_do_not_promote() -> None:
    x, c, half = np.ones((2, 3), "float32"), np.ones(3, "float32"), np.float64(0.5)
    for y in (ta.leaky_relu(x, half), ta.elu(-x, half), ta.clip(x, half), ta.clip(x, None, half), ta.tensor(x) * half,
              ta.layer_norm(x, c, c, eps=half), ta.batch_norm(x, c, c, eps=half)[0], ta.pad(x, [(1, 1), (0, 0)], half),
              ta.tensor(x) ** half, half ** ta.tensor(x)):
        assert y.dtype == "float32"


def test_casting_to_integers_cuts_the_gradient() -> None:
    x = leaf([1.7, -1.7])
    for dtype in ("int64", "int32", "uint8", "bool"):
        assert not ta.astype(ta.abs(x), dtype).requires_grad
    assert ta.astype(x, "int64").array.tolist() == [1, -1]
    assert ta.grad((ta.astype(x, "int64").astype("float64") * x).sum(), x).array.tolist() == [1, -1]
    assert ta.grad(ta.astype(x, "float32").sum(), x).dtype == "float64"


def test_integers_stay_integers() -> None:
    i = ta.tensor([[3, 1], [2, 5]], "int32")
    for y in (i + 1, i - i, i * 2, -i, ta.abs(i), ta.maximum(i, 2), ta.where(i > 1, i, 0), ta.max(i, 0), i.reshape(4),
              i.T, i[0], ta.take(i, [0]), ta.concatenate([i, i]), ta.pad(i, [(1, 0), (0, 0)]), ta.flip(i, 0),
              ta.clip(i, 1, 3)):
        assert y.dtype == "int32"
    for dtype in ("int32", "uint8", "bool"):
        total = ta.sum(ta.tensor([200, 100, 0]).astype(dtype))
        assert (total.dtype, total.item()) == ("int64", 2 if dtype == "bool" else 300)
