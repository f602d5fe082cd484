"""The reading room: lessons are Python files in cells (`# %%`), run and read one cell after another.

What a lesson calls, here, in a script, an editor or a notebook alike:

    size(toy, full)                 the first in the tests, the second for a reader
    expect("what", value, ..)       a number that the lesson promises, compared
    picture("name", image)          a PNG in the lesson's folder, shown by notebooks
    show_source(function)           the lines of the framework that the lesson is about
    digits_or_art(n)                MNIST where it is at hand, else pictures drawn here

and what reads lessons: `lessons`, `run`, `read`. An indented block of a text cell is a formula.
"""

import contextlib
import inspect
import io
import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from tinyart.data import art, mnist, save_image, to_uint8
from tinyart.errors import ArgumentError, FormatError
from tinyart.random import manual_seed

FOLDER = Path(__file__).resolve().parents[1] / "examples"  # of a checkout: the course is not installed


class Unexpected(AssertionError):
    """A lesson's number is not what the lesson promises."""


class Expectation(NamedTuple):
    """A number that a lesson promises: what it is, its value, and what was promised."""

    what: str
    value: float
    promise: str

    def __str__(self) -> str:
        return f"{self.what}: {self.value:.8g}   (expected: {self.promise})"


@dataclass
class Session:
    """What a lesson runs in: its size, the folder of its pictures, and what it has promised and drawn so far."""

    toy: bool
    folder: Path
    expectations: list[Expectation] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)


def _of_a_script() -> Session:
    name = Path(sys.argv[0]).stem or "lesson"
    return Session(os.environ.get("TINYART_LESSONS") == "toy", Path("runs") / "lessons" / name)


_session: Session | None = None


def _now() -> Session:
    global _session
    if _session is None:
        _session = _of_a_script()
    return _session


# ---- what a lesson calls


def size(toy: Any, full: Any) -> Any:
    """`toy` in the tests, where TINYART_LESSONS is "toy"; `full` for a reader."""
    return toy if _now().toy else full


def expect(what: str, value: Any, about: float | None = None, within: float = 0.0, *, least: float = -np.inf,
           most: float = np.inf) -> None:
    """Print `value`, and compare it: about - within ≤ value ≤ about + within, or least ≤ value ≤ most.

    Without any bound it is kept for the record: a speed, which decides nothing.

    Errors: `Unexpected`.
    """
    promise = f"at least {least:g}" if most == np.inf else f"at most {most:g}"
    if about is not None:
        least, most, promise = about - within, about + within, f"{about:.10g}" + (f" ± {within:g}" if within else "")
    elif np.inf not in (-least, most):
        promise = f"{least:g} to {most:g}"
    elif least == -np.inf and most == np.inf:
        promise = "anything"
    found = Expectation(what, float(value), promise)
    _now().expectations.append(found)
    if not least <= found.value <= most:
        raise Unexpected(str(found))
    print(found)


class Picture:
    """A file that notebooks show."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"picture: {self.path}"

    def _repr_png_(self) -> bytes:
        return self.path.read_bytes()


def picture(name: str, image: Any) -> Picture:
    """Save one image (H, W), (H, W, 1) or (H, W, 3), uint8 or floats in [0, 1], as NAME.png, and print its path."""
    path = picture_folder() / f"{name}.png"
    save_image(path, image)
    _now().pictures.append(path)
    print(f"picture: {path}")
    return Picture(path)


def picture_folder() -> Path:
    """Where this lesson's pictures lie, for files of other kinds."""
    folder = _now().folder
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def show_source(*objects: Any) -> None:
    """Print the source of functions and classes: the lesson's subject, where it stands in the framework."""
    for thing in objects:
        file = Path(inspect.getsourcefile(thing) or "")
        print(f"# {'/'.join(file.parts[-3:])}")
        print(textwrap.dedent(inspect.getsource(thing)).rstrip())
        print()


def digits_or_art(n: int, *, split: Any = "train") -> tuple[np.ndarray, np.ndarray, str]:
    """n grey images, uint8 (n, 28, 28, 1), their classes, int64 (n,), of ten, and where they come from.

    At full size MNIST's first n, if its files are found; else drawn pictures, one minus their brightness, so that
    here too 0 is paper. The tests always take those: their numbers depend on no file.
    """
    if not _now().toy:
        with contextlib.suppress(FormatError):
            images, labels = mnist(split)
            return images[:n], labels[:n], "MNIST"
    images, labels, _ = art(n, size=28, seed=0 if split == "train" else 1)
    grey = to_uint8(1 - images.astype(np.float32).mean(3, keepdims=True) / 255)
    return grey, labels, "drawn pictures (no MNIST here: `tinyart data fetch mnist`)"


# ---- what reads lessons


class Cell(NamedTuple):
    """Text or code of a lesson, and the line of the file at which it begins, counted from 1."""

    code: bool
    text: str
    line: int


