"""The CUDA C of every override, compiled as C++ and run thread by thread, against the reference kernel.

With --device cuda they run on the GPU instead. What the emulator cannot see: the memory model between threads that do
not meet at a barrier, and what NVRTC's optimiser makes of the source.
"""

import inspect
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import tinyart.kernels.reference as reference
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tinyart.kernels.cuda import OVERRIDES

from tests.cuda import double, emulator
from tinyart.testing import arrays, conv_geometries

pytestmark = pytest.mark.usefixtures("some_cupy")
DTYPES = st.sampled_from(["float32", "float64"])
few = settings(max_examples=12)


def kernel(name: str) -> Any:
    return getattr(import_module(f"tinyart.kernels.cuda.{OVERRIDES[name]}"), name)


def device(x: Any) -> Any:
    """On the device, with its memory layout."""
    import cupy

    if not isinstance(x, np.ndarray):
        return x
    if cupy.ndarray is double.ndarray:
        return double.ndarray(x)
    root = x
    while isinstance(root.base, np.ndarray):
        root = root.base
    if not root.flags.forc or not root.size:
        return cupy.asarray(x)
    there = cupy.asarray(root.ravel("K"))
    return cupy.ndarray(x.shape, x.dtype, there.data + (x.ctypes.data - root.ctypes.data), x.strides)


def host(x: Any) -> np.ndarray:
    return np.asarray(x.host if isinstance(x, double.ndarray) else x.get() if hasattr(x, "get") else x)


def results(made: Any) -> list[np.ndarray]:
    parts = made if isinstance(made, tuple) else (made,)
    return [np.zeros(0) if y is None else host(y) for y in parts]


def check(name: str, *inputs: Any, tolerance: float = 1.0, exact: bool = False, terms: float = 0.0, **how: Any) -> None:
    """The override gives what the reference gives, the same bits whatever order threads and blocks run in, and leaves
    its inputs alone; nothing goes to the host and back. `terms`: how large what cancels in the result can be."""
    before = [x.copy() if isinstance(x, np.ndarray) else x for x in inputs]
    expected = results(getattr(reference, name)(*inputs, **how))
    double.reads.clear()
    found = results(kernel(name)(*map(device, inputs), **how))
    emulator.DESCENDING = True
    try:
        again = results(kernel(name)(*map(device, inputs), **how))
    finally:
        emulator.DESCENDING = False
    assert not double.reads
    for was, x in zip(before, inputs, strict=True):
        np.testing.assert_array_equal(was, x)
    assert len(found) == len(expected)
    for y, other, e in zip(found, again, expected, strict=True):
        assert (y.shape, y.dtype) == (e.shape, e.dtype)
        assert y.tobytes() == other.tobytes(), "the result depends on the order of the threads"
        if exact:
            np.testing.assert_array_equal(y, e)
        else:
            size = float(np.abs(e[np.isfinite(e)]).max(initial=max(terms, 1e-30)))
            bound = 64 * tolerance * float(np.finfo(e.dtype).eps) * size
            np.testing.assert_allclose(y, e, rtol=0, atol=bound)


@pytest.mark.parametrize("name", OVERRIDES)
def test_an_override_has_the_signature_of_its_reference(name: str) -> None:
    ours, theirs = inspect.signature(kernel(name)), getattr(reference, name)
    if isinstance(theirs, np.ufunc):  # whose signature has settings that no kernel takes
        assert len(ours.parameters) == theirs.nin
    else:
        assert ours == inspect.signature(theirs)


def test_every_kernel_of_an_override_module_is_in_the_table() -> None:
    """One that is not would never run."""
    found = {}
    for module in set(OVERRIDES.values()):
        for name, value in vars(import_module(f"tinyart.kernels.cuda.{module}")).items():
            if hasattr(reference, name) and inspect.isfunction(value) and value.__module__.endswith(f"cuda.{module}"):
                found[name] = module
    assert found == OVERRIDES


# ---- convolution

PADDED = {"valid": ((0, 0), (0, 0)), "same": ((1, 1), (1, 0))}


@given(g=conv_geometries(), dtype=DTYPES, seed=st.integers(0, 99))
@few
def test_convolution(g: Any, dtype: str, seed: int) -> None:
    how = g.settings | {"padding": PADDED.get(str(g.settings["padding"]), g.settings["padding"])}
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=g.x).astype(dtype), rng.normal(size=g.w).astype(dtype)
    y = reference.conv(x, w, **how)
    v = rng.normal(size=y.shape).astype(dtype)
    b, c = rng.normal(size=y.shape[3]).astype(dtype), rng.normal(size=g.x[3]).astype(dtype)
    check("conv", x, w, *[b][: seed % 2], **how)
    check("conv_input", v, w, *[c][: seed % 2], size=g.x[1:3], **how)
    check("conv_weight", x, v, size=g.w[:2], **how)


