"""`check_grad` and `check_adjoint` are judged here: wrong rules are found, right ones never alarm, kinks are kinks."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

import tinyart as ta
from tinyart.errors import ArgumentError
from tinyart.graph import apply
from tinyart.ops.op import Op
from tinyart.testing import (
    Kink,
    WrongGradient,
    arrays,
    broadcastable,
    check_adjoint,
    check_grad,
    conv_geometries,
    shapes,
)

Function = Callable[..., Any]
rng = np.random.default_rng(0)
A, B = rng.normal(size=(3, 3)), rng.normal(size=(3, 3)) + 3.0


def constant(array: np.ndarray) -> ta.Tensor:
    return ta.Tensor(np.asarray(array))


# ---- wrong rules


def unary(name: str, rule: Function, **how: Any) -> Op:
    return Op(f"wrong_{name}", "x", kernel=name, x=rule, **how)


def doubled_in_place(g: ta.Tensor) -> ta.Tensor:
    np.multiply(g.array, 2.0, out=g.array)
    return g * 0.5


def argument_doubled_in_place(g: ta.Tensor, x: ta.Tensor) -> ta.Tensor:
    slope = constant(np.cos(x.array))
    x.array *= 2.0
    return g * slope


def halves_in_place(x: ta.Tensor) -> ta.Tensor:
    y = ta.sin(x)
    x.array /= 2.0
    return y


def in_memory(a: np.ndarray) -> np.ndarray:
    """The numbers as they lie in memory, in a's shape."""
    return a.base if a.base is not None and a.base.shape == a.shape else a


_softmax = unary("softmax", lambda g, y: y * g)
_logsumexp = unary("logsumexp", lambda g, x, axis: constant(np.exp(x.array)) * g.reshape((*g.shape, 1)))
_sum = Op("wrong_sum", "x", kernel="sum", x=lambda g, x_shape: ta.broadcast_to(g.reshape((1, -1)), x_shape))

