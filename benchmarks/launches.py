"""Launches in a training step on a GPU, before and after fusion and as a recorded graph; counted without a GPU.

    python -m benchmarks.launches

The steps run on a double of CuPy (tests/cuda/double.py), which counts what would be launched: each kernel of
kernels/cuda, each product of cuBLAS, each function of CuPy's that makes or changes an array (as one, though some launch
two). Kernels of ours and products compute nothing here: no step depends on what they find. Before fusion,
normalisation, activations, losses, recurrent gates and optimisers are array code on CuPy, and the rest is as it is:
convolution, pooling, indexing, products and noise, which a library offers as kernels.

The networks are the documents', narrow and with few examples: neither changes the number, but that convolutions of
many examples split their sum once more. Writes benchmarks/results/launches.json.
"""

import json
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import rows
from benchmarks.contenders import tinyart as contender
from tests.cuda import blas_double, double
from tinyart import backend
from tinyart.data.files import replacing

RESULTS = Path(__file__).parent / "results" / "launches.json"
FUSED = {"norm", "layer", "dense", "pointwise", "rows", "recurrent", "optim"}  # modules of kernels/cuda
ROWS = [
    rows.mlp_gan("MLP GAN", 2, 4, width=8), rows.vae("VAE", 4, hidden=8, latent=2),
    rows.dcgan("DCGAN", 28, 1, 2, width=2),
    rows.classifier("CNN", 2), rows.lenet("LeNet", 2), rows.deep_stack("20 blocks", 20, 4, width=8),
    *(rows.recurrent(cell, 100, 2, 4, 5, f"{cell.upper()}, 100 steps") for cell in ("rnn", "lstm", "gru")),
]  # fmt: skip


class Module:
    """Of CUDA C: its kernels are counted, and do nothing."""

    def __init__(self, **_: Any) -> None: ...

    def get_function(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: double.launches.append(name)


class Library(blas_double.Library):
    """cuBLAS, likewise."""

    def cublasGemmStridedBatchedEx(self, *_: Any) -> int:
        double.launches.append("product")
        return 0


def counted(row: rows.Training) -> dict[str, Any]:
    """What a step of `row` launches. CuPy is the double."""
    overrides: dict[str, str] = import_module("tinyart.kernels.cuda").OVERRIDES
    fused = dict(overrides)
    try:
        for name in [name for name, module in fused.items() if module in FUSED]:
            del overrides[name]
        before = launched(row, replay=False)
    finally:
        overrides.update(fused)
    after, replayed = launched(row, replay=False), launched(row, replay=True)
    return {"model": row.name, "before": before.total(), "after": after.total(), "replayed": replayed.total(),
            "most": dict(after.most_common(8))}


def launched(row: rows.Training, replay: bool) -> Counter[str]:
    """By a step when all is warm: the third, for the second is recorded."""
    backend._cuda = backend._Table("cuda")  # which looks kernels up anew
    with np.errstate(all="ignore"):
        work = contender.training(row, replay=replay)
        work.dropout(True)
        for i in range(3):
            double.launches.clear()
            work.step(i)
    return Counter(double.launches)


def main(out: Path = RESULTS) -> None:
    double.RawModule = Module
    with double.installed():
        import_module("tinyart.kernels.cuda.blas")._library = Library
        contender.DEVICE = "cuda"
        found = [counted(row) for row in ROWS]
    print("launches in a step      before  after  as a graph")
    for row in found:
        print(f"{row['model']:22} {row['before']:7} {row['after']:6} {row['replayed']:11}")
    with replacing(out) as file:
        file.write((json.dumps({"rows": found}, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
