"""Arrays and images out of npz files, good and bad, and RGBA laid over a colour."""

import io
import zipfile
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyart.data import image_archive, npz_array, over
from tinyart.errors import FormatError


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz_of(path, method=zipfile.ZIP_DEFLATED, **members: bytes):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_over_is_the_rounded_mixture(value, alpha, ground):
    exact = (Fraction(alpha) * value + Fraction(255 - alpha) * ground) / 255
    result = over(np.array([[value, value, value, alpha]], np.uint8), (ground, ground, ground))
    assert result.shape == (1, 3)
    assert result.dtype == np.uint8
    assert all(abs(channel - exact) <= Fraction(1, 2) for channel in result.ravel().tolist())


def test_over_uses_the_channels_of_the_background():
    pixels = np.array([[[10, 20, 30, 255], [10, 20, 30, 0]]], np.uint8)
    assert over(pixels, (1, 2, 3)).tolist() == [[[10, 20, 30], [1, 2, 3]]]
    assert over(pixels).tolist() == [[[10, 20, 30], [255, 255, 255]]]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back_as_they_were(tmp_path, save):
    arrays = {"a": np.arange(12, dtype=np.int16).reshape(3, 4), "b": np.array(["x", "yz"]), "c": np.zeros((0, 3))}
    arrays["d"] = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    save(tmp_path / "x.npz", **arrays)
    for name, array in arrays.items():
        read = npz_array(tmp_path / "x.npz", "missing", name)
        assert read.dtype == array.dtype
        assert np.array_equal(read, array)


@pytest.mark.parametrize(
    ("shape", "channels"), [((2, 4, 5), 1), ((2, 4, 5, 1), 1), ((2, 4, 5, 3), 3), ((2, 4, 5, 4), 4), ((2, 4, 5, 4), 3)]
)
def test_image_archives_give_n_h_w_c(tmp_path, shape, channels):
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    np.savez(tmp_path / "x.npz", images=pixels, rgba=np.zeros(3))
    images = image_archive(tmp_path / "x.npz", channels=channels, background=(9, 8, 7))
    assert images.shape == (2, 4, 5, channels)
    expected = pixels.reshape(images.shape) if shape[-1] != 4 or channels == 4 else over(pixels, (9, 8, 7))
    assert np.array_equal(images, expected)


@pytest.mark.parametrize(("shape", "channels"), [((2, 4, 5, 3), 4), ((2, 4, 5), 3), ((2, 4, 5, 2), 1), ((4, 5), 1)])
def test_image_archives_of_other_shapes_are_refused(tmp_path, shape, channels):
    np.savez(tmp_path / "x.npz", images=np.zeros(shape, np.uint8))
    with pytest.raises(FormatError, match=rf"images uint8 \(N, H, W, {channels}\), got uint8"):
        image_archive(tmp_path / "x.npz", channels=channels)


def test_the_game_tiles_load(data_dir):
    path = data_dir("dcss-tiles") / "tiles32.npz"
    rgba = image_archive(path, channels=4)
    assert rgba.shape == (4156, 32, 32, 4)
    images = image_archive(path, background=(255, 0, 255))
    assert images.shape == (4156, 32, 32, 3)
    transparent, opaque = rgba[..., 3] == 0, rgba[..., 3] == 255
    assert 0.4 < opaque.mean() < 0.6  # "about half of all pixels are opaque"
    assert (images[transparent] == (255, 0, 255)).all()
    assert (images[opaque] == rgba[opaque][:, :3]).all()
    assert npz_array(path, "name").shape == (4156,)
    assert set(npz_array(path, "split").tolist()) == {0, 1, 2}


def header_of(shape: str, descr: str = "|u1") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header_of("(1 << 40,)"), "an npz file, got ValueError"),
        (header_of("(1099511627776,)"), r"at most 4294967296 bytes, got 1099511627776 for shape"),
        (header_of("(4000000000,)") + b"abc", r"4000000000 bytes for uint8 \(4000000000,\), got 3"),
        (header_of("(2,)") + b"abc", r"2 bytes for uint8 \(2,\), got 3"),
        (header_of("(4,)") + b"abc", r"4 bytes for uint8 \(4,\), got 3"),
        (header_of("(-1,)") + b"abc", r"-1 bytes for uint8 \(-1,\), got 3"),
        (header_of("(1,)", "|O") + b"abc", "numbers or text, got Python objects"),
        (npy(np.zeros(3))[:40], "an npz file, got ValueError"),
        (b"not an array", "an npz file, got ValueError"),
        (b"\x93NUMPY\x07\x00" + b"\0" * 99, "an npz file, got KeyError"),
        (b"", "an npz file, got ValueError"),
    ],
)
def test_bad_members_are_refused_before_they_are_read(tmp_path, content, message):
    path = npz_of(tmp_path / "x.npz", images=content)
    with pytest.raises(FormatError, match=message) as caught:
        npz_array(path, "images")
    assert repr(str(path)) in str(caught.value)


def test_a_zip_that_lies_about_its_sizes_is_refused(tmp_path):
    """Header and directory agree on 3 GB that 22 bytes cannot hold."""
    path = npz_of(tmp_path / "x.npz", images=header_of("(3000000000,)"))
    raw, true = path.read_bytes(), len(header_of("(3000000000,)"))
    claimed = (true + 3_000_000_000).to_bytes(4, "little")
    directory = raw.index(b"PK\x01\x02")
    raw = raw[: directory + 24] + claimed + raw[directory + 28 :]
    path.write_bytes(raw)
    with pytest.raises(FormatError, match="or none at all"):
        npz_array(path, "images")


def test_packings_that_numpy_does_not_write_are_refused(tmp_path):
    path = npz_of(tmp_path / "x.npz", zipfile.ZIP_LZMA, images=npy(np.zeros(3)))
    with pytest.raises(FormatError, match="members stored or deflated, got method 14"):
        npz_array(path, "images")


def test_missing_keys_and_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", other=np.zeros(3))
    with pytest.raises(FormatError, match=r"a key images or rgba, got \['other'\]"):
        image_archive(tmp_path / "x.npz")
    (tmp_path / "y.npz").write_text("no zip")
    with pytest.raises(FormatError, match="an npz file, got BadZipFile"):
        npz_array(tmp_path / "y.npz", "images")
