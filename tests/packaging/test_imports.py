"""Who may import whom: arrows point down the layers, kernels stand alone, and `import tinyart` loads only NumPy."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]

# A module imports from its own layer and from those above it in this list, `kernels` excepted.
LAYERS = [
    {"errors"},
    {"backend", "data", "recording"},  # data: arrays in files, and pictures of arrays
    {"graph"},
    {"ops"},
    {"tensor"},
    {"nn", "optim", "random", "testing", "io", "replay"},
    {"__init__"},  # so `import tinyart` loads none of the following
    {"models", "train", "checkpoint", "lesson"},
    {"cli_parts", "cli_music", "cli", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

# numba owns llvmlite, cupy owns cupyx and brings cuda.pathfinder.
# The reference runs on either array type and knows no compiler.
KERNELS = {
    "reference": {"numpy", "cupy", "cupyx"},
    "cpu": {"numpy", "numba", "llvmlite"},
    "cuda": {"numpy", "numba", "llvmlite", "cuda", "cupy", "cupyx"},
}
MODULE_OF = {"pillow": "PIL", "cupy-cuda12x": "cupy", "cupy-cuda13x": "cupy"}  # where it is not the distribution's name
BY_NAME = {"backend"}  # may import a module by a computed name


class Import(NamedTuple):
    line: int
    module: str
    lazy: bool  # inside a function: not executed when the file is imported


def imports(source: str, module: str, *, is_package: bool, modules: set[str]) -> Iterator[Import]:
    """Every import in the file that is `module`, as an absolute name; those under `if TYPE_CHECKING:` left out."""
    package = module if is_package else module.rpartition(".")[0]

    def visit(node: ast.AST, lazy: bool) -> Iterator[Import]:
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            children = node.orelse
        else:
            children = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, lazy)
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.rsplit(".", node.level - 1)[0] if package.count(".") >= node.level - 1 else ""
                base = f"{above or '<outside>'}.{base}".rstrip(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield Import(node.lineno, inner if inner in modules else base, lazy)
        for child in children:
            yield from visit(child, lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))

    yield from visit(ast.parse(source), False)


def sources(root: Path) -> dict[str, Path]:
    """Module name -> file, packages as `name.__init__`; `kernels` under the name it is installed by."""
    found = {}
    for prefix, folder in (("tinyart", root / "tinyart"), ("tinyart.kernels", root / "kernels")):
        for path in sorted(folder.rglob("*.py")):
            found[".".join([prefix, *path.relative_to(folder).with_suffix("").parts])] = path
    return found


def component(module: str) -> str:
    """"tinyart.ops.conv" -> "ops", "tinyart" -> "__init__"."""
    return [*module.split("."), "__init__"][1]


def distributions(root: Path) -> set[str]:
    """The modules of the distributions that pyproject.toml declares for running."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    names = [re.split(r"[^\w-]", line)[0] for line in
             project["dependencies"] + extras["music"] + extras["cuda12"] + extras["cuda13"]]
    return {MODULE_OF.get(name, name) for name in names} | {"cupyx", "llvmlite"}


def violations(root: Path) -> list[str]:
    files = sources(root)
    modules = {name.removesuffix(".__init__") for name in files} | {"tinyart", "tinyart.kernels"}
    declared = distributions(root)
    wrong = []
    for name, path in files.items():
        is_package = name.endswith(".__init__")
        module = name.removesuffix(".__init__")
        for line, target, lazy in imports(path.read_text(), module, is_package=is_package, modules=modules):
            check = kernel_rule if module.startswith("tinyart.kernels.") else tinyart_rule
            if message := check(name, target, lazy, declared):
                wrong.append(f"{path.relative_to(root)}:{line}: {message}")
    return wrong


def kernel_rule(name: str, target: str, lazy: bool, declared: set[str]) -> str:
    folder, top = name.split(".")[2], target.partition(".")[0]
    if top in sys.stdlib_module_names:
        return ""
    if top in ("tinyart", "<outside>"):
        reached = target.removeprefix("tinyart.kernels").lstrip(".").partition(".")[0]
        inside = target.startswith("tinyart.kernels.") and reached in (folder, "reference")
        return "" if inside else f"a {folder} kernel imports {target}; only {folder} and reference are open to it"
    if top not in KERNELS[folder]:
        return f"a {folder} kernel imports {top}; only {', '.join(sorted(KERNELS[folder]))} are open to it"
    eager = top != "numpy" and not lazy and (folder == "reference" or name.endswith(".__init__"))
    return f"imports {top} when it is imported; do so at first use" if eager else ""


def tinyart_rule(name: str, target: str, lazy: bool, declared: set[str]) -> str:
    own, top = component(name), target.partition(".")[0]
    if own not in LEVEL:
        return f"{own} has no layer yet: add it to LAYERS in this test"
    if top == "importlib" and own not in BY_NAME:
        return "imports by a computed name; only backend may"
    if top in sys.stdlib_module_names:
        return ""
    if top != "tinyart":
        if own == "testing" and top == "hypothesis" and lazy:
            return ""  # its strategies are for those who have hypothesis; check_grad needs nothing
        if top not in declared:
            return f"{top} is no declared dependency"
        return "" if lazy or top == "numpy" else f"imports {top} when it is imported; do so at first use"
    there = component(target)
    if there == "kernels":
        return "imports kernels; use kernels_of, which loads them at first use"
    if there not in LEVEL:
        return f"{there} has no layer yet: add it to LAYERS in this test"
    return "" if LEVEL[there] <= LEVEL[own] else f"{own} imports {there}: the arrow points back"


