"""All that only a GPU can show, in one command: what has never run, see kernels/cuda/README.md.

    python -m benchmarks.gpu
    python -m benchmarks.gpu --quick    without the checker, and three rounds of each row

The test suite with every kernel on the GPU, and what test_gpu.py adds; NVIDIA's checker over the kernels; then every
row against PyTorch, torch.compile and JAX, in float32 and with TF32. A step that fails does not stop the others. Writes
benchmarks/results/gpu.json: the card, and of each step the command, its exit status and its seconds; the rows go to
suite_cuda.json and suite_cuda_tf32.json.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from tinyart.backend import cupy, to_device
from tinyart.data.files import replacing
from tinyart.errors import DeviceError

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "gpu.json"
CHECKS = "memcheck", "racecheck", "initcheck", "synccheck"  # of compute-sanitizer, which comes with the CUDA toolkit


def steps(quick: bool) -> dict[str, list[str]]:
    """Name -> command."""
    python = [sys.executable, "-m"]
    rows = [*python, "benchmarks", "--device", "cuda", "--resume", *["--quick"] * quick]
    found = {"tests": [*python, "pytest", "-q", "--device", "cuda"]}
    for check in CHECKS if not quick else ():
        found[check] = ["compute-sanitizer", "--tool", check, "--report-api-errors", "no", "--error-exitcode", "9",
                        *python, "pytest", "-q", "--hypothesis-profile=quick", "--device", "cuda", "--unpooled",
                        "tests/cuda/test_kernels.py"]  # fmt: skip
    return found | {"rows": rows, "rows with TF32": [*rows, "--precision", "tf32"]}


def run(command: list[str]) -> dict[str, Any]:
    print(f"\n$ {' '.join(command)}", flush=True)
    start = time.monotonic()
    missing = shutil.which(command[0]) is None
    status = None if missing else subprocess.run(command, cwd=ROOT).returncode
    return {"command": command, "status": status, "seconds": round(time.monotonic() - start)}


def main(quick: bool, out: Path = RESULTS) -> int:
    try:
        to_device(np.zeros(1), "cuda")
    except DeviceError as error:
        raise SystemExit(str(error)) from error
    card = cupy().cuda.runtime.getDeviceProperties(0)["name"].decode()
    done = {name: run(command) for name, command in steps(quick).items()}
    with replacing(out) as file:
        file.write((json.dumps({"gpu": card, "steps": done}, indent=1) + "\n").encode())
    print(f"\n{card}")
    for name, step in done.items():
        said = {0: "done", None: f"not run: no {step['command'][0]} here"}.get(step["status"], "FAILED")
        print(f"{name:16} {step['seconds']:6} s  {said}")
    return max(step["status"] not in (0, None) for step in done.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    sys.exit(main(parser.parse_args().quick))
