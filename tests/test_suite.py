"""The benchmark suite: libraries compute the same, what does not is reported, the README says what was measured."""

import argparse
import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tinyart.kernels.cpu import bfloat16

import tinyart as ta
from benchmarks import __main__ as suite
from benchmarks import chart, measure, report, rows
from benchmarks.contenders import Skip
from tinyart.models import vae
from tinyart.models.classifier import lenet, mnist_cnn
from tinyart.models.dcgan import dcgan
from tinyart.models.deep_stack import deep_stack
from tinyart.models.gan import mlp_gan

TRAINING = [
    rows.mlp_gan("gan", 2, 4, width=8), rows.vae("vae", 4, hidden=8, latent=3), rows.dcgan("dcgan", 28, 1, 4, width=2),
    rows.dcgan("dcgan colour", 32, 3, 2, width=2), rows.lenet("lenet", 4), rows.deep_stack("deep", 3, 4, width=8),
    *(rows.recurrent(cell, 5, 3, 4, 6) for cell in rows.GATES),
]  # fmt: skip
GEOMETRIES = [(5, 2, "same", 1, False), (5, 2, "same", 1, True), (5, 1, "same", 1, True), (3, 1, 1, 4, False),
              (1, 1, 0, 1, False)]  # fmt: skip
CONVOLUTIONS = [
    rows.Convolution(f"{k}x{k} s{stride} {padding} {groups} {transposed} {direction}", 4, 8, 6, 4, 8, k, stride,
                     padding, groups, direction, transposed)
    for k, stride, padding, groups, transposed in GEOMETRIES for direction in ("forward", "input", "weight")
]  # fmt: skip
PRODUCTS = [rows.Product(direction, 4, 8, 6, direction) for direction in ("forward", "input", "weight")]
OPERATIONS = [rows.Operation(name, name, 1024, gradient) for name in rows.OPERATIONS | rows.CUDA_OPERATIONS
              for gradient in (False, True)]


def answers(contender: str, row: rows.Row) -> list[list[float]]:
    try:
        return measure.check(measure.build(contender, row)[1])
    except Skip as reason:
        pytest.skip(str(reason))


def verdict(row: Any, ours: list[list[float]], theirs: list[list[float]]) -> str | None:
    figures = {"tinyart": {"answers": ours}, "peer": {"answers": theirs}}
    return measure.judged(figures["peer"], figures, row.agree).get("wrong")


@pytest.mark.parametrize("contender", ["numpy", "torch", "jax", "autograd", "tinygrad"])
@pytest.mark.parametrize("row", [*TRAINING, *CONVOLUTIONS, *PRODUCTS, *OPERATIONS],
                         ids=lambda row: f"{row.kind} {row.name}")
def test_libraries_compute_the_same(row: Any, contender: str) -> None:
    if contender not in row.peers:
        pytest.skip("no peer in this row")
    theirs = answers(contender, row)
    assert verdict(row, answers("tinyart", row), theirs) is None


def test_another_precision_is_measured_where_there_are_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "ROWS", dict(suite.ROWS))
    monkeypatch.setenv("BENCHMARK_PRECISION", "float32")
    monkeypatch.setattr(suite, "set_matmul_precision", lambda precision: None)
    options = argparse.Namespace(out=suite.RESULTS, device="cpu")
    suite.measure_in("bfloat16", options)
    assert options.out.name == "suite_bfloat16.json"
    assert {row.kind for row in suite.ROWS.values()} == {"training", "convolution", "product"}
    assert {peer for row in suite.ROWS.values() for peer in row.peers} == {"torch", "torch.compile"}


@pytest.mark.parametrize(("precision", "device", "said"), [
    ("tf32", "cpu", "--precision tf32 is for --device cuda"),
    ("bfloat16", "cuda", "--precision bfloat16 is for --device cpu"),
    ("bfloat16", "cpu", "expected a processor with AVX512-BF16, got 'bfloat16'"),
])  # fmt: skip
def test_a_precision_that_is_not_there_is_one_sentence(
        precision: str, device: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bfloat16, "SUPPORTED", False)
    with pytest.raises(SystemExit, match=said):
        suite.measure_in(precision, argparse.Namespace(out=suite.RESULTS, device=device))