WRONG: dict[str, tuple[Function, list[np.ndarray]]] = {
    "factor 1 + 1e-4": (unary("sin", lambda g, x: g * ta.cos(x) * (1 + 1e-4)), [A]),
    "factor 1 - 1e-4": (unary("sin", lambda g, x: g * ta.cos(x) * (1 - 1e-4)), [A]),
    "factor in one argument": (Op("wrong_mul", "a b", kernel="multiply", a=lambda g, b: g * b,
                                  b=lambda g, a: g * a * (1 + 1e-4)), [A, B]),
    "sign": (unary("cos", lambda g, x: g * ta.sin(x)), [A]),
    "offset": (unary("sin", lambda g, x: g * (ta.cos(x) + 1e-5)), [A]),
    "missing reduction": (lambda x: apply(_softmax, x, axis=-1), [A]),
    "missing normaliser": (lambda x: apply(_logsumexp, x, axis=-1, keepdims=False), [A]),
    "sum along the other axis": (lambda x: apply(_sum, x, axis=1, keepdims=False), [A]),
    "swapped arguments of mul": (Op("wrong_mul", "a b", kernel="multiply", a=lambda g, a: g * a,
                                    b=lambda g, b: g * b), [A, B]),
    "swapped arguments of sub": (Op("wrong_sub", "a b", kernel="subtract", a=lambda g: -g, b=lambda g: g), [A, B]),
    "transposed argument": (Op("wrong_matmul", "a b", kernel="matmul", a=lambda g, b: g @ b, b=lambda g, a: a.T @ g),
                            [A, B]),
    "transposed result": (Op("wrong_matmul", "a b", kernel="matmul", a=lambda g, b: (g @ b.T).T,
                             b=lambda g, a: a.T @ g), [A, B]),
    "swapped product": (Op("wrong_matmul", "a b", kernel="matmul", a=lambda g, b: b.T @ g, b=lambda g, a: a.T @ g),
                        [A, B]),
    "one entry": (unary("sin", lambda g, x: g * ta.cos(x) * constant(1.0 + 1e-3 * np.eye(3))), [A]),
    "not linear in g": (unary("negative", lambda g: -g * ta.abs(g)), [A]),
}
SECOND: dict[str, tuple[Function, list[np.ndarray]]] = {
    "slope on a raw array": (unary("sin", lambda g, x: g * constant(np.cos(x.array))), [A]),
    "slope detached": (unary("exp", lambda g, y: g * y.detach()), [A]),
    "cotangent detached": (unary("sin", lambda g, x: g.detach() * ta.cos(x)), [A]),
    "all on raw arrays": (unary("sin", lambda g, x: constant(g.array * np.cos(x.array))), [A]),
    "wrong derivative of the slope": (unary("sin", lambda g, x: g * unary("cos", lambda h, x: h * ta.sin(x))(x)), [A]),
    "other argument detached": (Op("wrong_mul", "a b", kernel="multiply", a=lambda g, b: g * b.detach(),
                                   b=lambda g, a: g * a), [A, B]),
}
MEMORY: dict[str, Op] = {  # rules that are right for a cotangent in row-major order only
    "negative strides": unary("negative", lambda g: constant(-in_memory(g.array))),
    "column-major": unary("negative", lambda g: -g * (2.0 if g.ndim > 1 and g.array.flags.f_contiguous else 1.0)),
    "stride 0": unary("negative", lambda g: -g * (1.0 if all(g.array.strides) else 2.0)),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_rule_is_found(name: str) -> None:
    fn, xs = WRONG[name]
    for at in range(5):
        with pytest.raises(WrongGradient):
            check_grad(fn, *xs, order=1, seed=at)


@pytest.mark.parametrize("name", SECOND)
def test_a_rule_right_at_order_1_only_is_found(name: str) -> None:
    fn, xs = SECOND[name]
    assert check_grad(fn, *xs, order=1) < 1e-7
    with pytest.raises(WrongGradient, match=r"order 2"):
        check_grad(fn, *xs)


@pytest.mark.parametrize("name", MEMORY)
def test_a_rule_wrong_for_a_layout_of_the_cotangent_is_found(name: str) -> None:
    layout = {"negative strides": "_reversed", "column-major": "_transposed", "stride 0": "_stride_0"}[name]
    with pytest.raises(WrongGradient, match=rf"changes when the cotangent, shaped \[\(3, 3\)\], .* {layout}"):
        check_grad(MEMORY[name], A, order=1)


def test_what_is_changed_in_place_is_named() -> None:
    with pytest.raises(WrongGradient, match=r"^halves_in_place changed its argument 0 in place"):
        check_grad(halves_in_place, A)
    rule = Op("probe", "x", kernel="sin", x=argument_doubled_in_place)
    with pytest.raises(WrongGradient, match=r"^a gradient rule of probe changed the argument 0 in place"):
        check_grad(rule, A)
    rule = Op("probe", "a b", kernel="add", a=doubled_in_place, b=lambda g: g)
    with pytest.raises(WrongGradient, match=r"^a gradient rule of probe changed the cotangent of output 0 in place"):
        check_grad(rule, A, B)


def test_the_arrays_given_are_never_changed() -> None:
    x = A.copy()
    check_grad(ta.sin, x)
    check_adjoint(ta.sin, x)
    assert (x == A).all()


def test_the_message_holds_operation_argument_order_shapes_and_both_values() -> None:
    wrong = Op("tripled", "a b", kernel="add", a=lambda g: g, b=lambda g: ta.ops.unbroadcast(g, (3,)) * 3.0)
    with pytest.raises(WrongGradient) as caught:
        check_grad(wrong, A, A[0])
    found = re.fullmatch(r"tripled, order 1, argument 1, shapes \[\(3, 3\), \(3,\)\]: the rule gives (\S+), the "
                         r"difference quotient (\S+), relative difference \S+", str(caught.value))
    assert found, caught.value
    assert float(found[1]) == pytest.approx(3 * float(found[2]), rel=1e-9)


def test_only_floating_arguments_count_and_keep_their_number() -> None:
    wrong = Op("probe", "c a b", kernel="where", free="c", a=lambda g, c: ta.where(c, g, 0.0),
               b=lambda g, c: ta.where(c, g, 0.0))
    with pytest.raises(WrongGradient, match=r"argument 2, shapes"):
        check_grad(wrong, A > 0, A, B)


def test_all_outputs_count() -> None:
    def fn(x: ta.Tensor) -> tuple[ta.Tensor, ...]:
        return ta.sin(x), ta.Tensor(x.array), unary("sin", lambda g, x: g * ta.cos(x) * 2.0)(x)

    with pytest.raises(WrongGradient):
        check_grad(fn, A)
    assert check_grad(lambda x: [ta.sin(x), ta.Tensor(np.ones(2)), x * x], A) < 1e-7


def test_order_is_1_or_2() -> None:
    with pytest.raises(ArgumentError, match=r"check_grad: order: expected 1 or 2, got 3"):
        check_grad(ta.sin, A, order=3)


# ---- the adjoint identity


ADJOINTS: dict[str, tuple[Function, list[np.ndarray]]] = {
    "flip is not undone": (lambda x: apply(Op("probe", "x", kernel="flip", x=lambda g: g), x, axis=(0,)), [A]),
    "the wrong permutation": (lambda x: apply(Op("probe", "x", kernel="transpose", x=lambda g, axes: ta.transpose(
        g, axes)), x, axes=(1, 2, 0)), [rng.normal(size=(3, 3, 3))]),
    "transposed": (Op("probe", "a b", kernel="matmul", a=lambda g, b: g @ b, b=lambda g, a: a.T @ g), [A, B]),
    "factor 1 + 1e-9": (Op("probe", "a b", kernel="multiply", a=lambda g, b: g * b * (1 + 1e-9),
                           b=lambda g, a: g * a), [A, B]),
    "repeated indices assign": (lambda x, i: apply(Op("probe", "x i", kernel="take", free="i", x=lambda g: constant(
        np.stack([g.array[1], g.array[2], np.zeros(3)]))), x, i, axis=0), [A, np.array([0, 0, 1])]),
}


@pytest.mark.parametrize("name", ADJOINTS)
def test_a_wrong_adjoint_of_a_linear_operation_is_found(name: str) -> None:
    """J u is the operation itself: nothing is shared with the rule."""
    fn, xs = ADJOINTS[name]
    with pytest.raises(WrongGradient, match=r"argument 0 of shape .* ⟨v, J u⟩ = \S+, but ⟨Jᵀ v, u⟩ = "):
        check_adjoint(fn, *xs, linear=True)


def test_a_rule_that_is_not_linear_in_the_cotangent_is_found() -> None:
    with pytest.raises(WrongGradient):
        check_adjoint(unary("sin", lambda g, x: g * ta.abs(g) * ta.cos(x)), A)
    detached = unary("sin", lambda g, x: g.detach() * ta.cos(x) + g * 0.0)
    with pytest.raises(WrongGradient):
        check_adjoint(detached, A)


def test_a_jacobian_that_is_all_rounding_does_not_alarm() -> None:
    for value in (0.1, 0.54784675, 1.80185479):
        x = np.broadcast_to(value, (3,))
        for fn in (ta.var, lambda x: ta.cross_entropy(x, np.full(3, 0.63696169))):
            assert check_adjoint(fn, x) < 1e-12
            assert check_grad(fn, x) < 1e-7


# ---- right rules


def smooth(draw: np.random.Generator) -> list[tuple[Function, list[np.ndarray]]]:
    """A right operation of each kind on a random shape, with values between 0.3 and 2 where signs matter."""
    shape = tuple(draw.integers(0, 4, size=draw.integers(0, 4)))
    x, y = draw.uniform(-2, 2, shape), draw.uniform(0.3, 2, shape)
    n, c, h = (int(k) for k in draw.integers(1, 4, 3))
    rows = draw.normal(size=(n + 1, c))
    images, filters = draw.normal(size=(n, h + 2, 4, 2)), draw.normal(size=(3, 2, 2, c))
    return [
        (ta.sin, [x]), (ta.exp, [x]), (ta.log, [y]), (ta.gelu, [x]), (ta.mul, [x, y]), (ta.div, [x, y]),
        (ta.power, [y, x]), (lambda t: ta.sum(t * t), [x]), (ta.softmax, [rows]), (ta.logsumexp, [rows]),
        (ta.matmul, [rows, draw.normal(size=(c, h))]), (lambda t: t.T * 2.0, [x]),
        (lambda t, w: ta.conv2d(t, w, padding="same", stride=2), [images, filters]),
        (lambda t: ta.avg_pool2d(t, 2), [images]),
        (lambda t, a, b: ta.batch_norm(t, a, b, eps=0.1)[0], [rows, rows[0], rows[1]]),
        (lambda t: ta.cross_entropy(t, np.zeros(n + 1, int)), [rows]),
    ]


def test_right_rules_never_alarm() -> None:
    draw, count, worst, adjoint = np.random.default_rng(1), 0, 0.0, 0.0
    for at in range(20):
        for fn, xs in smooth(draw):
            worst, count = max(worst, check_grad(fn, *xs, seed=at)), count + 1
            adjoint = max(adjoint, check_adjoint(fn, *xs, seed=at))
    assert count == 320
    assert 0 < worst < 1e-7
    assert 0 < adjoint < 1e-12


def test_scale_and_size_do_not_alarm() -> None:
    for scale in (1e-6, 1.0, 1e3):
        assert check_grad(lambda t, s=scale: t * t * s, A * 1e-2) < 1e-7
        assert check_grad(lambda t, s=scale: ta.sin(t) * s, A) < 1e-7
    assert check_grad(ta.tanh, np.random.default_rng(0).normal(size=(40, 50))) < 1e-7
    assert check_grad(lambda x: x * 1.0 + 100.0, A) < 1e-7


def test_nothing_is_right() -> None:
    """No elements, no floating argument, a constant function."""
    assert check_grad(ta.sin, np.zeros((0, 3))) == 0.0
    assert check_adjoint(ta.sin, np.zeros((0, 3))) == 0.0
    assert check_grad(lambda x: ta.Tensor(np.ones(3)), A) == 0.0
    assert check_grad(ta.argmax, np.arange(3)) == 0.0


def test_float32_arrays_are_checked_in_float64() -> None:
    assert check_grad(ta.sin, A.astype("float32")) < 1e-7


def test_the_seed_decides_the_directions() -> None:
    errors = [check_grad(ta.tan, A / 4, seed=s) for s in (0, 0, 1)]
    assert errors[0] == errors[1] != errors[2]


# ---- kinks


def one_hot_zero() -> np.ndarray:
    x = np.random.default_rng(0).uniform(0.5, 2, 1000)
    x[500] = 0.0
    return x


KINKS: dict[str, tuple[Function, list[np.ndarray]]] = {
    "relu at 0": (ta.relu, [np.zeros(3)]),
    "relu at 0, one element of a thousand": (ta.relu, [one_hot_zero()]),
    "leaky relu at 0": (ta.leaky_relu, [np.zeros(())]),
    "abs at 0, where the rule gives the mean of both sides": (ta.abs, [np.zeros(2)]),
    "ties of max": (ta.max, [np.ones(3)]),
    "ties of max along an axis": (lambda x: ta.max(x, 0), [np.ones((2, 3))]),
    "ties of min": (ta.min, [np.ones(3)]),
    "a = b in maximum": (ta.maximum, [np.ones(2), np.ones(2)]),
    "a = b in minimum": (ta.minimum, [np.ones(()), np.ones(())]),
    "clip at its bound": (lambda x: ta.clip(x, -1.0, 1.0), [np.ones(2)]),
    "ties in a window": (lambda x: ta.max_pool2d(x, 2), [np.ones((1, 2, 2, 1))]),
    "l1 loss at its target": (ta.l1_loss, [np.ones(3), np.ones(3)]),
    "a jump": (lambda x: x + ta.where(x > 0.0, 1.0, 0.0).astype("float64"), [np.zeros(1)]),
    "a pole": (ta.log, [np.zeros(1)]),
}


@pytest.mark.parametrize("name", KINKS)
def test_a_kink_is_a_kink(name: str) -> None:
    fn, xs = KINKS[name]
    with np.errstate(all="ignore"):
        for at in range(5):
            with pytest.raises(Kink, match=r"order 1, argument \d, shapes .*(does not converge|derivative differ)"):
                check_grad(fn, *xs, seed=at)


@pytest.mark.parametrize("fn", [ta.relu, ta.abs, lambda x: ta.maximum(x, 0.0), lambda x: ta.clip(x, 0.0, 9.0)])
def test_a_kink_within_a_step_is_never_a_wrong_gradient(fn: Function) -> None:
    kinks = 0
    for distance in np.logspace(-12, -1, 45):
        for sign in (-1.0, 1.0):
            try:
                assert check_grad(fn, np.array([sign * distance, 1.0])) < 1e-7
            except Kink:
                kinks += 1
    assert kinks > 20


def test_a_jump_of_the_second_derivative_is_a_kink_too() -> None:
    with pytest.raises(Kink):
        check_grad(lambda x: ta.relu(x) * x, np.zeros(2))


def test_a_gradient_that_is_not_finite_where_the_function_is_smooth_is_wrong() -> None:
    def fn(x: ta.Tensor) -> ta.Tensor:
        return ta.where(x > 0.0, x * x, ta.sqrt(x - 5.0))  # √ of a negative number, not chosen, but 0 · ∞ in the rule

    wrong = unary("sin", lambda g, x: g * constant(np.full(x.shape, np.nan)))
    with np.errstate(all="ignore"), pytest.raises(WrongGradient, match="the rule gives nan"):
        check_grad(wrong, np.ones(2))
    with np.errstate(all="ignore"), pytest.raises(WrongGradient, match="the rule gives nan"):
        check_grad(fn, np.ones(2))
    wrong = unary("sin", lambda g, x: g * constant(np.full(x.shape, np.inf)))
    with np.errstate(all="ignore"), pytest.raises(WrongGradient, match=r"the rule gives (-?inf|nan)"):
        check_grad(wrong, np.ones(2))


def test_a_wrong_rule_near_strong_curvature_is_no_kink() -> None:
    wrong = unary("exp", lambda g, y: g * y * (1 + 1e-4))
    with pytest.raises(WrongGradient):
        check_grad(lambda x: wrong(x * 5.0), np.ones(1))


# ---- hypothesis


def shrunk(strategy: Any, fn: Function, *, order: int = 1) -> str:
    """The message of the smallest failure that hypothesis finds."""

    @seed(0)
    @settings(max_examples=300, database=None, deadline=None)
    @given(strategy)
    def prop(xs: Any) -> None:
        check_grad(fn, *(xs if isinstance(xs, tuple) else (xs,)), order=order)

    with pytest.raises(WrongGradient) as caught:
        prop()
    return str(caught.value)


def square() -> Any:
    return st.integers(0, 4).flatmap(lambda n: arrays((n, n)))


def test_failures_shrink_to_the_smallest_shape() -> None:
    assert "shapes [()]" in shrunk(arrays(shapes()), WRONG["factor 1 + 1e-4"][0])
    assert "shapes [(1,)]" in shrunk(arrays(shapes(min_dims=1, zero=False)), WRONG["missing reduction"][0])
    assert "shaped [(2,)]" in shrunk(arrays(shapes()), MEMORY["negative strides"])
    wrong, b = WRONG["transposed argument"][0], rng.normal(size=(4, 4))
    assert "shapes [(2, 2)]" in shrunk(square(), lambda x: wrong(x, constant(b[: len(x), : len(x)])))


def drawn(strategy: Any, count: int = 300) -> list[Any]:
    found: list[Any] = []

    @seed(1)
    @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate])
    @given(strategy)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return found[-count:]


