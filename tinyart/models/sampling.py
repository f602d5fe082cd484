"""How the next symbol is drawn from a model's logits: temperature, top-k, top-p. N rows of V symbols, in float64.

    p_i = e^{l_i/τ} / Σ_j e^{l_j/τ}      `with_temperature`; τ < 1 is safer, τ > 1 bolder, τ = 0 takes the likeliest
    the k likeliest alone                `top_k` (Fan, Lewis & Dauphin 2018, section 5.1)
    the fewest whose sum reaches p       `top_p`, the nucleus (Holtzman et al. 2020, section 3.1)

What is left is scaled to the sum 1.
"""

from typing import Any

import numpy as np

from tinyart.errors import ArgumentError
from tinyart.random import Generator

Array = np.ndarray[Any, Any]


def with_temperature(logits: Array, temperature: float) -> Array:
    """p_i ∝ e^{l_i/τ}: (N, V) -> (N, V); for τ = 0 the first of the largest logits has all."""
    if not 0 <= temperature < np.inf:
        raise ArgumentError("sample", "temperature", "a number of at least 0", f"{temperature}")
    logits = logits.astype(np.float64)
    if temperature == 0:
        return np.asarray(np.arange(logits.shape[1]) == logits.argmax(1)[:, None], np.float64)
    powers = np.exp((logits - logits.max(1, keepdims=True)) / temperature)
    return np.asarray(powers / powers.sum(1, keepdims=True))


def top_k(p: Array, k: int) -> Array:
    """The k likeliest symbols, of equal ones the first: (N, V) -> (N, V)"""
    if k < 1:
        raise ArgumentError("sample", "top_k", "a number of symbols, at least 1", f"{k}")
    return _kept(p, lambda ordered: np.arange(ordered.shape[1]) < k)


def top_p(p: Array, mass: float) -> Array:
    """The likeliest symbols until their sum reaches `mass`: (N, V) -> (N, V)"""
    if not 0 < mass <= 1:
        raise ArgumentError("sample", "top_p", "a probability above 0, at most 1", f"{mass}")
    return _kept(p, lambda ordered: ordered.cumsum(1) - ordered < mass)  # the sum of those before it


def draw(p: Array, generator: Generator) -> Array:
    """A symbol for each row, i with probability p_i: (N, V) -> int64 (N,)"""
    u = generator.uniform((len(p), 1), "float64").array * p.sum(1, keepdims=True)
    last = p.shape[1] - 1 - (p[:, ::-1] > 0).argmax(1)  # rounding must not end at a symbol of probability 0
    return np.asarray(np.minimum((p.cumsum(1) <= u).sum(1), last))


def pick(logits: Array, generator: Generator, *, temperature: float = 1.0, k: int | None = None,
         mass: float | None = None) -> Array:
    """Temperature, then top-k, then top-p, then a draw: (N, V) -> int64 (N,)"""
    p = with_temperature(logits, temperature)
    p = p if k is None else top_k(p, k)
    p = p if mass is None else top_p(p, mass)
    return draw(p, generator)


def _kept(p: Array, which: Any) -> Array:
    order = np.argsort(-p, axis=1, kind="stable")
    ordered = np.take_along_axis(p, order, 1)
    kept = np.zeros_like(p)
    np.put_along_axis(kept, order, np.where(which(ordered), ordered, 0.0), 1)
    return np.asarray(kept / kept.sum(1, keepdims=True))
