"""Layers: parameters, and one call of the operation whose docstring has the formula.

Weights and biases of `Dense` and the convolutions start from U(-b, b), b = 1/√fan_in, as PyTorch's do, so that
settings published for it give the same training; fan_in is all of the weight's lengths but the last, multiplied.
All are float32; `module.to(dtype="float64")` changes that.

Errors of all layers: `ArgumentError` for a setting out of range, at construction; for inputs those of the operation.
"""

import math
from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from tinyart import ops
from tinyart.backend import kernels_of
from tinyart.errors import ArgumentError, ShapeError
from tinyart.nn import init
from tinyart.nn.module import Module, Parameter
from tinyart.ops.conv import Padding, Pair, pad_pairs
from tinyart.random import Generator, default_generator
from tinyart.tensor import Tensor


class Dense(Module):
    """y = x·weight + bias: x (.., I), weight (I, O), bias (O,) -> (.., O)."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True, generator: Generator | None = None) -> None:
        shape = _count("Dense", "inputs", inputs), _count("Dense", "outputs", outputs)
        self.weight, self.bias = _weight_and_bias(shape, outputs, bias, generator)

    def forward(self, x: Any) -> Any:
        return ops.matmul(x, self.weight) if self.bias is None else ops.dense(x, self.weight, self.bias)


class Conv1d(Module):
    """`ops.conv1d`: x (N, L, I), weight (K, I/groups, O), bias (O,) -> (N, OL, O)."""

    def __init__(self, inputs: int, outputs: int, size: int, *, stride: int = 1, padding: int | str | Pair = 0,
                 dilation: int = 1, groups: int = 1, bias: bool = True, generator: Generator | None = None) -> None:
        shape = _count("Conv1d", "size", size), *_channels("Conv1d", inputs, outputs, groups)
        _count("Conv1d", "stride", stride)
        _count("Conv1d", "dilation", dilation)
        _padding("Conv1d", padding if isinstance(padding, int | str) else ((0, 0), padding))
        self.weight, self.bias = _weight_and_bias(shape, outputs, bias, generator)
        self.settings: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}

    def forward(self, x: Any) -> Any:
        return ops.conv1d(x, self.weight, self.bias, **self.settings)


class Conv2d(Module):
    """`ops.conv2d`: x (N, H, W, I), weight (KH, KW, I/groups, O), bias (O,) -> (N, OH, OW, O)."""

    def __init__(self, inputs: int, outputs: int, size: int | Pair, *, stride: int | Pair = 1, padding: Padding = 0,
                 dilation: int | Pair = 1, groups: int = 1, bias: bool = True,
                 generator: Generator | None = None) -> None:
        shape = *_pair("Conv2d", "size", size), *_channels("Conv2d", inputs, outputs, groups)
        _padding("Conv2d", padding)
        self.weight, self.bias = _weight_and_bias(shape, outputs, bias, generator)
        self.settings: dict[str, Any] = {
            "stride": _pair("Conv2d", "stride", stride), "padding": padding,
            "dilation": _pair("Conv2d", "dilation", dilation), "groups": groups,
        }

    def forward(self, x: Any) -> Any:
        return ops.conv2d(x, self.weight, self.bias, **self.settings)


class ConvTranspose2d(Module):
    """`ops.conv_transpose2d`: x (N, H, W, I), weight (KH, KW, O/groups, I), bias (O,) -> (N, OH, OW, O).

    fan_in is KH·KW·O/groups, PyTorch's reading, although an output sums up KH·KW·I/(groups·stride²) products.
    """

    def __init__(self, inputs: int, outputs: int, size: int | Pair, *, stride: int | Pair = 1, padding: Padding = 0,
                 output_padding: int | Pair = 0, dilation: int | Pair = 1, groups: int = 1, bias: bool = True,
                 generator: Generator | None = None) -> None:
        _channels("ConvTranspose2d", inputs, outputs, groups)
        shape = *_pair("ConvTranspose2d", "size", size), outputs // groups, inputs
        strides, dilations = _pair("ConvTranspose2d", "stride", stride), _pair("ConvTranspose2d", "dilation", dilation)
        extra = _pair("ConvTranspose2d", "output_padding", output_padding, least=0)
        _padding("ConvTranspose2d", padding)
        if any(e >= s for e, s in zip(extra, strides, strict=True)):
            raise ArgumentError("ConvTranspose2d", "output_padding", f"less than the stride, {strides}",
                                f"{output_padding}")
        self.weight, self.bias = _weight_and_bias(shape, outputs, bias, generator)
        self.settings: dict[str, Any] = {"stride": strides, "padding": padding, "output_padding": extra,
                                         "dilation": dilations, "groups": groups}

    def forward(self, x: Any) -> Any:
        return ops.conv_transpose2d(x, self.weight, self.bias, **self.settings)


class BatchNorm(Module):
    """`ops.batch_norm` of x (.., C) over all axes but the last, by batch statistics in training; in evaluation

    y = (x - running_mean)/√(running_var + eps) · gamma + beta      all of shape (C,)

    Each training batch of n values per channel moves running ← (1 - momentum)·running + momentum·batch, where the
    batch's variance counts n/(n - 1) times: unbiased, as in PyTorch. (Keras's momentum is 1 - this one.)
    """

    def __init__(self, channels: int, *, momentum: float = 0.1, eps: float = 1e-5) -> None:
        _count("BatchNorm", "channels", channels)
        self.momentum = _within("BatchNorm", "momentum", momentum, 0, 1)
        self.eps = _within("BatchNorm", "eps", eps, 0, math.inf)
        self.gamma, self.beta = Parameter(np.ones(channels, np.float32)), Parameter(np.zeros(channels, np.float32))
        self.running_mean = Tensor(np.zeros(channels, np.float32))
        self.running_var = Tensor(np.ones(channels, np.float32))

    def forward(self, x: Any) -> Any:
        if not self.training:
            return self._evaluate(x)
        y, mean, var = ops.batch_norm(x, self.gamma, self.beta, eps=self.eps)
        n = x.size // x.shape[-1]
        if n:  # an empty batch has no statistics
            running = self.running_mean, self.running_var
            kernels_of(mean.array).lerp_all_([r.array for r in running], [mean.array, var.array * (n / (n - 1))],
                                             weight=self.momentum)
            for r in running:
                r.version[0] += 1
        return y

    def _evaluate(self, x: Any) -> Any:
        if x.shape[-1:] != self.gamma.shape:
            raise ShapeError("BatchNorm", "x", f"shape (.., {self.gamma.size})", f"{x.shape}",
                             fix="images are channels-last, (N, H, W, C)")
        return (x - self.running_mean) * (self.gamma / ops.sqrt(self.running_var + self.eps)) + self.beta


class LayerNorm(Module):
    """`ops.layer_norm` of x (.., C) over its channels, with gamma and beta (C,)."""

    def __init__(self, channels: int, *, eps: float = 1e-5) -> None:
        _count("LayerNorm", "channels", channels)
        self.eps = _within("LayerNorm", "eps", eps, 0, math.inf)
        self.gamma, self.beta = Parameter(np.ones(channels, np.float32)), Parameter(np.zeros(channels, np.float32))

    def forward(self, x: Any) -> Any:
        return ops.layer_norm(x, self.gamma, self.beta, eps=self.eps)


class Embedding(Module):
    """Row i of weight (V, E) for each index i: (..) -> (.., E). Rows start from N(0, 1), as in PyTorch."""

    def __init__(self, count: int, features: int, *, generator: Generator | None = None) -> None:
        shape = _count("Embedding", "count", count), _count("Embedding", "features", features)
        self.weight = init.normal_(Parameter(np.zeros(shape, np.float32)), generator=generator)

    def forward(self, indices: Any) -> Any:
        return ops.embedding(indices, self.weight)


class Dropout(Module):
    """`ops.dropout` of a share p in training, by `generator` or the global one; in evaluation x itself."""

    def __init__(self, p: float = 0.5, *, generator: Generator | None = None) -> None:
        self.p, self.generator = _within("Dropout", "p", p, 0, 1), generator

    def forward(self, x: Any) -> Any:
        return ops.dropout(x, self.p, self.generator or default_generator()) if self.training else x


class Flatten(Module):
    """All axes but the first as one: (N, ..) -> (N, F)."""

    def forward(self, x: Any) -> Any:
        return ops.flatten(x, 1)


class Reshape(Module):
    """Each example in another shape: (N, ..) -> (N, *shape)."""

    def __init__(self, shape: Sequence[int]) -> None:
        if not isinstance(shape, Sequence):
            raise ArgumentError("Reshape", "shape", "lengths, without that of the batch", repr(shape),
                                fix="Reshape((7, 7, 256))")
        self.shape = tuple(_count("Reshape", "shape", n) for n in shape)

    def forward(self, x: Any) -> Any:
        return ops.reshape(x, (x.shape[0], *self.shape))


class MaxPool2d(Module):
    """`ops.max_pool2d`: (N, H, W, C) -> (N, OH, OW, C); `stride` is by default the window's size."""

    def __init__(self, size: int | Pair, *, stride: int | Pair | None = None, padding: Padding = 0) -> None:
        self.settings = _window("MaxPool2d", size, stride, padding)

    def forward(self, x: Any) -> Any:
        return ops.max_pool2d(x, **self.settings)


