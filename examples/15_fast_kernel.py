# %% [markdown]
# # 15 A fast kernel, step by step
#
# Shows: the product of two matrices, on which dense layers and convolutions live, written five times: as Python, as
# compiled loops, with its loops in the right order, in blocks, and with a tile of sums held in registers. Each version
# is compared with the plain one on awkward sizes, and timed.
#
# Time: 10 s
#
# Numbers to expect: every version right to 10⁻⁵ on every size, 1, 0 and primes among them. Speeds depend on the machine
# and decide nothing; on two cores of a laptop or server, from some 0.01 GFLOP/s for Python to some ten thousand times
# that for the last version, on one thread near NumPy's own product.
#
#     C[i, j] = Σ_k A[i, k] B[k, j]:        2 M N K floating-point operations

# %%
import time

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tinyart.data import bars
from tinyart.lesson import expect, picture, size

# %% [markdown]
# ## How to measure, and how to be sure
#
# The fastest of several runs is the time; slower ones measure what else the machine does. And before it is timed, each
# version must pass: against float64, on sizes that leave remainders, on nothing at all, and on a matrix that is a view.
# A product of K terms in float32 may err by about K rounding errors of its terms:
#
#     |C - C*| ≤ K · 2⁻²⁴ · Σ_k |A[i, k]| |B[k, j]|

# %%
rng = np.random.default_rng(0)


def matrices(m, k, n):
    return rng.normal(size=(m, k)).astype(np.float32), rng.normal(size=(k, n)).astype(np.float32)


def check(multiply, largest=70):
    """The worst error, in parts of the bound, over awkward sizes."""
    worst = 0.0
    for m, k, n in ((1, 1, 1), (5, 0, 3), (0, 4, 2), (7, 11, 13), (6, 16, 16), (13, 17, 33), (largest, 67, 53)):
        a, b = matrices(m, k, 2 * n)
        b = b[:, ::2]  # every second column: a view
        exact = a.astype(np.float64) @ b.astype(np.float64)
        bound = max(k, 1) * 2.0**-24 * (np.abs(a).astype(np.float64) @ np.abs(b)) + 1e-30
        c = multiply(a, b)
        assert c.shape == (m, n)
        worst = max(worst, float((np.abs(c - exact) / bound).max(initial=0)))
    return worst


speeds = {}


def rate(name, multiply, n, runs=None):
    """GFLOP/s of an n × n product, the fastest of `runs`, on this thread."""
    a, b = matrices(n, n, n)
    multiply(a, b)  # compile, fill caches
    times = []
    for _ in range(runs or size(2, 7)):
        start = time.perf_counter()
        multiply(a, b)
        times.append(time.perf_counter() - start)
    speeds[name] = 2 * n**3 / min(times) / 1e9
    expect(f"GFLOP/s: {name}, {n} x {n}", speeds[name])


# %% [markdown]
# ## 1. Python
#
# The formula as it stands. Each number is an object, each addition a search for the right function.

# %%
def in_python(a, b):
    c = np.zeros((a.shape[0], b.shape[1]), np.float32)
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            for k in range(a.shape[1]):
                c[i, j] += a[i, k] * b[k, j]
    return c


expect("Python: error, of the bound", check(in_python, largest=9), most=1.0)
rate("1 Python", in_python, size(8, 40), runs=2)

# %% [markdown]
# ## 2. Compiled
#
# The same lines, compiled by Numba to machine code. A hundred times faster, and yet slow: the inner loop walks down a
# column of B, and each step lands in another line of the cache; and a sum that waits for its own last value cannot be
# split among the lanes of a vector register, because adding in another order rounds otherwise.

# %%
compiled = numba.njit(in_python)
expect("compiled: error, of the bound", check(compiled), most=1.0)
rate("2 compiled", compiled, size(64, 384))

# %% [markdown]
# ## 3. The loops in another order
#
# Swap the two inner loops. Now the innermost goes along a row of B and a row of C, both contiguous, and each step is
# independent of the last one, so that the compiler uses vector instructions: eight products at a time with AVX2. No sum
# is reordered: each C[i, j] still adds its terms from k = 0 upwards.

# %%
@numba.njit
def by_rows(a, b):
    c = np.zeros((a.shape[0], b.shape[1]), np.float32)
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            x = a[i, k]
            for j in range(b.shape[1]):
                c[i, j] += x * b[k, j]
    return c


expect("by rows: error, of the bound", check(by_rows), most=1.0)
rate("3 by rows", by_rows, size(64, 384))

# %% [markdown]
# ## 4. In blocks
#
# For each row of A all of B is read again. B of 384 × 384 has 590 KB and may just stay in the second cache; a larger
# one comes from memory every time. So take B in blocks that fit into the first cache, and do all that can be done with
# a block before the next. (At this size that gains little, or nothing; it is what makes large sizes as fast as small.)

# %%
@numba.njit
def in_blocks(a, b):
    m, n, depth = a.shape[0], b.shape[1], a.shape[1]
    c = np.zeros((m, n), np.float32)
    for k0 in range(0, depth, 64):
        for j0 in range(0, n, 128):  # a block of B: 64 × 128 floats, 32 KB
            for i in range(m):
                sums = c[i, j0 : j0 + 128]
                for k in range(k0, min(k0 + 64, depth)):
                    x, row = a[i, k], b[k, j0 : j0 + 128]
                    for j in range(len(sums)):  # from 0: an index that might be negative would be checked each time
                        sums[j] += x * row[j]
    return c


expect("in blocks: error, of the bound", check(in_blocks), most=1.0)
rate("4 in blocks", in_blocks, size(64, 384))

