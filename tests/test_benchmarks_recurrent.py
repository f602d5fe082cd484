"""The benchmarks of recurrent models run through, here on a few steps of small data, and write what they say."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import addition, jsb, reversal, shakespeare
from tinyart.data.text import encode

TEXT = "ROMEO:\nto be or not to be, that is the question; " * 12


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (addition, jsb, reversal, shakespeare):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    return tmp_path


def written(results: Path, name: str) -> dict[str, Any]:
    assert (results / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    figures: dict[str, Any] = json.loads((results / f"{name}.json").read_text())
    return figures


def test_shakespeare(results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (results / "tiny-shakespeare").mkdir()
    (results / "tiny-shakespeare" / "input.txt").write_text(TEXT)
    monkeypatch.setenv("TINYART_DATA", str(results))
    for name, value in (("BATCH", 2), ("STEPS", 10), ("TRAIN", 20), ("MARKS", {3: 1e9, 4: 0.1})):
        monkeypatch.setattr(shakespeare, name, value)
    shakespeare.main(4, 0, alone=True)
    figures = written(results, "shakespeare")
    assert list(figures["valid"]) == ["1", "2", "3", "4"]
    out = capsys.readouterr().out
    assert "at most 1000000000.0: pass" in out
    assert "at most 0.1: FAIL" in out
    assert (results / "shakespeare.txt").read_text().startswith("ROMEO:\n")


def test_shakespeares_twin_in_pytorch_has_the_same_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(shakespeare, "BATCH", 2)
    symbols = "".join(sorted(set(TEXT)))
    x, y = shakespeare.stretches(encode(TEXT, symbols), 2, 10)
    found = shakespeare.race({"symbols": symbols, "batch": 2, "seed": 0}, x, y, rounds=2, steps=3)
    assert found["largest difference of losses"] < 1e-4


def test_jsb(results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    monkeypatch.setattr(jsb, "jsb_chorales", lambda split: [(rng.random((9, 88)) < 0.05).astype("u1") for _ in "abc"])
    jsb.main(["gru"], 0, 12)
    figures = written(results, "jsb")
    assert figures["gru"]["epochs"] == 12
    assert "note 1-gram" in figures
    assert "FAIL" in capsys.readouterr().out


def test_reversal(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reversal.main(["multiplicative"], 2, 0)
    assert 0 <= written(results, "reversal")["multiplicative"]["exact"] < 0.99
    assert "FAIL" in capsys.readouterr().out


def test_addition(results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(addition, "QUESTIONS", 300)
    x, y = addition.questions(300, 0)
    for question, answer in zip(x, y, strict=True):
        text = "".join(addition.SYMBOLS[i] for i in question[::-1])
        a, b = map(int, text.split("+"))
        assert int("".join(addition.SYMBOLS[i] for i in answer)) == a + b
    addition.main(2, 32, 0, exact=False)
    assert written(results, "addition")["epochs"] == 2
    assert "FAIL" in capsys.readouterr().out
