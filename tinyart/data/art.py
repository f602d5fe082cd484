"""A data set of small pictures that is drawn, not downloaded: ten families, any number, the same for ever.

Each family is a function of a generator and the plane: `x` to the right and `y` down, both in [0, 1], float32
(S, S), where S is three times the size asked for; the result is (S, S, 3) in [0, 1] and is averaged 3 x 3.
A family asks the generator for the same numbers at every size, so a larger size is the same picture, sharper.
"""

import math
from collections.abc import Callable, Collection
from itertools import pairwise
from types import EllipsisType

import numpy as np

from tinyart.errors import ArgumentError

Plane = np.ndarray  # (S, S) float32
Canvas = np.ndarray  # (S, S, 3) float32
Part = tuple[slice, slice] | EllipsisType

_FINER = 3
_MAX_SIZE = 1024


def _colours(*codes: str) -> np.ndarray:
    """Hexadecimal colours as float32 (codes, 3) in [0, 1]."""
    return np.array([list(bytes.fromhex(code)) for code in codes], np.float32) / 255


# Light, dark, three accents.
_PALETTES = (
    _colours("f2e8d5", "1d2b3a", "d1422f", "e0a526", "2a6f97"),
    _colours("fbe9d7", "2d1e3e", "e4572e", "f3a712", "a23e8c"),
    _colours("eef0dc", "17301c", "4f8a4b", "c9a227", "a44a3f"),
    _colours("e8f4f2", "0b2545", "13809c", "8dd3c7", "f2785c"),
    _colours("f7e9ea", "2a1a2b", "c2446e", "6c4ab6", "f0a6a0"),
    _colours("f6e7cf", "3b2418", "c8673a", "8aa399", "e3b667"),
    _colours("e6ebff", "10103a", "4b5fd1", "f4d35e", "ee6c8c"),
    _colours("eef2f5", "22313f", "5b8e9e", "d98f6c", "b8c480"),
)
_PRIMARIES = _colours("f1ead8", "16161a", "c8281e", "edc418", "1c4fa0")
# From the zenith down to the horizon, then sun and ground.
_SKIES = (
    _colours("2b2d6e", "b0488f", "ff9a62", "ffe9a8", "1d1436"),
    _colours("123a6b", "5a8fc0", "f7c59f", "fff3d6", "14263f"),
    _colours("3a1c5a", "d1495b", "f79256", "fbd87f", "27102f"),
    _colours("0b3948", "3fa796", "f6d186", "fff1c9", "0f2a2e"),
    _colours("4a2040", "e0607e", "ffc2a1", "fff0e0", "2e1530"),
    _colours("0d1b3e", "27548a", "8fb8de", "f4f1de", "0a1126"),
)


def art(n: int, *, size: int = 32, seed: int = 0,
        families: Collection[str] | None = None) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """n pictures, uint8 (n, size, size, 3), their families, int64 (n,), and the families' names.

    Picture i depends on (seed, i) alone and is of family i mod 10. families: of the n pictures, only those of these
    are drawn. About 1 ms a picture at size 32.
    """
    if n < 0 or not 4 <= size <= _MAX_SIZE or not 0 <= seed < 1 << 63:
        expected = f"n >= 0, 4 <= size <= {_MAX_SIZE} and 0 <= seed < 2**63"
        raise ArgumentError("art", "n, size, seed", expected, f"{n}, {size}, {seed}")
    if not set(families or ()) <= set(FAMILIES):
        raise ArgumentError("art", "families", f"some of {','.join(FAMILIES)}", ",".join(families or ()))
    ticks = (np.arange(size * _FINER, dtype=np.float32) + 0.5) / (size * _FINER)
    y, x = (np.ascontiguousarray(axis) for axis in np.meshgrid(ticks, ticks, indexing="ij"))  # (S, S) each
    numbers = [i for i in range(n) if families is None or FAMILIES[i % len(FAMILIES)] in families]
    images, labels = np.empty((len(numbers), size, size, 3), np.uint8), np.array(numbers, np.int64) % len(FAMILIES)
    for image, i, label in zip(images, numbers, labels, strict=True):
        rng = np.random.Generator(np.random.Philox(key=np.array([seed, i], np.uint64)))
        fine = _FAMILIES[label](rng, x, y).reshape(size, _FINER, size, _FINER, 3)
        image[...] = np.rint(np.clip(fine.mean(axis=(1, 3)), 0, 1) * 255)
    return images, labels, FAMILIES


