"""Every operation's gradients against difference quotients: python -m benchmarks.gradients [--cases 200]

The operations, shapes and memory layouts are those of tests/core/test_gradients.py, drawn anew, in float64. Of each
case the relative errors of `check_grad`, up to order 1 and up to order 2, and of `check_adjoint`; a case within a step
of a kink is drawn again where the operation is known to have kinks. Writes benchmarks/results/gradients.json.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase, given, reject, settings

from tests.core.test_gradients import CASES, LINEAR, has_kinks
from tinyart.testing import Kink, WrongGradient, check_adjoint, check_grad

RESULTS = Path(__file__).parent / "results"
TARGETS = {"order 1": 1e-7, "order 2": 1e-7, "adjoint": 1e-12}  # largest relative error


def measure(name: str, cases: int, seed: int) -> dict[str, Any]:
    """One row: the cases run, the largest error of each property, the seconds, and what every failure said."""
    worst, failures, count = dict.fromkeys(TARGETS, 0.0), [], 0
    start = time.perf_counter()

    @hypothesis.seed(seed)
    @settings(max_examples=cases, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))
    @given(CASES[name])
    def run(case: Any) -> None:
        nonlocal count
        fn, xs = case
        checks = {"order 1": lambda: check_grad(fn, *xs, order=1, seed=seed + count),
                  "order 2": lambda: check_grad(fn, *xs, order=2, seed=seed + count),
                  "adjoint": lambda: check_adjoint(fn, *xs, linear=name in LINEAR, seed=seed + count)}
        errors = dict.fromkeys(TARGETS, 0.0)
        for what, check in checks.items():
            try:
                errors[what] = check()
            except (Kink, WrongGradient) as error:
                if isinstance(error, Kink) and has_kinks(name):
                    reject()
                failures.append(f"{what}: {type(error).__name__}: {error}")
        count += 1
        for what, error in errors.items():
            worst[what] = max(worst[what], error)

    run()
    return {"operation": name, "cases": count, **worst, "seconds": round(time.perf_counter() - start, 2),
            "failures": failures}


def misses(row: dict[str, Any], cases: int) -> bool:
    return bool(row["failures"]) or row["cases"] < cases or any(row[what] > TARGETS[what] for what in TARGETS)


def main(cases: int, seed: int, names: list[str], out: Path) -> None:
    print(f"{'operation':28} {'cases':>6}" + "".join(f"{what:>10}" for what in TARGETS) + f"{'seconds':>9}")
    rows = []
    for name in names:
        row = measure(name, cases, seed)
        rows.append(row)
        print(f"{name:28} {row['cases']:6}" + "".join(f"{row[what]:10.1e}" for what in TARGETS)
              + f"{row['seconds']:9.1f}" + ("  MISSES" if misses(row, cases) else ""), flush=True)
    rows.sort(key=lambda row: not misses(row, cases))
    missed = [row["operation"] for row in rows if misses(row, cases)]
    total = {"operations": len(rows), "orders": 2, "cases": sum(row["cases"] for row in rows),
             **{what: max(row[what] for row in rows) for what in TARGETS},
             "seconds": round(sum(row["seconds"] for row in rows), 1), "miss the target": missed}
    print(f"{total['operations']} operations x 2 orders x {cases} cases, {total['cases']} cases in all, "
          f"{total['seconds']:.0f} s; largest error: " + ", ".join(
              f"{what} {total[what]:.1e} (target {target:.0e})" for what, target in TARGETS.items()))
    for row in rows[: len(missed)]:
        print(f"MISSES: {row['operation']}, {row['cases']} cases, {len(row['failures'])} failures",
              *row["failures"][:1])
    out.parent.mkdir(exist_ok=True)
    figures = {"command": f"python -m benchmarks.gradients --cases {cases} --seed {seed}", "target": TARGETS,
               "total": total, "numpy": np.__version__, "hypothesis": hypothesis.__version__, "rows": rows}
    out.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    main(**vars(parser.parse_args()), names=list(CASES), out=RESULTS / "gradients.json")
