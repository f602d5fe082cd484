"""MNIST's handwritten digits, and the IDX files they come in (LeCun, Cortes, Burges)."""

import gzip
import math
from pathlib import Path
from typing import BinaryIO, Literal, cast

import numpy as np

from tinyart.data.files import MAX_BYTES, data_folders, reading, shown
from tinyart.errors import ArgumentError, FormatError

# Third byte of an IDX file -> how its elements are stored: big-endian.
IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_STEMS = {"train": "train", "test": "t10k"}


def mnist(
    split: Literal["train", "test"] = "train", *, folder: str | Path | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, 28, 28, 1), 0 is paper and 255 is ink, and labels int64 (N,), 0 to 9.

    N is 60,000 for "train" and 10,000 for "test". The files lie in `folder`, else in TINYART_DATA/mnist, else
    in the cache that `fetch` fills. Raises FormatError where they are missing or are not what they say.
    """
    if split not in _STEMS:
        raise ArgumentError("mnist", "split", '"train" or "test"', repr(split))
    folders = [Path(folder)] if folder is not None else data_folders("mnist")
    image_path = _find(folders, f"{_STEMS[split]}-images-idx3-ubyte")
    label_path = _find(folders, f"{_STEMS[split]}-labels-idx1-ubyte")
    images, labels = read_idx(image_path), read_idx(label_path)
    _expect(image_path, images, "uint8 (N, 28, 28)", images.dtype == np.uint8 and images.shape[1:] == (28, 28))
    _expect(label_path, labels, f"uint8 ({len(images)},)", labels.dtype == np.uint8 and labels.ndim == 1)
    _expect(label_path, labels, f"a label for each of {len(images)} images", len(labels) == len(images))
    if labels.max(initial=0) > 9:
        raise FormatError("mnist", shown(label_path), "labels from 0 to 9", f"{labels.max()}")
    return images[..., None], labels.astype(np.int64)  # (N, 28, 28, 1), (N,)


def read_idx(path: str | Path, *, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """The array of an IDX file, gzip or not: 00 00 type ndim, ndim big-endian uint32 sizes, then the elements.

    Nothing is allocated on the word of the header: reading stops at `max_bytes`, and at the file's end.
    Raises FormatError for a file that is missing, damaged, too short or too long.
    """
    with reading("read_idx", path, "an IDX file"), open(path, "rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        file = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw
        dtype, shape = _read_header(path, file)
        count = math.prod(shape) * dtype.itemsize
        if count > max_bytes:
            raise FormatError("read_idx", shown(path), f"at most {max_bytes} bytes", f"{count} for shape {shape}")
        data = _read_at_most(file, count + 1)  # one more: gzip compares its checksum only at the end
    if len(data) != count:
        got = "more" if len(data) > count else f"{len(data)}"
        raise FormatError("read_idx", shown(path), f"{count} bytes of elements for shape {shape}", got)
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _read_header(path: str | Path, file: BinaryIO) -> tuple[np.dtype, tuple[int, ...]]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in IDX_TYPES:
        raise FormatError("read_idx", shown(path), "bytes 00 00 TYPE NDIM at the start", magic.hex(" ") or "nothing")
    sizes = file.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise FormatError("read_idx", shown(path), f"{magic[3]} sizes after the magic number", f"{len(sizes)} bytes")
    return np.dtype(IDX_TYPES[magic[2]]), tuple(np.frombuffer(sizes, ">u4").tolist())


def _read_at_most(file: BinaryIO, count: int) -> bytearray:
    data = bytearray()
    while len(data) < count and (chunk := file.read(min(count - len(data), 1 << 20))):
        data += chunk
    return data


def _find(folders: list[Path], name: str) -> Path:
    paths = [folder / f"{name}{suffix}" for folder in folders for suffix in (".gz", "")]
    for path in paths:
        if path.is_file():
            return path
    where = " or ".join(shown(folder) for folder in folders)
    fix = "run `tinyart data fetch mnist`, or set TINYART_DATA to a folder that holds mnist/"
    raise FormatError("mnist", "folder", f"the file {name}.gz", f"no such file in {where}", fix=fix)


def _expect(path: Path, array: np.ndarray, expected: str, holds: bool) -> None:
    if not holds:
        raise FormatError("mnist", shown(path), expected, f"{array.dtype} {array.shape}")
