"""The training loop: progress, pictures, metrics, checkpoints; a run that was stopped goes on as if it had not been.

    run/checkpoint-00004680.safetensors   all that the later steps depend on; the newest two
    run/metrics.jsonl                     a line a step: {"step": 1, "epoch": 1, losses}; no times, so that it repeats
    run/loss.png                          those losses
    run/samples/epoch-0001.png            what the model makes after each epoch, of the same noise (.mid, .txt, ..)
"""

import json
import math
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

import tinyart
from tinyart.checkpoint import Checkpoint, compare_config, latest_checkpoint, lock_run, write_checkpoint
from tinyart.data.batches import Batches
from tinyart.data.plot import loss_plot
from tinyart.data.sheet import save_image, sheet
from tinyart.errors import ArgumentError, FormatError
from tinyart.random import Generator, default_generator

SAMPLES = 64  # pictures on the sheet of an epoch
TILE = 64  # pixels that a picture on a sheet is enlarged to, by a whole factor
PLAIN_SECONDS = 20.0  # between two lines of progress where there is no terminal
_PARTS = ("config", "source", "batches", "versions")  # of a checkpoint's meta
_GLOBAL = "global generator"

Show = Callable[[int, Mapping[str, float]], None]


class Trainer(Protocol):
    """What can be trained. `state` holds all that a later step depends on, as nested dicts of arrays."""

    def step(self, *batch: Any) -> dict[str, float]: ...
    def state(self) -> dict[str, Any]: ...
    def load_state(self, state: dict[str, Any]) -> None: ...


@runtime_checkable
class Painter(Protocol):
    """A trainer whose model makes pictures: `images`, in [0, 1], of `noise`."""

    def noise(self, n: int, generator: Generator) -> Any: ...
    def images(self, z: Any) -> np.ndarray[Any, Any]: ...


@runtime_checkable
class Writer(Protocol):
    """A trainer whose model makes something else: `write_sample` writes it to files named `stem` and an ending."""

    def write_sample(self, stem: Path, generator: Generator) -> None: ...


