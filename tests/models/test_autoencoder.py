"""Document 4, section 3.2.3: the autoencoder, an equation a test, and the moments of its codes."""

import numpy as np
import pytest

from tinyart import grad, tensor
from tinyart.data import art
from tinyart.errors import ArgumentError, ShapeError
from tinyart.models.autoencoder import Autoencoder, AutoencoderTrainer, cross_entropy, moments, squared_error
from tinyart.random import Generator
from tinyart.testing import check_grad

RNG = np.random.default_rng(0)
X, LOGITS = RNG.uniform(0, 1, (3, 5)), RNG.normal(0, 2, (3, 5))
MADE = 1 / (1 + np.exp(-LOGITS))


def test_squared_error_is_the_mean_over_pixels_and_images() -> None:
    assert squared_error(tensor(X), tensor(LOGITS)).item() == pytest.approx(((X - MADE) ** 2).sum() / 15, rel=1e-13)


def test_cross_entropy_is_the_sum_over_pixels_and_the_mean_over_images() -> None:
    each = -(X * np.log(MADE) + (1 - X) * np.log(1 - MADE)).sum(1)
    assert cross_entropy(tensor(X), tensor(LOGITS)).item() == pytest.approx(each.mean(), rel=1e-13)


def test_both_losses_are_least_where_the_reconstruction_is_the_image() -> None:
    exact = tensor(np.log(X / (1 - X)), requires_grad=True)
    for loss in (squared_error, cross_entropy):
        (slope,) = grad(loss(tensor(X), exact), [exact])
        assert np.abs(slope.numpy()).max() < 1e-15
        assert loss(tensor(X), exact).item() < loss(tensor(X), tensor(LOGITS)).item()
    assert squared_error(tensor(X), exact).item() < 1e-30
    assert cross_entropy(tensor(X), exact).item() > 1  # the entropy of grey pixels


def test_losses_have_right_gradients_to_the_second_order() -> None:
    for loss in (squared_error, cross_entropy):
        check_grad(lambda logits, loss=loss: loss(tensor(X), logits), LOGITS, order=2)


def test_moments_are_those_of_the_mixture_of_what_was_and_what_is_new() -> None:
    """9 parts of old codes and 1 part of new ones: here as 900 and 100 numbers, of which the moments are counted."""
    rng = np.random.default_rng(1)
    old, new = rng.normal(1, 2, (900, 4)), rng.normal(-3, 0.5, (100, 4))
    mean, variance = moments(tensor(old.mean(0)), tensor(old.var(0)), tensor(new))
    both = np.concatenate([old, new])
    assert np.allclose(mean.numpy(), both.mean(0), rtol=1e-12)
    assert np.allclose(variance.numpy(), both.var(0), rtol=1e-12)


def test_codes_moments_follow_the_training_and_only_the_training() -> None:
    module, images = Autoencoder((8, 8, 3), hidden=(16,), latent=3, generator=Generator(0)), art(10, size=8)[0]
    x = module.pixels(images)
    for _ in range(160):
        z = module.encode(x).numpy()
    assert np.allclose(module.code_mean.numpy(), z.mean(0), atol=1e-4)
    assert np.allclose(module.code_variance.numpy(), z.var(0), rtol=1e-3)
    kept = module.code_mean.numpy().copy()
    module.eval()
    module.encode(x[:5])
    assert np.array_equal(module.code_mean.numpy(), kept)


def test_noise_has_the_mean_and_the_deviation_of_the_codes() -> None:
    trainer = AutoencoderTrainer(shape=(4, 4, 1), hidden=(8,), latent=2)
    trainer.module.code_mean[...], trainer.module.code_variance[...] = tensor([3.0, -1.0], "float32"), 4.0
    z = trainer.noise(40_000, Generator(1)).numpy()
    assert np.allclose(z.mean(0), [3, -1], atol=5 * 2 / 200)
    assert np.allclose(z.std(0), 2, atol=5 * 2 / np.sqrt(80_000))
    assert np.array_equal(z, trainer.noise(40_000, Generator(1)).numpy())