# Tiles of 64 × 64 by 16 terms and of 128 × 128, whole and not; a split sum; the DCGAN's 5 × 5 with stride 2
LARGE = [
    ((2, 7, 7, 20), (5, 5, 20, 70), {"stride": (2, 2), "padding": ((1, 2), (1, 2)), "dilation": (1, 1), "groups": 1}),
    ((2, 9, 12, 36), (3, 3, 36, 132), {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}),
    ((3, 12, 9, 65), (2, 1, 65, 129), {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}),
]


def large(case: Any, dtype: str) -> tuple[Any, Any, Any, Any]:
    xs, ws, how = case
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=xs).astype(dtype), rng.normal(size=ws).astype(dtype)
    return x, w, rng.normal(size=reference.conv(x, w, **how).shape).astype(dtype), how


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("processors", [1, 132])
@pytest.mark.parametrize("case", LARGE, ids=["strided", "vectors", "wide"])
def test_convolution_over_several_tiles(case: Any, processors: int, dtype: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(import_module("tinyart.kernels.cuda.conv"), "multiprocessors", lambda: processors)
    x, w, v, how = large(case, dtype)
    check("conv", x, w, **how, tolerance=4)
    check("conv_input", v, w, size=x.shape[1:3], **how, tolerance=4)
    check("conv_weight", x, v, size=w.shape[:2], **how, tolerance=4)


SIZES = st.tuples(st.integers(1, 3), st.integers(1, 3))


@given(data=st.data(), groups=st.integers(1, 2), cg=st.sampled_from([1, 3, 4, 8, 20]), seed=st.integers(0, 99),
       og=st.sampled_from([1, 2, 4, 12, 36]), kernel=SIZES, stride=SIZES, dilation=SIZES, out=SIZES, tf32=st.booleans(),
       processors=st.sampled_from([1, 40]))  # fmt: skip
@settings(max_examples=40)
def test_every_tile_of_a_convolution_with_and_without_vectors(
    data: Any, groups: int, cg: int, og: int, kernel: Any, stride: Any, dilation: Any, out: Any, tf32: bool,
    processors: int, seed: int,
) -> None:  # fmt: skip
    conv, rng = import_module("tinyart.kernels.cuda.conv"), np.random.default_rng(seed)
    assume(cg * og > 1)  # else it is depthwise: below
    tiles = conv.TILES_TF32 if tf32 else conv.TILES
    tile = data.draw(st.sampled_from([*tiles]))
    pads = [int(rng.integers(0, d * (k - 1) + 1)) for k, d in zip(kernel, dilation, strict=True)]
    size = [(n - 1) * s + d * (k - 1) + 1 - p
            for n, s, d, k, p in zip(out, stride, dilation, kernel, pads, strict=True)]
    how = {"stride": stride, "padding": tuple((0, p) if seed % 2 else (p, 0) for p in pads), "dilation": dilation,
           "groups": groups}  # fmt: skip
    launched = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conv, "TILES_TF32" if tf32 else "TILES", {tile: tiles[tile]})
        patch.setattr(conv, "multiprocessors", lambda: processors)
        patch.setattr(import_module("tinyart.kernels.cuda.precision"), "tf32", tf32)
        patch.setattr(conv, "launch", lambda *a, _run=conv.launch, **k: (launched.append((a[1], k)), _run(*a, **k)))
        conv.plan.cache_clear()
        x, w = (rng.integers(-8, 8, shape).astype("float32")  # which TF32 holds exactly
                for shape in ((2, *size, groups * cg), (*kernel, cg, groups * og)))
        y = reference.conv(x, w, **how)
        b, c = (rng.integers(-8, 8, a.shape[3]).astype("float32") for a in (y, x))
        check("conv", x, w, *[b][: seed % 2], exact=True, **how)
        check("conv_input", y % 16, w, *[c][: seed % 2], size=x.shape[1:3], exact=True, **how)
        check("conv_weight", x, y % 16, size=kernel, exact=True, **how)
    conv.plan.cache_clear()
    assert {(k["ROWS"], k["COLUMNS"]) for _, k in launched} == {tile}
    found = {name: (k["LEFT"], k["RIGHT"]) for name, k in launched if name != "add_parts"}
    left, right = (4 if channels % 4 == 0 else 1 for channels in (cg, og))
    assert found == {"conv": (left, right), "conv_input": (right, right), "conv_weight": (left, right)}


