"""The register-tile convolutions against the reference in float64, over every geometry, and on narrower processors."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

cpu = import_module("tinyart.kernels.cpu.conv")
reference = import_module("tinyart.kernels.reference.conv")
ROOT = Path(__file__).parents[2]
EPS = np.finfo(np.float32).eps


@st.composite
def geometries(draw: Any) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    """Channels on both sides of the tile's width and of the narrow tile's, batches with every remainder of 12 rows."""
    channels = st.one_of(st.integers(1, 5), st.integers(6, 40))
    kernel, stride, dilation = (draw(st.tuples(st.integers(1, n), st.integers(1, n))) for n in (4, 3, 3))
    padding = draw(st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 2))
    size = [max(1, d * (k - 1) + 1 - sum(p)) + draw(st.integers(0, 5))
            for k, d, p in zip(kernel, dilation, padding, strict=True)]
    groups, c, o = draw(st.sampled_from([1, 1, 2, 3])), draw(channels), draw(channels)
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return (draw(st.integers(4, 29)), *size, c * groups), (*kernel, c, o * groups), settings


def canaries(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Random float32 values between two stretches of NaN: whoever reads past an end is found out."""
    size = int(np.prod(shape))
    memory = np.full(size + 256, np.nan, np.float32)
    memory[128 : 128 + size] = rng.normal(size=size)
    return memory[128 : 128 + size].reshape(shape)


def check(x_shape: tuple[int, ...], w_shape: tuple[int, ...], settings: dict[str, Any], seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    x, w = canaries(x_shape, rng), canaries(w_shape, rng)
    exact = reference.conv(x.astype(float), w.astype(float), **settings)
    g = canaries(exact.shape, rng)
    inner, outer, pixels = w[..., 0].size, w_shape[0] * w_shape[1] * w_shape[3], g[..., 0].size
    for made, wanted, terms in [
        (cpu.conv(x, w, **settings), exact, inner),
        (cpu.conv_input(g, w, size=x_shape[1:3], **settings),
         reference.conv_input(g.astype(float), w.astype(float), size=x_shape[1:3], **settings), outer),
        (cpu.conv_weight(x, g, size=w_shape[:2], **settings),
         reference.conv_weight(x.astype(float), g.astype(float), size=w_shape[:2], **settings), pixels),
    ]:  # fmt: skip
        assert made.dtype == np.float32
        # each of the sum's terms, of size about 1, rounds once, and so does each partial sum, of size about √terms
        np.testing.assert_allclose(made, wanted, rtol=0, atol=8 * EPS * max(1, terms))


@given(geometries(), st.integers(0, 99))
def test_against_the_reference(geometry: tuple[Any, Any, Any], seed: int) -> None:
    check(*geometry, seed)


def test_whatever_does_not_fit_goes_to_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(4, 5, 5, 3)), rng.normal(size=(3, 3, 3, 2))
    f4 = np.float32
    for a, b in [(x, w), (x.astype(f4)[::-1], w.astype(f4)), (x.astype(f4), w.astype(f4)[..., ::-1]),
                 (x.astype(f4)[:3], w.astype(f4)), (x.astype(f4)[:0], w.astype(f4))]:
        np.testing.assert_array_equal(cpu.conv(a, b, **settings), reference.conv(a, b, **settings))

    def forbidden(*_: Any) -> None:
        raise AssertionError("the tile was used")

    monkeypatch.setattr(cpu, "_apply", forbidden)
    cpu.conv(x, w, **settings)  # float64
    with pytest.raises(AssertionError, match="the tile was used"):
        cpu.conv(x.astype(f4), w.astype(f4), **settings)


PROGRAM = """
import sys
sys.path[:0] = [{root!r}, {here!r}]
import test_conv_cpu as t
from tinyart.kernels.cpu import tile
same = {{"stride": (1, 2), "padding": ((1, 2), (0, 1)), "dilation": (1, 1), "groups": 1}}
for x, w, settings in [((13, 6, 7, 3), (3, 3, 3, 35), same), ((5, 6, 7, 5), (3, 2, 5, 2), same),
                       ((8, 9, 7, 4), (3, 3, 2, 18), same | {{"dilation": (2, 2), "groups": 2}})]:
    t.check(x, w, settings)
print(tile.LANES)
"""


@pytest.mark.parametrize(("name", "features", "lanes"), [("haswell", "+avx,+avx2,+fma", "8"), ("x86-64", "", "4")])
def test_narrower_processors(name: str, features: str, lanes: str, tmp_path: Path) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("the names are those of x86-64 processors")
    settings = {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path)}
    program = PROGRAM.format(root=str(ROOT), here=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", program], env=os.environ | settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [lanes]


def test_bits_do_not_depend_on_the_number_of_threads(call: Callable[..., Any]) -> None:
    import numba

    rng = np.random.default_rng(0)
    settings = {"stride": (2, 2), "padding": ((1, 2), (1, 2)), "dilation": (1, 1), "groups": 1}
    x, w = (rng.normal(size=s).astype(np.float32) for s in ((32, 14, 14, 32), (5, 5, 32, 64)))
    g = rng.normal(size=(32, 7, 7, 64)).astype(np.float32)
    found = []
    for threads in {1, 2, numba.config.NUMBA_NUM_THREADS}:
        if threads <= numba.config.NUMBA_NUM_THREADS:
            numba.set_num_threads(threads)
            found.append([call(cpu.conv, x, w, **settings), call(cpu.conv_input, g, w, size=(14, 14), **settings),
                          call(cpu.conv_weight, x, g, size=(5, 5), **settings)])
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    for results in zip(*found, strict=True):
        for result in results[1:]:
            np.testing.assert_array_equal(result, results[0])
