"""Every lesson and slip at full size: python -m examples.run_all [NUMBERS AND NAMES]

Keeps what each promised and measured, its time and its seed in examples/results.json, and its pictures under
runs/lessons/. A lesson that breaks a promise is reported, and the exit code is 1.
"""

import argparse
import contextlib
import io
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from tinyart.data.files import replacing
from tinyart.lesson import FOLDER, Lesson, Session, Unexpected, lesson, lessons, run, slips

RESULTS = FOLDER / "results.json"


def measured(item: Lesson) -> dict[str, Any]:
    """Run it; its numbers, with an "error" where a promise was broken."""
    sessions: list[Session] = []

    def around(cell: Any, session: Session) -> contextlib.AbstractContextManager[None]:
        sessions[:] = [session]
        return contextlib.nullcontext()

    wall, cpu, error = time.perf_counter(), time.process_time(), None
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            run(item.path, Path("runs") / "lessons" / item.path.stem, around=around)
    except Unexpected as broken:
        error = str(broken)
    numbers = {found.what: {"value": float(f"{found.value:.6g}"), "promised": found.promise}
               for found in sessions[0].expectations}
    return {"title": item.title, "seed": 0, "seconds": round(time.perf_counter() - wall, 1),
            "cpu seconds": round(time.process_time() - cpu, 1), "cpus": os.cpu_count(), "numpy": np.__version__,
            "python": platform.python_version(), **({"error": error} if error else {}), "numbers": numbers}


def main(names: list[str]) -> int:
    """Run the lessons named, or all; 1 where one broke a promise."""
    broken = 0
    for item in [lesson(name) for name in names] or [*lessons(), *slips()]:
        result = measured(item)
        known = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}  # of those not run now
        known[item.path.stem] = result
        with replacing(RESULTS) as file:
            file.write((json.dumps(dict(sorted(known.items())), indent=1, ensure_ascii=False) + "\n").encode())
        print(f"{item.path.stem:40} {result['seconds']:7.1f} s  {result.get('error', 'as promised')}", flush=True)
        broken += "error" in result
    return 1 if broken else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="lessons by number and slips by name; by default all")
    sys.exit(main(parser.parse_args().names))