# ---- brushes


def _ground(x: Plane, colour: np.ndarray) -> Canvas:
    return np.broadcast_to(colour, (*x.shape, 3)).astype(np.float32)


def _paint(canvas: Canvas, colour: np.ndarray, distance: Plane, part: Part = ...) -> None:
    """Lay a colour on a part where the signed distance to a shape is negative, with an edge one sample wide."""
    cover = np.clip(0.5 - distance * len(canvas), 0, 1)[..., None]  # (S, S, 1)
    canvas[part] += cover * (colour - canvas[part])


def _window(x: Plane, low: np.ndarray, high: np.ndarray) -> Part:
    """The samples from the point `low` to the point `high`: small shapes need not touch the rest."""
    (left, top), (right, bottom) = (np.clip((low, high), 0, 1) * len(x)).astype(int).tolist()
    return slice(top, bottom + 1), slice(left, right + 1)


def _ramp(colours: np.ndarray, t: Plane) -> Canvas:
    """Colours at t in [0, 1], between the given ones in equal steps."""
    stops = np.linspace(0, 1, len(colours))
    table = np.stack([np.interp(np.linspace(0, 1, 256), stops, channel) for channel in colours.T], axis=1)
    canvas: Canvas = table.astype(np.float32)[(np.clip(t, 0, 1) * 255).astype(np.intp)]  # (S, S, 3)
    return canvas


def _waves(rng: np.random.Generator, x: Plane, y: Plane, frequency: float, count: int = 5) -> Plane:
    """A smooth random landscape in about [-1, 1]: a sum of `count` plane waves of up to `frequency` periods."""
    angle, length, phase = rng.uniform((0, 0.4, 0), (math.tau, 1, math.tau), (count, 3)).astype(np.float32).T
    fx, fy = math.tau * frequency * length * (np.cos(angle), np.sin(angle))
    return sum((np.cos(fx[k] * x + fy[k] * y + phase[k]) for k in range(count)), np.zeros_like(x)) / math.sqrt(count)


def _to_segment(x: Plane, y: Plane, start: np.ndarray, end: np.ndarray) -> Plane:
    """Distance to the segment from `start` to `end`."""
    (ax, ay), (dx, dy) = start, end - start
    along = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy + np.float32(1e-12)), 0, 1)
    distance: Plane = np.hypot(x - ax - along * dx, y - ay - along * dy)
    return distance


def _cells(x: Plane, y: Plane, count: int) -> tuple[np.ndarray, np.ndarray, Plane, Plane]:
    """Row and column of each sample in a board of count x count squares, and x and y in its square."""
    row, column = (y * count).astype(np.intp), (x * count).astype(np.intp)
    return row, column, x * count - column, y * count - row


