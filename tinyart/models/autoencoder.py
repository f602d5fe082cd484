"""The autoencoder of document 4, section 3.2.3: an encoder compresses, a decoder restores.

    z = f(x)                            the encoder, from P pixels to J < P numbers
    x̂ = g(z) = σ(logits)                the decoder
    L = 1/P Σ_i (x_i - x̂_i)²            `squared_error`, one of the losses of the document's section 3.1.2
    L = -Σ_i (x_i log x̂_i + (1 - x_i) log(1 - x̂_i))    `cross_entropy`, the other one

Nothing tells how z is distributed, which is what a VAE adds (`vae`). To draw new images anyway, the codes of the
training images are taken for normal and independent, z ~ N(m, s²), with moments that follow the training: `moments`.

N images of P = H·W·C pixels, J latents.
"""

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

MOMENTUM = 0.1  # the weight of a new batch in the moments of the codes, as in `nn.BatchNorm`


def squared_error(x: Tensor, logits: Tensor) -> Tensor:
    """1/P Σ_i (x_i - σ(logits_i))², averaged over the batch: (N, P) each -> ()"""
    return ops.mse_loss(ops.sigmoid(logits), x)


def cross_entropy(x: Tensor, logits: Tensor) -> Tensor:
    """-Σ_i (x_i log x̂_i + (1 - x_i) log(1 - x̂_i)), averaged over the batch: (N, P) each -> (), in nats an image.

    Its least value, at x̂ = x, is 0 only for black and white: for grey pixels it is their entropy.
    """
    return ops.bce_with_logits(logits, x, reduction="none").sum(-1).mean()


LOSSES = {"squared_error": squared_error, "cross_entropy": cross_entropy}


def moments(mean: Tensor, variance: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of a mixture: a share 1 - a of what `mean` and `variance` (J,) describe, and a of z (N, J).

        m' = (1 - a) m + a m_z      s²' = (1 - a) s² + a s_z² + a (1 - a) (m_z - m)²      a = MOMENTUM

    The last term is what the drift of the mean adds; with it a batch of one image will do.
    """
    centre = z.mean(0)
    spread = ((z - centre) ** 2).mean(0)
    shift = centre - mean
    return mean + shift * MOMENTUM, (variance + shift**2 * MOMENTUM) * (1 - MOMENTUM) + spread * MOMENTUM


class Autoencoder(nn.Module):
    """Images (H, W, C) -> hidden widths -> z of `latent` -> the widths in reverse -> logits of pixels.

    The code's layer is linear: with a rectifier there half of its range would be lost.
    """

    def __init__(self, shape: Sequence[int] = (28, 28, 1), *, hidden: Sequence[int] = (400,), latent: int = 20,
                 activation: str = "relu", generator: Generator | None = None) -> None:
        check_widths("Autoencoder", shape, hidden, latent)
        self.shape, self.latent = tuple(shape), latent
        widths = [int(np.prod(shape)), *hidden]
        back = [latent, *reversed(hidden)]
        self.encoder = nn.Sequential(*dense_layers("Autoencoder", widths, activation, generator),
                                     nn.Dense(widths[-1], latent, generator=generator))
        self.decoder = nn.Sequential(*dense_layers("Autoencoder", back, activation, generator),
                                     nn.Dense(back[-1], widths[0], generator=generator))
        self.code_mean = Tensor(np.zeros(latent, np.float32))
        self.code_variance = Tensor(np.ones(latent, np.float32))

    def encode(self, x: Tensor) -> Tensor:
        """z = f(x): (N, P) -> (N, J). In training the moments of the codes move."""
        z: Tensor = self.encoder(x)
        if self.training and len(z):
            with no_grad():
                mean, variance = moments(self.code_mean, self.code_variance, z)
                self.code_mean[...], self.code_variance[...] = mean, variance
        return z

    def forward(self, x: Tensor) -> Tensor:
        """The logits of x̂ = g(f(x)): (N, P) -> (N, P)"""
        logits: Tensor = self.decoder(self.encode(x))
        return logits

    def pixels(self, images: np.ndarray[Any, Any]) -> Tensor:
        """uint8 (N, H, W, C) as what the encoder takes: float32 in [0, 1], (N, P), on the weights' device."""
        return ops.flatten(pixels("Autoencoder", images, self.shape, self.code_mean.device), 1)

    @no_grad()
    def images(self, z: Tensor) -> np.ndarray[Any, Any]:
        """x̂ = g(z): (N, J) -> (N, H, W, C) in [0, 1]"""
        return ops.sigmoid(self.decoder(z)).numpy().reshape(-1, *self.shape)

    @no_grad()
    def reconstruct(self, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """x̂ = g(f(x)): uint8 (N, H, W, C) -> (N, H, W, C) in [0, 1]"""
        return self.images(self.encoder(self.pixels(images)))

    @no_grad()
    def noise(self, n: int, generator: Generator) -> Tensor:
        """n draws of N(m, s²), the codes' mean and variance: (n, J)"""
        epsilon = generator.normal((n, self.latent), device=self.code_mean.device)
        return self.code_mean + ops.sqrt(self.code_variance) * epsilon


class AutoencoderTrainer:
    """An autoencoder, Adam and the generator of weights: what `train.Run` trains, saves and resumes.

    Raises ArgumentError for settings outside their range.
    """

    def __init__(self, *, shape: Sequence[int], hidden: Sequence[int] = (400,), latent: int = 20,
                 activation: str = "relu", loss: str = "squared_error", lr: float = 1e-3, seed: int = 0) -> None:
        if loss not in LOSSES:
            raise ArgumentError("AutoencoderTrainer", "loss", f"one of {', '.join(LOSSES)}", repr(loss))
        self.loss = loss
        self.module = Autoencoder(shape, hidden=hidden, latent=latent, activation=activation,
                                  generator=Generator(seed))
        self.optimizer = Adam(self.module.parameters(), lr=lr)

    def step(self, images: np.ndarray[Any, Any]) -> dict[str, float]:
        """One update on uint8 (N, H, W, C); the mean loss of an image before it."""
        x = self.module.pixels(images)  # (N, P)
        loss = LOSSES[self.loss](x, self.module(x))
        self.optimizer.step(grad(loss, self.module.parameters()))
        return {self.loss.replace("_", " "): loss.item()}

    def noise(self, n: int, generator: Generator) -> Tensor:
        """n draws of what `images` starts from: (n, J)"""
        return self.module.noise(n, generator)

    def images(self, z: Tensor) -> np.ndarray[Any, Any]:
        """(N, J) -> (N, H, W, C) in [0, 1]"""
        return self.module.images(z)

    def state(self) -> dict[str, Any]:
        """Everything that later steps depend on: nested dicts of arrays."""
        return {"module": self.module.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go back to what `state` gave."""
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
