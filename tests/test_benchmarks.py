"""The benchmarks whose figures the README gives: what they would say of code that is wrong."""

import json
from pathlib import Path

import pytest

import tinyart as ta
from benchmarks import gradients, mutation
from tinyart import testing
from tinyart.ops.op import Op


def test_gradients_are_measured_and_an_operation_that_misses_the_target_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = Op("wrong", "x", kernel="sin", x=lambda g, x: g * ta.cos(x) * (1 + 1e-3))
    monkeypatch.setitem(gradients.CASES, "wrong", testing.arrays((3,)).map(lambda x: (wrong, [x])))
    out = tmp_path / "gradients.json"
    gradients.main(3, 0, ["sin", "max", "wrong"], out)
    figures = json.loads(out.read_text())
    assert [row["operation"] for row in figures["rows"]] == ["wrong", "sin", "max"]
    assert figures["total"]["miss the target"] == ["wrong"]
    assert "MISSES: wrong" in capsys.readouterr().out
    wrong_row, *right = figures["rows"]
    assert wrong_row["failures"][0].startswith("order 1: WrongGradient: wrong, order 1, argument 0")
    for row in right:
        assert row["cases"] >= 3
        assert not row["failures"]
        assert all(0 <= row[what] < target for what, target in gradients.TARGETS.items())
    assert 0 < right[0]["order 1"] <= right[0]["order 2"]


def test_mutants_change_one_place_and_no_text() -> None:
    source = '''"""1 + 1"""
class A:
    def f(self, σ: int = 2) -> int:
        """3 < 4"""
        if not σ < 5:
            raise ValueError(f"σ, got {σ + 6}")
        return g(σ, 7).sum(0)

rules = Op("name", a=lambda g: g, b=lambda h: -h)
'''
    found = mutation.mutants("a.py", source)
    assert {(m.scope, m.original, m.mutated) for m in found} == {
        ("A.f", "def f(self, σ: int = 2) -> int:", f"def f(self, σ: int = {n}) -> int:") for n in ("(3)", "(0)", "(-2)")
    } | {
        ("A.f", "if not σ < 5:", f"if {test}:") for test in (
            "True", "False", "(σ < 5)", "not (σ <= 5)", "not σ < (6)", "not σ < (0)", "not σ < (-5)")
    } | {
        ("A.f", 'raise ValueError(f"σ, got {σ + 6}")', "pass")
    } | {
        ("A.f", "return g(σ, 7).sum(0)", f"return {call}") for call in (
            "(0)", "(g(σ, 7))", "(g(7, σ)).sum(0)", "g(σ, (8)).sum(0)", "g(σ, (0)).sum(0)", "g(σ, (-7)).sum(0)",
            "g(σ, 7).sum((1))")
    } | {
        ("", 'rules = Op("name", a=lambda g: g, b=lambda h: -h)', f'rules = Op("name", {rules})') for rules in (
            "a=(lambda h: -h), b=lambda h: -h", "a=lambda g: g, b=(lambda g: g)", "a=lambda g: g, b=lambda h: h")
    }
    assert all(sum(a != b for a, b in zip(source.splitlines(), m.source.splitlines(), strict=True)) == 1 for m in found)


def test_each_file_is_judged_by_its_own_tests() -> None:
    assert mutation._tests("tinyart/optim.py", "") == ["tests/test_optim.py"]
    assert mutation._tests("tinyart/ops/op.py", "") == mutation._tests("tinyart/graph.py", "")
    source = "_MATMUL = 1\nadd = 2\ndef matmul(a, b): pass"
    assert mutation._tests("tinyart/ops/new.py", source) == [*mutation.OPERATIONS, "-k", "test_ops or add or matmul"]
