"""The benchmarks of damage: a disk that fails where it should, a digest that sees each file, a folder as it is said."""

import errno
import os
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import drills, gallery
from tinyart.data import art, image_folder
from tinyart.io import save


def test_the_folder_of_the_gallery_holds_every_kind_and_eleven_broken_files(tmp_path: Path) -> None:
    gallery.make_folder(tmp_path, art(28, size=48)[0])
    images, report = image_folder(tmp_path, size=16)
    assert images.shape == (28, 16, 16, 3)
    kinds: Counter[tuple[str | None, str]] = Counter()
    for path in report.paths:
        with Image.open(path) as image:
            assert 40 <= min(image.size) <= max(image.size) <= 96
            kinds[image.format, image.mode] += 1
    assert kinds == dict.fromkeys(gallery.KINDS, 2)
    assert len(report.skipped) == 11
    said = "\n".join(map(str, report.skipped))
    assert said.count("\n") == 10
    for why in ("an empty file", "another format", "truncated", "checksum", "no regular file", "Bomb"):
        assert why in said


@pytest.mark.parametrize(("position", "left"), [(None, ["a"]), (0, []), (2, []), (5, ["a"])])
def test_one_call_of_the_disk_fails(tmp_path: Path, position: int | None, left: list[str]) -> None:
    calls: list[str] = []
    before = [getattr(os, name) for name in drills.CALLS]
    code = 0
    try:
        with drills.failing_disk(position, calls):
            save(tmp_path / "a", {})
    except OSError as error:
        code = error.errno or 0
    assert [getattr(os, name) for name in drills.CALLS] == before
    assert code == (0 if position is None else errno.ENOSPC)
    assert [path.name for path in tmp_path.iterdir()] == left
    end = 9 if position is None else position + 1
    whole = ["open", "write", "fsync", "close", "replace", "open", "fsync", "close", "unlink"]
    assert calls[:end] == whole[:end]


def test_the_digest_of_a_run_sees_each_of_its_files(tmp_path: Path) -> None:
    drills.train("vae", tmp_path)
    assert len(list(tmp_path.glob("samples/*"))) == drills.EPOCHS
    digests = [drills.left_by(tmp_path)]
    for path in [max(tmp_path.glob("checkpoint-*")), tmp_path / "metrics.jsonl", tmp_path / "loss.png",
                 *(tmp_path / "samples").iterdir()]:
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        digests.append(drills.left_by(tmp_path))
        path.write_bytes(content)
    assert len({*digests}) == len(digests) == 4 + drills.EPOCHS
    assert drills.left_by(tmp_path) == digests[0]
