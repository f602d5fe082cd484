"""Property tests of gradients, for tinyart's operations and for yours.

    check_grad(fn, *arrays)         J^T v and its own derivative against directional differences, in float64
    check_adjoint(fn, *arrays)      ⟨v, J u⟩ = ⟨Jᵀ v, u⟩
    arrays, shapes, broadcastable, conv_geometries      hypothesis strategies (hypothesis is needed for these only)

A random direction u and a random cotangent v see every entry of the Jacobian at the price of one difference quotient;
an all-ones v would miss a transposed rule.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinyart.errors import ArgumentError
from tinyart.graph import grad
from tinyart.tensor import Tensor

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Array = Any
Function = Callable[..., Any]


class WrongGradient(AssertionError):
    """A gradient that differs from the difference quotient, or depends on how an array lies in memory."""


class Kink(AssertionError):
    """The function is not differentiable at, or within a step of, the point: choose another point."""


def check_grad(fn: Function, *arrays: Array, order: int = 2, tolerance: float = 1e-7, seed: int = 0) -> float:
    """Compare the gradients of `fn`, and with order 2 the gradients of those, with directional differences.

    `fn` takes tensors and returns one or several. Floating arrays are differentiated, as float64, others passed as
    they are. For each argument x in turn, u a random direction and v a random cotangent:

        ⟨Jᵀv, u⟩ = d/dt ⟨v, fn(x + t·u)⟩ at t = 0       by Ridders' extrapolation of central differences (1982)

    The error counts relative to Σ|Jᵀv · u| + |⟨v, fn⟩|. Cotangents are also given in other memory layouts (reversed,
    transposed, stride 0), which must change nothing. Returns the largest error met.

    Errors: `WrongGradient` naming argument, order, both values and shapes, or what was changed in place; `Kink` where
    left and right derivative differ, even if the rule gives their mean, or the quotient does not converge;
    `ArgumentError` for an order other than 1 or 2.
    """
    if order not in (1, 2):
        raise ArgumentError("check_grad", "order", "1 or 2", f"{order}")
    rng = np.random.default_rng(seed)
    xs = [np.asarray(a, np.float64) if np.asarray(a).dtype.kind == "f" else np.asarray(a) for a in arrays]
    before = [x.copy() for x in xs]
    vs = [_normal(rng, y.shape) for y in _outputs(fn, xs)]
    _check_unchanged(f"{_name(fn)} changed its argument", xs, before)
    given = [v.copy() for v in vs]
    _pullback(fn, [_leaf(x) for x in xs], [_leaf(v) for v in vs], create_graph=False)
    _check_unchanged(f"a gradient rule of {_name(fn)} changed the argument", xs, before)
    _check_unchanged(f"a gradient rule of {_name(fn)} changed the cotangent of output", vs, given)
    _check_layouts(fn, xs, vs, rng)
    error = _check_directions(fn, xs, vs, rng, tolerance, f"{_name(fn)}, order 1")
    if order == 2:
        def gradients(*inputs: Tensor) -> list[Tensor]:
            return _pullback(fn, inputs[: len(xs)], inputs[len(xs) :], create_graph=True)

        everything = [*xs, *vs]  # the gradient depends on the cotangents too
        ws = [_normal(rng, g.shape) for g in _outputs(gradients, everything)]
        label = f"{_name(fn)}, order 2"
        error = max(error, _check_directions(gradients, everything, ws, rng, tolerance, label))
    return error


def check_adjoint(fn: Function, *arrays: Array, linear: bool = False, tolerance: float = 1e-12, seed: int = 0) -> float:
    """Check ⟨v, J u⟩ = ⟨Jᵀ v, u⟩ for every floating argument; returns the largest error,
    relative to Σ|v · J u|, or to ‖v‖ ‖u‖/100 where that is larger: a J that is all rounding has no digits to compare.

    For an operation `linear` in each argument J u is `fn` itself at u, which shares no code with the gradient rule.
    Otherwise J u is the derivative of Jᵀ v in v, and what is checked is that rules are linear and rightly transposed.

    Errors: `WrongGradient`.
    """
    rng = np.random.default_rng(seed)
    xs = [np.asarray(a, np.float64) if np.asarray(a).dtype.kind == "f" else np.asarray(a) for a in arrays]
    vs = [_normal(rng, y.shape) for y in _outputs(fn, xs)]
    worst = 0.0
    for i in _floating(xs):
        u = _normal(rng, xs[i].shape)
        inputs, cotangents = [_leaf(x) for x in xs], [_leaf(v) for v in vs]
        back = _pullback(fn, inputs, cotangents, create_graph=True)[_floating(xs).index(i)]
        if linear:
            forward = _outputs(fn, [u if j == i else x for j, x in enumerate(xs)])
        else:
            forward = [g.array for g in _pullback(lambda *c, b=back: b, cotangents, [_leaf(u)], create_graph=False)]
        terms = np.concatenate([(v * f).ravel() for v, f in zip(vs, forward, strict=True)])
        unit = np.linalg.norm(u) * np.sqrt(sum((v * v).sum() for v in vs))  # what a Jacobian of size 1 gives
        error = abs(terms.sum() - (back.array * u).sum()) / max(np.abs(terms).sum(), 1e-2 * unit, 1e-300)
        if not error <= tolerance:
            raise WrongGradient(f"{_name(fn)}: argument {i} of shape {xs[i].shape}: ⟨v, J u⟩ = {terms.sum():.15g}, but "
                                f"⟨Jᵀ v, u⟩ = {(back.array * u).sum():.15g}, relative difference {error:.1e}")
        worst = max(worst, float(error))
    return worst


def _name(fn: Function) -> str:
    return str(getattr(fn, "__name__", None) or getattr(fn, "name", repr(fn)))


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.asarray(rng.normal(size=shape))


def _floating(xs: Sequence[Array]) -> list[int]:
    return [i for i, x in enumerate(xs) if x.dtype.kind == "f"]


def _leaf(x: Array) -> Tensor:
    """A leaf over x itself, not a copy: strides are part of what is tested."""
    from tinyart.graph import leaf

    result = Tensor(np.asarray(x))  # arithmetic on a 0-D array gives a scalar
    if x.dtype.kind == "f":
        leaf(result)
    return result


def _tuple(ys: Any) -> tuple[Any, ...]:
    return tuple(ys) if isinstance(ys, tuple | list) else (ys,)


def _outputs(fn: Function, xs: Sequence[Array]) -> list[Array]:
    return [y.array for y in _tuple(fn(*[_leaf(x) for x in xs]))]


def _pullback(fn: Function, inputs: Sequence[Tensor], cotangents: Sequence[Tensor], create_graph: bool) -> list[Tensor]:
    """Jᵀ v for each floating input; outputs that are constants contribute nothing."""
    ys = [(y, v) for y, v in zip(_tuple(fn(*inputs)), cotangents, strict=True) if y.node is not None]
    wanted = [x for x in inputs if x.dtype.kind == "f"]
    totals = [Tensor(np.zeros(x.shape)) for x in wanted]
    for y, v in ys:
        parts = grad(y, wanted, create_graph, cotangent=v, retain_graph=True)
        totals = [total + part for total, part in zip(totals, parts, strict=True)]
    return totals


def _check_unchanged(what: str, xs: list[Array], before: list[Array]) -> None:
    for i, (x, was) in enumerate(zip(xs, before, strict=True)):
        if not np.array_equal(x, was, equal_nan=x.dtype.kind == "f"):
            raise WrongGradient(f"{what} {i} in place")


def _check_layouts(fn: Function, xs: list[Array], vs: list[Array], rng: np.random.Generator) -> None:
    def gradients(cotangents: list[Array]) -> list[Array]:
        return [g.array for g in _pullback(fn, [_leaf(x) for x in xs], list(map(_leaf, cotangents)), False)]

    constant = [np.full_like(v, rng.normal()) for v in vs]
    for values, layouts in ((vs, (_reversed, _transposed)), (constant, (_stride_0,))):
        expected = gradients(values)
        for layout in layouts:
            for i, (a, b) in enumerate(zip(gradients([layout(v) for v in values]), expected, strict=True)):
                if not np.allclose(a, b, rtol=1e-10, atol=1e-12, equal_nan=True):
                    raise WrongGradient(f"{_name(fn)}: the gradient of floating argument {i} changes when the "
                                        f"cotangent, shaped {[v.shape for v in vs]}, lies in memory {layout.__name__}")


def _reversed(v: Array) -> Array:
    """The same values with negative strides."""
    back = (slice(None, None, -1),) * v.ndim
    return v[back].copy()[back]


def _transposed(v: Array) -> Array:
    """The same values, column-major."""
    return np.asarray(v, order="F")


def _stride_0(v: Array) -> Array:
    """The same values, all one number, as one number in memory."""
    return np.broadcast_to(v.ravel()[:1].reshape((1,) * v.ndim), v.shape) if v.size else v


def _check_directions(fn: Function, xs: list[Array], vs: list[Array], rng: np.random.Generator, tolerance: float,
                      label: str) -> float:
    gradients = _pullback(fn, [_leaf(x) for x in xs], [_leaf(v) for v in vs], create_graph=False)
    worst = 0.0
    for g, i in zip(gradients, _floating(xs), strict=True):
        if not xs[i].size:
            continue
        u = rng.uniform(-1, 1, size=xs[i].shape)

        def along(t: float, i: int = i, u: Array = u) -> float:
            ys = _outputs(fn, [x + t * u if j == i else x for j, x in enumerate(xs)])
            return float(sum((v * y).sum() for v, y in zip(vs, ys, strict=True)))

        analytic, middle = float((g.array * u).sum()), along(0.0)
        size = float(np.abs(g.array * u).sum())  # not finite where the rule is wrong
        scale = (size if np.isfinite(size) else 0.0) + abs(middle) + 1e-3
        numeric, uncertainty = _ridders(along)
        where = f"{label}, argument {i}, shapes {[x.shape for x in xs]}"
        error = abs(analytic - numeric) / scale
        if not uncertainty <= tolerance * scale < np.inf:
            raise Kink(f"{where}: the difference quotient does not converge ({numeric:.9g} ± {uncertainty:.1e})")
        gap = _one_sided_gap(along, middle)
        if gap > 1e-5 * scale or gap > error * scale > tolerance * scale:  # the latter: a kink of little weight
            raise Kink(f"{where}: left and right derivative differ by {gap:.1e}")
        if not error <= tolerance:
            raise WrongGradient(f"{where}: the rule gives {analytic:.12g}, the difference quotient {numeric:.12g}, "
                                f"relative difference {error:.1e}")
        worst = max(worst, error)
    return worst


def _ridders(along: Callable[[float], float]) -> tuple[float, float]:
    """(derivative at 0, its uncertainty): central differences at steps h/2^k, extrapolated to step 0."""
    rows: list[list[float]] = []
    best, uncertainty = 0.0, np.inf
    for k in range(8):
        h = 0.02 / 2**k
        row = [(along(h) - along(-h)) / (2 * h)]
        for j in range(1, k + 1):  # an error of order h^(2j) falls by 4^j from one step to the next
            row.append(row[-1] + (row[-1] - rows[-1][j - 1]) / (4**j - 1))
            guess = max(abs(row[j] - row[j - 1]), abs(row[j] - rows[-1][j - 1]))
            if guess < uncertainty:
                best, uncertainty = row[j], guess
        rows.append(row)
    return best, uncertainty


def _one_sided_gap(along: Callable[[float], float], middle: float) -> float:
    """|right derivative - left derivative|; 0 where it is curvature, which falls with the step."""
    wide, narrow = (abs(along(h) - 2 * middle + along(-h)) / h for h in (1e-6, 1e-7))
    return narrow if narrow > wide / 2 else 0.0


class ConvGeometry(NamedTuple):
    """A convolution that fits: shapes of x (N, H, W, C) and w (KH, KW, C/groups, O), and the settings of `conv2d`."""

    x: tuple[int, ...]
    w: tuple[int, ...]
    settings: dict[str, Any]


def shapes(min_dims: int = 0, max_dims: int = 3, max_side: int = 4, zero: bool = True) -> "SearchStrategy[Any]":
    """Shapes, with axes of length 0 and 1 among them."""
    from hypothesis import strategies as st

    return st.lists(st.integers(0 if zero else 1, max_side), min_size=min_dims, max_size=max_dims).map(tuple)


def broadcastable(count: int = 2, max_dims: int = 3, max_side: int = 4) -> "SearchStrategy[Any]":
    """`count` shapes that broadcast together: axes of length 1 and missing leading axes at random."""
    from hypothesis import strategies as st

    @st.composite
    def draw_shapes(draw: Any) -> tuple[tuple[int, ...], ...]:
        full = draw(shapes(0, max_dims, max_side))
        found = []
        for _ in range(count):
            ones = draw(st.lists(st.booleans(), min_size=len(full), max_size=len(full)))
            start = draw(st.integers(0, len(full)))
            found.append(tuple(1 if one else n for one, n in zip(ones, full, strict=True))[start:])
        return tuple(found)

    return draw_shapes()


def arrays(shape: Any, low: float = -2.0, high: float = 2.0, dtype: str = "float64") -> "SearchStrategy[Any]":
    """Arrays of a shape (or of a strategy for shapes) with values between low and high, in any memory layout:
    contiguous, transposed, every second element, negative strides, one axis of stride 0.
    """
    from hypothesis import strategies as st

    @st.composite
    def draw_array(draw: Any) -> Array:
        size = draw(shape) if isinstance(shape, st.SearchStrategy) else shape
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

        def values(of: tuple[int, ...]) -> Array:
            floating = dtype.startswith("float")
            return (rng.uniform(low, high, of) if floating else rng.integers(int(low), int(high), of)).astype(dtype)

        layout = draw(st.sampled_from(["contiguous", "transposed", "strided", "reversed", "stride 0"]))
        if layout == "transposed":
            return values(size[::-1]).T
        if layout == "strided":
            return values(tuple(2 * n for n in size))[(slice(None, None, 2),) * len(size)]
        if layout == "reversed":
            return values(size)[(slice(None, None, -1),) * len(size)]
        if layout == "stride 0" and size:
            axis = draw(st.integers(0, len(size) - 1))
            return np.broadcast_to(values((*size[:axis], 1, *size[axis + 1 :])), size)
        return values(size)

    return draw_array()


def conv_geometries(max_side: int = 6) -> "SearchStrategy[Any]":
    """`ConvGeometry`s with unequal strides, dilations and paddings, groups, batches of 0, sizes with a remainder."""
    from hypothesis import strategies as st

    @st.composite
    def draw_geometry(draw: Any) -> ConvGeometry:
        pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
        kernel, stride, dilation = draw(pair), draw(pair), draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
        edge = st.tuples(st.integers(0, 2), st.integers(0, 2))
        padding = draw(st.one_of(st.tuples(edge, edge), st.sampled_from(["same", "valid"])))
        around = ((0, 0), (0, 0)) if isinstance(padding, str) else padding
        size = [draw(st.integers(max(1, d * (k - 1) + 1 - sum(p)), max_side))
                for k, d, p in zip(kernel, dilation, around, strict=True)]
        groups, c, o = draw(st.sampled_from([1, 1, 2])), draw(st.integers(1, 2)), draw(st.integers(1, 2))
        settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        return ConvGeometry((draw(st.integers(0, 2)), *size, c * groups), (*kernel, c, o * groups), settings)

    return draw_geometry()
