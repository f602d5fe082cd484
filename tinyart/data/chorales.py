"""The chorales of J. S. Bach as Allan & Williams 2005 split them: 229 to train on, 76 to validate, 77 to test.

    jsb_chorales.npz        piano rolls, a row a quarter note (Boulanger-Lewandowski et al. 2012)
    Jsb16thSeparated.json   four voices, a row a sixteenth note

They lie in TINYART_DATA/jsb-chorales.
"""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tinyart.data.files import data_folders, reading, shown
from tinyart.data.npz import npz_array
from tinyart.data.score import KEYS
from tinyart.errors import ArgumentError, FormatError

Split = Literal["train", "valid", "test"]
SPLITS = ("train", "valid", "test")
MAX_JSON = 64 << 20  # bytes

Array = np.ndarray[Any, Any]


def jsb_chorales(split: Split = "train", *, folder: str | Path | None = None) -> list[Array]:
    """Piano rolls uint8 (T, 88), one a chorale, T from 25 to 160. They lie in `folder`, else in TINYART_DATA.

    Whoever made them brought all chorales to the keys of C, most of them 7 to 17 semitones above where they are sung.

    Raises FormatError where the file is missing or is not what it says.
    """
    path = _find(split, "jsb_chorales.npz", folder)
    roll, lengths = npz_array(path, f"{split}_roll"), npz_array(path, f"{split}_len")
    if roll.dtype != np.uint8 or roll.ndim != 2 or roll.shape[1] != KEYS or roll.max(initial=0) > 1:
        raise FormatError("jsb_chorales", shown(path), f"rolls of 0 and 1, uint8 (T, {KEYS})",
                          f"{roll.dtype} {roll.shape}")
    if lengths.dtype.kind not in "iu" or lengths.ndim != 1 or (lengths < 1).any() or lengths.sum() != len(roll):
        raise FormatError("jsb_chorales", shown(path), f"lengths above 0 that sum to {len(roll)}",
                          f"{lengths.dtype} {lengths.shape}")
    return np.split(roll, np.cumsum(lengths)[:-1])


def jsb_voices(split: Split = "train", *, folder: str | Path | None = None) -> list[Array]:
    """Soprano, alto, tenor and bass as MIDI notes, -1 for silence: int16 (T, 4), one a chorale.

    Raises FormatError where the file is missing or is not what it says.
    """
    path = _find(split, "Jsb16thSeparated.json", folder)
    with reading("jsb_voices", path, "JSON: pieces, of steps, of four notes"), open(path, "rb") as file:
        content = file.read(MAX_JSON + 1)
        if len(content) > MAX_JSON:
            raise FormatError("jsb_voices", shown(path), f"at most {MAX_JSON} bytes", "more")
        pieces = [np.array(piece) for piece in json.loads(content)[split]]
    for voices in pieces:
        if voices.dtype != np.int64 or voices.shape[1:] != (4,) or not -1 <= voices.min() <= voices.max() <= 127:
            raise FormatError("jsb_voices", shown(path), "steps of four whole numbers, -1 to 127",
                              f"{voices.dtype} {voices.shape}")
    return [voices.astype(np.int16) for voices in pieces]


def _find(split: str, name: str, folder: str | Path | None) -> Path:
    if split not in SPLITS:
        raise ArgumentError("jsb", "split", " or ".join(SPLITS), repr(split))
    folders = [Path(folder)] if folder is not None else data_folders("jsb-chorales")
    for place in folders:
        if (place / name).is_file():
            return place / name
    where = " or ".join(shown(place) for place in folders)
    raise FormatError("jsb", "folder", f"the file {name}", f"no such file in {where}",
                      fix="set TINYART_DATA to a folder that holds jsb-chorales/, or use the data `tunes`")
