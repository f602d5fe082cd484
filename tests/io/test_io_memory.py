"""Files that claim more than they hold cost no memory: measured by the peak of a process that reads them."""

import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import tinyart.io

ROOT = Path(tinyart.io.__file__).parents[1]

READ_ALL = """
import resource, sys
from tinyart.errors import FormatError
from tinyart.io import load_weights

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

good, *hostile = sys.argv[1:]
load_weights(good)
before = peak()
for path in hostile:
    try:
        load_weights(path, max_bytes=(100 << 20) if "bomb" in path else (4 << 30))
    except FormatError as error:
        assert path in str(error)
    else:
        raise SystemExit(f"{path} was loaded")
print(peak() - before)
"""


def safetensors_file(path, header, data=b"", length=None):
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + data)


def npy_header(count):
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({count},)}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def entry(shape, end):
    return f'{{"w":{{"dtype":"F32","shape":{shape},"data_offsets":[0,{end}]}}}}'.encode()


def hostile_files(folder):
    safetensors_file(folder / "length.safetensors", b"{}", length=2**63)
    safetensors_file(folder / "shape.safetensors", entry([2**40], 2**42))
    safetensors_file(folder / "overflow.safetensors", entry([2**62, 2**62], 0))
    safetensors_file(folder / "dimensions.safetensors", entry([1] * 100_000, 4), bytes(4))
    safetensors_file(folder / "nested.safetensors", b"[" * 1_000_000)
    safetensors_file(folder / "header.safetensors", b"", length=900 << 20)
    os.truncate(folder / "header.safetensors", 1 << 30)  # sparse: a header of 900 MiB of zeros
    count = 3 << 28  # 3 GiB of float32
    with zipfile.ZipFile(folder / "shape.npz", "w") as archive:
        archive.writestr("w.npy", npy_header(count))
    with zipfile.ZipFile(folder / "lie.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w.npy", npy_header(count) + bytes(64))
    content = (folder / "lie.npz").read_bytes()
    size, claim = (struct.pack("<I", len(npy_header(count)) + extra) for extra in (64, 4 * count))
    assert content.count(size) == 2  # in the member's own header and in the directory
    (folder / "lie.npz").write_bytes(content.replace(size, claim))
    with zipfile.ZipFile(folder / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a.npy", "b.npy"):  # 128 MiB of zeros in 130 kB, each half under the limit of 100
            archive.writestr(name, npy_header(16 << 20) + bytes(64 << 20))
    return sorted(folder.iterdir())


def test_hostile_files_cost_no_memory(tmp_path):
    hostile = hostile_files(tmp_path)
    assert len(hostile) == 9
    safetensors_file(tmp_path / "good.safetensors", entry([1], 4), bytes(4))
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(tmp_path / "good.safetensors"), *map(str, hostile)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= 24  # MiB
