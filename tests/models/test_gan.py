"""The GAN's equations, documents 1 to 4: what is right, and where a document's own line fails."""

import math
from typing import Any

import numpy as np
import pytest

from tinyart import grad, ops, tensor
from tinyart.data import art
from tinyart.errors import ArgumentError, ShapeError
from tinyart.models.dcgan import DCGANTrainer
from tinyart.models.gan import (
    AdversarialTrainer,
    GANTrainer,
    best_discriminator,
    decay_after,
    discriminator_loss,
    generator_loss,
    minimax_generator_loss,
    mlp_gan,
    value,
)
from tinyart.random import Generator
from tinyart.testing import check_grad

REAL, FAKE = np.random.default_rng(0).normal(0, 3, (2, 6, 1))


def sigma(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


# ---- the equations


def test_value_is_the_mean_log_of_the_probabilities() -> None:
    expected = np.log(sigma(REAL)).mean() + np.log(1 - sigma(FAKE)).mean()
    assert value(tensor(REAL), tensor(FAKE)).item() == pytest.approx(expected, rel=1e-13)
    assert value(tensor(np.zeros((3, 1))), tensor(np.zeros((3, 1)))).item() == pytest.approx(-math.log(4), rel=1e-15)
    check_grad(value, REAL, FAKE, order=2)


def test_discriminator_loss_is_minus_the_value() -> None:
    """L_D = -[log D(x) + log(1 - D(G(z)))], document 3 with its bracket closed: the mean of two cross-entropies."""
    loss = discriminator_loss(tensor(REAL), tensor(FAKE)).item()
    assert loss == -value(tensor(REAL), tensor(FAKE)).item()
    assert loss == pytest.approx(-(np.log(sigma(REAL)) + np.log(1 - sigma(FAKE))).mean(), rel=1e-13)


@pytest.mark.parametrize("loss", [generator_loss, minimax_generator_loss])
def test_generator_losses(loss: Any) -> None:
    d = sigma(FAKE)
    expected = -np.log(d).mean() if loss is generator_loss else np.log(1 - d).mean()
    assert loss(tensor(FAKE)).item() == pytest.approx(expected, rel=1e-12)
    check_grad(loss, FAKE, order=2)


def test_losses_are_finite_at_logits_of_ten_thousand() -> None:
    far = tensor(np.array([[1e4], [-1e4]]), requires_grad=True)
    for loss in (value(far, far), discriminator_loss(far, far), generator_loss(far), minimax_generator_loss(far)):
        assert np.isfinite(loss.item())
        assert np.isfinite(grad(loss, far).numpy()).all()


def test_minimax_saturates_where_the_other_loss_does_not() -> None:
    """Documents 1 and 3 differ: the same fixed point, D = 1/2 in both, other gradients on the way."""
    rejected = tensor(np.array([[-20.0]]), requires_grad=True)
    assert abs(grad(minimax_generator_loss(rejected), rejected).item()) < 1e-8
    assert grad(generator_loss(rejected), rejected).item() == pytest.approx(-1)
    logits = tensor(FAKE, requires_grad=True)
    assert np.allclose(grad(minimax_generator_loss(logits), logits).numpy(), -sigma(FAKE) / 6, rtol=1e-12)
    assert np.allclose(grad(generator_loss(logits), logits).numpy(), (sigma(FAKE) - 1) / 6, rtol=1e-12)


P_DATA, P_G = np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.25, 0.05]])


def value_of(d: np.ndarray, p_g: np.ndarray = P_G) -> float:
    """V(D, G) for a finite set of points: probabilities in place of densities."""
    return float((P_DATA * np.log(d) + p_g * np.log(1 - d)).sum())


def test_best_discriminator_maximises_the_value() -> None:
    best = best_discriminator(P_DATA, P_G)
    for seed in range(50):
        other = np.clip(best + np.random.default_rng(seed).normal(0, 0.05, 4), 0.01, 0.99)
        assert value_of(other) < value_of(best)
    mixture = (P_DATA + P_G) / 2
    divergence = 0.5 * ((P_DATA * np.log(P_DATA / mixture)).sum() + (P_G * np.log(P_G / mixture)).sum())
    assert value_of(best) == pytest.approx(2 * divergence - math.log(4))  # theorem 1 of the paper
    assert value_of(best_discriminator(P_DATA, P_DATA), P_DATA) == pytest.approx(-math.log(4))