def test_encode_and_images_are_the_layers_in_order() -> None:
    module = Autoencoder((2, 3, 1), hidden=(5, 4), latent=2, activation="leaky_relu", generator=Generator(3))
    w = {name: array.astype(float) for name, array in module.state_dict().items()}

    def dense(h: np.ndarray, name: str) -> np.ndarray:
        return h @ w[f"{name}.weight"] + w[f"{name}.bias"]

    def leaky(h: np.ndarray) -> np.ndarray:
        return np.where(h > 0, h, 0.2 * h)

    x = np.random.default_rng(2).uniform(0, 1, (7, 6))
    z = dense(leaky(dense(leaky(dense(x, "encoder.0")), "encoder.2")), "encoder.4")
    logits = dense(leaky(dense(leaky(dense(z, "decoder.0")), "decoder.2")), "decoder.4")
    assert np.allclose(module.encode(tensor(x, "float32")).numpy(), z, atol=1e-6)
    assert np.allclose(module(tensor(x, "float32")).numpy(), logits, atol=1e-6)
    images = module.images(tensor(z, "float32"))
    assert images.shape == (7, 2, 3, 1)
    assert np.allclose(images.reshape(7, 6), 1 / (1 + np.exp(-logits)), atol=1e-6)


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
def test_training_learns_to_reconstruct(loss: str) -> None:
    images = art(20, size=8)[0]
    trainer = AutoencoderTrainer(shape=(8, 8, 3), hidden=(64,), latent=8, lr=5e-3, loss=loss)
    first = trainer.step(images)
    assert list(first) == [loss.replace("_", " ")]
    for _ in range(150):
        last = trainer.step(images)
    assert sum(last.values()) < sum(first.values())
    kept = trainer.state()["module"]["code_mean"]
    error = np.abs(trainer.module.reconstruct(images) - images / 255).mean()
    assert error < 0.5 * np.abs(images.mean(0) / 255 - images / 255).mean()
    assert np.array_equal(trainer.state()["module"]["code_mean"], kept)  # looking is not training


def test_drawn_codes_make_pictures_as_various_as_the_training_s_and_codes_of_a_standard_normal_do_not() -> None:
    images = art(60, size=8)[0]
    trainer = AutoencoderTrainer(shape=(8, 8, 3), hidden=(64,), latent=4, lr=5e-3)
    for _ in range(200):
        trainer.step(images)

    def spread(pictures: np.ndarray) -> float:
        return float(pictures.std(0).mean())

    right = spread(trainer.module.reconstruct(images))
    assert abs(spread(trainer.images(trainer.noise(300, Generator(2)))) - right) < 0.02
    assert spread(trainer.images(Generator(2).normal((300, 4)))) < right - 0.02


def test_three_and_four_steps_with_a_save_between_equal_seven_bit_for_bit() -> None:
    images = art(10, size=8)[0]

    def make(seed: int) -> AutoencoderTrainer:
        return AutoencoderTrainer(shape=(8, 8, 3), hidden=(16,), latent=3, seed=seed)

    straight, first, second = make(0), make(0), make(1)
    for _ in range(7):
        straight.step(images)
    for _ in range(3):
        first.step(images)
    second.load_state(first.state())
    for _ in range(4):
        second.step(images)
    for name, array in straight.module.state_dict().items():
        assert np.array_equal(array, second.module.state_dict()[name]), name
    assert np.array_equal(straight.noise(3, Generator(0)).numpy(), second.noise(3, Generator(0)).numpy())


def test_a_batch_of_one_and_an_empty_one_leave_finite_moments() -> None:
    trainer = AutoencoderTrainer(shape=(8, 8, 3), hidden=(8,), latent=2)
    trainer.step(art(1, size=8)[0])
    trainer.module.encode(trainer.module.pixels(art(1, size=8)[0][:0]))
    assert np.isfinite(trainer.module.code_mean.numpy()).all()
    assert (trainer.module.code_variance.numpy() > 0).all()


def test_errors_name_what_to_do() -> None:
    with pytest.raises(ArgumentError, match=r"Autoencoder: shape, hidden, latent: expected \(H, W, C\), one width"):
        Autoencoder((8, 8, 3), latent=0)
    with pytest.raises(ArgumentError, match=r"Autoencoder: activation: expected one of relu, leaky_relu, got 'gelu'"):
        Autoencoder(activation="gelu")
    with pytest.raises(ArgumentError, match=r"AutoencoderTrainer: loss: expected one of squared_error, cross_entropy"):
        AutoencoderTrainer(shape=(8, 8, 3), loss="l1")
    with pytest.raises(ShapeError, match=r"Autoencoder: images: expected \(N, 28, 28, 1\), got \(2, 8, 8, 3\)"):
        Autoencoder().pixels(art(2, size=8)[0])
