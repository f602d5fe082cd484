"""tinyart.io.save and load: what comes back, which bytes are written, what is refused."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import tinyart.io
from tinyart.errors import ArgumentError, DtypeError, FormatError
from tinyart.io import load, read_safetensors, save

ROOT = Path(tinyart.io.__file__).parents[1]


def assert_same(left, right):
    assert left.keys() == right.keys()
    for name in left:
        assert (left[name].dtype, left[name].shape) == (right[name].dtype, right[name].shape)
        assert left[name].tobytes() == right[name].tobytes()


def every_kind():
    """All dtypes, no dimension, zero sizes, NaN payloads, negative zero, names that are not ASCII."""
    rng = np.random.default_rng(1)
    state = {f"kind.{name}": rng.integers(0, 2, (3, 5)).astype(name) for name in tinyart.io.DTYPES}
    state["scalar"] = np.array(7, np.int64)
    state["empty"] = np.zeros((2, 0, 3), np.float32)
    state["none"] = np.zeros(0, np.uint8)
    state["special"] = np.array([0x7FC00001, 0x80000000, 0x7F800000], np.uint32).view(np.float32)
    state["größe 漢"] = rng.normal(size=(4, 3, 2, 1))
    return state


def test_everything_comes_back(tmp_path):
    state = every_kind()
    metadata = {"loss": 0.1, "list": [1, None, True], "nested": {"ünï": "\n\x00\udc80"}, "big": 2**80}
    save(tmp_path / "a.safetensors", state, metadata)
    arrays, back = read_safetensors(tmp_path / "a.safetensors", require_digest=True)
    assert_same(arrays, state)
    assert back == metadata
    assert_same(load(str(tmp_path / "a.safetensors")), state)


def test_loaded_arrays_are_writable_and_apart_from_the_file(tmp_path):
    save(tmp_path / "a.safetensors", {"w": np.ones(3)})
    load(tmp_path / "a.safetensors")["w"][:] = 5
    assert load(tmp_path / "a.safetensors")["w"].tolist() == [1, 1, 1]


def test_the_library_reads_our_file_and_we_read_the_library_s(tmp_path):
    state = every_kind()
    save(tmp_path / "ours.safetensors", state)
    assert_same(load_file(tmp_path / "ours.safetensors"), state)
    save_file(state, tmp_path / "theirs.safetensors", {"format": "np"})
    assert_same(load(tmp_path / "theirs.safetensors"), state)
    assert read_safetensors(tmp_path / "theirs.safetensors")[1] == {"format": "np"}


def test_every_array_lies_at_a_multiple_of_its_item_size(tmp_path):
    save(tmp_path / "a.safetensors", every_kind())
    content = (tmp_path / "a.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert length % 8 == 0
    for name, array in every_kind().items():
        assert header[name]["data_offsets"][0] % array.itemsize == 0


def test_strided_big_endian_and_tensor_values(tmp_path):
    class Tensor:
        array = np.arange(6, dtype=np.float32).reshape(2, 3)

    class OnDevice:  # stands for a CuPy array
        def get(self):
            return np.arange(4, dtype=np.int32)

    base = np.arange(24, dtype=np.float64).reshape(4, 6)
    state = {
        "flip": base[::-2, ::3],
        "turned": base.T,
        "big": base.astype(">f8"),
        "t": Tensor(),
        "d": OnDevice(),
    }
    save(tmp_path / "a.safetensors", state)
    arrays = load(tmp_path / "a.safetensors")
    assert arrays["flip"].tolist() == base[::-2, ::3].tolist()
    assert arrays["turned"].tolist() == base.T.tolist()
    assert arrays["big"].tolist() == base.tolist()
    assert arrays["t"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert arrays["d"].tolist() == [0, 1, 2, 3]


WRITE = """
import sys, numpy as np
from tinyart.io import save
state = {name: np.full((i + 1, 2), i, np.float32) for i, name in enumerate(["b", "a", "c"])}
state["flag"] = np.array([True, False, True])
items = sorted(state.items(), reverse=sys.argv[2] == "reverse")
save(sys.argv[1], dict(items), {"z": 1, "a": {"y": 2, "b": [3]}} if sys.argv[2] == "reverse"
     else {"a": {"b": [3], "y": 2}, "z": 1})