def test_best_discriminator_is_a_half_only_where_the_densities_agree() -> None:
    """Document 3 sets 1/D - 1/(1 - D) to 0 and gets 1/2 for any G."""
    assert np.all(best_discriminator(P_DATA, P_DATA) == 0.5)
    assert np.abs(best_discriminator(P_DATA, P_G) - 0.5).min() > 0.04
    assert value_of(np.full(4, 0.5)) < value_of(best_discriminator(P_DATA, P_G))


def test_the_derivative_by_the_probability_is_not_that_of_the_document() -> None:
    """Of L_D = -log D(x) - log(1 - D(G(z))) by D(G(z)): 1/(1 - D(G(z))), which is never 0."""
    d = tensor(np.array(0.3), requires_grad=True)
    slope = grad(-ops.log(1.0 - d), d).item()
    assert slope == pytest.approx(1 / (1 - 0.3))
    assert abs(slope - (1 / 0.3 - 1 / (1 - 0.3))) > 0.1


def test_a_sigmoid_before_the_loss_with_logits_stops_it_above_one() -> None:
    """Document 2 takes the sigmoid twice: L_D cannot fall under log(1 + 1/e) + log 2."""
    real, fake = tensor(np.array([[50.0]])), tensor(np.array([[-50.0]]))
    assert discriminator_loss(real, fake).item() < 1e-20
    twice = discriminator_loss(ops.sigmoid(real), ops.sigmoid(fake)).item()
    assert twice == pytest.approx(math.log(1 + math.exp(-1)) + math.log(2))
    assert twice > 1.006


# ---- the networks and the step


def test_the_documents_networks() -> None:
    networks = mlp_gan((28, 28, 1))
    shapes = [p.shape for p in networks.parameters() if p.ndim == 2]
    assert shapes == [(100, 1024), (1024, 1024), (1024, 784), (784, 1024), (1024, 1024), (1024, 1)]
    deeper = mlp_gan((28, 28, 1), hidden=(1024, 1024, 1024))  # document 4
    assert len([p for p in deeper.parameters() if p.ndim == 2]) == 8
    order = mlp_gan((2, 2, 1), hidden=(7, 5), latent=3)
    assert [p.shape for p in order.parameters() if p.ndim == 2] == [(3, 7), (7, 5), (5, 4), (4, 5), (5, 7), (7, 1)]


def test_the_images_are_the_documents_sigmoid_of_twice_the_last_layer() -> None:
    networks = mlp_gan((4, 5, 3), hidden=(6,), latent=2, random=Generator(0))
    z = Generator(1).normal((7, 2))
    *layers, _tanh = networks.generator
    a = z
    for layer in layers:
        a = layer(a)
    assert np.allclose(networks.images(z).reshape(7, 60), sigma(2 * a.numpy()), atol=1e-6)
    assert networks.generator(z).numpy().min() < 0


def test_pixels_and_images_are_inverse() -> None:
    networks = mlp_gan((4, 5, 3), hidden=(6,), latent=2)
    images = art(2, size=5)[0][:, :4]
    x = networks.pixels(images).numpy()
    assert x.dtype == np.float32
    assert -1 <= x.min() < 0 < x.max() <= 1
    networks.generator.forward = lambda z: tensor(x).flatten(1)  # type: ignore[method-assign]
    assert np.allclose(networks.images(tensor(np.zeros((2, 2)))), images / 255, atol=1e-6)
    with pytest.raises(ShapeError, match=r"GAN: images: expected \(N, 4, 5, 3\), got \(2, 5, 4, 3\)"):
        networks.pixels(images.swapaxes(1, 2))


def make(model: str, dropout: float = 0.5) -> AdversarialTrainer:
    if model == "gan":
        return GANTrainer(shape=(16, 16, 3), hidden=(12, 8), latent=4, dropout=dropout, seed=3)
    return DCGANTrainer(shape=(16, 16, 3), latent=4, width=2, seed=3)


IMAGES = art(8, size=16)[0]