# %% [markdown]
# ## 5. A tile of sums in registers
#
# Version 3 loads and stores a C[i, j] for every single product. The processor can do two vector products in the time of
# one such trip. The remedy is to keep sums where they are made: a tile of C, 6 rows by 2 vectors of 8, twelve registers
# of sums. One step of k loads two vectors of B and six numbers of A, and does twelve vector products with them:
#
#     for each k:   C[0..5, 0..15] += A[0..5, k] ⊗ B[k, 0..15]
#
# Compilers do not find this by themselves. In LLVM's own instructions it is a loop whose twelve sums are *phi* values:
# what a register holds at the start of a round is either 0 or what the last round left.

# %%
ROWS, VECTORS, LANES = 6, 2, 8
WIDTH = VECTORS * LANES
FLOAT, INDEX = ir.FloatType(), ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, LANES)


@intrinsic
def tile(typing, a, b, c, depth, row):
    """c[6, 16] += Σ_k a[k, 6] ⊗ b[k, 16]: addresses of packed a and b and of c, whose rows lie `row` floats apart."""

    def codegen(context, builder, signature, arguments):
        a, b, c, depth, row = arguments
        pa, pb, pc = (builder.inttoptr(address, ir.PointerType()) for address in (a, b, c))
        fma = cgutils.get_or_insert_function(  # fused where the processor has that, else a product and a sum
            builder.module, ir.FunctionType(VECTOR, [VECTOR] * 3), f"llvm.fmuladd.v{LANES}f32")
        undefined = ir.Constant(VECTOR, ir.Undefined)
        first = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)

        def at(base, offset):
            return builder.gep(base, [offset], source_etype=FLOAT)

        start, loop, end = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("end")
        builder.branch(loop)
        builder.position_at_end(loop)
        k = builder.phi(INDEX)
        k.add_incoming(INDEX(0), start)
        sums = [[builder.phi(VECTOR) for _ in range(VECTORS)] for _ in range(ROWS)]
        along = builder.mul(k, INDEX(WIDTH))
        bs = [builder.load(at(pb, builder.add(along, INDEX(v * LANES))), typ=VECTOR, align=4) for v in range(VECTORS)]
        added = []
        for m in range(ROWS):
            x = builder.load(at(pa, builder.add(builder.mul(k, INDEX(ROWS)), INDEX(m))), typ=FLOAT)
            x = builder.shuffle_vector(builder.insert_element(undefined, x, ir.IntType(32)(0)), undefined, first)
            added.append([builder.call(fma, [x, bs[v], sums[m][v]]) for v in range(VECTORS)])
        following = builder.add(k, INDEX(1))
        k.add_incoming(following, loop)
        for m in range(ROWS):
            for v in range(VECTORS):
                sums[m][v].add_incoming(ir.Constant(VECTOR, [0.0] * LANES), start)
                sums[m][v].add_incoming(added[m][v], loop)
        builder.cbranch(builder.icmp_signed("<", following, depth), loop, end)
        builder.position_at_end(end)
        for m in range(ROWS):
            for v in range(VECTORS):
                place = at(pc, builder.add(builder.mul(row, INDEX(m)), INDEX(v * LANES)))
                builder.store(builder.fadd(builder.load(place, typ=VECTOR, align=4), added[m][v]), place, align=4)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 5), codegen


# %% [markdown]
# Around it: A and B are copied ("packed") so that the tile reads both in one stream, with zeros where the size is no
# multiple of 6 or 16. Packing costs M K + K N copies against M N K products: a share that vanishes as matrices grow.
# (tinyart's own convolution does without even that: `kernels/cpu/tile.py` reads images where they lie.)

# %%
@numba.njit
def pack(x, width):
    """(R, K) -> (⌈R/width⌉, K, width), zeros in the last panel"""
    panels = (x.shape[0] + width - 1) // width
    out = np.zeros((panels, x.shape[1], width), np.float32)
    for r in range(x.shape[0]):
        for k in range(x.shape[1]):
            out[r // width, k, r % width] = x[r, k]
    return out


@numba.njit
def by_tiles(a, b):
    m, n, depth = a.shape[0], b.shape[1], a.shape[1]
    pa, pb = pack(a, ROWS), pack(b.T, WIDTH)
    c = np.zeros((pa.shape[0] * ROWS, pb.shape[0] * WIDTH), np.float32)
    for k0 in range(0, depth, 256):  # 16 columns of B, 256 deep: 16 KB, half of the first cache
        deep = min(256, depth - k0)
        for j in range(pb.shape[0]):
            for i in range(pa.shape[0]):
                tile(pa.ctypes.data + (i * depth + k0) * ROWS * 4, pb.ctypes.data + (j * depth + k0) * WIDTH * 4,
                     c.ctypes.data + (i * ROWS * c.shape[1] + j * WIDTH) * 4, deep, c.shape[1])
    return c[:m, :n]


expect("by tiles: error, of the bound", check(by_tiles), most=1.0)
rate("5 by tiles", by_tiles, size(64, 384))
rate("NumPy (all its threads)", np.matmul, size(64, 384))

# %% [markdown]
# ## What is left
#
# The last version runs on one thread; whole rows of tiles can go to others, and then each number still has the same
# bits, because no sum is split (`kernels/cpu/threads.py`). Wider vectors and more registers want a larger tile: 12
# rows by 2 vectors of 16 with AVX-512. And the best product is the one that is not computed: `kernels/cpu/conv.py`
# skips taps that lie in the padding.
#
# The picture: GFLOP/s of each version, on a logarithmic scale.

# %%
factors = {name: float(np.log10(speed / speeds["1 Python"])) for name, speed in speeds.items()}
picture("speeds", bars([f"{name}: {speed:.3g} GFLOP/s" for name, speed in speeds.items()],
                       [factor + 0.1 for factor in factors.values()]))
