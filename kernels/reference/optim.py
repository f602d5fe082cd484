"""Optimiser steps on one parameter array p with gradient g, in place. The formulas, to rounding, are PyTorch's.

State arrays (m, v, ..) have p's shape and dtype and start at zero. With `weight_decay` λ the gradient is g + λ·p.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = Any


def sgd_(
    p: Array, g: Array, m: Array, *, lr: float, momentum: float, nesterov: bool, weight_decay: float
) -> None:
    """m ← momentum·m + g      p ← p - lr·m, with Nesterov p - lr·(g + momentum·m)

    Without momentum p ← p - lr·g, and m is not used. (Sutskever, Martens, Dahl, Hinton, ICML 2013, with PyTorch's m,
    which does not contain lr.)
    """
    g = _decayed(g, p, weight_decay)
    if momentum:
        m *= momentum
        m += g
        g = g + momentum * m if nesterov else m
    p -= lr * g


def rmsprop_(
    p: Array,
    g: Array,
    v: Array,
    m: Array = None,
    mean: Array | None = None,
    *,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float = 0.0,
) -> None:
    """v ← alpha·v + (1 - alpha)·g²      p ← p - lr·g / (√v + eps)      (Tieleman and Hinton, 2012)

    With `mean`, the centred form: mean ← alpha·mean + (1 - alpha)·g, and v - mean² in the place of v.
    With momentum, m ← momentum·m + g / (√v + eps) and p ← p - lr·m; otherwise m is not used.
    """
    g = _decayed(g, p, weight_decay)
    v *= alpha
    v += (1 - alpha) * (g * g)
    if mean is not None:
        mean += (1 - alpha) * (g - mean)
        v = np.maximum(v - mean * mean, 0)  # a variance; rounding can take it below 0
    step = g / (np.sqrt(v) + eps)
    if momentum:
        m *= momentum
        m += step
        step = m
    p -= lr * step


def adam_(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    step: int,
    weight_decay: float,
    decoupled: bool,
) -> None:
    """m ← m + (1 - beta1)·(g - m)      v ← beta2·v + (1 - beta2)·g²

    p ← p - lr/(1 - beta1^step) · m / (√v / √(1 - beta2^step) + eps)

    `step` counts from 1. `decoupled` is AdamW: λ does not enter g, but first p ← p - lr·λ·p.
    (Kingma and Ba, ICLR 2015; Loshchilov and Hutter, ICLR 2019)
    """
    if decoupled:
        p *= 1 - lr * weight_decay
    else:
        g = _decayed(g, p, weight_decay)
    m += (1 - beta1) * (g - m)
    v *= beta2
    v += (1 - beta2) * (g * g)
    p -= lr / (1 - beta1**step) * (m / (np.sqrt(v) / (1 - beta2**step) ** 0.5 + eps))


def adam_all_(
    ps: Sequence[Array],
    gs: Sequence[Array],
    ms: Sequence[Array],
    vs: Sequence[Array],
    *,
    lr: Any,
    beta1: float,
    beta2: float,
    eps: float,
    step: Any,
    weight_decay: float,
    decoupled: bool,
) -> None:
    """`adam_` for each of several parameters, which a device may do at once."""
    for arrays in zip(ps, gs, ms, vs, strict=True):
        adam_(*arrays, lr=lr, beta1=beta1, beta2=beta2, eps=eps, step=step, weight_decay=weight_decay,
              decoupled=decoupled)  # fmt: skip


def sgd_all_(
    ps: Sequence[Array],
    gs: Sequence[Array],
    ms: Sequence[Array],
    *,
    lr: Any,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> None:
    """`sgd_` for each of several parameters, which a device may do at once; ms is empty without momentum."""
    for i, (p, g) in enumerate(zip(ps, gs, strict=True)):
        sgd_(p, g, ms[i] if momentum else None, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)


def rmsprop_all_(
    ps: Sequence[Array],
    gs: Sequence[Array],
    vs: Sequence[Array],
    ms: Sequence[Array],
    means: Sequence[Array],
    *,
    lr: Any,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
) -> None:
    """`rmsprop_` for each of several parameters, likewise; ms is empty without momentum, means unless centred."""
    for i, (p, g, v) in enumerate(zip(ps, gs, vs, strict=True)):
        rmsprop_(p, g, v, ms[i] if momentum else None, means[i] if means else None, lr=lr, alpha=alpha, eps=eps,
                 weight_decay=weight_decay, momentum=momentum)  # fmt: skip


def norm_all(xs: Sequence[Array]) -> Array:
    """√(Σ x²) over all elements of all arrays, in float64: ()"""
    return np.sqrt(sum(np.sum(x.astype(np.float64) ** 2) for x in xs))


def scaled_all(xs: Sequence[Array], scale: Array) -> list[Array]:
    """x·scale for each of several arrays, in its dtype; scale is a float64 ()"""
    return [x * scale.astype(x.dtype) for x in xs]


def _decayed(g: Array, p: Array, weight_decay: float) -> Array:
    return g + weight_decay * p if weight_decay else g
