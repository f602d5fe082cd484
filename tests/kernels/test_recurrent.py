"""Recurrent kernels: the reference against loops over numbers, the compiled ones against it, thread counts, margins."""

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinyart.kernels import reference
from tinyart.kernels.cpu import recurrent as cpu
from tinyart.kernels.cpu.threads import get_num_threads, set_num_threads

from tinyart.testing import arrays

compiled_only = pytest.mark.skipif(cpu.DISABLE_JIT, reason="the tile is no Python")
KINDS = {"rnn": 1, "lstm": 4, "gru": 3}


def inputs(kind: str, steps: int, batch: int, features: int, size: int, dtype: str, seed: int = 0) -> list[np.ndarray]:
    """x, W, R, b, h0 and of an LSTM c0."""
    rng, gates = np.random.default_rng(seed), KINDS[kind]
    shapes = [(steps, batch, features), (features, gates * size), (size, gates * size),
              (size if gates == 1 else 4 * size,), *[(batch, size)] * (2 if kind == "lstm" else 1)]
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def results(module: Any, kind: str, xs: list[Any], gs: list[Any], how: dict[str, Any]) -> list[Any]:
    """All that the kernel returns, and all gradients, from those results."""
    made = getattr(module, kind)(*xs, **how)
    made = made if isinstance(made, tuple) else (made,)
    x, W, R, _, *states = xs
    saved = {"rnn": made, "lstm": (made[0], *made[2:]), "gru": made}[kind]
    settings = [how.get("activation")] * (kind == "rnn") + [how["lengths"], how["reverse"], (True,) * 6]
    return [*made, *getattr(module, f"{kind}_backward")(*gs, x, W, R, *states, *saved, *settings)]


def cotangents(kind: str, steps: int, batch: int, size: int, dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(size=s).astype(dtype) for s in [(steps, batch, size)] + [(batch, size)] * (kind == "lstm")]


def plain(kind: str, activation: str = "tanh", reverse: bool = False) -> dict[str, Any]:
    return {"lengths": None, "reverse": reverse} | ({"activation": activation} if kind == "rnn" else {})


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_against_loops_over_numbers(kind: str) -> None:
    steps, batch, features, size = 3, 2, 2, 3
    x, W, R, b, h, *c = (a.tolist() for a in inputs(kind, steps, batch, features, size, "float64"))
    how = plain(kind)
    made = getattr(reference, kind)(*inputs(kind, steps, batch, features, size, "float64"), **how)
    for n in range(batch):
        hidden, cell = h[n], c[0][n] if c else []
        for t in range(steps):
            def of_x(k: int) -> float:
                return math.fsum(x[t][n][i] * W[i][k] for i in range(features)) + b[k]  # noqa: B023

            def of_h(k: int) -> float:
                return math.fsum(hidden[j] * R[j][k] for j in range(size))  # noqa: B023

            if kind == "rnn":
                hidden = [math.tanh(of_x(k) + of_h(k)) for k in range(size)]
            elif kind == "lstm":
                i, f, g, o = ([fn(of_x(q * size + k) + of_h(q * size + k)) for k in range(size)]
                              for q, fn in enumerate((sigmoid, sigmoid, math.tanh, sigmoid)))
                cell = [f[k] * cell[k] + i[k] * g[k] for k in range(size)]
                hidden = [o[k] * math.tanh(cell[k]) for k in range(size)]
            else:
                r, z = ([sigmoid(of_x(q * size + k) + of_h(q * size + k)) for k in range(size)] for q in range(2))
                new = [math.tanh(of_x(2 * size + k) + r[k] * (of_h(2 * size + k) + b[3 * size + k]))
                       for k in range(size)]
                hidden = [(1 - z[k]) * new[k] + z[k] * hidden[k] for k in range(size)]
            np.testing.assert_allclose((made if kind == "rnn" else made[0])[t, n], hidden, rtol=1e-13)


@st.composite
def cases(draw: Any) -> tuple[str, list[Any], list[Any], dict[str, Any]]:
    kind = draw(st.sampled_from(list(KINDS)))
    steps, batch = draw(st.integers(3, 6)), draw(st.integers(1, 15))
    features, size = draw(st.integers(1, 5)), draw(st.sampled_from([1, 3, 8, 15, 16, 17, 31, 33, 40]))
    lengths = draw(st.none() | st.lists(st.integers(0, steps), min_size=batch, max_size=batch).map(tuple))
    how = {"lengths": lengths, "reverse": draw(st.booleans())}
    if kind == "rnn":
        how["activation"] = draw(st.sampled_from(["tanh", "relu"]))
    xs = [draw(arrays(a.shape, -1, 1, "float32")) for a in inputs(kind, steps, batch, features, size, "float32")]
    gs = [draw(arrays(a.shape, -1, 1, "float32")) for a in cotangents(kind, steps, batch, size, "float32")]
    return kind, xs, gs, how


@given(case=cases())
def test_the_compiled_kernels_are_the_reference_to_rounding(case: Any) -> None:
    """Odd sizes, every memory layout, sequences that end early; the reference in float64. A ReLU's sign may differ."""
    kind, xs, gs, how = case
    if how.get("activation") == "relu":
        xs[1:4] = [np.abs(a) + np.float32(0.01) for a in xs[1:4]]
        xs[0], xs[4] = np.abs(xs[0]), np.abs(xs[4]) * np.float32(0.01)
        xs[2] = xs[2] / np.float32(xs[2].shape[0])
    before = [a.copy() for a in (*xs, *gs)]
    ours = results(cpu, kind, xs, gs, how)
    theirs = results(reference, kind, [a.astype(float) for a in xs], [g.astype(float) for g in gs], how)
    for a, b in zip(ours, theirs, strict=True):
        assert (a.dtype, a.shape) == (np.float32, b.shape)
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5 * (1 + np.abs(b).max()))
    for a, was in zip((*xs, *gs), before, strict=True):
        assert np.array_equal(a, was)


