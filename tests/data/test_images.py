"""Image files of every mode, orientation and kind of trouble, and folders of them."""

import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tinyart.data import image_folder, read_image
from tinyart.errors import ArgumentError, FormatError

EXTENSIONS = ("png", "jpg", "webp", "bmp", "gif")


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).integers(0, 256, shape).astype(np.uint8)


def saved(path: Path, pixels: np.ndarray, **settings) -> Path:
    Image.fromarray(pixels).save(path, **settings)
    return path


def png(width: int, height: int, colour_type: int, data: bytes, *chunks: tuple[bytes, bytes], depth: int = 8) -> bytes:
    """A PNG written by hand."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


# ---- pixels


@given(st.integers(1, 12), st.integers(0, 5), st.booleans(), st.sampled_from([1, 3, 4]))
def test_a_crop_without_resizing_is_exact(tmp_path_factory, size, margin, wide, channels):
    """Rows or columns beyond the centre square go, the rest is untouched; alpha costs a rounding, once cropped."""
    height, width = (size, size + 2 * margin) if wide else (size + 2 * margin, size)
    pixels = noise(height, width, channels)
    if channels == 4:
        pixels[..., 3] |= 128
    path = saved(tmp_path_factory.mktemp("crop") / "a.png", pixels[..., 0] if channels == 1 else pixels)
    square = pixels[:, margin : margin + size] if wide else pixels[margin : margin + size]
    read = read_image(path, size=size, channels=channels)
    assert read.dtype == np.uint8
    assert np.abs(read.astype(int) - square).max() <= (1 if channels == 4 and margin else 0)


@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(1, 40),
    st.tuples(*[st.integers(0, 255)] * 3),
    st.sampled_from(EXTENSIONS),
)
def test_one_colour_stays_one_colour_at_every_size(tmp_path_factory, width, height, size, colour, extension):
    path = tmp_path_factory.mktemp("flat") / f"a.{extension}"
    Image.new("RGB", (width, height), colour).save(path, **({"lossless": True} if extension == "webp" else {}))
    image = read_image(path, size=size)
    assert image.shape == (size, size, 3)
    tolerance = 4 if extension == "jpg" else 0
    assert np.abs(image.astype(int) - colour).max() <= tolerance


def test_shrinking_by_two_averages_and_keeps_the_middle(tmp_path):
    """A 40 x 80 ramp: the result is the ramp's middle, twice as steep."""
    ramp = np.tile(np.arange(80, dtype=np.uint8) * 3, (40, 1))
    image = read_image(saved(tmp_path / "ramp.png", ramp), size=20, channels=1)[..., 0]
    expected = 3 * (20 + 2 * np.arange(20) + 0.5)
    assert np.abs(image - expected)[:, 2:-2].max() <= 1


