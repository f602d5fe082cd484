"""Downloads of public data sets: known files, known digests, a list of places that have them."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from tinyart.data.files import brief, cache_folder, replacing, shown
from tinyart.errors import ArgumentError, FormatError

Progress = Callable[[str, int, int], None]
"""Called with the file's name, the bytes so far and the bytes in all."""


class Remote(NamedTuple):
    """One file of a data set."""

    name: str
    size: int
    sha256: str


MIRRORS = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        "https://storage.googleapis.com/cvdf-datasets/mnist",
    ),
}
FILES = {
    "mnist": (
        Remote(
            "train-images-idx3-ubyte.gz",
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        Remote(
            "train-labels-idx1-ubyte.gz",
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        Remote(
            "t10k-images-idx3-ubyte.gz",
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        Remote(
            "t10k-labels-idx1-ubyte.gz",
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
}
_CHUNK = 1 << 16


def fetch(
    name: str,
    *,
    url: str | None = None,
    into: str | Path | None = None,
    progress: Progress | None = None,
    timeout: float = 30.0,
    deadline: float = 900.0,
) -> Path:
    """Download the data set `name` into `into`/name (the cache by default), and return that folder.

    A file that is there with the right SHA-256 is kept, so a second call goes on where the first one stopped;
    a file is seen under its name only once its digest is right. `url` takes the place of the list of mirrors.
    timeout: seconds of silence; deadline: seconds for one file from one mirror. Raises FormatError, with what
    each mirror answered, where no mirror gives the file; OSError where the folder cannot be written.
    """
    if name not in FILES:
        raise ArgumentError("fetch", "name", f"one of {sorted(FILES)}", repr(name))
    folder = (cache_folder() if into is None else Path(into)) / name
    folder.mkdir(parents=True, exist_ok=True)
    mirrors = MIRRORS[name] if url is None else (url,)
    for remote in FILES[name]:
        if not _is_good(folder / remote.name, remote):
            _fetch_file(remote, mirrors, folder, progress, timeout, deadline)
    return folder


def _fetch_file(
    remote: Remote,
    mirrors: tuple[str, ...],
    folder: Path,
    progress: Progress | None,
    timeout: float,
    deadline: float,
) -> None:
    answers = []
    for mirror in mirrors:
        try:
            with replacing(folder / remote.name) as file:
                _download(f"{mirror.rstrip('/')}/{remote.name}", remote, file, progress, timeout, deadline)
            return
        except _Refused as error:
            answers.append(f"{mirror}: {error}")
    fix = f"try again, give another url, or put the file into {shown(folder)} yourself"
    raise FormatError("fetch", remote.name, f"{remote.size} bytes of the known SHA-256", "; ".join(answers), fix=fix)


class _Refused(Exception):
    """Why one mirror did not give the file."""


def _download(
    url: str, remote: Remote, file: BinaryIO, progress: Progress | None, timeout: float, deadline: float
) -> None:
    from http.client import HTTPException
    from urllib.request import urlopen

    end = time.monotonic() + deadline
    digest, done = hashlib.sha256(), 0
    try:
        response = urlopen(url, timeout=timeout)
    except (OSError, HTTPException, ValueError) as error:  # ValueError: not a URL
        raise _Refused(brief(error)) from error
    with response:
        while done <= remote.size and (chunk := _next_chunk(response)):
            done += len(chunk)
            digest.update(chunk)
            file.write(chunk)
            if progress:
                progress(remote.name, done, remote.size)
            if time.monotonic() > end:
                raise _Refused(f"{done} bytes after {deadline:g} seconds")
    if done != remote.size:
        raise _Refused(f"{'more' if done > remote.size else done} bytes")
    if digest.hexdigest() != remote.sha256:
        raise _Refused(f"other bytes, SHA-256 {digest.hexdigest()}")


def _next_chunk(response: BinaryIO) -> bytes:
    """What has arrived, up to a chunk; apart from the writing, so that a full disk is not the mirror's fault."""
    from http.client import HTTPException

    try:
        return response.read1(_CHUNK)  # type: ignore[attr-defined, no-any-return]
    except (OSError, HTTPException) as error:
        raise _Refused(brief(error)) from error


def _is_good(path: Path, remote: Remote) -> bool:
    if not path.is_file() or path.stat().st_size != remote.size:
        return False
    return hashlib.sha256(path.read_bytes()).hexdigest() == remote.sha256
