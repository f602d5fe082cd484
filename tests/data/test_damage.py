"""2,000 damaged files: each is refused with FormatError or read right, in little memory, without a warning.

"Right" is exact where the format has checksums (PNG, gzip, zip). JPEG, WebP, BMP and GIF have none: a flipped bit
may change pixels there, so only shape, dtype and the way of refusal are asked.
"""

import gzip
import io
import resource
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tinyart.data import image_archive, read_idx, read_image
from tinyart.errors import FormatError

PIXELS = np.random.default_rng(1).integers(0, 256, (24, 24, 3)).astype(np.uint8)
STACK = np.random.default_rng(2).integers(0, 256, (4, 9, 7, 3)).astype(np.uint8)
SIDE, MAX_PIXELS = 24, 1_000_000


def encoded(image: Image.Image, extension: str, **settings) -> bytes:
    file = io.BytesIO()
    image.save(file, extension, **settings)
    return file.getvalue()


def archive(save: Callable[..., None]) -> bytes:
    file = io.BytesIO()
    save(file, images=STACK)
    return file.getvalue()


RGB = Image.fromarray(PIXELS)
GREY = RGB.convert("L")
IDX = b"\0\0\x08\x04" + b"".join(size.to_bytes(4, "big") for size in STACK.shape) + STACK.tobytes()


def image_reader(path: Path) -> np.ndarray:
    return read_image(path, size=SIDE, max_pixels=MAX_PIXELS)


EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\0"
# name: (bytes, reader, what the whole file holds, or None where a flip may change pixels), files
CASES = {
    "png": (encoded(RGB, "PNG"), image_reader, PIXELS, 400),
    "png with palette": (encoded(RGB.quantize(200), "PNG", transparency=3), image_reader, None, 100),
    "png of 16 bits": (encoded(Image.fromarray(PIXELS[..., 0] * np.uint16(257)), "PNG"), image_reader, None, 100),
    "jpeg": (encoded(RGB, "JPEG"), image_reader, None, 200),
    "jpeg with exif": (encoded(GREY, "JPEG", exif=EXIF, progressive=True), image_reader, None, 100),
    "webp": (encoded(RGB, "WEBP"), image_reader, None, 100),
    "webp lossless": (encoded(RGB.convert("RGBA"), "WEBP", lossless=True), image_reader, None, 100),
    "bmp": (encoded(RGB, "BMP"), image_reader, None, 150),
    "gif": (encoded(RGB, "GIF", save_all=True, append_images=[RGB.rotate(90)]), image_reader, None, 200),
    "idx": (gzip.compress(IDX, mtime=0), read_idx, STACK, 250),
    "npz": (archive(np.savez_compressed), image_archive, STACK, 200),
    "npz, stored": (archive(np.savez), image_archive, STACK, 100),
}  # fmt: skip


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Cut somewhere, or one to eight bits flipped, half of the time within the first 64 bytes; both; bytes doubled."""
    raw = np.frombuffer(data, np.uint8).copy()
    kind = rng.integers(5)
    if kind != 0:
        reach = len(raw) if rng.random() < 0.5 else 64
        for place in rng.integers(0, reach, rng.integers(1, 9)):
            raw[place] ^= 1 << rng.integers(8)
    if kind <= 1:
        raw = raw[: rng.integers(0, len(raw))]
    if kind == 2:
        start = rng.integers(0, len(raw))
        raw = np.concatenate([raw, raw[start:]])
    return raw.tobytes()


@pytest.fixture
def little_memory():
    """Any allocation of 512 MiB or more fails for the length of a test (Linux)."""
    if sys.platform != "linux":
        pytest.skip("limits the address space by way of Linux")
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    old = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + (512 << 20), old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, old)


def outcome(path: Path, read: Callable[[Path], np.ndarray], whole: np.ndarray, exact: bool) -> str:
    try:
        array = read(path)
    except FormatError as error:
        message = str(error)
        assert repr(str(path)) in message
        assert "\n" not in message
        assert "MemoryError" not in message
        return "refused"
    assert (array.dtype, array.shape) == (whole.dtype, whole.shape)
    same = np.array_equal(array, whole)
    assert same or not exact
    return "the same" if same else "other pixels"


def test_the_cases_are_two_thousand():
    assert sum(count for *_, count in CASES.values()) == 2000


@pytest.mark.parametrize("name", CASES)
def test_damaged_files_are_refused_or_right(name, tmp_path, little_memory):
    data, read, true, count = CASES[name]
    path = tmp_path / "file"
    path.write_bytes(data)
    whole = read(path)
    assert true is None or np.array_equal(whole, true)
    exact = not name.startswith(("jpeg", "webp", "bmp", "gif"))
    rng, counts = np.random.default_rng(len(data)), Counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(count):
            path.write_bytes(damaged(data, rng))
            counts[outcome(path, read, whole, exact)] += 1
    print(name, dict(counts))
    assert counts["refused"] > count / 10


def test_a_flipped_pixel_of_a_plain_idx_file_is_that_pixel(tmp_path):
    """No checksum: what the header's three numbers and the length agree on is read as it lies there."""
    path, rng, counts = tmp_path / "file", np.random.default_rng(5), Counter()
    for _ in range(300):
        raw = damaged(IDX, rng)
        path.write_bytes(raw)
        try:
            array = read_idx(path)
        except FormatError:
            counts["refused"] += 1
        else:
            counts["read"] += 1
            header = 4 + 4 * raw[3]
            assert array.astype(array.dtype.newbyteorder(">")).tobytes() == raw[header:]
    assert min(counts["refused"], counts["read"]) > 30


MAGIC = [b"", b"\0\0\x08\1", b"\x1f\x8b\x08\0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"\xff\xd8\xff",
         b"RIFF\x40\0\0\0WEBPVP8 ", b"PK\3\4"]


@given(st.binary(max_size=200), st.sampled_from(MAGIC))
def test_no_bytes_at_all_raise_anything_else(tmp_path_factory, content, magic):
    path = tmp_path_factory.mktemp("bytes") / "file"
    path.write_bytes(magic + content)
    for read in (read_idx, image_reader, image_archive):
        try:
            array = read(path)
        except FormatError as error:
            assert "MemoryError" not in str(error)  # noqa: PT017  (most of these bytes are no file, some are)
        else:
            assert array.nbytes <= max(len(content) * 1032, 3 * SIDE * SIDE)
