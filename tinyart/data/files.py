"""Where data sets lie on this machine; files that appear whole or not at all; one error type for bad files."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from tinyart.errors import FormatError

MAX_BYTES = 1 << 32
"""The most that a reader allocates for one data set."""


def cache_folder() -> Path:
    """XDG_CACHE_HOME/tinyart, or ~/.cache/tinyart."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinyart"


def data_folders(name: str) -> list[Path]:
    """Folders that may hold the data set `name`, in the order of the search: TINYART_DATA, then the cache."""
    own = os.environ.get("TINYART_DATA")
    return ([Path(own) / name] if own else []) + [cache_folder() / name]


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """A file to write to. When the block ends it takes the name `path`; when the block fails it is gone.

    It lies beside `path` and is synced before it is renamed, so that a reader, or a machine that loses power,
    sees the old file or the whole new one. Raises OSError where the folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{os.urandom(8).hex()}.part")
    try:
        opened = open(temporary, "xb")  # noqa: SIM115  (it is closed below)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # the name that the caller knows
    try:
        with opened as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def reading(operation: str, path: str | Path, expected: str) -> Iterator[None]:
    """Raise FormatError, naming the file, where it is no regular file and for whatever the block raises.

    gzip, zipfile, NumPy and Pillow document no complete list of what a damaged file makes them raise (Pillow:
    OSError, SyntaxError, struct.error, ...), hence `Exception`; keep the block down to calls of the library.
    """
    if not os.path.isfile(path):  # to open a pipe would block for ever
        raise FormatError(operation, shown(path), expected, "no regular file of that name")
    try:
        yield
    except FormatError:
        raise
    except Exception as error:
        raise FormatError(operation, shown(path), expected, f"{type(error).__name__}: {brief(error)}") from error


def brief(error: Exception) -> str:
    """The first line of what an error says, to be told within a sentence."""
    return str(error).strip().partition("\n")[0][:200].rstrip(".\r")


def shown(path: str | Path) -> str:
    """`path` in quotes, with line breaks and undecodable bytes escaped: it can always be printed on one line."""
    return repr(os.fspath(path))


@dataclass
class Report:
    """What came of a folder of `what`: paths[i] gave item i, and each file in `skipped` says in a sentence why not."""

    what: str
    paths: list[Path] = field(default_factory=list)
    skipped: list[FormatError] = field(default_factory=list)

    def __str__(self) -> str:
        """The counts, then a line for each file that was skipped."""
        counts = f"{len(self.paths)} {self.what} read, {len(self.skipped)} files skipped"
        return "\n  ".join([counts, *map(str, self.skipped)])


def files_below(operation: str, folder: str | Path) -> list[Path]:
    """Files whose names, and whose folders' names, start with no dot; sorted by the bytes of their paths.

    A folder that cannot be listed stands among them, so that it is reported like a file that cannot be read.
    """
    if not os.path.isdir(folder):
        raise FormatError(operation, shown(folder), "a folder", "no such folder")
    paths: list[Path] = []

    def report(error: OSError) -> None:
        paths.append(Path(error.filename))

    for place, folders, names in os.walk(folder, onerror=report):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [Path(place, name) for name in names if not name.startswith(".")]
    return sorted(paths, key=os.fsencode)