def test_arrays_come_in_every_layout_and_size() -> None:
    seen: Counter[str] = Counter()
    for x in drawn(arrays(shapes(max_dims=3))):
        assert x.dtype == np.float64
        assert (np.abs(x) <= 2).all()
        several = [stride for stride, n in zip(x.strides, x.shape, strict=True) if n > 1]
        seen["number"] += x.ndim == 0
        seen["zero size"] += x.size == 0
        seen["length 1"] += 1 in x.shape
        seen["3 axes"] += x.ndim == 3
        seen["stride 0"] += 0 in several
        seen["negative strides"] += any(s < 0 for s in several)
        seen["column-major"] += x.flags.f_contiguous and not x.flags.c_contiguous
        seen["row-major"] += x.flags.c_contiguous and len(several) > 1
        seen["with gaps"] += bool(several) and min(map(abs, several)) > 8
    assert min(seen.values()) >= 5, seen
    assert len(seen) == 9


def test_arrays_of_other_dtypes_stay_within_their_bounds() -> None:
    xs = drawn(arrays((3, 2), 0, 4, dtype="int64"), 50)
    assert {x.dtype.name for x in xs} == {"int64"}
    assert set(np.concatenate([x.ravel() for x in xs]).tolist()) == {0, 1, 2, 3}
    assert all(x.dtype == np.float32 and x.min() >= 1 for x in drawn(arrays((2,), 1.0, 2.0, dtype="float32"), 20))