BFLOAT16 = """
from benchmarks import measure, rows
from tinyart.kernels.cpu import precision
for row in ({rows}):
    ours, theirs, exact = [], [], []
    for found, contender, on in ((ours, "tinyart", True), (theirs, "torch", True), (exact, "tinyart", False)):
        work = measure.build(contender, row)[1]
        precision.bfloat16 = on
        found += [number for answer in measure.check(work) for number in answer]
    apart, rounded = (max(abs(a - b) for a, b in zip(ours, other)) / max(map(abs, other)) for other in (theirs, exact))
    print(rounded > 0, apart < 0.02)
"""


def test_bfloat16_is_measured_in_both_libraries() -> None:
    pytest.importorskip("torch")
    if not bfloat16.SUPPORTED:
        pytest.skip("needs a processor with AVX512-BF16")
    made = """rows.vae("vae", 16, hidden=64, latent=8), rows.dcgan("dcgan", 28, 1, 4, width=8),
        rows.Product("p", 32, 64, 48, "forward")"""
    done = subprocess.run([sys.executable, "-c", BFLOAT16.format(rows=made)], cwd=suite.ROOT, capture_output=True,
                          text=True, env=os.environ | {"BENCHMARK_PRECISION": "bfloat16"})  # fmt: skip
    assert done.stdout == 3 * "True True\n", done.stdout + done.stderr


def test_training_changes_the_loss_at_every_step() -> None:
    for row in TRAINING:
        first, second, third = answers("tinyart", row)
        assert first != second != third


@pytest.mark.parametrize("slip", [{"lr": 2e-3}, {"batch": 5}])
def test_another_loss_is_reported(slip: dict[str, Any]) -> None:
    row = rows.vae("vae", 4, hidden=8, latent=3)
    other = answers("tinyart", dataclasses.replace(row, **slip))
    assert (verdict(row, answers("tinyart", row), other) or "nothing").startswith("step")


def test_other_elements_of_an_array_are_reported() -> None:
    y = np.random.default_rng(0).standard_normal((20, 30)).astype(np.float32)
    row = OPERATIONS[0]
    for wrong in (y[::-1], np.where(np.arange(30) == 3, 0, y), 1.001 * y, np.full_like(y, np.nan)):
        assert verdict(row, [measure.projections(y)], [measure.projections(wrong)])
    assert verdict(row, [measure.projections(y)], [measure.projections(y * np.float32(1 + 1e-6))]) is None


def test_the_networks_are_those_of_the_models() -> None:
    shape, pairs = (28, 28, 1), []
    for module, row in [(mlp_gan(shape), rows.ROWS["step/mlp-gan-128"]),
                        (mlp_gan(shape, hidden=(1024,) * 3), rows.ROWS["step/mlp-gan-4-layers-128"]),
                        (dcgan(shape, batch_norm=False), rows.ROWS["step/dcgan-28-64"]),
                        (dcgan((64, 64, 3), batch_norm=False), rows.ROWS["step/dcgan-64-colour-64"]),
                        (vae.VAE(shape, hidden=(1024,)), rows.ROWS["step/vae-128"]),
                        (mnist_cnn(shape, 10), rows.ROWS["step/cnn-128"]),
                        (lenet(shape, 10), rows.ROWS["step/lenet-128"]),
                        (deep_stack(20), rows.ROWS["step/deep-20-64"])]:  # fmt: skip
        ours = [s for layers in row.networks.values() for layer in layers for s in rows.weight_shapes(layer)]
        pairs.append(([p.shape for p in module.parameters()], ours))
    for expected, found in pairs:
        assert found == expected


@pytest.mark.parametrize("row", CONVOLUTIONS, ids=lambda row: row.name)
def test_the_floor_leaves_padding_out(row: rows.Convolution) -> None:
    """Each product of ones adds 1 to the sum over a convolution of ones with ones."""
    x, w, _ = row.arrays()
    products = ta.conv2d(ta.tensor(np.ones_like(x)), ta.tensor(np.ones_like(w)), stride=row.stride, padding=row.padding,
                         groups=row.groups).numpy().sum()
    assert row.floor()[0] == 2 * products


