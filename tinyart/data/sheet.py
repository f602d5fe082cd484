"""Pictures of results, drawn with Pillow alone: sheets of images, animations, loss curves."""

import math
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from tinyart.data.files import replacing
from tinyart.errors import ArgumentError, ShapeError

_ANIMATIONS: dict[str, dict[str, Any]] = {
    ".gif": {"format": "GIF", "disposal": 1},
    ".webp": {"format": "WEBP", "lossless": True},
    ".png": {"format": "PNG"},
    ".apng": {"format": "PNG"},
}


def to_uint8(images: Any, *, operation: str = "to_uint8") -> np.ndarray:
    """Pixels as uint8: floats in [0, 1] times 255, rounded, what lies outside is clipped; uint8 as it is."""
    pixels = np.asarray(images)
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind != "f" or not np.isfinite(pixels).all():
        got = f"{pixels.dtype}" if pixels.dtype.kind != "f" else "NaN or infinite values"
        raise ArgumentError(operation, "images", "uint8, or finite floats in [0, 1]", got)
    rounded: np.ndarray = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    return rounded


def sheet(images: Any, *, columns: int | None = None, scale: int = 1, gap: int = 1) -> np.ndarray:
    """Images (N, H, W, C), C 1, 3 or 4, uint8 or floats in [0, 1], side by side on white: uint8 (rows, cols, C).

    columns: the smallest square grid by default. scale repeats each pixel; gap: pixels between and around.
    """
    pixels = to_uint8(images, operation="sheet")
    if pixels.ndim != 4 or pixels.shape[3] not in (1, 3, 4) or 0 in pixels.shape:
        raise ShapeError("sheet", "images", "(N, H, W, C) with C 1, 3 or 4 and no size 0", f"{pixels.shape}")
    columns = math.ceil(math.sqrt(len(pixels))) if columns is None else columns
    if columns < 1 or scale < 1 or gap < 0:
        got = f"{columns}, {scale}, {gap}"
        raise ArgumentError("sheet", "columns, scale, gap", "at least 1, 1 and 0", got)
    pixels = pixels.repeat(scale, axis=1).repeat(scale, axis=2)
    n, height, width, channels = pixels.shape
    rows, down, right = -(-n // columns), height + gap, width + gap
    canvas = np.full((gap + rows * down, gap + columns * right, channels), 255, np.uint8)
    for k, image in enumerate(pixels):
        top, left = gap + k // columns * down, gap + k % columns * right
        canvas[top : top + height, left : left + width] = image
    return canvas


def save_image(path: str | Path, image: Any) -> None:
    """Write one image (H, W) or (H, W, C), uint8 or floats in [0, 1], as PNG, whole or not at all."""
    data = png(image, operation="save_image")
    with replacing(path) as file:
        file.write(data)


def png(image: Any, *, operation: str = "png") -> bytes:
    """One image as the bytes of a PNG file."""
    _picture(to_uint8(image, operation=operation), operation).save(file := BytesIO(), "PNG")
    return file.getvalue()


def save_animation(path: str | Path, frames: Any, *, fps: float = 12.0) -> None:
    """Write frames (T, H, W, C) as an endless GIF, WebP or APNG, after the ending .gif, .webp, .png or .apng.

    fps: at most 50, above which browsers slow a GIF down. GIF keeps 256 colours a frame, the others keep all.
    """
    settings = _ANIMATIONS.get(Path(path).suffix.lower())
    if settings is None:
        raise ArgumentError("save_animation", "path", f"an ending {', '.join(_ANIMATIONS)}", repr(str(path)))
    if not 0 < fps <= 50:
        raise ArgumentError("save_animation", "fps", "0 < fps <= 50", f"{fps}")
    pictures = [_picture(frame, "save_animation") for frame in to_uint8(frames, operation="save_animation")]
    if not pictures:
        raise ShapeError("save_animation", "frames", "at least one frame", "none")
    with replacing(path) as file:
        pictures[0].save(
            file, save_all=True, append_images=pictures[1:], duration=round(1000 / fps), loop=0, **settings
        )


def _picture(pixels: np.ndarray, operation: str) -> Any:
    from PIL import Image

    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]  # (H, W)
    if pixels.ndim not in (2, 3) or 0 in pixels.shape or pixels.shape[2:] not in ((), (3,), (4,)):
        raise ShapeError(operation, "image", "(H, W) or (H, W, C) with C 1, 3 or 4 and no size 0", f"{pixels.shape}")
    return Image.fromarray(pixels)
