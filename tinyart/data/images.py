"""A person's own pictures: a folder of image files, or an npz of pixels, as one uint8 array (N, S, S, C)."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from tinyart.data.files import MAX_BYTES, Report, files_below, reading, shown
from tinyart.data.npz import npz_array
from tinyart.errors import ArgumentError, FormatError

if TYPE_CHECKING:
    from PIL.Image import Image

# TIFF is left out: what its decoder allocates follows from its tags, not from the size that can be read first.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
MAX_PIXELS = 32_000_000
WHITE = (255, 255, 255)
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def image_folder(
    folder: str | Path,
    *,
    size: int,
    channels: int = 3,
    background: tuple[int, int, int] = WHITE,
    max_pixels: int = MAX_PIXELS,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[np.ndarray, Report]:
    """Every image below `folder` as uint8 (N, size, size, channels), in the order of their names, and a Report.

    Files that cannot be read are skipped and reported. Names that start with a dot are passed over; links to
    folders are not followed, so a loop of links ends. progress(files done, files in all). Raises FormatError
    where no image is left, or where the result would pass 4 GiB.
    """
    _check_settings("image_folder", size, channels)
    paths = files_below("image_folder", folder)
    if len(paths) * size * size * channels > MAX_BYTES:
        what = f"{len(paths)} files at {size}x{size}x{channels}"
        raise FormatError("image_folder", shown(folder), "at most 4 GiB of pixels", what, fix="choose a smaller size")
    images, report = np.empty((len(paths), size, size, channels), np.uint8), Report("images")
    for done, path in enumerate(paths, 1):
        try:
            image = read_image(path, size=size, channels=channels, background=background, max_pixels=max_pixels)
            images[len(report.paths)] = image
            report.paths.append(path)
        except FormatError as error:
            report.skipped.append(error)
        if progress:
            progress(done, len(paths))
    if not report.paths:
        why = f"{len(paths)} files, none of them readable" if paths else "no file"
        first = f"; the first: {report.skipped[0]}" if paths else ""
        raise FormatError("image_folder", shown(folder), f"{_names()} images", why + first)
    return images[: len(report.paths)], report


def read_image(
    path: str | Path,
    *,
    size: int,
    channels: int = 3,
    background: tuple[int, int, int] = WHITE,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """The centre square of an image of any mode, resized: uint8 (size, size, channels).

    channels: 1 grey, 3 RGB over `background` where the image is transparent, 4 RGBA. Turned upright by its EXIF
    orientation; 16-bit grey is scaled, of an animation the first frame is taken. Nothing is decoded before the
    size is known to be at most `max_pixels` (and Pillow's own limit). Raises FormatError for every bad file.
    """
    from PIL import Image, ImageOps

    _check_settings("read_image", size, channels)
    with reading("read_image", path, f"a {_names()} image"), open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        _check_size(path, file, max_pixels)
        with Image.open(file, formats=FORMATS) as image:
            image.draft("RGB", (2 * size, 2 * size))  # lets JPEG decode at 1/2, 1/4 or 1/8
            image.load()
            square = ImageOps.fit(_in_colour(image), (size, size), Image.Resampling.LANCZOS)
            ImageOps.exif_transpose(square, in_place=True)
            if channels != 4 and square.mode == "RGBA":
                square = Image.alpha_composite(Image.new("RGBA", square.size, (*background, 255)), square)
            return np.array(square.convert(_MODES[channels])).reshape(size, size, channels)


def _check_settings(operation: str, size: int, channels: int) -> None:
    if channels not in _MODES:
        raise ArgumentError(operation, "channels", "1, 3 or 4", f"{channels}")
    if not 1 <= size <= 4096:
        raise ArgumentError(operation, "size", "1 to 4096", f"{size}")


def _check_size(path: str | Path, file: IO[bytes], max_pixels: int) -> None:
    """Refuse what is too large by its header, then PNGs whose checksums differ, which decoding may not notice."""
    from PIL import Image, UnidentifiedImageError

    most = 8 * max_pixels + (1 << 20)  # 16-bit RGBA, uncompressed, and a header: some decoders read the whole file
    if (count := os.fstat(file.fileno()).st_size) > most:
        raise FormatError("read_image", shown(path), f"a file of at most {most} bytes", f"{count}")
    if count == 0:
        raise FormatError("read_image", shown(path), f"a {_names()} image", "an empty file")
    try:
        image = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError as error:
        got = "another format, or a damaged header"
        raise FormatError("read_image", shown(path), f"a {_names()} image", got) from error
    with image:
        width, height = image.size
        if width * height > max_pixels:
            fix = "make it smaller, or raise max_pixels"
            raise FormatError("read_image", shown(path), f"at most {max_pixels} pixels", f"{width}x{height}", fix=fix)
        image.verify()


def _in_colour(image: "Image") -> "Image":
    """RGB, or RGBA where some of it may be transparent: modes that can be resized."""
    from PIL import Image

    if image.mode.startswith("I;16"):  # convert() would clip at 255 where it should scale
        grey = np.asarray(image)
        image = Image.fromarray((grey // 257 + (grey % 257 > 128)).astype(np.uint8))  # grey / 257, rounded
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _names() -> str:
    return f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"


def image_archive(path: str | Path, *, channels: int = 3, background: tuple[int, int, int] = WHITE) -> np.ndarray:
    """The images of an npz: its key `images` or `rgba`, uint8 (N, H, W) or (N, H, W, C) -> (N, H, W, channels).

    C is `channels`, or 4 with `channels` 3, which lays them over `background`. Raises FormatError.
    """
    images = npz_array(path, "images", "rgba")
    if images.ndim == 3:
        images = images[..., None]  # (N, H, W, 1)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (channels, channels + (channels == 3)):
        expected = f"images uint8 (N, H, W, {channels})"
        raise FormatError("image_archive", shown(path), expected, f"{images.dtype} {images.shape}")
    return over(images, background) if images.shape[3] > channels else images


def over(rgba: np.ndarray, background: tuple[int, int, int] = WHITE) -> np.ndarray:
    """RGBA over one colour, uint8 (..., 4) -> (..., 3): (alpha rgb + (255 - alpha) background) / 255, rounded."""
    rgb, ground = np.empty((*rgba.shape[:-1], 3), np.uint8), np.array(background, np.uint16)
    for k, image in enumerate(rgba):  # one by one: the sums take 16 bits, and 255 * 255 + 127 fits
        alpha = image[..., 3:].astype(np.uint16)
        rgb[k] = (alpha * image[..., :3] + (255 - alpha) * ground + 127) // 255
    return rgb
