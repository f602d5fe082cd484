"""How a row is measured: each contender in a process of its own, one at a time, in turns.

A contender builds the row's work, takes three checked steps without dropout, and warms up. Then, in every round, each
takes its turn of some steps; between its turns a process is stopped (SIGSTOP), so that no thread of it spins. A round
begins with the machine's own rates, those the floor is reckoned with. Times are wall clock, memory is the largest
resident set of the whole process (VmHWM).
"""

import contextlib
import json
import math
import os
import select
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contenders import Skip, Work
from benchmarks.rows import ROWS, Row

ROOT = Path(__file__).parents[1]
CLOCKS = "seconds", "cpu"  # by the wall clock; of all threads of a process together
CHECKED = 3  # steps whose answers are compared
WARM = 0.5  # seconds of steps before the first turn, at least two of them
TURN = 0.25  # seconds of a turn, at least one step
PATIENCE = 400  # seconds that a contender may take until its first turn, compilation included
MODULES: dict[str, tuple[str, dict[str, Any]]] = {"torch.compile": ("torch", {"compiled": True})}  # others as named


# ---- in a contender's process


def serve(contender: str, name: str) -> None:
    """Prepare, then take a turn for every line on standard input, which says how many steps."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is not part of the conversation

    def say(message: dict[str, Any]) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    try:
        module, work = build(contender, ROWS[name])
        answers = check(work)
        work.dropout(True)
        count, start = 0, time.perf_counter()
        while count < 3 or time.perf_counter() - start < WARM:
            seconds, _ = turn(module, work, 1)
            count += 1
    except Skip as reason:
        say({"skipped": str(reason)})
        return
    except Exception as error:  # whatever a library raises is a fact about it, and no end of the run
        say({"skipped": f"{type(error).__name__}: {error}"[:300]})
        return
    say({"answers": answers, "seconds": seconds})
    for line in sys.stdin:
        seconds, cpu = turn(module, work, int(line))
        say({"seconds": seconds, "cpu": cpu, "peak": peak_memory()})


def build(contender: str, row: Row) -> tuple[Any, Work]:
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
    """‖y‖, and ⟨y, r⟩/‖y‖ for four random r of norm 1"""
    y = array.astype(np.float64).ravel()
    norm, rng = float(np.linalg.norm(y)), np.random.default_rng(0)
    directions = (rng.standard_normal(y.size, np.float32) for _ in range(4))
    return [norm, *(float(y @ r) / float(np.linalg.norm(r)) / (norm or 1) for r in directions)]


def turn(module: Any, work: Work, steps: int) -> tuple[float, float]:
    """Seconds a step: by the clock, and of all threads together."""
    start, cpu = time.perf_counter(), time.process_time()
    for i in range(steps):
        result = work.step(i)
    module.wait(result)
    return (time.perf_counter() - start) / steps, (time.process_time() - cpu) / steps


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
        "TORCHINDUCTOR_COMPILE_THREADS": "1", "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}


class Contender:
    """A process that takes turns, stopped in between."""

    def __init__(self, name: str, row: str, threads: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.measure", name, row], cwd=ROOT, env=environment(threads),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads]))  # fmt: skip

    def hear(self, seconds: float) -> dict[str, Any]:
        """Its next message, after which it is stopped."""
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            return {"skipped": f"no answer after {seconds:.0f} s"}
        line = self.process.stdout.readline()
        self.process.send_signal(signal.SIGSTOP)
        return json.loads(line) if line else {"skipped": f"ended with exit code {self.process.wait()}"}

    def take_turn(self, steps: int) -> dict[str, Any]:
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return self.hear(PATIENCE)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


class Machine:
    """Rates of this machine with as many threads as the contenders have, while they are stopped."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.a, self.b = (np.random.default_rng(0).random((1536, 1536), np.float32) for _ in range(2))
        self.c = np.empty_like(self.a)
        self.x, self.y, self.z = (np.ones(1 << 24, np.float32) for _ in range(3))  # 64 MiB each
        self.pool = ThreadPoolExecutor(threads)
        self.rates()  # memory is touched, threads start

    def rates(self) -> dict[str, dict[str, float]]:
        """By both clocks. sgemm: operations a second of a product in NumPy; stream: bytes, 12 an element of x + y."""
        n = len(self.x) // self.threads
        parts = [slice(i * n, (i + 1) * n) for i in range(self.threads)]
        before = time.perf_counter(), time.process_time()
        np.matmul(self.a, self.b, out=self.c)
        middle = time.perf_counter(), time.process_time()
        list(self.pool.map(lambda s: np.add(self.x[s], self.y[s], out=self.z[s]), parts))
        after = time.perf_counter(), time.process_time()
        return {clock: {"sgemm": 2 * len(self.a) ** 3 / (m - b), "stream": 12 * len(self.x) / (a - m)}
                for clock, b, m, a in zip(CLOCKS, before, middle, after, strict=True)}


def measure(row: Row, contenders: list[str], machine: Machine, rounds: int, log: Any = print) -> dict[str, Any]:
    """The row's figures: of each contender the seconds of each round, its memory, and whether its answers agree."""
    rates: list[dict[str, dict[str, float]]] = []
    figures: dict[str, Any] = {name: {} for name in contenders}
    with contextlib.ExitStack() as stack:
        running: dict[str, tuple[Contender, int]] = {}
        for name in contenders:
            contender = Contender(name, row.name, machine.threads)
            stack.callback(contender.end)
            figures[name] = contender.hear(PATIENCE)
            log(f"  {name}: {figures[name].get('skipped', 'ready')}")
            if "skipped" not in figures[name]:
                running[name] = contender, max(1, round(TURN / figures[name].pop("seconds")))
                figures[name] |= {"seconds": [], "cpu": []}
        for number in range(rounds):
            rates.append(machine.rates())
            names = list(running)
            for name in names[number % max(1, len(names)) :] + names[: number % max(1, len(names))]:
                contender, steps = running[name]
                heard = contender.take_turn(steps)
                if "skipped" in heard:
                    figures[name] |= heard
                    del running[name]
                else:
                    for clock in CLOCKS:
                        figures[name][clock].append(heard[clock])
                    figures[name]["peak"] = heard["peak"]
    operations, moved = row.floor()
    best = {clock: {what: max(rate[clock][what] for rate in rates) for what in ("sgemm", "stream")} for clock in CLOCKS}
    return {"threads": machine.threads, "rounds": rounds, "rates": best, "operations": operations, "bytes": moved,
            "floor": {clock: operations / rate["sgemm"] + moved / rate["stream"] for clock, rate in best.items()},
            "contenders": {name: judged(figure, figures, row.agree) for name, figure in figures.items()}}


def judged(figure: dict[str, Any], figures: dict[str, Any], agree: float) -> dict[str, Any]:
    """With "wrong" where the answers are not those of the first contender that has any, to the relative `agree`."""
    answers = next((f["answers"] for f in figures.values() if "answers" in f), None)
    if "answers" not in figure or not all(math.isfinite(a) for step in figure["answers"] for a in step):
        return figure if "answers" not in figure else figure | {"wrong": "answers that are not finite"}
    for number, (ours, theirs) in enumerate(zip(answers, figure["answers"], strict=True)):
        for a, b in zip(ours, theirs, strict=True):
            if abs(a - b) > agree * max(1.0, abs(a)):
                return figure | {"wrong": f"step {number}: {b!r}, not {a!r}"}
    return figure


if __name__ == "__main__":
    serve(*sys.argv[1:])