def test_the_floor_of_a_training_step() -> None:
    row = rows.Training("two layers", "imitate", {"net": [("dense", 3, 5, True), ("relu",), ("dense", 5, 7, True)]},
                        {"net": (3,)}, batch=4)  # fmt: skip
    products = 4 * (3 * (15 + 35) - 15)  # forward, weights and inputs, without the first layer's input
    assert row.floor() == (2 * products, 32 * (15 + 5 + 35 + 7) + 16 * 4 * (5 + 7))
    gan = rows.mlp_gan("gan", 1, 4, width=8)
    g, d = 100 * 8 + 8 * 784, 784 * 8 + 8
    assert gan.floor()[0] == 2 * 4 * (3 * g - 800 + 2 * (3 * d - 784 * 8) + 2 * d)


def test_processes_take_turns() -> None:
    said: list[str] = []
    found = measure.measure(rows.ROWS["conv/lenet-2-forward"], ["tinyart", "nonesuch"], 1, 2, said.append)
    assert said[0] == "  machine: ready"
    ours = found["contenders"]["tinyart"]
    assert len(ours["seconds"]) == len(ours["cpu"]) == 2
    assert all(0 < s < 10 for s in ours["seconds"])
    assert 1 << 20 < ours["peak"] < 1 << 40
    assert found["contenders"]["nonesuch"] == {"skipped": "benchmarks.contenders.nonesuch is not installed"}
    assert 0 < found["floor"]["seconds"] < 1
    assert "nonesuch is not installed" in report.table({"conv/lenet-2-forward": found})


def made(unit: str = "s", **contenders: Any) -> dict[str, Any]:
    """A row with these medians; text is what is wrong."""
    figures = {name: {"seconds": [9.0, value, 0.0], "peak": 100} if isinstance(value, float) else
               {"seconds": [1.0], "peak": 100, "wrong": value} for name, value in contenders.items()}
    return {"contenders": figures, "unit": unit, "floor": {"seconds": 0.5}}


def test_numpy_is_a_peer_where_it_does_the_same() -> None:
    product = made(tinyart=1.0, torch=3.0, numpy=2.0)
    recording = {name: value for name, value in product.items() if name != "floor"}
    assert (report.ratio(product), report.ratio(recording)) == (2.0, 3.0)


def test_the_table_begins_with_what_is_wrong_and_what_loses() -> None:
    table = report.table({"a/wins": made(tinyart=1.0, torch=3.0, jax=2.0), "a/loses": made(tinyart=1.0, torch=0.5),
                          "b/wrong": made(tinyart="step 0: 1, not 2", torch=1.0), "b/alone": made(tinyart=1.0),
                          "b/peer-wrong": made(tinyart=1.0, torch="step 1: 2, not 1", jax=4.0)})  # fmt: skip
    lines = table.splitlines()
    assert [line.split()[0] for line in lines[1:6]] == ["b/wrong", "a/loses", "a/wins", "b/peer-wrong", "b/alone"]
    assert lines[2].split()[-3:] == ["0.50", "50%", "1.00"]
    assert lines[4].split()[-3:] == ["4.00", "50%", "1.00"]  # the wrong peer is not the fastest one
    assert "a: geometric mean of 2 ratios 1.00, the lowest 0.50" in table
    assert "wrong: b/peer-wrong: torch: step 1: 2, not 1" in table


@pytest.mark.parametrize(("value", "unit", "text"), [
    (1.234, "s", "1.23 s"), (0.0123, "s", "12.3 ms"), (4.56e-7, "s", "456 ns"), (2e-10, "s", "0.20 ns"),
    (345.6e6, "B", "346 MB"), (12.0, "s", "12.0 s")])  # fmt: skip
def test_figures_have_three_digits(value: float, unit: str, text: str) -> None:
    assert report.shown(value, unit) == text


def results(**found: Any) -> dict[str, Any]:
    rows = {f"step/{name}": row for name, row in found.items()}
    return {"machine": suite.machine(), "versions": suite.versions(), "rows": rows}