def test_an_array_that_begins_between_vectors_is_read_by_elements(monkeypatch: Any) -> None:
    conv, widths = import_module("tinyart.kernels.cuda.conv"), []
    monkeypatch.setattr(conv, "launch", lambda *a, _run=conv.launch, **k: (widths.append(k["LEFT"]), _run(*a, **k)))
    memory = np.arange(1 + 2 * 3 * 3 * 4, dtype="float32")
    w = np.ones((2, 2, 4, 4), "float32")
    how = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}
    for first, width in ((0, 4), (1, 1)):
        widths.clear()
        check("conv", memory[first:][:72].reshape(2, 3, 3, 4), w, **how)
        assert {*widths} == {width}


@pytest.mark.parametrize("processors", [1, 132])
def test_tf32_rounds_the_operands_and_nothing_else(processors: int, monkeypatch: Any) -> None:
    """On operands that TF32 holds exactly the result is float32's; on others each product is off by 2^-10 at most."""
    monkeypatch.setattr(import_module("tinyart.kernels.cuda.conv"), "multiprocessors", lambda: processors)
    monkeypatch.setattr(import_module("tinyart.kernels.cuda.precision"), "tf32", True)
    how = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}
    rng = np.random.default_rng(0)
    x = rng.integers(-1024, 1024, (1, 2, 70, 9)).astype("float32")
    w = rng.integers(-8, 8, (1, 1, 9, 66)).astype("float32")
    v = rng.integers(-8, 8, (1, 2, 70, 66)).astype("float32")
    check("conv", x, w, **how, exact=True)
    check("conv_input", v, w, size=(2, 70), **how, exact=True)
    check("conv_weight", x, v, size=(1, 1), **how, exact=True)
    x, w = rng.normal(size=x.shape).astype("float32"), rng.normal(size=w.shape).astype("float32")
    found = results(kernel("conv")(device(x), device(w), **how))[0]
    error = np.abs(found - reference.conv(x, w, **how))
    assert error.max() > 0
    assert (error <= 2.0**-10 * reference.conv(np.abs(x), np.abs(w), **how)).all()


@given(channels=st.sampled_from([1, 3, 4, 6, 12, 132]), kernel=st.sampled_from([(1, 1), (3, 3), (2, 5), (4, 3)]),
       stride=SIZES, dilation=SIZES, n=st.integers(0, 3), size=st.tuples(*[st.integers(0, 11)] * 2), dtype=DTYPES,
       padding=st.tuples(*[st.tuples(*[st.integers(0, 3)] * 2)] * 2), processors=st.sampled_from([1, 132]),
       seed=st.integers(0, 99))  # fmt: skip
@settings(max_examples=40)
def test_depthwise_convolution(channels: int, kernel: Any, stride: Any, dilation: Any, n: int, size: Any, dtype: str,
                               padding: Any, processors: int, seed: int) -> None:
    depthwise, rng = import_module("tinyart.kernels.cuda.depthwise"), np.random.default_rng(seed)
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": channels}
    x, w = (rng.normal(size=shape).astype(dtype) for shape in ((n, *size, channels), (*kernel, 1, channels)))
    b = rng.normal(size=channels).astype(dtype)
    y = reference.conv(x, w, **how)
    g, launched = rng.normal(size=y.shape).astype(dtype), set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(depthwise, "multiprocessors", lambda: processors)
        patch.setattr(depthwise, "launch", lambda *a, _run=depthwise.launch, **k: (launched.add((a[1], k.get("WIDE"))),
                                                                                   _run(*a, **k)))  # fmt: skip
        check("conv", x, w, *[b][: seed % 2], **how)
        check("conv_input", g, w, *[b][: seed % 2], size=size, **how)
        check("conv_weight", x, g, size=kernel, **how)
    wide = 4 if dtype == "float32" and channels % 4 == 0 else 1
    names = "depthwise", "depthwise_input", "depthwise_weight"
    assert launched == {*((name, wide) for name in names), ("add_column_parts", None)}


def test_an_infinity_reaches_the_same_pixels_through_a_depthwise_convolution() -> None:
    how = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 4}
    x, w = np.zeros((1, 5, 9, 4)), np.ones((3, 3, 1, 4))
    x[0, 2, 2, 1], x[0, 0, 8, 3] = np.inf, np.nan
    check("conv", x, w, **how)
    check("conv_input", x, w, size=(5, 9), **how)


# ---- rows, elements, windows


@given(x=arrays(st.lists(st.integers(0, 5), min_size=1, max_size=3).map(tuple) | st.tuples(st.just(9), st.just(70))),
       dtype=DTYPES, axis=st.integers(0, 2))  # fmt: skip
