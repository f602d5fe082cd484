"""How many small errors in the core the tests notice: python -m benchmarks.mutation [--mutants 240] [--seed 0]

A mutant is the last commit with one small change in tinyart/graph.py, tinyart/optim.py or tinyart/ops/. Caught means
that a test fails or the time is over. Each runs in a copy of the commit; the repository is only read. Mutants are
drawn by a hash, so that most stay in the sample when a file changes. Runs are kept in a log as they end: started
again, the drill goes on, and tries survivors without an explanation anew. Writes benchmarks/results/mutation.json.
"""

import argparse
import ast
import copy
import hashlib
import itertools
import json
import multiprocessing
import os
import queue
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
# What finds most in the least time is first.
OPERATIONS = ["tests/core/test_ops.py", "tests/core/test_ops_errors.py", "tests/core/test_gradients.py"]
TESTS = {  # the longest path that a mutated file's begins with
    "tinyart/graph.py": ["tests/core/test_graph.py", "tests/core/test_tensor.py", *OPERATIONS],
    "tinyart/ops/": OPERATIONS,
    "tinyart/ops/index.py": ["tests/core/test_graph.py", *OPERATIONS],  # views
    "tinyart/ops/op.py": ["tests/core/test_graph.py", "tests/core/test_tensor.py", *OPERATIONS],
    "tinyart/ops/dropout.py": [*OPERATIONS[:2], "tests/nn/test_layers.py"],
    "tinyart/ops/recurrent.py": ["tests/nn/test_recurrent.py", *OPERATIONS],
    "tinyart/optim.py": ["tests/test_optim.py"],
}
LIMIT_S, MEMORY = 300, 16 << 30  # a mutant may run for ever, or fill the memory

# CI: hypothesis draws the same examples for each mutant
os.environ.update(CI="true", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", NUMBA_NUM_THREADS="1")
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["pytest", "hypothesis", "numba", "scipy.special", "torch"])

Key = tuple[str, str, str, str]  # file, scope, original, mutated
_FOUR = "w has four lengths: its first two are all but its last two"
EXPLAINED: dict[Key, str] = {  # why no test can see the change
    ("tinyart/ops/conv.py", "", "w=lambda g, x, w_shape, settings: apply(_CONV_WEIGHT, x, g, size=w_shape[:2], "
     "**settings))", "w=lambda g, x, w_shape, settings: apply(_CONV_WEIGHT, x, g, size=w_shape[:(-2)], **settings))"):
    _FOUR,
    ("tinyart/ops/conv.py", "", 'w=lambda v, g, w_shape, settings: apply(_CONV_WEIGHT, v, g, **settings | {"size": '
     'w_shape[:2]}))', 'w=lambda v, g, w_shape, settings: apply(_CONV_WEIGHT, v, g, **settings | {"size": '
     'w_shape[:(-2)]}))'): _FOUR,
    ("tinyart/ops/conv.py", "conv_transpose2d", "size = (x.shape[1] * stride[0], x.shape[2] * stride[1])",
     "size = (x.shape[1] * stride[0], x.shape[(-2)] * stride[1])"): "x has four lengths: the third is the last but one",
    ("tinyart/ops/dropout.py", "dropout", "y = apply(_MASKED, x, kept, scale=1 / (1 - p) if p < 1 else 1.0)",
     "y = apply(_MASKED, x, kept, scale=1 / (1 - p) if p < 1 else (0.0))"): "at p = 1 nothing is kept to be scaled",
    ("tinyart/ops/resize.py", "_weights", "s = np.clip((i + 0.5) * old / new - 0.5, 0, old - 1)",
     "s = np.clip((i + 0.5) * old / new - 0.5, 0, old - (0))"):
    "s is at most old - ½, so ⌊s⌋ at most old - 1; there both weights, t and 1 - t, fall on that last pixel",
}

ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
              ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult}
COMPARISONS = {ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE,
               ast.GtE: ast.Gt, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "less": "greater", "greater": "less",
         "less_equal": "less", "greater_equal": "greater", "equal": "not_equal"}
UNSWAPPED = {"isinstance", "map", "next", "equal", "mul", "max", "min"}  # too easy to see, or the same either way
REDUCTIONS = {"unbroadcast", "_unbroadcast", "sum", "mean"}


