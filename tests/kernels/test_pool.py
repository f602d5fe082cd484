"""Pooling against loops over the windows, PyTorch, and its own adjoints; ties, padding, NaN and infinities."""

from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinyart.kernels.reference.pool import max_pool, max_pool_gather, max_pool_input, sum_pool, sum_pool_input

from tinyart.testing import arrays


class Case(NamedTuple):
    x: np.ndarray
    g: np.ndarray  # of the output's shape
    v: np.ndarray  # of the input's shape
    settings: dict[str, Any]

    def windows(self) -> Any:
        """(index of y, the indices of x in its window), pixel by pixel."""
        (top, _), (left, _) = self.settings["padding"]
        (kh, kw), (sh, sw) = self.settings["size"], self.settings["stride"]
        n, oh, ow, channels = self.g.shape
        for image, i, j, c in product(range(n), range(oh), range(ow), range(channels)):
            rows = [r for r in range(i * sh - top, i * sh - top + kh) if 0 <= r < self.x.shape[1]]
            columns = [q for q in range(j * sw - left, j * sw - left + kw) if 0 <= q < self.x.shape[2]]
            yield (image, i, j, c), [(image, r, q, c) for r, q in product(rows, columns)]


@st.composite
def cases(draw: Any, ties: bool = True, dtype: str = "float64") -> Case:
    """Padding up to half the window and at least one window, which is what the operation lets through."""
    some = st.integers(1, 3)
    size, stride = draw(st.tuples(some, some)), draw(st.tuples(some, some))
    padding = tuple(draw(st.tuples(st.integers(0, k // 2), st.integers(0, k // 2))) for k in size)
    n, c = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    h, w = (draw(st.integers(max(1, k - sum(p)), 7)) for k, p in zip(size, padding, strict=True))
    out = [(m + sum(p) - k) // s + 1 for m, k, s, p in zip((h, w), size, stride, padding, strict=True)]
    x = draw(arrays((n, h, w, c), dtype=dtype))
    if ties:
        x = np.round(x)  # five values
    g, v = draw(arrays((n, *out, c), dtype=dtype)), draw(arrays((n, h, w, c), dtype=dtype))
    return Case(x, g, v, {"size": size, "stride": stride, "padding": padding})


@given(cases())
def test_max_pool_and_its_gradients_are_loops_over_the_windows(call: Any, case: Case) -> None:
    y, gx, gathered = np.zeros(case.g.shape), np.zeros(case.x.shape), np.zeros(case.g.shape)
    for at, window in case.windows():
        y[at] = max(case.x[p] for p in window)
        ties = [p for p in window if case.x[p] == y[at]]
        gathered[at] = sum(case.v[p] for p in ties) / len(ties)
        for p in ties:
            gx[p] += case.g[at] / len(ties)
    np.testing.assert_array_equal(call(max_pool, case.x, **case.settings), y)
    np.testing.assert_allclose(call(max_pool_input, case.g, case.x, y, **case.settings), gx, rtol=0, atol=1e-14)
    found = call(max_pool_gather, case.v, case.x, y, **case.settings)
    np.testing.assert_allclose(found, gathered, rtol=0, atol=1e-14)


@given(cases(ties=False))
def test_sum_pool_and_its_adjoint_are_loops_over_the_windows(call: Any, case: Case) -> None:
    y, gx = np.zeros(case.g.shape), np.zeros(case.x.shape)
    for at, window in case.windows():
        y[at] = sum(case.x[p] for p in window)
        for p in window:
            gx[p] += case.g[at]
    np.testing.assert_allclose(call(sum_pool, case.x, **case.settings), y, rtol=0, atol=1e-13)
    found = call(sum_pool_input, case.g, size_in=case.x.shape[1:3], **case.settings)
    np.testing.assert_allclose(found, gx, rtol=0, atol=1e-13)


@given(cases())
def test_adjoints(assert_adjoint: Any, case: Case) -> None:
    y = max_pool(case.x, **case.settings)
    assert_adjoint(case.v, max_pool_input(case.g, case.x, y, **case.settings),
                   max_pool_gather(case.v, case.x, y, **case.settings), case.g)  # fmt: skip
    assert_adjoint(sum_pool(case.x, **case.settings), case.g,
                   case.x, sum_pool_input(case.g, size_in=case.x.shape[1:3], **case.settings))  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(data=st.data())
def test_agrees_with_pytorch(dtype: str, data: Any) -> None:
    torch = pytest.importorskip("torch")
    case = data.draw(cases(ties=False, dtype=dtype).filter(lambda c: c.x.size and min(c.x.strides) != 0))
    (top, bottom), (left, right) = case.settings["padding"]
    x = torch.tensor(case.x.transpose(0, 3, 1, 2).copy(), requires_grad=True)
    padded = torch.nn.functional.pad(x, (left, right, top, bottom), value=-torch.inf)
    y = torch.nn.functional.max_pool2d(padded, case.settings["size"], case.settings["stride"])
    y.backward(torch.tensor(case.g.transpose(0, 3, 1, 2).copy()))
    ours = max_pool(case.x, **case.settings)
    np.testing.assert_array_equal(ours, y.detach().numpy().transpose(0, 2, 3, 1))
    gx = max_pool_input(case.g, case.x, ours, **case.settings)
    np.testing.assert_allclose(gx, x.grad.numpy().transpose(0, 2, 3, 1), rtol=0, atol=4e-6)
    total = sum_pool(case.x, **case.settings)
    gathered = max_pool_gather(case.v, case.x, ours, **case.settings)
    assert ours.dtype == gx.dtype == total.dtype == gathered.dtype == np.dtype(dtype)


SINGLE = {"size": (1, 2), "stride": (1, 2), "padding": ((0, 0), (0, 0))}


def row(*values: float) -> np.ndarray:
    return np.array(values).reshape(1, 1, -1, 1)


def test_a_nan_is_the_maximum_and_its_window_has_a_nan_gradient() -> None:
    x, g, v = row(1, np.nan, 3, 2), row(5, 7), row(10, 20, 30, 40)
    y = max_pool(x, **SINGLE)
    np.testing.assert_array_equal(y, row(np.nan, 3))
    np.testing.assert_array_equal(max_pool_input(g, x, y, **SINGLE), row(np.nan, np.nan, 7, 0))
    np.testing.assert_array_equal(max_pool_gather(v, x, y, **SINGLE), row(np.nan, 30))


def test_infinities_are_ordinary_maxima() -> None:
    x, g, v = row(-np.inf, -np.inf, np.inf, 0), row(6, np.inf), row(1, 2, 3, np.inf)
    y = max_pool(x, **SINGLE)
    np.testing.assert_array_equal(y, row(-np.inf, np.inf))
    np.testing.assert_array_equal(max_pool_input(g, x, y, **SINGLE), row(3, 3, np.inf, 0))
    np.testing.assert_array_equal(max_pool_gather(v, x, y, **SINGLE), row(1.5, 3))


def test_padding_is_no_tie_even_where_all_is_minus_infinity() -> None:
    x = np.full((1, 1, 1, 1), -np.inf)
    how = {"size": (2, 2), "stride": (1, 1), "padding": ((1, 0), (1, 0))}
    y = max_pool(x, **how)
    assert max_pool_input(np.ones((1, 1, 1, 1)), x, y, **how).item() == 1
