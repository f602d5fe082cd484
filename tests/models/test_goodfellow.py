"""The 2014 GAN: its networks against plain float64, and a step against the two players' gradients taken apart."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinyart import backend, grad, tensor
from tinyart.data import art
from tinyart.errors import ShapeError
from tinyart.models.gan import discriminator_loss, generator_loss
from tinyart.models.goodfellow import (
    LEARNING_RATE,
    GoodfellowTrainer,
    Maxout,
    MaxoutDiscriminator,
    MLPGenerator,
    logit_of_mean,
    momentum,
)
from tinyart.random import Generator

IMAGES = art(6, size=4)[0]  # uint8 (6, 4, 4, 3)


def plain(x: np.ndarray, layer: Any) -> np.ndarray:
    """x·weight + bias in float64."""
    return x @ layer.weight.numpy().astype(float) + layer.bias.numpy()


def maxout(x: np.ndarray, layer: Maxout, units: int) -> np.ndarray:
    pieces = [plain(x, layer.linear)[:, k * units : (k + 1) * units] for k in range(5)]
    return np.max(pieces, axis=0)


# ---- schedules and starting weights


def test_learning_rate_falls_by_1_000004_an_update_to_its_floor() -> None:
    assert LEARNING_RATE(0) == 0.1
    assert LEARNING_RATE(500) == pytest.approx(0.1 / 1.000004**500, rel=1e-12)
    assert LEARNING_RATE(10_000_000) == 1e-6


def test_momentum_rises_from_a_half_to_0_7_over_250_epochs() -> None:
    assert [momentum(500 * epoch) for epoch in (0, 125, 250, 1000)] == pytest.approx([0.5, 0.6, 0.7, 0.7])


def test_the_output_bias_makes_the_mean_pixel() -> None:
    images = np.array([[[0, 255], [51, 10]], [[0, 255], [0, 200]]], np.uint8)[..., None]  # (2, 2, 2, 1)
    bias = logit_of_mean(images)
    assert bias.dtype == np.float32
    assert np.allclose(1 / (1 + np.exp(-bias)), [1e-7, 1 - 1e-7, 0.1, 105 / 255], rtol=1e-3)


def test_starting_weights_are_uniform_and_other_biases_0() -> None:
    trainer = GoodfellowTrainer(IMAGES)
    for player, bound in ((trainer.generator, 0.05), (trainer.discriminator, 0.005)):
        for name, p in player.named_parameters():
            if name.endswith("weight"):
                assert bound * 0.97 < np.abs(p.numpy()).max() <= bound
                assert np.isclose(p.numpy().std(), bound / math.sqrt(3), rtol=0.1)
            elif name != "output.bias":
                assert not p.numpy().any()
    assert np.array_equal(trainer.generator.output.bias.numpy(), logit_of_mean(IMAGES))
    widths = {name: array.shape for name, array in trainer.discriminator.state_dict().items() if "weight" in name}
    assert list(widths.values()) == [(48, 1200), (240, 1200), (240, 1)]


# ---- networks


def test_generator_is_two_relu_layers_and_a_sigmoid() -> None:
    g = MLPGenerator(np.float32([1, -2, 0.5]), units=7, generator=Generator(1))
    z = np.random.default_rng(0).uniform(-1.7, 1.7, (4, 100))
    h = np.maximum(plain(z, g.hidden[0]), 0)
    h = np.maximum(plain(h, g.hidden[2]), 0)
    assert np.allclose(g(tensor(z, "float32")).numpy(), 1 / (1 + np.exp(-plain(h, g.output))), atol=1e-6)


def test_maxout_is_the_largest_of_the_pieces() -> None:
    layer = Maxout(6, 3, 5, 1.0, Generator(2))
    x = np.random.default_rng(1).normal(size=(4, 6))
    assert np.allclose(layer(tensor(x, "float32")).numpy(), maxout(x, layer, 3), atol=1e-5)


def test_discriminator_is_two_maxout_layers_and_a_logit() -> None:
    d = MaxoutDiscriminator(6, units=8, generator=Generator(3))
    for p in d.parameters():
        p.array *= 100  # at ±0.005 every logit is about 0
    x = np.random.default_rng(2).uniform(size=(4, 6))
    first, second, last = d.layers[1], d.layers[3], d.layers[5]
    logits = plain(maxout(maxout(x, first, 8), second, 8), last)
    d.eval()
    assert logits.std() > 0.05
    assert np.allclose(d(tensor(x, "float32")).numpy(), logits, atol=1e-4)


def test_dropout_keeps_0_8_of_the_pixels_and_half_of_the_units_and_scales_them_up() -> None:
    d = MaxoutDiscriminator(6, units=8, generator=Generator(4))
    for layer, scale in ((0, 1.25), (2, 2.0), (4, 2.0)):
        y = d.layers[layer](tensor(np.ones((100, 400), np.float32))).numpy()
        assert np.allclose(np.unique(y), [0, scale])
        assert y.mean() == pytest.approx(1, abs=5 * math.sqrt((scale - 1) / y.size))


def test_noise_is_uniform_with_variance_1() -> None:
    z = GoodfellowTrainer(IMAGES).noise(2000, Generator(5)).numpy()
    assert z.shape == (2000, 100)
    assert math.sqrt(3) * 0.9999 < np.abs(z).max() <= math.sqrt(3) * 1.000001
    assert z.var() == pytest.approx(1, abs=5 * math.sqrt(0.8 / z.size))  # the fourth moment is 9/5
    assert abs(z.mean()) < 5 / math.sqrt(z.size)


# ---- the step


def gradients_apart(trainer: GoodfellowTrainer, images: np.ndarray) -> list[list[np.ndarray]]:
    """Of D from images that G made, taken as constants; of G through D: each player's with a graph of its own."""
    real, random = tensor(images.reshape(len(images), -1) / 255, "float32"), trainer.random.state

    def logits(constant: bool) -> tuple[Any, Any]:
        trainer.random.state = random
        fake = trainer.generator(trainer.noise(len(images), trainer.random))
        fake_logits = trainer.discriminator(fake.detach() if constant else fake)
        return trainer.discriminator(real), fake_logits

    d_loss = discriminator_loss(*logits(constant=True)) * 0.5
    of_d = grad(d_loss, trainer.discriminator.parameters())
    of_g = grad(generator_loss(logits(constant=False)[1]), trainer.generator.parameters())
    trainer.random.state = random
    return [[g.numpy().astype(float) for g in gradients] for gradients in (of_d, of_g)]