"""


def test_same_content_gives_the_same_bytes_for_ever(tmp_path):
    for seed, order in (("1", "forward"), ("2", "reverse")):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", WRITE, str(tmp_path / order), order]
        subprocess.run(command, env=environment, check=True)
    content = (tmp_path / "forward").read_bytes()
    assert content == (tmp_path / "reverse").read_bytes()
    # pinned: a change here makes the files of earlier versions differ from those of this one
    assert (
        hashlib.sha256(content).hexdigest()
        == "3c408bf1169bc0cded242a807ed47d44e4cb1eb197b325f3cb694b48c55cd016"
    )


def test_the_digest_is_what_the_docstring_says(tmp_path):
    state = {"b": np.arange(3, dtype=np.int16), "a": np.ones((1, 2), np.float32)}
    save(tmp_path / "a.safetensors", state, {"k": 1})
    content = (tmp_path / "a.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    text = '[[["a", "float32", [1, 2]], ["b", "int16", [3]]], "{\\"k\\": 1}"]'
    data = b"\x00\x00\x80\x3f" * 2 + b"\x00\x00\x01\x00\x02\x00"
    assert header["tinyart.sha256"] == hashlib.sha256(text.encode() + data).hexdigest()


@pytest.mark.parametrize(
    ("state", "metadata", "error", "words"),
    [
        ({3: np.ones(2)}, None, ArgumentError, "printable names"),
        ({"__metadata__": np.ones(2)}, None, ArgumentError, "printable names"),
        ({"a\nb": np.ones(2)}, None, ArgumentError, r"got 'a\\nb'"),
        ({"\ud800": np.ones(2)}, None, ArgumentError, r"got '\\ud800'"),
        ({"w": np.array([{}, None])}, None, DtypeError, "save: w: .* got object"),
        ({"w": np.array(["text"])}, None, DtypeError, "save: w: .* got <U4"),
        ({"w": np.ones(2, np.complex64)}, None, DtypeError, "save: w: .* got complex64"),
        ({}, {"x": np.float32(1)}, ArgumentError, "metadata.* float32"),
        ({}, {"x": "a" * (17 << 20)}, ArgumentError, "at most 16777216 bytes"),
    ],
)
def test_what_the_format_cannot_hold_is_refused_and_nothing_is_written(
    tmp_path, state, metadata, error, words
):
    with pytest.raises(error, match=words):
        save(tmp_path / "a.safetensors", state, metadata)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere/a\.safetensors"):
        save(tmp_path / "nowhere" / "a.safetensors", {})
    with pytest.raises(FileNotFoundError, match=r"a\.safetensors"):
        load(tmp_path / "a.safetensors")


def test_a_pipe_and_a_folder_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(FormatError, match="expected a regular file"):
            load(path)


def test_a_file_without_digest_where_one_is_required(tmp_path):
    save_file({"w": np.ones(2)}, tmp_path / "theirs.safetensors")
    with pytest.raises(FormatError, match=r"theirs\.safetensors: .* SHA-256"):
        read_safetensors(tmp_path / "theirs.safetensors", require_digest=True)


def test_importing_io_does_not_import_safetensors():
    program = "import sys, tinyart.io, tinyart.checkpoint; assert 'safetensors' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)


def test_saving_copies_no_array(tmp_path):
    """Peak of Python's allocations during a save: the header, not the 32 MiB of weights."""
    import tracemalloc

    state = {"w": np.ones((1024, 8192), np.float32)}
    tracemalloc.start()
    save(tmp_path / "a.safetensors", state)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
