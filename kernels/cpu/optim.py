"""Adam in one pass: each of p, g, m, v is read once and p, m, v written once, where NumPy makes a dozen passes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..reference import optim as reference
from .threads import compiled, share

Array = Any

_BLOCK = 1 << 16  # parameters to a block: some 60 µs


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
    """As the reference, which also serves what is not C-contiguous, aligned and writeable."""
    arrays = (p, g, m, v)
    plain = all(a.flags.carray and a.dtype == p.dtype and a.shape == p.shape for a in arrays)
    if not plain or p.dtype not in (np.float32, np.float64):
        reference.adam_(p, g, m, v, lr=lr, beta1=beta1, beta2=beta2, eps=eps, step=step,
                        weight_decay=weight_decay, decoupled=decoupled)  # fmt: skip
        return
    keep, decay = (1 - lr * weight_decay, 0.0) if decoupled else (1.0, weight_decay)
    rate, root = lr / (1 - beta1**step), (1 - beta2**step) ** 0.5
    scalars = [p.dtype.type(s) for s in (rate, root, 1 - beta1, beta2, 1 - beta2, eps, keep, decay)]
    share(_adam, p.size, _BLOCK, *(a.reshape(-1) for a in arrays), *scalars)


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
    """As the reference."""
    for arrays in zip(ps, gs, ms, vs, strict=True):
        adam_(*arrays, lr=lr, beta1=beta1, beta2=beta2, eps=eps, step=step, weight_decay=weight_decay,
              decoupled=decoupled)  # fmt: skip


@compiled
def _adam(
    first: int, end: int, p: Array, g: Array, m: Array, v: Array,
    rate: Any, root: Any, fresh1: Any, beta2: Any, fresh2: Any, eps: Any, keep: Any, decay: Any,
) -> None:  # fmt: skip
    """The reference's operations in its order, so that its bits come out."""
    p, g, m, v = p[first:end], g[first:end], m[first:end], v[first:end]
    for i in range(len(p)):
        kept = p[i] * keep
        gradient = g[i] + decay * p[i] if decay != 0 else g[i]
        m[i] += fresh1 * (gradient - m[i])
        v[i] = v[i] * beta2 + fresh2 * (gradient * gradient)
        p[i] = kept - rate * (m[i] / (np.sqrt(v[i]) / root + eps))