MODES = {
    "1": lambda: Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1"),
    "L": lambda: Image.fromarray(np.array([[0, 255], [128, 1]], np.uint8)),
    "LA": lambda: Image.fromarray(np.array([[[7, 255], [7, 0]], [[7, 128], [200, 255]]], np.uint8), "LA"),
    "P": lambda: Image.fromarray(noise(2, 2, 3)).quantize(4),
    "RGB": lambda: Image.fromarray(noise(2, 2, 3)),
    "RGBA": lambda: Image.fromarray(np.dstack([noise(2, 2, 3), np.array([[0, 255], [128, 64]], np.uint8)])),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_mode_of_png_gives_every_number_of_channels(tmp_path, mode, channels):
    picture = MODES[mode]()
    picture.save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png", size=2, channels=channels, background=(255, 0, 0))
    assert image.shape == (2, 2, channels)
    rgba = np.array(picture.convert("RGBA")).astype(float)
    alpha = rgba[..., 3:] / 255
    if channels == 4:
        assert np.array_equal(image[..., 3], rgba[..., 3])
        assert np.array_equal(image[rgba[..., 3] > 0], rgba[rgba[..., 3] > 0])
        return
    rgb = rgba[..., :3] * alpha + np.array([255, 0, 0]) * (1 - alpha)
    expected = rgb if channels == 3 else rgb @ np.array([[0.299], [0.587], [0.114]])
    assert np.abs(image - expected).max() <= 1.5


def test_resizing_takes_no_colour_from_what_is_invisible(tmp_path):
    """Half of a white square is transparent green: no green may bleed in."""
    pixels = np.full((64, 64, 4), 255, np.uint8)
    pixels[:, 1::2] = (0, 255, 0, 0)
    path = saved(tmp_path / "a.png", pixels)
    assert (read_image(path, size=8) == 255).all()
    dark = read_image(path, size=8, background=(0, 0, 0))
    assert np.abs(dark.astype(int) - dark[..., :1]).max() == 0


def test_sixteen_bit_grey_is_scaled_and_rounded(tmp_path):
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    image = read_image(saved(tmp_path / "a.png", values), size=256, channels=1)[..., 0]
    assert np.array_equal(image, np.rint(values / 257))


def test_sixteen_bit_colour_keeps_its_high_bytes(tmp_path):
    data = b"\0" + struct.pack(">6H", 0x1234, 0x5678, 0x9ABC, 0xFFFF, 0, 0x8000)
    (tmp_path / "a.png").write_bytes(png(2, 1, 2, data, depth=16))
    image = read_image(tmp_path / "a.png", size=1)
    assert image.shape == (1, 1, 3)
    assert np.abs(image.astype(int) - [(0x12 + 0xFF) / 2, 0x56 / 2, (0x9A + 0x80) / 2]).max() <= 1


def test_a_transparent_palette_entry_lets_the_background_through(tmp_path):
    picture = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture = picture.resize((4, 2), Image.Resampling.NEAREST)
    for extension in ("png", "gif"):
        picture.save(tmp_path / f"a.{extension}", transparency=0)
        image = read_image(tmp_path / f"a.{extension}", size=2, background=(1, 2, 3))
        assert image[0].tolist() == [[1, 2, 3], [200, 100, 50]]


def test_cmyk_is_turned_to_rgb(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    assert np.abs(read_image(tmp_path / "a.jpg", size=4).astype(int) - (255, 0, 0)).max() <= 4


@pytest.mark.parametrize("extension", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(tmp_path, extension, orientation):
    """EXIF says where the first row and column lie: 6 means that the camera's top is the right side."""
    upright = np.kron(np.array([[1, 2], [3, 4]]) * 60, np.ones((8, 8))).astype(np.uint8)
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.T, 6: np.rot90(upright), 7: upright[::-1, ::-1].T, 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / f"a.{extension}", np.ascontiguousarray(stored), exif=exif)
    image = read_image(path, size=16, channels=1)[..., 0]
    assert np.abs(image.astype(int) - upright).max() <= 6


def test_the_first_frame_of_an_animation_is_taken(tmp_path):
    frames = [Image.new("RGB", (6, 6), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    for extension in ("gif", "webp", "png"):
        frames[0].save(tmp_path / f"a.{extension}", save_all=True, append_images=frames[1:], duration=100)
        assert np.abs(read_image(tmp_path / f"a.{extension}", size=2).astype(int) - (255, 0, 0)).max() <= 2


def test_a_large_jpeg_read_small_is_near_the_full_reading(tmp_path):
    smooth = np.asarray(Image.fromarray(noise(8, 8, 3)).resize((800, 600), Image.Resampling.BICUBIC))
    image = read_image(saved(tmp_path / "a.jpg", smooth, quality=95), size=32)
    full = Image.open(tmp_path / "a.jpg").crop((100, 0, 700, 600)).resize((32, 32), Image.Resampling.LANCZOS)
    assert np.abs(image.astype(int) - np.asarray(full)).max() <= 6


# ---- refusals


def refusal(path: Path, **settings) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing but the sentence
        with pytest.raises(FormatError) as caught:
            read_image(path, size=8, **settings)
    message = str(caught.value)
    assert "\n" not in message
    assert repr(str(path)) in message
    return message


def test_the_size_is_known_before_anything_is_decoded(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png(8000, 4001, 0, b"never looked at"))
    assert "expected at most 32000000 pixels, got 8000x4001. Fix: make it smaller" in refusal(path)
    path.write_bytes(png(8000, 4000, 0, b"looked at"))
    assert "expected a PNG, JPEG, WEBP, BMP or GIF image, got OSError" in refusal(path)
    assert "at most 99 pixels, got 10x10" in refusal(saved(path, noise(10, 10)), max_pixels=99)
    assert read_image(path, size=8, max_pixels=100).shape == (8, 8, 3)


@pytest.mark.parametrize("side", [10_000, 60_000])
def test_pillows_own_limit_stays_in_force(tmp_path, side):
    (tmp_path / "a.png").write_bytes(png(side, side, 0, b""))
    assert "got DecompressionBomb" in refusal(tmp_path / "a.png", max_pixels=10**12)


def test_a_webp_bomb_is_refused(tmp_path):
    Image.new("RGB", (16383, 2000)).save(tmp_path / "a.webp", lossless=True, method=0)
    assert (tmp_path / "a.webp").stat().st_size < 10_000
    assert "at most 32000000 pixels, got 16383x2000" in refusal(tmp_path / "a.webp")


def test_a_file_that_is_longer_than_its_pixels_could_be_is_refused(tmp_path):
    path = saved(tmp_path / "a.bmp", noise(4, 4))
    os.truncate(path, 3_000_000)
    assert "expected a file of at most 1048656 bytes, got 3000000" in refusal(path, max_pixels=10)


@pytest.mark.parametrize("name", ["a.tiff", "a.ppm", "a.ico", "a.pdf", "a.eps", "a.jp2"])
def test_formats_off_the_list_are_refused(tmp_path, name):
    Image.fromarray(noise(16, 16, 3)).save(tmp_path / name)
    assert "expected a PNG, JPEG, WEBP, BMP or GIF image, got another format, or a damaged header" in refusal(
        tmp_path / name
    )


def test_what_is_no_image_is_refused(tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("not a picture\nat all")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    assert "got an empty file" in refusal(tmp_path / "empty.png")
    assert "got another format, or a damaged header" in refusal(tmp_path / "text.png")
    for name in ("pipe", "loop", "gone", "missing"):
        assert "got no regular file of that name" in refusal(tmp_path / f"{name}.png")


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_half_a_file_is_refused(tmp_path, extension):
    path = saved(tmp_path / f"a.{extension}", noise(64, 64, 3))
    os.truncate(path, path.stat().st_size // 2)
    refusal(path)


def test_a_png_whose_checksum_differs_is_refused(tmp_path):
    data = bytearray(png(2, 2, 0, b"\0\1\2\0\3\4"))
    data[data.index(b"IDAT") - 5] ^= 1  # the header's checksum
    (tmp_path / "a.png").write_bytes(data)
    assert "damaged header" in refusal(tmp_path / "a.png")
    data = bytearray(png(2, 2, 0, b"\0\1\2\0\3\4"))
    data[data.index(b"IEND") - 8] ^= 1  # the pixels' checksum, which decoding alone does not look at
    (tmp_path / "a.png").write_bytes(data)
    assert "checksum" in refusal(tmp_path / "a.png") or "broken PNG" in refusal(tmp_path / "a.png")


def test_wrong_settings_are_refused(tmp_path):
    path = saved(tmp_path / "a.png", noise(4, 4))
    for settings in ({"channels": 2}, {"size": 0}, {"size": 5000}):
        with pytest.raises(ArgumentError, match=f"read_image: {next(iter(settings))}: expected 1"):
            read_image(path, **({"size": 4} | settings))
        with pytest.raises(ArgumentError, match=f"image_folder: {next(iter(settings))}: expected 1"):
            image_folder(tmp_path, **({"size": 4} | settings))


# ---- folders


def test_a_mixed_folder_gives_its_images_in_order_and_reports_the_rest(tmp_path):
    names = ["b.png", "a.jpg", "Z.gif", "sub/deep/c.webp", "sub/ünï çode 画.bmp", "line\nbreak.png", "no extension"]
    for k, name in enumerate(names):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (20 + k, 30), 20 * k).save(path, format={".jpg": "JPEG", ".gif": "GIF"}.get(path.suffix, "PNG"))
    undecodable = os.fsencode(tmp_path) + b"/\xff\xfe.png"
    Image.new("L", (5, 5), 140).save(tmp_path / "x.png")
    os.rename(tmp_path / "x.png", undecodable)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "bad\nname.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.png").write_bytes(b"")
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path / "self")

    steps = []
    images, report = image_folder(tmp_path, size=8, channels=1, progress=lambda *step: steps.append(step))
    read = [os.path.relpath(os.fsencode(path), os.fsencode(tmp_path)) for path in report.paths]
    assert read == sorted([name.encode() for name in names] + [b"\xff\xfe.png"])
    values = {name.encode(): 20 * k for k, name in enumerate([*names])} | {b"\xff\xfe.png": 140}
    assert np.abs(images[:, 4, 4, 0].astype(int) - [values[name] for name in read]).max() <= 2
    assert images.shape == (8, 8, 8, 1)
    assert [error.argument for error in report.skipped] == [
        repr(str(tmp_path / name)) for name in ("bad\nname.png", "notes.txt", "self")
    ]
    lines = str(report).split("\n")
    assert lines[0] == "8 images read, 3 files skipped"
    assert len(lines) == 4
    str(report).encode()  # no lone surrogates
    assert steps == [(k, 11) for k in range(1, 12)]
    again, _ = image_folder(tmp_path, size=8, channels=1)
    assert np.array_equal(again, images)


def test_a_folder_that_cannot_be_listed_is_reported(tmp_path, monkeypatch):
    saved(tmp_path / "a.png", noise(4, 4))
    (tmp_path / "locked").mkdir()
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    images, report = image_folder(tmp_path, size=4)
    assert len(images) == 1
    assert [error.argument for error in report.skipped] == [repr(str(tmp_path / "locked"))]


def test_folders_without_an_image_are_refused(tmp_path):
    with pytest.raises(FormatError, match=r"image_folder: '.*': expected PNG, .* or GIF images, got no file\."):
        image_folder(tmp_path, size=4)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(FormatError, match=r"got 1 files, none of them readable; the first: read_image: '.*a\.txt'"):
        image_folder(tmp_path, size=4)
    for name in ("a.txt", "missing"):
        with pytest.raises(FormatError, match="expected a folder, got no such folder"):
            image_folder(tmp_path / name, size=4)


def test_a_folder_of_too_many_pixels_is_refused_before_anything_is_read(tmp_path):
    for k in range(90):
        (tmp_path / f"{k}.png").write_bytes(b"")
    with pytest.raises(
        FormatError, match=r"at most 4 GiB of pixels, got 90 files at 4096x4096x3. Fix: choose a smaller"
    ):
        image_folder(tmp_path, size=4096)
