"""What an operation is: a kernel's name and gradient rules (`Op`), or two kernels and a definition (`Fused`)."""

import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any

from tinyart.backend import as_array, explained, kernels_of
from tinyart.errors import GraphError
from tinyart.graph import Node, Variable, apply, grad

if TYPE_CHECKING:
    from tinyart.tensor import Tensor


class Op:
    """An operation: the name of its kernel and a gradient rule for each argument.

    A rule takes the cotangent of the output and then, by name, what it wants saved: arguments ("x"), named results of
    the kernel ("y"), an argument's "x_shape" or "x_dtype", a setting ("axis"), all "settings". Nothing else is kept,
    nor anything for a rule that nobody needs: of `Op("mul", "a b", a=lambda g, b: g * b, b=lambda g, a: g * a)` with a
    constant b, only b. "*xs" stands for any number of arguments; their one rule may also name "position" and "shapes".
    The first `outputs` results (0: all) are differentiable, those up to `returned` constants, the rest only saved.
    An operation without settings is called as it is, others by a function that checks the settings first.
    """

    def __init__(self, name: str, arguments: str, doc: str = "", *, kernel: str = "", results: str = "y",
                 outputs: int = 1, returned: int = 1, view: bool = False, floating: bool = True, free: str = "",
                 **rules: Callable[..., Any]):
        self.__doc__ = doc
        self.name, self.kernel, self.view, self.floating = name, kernel or name, view, floating
        self.outputs, self.returned, self.variadic = outputs, max(outputs, returned), arguments.startswith("*")
        self.arguments, self.results = arguments.lstrip("*").split(), results.split()
        self.places: Iterable[int] = repeat(0) if self.variadic else range(sys.maxsize)  # of inputs among the arguments
        self.free = [a in free.split() for a in self.arguments]  # indices and masks have a dtype of their own
        self.rules = [rules.pop(a, None) for a in self.arguments]
        codes = [getattr(rule, "__code__", None) for rule in self.rules]
        self.names = [list(code.co_varnames[1 : code.co_argcount]) if code else [] for code in codes]
        self.plans: dict[int, list[tuple[str, str, int, str]]] = {}  # of what to save, made when it is first needed
        assert not rules, f"{name}: a rule for {sorted(rules)}, which is no argument"
        shared = set(self.arguments) & set(self.results)  # a rule that asks for y must get the one that it means
        assert not shared, f"{name}: {sorted(shared)} names an argument and a result: give results=.. another name"

    def __call__(self, *inputs: Any) -> "Tensor":
        tensor: Tensor = apply(self, *inputs)
        return tensor

    @property
    def method(self) -> Callable[..., "Tensor"]:
        """For the body of a class: a function, which is bound and called much faster than an object of ours."""

        def method(*inputs: Any) -> "Tensor":
            tensor: Tensor = apply(self, *inputs)
            return tensor

        method.__name__, method.__doc__ = self.name, self.__doc__
        return method

    def to_save(self, tracked: int) -> Iterable[str]:
        """The names that rules want for the arguments whose bits are set."""
        names = dict.fromkeys(n for i, wanted in enumerate(self.names) if tracked >> i & 1 for n in wanted)
        return [name for name in names if not (self.variadic and name == "position")]

    def save(self, tracked: int, inputs: Sequence[Any], results: Sequence[Any], settings: Any) -> Any:
        """Name -> (value, version now). Arguments are saved as tensors: a second derivative goes on through them."""
        plan = self.plans.get(tracked)
        if plan is None:
            plan = self.plans[tracked] = [(name, *self.place(name)) for name in self.to_save(tracked)]
        saved: dict[str, Any] = {}
        for name, kind, index, attribute in plan:
            if kind == "attribute":
                saved[name] = getattr(inputs[index].array, attribute), 0
                continue
            if kind == "argument":
                value = inputs[index]
            elif kind == "result":  # not the result itself: that holds the node
                value = Variable.result(results[index].array, version=results[index].version)
            elif kind == "shapes":
                value = [x.array.shape for x in inputs]
            else:
                value = settings if kind == "settings" else settings[name]
            saved[name] = (value, value.version[0] if isinstance(value, Variable) else 0)
        return saved

    def place(self, name: str) -> tuple[str, int, str]:
        """Where a saved name's value comes from: (kind, index, attribute)."""
        argument, _, attribute = name.rpartition("_")  # "x_shape", "x_dtype"
        if name in self.arguments:
            return "argument", self.arguments.index(name), ""
        if name in self.results:
            return "result", self.results.index(name), ""
        if argument in self.arguments:
            return "attribute", self.arguments.index(argument), attribute
        return name if name in ("shapes", "settings") else "setting", 0, ""

    def restore(self, node: Node) -> dict[str, Any]:
        """The saved values by name, each proved unchanged; results are tied to their node again."""
        if node.saved is None:
            raise GraphError(self.name, "backward", "a graph that still holds its saved arrays", "one already used",
                             fix="retain_graph=True in the first call")
        values = {}
        for name, (value, version) in node.saved.items():
            if isinstance(value, Variable):
                if value.version[0] != version:
                    raise GraphError(self.name, name, "the array that was saved for backward",
                                     f"{value.version[0] - version} change(s) in place since",
                                     fix="change a copy, or compute the gradient before the change")
                if name in self.results:
                    value = Variable.result(value.array, node, self.results.index(name), value.version)
            values[name] = value
        return values

    def pullback(self, node: Node, g: Any, wanted: list[bool], create_graph: bool) -> list[Any]:
        """The cotangent of each wanted argument, given `g`, that of the output (a list of them if several)."""
        values, gradients = self.restore(node), []
        for position, want in enumerate(wanted):
            values["position"] = position
            which = 0 if self.variadic else position
            rule: Any = self.rules[which]
            gradients.append(rule(g, *[values[name] for name in self.names[which]]) if want else None)
        return gradients


