"""Options and fixtures of all tests: hypothesis profiles, real data, the device."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# pytest --hypothesis-profile quick|default|thorough. On CI the same examples every time, and nothing remembered.
for _name, _examples in {"quick": 25, "default": 60, "thorough": 250}.items():
    settings.register_profile(_name, max_examples=_examples, deadline=None, derandomize="CI" in os.environ)
settings.load_profile("default")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", choices=("cpu", "cuda"), default="cpu", help="where the tests compute")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--device") == "cuda":
        try:
            import cupy

            cupy.cuda.runtime.getDeviceCount()
        except Exception as error:
            raise pytest.UsageError(f"--device cuda: no CuPy or no GPU: {type(error).__name__}: {error}") from error


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "data_dir" in getattr(item, "fixturenames", ()):
            item.add_marker("data")
        if item.get_closest_marker("gpu") and config.getoption("--device") == "cpu":
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
