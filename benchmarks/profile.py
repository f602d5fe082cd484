"""Where the time of a training step goes: each kernel, in it each loop that its threads share, and what is outside.

    python -m benchmarks.profile step/vae-128 step/rnn-T100-B32-I88-H128

By the wall clock, as the thread that calls sees it: medians over the steps, so that the parts need not add up.
"""

import argparse
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from benchmarks.measure import build
from benchmarks.rows import ROWS
from tinyart import backend

STEPS, WARM = 40, 5

Spans = dict[tuple[str, ...], list[float]]  # seconds of each call, under the names of what is inside what


def timed(spans: Spans, inside: list[str], name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **settings: Any) -> Any:
        inside.append(name)
        start = time.perf_counter()
        try:
            return function(*arguments, **settings)
        finally:
            spans[tuple(inside)].append(time.perf_counter() - start)
            inside.pop()

    return call


def watch(spans: Spans) -> None:
    """Every kernel, in the modules that hold them every `share`, and the end of what was put off, from now on."""
    inside: list[str] = []
    for name in {*dir(backend.Kernels), *backend.Kernels.__annotations__}:
        if not name.startswith("_"):
            setattr(backend._cpu, name, timed(spans, inside, name, getattr(backend._cpu, name)))
    for module in [m for name, m in sys.modules.items() if name.startswith("tinyart.kernels.cpu.")]:
        share = getattr(module, "share", None)
        if share is not None:
            module.share = lambda kernel, *rest, share=share: timed(  # type: ignore[attr-defined]
                spans, inside, plain_name(kernel), share)(kernel, *rest)
    threads: Any = sys.modules["tinyart.kernels.cpu.threads"]
    threads.finish = timed(spans, inside, "what was put off", threads.finish)


def plain_name(kernel: Any) -> str:
    return str(getattr(kernel, "py_func", kernel).__name__)


def profile(name: str, spans: Spans) -> None:
    _, work = build("tinyart", ROWS[name])
    steps, found = [], defaultdict[tuple[str, ...], list[float]](list)
    for i in range(WARM + STEPS):
        spans.clear()
        start = time.perf_counter()
        work.step(i)
        steps.append(time.perf_counter() - start)
        for place, seconds in spans.items():
            found[place].append(sum(seconds))
        found[()].append(steps[-1] - sum(sum(s) for place, s in spans.items() if len(place) == 1))
    total = statistics.median(steps[WARM:])
    print(f"{name}: {1e3 * total:.2f} ms a step")
    medians = {place: statistics.median(seconds[WARM:]) for place, seconds in found.items()}
    for place in sorted(medians, key=lambda p: (-medians[p[:1]], len(p), -medians[p])):
        label = "  " * len(place) + place[-1] if place else "  outside the kernels"
        calls = f"{len(spans[place]):5} calls" if place else ""
        print(f"{label:36}{1e3 * medians[place]:7.2f} ms {100 * medians[place] / total:4.0f} % {calls}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="+", choices=[name for name in ROWS if name.startswith("step/")], metavar="ROW")
    spans: Spans = defaultdict(list)
    watch(spans)
    for row in parser.parse_args().rows:
        profile(row, spans)
