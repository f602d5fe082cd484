"""The tensor: what it holds, what it refuses, whose memory it shares. The tape is in test_graph.py."""

import copy
import io
import math
import pickle
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyart as ta
from tinyart import ops
from tinyart.errors import ArgumentError, DeviceError, DtypeError, GraphError
from tinyart.tensor import Tensor

DTYPES = ["float32", "float64", "int32", "int64", "uint8", "bool"]


# ---- dtypes


@pytest.mark.parametrize(("data", "dtype"), [
    (1.5, "float32"), ([1, 2.5], "float32"), ([], "float32"), ([[0.5], [1.5]], "float32"), ([np.float64(1)], "float32"),
    (1, "int64"), (range(3), "int64"), (True, "bool"), ([True, False], "bool"),
    *[(np.ones(2, name), name) for name in DTYPES], *[(ta.tensor([1, 0], name), name) for name in DTYPES],
], ids=repr)  # fmt: skip
def test_floats_of_python_are_float32_and_arrays_keep_their_dtype(data: Any, dtype: str) -> None:
    t = ta.tensor(data)
    assert t.dtype == dtype
    assert t.numpy().tolist() == (list(data) if isinstance(data, range) else np.asarray(data).tolist())
    assert ta.tensor(data, "float64").dtype == "float64"


def test_a_dtype_named_is_exact() -> None:
    assert ta.tensor(0.1, "float64").item() == 0.1  # and not 0.1 rounded to float32 on the way
    assert ta.tensor([1.7, -1.7], "int32").numpy().tolist() == [1, -1]


@pytest.mark.parametrize(("data", "got"), [
    (np.ones(1, "float16"), "float16"), (1j, "complex128"), (None, "object"), ("a", "<U1"), (2**63, "uint64"),
    (np.ones(1, ">f4"), ">f4"),
])  # fmt: skip
def test_other_dtypes_are_refused_by_name(data: Any, got: str) -> None:
    with pytest.raises(DtypeError) as caught:
        ta.tensor(data)
    assert str(caught.value) == ("tensor: dtype: expected one of bool, float32, float64, int32, int64, uint8, "
                                 f"got {got}. Fix: x.astype('float32').")
    with pytest.raises(DtypeError, match="got complex64"):
        ta.tensor([1.0], "complex64")


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b,
    "**": lambda a, b: a**b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b, "==": lambda a, b: a == b, "!=": lambda a, b: a != b,
}  # fmt: skip


@pytest.mark.parametrize("symbol", OPERATORS)
def test_operators_are_numpys_on_either_side_and_never_promote(symbol: str) -> None:
    """tensor ∘ tensor, array, number, and the reverse; a number, Python's or NumPy's, adopts the tensor's dtype."""
    op = OPERATORS[symbol]
    for dtype in ("float32", "float64"):
        a, b = np.array([1.0, 2.0, 3.0], dtype), np.array([3.0, 2.0, 0.5], dtype)
        t, u = ta.tensor(a), ta.tensor(b)
        for result, expected in [(op(t, u), op(a, b)), (op(t, b), op(a, b)), (op(a, u), op(a, b))] + [
                pair for number in (2, 2.0, True, np.float64(2), np.float32(2), np.int64(2))
                for pair in ((op(t, number), op(a, type(a[0])(number))), (op(number, t), op(type(a[0])(number), a)))]:
            assert type(result) is Tensor
            assert result.dtype == expected.dtype
            eps = np.finfo(dtype).eps if symbol == "**" else 0  # CUDA's pow may be off in the last bits
            np.testing.assert_allclose(result.array, expected, rtol=4 * eps)
        other = ta.tensor(b, "float64" if dtype == "float32" else "float32")
        for one, two in ((t, other), (other, t), (t, other.array), (other.array, t), (t, ta.tensor([1, 2, 3]))):
            with pytest.raises(DtypeError, match=r"expected \w+ like the argument before it, got \w+\. Fix: .*astype"):
                op(one, two)


