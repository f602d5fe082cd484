"""The DCGAN of document 3: its layers give 28x28x1, and other sides follow the same plan."""

import numpy as np
import pytest

from tinyart import Tensor, tensor
from tinyart.errors import ArgumentError
from tinyart.models.dcgan import dcgan, plan
from tinyart.nn import BatchNorm, Conv2d, ConvTranspose2d, Dense, Dropout, LeakyReLU
from tinyart.random import Generator


def test_the_documents_generator_gives_28_by_28_not_128_by_128() -> None:
    networks = dcgan((28, 28, 1))
    x = tensor(np.zeros((2, 100), np.float32))
    shapes = []
    for layer in networks.generator:
        x = layer(x)
        if isinstance(layer, Dense | ConvTranspose2d):
            shapes.append(x.shape)
    assert shapes == [(2, 12544), (2, 7, 7, 128), (2, 14, 14, 64), (2, 28, 28, 1)]
    assert not any(name.endswith("bias") for name, p in networks.generator.named_parameters() if p.ndim > 1)
    assert sum(isinstance(layer, BatchNorm) for layer in networks.generator) == 3


def test_the_documents_discriminator() -> None:
    networks = dcgan((28, 28, 1), batch_norm=False)
    x: Tensor = tensor(np.zeros((2, 28, 28, 1), np.float32))
    shapes = []
    for layer in networks.discriminator:
        x = layer(x)
        if isinstance(layer, Dense | Conv2d):
            shapes.append(x.shape)
    assert shapes == [(2, 14, 14, 64), (2, 7, 7, 128), (2, 1)]
    assert [layer.p for layer in networks.discriminator if isinstance(layer, Dropout)] == [0.3, 0.3]
    slopes = {layer.slope for part in (networks.generator, networks.discriminator) for layer in part
              if isinstance(layer, LeakyReLU)}
    assert slopes == {0.3}
    assert not any(isinstance(layer, BatchNorm) for layer in networks.discriminator)


@pytest.mark.parametrize("side", [28, 64, 128])
def test_the_papers_discriminator_has_batch_norm_after_all_convolutions_but_the_first(side: int) -> None:
    layers = [*dcgan((side, side, 3), latent=3, width=2).discriminator]
    after = [type(layers[i + 1]) for i, layer in enumerate(layers) if isinstance(layer, Conv2d)]
    assert after == [LeakyReLU, *[BatchNorm] * plan(side)[1]][: len(after)]
    assert len(after) == plan(side)[1]
    assert not any(isinstance(layer, Dropout) for layer in layers)


def test_weights_are_drawn_with_a_spread_of_two_hundredths() -> None:
    for weight in dcgan((28, 28, 1), random=Generator(5)).parameters():
        if weight.ndim > 1:
            spread = weight.numpy().std()
            assert abs(spread - 0.02) < 5 * 0.02 / np.sqrt(2 * weight.size), weight.shape


@pytest.mark.parametrize(("side", "start", "n"), [(16, 4, 2), (28, 7, 2), (32, 8, 2), (56, 7, 3), (64, 8, 3),
                                                  (128, 8, 4), (256, 8, 5)])
def test_plan_of_a_side(side: int, start: int, n: int) -> None:
    assert plan(side) == (start, n)


@pytest.mark.parametrize("side", [1, 4, 7, 8, 12, 14, 20, 24, 27, 30, 48, 100, 127])
def test_other_sides_are_refused(side: int) -> None:
    with pytest.raises(ArgumentError, match=rf"dcgan: shape: expected squares of a side 16, .* a side of {side}\. F"):
        dcgan((side, side, 3))


@pytest.mark.parametrize(("side", "channels"), [(16, 3), (32, 3), (56, 1), (64, 4)])
def test_generator_and_discriminator_fit_together(side: int, channels: int) -> None:
    networks = dcgan((side, side, channels), latent=5, width=2)
    fakes = networks.generator(tensor(np.random.default_rng(0).normal(size=(2, 5)), "float32"))
    assert fakes.shape == (2, side, side, channels)
    assert np.abs(fakes.numpy()).max() <= 1
    assert networks.discriminator(fakes).shape == (2, 1)


def test_settings_out_of_range_are_refused() -> None:
    for shape, settings in (((28, 32, 1), {}), ((28, 28), {}), ((28, 28, 0), {}), ((28, 28, 1), {"latent": 0}),
                            ((28, 28, 1), {"width": 0})):
        with pytest.raises(ArgumentError, match="dcgan: shape, latent, width: expected"):
            dcgan(shape, **settings)