class AvgPool2d(Module):
    """`ops.avg_pool2d`: (N, H, W, C) -> (N, OH, OW, C); padding counts as zeros unless `count_include_pad` is False."""

    def __init__(self, size: int | Pair, *, stride: int | Pair | None = None, padding: Padding = 0,
                 count_include_pad: bool = True) -> None:
        self.settings = _window("AvgPool2d", size, stride, padding) | {"count_include_pad": count_include_pad}

    def forward(self, x: Any) -> Any:
        return ops.avg_pool2d(x, **self.settings)


class Sequential(Module):
    """f_n(.. f_2(f_1(x))): the layers one after another, under the names 0, 1, ..

    A `Dense` with a bias and the ReLU, LeakyReLU, Sigmoid or Tanh after it are one operation, `ops.dense`.
    """

    def __init__(self, *layers: Module) -> None:
        for i, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise ArgumentError("Sequential", f"layer {i}", "a Module", repr(layer), fix="nn.ReLU(), not nn.ReLU")
            setattr(self, str(i), layer)

    def __iter__(self) -> Iterator[Module]:
        return (value for value in vars(self).values() if isinstance(value, Module))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __getitem__(self, i: int) -> Module:
        return list(self)[i]

    def forward(self, x: Any) -> Any:
        layers: list[Any] = list(self)
        for i, layer in enumerate(layers):
            after = layers[i + 1] if i + 1 < len(layers) else None
            if _fuses(layer, after):
                x = ops.dense(x, layer.weight, layer.bias, activation=_FUSED[type(after)],
                              slope=getattr(after, "slope", 0.0))
            elif i == 0 or not _fuses(layers[i - 1], layer):
                x = layer(x)
        return x


