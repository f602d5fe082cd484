"""Optimisers against their papers' formulas in plain Python and against PyTorch; clipping, schedules, averages."""

import contextlib
import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyart as ta
from tinyart import nn, optim
from tinyart.errors import ArgumentError, FormatError, GraphError, ShapeError

SHAPES = [(3, 4), (5,), (), (0, 2)]


def parameters(seed: int = 0, dtype: str = "float64") -> list[nn.Parameter]:
    rng = np.random.default_rng(seed)
    return [nn.Parameter(rng.normal(size=shape).astype(dtype)) for shape in SHAPES]


def pulls(step: int, ps: list[Any]) -> list[Any]:
    """Gradients that depend on the step and on where the parameters are; one element's stays 0."""
    rng = np.random.default_rng(100 + step)
    gs = [(rng.normal(size=p.shape) + 0.3 * p).astype(p.dtype) for p in ps]
    gs[0][0, 0] = 0
    return gs


def train(optimizer: optim.Optimizer, steps: range) -> None:
    for step in steps:
        optimizer.step([ta.tensor(g, dtype=g.dtype) for g in pulls(step, [p.array for p in optimizer.parameters])])


# ---- update rules


CASES: dict[str, tuple[Callable[..., optim.Optimizer], str, dict[str, Any], dict[str, Any]]] = {
    "sgd": (optim.SGD, "SGD", {"lr": 0.1}, {}),
    "sgd defaults": (optim.SGD, "SGD", {}, {}),
    "sgd decay": (optim.SGD, "SGD", {"lr": 0.1, "weight_decay": 0.2}, {}),
    "sgd momentum": (optim.SGD, "SGD", {"lr": 0.1, "momentum": 0.9}, {}),
    "sgd nesterov": (optim.SGD, "SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1}, {}),
    "rmsprop": (optim.RMSprop, "RMSprop", {}, {}),
    "rmsprop all": (optim.RMSprop, "RMSprop", {"lr": 0.03, "alpha": 0.8, "eps": 1e-3, "momentum": 0.7, "centered": True,
                                               "weight_decay": 0.1}, {}),
    "rmsprop centered": (optim.RMSprop, "RMSprop", {"lr": 0.03, "alpha": 0.9, "centered": True}, {}),
    "rmsprop momentum": (optim.RMSprop, "RMSprop", {"lr": 0.03, "momentum": 0.5}, {}),
    "adam": (optim.Adam, "Adam", {}, {}),
    "adam all": (optim.Adam, "Adam", {"lr": 0.02, "eps": 1e-4, "weight_decay": 0.3}, {"beta1": 0.5, "beta2": 0.9}),
    "adamw": (optim.AdamW, "AdamW", {}, {}),
    "adamw all": (optim.AdamW, "AdamW", {"lr": 0.02, "eps": 1e-4, "weight_decay": 0.3}, {"beta1": 0.5, "beta2": 0.9}),
}


@pytest.mark.parametrize("name", CASES)
def test_twenty_steps_as_pytorch(name: str) -> None:
    torch = pytest.importorskip("torch")
    build, theirs, settings, betas = CASES[name]
    ps = parameters()
    ts = [torch.tensor(p.array, requires_grad=True) for p in ps]
    own = build(ps, **settings, **betas)
    other = getattr(torch.optim, theirs)(ts, **settings, **({"betas": tuple(betas.values())} if betas else {}))
    for step in range(20):
        gs = pulls(step, [t.detach().numpy() for t in ts])
        for t, g in zip(ts, gs, strict=True):
            t.grad = torch.from_numpy(np.array(g))
        own.step([ta.tensor(g, dtype="float64") for g in gs])
        other.step()
        for p, t in zip(ps, ts, strict=True):
            assert np.allclose(p.array, t.detach().numpy(), rtol=1e-12, atol=1e-12), step


def follow(rule: Callable[..., float], gs: list[float], p: float) -> float:
    """`rule(p, g, slots, t)` from t = 1 on; slots start at 0."""
    slots: dict[str, float] = {"m": 0.0, "v": 0.0, "mean": 0.0}
    for t, g in enumerate(gs, 1):
        p = rule(p, g, slots, t)
    return p


unit = st.floats(0, 0.99)
gradients = st.lists(st.floats(-3, 3), min_size=1, max_size=6)


def check_rule(optimizer: optim.Optimizer, rule: Callable[..., float], gs: list[float], within: float = 1e-9) -> None:
    p = optimizer.parameters[0]
    expected = follow(rule, gs, p.item())
    for g in gs:
        optimizer.step([ta.tensor(np.array(g))])
    assert math.isclose(p.item(), expected, rel_tol=within, abs_tol=within)


@given(gradients, unit, unit, st.floats(0, 0.5), st.booleans())
def test_adam_is_algorithm_1_of_its_paper(gs: list[float], b1: float, b2: float, decay: float, decoupled: bool) -> None:
    def rule(p: float, g: float, s: dict[str, float], t: int) -> float:
        shrunk = p - 0.1 * decay * p if decoupled else p
        g = g if decoupled else g + decay * p
        s["m"] = b1 * s["m"] + (1 - b1) * g
        s["v"] = b2 * s["v"] + (1 - b2) * g * g
        return shrunk - 0.1 * (s["m"] / (1 - b1**t)) / (math.sqrt(s["v"] / (1 - b2**t)) + 1e-3)

    build = optim.AdamW if decoupled else optim.Adam
    start = nn.Parameter(np.array(1.5))
    check_rule(build([start], 0.1, beta1=b1, beta2=b2, eps=1e-3, weight_decay=decay), rule, gs)


@given(gradients, st.floats(0.01, 1), st.floats(0, 0.5), st.booleans())
def test_sgd_momentum(gs: list[float], momentum: float, decay: float, nesterov: bool) -> None:
    def rule(p: float, g: float, s: dict[str, float], t: int) -> float:
        g += decay * p
        s["m"] = momentum * s["m"] + g
        return p - 0.1 * (g + momentum * s["m"] if nesterov else s["m"])

    start = nn.Parameter(np.array(1.5))
    check_rule(optim.SGD([start], 0.1, momentum=momentum, nesterov=nesterov, weight_decay=decay), rule, gs)


@given(gradients, unit, unit, st.booleans())
def test_rmsprop(gs: list[float], alpha: float, momentum: float, centered: bool) -> None:
    def rule(p: float, g: float, s: dict[str, float], t: int) -> float:
        s["v"] = alpha * s["v"] + (1 - alpha) * g * g
        s["mean"] = alpha * s["mean"] + (1 - alpha) * g
        variance = max(0.0, s["v"] - s["mean"] ** 2) if centered else s["v"]
        s["m"] = momentum * s["m"] + g / (math.sqrt(variance) + 1)
        return p - 0.1 * s["m"]

    start = nn.Parameter(np.array(1.5))
    # Equal gradients have variance 0, where v - mean² keeps rounding errors of 1e-15: 3e-8 under the root.
    within = 1e-6 if centered else 1e-9
    check_rule(optim.RMSprop([start], 0.1, alpha=alpha, eps=1, momentum=momentum, centered=centered), rule, gs, within)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameters_and_slots_keep_their_dtype_and_memory(name: str, dtype: str) -> None:
    build, _, settings, betas = CASES[name]
    ps = parameters(dtype=dtype)
    optimizer = build(ps, **settings, **betas)
    memory = [p.array for p in ps]
    before = [p.array.copy() for p in ps]
    train(optimizer, range(3))
    assert all(p.array is m for p, m in zip(ps, memory, strict=True))
    assert all(p.size == 0 or not np.array_equal(p.array, b) for p, b in zip(ps, before, strict=True))
    assert all(a.dtype == dtype for arrays in optimizer.slots.values() for a in arrays)


# ---- step


def test_step_uses_grad_where_no_gradients_are_given() -> None:
    a, b = parameters(), parameters()
    gs = [ta.tensor(g, dtype="float64") for g in pulls(0, [p.array for p in a])]
    first, second = optim.Adam(a), optim.Adam(b)
    for p, g in zip(a, gs, strict=True):
        p.grad = g
    first.step()
    second.step(gs)
    assert all(np.array_equal(p.array, q.array) for p, q in zip(a, b, strict=True))
    first.zero_grad()
    assert all(p.grad is None for p in a)


def test_gradients_are_not_changed() -> None:
    for build, _, settings, betas in CASES.values():
        ps = parameters()
        gs = [ta.tensor(g, dtype="float64") for g in pulls(0, [p.array for p in ps])]
        before = [g.array.copy() for g in gs]
        optimizer = build(ps, **settings, **betas)
        optimizer.step(gs)
        optimizer.step(gs)
        assert all(np.array_equal(g.array, b) for g, b in zip(gs, before, strict=True))


def test_a_step_is_not_recorded_but_counted() -> None:
    p = nn.Parameter([1.0, 2.0])
    node = p.node
    y = (p * p).sum()
    optimizer = optim.SGD([p], 0.1)
    optimizer.step([ta.grad(y, p, retain_graph=True)])
    assert p.node is node
    assert p.version[0] == 1
    assert optimizer.steps == 1
    with pytest.raises(GraphError, match=r"1 change\(s\) in place"):
        ta.grad(y, p)


@pytest.mark.parametrize(("given", "error", "message"), [
    ([None, None], GraphError, "SGD.step: gradient of parameter 0: expected one like it, (2,) float32 on cpu, got none."
                               " Fix: loss.backward() before"),
    ([[1.0, 1.0], None], GraphError, "gradient of parameter 1"),
    ([[1.0, 1.0]], ArgumentError, "SGD.step: gradients: expected 2, one a parameter, got 1"),
    ([[1.0, 1.0], [1.0]], ShapeError, "parameter 1: expected one like it, (3,) float32 on cpu, got (1,) float32"),
    ([[1.0, 1.0], np.ones(3)], ShapeError, "got (3,) float64 on cpu"),
])
def test_gradients_that_do_not_fit_change_nothing(given: list[Any], error: type[Exception], message: str) -> None:
    ps = [nn.Parameter([1.0, 2.0]), nn.Parameter([1.0, 2.0, 3.0])]
    optimizer = optim.SGD(ps, 0.1)
    with pytest.raises(error) as caught:
        optimizer.step([None if g is None else ta.tensor(g) for g in given])  # type: ignore[misc]
    assert message in str(caught.value)
    assert [p.array.tolist() for p in ps] == [[1, 2], [1, 2, 3]]
    assert optimizer.steps == 0


def test_a_parameter_that_the_loss_does_not_use_is_named() -> None:
    ps = [nn.Parameter([1.0]), nn.Parameter([1.0])]
    (ps[0] * 2.0).sum().backward()
    with pytest.raises(GraphError, match="gradient of parameter 1"):
        optim.SGD(ps).step()


@pytest.mark.parametrize(("build", "message"), [
    (lambda p: optim.SGD([], 0.1), "SGD: parameters: expected at least one, each once, got none"),
    (lambda p: optim.SGD([p, p], 0.1), "SGD: parameters: expected at least one, each once, got 2 with repeats"),
    (lambda p: optim.Adam(nn.Dense(1, 1)), "Adam: parameter 0: expected a Parameter, or another leaf that requires a "
                                           "gradient, got Dense. Fix: give it module.parameters()"),
    (lambda p: optim.Adam(nn.Sequential(nn.Dense(1, 1))), "got Dense"),
    (lambda p: optim.Adam([p * 2.0]), "Adam: parameter 0"),
    (lambda p: optim.Adam([ta.tensor([1.0])]), "Adam: parameter 0"),
    (lambda p: optim.SGD([p], -0.1), "SGD: lr: expected a number from 0 to inf, got -0.1"),
    (lambda p: optim.SGD([p], math.nan), "SGD: lr"),
    (lambda p: optim.SGD([p], math.inf), "SGD: lr"),
    (lambda p: optim.SGD([p], lambda step: -1.0), "SGD: lr"),
    (lambda p: optim.SGD([p], momentum=1.1), "SGD: momentum: expected a number from 0 to 1, got 1.1"),
    (lambda p: optim.SGD([p], nesterov=True), "SGD: momentum: expected more than 0 with nesterov, got 0.0"),
    (lambda p: optim.SGD([p], weight_decay=-1.0), "SGD: weight_decay"),
    (lambda p: optim.RMSprop([p], alpha=-0.1), "RMSprop: alpha"),
    (lambda p: optim.RMSprop([p], eps=-1.0), "RMSprop: eps"),
    (lambda p: optim.RMSprop([p], momentum=2.0), "RMSprop: momentum"),
    (lambda p: optim.RMSprop([p], weight_decay=math.inf), "RMSprop: weight_decay"),
    (lambda p: optim.Adam([p], beta1=1.0), "Adam: beta1: expected at least 0 and less than 1, got 1.0"),
    (lambda p: optim.AdamW([p], beta2=-0.1), "AdamW: beta2"),
    (lambda p: optim.AdamW([p], eps=math.nan), "AdamW: eps"),
    (lambda p: optim.Adam([p], weight_decay=-0.1), "Adam: weight_decay"),
    (lambda p: optim.StepLR(0.1, every=0), "StepLR: every: expected a number above 0, got 0"),
    (lambda p: optim.ExponentialLR(0.1, factor=0.0), "ExponentialLR: factor"),
    (lambda p: optim.CosineLR(0.1, steps=0), "CosineLR: steps"),
    (lambda p: optim.Warmup(0.1, steps=-1), "Warmup: steps"),
    (lambda p: optim.EMA(nn.Dense(1, 1), 1.5), "EMA: decay: expected a number from 0 to 1, got 1.5"),
    (lambda p: optim.clip_grad_norm([ta.tensor([1.0])], 0.0), "clip_grad_norm: max_norm: expected a number above 0"),
    (lambda p: optim.clip_grad_value([ta.tensor([1.0])], -1.0), "clip_grad_value: limit"),
])
def test_settings_out_of_range(build: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        build(nn.Parameter([1.0]))
    assert message in str(caught.value)


def test_a_bad_rate_is_found_at_the_step_that_uses_it() -> None:
    p = nn.Parameter([1.0])
    optimizer = optim.SGD([p], 0.1)
    optimizer.lr = math.nan
    with pytest.raises(ArgumentError, match="SGD: lr"):
        optimizer.step([ta.tensor([1.0])])
    assert p.item() == 1


# ---- state


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_resuming_from_a_file_is_exact(name: str, dtype: str, tmp_path: Path) -> None:
    build, _, settings, betas = CASES[name]
    settings = {**settings, "lr": optim.CosineLR(0.05, 20)}
    whole, half = (build(parameters(dtype=dtype), **settings, **betas) for _ in range(2))
    train(whole, range(20))
    train(half, range(10))
    ta.save(tmp_path / "optimizer.safetensors", half.state_dict())
    resumed = build([nn.Parameter(p.array) for p in half.parameters], **settings, **betas)
    resumed.load_state_dict(ta.load(tmp_path / "optimizer.safetensors"))
    train(resumed, range(10, 20))
    assert resumed.steps == 20
    for p, q in zip(whole.parameters, resumed.parameters, strict=True):
        assert np.array_equal(p.array, q.array)
    for key, value in whole.state_dict().items():
        assert np.array_equal(value, resumed.state_dict()[key])


def test_state_names_and_copies() -> None:
    optimizer = optim.Adam(parameters())
    train(optimizer, range(2))
    state = optimizer.state_dict()
    assert list(state) == ["steps", "m.0", "m.1", "m.2", "m.3", "v.0", "v.1", "v.2", "v.3"]
    assert state["steps"] == 2
    before = state["m.0"].copy()
    train(optimizer, range(2, 3))
    assert np.array_equal(state["m.0"], before)
    assert list(optim.SGD(parameters()).state_dict()) == ["steps"]
    centered = optim.RMSprop(parameters()[:1], momentum=0.5, centered=True)
    assert list(centered.state_dict()) == ["steps", "v.0", "m.0", "mean.0"]


def test_load_state_dict_names_all_problems_and_changes_nothing() -> None:
    optimizer = optim.Adam(parameters()[:2])
    train_one = [ta.tensor(np.ones(p.shape)) for p in optimizer.parameters]
    optimizer.step(train_one)
    before = optimizer.state_dict()
    state: dict[str, Any] = {**before, "m.0": before["m.0"][:1], "v.1": before["v.1"].astype("float32"), "n.0": 1}
    del state["v.0"]
    with pytest.raises(FormatError) as caught:
        optimizer.load_state_dict(state)
    for problem in ("Adam.load_state_dict", "v.0 is missing", "n.0 is extra", "v.1 is (5,) float32, not (5,) float64",
                    "m.0 is (1, 4) float64, not (3, 4) float64"):
        assert problem in str(caught.value)
    assert all(np.array_equal(a, optimizer.state_dict()[name]) for name, a in before.items())


# ---- clipping


def norm_of(arrays: list[Any]) -> float:
    return math.sqrt(math.fsum(float(v) ** 2 for a in arrays for v in a.ravel()))


grad_lists = st.tuples(st.integers(0, 10**6), st.sampled_from([1e-3, 1.0, 1e6, 1e30])).map(
    lambda d: [np.random.default_rng(d[0]).normal(size=s) * d[1] for s in SHAPES])


@given(grad_lists, st.floats(1e-3, 1e3))
def test_clip_norm_is_exact(gs: list[Any], limit: float) -> None:
    tensors = [ta.tensor(g, dtype="float64") for g in gs]
    norm = norm_of(gs)
    assert math.isclose(optim.grad_norm(tensors), norm, rel_tol=1e-12)
    clipped = optim.clip_grad_norm(tensors, limit)
    for g, c, t in zip(gs, clipped, tensors, strict=True):
        assert np.allclose(c.array, g * min(1, limit / norm), rtol=1e-12, atol=0)
        assert np.array_equal(t.array, g)
        assert t.shape == c.shape
    assert math.isclose(norm_of([c.array for c in clipped]), min(norm, limit), rel_tol=1e-12)


def test_clip_norm_leaves_small_gradients_bit_for_bit_and_zeros_alone() -> None:
    gs = [ta.tensor([0.1, 0.2]), ta.tensor([0.3])]
    assert [c.array.tolist() for c in optim.clip_grad_norm(gs, 1.0)] == [g.array.tolist() for g in gs]
    assert optim.clip_grad_norm([ta.tensor([0.0])], 1.0)[0].item() == 0


def test_the_norm_of_float32_gradients_does_not_overflow() -> None:
    (clipped,) = optim.clip_grad_norm([ta.tensor([3e30, 4e30])], 5.0)
    assert clipped.dtype == np.float32
    assert np.allclose(clipped.array, [3, 4])


def test_clipping_parameters_replaces_their_grad() -> None:
    p, q = nn.Parameter([3.0]), nn.Parameter([4.0])
    p.grad, q.grad = ta.tensor([3.0]), ta.tensor([4.0])
    clipped = optim.clip_grad_norm([p, q], 1.0)
    assert p.grad is clipped[0]
    assert q.grad is clipped[1]
    assert np.allclose([p.grad.item(), q.grad.item()], [0.6, 0.8])
    optim.clip_grad_value([p, q], 0.7)
    assert np.allclose([p.grad.item(), q.grad.item()], [0.6, 0.7])
    q.grad = None
    with pytest.raises(GraphError, match="clip: tensors: expected parameters with gradients, got none for number 1"):
        optim.clip_grad_norm([p, q], 1.0)


def test_two_gradients_in_one_array_are_clipped_once() -> None:
    a, b = nn.Parameter([1.0]), nn.Parameter([1.0])
    gs = ta.grad((a + b).sum() * 10.0, [a, b])
    assert np.allclose([c.item() for c in optim.clip_grad_norm(gs, 1.0)], math.sqrt(0.5))


def test_clipping_is_not_recorded() -> None:
    p = nn.Parameter([2.0])
    g = ta.grad((p * p * p).sum(), p, create_graph=True)
    assert g.requires_grad
    assert not optim.clip_grad_norm([g], 1.0)[0].requires_grad
    assert not optim.clip_grad_value([g], 1.0)[0].requires_grad


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_norm_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(GraphError, match="clip_grad_norm: gradients: expected finite numbers, got a norm of"):
        optim.clip_grad_norm([ta.tensor([1.0, bad])], 1.0)


@given(grad_lists, st.floats(1e-3, 1e3))
def test_clip_value(gs: list[Any], limit: float) -> None:
    for g, c in zip(gs, optim.clip_grad_value([ta.tensor(g, dtype="float64") for g in gs], limit), strict=True):
        assert np.array_equal(c.array, np.where(g > limit, limit, np.where(g < -limit, -limit, g)))


# ---- schedules


steps = st.integers(0, 500)


@given(steps, st.integers(1, 60), st.floats(0.1, 1))
def test_step_lr(step: int, every: int, factor: float) -> None:
    rate = 0.3
    for i in range(1, step + 1):
        rate *= factor if i % every == 0 else 1
    assert math.isclose(optim.StepLR(0.3, every, factor)(step), rate, rel_tol=1e-9, abs_tol=1e-300)


@given(steps, st.floats(0.9, 1))
def test_exponential_lr(step: int, factor: float) -> None:
    assert math.isclose(optim.ExponentialLR(0.3, factor)(step), 0.3 * math.exp(step * math.log(factor)), rel_tol=1e-9)
    assert optim.ExponentialLR(0.3, factor, minimum=0.2)(step) >= 0.2


def test_goodfellows_schedule_reaches_its_floor() -> None:
    schedule = optim.ExponentialLR(0.1, 1 / 1.000004, minimum=1e-6)
    assert math.isclose(schedule(1), 0.1 / 1.000004)
    assert math.isclose(schedule(125_000), 0.1 * math.exp(-125_000 * math.log(1.000004)))
    assert schedule(10**7) == 1e-6


@given(st.integers(1, 300), steps)
def test_cosine_lr(length: int, step: int) -> None:
    schedule = optim.CosineLR(0.3, length, minimum=0.1)
    expected = 0.1 + 0.2 * math.cos(math.pi / 2 * min(step, length) / length) ** 2  # (1 + cos 2a)/2 = cos² a
    assert math.isclose(schedule(step), expected, rel_tol=1e-12)


def test_cosine_lr_at_its_ends() -> None:
    schedule = optim.CosineLR(0.3, 100)
    assert schedule(0) == 0.3
    assert math.isclose(schedule(50), 0.15)
    assert schedule(100) == schedule(1000) == 0


@given(st.integers(1, 50), steps)
def test_warmup(length: int, step: int) -> None:
    after = optim.ExponentialLR(0.3, 0.97)
    expected = 0.3 * (step + 1) / length if step < length else after(step - length)
    assert math.isclose(optim.Warmup(after, length)(step), expected, rel_tol=1e-12)
    assert math.isclose(optim.Warmup(0.3, length)(step), 0.3 * min(1, (step + 1) / length), rel_tol=1e-12)


def test_a_schedule_is_a_learning_rate() -> None:
    p, schedule = nn.Parameter(np.array(0.0)), optim.StepLR(1.0, 2, 0.5)
    optimizer = optim.SGD([p], schedule)
    positions = []
    for _ in range(5):
        optimizer.step([ta.tensor(-1.0, dtype="float64")])
        positions.append(p.item())
    assert positions == [1, 2, 2.5, 3, 3.25]
    optimizer.lr = 0.75
    optimizer.step([ta.tensor(-1.0, dtype="float64")])
    assert p.item() == 4
    assert repr(schedule) == "StepLR(lr=1.0, every=2, factor=0.5)"


def test_schedules_are_values() -> None:
    """Equal where their numbers are, and nothing changes one: optimisers may share it."""
    for make in (lambda: optim.StepLR(0.3, 7), lambda: optim.ExponentialLR(0.3, 0.9), lambda: optim.CosineLR(0.3, 7),
                 lambda: optim.Warmup(0.3, 7)):
        assert len({make(), make()}) == 1


def test_default_settings() -> None:
    defaults = {cls: {p.name: p.default for p in inspect.signature(cls).parameters.values() if p.default is not p.empty}
                for cls in (optim.SGD, optim.RMSprop, optim.Adam, optim.AdamW, optim.StepLR, optim.ExponentialLR,
                            optim.CosineLR, optim.Warmup, optim.EMA)}
    adam = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}  # Kingma & Ba, algorithm 1
    assert defaults == {
        optim.SGD: {"lr": 1e-3, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0},
        optim.RMSprop: {"lr": 1e-2, "alpha": 0.99, "eps": 1e-8, "momentum": 0.0, "centered": False,
                        "weight_decay": 0.0},
        optim.Adam: adam | {"weight_decay": 0.0}, optim.AdamW: adam | {"weight_decay": 0.01},
        optim.StepLR: {"factor": 0.1}, optim.ExponentialLR: {"minimum": 0.0}, optim.CosineLR: {"minimum": 0.0},
        optim.Warmup: {}, optim.EMA: {"decay": 0.999}}


# ---- averages


def moved(module: Any, rng: np.random.Generator) -> list[Any]:
    with ta.no_grad():
        for p in module.parameters():
            p[...] = rng.normal(size=p.shape)
    return [p.array.copy() for p in module.parameters()]


@given(st.floats(0, 1), st.integers(0, 6), st.integers(0, 1000))
def test_ema_closed_form(decay: float, n: int, seed: int) -> None:
    """a_n = decay^n p_0 + (1 - decay) Σ_k decay^(n-k) p_k"""
    rng = np.random.default_rng(seed)
    net = nn.Sequential(nn.Dense(2, 3), nn.BatchNorm(3)).to(dtype="float64")
    history = [moved(net, rng)]
    ema = optim.EMA(net, decay)
    for _ in range(n):
        history.append(moved(net, rng))
        ema.update()
    weights = [decay**n, *((1 - decay) * decay ** (n - k) for k in range(1, n + 1))]
    expected = [sum(w * h[i] for w, h in zip(weights, history, strict=True)) for i in range(4)]
    assert list(ema.averages) == ["0.weight", "0.bias", "1.gamma", "1.beta"]
    assert all(np.allclose(a, e, atol=1e-12) for a, e in zip(ema.averages.values(), expected, strict=True))


def test_ema_applied_and_taken_back() -> None:
    rng, net = np.random.default_rng(0), nn.Dense(2, 2)
    ema = optim.EMA(net, 0.5)
    latest = moved(net, rng)
    ema.update()
    average = [a.copy() for a in ema.averages.values()]
    y = (net.weight * net.weight).sum()
    with contextlib.suppress(KeyError), ema.applied():
        assert all(np.array_equal(p.array, a) for p, a in zip(net.parameters(), average, strict=True))
        raise KeyError
    assert all(np.array_equal(p.array, a) for p, a in zip(net.parameters(), latest, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(ema.averages.values(), average, strict=True))
    with pytest.raises(GraphError, match="in place"):
        ta.grad(y, net.weight)


def test_ema_state_round_trip() -> None:
    net = nn.Dense(2, 2)
    ema = optim.EMA(net, 0.5)
    moved(net, np.random.default_rng(0))
    ema.update()
    other = optim.EMA(nn.Dense(2, 2), 0.5)
    other.load_state_dict(ema.state_dict())
    assert all(np.array_equal(a, other.averages[name]) for name, a in ema.averages.items())
    with pytest.raises(FormatError, match=r"EMA.load_state_dict: .*bias is missing"):
        other.load_state_dict({"weight": ema.averages["weight"]})
