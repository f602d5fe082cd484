"""The tape: all of automatic differentiation, and not one operation.

`apply(op, *tensors)` runs a kernel and, where a gradient may be asked for, leaves a `Node` behind: the operation, the
nodes its inputs came from (`edges`), and what its rules want to see again (`saved`). `grad(y, xs)` walks from y back
to xs, newest node first, and every operation pulls its cotangent back:

    y = f(x):   cotangent of x = J_f(x)^T · cotangent of y                  Griewank & Walther 2008, section 3.2

Rules are written in tensors and operations, so with `create_graph` a gradient is recorded like anything else.
"""

import itertools
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import _GeneratorContextManager, contextmanager
from operator import attrgetter
from typing import Any

from tinyart.backend import Array, as_array, describe, explained, finish, finishing, kernels_of
from tinyart.errors import DtypeError, GraphError, ShapeError, users_line

_index = itertools.count()
_NUMBERS = frozenset((int, float, bool))  # a look-up, where a tuple is compared item by item


class _Mode(threading.local):
    recording = True
    anomaly = False


_mode = _Mode()


@contextmanager
def _set(name: str, value: bool) -> Iterator[None]:
    before = getattr(_mode, name)
    setattr(_mode, name, value)
    try:
        yield
    finally:
        setattr(_mode, name, before)


def no_grad() -> "_GeneratorContextManager[None]":
    """`with no_grad():` or `@no_grad()`: nothing is recorded in this thread, results carry no gradient."""
    return _set("recording", False)


def detect_anomaly() -> "_GeneratorContextManager[None]":
    """`with detect_anomaly():` the first NaN or Inf raises `GraphError` with the line whose operation made it."""
    return _set("anomaly", True)


class Variable:
    """What the tape sees of a tensor; `tensor.Tensor` adds the operators and enters itself as `result`."""

    __slots__ = ("__weakref__", "array", "grad", "node", "slot", "version")
    result: type[Any]

    def __init__(self, array: Array, node: "Node | None" = None, slot: int = 0, version: list[int] | None = None):
        self.array, self.node, self.slot = array, node, slot  # the tensor is output number `slot` of `node`
        self.version = [0] if version is None else version  # counts changes in place; views share their base's
        self.grad: Any = None


class Node:
    """One recorded operation; with `op` None a leaf, whose `saved` is a weak reference to its tensor.

    A node never points at its own outputs: no cycles, reference counting alone frees a graph.
    """

    __slots__ = ("edges", "index", "op", "outputs", "saved", "where")

    def __init__(self, op: Any, edges: Sequence[Any], outputs: Sequence[tuple[Any, Any]], saved: Any = None):
        self.index = next(_index)  # inputs are older than what is made of them: a topological order for free
        self.op, self.edges, self.outputs, self.saved = op, edges, outputs, saved  # outputs: (shape, dtype) of each
        if _mode.anomaly:
            self.where = users_line()


def leaf(tensor: Any) -> None:
    """Make `tensor` a leaf of the tape: gradients with respect to it can be asked for."""
    if tensor.array.dtype.kind != "f":
        raise DtypeError("requires_grad", "tensor", "a floating dtype", describe(tensor.array), fix="astype('float32')")
    tensor.node, tensor.slot = Node(None, (), [(tensor.shape, tensor.dtype)], weakref.ref(tensor)), 0


