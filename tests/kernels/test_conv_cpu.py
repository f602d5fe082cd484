"""The register-tile convolutions against the reference in float64, over every geometry, and on other processors."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

cpu = import_module("tinyart.kernels.cpu.conv")
threads = import_module("tinyart.kernels.cpu.threads")
reference = import_module("tinyart.kernels.reference.conv")
ROOT = Path(__file__).parents[2]
EPS = np.finfo(np.float32).eps
SAME = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}
Geometry = tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]


@st.composite
def geometries(draw: Any) -> Geometry:
    """Channels on both sides of every tile's width, depthwise too, and batches with every remainder of its rows."""
    kernel, stride, dilation = (draw(st.tuples(st.integers(1, n), st.integers(1, n))) for n in (4, 3, 3))
    padding = draw(st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 2))
    size = [max(1, d * (k - 1) + 1 - sum(p)) + draw(st.integers(0, 5))
            for k, d, p in zip(kernel, dilation, padding, strict=True)]
    groups = draw(st.sampled_from([1, 1, 1, 2, 3, 9, 43]))
    channels = st.one_of(st.integers(1, 5), st.integers(6, 40)) if groups < 4 else st.sampled_from([1, 1, 2])
    c, o = draw(channels), draw(channels)
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return (draw(st.integers(1, 17)), *size, c * groups), (*kernel, c, o * groups), settings


MARGIN = 64


def canaries(values: np.ndarray) -> np.ndarray:
    """The same values between two stretches of NaN: whoever reads past an end is found out."""
    memory = np.full(values.size + 2 * MARGIN, np.nan, np.float32)
    memory[MARGIN:-MARGIN] = values.ravel()
    return memory[MARGIN:-MARGIN].reshape(values.shape)


class Margins:
    """np for the module under test: what it allocates lies between margins, too, which must stay as they were."""

    def __init__(self) -> None:
        self.given: list[np.ndarray] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def empty(self, shape: Any, dtype: Any, fill: float = np.nan) -> np.ndarray:
        memory = np.full(int(np.prod(shape)) + 2 * MARGIN, -7, dtype)
        memory[MARGIN:-MARGIN] = fill
        self.given.append(memory)
        return memory[MARGIN:-MARGIN].reshape(shape)

    def zeros(self, shape: Any, dtype: Any) -> np.ndarray:
        return self.empty(shape, dtype, 0)

    def check(self) -> None:
        for memory in self.given:
            assert (memory[:MARGIN] == -7).all()
            assert (memory[-MARGIN:] == -7).all()


@cache
def compile_all() -> None:
    """Before np is replaced, which compiled code would not know."""
    x, w = np.ones((1, 3, 3, 1), np.float32), np.ones((2, 2, 1, 1), np.float32)
    y = cpu.conv(x, w, **SAME)
    cpu.conv_weight(x, y, size=(2, 2), **SAME)
    many = np.ones((1, 3, 3, 16), np.float32)
    cpu.conv_weight(many, many, size=(3, 3), **SAME | {"groups": 16})


def check(x_shape: tuple[int, ...], w_shape: tuple[int, ...], settings: dict[str, Any], seed: int = 0,
          rounding: float = 8) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    x, w = (canaries(rng.normal(size=shape)) for shape in (x_shape, w_shape))
    exact = reference.conv(x.astype(float), w.astype(float), **settings)
    g = canaries(rng.normal(size=exact.shape))
    b, c = (canaries(rng.normal(size=shape)) if seed % 2 else None for shape in (w_shape[3:], x_shape[3:]))
    inner, outer, pixels = w[..., 0].size, w_shape[0] * w_shape[1] * w_shape[3], g[..., 0].size
    compile_all()
    with pytest.MonkeyPatch.context() as patch:
        margins = Margins()
        patch.setattr(cpu, "np", margins)
        found = (cpu.conv(x, w, b, **settings), cpu.conv_input(g, w, c, size=x_shape[1:3], **settings),
                 cpu.conv_weight(x, g, size=w_shape[:2], **settings))  # fmt: skip
        margins.check()
    exact_input = reference.conv_input(g.astype(float), w.astype(float), size=x_shape[1:3], **settings)
    wanted = (exact if b is None else exact + b, exact_input if c is None else exact_input + c,
              reference.conv_weight(x.astype(float), g.astype(float), size=w_shape[:2], **settings))  # fmt: skip
    for made, want, terms in zip(found, wanted, (inner, outer, pixels), strict=True):
        assert made.dtype == np.float32
        # each of the sum's terms, of size about 1, rounds once, and so does each partial sum, of size about √terms
        np.testing.assert_allclose(made, want, rtol=0, atol=rounding * EPS * max(1, terms))


@given(geometries(), st.integers(0, 99))
def test_against_the_reference(geometry: Geometry, seed: int) -> None:
    check(*geometry, seed)


