"""The chorales' files, real ones and wrong ones, and plain text."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyart.data import encode, jsb_chorales, jsb_voices, read_text, symbols, words
from tinyart.errors import ArgumentError, FormatError


def test_the_rolls_are_the_published_ones(data_dir: Callable[[str], Path]) -> None:
    folder = data_dir("jsb-chorales")
    rolls = {split: jsb_chorales(split, folder=folder) for split in ("train", "valid", "test")}  # type: ignore[arg-type]
    assert {split: len(pieces) for split, pieces in rolls.items()} == {"train": 229, "valid": 76, "test": 77}
    assert {split: sum(map(len, pieces)) for split, pieces in rolls.items()} == {
        "train": 13_807, "valid": 4_602, "test": 4_725}
    assert all(piece.shape[1] == 88 and piece.dtype == np.uint8 for piece in rolls["train"])


def test_note_1_gram_scores_11_06_nats(data_dir: Callable[[str], Path]) -> None:
    """Boulanger-Lewandowski et al. 2012, Table 1: the loader and the metric are theirs."""
    train, test = (np.concatenate(jsb_chorales(split, folder=data_dir("jsb-chorales")))  # type: ignore[arg-type]
                   for split in ("train", "test"))
    p = (train.sum(0) + 0.5) / (len(train) + 1)
    assert -(np.log(np.where(test == 1, p, 1 - p)).sum(1)).mean() == pytest.approx(11.060, abs=5e-4)


def test_the_rolls_are_the_voices_in_another_key_and_most_an_octave_higher(data_dir: Callable[[str], Path]) -> None:
    """The highest note of each quarter has the soprano's intervals. The two files split the chorales differently."""
    folder = data_dir("jsb-chorales")
    sopranos = {}
    for split, steps in (("train", 55_228), ("valid", 18_408), ("test", 18_900)):
        pieces = jsb_voices(split, folder=folder)  # type: ignore[arg-type]
        assert sum(map(len, pieces)) == steps
        assert pieces[0].dtype == np.int16
        sopranos |= {tuple(np.diff(piece[:32:4, 0])): piece[0, 0] for piece in pieces}
    shifts = []
    for piece in (piece for split in ("train", "valid", "test") for piece in jsb_chorales(split, folder=folder)):  # type: ignore[arg-type]
        highest = np.array([np.flatnonzero(row).max(initial=-22) + 21 for row in piece[:8]])
        if tuple(np.diff(highest)) in sopranos:
            shifts.append(highest[0] - sopranos[tuple(np.diff(highest))])
    assert len(shifts) > 0.95 * 382
    assert 11 < np.mean(shifts) < 14


def npz(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "jsb_chorales.npz", **arrays)
    return folder


def test_wrong_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roll, lengths = np.zeros((5, 88), np.uint8), np.array([2, 3], np.int32)
    assert [len(piece) for piece in jsb_chorales(folder=npz(tmp_path, train_roll=roll, train_len=lengths))] == [2, 3]
    for change, sentence in [
        ({"train_roll": roll[:, 1:]}, r"rolls of 0 and 1, uint8 \(T, 88\), got uint8 \(5, 87\)"),
        ({"train_roll": roll + np.uint8(2)}, "rolls of 0 and 1"),
        ({"train_roll": roll.astype(float)}, "got float64"),
        ({"train_len": lengths + 1}, "lengths above 0 that sum to 5"),
        ({"train_len": np.array([5, 0])}, "lengths above 0"),
        ({"train_len": lengths / 1.0}, "got float64"),
    ]:
        with pytest.raises(FormatError, match=sentence):
            jsb_chorales(folder=npz(tmp_path, **{"train_roll": roll, "train_len": lengths} | change))
    with pytest.raises(FormatError, match="a key valid_roll"):
        jsb_chorales("valid", folder=tmp_path)
    with pytest.raises(ArgumentError, match="split: expected train or valid or test, got 'all'"):
        jsb_chorales("all", folder=tmp_path)  # type: ignore[arg-type]
    monkeypatch.setenv("TINYART_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(FormatError, match=r"the file jsb_chorales.npz, got no such file in .*Fix: set TINYART_DATA"):
        jsb_chorales()


@pytest.mark.parametrize("content", [
    "", "[", "{}", '{"train": 3}', '{"train": [3]}', '{"train": [[]]}', '{"train": [[[1, 2, 3]]]}',
    '{"train": [[[1, 2, 3, 4], [1, 2, 3]]]}', '{"train": [[[1, 2, 3, 4.5]]]}', '{"train": [[[1, 2, 3, 128]]]}',
    '{"train": [[[1, 2, 3, -2]]]}', '{"train": [[[1, 2, 3, 1e999]]]}', '{"train": [[[1, 2, 3, "4"]]]}',
    '{"train": [[[true, true, true, true]]]}', '{"train": [[[99999999999999999999, 2, 3, 4]]]}', "[" * 100_000,
])  # fmt: skip
def test_wrong_json_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "Jsb16thSeparated.json").write_text(content)
    with pytest.raises(FormatError, match="jsb_voices"):
        jsb_voices(folder=tmp_path)


def test_right_json_is_read(tmp_path: Path) -> None:
    (tmp_path / "Jsb16thSeparated.json").write_text(json.dumps({"train": [[[72, 67, 60, -1]] * 3, [[0, 1, 2, 127]]]}))
    assert [piece.shape for piece in jsb_voices(folder=tmp_path)] == [(3, 4), (1, 4)]


# ---- text


def test_read_text(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes("\ufeffÄ b\r\nc".encode())
    assert read_text(path) == "Ä b\nc"
    with pytest.raises(FormatError, match="at most 3 bytes, got more"):
        read_text(path, max_bytes=3)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(FormatError, match="a text file in UTF-8, got UnicodeDecodeError"):
        read_text(path)
    path.write_bytes(b"")
    with pytest.raises(FormatError, match="expected text, got an empty file"):
        read_text(path)


def test_symbols_and_encode_are_inverse() -> None:
    text = "to be, or not to be: ü\n"
    known = symbols(text)
    assert known == "".join(sorted(set(text)))
    assert "".join(known[i] for i in encode(text, known)) == text
    assert encode("", known).dtype == np.int64
    with pytest.raises(ArgumentError, match="encode: text: expected the 11 characters that are known, got 'Qq'"):
        encode("qqQ", known)


def test_words() -> None:
    assert words("Love's not O'er; king’s, 3 men--ÉTÉ 'tis") == ["love's", "not", "o'er", "king’s", "men", "été", "tis"]


def test_tiny_shakespeare_is_what_it_was(data_dir: Callable[[str], Path]) -> None:
    text = read_text(data_dir("tiny-shakespeare") / "input.txt")
    assert len(text) == 1_115_394
    assert len(symbols(text)) == 65
