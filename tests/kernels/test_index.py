"""Adjoints of indexing against loops that add element by element."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tinyart.kernels.cpu import index as cpu
from tinyart.kernels.cpu import threads
from tinyart.kernels.reference.index import put_add, take, take_add, take_along, take_along_add

from tinyart.testing import arrays, shapes


def accumulated(g: np.ndarray, places: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Zeros of `shape`, where the k-th element of g was added at the k-th of `places`, a flat position."""
    assert g.shape == places.shape
    flat = [0.0] * int(np.prod(shape))
    for value, place in zip(g.ravel().tolist(), places.ravel().tolist(), strict=True):
        flat[place] += value
    return np.array(flat).reshape(shape)


def positions(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(int(np.prod(shape))).reshape(shape)


@st.composite
def keys(draw: Any, shape: tuple[int, ...]) -> Any:
    """Slices with steps, negative integers, None, ..., integer arrays in any place (repeats), a mask."""
    kind = draw(st.sampled_from(["basic", "arrays", "mask", "mixed"]))
    if kind == "arrays" and shape and 0 not in shape:
        return draw(hnp.integer_array_indices(shape, dtype=draw(st.sampled_from(["int64", "int32", "uint8"]))))
    if kind == "mask":
        return (draw(hnp.arrays(bool, shape)),)
    if kind == "mixed" and len(shape) == 3 and 0 not in shape:
        first, last = (draw(st.lists(st.integers(-n, n - 1), min_size=2, max_size=2)) for n in (shape[0], shape[2]))
        rows, columns = np.array(first), np.array(last)
        middle, mask = slice(None, None, draw(st.sampled_from([-1, 2]))), draw(hnp.arrays(bool, shape[0]))
        return draw(st.sampled_from([
            (rows, middle, columns), (rows, None, middle), (..., columns), (slice(1, None), ..., columns),
            (mask, middle), (mask, ..., 0), (-1, columns[:, None] * 0), (rows, None, ..., -1), (rows[0], middle),
        ]))  # fmt: skip
    return draw(hnp.basic_indices(shape, allow_newaxis=True))


@given(st.data())
def test_put_add_is_a_loop_over_the_elements(call: Any, data: Any) -> None:
    shape = data.draw(shapes(0, 3, 4) | st.tuples(*[st.integers(1, 4)] * 3))
    key = data.draw(keys(shape))
    places = np.asarray(positions(shape)[key])
    g = data.draw(arrays(places.shape))
    x = call(lambda a: put_add(a, key, shape=shape), g)
    np.testing.assert_allclose(x, accumulated(g, places, shape), rtol=1e-13, atol=1e-13)


@st.composite
def take_cases(draw: Any, along: bool) -> tuple[np.ndarray, np.ndarray, int]:
    """x, indices, axis; for `along` the indices have x's shape but for that axis."""
    shape = draw(shapes(1, 3, 5))
    axis = draw(st.integers(0, len(shape) - 1))
    size = shape[axis]
    of = draw(shapes(0, 2, 4)) if not along else (*shape[:axis], draw(st.integers(0, 6)), *shape[axis + 1 :])
    if not size:
        of = (0,) if not along else (*shape[:axis], 0, *shape[axis + 1 :])
    indices = draw(arrays(of, 0, max(1, size), draw(st.sampled_from(["int64", "int32", "uint8"]))))
    return draw(arrays(shape)), indices, axis


@given(take_cases(along=False), st.data())
def test_take_and_its_adjoint_are_loops(call: Any, case: Any, data: Any) -> None:
    x, indices, axis = case
    y = call(take, x, indices, axis=axis)
    assert y.shape == (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    places = np.zeros(y.shape, int)
    for at in np.ndindex(y.shape):
        row = indices[at[axis : axis + indices.ndim]]
        source = (*at[:axis], row, *at[axis + indices.ndim :])
        assert y[at] == x[source]
        places[at] = positions(x.shape)[source]
    g = data.draw(arrays(y.shape))
    found = call(take_add, g, indices, axis=axis, size=x.shape[axis])
    np.testing.assert_allclose(found, accumulated(g, places, x.shape), rtol=1e-13, atol=1e-13)


@given(take_cases(along=False), st.data(), st.sampled_from(["float32", "float64", "int64"]))
def test_compiled_take_add_has_the_reference_bits(call: Any, case: Any, data: Any, dtype: str) -> None:
    x, indices, axis = case
    g = data.draw(arrays(take(x, indices, axis=axis).shape)).astype(dtype)
    g = data.draw(st.sampled_from([g, g[::-1] if g.ndim else g, np.asfortranarray(g) if g.ndim else g]))
    for kind in ("int64", "uint8"):
        found = call(cpu.take_add, g, indices.astype(kind), axis=axis, size=x.shape[axis])
        wanted = take_add(g, indices.astype(kind), axis=axis, size=x.shape[axis])
        assert found.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("index", [-1, 4])
def test_compiled_take_add_writes_nowhere_else(index: int) -> None:
    with pytest.raises(IndexError, match="outside 0 <= index < 4"):
        cpu.take_add(np.ones((2, 3)), np.array([0, index]), axis=0, size=4)


@given(take_cases(along=True), st.data())
def test_take_along_and_its_adjoint_are_loops(call: Any, case: Any, data: Any) -> None:
    x, indices, axis = case
    y = call(take_along, x, indices, axis=axis)
    assert y.shape == indices.shape
    places = np.zeros(y.shape, int)
    for at in np.ndindex(y.shape):
        source = (*at[:axis], indices[at], *at[axis + 1 :])
        assert y[at] == x[source]
        places[at] = positions(x.shape)[source]
    g = data.draw(arrays(y.shape))
    found = call(take_along_add, g, indices, axis=axis, size=x.shape[axis])
    np.testing.assert_allclose(found, accumulated(g, places, x.shape), rtol=1e-13, atol=1e-13)


@given(take_cases(along=False), take_cases(along=True), st.data())
def test_adjoints(assert_adjoint: Any, whole: Any, along: Any, data: Any) -> None:
    for read, add, (x, indices, axis) in ((take, take_add, whole), (take_along, take_along_add, along)):
        y = read(x, indices, axis=axis)
        g = data.draw(arrays(y.shape))
        assert_adjoint(y, g, x, add(g, indices, axis=axis, size=x.shape[axis]))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
def test_dtypes_stay(dtype: str) -> None:
    g, indices = np.ones((3, 2), dtype), np.array([0, 2, 0])
    for found in (put_add(g, (indices,), shape=(4, 2)), put_add(g, (slice(3),), shape=(4, 2)),
                  take_add(g, indices, axis=0, size=4), take(g, indices, axis=0),
                  take_along_add(g, np.zeros((3, 2), int), axis=0, size=4)):  # fmt: skip
        assert found.dtype == np.dtype(dtype)


def test_columns_of_many_rows_are_added_by_several_threads() -> None:
    rng, before = np.random.default_rng(0), threads.get_num_threads()
    g, indices = rng.normal(size=(2, 2000, 70)).astype(np.float32), rng.integers(0, 9, 2000)
    try:
        threads.set_num_threads(3)
        assert threads._helpers.step(70, cpu._BLOCK // 4000) < 70
        found = cpu.take_add(g, indices, axis=1, size=9)
    finally:
        threads.set_num_threads(before)
    assert np.array_equal(found, take_add(g, indices, axis=1, size=9))


def test_an_index_array_of_few_bits_reaches_far() -> None:
    """The flat positions are computed in 64 bits, whatever the dtype of the indices."""
    g, indices = np.ones((2, 300)), np.array([255, 255], np.uint8)
    x = take_add(g, indices, axis=0, size=1000)
    assert x[255].tolist() == [2] * 300
    assert x.sum() == 600