@compiled_only  # the reference is BLAS's, whose bits may depend on its threads
@pytest.mark.parametrize("kind", KINDS)
def test_every_number_of_threads_gives_the_same_bits(kind: str) -> None:
    how = plain(kind)
    xs, gs = inputs(kind, 9, 23, 7, 130, "float32"), cotangents(kind, 9, 23, 130, "float32")
    assert cpu._SHARED_FROM < 9 * 23 * 130 * 130
    threads, found = get_num_threads(), []
    try:
        for n in (1, 2, 3, 7):
            set_num_threads(n)
            loops = results(cpu, kind, xs, gs, how)
            found.append([a.tobytes() for a in loops[: 1 if kind == "rnn" else 2]] + [loops[-1].tobytes()])
    finally:
        set_num_threads(threads)
    assert all(f == found[0] for f in found)


@pytest.mark.parametrize("kind", KINDS)
def test_nan_stays_in_its_sequence_and_infinity_saturates(kind: str) -> None:
    for activation in ("tanh", "relu") if kind == "rnn" else ("",):
        how = plain(kind, activation)
        xs = inputs(kind, 4, 8, 3, 20, "float32")
        xs[0][2, 3, 0], xs[0][1, 5] = np.nan, 1e30
        for module in (cpu, reference):
            made = getattr(module, kind)(*xs, **how)
            y = made if kind == "rnn" else made[0]
            assert np.isnan(y[2:, 3]).all()
            assert np.isfinite(np.delete(y, 3, axis=1)[:2]).all()
            assert np.isfinite(y[:, [0, 1, 2, 4, 6, 7]]).all()


@compiled_only
@pytest.mark.parametrize("transposed", [False, True])
def test_panels_are_packed_by_several_threads(transposed: bool) -> None:
    threads, R = get_num_threads(), np.random.default_rng(0).normal(size=(500, 900)).astype("f")
    R = np.asfortranarray(R) if transposed else R
    try:
        set_num_threads(3)
        panels = cpu._panels(R, 3)
    finally:
        set_num_threads(threads)
    joined = panels.transpose(0, 2, 1, 3).reshape(3, 500, -1)
    assert np.array_equal(joined[:, :, :300], R.reshape(500, 3, 300).transpose(1, 0, 2))
    assert not joined[:, :, 300:].any()


@compiled_only
@pytest.mark.parametrize("rows", range(1, 15))
def test_the_product_writes_its_rows_and_columns_and_nothing_else(rows: int) -> None:
    rng, multiply = np.random.default_rng(rows), numba.njit(cpu._multiply.py_func)
    for size in (1, 15, 16, 17, 40):
        a, R = rng.normal(size=(rows + 4, 11)).astype("f"), rng.normal(size=(7, size)).astype("f")
        c = rng.normal(size=(rows + 4, size + 9)).astype("f")
        expected = c.astype(float)
        expected[2 : 2 + rows, 5 : 5 + size] += a[2 : 2 + rows, 3:8].astype(float) @ R[2:].astype(float)
        was = c.copy()
        multiply(2, 2 + rows, a, 3, 5, cpu._panels(R, 1)[0], 2, c, 5, size)
        np.testing.assert_allclose(c, expected, rtol=0, atol=1e-5)
        was[2 : 2 + rows, 5 : 5 + size] = c[2 : 2 + rows, 5 : 5 + size]
        assert np.array_equal(c, was)


def refuse(*_: Any, **__: Any) -> Any:
    raise AssertionError


@compiled_only
def test_what_the_compiled_loops_do_not_take_goes_to_the_reference(monkeypatch: pytest.MonkeyPatch,
                                                                   call: Callable[..., Any]) -> None:
    monkeypatch.setattr(cpu, "_share", refuse)
    for kind in KINDS:
        how = plain(kind, "relu", True)
        for sizes, dtype in (((4, 2, 3, 2), "float64"), ((2, 2, 3, 2), "float32"), ((4, 0, 3, 2), "float32"),
                             ((4, 2, 0, 2), "float32")):
            xs, gs = inputs(kind, *sizes, dtype), cotangents(kind, sizes[0], sizes[1], sizes[3], dtype)
            for a, b in zip(results(cpu, kind, xs, gs, how), results(reference, kind, xs, gs, how), strict=True):
                assert a.dtype == dtype
                assert np.array_equal(a, b)
        with pytest.raises(AssertionError):
            results(cpu, kind, inputs(kind, 4, 2, 3, 2, "float32"), [], how)


def test_a_gradient_of_x_is_made_only_where_it_is_wanted() -> None:
    for module in (cpu, reference):
        for kind in KINDS:
            how = plain(kind)
            xs, gs = inputs(kind, 4, 2, 3, 5, "float32"), cotangents(kind, 4, 2, 5, "float32")
            made = getattr(module, kind)(*xs, **how)
            made = made if isinstance(made, tuple) else (made,)
            saved = {"rnn": made, "lstm": (made[0], *made[2:]), "gru": made}[kind]
            settings = [how.get("activation")] * (kind == "rnn") + [None, False, (False,) * 6]
            got = getattr(module, f"{kind}_backward")(*gs, *xs[:3], *xs[4:], *saved, *settings)
            assert got[0] is None
            assert all(g is not None for g in got[1:])
