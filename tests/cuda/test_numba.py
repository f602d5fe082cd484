"""The Numba kernels without a GPU: they run in Numba's simulator (simulated.py), and compile for sm_80 and sm_90."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, env=os.environ | environment, capture_output=True,
                          text=True, timeout=300)  # fmt: skip


def test_they_agree_with_the_reference_in_the_simulator() -> None:
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/cuda/simulated.py", NUMBA_ENABLE_CUDASIM="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


COMPILE = """
import numba, numpy as np
from numba import cuda
import tinyart.kernels.cuda.numba_kernels as kernels

pair = numba.types.UniTuple(numba.int64, 2)
for dtype in map(np.dtype, ("float32", "float64")):
    real = numba.from_dtype(dtype)
    x1, x2, x4, any4 = real[::1], real[:, ::1], real[:, :, :, ::1], real[:, :, :, :]
    for kernel, types in {
        kernels._leaky_relu: (x1, real, x1), kernels._adam: (x1,) * 4 + (real,) * 8, kernels._softmax(dtype): (x2, x2),
        kernels._dense(dtype, kernels.TILE): (real[:, :], x2, x1, numba.int64, real, x2),
        kernels._share: (any4, any4, x4, pair, pair, pair, x4), kernels._gather: (x4, any4, x4, pair, pair, pair, x4),
    }.items():
        for cc in ((8, 0), (9, 0)):
            ptx, _ = cuda.compile_ptx(kernel.py_func, types, cc=cc)
            print(kernel.py_func.__name__, f"sm_{cc[0]}{cc[1]}", dtype, ".f64" in ptx)
"""


def test_they_compile_and_float32_stays_float32() -> None:
    """The simulator knows no types. Numba's compiler needs no GPU, but numba-cuda."""
    if importlib.util.find_spec("numba_cuda") is None:
        pytest.skip("no numba-cuda: pip install 'numba-cuda[cu13]'")
    done = run("-c", COMPILE)
    assert done.returncode == 0, done.stderr
    lines = [line.rsplit(" ", 1) for line in done.stdout.splitlines()]
    assert len(lines) == 6 * 2 * 2
    for what, doubles in lines:
        assert doubles == str("float64" in what), what