@few
def test_softmax(x: np.ndarray, dtype: str, axis: int) -> None:
    x, axis = 8 * x.astype(dtype), axis % x.ndim
    if x.shape[axis]:
        check("softmax", x, axis=axis)
        y = reference.softmax(x, axis=axis)
        check("softmax_backward", np.flip(x), y, axis=axis, terms=float((np.abs(np.flip(x)) * y).max(initial=0)))
        check("log_softmax", x, axis=axis - x.ndim)
    check("logsumexp", x, axis=axis, keepdims=True)
    check("logsumexp", x, axis=(axis,), keepdims=False)


SPECIAL = [0.0, -0.0, 1.0, -1.0, 1e-30, 88.0, -88.0, 700.0, -700.0, np.inf, -np.inf, np.nan]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_infinities_and_nans_stay_where_the_reference_has_them(dtype: str) -> None:
    x = np.array(SPECIAL, dtype)
    for name in ("exp", "tanh", "sigmoid", "softplus", "relu"):
        check(name, x)
    check("leaky_relu", x, slope=0.2)
    check("elu", x, alpha=1.5)
    t = np.linspace(0, 1, len(x)).astype(dtype)
    check("bce_with_logits", x, t)
    check("bce_with_logits_backward", x[::-1], x, t, [True, False])
    for name in ("relu_backward", "sigmoid_backward", "tanh_backward"):
        check(name, x[::-1], x)
    check("leaky_relu_backward", x[::-1], x, slope=0.2)
    rows = np.array([[0, 1, np.inf], [-np.inf] * 3, [np.nan, 0, 1], [-np.inf, 2, 3]], dtype)
    for name in ("softmax", "log_softmax"):
        check(name, rows, axis=-1)
    check("logsumexp", rows, axis=-1, keepdims=False)


@given(x=arrays(st.lists(st.integers(0, 40), max_size=2).map(tuple) | st.just((2500,))), dtype=DTYPES)
@few
def test_elementwise(x: np.ndarray, dtype: str) -> None:
    x = np.asarray(4 * x, dtype)
    for name in ("exp", "tanh", "sigmoid", "softplus", "relu"):
        check(name, x)
    check("leaky_relu", x, slope=0.2)
    check("elu", x, alpha=1.5)
    t = np.asarray(np.abs(x) / 8)
    check("bce_with_logits", x, t)
    check("bce_with_logits_backward", t, x, t, [True, True])
    check("bce_with_logits_backward", t, x, t, [False, True])
    for name in ("relu_backward", "sigmoid_backward", "tanh_backward"):
        check(name, t, x)
    check("leaky_relu_backward", t, x, slope=0.2)
    check("masked", x, np.asarray(x > 0), scale=1.25)


@given(shape=st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 5, 400]), st.sampled_from([1, 2, 3, 33, 255, 300])),
       dtype=DTYPES | st.just("int32"), axis=st.sampled_from([0, 1, -3, (0, 1), (1, 0), (0, 1, 2), (), None, (0, 2)]),
       keepdims=st.booleans(), seed=st.integers(0, 9), processors=st.sampled_from([1, 132]))  # fmt: skip
@settings(max_examples=40)
def test_sums_over_leading_axes(shape: Any, dtype: str, axis: Any, keepdims: bool, seed: int, processors: int) -> None:
    x = (8 * np.random.default_rng(seed).normal(size=shape)).astype(dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("tinyart.kernels.cuda.reduce"), "multiprocessors", lambda: processors)
        terms = float(np.abs(x).sum(dtype="float64"))
        for y in (x, np.asfortranarray(x)):
            check("sum", y, axis=axis, keepdims=keepdims, terms=terms, exact=dtype == "int32")


@given(x=arrays(st.tuples(st.integers(0, 5), st.integers(1, 30), st.sampled_from([1, 3, 32, 33, 70]))), dtype=DTYPES,
       seed=st.integers(0, 9), processors=st.sampled_from([1, 132]))  # fmt: skip
@few
def test_batch_norm(x: np.ndarray, dtype: str, seed: int, processors: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("tinyart.kernels.cuda.norm"), "multiprocessors", lambda: processors)
        rng = np.random.default_rng(seed)
        x = (x + rng.normal(size=x.shape)).astype(dtype)  # two equal values a channel have a variance of rounding
        gamma, beta = rng.normal(size=(2, x.shape[-1])).astype(dtype)
        check("batch_norm", x, gamma, beta, eps=1e-3, tolerance=16)
        _, mean, _, rstd = reference.batch_norm(x, gamma, beta, eps=1e-3)
        check("batch_norm_backward", x[::-1], x, gamma, mean, rstd, tolerance=64)


