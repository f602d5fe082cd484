"""The benchmark suite: tinyart against PyTorch, JAX and others, on every model of the documents.

    python -m benchmarks                        all rows, which takes some two hours
    python -m benchmarks --resume --minutes 9   those that are not measured yet, in pieces
    python -m benchmarks --rows step/vae --quick
    python -m benchmarks --precision bfloat16   training steps, convolutions and products, against PyTorch's autocast
    python -m benchmarks --device cuda          on an NVIDIA GPU: training steps, convolutions and operations
    python -m benchmarks --readme               the README's table from the results

Writes each row, when it is measured, into benchmarks/results/suite.json, prints the table and draws suite.png. On a
machine that does other things too, `--threads 1 --clock cpu` compares what the threads used instead of what the clock
says.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import time
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import measure as measuring
from benchmarks.chart import chart
from benchmarks.measure import measure
from benchmarks.report import OURS, table, with_table
from benchmarks.rows import CUDA_ROWS, ROWS
from tinyart.backend import cupy, set_matmul_precision, to_device
from tinyart.data.files import replacing
from tinyart.errors import ArgumentError, DeviceError

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results" / "suite.json"


def source() -> str:
    """A digest of what is measured."""
    digest = hashlib.sha256()
    for path in sorted(p for folder in ("tinyart", "kernels") for p in (ROOT / folder).rglob("*.py")):
        digest.update(f"{path.relative_to(ROOT)}\n{path.read_text()}\n".encode())
    return digest.hexdigest()[:16]


def machine() -> dict[str, Any]:
    cpus = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    flags = re.search(r"flags\s*: (.*)", Path("/proc/cpuinfo").read_text())
    wide = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_tile") if flags and name in flags[1].split()]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    card = {"gpu": cupy().cuda.runtime.getDeviceProperties(0)["name"].decode()} if measuring.DEVICE == "cuda" else {}
    return card | {"cpu": cpus[0] if cpus else platform.machine(), "cores": len(os.sched_getaffinity(0)),
            "vectors": wide, "memory GiB": round(memory / 2**30, 1), "system": platform.system()}


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("tinyart", "numpy", "numba", "torch", "jax", "tinygrad", "autograd"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def read(path: Path) -> dict[str, Any]:
    """The results so far. Those of another machine or other versions do not mix with new ones."""
    here = {"machine": machine(), "versions": versions()}
    if not path.exists():
        return here | {"rows": {}}
    kept = json.loads(path.read_text())
    if {name: kept[name] for name in here} != here:
        raise SystemExit(f"{path} is of another machine or other versions: move it away, or choose another --out")
    return kept


ROUGHLY = 0.02  # how far losses, or what is compared of arrays, may be apart in bfloat16
CUDA_RESULTS = RESULTS.with_name("suite_cuda.json")
CUDA_PEERS = {  # in place of the CPU's
    "training": ["tinyart.eager", "torch", "torch.compile", "torch.compile.graphs", "jax"],
    "convolution": ["torch"], "product": ["torch", "jax"], "operation": ["torch", "jax", "tinyart.numba"],
}  # fmt: skip


def measure_on_the_gpu(options: argparse.Namespace) -> None:
    """The rows that a GPU has, for the contenders' processes: `BENCHMARK_DEVICE` tells them where."""
    try:
        to_device(np.zeros(1), "cuda")
    except DeviceError as error:
        raise SystemExit(str(error)) from error
    os.environ["BENCHMARK_DEVICE"] = measuring.DEVICE = "cuda"
    if options.out == RESULTS:
        options.out = CUDA_RESULTS
    ROWS.update(CUDA_ROWS)
    for name, row in list(ROWS.items()):
        if row.kind in CUDA_PEERS:
            ROWS[name] = replace(row, peers=tuple(CUDA_PEERS[row.kind]))
        else:
            del ROWS[name]


def measure_in(precision: str, options: argparse.Namespace) -> None:
    """The rows that have products; on a CPU, where the other libraries do not choose, only in PyTorch (autocast)."""
    if (device := {"tf32": "cuda", "bfloat16": "cpu"}[precision]) != options.device:
        raise SystemExit(f"--precision {precision} is for --device {device}")
    try:
        set_matmul_precision(precision)
    except ArgumentError as error:
        raise SystemExit(str(error)) from error
    os.environ["BENCHMARK_PRECISION"] = precision
    if options.out in (RESULTS, CUDA_RESULTS):
        options.out = options.out.with_stem(f"{options.out.stem}_{precision}")
    for name, row in list(ROWS.items()):
        if row.kind not in ("training", "convolution", "product") or name.startswith("growth/"):
            del ROWS[name]
        elif precision == "bfloat16":
            peers = tuple(peer for peer in row.peers if peer.startswith("torch"))
            ROWS[name] = replace(row, peers=peers, agree=max(row.agree, ROUGHLY))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="", metavar="PATTERN", help="a regular expression that their names contain")
    parser.add_argument("--contenders", default="", metavar="PATTERN", help="only tinyart and peers that match")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="three rounds")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("float32", "tf32", "bfloat16"), default="float32",
                        help="of products, in all libraries: tf32 on a GPU, bfloat16 on a CPU with AVX512-BF16")
    parser.add_argument("--resume", action="store_true", help="skip rows that were measured with this source")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no row after this time")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--readme", action="store_true", help="measure nothing, write the results into the README")
    parser.add_argument("--list", action="store_true", help="print the rows' names")
    options = parser.parse_args()
    if options.device == "cuda":
        measure_on_the_gpu(options)
    if options.precision != "float32":
        measure_in(options.precision, options)
    names = [name for name, row in ROWS.items()
             if re.search(options.rows, name) and (row.threads or 1) <= len(os.sched_getaffinity(0))]
    if options.readme:
        with replacing(README) as file:
            file.write(with_table(README.read_text(), json.loads(options.out.read_text())).encode())
        return
    if options.list:
        print(*names, sep="\n")
        return
    end, digest = time.monotonic() + 60 * options.minutes, source()
    results = read(options.out)
    for name in names:
        done, threads = results["rows"].get(name, {}), ROWS[name].threads or options.threads
        if options.resume and (done.get("source"), done.get("threads")) == (digest, threads):
            continue
        if time.monotonic() > end:
            print("time is over: the rest with --resume")
            break
        print(name, flush=True)
        peers = [peer for peer in ROWS[name].peers if re.search(options.contenders, peer)]
        row = measure(ROWS[name], [OURS, *peers], options.threads, 3 if options.quick else options.rounds, print)
        results = read(options.out)  # another process may have added rows meanwhile
        results["rows"][name] = row | {"source": digest, "at": time.strftime("%Y-%m-%d %H:%M:%S")}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(options.out) as file:
            file.write((json.dumps(results, indent=1) + "\n").encode())
    clock = {"wall": "seconds", "cpu": "cpu"}[options.clock]
    rows = {name: row for name, row in results["rows"].items() if name in names}
    print(table(rows, clock))
    chart(options.out.with_suffix(".png"), results["rows"])


if __name__ == "__main__":
    main()