class ReLU(Module):
    """max(x, 0)"""

    def forward(self, x: Any) -> Any:
        return ops.relu(x)


class LeakyReLU(Module):
    """x for x > 0, else slope·x. The default is PyTorch's; Keras's is 0.3, DCGAN's 0.2."""

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = _within("LeakyReLU", "slope", slope, 0, math.inf)

    def forward(self, x: Any) -> Any:
        return ops.leaky_relu(x, self.slope)


class ELU(Module):
    """x for x > 0, else α(e^x - 1)"""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = _within("ELU", "alpha", alpha, 0, math.inf)

    def forward(self, x: Any) -> Any:
        return ops.elu(x, self.alpha)


class GELU(Module):
    """x Φ(x), Φ the normal distribution function"""

    def forward(self, x: Any) -> Any:
        return ops.gelu(x)


class SiLU(Module):
    """x / (1 + e^-x)"""

    def forward(self, x: Any) -> Any:
        return ops.silu(x)


class Sigmoid(Module):
    """1 / (1 + e^-x)"""

    def forward(self, x: Any) -> Any:
        return ops.sigmoid(x)


class Tanh(Module):
    """tanh x"""

    def forward(self, x: Any) -> Any:
        return ops.tanh(x)


class Softplus(Module):
    """ln(1 + e^x)"""

    def forward(self, x: Any) -> Any:
        return ops.softplus(x)


