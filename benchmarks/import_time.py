"""How much longer `import tinyart` takes than `import numpy`: python benchmarks/import_time.py [RUNS]

Each run is a new process, the two in turn, so that a slow spell of the machine meets both. The time is measured
inside the process, from before the import to after it; the start of the interpreter is not in it.
"""

import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# A user's second import finds compiled files, whatever this shell says about writing them.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
CODE = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def seconds(module: str) -> float:
    command = [sys.executable, "-c", CODE.format(module)]
    return float(subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout)


def main(runs: int) -> None:
    times: dict[str, list[float]] = {"numpy": [], "tinyart": []}
    for run in range(runs + 1):
        for module, taken in times.items():
            measured = seconds(module)
            if run:  # the first run of each fills the disk cache
                taken.append(measured)
    for module, taken in times.items():
        low, middle, high = statistics.quantiles(taken, n=4)
        print(f"import {module:8} median {1e3 * middle:6.1f} ms, quartiles {1e3 * low:.1f} to {1e3 * high:.1f}")
    ratios = [t / n for t, n in zip(times["tinyart"], times["numpy"], strict=True)]
    ratio = statistics.median(times["tinyart"]) / statistics.median(times["numpy"])
    print(f"ratio of medians {ratio:.3f}, median of the {runs} pairs' ratios {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 21)