def _pick(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Light, dark and the three accents, shuffled, of one palette."""
    palette = _PALETTES[rng.integers(len(_PALETTES))]
    return palette[0], palette[1], rng.permutation(palette[2:])


# ---- families


def _planes(rng: np.random.Generator, x: Plane, y: Plane) -> Canvas:
    """Coloured planes between black bars, after Mondrian: a square cut in two again and again."""
    boxes = [(0.0, 0.0, 1.0, 1.0)]
    for _ in range(rng.integers(4, 8)):
        boxes.sort(key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
        left, top, right, bottom = boxes.pop()
        cut = rng.uniform(0.3, 0.7)
        if (right - left) * rng.uniform(0.7, 1.4) > bottom - top:
            middle = left + cut * (right - left)
            boxes += [(left, top, middle, bottom), (middle, top, right, bottom)]
        else:
            middle = top + cut * (bottom - top)
            boxes += [(left, top, right, middle), (left, middle, right, bottom)]
    canvas, bar = _ground(x, _PRIMARIES[1]), rng.uniform(0.012, 0.026)
    colours = rng.choice(5, len(boxes), p=[0.48, 0.04, 0.17, 0.16, 0.15])
    for (left, top, right, bottom), colour in zip(boxes, colours, strict=True):
        edges = [left + bar - x, x - right + bar, top + bar - y, y - bottom + bar]
        _paint(canvas, _PRIMARIES[colour], np.maximum.reduce(edges))
    return canvas


def _circles(rng: np.random.Generator, x: Plane, y: Plane) -> Canvas:
    """Rings around the middles of squares, after Kandinsky's study of colours."""
    light, dark, accents = _pick(rng)
    colours = np.concatenate([[light, dark], accents])  # (5, 3)
    count, rings = int(rng.integers(2, 5)), 4
    row, column, u, v = _cells(x, y, count)
    chosen = rng.permuted(np.tile(np.arange(5), (count, count, 1)), axis=2)  # neighbours in a cell differ
    radii = np.linspace(0.47, 0.12, rings) + rng.uniform(-0.04, 0.04, (count, count, rings))
    radius = np.hypot(u - 0.5, v - 0.5)
    canvas: Canvas = colours[chosen[row, column, 0]]  # (S, S, 3)
    for ring in range(rings):
        distance = (radius - radii.astype(np.float32)[row, column, ring]) / count
        _paint(canvas, colours[chosen[row, column, ring + 1]], distance)
    return canvas


def _roses(rng: np.random.Generator, x: Plane, y: Plane) -> Canvas:
    """Rose curves r = |cos(k theta / 2)| of k petals, one in the other, glowing from the middle."""
    light, dark, accents = _pick(rng)
    ground, centre = (dark, light) if rng.random() < 0.6 else (light, dark)
    dx, dy = x - 0.5 - rng.uniform(-0.05, 0.05), y - 0.5 - rng.uniform(-0.05, 0.05)
    radius, theta = np.hypot(dx, dy), np.arctan2(dy, dx)
    canvas = _ground(x, ground)
    petals, turn, reach = rng.integers(3, 9), rng.uniform(0, math.tau), rng.uniform(0.4, 0.5)
    for layer, colour in enumerate(accents):
        bend = turn + layer * math.pi / petals
        edge = reach * (1 - 0.28 * layer) * (0.25 + 0.75 * np.abs(np.cos(petals * (theta - bend) / 2)))
        shade = colour + (centre - colour) * np.clip(0.55 - radius / reach, 0, 1)[..., None]
        _paint(canvas, shade, radius - edge)
    _paint(canvas, centre, radius - 0.16 * reach)
    return canvas


def _truchet(rng: np.random.Generator, x: Plane, y: Plane) -> Canvas:
    """Truchet tiles: two quarter circles in each square, turned at random, join into winding ribbons."""
    light, dark, accents = _pick(rng)
    count = int(rng.integers(3, 6))
    row, column, u, v = _cells(x, y, count)
    turn = rng.integers(0, 2, (count, count))[row, column]
    u = np.where(turn == 1, 1 - u, u)
    near, far = np.hypot(u, v), np.hypot(1 - u, 1 - v)
    corner = np.minimum(near, far) - 0.5  # negative around the two corners that the arcs go round
    inside = (corner < 0) ^ ((row + column + turn) % 2 == 1)
    canvas = np.where(inside[..., None], accents[0], light).astype(np.float32)
    width = rng.uniform(0.1, 0.16)
    _paint(canvas, dark, (np.abs(corner) - width) / count)
    _paint(canvas, accents[1], (np.abs(corner) - width * 0.45) / count)
    return canvas


def _flow(rng: np.random.Generator, x: Plane, y: Plane) -> Canvas:
    """The lines of a flow are the level lines of its stream function: bands of colour between them."""
    light, dark, accents = _pick(rng)
    bend = rng.uniform(0.05, 0.12)
    stream = _waves(rng, x + bend * _waves(rng, x, y, 2), y + bend * _waves(rng, x, y, 2), 1.4)
    level = stream * np.float32(rng.uniform(2.2, 3.4)) + np.float32(rng.uniform(0, 5))
    colours = np.concatenate([[light], accents, [dark]])[[0, 1, 2, 4, 3]]  # (5, 3)
    band = np.floor(level).astype(int)
    blend = np.clip((level - band - 0.35) / 0.3, 0, 1).astype(np.float32)[..., None] ** 2  # (S, S, 1)
    here, above = colours[band % 5], colours[(band + 1) % 5]
    canvas: Canvas = here + (above - here) * blend
    return canvas


def _glass(rng: np.random.Generator, x: Plane, y: Plane) -> Canvas:
    """A stained window: Voronoi cells with lead between them, each brighter at its middle."""
    light, dark, accents = _pick(rng)
    side = 4
    cells = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2)  # (16, 2)
    points = ((cells + rng.uniform(0.08, 0.92, cells.shape)) / side).astype(np.float32)
    first, second, nearest = np.full_like(x, 9), np.full_like(x, 9), np.zeros(x.shape, np.intp)
    for k, (px, py) in enumerate(points):
        distance = np.hypot(x - px, y - py)
        nearest = np.where(distance < first, k, nearest)
        second = np.minimum(second, np.maximum(first, distance))
        first = np.minimum(first, distance)
    mixed = accents[rng.integers(0, 3, len(points))]
    mixed += (light - mixed) * rng.choice([0, 0.12, 0.45], (len(points), 1))
    glow = 1.12 - 1.4 * first[..., None]
    canvas = (mixed.astype(np.float32)[nearest] * glow).astype(np.float32)
    _paint(canvas, dark * 0.8, (second - first) / 2 - rng.uniform(0.012, 0.02))
    return canvas