@dataclass(frozen=True)
class Lesson:
    """A lesson's file. `number` is the first part of its name, `title` its first heading."""

    path: Path

    @property
    def number(self) -> str:
        return self.path.stem.partition("_")[0]

    @property
    def title(self) -> str:
        return self.cells[0].text.partition("\n")[0].lstrip("# ").removeprefix(self.number).lstrip()

    @property
    def time(self) -> str:
        """What the first cell says after "Time:"."""
        return next((line.partition(":")[2].strip(" *") for line in self.cells[0].text.splitlines()
                     if line.strip("* ").startswith("Time:")), "")

    @property
    def cells(self) -> list[Cell]:
        return cells(self.path.read_text("utf-8"))


def lessons() -> list[Lesson]:
    """The course, in its order. Errors: `ArgumentError` where there is none."""
    found = [Lesson(path) for path in sorted(FOLDER.glob("[0-9][0-9]_*.py"))]
    if not found:
        raise ArgumentError("lesson", "examples/", "the folder of a checkout", f"nothing in {FOLDER}",
                            fix="clone the repository, and run the command there")
    return found


def slips() -> list[Lesson]:
    """The documents' slips, each a short lesson of its own: what is written, how it fails, what is right."""
    return [Lesson(path) for path in sorted((FOLDER / "slips").glob("*.py"))]


def lesson(name: str) -> Lesson:
    """"7" or "07" -> the lesson; the name of a slip -> the slip. Errors: `ArgumentError`."""
    known = {item.number: item for item in lessons()} | {item.path.stem: item for item in slips()}
    item = known.get(name.zfill(2))
    if item is None:
        raise ArgumentError("lesson", "number", f"one of {', '.join(known)}", repr(name))
    return item


def cells(source: str) -> list[Cell]:
    """The cells of a file in percent format: `# %% [markdown]` begins text in comments, `# %%` code."""
    found: list[tuple[bool, int, list[str]]] = []
    for number, line in enumerate(source.splitlines(), 1):
        if line.startswith("# %%"):
            found.append(("[markdown]" not in line, number + 1, []))
        elif found:
            found[-1][2].append(line)
    made = []
    for code, number, lines in found:
        text = lines if code else [line.removeprefix("#").removeprefix(" ") for line in lines]
        skip = next((i for i, line in enumerate(text) if line.strip()), 0)
        made.append(Cell(code, "\n".join(text[skip:]).rstrip(), number + skip))
    return made


def run(path: Path, folder: Path, *, toy: bool = False,
        around: Callable[[Cell, Session], contextlib.AbstractContextManager[Any]] | None = None) -> Session:
    """Run the cells of a lesson in order, in one namespace, from seed 0; what it promised and drew.

    folder: of its pictures. around(cell, session): a context that each cell, also of text, runs in.
    """
    global _session
    before, _session = _session, Session(toy, folder)
    name = f"lesson {path.stem}"
    names: dict[str, Any] = {"__name__": name, "__file__": str(path)}
    manual_seed(0)
    try:
        for cell in cells(path.read_text("utf-8")):
            with around(cell, _session) if around else contextlib.nullcontext():
                if cell.code:
                    source = "\n" * (cell.line - 1) + cell.text  # so that errors name the line of the file
                    exec(compile(source, str(path), "exec"), names)
        return _session
    finally:
        _session = before


def read(item: Lesson, folder: Path, *, toy: bool = False, pause: bool | None = None) -> Session:
    """Print a lesson's text and code, run each cell after it is shown, and wait for Enter before each new text.

    pause: None waits only where someone sits at a terminal.
    """
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.padding import Padding
    from rich.syntax import Syntax

    console = Console()
    waits = sys.stdin.isatty() and console.is_terminal if pause is None else pause
    begun = False

    @contextlib.contextmanager
    def around(cell: Cell, session: Session) -> Iterator[None]:
        nonlocal begun
        if not cell.code:
            if begun and waits:
                console.input("[dim]Enter: go on[/dim] ")
            console.print(Padding(Markdown(cell.text), (1, 0)))
            begun = True
            yield
            return
        console.print(Syntax(cell.text, "python", theme="ansi_light" if not console.is_terminal else "ansi_dark",
                             line_numbers=True, start_line=cell.line, word_wrap=True))
        start, said = perf_counter(), io.StringIO()
        with contextlib.redirect_stdout(_Tee(said)):
            yield
        if said.tell():
            console.print(f"[dim]{perf_counter() - start:.1f} s[/dim]")

    session = run(item.path, folder, toy=toy, around=around)
    console.print(f"\n{len(session.expectations)} numbers as promised, {len(session.pictures)} pictures in {folder}")
    return session


class _Tee(io.TextIOBase):
    """What a cell prints, indented, on the real stdout as it comes, and counted in `copy`."""

    def __init__(self, copy: io.StringIO) -> None:
        self.copy, self.out, self.fresh = copy, sys.stdout, True

    def write(self, text: str) -> int:
        self.copy.write(text)
        for piece in text.splitlines(keepends=True):
            self.out.write(("    " if self.fresh else "") + piece)
            self.fresh = piece.endswith("\n")
        self.out.flush()
        return len(text)

