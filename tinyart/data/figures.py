"""Figures of arrays, drawn with Pillow alone, as uint8 (H, W, 3): matrices, clouds of points, panels with captions."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyart.data.plot import _COLOURS
from tinyart.data.sheet import to_uint8
from tinyart.errors import ShapeError

_BLUE, _WHITE, _ORANGE = (np.array(c, np.float64) for c in ((33, 84, 156), (255, 255, 255), (205, 83, 24)))
_CLASSES = (*_COLOURS, "#111111", "#e3b8d1")  # ten: of digits, and of the families of art


def heatmap(values: Any, *, scale: int = 1, limit: float | None = None) -> np.ndarray:
    """A matrix (H, W) as blue (-limit), white (0) and orange (limit), each entry a square of `scale` pixels.

    limit: the largest |value| by default. What is beyond it has its colour.
    """
    matrix = np.asarray(values, np.float64)
    if matrix.ndim != 2 or not matrix.size or not np.isfinite(matrix).all():
        raise ShapeError("heatmap", "values", "a matrix (H, W) of finite numbers", f"{matrix.shape}")
    share = np.clip(matrix / (limit or np.abs(matrix).max() or 1.0), -1, 1)[..., None]  # (H, W, 1)
    colours = _WHITE + np.where(share < 0, _BLUE - _WHITE, _ORANGE - _WHITE) * np.abs(share)
    pixels: np.ndarray = np.rint(colours).astype(np.uint8).repeat(scale, 0).repeat(scale, 1)
    return pixels


def scatter(points: Any, labels: Any = None, *, side: int = 480, radius: float = 2.5) -> np.ndarray:
    """Points (N, 2), x to the right and y up, coloured by `labels`, integers (N,): (side, side, 3)."""
    from PIL import Image, ImageDraw

    xy = np.asarray(points, np.float64)
    if xy.ndim != 2 or xy.shape[1] != 2 or not len(xy) or not np.isfinite(xy).all():
        raise ShapeError("scatter", "points", "(N, 2) finite numbers, N > 0", f"{xy.shape}")
    colours = np.zeros(len(xy), int) if labels is None else np.asarray(labels)
    low, high = xy.min(0), xy.max(0)
    places = (xy - (low + high) / 2) / max((high - low).max(), 1e-12) * (side - 24) * [1, -1] + side / 2  # one scale
    large = Image.new("RGB", (2 * side, 2 * side), "white")
    draw = ImageDraw.Draw(large)
    for (x, y), colour in zip(2 * places, colours, strict=True):
        draw.ellipse([x - 2 * radius, y - 2 * radius, x + 2 * radius, y + 2 * radius], _CLASSES[colour % len(_CLASSES)])
    return np.asarray(large.reduce(2))


def bars(names: Sequence[str], values: Sequence[float], *, width: int = 640) -> np.ndarray:
    """Horizontal bars of the lengths `values` ≥ 0, each under its name: (H, width, 3)."""
    from PIL import Image, ImageDraw, ImageFont

    if len(names) != len(values) or not names or not (np.isfinite(values).all() and min(values) >= 0):
        raise ShapeError("bars", "names, values", "as many of each, at least one, and values ≥ 0",
                         f"{len(names)} and {list(values)}")
    canvas, font = Image.new("RGB", (width, 40 * len(names) + 8), "white"), ImageFont.load_default(13)
    draw = ImageDraw.Draw(canvas)
    for k, (name, value) in enumerate(zip(names, values, strict=True)):
        draw.text((8, 40 * k + 8), name, "#2b2b33", font)
        length = (width - 16) * value / (max(values) or 1)
        draw.rectangle([8, 40 * k + 26, 8 + length, 40 * k + 40], _COLOURS[k % len(_COLOURS)])
    return np.asarray(canvas)


def panels(images: Sequence[Any], captions: Sequence[str] = (), *, columns: int | None = None) -> np.ndarray:
    """Images of any sizes, (H, W), (H, W, 1) or (H, W, 3), side by side on white, each over its caption."""
    from PIL import Image, ImageDraw, ImageFont

    pixels = [to_uint8(image, operation="panels") for image in images]
    pixels = [p if p.ndim == 3 else p[..., None] for p in pixels]
    if not pixels or any(p.ndim != 3 or p.shape[2] not in (1, 3) or not p.size for p in pixels):
        raise ShapeError("panels", "images", "(H, W) or (H, W, C) with C 1 or 3", f"{[p.shape for p in pixels]}")
    columns, font = columns or len(pixels), ImageFont.load_default(13)
    texts = [*captions, *[""] * (len(pixels) - len(captions))]
    width = max(*(p.shape[1] for p in pixels), *(int(font.getlength(text)) + 1 for text in texts)) + 16
    height = max(p.shape[0] for p in pixels) + (38 if captions else 16)
    rows = -(-len(pixels) // columns)
    canvas = Image.new("RGB", (width * columns, height * rows), "white")
    draw = ImageDraw.Draw(canvas)
    for k, (image, text) in enumerate(zip(pixels, texts, strict=True)):
        left, top = k % columns * width, k // columns * height
        panel = Image.fromarray(image if image.shape[2] == 3 else image.repeat(3, 2))
        x, y = left + (width - panel.width) // 2, top + 8
        draw.rectangle([x - 1, y - 1, x + panel.width, y + panel.height], outline="#d5d5dd")
        canvas.paste(panel, (x, y))
        draw.text((left + width / 2, top + height - 12), text, "#2b2b33", font, anchor="ms")
    return np.asarray(canvas)
