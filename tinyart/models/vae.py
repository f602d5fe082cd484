"""The variational autoencoder of document 2, section 3.2 (Kingma & Welling 2014), an equation a function.

    q(z|x) = N(z; μ(x), σ²(x))                       the encoder; the document writes σ for the variance
    z = μ + σ ε,  ε ~ N(0, 1)                        `reparameterise`
    log p(x|z), the decoder: pixels are Bernoulli, `bernoulli_log_likelihood`, or as in the document's equation
    p(x|z) = N(x; μ(z), σ²)                          `gaussian_log_likelihood`
    KL(q‖p) = -½ Σ_j (1 + log σ_j² - μ_j² - σ_j²)    `ops.kl_to_standard_normal`
    log p(x) ≥ E_q[log p(x|z)] - KL(q‖p)             `negative_elbo`; the document has = and ½ KL

N images of P = H·W·C pixels, J latents.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyart import nn, ops
from tinyart.errors import ArgumentError
from tinyart.graph import grad, no_grad
from tinyart.models.dense import check_widths, dense_layers
from tinyart.models.pixels import pixels
from tinyart.optim import Adam
from tinyart.random import Generator
from tinyart.tensor import Tensor

DECODERS = ("bernoulli", "gaussian")
FIRST_LOG_VAR = -3.0  # of a Gaussian pixel: the spread 0.22 of pictures around their mean, where training starts


def reparameterise(mu: Tensor, log_var: Tensor, epsilon: Tensor) -> Tensor:
    """z = μ + σ ε with σ = e^(log σ² / 2): (N, J) each -> (N, J). z is N(μ, σ²), and μ and σ get gradients."""
    return mu + (log_var * 0.5).exp() * epsilon


def bernoulli_log_likelihood(x: Tensor, logits: Tensor) -> Tensor:
    """log p(x|z) = Σ_i x_i log p_i + (1 - x_i) log(1 - p_i) with p = σ(logits): (N, P) each -> (N,), in nats.

    Grey pixels, 0 < x < 1, are taken as they are: the mean over binary images whose pixels are 1 that often.
    """
    return -ops.bce_with_logits(logits, x, reduction="none").sum(-1)


def gaussian_log_likelihood(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """log p(x|z) = -½ Σ_i (log 2π + log σ² + (x_i - μ_i)²/σ²): (N, P), (N, P), (1,) -> (N,), in nats; a density."""
    return ((x - mean) ** 2 * (-log_var).exp() + (log_var + math.log(2 * math.pi))).sum(-1) * -0.5


def negative_elbo(log_likelihood: Tensor, kl: Tensor) -> Tensor:
    """KL(q(z|x)‖p(z)) - log p(x|z), averaged over the batch: (N,) each -> (). One sample of z stands for E_q.

    Both terms are sums over their own axis. With the mean over pixels, as in the document's code, the KL weighs P
    times as much, and the best q(z|x) is p(z): z then says nothing of x.
    """
    return (kl - log_likelihood).mean()


class VAE(nn.Module):
    """Images (H, W, C) -> hidden widths -> (μ, log σ²) of `latent` -> the widths in reverse -> logits of pixels.

    The default is 784-400-(20, 20)-400-784 with ReLU. The document's network is `hidden=(1024,)` with
    `activation="leaky_relu"`. With `decoder="gaussian"` the mean is σ(logits), and one variance, which is learnt,
    serves all pixels: colour pictures come out less blurred, since a Bernoulli pixel of mean ½ has a spread of ½.
    """

    def __init__(self, shape: Sequence[int] = (28, 28, 1), *, hidden: Sequence[int] = (400,), latent: int = 20,
                 activation: str = "relu", decoder: str = "bernoulli",
                 generator: Generator | None = None) -> None:
        check_widths("VAE", shape, hidden, latent)
        if decoder not in DECODERS:
            raise ArgumentError("VAE", "decoder", f"one of {', '.join(DECODERS)}", repr(decoder))
        self.shape, self.latent = tuple(shape), latent
        widths = [math.prod(shape), *hidden]
        back = [latent, *reversed(hidden)]
        self.encoder = nn.Sequential(*dense_layers("VAE", widths, activation, generator))
        self.mu = nn.Dense(widths[-1], latent, generator=generator)
        self.log_var = nn.Dense(widths[-1], latent, generator=generator)
        self.decoder = nn.Sequential(*dense_layers("VAE", back, activation, generator),
                                     nn.Dense(back[-1], widths[0], generator=generator))
        self.pixel_log_var = nn.Parameter(np.full(1, FIRST_LOG_VAR, np.float32)) if decoder == "gaussian" else None

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """μ and log σ² of q(z|x): (N, P) -> (N, J), (N, J)"""
        h = self.encoder(x)
        return self.mu(h), self.log_var(h)

    def decode(self, z: Tensor) -> Tensor:
        """The logits of p(x|z): (N, J) -> (N, P)"""
        logits: Tensor = self.decoder(z)
        return logits

    def forward(self, x: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor]:
        """log p(x|z) at z = μ + σ ε, and KL(q(z|x)‖p(z)): (N, P), (N, J) -> (N,), (N,)"""
        mu, log_var = self.encode(x)
        logits = self.decode(reparameterise(mu, log_var, epsilon))
        return self.log_likelihood(x, logits), ops.kl_to_standard_normal(mu, log_var)

    def log_likelihood(self, x: Tensor, logits: Tensor) -> Tensor:
        """log p(x|z): (N, P), (N, P) -> (N,)"""
        if self.pixel_log_var is None:
            return bernoulli_log_likelihood(x, logits)
        return gaussian_log_likelihood(x, ops.sigmoid(logits), self.pixel_log_var)

    def pixels(self, images: np.ndarray[Any, Any]) -> Tensor:
        """Images uint8 (N, H, W, C) as what the encoder takes: float32 in [0, 1], (N, P), on the weights' device.

        Errors: `ShapeError` for images of another size.
        """
        return ops.flatten(pixels("VAE", images, self.shape, self.parameters()[0].device), 1)

    @no_grad()
    def images(self, z: Tensor) -> np.ndarray[Any, Any]:
        """The mean of p(x|z), an image: (N, J) -> (N, H, W, C) in [0, 1]"""
        return ops.sigmoid(self.decode(z)).numpy().reshape(-1, *self.shape)

    def sample(self, n: int, generator: Generator) -> np.ndarray[Any, Any]:
        """n images of z ~ N(0, 1): (n, H, W, C) in [0, 1]"""
        return self.images(generator.normal((n, self.latent), device=self.parameters()[0].device))

    @no_grad()
    def reconstruct(self, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """What the decoder makes of z = μ(x): uint8 (N, H, W, C) -> (N, H, W, C) in [0, 1]"""
        return self.images(self.encode(self.pixels(images))[0])


class VAETrainer:
    """A VAE, Adam and the generator of weights and ε: what `train.Run` trains, saves and resumes.

    Raises ArgumentError for settings outside their range.
    """

    def __init__(self, *, shape: Sequence[int], hidden: Sequence[int] = (400,), latent: int = 20,
                 activation: str = "relu", decoder: str = "bernoulli", lr: float = 1e-3, seed: int = 0) -> None:
        self.generator = Generator(seed)
        self.module = VAE(shape, hidden=hidden, latent=latent, activation=activation, decoder=decoder,
                          generator=self.generator)
        self.optimizer = Adam(self.module.parameters(), lr=lr)

    def step(self, images: np.ndarray[Any, Any]) -> dict[str, float]:
        """One update on uint8 (N, H, W, C); its mean terms in nats an image."""
        log_likelihood, kl = self._terms(images, self.generator)
        loss = negative_elbo(log_likelihood, kl)
        self.optimizer.step(grad(loss, self.module.parameters()))
        return {"-elbo": loss.item(), "-log p(x|z)": -float(log_likelihood.array.mean()), "kl": float(kl.array.mean())}

    @no_grad()
    def evaluate(self, images: np.ndarray[Any, Any], generator: Generator, batch: int = 1000) -> float:
        """-ELBO of uint8 (N, H, W, C), the mean in nats an image, with one z each."""
        parts = [images[i : i + batch] for i in range(0, len(images), batch)]
        sums = [negative_elbo(*self._terms(part, generator)).item() * len(part) for part in parts]
        return float(sum(sums) / len(images))

    def _terms(self, images: np.ndarray[Any, Any], generator: Generator) -> tuple[Tensor, Tensor]:
        x = self.module.pixels(images)  # (N, P)
        epsilon = generator.normal((len(images), self.module.latent), device=x.device)
        terms: tuple[Tensor, Tensor] = self.module(x, epsilon)
        return terms

    def noise(self, n: int, generator: Generator) -> Tensor:
        """n draws of what `images` starts from: (n, J)"""
        return generator.normal((n, self.module.latent), device=self.module.parameters()[0].device)

    def images(self, z: Tensor) -> np.ndarray[Any, Any]:
        """(N, J) -> (N, H, W, C) in [0, 1]"""
        return self.module.images(z)

    def state(self) -> dict[str, Any]:
        """Everything that later steps depend on: nested dicts of arrays."""
        return {"module": self.module.state_dict(), "optimizer": self.optimizer.state_dict(),
                "generator": self.generator.state}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go back to what `state` gave."""
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.state = state["generator"]
