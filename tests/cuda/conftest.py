"""The double of CuPy, with CUDA C compiled by g++ in the place of the GPU."""

import shutil
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

import pytest

from tests.cuda import blas_double, double


@pytest.fixture(scope="package")
def cupy(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """`cupy` is the double. kernels/cuda/, once imported, keeps it: so not where CuPy is wanted, nor without g++."""
    if request.config.getoption("--device") == "cuda":
        pytest.skip("with --device cuda, CuPy is CuPy")
    if shutil.which("g++") is None:
        pytest.skip("CUDA C is run here as C++, which needs g++")
    with double.installed() as module, pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("tinyart.kernels.cuda.blas"), "_library", blas_double.Library)
        yield module


@pytest.fixture(scope="package")
def some_cupy(request: pytest.FixtureRequest) -> ModuleType:
    """CuPy with --device cuda, else its double."""
    if request.config.getoption("--device") == "cuda":
        return import_module("cupy")
    module: ModuleType = request.getfixturevalue("cupy")
    return module


@pytest.fixture(autouse=True)
def _no_transfers_yet() -> None:
    double.reads.clear()
    double.uploads.clear()