class Mutant(NamedTuple):
    file: str
    scope: str  # "Class.function", "" for the module itself
    line: int
    kind: str
    original: str  # the lines that change, on one line
    mutated: str
    source: str  # of the whole file

    @property
    def key(self) -> Key:
        return self.file, self.scope, self.original, self.mutated


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST, ast.AST]]:
    """(kind, what is replaced, by what) for one node of the syntax tree."""

    def with_(**fields: Any) -> ast.AST:
        other = copy.copy(node)
        for name, value in fields.items():
            setattr(other, name, value)
        return other

    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in ARITHMETIC:
        yield "arithmetic", node, with_(op=ARITHMETIC[type(node.op)]())
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not):
        yield "drop - or not", node, node.operand
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            yield "comparison", node, with_(ops=[*node.ops[:i], COMPARISONS[type(op)](), *node.ops[i + 1 :]])
    if isinstance(node, ast.BoolOp):
        yield "and, or", node, with_(op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield "constant", node, ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        for value in dict.fromkeys([node.value + 1, type(node.value)(0), -node.value]):
            yield "constant", node, ast.Constant(value)
    if isinstance(node, ast.Name) and node.id in NAMES:
        yield "another function", node, ast.Name(NAMES[node.id])
    if isinstance(node, ast.If | ast.IfExp):
        yield "condition", node.test, ast.Constant(True)
        yield "condition", node.test, ast.Constant(False)
    if isinstance(node, ast.Expr | ast.AugAssign | ast.Raise) or (
            isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute | ast.Subscript)):
        yield "drop a statement", node, ast.Pass()
    if isinstance(node, ast.Assign | ast.Return) and isinstance(node.value, ast.Call):
        for first in node.value.args[:1]:
            if not isinstance(first, ast.Starred | ast.GeneratorExp) and not _is_text(first):
                yield "drop a call", node.value, first
    if isinstance(node, ast.Call):
        if len(node.args) > 1 and not any(isinstance(a, ast.Starred) or _is_text(a) for a in node.args[:2]) and (
                ast.unparse(node.func) not in UNSWAPPED):
            yield "swap arguments", node, with_(args=[node.args[1], node.args[0], *node.args[2:]])
        if isinstance(node.func, ast.Name) and node.func.id in REDUCTIONS and len(node.args) > 1:
            yield "drop a reduction", node, node.args[0]
        if isinstance(node.func, ast.Attribute) and node.func.attr in REDUCTIONS:
            yield "drop a reduction", node, node.func.value
        for rule, other in itertools.permutations([k.value for k in node.keywords
                                                   if isinstance(k.value, ast.Lambda)], 2):
            yield "another argument's rule", rule, other


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _visited(node: ast.AST, scope: str = "") -> Iterator[tuple[ast.AST, str]]:
    """What is mutated, with its scope: no annotations, docstrings, imports for types, nothing in an error's message."""
    yield node, scope
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        scope = f"{scope}.{node.name}".strip(".")
    if isinstance(node, ast.Raise | ast.JoinedStr):
        return
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            docstring = isinstance(child, ast.Expr) and _is_text(child.value)
            types = isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING"
            if isinstance(child, ast.AST) and name not in ("annotation", "returns") and not docstring and not types:
                yield from _visited(child, scope)


def mutants(file: str, source: str) -> list[Mutant]:
    """All mutants of a file that differ from it and from each other."""
    whole = source.encode()  # the syntax tree counts columns in bytes
    starts = list(itertools.accumulate(map(len, whole.splitlines(keepends=True)), initial=0))
    tree, found = ast.parse(source), {}
    for node, scope in _visited(tree):
        for kind, old, new in _changes(node):
            text = ast.unparse(new)
            text = text if text.isidentifier() or isinstance(new, ast.stmt) else f"({text})"
            (first, begin), (last, end) = (old.lineno - 1, old.col_offset), (old.end_lineno - 1, old.end_col_offset)
            head, tail = whole[: starts[first] + begin], whole[starts[last] + end :]
            mutated = (head + text.encode() + tail).decode()
            lines = whole[starts[first] : starts[last + 1]], (head[starts[first] :] + text.encode()
                                                               + tail.splitlines(keepends=True)[0])
            if ast.dump(ast.parse(mutated)) != ast.dump(tree):
                found.setdefault(mutated, Mutant(file, scope, old.lineno, kind, *(
                    " ".join(line.decode().split()) for line in lines), mutated))
    return list(found.values())


def sample(commit: str, count: int, seed: int) -> list[Mutant]:
    """`count` of all mutants; which ones is decided by a hash of each."""
    everything: list[Mutant] = []
    for name in _git("ls-tree", "-r", "--name-only", commit, "tinyart/").decode().split():
        if name in TESTS or (name.startswith("tinyart/ops/") and not name.endswith("__init__.py")):
            everything += mutants(name, _git("show", f"{commit}:{name}").decode())
    print(f"{len(everything)} mutants, {min(count, len(everything))} of them are tried", flush=True)
    return sorted(everything, key=lambda m: hashlib.sha256(f"{seed} {m.key}".encode()).digest())[:count]


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout


def _test_files(file: str) -> list[str]:
    return TESTS[max((path for path in TESTS if file.startswith(path)), key=len)]


def _tests(file: str, source: str) -> list[str]:
    """pytest's arguments. Of the gradients of all operations, those that a file of operations offers are checked."""
    files = _test_files(file)
    if files is not OPERATIONS:
        return files
    names = [getattr(node, "name", "") or node.targets[0].id for node in ast.parse(source).body
             if isinstance(node, ast.FunctionDef | ast.Assign)]
    return [*files, "-k", " or ".join(["test_ops", *(name for name in names if not name.startswith("_"))])]