def apply(op: Any, *inputs: Any, **settings: Any) -> Any:
    """Run `op` on tensors, arrays and Python numbers, and record it if a gradient may be asked for.

    Errors: `DtypeError` for dtypes that differ or that the operation refuses, `DeviceError` for mixed devices,
    `ShapeError` naming operation and shapes where the kernel refuses them, `GraphError` in anomaly mode.
    """
    variables: list[Any] = []
    arrays: list[Any] = []
    edges: list[Any] = []
    dtype, recording, tracked = None, _mode.recording, 0  # tracked: bit i for an argument i that has a gradient
    for which, x in zip(op.places, inputs, strict=False):
        if not isinstance(x, Variable) and type(x) not in _NUMBERS:
            x = _constant(x)
        variables.append(x)
        edge = None
        if isinstance(x, Variable):
            if recording and x.node is not None and op.rules[which] is not None:
                edge = (x.node, x.slot)
                tracked |= 1 << which
            x = x.array
            if dtype is not x.dtype and not op.free[which]:
                if dtype is not None and x.dtype != dtype:
                    raise DtypeError(op.name, op.arguments[which], f"{dtype} like the argument before it",
                                     f"{x.dtype}", fix="bring both to one dtype with x.astype(...)")
                dtype = x.dtype
        arrays.append(x)
        edges.append(edge)
    if dtype is None:  # nothing but numbers
        floating = "float32" if op.floating or float in map(type, arrays) else None
        arrays = [as_array(x, floating) if type(x) in _NUMBERS else x for x in arrays]
    elif dtype.kind != "f" and (op.floating or float in map(type, arrays)):
        raise DtypeError(op.name, op.arguments[0], "a floating dtype", f"{dtype}", fix="x.astype('float32')")
    kernel = getattr(kernels_of(*arrays), op.kernel)
    try:
        made = kernel(*arrays, **settings)
    except (ValueError, IndexError, MemoryError) as error:
        raise explained(error, op.name, arrays) from error
    single = type(made) is not tuple and type(made) is not list  # mostly, and without loops 1 µs faster
    results = (as_array(made),) if single else [as_array(r) for r in made]
    if _mode.anomaly:
        _refuse_nan(op.name, "result", results, users_line())
    base = variables[0].version if op.view else None  # a view's base is an array like it: kernels/cpu/memory.py
    if single:
        made = results[0]
        node = Node(op, edges, ((made.shape, made.dtype),)) if tracked else None
        y = Variable.result(made, node, 0, base if base is not None and type(made.base) is type(made) else None)
        if node is not None:
            node.saved = op.save(tracked, variables, (y,), settings)
        return y
    count = op.outputs or len(results)
    node = Node(op, edges, [(r.shape, r.dtype) for r in results[:count]]) if tracked else None
    ys = [Variable.result(r, node if slot < count else None, slot, base if type(r.base) is type(r) else None)
          for slot, r in enumerate(results)]
    if node is not None:
        node.saved = op.save(tracked, variables, ys, settings)
    return ys[0] if op.outputs == op.returned == 1 else tuple(ys[:max(count, op.returned)])


def _constant(x: Any) -> Any:
    """A NumPy scalar becomes a plain number, which adopts the tensors' dtype; anything else a constant tensor."""
    return x.item() if hasattr(x, "item") and not hasattr(x, "__setitem__") else Variable.result(as_array(x))


def grad(y: Any, xs: Any, create_graph: bool = False, *, retain_graph: bool | None = None,
         cotangent: Any = None) -> Any:
    """J^T v: the gradient of `y`, weighted by the cotangent v (1 for a scalar y), for a tensor or each of `xs`.

    With `create_graph` the gradient is recorded and has gradients itself. What nodes saved is freed on the way unless
    `retain_graph` (default: `create_graph`). The gradient for a tracked x that y does not depend on is zero.

    Errors: `GraphError` for a y or x not on the tape and for a freed graph; `ShapeError` and `DtypeError` for a
    cotangent unlike y, and for a rule whose gradient is unlike its argument.
    """
    targets: list[Any] = [xs] if isinstance(xs, Variable) else list(xs)
    for i, x in enumerate(targets):
        if x.node is None:
            raise GraphError("grad", f"xs[{i}]", "a tensor on the tape", "one without gradient",
                             fix="ta.tensor(..., requires_grad=True), outside no_grad()")
    found = _walk(y, {(x.node, x.slot) for x in targets}, create_graph, retain_graph, cotangent)
    gradients = [found[x.node, x.slot] if (x.node, x.slot) in found else _filled(x.array, 0) for x in targets]
    return gradients[0] if isinstance(xs, Variable) else gradients


def backward(y: Any, cotangent: Any = None, *, create_graph: bool = False, retain_graph: bool | None = None) -> None:
    """Add the gradient of `y` to `.grad` of every leaf that it was computed from."""
    found = _walk(y, None, create_graph, retain_graph, cotangent)
    given = {id(y.array), id(getattr(cotangent, "array", cotangent))}
    for (node, _), g in found.items():
        if not create_graph and (id(g.array) in given or type(g.array.base) is type(g.array)):
            g = Variable.result(g.array.copy())  # two leaves never share the memory of their gradients
        given.add(id(g.array))
        x = node.saved()
        if x is not None:  # else the tensor is gone, and nobody can read its gradient
            x.grad = g if x.grad is None else x.grad + g


