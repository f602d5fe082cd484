"""What is decided before a launch: every element of a result belongs to one block, and CUDA takes the grid."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.usefixtures("cupy")
SIZES = st.integers(0, 40) | st.integers(0, 10**6)


@pytest.fixture(scope="module", autouse=True)
def _modules(cupy: Any) -> None:
    global blas, conv, depthwise, index, launch, layer, norm, optim, reduce, rows
    from tinyart.kernels.cuda import blas, conv, depthwise, index, launch, layer, norm, optim, reduce, rows


@given(rows_=SIZES, columns=SIZES, batch=st.integers(1, 64), terms=SIZES, double=st.booleans(), tf32=st.booleans(),
       processors=st.integers(1, 200))  # fmt: skip
def test_convolution(rows_: int, columns: int, batch: int, terms: int, double: bool, tf32: bool,
                     processors: int) -> None:
    made = conv.plan(rows_, columns, batch, terms, double=double, tf32=tf32, processors=processors)
    assert (made.rows, made.columns) in (conv.TILES_DOUBLE if double else conv.TILES_TF32 if tf32 else conv.TILES)
    for blocks, length, tile in zip(made.grid, (rows_, columns), made[1:], strict=False):
        assert (blocks - 1) * tile < length <= blocks * tile or (blocks, length) == (0, 0)
    assert made.grid[2] == batch * made.parts <= 65535
    assert made.stretch % 16 == 0  # the stretches hold every term once, and none is empty
    assert (made.parts - 1) * made.stretch < max(1, terms) <= made.parts * made.stretch
    assert made.parts == 1 or made.grid[0] * made.grid[1] * made.grid[2] <= 8 * processors


@pytest.mark.parametrize(("what", "rows_", "columns", "batch", "terms", "tile", "cut"), [
    ("the generator's first layer", 256 * 49, 128, 1, 6400, (128, 128), True),  # 98 tiles on 132 processors
    ("its gradient", 256 * 49, 256, 1, 3200, (128, 128), True),
    ("its weights'", 3200, 256, 1, 256 * 49, (128, 128), True),
    ("the second, in four phases", 256 * 49, 64, 4, 9 * 128, (128, 64), False),
    ("the last: one channel", 256 * 196, 1, 4, 9 * 64, (256, 4), False),
    ("a first layer's weights", 25, 64, 1, 256 * 196, (64, 64), True),
    ("many pixels and channels", 10**6, 512, 1, 1152, (128, 128), False),
])  # fmt: skip
def test_a_convolutions_tile_is_as_narrow_as_its_result(
        what: str, rows_: int, columns: int, batch: int, terms: int, tile: Any, cut: bool) -> None:
    made = conv.plan(rows_, columns, batch, terms, double=False, tf32=False, processors=132)
    assert (made[1:3], made.parts > 1) == (tile, cut), what


def test_what_is_fetched_at_once() -> None:
    """Of each operand four channels where its groups have a multiple of four and memory is aligned."""
    def both(*what: Any) -> tuple[int, int]:
        return tuple(conv.widths(*what).values())  # type: ignore[return-value]

    assert {both(kernel, 64, 128, True) for kernel in ("conv", "conv_input", "conv_weight")} == {(4, 4)}
    assert {both(kernel, 64, 128, False) for kernel in ("conv", "conv_input", "conv_weight")} == {(1, 1)}
    assert both("conv", 1, 64, True) == both("conv_weight", 3, 64, True) == (1, 4)  # a discriminator's first layer
    assert both("conv_input", 1, 64, True) == (4, 4)  # a generator's last
    assert both("conv", 4, 6, True) == (4, 1)


@given(n=st.integers(0, 2**31 - 1), d=st.integers(1, 100) | st.integers(1, 2**31 - 1))
def test_division_by_multiplying(n: int, d: int) -> None:
    multiplier, shift = launch.divisor(d)
    assert multiplier < 2**32
    assert (n * multiplier >> 32) + n < 2**32
    assert (n * multiplier >> 32) + n >> shift == n // d


def test_shared_memory_of_the_largest_tiles() -> None:
    """Two buffers of both operands' parts, and a place for each row: CUDA gives a block 48 KiB."""
    for tiles, size in ((conv.TILES, 4), (conv.TILES_TF32, 4), (conv.TILES_DOUBLE, 8)):
        for rows_, columns in tiles:
            assert 2 * 16 * (rows_ + columns) * size + 16 * rows_ <= 48 << 10


@given(width=st.integers(0, 300), stride=st.integers(1, 9))
def test_pixels_of_a_line(width: int, stride: int) -> None:
    """Every pixel belongs to one thread, whose four lie a stride apart (depthwise_input), and no thread has none."""
    phases, seen = min(stride, width), []
    for four in range(depthwise.fours(width, stride)):
        first = four % phases + four // phases * depthwise.PIXELS * stride
        seen.append([first + t * stride for t in range(depthwise.PIXELS) if first + t * stride < width])
    assert sorted(pixel for pixels in seen for pixel in pixels) == list(range(width))
    assert len(seen) <= width + stride


