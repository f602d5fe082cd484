"""Normalisation: (x - mean)/√(var + eps) · gamma + beta, one kernel forward and one backward."""

from typing import TYPE_CHECKING, Any

from tinyart.errors import ShapeError
from tinyart.graph import apply
from tinyart.ops.elementwise import sqrt
from tinyart.ops.op import Fused
from tinyart.ops.reduce import mean

if TYPE_CHECKING:
    from tinyart.tensor import Tensor


def _normalised(x: Any, gamma: Any, beta: Any, axes: Any, eps: float) -> Any:
    centred = x - mean(x, axes, keepdims=True)
    return centred / sqrt(mean(centred * centred, axes, keepdims=True) + eps) * gamma + beta


_BATCH_NORM = Fused("batch_norm", "x gamma beta", results="y mean var rstd", returned=3, backward="x gamma mean rstd",
                    definition=lambda x, gamma, beta, eps: _normalised(x, gamma, beta, tuple(range(x.ndim - 1)), eps))
_LAYER_NORM = Fused("layer_norm", "x gamma beta", results="y mean rstd", backward="x gamma mean rstd",
                    definition=lambda x, gamma, beta, eps: _normalised(x, gamma, beta, -1, eps))


def batch_norm(x: Any, gamma: Any, beta: Any, *, eps: float = 1e-5) -> "tuple[Tensor, Tensor, Tensor]":
    """Normalise each channel by its mean and biased variance over all other axes. Ioffe & Szegedy 2015, algorithm 1.

    x (.., C), gamma (C,), beta (C,) -> y (.., C), and mean (C,) and var (C,) as constants for running averages.
    Saved for backward: x and two numbers a channel, not x̂, which costs one multiplication to make again.

    Errors: `ShapeError` for shapes, and for one value per channel, whose variance is always 0.
    """
    _check("batch_norm", x, gamma, beta)
    values = x.size // max(1, x.shape[-1])
    if values == 1:
        raise ShapeError("batch_norm", "x", "more than one value per channel in training", f"{x.shape}",
                         fix="a larger batch, or module.eval()")
    y, average, variance = apply(_BATCH_NORM, x, gamma, beta, eps=float(eps))
    return y, average, variance


def layer_norm(x: Any, gamma: Any, beta: Any, *, eps: float = 1e-5) -> "Tensor":
    """Normalise each position by mean and biased variance over its channels. Ba, Kiros & Hinton 2016, equation 4.

    x (.., C), gamma (C,), beta (C,) -> (.., C). Errors: `ShapeError`.
    """
    _check("layer_norm", x, gamma, beta)
    y: Tensor = apply(_LAYER_NORM, x, gamma, beta, eps=float(eps))
    return y


def _check(name: str, x: Any, gamma: Any, beta: Any) -> None:
    if x.ndim < 1 or gamma.shape != x.shape[-1:] or beta.shape != x.shape[-1:]:
        raise ShapeError(name, "x, gamma, beta", "shapes (.., C), (C,) and (C,)",
                         f"{x.shape}, {gamma.shape}, {beta.shape}")
