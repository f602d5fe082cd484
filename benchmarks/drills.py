"""What a run survives: python -m benchmarks.drills [kills writes checkpoints images]

kills        100 SIGKILLs at random moments of training runs of the MLP GAN, the DCGAN and the VAE. A run is killed
             again and again until it ends; then everything it left must equal what the uninterrupted run left.
writes       each call of a save fails once, as on a full disk, in the middle of a run of the DCGAN: the error is one
             sentence, the newest good checkpoint is whole, and the run goes on from it to the same end.
checkpoints  2,000 damaged checkpoints beside a good older one: each is named in one sentence, and the older one used.
images       2,000 damaged picture files in one folder: each is skipped with one sentence, or read. PNG has checksums,
             so its pixels must then be right; in JPEG, WebP, BMP and GIF a flipped bit may pass as another pixel.

All four without arguments. The tests hold smaller drills, and the ways of damage are theirs. Writes
benchmarks/results/drills.json; exit code 1 where one fails.
"""

import argparse
import contextlib
import errno
import hashlib
import io
import json
import math
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import tinyart.train
from tinyart.checkpoint import latest_checkpoint
from tinyart.data import Batches, art, image_folder
from tinyart.models import build
from tinyart.random import manual_seed
from tinyart.train import Run

RESULTS = Path(__file__).parent / "results" / "drills.json"
MODELS: dict[str, dict[str, Any]] = {
    "gan": {"name": "gan", "shape": [16, 16, 3], "hidden": [64, 64], "latent": 8},
    "dcgan": {"name": "dcgan", "shape": [16, 16, 3], "latent": 8, "width": 4},
    "vae": {"name": "vae", "shape": [16, 16, 3], "hidden": [64], "latent": 8},
}
ROWS, BATCH, EPOCHS = 230, 16, 3
KILLS, DAMAGED = 100, 2000
CALLS = ("open", "write", "fsync", "close", "replace", "unlink")  # of `os`: all that a save asks of the disk


def make_run(model: str, folder: Path) -> Run:
    manual_seed(1)
    batches = Batches((art(ROWS, size=16)[0],), BATCH, seed=1)
    return Run(folder, build(MODELS[model]), batches, config={"model": MODELS[model], "batch": BATCH})


def train(model: str, folder: Path, save_seconds: float = math.inf) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        make_run(model, folder).train(EPOCHS, save_seconds=save_seconds)


def left_by(folder: Path) -> str:
    """A digest of the last checkpoint, the metrics, the plot and the sheets of a run."""
    paths = [max(folder.glob("checkpoint-*")), folder / "metrics.jsonl", folder / "loss.png",
             *sorted((folder / "samples").iterdir())]
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


# ---- kills


def kills(folder: Path) -> dict[str, Any]:
    rng, found = random.Random(0), {}
    for model, share in zip(MODELS, _shares(KILLS, len(MODELS)), strict=True):
        _end(_start(model, folder / f"{model} warm"))  # kernels are compiled
        process = _start(model, folder / model)
        began = _wait_for_training(process, folder / model)
        assert _end(process) == 0
        seconds, straight = time.perf_counter() - began, left_by(folder / model)
        counts, under_way = Counter({"kills": 0, "runs": 0}), False
        while counts["kills"] < share or under_way:
            into = folder / f"{model} {counts['runs']}"
            process = _start(model, into, rng.choice([0.0, math.inf]))  # a save after each step, or after each epoch
            if counts["kills"] < share:
                _wait_for_training(process, into)
                time.sleep(rng.uniform(0, seconds))
                os.kill(process, signal.SIGKILL)  # it is a zombie where it has ended: nothing happens
            code = _end(process)
            under_way = code != 0
            if not under_way:
                counts["runs"] += 1
                counts["runs that left the same"] += left_by(into) == straight
                continue
            assert code == -signal.SIGKILL, f"{model} ended with {code}"
            counts["kills"] += 1
            newest = latest_checkpoint(into)
            assert newest is not None
            counts["damaged checkpoints"] += len(newest.notes)
            counts["kills in the middle of a save"] += any(into.glob(".checkpoint-*.tmp"))
        passed = counts["runs"] == counts["runs that left the same"] and not counts["damaged checkpoints"]
        found[model] = {**counts, "passed": passed}
        print(model, found[model], flush=True)
    return {**found, "passed": all(each["passed"] for each in found.values())}


def _start(model: str, folder: Path, save_seconds: float = math.inf) -> int:
    """Train in a process of its own, which has imported all but not computed anything; its number."""
    if (process := os.fork()) == 0:
        try:
            train(model, folder, save_seconds)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return process


def _wait_for_training(process: int, folder: Path) -> float:
    """The time when the process has locked the run's folder and a checkpoint is there, or when it has ended."""
    own = f"{process}\n".encode()
    while os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if any(folder.glob("checkpoint-*")) and (folder / ".lock").read_bytes() == own:
            break
        time.sleep(0.001)
    return time.perf_counter()