@pytest.mark.parametrize("model", ["gan", "dcgan"])
def test_each_step_moves_its_own_players_weights(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Document 2 lets each optimiser minimise over all variables: G would then make D blind, and D spoil G."""
    trainer = make(model)
    seen: list[tuple[bool, bool]] = []
    for optimizer in (trainer.discriminator_optimizer, trainer.generator_optimizer):
        def step(gradients: Any, optimizer: Any = optimizer, update: Any = optimizer.step) -> None:
            before = [p.numpy().copy() for p in trainer.module.parameters()]
            update(gradients)
            own = {id(p) for p in optimizer.parameters}
            moved = [(id(p) in own, not np.array_equal(p.numpy(), old))
                     for p, old in zip(trainer.module.parameters(), before, strict=True)]
            seen.append((all(m for o, m in moved if o), any(m for o, m in moved if not o)))
        monkeypatch.setattr(optimizer, "step", step)
    trainer.step(IMAGES)
    assert seen == [(True, False), (True, False)]


@pytest.mark.parametrize("model", ["gan", "dcgan"])
def test_a_step_is_the_two_equations_in_turn(model: str) -> None:
    """The gradients that the optimisers get, against a plain evaluation of L_D, then of L_G with the new D.

    D sees the real and the fake ones apart: mixed, the DCGAN's batch norm would tell them by their statistics.
    """
    trainer, other = (make(model, dropout=0.0) for _ in range(2))
    losses = trainer.step(IMAGES)
    d, g, x = other.module.discriminator, other.module.generator, other.module.pixels(IMAGES)
    z = other.noise(8, other.random)
    d_loss = discriminator_loss(d(x), d(g(z)))
    other.discriminator_optimizer.step(grad(d_loss, d.parameters()))
    g_loss = generator_loss(d(g(z)))
    other.generator_optimizer.step(grad(g_loss, g.parameters()))
    assert losses["L_D"] == pytest.approx(d_loss.item(), rel=1e-5)
    assert losses["L_G"] == pytest.approx(g_loss.item(), rel=1e-5)
    for ours, theirs in zip(trainer.module.parameters(), other.module.parameters(), strict=True):
        assert np.allclose(ours.numpy(), theirs.numpy(), atol=3e-6)


@pytest.mark.parametrize("model", ["gan", "dcgan"])
def test_a_loaded_trainer_goes_on_bit_for_bit(model: str) -> None:
    straight, first = make(model), make(model)
    for _ in range(5):
        straight.step(IMAGES)
    for _ in range(2):
        first.step(IMAGES)
    second = make(model)
    second.step(IMAGES)
    second.load_state(first.state())
    for _ in range(3):
        second.step(IMAGES)
    a, b = straight.state(), second.state()
    for part in ("module", "average", "discriminator optimizer", "generator optimizer"):
        assert all(np.array_equal(a[part][name], b[part][name]) for name in a[part]), part
    assert np.array_equal(a["random"], b["random"])


@pytest.mark.parametrize("model", ["gan", "dcgan"])
def test_images_use_the_averaged_weights_and_leave_the_training_alone(model: str) -> None:
    trainer = make(model)
    for _ in range(3):
        trainer.step(IMAGES)
    before, z = trainer.state(), trainer.noise(3, Generator(0))
    images = trainer.images(z)
    assert images.shape == (3, 16, 16, 3)
    assert 0 <= images.min() < images.max() <= 1
    assert np.array_equal(images, trainer.images(z))
    assert not np.array_equal(images, trainer.module.images(z))
    after = trainer.state()
    assert all(np.array_equal(before["module"][name], after["module"][name]) for name in before["module"])
    assert trainer.module.generator.training


def test_the_average_forgets_the_first_weights_and_is_slow_in_the_end() -> None:
    assert [decay_after(t, 0.9) for t in (1, 8, 80, 10_000)] == [2 / 11, 0.5, 0.9, 0.9]
    trainer = GANTrainer(shape=(16, 16, 3), hidden=(12,), latent=4, average=0.3, seed=3)
    weight = trainer.module.generator.parameters()[0]
    expected = weight.numpy().astype(np.float64)
    for t in range(1, 7):
        trainer.step(IMAGES)
        decay = min(0.3, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * weight.numpy()
    with trainer.average.applied():
        assert np.allclose(weight.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("loss", ["non_saturating", "minimax"])
def test_training_moves_the_fakes_to_the_data(loss: str) -> None:
    """Pictures of one grey level, 215 at the left and 90 at the right: G, which begins at 127, finds both."""
    images = np.full((16, 4, 4, 1), 215, np.uint8)
    images[:, :, 2:] = 90
    trainer = GANTrainer(shape=(4, 4, 1), hidden=(16,), latent=2, dropout=0.0, lr=5e-3, average=0.9, loss=loss)
    z = trainer.noise(200, Generator(1))
    for _ in range(200):
        trainer.step(images)
    drawn = trainer.images(z) * 255
    assert abs(drawn[:, :, :2].mean() - 215) < 25
    assert abs(drawn[:, :, 2:].mean() - 90) < 25


def test_errors_name_what_to_do() -> None:
    with pytest.raises(ArgumentError, match="GAN: loss: expected one of non_saturating, minimax, got 'hinge'"):
        GANTrainer(shape=(4, 4, 1), hidden=(4,), loss="hinge")
    with pytest.raises(ArgumentError, match="mlp_gan: shape, hidden, latent"):
        mlp_gan((4, 4, 1), hidden=())
