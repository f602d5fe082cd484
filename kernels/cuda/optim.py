"""Adam over all parameters, 64 to a launch (optim.cu)."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .. import reference
from .launch import Array, launch, plain, usable

_COUNT = 64
_PARAMETERS = np.dtype([(name, np.uint64, _COUNT) for name in "pgmv"]
                       + [("size", np.int64, _COUNT), ("first", np.int32, _COUNT)])  # fmt: skip


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
    """As the reference, to rounding, which also serves parameters that are not C-contiguous or of mixed dtypes.

    lr and step are numbers, or float64 arrays of one on the device.
    """
    if not usable(*ps, *gs, *ms, *vs) or not all(a.flags.c_contiguous for a in (*ps, *ms, *vs)):
        reference.adam_all_(ps, gs, ms, vs, lr=lr, beta1=beta1, beta2=beta2, eps=eps, step=step,
                            weight_decay=weight_decay, decoupled=decoupled)  # fmt: skip
        return
    gs = [*map(plain, gs)]
    now = (lr, step, 0.0, 0.0) if hasattr(lr, "data") else (None, None, float(lr), float(step))
    for part, firsts, blocks in groups([p.size for p in ps]):
        table = np.zeros((), _PARAMETERS)
        for name, arrays in zip("pgmv", (ps, gs, ms, vs), strict=True):
            table[name][: len(firsts)] = [a.data.ptr for a in arrays[part]]
        table["size"][: len(firsts)] = [p.size for p in ps[part]]
        table["first"][: len(firsts)] = firsts
        launch("optim", "adam", ps[0].dtype, (blocks, 1, 1), table, len(firsts), *now, float(beta1), float(beta2),
               float(eps), float(weight_decay), int(decoupled))  # fmt: skip


def groups(sizes: Sequence[int]) -> Iterator[tuple[slice, list[int], int]]:
    """For each launch: which parameters, the first block of each, and how many blocks, of 1024 elements, there are."""
    for start in range(0, len(sizes), _COUNT):
        part = slice(start, min(start + _COUNT, len(sizes)))
        blocks = [-(-size // 1024) for size in sizes[part]]
        yield part, [sum(blocks[:i]) for i in range(len(blocks))], sum(blocks)