def test_numbers_alone_are_what_tensor_makes_of_them() -> None:
    assert ta.exp(0.5).dtype == ta.add(1, 2.0).dtype == ta.exp(1).dtype == "float32"
    assert ta.add(1, 2).dtype == "int64"
    assert ta.where(ta.tensor([True, False]), 1.0, 0).dtype == "float32"


def test_other_operators() -> None:
    t = ta.tensor([[1.0, -2.0], [3.0, 4.0]])
    assert (-t).numpy().tolist() == [[-1, 2], [-3, -4]]
    assert abs(t).numpy().tolist() == [[1, 2], [3, 4]]
    assert (t @ t.T).numpy().tolist() == (t.numpy() @ t.numpy().T).tolist()
    assert ([1.0, 1.0] @ t).numpy().tolist() == (np.ones(2, "float32") @ t).numpy().tolist() == [4, 2]
    assert [row.numpy().tolist() for row in t] == t.numpy().tolist()
    assert len({t, t, t.detach()}) == 2  # hashed by identity, since == is elementwise


@pytest.mark.parametrize("name", ["sum", "mean", "var", "max", "min", "argmax", "exp", "log", "sqrt", "tanh"])
def test_methods_are_the_operations(name: str) -> None:
    t = ta.tensor([[1.0, 4.0], [2.0, 3.0]])
    np.testing.assert_array_equal(getattr(t, name)().array, getattr(ta, name)(t).array)


def test_methods_that_take_settings() -> None:
    t = ta.tensor([[1.0, 4.0], [2.0, 3.0]])
    assert t.sum(0, keepdims=True).numpy().tolist() == [[3, 7]]
    assert t.reshape((4, 1)).shape == (4, 1)
    assert t.transpose((1, 0)).numpy().tolist() == t.T.numpy().tolist() == [[1, 2], [4, 3]]
    assert t.flatten().shape == (4,)
    assert t.astype("float64").dtype == "float64"
    assert t.clip(2, 3).numpy().tolist() == [[2, 3], [2, 3]]


def test_what_a_tensor_says_of_itself() -> None:
    t = ta.tensor(np.ones((2, 3)), requires_grad=True)
    assert (t.shape, t.dtype, t.ndim, t.size, t.device, t.requires_grad) == ((2, 3), "float64", 2, 6, "cpu", True)
    assert not ta.tensor([1.0]).requires_grad
    assert len(t) == 2


def test_one_element_as_a_number() -> None:
    assert [type(ta.tensor([v]).item()) for v in (1.5, 1, True)] == [float, int, bool]
    assert (float(ta.tensor(1.5)), int(ta.tensor(7)), bool(ta.tensor([0.0]))) == (1.5, 7, False)
    with pytest.raises(ValueError, match="truth value"):
        bool(ta.tensor([1.0, 2.0]))
    with pytest.raises(TypeError, match="unsized"):
        list(ta.tensor(1.0))


def test_repr() -> None:
    x = ta.tensor([[1.0, 2.5], [3.0, 4.0]], requires_grad=True)
    assert repr(x) == "tensor([[1. , 2.5],\n        [3. , 4. ]], float32, leaf)"
    assert repr(x.sum()) == "tensor(10.5, float32, sum)"
    assert repr(ta.tensor([1, 2], "uint8")) == "tensor([1, 2], uint8)"
    assert len(repr(ta.tensor(np.zeros(100_000)))) < 100


def test_unknown_attributes_raise() -> None:
    t = ta.tensor([1.0])
    with pytest.raises(AttributeError, match="'Tensor' object has no attribute 'gradient'"):
        t.gradient  # noqa: B018
    with pytest.raises(AttributeError, match="'Tensor' object has no attribute 'gradient'"):
        t.gradient = 1
    with pytest.raises(AttributeError, match="'shape'"):
        t.shape = (1, 1)


# ---- memory: whose it is


