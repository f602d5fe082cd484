"""How a row is measured: each contender in a process of its own, one at a time, in turns.

A contender builds the row's work, takes three checked steps without dropout, and warms up. Then, in every round, each
takes its turn of some steps; between its turns a process is stopped (SIGSTOP), so that no thread of it spins. One of
the contenders is the machine itself, with the rates that the floor is reckoned from. Memory is the largest resident
set of the whole process (VmHWM).
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contenders import DEVICE, Measured, Skip, Work, overhead
from benchmarks.rows import CUDA_ROWS, ROWS, Row

ROOT = Path(__file__).parents[1]
CLOCKS = "seconds", "cpu"  # by the wall clock; of all threads of a process together
CHECKED = 3  # steps whose answers are compared
WARM = 0.5  # seconds of steps before the first turn, at least two of them
TURN = 0.25  # seconds of a turn, at least one step
MACHINE = "machine"
LONG = 150  # seconds for the preparation and the rounds of a row
PATIENCE = 300  # seconds that a contender may take until its first turn, compilation included
MODULES: dict[str, tuple[str, dict[str, Any]]] = {  # others as named
    "torch.compile": ("torch", {"compiled": True}),
    "torch.compile.graphs": ("torch", {"compiled": True, "mode": "max-autotune"}),  # CUDA graphs
    "tinyart.eager": ("tinyart", {"replay": False}),
    "tinyart.numba": ("tinyart", {"numba": True}),  # kernels/cuda/numba_kernels.py
}


# ---- in a contender's process


def serve(contender: str, name: str) -> None:
    """Prepare, then take a turn for every line on standard input, which says how many steps."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is not part of the conversation

    def say(message: dict[str, Any]) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    try:
        take, ready = prepare(contender, (ROWS | CUDA_ROWS)[name])
    except Skip as reason:
        say({"skipped": str(reason)})
        return
    except Exception as error:  # whatever a library raises is a fact about it, and no end of the run
        say({"skipped": f"{type(error).__name__}: {error}"[:300]})
        return
    say(ready)
    for line in sys.stdin:
        say(take(int(line)))


def prepare(contender: str, row: Row) -> tuple[Callable[[int], dict[str, Any]], dict[str, Any]]:
    """What takes a turn of some steps, and the first message: the answers, and the seconds of a step."""
    if contender == MACHINE:
        rates = Rates(int(os.environ["OMP_NUM_THREADS"])) if DEVICE == "cpu" else CardRates()
        return lambda steps: {"rates": rates.measure()}, {"seconds": TURN}
    module, work = build(contender, row)
    if work.answer is None:
        return lambda steps: turn(module, work, steps), {"seconds": TURN}
    answers = check(work)
    work.dropout(True)
    count, start = 0, time.perf_counter()
    while count < 3 or time.perf_counter() - start < WARM:
        last = turn(module, work, 1)
        count += 1
    return lambda steps: turn(module, work, steps), {"answers": answers,
                                                         "seconds": last["seconds"] * work.operations}


def build(contender: str, row: Row) -> tuple[Any, Work]:
    """The module that does the work, which also knows how to `wait` for it."""
    if hasattr(overhead, row.kind):
        return overhead, getattr(overhead, row.kind)(contender)
    module, options = MODULES.get(contender, (contender, {}))
    try:
        found = import_module(f"benchmarks.contenders.{module}")
    except ImportError as error:
        raise Skip(f"{error.name or contender} is not installed") from error
    if not hasattr(found, row.kind):
        raise Skip(f"no {row.kind} in benchmarks/contenders/{module}.py")
    return found, getattr(found, row.kind)(row, **options)


def check(work: Work) -> list[list[float]]:
    """What the first steps answer: numbers as they are; of arrays the norm, and four projections over the norm."""
    work.dropout(False)
    answers = []
    for i in range(CHECKED):
        answer = work.answer(work.step(i))
        answers.append(projections(answer) if isinstance(answer, np.ndarray) else [float(a) for a in answer])
    return answers


