"""The command, end to end at toy size, and every sentence that it refuses with."""

import contextlib
import hashlib
import http.server
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinyart import cli
from tinyart.cli import main
from tinyart.data import art, save_image
from tinyart.data.fetch import FILES, Remote
from tinyart.models import TRAINERS
from tinyart.models.autoencoder import LOSSES
from tinyart.models.classifier import NETWORKS
from tinyart.models.dense import ACTIVATIONS
from tinyart.models.gan import GENERATOR_LOSSES
from tinyart.models.vae import DECODERS

SMALL = ["--epochs", "2", "--batch", "16", "--hidden", "12", "--latent", "3"]


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    path = tmp_path / "art.npz"
    np.savez(path, images=art(40, size=8)[0])
    return path


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run, which tests only read."""
    folder = tmp_path_factory.mktemp("cli")
    np.savez(folder / "art.npz", images=art(40, size=8)[0])
    assert main(["train", "vae", "--data", str(folder / "art.npz"), "--out", str(folder / "run"), *SMALL]) == 0
    return folder / "run"


def refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence on stderr of a command that ends with code 2."""
    capsys.readouterr()
    try:
        code: object = main(argv)
    except SystemExit as exit:
        code = exit.code
    assert code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "Traceback" not in error
    return error


# ---- end to end


def test_train_on_the_drawn_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                     capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cli, "ART_PICTURES", 30)
    assert main(["train", "vae", "--data", "art", "--size", "8", "--out", str(tmp_path / "r"), *SMALL]) == 0
    out = capsys.readouterr().out
    assert "drawing 30 pictures" in out
    assert f"2 epochs are done. Samples: {tmp_path / 'r' / 'samples'}" in out
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == [
        ".lock", "checkpoint-00000002.safetensors", "checkpoint-00000004.safetensors", "loss.png", "metrics.jsonl",
        "samples"]  # fmt: skip


def test_families_of_drawn_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                   capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cli, "ART_PICTURES", 30)
    out = tmp_path / "r"
    assert main(["train", "vae", "--data", "art:roses,flow", "--size", "8", "--out", str(out), *SMALL]) == 0
    assert main(["reconstruct", str(out), "--out", str(tmp_path / "r.png"), "-n", "4"]) == 0
    above = np.asarray(Image.open(tmp_path / "r.png"))[2:66:8, 2:]
    for i, image in enumerate(art(15, size=8)[0][[2, 4, 12, 14]]):  # the families' numbers are 2 and 4
        assert np.array_equal(above[:, 66 * i : 66 * i + 64 : 8], image)
    assert main(["info", str(out)]) == 0
    assert re.search("data +art:roses,flow, 6 pictures", capsys.readouterr().out)


def test_train_continues_and_new_does_not(tmp_path: Path, npz: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "vae", "--data", str(npz), "--out", str(tmp_path / "r"), *SMALL]
    assert main(command) == main([*command, "--epochs", "3"]) == 0
    assert "continuing from checkpoint-00000006.safetensors" in capsys.readouterr().out
    assert len((tmp_path / "r" / "metrics.jsonl").read_text().splitlines()) == 9
    assert main([*command, "--epochs", "1", "--new"]) == 0
    assert "continuing" not in capsys.readouterr().out
    assert len((tmp_path / "r" / "metrics.jsonl").read_text().splitlines()) == 3


