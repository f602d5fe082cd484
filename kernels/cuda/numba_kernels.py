"""A handful of kernels once more, in Python: how a GPU works, to be read, changed and run without one.

Each has the name, signature and result of its reference, as the CUDA C beside it does, which is what tinyart uses;
nothing calls these but their tests and a benchmark. From top to bottom, each shows one thing more:

    leaky_relu        a thread for an element, and a grid that strides over more elements than it has threads
    adam_             several arrays in one pass, where array code makes a dozen
    softmax           a block for a row: its threads meet in shared memory, by halves, at barriers
    dense             a product by tiles in shared memory, with bias and activation before the result is written
    max_pool_input    a gradient gathered by what receives it: no atomics, and the same bits each time

On a GPU: `numba_kernels.softmax(cupy_array, axis=-1)`, which needs numba-cuda (the extras cuda12 and cuda13 bring it)
and runs on CUDA's default stream, so not in a `Replay`. Without one: with NUMBA_ENABLE_CUDASIM=1 in the environment,
before Numba is imported, arrays are NumPy's and every thread is a thread of Python.
"""

import math
from functools import cache
from typing import Any

import numba
import numpy as np
from numba import cuda

from .. import reference
from ..reference.conv import Array, Padding, Pair

THREADS = 256  # of a block, at most
BLOCKS = 1024  # of a grid that strides: some eight for each multiprocessor of a large GPU
TILE = 16  # rows and columns of a product's tile: 256 threads, two parts of 1 KiB (float32) in shared memory
_ACTIVATIONS = "none", "relu", "leaky_relu", "sigmoid", "tanh"


# ---- launch plans: (blocks, threads of a block)