def _walk(y: Any, targets: set[Any] | None, create_graph: bool, retain_graph: bool | None, cotangent: Any) -> Any:
    """(node, slot) -> cotangent, for those targets (None: all leaves) that y depends on."""
    if y.node is None:
        raise GraphError("grad", "y", "a tensor computed from one that requires a gradient", "a constant",
                         fix="requires_grad=True on an input, and no no_grad() around the computation")
    sums: dict[Any, Any] = {(y.node, y.slot): _seed(y, cotangent)}
    owned: set[Any] = set()  # the sums made here: nobody else holds their memory, more can be added in place
    found: dict[Any, Any] = {}
    order = _order(y.node, targets)
    anomaly = _mode.anomaly  # a bad gradient is blamed on the rule that made it, not on an operation inside the rule
    with _set("recording", create_graph), _set("anomaly", False), finishing():
        for node in order:
            gs = {slot: sums.pop((node, slot)) for slot in range(len(node.outputs)) if (node, slot) in sums}
            for slot, g in gs.items():
                if node.op is None if targets is None else (node, slot) in targets:
                    found[node, slot] = g
            wanted = [edge is not None and edge[0] in order for edge in node.edges]
            if not gs or True not in wanted:
                continue
            if node.op.outputs != 1:
                g = [gs[slot] if slot in gs else _filled(g.array, 0, *o) for slot, o in enumerate(node.outputs)]
            gradients = node.op.pullback(node, g, wanted, create_graph)
            if not (create_graph if retain_graph is None else retain_graph):
                node.saved = None
            for position, (edge, g) in enumerate(zip(node.edges, gradients, strict=True)):
                if g is not None:
                    _check(node, position, edge[0].outputs[edge[1]], g, anomaly)
                    _add(sums, owned, edge, g, create_graph)
    return found


def _order(root: Node, targets: set[Any] | None) -> dict[Node, None]:
    """The nodes on paths from root to the targets, newest first, so that a node comes after all its users."""
    ends = None if targets is None else {node for node, _ in targets}
    oldest = 0 if ends is None else min((node.index for node in ends), default=root.index)
    seen, stack = {root}, [root]
    while stack:  # a loop, not recursion: the tape may be 100,000 operations deep
        for edge in stack.pop().edges:
            if edge is not None and edge[0] not in seen and edge[0].index >= oldest:
                seen.add(edge[0])
                stack.append(edge[0])
    leading: dict[Node, None] = {}
    for node in sorted(seen, key=attrgetter("index")):
        if ends is None or node in ends or True in [edge is not None and edge[0] in leading for edge in node.edges]:
            leading[node] = None
    return dict.fromkeys(reversed(leading))


def _add(sums: dict[Any, Any], owned: set[Any], edge: Any, g: Any, create_graph: bool) -> None:
    if edge not in sums:
        sums[edge] = g
        return
    finish()  # the sum so far may have been put off
    if edge in owned:
        kernels_of(g.array).add_(sums[edge].array, g.array)
        return
    sums[edge] = sums[edge] + g
    if not create_graph:
        owned.add(edge)


def _seed(y: Any, v: Any) -> Any:
    if v is None and y.array.shape == ():
        return _filled(y.array, 1)
    v = v if v is None or isinstance(v, Variable) else _constant(v)
    if v is None or (v.array.shape, v.array.dtype) != (y.array.shape, y.array.dtype):
        raise ShapeError("grad", "cotangent", f"one like y, {describe(y.array)}", "none" if v is None else
                         describe(v.array), fix="take the gradient of y.sum(), or pass cotangent=v like y")
    return v


def _filled(like: Array, value: float, shape: Any = None, dtype: Any = None) -> Any:
    return Variable.result(kernels_of(like).full(like, value=value, shape=shape, dtype=dtype))


def _check(node: Node, position: int, output: Any, g: Any, anomaly: bool) -> None:
    which = f"gradient rule of {node.op.arguments[0 if node.op.variadic else position]!r}"
    if (g.array.shape, g.array.dtype) != output:
        raise ShapeError(node.op.name, which, "a result like the argument, {} {}".format(*output), describe(g.array),
                         fix="end the rule with unbroadcast(gradient, shape)")
    if anomaly:
        finish()
        _refuse_nan(node.op.name, which, [g.array], getattr(node, "where", "a line recorded outside detect_anomaly()"))


def _refuse_nan(name: str, what: str, arrays: Sequence[Array], line: str) -> None:
    if any(a.dtype.kind == "f" and not kernels_of(a).isfinite(a).all() for a in arrays):
        raise GraphError(name, what, "finite numbers", f"NaN or Inf, from {line}")