def test_shapes_keep_their_bounds() -> None:
    found = drawn(shapes(1, 2, 3, zero=False))
    assert {len(s) for s in found} == {1, 2}
    assert {n for s in found for n in s} == {1, 2, 3}
    assert {n for s in drawn(shapes()) for n in s} == {0, 1, 2, 3, 4}


def test_broadcastable_shapes_broadcast_in_every_way() -> None:
    seen: Counter[str] = Counter()
    for a, b in drawn(broadcastable(2)):
        full = np.broadcast_shapes(a, b)
        seen["equal"] += a == b
        seen["both are stretched"] += full not in (a, b)
        seen["axes are missing"] += len(a) != len(b)
        seen["1 against n"] += any(m == 1 < n for m, n in zip(a[::-1], b[::-1], strict=False))
        seen["1 against 0"] += any({m, n} == {0, 1} for m, n in zip(a[::-1], b[::-1], strict=False))
    assert min(seen.values()) >= 5, seen
    assert all(len(drawn_shapes) == 3 for drawn_shapes in drawn(broadcastable(3), 20))


def test_conv_geometries_cover_what_convolutions_get_wrong() -> None:
    seen: Counter[str] = Counter()
    for x, w, how in drawn(conv_geometries()):
        y = ta.conv2d(np.zeros(x), np.zeros(w), **how)  # each one fits
        seen["batch 0"] += x[0] == 0
        seen["batch 2"] += x[0] == 2
        seen["groups"] += how["groups"] == 2
        seen["stride"] += how["stride"][0] != how["stride"][1]
        seen["dilation"] += how["dilation"][0] != how["dilation"][1]
        seen[f"padding {how['padding'] if isinstance(how['padding'], str) else 'pairs'}"] += 1
        if not isinstance(how["padding"], str):
            (top, bottom), (left, right) = how["padding"]
            seen["padding of unequal sides"] += top != bottom
            seen["padding of unequal axes"] += (top, bottom) != (left, right)
            span = x[1] + top + bottom - how["dilation"][0] * (w[0] - 1) - 1
            seen["remainder"] += span % how["stride"][0] != 0
            assert y.shape[1] == span // how["stride"][0] + 1
        seen["one pixel out"] += y.shape[1:3] == (1, 1)
    assert min(seen.values()) >= 5, seen
    assert len(seen) == 12