@given(taps=st.integers(1, 200), channels=st.integers(0, 5000), wide=st.sampled_from([1, 4]), pixels=SIZES,
       processors=st.integers(1, 200))  # fmt: skip
def test_the_gradient_of_depthwise_weights(taps: int, channels: int, wide: int, pixels: int, processors: int) -> None:
    channels *= wide
    made = depthwise.plan(taps, channels, wide, pixels, processors)
    across, parts, deep = made.grid
    assert 256 % made.lanes == 0
    assert (across - 1) * made.lanes * wide < channels <= across * made.lanes * wide or (across, channels) == (0, 0)
    assert (deep - 1) * depthwise.TAPS < taps <= deep * depthwise.TAPS
    assert parts == made.parts <= 65535
    assert (parts - 1) * made.stretch < max(1, pixels) <= parts * made.stretch
    assert parts == 1 or across * parts * deep <= 2 * processors


@given(count=st.integers(0, 10**7), columns=st.integers(1, 5000), processors=st.integers(1, 200))
def test_norm(count: int, columns: int, processors: int) -> None:
    made = norm.plan(count, columns, processors)
    assert (made.grid[0] - 1) * 32 < columns <= made.grid[0] * 32
    assert made.grid[1:] == (made.parts, 1)
    assert made.parts <= 65535
    assert (made.parts - 1) * made.stretch < max(1, count) <= made.parts * made.stretch


@given(count=st.integers(1, 10**7), columns=st.integers(1, 5000), processors=st.integers(1, 200))
def test_sums_over_leading_axes(count: int, columns: int, processors: int) -> None:
    made = reduce.plan(count, columns, processors)
    assert (made.grid[0] - 1) * 256 < columns <= made.grid[0] * 256
    assert made.grid[1:] == (made.parts, 1)
    assert made.parts == 1 or made.grid[0] * made.parts <= 8 * processors
    assert (made.parts - 1) * made.stretch < count <= made.parts * made.stretch


@given(n=st.integers(0, 2**31 - 1))
def test_elements_and_rows(n: int) -> None:
    assert (launch.flat(n)[0] - 1) * 1024 < n <= launch.flat(n)[0] * 1024 or n == launch.flat(n)[0] == 0
    assert (rows.grid(n)[0] - 1) * 8 < n <= rows.grid(n)[0] * 8 or n == rows.grid(n)[0] == 0


@given(sizes=st.lists(st.integers(0, 5000), max_size=150))
def test_parameters_of_an_optimiser(sizes: list[int]) -> None:
    """Block b of a launch has 1024 elements of the last parameter whose first block is not after b."""
    seen: list[list[int]] = [[] for _ in sizes]
    for part, firsts, blocks in optim.groups(sizes):
        numbers = range(len(sizes))[part]
        assert len(numbers) == len(firsts) <= 64
        for b in range(blocks):
            k = max(k for k, first in enumerate(firsts) if first <= b)
            seen[numbers[k]].append(b - firsts[k])
    for size, blocks_of in zip(sizes, seen, strict=True):
        assert blocks_of == list(range(-(-size // 1024)))
    assert optim._ARRAYS.itemsize + 100 <= 4096  # what a launch may pass


@given(n=st.integers(0, 2**31 - 1), columns=st.integers(1, 5000))
def test_rows_of_layer_norm(n: int, columns: int) -> None:
    grid, group = layer.groups(n, columns)
    assert (grid[0] - 1) * (256 // group) < n <= grid[0] * (256 // group) or n == grid[0] == 0
    assert -(-columns // group) <= 32 or group == 256


@given(count=st.integers(0, 2**31 - 1))
def test_runs_of_keys(count: int) -> None:
    """Each launch joins runs in pairs, from those that are sorted by counting to one of all keys."""
    made = index.merges(count)
    assert made == [1024 << i for i in range(len(made))]
    assert all(run < count for run in made)
    assert 1024 << len(made) >= count


@given(shape=st.lists(st.integers(1, 4), min_size=2, max_size=4), order=st.randoms(), skip=st.integers(1, 2))
def test_operands_of_a_product(shape: list[int], order: Any, skip: int) -> None:
    """Where a view is taken as an operand, reading it as cuBLAS does gives its elements; a contiguous array always is,
    transposed or not."""
    base = np.arange(int(np.prod(shape)) * skip, dtype=np.float32).reshape(*shape[:-1], -1)[..., ::skip]
    axes = list(range(len(shape)))
    order.shuffle(axes)
    x = base.transpose(axes)
    how = blas.operand(x.shape, x.strides, 4)
    if how is None:
        assert skip > 1 or axes[:-2] != list(range(len(axes) - 2))
        return
    memory = np.arange(base.size * skip, dtype=np.float32)
    r, c = x.shape[-2:]
    stack = x.reshape(-1, r, c)
    for i, matrix in enumerate(stack):
        for row in range(r):
            for column in range(c):
                at = column * how.line + row if how.transposed else row * how.line + column
                assert memory[i * how.step + at] == matrix[row, column]
    assert how.line >= (r if how.transposed else c)
