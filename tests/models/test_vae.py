"""Document 2, section 3.2.3, equation by equation: what is right, and where the document's own line fails."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from tinyart import grad, ops, tensor
from tinyart.data import art
from tinyart.errors import ArgumentError, FormatError, ShapeError
from tinyart.models import VAE, VAETrainer, build, settings_of
from tinyart.models.vae import bernoulli_log_likelihood, gaussian_log_likelihood, negative_elbo, reparameterise
from tinyart.optim import Adam
from tinyart.random import Generator
from tinyart.testing import check_grad


def log_normal(z: np.ndarray, mu: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """log N(z; μ, variance), summed over the last axis."""
    return (-0.5 * (np.log(2 * np.pi * variance) + (z - mu) ** 2 / variance)).sum(-1)


MU = np.array([[0.7, -1.2, 0.1], [0.0, 2.0, -0.4]])
LOG_VAR = np.array([[0.3, -1.5, 0.0], [1.1, -0.2, -3.0]])


# ---- the equations


def test_reparameterise_has_mean_mu_and_variance_sigma_squared() -> None:
    epsilon = np.random.default_rng(0).standard_normal((200_000, 2, 3))
    z = reparameterise(tensor(MU), tensor(LOG_VAR), tensor(epsilon)).numpy()
    variance = np.exp(LOG_VAR)
    assert np.all(np.abs(z.mean(0) - MU) < 5 * np.sqrt(variance / len(z)))
    assert np.all(np.abs(z.var(0) - variance) < 5 * variance * math.sqrt(2 / len(z)))
    # q = N(μ, σ) with σ as the variance, as the document writes it, is another distribution
    assert np.all(np.abs(z.var(0) - np.sqrt(variance))[LOG_VAR != 0] > 0.05)


def test_reparameterise_passes_gradients_to_mu_and_log_var() -> None:
    epsilon = np.random.default_rng(1).standard_normal(MU.shape)
    mu, log_var = tensor(MU, requires_grad=True), tensor(LOG_VAR, requires_grad=True)
    to_mu, to_log_var = grad(reparameterise(mu, log_var, tensor(epsilon)).sum(), [mu, log_var])
    assert np.array_equal(to_mu.numpy(), np.ones_like(MU))
    assert np.allclose(to_log_var.numpy(), 0.5 * np.exp(LOG_VAR / 2) * epsilon, rtol=1e-14)


def test_kl_to_standard_normal_equals_its_definition() -> None:
    """KL(q‖p) = E_q[log q(z) - log p(z)], here by a million draws."""
    z = MU + np.exp(LOG_VAR / 2) * np.random.default_rng(2).standard_normal((500_000, 2, 3))
    ratio = log_normal(z, MU, np.exp(LOG_VAR)) - log_normal(z, np.zeros(3), np.ones(3))  # (500000, 2)
    error = 5 * ratio.std(0) / math.sqrt(len(ratio))
    kl = ops.kl_to_standard_normal(tensor(MU), tensor(LOG_VAR)).numpy()
    assert np.all(np.abs(kl - ratio.mean(0)) < error)
    assert np.all(np.abs(0.5 * kl - ratio.mean(0)) > error)  # the ½ belongs inside the closed form, not before it


def test_bernoulli_log_likelihood_is_the_log_of_the_product() -> None:
    rng = np.random.default_rng(3)
    logits, x = rng.normal(0, 2, (5, 7)), rng.integers(0, 2, (5, 7)).astype(float)
    p = 1 / (1 + np.exp(-logits))
    product = np.where(x == 1, p, 1 - p).prod(1)
    assert np.allclose(bernoulli_log_likelihood(tensor(x), tensor(logits)).numpy(), np.log(product), rtol=1e-13)


def test_bernoulli_log_likelihood_of_grey_is_the_mean_over_binary_images() -> None:
    rng = np.random.default_rng(4)
    grey, logits = rng.uniform(0, 1, (1, 6)), rng.normal(0, 2, (1, 6))
    binary = ((np.arange(64)[:, None] >> np.arange(6)) & 1).astype(float)  # all 64 images of 6 pixels
    chance = np.where(binary == 1, grey, 1 - grey).prod(1)
    each = bernoulli_log_likelihood(tensor(binary), tensor(np.repeat(logits, 64, 0))).numpy()
    assert np.isclose(bernoulli_log_likelihood(tensor(grey), tensor(logits)).numpy()[0], (chance * each).sum())


def test_bernoulli_log_likelihood_is_finite_at_logits_of_ten_thousand() -> None:
    values = bernoulli_log_likelihood(tensor([[0.0, 1.0], [1.0, 0.0]]), tensor([[-1e4, 1e4], [-1e4, 1e4]])).numpy()
    assert values.tolist() == [0.0, -2e4]


def test_gaussian_log_likelihood_is_the_log_of_the_density() -> None:
    rng = np.random.default_rng(7)
    x, mean = rng.uniform(0, 1, (2, 4, 5))
    ours = gaussian_log_likelihood(tensor(x), tensor(mean), tensor(np.array([-1.3]))).numpy()
    assert np.allclose(ours, norm.logpdf(x, mean, math.exp(-1.3 / 2)).sum(1), rtol=1e-13)
    check_grad(lambda mean, log_var: gaussian_log_likelihood(tensor(x), mean, log_var), mean, np.array([-1.3]), order=2)


class Integrable:
    """z in one dimension, p(x|z) Bernoulli over 3 pixels with logits a z + b: everything by sums over a fine grid."""

    a, b, x = np.array([2.0, -1.5, 0.7]), np.array([0.3, -0.2, 1.0]), np.array([1.0, 0.0, 1.0])
    z = np.linspace(-12, 12, 20_001)
    step = z[1] - z[0]

    def log_joint(self) -> np.ndarray:
        logits = np.outer(self.z, self.a) + self.b
        return (self.x * logits - np.logaddexp(0, logits)).sum(1) + log_normal(self.z[:, None], np.zeros(1), np.ones(1))

    def log_p(self) -> float:
        return math.log(np.exp(self.log_joint()).sum() * self.step)

    def kl_to_posterior(self, mu: float, log_var: float) -> float:
        log_q = log_normal(self.z[:, None], np.array([mu]), np.exp([log_var]))
        return float((np.exp(log_q) * (log_q - self.log_joint() + self.log_p())).sum() * self.step)

    def terms(self, mu: float, log_var: float, draws: int) -> tuple[np.ndarray, np.ndarray]:
        epsilon = np.random.default_rng(5).standard_normal((draws, 1))
        means, log_vars = np.full((draws, 1), mu), np.full((draws, 1), log_var)
        z = reparameterise(tensor(means), tensor(log_vars), tensor(epsilon)).numpy()
        x = np.repeat(self.x[None], draws, 0)
        log_likelihood = bernoulli_log_likelihood(tensor(x), tensor(z * self.a + self.b)).numpy()
        return log_likelihood, ops.kl_to_standard_normal(tensor(means), tensor(log_vars)).numpy()


@pytest.mark.parametrize(("mu", "log_var"), [(0.0, 0.0), (0.6, -0.6), (1.0, -1.0), (-1.0, 0.5)])
def test_negative_elbo_is_a_lower_bound_of_log_p(mu: float, log_var: float) -> None:
    """ELBO = log p(x) - KL(q‖p(z|x)) ≤ log p(x), where log p(x) and the gap are integrated."""
    model = Integrable()
    log_likelihood, kl = model.terms(mu, log_var, 200_000)
    elbo = -negative_elbo(tensor(log_likelihood), tensor(kl)).item()
    error = 5 * log_likelihood.std() / math.sqrt(len(log_likelihood))
    gap = model.kl_to_posterior(mu, log_var)
    assert gap > 1e-3
    assert abs(elbo - (model.log_p() - gap)) < error + 1e-6
    assert elbo < model.log_p() + error


def test_negative_elbo_with_half_the_kl_as_in_the_document_is_no_bound() -> None:
    model = Integrable()
    log_likelihood, kl = model.terms(0.6, -0.6, 200_000)
    documents = -negative_elbo(tensor(log_likelihood), tensor(0.5 * kl)).item()
    assert documents > model.log_p() + 0.05


def test_negative_elbo_has_right_gradients_to_the_second_order() -> None:
    rng = np.random.default_rng(6)
    x, epsilon, w = rng.uniform(0, 1, (2, 4)), rng.normal(size=(2, 3)), rng.normal(size=(3, 4))

    def loss(mu, log_var):  # type: ignore[no-untyped-def]
        logits = reparameterise(mu, log_var, tensor(epsilon)) @ tensor(w)
        return negative_elbo(bernoulli_log_likelihood(tensor(x), logits), ops.kl_to_standard_normal(mu, log_var))

    check_grad(loss, MU, LOG_VAR, order=2)


def test_mean_over_pixels_as_in_the_document_makes_the_posterior_collapse() -> None:
    images = art(32, size=8)[0]

    def kl_after_training(pixels: float) -> float:
        generator = Generator(0)
        vae = VAE((8, 8, 3), hidden=(32,), latent=4, generator=generator)
        optimizer = Adam(vae.parameters(), lr=1e-2)
        for _ in range(100):
            log_likelihood, kl = vae(vae.pixels(images), generator.normal((32, 4)))
            optimizer.step(grad(negative_elbo(log_likelihood / pixels, kl), vae.parameters()))
        return float(kl.mean().item())

    assert kl_after_training(pixels=1.0) > 1
    assert kl_after_training(pixels=192.0) < 0.01


# ---- the model


def test_the_default_is_the_published_network() -> None:
    vae = VAE()
    shapes = {name: array.shape for name, array in vae.state_dict().items()}
    assert shapes == {
        "encoder.0.weight": (784, 400), "encoder.0.bias": (400,), "mu.weight": (400, 20), "mu.bias": (20,),
        "log_var.weight": (400, 20), "log_var.bias": (20,), "decoder.0.weight": (20, 400), "decoder.0.bias": (400,),
        "decoder.2.weight": (400, 784), "decoder.2.bias": (784,),
    }  # fmt: skip


def test_leaky_relu_has_the_slope_of_the_documents_library() -> None:
    vae = VAE((1, 1, 1), hidden=(1,), latent=1, activation="leaky_relu")
    state = {name: np.zeros_like(array) for name, array in vae.state_dict().items()}
    vae.load_state_dict(state | {"encoder.0.bias": np.float32([-1]), "mu.weight": np.float32([[1]])})
    mu, _ = vae.encode(tensor([[0.5]]))
    assert mu.item() == pytest.approx(-0.2)


def test_encode_and_decode_are_the_layers_in_order() -> None:
    vae = VAE((2, 3, 1), hidden=(5, 4), latent=2, generator=Generator(3))
    w = {name: array.astype(float) for name, array in vae.state_dict().items()}
    x = np.random.default_rng(0).uniform(0, 1, (7, 6))
    h = np.maximum(x @ w["encoder.0.weight"] + w["encoder.0.bias"], 0)
    h = np.maximum(h @ w["encoder.2.weight"] + w["encoder.2.bias"], 0)
    mu, log_var = vae.encode(tensor(x, "float32"))
    assert np.allclose(mu.numpy(), h @ w["mu.weight"] + w["mu.bias"], atol=1e-6)
    assert np.allclose(log_var.numpy(), h @ w["log_var.weight"] + w["log_var.bias"], atol=1e-6)
    z = np.random.default_rng(1).normal(size=(3, 2))
    h = np.maximum(z @ w["decoder.0.weight"] + w["decoder.0.bias"], 0)
    h = np.maximum(h @ w["decoder.2.weight"] + w["decoder.2.bias"], 0)
    logits = h @ w["decoder.4.weight"] + w["decoder.4.bias"]
    assert np.allclose(vae.decode(tensor(z, "float32")).numpy(), logits, atol=1e-6)
    images = vae.images(tensor(z, "float32"))
    assert images.shape == (3, 2, 3, 1)
    assert np.allclose(images.reshape(3, 6), 1 / (1 + np.exp(-logits)), atol=1e-6)


def test_sample_and_reconstruct_give_images() -> None:
    vae, images = VAE((8, 8, 3), hidden=(16,), latent=4, generator=Generator(0)), art(5, size=8)[0]
    made = vae.sample(6, Generator(1))
    assert made.shape == (6, 8, 8, 3)
    assert made.dtype == np.float32
    assert 0 <= made.min() < made.max() <= 1
    assert np.array_equal(made, vae.sample(6, Generator(1)))
    assert not np.array_equal(made, vae.sample(6, Generator(2)))
    assert vae.reconstruct(images).shape == images.shape


@pytest.mark.parametrize(("decoder", "gain"), [("bernoulli", 8), ("gaussian", 30)])
def test_training_learns_to_reconstruct(decoder: str, gain: float) -> None:
    images = art(20, size=8)[0]
    trainer = VAETrainer(shape=(8, 8, 3), hidden=(64,), latent=8, lr=5e-3, decoder=decoder)
    untrained = trainer.evaluate(images, Generator(9))
    for _ in range(200):
        losses = trainer.step(images)
    assert losses["-elbo"] == pytest.approx(losses["-log p(x|z)"] + losses["kl"], rel=1e-5)
    assert trainer.evaluate(images, Generator(9)) < untrained - gain
    error = np.abs(trainer.module.reconstruct(images) - images / 255).mean()
    assert error < 0.75 * np.abs(images.mean(0) / 255 - images / 255).mean()


def test_evaluate_weighs_a_smaller_last_batch_by_its_images() -> None:
    trainer, images = VAETrainer(shape=(8, 8, 3), hidden=(8,), latent=2), art(5, size=8)[0]
    log_var = trainer.module.log_var
    log_var.load_state_dict({"weight": np.zeros((8, 2), np.float32), "bias": np.float32([-80, -80])})  # z = μ
    whole = trainer.evaluate(images, Generator(0))
    assert trainer.evaluate(images, Generator(0), batch=3) == pytest.approx(whole, rel=1e-5)


def test_errors_name_what_to_do() -> None:
    with pytest.raises(ArgumentError, match=r"VAE: shape, hidden, latent: expected \(H, W, C\), one width"):
        VAE((8, 8, 3), hidden=())
    with pytest.raises(ArgumentError, match=r"VAE: activation: expected one of relu, leaky_relu, got 'gelu'"):
        VAE(activation="gelu")
    with pytest.raises(ArgumentError, match=r"VAE: decoder: expected one of bernoulli, gaussian, got 'cauchy'"):
        VAE(decoder="cauchy")
    with pytest.raises(ShapeError, match=r"VAE: images: expected \(N, 28, 28, 1\), got \(2, 8, 8, 3\)"):
        VAE().pixels(art(2, size=8)[0])
    with pytest.raises(FormatError, match=r"build: name: expected one of vae, .*, got 'gan2'"):
        build({"name": "gan2"})
    with pytest.raises(FormatError, match=r"build: settings: expected those of VAETrainer, got .*colour"):
        build({"name": "vae", "shape": [8, 8, 3], "colour": 1})
    with pytest.raises(ArgumentError, match=r"vae: colour: expected settings among shape, hidden, .*, got others"):
        settings_of("vae", {"colour": 1})
