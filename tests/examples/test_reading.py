"""The reading room: cells, sizes, promises, and the command that reads lessons."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinyart import lesson
from tinyart.cli import main
from tinyart.errors import ArgumentError
from tinyart.lesson import Lesson, Unexpected, cells, run

SOURCE = '''# %% [markdown]
# # 99 A small lesson
#
# Shows: two and two.
#
# Time: 1 s
#
#     2 + 2 = 4

# %%
import numpy as np
from tinyart.lesson import expect, picture, size

n = size(2, 200)
expect("the sum", n + n, size(4, 400))

# %%
print("drawn")
picture("white", np.ones((n, 3)))
'''


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "99_small.py"
    path.write_text(SOURCE)
    return path


def test_cells_are_text_and_code_with_their_lines() -> None:
    first, second, third = cells(SOURCE)
    assert not first.code
    assert first.text.splitlines()[0] == "# 99 A small lesson"
    assert first.text.endswith("\n    2 + 2 = 4")
    assert (second.code, second.line) == (True, 11)
    assert second.text.startswith("import numpy")
    assert SOURCE.splitlines()[third.line - 1] == 'print("drawn")'


def test_a_lesson_knows_its_number_title_and_time(small: Path) -> None:
    item = Lesson(small)
    assert (item.number, item.title, item.time) == ("99", "A small lesson", "1 s")


@pytest.mark.parametrize("toy", [True, False])
def test_run_gives_what_was_promised_and_drawn(small: Path, toy: bool) -> None:
    session = run(small, small.parent / "out", toy=toy)
    (found,) = session.expectations
    assert found == ("the sum", 4 if toy else 400, "4" if toy else "400")
    assert session.pictures == [small.parent / "out" / "white.png"]
    assert Image.open(session.pictures[0]).size == (3, 2 if toy else 200)


def test_a_broken_promise_names_what_came_and_where(small: Path) -> None:
    small.write_text(SOURCE.replace("size(4, 400)", "size(5, 400)"))
    with pytest.raises(Unexpected, match=r"the sum: 4   \(expected: 5\)") as error:
        run(small, small.parent, toy=True)
    lines = [entry.lineno for entry in error.traceback if entry.path == small]
    assert [line + 1 for line in lines] == [15]  # counted from 0


@pytest.mark.parametrize(("value", "bounds", "promise"), [
    (1.0, {"about": 1.1, "within": 0.2}, "1.1 ± 0.2"), (1.0, {"least": 1}, "at least 1"),
    (1.0, {"most": 1}, "at most 1"), (1.0, {"least": 0, "most": 2}, "0 to 2"), (True, {"about": 1}, "1"),
    (1.0, {}, "anything"),
])  # fmt: skip
def test_ways_to_promise(value: float, bounds: dict, promise: str, capsys: pytest.CaptureFixture[str]) -> None:
    lesson.expect("a number", value, **bounds)
    assert capsys.readouterr().out == f"a number: 1   (expected: {promise})\n"


@pytest.mark.parametrize(("value", "bounds"), [
    (0.85, {"about": 1.1, "within": 0.2}), (np.nan, {"least": 1}), (np.nan, {"about": 1, "within": 9}),
    (1.001, {"most": 1}), (-0.1, {"least": 0, "most": 2}), (1 + 1e-15, {"about": 1}),
])  # fmt: skip
def test_promises_that_are_broken(value: float, bounds: dict) -> None:
    with pytest.raises(Unexpected, match="a number"):
        lesson.expect("a number", value, **bounds)


def test_each_run_starts_from_the_same_seed(tmp_path: Path) -> None:
    path = tmp_path / "98_random.py"
    path.write_text("# %%\nimport tinyart as ta\nfrom tinyart.lesson import expect\n"
                    "expect('noise', ta.random.normal((1,)).item(), least=-9)\n")
    first, second = (run(path, tmp_path).expectations[0].value for _ in range(2))
    assert first == second


def test_a_lesson_runs_as_a_script_too(small: Path) -> None:
    found = subprocess.run([sys.executable, str(small)], cwd=small.parent, capture_output=True, text=True, check=True,
                           env=os.environ | {"PYTHONPATH": str(lesson.FOLDER.parent), "TINYART_LESSONS": "toy"})
    assert found.stdout == f"the sum: 4   (expected: 4)\ndrawn\npicture: {Path('runs/lessons/99_small/white.png')}\n"
    assert (small.parent / "runs/lessons/99_small/white.png").is_file()


def test_the_command_lists_the_course(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lesson"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("01  A tape in sixty lines   (")
    assert lines[-1] == "Read one: tinyart lesson 01"
    assert sum(line.startswith("doc") for line in lines) == len(lesson.slips()) >= 16


def test_the_command_reads_a_lesson(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lesson, "FOLDER", small.parent)
    out = small.parent / "pictures"
    assert main(["lesson", "99", "--toy", "--no-pause", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    parts = ["A small lesson", "Shows: two and two.", "2 + 2 = 4", 'expect("the sum"', "    the sum: 4   (expected: 4)",
             'print("drawn")', "    drawn", "1 numbers as promised, 1 pictures in"]
    places = [said.index(part) for part in parts]
    assert places == sorted(places)
    assert (out / "white.png").is_file()


def test_a_slip_is_read_by_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lesson", "doc3_unbalanced_bracket", "--out", str(tmp_path)]) == 0
    assert "document: brackets that do not close: 1   (expected: 1)" in capsys.readouterr().out


def test_numbers_that_are_no_lesson(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["lesson", "77"]) == 2
    assert "lesson: number: expected one of 01, 02," in capsys.readouterr().err
    monkeypatch.setattr(lesson, "FOLDER", Path("nowhere"))
    with pytest.raises(ArgumentError, match=r"lesson: examples/: .* Fix: clone the repository"):
        lesson.lessons()


def test_notebooks_show_a_picture(small: Path) -> None:
    session = run(small, small.parent, toy=True)
    shown = lesson.Picture(session.pictures[0])
    assert shown._repr_png_().startswith(b"\x89PNG")
    assert repr(shown) == f"picture: {session.pictures[0]}"


def test_grey_images_come_from_mnist_or_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYART_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    images, labels, source = lesson.digits_or_art(20)
    assert (images.shape, images.dtype, labels.tolist()) == ((20, 28, 28, 1), np.uint8, [*range(10)] * 2)
    assert source.startswith("drawn pictures")
    others = lesson.digits_or_art(20, split="test")[0]
    assert not np.array_equal(images, others)
