"""Normalisation by mean and standard deviation, with a scale and a shift for each channel (the last axis).

    x̂ = (x - mean) · rstd      rstd = 1 / √(var + eps)      y = x̂ · gamma + beta

`batch_norm` takes mean and var over all axes but the last, for each channel; `layer_norm` over the last, for each
position. var is the biased variance, the mean of (x - mean)²: two passes, because E[x²] - E[x]² cancels where
|mean| >> √var. Sums run in float64, because a running float32 sum of many values loses the mean itself.
"""

import math
from typing import Any

import numpy as np

Array = Any


def batch_norm(x: Array, gamma: Array, beta: Array, *, eps: float) -> tuple[Array, Array, Array, Array]:
    """(y, mean, var, rstd): x and y (.., C), all others (C,). An empty batch has mean 0 and variance 0."""
    axes = tuple(range(x.ndim - 1))
    mean = _mean(x, axes)  # (1, .., C)
    var = _mean((x - mean) ** 2, axes)
    rstd = 1 / np.sqrt(var + eps)
    y = (x - mean) * rstd * gamma + beta  # (.., C)
    channels = x.shape[-1:]
    return y, mean.reshape(channels), var.reshape(channels), rstd.reshape(channels)


def batch_norm_backward(
    g: Array, x: Array, gamma: Array, mean: Array, rstd: Array
) -> tuple[Array, Array, Array]:
    """(gx, ggamma, gbeta) for the cotangent g of y: g, x, gx (.., C), all others (C,).

    gbeta = Σ g      ggamma = Σ g·x̂      gx = gamma · rstd · (g - mean g - x̂ · mean(g·x̂))

    All sums and means are those over the batch. The two means are what g does to x through mean and var.
    """
    axes = tuple(range(x.ndim - 1))
    normal = (x - mean) * rstd
    gx = gamma * rstd * (g - _mean(g, axes) - normal * _mean(g * normal, axes))
    return gx, _sum(g * normal, axes), _sum(g, axes)


def layer_norm(x: Array, gamma: Array, beta: Array, *, eps: float) -> tuple[Array, Array, Array]:
    """(y, mean, rstd): x and y (.., C), gamma and beta (C,), mean and rstd (..)."""
    mean = _mean(x, (-1,))  # (.., 1)
    rstd = 1 / np.sqrt(_mean((x - mean) ** 2, (-1,)) + eps)
    return (x - mean) * rstd * gamma + beta, mean[..., 0], rstd[..., 0]


def layer_norm_backward(
    g: Array, x: Array, gamma: Array, mean: Array, rstd: Array
) -> tuple[Array, Array, Array]:
    """(gx, ggamma, gbeta) for the cotangent g of y: g, x, gx (.., C), gamma (C,), mean and rstd (..).

    h = g · gamma      gx = rstd · (h - mean h - x̂ · mean(h·x̂))      ggamma = Σ g·x̂      gbeta = Σ g

    The means are those over the channels of a position, the sums those over all positions.
    """
    axes = tuple(range(x.ndim - 1))
    normal = (x - mean[..., None]) * rstd[..., None]
    h = g * gamma
    gx = rstd[..., None] * (h - _mean(h, (-1,)) - normal * _mean(h * normal, (-1,)))
    return gx, _sum(g * normal, axes), _sum(g, axes)


def _sum(x: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
    return np.sum(x, axis=axes, dtype=np.float64, keepdims=keepdims).astype(x.dtype)


def _mean(x: Array, axes: tuple[int, ...]) -> Array:
    """Keeps the axes, with length 1. The mean of nothing is 0."""
    return _sum(x, axes, keepdims=True) / max(1, math.prod(x.shape[a] for a in axes))