def test_train_on_a_folder_names_and_skips_what_it_cannot_read(tmp_path: Path,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pictures").mkdir()
    for i, image in enumerate(art(7, size=20)[0]):
        save_image(tmp_path / "pictures" / f"{i}.png", image if i else image[:9, :, :1])
    (tmp_path / "pictures" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    pictures, out = str(tmp_path / "pictures"), str(tmp_path / "r")
    assert main(["train", "vae", "--data", pictures, "--size", "8", "--out", out, *SMALL]) == 0
    out = capsys.readouterr().out
    assert "7 images read, 1 files skipped" in out
    assert "broken.png" in out


def test_train_on_grey_pictures_of_an_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "grey.npz", images=art(20, size=8)[0][..., 0])
    assert main(["train", "vae", "--data", str(tmp_path / "grey.npz"), "--out", str(tmp_path / "r"), *SMALL]) == 0
    assert Image.open(tmp_path / "r" / "samples" / "epoch-0001.png").mode == "L"


def test_sample_makes_a_sheet_that_the_seed_decides(run_folder: Path, tmp_path: Path) -> None:
    sheets = []
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        out = tmp_path / "new" / f"{name}.png"
        assert main(["sample", str(run_folder), "--out", str(out), "-n", "6", "--seed", seed]) == 0
        sheets.append(np.asarray(Image.open(out)))
    assert sheets[0].shape == (2 * 66 + 2, 3 * 66 + 2, 3)  # 2 x 3 pictures of 8 x 8, each 8 times as large
    assert np.array_equal(sheets[0], sheets[1])
    assert not np.array_equal(sheets[0], sheets[2])


def test_reconstruct_puts_each_picture_above_what_the_model_keeps(run_folder: Path, tmp_path: Path) -> None:
    assert main(["reconstruct", str(run_folder), "--out", str(tmp_path / "r.png"), "-n", "8"]) == 0
    sheet = np.asarray(Image.open(tmp_path / "r.png"))
    assert sheet.shape == (2 * 66 + 2, 8 * 66 + 2, 3)
    first = sheet[2:66:8, 2:66:8]
    assert np.array_equal(first, art(1, size=8)[0][0])


def test_reconstruct_of_fewer_pictures_than_a_row(run_folder: Path, tmp_path: Path) -> None:
    assert main(["reconstruct", str(run_folder), "--out", str(tmp_path / "r.png"), "-n", "3"]) == 0
    assert np.asarray(Image.open(tmp_path / "r.png")).shape == (2 * 66 + 2, 3 * 66 + 2, 3)


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_interpolate_makes_an_animation(run_folder: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"x.{ending}"
    command = ["interpolate", str(run_folder), "--out", str(out), "-n", "4", "--stops", "2", "--frames", "3"]
    assert main(command) == 0
    with Image.open(out) as animation:
        assert animation.n_frames == 6  # type: ignore[attr-defined]
        assert animation.size == (2 * 66 + 2, 2 * 66 + 2)


def test_info_says_what_the_run_is(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(run_folder)]) == 0
    lines = dict(re.split(r"\s{2,}|(?<=^-log p\(x\|z\)) ", line, maxsplit=1)
                 for line in capsys.readouterr().out.splitlines())
    parameters = 192 * 12 + 12 + 2 * (12 * 3 + 3) + 3 * 12 + 12 + 12 * 192 + 192
    assert lines["model"] == f"vae, {parameters:,} parameters"
    assert "latent 3" in lines["settings"]
    assert lines["data"].endswith("art.npz, 40 pictures, batch 16")
    assert lines["trained"] == "2 epochs and 0 steps"
    assert lines["checkpoint"].endswith("checkpoint-00000006.safetensors")
    assert lines["-elbo"].endswith("the mean of the last 6 steps")


def test_demo_shows_what_came_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                  capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cli, "ART_PICTURES", 30)
    monkeypatch.setattr(cli, "DEMO_MODEL", {"hidden": [8], "latent": 2})
    monkeypatch.setattr(cli, "ART_SIZE", 8)
    monkeypatch.setattr(cli, "DEMO_EPOCHS", 2)
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    printed = capsys.readouterr().out.splitlines()[-4:]
    assert printed == [f"tinyart-demo/{name}" for name in (
        "gallery.png", "interpolation.gif", "reconstructions.png", "loss.png")]
    for path in printed:
        with Image.open(path) as picture:
            picture.load()