@pytest.mark.parametrize(("x", "w", "settings"), [
    ((3, 9, 11, 300), (3, 3, 300, 7), SAME),  # sums longer than a block
    ((2, 5, 5, 700), (1, 2, 700, 20), SAME),  # and longer than one within a row of taps
    ((70, 7, 7, 3), (5, 5, 3, 40), SAME),  # more images than are turned at once, several parts
    ((1, 40, 41, 6), (3, 3, 6, 17), SAME | {"stride": (2, 1)}),  # several blocks of rows
    ((2, 6, 6, 14), (3, 3, 1, 28), SAME | {"groups": 14}),  # two columns from one channel
    ((5, 1, 9, 2), (1, 4, 2, 3), SAME | {"padding": ((0, 0), (9, 9))}),  # pixels that read only padding
])  # fmt: skip
def test_each_block(x: tuple[int, ...], w: tuple[int, ...], settings: dict[str, Any]) -> None:
    check(x, w, settings, seed=0)  # without a bias
    check(x, w, settings, seed=1)


@given(geometries(), st.integers(0, 99), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_what_is_not_finite_reaches_the_pixels_that_read_it(geometry: Geometry, seed: int, value: float) -> None:
    x_shape, w_shape, settings = geometry
    rng = np.random.default_rng(seed)
    x, w = (rng.normal(size=s).astype(np.float32) for s in (x_shape, w_shape))
    y = reference.conv(x, w, **settings)
    g = rng.normal(size=y.shape).astype(np.float32)
    for a in (x, w, g):
        finite = a.copy()
        a.ravel()[rng.integers(a.size)] = value
        for name, (first, second), size in [("conv", (x, w), {}), ("conv_input", (g, w), {"size": x_shape[1:3]}),
                                            ("conv_weight", (x, g), {"size": w_shape[:2]})]:
            made = getattr(cpu, name)(first, second, **size, **settings)
            with np.errstate(invalid="ignore"):
                want = getattr(reference, name)(first, second, **size, **settings)
            np.testing.assert_array_equal(np.where(np.isfinite(made), 0, made), np.where(np.isfinite(want), 0, want))
        a[...] = finite


@pytest.mark.parametrize("name", ["conv", "conv_input", "conv_weight"])
def test_every_layout_and_dtype(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    shapes = {"conv": [(4, 5, 6, 3), (3, 3, 3, 2)], "conv_input": [(4, 5, 6, 2), (3, 3, 3, 2)],
              "conv_weight": [(4, 5, 6, 3), (4, 5, 6, 2)]}  # fmt: skip
    size = {"conv": {}, "conv_input": {"size": (5, 6)}, "conv_weight": {"size": (3, 3)}}[name]
    a, b = (rng.normal(size=s).astype(np.float32) for s in shapes[name])
    kernel, oracle = getattr(cpu, name), getattr(reference, name)
    frozen = a.copy()
    frozen.flags.writeable = False
    for first, second in [(a[::-1], b), (a, b[..., ::-1]), (np.asfortranarray(a), b), (frozen, b),
                          (np.broadcast_to(a[:, :1, :1], a.shape), b), (a.astype(float), b.astype(float)),
                          (a[:0], b if name != "conv_weight" else b[:0])]:
        made = kernel(first, second, **size, **SAME)
        want = oracle(first, second, **size, **SAME)
        assert (made.dtype, made.flags.c_contiguous) == (first.dtype, True)
        np.testing.assert_allclose(made, want, rtol=0, atol=1e-4 if first.dtype == np.float32 else 0)

    def forbidden(*_: Any) -> None:
        raise AssertionError("compiled code was used")

    monkeypatch.setattr(cpu, "share", forbidden)
    kernel(a.astype(float), b.astype(float), **size, **SAME)
    with pytest.raises(AssertionError, match="compiled code was used"):
        kernel(a, b, **size, **SAME)


PROGRAM = """
import sys
sys.path[:0] = [{root!r}, {here!r}]
import test_conv_cpu as t
import numpy as np
from tinyart.kernels.cpu import linear, tile
for x, w, settings in [((13, 6, 7, 3), (3, 3, 3, 35), t.SAME | {{"stride": (1, 2)}}),
                       ((5, 6, 7, 5), (3, 2, 5, 2), t.SAME),
                       ((8, 9, 7, 4), (3, 3, 2, 18), t.SAME | {{"dilation": (2, 2), "groups": 2}}),
                       ((2, 5, 5, 19), (3, 3, 1, 19), t.SAME | {{"groups": 19}}),
                       ((20, 7, 8, 32), (3, 3, 32, 32), t.SAME),
                       ((9, 7, 7, 64), (5, 5, 64, 96), t.SAME | {{"padding": ((2, 2), (2, 2))}}),
                       ((29, 14, 14, 64), (5, 5, 64, 32), t.SAME | {{"stride": (2, 2), "padding": ((1, 2), (1, 2))}})]:
    t.check(x, w, settings, 1)
assert t.cpu._saving((9, 7, 7, 64), (9, 7, 7, 96), (5, 5, 64, 96), (1, 1), ((2, 2), (2, 2)), (1, 1), 1)
for m, k, n in [(13, 70, 37), (270, 300, 21)]:
    for order in ("CC", "CF", "FC", "FF"):
        a, b = (np.array(np.random.standard_normal(s), "f", order=o) for s, o in zip([(m, k), (k, n)], order))
        assert np.allclose(linear.product(a, b), a.astype(float) @ b, rtol=0, atol=1e-4)
print(tile.LANES)
"""


def output(program: str, **environment: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(("name", "features", "lanes"), [("haswell", "+avx,+avx2,+fma", "8"), ("x86-64", "", "4")])
def test_narrower_processors(name: str, features: str, lanes: str, tmp_path: Path) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("the names are those of x86-64 processors")
    program = PROGRAM.format(root=str(ROOT), here=str(Path(__file__).parent))
    settings = {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path)}
    assert output(program, **settings) == lanes


@pytest.mark.parametrize(("function", "instruction", "name", "more"), [
    ("_tile", "vfmadd231ps", "skylake-avx512", ""), ("_tile_of_pairs", "vdpbf16ps", "cooperlake", ",+avx512bf16")])
def test_the_tile_of_wider_processors(function: str, instruction: str, name: str, more: str, tmp_path: Path) -> None:
    """Run where there is one: 16 sums of 16 floats in registers, one broadcast for two multiply-adds, no spills."""
    if os.uname().machine != "x86_64":
        pytest.skip("the names are those of x86-64 processors")
    program = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}]
