"""Runs that stop and go on: at Ctrl-C, at kill -9, with a damaged checkpoint. The oracle is the uninterrupted run."""

import hashlib
import json
import os
import pty
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tinyart import train
from tinyart.checkpoint import lock_run
from tinyart.data import Batches, art
from tinyart.errors import ArgumentError, FormatError
from tinyart.models import VAETrainer
from tinyart.random import Generator, default_generator, manual_seed
from tinyart.train import Run, load_trainer, read_run, trim_metrics

ROOT = Path(__file__).parents[1]
SETTINGS = {"shape": [6, 6, 3], "hidden": [9], "latent": 3, "lr": 3e-3, "seed": 4}
ROWS, BATCH, EPOCHS = 23, 5, 4  # the last batch of an epoch is smaller
STEPS = -(-ROWS // BATCH) * EPOCHS

# RUN EPOCHS SAVE_SECONDS SIGNAL STEP: trains; at STEP, in the middle of the update, sends SIGNAL to itself
PROGRAM = """
import os, sys
sys.path.insert(0, sys.argv[6])
from tests.test_train import make_run
folder, epochs, save_seconds, signal, at = sys.argv[1], *map(float, sys.argv[2:6])
run = make_run(folder)
update = run.trainer.optimizer.step
def step(gradients):
    if run.step == at:
        os.kill(os.getpid(), int(signal))
    update(gradients)
run.trainer.optimizer.step = step
run.train(int(epochs), save_seconds=save_seconds)
"""


def make_run(folder: str | Path, **changed: object) -> Run:
    manual_seed(4)
    settings = SETTINGS | changed
    images = art(ROWS, size=6)[0]
    batches = Batches((images,), BATCH, seed=4, drop_last=False)
    return Run(folder, VAETrainer(**settings), batches, config={"model": settings, "batch": BATCH})


def in_a_process(folder: Path, epochs: int = EPOCHS, save_seconds: float = 0.0, sig: int = 0,
                 at: int = -1) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, str(folder), str(epochs), str(save_seconds), str(sig), str(at), str(ROOT)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)


def final(folder: Path) -> dict[str, str]:
    """Digests of all that a finished run leaves, the one checkpoint before the last and the lock left out."""
    paths = [folder / f"checkpoint-{STEPS:08d}.safetensors", folder / "metrics.jsonl", folder / "loss.png",
             *sorted((folder / "samples").iterdir())]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, device: str) -> dict[str, str]:
    if device != "cpu":
        pytest.skip("the other process trains on the CPU, whose rounding is another")
    folder = tmp_path_factory.mktemp("straight")
    assert in_a_process(folder, save_seconds=1e9).returncode == 0
    return final(folder)


# ---- exactness


def test_a_run_leaves_a_checkpoint_metrics_a_plot_and_sheets(tmp_path: Path, straight: dict[str, str]) -> None:
    make_run(tmp_path).train(EPOCHS)
    assert final(tmp_path) == straight
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    assert [line["epoch"] for line in lines] == [1 + step // 5 for step in range(STEPS)]
    assert all(line["-elbo"] == pytest.approx(line["-log p(x|z)"] + line["kl"], rel=1e-5) for line in lines)
    sheets = [np.asarray(Image.open(tmp_path / "samples" / f"epoch-{epoch:04d}.png")) for epoch in range(1, EPOCHS + 1)]
    assert {sheet.shape for sheet in sheets} == {(8 * 62 + 2, 8 * 62 + 2, 3)}  # 6 x 6 pixels, ten times as large
    assert len({sheet.tobytes() for sheet in sheets}) == EPOCHS


def test_epochs_added_to_a_finished_run_equal_one_long_run(tmp_path: Path, straight: dict[str, str]) -> None:
    for epochs in (1, 3, EPOCHS):
        make_run(tmp_path).train(epochs)
    assert final(tmp_path) == straight
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("checkpoint-*")}
    make_run(tmp_path).train(EPOCHS)  # nothing is left to do
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("checkpoint-*")} == before


@pytest.mark.parametrize("at", [0, 7, 9])
def test_ctrl_c_ends_the_step_and_saves_it_and_a_new_process_goes_on(tmp_path: Path, straight: dict[str, str],
                                                                     at: int) -> None:
    stopped = in_a_process(tmp_path, save_seconds=1e9, sig=signal.SIGINT, at=at + 1)
    assert "KeyboardInterrupt" in stopped.stderr
    assert read_run(tmp_path).path.name == f"checkpoint-{at + 1:08d}.safetensors"
    assert len((tmp_path / "metrics.jsonl").read_bytes().splitlines()) == at + 1
    finished = in_a_process(tmp_path)
    assert f"continuing from checkpoint-{at + 1:08d}.safetensors" in finished.stdout
    assert final(tmp_path) == straight