def test_tensor_copies_and_what_reads_a_tensor_does_not() -> None:
    torch = pytest.importorskip("torch")
    for source in (np.zeros(2), ta.tensor([0.0, 0.0]), torch.zeros(2), memoryview(np.zeros(2))):
        t = ta.tensor(source)
        t[0] = 1.0
        assert float(source[0]) == 0
    t = ta.tensor(np.zeros(2))
    assert t.numpy() is t.array
    assert np.shares_memory(np.asarray(t), t.array)
    assert not np.shares_memory(np.array(t), t.array)
    assert np.asarray(t, "float32").dtype == "float32"
    with pytest.raises(ValueError, match="copy"):
        np.array(t, "float32", copy=False)


def test_numpys_functions_do_not_take_a_tensor_apart() -> None:
    """Their result would have lost the gradient, silently."""
    with pytest.raises(TypeError, match="__array_ufunc__"):
        np.exp(ta.tensor([1.0], requires_grad=True))


@pytest.mark.parametrize("dtype", DTYPES)
def test_dlpack_shares_memory_with_pytorch_both_ways(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    ours = ta.tensor(np.zeros((2, 3)), dtype)
    theirs = torch.from_dlpack(ours.T)
    assert theirs.data_ptr() == ours.array.ctypes.data
    assert (tuple(theirs.shape), theirs.stride(), str(theirs.dtype)) == ((3, 2), (1, 3), f"torch.{dtype}")
    theirs[0, 1] = 1
    assert ours[1, 0].item() == 1
    back = ta.from_dlpack(theirs)
    assert (back.shape, back.dtype, back.array.ctypes.data) == ((3, 2), dtype, theirs.data_ptr())
    back[2, 0] = 1
    assert theirs[2, 0] == 1


def test_dlpack_with_numpy_and_what_it_refuses() -> None:
    t = ta.tensor([[1.0, 2.0]])
    assert np.shares_memory(np.from_dlpack(t), t.array)
    with pytest.raises(BufferError, match=r"negative strides.*ta\.tensor\(x\)"):
        np.from_dlpack(ta.flip(t, 1))
    assert np.from_dlpack(ta.tensor(ta.flip(t, 1))).tolist() == [[2, 1]]
    with pytest.raises(DtypeError, match="got float16"):
        ta.from_dlpack(np.ones(1, "float16"))

    class Elsewhere:
        def __dlpack_device__(self) -> tuple[int, int]:
            return 8, 0  # Metal

    with pytest.raises(ArgumentError) as caught:
        ta.from_dlpack(Elsewhere())
    assert str(caught.value) == ("from_dlpack: source: expected an array on the CPU or a CUDA device, "
                                 "got device type 8.")


def test_detached_tensors_share_memory_and_the_count_of_changes() -> None:
    x = ta.tensor([2.0, 3.0], requires_grad=True)
    h = x * 1.0
    assert not h.detach().requires_grad
    y = (h * h).sum()
    h.detach()[0] = 5.0
    assert h.numpy().tolist() == [5, 3]
    with pytest.raises(GraphError, match=r"mul: b: expected the array that was saved for backward, got 1 change"):
        ta.grad(y, x)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_the_gradient_of_a_copy_does_not_land_in_the_original(copied: Callable[[Tensor], Tensor]) -> None:
    x = ta.tensor([3.0], "float64", requires_grad=True)
    twin = copied(x * 2.0)  # a copy of a result is a leaf: its graph stays where it is
    (twin * twin).sum().backward()
    assert (x.grad, twin.grad.item(), twin.dtype) == (None, 12.0, "float64")
    twin = copied(x)
    (twin * twin).sum().backward()
    assert (x.grad, twin.grad.item()) == (None, 6.0)
    assert not copied(ta.tensor([1.0])).requires_grad


@pytest.mark.parametrize(("key", "value", "expected"), [
    (0, 9, [[9, 9], [3, 4]]), ((slice(None), 1), [7, 8], [[1, 7], [3, 8]]), (..., 0.5, [[0.5, 0.5], [0.5, 0.5]]),
    (ta.tensor([1]), 0, [[1, 2], [0, 0]]), (ta.tensor([[True, False], [False, True]]), 0, [[0, 2], [3, 0]]),
    ((0, 0), ta.tensor(6.0), [[6, 2], [3, 4]]), ((0, 0), np.float64(6.0), [[6, 2], [3, 4]]),
], ids=repr)  # fmt: skip
def test_assignment_changes_elements_in_place(key: Any, value: Any, expected: Any) -> None:
    t = ta.tensor([[1.0, 2.0], [3.0, 4.0]])
    array = t.array
    t[key] = value
    assert (t.array is array, t.dtype, t.numpy().tolist()) == (True, "float32", expected)


def test_assignment_does_not_mix_dtypes() -> None:
    t = ta.tensor([1.0])
    with pytest.raises(DtypeError) as caught:
        t[0] = ta.tensor(0.1, "float64")
    assert str(caught.value) == "setitem: value: expected float32 like the tensor, got float64. Fix: x.astype(...)."
    assert (t.item(), t.version) == (1.0, [0])


def test_adding_to_a_name_makes_a_new_tensor() -> None:
    t = before = ta.tensor([1.0])
    t += 1.0
    assert (before.item(), t.item()) == (1.0, 2.0)


# ---- devices


def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)  # as if it were not installed
    for wrong in (lambda: ta.tensor([1.0]).to("cuda"), lambda: ta.tensor([1.0], device="cuda")):
        with pytest.raises(DeviceError) as caught:
            wrong()
        start, _, rest = str(caught.value).partition("ModuleNotFoundError: ")
        assert start == "device: 'cuda': expected CuPy and an NVIDIA GPU, got "
        assert rest.endswith(". Fix: pip install 'tinyart[cuda12]' or 'tinyart[cuda13]', to match the driver.")
        assert "\n" not in rest
    with pytest.raises(ArgumentError, match=r"^device: device: expected 'cpu' or 'cuda', got 'gpu'\.$"):
        ta.tensor([1.0]).to("gpu")