@pytest.mark.parametrize(("model", "settings", "size"), [
    ("gan", ["--hidden", "9,7", "--latent", "3", "--loss", "minimax", "--dropout", "0"], 8),
    ("dcgan", ["--latent", "3", "--width", "2"], 16),
    ("autoencoder", ["--hidden", "9", "--latent", "3", "--loss", "cross_entropy"], 8),
])  # fmt: skip
def test_every_model_that_paints(model: str, settings: list[str], size: int, tmp_path: Path,
                                 monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cli, "ART_PICTURES", 21)
    run = str(tmp_path / "r")
    command = ["train", model, "--data", "art", "--size", str(size), "--out", run, "--batch", "4", *settings]
    assert main([*command, "--epochs", "1"]) == main([*command, "--epochs", "2"]) == 0  # the last batch is of 1 picture
    assert "continuing from checkpoint-" in capsys.readouterr().out
    assert main(["sample", run, "--out", str(tmp_path / "s.png"), "-n", "4"]) == 0
    assert Image.open(tmp_path / "s.png").size == (2 * 66 + 2, 2 * 66 + 2)
    assert main(["interpolate", run, "--out", str(tmp_path / "i.gif"), "-n", "1", "--stops", "2", "--frames", "2"]) == 0
    assert main(["info", run]) == 0
    assert f"model       {model}, " in capsys.readouterr().out
    if model == "autoencoder":
        assert main(["reconstruct", run, "--out", str(tmp_path / "r.png"), "-n", "4"]) == 0
    else:
        assert f"expected a model with `reconstruct`, got a {model}" in refused(
            ["reconstruct", run, "--out", str(tmp_path / "r.png")], capsys)


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """A folder of 30 pictures in the folders of three classes."""
    images, labels, names = art(100, size=12)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        if label < 3:
            (tmp_path / "classes" / names[label]).mkdir(parents=True, exist_ok=True)
            save_image(tmp_path / "classes" / names[label] / f"{i:02}.png", image)
    return tmp_path / "classes"


def test_train_and_evaluate_a_classifier(classes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(tmp_path / "r")
    command = ["train", "classifier", "--data", str(classes), "--size", "12", "--out", run, "--batch", "10"]
    assert main([*command, "--network", "mlp", "--epochs", "15"]) == 0
    assert "15 epochs are done. Losses: " in capsys.readouterr().out
    assert main(["evaluate", run]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert lines[0] == f"30 pictures of {classes}, on which it was trained: others are judged worse"
    assert float(lines[1].split()[1].rstrip(",")) > 0.5
    assert [line.split()[0] for line in lines[3:]] == ["circles", "planes", "roses", "macro", "micro"]
    assert "expected a model with `images`, got a classifier" in refused(["sample", run, "--out", "s.png"], capsys)
    assert main(["info", run]) == 0
    assert "network mlp" in capsys.readouterr().out


def test_a_classifier_needs_classes(npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "classifier", "--data", str(npz), "--out", str(tmp_path / "r")]
    assert "expected a key labels or group, got ['images']" in refused(command, capsys)
    images = art(40, size=12)[0]
    np.savez(npz, images=images, labels=np.zeros(40, int))
    assert "--data: expected a class for each of 40 pictures, and several" in refused(command, capsys)
    np.savez(npz, images=images, group=np.array(["a", "b"] * 20))
    assert main([*command, "--epochs", "1", "--network", "mlp"]) == 0
    assert main(["evaluate", str(tmp_path / "r"), "--data", str(npz)]) == 0


def test_evaluate_gives_the_bound_of_a_vae(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run_folder)]) == 0
    assert re.search(r"-ELBO \d+\.\d\d nats a picture", capsys.readouterr().out)


@contextlib.contextmanager
def serving(files: dict[str, bytes]) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = files.get(self.path.lstrip("/"))
            self.send_response(200 if content is not None else 404)
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_data_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(FILES, "mnist", (Remote("a.gz", 3, hashlib.sha256(b"abc").hexdigest()),))
    with serving({"a.gz": b"abc"}) as url:
        assert main(["data", "fetch", "mnist", "--url", url, "--into", str(tmp_path)]) == 0
    assert (tmp_path / "mnist" / "a.gz").read_bytes() == b"abc"
    assert capsys.readouterr().out.splitlines() == ["a.gz  3 bytes", str(tmp_path / "mnist")]
    (tmp_path / "mnist" / "a.gz").unlink()
    with serving({}) as url:
        error = refused(["data", "fetch", "mnist", "--url", url, "--into", str(tmp_path)], capsys)
    assert "404" in error
    assert "fetch: a.gz: expected 3 bytes of the known SHA-256" in error


def test_mnist_is_read_from_tinyart_data(tmp_path: Path, data_dir: Callable[[str], Path]) -> None:
    data_dir("mnist")
    out = str(tmp_path / "r")
    command = ["train", "vae", "--data", "mnist", "--out", out, "--epochs", "1", "--batch", "6000", "--hidden", "4",
               "--latent", "2"]
    assert main(command) == 0
    assert main(["reconstruct", out, "--out", str(tmp_path / "r.png"), "-n", "8"]) == 0
    assert Image.open(tmp_path / "r.png").mode == "L"


