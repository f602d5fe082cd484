"""What a library costs before it works, in new processes: imports, first steps, and its size on disk."""

import os
import re
import subprocess
import sys
import tempfile
import time
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from benchmarks.contenders import Measured, Skip, Work

ROOT = Path(__file__).parents[2]
CACHES = ("NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "JAX_COMPILATION_CACHE_DIR", "XDG_CACHE_HOME")
# A user's second import finds compiled files, whatever this shell says about writing them.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
MEMORY = "int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) << 10"
IMPORT = f"import time; t = time.perf_counter(); import {{}}; print(time.perf_counter() - t, {MEMORY})"
STEP = f"""
from benchmarks.measure import build
from benchmarks.rows import ROWS
module, work = build({{!r}}, ROWS["step/dcgan-28-64"])
module.wait(work.step(0))
print(0, {MEMORY})
"""


def _output(code: str, environment: dict[str, str]) -> list[float]:
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if ran.returncode:
        raise Skip(ran.stderr.strip().splitlines()[-1][:300])
    return [float(number) for number in ran.stdout.split()[-2:]]


def importing(contender: str) -> Work:
    """Seconds from before the import to after it; the start of the interpreter is not in it."""
    def step(i: int) -> Measured:
        seconds, peak = _output(IMPORT.format(contender), ENVIRONMENT)
        return Measured(seconds, int(peak))

    step(0)  # fills the disk cache
    return Work(step, None)


def first_step(contender: str, cold: bool = False) -> Work:
    """Seconds from the start of a process to the end of its first training step; cold: with empty kernel caches."""
    kept = tempfile.mkdtemp(prefix="first-step-")

    def step(i: int) -> Measured:
        with tempfile.TemporaryDirectory() as fresh:
            folder = fresh if cold else kept
            start = time.perf_counter()
            _, peak = _output(STEP.format(contender), ENVIRONMENT | dict.fromkeys(CACHES, folder))
            return Measured(time.perf_counter() - start, int(peak))

    step(0)  # fills the disk cache, and the kernels' unless cold
    return Work(step, None)


def first_step_cold(contender: str) -> Work:
    return first_step(contender, cold=True)


def installed(contender: str) -> Work:
    """Bytes of the distribution and all that it requires; of tinyart in a checkout, its source files'."""
    seen: dict[str, int] = {}

    def add(name: str) -> None:
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in seen:
            return
        found = distribution(name)
        paths = [Path(str(file.locate())) for file in found.files or ()]
        seen[key] = sum(path.stat().st_size for path in paths if path.suffix != ".pyc" and path.is_file())
        for requirement in found.requires or ():
            if "extra ==" not in requirement and _applies(requirement):
                add(re.match(r"[\w.-]+", requirement)[0])

    add(contender)
    if contender == "tinyart":
        seen["tinyart"] = sum(path.stat().st_size for folder in ("tinyart", "kernels")
                              for path in (ROOT / folder).rglob("*.py"))
    return Work(lambda i: Measured(float(sum(seen.values())), 0), None)


def _applies(requirement: str) -> bool:
    """Whether it is installed: what a marker excludes is not."""
    try:
        return distribution(re.match(r"[\w.-]+", requirement)[0]) is not None
    except ModuleNotFoundError:
        return False


def wait(result: Any) -> None:
    """Each process has ended."""