@given(x=arrays(st.lists(st.integers(0, 5), min_size=1, max_size=3).map(tuple) | st.sampled_from([(9, 70), (3, 1100)])),
       dtype=DTYPES, seed=st.integers(0, 9), processors=st.sampled_from([1, 132]))  # fmt: skip
@few
def test_layer_norm(x: np.ndarray, dtype: str, seed: int, processors: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("tinyart.kernels.cuda.layer"), "multiprocessors", lambda: processors)
        rng = np.random.default_rng(seed)
        x = (x + rng.normal(size=x.shape)).astype(dtype)
        gamma, beta = rng.normal(size=(2, x.shape[-1])).astype(dtype)
        check("layer_norm", x, gamma, beta, eps=0.1, tolerance=4)
        _, mean, rstd = reference.layer_norm(x, gamma, beta, eps=0.1)
        g = x[::-1]
        terms = float(np.abs(rstd).max(initial=0) * np.abs(g * gamma).max(initial=0))  # all of it, of a row of one
        check("layer_norm_backward", g, x, gamma, mean, rstd, tolerance=16, terms=terms)


@given(x=arrays(st.lists(st.integers(0, 5), min_size=1, max_size=3).map(tuple) | st.tuples(st.just(9), st.just(70))),
       dtype=DTYPES, kind=st.sampled_from(["int64", "uint8"]), seed=st.integers(0, 9),
       wanted=st.tuples(st.booleans(), st.booleans()))  # fmt: skip
@few
def test_losses_of_rows(x: np.ndarray, dtype: str, kind: str, seed: int, wanted: Any) -> None:
    rng, x = np.random.default_rng(seed), 8 * x.astype(dtype)
    if x.size:
        target = rng.integers(0, x.shape[-1], x.shape[:-1]).astype(kind)
        check("cross_entropy", x, target, terms=1.0)
        _, largest, log_sum = reference.cross_entropy(x, target)
        g = rng.normal(size=target.shape).astype(dtype)
        check("cross_entropy_backward", g, x, target, largest, log_sum)
    log_var = rng.normal(size=x.shape).astype(dtype)
    check("kl_to_standard_normal", x, log_var)
    g = rng.normal(size=x.shape[:-1]).astype(dtype)
    check("kl_to_standard_normal_backward", g, x, log_var, wanted)


def test_a_class_that_there_is_not_has_a_loss_of_nan() -> None:
    loss, _, _ = kernel("cross_entropy")(device(np.ones((3, 2))), device(np.array([1, 2, -1])))
    assert np.isnan(host(loss)).tolist() == [False, True, True]


@given(g=conv_geometries(), seed=st.integers(0, 99), dtype=DTYPES, size=st.tuples(st.integers(1, 3), st.integers(1, 3)),
       stride=st.tuples(st.integers(1, 3), st.integers(1, 3)))  # fmt: skip
