"""`pytest --device ..`: the suite's own tests, with every kernel run elsewhere than on the CPU."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def run(*options: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=quick", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def test_the_suite_runs_on_the_emulated_device(cupy: ModuleType) -> None:
    code, text = run("tests/core/test_ops.py", "--device", "emulated", "-k", "pool or norm or softmax or cross_entropy")
    assert code == 0, text
    assert " passed" in text


def test_without_a_gpu_it_says_so() -> None:
    count = "import cupy; cupy.cuda.runtime.getDeviceCount()"  # elsewhere, for here `cupy` may be the double
    if subprocess.run([sys.executable, "-c", count], capture_output=True).returncode == 0:
        pytest.skip("there is a GPU")
    code, text = run("tests/core/test_ops.py", "--device", "cuda")
    assert code == 4
    assert "--device cuda: no CuPy or no GPU: " in text
