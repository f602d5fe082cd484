"""Dropout: the one operation that draws random numbers."""

from typing import TYPE_CHECKING, Any

from tinyart.errors import ArgumentError
from tinyart.graph import apply
from tinyart.ops.op import Op

if TYPE_CHECKING:
    from tinyart.random import Generator
    from tinyart.tensor import Tensor


_MASKED = Op("masked", "x kept", free="kept", x=lambda g, kept, scale: apply(_MASKED, g, kept, scale=scale))


def dropout(x: Any, p: float, generator: "Generator") -> "Tensor":
    """x / (1 - p) where the generator keeps an element, which it does with probability 1 - p, else 0.

    The mean stays x's, so nothing is to be done in evaluation (Srivastava et al. 2014, scaled as in section 10). With
    p = 0 the result is x and nothing is drawn, with p = 1 it is 0. Saved for backward: the mask, one byte an element.

    Errors: `ArgumentError` for p outside [0, 1].
    """
    if not 0 <= p <= 1:
        raise ArgumentError("dropout", "p", "the share of elements to drop, from 0 to 1", f"{p}")
    y: Tensor = x
    if p > 0:
        kept = generator.bernoulli(1 - p, x.shape, device=x.device)
        y = apply(_MASKED, x, kept, scale=1 / (1 - p) if p < 1 else 1.0)
    return y
