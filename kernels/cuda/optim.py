"""Optimisers, averages and norms over all parameters, 64 to a launch (optim.cu)."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .. import reference
from .launch import Array, empty, launch, plain, usable

Arrays = Sequence[Array]

_COUNT, _NAMES = 64, 5
_ARRAYS = np.dtype([("at", np.uint64, (_NAMES, _COUNT)), ("size", np.int64, _COUNT), ("first", np.int32, _COUNT),
                    ("before", np.int64)])


def adam_all_(ps: Arrays, gs: Arrays, ms: Arrays, vs: Arrays, *, lr: Any, beta1: float, beta2: float, eps: float,
              step: Any, weight_decay: float, decoupled: bool) -> None:  # fmt: skip
    """As the reference, to rounding, which also serves parameters that are not C-contiguous or of mixed dtypes.

    lr and step are numbers, or float64 arrays of one on the device.
    """
    if not _writable(gs, ps, ms, vs):
        reference.adam_all_(ps, gs, ms, vs, lr=lr, beta1=beta1, beta2=beta2, eps=eps, step=step,
                            weight_decay=weight_decay, decoupled=decoupled)  # fmt: skip
        return
    now = (lr, step, 0.0, 0.0) if hasattr(lr, "data") else (None, None, float(lr), float(step))
    _run("adam", [ps, _plain(gs), ms, vs], *now, float(beta1), float(beta2), float(eps), float(weight_decay),
         int(decoupled))  # fmt: skip


def sgd_all_(ps: Arrays, gs: Arrays, ms: Arrays, *, lr: Any, momentum: float, nesterov: bool,
             weight_decay: float) -> None:  # fmt: skip
    """As the reference, likewise."""
    if not _writable(gs, ps, ms):
        reference.sgd_all_(ps, gs, ms, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)
    else:
        _run("sgd", [ps, _plain(gs), ms], *_now(lr), float(momentum), float(weight_decay), int(nesterov))


def rmsprop_all_(ps: Arrays, gs: Arrays, vs: Arrays, ms: Arrays, means: Arrays, *, lr: Any, alpha: float, eps: float,
                 weight_decay: float, momentum: float) -> None:  # fmt: skip
    """As the reference, likewise."""
    if not _writable(gs, ps, vs, ms, means):
        reference.rmsprop_all_(ps, gs, vs, ms, means, lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay,
                               momentum=momentum)  # fmt: skip
    else:
        _run("rmsprop", [ps, _plain(gs), vs, ms, means], *_now(lr), float(alpha), float(eps), float(momentum),
             float(weight_decay), int(len(means) > 0))  # fmt: skip


def lerp_all_(targets: Arrays, sources: Arrays, *, weight: float) -> None:
    """As the reference, likewise."""
    alike = all(a.shape == b.shape for a, b in zip(targets, sources, strict=True))
    if not alike or not _writable(sources, targets):
        reference.lerp_all_(targets, sources, weight=weight)
    else:
        _run("lerp", [targets, _plain(sources)], float(weight))


def scaled_all(xs: Arrays, scale: Array) -> list[Array]:
    """As the reference, bit for bit."""
    if not _writable(xs):
        return reference.scaled_all(xs, scale)
    ys = [empty(x.shape, x.dtype) for x in xs]
    _run("scaled", [_plain(xs), ys], scale)
    return ys


def norm_all(xs: Arrays) -> Array:
    """As the reference, to rounding."""
    if not _writable(xs):
        return reference.norm_all(xs)
    count = sum(blocks for _, _, blocks in groups([x.size for x in xs]))
    parts, norm = empty((count,), np.float64), empty((), np.float64)
    _run("squares", [_plain(xs)], parts)
    launch("optim", "root_of_sum", xs[0].dtype, (1, 1, 1), parts, count, norm)
    return norm


def groups(sizes: Sequence[int]) -> Iterator[tuple[slice, list[int], int]]:
    """For each launch: which parameters, the first block of each, and how many blocks, of 1024 elements, there are."""
    for start in range(0, len(sizes), _COUNT):
        part = slice(start, min(start + _COUNT, len(sizes)))
        blocks = [-(-size // 1024) for size in sizes[part]]
        yield part, [sum(blocks[:i]) for i in range(len(blocks))], sum(blocks)


def _run(kernel: str, named: Sequence[Arrays], *arguments: Any) -> None:
    """The kernel on all parameters; `named` are its arrays in order, an empty list for those it does not touch."""
    before = 0
    for part, firsts, blocks in groups([p.size for p in named[0]]):
        table = np.zeros((), _ARRAYS)
        for row, arrays in zip(table["at"], named, strict=False):
            row[: len(arrays[part])] = [a.data.ptr for a in arrays[part]]
        table["size"][: len(firsts)] = [p.size for p in named[0][part]]
        table["first"][: len(firsts)] = firsts
        table["before"] = before
        before += blocks
        launch("optim", kernel, named[0][0].dtype, (blocks, 1, 1), table, len(firsts), *arguments)


def _now(lr: Any) -> tuple[Any, float]:
    """The learning rate as (where it is on the device, what it is): one of them counts."""
    return (lr, 0.0) if hasattr(lr, "data") else (None, float(lr))


def _writable(read: Arrays, *written: Arrays) -> bool:
    """Whether the kernels take these arrays: of one floating dtype, those that are written C-contiguous."""
    changed = [a for arrays in written for a in arrays]
    return len(read) > 0 and usable(*read, *changed) and all(a.flags.c_contiguous for a in changed)


def _plain(arrays: Arrays) -> list[Array]:
    return [*map(plain, arrays)]
