"""IDX files against bytes packed here with `struct`; the real MNIST against what is published of it."""

import gzip
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.mnist_nearest_neighbour import nearest_neighbour_errors
from tinyart.data import mnist, read_idx
from tinyart.errors import ArgumentError, FormatError

# type byte -> struct's letter, and the NumPy dtype that a reader expects
TYPES = {
    8: ("B", "uint8"),
    9: ("b", "int8"),
    11: ("h", "int16"),
    12: ("i", "int32"),
    13: ("f", "float32"),
    14: ("d", "float64"),
}
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def idx(code: int, shape: tuple[int, ...], values: list) -> bytes:
    return struct.pack(f">BBBB{len(shape)}I{len(values)}{TYPES[code][0]}", 0, 0, code, len(shape), *shape, *values)


def written(folder, name: str, data: bytes):
    (folder / name).write_bytes(data)
    return folder / name


@given(data=st.data(), code=st.sampled_from(sorted(TYPES)), shape=st.lists(st.integers(0, 4), max_size=3))
def test_idx_files_of_every_type_are_read_back(tmp_path_factory, data, code, shape):
    letter, dtype = TYPES[code]
    bits = 8 * struct.calcsize(f">{letter}")
    elements = (
        st.floats(allow_nan=False, width=bits)
        if letter in "fd"
        else st.integers(0, 255)
        if letter == "B"
        else st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    )
    count = math.prod(shape)
    values = data.draw(st.lists(elements, min_size=count, max_size=count))
    raw = idx(code, tuple(shape), values)
    path = tmp_path_factory.mktemp("idx") / "file"
    for content in (raw, gzip.compress(raw)):
        path.write_bytes(content)
        array = read_idx(path)
        assert (array.dtype, array.shape) == (np.dtype(dtype), tuple(shape))
        assert array.dtype.isnative
        assert array.ravel().tolist() == values


GOOD = idx(8, (2, 3), [1, 2, 3, 4, 5, 6])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "bytes 00 00 TYPE NDIM at the start, got nothing"),
        (GOOD[:3], "bytes 00 00 TYPE NDIM at the start, got 00 00 08"),
        (b"\1" + GOOD[1:], "bytes 00 00 TYPE NDIM at the start, got 01 00 08 02"),
        (b"\0\0\x0a\2" + GOOD[4:], "bytes 00 00 TYPE NDIM at the start, got 00 00 0a 02"),
        (GOOD[:10], "2 sizes after the magic number, got 6 bytes"),
        (GOOD[:-1], r"6 bytes of elements for shape \(2, 3\), got 5"),
        (GOOD + b"\0", r"6 bytes of elements for shape \(2, 3\), got more"),
        (b"\0\0\x08\3" + b"\xff" * 12, r"at most 4294967296 bytes, got 79228162458924105385300197375 for shape"),
        (gzip.compress(GOOD, mtime=0)[:-5], "an IDX file, got EOFError"),
        (gzip.compress(GOOD[:-1], mtime=0), "6 bytes of elements"),
        (gzip.compress(GOOD + b"\0", mtime=0), "6 bytes of elements"),
        (gzip.compress(GOOD, mtime=0)[:-8] + b"\0" * 8, "an IDX file, got BadGzipFile: CRC check failed"),
        (gzip.compress(GOOD, mtime=0) + b"tail", "an IDX file, got BadGzipFile"),
    ],
)  # fmt: skip
def test_a_damaged_idx_file_is_refused_by_name(tmp_path, content, message):
    path = written(tmp_path, "bad.idx", content)
    with pytest.raises(FormatError, match=message) as caught:
        read_idx(path)
    assert repr(str(path)) in str(caught.value)


