"""The checkpoints of a run: each complete or absent, the newest good one found, one process a folder.

For POSIX file systems: `fcntl.flock` and the fsync of a folder are needed.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tinyart.errors import ArgumentError, FormatError
from tinyart.io import Array, PathLike, read_safetensors, save

NAME = re.compile(r"checkpoint-(\d{8,})\.safetensors")
KEPT = 2  # the newest, and the one before it for the day when the disk has damaged the newest


class Checkpoint(NamedTuple):
    """path: the file. arrays, meta: as they were written. notes: a sentence for each newer file not used."""

    path: Path
    arrays: dict[str, Array]
    meta: dict[str, Any]
    notes: list[str]


def write_checkpoint(folder: PathLike, step: int, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> Path:
    """Write one step's arrays and JSON meta; then remove all other checkpoints but the one before it.

    Nothing older goes before the new file is safely on the disk, so a failure or a kill at any moment leaves
    the checkpoints that were there. Files of later steps go too: a run that writes this step has gone back
    behind them. Call it inside `lock_run`: it clears what a killed writer left.

    Raises as `tinyart.io.save` does, and ArgumentError for a negative step.
    """
    if step < 0:
        raise ArgumentError("write_checkpoint", "step", "a number of steps, 0 or more", str(step))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(".checkpoint-*.tmp"):
        leftover.unlink()
    path = folder / f"checkpoint-{step:08d}.safetensors"
    save(path, arrays, meta)
    earlier = [other for number, other in _steps(folder) if number < step]
    for number, other in _steps(folder):
        if number != step and other not in earlier[: KEPT - 1]:
            other.unlink()
    return path


def latest_checkpoint(folder: PathLike) -> Checkpoint | None:
    """The newest good checkpoint of the folder, or None where there is none at all.

    Raises FormatError where there are some and each is damaged: to start afresh is the user's decision.
    """
    notes: list[str] = []
    for _, path in _steps(Path(folder)):
        try:
            arrays, meta = read_safetensors(path, require_digest=True)
        except (FormatError, OSError) as error:
            notes.append(f"{path.name} was skipped: {error}")
        else:
            return Checkpoint(path, arrays, meta, notes)
    if notes:
        fix = "put a copy of one there, or start a new run"
        raise FormatError(
            "latest_checkpoint", os.fspath(folder), "a good checkpoint", "; ".join(notes), fix=fix
        )
    return None


def _steps(folder: Path) -> list[tuple[int, Path]]:
    """(step, file) of every checkpoint in the folder, the newest first."""
    found = [(int(match[1]), path) for path in folder.glob("*") if (match := NAME.fullmatch(path.name))]
    return sorted(found, reverse=True)


def compare_config(saved: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """A sentence for each setting that differs between a checkpoint's configuration and the present one."""
    before, after = _flat(saved), _flat(now)
    sentences = []
    for name in sorted(before.keys() | after.keys()):
        was, is_now = before.get(name), after.get(name)
        if was is None:
            sentences.append(f"{name} is {is_now}, the checkpoint does not have it.")
        elif is_now is None:
            sentences.append(f"{name} was {was} in the checkpoint and is not set now.")
        elif was != is_now:
            sentences.append(f"{name} is {is_now}, it was {was} in the checkpoint.")
    return sentences


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Dotted name -> value as JSON: what has been through a file compares equal to what has not."""
    flat: dict[str, str] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = json.dumps(value)
    return flat


@contextmanager
def lock_run(folder: PathLike) -> Iterator[None]:
    """Hold the run's folder for this process; ArgumentError where another holds it.

    The kernel frees a lock with its last holder, however that died, so there are no stale ones. The file
    stays: were it removed, two processes could each lock a file of this name, the old one and a new one.
    """
    import fcntl

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read(20).decode(errors="replace").strip()
            expected, got = "a folder that no other process trains into", f"one in use by process {holder}"
            fix = "wait until that process ends, or choose another folder"
            raise ArgumentError("train", os.fspath(folder), expected, got, fix=fix) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n".encode())
        file.flush()
        yield
