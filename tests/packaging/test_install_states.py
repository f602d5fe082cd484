"""`kernels/` is `tinyart.kernels` in a checkout, installed and editable, beside a stranger's `kernels` too.

The environments are real ones, made by venv and filled by pip. Nothing is downloaded: NumPy and setuptools are
links to those of the interpreter that runs the tests, and nothing else of that interpreter can be seen.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
STATES = ["checkout", "installed", "editable"]
BORROWED = ["numpy", "numpy.libs", "setuptools", "setuptools-*.dist-info", "_distutils_hack"]

LOOK = """
import importlib, json
def file(name):
    try:
        return importlib.import_module(name).__file__
    except ModuleNotFoundError:
        return None
import tinyart
names = ["tinyart", "tinyart.kernels.reference", "tinyart.kernels.cpu", "kernels.reference"]
print(json.dumps({name: file(name) for name in names}))
"""


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """Standard output of a command that must succeed, its environment free of Python's variables but for these."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | variables
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass
class Environment:
    """An empty virtual environment that sees NumPy and setuptools, and a copy of the repository beside it."""

    folder: Path

    def __post_init__(self) -> None:
        venv.create(self.folder / "venv", symlinks=True)
        self.python = self.folder / "venv" / "bin" / "python"
        self.site = Path(sysconfig.get_path("purelib", vars={"base": str(self.folder / "venv")}))
        borrowed = self.folder / "borrowed"
        borrowed.mkdir()
        lender = Path(sysconfig.get_path("purelib"))
        for path in (path for pattern in BORROWED for path in lender.glob(pattern)):
            (borrowed / path.name).symlink_to(path)
        (self.site / "borrowed.pth").write_text(f"{borrowed}\n")
        self.tree, self.elsewhere = self.folder / "tree", self.folder / "elsewhere"
        self.elsewhere.mkdir()
        copy_of_the_repository(self.tree)

    def pip_install(self, *arguments: str | Path) -> None:
        pip = [sys.executable, "-m", "pip", "--python", self.python, "install", "--quiet"]
        run(*pip, "--no-deps", "--no-index", "--no-build-isolation", *arguments, cwd=self.elsewhere)

    def enter(self, state: str) -> dict[str, Any]:
        """Bring the package into `state`; returns the arguments of `run` that find it there."""
        if state == "checkout":
            return {"cwd": self.tree}
        self.pip_install(*(["-e"] if state == "editable" else []), self.tree)
        return {"cwd": self.elsewhere}

    def look(self, **how: Any) -> dict[str, Path | None]:
        """Where each module comes from."""
        files = json.loads(run(self.python, "-c", LOOK, **how))
        return {name: file and Path(file) for name, file in files.items()}


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path)


def copy_of_the_repository(target: Path) -> None:
    target.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, target)
    for name in ("tinyart", "kernels"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))


def stranger(folder: Path) -> Path:
    """Another project, whose distribution and package are called `kernels` and have our module's name too."""
    (folder / "kernels").mkdir(parents=True)
    (folder / "kernels" / "__init__.py").write_text("")
    (folder / "kernels" / "reference.py").write_text("")
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "kernels"\nversion = "1"\n[tool.setuptools]\npackages = ["kernels"]\n'
    )
    return folder


def python_files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.suffix in (".py", ".typed")}


@pytest.mark.parametrize("state", STATES)
def test_kernels_are_ours_and_a_strangers_stay_his(environment: Environment, state: str) -> None:
    how = environment.enter(state)
    inside = state == "installed"
    package = environment.site / "tinyart" if inside else environment.tree / "tinyart"
    kernels = package / "kernels" if inside else environment.tree / "kernels"
    ours = {
        "tinyart": package / "__init__.py",
        "tinyart.kernels.reference": kernels / "reference" / "__init__.py",
        "tinyart.kernels.cpu": kernels / "cpu" / "__init__.py",
    }

    alone = environment.look(**how)
    assert {name: alone[name] for name in ours} == ours
    if state != "checkout":  # where the checkout itself is on the path, its folder kernels/ is too
        assert alone["kernels.reference"] is None

    environment.pip_install(stranger(environment.folder / "stranger"))
    assert environment.look(**how) == {**ours, "kernels.reference": environment.site / "kernels" / "reference.py"}


def test_checkout_is_found_by_pythonpath_from_elsewhere(environment: Environment) -> None:
    environment.pip_install(stranger(environment.folder / "stranger"))
    found = environment.look(cwd=environment.elsewhere, PYTHONPATH=str(environment.tree))
    assert found["tinyart.kernels.reference"] == environment.tree / "kernels" / "reference" / "__init__.py"
    assert found["kernels.reference"] == environment.site / "kernels" / "reference.py"


def test_install_into_a_project_folder_beside_a_strangers_kernels(environment: Environment) -> None:
    """`pip install --target .`: pyproject.toml and a package `kernels` lie beside us, neither is ours."""
    project = stranger(environment.folder / "project")
    environment.pip_install("--target", project, environment.tree)
    found = environment.look(cwd=project)
    assert found["tinyart.kernels.reference"] == project / "tinyart" / "kernels" / "reference" / "__init__.py"
    assert found["kernels.reference"] == project / "kernels" / "reference.py"


def test_an_install_holds_every_file_and_the_command(environment: Environment) -> None:
    environment.enter("installed")
    tree, installed = environment.tree, environment.site / "tinyart"
    expected = python_files(tree / "tinyart") | {Path("kernels") / path for path in python_files(tree / "kernels")}
    assert python_files(installed) == expected
    assert not (environment.site / "kernels").exists()
    assert "usage: tinyart" in run(environment.python.with_name("tinyart"), "--help", cwd=environment.elsewhere)


def mypy(environment: Environment, file: Path) -> str:
    command = [sys.executable, "-m", "mypy", "--config-file=", "--python-executable", environment.python]
    command += ["--cache-dir", environment.folder / "mypy", file]
    done = subprocess.run(command, cwd=environment.elsewhere, capture_output=True, text=True)
    return done.stdout + done.stderr


def pyright(environment: Environment, file: Path) -> str:
    command = [sys.executable, "-m", "pyright", "--pythonpath", environment.python, file]
    done = subprocess.run(command, cwd=environment.elsewhere, capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("checker", "complaint"),
    [(mypy, 'has no attribute "no_such_kernel"'), (pyright, '"no_such_kernel" is not a known attribute of module')],
)
def test_a_type_checker_sees_the_installed_kernels(
    environment: Environment, checker: Callable[[Environment, Path], str], complaint: str
) -> None:
    """It reports an unknown kernel, and only that: were the module not found, it would report the import instead."""
    if importlib.util.find_spec(checker.__name__) is None:
        pytest.skip(f"{checker.__name__} is not installed")
    environment.enter("installed")
    environment.pip_install(stranger(environment.folder / "stranger"))
    user = environment.elsewhere / "user.py"
    user.write_text("import tinyart.kernels.reference as reference\n\nreference.no_such_kernel()\n")
    errors = [line for line in checker(environment, user).splitlines() if " error: " in line]
    assert len(errors) == 1, errors
    assert complaint in errors[0]
