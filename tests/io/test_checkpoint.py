"""tinyart.checkpoint: which files are kept, which one is found, what is said, who may write."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinyart.io
from tinyart.checkpoint import compare_config, latest_checkpoint, lock_run, write_checkpoint
from tinyart.errors import ArgumentError, FormatError

ROOT = Path(tinyart.io.__file__).parents[1]


def write(folder, step):
    return write_checkpoint(folder, step, {"w": np.full(4, step, np.float32)}, {"step": step})


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def flip(path, place=-1):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_a_checkpoint_comes_back(tmp_path):
    arrays = {"g.weight": np.arange(6.0).reshape(2, 3), "rng": np.array([2**63 + 1], np.uint64)}
    meta = {
        "config": {"lr": 2e-4, "sizes": [1, 2]},
        "cursor": 17,
        "versions": {"numpy": "2"},
        "loss": float("inf"),
    }
    path = write_checkpoint(tmp_path / "new" / "run", 1234, arrays, meta)
    assert path == tmp_path / "new" / "run" / "checkpoint-00001234.safetensors"
    found = latest_checkpoint(tmp_path / "new" / "run")
    assert (found.path, found.meta, found.notes) == (path, meta, [])
    assert found.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found.arrays[name].dtype == array.dtype
        assert (found.arrays[name] == array).all()


def test_none_where_there_is_none(tmp_path):
    assert latest_checkpoint(tmp_path / "nowhere") is None
    (tmp_path / "checkpoint-1.safetensors").touch()  # not a name that write_checkpoint gives
    (tmp_path / "checkpoint-00000001.safetensors.bak").touch()
    assert latest_checkpoint(tmp_path) is None


def test_the_newest_two_are_kept_by_number_not_by_text(tmp_path):
    (tmp_path / "metrics.jsonl").touch()
    for step in (0, 5, 99_999_999, 100_000_000, 100_000_001):
        write(tmp_path, step)
        assert latest_checkpoint(tmp_path).meta == {"step": step}
    assert names(tmp_path) == [
        "checkpoint-100000000.safetensors", "checkpoint-100000001.safetensors", "metrics.jsonl"
    ]  # fmt: skip


def test_writing_the_same_step_again_replaces_it_and_keeps_the_one_before(tmp_path):
    for step in (1, 2, 2):
        write(tmp_path, step)
    assert names(tmp_path) == ["checkpoint-00000001.safetensors", "checkpoint-00000002.safetensors"]


def test_a_run_that_went_back_leaves_no_later_step_to_shadow_it(tmp_path):
    for step in (10, 20):
        write(tmp_path, step)
    flip(tmp_path / "checkpoint-00000020.safetensors")
    assert latest_checkpoint(tmp_path).meta == {"step": 10}
    write(tmp_path, 15)
    assert names(tmp_path) == ["checkpoint-00000010.safetensors", "checkpoint-00000015.safetensors"]
    assert latest_checkpoint(tmp_path).meta == {"step": 15}


def test_a_damaged_one_is_named_and_skipped(tmp_path):
    for step in (10, 20):
        write(tmp_path, step)
    flip(tmp_path / "checkpoint-00000020.safetensors")
    found = latest_checkpoint(tmp_path)
    assert found.path.name == "checkpoint-00000010.safetensors"
    assert (found.arrays["w"] == 10).all()
    assert len(found.notes) == 1
    assert "checkpoint-00000020.safetensors was skipped" in found.notes[0]
    assert "SHA-256" in found.notes[0]


def test_an_unreadable_one_is_named_and_skipped(tmp_path):
    write(tmp_path, 10)
    (tmp_path / "checkpoint-00000030.safetensors").symlink_to(tmp_path / "gone")
    found = latest_checkpoint(tmp_path)
    assert found.meta == {"step": 10}
    assert "checkpoint-00000030.safetensors was skipped: [Errno 2]" in found.notes[0]


def test_if_all_are_damaged_nobody_starts_afresh_unasked(tmp_path):
    for step in (10, 20):
        flip(write(tmp_path, step))
    with pytest.raises(FormatError) as caught:
        latest_checkpoint(tmp_path)
    for text in (str(tmp_path), "checkpoint-00000010", "checkpoint-00000020", "start a new run"):
        assert text in str(caught.value)


def test_one_without_a_digest_is_not_trusted(tmp_path):
    from safetensors.numpy import save_file

    write(tmp_path, 10)
    save_file({"w": np.ones(4)}, tmp_path / "checkpoint-00000020.safetensors")
    assert latest_checkpoint(tmp_path).meta == {"step": 10}


def test_leftovers_of_a_kill_are_cleaned_and_nothing_else(tmp_path):
    (tmp_path / ".checkpoint-00000007.safetensors.0123456789abcdef.tmp").write_bytes(b"half")
    (tmp_path / ".other.tmp").touch()
    write(tmp_path, 8)
    assert names(tmp_path) == [".other.tmp", "checkpoint-00000008.safetensors"]


def test_a_negative_step_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="0 or more, got -1"):
        write(tmp_path, -1)


# ---- configurations


def test_equal_configurations_have_no_differences(tmp_path):
    now = {
        "lr": 2e-4,
        "sizes": (64, 32),
        "model": {"name": "vae", "nan": float("nan")},
        "empty": {},
        "off": None,
    }
    write_checkpoint(tmp_path, 1, {}, {"config": now})
    assert compare_config(latest_checkpoint(tmp_path).meta["config"], now) == []


def test_every_difference_is_a_sentence():
    saved = {"batch": 32, "model": {"name": "vae", "latent": 2}, "old": None, "sizes": [1, 2], "flag": 1}
    now = {"batch": 64, "model": {"name": "vae", "latent": 8}, "seed": 1, "sizes": [2, 1], "flag": True}
    assert compare_config(saved, now) == [
        "batch is 64, it was 32 in the checkpoint.",
        "flag is true, it was 1 in the checkpoint.",
        "model.latent is 8, it was 2 in the checkpoint.",
        "old was null in the checkpoint and is not set now.",
        "seed is 1, the checkpoint does not have it.",
        "sizes is [2, 1], it was [1, 2] in the checkpoint.",
    ]


# ---- the lock

HOLD = """
import sys, time
from tinyart.checkpoint import lock_run
with lock_run(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(ArgumentError) as caught, lock_run(tmp_path):
                pytest.fail("two processes hold the folder")
            assert f"in use by process {holder.pid}." in str(caught.value)
            assert str(tmp_path) in str(caught.value)
            assert "\n" not in str(caught.value)
        finally:
            holder.kill()
    with lock_run(tmp_path):  # what a kill -9 leaves is no obstacle
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"


def test_the_same_process_cannot_hold_a_folder_twice_but_again(tmp_path):
    with lock_run(tmp_path / "run"):
        with pytest.raises(ArgumentError, match=f"process {os.getpid()}"), lock_run(tmp_path / "run"):
            pytest.fail("held twice")
        with lock_run(tmp_path / "other"):
            pass
    with lock_run(tmp_path / "run"):
        pass


def test_an_error_inside_frees_the_lock(tmp_path):
    with pytest.raises(KeyboardInterrupt), lock_run(tmp_path):
        raise KeyboardInterrupt
    with lock_run(tmp_path):
        pass


def test_rubbish_in_the_lock_file_is_no_obstacle(tmp_path):
    (tmp_path / ".lock").write_bytes(b"\xff" * 100)
    with lock_run(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"
        with pytest.raises(ArgumentError, match="in use by process"), lock_run(tmp_path):
            pytest.fail("held twice")


def enter(folder, start, inside, winners):
    start.wait()
    try:
        with lock_run(folder):
            with winners.get_lock():
                winners.value += 1
            inside.wait()  # holds on until all have tried
    except ArgumentError:
        inside.wait()


def test_of_eight_processes_at_once_one_wins(tmp_path):
    context = multiprocessing.get_context("fork")
    start, inside, winners = context.Barrier(8), context.Barrier(8), context.Value("i", 0)
    arguments = (tmp_path, start, inside, winners)
    processes = [context.Process(target=enter, args=arguments, daemon=True) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert winners.value == 1
