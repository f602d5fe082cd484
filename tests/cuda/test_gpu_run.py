"""The one command that does on a GPU what has not run: what it would do, and what it says without one."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu

ROOT = Path(__file__).parents[2]


def test_without_a_gpu_it_is_one_sentence() -> None:
    count = "import cupy; cupy.cuda.runtime.getDeviceCount()"  # elsewhere, for here `cupy` may be the double
    if subprocess.run([sys.executable, "-c", count], capture_output=True).returncode == 0:
        pytest.skip("there is a GPU")
    done = subprocess.run([sys.executable, "-m", "benchmarks.gpu"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("device: 'cuda': expected CuPy and an NVIDIA GPU, got ")
    assert "pip install 'tinyart[cuda12]'" in done.stderr


def test_every_step_is_done_and_what_failed_is_said(cupy: Any, monkeypatch: Any, tmp_path: Path, capsys: Any) -> None:
    commands = gpu.steps(quick=False)
    assert [*commands] == ["tests", "memcheck", "racecheck", "initcheck", "synccheck", "rows", "rows with TF32"]
    assert all("cuda" in command for command in commands.values())
    assert [*gpu.steps(quick=True)] == ["tests", "rows", "rows with TF32"]
    cupy.cuda.runtime.getDeviceProperties = lambda _: {"name": b"a card"}
    monkeypatch.setattr(gpu, "steps", lambda quick: {
        "right": [sys.executable, "-c", ""], "wrong": [sys.executable, "-c", "raise SystemExit(3)"],
        "absent": ["no-such-program"]})  # fmt: skip
    assert gpu.main(False, tmp_path / "gpu.json") == 1
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert (found["gpu"], [step["status"] for step in found["steps"].values()]) == ("a card", [0, 3, None])
    said = capsys.readouterr().out
    assert "a card" in said
    assert [line.rsplit("s  ")[-1] for line in said.splitlines()[-3:]] == [
        "done", "FAILED", "not run: no no-such-program here"]