def _sunsets(rng: np.random.Generator, x: Plane, y: Plane) -> Canvas:
    """A sun over ridges that grow darker as they come nearer, or over the sea that mirrors it."""
    sky = _SKIES[rng.integers(len(_SKIES))]
    horizon, sun_x = rng.uniform(0.55, 0.72), rng.uniform(0.25, 0.75)
    radius, height = rng.uniform(0.1, 0.18), rng.uniform(0.0, 0.25)
    canvas = _ramp(sky[:3], y / horizon)
    distance = np.hypot(x - sun_x, y - (horizon - height))
    canvas += (sky[3] - canvas) * np.exp(-((distance / radius / 1.6) ** 2))[..., None] * 0.55
    _paint(canvas, sky[3], distance - radius)
    if rng.random() < 0.4:
        sea = sky[4] + (sky[1] - sky[4]) * 0.45
        depth = np.clip((y - horizon) / (1 - horizon), 0, 1)
        _paint(canvas, sea + (sky[4] - sea) * depth[..., None], horizon - y)
        width = radius * (1 - 0.4 * depth) * (0.55 + 0.45 * np.cos(6 * math.tau * depth**0.7))
        ripple = np.abs(x - sun_x) - width
        _paint(canvas, sky[2] + (sky[3] - sky[2]) * 0.4, np.maximum(ripple, horizon - y + 0.01))
        return canvas
    for layer in range(3):
        far = (2 - layer) / 3
        top = horizon + 0.13 * layer - 0.02 + (0.05 + 0.02 * layer) * _waves(rng, x[:1], x[:1] * 0, 2.5 - 0.4 * layer)
        _paint(canvas, sky[4] + (sky[1] - sky[4]) * far, top - y)
    return canvas