def strides(n: int) -> tuple[int, int]:
    """For n elements: a thread each, up to BLOCKS · THREADS of them."""
    return min(BLOCKS, -(-n // THREADS)), THREADS


def rows(count: int, columns: int) -> tuple[int, int]:
    """A block for a row; of threads a power of two, which halves down to 1, no more than columns need."""
    return count, min(THREADS, 1 << max(0, columns - 1).bit_length())


def tiles(rows: int, columns: int, tile: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """A block for a tile of (rows, columns), a thread for an element of it."""
    return (-(-rows // tile), -(-columns // tile)), (tile, tile)


def usable(*arrays: Array) -> bool:
    """Whether the kernels take these arrays: one floating dtype. Strides are any: Numba indexes as NumPy does."""
    return arrays[0].dtype.name in ("float32", "float64") and all(a.dtype == arrays[0].dtype for a in arrays)


# ---- y = x where x > 0, else slope·x: 8 bytes an element in float32, one operation
#
# Thread t of all T takes the elements t, t + T, t + 2T, ..: neighbours read neighbouring addresses in one go, and the
# grid need not grow with the array.


@cuda.jit
def _leaky_relu(x: Array, slope: Any, y: Array) -> None:
    for i in range(cuda.grid(1), x.shape[0], cuda.gridsize(1)):
        y[i] = x[i] if x[i] > 0 else slope * x[i]


def leaky_relu(x: Array, *, slope: float) -> Array:
    """As the reference."""
    if not usable(x):
        return reference.leaky_relu(x, slope=slope)
    y = np.empty_like(x, order="C")
    if x.size:
        _leaky_relu[strides(x.size)](x.reshape(-1), x.dtype.type(slope), y.reshape(-1))
    return y


# ---- m ← m + (1 - beta1)·(g - m)      v ← beta2·v + (1 - beta2)·g²      p ← keep·p - rate·m / (√v/root + eps)
#
# rate = lr/(1 - beta1^step), root = √(1 - beta2^step). Each array is read once and p, m, v written once: 28 bytes an
# element in float32 for 15 operations, so memory sets the pace. Threads as before. All scalars have the arrays' dtype:
# a float64, or an integer, among float32 would turn the arithmetic into float64, at 1/2 to 1/64 of the speed.


@cuda.jit
def _adam(p: Array, g: Array, m: Array, v: Array, rate: Any, root: Any, fresh1: Any, beta2: Any, fresh2: Any,
          eps: Any, keep: Any, decay: Any) -> None:  # fmt: skip
    for i in range(cuda.grid(1), p.shape[0], cuda.gridsize(1)):
        slope = g[i] + decay * p[i] if decay != 0 else g[i]
        mean = m[i] + fresh1 * (slope - m[i])
        square = v[i] * beta2 + fresh2 * (slope * slope)
        m[i] = mean
        v[i] = square
        p[i] = p[i] * keep - rate * (mean / (math.sqrt(square) / root + eps))


def adam_(p: Array, g: Array, m: Array, v: Array, *, lr: float, beta1: float, beta2: float, eps: float, step: int,
          weight_decay: float, decoupled: bool) -> None:  # fmt: skip
    """As the reference, to rounding; which also serves state that is not C-contiguous, where flat views are copies."""
    if not usable(p, g, m, v) or not all(a.flags.c_contiguous for a in (p, m, v)):
        reference.adam_(p, g, m, v, lr=lr, beta1=beta1, beta2=beta2, eps=eps, step=step, weight_decay=weight_decay,
                        decoupled=decoupled)  # fmt: skip
        return
    keep, decay = (1 - lr * weight_decay, 0.0) if decoupled else (1.0, weight_decay)
    rate, root = lr / (1 - beta1**step), (1 - beta2**step) ** 0.5
    scalars = map(p.dtype.type, (rate, root, 1 - beta1, beta2, 1 - beta2, eps, keep, decay))
    if p.size:
        _adam[strides(p.size)](*(a.reshape(-1) for a in (p, g, m, v)), *scalars)


# ---- y = e^(x - max x) / Σ e^(x - max x) along a row
#
# Threads of different blocks cannot wait for each other, those of one block can: so a block has a row. Thread t looks
# at columns t, t + T, ..; what it found goes to shared memory, and in log₂ T turns half of the threads each take
# another's: a tree, always in the same order. The barrier after each turn is for all threads, also for those that have
# nothing to do. Read three times (from the cache after the first), written once: 8 bytes and two exp an element.


@cache  # a compilation for each dtype, which the size of the shared memory depends on
def _softmax(dtype: np.dtype[Any]) -> Any:
    real = numba.from_dtype(dtype)

    @cuda.jit
    def softmax(x: Array, y: Array) -> None:
        met = cuda.shared.array(THREADS, real)
        row, t, threads = cuda.blockIdx.x, cuda.threadIdx.x, cuda.blockDim.x
        largest = x[row, 0]
        for c in range(t, x.shape[1], threads):
            if x[row, c] > largest:  # a NaN may be lost here: the sum finds it
                largest = x[row, c]
        met[t] = largest
        cuda.syncthreads()
        half = threads // 2
        while half > 0:
            if t < half and met[t + half] > met[t]:
                met[t] = met[t + half]
            cuda.syncthreads()
            half //= 2
        largest = met[0]
        cuda.syncthreads()  # all have read met[0] before thread 0 writes it again
        total = x.dtype.type(0)
        for c in range(t, x.shape[1], threads):
            total += math.exp(x[row, c] - largest)
        met[t] = total
        cuda.syncthreads()
        half = threads // 2
        while half > 0:
            if t < half:
                met[t] += met[t + half]
            cuda.syncthreads()
            half //= 2
        for c in range(t, x.shape[1], threads):
            y[row, c] = math.exp(x[row, c] - largest) / met[0]

    return softmax


def softmax(x: Array, *, axis: int) -> Array:
    """As the reference, to rounding."""
    if not x.size or not usable(x):
        return reference.softmax(x, axis=axis)
    along = np.moveaxis(x, axis, -1)
    y = np.empty_like(along, order="C")
    columns = along.shape[-1]
    count = x.size // columns
    _softmax(x.dtype)[rows(count, columns)](along.reshape(count, columns), y.reshape(count, columns))
    return np.moveaxis(y, -1, axis)


# ---- y = f(x w + b)
#
# A thread has an element of y, a block a tile of TILE² of them. Alone, a thread would read a row of x and a column of
# w: 8 bytes for two operations, which no memory keeps up with. So the block brings a tile of x and one of w to shared
# memory, an element a thread, and each is used TILE times: 2·R·I·O operations for 8·R·I·O/TILE bytes. Two barriers:
# all is there before anyone reads, all have read before it is overwritten. Bias and f cost no pass of their own.


@cache
def _dense(dtype: np.dtype[Any], tile: int) -> Any:
    real = numba.from_dtype(dtype)

    @cuda.jit
    def dense(x: Array, w: Array, b: Array, activation: Any, slope: Any, y: Array) -> None:
        left = cuda.shared.array((tile, tile), real)
        right = cuda.shared.array((tile, tile), real)  # a line of its own: the simulator knows arrays by their lines
        i, j = cuda.threadIdx.y, cuda.threadIdx.x  # neighbours in j, as in memory
        row, column = cuda.blockIdx.x * tile + i, cuda.blockIdx.y * tile + j
        zero, one = y.dtype.type(0), y.dtype.type(1)
        total = zero
        for k in range(0, x.shape[1], tile):
            left[i, j] = x[row, k + j] if row < x.shape[0] and k + j < x.shape[1] else zero
            right[i, j] = w[k + i, column] if k + i < w.shape[0] and column < w.shape[1] else zero
            cuda.syncthreads()
            for q in range(tile):
                total += left[i, q] * right[q, j]
            cuda.syncthreads()
        if row < y.shape[0] and column < y.shape[1]:
            z = total + b[column]
            if activation == 1 and z < 0:
                z = zero
            elif activation == 2 and z <= 0:
                z = slope * z
            elif activation == 3:
                e = y.dtype.type(math.exp(-abs(z)))
                z = (one if z >= 0 else e) / (one + e)
            elif activation == 4:
                z = y.dtype.type(math.tanh(z))
            y[row, column] = z

    return dense


def dense(x: Array, w: Array, b: Array, *, activation: str, slope: float) -> Array:
    """As the reference, to rounding."""
    blocks, threads = tiles(x.shape[0], w.shape[1], TILE)
    if not usable(x, w, b) or activation not in _ACTIVATIONS or blocks[1] > 65535:
        return reference.dense(x, w, b, activation=activation, slope=slope)
    y = np.empty_like(x, shape=(x.shape[0], w.shape[1]), order="C")
    if y.size:
        _dense(x.dtype, TILE)[blocks, threads](x, w, b, _ACTIVATIONS.index(activation), x.dtype.type(slope), y)
    return y


# ---- gx = Σ g / ties over the windows whose maximum x is
#
# Windows overlap. Were each window to add its g to its maximum, two threads would add to one place: that takes atomics,
# whose order, and so the rounding, changes from run to run. Here a thread has a pixel and looks up all windows that it
# lies in. What they need beside g, how many pixels share the maximum, is found first, by a thread a window. Neighbours
# take neighbouring channels. Read KH·KW/(s·s) times, mostly from the cache, written once; a comparison for each.


@cuda.jit
def _share(g: Array, x: Array, y: Array, size: Any, stride: Any, before: Any, share: Array) -> None:
    for at in range(cuda.grid(1), y.size, cuda.gridsize(1)):
        pixel, c = at // y.shape[3], at % y.shape[3]
        n, i, j = pixel // y.shape[2] // y.shape[1], pixel // y.shape[2] % y.shape[1], pixel % y.shape[2]
        top, left = i * stride[0] - before[0], j * stride[1] - before[1]
        count = y.dtype.type(0)
        for h in range(max(0, top), min(x.shape[1], top + size[0])):
            for w in range(max(0, left), min(x.shape[2], left + size[1])):
                if not x[n, h, w, c] < y[n, i, j, c]:
                    count += y.dtype.type(1)
        share[n, i, j, c] = g[n, i, j, c] / count if y[n, i, j, c] == y[n, i, j, c] else y[n, i, j, c]


@cuda.jit
def _gather(share: Array, x: Array, y: Array, size: Any, stride: Any, before: Any, gx: Array) -> None:
    for at in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        pixel, c = at // x.shape[3], at % x.shape[3]
        n, h, w = pixel // x.shape[2] // x.shape[1], pixel // x.shape[2] % x.shape[1], pixel % x.shape[2]
        down, right = h + before[0], w + before[1]  # in padded pixels; window i has those from i·stride on
        total = gx.dtype.type(0)
        for i in range(max(0, (down - size[0]) // stride[0] + 1), min(y.shape[1], down // stride[0] + 1)):
            for j in range(max(0, (right - size[1]) // stride[1] + 1), min(y.shape[2], right // stride[1] + 1)):
                if not x[n, h, w, c] < y[n, i, j, c]:
                    total += share[n, i, j, c]
        gx[n, h, w, c] = total


def max_pool_input(g: Array, x: Array, y: Array, *, size: Pair, stride: Pair, padding: Padding) -> Array:
    """As the reference, to rounding."""
    if not usable(g, x, y):
        return reference.max_pool_input(g, x, y, size=size, stride=stride, padding=padding)
    window = size, stride, (padding[0][0], padding[1][0])
    share, gx = np.empty_like(y, order="C"), np.empty_like(x, order="C")
    if y.size:
        _share[strides(y.size)](g, x, y, *window, share)
    if x.size:
        _gather[strides(x.size)](share, x, y, *window, gx)
    return gx