def _end(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _shares(total: int, parts: int) -> list[int]:
    return [total // parts + (k < total % parts) for k in range(parts)]


# ---- failing writes


@contextlib.contextmanager
def failing_disk(fail_at: int | None, calls: list[str]) -> Iterator[None]:
    """The names of the calls go into `calls`; the one of this number fails. A file is closed all the same."""
    real = {name: getattr(os, name) for name in CALLS}

    def wrapped(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **settings: Any) -> Any:
            calls.append(name)
            if len(calls) - 1 == fail_at:
                if name == "close":
                    real[name](*arguments)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real[name](*arguments, **settings)

        return call

    try:
        for name in CALLS:
            setattr(os, name, wrapped(name))
        yield
    finally:
        for name in CALLS:
            setattr(os, name, real[name])


def writes(folder: Path) -> dict[str, Any]:
    train("dcgan", folder / "straight")
    straight, at = left_by(folder / "straight"), 2 * (ROWS // BATCH)  # the save after the second epoch
    calls, _ = _train_with_a_failure(folder / "dry", at, None)
    counts: Counter[str] = Counter()
    for position, name in enumerate(calls):
        into = folder / str(position)
        _, error = _train_with_a_failure(into, at, position)
        newest = latest_checkpoint(into)
        assert newest is not None
        step = int(newest.path.stem.partition("-")[2])
        renamed = position > calls.index("replace")
        if not error:  # to unlink the temporary file, which is renamed by then, may fail: the run has gone on
            told, whole = calls[position] == "unlink" and left_by(into) == straight, True
        else:
            told = "No space left on device" in error and "\n" not in error
            whole = not newest.notes and step == (at if renamed else at // 2)
        train("dcgan", into)
        same = left_by(into) == straight
        counts["positions"] += 1
        counts["failures told in one sentence, or without consequence"] += told
        counts["last good checkpoint whole"] += whole
        counts["runs that left the same"] += same
        if not (told and whole and same):
            print(f"position {position}, {name}: told {told}, whole {whole}, same {same}: {error}")
    print(dict(counts), flush=True)
    return {**counts, "passed": {*counts.values()} == {len(calls)} and calls.count("write") > 50}


def _train_with_a_failure(folder: Path, at: int, position: int | None) -> tuple[list[str], str]:
    """Train; while the checkpoint of step `at` is saved, one call fails. The save's calls, and what was said."""
    calls: list[str] = []
    real = tinyart.train.write_checkpoint

    def write(folder: Path, step: int, arrays: Any, meta: Any) -> Path:
        if step != at:
            return real(folder, step, arrays, meta)
        with failing_disk(position, calls):
            return real(folder, step, arrays, meta)

    tinyart.train.write_checkpoint = write
    try:
        train("dcgan", folder)
    except OSError as error:
        return calls, str(error)
    finally:
        tinyart.train.write_checkpoint = real
    return calls, ""


# ---- damage


def checkpoints(folder: Path) -> dict[str, Any]:
    from tests.io.test_checkpoint_damage import KINDS

    train("gan", folder)
    older, newer = sorted(folder.glob("checkpoint-*"))
    content, rng, counts = newer.read_bytes(), np.random.default_rng(0), Counter[str]()
    for damage, cases in KINDS:
        for _ in range(cases):
            while (damaged := damage(content, rng)) == content:
                pass
            newer.write_bytes(damaged)
            found = latest_checkpoint(folder)
            assert found is not None
            told = len(found.notes) == 1 and newer.name in found.notes[0] and "\n" not in found.notes[0]
            counts["damaged"] += 1
            counts["named in one sentence, the older one used"] += told and found.path == older
            counts["used as if they were good"] += found.path == newer
    print(dict(counts), flush=True)
    return {**counts, "passed": counts["damaged"] == counts["named in one sentence, the older one used"] == DAMAGED}


def images(folder: Path) -> dict[str, Any]:
    from PIL import Image

    from tests.data.test_damage import damaged

    pixels, rng = art(1, size=32)[0][0], np.random.default_rng(0)
    whole, counts = {}, Counter[str]()
    for kind, share in zip(("png", "jpeg", "webp", "bmp", "gif"), _shares(DAMAGED, 5), strict=True):
        Image.fromarray(pixels).save(good := folder / f"{kind} whole", kind)
        content = good.read_bytes()
        for k in range(share):
            while (bad := damaged(content, rng)) == content:
                pass
            (folder / f"{kind} {k:04}").write_bytes(bad)
    read, report = image_folder(folder, size=32)
    at = {path.name: image for path, image in zip(report.paths, read, strict=True)}
    whole = {name.split()[0]: at.pop(name) for name in [*at] if name.endswith("whole")}
    for name, image in at.items():
        kind = name.split()[0]
        counts[f"{kind}, {'read right' if np.array_equal(image, whole[kind]) else 'read as other pixels'}"] += 1
    for error in report.skipped:
        name = str(error).split("'")[1].rpartition("/")[2]
        counts[f"{name.split()[0]}, refused in one sentence"] += "\n" not in str(error)
    counts["damaged"] = sum(counts.values())
    print(dict(sorted(counts.items())), flush=True)
    return {**counts, "passed": counts["damaged"] == DAMAGED and not counts["png, read as other pixels"]}


DRILLS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "kills": kills, "writes": writes, "checkpoints": checkpoints, "images": images,
}  # fmt: skip


def main(names: list[str]) -> int:
    passed = True
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            figures = DRILLS[name](Path(folder))
        figures["command"] = f"python -m benchmarks.drills {name}"
        known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps(known | {name: figures}, indent=1) + "\n")
        print(f"{name}: {'pass' if figures['passed'] else 'FAIL'}", flush=True)
        passed &= figures["passed"]
    return 0 if passed else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=list(DRILLS), default=list(DRILLS), metavar="DRILL")
    sys.exit(main(parser.parse_args().names))
