"""Losses. `reduction`: "mean" over all elements (rows in `cross_entropy`), "sum", or "none"."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tinyart.backend import as_array
from tinyart.errors import ArgumentError, ShapeError
from tinyart.graph import Variable
from tinyart.ops.activation import softplus
from tinyart.ops.elementwise import abs as absolute
from tinyart.ops.elementwise import exp, sub
from tinyart.ops.index import checked_indices, gather
from tinyart.ops.op import Fused
from tinyart.ops.reduce import log_softmax, mean, sum
from tinyart.ops.shape import expand_dims, squeeze

if TYPE_CHECKING:
    from tinyart.tensor import Tensor


def mse_loss(x: Any, target: Any, reduction: str = "mean") -> "Tensor":
    """(x - target)²"""
    return _reduced("mse_loss", sub(_like("mse_loss", x, target), target) ** 2, reduction)


def l1_loss(x: Any, target: Any, reduction: str = "mean") -> "Tensor":
    """|x - target|"""
    return _reduced("l1_loss", absolute(sub(_like("l1_loss", x, target), target)), reduction)


def bce_with_logits(x: Any, target: Any, reduction: str = "mean") -> "Tensor":
    """-t ln σ(x) - (1 - t) ln(1 - σ(x)) = ln(1 + e^x) - t x, for logits x and targets t in [0, 1]"""
    _like("bce_with_logits", x, target)
    return _reduced("bce_with_logits", _BCE(x, target), reduction)


_BCE = Fused("bce_with_logits", "x t", backward="x t wanted", definition=lambda x, t: softplus(x) - t * x)


def cross_entropy(logits: Any, target: Any, reduction: str = "mean") -> "Tensor":
    """-Σ_c t_c ln softmax(logits)_c, for logits (.., C) and target: class numbers (..) or probabilities (.., C).

    Errors: `ShapeError` for shapes and class numbers outside 0 ≤ c < C, `DtypeError` for a target of booleans.
    """
    target = target if isinstance(target, Variable) else Variable.result(as_array(target))
    soft = target.array.dtype.kind == "f"
    if target.array.shape != (logits.shape if soft else logits.shape[:-1]):
        raise ShapeError("cross_entropy", "target", f"classes {logits.shape[:-1]} or probabilities {logits.shape}",
                         f"{target.array.shape} {target.array.dtype}")
    if soft:
        return _reduced("cross_entropy", -sum(target * log_softmax(logits), -1), reduction)
    checked_indices("cross_entropy", "target", logits, target, logits.ndim - 1)
    return _reduced("cross_entropy", _CROSS_ENTROPY(logits, target), reduction)


_CROSS_ENTROPY = Fused("cross_entropy", "logits target", free="target", results="y largest log_sum",
                       backward="logits target largest log_sum", definition=lambda logits, target: -squeeze(
                           gather(log_softmax(logits), expand_dims(target, -1), -1), -1))


def kl_to_standard_normal(mu: Any, log_var: Any) -> "Tensor":
    """KL(N(μ, σ²) ‖ N(0, 1)) = -½ Σ_j (1 + ln σ_j² - μ_j² - σ_j²): (.., J), (.., J) -> (..)

    Kingma & Welling 2014, appendix B.
    """
    return _KL(mu, log_var) if mu.ndim > 0 and mu.shape == log_var.shape else _kl(mu, log_var)


def _kl(mu: Any, log_var: Any) -> Any:
    return sum(1.0 + log_var - mu * mu - exp(log_var), -1) * -0.5


_KL = Fused("kl_to_standard_normal", "mu log_var", backward="mu log_var wanted", definition=_kl)


def kl_normal(mu: Any, log_var: Any, mu_p: Any, log_var_p: Any) -> "Tensor":
    """KL(N(μ, σ²) ‖ N(μ_p, σ_p²)) = ½ Σ_j (ln σ_p²/σ² - 1 + (σ² + (μ - μ_p)²)/σ_p²): (.., J) each -> (..)"""
    ratio = exp(log_var - log_var_p) + (mu - mu_p) ** 2 * exp(-log_var_p)
    return sum(log_var_p - log_var - 1.0 + ratio, -1) * 0.5


def _like(name: str, x: Any, target: Any) -> Any:
    if np.shape(target) != x.shape:
        raise ShapeError(name, "target", f"x's shape {x.shape}", f"{np.shape(target)}", fix="reshape one of them")
    return x


def _reduced(name: str, loss: Any, reduction: str) -> "Tensor":
    if reduction not in ("mean", "sum", "none"):
        raise ArgumentError(name, "reduction", "'mean', 'sum' or 'none'", repr(reduction))
    result: Tensor = {"mean": mean, "sum": sum}[reduction](loss) if reduction != "none" else loss
    return result
