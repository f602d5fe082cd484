"""How much faster each override in kernels/cpu/ is than its reference kernel: python -m benchmarks.kernels_cpu [RUNS]

The two run in turn, so that a slow spell of the machine meets both, after one run of each that compiles and whose
results are compared. 100 elements show the cost of a call, a million the speed of one thread; with five million
Numba's threads take part, as many as NUMBA_NUM_THREADS says.
"""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from tinyart.kernels import reference
from tinyart.kernels.cpu import OVERRIDES

from tinyart.backend import kernels_of

SIZES = 100, 10_000, 1_000_000, 5_000_000
LIKE = np.empty(0, np.float32)
Run = Callable[[], Any]


def adam(kernel: Any, size: int) -> Run:
    rng = np.random.default_rng(0)
    arrays = [rng.uniform(0.1, 1, size).astype(np.float32) for _ in range(4)]

    def run() -> Any:
        kernel(*arrays, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, step=10, weight_decay=0.0, decoupled=False)
        return arrays[0].copy()

    return run


CASES: dict[str, Callable[[Any, int], Run]] = {  # float32
    "uniform": lambda kernel, n: lambda: kernel(1, 2, shape=(n,), dtype="float32", like=LIKE),
    "normal": lambda kernel, n: lambda: kernel(1, 2, shape=(n,), dtype="float32", like=LIKE),
    "bernoulli": lambda kernel, n: lambda: kernel(1, 2, shape=(n,), p=0.5, like=LIKE),
    "adam_": adam,
}


def seconds(run: Run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measure(name: str, size: int, runs: int) -> str:
    ours, theirs = (CASES[name](getattr(k, name), size) for k in (kernels_of(LIKE), reference))
    np.testing.assert_allclose(ours(), theirs(), rtol=1e-5, atol=1e-5)
    taken = [(seconds(ours), seconds(theirs)) for _ in range(runs)]
    columns = [statistics.quantiles(column, n=4) for column in zip(*taken, strict=True)]
    texts = [f"{1e6 * middle:10.1f} ({1e6 * low:.1f} to {1e6 * high:.1f})" for low, middle, high in columns]
    return f"{name:10} {size:9} {texts[0]:>36} {texts[1]:>36} {columns[1][1] / columns[0][1]:8.2f}"


def main(runs: int) -> None:
    print(f"median and quartiles of {runs} runs, in µs; {numba.get_num_threads()} threads")
    print(f"{'kernel':10} {'elements':>9} {'override':>36} {'reference':>36} {'ratio':>8}")
    for name in OVERRIDES:
        for size in SIZES:
            print(measure(name, size, runs), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 21)