def _pytest(tree: Path, arguments: list[str], output: Path) -> None:
    """The life of a process that was forked with the libraries imported, and nothing of tinyart."""
    os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    os.dup2(1, 2)
    os.chdir(tree)
    sys.path = [path for path in sys.path if path not in ("", str(ROOT))]
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_S, LIMIT_S))  # a loaded machine takes nothing from a mutant
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--tb=no", "--hypothesis-profile=quick", *arguments])
    sys.stdout.flush()
    os._exit(code)  # at once, whatever the mutant left running


def _run(tree: Path, arguments: list[str]) -> tuple[str, str]:
    """("survived", "caught" or "time over", the test that failed), of the tests in the copy `tree`."""
    output = tree.with_suffix(".txt")
    process = FORKS.Process(target=_pytest, args=(tree, arguments, output))
    process.start()
    process.join(10 * LIMIT_S)
    if process.is_alive() or process.exitcode in (-signal.SIGXCPU, -signal.SIGKILL):
        process.kill()
        return "time over", ""
    text = output.read_text(errors="replace")
    failed = next((line for line in text.splitlines() if line.startswith(("FAILED", "ERROR"))), text[-200:])
    return ("survived", "") if process.exitcode == 0 else ("caught", failed[:160])


def drill(todo: list[Mutant], commit: str, jobs: int, log: Path) -> None:
    """Run every mutant, each job in a copy of its own; a line of the log for each."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        trees: queue.Queue[Path] = queue.Queue()
        for job in range(jobs):
            tree = Path(folder) / str(job)
            tree.mkdir()
            subprocess.run(["tar", "-x"], cwd=tree, input=_git("archive", commit), check=True)
            trees.put(tree)

        def attempt(mutant: Mutant) -> dict[str, Any]:
            tree = trees.get()
            path, start = tree / mutant.file, time.perf_counter()
            before, stamp = path.read_bytes(), path.stat().st_mtime
            path.write_text(mutant.source)
            result, by = _run(tree, _tests(mutant.file, mutant.source))
            path.write_bytes(before)
            os.utime(path, (stamp, stamp))
            trees.put(tree)
            return {"result": result, "seconds": round(time.perf_counter() - start, 1), "by": by}

        result, by = _run(Path(folder) / "0", sorted({test for m in todo for test in _test_files(m.file)}))
        if result != "survived":
            raise SystemExit(f"without a mutation: {result}, {by}")
        for number, (mutant, end) in enumerate(zip(todo, pool.map(attempt, todo), strict=True), 1):
            row = mutant._asdict() | end
            del row["source"]
            with log.open("a") as out:
                out.write(json.dumps(row) + "\n")
            print(f"{number}/{len(todo)} {end['result']:9} {end['seconds']:6.1f} s  {mutant.file}:{mutant.line}  "
                  f"{mutant.mutated[:90]}", flush=True)


def _read(log: Path) -> dict[Key, dict[str, Any]]:
    """The last run of each mutant."""
    rows = map(json.loads, log.read_text().splitlines()) if log.exists() else ()
    return {(row["file"], row["scope"], row["original"], row["mutated"]): row for row in rows}


def main(count: int, seed: int, jobs: int, log: Path) -> None:
    commit = _git("rev-parse", "HEAD").decode().strip()
    chosen, known = sample(commit, count, seed), _read(log)
    done = {key for key, row in known.items() if row["result"] != "survived"} | (EXPLAINED.keys() & known.keys())
    if todo := [m for m in chosen if m.key not in done]:
        drill(todo, commit, jobs, log)
    known = _read(log)
    rows = [known[m.key] | {"line": m.line, "explained": EXPLAINED.get(m.key, "")} for m in chosen]
    survivors = [row for row in rows if row["result"] == "survived"]
    survivors.sort(key=lambda row: (bool(row["explained"]), row["file"], row["line"]))
    late, caught = sum(row["result"] == "time over" for row in rows), len(rows) - len(survivors)
    explained = sum(bool(row["explained"]) for row in survivors)
    tried = Counter(row["file"] for row in rows)
    missed = Counter(row["file"] for row in survivors)
    figures = {"command": f"python -m benchmarks.mutation --mutants {count} --seed {seed}", "mutants": len(rows),
               "caught": caught, "of them by the time limit": late, "share caught": round(caught / len(rows), 4),
               "survivors explained": explained, "survivors not explained": len(survivors) - explained,
               "seconds": round(sum(row["seconds"] for row in rows)),
               "caught, tried": {file: [tried[file] - missed[file], tried[file]] for file in sorted(tried)},
               "survivors": [{name: row[name] for name in ("file", "scope", "line", "kind", "original", "mutated",
                                                           "explained")} for row in survivors]}
    (RESULTS / "mutation.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    for row in survivors:
        print("{file}:{line} {scope}, {kind}\n    {original}\n    {mutated}\n    {explained}".format(**row))
    print(f"{caught} of {len(rows)} caught ({caught / len(rows):.1%}), {late} of them by the time limit; "
          f"{explained} survivors explained, {len(survivors) - explained} not")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, default=240, dest="count")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--log", type=Path, default=Path(tempfile.gettempdir()) / "tinyart_mutation.jsonl")
    main(**vars(parser.parse_args()))
