"""Every error of an operation, read in full: operation: argument: expected, got. Fix."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyart as ta
from tinyart.errors import ArgumentError, DtypeError, ShapeError
from tinyart.random import Generator

nan = float("nan")
I, W, V, F = np.ones((1, 4, 4, 2)), np.ones((3, 3, 2, 4)), np.ones(3), np.ones((2, 3))  # noqa: E741
ERRORS: dict[type[Exception], dict[str, Callable[[], Any]]] = {
    ShapeError: {
        "add: inputs: expected arguments that fit together (..), "
        "got (2, 3) float64 on cpu, (2,) float64 on cpu.": lambda: ta.add(F, np.ones(2)),
        "sum: inputs: expected arguments that fit together (..), got (2, 3) float64 on cpu.": lambda: ta.sum(F, 2),
        "max: inputs: expected arguments that fit together (..), got (0,) float64 on cpu.": lambda: ta.max(np.zeros(0)),
        "reshape: inputs: expected arguments that fit together (..), "
        "got (2, 3) float64 on cpu.": lambda: ta.reshape(F, (4,)),
        "transpose: inputs: expected arguments that fit together (..), "
        "got (2, 3) float64 on cpu.": lambda: ta.transpose(F, (0, 0)),
        "swapaxes: axis: expected one of the 2 axes, got 2.": lambda: ta.swapaxes(F, 0, 2),
        "swapaxes: axis: expected one of the 2 axes, got -3.": lambda: ta.swapaxes(F, -3, 0),
        "expand_dims: axis: expected one of the 3 axes, got 3.": lambda: ta.expand_dims(F, 3),
        "squeeze: axis: expected one of the 2 axes, got 2.": lambda: ta.squeeze(F, 2),
        "squeeze: axis: expected one of the 0 axes, got 0.": lambda: ta.squeeze(np.float64(1.0), 0),
        "squeeze: axis: expected axis 0 of length 1, got shape (2, 3).": lambda: ta.squeeze(F, 0),
        "concatenate: inputs: expected arguments that fit together (..), got (2, 3) float64 on cpu, (1, 2) float64 on "
        "cpu.": lambda: ta.concatenate([F, V[None, :2]]),
        "split: sizes: expected sizes that add up to 3, the length of axis 1, "
        "got [1, 3].": lambda: ta.split(F, [1, 3], 1),
        "split: sizes: expected sizes that add up to 3, the length of axis 1, "
        "got [4, -1].": lambda: ta.split(F, [4, -1], 1),
        "split: sizes: expected sizes that add up to 3, the length of axis -1, got (1, 1).": lambda: ta.split(F, 2, -1),
        "split: sizes: expected sizes that add up to 0, the length of axis 0, got ().": lambda: ta.split(np.ones(0), 0),
        "split: axis: expected one of the 2 axes, got 2.": lambda: ta.split(F, 1, 2),
        "getitem: inputs: expected arguments that fit together (..), got (3,) float64 on cpu.": lambda: ta.tensor(V)[3],
        "take: indices: expected 0 <= index < 3, the length of axis 1, got 0 to 3.": lambda: ta.take(F, [0, 3], 1),
        "take: indices: expected 0 <= index < 2, the length of axis 0, got -1 to -1.": lambda: ta.take(F, [-1]),
        "take: axis: expected one of the 2 axes, got 2.": lambda: ta.take(F, [0], 2),
        "gather: indices: expected 0 <= index < 3, the length of axis 1, "
        "got 0 to 3.": lambda: ta.gather(F, np.array([[0], [3]]), 1),
        "gather: indices: expected x's shape (2, 3) but for axis 1, "
        "got (1, 1).": lambda: ta.gather(F, np.array([[0]]), 1),
        "gather: indices: expected x's shape (2, 3) but for axis 0, "
        "got (2,).": lambda: ta.gather(F, np.array([0, 1]), 0),
        "matmul: a, b: expected shapes (.., M, K) and (.., K, N), got (2, 3) and (2, 3).": lambda: ta.matmul(F, F),
        "matmul: a, b: expected shapes (.., M, K) and (.., K, N), "
        "got (2, 3) and ().": lambda: ta.matmul(F, np.float64(1.0)),
        "matmul: a, b: expected shapes (.., M, K) and (.., K, N), "
        "got () and (2, 3).": lambda: ta.matmul(np.float64(1.0), F),
        "dense: x, w, b: expected shapes (.., I), (I, O) and (O,), "
        "got (2, 3), (3, 2), (3,).": lambda: ta.dense(F, F.T, V),
        "dense: x, w, b: expected shapes (.., I), (I, O) and (O,), "
        "got (2, 3), (2, 3), (3,).": lambda: ta.dense(F, F, V),
        "conv2d: x, w: expected x of shape (N, H, W, C) and w of four lengths, the first two at least 1, got (4, 4, "
        "2) and (3, 3, 2, 4).": lambda: ta.conv2d(I[0], W),
        "conv2d: x, w: expected x of shape (N, H, W, C) and w of four lengths, the first two at least 1, got (1, 4, "
        "4, 2) and (3, 2, 4).": lambda: ta.conv2d(I, W[0]),
        "conv2d: x, w: expected x of shape (N, H, W, C) and w of four lengths, the first two at least 1, got (1, 4, "
        "4, 2) and (3, 0, 2, 4).": lambda: ta.conv2d(I, W[:, :0]),
        "conv2d: w: expected shape (KH, KW, C/groups, O) with C/groups = 2, got (3, 3, 1, 4). Fix: images are "
        "channels-last, (N, H, W, C).": lambda: ta.conv2d(I, W[:, :, :1]),
        "conv2d: x: expected at least 5 pixels, padding included, for a kernel of 3, got 4. Fix: padding='same', or a "
        "smaller kernel.": lambda: ta.conv2d(I, W, dilation=(1, 2)),
        "conv2d: x: expected at least 3 pixels, padding included, for a kernel of 3, got 2. Fix: padding='same', or a "
        "smaller kernel.": lambda: ta.conv2d(I[:, :1], W, padding=((1, 0), (9, 9))),
        "conv2d: bias: expected shape (4,), one number a channel out, "
        "got (1, 4).": lambda: ta.conv2d(I, W, np.ones((1, 4))),
        "conv1d: x, w: expected shapes (N, L, C) and (K, C/groups, O), "
        "got (1, 4, 4, 2) and (3, 3, 2, 4).": lambda: ta.conv1d(I, W),
        "conv1d: x, w: expected shapes (N, L, C) and (K, C/groups, O), "
        "got (4, 4, 2) and (3, 3, 2, 4).": lambda: ta.conv1d(I[0], W),
        "conv_transpose2d: w: expected shape (KH, KW, O/groups, I) with I = 2, got (3, 3, 2, 4), groups 1. Fix: "
        "groups must divide I.": lambda: ta.conv_transpose2d(I, W),
        "conv_transpose2d: w: expected shape (KH, KW, O/groups, I) with I = 2, got (3, 3, 2, 2), groups 3. Fix: "
        "groups must divide I.": lambda: ta.conv_transpose2d(I, W[..., :2], groups=3),
        "conv_transpose2d: w: expected shape (KH, KW, O/groups, I) with I = 2, got (3, 3, 2, 2), groups 0. Fix: "
        "groups must divide I.": lambda: ta.conv_transpose2d(I, W[..., :2], groups=0),
        "conv_transpose2d: padding: expected an output of at least one pixel, "
        "got (-1, 6).": lambda: ta.conv_transpose2d(I[:, :1], W[..., :2], padding=((2, 2), (0, 0))),
        "conv_transpose2d: padding: expected an output of at least one pixel, "
        "got (0, 6).": lambda: ta.conv_transpose2d(I[:, :1], W[..., :2], padding=((2, 1), (0, 0))),
        "conv_transpose2d: bias: expected shape (2,), one number a channel out, "
        "got (3,).": lambda: ta.conv_transpose2d(I, W[..., :2], np.ones(3)),
        "max_pool2d: x: expected shape (N, H, W, C), got (4, 4, 2).": lambda: ta.max_pool2d(I[0], 2),
        "max_pool2d: x: expected an image of at least the window, (2, 5), "
        "got (4, 4).": lambda: ta.max_pool2d(I, (2, 5)),
        "resize: x: expected shape (N, H, W, C) with at least one pixel, "
        "got (4, 4, 2).": lambda: ta.resize(I[0], (2, 2)),
        "resize: x: expected shape (N, H, W, C) with at least one pixel, "
        "got (1, 0, 4, 2).": lambda: ta.resize(I[:, :0], (2, 2)),
        "batch_norm: x, gamma, beta: expected shapes (.., C), (C,) and (C,), "
        "got (2, 3), (2,), (3,).": lambda: ta.batch_norm(F, V[:2], V),
        "batch_norm: x, gamma, beta: expected shapes (.., C), (C,) and (C,), "
        "got (2, 3), (3,), (2,).": lambda: ta.batch_norm(F, V, V[:2]),
        "batch_norm: x: expected more than one value per channel in training, got (1, 3). Fix: a larger batch, or "
        "module.eval().": lambda: ta.batch_norm(F[:1], V, V),
        "layer_norm: x, gamma, beta: expected shapes (.., C), (C,) and (C,), "
        "got (), (3,), (3,).": lambda: ta.layer_norm(np.float64(1.0), V, V),
        "mse_loss: target: expected x's shape (2, 3), got (3,). Fix: reshape one of them.": lambda: ta.mse_loss(F, V),
        "l1_loss: target: expected x's shape (2, 3), got (). Fix: reshape one of them.": lambda: ta.l1_loss(F, 1.0),
        "bce_with_logits: target: expected x's shape (2, 3), "
        "got (1, 3). Fix: reshape one of them.": lambda: ta.bce_with_logits(F, F[:1]),
        "cross_entropy: target: expected classes (2,) or probabilities (2, 3), "
        "got (3,) int64.": lambda: ta.cross_entropy(F, np.zeros(3, int)),
        "cross_entropy: target: expected classes (2,) or probabilities (2, 3), "
        "got (2,) float64.": lambda: ta.cross_entropy(F, np.zeros(2)),
        "cross_entropy: target: expected 0 <= index < 3, the length of axis 1, "
        "got 0 to 3.": lambda: ta.cross_entropy(F, np.array([0, 3])),
    },
    ArgumentError: {
        "dense: activation, slope: expected one of none, relu, leaky_relu, sigmoid, tanh, and 0 or more, got 'gelu', "
        "0.01. Fix: the activation as an operation of its own.": lambda: ta.dense(F, F.T, V[:2], activation="gelu"),
        "dense: activation, slope: expected one of none, relu, leaky_relu, sigmoid, tanh, and 0 or more, got 'none', "
        "-1. Fix: the activation as an operation of its own.": lambda: ta.dense(F, F.T, V[:2], slope=-1),
        "clip: low, high: expected low <= high, at most one of them None, got 1, 0.": lambda: ta.clip(F, 1, 0),
        "clip: low, high: expected low <= high, at most one of them None, got None, None.": lambda: ta.clip(F),
        "clip: low, high: expected low <= high, at most one of them None, got nan, 1.": lambda: ta.clip(F, nan, 1),
        "var: correction: expected less than the 2 values, got 2.": lambda: ta.var(F, 0, correction=2),
        "var: correction: expected less than the 1 values, got 1.": lambda: ta.var(np.ones(1), correction=1),
        "pad: widths: expected 2 pairs (before, after) of lengths >= 0, got [(1, 1)]. Fix: x[...] cuts an axis "
        "shorter.": lambda: ta.pad(F, [(1, 1)]),
        "pad: widths: expected 1 pairs (before, after) of lengths >= 0, got [(0, -1)]. Fix: x[...] cuts an axis "
        "shorter.": lambda: ta.pad(V, [(0, -1)]),
        "pad: widths: expected 1 pairs (before, after) of lengths >= 0, got [(0, 1, 2)]. Fix: x[...] cuts an axis "
        "shorter.": lambda: ta.pad(V, [(0, 1, 2)]),
        "conv2d: groups: expected a divisor of the channels in, 2, and out, 4, "
        "got 3.": lambda: ta.conv2d(I, W, groups=3),
        "conv2d: groups: expected a divisor of the channels in, 2, and out, 3, "
        "got 2.": lambda: ta.conv2d(I, W[:, :, :1, :3], groups=2),
        "conv2d: groups: expected a divisor of the channels in, 2, and out, 4, "
        "got 0.": lambda: ta.conv2d(I, W, groups=0),
        "conv2d: stride: expected an integer, or two, of at least 1, got 0.": lambda: ta.conv2d(I, W, stride=0),
        "conv2d: stride: expected an integer, or two, of at least 1, got 2.5.": lambda: ta.conv2d(I, W, stride=2.5),
        "conv2d: stride: expected an integer, or two, of at least 1, "
        "got (1, 2, 3).": lambda: ta.conv2d(I, W, stride=(1, 2, 3)),
        "conv2d: dilation: expected an integer, or two, of at least 1, "
        "got (1, 0).": lambda: ta.conv2d(I, W, dilation=(1, 0)),
        "conv_transpose2d: output_padding: expected less than the stride, (3, 2), "
        "got (2, 2).": lambda: ta.conv_transpose2d(I, W[..., :2], stride=(3, 2), output_padding=2),
        "conv_transpose2d: output_padding: expected 0 with padding 'same', "
        "got (1, 1).": lambda: ta.conv_transpose2d(I, W[..., :2], stride=2, padding="same", output_padding=1),
        "conv_transpose2d: output_padding: expected an integer, or two, of at least 0, "
        "got -1.": lambda: ta.conv_transpose2d(I, W[..., :2], output_padding=-1),
        "max_pool2d: size: expected an integer, or two, of at least 1, got 0.": lambda: ta.max_pool2d(I, 0),
        "max_pool2d: padding: expected at most half the window, (3, 3), "
        "got ((0, 2), (0, 0)).": lambda: ta.max_pool2d(I, 3, padding=((0, 2), (0, 0))),
        "avg_pool2d: stride: expected an integer, or two, of at least 1, got 0.": lambda: ta.avg_pool2d(I, 2, stride=0),
        "resize: size: expected an integer, or two, of at least 1, got (2, 0).": lambda: ta.resize(I, (2, 0)),
        "resize: method: expected 'nearest' or 'bilinear', got 'cubic'.": lambda: ta.resize(I, (2, 2), "cubic"),
        "mse_loss: reduction: expected 'mean', 'sum' or 'none', got 'max'.": lambda: ta.mse_loss(F, F, "max"),
        "dropout: p: expected the share of elements to drop, from 0 to 1, "
        "got 1.5.": lambda: ta.dropout(ta.tensor(F), 1.5, Generator(0)),
        "dropout: p: expected the share of elements to drop, from 0 to 1, "
        "got nan.": lambda: ta.dropout(ta.tensor(F), nan, Generator(0)),
    },
    DtypeError: {
        "sub: b: expected float64 like the argument before it, got float32. Fix: bring both to one dtype with "
        "x.astype(...).": lambda: ta.mse_loss(F, F.astype("f")),
        "add: b: expected float64 like the argument before it, got float32. Fix: bring both to one dtype with "
        "x.astype(...).": lambda: ta.add(F, F.astype("f")),
        "exp: x: expected a floating dtype, got int64. Fix: x.astype('float32').": lambda: ta.exp([1]),
        "clip: x: expected a floating dtype, like the bounds, "
        "got int64. Fix: integer bounds.": lambda: ta.clip(np.array([1]), 0.5),
        "getitem: key: expected integer or boolean arrays, "
        "got float64. Fix: key.astype('int64').": lambda: ta.tensor(V)[[0.5]],
        "take: indices: expected integers, got float32. Fix: indices.astype('int64').": lambda: ta.take(F, [0.5]),
        "cross_entropy: target: expected integers, "
        "got bool. Fix: target.astype('int64').": lambda: ta.cross_entropy(F, np.array([True, False])),
        "tensor: dtype: expected one of bool, float32, float64, int32, int64, uint8, got float16. Fix: "
        "x.astype('float32').": lambda: ta.astype(F, "float16"),
    },
}
ERRORS[ArgumentError] |= {
    f"conv2d: padding: expected an integer >= 0, two of them, two pairs, 'valid' or 'same', got {p!r}.":
        lambda p=p: ta.conv2d(I, W, padding=p)
    for p in (None, 0.5, "full", "ab", (1, 2, 3), ((1, 2), (3,)), ((1, 2, 0), (1,)), (1, -1), ((0, 0), (0, -1)))}


@pytest.mark.parametrize(("kind", "message"), [(kind, message) for kind in ERRORS for message in ERRORS[kind]])
def test_errors_name_operation_argument_expectation_and_fix(kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        ERRORS[kind][message]()
    # what NumPy says in brackets is its own
    assert re.sub(r"fit together \(.*\), got", "fit together (..), got", str(caught.value)) == message
    assert type(caught.value) is kind