def test_a_tensor_that_is_there_already_is_not_copied() -> None:
    t = ta.tensor([1.0])
    assert t.to("cpu") is t


# ---- pictures in notebooks


@pytest.mark.parametrize("channels", [1, 3])
def test_images_show_as_a_sheet(channels: int) -> None:
    image = pytest.importorskip("PIL.Image")
    x = np.random.default_rng(0).random((3, 4, 5, channels)).astype("float32")
    x[0, 0, 0], x[0, 0, 1] = 0, 1  # the ends are within
    png = ta.tensor(x)._repr_png_()
    assert png is not None
    pixels = np.asarray(image.open(io.BytesIO(png))).reshape(11, 13, channels)  # 2 rows of 2, and lines between
    np.testing.assert_array_equal(pixels[1:5, 1:6], np.rint(x[0] * 255))
    np.testing.assert_array_equal(pixels[1:5, 7:12], np.rint(x[1] * 255))
    np.testing.assert_array_equal(pixels[6:10, 1:6], np.rint(x[2] * 255))
    one = ta.tensor(x[1], "float64", requires_grad=True)._repr_png_()
    assert one == ta.tensor(x[1:2])._repr_png_()


@pytest.mark.parametrize("x", [
    np.zeros(3), np.zeros((4, 4)), np.zeros((4, 4, 2)), np.zeros((1, 4, 4, 4)), np.zeros((2, 2, 2, 2, 3)),
    np.zeros((0, 4, 4, 3)), np.zeros((4, 0, 3)), np.full((4, 4, 1), 1.01), np.full((4, 4, 1), -0.01),
    np.full((4, 4, 1), math.nan), np.ones((4, 4, 3), "int64"),
], ids=lambda x: f"{x.shape} {x.dtype} {x.max(initial=-1)}")  # fmt: skip
def test_what_is_no_image_shows_as_text(x: np.ndarray) -> None:
    assert ta.tensor(x)._repr_png_() is None


def test_methods_have_the_names_and_documentation_of_their_operations() -> None:
    for method, operation in [(ta.Tensor.__add__, ops.add), (ta.Tensor.exp, ops.exp), (ta.Tensor.__lt__, ops.less)]:
        assert (method.__name__, method.__doc__) == (operation.name, operation.__doc__)
