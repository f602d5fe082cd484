"""Plain text as numbers: characters for a character model, words for word2vec and naive Bayes."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from tinyart.data.files import reading, shown
from tinyart.errors import ArgumentError, FormatError

MAX_TEXT = 1 << 28  # bytes

Array = np.ndarray[Any, Any]


def read_text(path: str | Path, *, max_bytes: int = MAX_TEXT) -> str:
    """A file in UTF-8, line ends as \\n. Raises FormatError for what is too large, empty, or no such text."""
    with reading("read_text", path, "a text file in UTF-8"), open(path, "rb") as file:
        content = file.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise FormatError("read_text", shown(path), f"at most {max_bytes} bytes", "more")
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
        if not text:
            raise FormatError("read_text", shown(path), "text", "an empty file")
        return text


def symbols(text: str) -> str:
    """Its different characters, in the order of their code points."""
    return "".join(sorted(set(text)))


def encode(text: str, known: str) -> Array:
    """The index in `known` of each character: int64 (len(text),)

    Errors: `ArgumentError` that names a character which `known` lacks.
    """
    if strange := sorted(set(text) - set(known)):
        raise ArgumentError("encode", "text", f"the {len(known)} characters that are known",
                            repr("".join(strange[:20])), fix="leave them out")
    index = {symbol: i for i, symbol in enumerate(known)}
    return np.fromiter((index[symbol] for symbol in text), np.int64, len(text))


def words(text: str) -> list[str]:
    """Its words in lower case: letters, with apostrophes inside them (love, o'er, king's)."""
    return re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)*", text.lower())