import tinyart, numba, re
from tinyart.kernels.cpu import tile
from numba.core import types
assert (tile.LANES, tile.ROWS) == (16, 8)
code = numba.cfunc(types.void(*[types.intp] * 12))(tile.{function})._library.get_asm_str()
loops = [block for block in re.split(r"^\\.LBB\\w+:", code, flags=re.M) if block.count("{instruction}") >= 16]
print(min(block.count("(%rsp)") for block in loops if "zmm" in block and block.count("{instruction}") % 16 == 0))
"""
    features = "+avx,+avx2,+fma,+avx512f,+avx512vl,+avx512bw,+avx512dq" + more
    settings = {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path)}
    assert int(output(program, **settings)) <= 2


GUARDED = """
import ctypes, mmap, sys
import numpy as np
sys.path[:0] = [{root!r}, {here!r}]
import test_conv_cpu as t
pages = mmap.mmap(-1, 2 * mmap.PAGESIZE)
start = ctypes.addressof(ctypes.c_char.from_buffer(pages))
assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + mmap.PAGESIZE), mmap.PAGESIZE, 0) == 0
x = np.ones((3, 4, 4, 2), np.float32)
for columns in (1, 3, 17, 40):
    shape = (3, 2, 2, columns)
    g = np.frombuffer(pages, np.float32, 12 * columns, mmap.PAGESIZE - 48 * columns).reshape(shape)
    g[...] = 1
    w = t.cpu.conv_weight(x, g, size=(3, 3), **t.SAME | {{"padding": ((0, 0), (0, 0))}})
    assert (w == 12).all()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect is called as Linux has it")
def test_nothing_is_read_after_the_gradient() -> None:
    """Which ends where a page does that may not be read."""
    output(GUARDED.format(root=str(ROOT), here=str(Path(__file__).parent)))


def test_without_the_compiler(tmp_path: Path) -> None:
    program = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]
import test_conv_cpu as t
t.check((3, 6, 7, 3), (3, 3, 3, 35), t.SAME)
"""
    output(program, NUMBA_DISABLE_JIT="1", NUMBA_CACHE_DIR=str(tmp_path))


def test_bits_do_not_depend_on_the_number_of_threads(call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    before = threads.get_num_threads()
    monkeypatch.setattr(cpu, "_BLOCK", 1)  # every task is worth a thread
    for channels, groups in ((16, 1), (1, 1), (24, 24)):
        settings = {"stride": (2, 2), "padding": ((1, 2), (1, 2)), "dilation": (1, 1), "groups": groups}
        x = rng.normal(size=(32, 14, 14, channels)).astype(np.float32)
        w = rng.normal(size=(5, 5, channels // groups, 24)).astype(np.float32)
        g = rng.normal(size=(32, 7, 7, 24)).astype(np.float32)
        found = []
        try:
            for count in (1, 2, 3, 7):
                threads.set_num_threads(count)
                found.append([call(cpu.conv, x, w, **settings), call(cpu.conv_input, g, w, size=(14, 14), **settings),
                              call(cpu.conv_weight, x, g, size=(5, 5), **settings)])
        finally:
            threads.set_num_threads(before)
        for results in zip(*found, strict=True):
            for result in results[1:]:
                np.testing.assert_array_equal(result, results[0])