def test_arrows() -> None:
    assert violations(ROOT) == []


def test_components_import_each_other_in_no_circle() -> None:
    files = sources(ROOT)
    modules = {name.removesuffix(".__init__") for name in files}
    graph: dict[str, set[str]] = {}
    for name, path in files.items():
        module, is_package = name.removesuffix(".__init__"), name.endswith(".__init__")
        for _, target, _ in imports(path.read_text(), module, is_package=is_package, modules=modules):
            if target.partition(".")[0] == "tinyart" and component(target) != component(name):
                graph.setdefault(component(name), set()).add(component(target))
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize(
    ("path", "source", "message"),
    [
        ("tinyart/graph.py", "import tinyart.tensor", "graph imports tensor: the arrow points back"),
        ("tinyart/graph.py", "def f():\n  from tinyart import ops", "graph imports ops: the arrow points back"),
        ("tinyart/graph.py", "from . import ops", "graph imports ops: the arrow points back"),
        ("tinyart/ops/conv.py", "from ..tensor import Tensor", "ops imports tensor: the arrow points back"),
        ("tinyart/ops/conv.py", "if 1:\n  import tinyart as ta", "ops imports __init__: the arrow points back"),
        ("tinyart/ops/conv.py", "import tinyart.kernels.reference", "imports kernels; use kernels_of"),
        ("tinyart/__init__.py", "from tinyart import models", "__init__ imports models: the arrow points back"),
        ("tinyart/io.py", "import safetensors.numpy", "imports safetensors when it is imported"),
        ("tinyart/io.py", "def f():\n  import torch", "torch is no declared dependency"),
        ("tinyart/io.py", "from importlib import import_module", "imports by a computed name"),
        ("tinyart/news.py", "import os", "news has no layer yet"),
        ("tinyart/graph.py", "if TYPE_CHECKING:\n  pass\nelse:\n  import tinyart.tensor", "graph imports tensor"),
        ("kernels/cpu/conv.py", "from tinyart.errors import ShapeError", "a cpu kernel imports tinyart.errors"),
        ("kernels/cpu/conv.py", "from ...errors import ShapeError", "a cpu kernel imports tinyart.errors"),
        ("kernels/cpu/conv.py", "from ....x import y", "a cpu kernel imports <outside>.x"),
        ("kernels/cpu/conv.py", "import scipy", "a cpu kernel imports scipy"),
        ("kernels/cpu/__init__.py", "import numba", "imports numba when it is imported"),
        ("kernels/reference/conv.py", "import cupy", "imports cupy when it is imported"),
        ("kernels/reference/conv.py", "def f():\n  import numba", "a reference kernel imports numba"),
        ("kernels/reference/conv.py", "from ..cpu import conv", "a reference kernel imports tinyart.kernels.cpu"),
    ],
)  # fmt: skip
def test_the_rule_finds_a_planted_violation(tmp_path: Path, path: str, source: str, message: str) -> None:
    allowed(tmp_path)
    assert violations(tmp_path) == []
    file = tmp_path / path
    before = file.read_text() if file.exists() else ""
    file.write_text(f"{before}\n{source}\n")
    (found,) = violations(tmp_path)
    assert found.startswith(f"{path}:")
    assert message in found


def allowed(root: Path) -> None:
    """A tree in which every kind of permitted import occurs."""
    files = {
        "tinyart/__init__.py": "from tinyart.graph import x",
        "tinyart/errors.py": "import os.path",
        "tinyart/backend.py": "from importlib import import_module\ndef f():\n    import cupy",
        "tinyart/graph.py": "from tinyart import errors\nif TYPE_CHECKING:\n    from tinyart.tensor import Tensor",
        "tinyart/ops/__init__.py": "from .conv import x\nfrom tinyart.graph import x",
        "tinyart/ops/conv.py": "from ..graph import x\nimport tinyart.ops",
        "tinyart/tensor.py": "import tinyart.ops.conv",
        "tinyart/io.py": "def f():\n    import PIL.Image, safetensors",
        "tinyart/models/__init__.py": "import tinyart as ta\nfrom tinyart import x",
        "kernels/cpu/__init__.py": "",
        "kernels/cpu/conv.py": "import numba, llvmlite.ir, math\nfrom ..reference import conv",
        "kernels/reference/__init__.py": "from .conv import x",
        "kernels/reference/conv.py": "import numpy as np\ndef f():\n    import cupyx.scipy",
        "pyproject.toml": (ROOT / "pyproject.toml").read_text(),
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_importing_tinyart_loads_only_numpy_and_no_kernel() -> None:
    code = (
        "import numpy, sys; before = set(sys.modules); import tinyart\n"
        "print(*sorted(set(sys.modules) - before))"
    )  # fmt: skip
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = run.stdout.split()
    assert "tinyart" in loaded
    assert {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names <= {"tinyart", "numpy"}
    assert [name for name in loaded if name.startswith("tinyart.kernels")] == []