class Run:
    """A trainer, its batches, and the folder where what comes of them is kept.

    config: the settings on which the result depends; a checkpoint with others is not continued. source: what else
    to remember, such as where the data came from. pace: what a batch counts as in the progress, such as 8 "pieces".
    """

    def __init__(self, folder: str | os.PathLike[str], trainer: Trainer, batches: Batches, *,
                 config: Mapping[str, Any], source: Mapping[str, Any] | None = None,
                 pace: tuple[int, str] | None = None) -> None:
        self.folder, self.trainer, self.batches = Path(folder), trainer, batches
        self.pace = pace or (batches.batch_size, "images")
        self.config, self.source = dict(config), dict(source or {})

    @property
    def step(self) -> int:
        """Steps done."""
        return self.batches.epoch * len(self.batches) + self.batches.cursor

    def train(self, epochs: int, *, new: bool = False, save_seconds: float = 180.0,
              limit_seconds: float = math.inf) -> None:
        """Train until `epochs` are done, from the folder's newest good checkpoint unless `new`.

        A checkpoint is written after each epoch and where the last one is older than `save_seconds`. After
        `limit_seconds` the epoch is finished, and no other begun. Ctrl-C waits for the end of the step, saves, and
        raises KeyboardInterrupt; a second one raises it at once, and the last checkpoint stands.

        Raises ArgumentError for a checkpoint of another configuration, for a folder in use and for a loss that is
        not finite, FormatError where all checkpoints are damaged, OSError where the disk refuses.
        """
        start = saved = time.monotonic()
        with lock_run(self.folder), _interrupt_between_steps() as interrupted:
            if new or not self._resume():
                self._save()  # of a run that is killed at once the settings are known
            trim_metrics(self.folder, self.step)
            self._trim_samples()
            progress = self._progress(epochs, start + limit_seconds)
            with open(self.folder / "metrics.jsonl", "ab", buffering=0) as metrics, progress as show:
                while self.batches.epoch < epochs and not interrupted.is_set():
                    losses = self._step(metrics)
                    show(self.step, losses)
                    ended = self.batches.cursor == 0
                    if ended:
                        self._picture_epoch()
                    if ended or interrupted.is_set() or time.monotonic() - saved > save_seconds:
                        os.fsync(metrics.fileno())  # the metrics are never behind the checkpoint
                        self._save()
                        saved = time.monotonic()
                    if ended and saved - start > limit_seconds:
                        break
            if interrupted.is_set():
                raise KeyboardInterrupt

    def _step(self, metrics: Any) -> dict[str, float]:
        epoch, batch = self.batches.epoch + 1, next(self.batches)
        losses = self.trainer.step(*batch)
        if not all(map(math.isfinite, losses.values())):
            raise ArgumentError("train", "loss", "finite numbers", f"{losses} at step {self.step}",
                                fix="a smaller --lr; the last checkpoint is from before this step")
        metrics.write((json.dumps({"step": self.step, "epoch": epoch, **losses}) + "\n").encode())
        return losses

    def _picture_epoch(self) -> None:
        stem = self.folder / "samples" / f"epoch-{self.batches.epoch:04d}"
        if isinstance(self.trainer, Painter | Writer):
            stem.parent.mkdir(exist_ok=True)
        if isinstance(self.trainer, Painter):
            pictures = self.trainer.images(self.trainer.noise(SAMPLES, Generator(self.batches.seed)))
            save_image(stem.with_suffix(".png"), enlarged_sheet(pictures))
        if isinstance(self.trainer, Writer):
            self.trainer.write_sample(stem, Generator(self.batches.seed))
        loss_plot(self.folder / "loss.png", loss_curves(self.folder))

    def _trim_samples(self) -> None:
        """Remove samples of epochs that are not done, and what a killed writer left."""
        for path in [*self.folder.glob(".*.part"), *self.folder.glob("samples/.*.part")]:
            path.unlink()
        for path in self.folder.glob("samples/epoch-*"):
            if path.stem > f"epoch-{self.batches.epoch:04d}":
                path.unlink()

    def _save(self) -> None:
        arrays = {**_flat(self.trainer.state()), _GLOBAL: default_generator().state}
        meta = {"config": self.config, "source": self.source, "batches": self.batches.state_dict(),
                "versions": _versions()}
        write_checkpoint(self.folder, self.step, arrays, meta)

    def _resume(self) -> bool:
        """Go to the newest good checkpoint; False where there is none."""
        if (found := latest_checkpoint(self.folder)) is None:
            return False
        _check_parts(found)
        if differences := compare_config(found.meta["config"], self.config):
            raise ArgumentError("train", os.fspath(self.folder), "the settings of the run that is there",
                                "others: " + " ".join(differences).rstrip("."),
                                fix="repeat the settings, choose another --out, or start afresh with --new")
        load_trainer(found, self.trainer)
        default_generator().state = found.arrays[_GLOBAL]
        self.batches.load_state_dict(found.meta["batches"])
        versions = compare_config(found.meta["versions"], _versions())
        changed = [f"not bit for bit what it was: {' '.join(versions)}"] if versions else []
        for note in [*found.notes, f"continuing from {found.path.name}", *changed]:
            print(note, flush=True)
        return True

    @contextmanager
    def _progress(self, epochs: int, end: float) -> Iterator[Show]:
        """A function to call after each step: it moves a bar on a terminal; elsewhere it prints a line now and then."""
        begin, first, each = time.monotonic(), self.step, len(self.batches)

        def status(step: int, losses: Mapping[str, float]) -> str:
            pace = (time.monotonic() - begin) / (step - first)  # seconds a step
            values = "  ".join(f"{name} {value:.4g}" for name, value in losses.items())
            left = min(pace * (epochs * each - step), max(0.0, end - time.monotonic()))
            minutes, seconds = divmod(round(left), 60)
            speed = f"{self.pace[0] / pace:,.0f} {self.pace[1]}/s  {minutes}:{seconds:02d} left"
            return f"epoch {-(-step // each)}/{epochs}  {values}  {speed}"

        if sys.stdout.isatty():
            from rich.progress import BarColumn, Progress, TextColumn

            with Progress(BarColumn(20), TextColumn("{task.description}", markup=False)) as bar:
                task = bar.add_task("", total=epochs * each, completed=first)
                yield lambda step, losses: bar.update(task, completed=step, description=status(step, losses))
            return
        printed = begin

        def line(step: int, losses: Mapping[str, float]) -> None:
            nonlocal printed
            if step % each == 0 or time.monotonic() - printed > PLAIN_SECONDS:
                printed = time.monotonic()
                print(status(step, losses), flush=True)

        yield line