def test_the_readme_has_the_results_between_its_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme, out = tmp_path / "README.md", tmp_path / "suite.json"
    readme.write_text("before\n<!-- python -m benchmarks --readme -->\nold\n<!-- end -->\nafter\n")
    found = results(a=made(tinyart=1.0, torch=0.5))
    found["rows"] |= {"conv/won": made(tinyart=1.0, torch=2.0), "conv/lost": made(tinyart=1.0, torch=0.75)}
    out.write_text(json.dumps(found))
    monkeypatch.setattr(suite, "README", readme)
    monkeypatch.setattr("sys.argv", ["benchmarks", "--readme", "--out", str(out)])
    suite.main()
    text = readme.read_text()
    assert text.startswith("before\n<!-- python")
    assert text.endswith("<!-- end -->\nafter\n")
    assert "| step/a | 1.00 s ±225% | 500 ms ±450% | 0.50 | 50% | 1.00 |" in text
    assert "Of the other rows these lose: conv/lost 0.75.\n" in text
    suite.main()
    assert readme.read_text() == text


def test_readme_and_results_agree() -> None:
    text, path = suite.README.read_text(), suite.RESULTS
    if not path.exists():
        pytest.skip("nothing is measured yet")
    assert report.with_table(text, json.loads(path.read_text())) == text, "run python -m benchmarks --readme"


def test_rows_are_added_and_not_measured_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                               capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    out, calls = tmp_path / "suite.json", []
    monkeypatch.setattr(suite, "measure", lambda row, contenders, threads, rounds, log: calls.append(
        (row.name, rounds, contenders)) or made(tinyart=1.0, torch=2.0) | {"threads": threads})
    arguments = ["benchmarks", "--threads", "1", "--out", str(out), "--quick", "--resume"]
    for more in (["--rows", "step/vae"], ["--rows", "step/(vae|cnn)", "--contenders", "^torch$"]):
        monkeypatch.setattr("sys.argv", [*arguments, *more])
        suite.main()
    assert [call[:2] for call in calls] == [("step/vae-128", 3), ("step/cnn-128", 3)]
    assert calls[1][2] == ["tinyart", "torch"]
    assert json.loads(out.read_text())["rows"].keys() == {"step/vae-128", "step/cnn-128"}
    assert "step: geometric mean of 2 ratios 2.00" in capsys.readouterr().out
    assert Image.open(out.with_suffix(".png")).width == chart.WIDTH
    changed = json.loads(out.read_text())
    changed["versions"]["numpy"] = "1.0"
    out.write_text(json.dumps(changed))
    with pytest.raises(SystemExit, match="other versions"):
        suite.main()


def test_the_chart_shows_bars_and_curves(tmp_path: Path) -> None:
    found = {"step/a": made(tinyart=1.0, torch=2.0), "growth/gan/batch-16": made(tinyart=1.0, torch=2.0),
             "growth/gan/batch-64": made(tinyart=3.0, torch=4.0)}  # fmt: skip
    assert chart.families(found) == {"gan, batch": {"tinyart": [(16, 1.0), (64, 3.0)], "torch": [(16, 2.0), (64, 4.0)]}}
    chart.chart(tmp_path / "chart.png", found)
    pixels = np.asarray(Image.open(tmp_path / "chart.png"))
    blue = np.array([int(chart.FASTER[i : i + 2], 16) for i in (1, 3, 5)])
    drawn = (pixels == blue).all(2)
    assert drawn[40:54].sum() > 100  # the bar
    assert drawn[60 + chart.LINE :].sum() > 100  # tinyart's curve


def test_all_rows_have_data_a_floor_and_a_kind() -> None:
    kinds = {"training", "convolution", "product", "operation"}
    for name, row in (rows.ROWS | rows.CUDA_ROWS).items():
        assert name == row.name
        assert row.kind in kinds or isinstance(row, rows.Overhead)
        operations, moved = row.floor()
        assert (operations + moved > 0) == (row.kind in kinds)
        assert math.isfinite(operations + moved)


def test_the_profile_of_a_step_names_its_kernels_and_their_loops() -> None:
    done = subprocess.run([sys.executable, "-m", "benchmarks.profile", "step/rnn-T64-B16-I64-H256"], cwd=measure.ROOT,
                          capture_output=True, text=True, check=True, timeout=300)
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert names.index("_rnn_backward") > names.index("rnn_backward") > 0
    assert {"rnn", "_rnn", "dense", "adam_all_", "outside"} <= set(names)
