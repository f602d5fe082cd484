"""Optimisers, gradient clipping, learning-rate schedules and averages of weights.

The letters are those of the kernels: p a parameter, g its gradient, λ `weight_decay`, lr the learning rate, a number
or a schedule: a function of the number of steps done. Formulas are PyTorch's, so that published settings reproduce.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyart import ops
from tinyart.backend import Array, as_array, describe, kernels_of
from tinyart.errors import ArgumentError, GraphError, ShapeError
from tinyart.graph import no_grad
from tinyart.nn.module import Module, Parameter, fill
from tinyart.recording import numbers
from tinyart.tensor import Tensor

Schedule = Callable[[int], float]


class Optimizer:
    """Parameters, `lr`, the number of `steps` done, and slots: arrays like the parameters, starting at 0.

    A rule is a subclass: it names its slots, and its `update` is one kernel call for one parameter (or its `update_all`
    one for all).

    Errors: `ArgumentError` for settings, and for parameters that are no leaves or come twice.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float | Schedule, *slots: str) -> None:
        self.parameters = _leaves(type(self).__name__, parameters)
        self.lr, self.steps = lr, 0
        self.slots = {slot: [kernels_of(p.array).full(p.array, value=0) for p in self.parameters] for slot in slots}
        self._rate()

    def update(self, *arguments: Any, **slots: Any) -> None:
        """(p, g, lr, slot=..): change p and the slots in place."""
        raise NotImplementedError(f"{type(self).__name__} defines no update")

    def step(self, gradients: Sequence[Tensor] | None = None) -> None:
        """Update every parameter in place, by `gradients` in the order of the parameters, or else by their `.grad`.

        Errors: `GraphError` for a missing gradient, `ShapeError` for one unlike its parameter; nothing is changed.
        """
        arrays = self._gradients(gradients)
        lr, step = numbers(self, self._next)
        self.update_all([p.array for p in self.parameters], arrays, lr, step)
        for p in self.parameters:
            p.version[0] += 1  # a graph that saved this parameter must not be walked any more

    def update_all(self, ps: list[Array], gs: list[Array], lr: Any, step: Any) -> None:
        """`update` each parameter; `step` counts from 1. lr and step are numbers, or in a recording on a device."""
        for i, (p, g) in enumerate(zip(ps, gs, strict=True)):
            self.update(p, g, lr, **{slot: values[i] for slot, values in self.slots.items()})

    def _next(self) -> tuple[float, int]:
        """The learning rate and the number of the step that begins."""
        lr = self._rate()
        self.steps += 1
        return lr, self.steps

    def zero_grad(self) -> None:
        for p in self.parameters:
            p.grad = None

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """What `step` changes besides the parameters: "steps" and "slot.i" for parameter i. Settings are not in it."""
        arrays = {name: Tensor(array).numpy().copy() for name, array in self._slots_by_name().items()}
        return {"steps": np.array(self.steps, np.int64), **arrays}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where `state_dict` was called. Errors: `FormatError` with all that does not fit."""
        steps = np.zeros((), np.int64)
        fill(f"{type(self).__name__}.load_state_dict", {"steps": steps, **self._slots_by_name()}, state)
        self.steps = int(steps)

    def _slots_by_name(self) -> dict[str, Array]:
        return {f"{slot}.{i}": array for slot, arrays in self.slots.items() for i, array in enumerate(arrays)}

    def _rate(self) -> float:
        lr = float(self.lr(self.steps) if callable(self.lr) else self.lr)
        return _within(type(self).__name__, "lr", lr, 0, math.inf)

    def _gradients(self, gradients: Sequence[Tensor] | None) -> list[Array]:
        name = f"{type(self).__name__}.step"
        given = [p.grad for p in self.parameters] if gradients is None else list(gradients)
        if len(given) != len(self.parameters):
            raise ArgumentError(name, "gradients", f"{len(self.parameters)}, one a parameter", f"{len(given)}",
                                fix="ta.grad(loss, optimizer.parameters)")
        for i, (p, g) in enumerate(zip(self.parameters, given, strict=True)):
            if g is None:
                raise GraphError(name, f"gradient of parameter {i}", f"one like it, {describe(p.array)}", "none",
                                 fix="loss.backward() before; give the optimizer only what the loss depends on")
            if (g.shape, g.dtype, g.device) != (p.shape, p.dtype, p.device):
                raise ShapeError(name, f"gradient of parameter {i}", f"one like it, {describe(p.array)}",
                                 describe(g.array))
        return [g.array for g in given]


class SGD(Optimizer):
    """m ← momentum·m + (g + λp)      p ← p - lr·m, with Nesterov p - lr·(g + λp + momentum·m)

    Without momentum p ← p - lr·(g + λp), and no slot. (Sutskever, Martens, Dahl & Hinton, ICML 2013, with lr outside m)
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float | Schedule = 1e-3, *, momentum: float = 0.0,
                 nesterov: bool = False, weight_decay: float = 0.0) -> None:
        self.momentum = _within("SGD", "momentum", momentum, 0, 1)
        self.weight_decay = _within("SGD", "weight_decay", weight_decay, 0, math.inf)
        self.nesterov = nesterov
        if nesterov and not momentum:
            raise ArgumentError("SGD", "momentum", "more than 0 with nesterov", f"{momentum}", fix="momentum=0.9")
        super().__init__(parameters, lr, *(["m"] if momentum else []))

    def update_all(self, ps: list[Array], gs: list[Array], lr: Any, step: Any) -> None:
        kernels_of(*ps, *gs).sgd_all_(ps, gs, self.slots.get("m", ()), lr=lr, momentum=self.momentum,
                                      nesterov=self.nesterov, weight_decay=self.weight_decay)