def test_a_missing_file_a_folder_and_a_pipe_are_refused_at_once(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe")
    for name in ("missing", ".", "pipe"):
        with pytest.raises(FormatError, match="got no regular file of that name"):
            read_idx(tmp_path / name)


def test_max_bytes_is_the_most_that_is_read(tmp_path):
    path = written(tmp_path, "six", GOOD)
    assert read_idx(path, max_bytes=6).shape == (2, 3)
    with pytest.raises(FormatError, match="at most 5 bytes, got 6"):
        read_idx(path, max_bytes=5)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A cache that holds three images, one of them gzipped as a whole; no TINYART_DATA."""
    monkeypatch.delenv("TINYART_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "tinyart" / "mnist"
    folder.mkdir(parents=True)
    pixels = [k % 256 for k in range(3 * 784)]
    written(folder, f"{IMAGES}.gz", gzip.compress(idx(8, (3, 28, 28), pixels)))
    written(folder, LABELS, idx(8, (3,), [7, 0, 9]))
    return folder


def test_mnist_is_found_in_the_cache_in_tinyart_data_and_in_a_folder(small, tmp_path, monkeypatch):
    images, labels = mnist()
    assert (images.dtype, images.shape, labels.dtype) == (np.dtype("uint8"), (3, 28, 28, 1), np.dtype("int64"))
    assert images.ravel().tolist() == [k % 256 for k in range(3 * 784)]
    assert labels.tolist() == [7, 0, 9]
    own = tmp_path / "own" / "mnist"
    small.rename(tmp_path / "elsewhere")
    own.parent.mkdir()
    (tmp_path / "elsewhere").rename(own)
    with pytest.raises(FormatError, match=r"mnist: folder: expected the file train-images-idx3-ubyte.gz, got no such"):
        mnist()
    assert mnist(folder=own)[1].tolist() == [7, 0, 9]
    monkeypatch.setenv("TINYART_DATA", str(own.parent))
    assert mnist()[1].tolist() == [7, 0, 9]


def test_a_missing_data_set_is_one_sentence_with_both_ways_out(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYART_DATA", str(tmp_path / "a"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    with pytest.raises(FormatError) as caught:
        mnist("test")
    message = str(caught.value)
    assert "t10k-images-idx3-ubyte.gz" in message
    assert str(tmp_path / "a" / "mnist") in message
    assert str(tmp_path / "b" / "tinyart" / "mnist") in message
    assert "`tinyart data fetch mnist`" in message
    assert "TINYART_DATA" in message.partition("Fix: ")[2]
    assert "\n" not in message


def test_the_split_has_two_names(small):
    with pytest.raises(ArgumentError, match=r"""mnist: split: expected "train" or "test", got 'valid'"""):
        mnist("valid")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (f"{IMAGES}.gz", idx(9, (3, 28, 28), [1] * 2352), r"uint8 \(N, 28, 28\), got int8 \(3, 28, 28\)"),
        (f"{IMAGES}.gz", idx(8, (3, 784), [1] * 2352), r"uint8 \(N, 28, 28\), got uint8 \(3, 784\)"),
        (LABELS, idx(8, (3, 1), [1] * 3), r"uint8 \(3,\), got uint8 \(3, 1\)"),
        (LABELS, idx(8, (2,), [1] * 2), r"a label for each of 3 images, got uint8 \(2,\)"),
        (LABELS, idx(8, (3,), [1, 10, 2]), "labels from 0 to 9, got 10"),
    ],
)
def test_files_that_are_not_mnist_are_refused_by_name(small, name, content, message):
    path = written(small, name, content)
    with pytest.raises(FormatError, match=message) as caught:
        mnist()
    assert repr(str(path)) in str(caught.value)


def test_mnist_has_its_published_counts(data_dir):
    folder = data_dir("mnist")
    (train, train_labels), (test, test_labels) = mnist("train", folder=folder), mnist("test", folder=folder)
    assert train.shape == (60_000, 28, 28, 1)
    assert test.shape == (10_000, 28, 28, 1)
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(train_labels).tolist() == counts
    assert np.bincount(test_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert train.mean() / 255 == pytest.approx(0.1307, abs=5e-5)  # the mean that everybody normalises with
    assert train.std() / 255 == pytest.approx(0.3081, abs=5e-5)


def test_nearest_neighbour_errors_counts_exactly_on_random_pixels():
    rng = np.random.default_rng(0)
    train, test = rng.choice([0, 254, 255], (90, 28, 28, 1)).astype(np.uint8), rng.choice([0, 1, 255], (40, 28, 28, 1))
    labels, answers = rng.integers(0, 2, 90), rng.integers(0, 2, 40)
    distances = ((test[:, None].astype(np.int64) - train[None]) ** 2).sum(axis=(2, 3, 4))  # (40, 90)
    expected = int((labels[distances.argmin(axis=1)] != answers).sum())
    assert nearest_neighbour_errors((train, labels), (test.astype(np.uint8), answers), block=7) == expected


def test_nearest_neighbour_of_a_slice_of_mnist(data_dir):
    """80: measured with scipy's cdist in float64 on arrays read without tinyart."""
    (images, labels), (queries, answers) = (mnist(split, folder=data_dir("mnist")) for split in ("train", "test"))
    assert nearest_neighbour_errors((images[:10_000], labels[:10_000]), (queries[:1000], answers[:1000])) == 80


@pytest.mark.slow
def test_nearest_neighbour_makes_exactly_309_errors(data_dir):
    train, test = (mnist(split, folder=data_dir("mnist")) for split in ("train", "test"))
    assert nearest_neighbour_errors(train, test) == 309
