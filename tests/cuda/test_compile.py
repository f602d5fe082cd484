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
# How conv.py compiles its source; others have no macros but REAL
TILES: dict[str, list[dict[str, int]]] = {"float32": [{"TILE": 128}, {"TILE": 128, "TF32": 1}],
                                          "float64": [{"TILE": 64}]}  # fmt: skip
SPILLED = 160  # bytes that a thread of the convolution keeps outside of its registers, at most; 132 are known, on sm_80


@pytest.fixture(scope="module")
def launch(cupy: ModuleType) -> Any:
    if nvrtc.library() is None:
        pytest.skip("no NVRTC: pip install nvidia-cuda-nvrtc")
    import tinyart.kernels.cuda.launch

    return tinyart.kernels.cuda.launch


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
@pytest.mark.parametrize("name", SOURCES)
def test_compiles(name: str, arch: str, dtype: str, launch: Any) -> None:
    for macros in TILES[dtype] if name == "conv" else [{}]:
        options = [*launch.options(dtype, **macros), f"-arch={arch}", "--ptxas-options=-v"]
        done, log, code = nvrtc.compiled(launch.source(name), options)
        assert done, log
        assert all(line.startswith("ptxas ") for line in log.splitlines()), log  # its report, and no warning
        assert all(int(n) <= 128 for n in re.findall(r"Used (\d+) registers", log))  # two blocks to a multiprocessor
        assert all(int(n) <= SPILLED * (name == "conv") for n in re.findall(r"(\d+) bytes spill", log)), log
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