# ---- what is refused

WRONG_ARGUMENTS = [
    ([], "tinyart: the following arguments are required: COMMAND. Fix: see `tinyart --help`"),
    (["paint"], "argument COMMAND: invalid choice: 'paint'"),
    (["train", "vae", "--out", "r"], "tinyart train: the following arguments are required: --data. Fix: see `tinyart"),
    (["train", "cat", "--data", "art", "--out", "r"], "argument model: invalid choice: 'cat'"),
    (["train", "vae", "--data", "art", "--out", "r", "--epochs", "0"],
     "argument --epochs: expected a whole number from 1 to 1000000, got '0'"),
    (["train", "vae", "--data", "art", "--out", "r", "--batch", "many"], "argument --batch: expected a whole number"),
    (["train", "vae", "--data", "art", "--out", "r", "--lr", "nan"],
     "argument --lr: expected a number above 0 and at most 1, got 'nan'"),
    (["train", "vae", "--data", "art", "--out", "r", "--lr", "x"], "at most 1, got 'x'"),
    (["train", "vae", "--data", "art", "--out", "r", "--hidden", "4,,5"],
     "argument --hidden: expected a whole number from 1 to 1000000, got ''"),
    (["train", "vae", "--data", "art", "--out", "r", "--seed", "-1"], "argument --seed: expected"),
    (["train", "vae", "--data", "art", "--out", "r", "--seed", str(1 << 63)],
     "argument --seed: expected a whole number from 0 to 2**63 - 1"),
    (["train", "vae", "--data", "art", "--out", "r", "--lat", "3"], "unrecognized arguments: --lat 3"),
    (["train", "vae", "--data", "art", "--out", "r", "--activation", "tanh"], "invalid choice: 'tanh'"),
    (["train", "gan", "--data", "art", "--out", "r", "--dropout", "1"],
     "argument --dropout: expected a number from 0 to below 1, got '1'"),
    (["train", "gan", "--data", "art", "--out", "r", "--width", "3"],
     "tinyart: gan: width: expected settings among shape, hidden, latent, dropout, loss, lr, average, seed, got"),
    (["train", "gan", "--data", "art", "--out", "r", "--loss", "squared_error"],
     "GAN: loss: expected one of non_saturating, minimax, got 'squared_error'"),
    (["train", "dcgan", "--data", "art", "--size", "20", "--out", "r"],
     "dcgan: shape: expected squares of a side 16, 28, 32, 56, 64, 112, 128, 224, 256, .., got a side of 20. Fix: --"),
    (["train", "vae", "--data", "nowhere", "--out", "r"],
     "tinyart: --data: expected mnist, art, a folder of pictures or an .npz file, got 'nowhere'. Fix: see th"),
    (["train", "vae", "--data", "art:cats", "--out", "r"],
     "--data: expected art, or art: and some of planes,circles,roses,truchet,flow,glass,sunsets,plants,glyphs,ripples"),
    (["train", "vae", "--data", ".", "--out", "r"], "image_folder: '.': expected PNG, JPEG, WEBP, BMP or GIF images"),
    (["train", "vae", "--data", "art", "--size", "2", "--out", "r"], "4 <= size <= 1024"),
    (["sample", "r", "--out", "s.jpg"], "--out: expected a file name that ends in .png, got 's.jpg'"),
    (["sample", "r", "--out", "s.png"], "read_run: r: expected a run's folder, with a checkpoint, got none there. Fix"),
    (["reconstruct", "r", "--out", "s.png"], "read_run: r: expected a run's folder"),
    (["interpolate", "r", "--out", "s.mp4"], "a file name that ends in .gif or .webp or .png or .apng"),
    (["info", "r"], "read_run: r: expected a run's folder"),
    (["data", "fetch", "cats"], "fetch: name: expected one of ['mnist'], got 'cats'"),
    (["data", "push", "mnist"], "argument action: invalid choice: 'push'"),
]  # fmt: skip


