"""Convolution against loops over its definition, PyTorch, and its own adjoints, over random geometries."""

from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tinyart.kernels.reference.conv import conv, conv_input, conv_weight, output_size

from tinyart.testing import arrays


class Case(NamedTuple):
    x: np.ndarray
    w: np.ndarray
    g: np.ndarray
    settings: dict[str, Any]


def count_windows(size: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int) -> int:
    """How many windows fit, by moving one along until it sticks out."""
    last, count = sum(padding) + size - 1, 0
    while count * stride + (kernel - 1) * dilation <= last:
        count += 1
    return count


@st.composite
def cases(draw: Any, max_side: int = 6, least: int = 0, dtype: str = "float64") -> Case:
    """Everything unequal on the two axes, any length zero (if least = 0), remainders, every memory layout."""
    some = st.integers(1, 3)
    size = draw(st.tuples(st.integers(least, max_side), st.integers(least, max_side)))
    kernel, stride, dilation = draw(st.tuples(some, some)), draw(st.tuples(some, some)), draw(st.tuples(some, some))
    edge = st.tuples(st.integers(0, 3), st.integers(0, 3))
    padding = draw(st.tuples(edge, edge))
    groups, c, o = draw(some), draw(st.integers(least, 2)), draw(st.integers(least, 2))
    n = draw(st.integers(least, 2))
    out = [count_windows(*axis) for axis in zip(size, kernel, stride, padding, dilation, strict=True)]
    x = draw(arrays((n, *size, c * groups), dtype=dtype))
    w = draw(arrays((*kernel, c, o * groups), dtype=dtype))
    g = draw(arrays((n, *out, o * groups), dtype=dtype))
    return Case(x, w, g, {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups})


def loop_terms(case: Case) -> Any:
    """Every (index of y, index of x, index of w) whose product the definition sums, found pixel by pixel."""
    (top, _), (left, _) = case.settings["padding"]
    (sh, sw), (dh, dw), groups = (case.settings[name] for name in ("stride", "dilation", "groups"))
    _, h, v, _ = case.x.shape
    kh, kw, inner, o = case.w.shape
    n, oh, ow, _ = case.g.shape
    for i, j, a, b in product(range(oh), range(ow), range(kh), range(kw)):
        row, column = i * sh + a * dh - top, j * sw + b * dw - left
        if 0 <= row < h and 0 <= column < v:
            for image, filter_, c in product(range(n), range(o), range(inner)):
                channel = filter_ // (o // groups) * inner + c
                yield (image, i, j, filter_), (image, row, column, channel), (a, b, c, filter_)


@given(cases(max_side=4))
def test_the_three_kernels_are_loops_over_the_definition(call: Any, case: Case) -> None:
    y, gx, gw = np.zeros(case.g.shape), np.zeros(case.x.shape), np.zeros(case.w.shape)
    for at_y, at_x, at_w in loop_terms(case):
        y[at_y] += case.x[at_x] * case.w[at_w]
        gx[at_x] += case.g[at_y] * case.w[at_w]
        gw[at_w] += case.g[at_y] * case.x[at_x]
    size, kernel = case.x.shape[1:3], case.w.shape[:2]
    close = {"rtol": 1e-12, "atol": 1e-12}  # values up to 2·2, at most 150 terms
    np.testing.assert_allclose(call(conv, case.x, case.w, **case.settings), y, **close)
    np.testing.assert_allclose(call(conv_input, case.g, case.w, size=size, **case.settings), gx, **close)
    np.testing.assert_allclose(call(conv_weight, case.x, case.g, size=kernel, **case.settings), gw, **close)


@given(cases(max_side=5), st.data())
def test_a_bias_is_added_to_every_pixel(call: Any, case: Case, data: Any) -> None:
    for kernel, a, channels, size in ((conv, case.x, case.w.shape[3], {}),
                                      (conv_input, case.g, case.x.shape[3], {"size": case.x.shape[1:3]})):
        b = data.draw(arrays((channels,)))
        plain = kernel(a, case.w, **size, **case.settings)
        np.testing.assert_array_equal(call(kernel, a, case.w, b, **size, **case.settings), plain + b)


