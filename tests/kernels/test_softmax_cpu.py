"""Compiled softmax, cross-entropy and their gradients: against the reference in float64, whatever comes in."""

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

cpu = import_module("tinyart.kernels.cpu.softmax")
reference = import_module("tinyart.kernels.reference")
threads = import_module("tinyart.kernels.cpu.threads")
EPS = np.finfo(np.float32).eps
shapes = st.tuples(st.integers(0, 3), st.integers(1, 5), st.integers(1, 70) | st.sampled_from([255, 513, 1500]))


def calls(x: np.ndarray, g: np.ndarray, classes: np.ndarray, axis: int) -> list[tuple[str, tuple[Any, ...], Any]]:
    p, (_, *sums) = reference.softmax(x, axis=-1), reference.cross_entropy(x, classes)
    return [("softmax", (x,), {"axis": axis}), ("log_softmax", (x,), {"axis": axis}),
            ("softmax_backward", (g, p), {"axis": axis}), ("cross_entropy", (x, classes), {}),
            ("cross_entropy_backward", (g[..., 0], x, classes, *sums), {})]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(shape=shapes, spread=st.sampled_from([0.1, 3, 60]), seed=st.integers(0, 99), axis=st.sampled_from([-1, 2, 0]),
       layout=st.sampled_from(["C", "Fortran", "reversed", "one value"]))
def test_against_the_reference_in_float64(dtype: str, shape: Any, spread: float, seed: int, axis: int,
                                          layout: str) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    x, g = (spread * rng.normal(size=shape)).astype(dtype), rng.normal(size=shape).astype(dtype)
    classes = rng.integers(0, min(200, shape[-1]), shape[:-1]).astype(rng.choice(["uint8", "int32", "int64"]))
    if layout == "Fortran":
        x, g, classes = np.asfortranarray(x), np.asfortranarray(g), np.asfortranarray(classes)
    elif layout == "reversed":
        x, g, classes = x[:, ::-1], g[..., ::-1], classes[..., ::-1]
    elif layout == "one value":
        x, g = (np.broadcast_to(a.dtype.type(0.5), a.shape) for a in (x, g))
    for name, arrays, how in calls(x, g, classes, axis):
        with np.errstate(divide="ignore"):  # along an axis of nothing
            made = getattr(cpu, name)(*arrays, **how)
            want = getattr(reference, name)(*(a.astype(float) if a.dtype.kind == "f" else a for a in arrays), **how)
        for m, w in zip(*((r if isinstance(r, tuple) else (r,)) for r in (made, want)), strict=True):
            if w is None:
                assert m is None
                continue
            assert (m.dtype, m.shape) == (np.dtype(dtype), w.shape)
            # x - m is rounded to EPS/2 of itself, which is the relative error of e^(x - m)
            error = 4 * np.finfo(dtype).eps * (1 + np.ptp(x) if x.size else 1)
            np.testing.assert_allclose(m, w, rtol=error, atol=error * (1 + np.abs(g).max(initial=0)))


def test_what_is_not_finite() -> None:
    rows = [[0, np.nan, 1], [0, np.inf, 1], [0, -np.inf, 1], [-np.inf] * 3, [200, -200, 0], [np.nan] * 3]
    for x in (np.array(rows, np.float32), np.repeat(np.array(rows, np.float32), 11, axis=1)):
        with np.errstate(invalid="ignore", divide="ignore"):
            for name, arrays, how in calls(x, np.ones_like(x), np.array([0, 1, 1, 2, 2, 0]), -1):
                made, want = (np.atleast_1d(getattr(k, name)(*arrays, **how)[0]) for k in (cpu, reference))
                np.testing.assert_allclose(made, want, rtol=8 * EPS, atol=8 * EPS)


@pytest.mark.parametrize("number", [-1, 4])
def test_a_number_of_no_class_is_refused(number: int) -> None:
    with pytest.raises(IndexError, match=r"a class outside 0 <= t < 4"):
        cpu.cross_entropy(np.zeros((2, 4), np.float32), np.array([0, number]))


def test_bits_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "_BLOCK", 1)
    rng = np.random.default_rng(0)
    x, g = rng.normal(size=(2, 31, 77)).astype(np.float32)
    before, found = threads.get_num_threads(), []
    try:
        for count in (1, 2, 3, 7):
            threads.set_num_threads(count)
            found.append([np.asarray(getattr(cpu, name)(*arrays, **how)[0]).tobytes()
                          for name, arrays, how in calls(x, g, np.arange(31), -1)])
    finally:
        threads.set_num_threads(before)
    assert all(results == found[0] for results in found)