def test_a_step_moves_both_players_along_their_own_gradients_at_the_same_weights() -> None:
    trainer = GoodfellowTrainer(IMAGES, seed=1)
    for p in trainer.discriminator.parameters():
        p.array *= 30  # so that D's gradients, and G's through it, are not all about 0
    players = trainer.discriminator.parameters(), trainer.generator.parameters()
    velocity: list[list[Any]] = [[0.0] * len(player) for player in players]
    for step in range(3):
        before = [[p.numpy().astype(float) for p in player] for player in players]
        gradients = gradients_apart(trainer, IMAGES)
        trainer.step(IMAGES)
        for v, g, old, player in zip(velocity, gradients, before, players, strict=True):
            for i, p in enumerate(player):
                v[i] = momentum(step) * v[i] + g[i]
                moved = LEARNING_RATE(step) * np.abs(v[i]).max()
                assert moved > 0
                assert np.allclose(p.numpy(), old[i] - LEARNING_RATE(step) * v[i], atol=1e-3 * moved + 1e-7)


def test_a_step_computes_neither_players_gradient_twice_nor_one_that_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Products: 3 + 2·3 forward; for D 2·3 of weights and 2·2 of inputs; for G 3 of D's inputs, 3 and 2 of its own."""
    trainer, products = GoodfellowTrainer(IMAGES), [0]

    def counting(name: str, count: Callable[..., int]) -> None:
        kernel = getattr(backend._cpu, name)

        def counted(*arguments: Any, **settings: Any) -> Any:
            products[0] += count(*arguments, **settings)
            return kernel(*arguments, **settings)

        monkeypatch.setattr(backend._cpu, name, counted)

    counting("matmul", lambda a, b: 1)
    counting("dense", lambda x, w, b, **_: 1)
    counting("dense_backward", lambda g, x, w, y, activation, slope, wanted: bool(wanted[0]) + bool(wanted[1]))
    trainer.step(IMAGES)
    assert products == [27]


def test_the_losses_start_at_log_2() -> None:
    losses = GoodfellowTrainer(IMAGES).step(IMAGES)
    assert losses == pytest.approx({"L_D": math.log(2), "L_G": math.log(2)}, abs=1e-3)


def test_momentum_of_the_optimisers_follows_the_schedule() -> None:
    trainer = GoodfellowTrainer(IMAGES)
    for player in trainer.players:
        player.steps = 62_500
    trainer.step(IMAGES)
    assert [player.momentum for player in trainer.players] == [0.6, 0.6]


def test_a_loaded_state_goes_on_exactly() -> None:
    trainer, other = GoodfellowTrainer(IMAGES, seed=2), GoodfellowTrainer(IMAGES, seed=3)
    trainer.step(IMAGES)
    other.load_state(trainer.state())
    assert [trainer.step(IMAGES), trainer.step(IMAGES)] == [other.step(IMAGES), other.step(IMAGES)]
    z = trainer.noise(5, Generator(0))
    made = trainer.images(z)
    assert made.shape == (5, 4, 4, 3)
    assert np.array_equal(made, other.images(z))


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"GoodfellowTrainer: images: expected \(N, 4, 4, 3\), got \(6, 4, 2, 3\)"):
        GoodfellowTrainer(IMAGES).step(IMAGES[:, :, :2])
