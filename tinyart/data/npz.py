"""Arrays out of npz files that may come from anybody."""

import math
import os
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from tinyart.data.files import MAX_BYTES, reading, shown
from tinyart.errors import FormatError

_DEFLATE_RATIO = 1032  # no deflate stream unpacks to more than this many bytes for each of its own
_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def npz_array(path: str | Path, *keys: str, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """The array that an npz holds under the first of `keys` that it has. Nothing is unpickled.

    Its header is compared with the bytes that lie there before anything is allocated, and the zip's checksum
    with what was read. Raises FormatError for a file that is missing, damaged, too large or lacks the keys.
    """
    with reading("npz_array", path, "an npz file"), zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        info = next((members[key] for key in keys if key in members), None)
        if info is None:
            raise FormatError("npz_array", shown(path), f"a key {' or '.join(keys)}", f"{sorted(members)}"[:200])
        with archive.open(info) as member:
            _check_header(path, info, member, max_bytes)
            member.seek(0)
            array: np.ndarray = np.lib.format.read_array(member, allow_pickle=False)
            return array


def _check_header(path: str | Path, info: zipfile.ZipInfo, member: IO[bytes], max_bytes: int) -> None:
    """Refuse an array of objects, one that is larger than allowed, and one that cannot lie in this file."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FormatError("npz_array", shown(path), "members stored or deflated", f"method {info.compress_type}")
    shape, _, dtype = _READERS[np.lib.format.read_magic(member)](member)
    count = math.prod(shape) * dtype.itemsize
    if dtype.hasobject:
        raise FormatError("npz_array", shown(path), "numbers or text", "Python objects, which may run code")
    if count > max_bytes:
        raise FormatError("npz_array", shown(path), f"at most {max_bytes} bytes", f"{count} for shape {shape}")
    held = info.file_size - member.tell()
    if held != count or info.file_size > _DEFLATE_RATIO * os.path.getsize(path):
        raise FormatError("npz_array", shown(path), f"{count} bytes for {dtype} {shape}", f"{held}, or none at all")
