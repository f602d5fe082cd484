"""What the dense autoencoders share: checks of their settings, and stacks of dense layers."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from tinyart import nn
from tinyart.errors import ArgumentError
from tinyart.random import Generator

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),  # the slope of TensorFlow's leaky_relu, which documents 2 and 4 call
}


def check_widths(model: str, shape: Sequence[int], hidden: Sequence[int], latent: int) -> None:
    """Errors: `ArgumentError`, in the name of `model`, unless all are lengths and there is a hidden layer."""
    if len(shape) != 3 or not hidden or min(*shape, *hidden, latent) < 1:
        raise ArgumentError(model, "shape, hidden, latent", "(H, W, C), one width or more and a width",
                            f"{tuple(shape)}, {tuple(hidden)}, {latent}")


def dense_layers(model: str, widths: Sequence[int], activation: str, generator: Generator | None) -> list[nn.Module]:
    """Dense and activation in turn, from each width to the next.

    Errors: `ArgumentError`, in the name of `model`, for an activation that is none of `ACTIVATIONS`.
    """
    if activation not in ACTIVATIONS:
        raise ArgumentError(model, "activation", f"one of {', '.join(ACTIVATIONS)}", repr(activation))
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Dense(before, after, generator=generator), ACTIVATIONS[activation]()]
    return layers
