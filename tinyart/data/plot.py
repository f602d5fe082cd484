"""Loss curves as a small PNG, drawn with Pillow alone."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyart.data.files import replacing
from tinyart.errors import ArgumentError

Curve = Sequence[tuple[float, float]]

_SIZE = (800, 420)
_LEFT, _TOP, _RIGHT, _BOTTOM = 72, 52, 776, 372  # the box of the axes, in pixels
_FINER = 3  # lines are drawn this many times larger and averaged, text is not
_INK, _GREY, _GRID = "#2b2b33", "#7a7a85", "#e8e8ee"
_COLOURS = ("#2f6fb7", "#d9622b", "#3f9a6b", "#b23a6f", "#8a6fc9", "#b08c1e", "#3a9fae", "#6b6b6b")
_BANDS = ("#d3e0f0", "#f8dfd3", "#d6ebdf", "#f0d5e1", "#e6dff4", "#eee6cc", "#d5ecef", "#e0e0e0")
_TOO_LARGE = 1e30


def loss_plot(path: str | Path, curves: Mapping[str, Curve], *, xlabel: str = "step") -> None:
    """Write `line_plot` as a PNG."""
    picture = _plot(curves, xlabel)
    with replacing(path) as file:
        picture.save(file, "PNG")


def line_plot(curves: Mapping[str, Curve], *, xlabel: str = "step") -> np.ndarray:
    """`curves`, name -> [(x, value), ...], as lines on white, uint8 (420, 800, 3).

    Where a curve has more points than the plot has columns, its line is their mean, before a band that is their
    range. Values that are not finite (or above 1e30) leave a gap. Raises ArgumentError where no point is left.
    """
    return np.asarray(_plot(curves, xlabel))


def _plot(curves: Mapping[str, Curve], xlabel: str) -> Any:
    from PIL import Image, ImageDraw

    points = {name: _with_gaps(curve) for name, curve in curves.items()}
    drawn = np.concatenate([*points.values(), np.empty((0, 2))])  # (points, 2)
    drawn = drawn[~np.isnan(drawn[:, 1])]
    if not len(drawn):
        raise ArgumentError("line_plot", "curves", "a curve with a finite point", f"{list(curves)}")
    (x0, x1), (y0, y1) = _range(drawn[:, 0], margin=0.0), _range(drawn[:, 1], margin=0.05)
    scale = np.array([(_RIGHT - _LEFT) / (x1 - x0), (_TOP - _BOTTOM) / (y1 - y0)])
    pixels = [(xy - (x0, y0)) * scale + (_LEFT, _BOTTOM) for xy in points.values()]  # each (points, 2)
    xticks = {_LEFT + (x - x0) * scale[0]: label for x, label in _ticks(x0, x1).items()}
    yticks = {_BOTTOM + (y - y0) * scale[1]: label for y, label in _ticks(y0, y1).items()}

    large = Image.new("RGB", (_SIZE[0] * _FINER, _SIZE[1] * _FINER), "white")
    _draw_lines(ImageDraw.Draw(large), pixels, list(yticks))
    picture = large.reduce(_FINER)
    _draw_texts(ImageDraw.Draw(picture), list(points), xticks, yticks, xlabel)
    return picture


def _with_gaps(curve: Curve) -> np.ndarray:
    """(points, 2) in float64; NaN in the second column where there is nothing to draw."""
    xy = np.array(curve, np.float64).reshape(-1, 2)  # (points, 2)
    xy = xy[np.abs(xy[:, 0]) < _TOO_LARGE]
    xy[~(np.abs(xy[:, 1]) < _TOO_LARGE), 1] = np.nan
    return xy


def _range(values: np.ndarray, margin: float) -> tuple[float, float]:
    """Lowest and highest value, apart by the margin or, where they are equal, by a tenth."""
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-9 * max(abs(low), abs(high), 1e-20):
        margin, low, high = 0.0, low - 0.05 * (abs(low) or 1), high + 0.05 * (abs(high) or 1)
    return low - margin * (high - low), high + margin * (high - low)


def _ticks(low: float, high: float) -> dict[float, str]:
    """Four to ten multiples of 1, 2 or 5 times a power of ten, with their texts."""
    rough = (high - low) / 7
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    values = [k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
    if max(map(abs, values)) >= 1e6 or step < 1e-4:
        return {value: f"{value:.3g}" for value in values}
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return {value: f"{value:,.{decimals}f}" for value in values}


def _draw_lines(draw: Any, curves: list[np.ndarray], grid: list[float]) -> None:
    for y in grid:
        draw.line([_LEFT * _FINER, y * _FINER, _RIGHT * _FINER, y * _FINER], _GRID, _FINER)
    columns = [_by_column(xy) if len(xy) > _RIGHT - _LEFT else None for xy in curves]
    for k, column in enumerate(columns):
        if column is not None:
            for x, _, least, most in column[~np.isnan(column[:, 1])] * _FINER:
                draw.rectangle([x, most, x + _FINER, least], _BANDS[k % len(_BANDS)])
    for k, (xy, column) in enumerate(zip(curves, columns, strict=True)):
        line = (xy if column is None else column[:, :2]) * _FINER
        for run in np.split(line, np.flatnonzero(np.isnan(line[:, 1]))):
            run = run[~np.isnan(run[:, 1])]
            colour, radius = _COLOURS[k % len(_COLOURS)], 2 * _FINER
            if len(run) == 1:
                draw.ellipse([*(run[0] - radius), *(run[0] + radius)], colour)
            elif len(run):
                draw.line([tuple(point) for point in run], colour, 2 * _FINER, joint="curve")
    draw.line([_LEFT * _FINER, _BOTTOM * _FINER, _RIGHT * _FINER, _BOTTOM * _FINER], _INK, _FINER)


def _by_column(xy: np.ndarray) -> np.ndarray:
    """Pixels (points, 2) -> (columns, 4): x, mean, lowest and highest y of each column of pixels."""
    order = np.argsort(xy[:, 0], kind="stable")
    whole = np.minimum(np.floor(xy[order, 0]), _RIGHT - 1)  # the right end is no column of its own
    columns, starts = np.unique(whole, return_index=True)
    groups = np.split(xy[order, 1], starts[1:])
    groups = [group[~np.isnan(group)] for group in groups]
    rows = [(group.mean(), group.max(), group.min()) if len(group) else (np.nan,) * 3 for group in groups]
    return np.column_stack([columns, np.array(rows)])  # y grows downwards: the lowest value has the largest y


def _draw_texts(draw: Any, names: list[str], xticks: dict[float, str], yticks: dict[float, str], xlabel: str) -> None:
    from PIL import ImageFont

    font = ImageFont.load_default(13)
    for x, text in xticks.items():
        draw.line([x, _BOTTOM, x, _BOTTOM + 4], _INK)
        draw.text((x, _BOTTOM + 8), text, _GREY, font, anchor="mt")
    for y, text in yticks.items():
        draw.text((_LEFT - 8, y), text, _GREY, font, anchor="rm")
    draw.text(((_LEFT + _RIGHT) / 2, _SIZE[1] - 10), xlabel, _GREY, font, anchor="mb")
    x, y = _LEFT, 16
    for k, name in enumerate(names):
        name = " ".join(name.split())[:40]
        width = 28 + draw.textlength(name, font)
        if x + width > _RIGHT:
            x, y = _LEFT, y + 18
        draw.line([x, y, x + 18, y], _COLOURS[k % len(_COLOURS)], 3)
        draw.text((x + 24, y), name, _INK, font, anchor="lm")
        x += int(width) + 20
