"""Products shared among threads, and the dense layer on them, against NumPy in float64."""

import ctypes
import mmap
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinyart.kernels.cpu import linear, threads, tile
from tinyart.kernels.reference import linear as reference

import tinyart as ta
from tinyart.ops.matmul import dense
from tinyart.ops.op import Op

SIDES = st.sampled_from([0, 1, 2, 5, 16, 31, 64, 100])
SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(autouse=True, params=[1, 2, 3])
def shared_from_the_first_element(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = threads.get_num_threads()
    threads.set_num_threads(request.param)
    monkeypatch.setattr(linear, "_WORTH", 0)
    yield
    threads.set_num_threads(before)


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def close(found: np.ndarray, expected: np.ndarray, terms: int) -> bool:
    return np.allclose(found, expected, rtol=1e-5, atol=1e-6 * max(terms, 1))


@given(m=SIDES, k=st.sampled_from([0, 1, 3, 64, 1000, 2048]), n=SIDES, turned=st.tuples(*[st.booleans()] * 2),
       seed=SEEDS)
def test_products_of_all_shapes(m: int, k: int, n: int, turned: tuple[bool, bool], seed: int) -> None:
    a = normal(seed, k, m).T if turned[0] else normal(seed, m, k)
    b = normal(seed + 1, n, k).T if turned[1] else normal(seed + 1, k, n)
    found = linear.product(a, b)
    assert found.dtype == np.float32
    assert close(found, a.astype(float) @ b.astype(float), k)
    assert np.array_equal(linear.matmul(a.astype(float), b.astype(float)).shape, (m, n))


@given(m=st.sampled_from([7, 263, 265, 540]), k=st.sampled_from([5, 255, 257, 600]), n=st.sampled_from([2, 15, 17, 48]),
       turned=st.tuples(*[st.booleans()] * 2), seed=SEEDS)
def test_products_of_several_blocks(m: int, k: int, n: int, turned: tuple[bool, bool], seed: int) -> None:
    """Of rows, terms and columns, the last of each in part; nothing is written beside the product."""
    a = normal(seed, k, m).T if turned[0] else normal(seed, m, k)
    b = normal(seed + 1, n, k).T if turned[1] else normal(seed + 1, k, n)
    wide = np.full((m + 2, n + 2), 7, np.float32)
    linear.product(a, b, wide[1:-1, 1:-1])
    assert close(wide[1:-1, 1:-1], a.astype(float) @ b.astype(float), k)
    wide[1:-1, 1:-1] = 7
    assert (wide == 7).all()


@given(m=st.sampled_from([3, 70, 300]), k=st.sampled_from([1, 64, 300, 5000]), n=st.sampled_from([33, 100, 300]),
       seed=SEEDS)
def test_products_have_the_same_bits_for_any_number_of_threads(m: int, k: int, n: int, seed: int) -> None:
    a, b = normal(seed, m, k), normal(seed + 1, k, n)
    found = linear.product(a, b)
    threads.set_num_threads(4)
    assert np.array_equal(found, linear.product(a, b))


@given(row=st.integers(0, 69), column=st.integers(0, 36), turned=st.tuples(*[st.booleans()] * 2))
def test_what_is_not_finite_stays_in_its_row_and_column(row: int, column: int, turned: tuple[bool, bool]) -> None:
    a, b = normal(0, 70, 30), normal(1, 30, 37)
    a[row, 3], b[4, column] = np.nan, np.inf
    found = linear.product(np.asfortranarray(a) if turned[0] else a, np.asfortranarray(b) if turned[1] else b)
    beside = np.ones((70, 37), bool)
    beside[row], beside[:, column] = False, False
    assert np.isnan(found[row]).all()
    assert not np.isfinite(found[:, column]).any()
    assert np.isfinite(found[beside]).all()


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_squares_are_turned_on_every_processor(lanes: int) -> None:
    square = [[(row, column) for column in range(lanes)] for row in range(lanes)]
    turned = [list(column) for column in zip(*square, strict=True)]
    for rows in tile.turning(lanes):
        square = [[(square[x] + square[y])[n] for n in order] for x, y, order in rows]
    assert square == turned


@pytest.mark.skipif(sys.platform != "linux", reason="protects a page by Linux's mprotect")
@pytest.mark.parametrize("orders", ["CC", "CF", "FC", "FF"])
def test_nothing_is_read_or_written_after_the_end(orders: str) -> None:
    """The arrays end where a page ends, and the next page may not be touched."""
    libc, page = ctypes.CDLL(None, use_errno=True), mmap.PAGESIZE

    def at_the_end(array: np.ndarray) -> np.ndarray:
        size = -(-array.nbytes // page) * page
        memory = np.frombuffer(mmap.mmap(-1, size + page), np.uint8)
        assert libc.mprotect(ctypes.c_void_p(memory.ctypes.data + size), ctypes.c_size_t(page), 0) == 0
        order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
        moved = np.ndarray(array.shape, np.float32, memory, size - array.nbytes, order=order)
        moved[:] = array
        return moved

    for m, n in ((7, 17), (13, 9), (70, 33), (14, 16), (80, 41)):
        for k in (3, 8, 21, 300):
            a, b = (np.array(normal(i, *shape), order=order) for i, (shape, order) in enumerate(
                zip([(m, k), (k, n)], orders, strict=True)))  # type: ignore[call-overload]
            out = at_the_end(np.zeros((m, n), np.float32))
            linear.product(at_the_end(a), at_the_end(b), out)
            assert close(out, a.astype(float) @ b.astype(float), k)


def test_a_product_into_some_columns() -> None:
    a, b, wide = normal(0, 30, 20), normal(1, 20, 48), np.zeros((30, 100), np.float32)
    linear.product(a, b, out=wide[:, 10:58])
    assert close(wide[:, 10:58], a.astype(float) @ b.astype(float), 20)
    assert not wide[:, :10].any()
    assert not wide[:, 58:].any()


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rows": lambda a: a.copy(), "columns": lambda a: np.asfortranarray(a), "some": lambda a: a.repeat(2, 1)[:, ::2],
    "some rows": lambda a: a.repeat(2, 0)[::2], "backwards": lambda a: a[::-1].copy()[::-1],
    "part": lambda a: np.pad(a, 3)[3:-3, 3:-3], "one row": lambda a: np.broadcast_to(a[:1], a.shape),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("of_b", LAYOUTS)
@pytest.mark.parametrize("of_a", LAYOUTS)
def test_factors_and_results_of_every_layout(of_a: str, of_b: str, dtype: type) -> None:
    for m, k, n in ((5, 7, 3), (70, 90, 80)):
        a, b = LAYOUTS[of_a](normal(0, m, k).astype(dtype)), LAYOUTS[of_b](normal(1, k, n).astype(dtype))
        a.flags.writeable = False
        exact = a.astype(float) @ b.astype(float)
        for layout in ("rows", "columns", "part", "backwards", "some"):
            out = LAYOUTS[layout](np.full((m, n), np.nan, dtype))
            assert linear.product(a, b, out) is out
            assert close(out, exact, k) if dtype == np.float32 else np.allclose(out, exact, rtol=1e-13, atol=1e-13)


@given(batch=st.sampled_from([(0, 0), (1, 1), (4, 4), (1, 5), (5, 1), (None, 3), (3, None)]), seed=SEEDS)
def test_batches_of_products(batch: tuple[int | None, int | None], seed: int) -> None:
    a, b = normal(seed, *[batch[0]] * (batch[0] is not None), 6, 7), normal(
        seed + 1, *[batch[1]] * (batch[1] is not None), 7, 4)
    assert close(linear.product(a, b), a.astype(float) @ b.astype(float), 7)


@given(n=SIDES, i=SIDES, o=SIDES, activation=st.sampled_from(["none", "relu", "leaky_relu", "sigmoid", "tanh"]),
       wanted=st.tuples(*[st.booleans()] * 3), seed=SEEDS)
def test_dense(n: int, i: int, o: int, activation: str, wanted: tuple[bool, bool, bool], seed: int) -> None:
    x, w, b, g = normal(seed, n, i), normal(seed + 1, i, o), normal(seed + 2, o), normal(seed + 3, n, o)
    y = linear.dense(x, w, b, activation=activation, slope=0.2)
    exact = [a.astype(float) for a in (x, w, b)]
    assert y.dtype == np.float32
    assert close(y, reference.dense(*exact, activation=activation, slope=0.2), i)
    found = linear.dense_backward(g, x, w, y, activation, 0.2, wanted)
    expected = reference.dense_backward(*[a.astype(float) for a in (g, x, w, y)], activation, 0.2, wanted)
    for a, e, terms in zip(found, expected, (o, n, n), strict=True):
        assert (a is None) == (e is None)
        assert a is None or close(a, e, terms)


@pytest.mark.parametrize("activation", ["none", "relu", "leaky_relu", "sigmoid", "tanh"])
@pytest.mark.parametrize(("n", "o"), [(1300, 24), (513, 3), (600, 64)])
def test_dense_of_many_rows(n: int, o: int, activation: str) -> None:
    """Sums of gradients of the bias in parts, which threads take by rows or by columns."""
    x, w, b, g = normal(0, n, 30), normal(1, 30, o), normal(2, o), normal(3, n, o)
    y = linear.dense(x, w, b, activation=activation, slope=0.2)
    found = linear.dense_backward(g, x, w, y, activation, 0.2, (True, True, True))
    expected = reference.dense_backward(*[a.astype(float) for a in (g, x, w, y)], activation, 0.2, (True, True, True))
    for a, e, terms in zip(found, expected, (o, n, n), strict=True):
        assert close(a, e, terms)


@pytest.mark.parametrize("activation", ["none", "relu", "tanh"])
def test_a_blas_that_compiled_code_cannot_call(monkeypatch: pytest.MonkeyPatch, activation: str) -> None:
    """Then products are NumPy's own."""
    monkeypatch.setattr(linear.blas, "COMPILED", False)
    for n, o in ((40, 24), (300, 200), (3, 0)):
        x, w, b, g = normal(0, n, 90), normal(1, 90, o), normal(2, o), normal(3, n, o)
        y = linear.dense(x, w, b, activation=activation, slope=0.2)
        assert close(y, reference.dense(*[a.astype(float) for a in (x, w, b)], activation=activation, slope=0.2), 90)
        found = linear.dense_backward(g, x, w, y, activation, 0.2, (True, "later", True))
        exact = reference.dense_backward(*[a.astype(float) for a in (g, x, w, y)], activation, 0.2, (True, True, True))
        for a, e, terms in zip(found, exact, (o, n, n), strict=True):
            assert close(a, e, terms)
    assert close(linear.product(normal(0, 5, 6, 7), normal(1, 7, 8)),
                 normal(0, 5, 6, 7).astype(float) @ normal(1, 7, 8).astype(float), 7)


# ---- gradients of weights that are put off


@pytest.fixture
def at_the_last_moment(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Whatever is put off is NaN until it is finished, so that nobody reads it before; the list is of what was."""
    waiting: list[tuple[np.ndarray, ...]] = []
    all_of_them: list[object] = []

    def later(kernel: object, size: int, piece: int, a: np.ndarray, a_turned: bool, b: np.ndarray, b_turned: bool,
              how: tuple[int, int], out: np.ndarray) -> None:  # fmt: skip
        out[:] = np.nan
        waiting.append((a.T if a_turned else a, b.T if b_turned else b, out))
        all_of_them.append(out)

    def finish() -> None:
        while waiting:
            a, b, out = waiting.pop()
            np.matmul(a, b, out=out)

    monkeypatch.setattr(linear, "later", later)
    monkeypatch.setattr(threads, "finish", finish)
    monkeypatch.setattr(linear, "_LONG", 0)
    return all_of_them


def near(found: np.ndarray, expected: np.ndarray) -> bool:
    return np.allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def network(requires_grad: bool = True) -> list[ta.Tensor]:
    shapes = (6, 5), (5, 7), (7,), (7, 7), (7,)
    return [ta.tensor(normal(i, *shape), requires_grad=requires_grad) for i, shape in enumerate(shapes)]


def chain(x: ta.Tensor, w: ta.Tensor, b: ta.Tensor, v: ta.Tensor, c: ta.Tensor) -> ta.Tensor:
    return (dense(dense(x, w, b, activation="tanh"), v, c) ** 2).sum()


def twice(x: ta.Tensor, w: ta.Tensor, b: ta.Tensor, v: ta.Tensor, c: ta.Tensor) -> ta.Tensor:
    h = dense(dense(dense(x, w, b), v, c, activation="tanh"), v, c)
    return (dense(h, v, c) ** 2).sum()


def computed(x: ta.Tensor, w: ta.Tensor, b: ta.Tensor, v: ta.Tensor, c: ta.Tensor) -> ta.Tensor:
    return (dense(x, w * w, b, activation="tanh") ** 2).sum() + (v * c).sum()


@pytest.mark.parametrize("f", [chain, twice, computed])
def test_nobody_reads_what_is_put_off(f: Callable[..., ta.Tensor], at_the_last_moment: list[object]) -> None:
    """In `grad`, in `backward` onto a gradient that is there, in anomaly mode, and for weights computed from others."""
    exact = [ta.tensor(x.array.astype(float), requires_grad=True) for x in network()]
    expected = [g.array for g in ta.grad(f(*exact), exact)]
    assert not at_the_last_moment  # float64 is the reference's
    xs = network()
    for g, e in zip(ta.grad(f(*xs), xs), expected, strict=True):
        assert near(g.array, e)
    for times in (1, 2):
        f(*xs).backward()
        for x, e in zip(xs, expected, strict=True):
            assert x.grad is not None
            assert near(x.grad.array, times * e)
    with ta.detect_anomaly():
        for g, e in zip(ta.grad(f(*xs), xs), expected, strict=True):
            assert near(g.array, e)
    assert bool(at_the_last_moment) == (f is not computed)


def test_what_was_put_off_is_finished_though_a_rule_fails(at_the_last_moment: list[object]) -> None:
    def fail(g: ta.Tensor) -> ta.Tensor:
        raise ZeroDivisionError

    x, w, b, v, c = network()
    with pytest.raises(ZeroDivisionError):
        ta.grad(dense(Op("stop", "x", kernel="negative", x=fail)(dense(x, w, b)), v, c).sum(), [x, v])
    assert len(at_the_last_moment) == 1
    assert np.isfinite(at_the_last_moment[0]).all()  # type: ignore[call-overload]


def test_real_helpers_put_off_the_gradients_of_a_deep_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "_LONG", 0)
    weights = [ta.tensor(normal(i, 96, 96) / np.float32(10), requires_grad=True) for i in range(12)]
    bias = ta.tensor(np.zeros(96, np.float32))
    x, exact = ta.tensor(normal(99, 64, 96)), [ta.tensor(w.array.astype(float), requires_grad=True) for w in weights]
    h, k = x, x.astype("float64")
    for w, v in zip(weights, exact, strict=True):
        h, k = dense(h, w, bias, activation="tanh"), dense(k, v, bias.astype("float64"), activation="tanh")
    expected = ta.grad((k**2).sum(), exact)
    for _ in range(5):
        h = x
        for w in weights:
            h = dense(h, w, bias, activation="tanh")
        for g, e in zip(ta.grad((h**2).sum(), weights), expected, strict=True):
            assert near(g.array, e.array)