class Softmax(Module):
    """e^x / Σ e^x along `axis`"""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Any) -> Any:
        return ops.softmax(x, self.axis)


_FUSED: dict[Any, str] = {ReLU: "relu", LeakyReLU: "leaky_relu", Sigmoid: "sigmoid", Tanh: "tanh"}


def _fuses(layer: Any, after: Any) -> bool:
    """Whether the two are one operation; a subclass may do something else."""
    return type(layer) is Dense and layer.bias is not None and type(after) in _FUSED


def _weight_and_bias(shape: tuple[int, ...], outputs: int, bias: bool,
                     generator: Generator | None) -> tuple[Parameter, Parameter | None]:
    bound = 1 / math.sqrt(math.prod(shape[:-1]))
    weight, zeros = Parameter(np.zeros(shape, np.float32)), np.zeros(outputs, np.float32)
    init.uniform_(weight, -bound, bound, generator=generator)
    return weight, init.uniform_(Parameter(zeros), -bound, bound, generator=generator) if bias else None


def _count(layer: str, setting: str, value: Any, least: int = 1) -> int:
    if not isinstance(value, Integral) or value < least:
        raise ArgumentError(layer, setting, f"an integer of at least {least}", repr(value))
    return int(value)


def _pair(layer: str, setting: str, value: Any, least: int = 1) -> Pair:
    pair = (value, value) if isinstance(value, Integral) else value
    if not isinstance(pair, Sequence) or len(pair) != 2:
        raise ArgumentError(layer, setting, f"an integer of at least {least}, or two of them", repr(value))
    return _count(layer, setting, pair[0], least), _count(layer, setting, pair[1], least)


def _channels(layer: str, inputs: int, outputs: int, groups: int) -> tuple[int, int]:
    """(inputs/groups, outputs)"""
    _count(layer, "inputs", inputs)
    _count(layer, "outputs", outputs)
    if inputs % _count(layer, "groups", groups) or outputs % groups:
        raise ArgumentError(layer, "groups", f"a divisor of inputs {inputs} and outputs {outputs}", f"{groups}")
    return inputs // groups, outputs


def _padding(layer: str, padding: Any, size: Pair = (1, 1)) -> tuple[Pair, Pair]:
    try:
        return pad_pairs(layer, padding, (1, 1), size, (1, 1), (1, 1))
    except TypeError as error:
        raise ArgumentError(layer, "padding", "an integer >= 0, two of them, two pairs, 'valid' or 'same'",
                            repr(padding)) from error


def _window(layer: str, size: Any, stride: Any, padding: Any) -> dict[str, Any]:
    window = _pair(layer, "size", size)
    if any(2 * max(edge) > n for edge, n in zip(_padding(layer, padding, window), window, strict=True)):
        raise ArgumentError(layer, "padding", f"at most half the window, {window}", repr(padding))
    return {"size": window, "stride": window if stride is None else _pair(layer, "stride", stride), "padding": padding}


def _within(layer: str, setting: str, value: Any, low: float, high: float) -> float:
    if not (isinstance(value, int | float) and low <= value <= high):
        raise ArgumentError(layer, setting, f"a number from {low} to {high}", repr(value))
    return value
