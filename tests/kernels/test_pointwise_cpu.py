"""Compiled elementwise kernels and the dense layer against the reference: values, layouts, ends of floating point."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tinyart.kernels.cpu import elementwise as cpu
from tinyart.kernels.cpu import linear, threads
from tinyart.kernels.reference import elementwise as reference
from tinyart.kernels.reference import linear as plain

from tinyart.testing import arrays, shapes

# name -> number of arrays, settings, error allowed in units of the last place of float32
KERNELS: dict[str, tuple[int, dict[str, Any], float]] = {
    "exp": (1, {}, 3), "tanh": (1, {}, 4), "sigmoid": (1, {}, 4), "softplus": (1, {}, 4), "relu": (1, {}, 0),
    "leaky_relu": (1, {"slope": 0.3}, 1), "relu_backward": (2, {}, 0), "leaky_relu_backward": (2, {"slope": 0.3}, 1),
    "sigmoid_backward": (2, {}, 3), "tanh_backward": (2, {}, 3), "bce_with_logits": (2, {}, 4),
    "masked": (2, {"scale": 1.25}, 0),
}  # fmt: skip
LAYOUTS = ["C", "Fortran", "reversed", "every second", "one value"]
ACTIVATIONS = ["none", "relu", "leaky_relu", "sigmoid", "tanh"]


@pytest.fixture(autouse=True, params=["one block", "many blocks"])
def blocks(request: Any) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "many blocks":
            patch.setattr(cpu, "_BLOCK", 5)
            patch.setattr(linear, "_BLOCK", 5)
        yield


def laid(x: np.ndarray, layout: str) -> np.ndarray:
    """The values of x, or one of them, in another layout."""
    if layout == "Fortran" and x.ndim:
        return np.asfortranarray(x)
    if layout == "reversed" and x.ndim:
        return np.ascontiguousarray(x[::-1])[::-1]
    if layout == "every second" and x.ndim:
        return np.repeat(x, 2, axis=-1)[..., ::2]
    if layout == "one value" and x.size:
        return np.broadcast_to(x.ravel()[0], x.shape)
    return x


def inputs(name: str, xs: list[np.ndarray], dtype: str) -> list[np.ndarray]:
    return [xs[0].astype(dtype), xs[1] > 0 if name == "masked" else xs[1].astype(dtype)][: KERNELS[name][0]]


@pytest.mark.parametrize("name", KERNELS)
@settings(max_examples=25)
@given(data=st.data())
def test_values_and_layouts(name: str, data: st.DataObject) -> None:
    count, how, allowed = KERNELS[name]
    shape = data.draw(shapes())
    for dtype in ("float32", "float64"):
        xs = inputs(name, [data.draw(arrays(shape, -3.0, 3.0)) for _ in range(2)], dtype)
        xs = [laid(x, data.draw(st.sampled_from(LAYOUTS))) for x in xs]
        before = [x.copy() for x in xs]
        found = getattr(cpu, name)(*xs, **how)
        exact = getattr(reference, name)(*[x.astype("float64") if x.dtype.kind == "f" else x for x in xs], **how)
        assert (found.dtype, found.shape) == (np.dtype(dtype), shape)
        if dtype == "float64":  # the reference too, but NumPy's own last bit depends on the layout, with AVX-512
            np.testing.assert_allclose(found, exact, rtol=1e-15, atol=1e-15)
        else:
            scale = np.abs(exact) + (np.abs(exact) < 1) * (count > 1)  # where terms cancel, an error of the terms
            np.testing.assert_array_less(np.abs(found - exact), (allowed + 0.6) * 2**-23 * scale + 1e-37)
        for x, was in zip(xs, before, strict=True):
            np.testing.assert_array_equal(x, was)


@pytest.mark.parametrize("name", KERNELS)
def test_ends_of_floating_point(name: str) -> None:
    ends = np.float32([0.0, -0.0, 1e-45, -1e-45, 1e-38, 88.0, 90.0, -90.0, -104.0, np.inf, -np.inf, np.nan])
    a, b = (m.ravel() for m in np.meshgrid(ends, ends))
    xs = inputs(name, [a, b], "float32")
    how = KERNELS[name][1]
    with np.errstate(all="ignore"):
        found, wanted = getattr(cpu, name)(*xs, **how), getattr(reference, name)(*xs, **how)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=3e-39)  # nan and infinities in their places


@given(data=st.data(), wanted=st.tuples(st.booleans(), st.booleans()))
def test_bce_backward(data: st.DataObject, wanted: tuple[bool, bool]) -> None:
    shape = data.draw(shapes())
    g, x, t = (laid(data.draw(arrays(shape, dtype="float32")), data.draw(st.sampled_from(LAYOUTS))) for _ in range(3))
    found = cpu.bce_with_logits_backward(g, x, t, wanted)
    for ours, theirs, want in zip(found, reference.bce_with_logits_backward(g, x, t, wanted), wanted, strict=True):
        assert (ours is None) == (theirs is None) == (not want)
        if want:
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6)


@given(data=st.data())
def test_lerp_moves_in_place(data: st.DataObject) -> None:
    shape = data.draw(shapes())
    for dtype in ("float32", "float64"):
        b = laid(data.draw(arrays(shape, dtype=dtype)), data.draw(st.sampled_from(LAYOUTS)))
        a = laid(np.array(data.draw(arrays(shape, dtype=dtype))), data.draw(st.sampled_from(LAYOUTS[:-1])))
        expected = a + 0.25 * (b - a)
        cpu.lerp_(a, b, weight=0.25)
        np.testing.assert_allclose(a, expected, rtol=0, atol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@settings(max_examples=25)
@given(data=st.data())
def test_dense_and_its_gradients(activation: str, data: st.DataObject) -> None:
    n, i, o = (data.draw(st.integers(0, 70) if k == 0 else st.integers(0, 5)) for k in range(3))
    slope, wanted = data.draw(st.sampled_from([0.0, 0.3])), data.draw(st.tuples(*[st.booleans()] * 3))
    for dtype in ("float32", "float64"):
        x, w, b, g = (laid(data.draw(arrays(s, dtype=dtype)), data.draw(st.sampled_from(LAYOUTS)))
                      for s in ((n, i), (i, o), (o,), (n, o)))
        how = {"activation": activation, "slope": slope}
        y, exact = linear.dense(x, w, b, **how), plain.dense(x, w, b, **how)
        close = {"rtol": 0, "atol": 64 * np.finfo(dtype).eps * (i + 1)}
        assert y.dtype == np.dtype(dtype)
        np.testing.assert_allclose(y, exact, **close)
        ours = linear.dense_backward(g, x, w, y, activation, slope, wanted)
        theirs = plain.dense_backward(g, x, w, y, activation, slope, wanted)
        for a, e, want in zip(ours, theirs, wanted, strict=True):
            assert (a is None) == (e is None) == (not want)
            if want:
                assert a.dtype == np.dtype(dtype)
                np.testing.assert_allclose(a, e, rtol=0, atol=64 * np.finfo(dtype).eps * (n + o + 1))


def test_sums_of_many_rows_do_not_drift() -> None:
    """A running float32 sum of 300,000 times 0.1 is 29,996.6 or worse."""
    rows = 3000 if threads.DISABLE_JIT else 300_000
    g = np.full((rows, 1), 0.1, np.float32)
    _, _, gb = linear.dense_backward(g, g, g[:1], g, "none", 0.0, (False, False, True))
    np.testing.assert_allclose(gb, rows * np.float64(np.float32(0.1)), rtol=1e-6)


@given(m=st.integers(0, 4), n=st.integers(0, 4), k=st.integers(0, 2))
def test_products_of_one_inner_index(m: int, n: int, k: int) -> None:
    rng = np.random.default_rng(m + 5 * n)
    for shape_a, shape_b in (((m, k), (k, n)), ((2, m, k), (k, n)), ((m, k), (2, k, n))):
        a, b = rng.normal(size=shape_a), rng.normal(size=shape_b)
        np.testing.assert_array_equal(linear.matmul(a, b), np.matmul(a, b))
