"""The generative adversarial network of documents 1 to 4 (Goodfellow et al. 2014), an equation a function.

    min_G max_D V(D, G) = E_x[log D(x)] + E_z[log(1 - D(G(z)))]      `value`; D(x) = σ(logit), z ~ N(0, 1)
    L_D = -[log D(x) + log(1 - D(G(z)))]                             `discriminator_loss`, = -V
    L_G = log(1 - D(G(z)))                                           `minimax_generator_loss`, of documents 1 and 2
    L_G = -log D(G(z))                                               `generator_loss`, of document 3: non-saturating
    D*(x) = p_data(x) / (p_data(x) + p_g(x))                         `best_discriminator` of a fixed G; ½ if they agree

D is a probability of being real, not a sample as document 2 writes; networks give its logit, since log σ(logit) is
exact at any logit. Document 2's code takes the σ of D's output twice, which keeps L_D above log(1 + 1/e) + log 2.

N images of P = H·W·C pixels, J latents.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinyart import nn, ops
from tinyart.errors import ArgumentError
from tinyart.graph import grad, no_grad
from tinyart.models.dense import check_widths, dense_layers
from tinyart.models.pixels import pixels
from tinyart.optim import EMA, Adam
from tinyart.random import Generator
from tinyart.tensor import Tensor


def value(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """V(D, G) = mean log D(x) + mean log(1 - D(G(z))): (N, 1), (N, 1) -> (), in nats; -log 4 where D is ½ throughout"""
    return -ops.softplus(-real_logits).mean() - ops.softplus(fake_logits).mean()


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """L_D = -[mean log D(x) + mean log(1 - D(G(z)))]: (N, 1), (N, 1) -> ()"""
    return -value(real_logits, fake_logits)


def minimax_generator_loss(fake_logits: Tensor) -> Tensor:
    """L_G = mean log(1 - D(G(z))): (N, 1) -> (). Where D rejects the fakes, its gradient in it, -D, is near 0."""
    return -ops.softplus(fake_logits).mean()


def generator_loss(fake_logits: Tensor) -> Tensor:
    """L_G = -mean log D(G(z)): (N, 1) -> (). Its gradient in the logit, D - 1, is near -1 where D rejects the fakes."""
    return ops.softplus(-fake_logits).mean()


def best_discriminator(p_data: np.ndarray[Any, Any], p_g: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """D*(x), which maximises V for a fixed G: densities at the same points -> probabilities. (Proposition 1.)"""
    probabilities: np.ndarray[Any, Any] = p_data / (p_data + p_g)
    return probabilities


GENERATOR_LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "non_saturating": generator_loss, "minimax": minimax_generator_loss,
}  # fmt: skip


class GAN(nn.Module):
    """G, from z (N, J) to pixels (N, ..) in [-1, 1], and D, from pixels to a logit (N, 1). Images are (H, W, C)."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module, *, shape: Sequence[int], latent: int) -> None:
        self.generator, self.discriminator = generator, discriminator
        self.shape, self.latent = tuple(shape), latent
        self.by_itself = any(isinstance(layer, nn.BatchNorm) for layer in discriminator.modules())

    def verdicts(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """D's logits of both: (N, ..), (N, ..) -> (N, 1), (N, 1).

        In one pass, so one product a layer, unless D has batch norm: statistics of a mixed batch would not be those
        that it sees in G's step, where all are fakes.
        """
        if self.by_itself:
            return self.discriminator(real), self.discriminator(fake)
        logits = self.discriminator(ops.concatenate([real, fake]))  # (2N, 1)
        return logits[: len(real)], logits[len(real) :]

    def pixels(self, images: np.ndarray[Any, Any]) -> Tensor:
        """uint8 (N, H, W, C) as what D takes: float32 in [-1, 1], on the weights' device."""
        return pixels("GAN", images, self.shape, self.parameters()[0].device) * 2 - 1

    @no_grad()
    def images(self, z: Tensor) -> np.ndarray[Any, Any]:
        """G(z) as images: (N, J) -> (N, H, W, C) in [0, 1]. Batch norm uses its running statistics."""
        self.generator.eval()
        parts = [self.generator(z[i : i + 500]).numpy() for i in range(0, len(z), 500)]
        self.generator.train()
        return (np.concatenate(parts) / 2 + 0.5).reshape(-1, *self.shape)


def mlp_gan(shape: Sequence[int], *, hidden: Sequence[int] = (1024, 1024), latent: int = 100, dropout: float = 0.0,
            random: Generator | None = None) -> GAN:
    """G: z-1024-1024-P, D: P-1024-1024-1, leaky ReLU between: document 2, section 4.1. Pixels are in [-1, 1].

    G ends in tanh(a) = 2 σ(2a) - 1 where the document has σ in [0, 1]: pixels around 0 keep D from winning at once, and
    G from making a few digits only. Document 4 has three hidden layers: `hidden=(1024, 1024, 1024)`. dropout: of D's
    hidden units.
    """
    check_widths("mlp_gan", shape, hidden, latent)
    size, back = math.prod(shape), [*reversed(hidden)]
    generator = nn.Sequential(*dense_layers("mlp_gan", [latent, *hidden], "leaky_relu", random),
                              nn.Dense(hidden[-1], size, generator=random), nn.Tanh())
    layers: list[nn.Module] = []
    for layer in dense_layers("mlp_gan", [size, *back], "leaky_relu", random):
        layers.append(layer)
        if dropout and isinstance(layer, nn.LeakyReLU):
            layers.append(nn.Dropout(dropout, generator=random))
    discriminator = nn.Sequential(nn.Flatten(), *layers, nn.Dense(back[-1], 1, generator=random))
    return GAN(generator, discriminator, shape=shape, latent=latent)


def decay_after(steps: int, decay: float) -> float:
    """min(decay, (1 + t)/(10 + t)) after t steps: about the last tenth counts, so G's first weights are soon forgotten.

    As `num_updates` of TensorFlow's ExponentialMovingAverage.
    """
    return min(decay, (1 + steps) / (10 + steps))


class AdversarialTrainer:
    """Two players, an Adam each, the average of G's weights, and the generator of weights, z and dropout.

    D, then G, takes a step on each batch (document 2, section 4.1), Adam with β = (0.5, 0.999) as in Radford, Metz &
    Chintala 2016. Pictures are drawn with the moving average of G's weights: the players circle around what they seek.

    Raises ArgumentError for settings outside their range.
    """

    def __init__(self, module: GAN, random: Generator, *, loss: str, lr: float, average: float) -> None:
        if loss not in GENERATOR_LOSSES:
            raise ArgumentError("GAN", "loss", f"one of {', '.join(GENERATOR_LOSSES)}", repr(loss))
        self.module, self.random, self.loss = module, random, loss
        self.discriminator_optimizer = Adam(module.discriminator.parameters(), lr=lr, beta1=0.5)
        self.generator_optimizer = Adam(module.generator.parameters(), lr=lr, beta1=0.5)
        self.average, self.decay = EMA(module.generator, average), average

    def step(self, images: np.ndarray[Any, Any]) -> dict[str, float]:
        """One update of D, then of G, on uint8 (N, H, W, C). Their losses in nats, and D's mean verdicts before it."""
        generator, discriminator, n = self.module.generator, self.module.discriminator, len(images)
        real = self.module.pixels(images)
        fake = generator(self.noise(n, self.random)).reshape(real.shape)

        real_logits, fake_logits = self.module.verdicts(real, fake.detach())
        d_loss = discriminator_loss(real_logits, fake_logits)
        self.discriminator_optimizer.step(grad(d_loss, self.discriminator_optimizer.parameters))

        g_loss = GENERATOR_LOSSES[self.loss](discriminator(fake))
        self.generator_optimizer.step(grad(g_loss, self.generator_optimizer.parameters))  # none of D's
        self.average.decay = decay_after(self.generator_optimizer.steps, self.decay)
        self.average.update()
        verdicts = [float(ops.sigmoid(logits.detach()).numpy().mean()) for logits in (real_logits, fake_logits)]
        return {"L_D": d_loss.item(), "L_G": g_loss.item(), "D(x)": verdicts[0], "D(G(z))": verdicts[1]}

    def noise(self, n: int, generator: Generator) -> Tensor:
        """n draws of z: (n, J)"""
        return generator.normal((n, self.module.latent), device=self.module.parameters()[0].device)

    def images(self, z: Tensor) -> np.ndarray[Any, Any]:
        """G(z), with the averaged weights: (N, J) -> (N, H, W, C) in [0, 1]"""
        with self.average.applied():
            return self.module.images(z)

    def state(self) -> dict[str, Any]:
        """Everything that later steps depend on: nested dicts of arrays."""
        return {"module": self.module.state_dict(), "average": self.average.state_dict(),
                "discriminator optimizer": self.discriminator_optimizer.state_dict(),
                "generator optimizer": self.generator_optimizer.state_dict(), "random": self.random.state}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go back to what `state` gave."""
        self.module.load_state_dict(state["module"])
        self.average.load_state_dict(state["average"])
        self.discriminator_optimizer.load_state_dict(state["discriminator optimizer"])
        self.generator_optimizer.load_state_dict(state["generator optimizer"])
        self.random.state = state["random"]


class GANTrainer(AdversarialTrainer):
    """`mlp_gan` in training. average: the decay of the average of G's weights, a step, in the end."""

    def __init__(self, *, shape: Sequence[int], hidden: Sequence[int] = (1024, 1024), latent: int = 100,
                 dropout: float = 0.5, loss: str = "non_saturating", lr: float = 2e-4, average: float = 0.999,
                 seed: int = 0) -> None:
        random = Generator(seed)
        super().__init__(mlp_gan(shape, hidden=hidden, latent=latent, dropout=dropout, random=random), random,
                         loss=loss, lr=lr, average=average)
