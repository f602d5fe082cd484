"""The GAN of Goodfellow et al. 2014 on MNIST, with the settings of the code that they published with the paper.

    z ~ U(-√3, √3)^100, of variance 1
    G: z - 1200 ReLU - 1200 ReLU - P sigmoid           weights U(-0.05, 0.05), output bias logit(mean pixel)
    D: P - maxout 240·5 - maxout 240·5 - 1 logit       weights U(-0.005, 0.005), dropout before every layer

Both players take a step of SGD on the same batch, from gradients at the same weights: the simultaneous form of the
paper's algorithm 1 with k = 1. N images of P = H·W·C pixels.
"""

import math
from typing import Any

import numpy as np

from tinyart import nn, ops
from tinyart.graph import grad, no_grad
from tinyart.models.gan import discriminator_loss, generator_loss
from tinyart.models.pixels import pixels
from tinyart.nn import init
from tinyart.optim import SGD, ExponentialLR
from tinyart.random import Generator
from tinyart.tensor import Tensor

NOISE = 100
LEARNING_RATE = ExponentialLR(0.1, 1 / 1.000004, minimum=1e-6)  # of the number of updates
RISE = 125_000  # updates over which the momentum rises: 250 epochs of 50,000 images in batches of 100


def momentum(updates: int) -> float:
    """0.5 at first, 0.7 from `RISE` updates on, linear between. (The published code moves it once an epoch.)"""
    return 0.5 + 0.2 * min(1.0, updates / RISE)


def logit_of_mean(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """ln(m / (1 - m)), m the mean of each pixel, kept 1e-7 off 0 and 1: uint8 (N, H, W, C) -> float32 (P,)

    With this bias, G's mean image is at first about the data's.
    """
    mean = np.clip(images.mean(0, dtype=np.float64).reshape(-1) / 255, 1e-7, 1 - 1e-7)  # (P,)
    bias: np.ndarray[Any, Any] = np.log(mean / (1 - mean)).astype(np.float32)
    return bias


class MLPGenerator(nn.Module):
    """G of the module's text: (N, 100) -> (N, P) in (0, 1). `bias` (P,) is that of the output."""

    def __init__(self, bias: np.ndarray[Any, Any], *, units: int = 1200, generator: Generator | None = None) -> None:
        self.hidden = nn.Sequential(_dense(NOISE, units, 0.05, generator), nn.ReLU(),
                                    _dense(units, units, 0.05, generator), nn.ReLU())
        self.output = _dense(units, len(bias), 0.05, generator)
        with no_grad():
            self.output.bias[...] = bias

    def forward(self, z: Tensor) -> Tensor:
        return ops.sigmoid(self.output(self.hidden(z)))


class Maxout(nn.Module):
    """max_k (x W_k + b_k), of `pieces` linear maps: (N, I) -> (N, units). Goodfellow et al. 2013, equation 1."""

    def __init__(self, inputs: int, units: int, pieces: int, bound: float, generator: Generator | None = None) -> None:
        self.shape = pieces, units  # the maximum over an outer axis, which runs along whole rows
        self.linear = _dense(inputs, pieces * units, bound, generator)

    def forward(self, x: Tensor) -> Tensor:
        return ops.max(self.linear(x).reshape((len(x), *self.shape)), 1)  # (N, pieces, units) -> (N, units)


class MaxoutDiscriminator(nn.Module):
    """D of the module's text, the logit of "real": (N, P) -> (N, 1). Of the pixels 0.8 are kept, of the units 0.5."""

    def __init__(self, pixels: int, *, units: int = 240, generator: Generator | None = None) -> None:
        self.layers = nn.Sequential(
            nn.Dropout(0.2, generator=generator), Maxout(pixels, units, 5, 0.005, generator),
            nn.Dropout(0.5, generator=generator), Maxout(units, units, 5, 0.005, generator),
            nn.Dropout(0.5, generator=generator), _dense(units, 1, 0.005, generator))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        return logits


def _dense(inputs: int, outputs: int, bound: float, generator: Generator | None) -> Any:
    """Dense with weights U(-bound, bound) and biases 0."""
    layer = nn.Dense(inputs, outputs, generator=generator)
    init.uniform_(layer.weight, -bound, bound, generator=generator)
    for bias in layer.parameters()[1:]:
        init.zeros_(bias)
    return layer


class GoodfellowTrainer:
    """G, D, their SGD with momentum, and the generator of weights, noise and dropout: a `train.Trainer`.

    images: all images of the training, uint8 (N, H, W, C); only their mean is used.
    """

    def __init__(self, images: np.ndarray[Any, Any], *, seed: int = 0) -> None:
        self.shape = images.shape[1:]
        self.random = Generator(seed)
        self.generator = MLPGenerator(logit_of_mean(images), generator=self.random)
        self.discriminator = MaxoutDiscriminator(math.prod(self.shape), generator=self.random)
        self.players = [SGD(player.parameters(), lr=LEARNING_RATE, momentum=momentum(0))
                        for player in (self.discriminator, self.generator)]

    def step(self, images: np.ndarray[Any, Any]) -> dict[str, float]:
        """One update of D and of G on uint8 (N, H, W, C); their losses in nats an image."""
        d, g = self.players
        real = pixels("GoodfellowTrainer", images, self.shape, "cpu").flatten(1)  # (N, P)
        fake_logits = self.discriminator(self.generator(self.noise(len(images), self.random)))  # (N, 1)
        d_loss = discriminator_loss(self.discriminator(real), fake_logits) * 0.5  # halved in their code
        g_loss = generator_loss(fake_logits)
        # One graph for both: `grad` walks only the paths to the parameters that it is asked for.
        gradients = grad(d_loss, d.parameters, retain_graph=True), grad(g_loss, g.parameters)
        for player, gradient in zip(self.players, gradients, strict=True):
            player.momentum = momentum(player.steps)
            player.step(gradient)
        return {"L_D": d_loss.item(), "L_G": g_loss.item()}

    def noise(self, n: int, generator: Generator) -> Tensor:
        """n draws of z: (n, 100)"""
        return generator.uniform((n, NOISE), low=-math.sqrt(3), high=math.sqrt(3))

    @no_grad()
    def images(self, z: Tensor) -> np.ndarray[Any, Any]:
        """G(z): (N, 100) -> (N, H, W, C) in [0, 1]"""
        made: np.ndarray[Any, Any] = self.generator(z).numpy()
        return made.reshape(-1, *self.shape)

    def state(self) -> dict[str, Any]:
        """Everything that later steps depend on: nested dicts of arrays."""
        d, g = self.players
        return {"discriminator": self.discriminator.state_dict(), "generator": self.generator.state_dict(),
                "discriminator sgd": d.state_dict(), "generator sgd": g.state_dict(), "random": self.random.state}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go back to what `state` gave."""
        d, g = self.players
        self.discriminator.load_state_dict(state["discriminator"])
        self.generator.load_state_dict(state["generator"])
        d.load_state_dict(state["discriminator sgd"])
        g.load_state_dict(state["generator sgd"])
        self.random.state = state["random"]
