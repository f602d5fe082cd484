"""The tape's promises, each with a test that fails when it is broken."""

import gc
import sys
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import tinyart as ta
from tinyart import graph
from tinyart.errors import DeviceError, DtypeError, GraphError, ShapeError
from tinyart.graph import Node, apply
from tinyart.ops.op import Fused, Op


def leaf(*values: float) -> ta.Tensor:
    return ta.tensor(list(values), "float64", requires_grad=True)


def test_a_chain_of_100000_operations_needs_no_recursion() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    assert ta.grad(y.sum(), x).array.tolist() == [1.0]


def test_a_graph_is_freed_by_reference_counting_alone() -> None:
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        y = ta.exp(x) * x
        node = weakref.ref(ta.tensor([0.0]))  # a weak reference to a tensor works: leaves are found by one
        assert node() is None
        array = weakref.ref(y)
        nodes = sys.getrefcount(y.node)
        assert nodes == 2  # y, and the argument of getrefcount: no output points back
        del y
        assert array() is None
    finally:
        gc.enable()


def test_rules_nobody_needs_save_nothing_and_are_not_computed() -> None:
    x, constant = leaf(1.0, 2.0), ta.tensor([3.0, 4.0], "float64")
    y = x * constant
    assert set(y.node.saved) == {"b", "a_shape"}  # x itself would serve the gradient of the constant only
    called = []
    op = Op("probe", "a b", kernel="add", a=lambda g: called.append("a") or g, b=lambda g: called.append("b") or g)
    z = leaf(1.0, 1.0)
    ta.grad(op(x, z).sum(), x)
    assert called == ["a"]


def test_grad_visits_only_paths_between_y_and_xs() -> None:
    called = []
    op = Op("probe", "x", kernel="exp", x=lambda g: called.append(1) or g)
    x, z = leaf(1.0), leaf(2.0)
    y = op(z) * x
    ta.grad(y.sum(), x)
    assert called == []


def test_saved_arrays_are_freed_as_they_are_used() -> None:
    x = leaf(1.0)
    y = ta.exp(x)
    ta.grad(y.sum(), x)
    assert y.node.saved is None
    with pytest.raises(GraphError, match=r"exp: backward: .*already used.*retain_graph=True"):
        ta.grad(y.sum(), x)


def test_retain_graph_allows_a_second_gradient() -> None:
    x = leaf(2.0)
    y = (x * x).sum()
    assert ta.grad(y, x, retain_graph=True).item() == ta.grad(y, x).item() == 4.0


def test_sums_are_added_in_place_only_where_the_tape_owns_them() -> None:
    x = leaf(1.0, 2.0)
    v = np.array([1.0, 1.0])
    y = x + x + x + x
    g = ta.grad(y, x, cotangent=v)
    assert g.array.tolist() == [4.0, 4.0]
    assert v.tolist() == [1.0, 1.0]


def test_backward_accumulates_into_leaves_and_shares_no_memory() -> None:
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    v = ta.tensor([1.0, 1.0], "float64")
    (a + b).backward(v)
    assert a.grad.array is not b.grad.array
    assert not np.shares_memory(a.grad.array, v.array)
    (a + b).backward(v)
    assert a.grad.array.tolist() == [2.0, 2.0]
    a.grad = None
    a.sum().backward()
    assert a.grad.array.strides == (8,)  # not a broadcast view of one number


def test_backward_skips_leaves_that_are_gone() -> None:
    x = leaf(1.0)
    y = leaf(2.0) * x
    y.sum().backward()
    assert x.grad.item() == 2.0


def test_second_and_third_derivatives() -> None:
    x = leaf(0.5)
    y = ta.sin(x).sum()
    first = ta.grad(y, x, create_graph=True)
    second = ta.grad(first.sum(), x, create_graph=True)
    third = ta.grad(second.sum(), x)
    np.testing.assert_allclose([first.item(), second.item(), third.item()], [np.cos(0.5), -np.sin(0.5), -np.cos(0.5)])


def test_gradient_for_an_intermediate_tensor_and_for_y_itself() -> None:
    x = leaf(3.0)
    h = x * 2.0
    y = (h * h).sum()
    gy, gh, gx = ta.grad(y, [y, h, x])
    assert (gy.item(), gh.item(), gx.item()) == (1.0, 12.0, 24.0)


def test_gradient_of_an_independent_tensor_is_zero() -> None:
    x, other = leaf(1.0), leaf(2.0, 3.0)
    assert ta.grad((x * x).sum(), other).array.tolist() == [0.0, 0.0]