@pytest.mark.parametrize(("argv", "sentence"), WRONG_ARGUMENTS)
def test_wrong_arguments_get_one_sentence(argv: list[str], sentence: str, tmp_path: Path,
                                          monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "ART_PICTURES", 2)
    assert sentence in refused(argv, capsys)
    assert not [path for path in tmp_path.iterdir() if path.name != "r"]


def test_missing_mnist_names_the_command_that_fetches_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TINYART_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    error = refused(["train", "vae", "--data", "mnist", "--out", str(tmp_path / "r")], capsys)
    assert "Fix: run `tinyart data fetch mnist`" in error


def test_other_settings_of_a_run_are_refused(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(run_folder.parent / "art.npz")
    error = refused(["train", "vae", "--data", data, "--out", str(run_folder), *SMALL, "--latent", "4"], capsys)
    assert "model.latent is 4, it was 3 in the checkpoint. Fix: repeat the settings" in error


def test_other_pictures_of_a_run_are_refused(run_folder: Path, npz: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(npz, images=art(40, size=8, seed=1)[0])
    error = refused(["train", "vae", "--data", str(npz), "--out", str(run_folder), *SMALL], capsys)
    assert 'pixels is "' in error


def test_a_size_that_the_data_does_not_have_is_refused(npz: Path, tmp_path: Path,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "vae", "--data", str(npz), "--out", str(tmp_path / "r"), "--size", "16"]
    assert "--size: expected 16, as given, got pictures of 8x8. Fix: leave --size away" in refused(command, capsys)


def test_reconstruct_of_pictures_of_another_size_is_refused(run_folder: Path, tmp_path: Path,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "large.npz", images=art(8, size=16)[0])
    command = ["reconstruct", str(run_folder), "--out", str(tmp_path / "r.png"), "--data", str(tmp_path / "large.npz")]
    assert "VAE: images: expected (N, 8, 8, 3), got (8, 16, 16, 3)" in refused(command, capsys)


def test_a_full_disk_is_told_in_one_sentence(npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr(os, "replace", full)
    command = ["train", "vae", "--data", str(npz), "--out", str(tmp_path / "r"), *SMALL]
    assert "No space left on device" in refused(command, capsys)


def test_a_folder_that_cannot_be_written_is_named_by_the_name_that_was_given(run_folder: Path, tmp_path: Path,
                                                                           capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert "'/proc/s.png'" in refused(["sample", str(run_folder), "--out", "/proc/s.png"], capsys)
    below = str(tmp_path / "file" / "s.png")
    assert f"'{tmp_path / 'file'}'" in refused(["sample", str(run_folder), "--out", below], capsys)


def test_ctrl_c_gives_130(npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                          capsys: pytest.CaptureFixture[str]) -> None:
    from tinyart.models import VAETrainer

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(VAETrainer, "step", interrupted)
    assert main(["train", "vae", "--data", str(npz), "--out", str(tmp_path / "r"), *SMALL]) == 130
    assert capsys.readouterr().err == "tinyart: stopped; the same command goes on from the last checkpoint\n"


# ---- the program


def test_python_m_tinyart_and_what_it_does_not_import() -> None:
    code = ("import sys; from tinyart.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
            "heavy = {'PIL', 'rich', 'safetensors', 'numba', 'tinyart.models', 'tinyart.train'}\n"
            "print(sorted(heavy & set(sys.modules)))")
    heavy = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert heavy.stdout.splitlines()[-1] == "[]"
    wrong = subprocess.run([sys.executable, "-m", "tinyart", "info", "nowhere"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("tinyart: read_run: nowhere: expected a run's folder")
    assert not Path("nowhere").exists()


def test_the_choices_are_those_of_the_models() -> None:
    assert tuple(TRAINERS) == cli.MODELS
    assert tuple(ACTIVATIONS) == cli.ACTIVATIONS
    assert cli.DECODERS == DECODERS
    assert (*GENERATOR_LOSSES, *LOSSES) == cli.LOSSES
    assert tuple(NETWORKS) == cli.NETWORKS
    settings = {name for trainer in TRAINERS.values() for name in signature(trainer).parameters}
    of_data = {"shape", "classes", "symbols", "events", "batch", "steps_per_beat", "tempo"}
    assert settings - of_data - {"average", "drop_every", "clip"} == set(cli.SETTINGS)