@given(cases(max_side=9))
def test_each_kernel_is_the_adjoint_of_the_others(call: Any, assert_adjoint: Any, case: Case) -> None:
    y = call(conv, case.x, case.w, **case.settings)
    gx = call(conv_input, case.g, case.w, size=case.x.shape[1:3], **case.settings)
    gw = call(conv_weight, case.x, case.g, size=case.w.shape[:2], **case.settings)
    assert_adjoint(y, case.g, case.x, gx)
    assert_adjoint(y, case.g, case.w, gw)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(data=st.data())
def test_agrees_with_pytorch(dtype: str, data: Any) -> None:
    torch = pytest.importorskip("torch")
    case = data.draw(cases(max_side=9, least=1, dtype=dtype))
    assume(case.g.size > 0)  # PyTorch refuses an image smaller than the kernel
    (top, bottom), (left, right) = case.settings["padding"]
    x = torch.tensor(case.x.transpose(0, 3, 1, 2).copy(), requires_grad=True)  # (N, C, H, W)
    w = torch.tensor(case.w.transpose(3, 2, 0, 1).copy(), requires_grad=True)  # (O, C/G, KH, KW)
    y = torch.nn.functional.conv2d(
        torch.nn.functional.pad(x, (left, right, top, bottom)), w, stride=case.settings["stride"],
        dilation=case.settings["dilation"], groups=case.settings["groups"])  # fmt: skip
    y.backward(torch.tensor(case.g.transpose(0, 3, 1, 2).copy()))

    ours = conv(case.x, case.w, **case.settings)
    gx = conv_input(case.g, case.w, size=case.x.shape[1:3], **case.settings)
    gw = conv_weight(case.x, case.g, size=case.w.shape[:2], **case.settings)
    # sums of at most 9·9·2 products of at most 4, and √162 roundings of that sum
    close = {"rtol": 0, "atol": 162**0.5 * 648 * np.finfo(dtype).eps / 2}
    np.testing.assert_allclose(ours, y.detach().numpy().transpose(0, 2, 3, 1), **close)
    np.testing.assert_allclose(gx, x.grad.numpy().transpose(0, 2, 3, 1), **close)
    np.testing.assert_allclose(gw, w.grad.numpy().transpose(2, 3, 1, 0), **close)
    assert ours.dtype == gx.dtype == gw.dtype == np.dtype(dtype)


@given(cases(max_side=12))
def test_output_size_is_the_number_of_windows_that_fit(case: Case) -> None:
    how = [case.settings[name] for name in ("stride", "padding", "dilation")]
    assert output_size(case.x.shape[1:3], case.w.shape[:2], *how) == case.g.shape[1:3]


@given(st.integers(0, 12), *[st.integers(1, 4)] * 3, st.tuples(st.integers(0, 5), st.integers(0, 5)))
def test_output_size_along_one_axis(size: int, kernel: int, stride: int, dilation: int, padding: Any) -> None:
    found = output_size((size, 1), (kernel, 1), (stride, 1), (padding, (0, 0)), (dilation, 1))
    assert found == (count_windows(size, kernel, stride, padding, dilation), 1)


def test_pixels_that_no_window_reaches_get_no_gradient() -> None:
    g, w = np.ones((1, 2, 1, 1)), np.ones((2, 1, 1, 1))
    how = {"stride": (3, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}
    gx = conv_input(g, w, size=(7, 1), **how)  # windows at rows 0-1 and 3-4; a third would need row 7
    assert gx.ravel().tolist() == [1, 1, 0, 1, 1, 0, 0]


def test_padding_alone_convolves_to_zero() -> None:
    how = {"stride": (1, 1), "padding": ((4, 4), (4, 4)), "dilation": (1, 1), "groups": 1}
    y = conv(np.ones((1, 0, 3, 2)), np.ones((2, 2, 2, 5)), **how)
    assert y.shape == (1, 7, 10, 5)
    assert not y.any()


def test_an_infinity_in_x_stays_in_the_windows_that_hold_it() -> None:
    x = np.zeros((1, 5, 5, 1))
    x[0, 2, 2, 0] = np.inf
    how = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}
    y = conv(x, np.ones((3, 3, 1, 1)), **how)[0, :, :, 0]
    assert np.isinf(y[1:4, 1:4]).all()
    assert np.isfinite(y).sum() == 25 - 9
