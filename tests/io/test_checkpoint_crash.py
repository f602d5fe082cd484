"""A save that fails, at each of its steps, on a full disk or by kill -9, costs nothing that was there."""

import errno
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import tinyart.io
from tinyart.checkpoint import latest_checkpoint, write_checkpoint
from tinyart.io import load, save

ROOT = Path(tinyart.io.__file__).parents[1]
CALLS = ("open", "write", "fsync", "close", "replace", "unlink")


def state(step):
    return {"w": np.full((3, 5), step, np.float32), "m": np.full(2, step, np.int64)}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


class Disk:
    """Stands before the calls of `os`: records each, and lets number `fail_at` fail."""

    def __init__(self, monkeypatch, fail_at=None, short_writes=False):
        self.calls, self.fail_at, self.short_writes = [], fail_at, short_writes
        for name in CALLS:
            monkeypatch.setattr(os, name, self.wrapped(name, getattr(os, name)))

    def wrapped(self, name, real):
        def call(*arguments, **settings):
            self.calls.append(name)
            if len(self.calls) - 1 == self.fail_at:
                if name == "close":
                    real(*arguments)
                raise OSError(errno.ENOSPC, "No space left on device")
            if name == "write" and self.short_writes:
                return real(arguments[0], arguments[1][:7])
            return real(*arguments, **settings)

        return call


def recorded_calls(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch)
        write_checkpoint(tmp_path, 3, state(3), {"step": 3})
    return disk.calls


def two_checkpoints(folder):
    write_checkpoint(folder, 1, state(1), {"step": 1})
    write_checkpoint(folder, 2, state(2), {"step": 2})


def test_the_order_of_the_calls_is_the_safe_one(tmp_path):
    """File synced before the rename, rename synced before the older checkpoint goes."""
    two_checkpoints(tmp_path)
    calls = recorded_calls(tmp_path)
    while ("write", "write") in pairwise(calls):
        calls.remove("write")
    assert calls == [
        "open",
        "write",
        "fsync",
        "close",
        "replace",
        "open",
        "fsync",
        "close",
        "unlink",
        "unlink",
    ]


def error_of_a_write(folder, position):
    with pytest.MonkeyPatch.context() as patch:
        Disk(patch, fail_at=position)
        try:
            write_checkpoint(folder, 3, state(3), {"step": 3})
        except OSError as error:
            return error
    return None


def test_a_failure_at_each_call_of_a_save_loses_nothing(tmp_path):
    two_checkpoints(tmp_path / "dry")
    calls = recorded_calls(tmp_path / "dry")
    assert calls.count("write") >= 3
    raised = 0
    for position, name in enumerate(calls):
        folder = tmp_path / str(position)
        two_checkpoints(folder)
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        error = error_of_a_write(folder, position)
        if error is not None:
            raised += 1
            assert error.errno == errno.ENOSPC
            if position < calls.index("unlink"):
                assert str(folder / "checkpoint-00000003.safetensors") in str(error)
        found = latest_checkpoint(folder)
        step = found.meta["step"]
        assert step == (3 if position > calls.index("replace") else 2), (position, name)
        assert (found.arrays["w"] == step).all()
        assert found.notes == []
        if position < calls.index("unlink"):  # the older ones are whole
            for kept, content in before.items():
                assert (folder / kept).read_bytes() == content
        assert not [left for left in names(folder) if left.endswith(".tmp")]
        write_checkpoint(folder, 4, state(4), {"step": 4})
        assert latest_checkpoint(folder).meta["step"] == 4
        assert len(names(folder)) == 2
    # All but the first unlink, which clears a temporary file that is no longer there.
    assert raised == len(calls) - 1


def test_short_writes_are_continued(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch, short_writes=True)
        save(tmp_path / "short.safetensors", state(1))
    save(tmp_path / "long.safetensors", state(1))
    assert (tmp_path / "short.safetensors").read_bytes() == (tmp_path / "long.safetensors").read_bytes()
    size = (tmp_path / "long.safetensors").stat().st_size
    assert disk.calls.count("write") >= size / 7