@few
def test_pooling(g: Any, seed: int, dtype: str, size: Any, stride: Any) -> None:
    rng = np.random.default_rng(seed)
    how = {"size": size, "stride": stride, "padding": tuple((k // 2, rng.integers(0, k // 2 + 1).item()) for k in size)}
    x = rng.integers(0, 3, g.x).astype(dtype)  # ties
    if any(n + sum(p) < k for n, p, k in zip(g.x[1:3], how["padding"], size, strict=True)):
        return
    y = reference.max_pool(x, **how)
    v = rng.normal(size=y.shape).astype(dtype)
    check("max_pool", x, **how, exact=True)
    check("max_pool_input", v, x, y, **how)
    check("max_pool_gather", x + 1, x, y, **how)
    check("sum_pool", x, **how)
    check("sum_pool_input", v, size_in=g.x[1:3], **how)


def test_a_nan_fills_its_windows() -> None:
    x = np.ones((1, 4, 4, 1))
    x[0, 1, 2] = np.nan
    how = {"size": (2, 2), "stride": (2, 2), "padding": ((0, 0), (0, 0))}
    y = reference.max_pool(x, **how)
    check("max_pool", x, **how)
    check("max_pool_input", y + 1, x, y, **how)
    check("max_pool_gather", x, x, y, **how)


# ---- indexing


@given(shape=st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(0, 4)), dtype=st.sampled_from(
       ["float32", "float64", "int32", "uint8"]), count=st.integers(0, 9) | st.just(300), seed=st.integers(0, 99))
@few
def test_take_and_gather(shape: Any, dtype: str, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, indices = rng.integers(0, 9, shape).astype(dtype), rng.integers(0, shape[1], (count, 2))
    check("take", x, indices.astype("int32"), axis=1, exact=True)
    g = rng.integers(0, 3, (shape[0], count, 2, shape[2])).astype(dtype)
    if np.prod(shape):
        integer = dtype[0] != "f"
        check("take_add", g, indices, axis=1, size=shape[1], exact=integer)
        along = rng.integers(0, shape[1], (shape[0], min(count, 20), shape[2]))
        check("take_along_add", rng.integers(0, 9, along.shape).astype(dtype), along, axis=1, size=shape[1],
              exact=integer)


KEYS = [(slice(1, None), slice(None, None, -2)), ..., (None, 1, ..., 2), np.array([0, 2, 2, 0]),
        (np.array([[0, 1], [1, 0]]), slice(None), np.array([2])), (slice(0, 2), np.array([-1, 1, 1])),
        np.array([True, False, True]), (slice(None), np.array([False, True, True, False])),
        (np.array([1, 1]), np.array([3, 3]), np.array([0, 0]))]  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_put_add(key: Any) -> None:
    shape = (3, 4, 5)
    g = np.random.default_rng(0).normal(size=np.empty(shape)[key].shape)
    on_device = tuple(map(device, key)) if isinstance(key, tuple) else device(key)
    expected = reference.put_add(g, key, shape=shape)
    np.testing.assert_allclose(host(kernel("put_add")(device(g), on_device, shape=shape)), expected, rtol=1e-14)


def test_indices_out_of_range_read_nan_and_add_nothing() -> None:
    x, indices = device(np.ones((3, 2))), device(np.array([0, 3, -1, 2**40]))
    assert np.isnan(host(kernel("take")(x, indices, axis=0))).all(axis=1).tolist() == [False, True, True, True]
    added = kernel("take_add")(device(np.ones((4, 2))), indices, axis=0, size=3)
    assert host(added).tolist() == [[1, 1], [0, 0], [0, 0]]


@pytest.mark.parametrize("count", [1023, 1025, 5000])
def test_many_indices_are_sorted_in_runs(count: int) -> None:
    """Sums of whole numbers, which have no rounding; then that equal indices add up in their order."""
    rng = np.random.default_rng(count)
    indices = rng.integers(0, 1500, count)
    check("take_add", rng.integers(-9, 9, (count, 2)).astype("float32"), indices, axis=0, size=1500, exact=True)
    index = import_module("tinyart.kernels.cuda.index")
    g = rng.normal(size=count).astype("float32")
    expected = np.zeros(3, np.float32)
    np.add.at(expected, indices % 3, g)
    assert host(index.take_add(device(g), device(indices % 3), axis=0, size=3)).tolist() == expected.tolist()


# ---- products


@given(batch=st.sampled_from([((), ()), ((2,), (2,)), ((2,), ()), ((), (3,)), ((2, 1), (1, 3)), ((2, 3), (2, 3))]),
       sizes=st.tuples(*[st.integers(0, 4)] * 3), dtype=DTYPES, seed=st.integers(0, 99), turned=st.integers(0, 15))
def test_matmul(batch: Any, sizes: Any, dtype: str, seed: int, turned: int) -> None:
    """Contiguous and transposed operands, every second row or column, broadcast and reversed ones."""
    rng = np.random.default_rng(seed)
    m, k, n = sizes
    pair = []
    for outer, rows, columns, how in ((batch[0], m, k, turned % 4), (batch[1], k, n, turned // 4)):
        x = rng.normal(size=(*outer, *((columns, rows) if how == 1 else (rows, columns)))).astype(dtype)
        x = x.swapaxes(-1, -2) if how == 1 else x
        pair.append(np.repeat(x, 2, -1)[..., ::2] if how == 2 else x[..., ::-1, :] if how == 3 else x)
    check("matmul", *pair)


@given(sizes=st.tuples(st.integers(0, 40), st.integers(0, 5), st.sampled_from([0, 1, 5, 33])), dtype=DTYPES,
       activation=st.sampled_from(["none", "relu", "leaky_relu", "sigmoid", "tanh"]), seed=st.integers(0, 9),
       wanted=st.tuples(*[st.booleans()] * 3))  # fmt: skip
@few
def test_dense(sizes: Any, dtype: str, activation: str, seed: int, wanted: Any) -> None:
    rng = np.random.default_rng(seed)
    n, i, o = sizes
    x, w, b = (rng.normal(size=shape).astype(dtype) for shape in ((n, i), (i, o), (o,)))
    how = {"activation": activation, "slope": 0.2}
    check("dense", x, w, b, **how)
    y = reference.dense(x, w, b, **how)
    check("dense_backward", rng.normal(size=y.shape).astype(dtype), x, w, y, activation, 0.2, wanted, tolerance=4)


@given(sizes=st.tuples(st.integers(1, 4), st.integers(0, 3), st.integers(0, 3), st.integers(1, 4)), dtype=DTYPES,
       reverse=st.booleans(), short=st.booleans(), seed=st.integers(0, 9), wanted=st.booleans())  # fmt: skip
@few
def test_recurrent_layers(sizes: Any, dtype: str, reverse: bool, short: bool, seed: int, wanted: bool) -> None:
    rng = np.random.default_rng(seed)
    T, N, F, H = sizes
    lengths = tuple(rng.integers(0, T + 1, N).tolist()) if short else None
    draw = lambda *shape: rng.normal(size=shape).astype(dtype)  # noqa: E731
    x, h0, c0 = draw(T, N, F), draw(N, H), draw(N, H)
    how = {"lengths": lengths, "reverse": reverse}
    last = (lengths, reverse, [wanted] * 5)
    for activation in ("tanh", "relu"):
        W, R, b = draw(F, H), draw(H, H), draw(H)
        check("rnn", x, W, R, b, h0, activation=activation, **how)
        y = reference.rnn(x, W, R, b, h0, activation=activation, **how)
        check("rnn_backward", draw(T, N, H), x, W, R, h0, y, activation, *last, tolerance=64)
    W, R, b = draw(F, 4 * H), draw(H, 4 * H), draw(4 * H)
    check("lstm", x, W, R, b, h0, c0, **how)
    y, _, c, gates = reference.lstm(x, W, R, b, h0, c0, **how)
    check("lstm_backward", draw(T, N, H), draw(N, H), x, W, R, h0, c0, y, c, gates, *last, tolerance=64)
    W, R, b = draw(F, 3 * H), draw(H, 3 * H), draw(4 * H)
    check("gru", x, W, R, b, h0, **how)
    y, gates = reference.gru(x, W, R, b, h0, **how)
    check("gru_backward", draw(T, N, H), x, W, R, h0, y, gates, *last, tolerance=64)


# ---- random numbers and Adam


@given(key=st.integers(0, 2**64 - 1), counter=st.integers(0, 2**128 - 1) | st.integers(2**64 - 3, 2**64 + 3),
       shape=st.lists(st.integers(0, 9), max_size=3).map(tuple), dtype=DTYPES)  # fmt: skip
@few
def test_noise_has_the_cpus_bits(key: int, counter: int, shape: Any, dtype: str) -> None:
    like = np.empty(0)
    check("uniform", key, counter, shape=shape, dtype=dtype, like=like, exact=True)
    check("normal", key, counter, shape=shape, dtype=dtype, like=like)
    check("bernoulli", key, counter, shape=shape, p=0.3, like=like, exact=True)
    check("randint", key, counter, shape=shape, low=-(2**62), high=2**62 + 7, like=like, exact=True)
    check("randint", key, counter, shape=shape, low=-(2**63), high=2**63, like=like, exact=True)


def test_noise_from_a_state_on_the_device() -> None:
    for counter in (5, 2**64 - 1, 2**128 - 1):
        state = np.array([7, counter % 2**64, counter >> 64], np.uint64)
        ours = host(kernel("uniform")(0, device(state), shape=(50,), dtype="float32", like=None))
        assert (ours == reference.uniform(7, counter, shape=(50,), dtype="float32", like=state)).all()


SIZES = st.lists(st.sampled_from([0, 1, 7, 1024, 1025, 2100]), min_size=1, max_size=5) | st.just([3] * 70)


def updated(name: str, sizes: list[int], slots: int, dtype: str, live: int = 0, **how: Any) -> None:
    """The kernel changes its lists of arrays as the reference does; `live`: the first settings lie on the device."""
    rng = np.random.default_rng(0)
    theirs = [[rng.uniform(0.1, 1, size).astype(dtype) for size in sizes] for _ in range(slots)]
    if slots == 5:
        theirs[2] = [v + 1 for v in theirs[2]]  # of RMSprop: less the mean's square this is a variance, not rounding
    ours = [[device(a.copy()) for a in arrays] for arrays in theirs]
    given = {key: device(np.array(float(value))) if i < live else value for i, (key, value) in enumerate(how.items())}
    empty: list[list[Any]] = [[]] * (SLOTS.get(name, slots) - slots)
    kernel(name)(*ours, *empty, **given)
    getattr(reference, name)(*theirs, *empty, **how)
    for found, expected in zip(ours, theirs, strict=True):
        for a, b in zip(found, expected, strict=True):
            eps = np.finfo(dtype).eps
            np.testing.assert_allclose(host(a), b, rtol=16 * eps, atol=eps)  # a 1 can lose all but its rounding


SLOTS = {"sgd_all_": 3, "rmsprop_all_": 5}  # lists that a call takes, empty or not


@given(sizes=SIZES, dtype=DTYPES, decoupled=st.booleans(), decay=st.sampled_from([0.0, 0.1]), live=st.booleans())
@few
def test_adam(sizes: list[int], dtype: str, decoupled: bool, decay: float, live: bool) -> None:
    updated("adam_all_", sizes, 4, dtype, 2 * live, lr=0.01, step=3, beta1=0.9, beta2=0.99, eps=1e-6,
            weight_decay=decay, decoupled=decoupled)  # fmt: skip


@given(sizes=SIZES, dtype=DTYPES, momentum=st.sampled_from([0.0, 0.9]), nesterov=st.booleans(),
       decay=st.sampled_from([0.0, 0.1]), live=st.booleans())  # fmt: skip
@few
def test_sgd(sizes: list[int], dtype: str, momentum: float, nesterov: bool, decay: float, live: bool) -> None:
    updated("sgd_all_", sizes, 3 if momentum else 2, dtype, live, lr=0.01, momentum=momentum, nesterov=nesterov,
            weight_decay=decay)  # fmt: skip


@given(sizes=SIZES, dtype=DTYPES, slots=st.sampled_from([3, 4, 5]), decay=st.sampled_from([0.0, 0.1]),
       live=st.booleans())  # fmt: skip
@few
def test_rmsprop(sizes: list[int], dtype: str, slots: int, decay: float, live: bool) -> None:
    """Plain; with momentum; with momentum and centred."""
    updated("rmsprop_all_", sizes, slots, dtype, live, lr=0.01, alpha=0.9, eps=1e-2, weight_decay=decay,
            momentum=0.9 if slots > 3 else 0.0)  # fmt: skip


@given(sizes=SIZES, dtype=DTYPES)
@few
def test_averages_norms_and_clipping_over_all_arrays(sizes: list[int], dtype: str) -> None:
    updated("lerp_all_", sizes, 2, dtype, weight=0.3)
    rng = np.random.default_rng(1)
    xs = [rng.normal(size=size).astype(dtype) for size in sizes]
    norm = kernel("norm_all")([*map(device, xs)])
    np.testing.assert_allclose(host(norm), reference.norm_all(xs), rtol=1e-14)
    scale = np.array(0.37)
    found = kernel("scaled_all")([*map(device, xs)], device(scale))
    for a, b in zip(found, reference.scaled_all(xs, scale), strict=True):
        assert host(a).tobytes() == b.tobytes()


@pytest.mark.parametrize(("name", "lists", "how"), [
    ("adam_all_", 4, {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "step": 1, "weight_decay": 0.0,
                      "decoupled": False}),
    ("sgd_all_", 3, {"lr": 0.1, "momentum": 0.9, "nesterov": False, "weight_decay": 0.1}),
    ("rmsprop_all_", 5, {"lr": 0.1, "alpha": 0.9, "eps": 1e-2, "weight_decay": 0.0, "momentum": 0.9}),
    ("lerp_all_", 2, {"weight": 0.1}),
])  # fmt: skip
def test_an_optimiser_leaves_other_layouts_to_the_reference(name: str, lists: int, how: Any) -> None:
    theirs = [np.random.default_rng(i).uniform(0.1, 1, (4, 3)) for i in range(lists)]
    ours = [device(np.asfortranarray(a)) for a in theirs]
    kernel(name)(*([a] for a in ours), **how)
    getattr(reference, name)(*([a] for a in theirs), **how)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(host(a), b, rtol=1e-14)


# ---- the emulator itself

RACE = """
KERNEL racing(int *x) {
    __shared__ int s[256];
    s[threadIdx.x] = threadIdx.x + *x;
    BARRIER
    x[threadIdx.x] = s[threadIdx.x ^ 255];
}
KERNEL diverging(int *x) { if (threadIdx.x < 100) __syncthreads(); x[0] = 1; }
"""


@pytest.mark.usefixtures("cupy")
def test_the_emulator_notices_a_race_and_a_barrier_that_some_threads_miss() -> None:
    launch = import_module("tinyart.kernels.cuda.launch")
    prelude = launch.source("optim").split("// Adam")[0]
    found = []
    for descending in (False, True):
        emulator.DESCENDING = descending
        x = device(np.full(256, 1, np.int32))
        module = double.RawModule(code=prelude + RACE, options=(*launch.options("float32"), "-DBARRIER="))
        module.get_function("racing")((1, 1, 1), (256, 1, 1), (x,))
        found.append(x.host.tolist())
    emulator.DESCENDING = False
    assert found[0] != found[1]
    with pytest.raises(AssertionError, match="a barrier that not all threads reach"):
        module.get_function("diverging")((1, 1, 1), (256, 1, 1), (x,))
