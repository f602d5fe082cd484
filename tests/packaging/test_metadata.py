"""pyproject.toml agrees with the folders."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_folder_with_python_files_is_a_listed_package() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {path.parent.relative_to(ROOT) for top in ("tinyart", "kernels") for path in (ROOT / top).rglob("*.py")}
    packages = {".".join(("tinyart", *f.parts) if f.parts[0] == "kernels" else f.parts) for f in folders}
    assert sorted(listed) == sorted(packages)


def test_kernels_is_no_regular_package() -> None:
    """With an __init__.py, a checkout on the path would hide another distribution's `kernels`."""
    assert not (ROOT / "kernels" / "__init__.py").exists()


def test_cpu_overrides_name_files_and_reference_kernels() -> None:
    import tinyart.kernels.cpu
    import tinyart.kernels.reference as reference

    for kernel, module in tinyart.kernels.cpu.OVERRIDES.items():
        assert (ROOT / "kernels" / "cpu" / f"{module}.py").exists(), f"{kernel}: no kernels/cpu/{module}.py"
        assert callable(getattr(reference, kernel, None)), f"{kernel} overrides nothing in the reference"