def _plants(rng: np.random.Generator, x: Plane, y: Plane) -> Canvas:
    """A tree by the rule F -> F[+F][-F], with blossom at the tips."""
    light, dark, accents = _pick(rng)
    canvas = _ramp(np.stack([light, light + (accents[0] - light) * 0.3]), y)
    _paint(canvas, accents[0] * 0.75, 0.9 + 0.025 * np.cos(5 * x + rng.uniform(0, 6)) - y)
    spread, shrink = rng.uniform(0.35, 0.62), rng.uniform(0.7, 0.78)
    root, lean, height = np.array([rng.uniform(0.42, 0.58), 0.93]), rng.uniform(-0.15, 0.15), rng.uniform(0.2, 0.27)
    branches, wood = [(root, lean - math.pi / 2, height, 0.032)], np.full_like(x, 1)
    for _ in range(5):
        grown = []
        for start, angle, length, width in branches:
            end = start + length * np.array([math.cos(angle), math.sin(angle)])
            part = _window(x, np.minimum(start, end) - 0.05, np.maximum(start, end) + 0.05)
            wood[part] = np.minimum(wood[part], _to_segment(x[part], y[part], start, end) - width)
            for side in (-1, 1):
                turn = side * spread * rng.uniform(0.7, 1.25)
                grown.append((end, angle + turn, length * shrink * rng.uniform(0.85, 1.1), width * 0.68))
        branches = grown
    _paint(canvas, dark, wood)
    size, shades = rng.uniform(0.035, 0.055), rng.uniform(0, 0.5, (len(branches), 1)).astype(np.float32)
    for (tip, *_), blossom in zip(branches, accents[1] + (light - accents[1]) * shades, strict=True):
        part = _window(x, tip - 0.08, tip + 0.08)
        _paint(canvas, blossom, np.hypot(x[part] - tip[0], y[part] - tip[1]) - size, part)
    return canvas


# Strokes over the keys of a number pad: 7 8 9 above, 4 5 6, 1 2 3 below.
_GLYPHS = (
    "1793 46", "9713 46", "971 45", "71 93 46", "71 943", "17593", "1739", "17964", "179643", "974631",
    "79 82", "7139", "729", "73 91", "759 52", "7913", "1831", "84268", "713", "73 91 46",
)  # fmt: skip


def _glyphs(rng: np.random.Generator, x: Plane, y: Plane) -> Canvas:
    """A letter or rune, written with a broad pen on a sheet that is turned, sheared and waved."""
    light, dark, accents = _pick(rng)
    ground, ink = [(light, dark), (dark, light), (accents[0], light), (light, accents[0])][rng.integers(4)]
    canvas = _ramp(np.stack([ground, ground + (accents[1] - ground) * 0.35]), (x + y) / 2)
    angle, shear, stretch = rng.uniform(-0.25, 0.25), rng.uniform(-0.25, 0.25), rng.uniform(0.85, 1.1)
    wave, phase = rng.uniform(0.0, 0.06), rng.uniform(0, math.tau)
    u = x - 0.5 + wave * np.sin(6 * y + phase)
    v = y - 0.5 + wave * np.sin(6 * x + phase)
    u, v = (math.cos(angle) * u + math.sin(angle) * v) * stretch, math.cos(angle) * v - math.sin(angle) * u
    u = u + shear * v
    pen, letter = np.full_like(x, 1), np.full_like(x, 1)
    for stroke in _GLYPHS[rng.integers(len(_GLYPHS))].split():
        keys = np.array([int(key) - 1 for key in stroke])
        points = np.stack([keys % 3 - 1, 1 - keys // 3], axis=1) * np.array([0.22, 0.3], np.float32)  # (keys, 2)
        for start, end in pairwise(points):
            np.minimum(letter, _to_segment(u, v, start, end), out=letter)
            np.minimum(pen, _to_segment(u - 0.05, v - 0.05, start, end), out=pen)
    width = rng.uniform(0.045, 0.075)
    _paint(canvas, accents[2], pen - width)
    _paint(canvas, ink, letter - width)
    return canvas


def _ripples(rng: np.random.Generator, x: Plane, y: Plane) -> Canvas:
    """Rings from two places, added: interference, as on a pond."""
    light, dark, accents = _pick(rng)
    total = np.zeros_like(x)
    for px, py in rng.uniform(0, 1, (2, 2)).astype(np.float32):
        total += np.cos(math.tau * rng.uniform(2, 3.8) * np.hypot(x - px, y - py))
    return _ramp(np.stack([dark, dark, accents[0], accents[1], light, light]), 0.5 + total / 4)


_FAMILIES: tuple[Callable[[np.random.Generator, Plane, Plane], Canvas], ...] = (
    _planes, _circles, _roses, _truchet, _flow, _glass, _sunsets, _plants, _glyphs, _ripples,
)  # fmt: skip
FAMILIES = tuple(family.__name__[1:] for family in _FAMILIES)
