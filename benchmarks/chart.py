"""The chart of the suite, drawn with Pillow: a bar for each ratio, and how the time of a step grows."""

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.report import OURS, Rows, in_order, ratio, times
from tinyart.data.files import replacing

WIDTH, LABELS, LINE, PANEL = 1000, 300, 20, 260  # pixels; a panel is PANEL high
INK, GREY, GRID = "#2b2b33", "#7a7a85", "#e0e0e8"
FASTER, SLOWER = "#2f6fb7", "#d9622b"
COLOURS = ("#2f6fb7", "#d9622b", "#3f9a6b", "#b23a6f", "#8a6fc9")


def chart(path: Path, rows: Rows) -> None:
    """Write the PNG: rows that have a ratio, the worst first, but growth/FAMILY/AXIS-VALUE as curves."""
    from PIL import Image, ImageDraw, ImageFont

    bars = [name for name in in_order(rows) if ratio(rows[name]) and not name.startswith("growth/")]
    curves = families(rows)
    top = 60 + LINE * len(bars)
    picture = Image.new("RGB", (WIDTH, top + PANEL * -(-len(curves) // 2) + 20), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(12)
    draw.text((LABELS, 10), "the fastest peer's time over tinyart's: right of 1 tinyart is faster", INK, font)
    _bars(draw, font, [(name, ratio(rows[name]) or 1.0) for name in bars])
    for number, (family, points) in enumerate(curves.items()):
        x, y = (number % 2) * WIDTH // 2, top + number // 2 * PANEL
        _curves(draw, font, family, points, (x + 70, y + 40, x + WIDTH // 2 - 20, y + PANEL - 40))
    with replacing(path) as file:
        picture.save(file, "PNG")


def families(rows: Rows) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """ "mlp-gan, batch" -> contender -> [(16, seconds), ..] of rows growth/mlp-gan/batch-16, .."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for name, row in rows.items():
        if match := re.fullmatch(r"growth/(.*)/(\w+)-(\d+)", name):
            for contender, seconds in times(row).items():
                curves = found.setdefault(f"{match[1]}, {match[2]}", {})
                curves.setdefault(contender, []).append((float(match[3]), seconds))
    return {family: {name: sorted(points) for name, points in curves.items()} for family, curves in found.items()}


def _bars(draw: Any, font: Any, ratios: Sequence[tuple[str, float]]) -> None:
    reach = max([2.0, *(max(r, 1 / r) for _, r in ratios)])
    room = (WIDTH - LABELS) / 2
    scale, middle = (room - 45) / math.log(reach), LABELS + room  # a number fits beside the longest bar
    for number, (name, value) in enumerate(ratios):
        y, end = 40 + LINE * number, middle + scale * math.log(value)
        draw.rectangle([min(middle, end), y, max(middle, end), y + LINE - 6], FASTER if value >= 1 else SLOWER)
        draw.text((LABELS - 8, y + LINE / 2 - 3), name, INK, font, anchor="rm")
        draw.text((end + (6 if value >= 1 else -6), y + LINE / 2 - 3), f"{value:.2f}", GREY, font,
                  anchor="lm" if value >= 1 else "rm")
    draw.line([middle, 34, middle, 40 + LINE * len(ratios)], INK)


def _curves(draw: Any, font: Any, family: str, curves: dict[str, list[tuple[float, float]]], box: Any) -> None:
    """Both axes are logarithmic."""
    left, top, right, bottom = box
    xs = sorted({x for points in curves.values() for x, _ in points})
    ys = [y for points in curves.values() for _, y in points]
    low, high = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)) + 1e-9)

    def place(x: float, y: float) -> tuple[float, float]:
        across = math.log(x / xs[0]) / math.log(xs[-1] / xs[0]) if xs[-1] > xs[0] else 0.5
        return left + (right - left) * across, bottom - (bottom - top) * (math.log10(y) - low) / max(1, high - low)

    draw.text((left, top - 32), f"seconds a step: {family}", INK, font)
    for power in range(low, high + 1):
        _, y = place(xs[0], 10.0**power)
        draw.line([left, y, right, y], GRID)
        draw.text((left - 6, y), f"{10.0**power:g}", GREY, font, anchor="rm")
    for x in xs:
        draw.text((place(x, 10.0**low)[0], bottom + 6), f"{x:g}", GREY, font, anchor="mt")
    across = left
    for name, colour in zip([OURS, *sorted(curves.keys() - {OURS})], COLOURS, strict=False):
        points = [place(*point) for point in curves.get(name, [])]
        for a, b in pairwise(points):
            draw.line([*a, *b], colour, 2)
        for x, y in points:
            draw.ellipse([x - 3, y - 3, x + 3, y + 3], colour)
        draw.line([across, top - 10, across + 16, top - 10], colour, 3)
        draw.text((across + 20, top - 10), name, INK, font, anchor="lm")
        across += 30 + draw.textlength(name, font)
