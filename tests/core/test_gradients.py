"""Every operation, orders 1 and 2, and the adjoint identity, on random shapes and memory layouts, in float64."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

import tinyart as ta
from tinyart import testing
from tinyart.testing import Kink, arrays, broadcastable, check_adjoint, check_grad, shapes

Case = tuple[Callable[..., Any], list[np.ndarray]]
CASES: dict[str, Any] = {}


def case(name: str) -> Any:
    """Register a composite strategy that draws (function, arrays)."""

    def register(draw_case: Any) -> Any:
        CASES[name] = st.composite(draw_case)()
        return draw_case

    return register


def unary(name: str, low: float = -2.0, high: float = 2.0, **settings: Any) -> None:
    op = getattr(ta, name)

    @case(name if not settings else f"{name} {settings}")
    def draw_case(draw: Any) -> Case:
        return lambda x: op(x, **settings), [draw(arrays(shapes(), low, high))]


def binary(name: str, low: float = -2.0, high: float = 2.0) -> None:
    @case(name)
    def draw_case(draw: Any) -> Case:
        a, b = draw(broadcastable(2))
        return getattr(ta, name), [draw(arrays(a, low, high)), draw(arrays(b, low, high))]


for name in ("neg", "abs", "exp", "expm1", "sin", "cos", "arctan", "sinh", "cosh", "tanh", "arcsinh", "erf", "relu",
             "sigmoid", "softplus", "leaky_relu", "elu", "gelu", "silu"):
    unary(name)
unary("log", 0.3, 3.0)
unary("log1p", -0.5, 2.0)
unary("sqrt", 0.3, 3.0)
unary("tan", -1.0, 1.0)
unary("arcsin", -0.8, 0.8)
unary("arccos", -0.8, 0.8)
unary("arctanh", -0.8, 0.8)
unary("arccosh", 1.3, 3.0)
unary("leaky_relu", slope=0.2)
unary("elu", alpha=0.5)
for name in ("add", "sub", "mul", "maximum", "minimum"):
    binary(name)
binary("div", 0.5, 2.0)
binary("power", 0.3, 2.0)


@case("power of a number")
def _power(draw: Any) -> Case:
    exponent = draw(st.sampled_from([0, 1, 2, 3, -1, 0.5, 2.5]))
    return lambda x: x**exponent, [draw(arrays(shapes(), 0.3, 2.0))]


@case("number to a power")
def _rpower(draw: Any) -> Case:
    return lambda x: 2.0**x, [draw(arrays(shapes()))]


@case("clip")
def _clip(draw: Any) -> Case:
    low, high = draw(st.sampled_from([(-1.0, 1.0), (None, 0.5), (-0.5, None)]))
    return lambda x: ta.clip(x, low, high), [draw(arrays(shapes()))]


@case("where")
def _where(draw: Any) -> Case:
    c, a, b = draw(broadcastable(3))
    return ta.where, [draw(arrays(c)) > 0, draw(arrays(a)), draw(arrays(b))]


@case("astype")
def _astype(draw: Any) -> Case:
    return lambda x: ta.astype(x * 2.0, x.dtype), [draw(arrays(shapes()))]


def _axis(draw: Any, ndim: int) -> Any:
    choices = [None, *range(-ndim, ndim)] + ([(0, ndim - 1)] if ndim > 1 else [])
    return draw(st.sampled_from(choices))


def reduction(name: str, zero: bool) -> None:
    @case(name)
    def draw_case(draw: Any) -> Case:
        x = draw(arrays(shapes(zero=zero)))
        axis, keepdims = _axis(draw, x.ndim), draw(st.booleans())
        return lambda t: getattr(ta, name)(t, axis, keepdims), [x]


for name in ("mean", "var", "max", "min", "logsumexp"):
    reduction(name, zero=False)
reduction("sum", zero=True)


def along_axis(name: str) -> None:
    @case(name)
    def draw_case(draw: Any) -> Case:
        x = draw(arrays(shapes(min_dims=1, zero=False)))
        axis = draw(st.integers(-x.ndim, x.ndim - 1))
        return lambda t: getattr(ta, name)(t, axis), [x]


along_axis("softmax")
along_axis("log_softmax")


@case("reshape")
def _reshape(draw: Any) -> Case:
    x = draw(arrays(shapes()))
    return lambda t: ta.reshape(t, (1, x.size)), [x]


@case("transpose")
def _transpose(draw: Any) -> Case:
    x = draw(arrays(shapes(max_dims=4)))
    axes = draw(st.permutations(range(x.ndim)))
    return lambda t: ta.transpose(t, axes), [x]


@case("broadcast_to")
def _broadcast_to(draw: Any) -> Case:
    a, b = draw(broadcastable(2))
    full = np.broadcast_shapes(a, b)
    return lambda t: ta.broadcast_to(t, full), [draw(arrays(a))]


@case("concatenate")
def _concatenate(draw: Any) -> Case:
    shape = draw(shapes(min_dims=1))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    xs = []
    for n in draw(st.lists(st.integers(0, 3), min_size=1, max_size=3)):
        size = list(shape)
        size[axis] = n
        xs.append(draw(arrays(tuple(size))))
    return lambda *ts: ta.concatenate(ts, axis), xs


@case("stack")
def _stack(draw: Any) -> Case:
    shape = draw(shapes())
    axis = draw(st.integers(-len(shape) - 1, len(shape)))
    return lambda *ts: ta.stack(ts, axis), [draw(arrays(shape)) for _ in range(draw(st.integers(1, 3)))]


@case("split")
def _split(draw: Any) -> Case:
    shape = draw(shapes(min_dims=1))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    sizes = draw(st.lists(st.integers(0, 3), min_size=1, max_size=3))
    size = list(shape)
    size[axis] = sum(sizes)
    return lambda t: ta.split(t, sizes, axis), [draw(arrays(tuple(size)))]


@case("pad")
def _pad(draw: Any) -> Case:
    x = draw(arrays(shapes()))
    widths = [draw(st.tuples(st.integers(0, 2), st.integers(0, 2))) for _ in range(x.ndim)]
    return lambda t: ta.pad(t, widths, 0.5), [x]


@case("flip")
def _flip(draw: Any) -> Case:
    x = draw(arrays(shapes(min_dims=1)))
    axis = draw(st.integers(-x.ndim, x.ndim - 1))
    return lambda t: ta.flip(t, axis), [x]


@case("getitem")
def _getitem(draw: Any) -> Case:
    x = draw(arrays((3, 4, 2)))
    key = draw(st.sampled_from([
        0, -1, slice(1, None), slice(None, None, -2), (slice(None), 1), (..., None, 0), (None, 2, slice(0, 0)),
        np.array([0, 2, 2, -1]), (slice(None), np.array([[1, 1], [0, 3]])), (np.array([0, 0]), np.array([3, 3])),
        x > 0, [1, 1, 1],
    ]))
    return lambda t: t[key], [x]


@case("take")
def _take(draw: Any) -> Case:
    x = draw(arrays(shapes(min_dims=1, zero=False)))
    axis = draw(st.integers(-x.ndim, x.ndim - 1))
    indices = draw(arrays(shapes(max_dims=2), 0, x.shape[axis], dtype="int64"))
    return lambda t, i: ta.take(t, i, axis), [x, indices]


@case("gather")
def _gather(draw: Any) -> Case:
    x = draw(arrays(shapes(min_dims=1, zero=False)))
    axis = draw(st.integers(-x.ndim, x.ndim - 1))
    size = list(x.shape)
    size[axis] = draw(st.integers(0, 4))
    return lambda t, i: ta.gather(t, i, axis), [x, draw(arrays(tuple(size), 0, x.shape[axis], dtype="int64"))]


@case("matmul")
def _matmul(draw: Any) -> Case:
    m, k, n = (draw(st.integers(0, 3)) for _ in range(3))
    lead_a, lead_b = draw(broadcastable(2, max_dims=2, max_side=3))
    a, b = draw(st.sampled_from([((*lead_a, m, k), (*lead_b, k, n)), ((k,), (*lead_b, k, n)), ((*lead_a, m, k), (k,)),
                                 ((k,), (k,)), ((*lead_a, m, k), (k, n))]))
    return ta.matmul, [draw(arrays(a)), draw(arrays(b))]


def dense(activation: str) -> None:
    @case(f"dense {activation}")
    def draw_case(draw: Any) -> Case:
        i, o = draw(st.integers(0, 3)), draw(st.integers(0, 3))
        x = draw(st.sampled_from([(i,), (2, i), (2, 0, i), (3, 2, i)]))
        settings = {"activation": activation, "slope": draw(st.sampled_from([0.0, 0.3]))}
        return lambda x, w, b: ta.dense(x, w, b, **settings), [draw(arrays(s)) for s in (x, (i, o), (o,))]


for name in ("none", "relu", "leaky_relu", "sigmoid", "tanh"):
    dense(name)


@case("conv2d")
def _conv2d(draw: Any) -> Case:
    geometry = draw(testing.conv_geometries())
    x, w, b = draw(arrays(geometry.x)), draw(arrays(geometry.w)), draw(arrays(geometry.w[3:]))
    return lambda x, w, b: ta.conv2d(x, w, b, **geometry.settings), [x, w, b]


@case("conv_transpose2d")
def _conv_transpose2d(draw: Any) -> Case:
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride, dilation = draw(pair), draw(pair), draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    groups, i, o = draw(st.sampled_from([1, 2])), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    size = draw(st.tuples(st.integers(3, 4), st.integers(3, 4)))  # not so small that the padding leaves nothing
    padding = draw(st.sampled_from(["same", "valid", 0, (1, 0), ((1, 0), (0, 1))]))
    extra = (0, 0) if padding == "same" else tuple(draw(st.integers(0, s - 1)) for s in stride)
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "output_padding": extra}
    x = draw(arrays((draw(st.integers(0, 2)), *size, i * groups)))
    return (lambda x, w, b: ta.conv_transpose2d(x, w, b, **settings),
            [x, draw(arrays((*kernel, o, i * groups))), draw(arrays((o * groups,)))])


@case("conv1d")
def _conv1d(draw: Any) -> Case:
    settings = {"stride": draw(st.integers(1, 3)), "dilation": draw(st.integers(1, 2)),
                "padding": draw(st.sampled_from([1, (0, 2), "same"]))}
    return lambda x, w: ta.conv1d(x, w, **settings), [draw(arrays((2, 7, 2))), draw(arrays((3, 2, 2)))]


def pooling(name: str) -> None:
    @case(name)
    def draw_case(draw: Any) -> Case:
        size = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
        edges = [(draw(st.integers(0, k // 2)), draw(st.integers(0, k // 2))) for k in size]
        settings = {"stride": draw(st.sampled_from([None, 1, (2, 1), (3, 2)])), "padding": edges}
        if name == "avg_pool2d":
            settings["count_include_pad"] = draw(st.booleans())
        x = draw(arrays((draw(st.integers(0, 2)), draw(st.integers(3, 5)), draw(st.integers(3, 5)), 2)))
        return lambda t: getattr(ta, name)(t, size, **settings), [x]


pooling("max_pool2d")
pooling("avg_pool2d")


@case("resize")
def _resize(draw: Any) -> Case:
    x = draw(arrays(st.tuples(st.integers(0, 2), st.integers(1, 4), st.integers(1, 4), st.integers(1, 2))))
    size, method = draw(st.tuples(st.integers(1, 6), st.integers(1, 6))), draw(st.sampled_from(["nearest", "bilinear"]))
    return lambda t: ta.resize(t, size, method), [x]


@case("batch_norm")
def _batch_norm(draw: Any) -> Case:
    x = draw(arrays(shapes(min_dims=2, zero=False)))
    if x.size // x.shape[-1] < 2:
        reject()
    c = x.shape[-1:]
    return lambda x, gamma, beta: ta.batch_norm(x, gamma, beta, eps=0.1)[0], [x, draw(arrays(c)), draw(arrays(c))]


@case("layer_norm")
def _layer_norm(draw: Any) -> Case:
    x = draw(arrays(shapes(min_dims=1, zero=False)))
    c = x.shape[-1:]
    return lambda x, gamma, beta: ta.layer_norm(x, gamma, beta, eps=0.1), [x, draw(arrays(c)), draw(arrays(c))]


def loss(name: str, low: float = -2.0) -> None:
    @case(name)
    def draw_case(draw: Any) -> Case:
        shape, reduction = draw(shapes(zero=False)), draw(st.sampled_from(["mean", "sum", "none"]))
        return (lambda x, t: getattr(ta, name)(x, t, reduction), [draw(arrays(shape)), draw(arrays(shape, 0.0, 1.0))])


for name in ("mse_loss", "l1_loss", "bce_with_logits"):
    loss(name)


@case("cross_entropy")
def _cross_entropy(draw: Any) -> Case:
    x = draw(arrays(shapes(min_dims=1, zero=False)))
    reduction = draw(st.sampled_from(["mean", "sum", "none"]))
    soft = draw(st.booleans())
    target = draw(arrays(x.shape, 0.0, 1.0) if soft else arrays(x.shape[:-1], 0, x.shape[-1], dtype="int64"))
    return lambda x, t: ta.cross_entropy(x, t, reduction), [x, target]


@case("kl_to_standard_normal")
def _kl(draw: Any) -> Case:
    shape = draw(shapes(min_dims=1))
    return ta.kl_to_standard_normal, [draw(arrays(shape)), draw(arrays(shape))]


@case("kl_normal")
def _kl_normal(draw: Any) -> Case:
    shape = draw(shapes(min_dims=1))
    return ta.kl_normal, [draw(arrays(shape)) for _ in range(4)]


def recurrent(name: str, gates: int, **settings: Any) -> None:
    @case(f"{name} {settings}" if settings else name)
    def draw_case(draw: Any) -> Case:
        steps, batch, inputs, size = (draw(st.integers(low, 2)) for low in (1, 0, 0, 1))
        lengths = draw(st.none() | st.lists(st.integers(0, steps), min_size=batch, max_size=batch))
        how = {"lengths": lengths, "reverse": draw(st.booleans()), **settings}
        states = [(batch, size)] * (2 if name == "lstm" else 1)
        sizes = [(steps, batch, inputs), (inputs, gates * size), (size, gates * size),
                 (size if gates == 1 else 4 * size,), *states]

        def fn(*ts: Any) -> Any:
            y, end = getattr(ta, name)(*ts, **how)
            return (y, *end) if isinstance(end, tuple) else (y, end)

        return fn, [draw(arrays(size)) for size in sizes]


recurrent("rnn", 1)
recurrent("rnn", 1, activation="relu")
recurrent("lstm", 4)
recurrent("gru", 3)


LINEAR = {"neg", "sum", "mean", "reshape", "transpose", "broadcast_to", "split", "flip", "take", "gather", "matmul",
          "conv1d", "resize", "avg_pool2d", "mul", "astype"}
KINKED = {"abs", "relu", "leaky_relu", "elu", "clip", "maximum", "minimum", "max", "min", "max_pool2d", "l1_loss"}


def has_kinks(name: str) -> bool:
    """Also for a case with settings, "elu {'alpha': 0.5}"."""
    return name.split()[0] in KINKED or "relu" in name  # of a dense or recurrent layer


def is_recurrent(name: str) -> bool:
    return name.split()[0] in ("rnn", "lstm", "gru")


@pytest.mark.parametrize("name", [name for name in CASES if not is_recurrent(name)])
@given(data=st.data())
def test_gradient(name: str, data: st.DataObject) -> None:
    gradient_of(name, data)


@pytest.mark.parametrize("name", [name for name in CASES if is_recurrent(name)])
@settings(max_examples=6)  # second derivatives of up to six arguments through every step: a second of time each
@given(data=st.data())
def test_gradient_of_recurrent(name: str, data: st.DataObject) -> None:
    gradient_of(name, data)


def gradient_of(name: str, data: st.DataObject) -> None:
    fn, xs = data.draw(CASES[name])
    try:
        check_grad(fn, *xs)
    except Kink:
        if not has_kinks(name):
            raise
        reject()


@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
def test_adjoint(name: str, data: st.DataObject) -> None:
    fn, xs = data.draw(CASES[name])
    check_adjoint(fn, *xs, linear=name in LINEAR)


@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
def test_float32(name: str, data: st.DataObject) -> None:
    """Values and gradients stay float32 and agree with float64."""
    fn, xs = data.draw(CASES[name])
    results = []
    for dtype in ("float32", "float64"):
        ts = [ta.tensor(x.astype("float32"), dtype, requires_grad=True) if x.dtype.kind == "f" else ta.tensor(x)
              for x in xs]
        y = fn(*ts)
        y = sum(part.sum() for part in y) if isinstance(y, tuple) else y.sum()
        grads = ta.grad(y, [t for t in ts if t.requires_grad])
        assert all(g.dtype == dtype for g in (y, *grads))
        results.append([r.array for r in (y, *grads)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-3)


def test_every_operation_is_here() -> None:
    """A public operation with a gradient and no case in the table is an omission."""
    constant = {"argmax", "argmin", "equal", "greater", "greater_equal", "less", "less_equal", "logical_and",
                "logical_not", "logical_or", "not_equal", "sign"}
    composed = {"embedding", "expand_dims", "flatten", "squeeze", "swapaxes", "unbroadcast", "dropout"}
    offered = {n for n in vars(ta.ops) if callable(getattr(ta.ops, n)) and not n.startswith("_")}
    assert offered - constant - composed - {name.split()[0] for name in CASES} == set()