def projections(array: np.ndarray) -> list[float]:
    """‖y‖, and ⟨y, r⟩ for four r of N(0, 1): an error e in y moves them by about ‖e‖."""
    y = array.astype(np.float64).ravel()
    rng = np.random.default_rng(0)
    return [float(np.linalg.norm(y)), *(float(y @ rng.standard_normal(y.size, np.float32)) for _ in range(4))]


def turn(module: Any, work: Work, steps: int) -> dict[str, Any]:
    """Seconds a step, by the clock and of all threads together, and the peak of memory; or what a step says itself."""
    start, cpu = time.perf_counter(), time.process_time()
    for i in range(steps):
        result = work.step(i)
    module.wait(result)
    if isinstance(result, Measured):
        return dict.fromkeys(CLOCKS, result.value) | {"peak": result.peak}
    per = work.operations * steps
    return {"seconds": (time.perf_counter() - start) / per, "cpu": (time.process_time() - cpu) / per,
            "peak": peak_memory()}


def peak_memory() -> int:
    """Bytes"""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) << 10


# ---- in the main process


def environment(threads: int) -> dict[str, str]:
    """Every library's thread pool has the same size, also those that ask how many cores there are (their affinity)."""
    names = ("OMP", "MKL", "OPENBLAS", "NUMBA", "NUMEXPR", "VECLIB_MAXIMUM")
    # Workers that compile would run beside another contender's turn.
    return os.environ | {f"{name}_NUM_THREADS": str(threads) for name in names} | {
        "TORCHINDUCTOR_COMPILE_THREADS": "1", "JAX_PLATFORMS": DEVICE, "TF_CPP_MIN_LOG_LEVEL": "3",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # each contender has its turn on one card


_libc = ctypes.CDLL(None)


def _before_exec(cores: list[int]) -> None:
    """Only these cores, and no life after this process: a stopped process would stay for ever."""
    os.sched_setaffinity(0, cores)
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Contender:
    """A process that takes turns, stopped in between."""

    def __init__(self, name: str, row: str, threads: int) -> None:
        cores = sorted(os.sched_getaffinity(0))[:threads]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.measure", name, row], cwd=ROOT, env=environment(threads), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            preexec_fn=lambda: _before_exec(cores))  # fmt: skip

    def hear(self) -> dict[str, Any]:
        """Its next message, after which it is stopped."""
        if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
            return {"skipped": f"no answer after {PATIENCE} s"}
        line = self.process.stdout.readline()
        self.process.send_signal(signal.SIGSTOP)
        return json.loads(line) if line else {"skipped": "its process ended"}

    def take_turn(self, steps: int) -> dict[str, Any]:
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return self.hear()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


class Rates:
    """What the machine does with as many threads as the contenders have."""

    def __init__(self, threads: int) -> None:
        rng = np.random.default_rng(0)
        self.a, self.b, self.c = (rng.random((1536, 1536), np.float32) for _ in range(3))
        self.x, self.y, self.z = (np.ones(1 << 24, np.float32) for _ in range(3))  # 64 MiB each
        n = len(self.x) // threads
        self.parts = [slice(i * n, (i + 1) * n) for i in range(threads)]
        self.pool = ThreadPoolExecutor(threads)
        self.measure()  # threads start, memory is touched

    def measure(self) -> dict[str, dict[str, float]]:
        """By both clocks. sgemm: operations a second of a product in NumPy; stream: bytes, 12 an element of x + y."""
        before = time.perf_counter(), time.process_time()
        np.matmul(self.a, self.b, out=self.c)
        middle = time.perf_counter(), time.process_time()
        list(self.pool.map(lambda s: np.add(self.x[s], self.y[s], out=self.z[s]), self.parts))
        after = time.perf_counter(), time.process_time()
        return {clock: {"sgemm": 2 * len(self.a) ** 3 / (m - b), "stream": 12 * len(self.x) / (a - m)}
                for clock, b, m, a in zip(CLOCKS, before, middle, after, strict=True)}


class CardRates:
    """The same of a GPU: cuBLAS's product in float32, and a copy on the device, 8 bytes an element."""

    def __init__(self) -> None:
        import cupy

        self.cupy = cupy
        self.a, self.b = (cupy.random.random((8192, 8192), cupy.float32) for _ in range(2))
        self.x = cupy.ones(1 << 28, cupy.float32)  # 1 GiB: no cache holds it
        self.y = cupy.empty_like(self.x)
        self.measure()

    def measure(self) -> dict[str, dict[str, float]]:
        product = self._seconds(lambda: self.cupy.matmul(self.a, self.b))
        copy = self._seconds(lambda: self.cupy.copyto(self.y, self.x))
        rates = {"sgemm": 2 * len(self.a) ** 3 / product, "stream": 8 * self.x.size / copy}
        return dict.fromkeys(CLOCKS, rates)

    def _seconds(self, work: Callable[[], Any]) -> float:
        """By the device's own clock: the shortest of five."""
        event, taken = self.cupy.cuda.Event, []
        for _ in range(5):
            start, end = event(), event()
            start.record()
            work()
            end.record()
            end.synchronize()
            taken.append(self.cupy.cuda.get_elapsed_time(start, end) / 1000)
        return min(taken)


def measure(row: Row, contenders: list[str], threads: int, rounds: int, log: Callable[[str], None]) -> dict[str, Any]:
    """The row's figures: of each contender the seconds of each round, its memory, and whether its answers agree.

    Three rounds or more: no other begins after LONG.
    """
    end = time.monotonic() + LONG
    threads = row.threads or threads
    heard: dict[str, list[dict[str, Any]]] = {}
    steps: dict[str, int] = {}
    with contextlib.ExitStack() as stack:
        running: dict[str, Contender] = {}
        for name in [MACHINE, *contenders]:
            running[name] = Contender(name, row.name, threads)
            stack.callback(running[name].end)
            heard[name] = [running[name].hear()]
            log(f"  {name}: {heard[name][0].get('skipped', 'ready')}")
            steps[name] = max(1, round(TURN / heard[name][0].get("seconds", TURN)))
        for number in range(rounds):
            if number >= 3 and time.monotonic() > end:
                break
            names = [name for name in heard if "skipped" not in heard[name][-1]]
            for name in names[number % len(names) :] + names[: number % len(names)]:
                heard[name].append(running[name].take_turn(steps[name]))
    figures = {name: figure(*heard[name]) for name in contenders}
    found = {"threads": threads, "rounds": len(heard[MACHINE]) - 1, "unit": row.unit,
             "contenders": {name: judged(f, figures, row.agree) for name, f in figures.items()}}
    operations, moved = row.floor()
    if not operations + moved:
        return found
    rates = {clock: {what: max(h["rates"][clock][what] for h in heard[MACHINE][1:]) for what in ("sgemm", "stream")}
             for clock in CLOCKS}
    floor = {clock: operations / rate["sgemm"] + moved / rate["stream"] for clock, rate in rates.items()}
    return found | {"rates": rates, "operations": operations, "bytes": moved, "floor": floor}


def figure(first: dict[str, Any], *turns: dict[str, Any]) -> dict[str, Any]:
    """What a contender said, put together."""
    if "skipped" in first or "skipped" in turns[-1]:
        return {"skipped": (first | turns[-1] if turns else first)["skipped"]}
    return {"answers": first.get("answers", []), "peak": turns[-1]["peak"],
            **{clock: [t[clock] for t in turns] for clock in CLOCKS}}


def judged(figure: dict[str, Any], figures: dict[str, Any], agree: float) -> dict[str, Any]:
    """With "wrong" where the answers are not those of the first contender that has any, to the relative `agree`."""
    answers = next((f["answers"] for f in figures.values() if "answers" in f), [])
    for number, (expected, found) in enumerate(zip(answers, figure.get("answers", answers), strict=True)):
        bound = agree * max(map(abs, expected))
        if not all(abs(a - b) <= bound for a, b in zip(expected, found, strict=True)):  # nor may one be NaN
            return figure | {"wrong": f"step {number}: {found}, not {expected}"}
    return figure


if __name__ == "__main__":
    serve(*sys.argv[1:])
