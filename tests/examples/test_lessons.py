"""Every lesson and every slip at toy size, with the numbers that it promises; and what all of them have in common."""

import re
from pathlib import Path

import pytest

from tinyart.lesson import FOLDER, Lesson, lessons, run, slips

LESSONS = {item.path.stem: item for item in lessons()}
SLIPS = {item.path.stem: item for item in slips()}


@pytest.mark.parametrize("name", LESSONS)
def test_lesson(name: str, tmp_path: Path) -> None:
    item = LESSONS[name]
    session = run(item.path, tmp_path, toy=True)
    assert session.expectations
    assert session.pictures
    assert [path.suffix for path in session.pictures] == [".png"] * len(session.pictures)


@pytest.mark.parametrize("name", SLIPS)
def test_slip(name: str, tmp_path: Path) -> None:
    """The document's version fails as the slip says, and the right one stands beside it."""
    said = " ".join(found.what for found in run(SLIPS[name].path, tmp_path, toy=True).expectations)
    assert name.startswith("doc1_doc3") or "document" in said
    first = SLIPS[name].cells[0].text
    assert re.match(r"# Document \d", first)
    assert "\n    " in first, "the formula, as an indented block"


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_begins_with_what_it_shows_and_ends_with_a_picture(name: str) -> None:
    item = LESSONS[name]
    first, last = item.cells[0], item.cells[-1]
    assert re.match(rf"# {item.number} \S", first.text)
    for part in ("Shows:", "Time:", "Numbers to expect:"):
        assert re.search(f"^{part} ", first.text, re.MULTILINE), part
    assert last.code
    assert last.text.splitlines()[-1].startswith(("picture(", " ")), "ends with a picture"
    assert "picture(" in last.text
    assert any(not cell.code and "\n    " in cell.text for cell in item.cells), "a formula: an indented block of text"


def test_the_course_is_numbered_without_repeats() -> None:
    numbers = [item.number for item in lessons()]
    assert numbers == sorted(set(numbers))


def test_nothing_but_lessons_lies_beside_them_in_percent_format() -> None:
    for path in FOLDER.glob("*.py"):
        assert path.read_text().startswith("# %% [markdown]\n") == (path.stem in LESSONS), path


def test_titles_and_times_are_read() -> None:
    item = Lesson(FOLDER / "01_tape.py")
    assert (item.number, item.title) == ("01", "A tape in sixty lines")
    assert all(re.fullmatch(r"\d+ (s|min).*", item.time) for item in lessons())
