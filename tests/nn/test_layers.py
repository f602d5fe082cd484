"""Layers by themselves: shapes, starting weights, modes, errors. tests/nn/test_torch.py has the numbers."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyart as ta
from tinyart import nn, ops, random
from tinyart.errors import ArgumentError, ShapeError
from tinyart.random import Generator
from tinyart.testing import arrays, check_grad, shapes

IMAGE = (2, 6, 6, 4)
LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], tuple[int, ...], dict[str, tuple[int, ...]]]] = {
    "Dense": (lambda: nn.Dense(4, 3), (2, 4), (2, 3), {"weight": (4, 3), "bias": (3,)}),
    "Dense, many axes": (lambda: nn.Dense(4, 3, bias=False), IMAGE, (2, 6, 6, 3), {"weight": (4, 3)}),
    "Conv1d": (lambda: nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), (2, 7, 4), (2, 4, 6),
               {"weight": (3, 2, 6), "bias": (6,)}),
    "Conv1d, one-sided": (lambda: nn.Conv1d(4, 6, 3, padding=(2, 0), dilation=2, bias=False), (2, 7, 4), (2, 5, 6),
                          {"weight": (3, 4, 6)}),
    "Conv2d": (lambda: nn.Conv2d(4, 6, (3, 5), stride=2, padding="same", groups=2), IMAGE, (2, 3, 3, 6),
               {"weight": (3, 5, 2, 6), "bias": (6,)}),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 6, (3, 5), stride=2, padding="same", groups=2), IMAGE,
                        (2, 12, 12, 6), {"weight": (3, 5, 3, 4), "bias": (6,)}),
    "BatchNorm": (lambda: nn.BatchNorm(4), IMAGE, IMAGE,
                  {"gamma": (4,), "beta": (4,), "running_mean": (4,), "running_var": (4,)}),
    "LayerNorm": (lambda: nn.LayerNorm(4), IMAGE, IMAGE, {"gamma": (4,), "beta": (4,)}),
    "Dropout": (lambda: nn.Dropout(0.2), IMAGE, IMAGE, {}),
    "Flatten": (nn.Flatten, IMAGE, (2, 144), {}),
    "Reshape": (lambda: nn.Reshape((12, 12)), IMAGE, (2, 12, 12), {}),
    "MaxPool2d": (lambda: nn.MaxPool2d(3, stride=(2, 1), padding=1), IMAGE, (2, 3, 6, 4), {}),
    "AvgPool2d": (lambda: nn.AvgPool2d((2, 3), count_include_pad=False), IMAGE, (2, 3, 2, 4), {}),
    **{f.__name__: (f, IMAGE, IMAGE, {}) for f in (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Sigmoid,
                                                   nn.Tanh, nn.Softplus, nn.Softmax)},
}


@pytest.mark.parametrize("name", LAYERS)
def test_shapes_names_and_gradients(name: str) -> None:
    build, shape_in, shape_out, state = LAYERS[name]
    layer = build()
    x = ta.tensor(np.random.default_rng(0).normal(size=shape_in).astype(np.float32), requires_grad=True)
    y = layer(x)
    assert y.shape == shape_out
    assert {name: array.shape for name, array in layer.state_dict().items()} == state
    assert all(array.dtype == np.float32 for array in layer.state_dict().values())
    (y * y * y).sum().backward()
    assert all(np.any(t.grad.array != 0) for t in [x, *layer.parameters()])


@pytest.mark.parametrize("name", LAYERS)
def test_an_empty_batch(name: str) -> None:
    build, shape_in, shape_out, _ = LAYERS[name]
    layer = build()
    before = layer.state_dict()
    assert layer(ta.tensor(np.zeros((0, *shape_in[1:]), np.float32))).shape == (0, *shape_out[1:])
    assert all(np.array_equal(layer.state_dict()[n], before[n]) for n in before)


@pytest.mark.parametrize(("build", "fan_in"), [
    (lambda: nn.Dense(100, 400), 100),
    (lambda: nn.Conv1d(20, 400, 5), 100),
    (lambda: nn.Conv2d(8, 400, 5, groups=2), 100),
    (lambda: nn.ConvTranspose2d(400, 50, 2, groups=2), 100),  # KH·KW·O/groups
])
def test_weights_and_biases_start_uniform_within_1_over_sqrt_fan_in(build: Callable[[], Any], fan_in: int) -> None:
    random.manual_seed(1)
    layer = build()
    bound = 1 / math.sqrt(fan_in)
    for parameter in (layer.weight, layer.bias):
        assert np.abs(parameter.array).max() <= bound * (1 + 1e-6)
        assert abs(parameter.array.std() / (bound / math.sqrt(3)) - 1) < 6 * math.sqrt(0.2 / parameter.size)
        assert abs(parameter.array.mean()) < 6 * bound / math.sqrt(3 * parameter.size)


def test_embedding() -> None:
    layer = nn.Embedding(50, 400, generator=Generator(3))
    assert abs(layer.weight.array.std() - 1) < 6 / math.sqrt(2 * 20_000)
    indices = np.array([[0, 7], [7, 49]])
    y = layer(indices)
    assert np.array_equal(y.array, layer.weight.array[indices])
    y.sum().backward()
    counts = layer.weight.grad.array[:, 0]
    assert [counts[i] for i in (0, 7, 49, 1)] == [1, 2, 1, 0]


def test_the_same_seed_builds_the_same_network() -> None:
    def build(generator: Generator | None) -> list[Any]:
        net = nn.Sequential(nn.Dense(3, 4, generator=generator), nn.Conv2d(1, 2, 3, generator=generator),
                            nn.Embedding(3, 2, generator=generator), nn.Conv1d(1, 2, 3, generator=generator),
                            nn.ConvTranspose2d(2, 2, 3, generator=generator))
        return [array.tolist() for array in net.state_dict().values()]

    random.manual_seed(4)
    seeded = build(None)
    assert build(Generator(4)) == seeded
    random.manual_seed(4)
    assert build(None) == seeded
    assert build(None) != seeded


# ---- Sequential


def test_sequential_is_composition() -> None:
    f, g = nn.Dense(2, 3), nn.Tanh()
    net, x = nn.Sequential(f, g), ta.tensor([[1.0, -2.0]])
    np.testing.assert_allclose(net(x).array, g(f(x)).array, rtol=1e-6)  # on a GPU the two may round tanh differently
    assert list(net) == [f, g]
    assert len(net) == 2
    assert net[-1] is g
    assert nn.Sequential()(x) is x
    assert list(net.state_dict()) == ["0.weight", "0.bias"]


@pytest.mark.parametrize("f", [nn.ReLU(), nn.LeakyReLU(0.3), nn.Sigmoid(), nn.Tanh(), nn.Softplus()])
def test_a_dense_layer_and_its_activation_are_one_operation(f: nn.Module) -> None:
    net, x = nn.Sequential(nn.Dense(2, 3), f, nn.Dense(3, 2, bias=False), f, f), ta.tensor([[1.0, -2.0], [0.5, 3.0]])
    y, plain = net(x), x
    for layer in net:
        plain = layer(plain)
    np.testing.assert_allclose(y.array, plain.array, rtol=1e-6)
    for g, h in zip(ta.grad(y.sum(), net.parameters()), ta.grad(plain.sum(), net.parameters()), strict=True):
        np.testing.assert_allclose(g.array, h.array, rtol=1e-5, atol=1e-7)
    fused = nn.Sequential(nn.Dense(2, 3), f)(x)
    assert fused.node.op.name == ("softplus" if isinstance(f, nn.Softplus) else "dense")


def test_a_subclass_is_called() -> None:
    class Twice(nn.Dense):
        def forward(self, x: Any) -> Any:
            return super().forward(x) * 2.0

    layer, x = Twice(2, 3), ta.tensor([[1.0, -2.0]])
    np.testing.assert_array_equal(nn.Sequential(layer, nn.ReLU())(x).array, nn.ReLU()(layer(x)).array)


# ---- BatchNorm


@given(arrays(st.tuples(st.integers(2, 4), st.integers(1, 3), st.just(2))), st.floats(0, 1))
def test_batch_norm_statistics(x: Any, momentum: float) -> None:
    layer = nn.BatchNorm(2, momentum=momentum, eps=0.1).to(dtype="float64")
    mean, var = np.zeros(2), np.ones(2)
    for scale in (1.0, 3.0):
        flat = (x * scale).reshape(-1, 2)
        y = layer(ta.tensor(x * scale)).array.reshape(-1, 2)
        assert np.allclose(y, (flat - flat.mean(0)) / np.sqrt(flat.var(0) + 0.1), atol=1e-12)
        mean = (1 - momentum) * mean + momentum * flat.mean(0)
        var = (1 - momentum) * var + momentum * flat.var(0, ddof=1)
    assert np.allclose(layer.running_mean.array, mean, atol=1e-12)
    assert np.allclose(layer.running_var.array, var, atol=1e-12)
    layer.eval()
    y = layer(ta.tensor(x)).array
    assert np.allclose(y, (x - mean) / np.sqrt(var + 0.1), atol=1e-12)
    assert np.allclose(layer.running_mean.array, mean, atol=1e-12)


def test_batch_norm_evaluates_a_batch_of_one_but_does_not_train_on_it() -> None:
    layer, x = nn.BatchNorm(3), ta.tensor([[1.0, 2.0, 3.0]])
    with pytest.raises(ShapeError, match=r"more than one value per channel.*Fix: a larger batch"):
        layer(x)
    assert np.allclose(layer.eval()(x).array, x.array, atol=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_names_a_wrong_number_of_channels(training: bool) -> None:
    with pytest.raises(ShapeError, match="shape"):
        nn.BatchNorm(3).train(training)(ta.tensor(np.zeros((2, 1), np.float32)))


def test_batch_norm_evaluated_far_from_zero_loses_no_digits() -> None:
    """x·scale - mean·scale, one pass fewer, would be off by 0.02 here."""
    layer = nn.BatchNorm(1, eps=0.0).eval()
    layer.running_mean[...] = 1e4
    layer.running_var[...] = 1e-2
    y = layer(ta.tensor([[1e4 + 0.125]])).item()
    assert abs(y - 1.25) < 1e-5


# ---- Dropout


@given(arrays(shapes()), st.floats(0, 1), st.integers(0, 1000))
def test_dropout_keeps_and_scales_what_the_generator_says(x: Any, p: float, seed: int) -> None:
    y = ops.dropout(ta.tensor(x), p, Generator(seed)).array
    kept = Generator(seed).bernoulli(1 - p, x.shape).array if p > 0 else np.ones(x.shape, bool)
    assert y.dtype == x.dtype
    assert np.array_equal(y == 0, ~kept | (x == 0))
    assert np.allclose(y[kept] * (1 - p), x[kept], rtol=1e-12)


def test_dropout_keeps_the_mean() -> None:
    n, p = 100_000, 0.3
    y = ops.dropout(ta.tensor(np.ones(n, np.float32)), p, Generator(2)).array
    assert sorted(set(y.tolist())) == [0.0, float(np.float32(1 / 0.7))]
    assert abs(y.mean() - 1) < 6 * math.sqrt(p / (1 - p) / n)


@given(arrays(shapes(max_dims=2)), st.sampled_from([0.0, 0.3, 1.0]))
def test_the_gradient_of_dropout_goes_through_the_same_mask(x: Any, p: float) -> None:
    check_grad(lambda t: ops.dropout(t, p, Generator(9)) * t, x)


def test_dropout_by_0_draws_nothing_and_by_1_drops_even_infinity() -> None:
    generator, x = Generator(0), ta.tensor([1.0, math.inf, math.nan])
    assert ops.dropout(x, 0.0, generator) is x
    assert generator.state.tolist() == [0, 0, 0]
    assert ops.dropout(x, 1.0, generator).array.tolist() == [0, 0, 0]


def test_dropout_saves_one_byte_an_element() -> None:
    x = ta.tensor(np.ones(64, np.float32), requires_grad=True)
    node = ops.dropout(x, 0.5, Generator(0)).node
    saved = [value for value, _ in node.saved.values() if hasattr(value, "array")]
    assert [t.dtype for t in saved] == [bool]


def test_dropout_as_a_layer() -> None:
    x = ta.tensor(np.ones(50, np.float32))
    layer = nn.Dropout(0.5, generator=Generator(6))
    first, second = layer(x).array.tolist(), layer(x).array.tolist()
    assert first != second
    assert first == ops.dropout(x, 0.5, Generator(6)).array.tolist()
    assert layer.eval()(x) is x
    random.manual_seed(6)
    assert nn.Dropout(0.5)(x).array.tolist() == first


# ---- errors


@pytest.mark.parametrize(("build", "message"), [
    (lambda: nn.Dense(0, 3), "Dense: inputs: expected an integer of at least 1, got 0"),
    (lambda: nn.Dense(3, 2.5), "Dense: outputs: expected an integer of at least 1, got 2.5"),
    (lambda: nn.Conv1d(3, 4, 0), "Conv1d: size"),
    (lambda: nn.Conv1d(3, 4, 3, stride=0), "Conv1d: stride: expected an integer of at least 1, got 0"),
    (lambda: nn.Conv1d(3, 4, 3, dilation=-1), "Conv1d: dilation"),
    (lambda: nn.Conv1d(3, 4, 3, padding="full"), "Conv1d: padding: expected an integer >= 0"),
    (lambda: nn.Conv1d(3, 4, 3, padding=((1, 1), (1, 1))), "Conv1d: padding"),
    (lambda: nn.Conv2d(3, -4, 3), "Conv2d: outputs"),
    (lambda: nn.Conv2d(3, 4, (3, 3, 3)), "Conv2d: size: expected an integer of at least 1, or two of them, got (3, 3,"),
    (lambda: nn.Conv2d(3, 4, "3"), "Conv2d: size"),
    (lambda: nn.Conv2d(3, 4, 3, stride=(2, 0)), "Conv2d: stride: expected an integer of at least 1, got 0"),
    (lambda: nn.Conv2d(3, 4, 3, stride=1.5), "Conv2d: stride"),
    (lambda: nn.Conv2d(3, 4, 3, padding=-1), "Conv2d: padding"),
    (lambda: nn.Conv2d(3, 4, 3, padding=1.5), "Conv2d: padding: expected an integer >= 0, two of them, two pairs"),
    (lambda: nn.Conv2d(3, 4, 3, dilation=0), "Conv2d: dilation"),
    (lambda: nn.Conv2d(3, 4, 3, groups=2), "Conv2d: groups: expected a divisor of inputs 3 and outputs 4, got 2"),
    (lambda: nn.Conv2d(4, 3, 3, groups=2), "Conv2d: groups"),
    (lambda: nn.Conv2d(4, 3, 3, groups=0), "Conv2d: groups: expected an integer of at least 1, got 0"),
    (lambda: nn.ConvTranspose2d(4, 4, 3, groups=3), "ConvTranspose2d: groups"),
    (lambda: nn.ConvTranspose2d(4, 4, 3, stride=2, output_padding=2),
     "ConvTranspose2d: output_padding: expected less than the stride, (2, 2), got 2"),
    (lambda: nn.ConvTranspose2d(4, 4, 3, output_padding=-1), "ConvTranspose2d: output_padding"),
    (lambda: nn.BatchNorm(0), "BatchNorm: channels"),
    (lambda: nn.BatchNorm(3, momentum=1.1), "BatchNorm: momentum: expected a number from 0 to 1, got 1.1"),
    (lambda: nn.BatchNorm(3, eps=-1e-5), "BatchNorm: eps"),
    (lambda: nn.LayerNorm(3, eps=math.nan), "LayerNorm: eps"),
    (lambda: nn.LayerNorm((3, 3)), "LayerNorm: channels"),
    (lambda: nn.Embedding(0, 3), "Embedding: count"),
    (lambda: nn.Embedding(3, None), "Embedding: features"),
    (lambda: nn.Dropout(1.5), "Dropout: p: expected a number from 0 to 1, got 1.5"),
    (lambda: ops.dropout(ta.tensor([1.0]), -0.1, Generator()), "dropout: p: expected the share of elements to drop"),
    (lambda: nn.Reshape(7), "Reshape: shape: expected lengths, without that of the batch, got 7. Fix: Reshape("),
    (lambda: nn.Reshape((7, -1)), "Reshape: shape: expected an integer of at least 1, got -1"),
    (lambda: nn.MaxPool2d(0), "MaxPool2d: size"),
    (lambda: nn.MaxPool2d(2, stride=0), "MaxPool2d: stride"),
    (lambda: nn.MaxPool2d((4, 2), padding=2), "MaxPool2d: padding: expected at most half the window, (4, 2), got 2"),
    (lambda: nn.AvgPool2d(2, padding="full"), "AvgPool2d: padding"),
    (lambda: nn.LeakyReLU(-0.1), "LeakyReLU: slope"),
    (lambda: nn.ELU("1"), "ELU: alpha"),
    (lambda: nn.Sequential(nn.Dense(1, 1), nn.ReLU), "Sequential: layer 1: expected a Module, got <class"),
])
def test_settings_out_of_range(build: Callable[[], Any], message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        build()
    assert message in str(caught.value)
