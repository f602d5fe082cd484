"""Losses that are one kernel forward and one backward."""

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = Any


def cross_entropy(logits: Array, target: Array) -> tuple[Array, Array, Array]:
    """(log Σ_c e^(l_c - m) - (l_t - m), m, log Σ_c e^(l_c - m)), m = max l: (.., C), (..) -> (..) each

    target counts classes, 0 <= t < C.
    """
    rows = logits.reshape(-1, logits.shape[-1]) if logits.size else np.zeros_like(logits, shape=(0, 1))  # (R, C)
    largest = np.max(rows, axis=-1)
    d = rows - largest[:, None]
    hit = np.take_along_axis(d, target.reshape(-1, 1), axis=-1)[:, 0]
    np.exp(d, out=d)
    log_sum = np.log(np.sum(d, axis=-1))
    loss = log_sum - hit
    shape = target.shape
    return loss.reshape(shape), largest.reshape(shape), log_sum.reshape(shape)


def cross_entropy_backward(
    g: Array, logits: Array, target: Array, largest: Array, log_sum: Array
) -> tuple[Array, None]:
    """g·(softmax - [c = t]), for the cotangent g of the loss: (..) -> (.., C); target has none"""
    p = logits - largest[..., None]
    p -= log_sum[..., None]
    np.exp(p, out=p)
    p -= np.arange(logits.shape[-1], like=logits) == target[..., None]
    p *= g[..., None]
    return p, None


def kl_to_standard_normal(mu: Array, log_var: Array) -> Array:
    """-½ Σ_j (1 + log σ_j² - μ_j² - σ_j²): (.., J), (.., J) -> (..)"""
    return np.sum(1.0 + log_var - mu * mu - np.exp(log_var), axis=-1) * -0.5


def kl_to_standard_normal_backward(
    g: Array, mu: Array, log_var: Array, wanted: Sequence[bool]
) -> tuple[Array, Array]:
    """(g·μ, ½ g·(σ² - 1)), None for one that is not wanted: (..), (.., J), (.., J) -> (.., J) each"""
    g = g[..., None]
    return g * mu if wanted[0] else None, g * ((np.exp(log_var) - 1.0) * 0.5) if wanted[1] else None