@pytest.fixture
def handler() -> Iterator[Callable[..., Any]]:
    """Python's own for Ctrl-C, also where the tests run in the background of a shell, which ignores it there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_a_second_ctrl_c_stops_at_once_and_the_last_checkpoint_stands(tmp_path: Path,
                                                                         handler: Callable[..., Any]) -> None:
    run = make_run(tmp_path)
    update = run.trainer.optimizer.step

    def twice(gradients: object) -> None:
        if run.step == 4:
            os.kill(os.getpid(), signal.SIGINT)
            while signal.getsignal(signal.SIGINT) is not handler:  # another thread may take it: two at once are one
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)  # the second ends it
        update(gradients)

    run.trainer.optimizer.step = twice  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run.train(EPOCHS, save_seconds=1e9)
    assert signal.getsignal(signal.SIGINT) is handler
    assert read_run(tmp_path).path.name == "checkpoint-00000000.safetensors"


@pytest.mark.parametrize("save_seconds", [0.0, 1e9])
def test_kill_9_in_the_middle_of_a_step_loses_only_the_steps_since(tmp_path: Path, straight: dict[str, str],
                                                                   save_seconds: float) -> None:
    killed = in_a_process(tmp_path, save_seconds=save_seconds, sig=signal.SIGKILL, at=9)
    assert killed.returncode == -signal.SIGKILL
    assert read_run(tmp_path).path.name == f"checkpoint-{8 if save_seconds == 0 else 5:08d}.safetensors"
    in_a_process(tmp_path)
    assert final(tmp_path) == straight


def test_kill_9_at_random_moments_loses_nothing_either(tmp_path: Path, straight: dict[str, str]) -> None:
    rng, kills = random.Random(0), 0
    for _ in range(6):
        command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(EPOCHS), "0", "0", "-1", str(ROOT)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert process.stdout is not None
        process.stdout.readline()  # it has begun
        time.sleep(rng.uniform(0, 0.15))
        process.kill()
        kills += process.wait() == -signal.SIGKILL
        process.stdout.close()
    assert kills
    in_a_process(tmp_path)
    assert final(tmp_path) == straight


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(tmp_path: Path, straight: dict[str, str],
                                                                  capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path).train(3)
    newest = tmp_path / "checkpoint-00000015.safetensors"
    damaged = bytearray(newest.read_bytes())
    damaged[-3] ^= 4
    newest.write_bytes(damaged)
    capsys.readouterr()
    make_run(tmp_path).train(EPOCHS)
    out = capsys.readouterr().out
    assert "checkpoint-00000015.safetensors was skipped: load: " in out
    assert "continuing from checkpoint-00000010.safetensors" in out
    assert final(tmp_path) == straight


def test_new_starts_afresh_and_clears_what_was_there(tmp_path: Path, straight: dict[str, str]) -> None:
    make_run(tmp_path, lr=0.1).train(EPOCHS + 2)
    make_run(tmp_path).train(EPOCHS, new=True)
    assert final(tmp_path) == straight
    assert len(list(tmp_path.glob("checkpoint-*"))) == 2


def test_sheets_of_later_epochs_and_leftovers_of_a_killed_writer_are_cleared(tmp_path: Path) -> None:
    make_run(tmp_path).train(2)
    for name in (".1234.part", "samples/.5678.part", "samples/epoch-0007.png"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "samples" / "mine.png").write_bytes(b"")
    make_run(tmp_path).train(2)
    assert not (tmp_path / ".1234.part").exists()
    names = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert names == ["epoch-0001.png", "epoch-0002.png", "mine.png"]


def test_the_global_generator_goes_on_too(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    default_generator().uniform((7,))
    run.train(1)
    expected = default_generator().uniform((3,)).numpy()
    make_run(tmp_path).train(1)
    assert np.array_equal(default_generator().uniform((3,)).numpy(), expected)


# ---- what is refused, and what is said


def test_another_configuration_is_refused_and_each_difference_named(tmp_path: Path) -> None:
    make_run(tmp_path).train(1)
    with pytest.raises(ArgumentError) as caught:
        make_run(tmp_path, latent=2, lr=1e-4).train(2)
    assert "model.latent is 2, it was 3 in the checkpoint." in str(caught.value)
    assert "model.lr is 0.0001, it was 0.003 in the checkpoint. Fix: repeat the settings," in str(caught.value)


def test_another_version_is_told_and_the_run_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path).train(1)
    monkeypatch.setattr(np, "__version__", "9.9")
    make_run(tmp_path).train(2)
    assert re.search(r'not bit for bit what it was: numpy is "9.9", it was "[\d.]+" in the', capsys.readouterr().out)


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    with lock_run(tmp_path), pytest.raises(ArgumentError, match=f"one in use by process {os.getpid()}"):
        make_run(tmp_path).train(1)


def test_a_loss_that_is_not_finite_stops_the_run_before_it_is_saved(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    step = run.trainer.step
    run.trainer.step = lambda images: {"loss": float("nan")} if run.step == 7 else step(images)  # type: ignore
    with pytest.raises(ArgumentError, match=r"train: loss: expected finite numbers, got .*nan.* at step 7\. Fix: a sm"):
        run.train(EPOCHS)
    assert read_run(tmp_path).path.name == "checkpoint-00000005.safetensors"
    assert len((tmp_path / "metrics.jsonl").read_bytes().splitlines()) == 6


def test_all_checkpoints_damaged_is_the_users_decision(tmp_path: Path) -> None:
    make_run(tmp_path).train(2)
    for path in tmp_path.glob("checkpoint-*"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(FormatError, match=r"latest_checkpoint.*expected a good checkpoint"):
        make_run(tmp_path).train(3)
    make_run(tmp_path).train(1, new=True)
    assert read_run(tmp_path).path.name == "checkpoint-00000005.safetensors"


def test_a_folder_without_a_run_and_a_foreign_checkpoint_are_refused(tmp_path: Path) -> None:
    from tinyart.checkpoint import write_checkpoint

    with pytest.raises(FormatError, match=r"read_run: .*: expected a run's folder.* Fix: make one: tinyart train"):
        read_run(tmp_path)
    write_checkpoint(tmp_path, 3, {"w": np.zeros(2)}, {"config": {}})
    with pytest.raises(FormatError, match="one without source, batches, versions, global generator"):
        read_run(tmp_path)
    with pytest.raises(FormatError, match="one without source, batches, versions, global generator"):
        make_run(tmp_path).train(1)


def test_a_time_limit_ends_after_an_epoch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path)
    run.train(1000, limit_seconds=0.0)
    assert run.step == 5
    assert "epoch 1/1000 " in (line := capsys.readouterr().out)
    assert line.endswith(" 0:00 left\n")


def test_lines_of_progress_where_there_is_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path).train(2)
    lines = capsys.readouterr().out.splitlines()
    pattern = r"epoch {}/2  -elbo \d+\.?\d*  -log p\(x\|z\) \d+\.?\d*  kl \d+\.?\d*  [\d,]+ images/s  0:0\d left"
    assert len(lines) == 2
    assert re.fullmatch(pattern.format(1), lines[0])
    assert re.fullmatch(pattern.format(2), lines[1])


def test_a_bar_on_a_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), "2", "0", "0", "-1", str(ROOT)]
    environment = {**os.environ, "COLUMNS": "150", "TERM": "xterm"}
    process = subprocess.Popen(command, stdout=theirs, cwd=ROOT, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 4096)
        except OSError:  # Linux: the other end is closed
            break
        if not chunk:
            break
        shown += chunk
    os.close(ours)
    assert process.wait() == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "━" in text
    assert re.search(r"epoch 2/2  -elbo [\d.]+ .* images/s  0:00 left", text)


# ---- parts


def test_trim_metrics_cuts_later_lines_torn_lines_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    lines = [json.dumps({"step": step, "epoch": 1, "loss": 0.5}).encode() + b"\n" for step in range(1, 6)]
    for content, step, kept in [
        (b"".join(lines), 3, 3), (b"".join(lines), 9, 5), (b"".join(lines), 0, 0), (b"", 3, 0),
        (b"".join(lines)[:-1], 9, 4), (b"".join(lines)[:-9], 9, 4), (lines[0] + b"{}\n" + lines[1], 9, 1),
        (lines[0] + b"\x00\xff\n", 9, 1), (lines[0] + b"7\n", 9, 1),
    ]:  # fmt: skip
        file.write_bytes(content)
        trim_metrics(tmp_path, step)
        assert file.read_bytes() == b"".join(lines[:kept])


NAMES = st.text("abc.01 ", min_size=1, max_size=4)
STATES = st.recursive(st.integers(0, 9), lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=4))


@given(st.dictionaries(NAMES, STATES, max_size=4))
def test_flat_and_nested_are_inverse(state: dict[str, object]) -> None:
    flat = train._flat(state)
    assert not any(isinstance(value, dict) for value in flat.values())
    assert train._nested(flat) == state


def test_load_trainer_makes_the_same_pictures(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.train(1)
    other = VAETrainer(**SETTINGS | {"seed": 99})
    load_trainer(read_run(tmp_path), other)
    z = other.noise(3, Generator(0))
    assert np.array_equal(other.images(z), run.trainer.images(z))
