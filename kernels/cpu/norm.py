"""Batch and layer normalisation of float32 in one pass over x for mean and variance and one for the result.

Batch norm: rows are taken in blocks of 64, which stay in the cache for a sum of x - the block's first row, which keeps
float32's digits where |mean| >> √var, and a sum of (x - the block's mean)². Blocks are joined in float64, by

    mean = Σ n_b mean_b / n      Σ(x - mean)² = Σ_b Σ(x - mean_b)² + n_b (mean_b - mean)²    Chan, Golub & LeVeque 1983

Bytes for n floats: forward 4n for the sums and 8n for y; backward 8n for the sums and 12n for gx. Channels are the
vector lanes, and a task is a stretch of blocks of rows.
"""

from typing import Any

import numpy as np

from ..reference import norm as reference
from .compiling import contracted, plain
from .memory import empty
from .threads import share

Array = Any

_ROWS = 64  # rows to a block of sums
_BLOCK = 1 << 16  # elements that are worth a thread: 10 to 40 µs


def batch_norm(x: Array, gamma: Array, beta: Array, *, eps: float) -> tuple[Array, Array, Array, Array]:
    """As the reference, which serves other dtypes and empty arrays."""
    if x.dtype != np.float32 or x.size == 0:
        return reference.batch_norm(x, gamma, beta, eps=eps)
    rows = plain(x).reshape(-1, x.shape[-1])  # (R, C)
    n, c = rows.shape
    blocks = -(-n // _ROWS)
    means, squares = np.empty((blocks, c)), np.empty((blocks, c))
    share(_moments, blocks, _tasks(c), rows, means, squares)
    mean, var, rstd, scale = np.empty((4, c), np.float32)
    share(_statistics, c, _columns(blocks), means, squares, n, np.float32(eps), plain(gamma), mean, var, rstd, scale)
    y = empty(rows.shape, rows.dtype)
    share(_normalise, n, -(-_BLOCK // c), rows, y, mean, scale, plain(beta))
    return y.reshape(x.shape), mean, var, rstd


def batch_norm_backward(
    g: Array, x: Array, gamma: Array, mean: Array, rstd: Array
) -> tuple[Array, Array, Array]:
    """As the reference, likewise."""
    if g.dtype != np.float32 or x.size == 0:
        return reference.batch_norm_backward(g, x, gamma, mean, rstd)
    g_rows, rows = (plain(a).reshape(-1, x.shape[-1]) for a in (g, x))  # (R, C)
    n, c = rows.shape
    blocks = -(-n // _ROWS)
    sums, products = np.empty((blocks, c), np.float32), np.empty((blocks, c), np.float32)
    mean = plain(mean)
    share(_gradient_sums, blocks, _tasks(c), g_rows, rows, mean, sums, products)
    ggamma, gbeta, scale, shift, slope = (np.empty(c, np.float32) for _ in range(5))  # the first two are given away
    share(_gradient_totals, c, _columns(blocks), sums, products, n, plain(gamma), plain(rstd), ggamma, gbeta, scale,
          shift, slope)  # fmt: skip
    gx = empty(rows.shape, rows.dtype)
    share(_gradient, n, -(-_BLOCK // c), g_rows, rows, gx, mean, scale, shift, slope)
    return gx.reshape(x.shape), ggamma, gbeta


def _tasks(channels: int) -> int:
    """Blocks of rows to a task."""
    return int(max(1, _BLOCK // (_ROWS * channels)))


def _columns(blocks: int) -> int:
    """Channels to a task that joins the blocks."""
    return max(16, _BLOCK // (4 * blocks))


@contracted
def _moments(first: int, end: int, x: Array, means: Array, squares: Array) -> None:
    """Mean and Σ(x - mean)² of each block of rows, for each channel."""
    rows, channels = x.shape
    total, near = np.empty(channels, np.float32), np.empty(channels, np.float32)
    for block in range(first, end):
        low, high = block * _ROWS, min(rows, (block + 1) * _ROWS)
        start, mean, squared = x[low], means[block], squares[block]
        count = np.float64(high - low)
        for j in range(channels):
            total[j] = 0
        for i in range(low + 1, high):
            row = x[i]
            for j in range(channels):
                total[j] += row[j] - start[j]
        for j in range(channels):
            mean[j] = start[j] + total[j] / count
            near[j] = mean[j]
            total[j] = 0
        for i in range(low, high):
            row = x[i]
            for j in range(channels):
                total[j] += (row[j] - near[j]) * (row[j] - near[j])
        for j in range(channels):
            squared[j] = total[j] - count * (mean[j] - near[j]) * (mean[j] - near[j])


@contracted
def _statistics(first: int, end: int, means: Array, squares: Array, n: int, eps: Any, gamma: Array, mean: Array,
                var: Array, rstd: Array, scale: Array) -> None:  # fmt: skip
    """The blocks of n rows joined, on channels first to end; scale = rstd·gamma."""
    channels = end - first
    total, spread = np.zeros(channels), np.zeros(channels)
    for block in range(len(means)):
        row, count = means[block][first:end], np.float64(min(_ROWS, n - block * _ROWS))
        for j in range(channels):
            total[j] += count * row[j]
    for j in range(channels):
        total[j] /= n
    for block in range(len(means)):
        row, squared = means[block][first:end], squares[block][first:end]
        count = np.float64(min(_ROWS, n - block * _ROWS))
        for j in range(channels):
            spread[j] += squared[j] + count * (row[j] - total[j]) * (row[j] - total[j])
    for j in range(channels):
        at = first + j
        mean[at] = total[j]
        var[at] = 0 if spread[j] < 0 else spread[j] / n
        rstd[at] = np.float32(1) / np.sqrt(var[at] + eps)
        scale[at] = rstd[at] * gamma[at]


@contracted
def _normalise(first: int, end: int, x: Array, y: Array, mean: Array, scale: Array, beta: Array) -> None:
    for i in range(first, end):
        row, out = x[i], y[i]
        for j in range(len(mean)):
            out[j] = (row[j] - mean[j]) * scale[j] + beta[j]


@contracted
def _gradient_sums(first: int, end: int, g: Array, x: Array, mean: Array, sums: Array, products: Array) -> None:
    """Σ g and Σ g·(x - mean) of each block of rows, for each channel."""
    for block in range(first, end):
        total, product = sums[block], products[block]
        for j in range(len(mean)):
            total[j] = 0
            product[j] = 0
        for i in range(block * _ROWS, min(len(x), (block + 1) * _ROWS)):
            row, cotangent = x[i], g[i]
            for j in range(len(mean)):
                total[j] += cotangent[j]
                product[j] += cotangent[j] * (row[j] - mean[j])


@contracted
def _gradient_totals(first: int, end: int, sums: Array, products: Array, n: int, gamma: Array, rstd: Array,
                     ggamma: Array, gbeta: Array, scale: Array, shift: Array, slope: Array) -> None:  # fmt: skip
    """gbeta = Σ g, ggamma = Σ g·(x - mean)·rstd, and of these what `_gradient` takes, on channels first to end."""
    channels = end - first
    total, product = np.zeros(channels), np.zeros(channels)
    for block in range(len(sums)):
        sum_row, product_row = sums[block][first:end], products[block][first:end]
        for j in range(channels):
            total[j] += sum_row[j]
            product[j] += product_row[j]
    for j in range(channels):
        at = first + j
        along = product[j] * rstd[at]
        gbeta[at], ggamma[at], scale[at] = total[j], along, gamma[at] * rstd[at]
        shift[at] = scale[at] * (total[j] / n)
        slope[at] = scale[at] * rstd[at] * (along / n)


@contracted
def _gradient(
    first: int, end: int, g: Array, x: Array, gx: Array, mean: Array, scale: Array, shift: Array, slope: Array
) -> None:
    """gx = scale·g - shift - slope·(x - mean)"""
    for i in range(first, end):
        row, cotangent, out = x[i], g[i], gx[i]
        for j in range(len(mean)):
            out[j] = scale[j] * cotangent[j] - shift[j] - slope[j] * (row[j] - mean[j])


def layer_norm(x: Array, gamma: Array, beta: Array, *, eps: float) -> tuple[Array, Array, Array]:
    """As the reference, likewise."""
    if x.dtype != np.float32 or x.size == 0:
        return reference.layer_norm(x, gamma, beta, eps=eps)
    rows = plain(x).reshape(-1, x.shape[-1])  # (R, C)
    y, mean, rstd = empty(rows.shape, rows.dtype), np.empty(len(rows), np.float32), np.empty(len(rows), np.float32)
    share(_layer, len(rows), -(-_BLOCK // rows.shape[1]), rows, y, mean, rstd, plain(gamma),
          plain(beta), float(eps))  # fmt: skip
    return y.reshape(x.shape), mean.reshape(x.shape[:-1]), rstd.reshape(x.shape[:-1])


def layer_norm_backward(
    g: Array, x: Array, gamma: Array, mean: Array, rstd: Array
) -> tuple[Array, Array, Array]:
    """As the reference, likewise."""
    if g.dtype != np.float32 or x.size == 0:
        return reference.layer_norm_backward(g, x, gamma, mean, rstd)
    g_rows, rows = (plain(a).reshape(-1, x.shape[-1]) for a in (g, x))  # (R, C)
    n, c = rows.shape
    blocks = -(-n // _ROWS)
    gx = empty(rows.shape, rows.dtype)
    sums, products = np.empty((blocks, c), np.float32), np.empty((blocks, c), np.float32)
    share(_layer_gradient, blocks, _tasks(c), g_rows, rows, plain(gamma), plain(mean).reshape(-1),
          plain(rstd).reshape(-1), gx, sums, products)  # fmt: skip
    gbeta, ggamma = (a.sum(axis=0, dtype=np.float64).astype(np.float32) for a in (sums, products))
    return gx.reshape(x.shape), ggamma, gbeta


@contracted
def _layer(
    first: int, end: int, x: Array, y: Array, means: Array, rstds: Array, gamma: Array, beta: Array, eps: float
) -> None:
    channels = len(gamma)
    for i in range(first, end):
        row, out = x[i], y[i]
        mean = _sum(row, row, np.float32(0), 1) / channels
        mean32 = np.float32(mean)
        var = _sum(row, row, mean32, 2) / channels - (mean - mean32) ** 2
        rstd = np.float32(1 / np.sqrt(var + eps))
        means[i], rstds[i] = mean32, rstd
        for j in range(channels):
            out[j] = (row[j] - mean32) * rstd * gamma[j] + beta[j]


@contracted
def _sum(x: Array, y: Array, mean: Any, power: int) -> float:
    """Σ (x - mean), or with power 2 Σ (x - mean)·(y - mean): 16 sums in float32 for 512 elements, then in float64"""
    lanes = np.empty(16, np.float32)
    total = 0.0
    for start in range(0, len(x), 512):
        a, b = x[start : start + 512], y[start : start + 512]
        whole = len(a) // 16
        for lane in range(16):
            lanes[lane] = 0
        for k in range(whole):
            u, v = a[16 * k : 16 * k + 16], b[16 * k : 16 * k + 16]
            for lane in range(16):
                lanes[lane] += (u[lane] - mean) * (v[lane] - mean) if power == 2 else u[lane] - mean
        for k in range(16 * whole, len(a)):
            lanes[k - 16 * whole] += (a[k] - mean) * (b[k] - mean) if power == 2 else a[k] - mean
        for lane in range(16):
            total += lanes[lane]
    return total


@contracted
def _layer_gradient(
    first: int, end: int, g: Array, x: Array, gamma: Array, means: Array, rstds: Array, gx: Array, sums: Array,
    products: Array,
) -> None:  # fmt: skip
    rows, channels = x.shape
    h, normal = np.empty(channels, np.float32), np.empty(channels, np.float32)
    for block in range(first, end):
        total, product = sums[block], products[block]
        for j in range(channels):
            total[j] = 0
            product[j] = 0
        for i in range(block * _ROWS, min(rows, (block + 1) * _ROWS)):
            row, cotangent, out, mean, rstd = x[i], g[i], gx[i], means[i], rstds[i]
            for j in range(channels):
                normal[j] = (row[j] - mean) * rstd
                h[j] = cotangent[j] * gamma[j]
                total[j] += cotangent[j]
                product[j] += cotangent[j] * normal[j]
            average = np.float32(_sum(h, h, np.float32(0), 1) / channels)
            along = np.float32(_sum(h, normal, np.float32(0), 2) / channels)
            for j in range(channels):
                out[j] = rstd * (h[j] - average - normal[j] * along)
