"""The index of equations: every function, test, lesson and slip in it exists, and the lesson is about the function."""

import ast
import importlib
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from examples.equations import EQUATIONS, Equation, markdown
from tinyart.lesson import FOLDER, lesson, slips

TESTS = Path(__file__).parents[1]


@cache
def functions_in(path: str) -> set[str]:
    return {node.name for node in ast.parse((TESTS / path).read_text()).body if isinstance(node, ast.FunctionDef)}


def resolve(dotted: str) -> Any:
    """The object that a name below `tinyart` stands for."""
    parts = dotted.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(["tinyart", *parts[:cut]]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            found = getattr(found, part)
        return found
    raise AssertionError(f"no module for {dotted}")


def problems(equation: Equation) -> list[str]:
    found = []
    try:
        if not callable(resolve(equation.function)):
            found.append(f"{equation.function} is no function")
    except (AttributeError, AssertionError):
        found.append(f"no function {equation.function}")
    path, _, name = equation.test.partition("::")
    if not (TESTS / path).is_file() or name not in functions_in(path):
        found.append(f"no test {equation.test}")
    text = next((path.read_text() for path in FOLDER.glob(f"{equation.lesson}_*.py") if equation.lesson), "")
    if not re.search(rf"\b{equation.function.rpartition('.')[2]}\b", text):
        found.append(f"lesson {equation.lesson!r} is not about {equation.function}")
    if equation.slip and equation.slip not in {item.path.stem for item in slips()}:
        found.append(f"no slip {equation.slip}")
    return found


@pytest.mark.parametrize("equation", EQUATIONS, ids=lambda e: f"{e.document}-{e.section}-{e.name}".replace(" ", "-"))
def test_equation(equation: Equation) -> None:
    assert problems(equation) == []
    assert lesson(equation.lesson).number == equation.lesson


GOOD = EQUATIONS[0]


@pytest.mark.parametrize(("change", "problem"), [
    ({"function": "models.metrics.acuracy"}, "no function models.metrics.acuracy"),
    ({"function": "models.metrik.accuracy"}, "no function models.metrik.accuracy"),
    ({"function": "models.metrics.AVERAGES"}, "models.metrics.AVERAGES is no function"),
    ({"function": ""}, "no function "), ({"test": ""}, "no test "),
    ({"test": "models/test_metrics.py::test_nothing"}, "no test models/test_metrics.py::test_nothing"),
    ({"test": "models/test_nothing.py::test_a"}, "no test models/test_nothing.py::test_a"),
    ({"lesson": ""}, "lesson '' is not about models.metrics.accuracy"),
    ({"lesson": "01"}, "lesson '01' is not about models.metrics.accuracy"),
    ({"slip": "doc9_nothing"}, "no slip doc9_nothing"),
])  # fmt: skip
def test_what_is_missing_is_found(change: dict[str, str], problem: str) -> None:
    assert problems(GOOD) == []
    assert problem in problems(GOOD._replace(**change))


def test_every_document_has_equations_and_every_slip_but_those_of_words_stands_beside_one() -> None:
    assert {e.document for e in EQUATIONS} == {0, 1, 2, 3, 4}
    of_words = {"doc0_learning_without_labels", "doc2_real_images_are_noise"}
    assert {item.path.stem for item in slips()} - {e.slip for e in EQUATIONS} <= of_words


def test_the_table_has_a_row_for_each_and_no_empty_cell_but_of_slips() -> None:
    lines = markdown().splitlines()
    assert len(lines) == len(EQUATIONS) + 2
    for line in lines[2:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert len(cells) == 7
        assert all(cells[:6])
