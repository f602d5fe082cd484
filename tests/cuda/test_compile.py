"""Every CUDA C source compiles, without a warning, for compute capability 8.0 (A100) and 9.0 (H100, H200).

NVRTC needs no GPU: `pip install nvidia-cuda-nvrtc`, which the extra `test` names.
"""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.cuda import nvrtc

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path.stem for path in (ROOT / "kernels" / "cuda").glob("*.cu"))
# How conv.py and depthwise.py compile their sources; others have no macros but REAL
SQUARE = {"ROWS": 128, "COLUMNS": 128}
FOURS, ONES = {"LEFT": 4, "RIGHT": 4}, {"LEFT": 1, "RIGHT": 1}
TILES: list[tuple[str, dict[str, int]]] = [
    *(("float32", {"ROWS": rows, "COLUMNS": columns, **widths}) for rows, columns in (
        (128, 128), (128, 64), (128, 32), (64, 64), (256, 16), (256, 4)) for widths in (FOURS, ONES)),
    ("float32", {"LEFT": 1, "RIGHT": 4, **SQUARE}), ("float32", {"LEFT": 4, "RIGHT": 1, **SQUARE}),
    ("float32", {"TF32": 1, **FOURS, **SQUARE}), ("float32", {"TF32": 1, **ONES, **SQUARE}),
    ("float64", {"ROWS": 64, "COLUMNS": 64, **ONES}),
]  # fmt: skip
CASES = [(name, dtype, {}) for name in SOURCES if name not in ("conv", "depthwise")
         for dtype in ("float32", "float64")] + [
    ("conv", dtype, {"CONV": 1, "CONV_INPUT": 1, "CONV_WEIGHT": 1} | macros) for dtype, macros in TILES] + [
    ("depthwise", dtype, {"WIDE": wide}) for dtype, wide in (("float32", 4), ("float32", 1), ("float64", 1))]


@pytest.fixture(scope="module")
def launch(cupy: ModuleType) -> Any:
    if nvrtc.library() is None:
        pytest.skip("no NVRTC: pip install nvidia-cuda-nvrtc")
    import tinyart.kernels.cuda.launch

    return tinyart.kernels.cuda.launch


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
@pytest.mark.parametrize(("name", "dtype", "macros"), CASES, ids=lambda x: "-".join(map(str, x.values())) if isinstance(
    x, dict) else x)  # fmt: skip
def test_compiles(name: str, dtype: str, macros: dict[str, int], arch: str, launch: Any) -> None:
    options = [*launch.options(dtype, **macros), f"-arch={arch}", "--ptxas-options=-v"]
    done, log, code = nvrtc.compiled(launch.source(name), options)
    assert done, log
    assert all(line.startswith("ptxas ") for line in log.splitlines()), log  # its report, and no warning
    assert all(int(n) <= 128 for n in re.findall(r"Used (\d+) registers", log))  # two blocks to a multiprocessor
    spilled = 160 if "TF32" in macros else 40 if name == "conv" and (arch, dtype, macros["LEFT"], macros["RIGHT"]) != (
        "sm_90", "float32", 4, 4) else 0  # the paths that are fast keep everything in registers
    assert all(int(n) <= spilled for n in re.findall(r"(\d+) bytes spill", log)), log
    for kernel in re.findall(r"^KERNEL (?:__launch_bounds__\(.*?\) )?(\w+)\(", launch.source(name), re.M):
        assert kernel.encode() in code


def test_a_source_that_is_wrong_does_not_compile(launch: Any) -> None:
    done, log, _ = nvrtc.compiled("KERNEL f() {}", [])
    assert not done
    assert "KERNEL" in log


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_begins_by_saying_what_it_costs(name: str) -> None:
    """Formula, who does what, and what has to be moved or computed."""
    text = (ROOT / "kernels" / "cuda" / f"{name}.cu").read_text()
    head = text[: text.index("\n\n")]
    assert head.startswith("//")
    assert re.search(r"thread|warp|block", head, re.I)
    assert re.search(r"bytes|[Rr]eads?|comparisons", head)