class RMSprop(Optimizer):
    """v ← alpha·v + (1 - alpha)·g²      p ← p - lr·g/(√v + eps), where g includes λp

    `centered` divides by √(v - mean²) + eps instead, mean ← alpha·mean + (1 - alpha)·g. With momentum
    m ← momentum·m + g/(√v + eps), p ← p - lr·m. (Tieleman & Hinton 2012; centred: Graves 2013)
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float | Schedule = 1e-2, *, alpha: float = 0.99,
                 eps: float = 1e-8, momentum: float = 0.0, centered: bool = False, weight_decay: float = 0.0) -> None:
        self.alpha = _within("RMSprop", "alpha", alpha, 0, 1)
        self.eps = _within("RMSprop", "eps", eps, 0, math.inf)
        self.momentum = _within("RMSprop", "momentum", momentum, 0, 1)
        self.weight_decay = _within("RMSprop", "weight_decay", weight_decay, 0, math.inf)
        super().__init__(parameters, lr, "v", *(["m"] if momentum else []), *(["mean"] if centered else []))

    def update_all(self, ps: list[Array], gs: list[Array], lr: Any, step: Any) -> None:
        kernels_of(*ps, *gs).rmsprop_all_(ps, gs, self.slots["v"], self.slots.get("m", ()), self.slots.get("mean", ()),
                                          lr=lr, alpha=self.alpha, eps=self.eps, momentum=self.momentum,
                                          weight_decay=self.weight_decay)


class Adam(Optimizer):
    """m ← beta1·m + (1 - beta1)·g      v ← beta2·v + (1 - beta2)·g², where g includes λp

    p ← p - lr · m̂/(√v̂ + eps)      m̂ = m/(1 - beta1^t), v̂ = v/(1 - beta2^t), t = 1, 2, ..

    (Kingma & Ba, ICLR 2015, algorithm 1)
    """

    decoupled = False

    def __init__(self, parameters: Iterable[Tensor], lr: float | Schedule = 1e-3, *, beta1: float = 0.9,
                 beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0) -> None:
        name = type(self).__name__
        self.beta1, self.beta2 = _below_1(name, "beta1", beta1), _below_1(name, "beta2", beta2)
        self.eps = _within(name, "eps", eps, 0, math.inf)
        self.weight_decay = _within(name, "weight_decay", weight_decay, 0, math.inf)
        super().__init__(parameters, lr, "m", "v")

    def update_all(self, ps: list[Array], gs: list[Array], lr: Any, step: Any) -> None:
        kernels_of(*ps, *gs).adam_all_(ps, gs, self.slots["m"], self.slots["v"], lr=lr, beta1=self.beta1,
                                       beta2=self.beta2, eps=self.eps, step=step, weight_decay=self.weight_decay,
                                       decoupled=self.decoupled)


class AdamW(Adam):
    """First p ← (1 - lr·λ)·p, then Adam with a g that does not include λp. (Loshchilov & Hutter, ICLR 2019)"""

    decoupled = True

    def __init__(self, parameters: Iterable[Tensor], lr: float | Schedule = 1e-3, *, beta1: float = 0.9,
                 beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.01) -> None:
        super().__init__(parameters, lr, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay)


# ---- gradient clipping


def grad_norm(tensors: Iterable[Tensor]) -> float:
    """√(Σ g²) over all elements of all gradients, or of the `.grad` of parameters; summed in float64."""
    return float(_norm(tensors).item())


def _norm(tensors: Iterable[Tensor]) -> Tensor:
    arrays = [g.array for g in _gradients_of(tensors)]
    return Tensor(as_array(kernels_of(*arrays).norm_all(arrays)))


def clip_grad_norm(tensors: Iterable[Tensor], max_norm: float) -> list[Tensor]:
    """g · min(1, max_norm/‖g‖), ‖g‖ the `grad_norm` of all together. Pascanu, Mikolov & Bengio 2013, algorithm 1.

    Returns the clipped gradients, for `optimizer.step`; given parameters, it also replaces their `.grad`.

    Errors: `GraphError` if ‖g‖ is NaN or infinite: no factor makes such gradients fit for use. On a GPU, where asking
    would stop the stream, such gradients become NaN or 0 instead.
    """
    tensors = list(tensors)
    norm = _norm(tensors)
    if norm.device == "cpu" and not math.isfinite(norm.array):
        raise GraphError("clip_grad_norm", "gradients", "finite numbers", f"a norm of {norm.array}",
                         fix="with detect_anomaly(): finds the operation that made them")
    with no_grad():
        scale = _positive("clip_grad_norm", "max_norm", max_norm) / ops.maximum(norm, max_norm)
    arrays = [g.array for g in _gradients_of(tensors)]
    return _replaced(tensors, map(Tensor, kernels_of(*arrays).scaled_all(arrays, scale.array)))


def clip_grad_value(tensors: Iterable[Tensor], limit: float) -> list[Tensor]:
    """min(max(g, -limit), limit) for each element; gradients or parameters as in `clip_grad_norm`."""
    _positive("clip_grad_value", "limit", limit)
    tensors = list(tensors)
    with no_grad():
        return _replaced(tensors, [ops.clip(g, -limit, limit) for g in _gradients_of(tensors)])


def _gradients_of(tensors: Iterable[Tensor]) -> list[Tensor]:
    gradients = [t.grad if isinstance(t, Parameter) else t for t in tensors]
    if any(g is None for g in gradients):
        missing = ", ".join(str(i) for i, g in enumerate(gradients) if g is None)
        raise GraphError("clip", "tensors", "parameters with gradients", f"none for number {missing}",
                         fix="loss.backward() before")
    return gradients


def _replaced(tensors: list[Tensor], gradients: Iterable[Tensor]) -> list[Tensor]:
    """New gradients, for two of the old may be one array, which would be changed twice."""
    gradients = list(gradients)
    for t, g in zip(tensors, gradients, strict=True):
        if isinstance(t, Parameter):
            t.grad = g
    return gradients


# ---- learning rates, as functions of the number of steps done: the first step is number 0


@dataclass(frozen=True)
class StepLR:
    """lr · factor^⌊step/every⌋"""

    lr: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        _positive("StepLR", "every", self.every)

    def __call__(self, step: int) -> float:
        return self.lr * self.factor ** (step // self.every)


@dataclass(frozen=True)
class ExponentialLR:
    """max(minimum, lr · factor^step)"""

    lr: float
    factor: float
    minimum: float = 0.0

    def __post_init__(self) -> None:
        _positive("ExponentialLR", "factor", self.factor)

    def __call__(self, step: int) -> float:
        return max(self.minimum, self.lr * self.factor**step)


@dataclass(frozen=True)
class CosineLR:
    """minimum + (lr - minimum)/2 · (1 + cos(π·step/steps)), and minimum from `steps` on. Loshchilov & Hutter 2017."""

    lr: float
    steps: int
    minimum: float = 0.0

    def __post_init__(self) -> None:
        _positive("CosineLR", "steps", self.steps)

    def __call__(self, step: int) -> float:
        turn = math.pi * min(step, self.steps) / self.steps
        return self.minimum + (self.lr - self.minimum) / 2 * (1 + math.cos(turn))


@dataclass(frozen=True)
class Warmup:
    """schedule(0)·(step + 1)/steps for the first `steps`, then schedule(step - steps). Goyal et al. 2017, section 2.2.

    `schedule` may be a number, the rate to stay at.
    """

    schedule: float | Schedule
    steps: int

    def __post_init__(self) -> None:
        _positive("Warmup", "steps", self.steps)

    def __call__(self, step: int) -> float:
        after = self.schedule(max(0, step - self.steps)) if callable(self.schedule) else self.schedule
        return after * min(1.0, (step + 1) / self.steps)


# ---- averages of weights


class EMA:
    """The moving average of a module's parameters: a ← decay·a + (1 - decay)·p at each `update`; at first a = p.

    Buffers are not averaged. (Polyak & Juditsky 1992; for generators Karras et al. 2018, section 6)
    """

    def __init__(self, module: Module, decay: float = 0.999) -> None:
        self.module, self.decay = module, _within("EMA", "decay", decay, 0, 1)
        self.averages = {name: p.array.copy() for name, p in module.named_parameters()}

    def update(self) -> None:
        """Call it after each step of the optimizer."""
        arrays = {name: p.array for name, p in self.module.named_parameters()}
        kernels_of(*arrays.values()).lerp_all_([self.averages[name] for name in arrays], [*arrays.values()],
                                               weight=1 - self.decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """`with ema.applied():` the module's parameters are the averages."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, p in self.module.named_parameters():
            p.array, self.averages[name] = self.averages[name], p.array
            p.version[0] += 1

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """Copies of the averages under the parameters' names."""
        return {name: Tensor(array).numpy().copy() for name, array in self.averages.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Errors: `FormatError` with all that does not fit."""
        fill("EMA.load_state_dict", self.averages, state)


# ---- checks of settings


def _leaves(name: str, parameters: Any) -> list[Tensor]:
    found = list(parameters) if isinstance(parameters, Iterable) else [parameters]
    for i, p in enumerate(found):
        if not (isinstance(p, Tensor) and p.node is not None and p.node.op is None):
            raise ArgumentError(name, f"parameter {i}", "a Parameter, or another leaf that requires a gradient",
                                type(p).__name__, fix="give it module.parameters()")
    if not found or len({id(p) for p in found}) < len(found):
        raise ArgumentError(name, "parameters", "at least one, each once", f"{len(found)} with repeats" if found
                            else "none", fix="give it module.parameters()")
    return found


def _within(name: str, setting: str, value: float, low: float, high: float) -> float:
    if not (low <= value <= high and value < math.inf):
        raise ArgumentError(name, setting, f"a number from {low} to {high}", f"{value}")
    return value


def _below_1(name: str, setting: str, value: float) -> float:
    if not 0 <= value < 1:
        raise ArgumentError(name, setting, "at least 0 and less than 1", f"{value}")
    return value


def _positive(name: str, setting: str, value: float) -> float:
    if not 0 < value < math.inf:
        raise ArgumentError(name, setting, "a number above 0", f"{value}")
    return value
