"""The commands of music and text, end to end at toy size, and every sentence that they refuse with."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.test_cli import refused
from tinyart import cli, cli_music
from tinyart.cli import main
from tinyart.data import Score, read_midi, roll_score, write_midi
from tinyart.models import CharWriter, Composer
from tinyart.models.rnn import CELLS
from tinyart.train import read_run

pytest.importorskip("mido")
TOY = ["--hidden", "6", "--layers", "1"]
TEXT = "the rain in spain stays mainly in the plain\n" * 20


@pytest.fixture(scope="module")
def midi_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six scales of 20 quarter notes and one broken file."""
    folder = tmp_path_factory.mktemp("midi")
    for i in range(6):
        notes = np.array([[4 * t, 4 * t + 4, 55 + i + 2 * (t % 7)] for t in range(20)])
        write_midi(folder / f"{i}.mid", Score(notes, 80, tempo=100 + i))
    (folder / "broken.mid").write_bytes(b"MThd\0\0")
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, midi_files: Path) -> Path:
    """A trained run of each kind, which tests only read."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "rain.txt").write_text(TEXT)
    files, text = str(midi_files), str(folder / "rain.txt")
    for model, data in (("music", files), ("chords", files), ("melody", "tunes"), ("char", text)):
        assert main(["train", model, "--data", data, "--out", str(folder / model), "--epochs", "1", "--batch", "4",
                     *TOY, *(["--steps", "20"] if model == "chords" else [])]) == 0
    return folder


# ---- training


def test_train_on_a_folder_of_midi_files(midi_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "r"
    command = ["train", "music", "--data", str(midi_files), "--out", str(run), "--steps-per-beat", "1", *TOY]
    assert main([*command, "--epochs", "2", "--batch", "4"]) == 0
    out = capsys.readouterr().out
    assert "6 MIDI files read, 1 files skipped\n  read_midi: " in out
    assert re.search(r"epoch 2/2  nats [\d.]+  [\d,]+ pieces/s", out)
    assert f"2 epochs are done. Samples: {run / 'samples'}; losses: {run / 'loss.png'}" in out
    assert sorted(path.name for path in (run / "samples").iterdir()) == [
        "epoch-0001.mid", "epoch-0001.png", "epoch-0002.mid", "epoch-0002.png"]
    assert read_midi(run / "samples" / "epoch-0002.mid", steps_per_beat=1).steps == 16 * 4
    settings = read_run(run).meta["config"]["model"]
    assert (settings["name"], settings["tempo"], settings["steps_per_beat"]) == ("music", 102.5, 1)
    assert main(["info", str(run)]) == 0
    assert re.search(r"data +\S+, 6 pieces, batch 4", capsys.readouterr().out)
    assert main(["evaluate", str(run)]) == 0
    assert re.search(r"6 pieces, 120 steps of .*\n[\d.]+ nats a step", capsys.readouterr().out)


def test_music_on_tunes_is_a_melody_of_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(tmp_path / "r")
    assert main(["train", "music", "--data", "tunes", "--out", run, "--epochs", "1", "--batch", "40", *TOY]) == 0
    assert re.search(r"epoch 1/1  nats [\d.]+  [\d,]+ events/s", capsys.readouterr().out)
    assert read_run(run).meta["config"]["model"]["name"] == "melody"
    assert main(["evaluate", run, "--data", "tunes"]) == 0
    assert re.search(r"6,002 symbols of tunes\n[\d.]+ nats a symbol", capsys.readouterr().out)


def test_chords_of_midi_files(runs: Path, midi_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(runs / "chords")]) == 0
    assert re.search(r"data +\S+, 966 notes, batch 4", capsys.readouterr().out)  # 6 of 80 steps and 80 notes, 6 ends
    assert main(["evaluate", str(runs / "chords")]) == 0
    assert re.search(r"966 symbols of .*\n[\d.]+ nats a step", capsys.readouterr().out)
    out = tmp_path / "x.mid"
    assert main(["compose", str(runs / "chords"), "--out", str(out), "--bars", "2", "--prime",
                 str(midi_files / "1.mid")]) == 0
    assert np.array_equal(read_midi(out).roll()[:80], read_midi(midi_files / "1.mid").roll())


def test_melodies_of_an_abc_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.abc").write_text("X:1\nM:4/4\nL:1/4\nQ:1/4=90\nK:D\n" + "DEFG|" * 30 + "\n\nX:2\nK:H\n")
    command = ["train", "melody", "--data", str(tmp_path / "x.abc"), "--out", str(tmp_path / "r"), "--epochs", "1"]
    assert main([*command, "--batch", "4", "--steps", "8", *TOY]) == 0
    assert "1 tunes read, 1 files skipped" in capsys.readouterr().out
    settings = read_run(tmp_path / "r").meta["config"]["model"]
    assert settings["events"] == [".", "1/4", "60", "62", "64", "65", "M:4/4", "|"]
    assert settings["tempo"] == 90


def test_train_on_text(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample = (runs / "char" / "samples" / "epoch-0001.txt").read_text()
    assert len(sample) == 500
    assert set(sample) <= set(TEXT)
    assert main(["info", str(runs / "char")]) == 0
    assert re.search(r"data +\S+rain.txt, 880 characters, batch 4", capsys.readouterr().out)
    assert main(["evaluate", str(runs / "char")]) == 0
    assert re.search(r"880 symbols of .*\n[\d.]+ nats a symbol", capsys.readouterr().out)


def test_the_chorales_are_an_octave_lower_than_stored(data_dir: Callable[[str], Path]) -> None:
    """Where people sing: the bass not below C2, the soprano not above C6; the likelihood does not change by that."""
    data_dir("jsb-chorales")
    pieces, steps_per_beat, _ = cli_music.rolls("jsb")
    keys = np.flatnonzero(np.concatenate(pieces).any(0)) + 21
    assert (keys[0], keys[-1], steps_per_beat) == (43 - 12, 96 - 12, 1)


def test_train_on_the_chorales(tmp_path: Path, data_dir: Callable[[str], Path],
                               capsys: pytest.CaptureFixture[str]) -> None:
    data_dir("jsb-chorales")
    command = ["train", "music", "--data", "jsb", "--out", str(tmp_path / "r"), "--epochs", "1", "--batch", "120"]
    assert main([*command, *TOY]) == 0
    assert main(["evaluate", str(tmp_path / "r")]) == 0
    out = capsys.readouterr().out
    assert re.search(r"77 pieces, 4,725 steps of jsb\n\d\d\.\d+ nats a step\n11.060 by note frequencies alone", out)


def checkpoints(run: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in [*sorted(run.glob("checkpoint-*"))[-1:], run / "metrics.jsonl", *run.glob("samples/*")]}


@pytest.mark.parametrize("model", ["music", "chords", "char"])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(model: str, runs: Path, midi_files: Path, tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"music": str(midi_files), "chords": str(midi_files), "char": str(runs / "rain.txt")}[model]

    def command(run: str) -> list[str]:
        return ["train", model, "--data", data, "--out", str(tmp_path / run), "--epochs", "3", "--dropout", "0.3",
                "--hidden", "5", "--layers", "2", "--batch", "4", *(["--steps", "50"] if model == "chords" else [])]

    assert main(command("straight")) == 0
    from tinyart.models import TRAINERS
    step, count = TRAINERS[model].step, 0

    def interrupting(*arguments: object) -> object:
        nonlocal count
        count += 1
        if count in (2, 5):
            os.kill(os.getpid(), signal.SIGINT)
        return step(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(TRAINERS[model], "step", interrupting)
    codes = [main(command("stopped")) for _ in range(3)]
    assert codes == [130, 130, 0]
    assert checkpoints(tmp_path / "stopped") == checkpoints(tmp_path / "straight")


# ---- compose


def test_compose_writes_the_same_music_as_midi_sound_and_picture(runs: Path, tmp_path: Path,
                                                                 capsys: pytest.CaptureFixture[str]) -> None:
    outs = [str(tmp_path / "new" / name) for name in ("a.mid", "a.wav", "a.png")]
    assert main(["compose", str(runs / "music"), "--bars", "3", "--temperature", "0.9", "--out", *outs]) == 0
    assert capsys.readouterr().out.splitlines() == outs
    score = read_midi(outs[0])
    assert score.steps == 3 * 16
    with wave.open(outs[1]) as wav:
        assert wav.getnframes() / wav.getframerate() == pytest.approx(score.seconds + 0.15, abs=0.01)
    assert Image.open(outs[2]).width == 48 * 6


def test_the_seed_decides(runs: Path, tmp_path: Path) -> None:
    for model in ("music", "melody"):
        made = []
        for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
            out = tmp_path / f"{name}.mid"
            assert main(["compose", str(runs / model), "--out", str(out), "--bars", "4", "--seed", seed]) == 0
            made.append(out.read_bytes())
        assert made[0] == made[1] != made[2]


def test_compose_goes_on_from_a_prime(runs: Path, tmp_path: Path) -> None:
    prime, out = tmp_path / "p.mid", tmp_path / "out.mid"
    roll = np.zeros((16, 88), np.uint8)
    roll[2:9, [30, 40]] = 1
    write_midi(prime, roll_score(roll))
    assert main(["compose", str(runs / "music"), "--out", str(out), "--bars", "1", "--prime", str(prime)]) == 0
    assert np.array_equal(read_midi(out).roll()[:16], roll)
    assert read_midi(out).steps == 32

    (tmp_path / "p.abc").write_text("X:1\nM:4/4\nL:1/4\nQ:1/4=77\nK:C\nCDEF|G4|")
    assert main(["compose", str(runs / "melody"), "--out", str(out), "--bars", "2", "--prime",
                 str(tmp_path / "p.abc")]) == 0
    score = read_midi(out, steps_per_beat=12)
    assert score.notes[:5].tolist() == [[0, 12, 60], [12, 24, 62], [24, 36, 64], [36, 48, 65], [48, 96, 67]]
    assert score.tempo == pytest.approx(77, rel=1e-5)


# ---- write


def test_write_goes_on_from_a_prime(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["write", str(runs / "char"), "--prime", "the rain", "--length", "30"]
    capsys.readouterr()
    texts = []
    for more in (["--seed", "1"], ["--seed", "1"], ["--seed", "2"], ["--temperature", "0"], ["--top-k", "1"],
                 ["--top-p", "0.000001"], ["--temperature", "0.5", "--top-k", "5", "--top-p", "0.9"]):
        assert main([*command, *more]) == 0
        texts.append(capsys.readouterr().out)
        assert texts[-1].startswith("the rain")
        assert len(texts[-1]) == 8 + 30 + 1
    assert texts[0] == texts[1] != texts[2]
    assert texts[3] == texts[4] == texts[5]  # all three take the likeliest
    assert main(["write", str(runs / "char"), "--length", "5"]) == 0
    assert len(capsys.readouterr().out) == 6


# ---- what is refused

WRONG = [
    (["train", "music", "--data", "nowhere", "--out", "r"],
     "tinyart: --data: expected jsb, tunes, a folder of MIDI files or an .abc file, got 'nowhere'. Fix: see that it"),
    (["train", "melody", "--data", "nowhere", "--out", "r"], "--data: expected tunes or an .abc file, got 'nowhere'"),
    (["train", "char", "--data", "nowhere", "--out", "r"],
     "read_text: 'nowhere': expected a text file in UTF-8, got no regular file of that name"),
    (["train", "music", "--data", ".", "--out", "r"], "midi_folder: '.': expected MIDI files, got 0 files"),
    (["train", "music", "--data", "jsb", "--out", "r", "--steps-per-beat", "4"],
     "--steps-per-beat: expected 1, as the chorales are stored, got 4"),
    (["train", "music", "--data", "tunes", "--out", "r", "--cell", "cnn"], "argument --cell: invalid choice: 'cnn'"),
    (["train", "music", "--data", "tunes", "--out", "r", "--hidden", "4,5"], "--hidden: expected one width"),
    (["train", "music", "--data", "tunes", "--out", "r", "--latent", "4"],
     "tinyart: melody: latent: expected settings among events, hidden, layers, cell, dropout, batch, lr, tempo, seed"),
    (["train", "music", "--data", "tunes", "--out", "r", "--size", "4"], "--size: expected none: melody learns from"),
    (["train", "music", "--data", "jsb", "--out", "r", "--steps", "4"], "--steps: expected none: music learns from"),
    (["train", "vae", "--data", "art", "--out", "r", "--steps", "4"],
     "--steps, --steps-per-beat: expected none: they are for music and text, got 4"),
    (["train", "vae", "--data", "art", "--out", "r", "--cell", "gru"], "tinyart: vae: cell: expected settings among"),
    (["train", "melody", "--data", "tunes", "--out", "r", "--steps-per-beat", "4"],
     "--steps-per-beat: expected none: it is for piano rolls, got 4"),
    (["train", "melody", "--data", "tunes", "--out", "r", "--batch", "9999"],
     "stretches: codes: expected more than batch·steps = 319968 characters, got 6002. Fix: a longer text, a smaller b"),
    (["compose", "r", "--out", "x.mp3"], "--out: expected a file name that ends in .mid or .midi or .wav or .png, got"),
    (["compose", "r", "--out", "x.mid"], "read_run: r: expected a run's folder, with a checkpoint"),
    (["compose", "r", "--out", "x.mid", "--temperature", "-1"],
     "argument --temperature: expected a number above 0 and at most 100, got '-1'"),
    (["compose", "r", "--out", "x.mid", "--bars", "0"], "argument --bars: expected a whole number from 1"),
    (["write", "r"], "read_run: r: expected a run's folder"),
    (["write", "r", "--top-p", "1.5"], "argument --top-p: expected a number above 0 and at most 1, got '1.5'"),
    (["write", "r", "--top-k", "0"], "argument --top-k: expected a whole number from 1"),
]  # fmt: skip


@pytest.mark.parametrize(("argv", "sentence"), WRONG)
def test_wrong_arguments_get_one_sentence(argv: list[str], sentence: str, tmp_path: Path,
                                          monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
                                          data_dir: Callable[[str], Path]) -> None:  # fmt: skip
    if "jsb" in argv:
        data_dir("jsb-chorales")  # without which that is the sentence
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "ART_PICTURES", 2)
    assert sentence in refused(argv, capsys)


def test_wrong_runs_and_primes_get_one_sentence(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    music, melody, char = (str(runs / name) for name in ("music", "melody", "char"))
    out = ["--out", str(tmp_path / "x.mid")]
    assert "expected a model with `compose`, got a char" in refused(["compose", char, *out], capsys)
    assert "expected a model of text, got another. Fix: tinyart train char" in refused(["write", melody], capsys)
    assert "expected a model with `images`, got a music" in refused(["sample", music, "--out", "s.png"], capsys)
    assert "expected an .abc file for this model, got 'x.mid'" in refused(
        ["compose", melody, *out, "--prime", "x.mid"], capsys)
    assert "expected a .mid file for this model, got 'x.abc'" in refused(
        ["compose", music, *out, "--prime", "x.abc"], capsys)
    (tmp_path / "broken.mid").write_bytes(b"MThd")
    assert "expected a MIDI file, got EOFError" in refused(
        ["compose", music, *out, "--prime", str(tmp_path / "broken.mid")], capsys)
    (tmp_path / "strange.abc").write_text("X:1\nM:7/8\nK:C\nC31/64|")
    assert "compose: prime: expected events that the model has seen, got 31/512, M:7/8" in refused(
        ["compose", melody, *out, "--prime", str(tmp_path / "strange.abc")], capsys)
    assert "expected the 14 characters that are known, got '?Q'" in refused(
        ["write", char, "--prime", "the Q?"], capsys)
    assert not (tmp_path / "x.mid").exists()


def test_without_mido_music_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "mido", None)
    command = ["train", "music", "--data", "tunes", "--out", str(tmp_path / "r"), "--epochs", "1"]
    assert "got none installed. Fix: pip install 'tinyart[music]'" in refused(command, capsys)
    assert not (tmp_path / "r").exists()


def test_the_choices_are_those_of_the_models() -> None:
    assert tuple(CELLS) == cli_music.CELLS
    assert cli.MODELS[-4:] == cli_music.MODELS
    assert set(cli_music.EPOCHS) == set(cli_music.BATCH) == set(cli_music.MODELS)


def test_help_imports_nothing_heavy() -> None:
    code = ("import sys; from tinyart.cli import main\ntry: main(['compose', '--help'])\nexcept SystemExit: pass\n"
            "print(sorted({'PIL', 'mido', 'rich', 'numba', 'tinyart.models', 'tinyart.train'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_composers_are_what_the_helpers_of_training_expect() -> None:
    from tinyart.train import Painter, Writer
    assert issubclass(Composer, Writer)
    assert issubclass(CharWriter, Writer)
    assert not issubclass(Composer, Painter)