def test_untracked_tensors_are_refused_by_name() -> None:
    x = leaf(1.0)
    with pytest.raises(GraphError, match=r"grad: xs\[1\]: .*requires_grad=True"):
        ta.grad(x.sum(), [x, ta.tensor([1.0])])
    with pytest.raises(GraphError, match=r"grad: y: .*a constant"):
        ta.grad(ta.tensor(1.0), x)
    with pytest.raises(GraphError, match=r"a constant"), ta.no_grad():
        ta.grad(x.sum(), x)
    with pytest.raises(ShapeError, match=r"cotangent"):
        ta.grad(x * leaf(1.0, 2.0), x)
    with pytest.raises(ShapeError, match=r"float32"):
        ta.grad(x * 2.0, x, cotangent=np.ones(1, "float32"))
    with pytest.raises(DtypeError, match=r"requires_grad.*floating"):
        ta.tensor([1], requires_grad=True)


def test_an_array_changed_in_place_after_it_was_saved_is_named() -> None:
    x = leaf(1.0, 2.0)
    h = x * 1.0
    y = (h * h).sum()
    with ta.no_grad():
        h[0] = 5.0
    with pytest.raises(GraphError, match=r"mul: b: .*saved for backward.*1 change"):
        ta.grad(y, x)


def test_a_change_through_a_view_is_seen_and_one_of_a_copy_is_not() -> None:
    x = leaf(1.0, 2.0, 3.0, 4.0)
    h = x * 1.0
    y = (h * h).sum()
    with ta.no_grad():
        h.reshape((2, 2))[0, 0] = 5.0
    with pytest.raises(GraphError, match=r"mul: b: "):
        ta.grad(y, x)
    h = x * 1.0
    y = (h * h).sum()
    with ta.no_grad():
        h[np.array([0, 1])][0] = 5.0
    assert ta.grad(y, x).array.tolist() == [2.0, 4.0, 6.0, 8.0]


def test_results_saved_by_their_rule_are_watched_too() -> None:
    x = leaf(1.0)
    y = ta.exp(x)
    with ta.no_grad():
        y[0] = 0.0
    with pytest.raises(GraphError, match=r"exp: y: "):
        ta.grad(y.sum(), x)


def test_a_tracked_tensor_is_not_changed_while_recording() -> None:
    x = leaf(1.0)
    with pytest.raises(GraphError, match=r"setitem: .*no_grad"):
        x[0] = 2.0


def test_no_grad_is_per_thread_and_a_decorator() -> None:
    x, seen = leaf(1.0), []
    with ta.no_grad():
        thread = threading.Thread(target=lambda: seen.append((x * x).requires_grad))
        thread.start()
        thread.join()
        assert not (x * x).requires_grad
    assert seen == [True]

    @ta.no_grad()
    def constant() -> ta.Tensor:
        return x * x

    assert not constant().requires_grad
    assert (x * x).requires_grad


def test_anomaly_mode_names_the_operation_and_the_line() -> None:
    x = ta.tensor([0.0], "float64", requires_grad=True)
    with np.errstate(all="ignore"), ta.detect_anomaly():
        with pytest.raises(GraphError, match=r"log: result: .*test_graph\.py:\d+: ta\.log\(x\)"):
            ta.log(x)
        y = ta.sqrt(x)  # finite, but its derivative at 0 is not
        with pytest.raises(GraphError, match=r"sqrt: gradient rule of 'x': .*test_graph\.py:\d+: y = ta\.sqrt\(x\)"):
            ta.grad(y.sum(), x)


def test_a_rule_with_a_gradient_unlike_its_argument_is_named() -> None:
    wrong = Op("wrong", "a b", kernel="add", a=lambda g: g, b=lambda g: g)
    with pytest.raises(ShapeError, match=r"wrong: gradient rule of 'b': .*\(1,\) float64.*unbroadcast"):
        ta.grad(wrong(leaf(1.0, 2.0), b := leaf(3.0)).sum(), b)


