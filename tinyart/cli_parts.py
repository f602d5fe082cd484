"""What all commands share: arguments that are refused with one sentence, a run's model, the file to write."""

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tinyart.errors import ArgumentError

if TYPE_CHECKING:
    from tinyart.checkpoint import Checkpoint


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}. Fix: see `{self.prog} --help`\n")


def command(commands: Any, name: str, run: Callable[[Any], None], text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.set_defaults(command=run)
    return parser


def count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:12]) <= 1_000_000):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to 1000000, got {text!r}")
    return int(text)


def seed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:20]) < 1 << 63):
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to 2**63 - 1, got {text!r}")
    return int(text)


def rate(text: str) -> float:
    return number(text, 1)


def number(text: str, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= most:
        raise argparse.ArgumentTypeError(f"expected a number above 0 and at most {most:g}, got {text!r}")
    return value


def share(text: str) -> float:
    value = rate(text) if text.strip("0.") else 0.0
    if value == 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to below 1, got {text!r}")
    return value


def widths(text: str) -> list[int]:
    return [count(width) for width in text.split(",")]


def open_run(run: str, *needed: str) -> tuple[Any, "Checkpoint"]:
    """A run's trainer and checkpoint. needed: what the trainer or its module must be able to do."""
    from tinyart.models import build
    from tinyart.train import load_trainer, read_run

    found = read_run(run)
    for note in found.notes:
        print(note, file=sys.stderr)
    trainer = build(found.meta["config"].get("model", {}))
    for name in needed:
        if not (hasattr(trainer, name) or hasattr(trainer.module, name)):
            raise ArgumentError("tinyart", run, f"a model with `{name}`", f"a {found.meta['config']['model']['name']}",
                                fix="tinyart --help says what each command is for")
    load_trainer(found, trainer)
    return trainer, found


def output_file(path: str, *endings: str) -> Path:
    out = Path(path)
    if out.suffix.lower() not in endings:
        raise ArgumentError("tinyart", "--out", f"a file name that ends in {' or '.join(endings)}", repr(path))
    out.parent.mkdir(parents=True, exist_ok=True)
    return out
