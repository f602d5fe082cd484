"""Convolutions 3 × 3 of stride 1 by Winograd's F(2 × 2, 3 × 3): 16 multiplications where there were 36.

    Y = Aᵀ [Σ_c (G w Gᵀ) ⊙ (Bᵀ d B)] A + b      Lavin & Gray 2016, section 4.1

         1  0 -1  0          1   0   0
    Bᵀ = 0  1  1  0      G = ½   ½   ½      Aᵀ = 1  1  1  0      d 4 × 4 pixels of x, Y 2 × 2 of y, w the kernel of
         0 -1  1  0          ½  -½   ½           0  1 -1 -1      channel c; ⊙ place by place
         0  1  0 -1          0   0   1

Each of the 16 places is a product of matrices: the squares d as rows, over the channels of x, by those of y. A task is
so many squares that d and the products, 64 (C + O) bytes a square, take some 400 kB of the second-level cache.

Counts: for a square 16·C·O multiply-adds where the sum itself takes up to 36·C·O, 32·C + 24·O + 4·O additions, and
16·(C + O) numbers stored and read again in the cache: a tenth of the products' time at 64 channels.

A number that is not finite, or a sum near the largest float, would spread over its square: `conv` says whether y is
finite, and it is computed as it stands if not.
"""

import numpy as np

from ..reference.conv import Array, Pair
from .compiling import compiled
from .linear import product
from .threads import share
from .tile import COLUMNS, LANES, ROWS, TILE, TRANSFORM, UNTRANSFORM, call, keep, multiply

_G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)


def fits(channels: int, outputs: int, squares: int, pairs: int) -> bool:
    """Whether it is worth while. squares: 2 × 2 pixels of y; pairs: of a pixel and a tap inside the image."""
    return (channels % LANES == outputs % COLUMNS == 0 and channels >= 32 and squares >= 32
            and 16 * 1.3 * squares < pairs)  # fmt: skip


def conv(x: Array, w: Array, b: Array, y: Array, before: Pair, block: int) -> bool:
    """Fill y (N, OH, OW, O) from x (N, H, W, C), w (3, 3, C, O) and b (O,), and say whether it is finite.

    Pixel (0, 0) of y reads x from row and column -before on. block: the multiply-adds that are worth a thread.
    """
    channels, outputs = w.shape[2:]
    with np.errstate(over="ignore", invalid="ignore"):  # then y is not finite
        halves = product(_G, product(_G, w.reshape(3, -1)).reshape(4, 3, -1))  # (4, 4, C·O)
    u = np.ascontiguousarray(halves.reshape(16, channels, -1, COLUMNS).swapaxes(1, 2))  # (16, panels, C, COLUMNS)
    squares = y.shape[0] * (-(-y.shape[1] // 2)) * (-(-y.shape[2] // 2))
    at_once = max(1, min(16, 6250 // (channels + outputs) // ROWS)) * ROWS
    tasks = -(-squares // at_once)
    finite = np.zeros(tasks, np.bool_)
    geometry = tuple(map(int, (*x.shape[1:], *y.shape[1:], *before, squares, at_once)))
    share(_squares, tasks, max(1, block // (16 * at_once * channels * outputs)), x.reshape(-1), u, b, y.reshape(-1),
          geometry, finite, TILE)  # fmt: skip
    return bool(finite.all())


@compiled
def _squares(first: int, end: int, x: Array, u: Array, b: Array, y: Array, geometry: tuple[int, ...],
             finite: Array, tile: int) -> None:  # fmt: skip
    height, width, channels, height_out, width_out, outputs, top, left, squares, at_once = geometry
    down, across = (height_out + 1) // 2, (width_out + 1) // 2
    v, m = np.empty(16 * at_once * channels, np.float32), np.empty(16 * at_once * outputs, np.float32)
    zeros, spare, bad = np.zeros(max(channels, outputs), np.float32), np.empty(outputs, np.float32), np.empty(
        outputs, np.float32)
    outside, nowhere = (zeros.ctypes.data - x.ctypes.data) // 4, (spare.ctypes.data - y.ctypes.data) // 4
    x_rows, y_rows = np.empty(16 * at_once, np.int64), np.empty(4 * at_once, np.int64)
    v_rows, m_rows, steps = np.empty(at_once, np.int64), np.empty(at_once, np.int64), np.zeros((1, 2), np.int64)
    zero, one = np.int64(0), np.int64(1)  # numbers as they stand would have `multiply` compiled for them
    for r in range(at_once):
        v_rows[r], m_rows[r] = r * channels, r * outputs
    for task in range(first, end):
        start = task * at_once
        now = min(at_once, squares - start)
        for r in range(now):
            n, place = (start + r) // (down * across), (start + r) % (down * across)
            i, j = 2 * (place // across), 2 * (place % across)
            for a in range(4):
                row = i + a - top
                for c in range(4):
                    column = j + c - left
                    inside = 0 <= row < height and 0 <= column < width
                    x_rows[16 * r + 4 * a + c] = ((n * height + row) * width + column) * channels if inside else outside
            for a in range(2):
                for c in range(2):
                    inside = i + a < height_out and j + c < width_out
                    pixel = (n * height_out + i + a) * width_out + j + c
                    y_rows[4 * r + 2 * a + c] = pixel * outputs if inside else nowhere
        call(tile, (TRANSFORM, x.ctypes.data, x_rows.ctypes.data, v.ctypes.data, 0, now, 0, 0, 0, channels // LANES,
                    at_once * channels, 0))
        for p in range(16):
            multiply(v.ctypes.data + 4 * p * at_once * channels, v_rows, u.ctypes.data + 4 * p * channels * outputs,
                     channels, steps, one, zero, m, p * at_once * outputs, m_rows, now, outputs, channels,
                     np.int64(zeros.ctypes.data), tile)  # fmt: skip
        call(tile, (UNTRANSFORM, m.ctypes.data, 0, y.ctypes.data, y_rows.ctypes.data, now, b.ctypes.data, 0, 0,
                    outputs // LANES, at_once * outputs, 0))
        for c in range(outputs):
            bad[c] = 0
        for r in range(4 * now):
            if y_rows[r] != nowhere:
                pixel = y[y_rows[r] : y_rows[r] + outputs]
                for c in range(outputs):
                    bad[c] += pixel[c] * np.float32(0)  # NaN, if it is not finite
        finite[task] = True
        for c in range(outputs):
            if bad[c] != 0:
                finite[task] = False
    keep((v, zeros, spare, x_rows, y_rows))