def read_run(folder: str | os.PathLike[str]) -> Checkpoint:
    """The newest good checkpoint of a run. Raises FormatError where there is none, or one that `Run` did not write."""
    if (found := latest_checkpoint(folder)) is None:
        raise FormatError("read_run", os.fspath(folder), "a run's folder, with a checkpoint", "none there",
                          fix="make one: tinyart train vae --data art --out RUN")
    _check_parts(found)
    return found


def load_trainer(found: Checkpoint, trainer: Trainer) -> None:
    """Put a checkpoint's state into the trainer."""
    trainer.load_state(_nested({name: array for name, array in found.arrays.items() if name != _GLOBAL}))


def enlarged_sheet(images: np.ndarray[Any, Any], columns: int | None = None) -> np.ndarray[Any, Any]:
    """A sheet whose small pictures are enlarged, by a whole factor, to about `TILE` pixels."""
    return sheet(images, columns=columns, scale=max(1, TILE // images.shape[1]), gap=2)


def loss_curves(folder: str | os.PathLike[str]) -> dict[str, list[tuple[float, float]]]:
    """The losses in a run's metrics: name -> [(step, value), ...]"""
    curves: dict[str, list[tuple[float, float]]] = {}
    with open(Path(folder) / "metrics.jsonl", "rb") as file:
        for line in file:
            values = json.loads(line)
            step = values.pop("step")
            values.pop("epoch")
            for name, value in values.items():
                curves.setdefault(name, []).append((step, value))
    return curves


def trim_metrics(folder: str | os.PathLike[str], step: int) -> None:
    """Cut off the lines of later steps, which the checkpoint knows nothing of, and a line that a kill tore."""
    with open(Path(folder) / "metrics.jsonl", "a+b") as file:
        file.seek(0)
        kept = 0
        for line in file:
            if not line.endswith(b"\n") or not _is_up_to(line, step):
                break
            kept += len(line)
        file.truncate(kept)


def _is_up_to(line: bytes, step: int) -> bool:
    try:
        values = json.loads(line)
        return bool(values["step"] <= step and values["epoch"])
    except (ValueError, TypeError, KeyError):
        return False


def _check_parts(found: Checkpoint) -> None:
    missing = [name for name in _PARTS if not isinstance(found.meta.get(name), dict)]
    missing += [_GLOBAL] * (_GLOBAL not in found.arrays)
    if missing:
        raise FormatError("read_run", os.fspath(found.path), "a checkpoint of a training run",
                          f"one without {', '.join(missing)}")


def _versions() -> dict[str, str]:
    """Of all that the bits of a step depend on."""
    import numba

    return {"tinyart": tinyart.__version__, "numpy": np.__version__, "numba": numba.__version__,
            "python": platform.python_version()}


def _flat(state: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts of arrays as one, under names with slashes."""
    flat: dict[str, Any] = {}
    for name, value in state.items():
        flat |= _flat(value, f"{prefix}{name}/") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `_flat`."""
    state: dict[str, Any] = {}
    for path, value in flat.items():
        *folders, name = path.split("/")
        place = state
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = value
    return state


@contextmanager
def _interrupt_between_steps() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets: an exception in the middle of a step would leave half of the weights updated."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # signals come to the main thread only
        yield asked
        return
    before = signal.getsignal(signal.SIGINT)

    def ask(*_: Any) -> None:
        signal.signal(signal.SIGINT, before)
        asked.set()

    signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