def test_a_fused_operation_where_one_input_feeds_another() -> None:
    """d/dx of f(x, h(x)) for f = batch_norm: the path x -> h -> f belongs to the tape, not to f's own derivative."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 3))

    def fn(t: ta.Tensor) -> ta.Tensor:
        return ta.batch_norm(t, t[0], t[1] * 2.0)[0]

    from tinyart.testing import check_grad

    assert check_grad(fn, x) < 1e-7


def test_a_fused_definition_is_the_kernel() -> None:
    rng = np.random.default_rng(1)
    x, gamma, beta = (ta.tensor(rng.normal(size=s), requires_grad=True) for s in ((4, 2, 3), 3, 3))
    for op in (v for m in ("norm",) for v in vars(sys.modules[f"tinyart.ops.{m}"]).values() if isinstance(v, Fused)):
        result = apply(op, x, gamma, beta, eps=0.1)
        result = result[0] if isinstance(result, tuple) else result
        np.testing.assert_allclose(result.array, op.definition(x, gamma, beta, eps=0.1).array, atol=1e-14)


def test_dtypes_never_mix_silently() -> None:
    a, b = ta.tensor([1.0]), ta.tensor([1.0], "float64")
    with pytest.raises(DtypeError, match=r"add: b: expected float32 .*got float64.*astype"):
        a + b
    with pytest.raises(DtypeError, match=r"add: b: expected float32"):
        a + np.ones(1)
    with pytest.raises(DtypeError, match=r"mul: .*floating dtype, got int64"):
        ta.tensor([1]) * 0.5
    with pytest.raises(DtypeError, match=r"exp: .*floating"):
        ta.exp(ta.tensor([1]))
    with pytest.raises(DtypeError, match=r"float16"):
        ta.tensor(np.ones(1, "float16"))
    for scalar in (2, 2.0, True, np.float64(2.0), np.int64(2), np.float32(2)):
        assert (a * scalar).dtype == (scalar * a).dtype == "float32"
    assert (np.ones(1, "float32") * a).dtype == "float32"


def test_devices_never_mix() -> None:
    class Elsewhere:
        shape, dtype = (1,), np.dtype("float32")
        __cuda_array_interface__ = ()

    with pytest.raises(DeviceError, match=r"cpu and \(1,\) float32 on cuda.*to\('cuda'\)"):
        graph.kernels_of(np.ones(1), Elsewhere())


def test_a_kernel_that_refuses_is_named_with_its_shapes() -> None:
    with pytest.raises(ShapeError, match=r"add: inputs: .*\(2,\) float32 on cpu, \(3,\) float32 on cpu"):
        ta.tensor([1.0, 2.0]) + ta.tensor([1.0, 2.0, 3.0])


def test_node_has_slots() -> None:
    assert not hasattr(leaf(1.0).node, "__dict__")
    assert isinstance(leaf(1.0).node, Node)


def test_a_change_through_another_view_is_noticed() -> None:
    """A slice shares its base's memory, so it shares its count of changes; so does a tensor of indices."""
    x = leaf(1.0, 2.0, 3.0)
    part = x[1:]
    y = (part * part).sum()
    with ta.no_grad():
        x[...] = 0.0
    with pytest.raises(GraphError, match=r"mul: .*1 change\(s\) in place since"):
        ta.grad(y, x)
    indices = ta.tensor([0, 2])
    y = ta.take(leaf(1.0, 2.0, 3.0), indices, 0).sum()
    indices[0] = 1
    with pytest.raises(GraphError, match=r"take: .*1 change\(s\) in place since"):
        y.backward()


def test_backward_records_gradients_that_are_views() -> None:
    """The gradient below is 2·x in another shape: a view that a copy outside the tape must not replace."""
    x = ta.tensor([[1.0, 2.0], [3.0, 4.0]], "float64", requires_grad=True)
    y = (x.reshape((4,)) ** 2).sum()
    y.backward(create_graph=True)
    assert x.grad.array.base is not None
    np.testing.assert_allclose(ta.grad((x.grad**3).sum(), x).array, 24 * x.array**2, rtol=1e-15)  # CUDA's pow


@pytest.mark.parametrize("op", [ta.sigmoid, ta.tanh, ta.relu, ta.softplus, ta.exp, ta.sqrt, ta.batch_norm])
def test_third_derivatives(op: Any) -> None:
    """check_grad goes to the second; here of the first derivative, whose rule is an operation with rules of its own."""
    from tinyart.testing import check_grad

    gamma = ta.tensor([0.7, 1.3], "float64")

    def slope(x: ta.Tensor) -> ta.Tensor:
        if x.node is None:
            graph.leaf(x)
        y = op(x, gamma, gamma)[0] ** 3 if op is ta.batch_norm else op(x)
        return ta.grad(y.sum(), x, create_graph=True)

    check_grad(slope, np.random.default_rng(0).uniform(0.5, 2.5, (7, 2)))


def test_a_name_means_one_thing() -> None:
    with pytest.raises(AssertionError, match=r"op: \['y'\] names an argument and a result: give results=\.\."):
        Op("op", "g y", g=lambda gg, y: gg * y)