def test_a_plain_save_that_fails_leaves_the_old_file(tmp_path):
    save(tmp_path / "a.safetensors", state(1))
    with pytest.MonkeyPatch.context() as patch:
        Disk(patch, fail_at=2)
        with pytest.raises(OSError, match=r"save: No space left on device: '.*a\.safetensors'"):
            save(tmp_path / "a.safetensors", state(2))
    assert (load(tmp_path / "a.safetensors")["w"] == 1).all()
    assert names(tmp_path) == ["a.safetensors"]


def test_ctrl_c_in_a_save_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    save(tmp_path / "a.safetensors", state(1))

    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path / "a.safetensors", state(2))
    assert (load(tmp_path / "a.safetensors")["w"] == 1).all()
    assert names(tmp_path) == ["a.safetensors"]


# ---- a disk that is really full

FILL = """
import os, resource, sys
import numpy as np
from tinyart.checkpoint import latest_checkpoint, write_checkpoint
folder, limit = sys.argv[1], int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
for step, size in ((1, 1000), (2, 1000), (3, 1_000_000)):
    try:
        write_checkpoint(folder, step, {"w": np.full(size, step, np.float32)}, {"step": step})
    except OSError as error:
        print(type(error).__name__, step, error)
found = latest_checkpoint(folder)
assert found.meta == {"step": 2} and (found.arrays["w"] == 2).all() and found.notes == []
print(sorted(os.listdir(folder)))
"""
KEPT = "['checkpoint-00000001.safetensors', 'checkpoint-00000002.safetensors']"


def run(command):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_limit_on_the_file_s_size(tmp_path):
    done = run([sys.executable, "-c", FILL, str(tmp_path), "1000000"])
    assert done.returncode == 0, done.stderr
    message, listing = done.stdout.splitlines()
    assert message.startswith("OSError 3 [Errno 27] save: File too large: ")
    assert listing == KEPT


def test_a_full_disk(tmp_path):
    """A file system of 1 MiB, mounted in a name space of its own; skipped where that is not allowed."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    mount = f"mount -t tmpfs -o size=1m none {tmp_path}"
    if run(["unshare", "-rm", "sh", "-c", mount]).returncode:
        pytest.skip("may not mount a file system")
    program = tmp_path.parent / f"{tmp_path.name}.py"
    program.write_text(FILL)
    done = run(["unshare", "-rm", "sh", "-c", f"{mount} && {sys.executable} {program} {tmp_path} 0"])
    assert done.returncode == 0, done.stderr
    message, listing = done.stdout.splitlines()
    assert message.startswith("OSError 3 [Errno 28] save: No space left on device: ")
    assert listing == KEPT


# ---- kill -9

KILLS = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
from tinyart.checkpoint import latest_checkpoint, lock_run, write_checkpoint

SIZE = 300_000

def train(folder, first, acknowledge):
    with lock_run(folder):
        for step in range(first, first + 10_000):
            arrays = {name: np.full(SIZE, step, np.float32) for name in ("w", "m", "v")}
            write_checkpoint(folder, step, arrays, {"step": step})
            os.write(acknowledge, step.to_bytes(8, "little"))

folder, rng = Path(sys.argv[1]), np.random.default_rng(17)
step, in_the_midst = 0, 0
for _ in range(50):
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        train(folder, step + 1, send)
    os.close(send)
    confirmed = int.from_bytes(os.read(receive, 8), "little")
    time.sleep(rng.uniform(0, 0.03))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while after := os.read(receive, 8):
        confirmed = int.from_bytes(after, "little")
    os.close(receive)
    in_the_midst += any(folder.glob(".checkpoint-*.tmp"))
    found = latest_checkpoint(folder)
    step = found.meta["step"]
    assert found.notes == [], found.notes
    assert confirmed <= step <= confirmed + 1, (confirmed, step)
    for array in found.arrays.values():
        assert array.shape == (SIZE,) and (array == step).all()
    assert len(list(folder.glob("checkpoint-*"))) <= 3
print(in_the_midst)
"""


def test_fifty_kills_in_the_midst_of_saving(tmp_path):
    """What a save has confirmed is never lost, and what is found is whole."""
    done = run([sys.executable, "-c", KILLS, str(tmp_path)])
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 10  # this many left half a file behind
    assert len(list(tmp_path.glob(".checkpoint-*.tmp"))) <= 1