class Fused(Op):
    """An operation with one kernel forward, one backward, and a `definition` of it in plain operations.

    `backward` names what the kernel `<kernel>_backward(g, *saved)` is given, one g for each output; it returns one
    array for each argument. "wanted" among the names says of each argument whether its gradient is asked for: False,
    when None will do; True; or "later", when nobody reads it before `backend.finish`, so that it may be put off.
    The definition is documentation, oracle, and what is differentiated under `create_graph`.
    """

    def __init__(self, name: str, arguments: str, *, backward: str, definition: Callable[..., Any], **how: Any):
        super().__init__(name, arguments, **how)
        self.definition, self.backward = definition, backward.split()
        self.rules = [None if free else definition for free in self.free]

    def to_save(self, tracked: int) -> Iterable[str]:
        return dict.fromkeys([*self.arguments, *(name for name in self.backward if name != "wanted"), "settings"])

    def pullback(self, node: Node, g: Any, wanted: list[bool], create_graph: bool) -> list[Any]:
        values, gs = self.restore(node), [g] if self.outputs == 1 else g
        if not create_graph:
            values["wanted"] = [want and ("later" if edge[0].op is None else True)
                                for want, edge in zip(wanted, node.edges, strict=True)]  # fmt: skip
            arrays = [getattr(values[name], "array", values[name]) for name in self.backward]
            kernel = getattr(kernels_of(gs[0].array), self.kernel + "_backward")
            try:
                gradients = kernel(*[g.array for g in gs], *arrays)
            except MemoryError as error:
                raise explained(error, self.name + "_backward", [g.array for g in gs]) from error
            return [Variable.result(as_array(a)) if w else None for a, w in zip(gradients, wanted, strict=True)]
        # Through aliases: where one input was computed from another, that path is the tape's business, not ours.
        inputs = [_alias(values[a]) if w else values[a] for a, w in zip(self.arguments, wanted, strict=True)]
        made = self.definition(*inputs, **values["settings"])
        xs = [x for x, w in zip(inputs, wanted, strict=True) if w]
        if self.outputs == 1:
            found = iter(grad(made, xs, create_graph=True, cotangent=g))
        else:  # those outputs that depend on what is wanted, as one number
            found = iter(grad(sum((y * g).sum() for y, g in zip(made, gs, strict=True)), xs, create_graph=True))
        return [next(found) if w else None for w in wanted]


_IDENTITY = Op("identity", "x", x=lambda g: g)


def _alias(x: Variable) -> Any:
    node = Node(_IDENTITY, ((x.node, x.slot),), [(x.array.shape, x.array.dtype)], {})
    return Variable.result(x.array, node, 0, x.version)
