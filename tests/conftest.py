"""Options and fixtures of all tests: hypothesis profiles, real data, the device."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

# pytest --hypothesis-profile quick|default|thorough. On CI the same examples every time, and nothing remembered.
for _name, _examples in {"quick": 25, "default": 60, "thorough": 250}.items():
    settings.register_profile(_name, max_examples=_examples, deadline=None, derandomize="CI" in os.environ)
settings.load_profile("default")


_DOUBLE = pytest.StashKey[Any]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", choices=("cpu", "cuda", "emulated"), default="cpu",
                     help="where every kernel runs; emulated: as on cuda, CUDA C compiled by g++, CuPy as NumPy")
    parser.addoption("--unpooled", action="store_true",
                     help="with --device cuda: each array is an allocation, whose bounds compute-sanitizer knows")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--device") == "emulated":
        from tests.cuda import blas_double, double

        config.stash[_DOUBLE] = double.installed()
        config.stash[_DOUBLE].__enter__()
        import tinyart.kernels.cuda.blas as blas

        blas._library = blas_double.Library
    if config.getoption("--device") == "cuda":
        try:
            import cupy

            cupy.cuda.runtime.getDeviceCount()
        except Exception as error:
            raise pytest.UsageError(f"--device cuda: no CuPy or no GPU: {type(error).__name__}: {error}") from error
        if config.getoption("--unpooled"):
            cupy.cuda.set_allocator(None)

    if config.getoption("--device") != "cpu":
        import tinyart.backend as backend

        backend._cpu = Mirror(backend._cpu, backend._cuda)  # type: ignore[assignment]


class Mirror:
    """The CPU's kernels, run on the GPU: arrays go there and results come back, so that every test tests its kernels.

    What only looks at memory in another way stays: a view of what is on the GPU would not be a view of the array here.
    """

    VIEWS = frozenset(["reshape", "transpose", "broadcast_to", "split", "flip", "getitem", "counters_used"])

    def __init__(self, cpu: Any, cuda: Any) -> None:
        self.cpu, self.cuda = cpu, cuda

    def __getattr__(self, name: str) -> Any:
        if name in self.VIEWS:
            return getattr(self.cpu, name)
        kernel = getattr(self.cuda, name)

        def run(*inputs: Any, **settings: Any) -> Any:
            given = _moved(inputs, "cuda")
            result = kernel(*given, **{key: value if isinstance(value, np.generic) else _moved(value, "cuda")
                                       for key, value in settings.items()})
            if name.endswith("_"):
                _write_back(given, inputs)
            return _moved(result, "cpu")

        return run


def _moved(x: Any, device: str) -> Any:
    import tinyart.backend as backend

    if isinstance(x, list | tuple):
        return type(x)([_moved(part, device) for part in x])
    return backend.to_device(np.asarray(x) if isinstance(x, np.generic) else x, device) if hasattr(x, "dtype") else x


def _write_back(there: Any, here: Any) -> None:
    for a, b in zip(there, here, strict=True):
        if isinstance(b, list | tuple):
            _write_back(a, b)
        elif isinstance(b, np.ndarray) and b.flags.writeable:
            b[...] = a.get()


def pytest_unconfigure(config: pytest.Config) -> None:
    if _DOUBLE in config.stash:
        config.stash[_DOUBLE].__exit__(None, None, None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "data_dir" in getattr(item, "fixturenames", ()):
            item.add_marker("data")
        if item.get_closest_marker("gpu") and config.getoption("--device") != "cuda":
            item.add_marker(pytest.mark.skip(reason="needs a GPU: run with --device cuda"))


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> str:
    """"cpu" or "cuda"."""
    name: str = request.config.getoption("--device")
    return name


@pytest.fixture(scope="session")
def data_dir() -> Callable[[str], Path]:
    """data_dir("mnist"): that data set's folder in TINYART_DATA; without it the test is skipped."""

    def folder(name: str) -> Path:
        root = os.environ.get("TINYART_DATA")
        if not root:
            pytest.skip(f"set TINYART_DATA to a folder that holds {name}/ (real data is not in the repository)")
        path = Path(root) / name
        if not path.is_dir():
            pytest.skip(f"TINYART_DATA={root} holds no {name}/")
        return path

    return folder
