"""Optimiser steps in one pass: each array is read once and what changes written once, where NumPy makes a dozen passes.

Bytes a parameter in float32: Adam 28 (p, g, m, v and p, m, v again), SGD 12, with momentum 20, RMSprop 20, and 8 more
for momentum and for the centred form each. The operations are the reference's in its order, so that its bits come out.
"""

from collections.abc import Sequence
from ctypes import addressof, c_char
from itertools import accumulate
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.config import DISABLE_JIT  # type: ignore[attr-defined]
from numba.extending import intrinsic

from ..reference import optim as reference
from .compiling import compiled, inlined
from .threads import share

Array = Any

_BLOCK = 1 << 15  # parameters that are worth a thread: some 30 µs


def sgd_(
    p: Array, g: Array, m: Array, *, lr: float, momentum: float, nesterov: bool, weight_decay: float
) -> None:
    """As the reference, which also serves what is not C-contiguous, aligned and writeable."""
    m = m if momentum else None
    if not _plain(p, g, m):
        reference.sgd_(p, g, m, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)
        return
    share(_sgd, p.size, _BLOCK, *_flat(p, g, m), nesterov, *map(p.dtype.type, (lr, momentum, weight_decay)))


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
    """As the reference, likewise."""
    m = m if momentum else None
    if not _plain(p, g, v, m, mean):
        reference.rmsprop_(p, g, v, m, mean, lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum)
        return
    scalars = map(p.dtype.type, (lr, alpha, 1 - alpha, eps, weight_decay, momentum))
    share(_rmsprop, p.size, _BLOCK, *_flat(p, g, v, m, mean), mean is not None, *scalars)


def _plain(p: Array, *others: Array | None) -> bool:
    """Whether compiled code can walk through these, those that are not None, as flat arrays."""
    return p.dtype in (np.float32, np.float64) and all(
        a.flags.carray and a.dtype == p.dtype and a.shape == p.shape for a in (p, *others) if a is not None)


def _flat(p: Array, *others: Array | None) -> list[Array]:
    nothing = np.empty(0, p.dtype)  # in the place of one that is not used
    return [nothing if a is None else a.reshape(-1) for a in (p, *others)]


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
    """As the reference, likewise."""
    adam_all_([p], [g], [m], [v], lr=lr, beta1=beta1, beta2=beta2, eps=eps, step=step, weight_decay=weight_decay,
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
    """As the reference."""
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
    """As the reference."""
    for i, (p, g, v) in enumerate(zip(ps, gs, vs, strict=True)):
        rmsprop_(p, g, v, ms[i] if momentum else None, means[i] if means else None, lr=lr, alpha=alpha, eps=eps,
                 weight_decay=weight_decay, momentum=momentum)  # fmt: skip


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
    """As the reference. Those of a dtype are one long row, cut among the threads wherever a block ends."""
    together: dict[Any, list[Any]] = {}
    for arrays in zip(ps, gs, ms, vs, strict=True):
        if arrays[0].size and _plain(*arrays):
            together.setdefault(arrays[0].dtype, []).append(arrays)
        else:
            reference.adam_(*arrays, lr=lr, beta1=beta1, beta2=beta2, eps=eps, step=step, weight_decay=weight_decay,
                            decoupled=decoupled)  # fmt: skip
    keep, decay = (1 - lr * weight_decay, 0.0) if decoupled else (1.0, weight_decay)
    rate, root = lr / (1 - beta1**step), (1 - beta2**step) ** 0.5
    for dtype, rows in together.items():
        scalars = [dtype.type(s) for s in (rate, root, 1 - beta1, beta2, 1 - beta2, eps, keep, decay)]
        places = np.array([[addressof(c_char.from_buffer(a)) for a in arrays] for arrays in rows])
        ends = list(accumulate(arrays[0].size for arrays in rows))
        share(_adam_all, ends[-1], _BLOCK, places, np.array(ends), *scalars)


@intrinsic
def _pointer(typing, address, like):  # type: ignore[no-untyped-def]
    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.inttoptr(arguments[0], ir.PointerType())

    return types.CPointer(like)(address, like), codegen


def _row_at(address: Any, first: Any, count: Any, like: Any) -> Any:
    """Numbers first to first + count from `address` on, of the type of `like`: of arrays too many to be arguments."""
    return numba.carray(_pointer(address, like), (first + count,))[first:]  # type: ignore[call-arg]


def _from_address(address: Any, first: Any, count: Any, like: Any) -> Any:
    memory = (c_char * (count * like.itemsize)).from_address(int(address + first * like.itemsize))
    return np.frombuffer(memory, like.dtype)


_row: Any = _from_address if DISABLE_JIT else inlined(_row_at)


@compiled
def _adam_all(first: int, end: int, places: Array, ends: Array, rate: Any, root: Any, fresh1: Any, beta2: Any,
              fresh2: Any, eps: Any, keep: Any, decay: Any) -> None:  # fmt: skip
    """places: (parameters, 4) addresses of p, g, m and v. ends: of each parameter in the row of all of them."""
    for k in range(len(ends)):
        start = ends[k - 1] if k else 0
        low, high = max(first, start), min(end, ends[k])
        if low >= high:
            continue
        p, g = _row(places[k, 0], low - start, high - low, rate), _row(places[k, 1], low - start, high - low, rate)
        m, v = _row(places[k, 2], low - start, high - low, rate), _row(places[k, 3], low - start, high - low, rate)
        _adam(p, g, m, v, rate, root, fresh1, beta2, fresh2, eps, keep, decay)


@compiled
def _adam(p: Array, g: Array, m: Array, v: Array, rate: Any, root: Any, fresh1: Any, beta2: Any, fresh2: Any, eps: Any,
          keep: Any, decay: Any) -> None:  # fmt: skip
    for i in range(len(p)):
        kept = p[i] * keep
        gradient = g[i] + decay * p[i] if decay != 0 else g[i]
        m[i] += fresh1 * (gradient - m[i])
        v[i] = v[i] * beta2 + fresh2 * (gradient * gradient)
        p[i] = kept - rate * (m[i] / (np.sqrt(v[i]) / root + eps))


@compiled
def _sgd(first: int, end: int, p: Array, g: Array, m: Array, nesterov: bool, rate: Any, momentum: Any,
         decay: Any) -> None:  # fmt: skip
    p, g, m = p[first:end], g[first:end], m[first:end]
    for i in range(len(p)):
        gradient = g[i] + decay * p[i] if decay != 0 else g[i]
        if momentum != 0:
            m[i] = m[i] * momentum + gradient
            gradient = gradient + momentum * m[i] if nesterov else m[i]
        p[i] -= rate * gradient


@compiled
def _rmsprop(
    first: int, end: int, p: Array, g: Array, v: Array, m: Array, mean: Array, centred: bool,
    rate: Any, alpha: Any, fresh: Any, eps: Any, decay: Any, momentum: Any,
) -> None:  # fmt: skip
    p, g, v, m, mean = p[first:end], g[first:end], v[first:end], m[first:end], mean[first:end]
    zero = fresh - fresh
    for i in range(len(p)):
        gradient = g[i] + decay * p[i] if decay != 0 else g[i]
        v[i] = v[i] * alpha + fresh * (gradient * gradient)
        spread = v[i]
        if centred:
            mean[i] += fresh * (gradient - mean[i])
            spread -= mean[i] * mean[i]
            spread = zero if spread < 0 else spread  # a variance; rounding can take it below 0
        step = gradient / (np.sqrt(spread) + eps)
        if momentum != 0:
            m[i] = m[i] * momentum + step
            step = m[i]
        p[i] -= rate * step
