"""2,000 damaged checkpoints, and every bit of a small file: each is refused in one sentence, none loads."""

import numpy as np
import pytest

from tinyart.checkpoint import latest_checkpoint, write_checkpoint
from tinyart.errors import FormatError
from tinyart.io import load, read_safetensors, save


def refused(path, read):
    """True for a FormatError of one sentence that names the file; any other exception fails the test."""
    try:
        read(path)
    except FormatError as error:
        message = str(error)
        return str(path) in message and "\n" not in message and len(message) < len(str(path)) + 500
    return False


def flip_bit(content, rng):
    damaged = bytearray(content)
    damaged[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def cut(content, rng):
    return content[: rng.integers(len(content))]


def overwrite(content, rng):
    length = int(rng.integers(1, len(content)))
    start = int(rng.integers(len(content) - length + 1))
    return content[:start] + rng.bytes(length) + content[start + length :]


def zero_block(content, rng):
    start = int(rng.integers(len(content) // 64)) * 64
    return content[:start] + bytes(len(content[start : start + 64])) + content[start + 64 :]


def drop_or_double(content, rng):
    start, stop = sorted(rng.integers(len(content) + 1, size=2).tolist())
    return content[:start] + content[stop:] if rng.integers(2) else content[:stop] + content[start:]


def append(content, rng):
    return content + rng.bytes(int(rng.integers(1, 100)))


def swap_digits(content, rng):
    """One character of the header becomes a digit: shapes and offsets that still parse."""
    length = int.from_bytes(content[:8], "little")
    digits = [i for i in range(8, 8 + length) if content[i : i + 1].isdigit()]
    place = digits[rng.integers(len(digits))]
    return content[:place] + str(rng.integers(10)).encode() + content[place + 1 :]


def header_length(content, rng):
    return int(rng.integers(2 ** int(rng.integers(1, 63)))).to_bytes(8, "little") + content[8:]


def noise(content, rng):
    return rng.bytes(int(rng.integers(2 * len(content))))


KINDS = [
    (flip_bit, 800), (cut, 250), (overwrite, 250), (zero_block, 150), (drop_or_double, 150), (append, 100),
    (swap_digits, 100), (header_length, 100), (noise, 100),
]  # fmt: skip


def small_state():
    rng = np.random.default_rng(5)
    return {
        "g.weight": rng.normal(size=(12, 9)),
        "g.bias": np.zeros(12, np.float32),
        "mask": np.ones(70, bool),
    }


@pytest.mark.parametrize(("damage", "cases"), KINDS)
def test_damaged_checkpoints(tmp_path, damage, cases):
    """Both ways in refuse it: `load`, which also takes files without a digest, and the checkpoint's."""
    path = write_checkpoint(tmp_path, 7, small_state(), {"config": {"lr": 1e-5}, "cursor": 3})
    content = path.read_bytes()
    rng = np.random.default_rng(11)
    for case in range(cases):
        while (damaged := damage(content, rng)) == content:
            pass
        path.write_bytes(damaged)
        assert refused(path, load), (damage.__name__, case)
        assert refused(path, lambda path: read_safetensors(path, require_digest=True)), (
            damage.__name__,
            case,
        )


def test_two_thousand():
    assert sum(cases for _, cases in KINDS) == 2000


def test_every_single_bit_of_a_small_file(tmp_path):
    path = tmp_path / "a.safetensors"
    save(path, {"w": np.arange(4, dtype=np.float32), "flag": np.array([True])}, {"note": "x", "lr": 1e-5})
    content = path.read_bytes()
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        assert refused(path, load), f"bit {bit % 8} of byte {bit // 8}"


def test_the_good_one_is_used_beside_each_kind_of_damage(tmp_path):
    rng = np.random.default_rng(13)
    for damage, _ in KINDS:
        folder = tmp_path / damage.__name__
        write_checkpoint(folder, 1, small_state(), {})
        path = write_checkpoint(folder, 2, small_state(), {})
        content = path.read_bytes()
        while (damaged := damage(content, rng)) == content:
            pass
        path.write_bytes(damaged)
        found = latest_checkpoint(folder)
        assert found.path.name == "checkpoint-00000001.safetensors"
        assert path.name in found.notes[0]
