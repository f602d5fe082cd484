"""What is kept of a full run, and the results in the repository."""

import json
from pathlib import Path

import pytest

from examples import run_all
from tinyart import lesson
from tinyart.lesson import lessons, slips

SOURCE = "# %% [markdown]\n# # 99 Small\n\n# %%\nfrom tinyart.lesson import expect\nexpect('two', 1 + 1, {})\n"


def test_results_are_kept_and_a_broken_promise_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "98_good.py").write_text(SOURCE.replace("99", "98").format("2"))
    (tmp_path / "99_bad.py").write_text(SOURCE.format("3"))
    monkeypatch.setattr(lesson, "FOLDER", tmp_path)
    monkeypatch.setattr(run_all, "RESULTS", tmp_path / "results.json")
    (tmp_path / "results.json").write_text('{"97_old": {"seed": 0}}')
    assert run_all.main(["98"]) == 0
    assert run_all.main(["99"]) == 1
    kept = json.loads((tmp_path / "results.json").read_text())
    assert list(kept) == ["97_old", "98_good", "99_bad"]
    assert kept["98_good"]["numbers"] == {"two": {"value": 2.0, "promised": "2"}}
    assert "error" not in kept["98_good"]
    assert kept["99_bad"]["error"] == "two: 2   (expected: 3)"
    assert "as promised" in capsys.readouterr().out


def test_every_lesson_has_kept_its_promises() -> None:
    kept = json.loads(run_all.RESULTS.read_text("utf-8"))
    known = {item.path.stem for item in [*lessons(), *slips()]}
    assert set(kept) == known
    assert [name for name, result in kept.items() if "error" in result] == []
    assert all(result["seed"] == 0 and result["seconds"] >= 0 for result in kept.values())
