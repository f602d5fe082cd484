"""Where arrays begin, and that they are no views of what they are made of."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinyart.kernels.cpu import memory
from tinyart.kernels.reference import elementwise as reference

import tinyart as ta
from tinyart import nn
from tinyart.errors import GraphError


@given(shape=st.lists(st.sampled_from([0, 1, 3, 17, 64, 100]), max_size=4).map(tuple),
       dtype=st.sampled_from(["float32", "float64", "int64", "bool"]))  # fmt: skip
def test_large_arrays_are_aligned(shape: tuple[int, ...], dtype: str) -> None:
    made = memory.empty(shape, dtype)
    assert (made.shape, made.dtype, type(made)) == (shape, np.dtype(dtype), np.ndarray)
    assert made.flags.carray
    assert made.nbytes < 1 << 14 or made.ctypes.data % 64 == 0
    made[...] = 1
    for other in (memory.copied(made), pickle.loads(pickle.dumps(made))):
        np.testing.assert_array_equal(other, made)
        assert not np.shares_memory(other, made)
    for value in (0, 7):
        found, expected = memory.full(made, value=value), reference.full(made, value=value)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_a_copy_is_in_c_order() -> None:
    turned = np.arange(6000.0).reshape(60, 100).T
    copied = memory.copied(turned)
    assert copied.flags.c_contiguous
    np.testing.assert_array_equal(copied, turned)


def test_parameters_slots_and_results_are_aligned() -> None:
    layer = nn.Dense(100, 200)
    optimizer = ta.optim.Adam(layer.parameters())
    y = layer(ta.tensor(np.ones((64, 100), np.float32)))
    found = [layer.weight.array, *(slot[0] for slot in optimizer.slots.values()), y.array]
    assert len(found) == 4
    assert all(array.ctypes.data % 64 == 0 for array in found)


def test_a_view_of_a_large_array_is_one_and_the_array_is_none() -> None:
    x = nn.Parameter(np.ones((100, 100), np.float32))
    part = x[:50]
    y = (part * part).sum()
    with ta.no_grad():
        x[0] = 2.0
    with pytest.raises(GraphError):  # the part is saved, and has changed with x
        ta.grad(y, x)
    made = ta.exp(x)
    y = (made * made).sum()
    with ta.no_grad():
        x[0] = 3.0
    ta.grad(y, made)


def test_gradients_of_two_leaves_have_memory_of_their_own() -> None:
    a, b = (nn.Parameter(np.ones((100, 100), np.float32)) for _ in "ab")
    (a + b).sum().backward()
    assert a.grad is not None
    assert b.grad is not None
    assert not np.shares_memory(a.grad.array, b.grad.array)
