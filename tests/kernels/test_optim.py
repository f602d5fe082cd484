"""Optimiser steps against a loop over Python floats, PyTorch, and the compiled form against the reference."""

import math
from collections.abc import Callable
from itertools import chain
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinyart.kernels.cpu import optim as cpu
from tinyart.kernels.cpu.threads import get_num_threads, set_num_threads
from tinyart.kernels.reference import optim as reference

STEPS = 8
SGD = [{"lr": 0.1, "momentum": m, "nesterov": n, "weight_decay": d}
       for m, n in ((0.0, False), (0.9, False), (0.9, True)) for d in (0.0, 0.01)]  # fmt: skip
RMSPROP = [{"lr": 0.01, "alpha": 0.9, "eps": 1e-6, "weight_decay": d, "momentum": m, "centered": c}
           for m in (0.0, 0.8) for c in (False, True) for d in (0.0, 0.02)]  # fmt: skip
ADAM = [{"lr": 0.01, "beta1": 0.9, "beta2": 0.99, "eps": 1e-6, "weight_decay": d, "decoupled": w}
        for d in (0.0, 0.1) for w in (False, True)]  # fmt: skip


def gradients(size: int, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    """A parameter and STEPS gradients."""
    rng = np.random.default_rng(size)
    return rng.normal(size=size).astype(dtype), rng.normal(size=(STEPS, size)).astype(dtype)


def run_sgd(p: np.ndarray, gs: np.ndarray, how: dict[str, Any]) -> None:
    m = np.zeros_like(p) if how["momentum"] else None
    for g in gs:
        reference.sgd_(p, g, m, **how)


def run_rmsprop(p: np.ndarray, gs: np.ndarray, how: dict[str, Any]) -> None:
    v, m, mean = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p) if how["centered"] else None
    for g in gs:
        reference.rmsprop_(p, g, v, m, mean, **{k: v for k, v in how.items() if k != "centered"})


def run_adam(p: np.ndarray, gs: np.ndarray, how: dict[str, Any]) -> None:
    m, v = np.zeros_like(p), np.zeros_like(p)
    for step, g in enumerate(gs, 1):
        reference.adam_(p, g, m, v, step=step, **how)


def loop_sgd(p: float, gs: list[float], how: dict[str, Any]) -> float:
    velocity = 0.0
    for g in gs:
        g += how["weight_decay"] * p
        velocity = how["momentum"] * velocity + g
        p -= how["lr"] * (g + how["momentum"] * velocity if how["nesterov"] else velocity)
    return p


def loop_rmsprop(p: float, gs: list[float], how: dict[str, Any]) -> float:
    square = mean = velocity = 0.0
    for g in gs:
        g += how["weight_decay"] * p
        square = how["alpha"] * square + (1 - how["alpha"]) * g**2
        mean = how["alpha"] * mean + (1 - how["alpha"]) * g if how["centered"] else 0.0
        velocity = how["momentum"] * velocity + g / (math.sqrt(square - mean**2) + how["eps"])
        p -= how["lr"] * velocity
    return p


def loop_adam(p: float, gs: list[float], how: dict[str, Any]) -> float:
    m = v = 0.0
    for t, g in enumerate(gs, 1):
        if how["decoupled"]:
            p -= how["lr"] * how["weight_decay"] * p
        else:
            g += how["weight_decay"] * p
        m = how["beta1"] * m + (1 - how["beta1"]) * g
        v = how["beta2"] * v + (1 - how["beta2"]) * g**2
        m_hat, v_hat = m / (1 - how["beta1"] ** t), v / (1 - how["beta2"] ** t)
        p -= how["lr"] * m_hat / (math.sqrt(v_hat) + how["eps"])
    return p


CASES = ([(run_sgd, loop_sgd, "SGD", how) for how in SGD]
         + [(run_rmsprop, loop_rmsprop, "RMSprop", how) for how in RMSPROP]
         + [(run_adam, loop_adam, "AdamW" if how["decoupled"] else "Adam", how) for how in ADAM])  # fmt: skip


@pytest.mark.parametrize(("run", "loop", "_", "how"), CASES)
def test_steps_are_the_published_formulas(run: Any, loop: Any, _: str, how: dict[str, Any]) -> None:
    p, gs = gradients(5)
    expected = [loop(start, column, how) for start, column in zip(p.tolist(), gs.T.tolist(), strict=True)]
    run(p, gs, how)
    np.testing.assert_allclose(p, expected, rtol=1e-12)


@pytest.mark.parametrize(("run", "_", "name", "how"), CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_agrees_with_pytorch(run: Any, _: Any, name: str, how: dict[str, Any], dtype: str) -> None:
    torch = pytest.importorskip("torch")
    p, gs = gradients(50, dtype)
    theirs = torch.tensor(p.copy(), requires_grad=True)
    settings = {k: v for k, v in how.items() if k not in ("beta1", "beta2", "decoupled")}
    if "beta1" in how:
        settings["betas"] = how["beta1"], how["beta2"]
    optimiser = getattr(torch.optim, name)([theirs], **settings)
    for g in gs:
        theirs.grad = torch.tensor(g.copy())
        optimiser.step()
    run(p, gs, how)
    assert p.dtype == np.dtype(dtype)
    # a dozen roundings a step; the centred variance loses up to two digits by cancellation
    np.testing.assert_allclose(p, theirs.detach().numpy(), rtol=0, atol=1000 * np.finfo(dtype).eps)


def test_only_parameter_and_state_change(call: Callable[..., Any]) -> None:
    p, gs = gradients(4)
    m, v, mean = np.zeros(4), np.zeros(4), np.zeros(4)
    call(lambda g: reference.sgd_(p, g, m, **SGD[-1]), gs[0])
    how = {"lr": 0.1, "alpha": 0.9, "eps": 1e-6, "weight_decay": 0.1, "momentum": 0.5}
    call(lambda g: reference.rmsprop_(p, g, v, m, mean, **how), gs[1])
    for adam_ in (reference.adam_, cpu.adam_):
        for how in ADAM:
            call(lambda g, f=adam_, how=how: f(p, g, m, v, step=1, **how), gs[2])


def test_a_constant_gradient_has_no_negative_variance() -> None:
    """v - mean² is then 0 up to rounding, of either sign; the square root of a negative one would be nan."""
    p, v, mean = np.zeros(100), np.zeros(100), np.zeros(100)
    for _ in range(600):
        reference.rmsprop_(p, np.linspace(0.1, 7, 100), v, None, mean, lr=1e-9, alpha=0.9, eps=1e-6, weight_decay=0.0)
    assert np.isfinite(p).all()


# The compiled form. Without compilation the same code runs as Python, so there the arrays are small.
SMALL_BLOCK = 8
LARGE = 40 if numba.config.DISABLE_JIT else 3 * cpu._BLOCK + 5


def filled(size: int, dtype: str, seed: int = 0) -> list[np.ndarray]:
    """p, g, m, v, each between margins of one array."""
    rng = np.random.default_rng(seed)
    return [rng.uniform(0.01, 1, size + 32).astype(dtype) for _ in range(4)]


def inner(arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [a[16:-16] for a in arrays]


@pytest.mark.parametrize("how", ADAM)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(size=st.integers(0, 70), step=st.integers(1, 10_000))
def test_compiled_adam_has_the_reference_bits(size: int, step: int, dtype: str, how: dict[str, Any]) -> None:
    ours, theirs = filled(size, dtype, step), filled(size, dtype, step)
    cpu.adam_(*inner(ours), step=step, **how)
    reference.adam_(*inner(theirs), step=step, **how)
    for a, b in zip(ours, theirs, strict=True):  # margins included: nothing outside was written
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_adam_in_blocks_has_the_reference_bits(dtype: str, monkeypatch: Any) -> None:
    if numba.config.DISABLE_JIT:
        monkeypatch.setattr(cpu, "_BLOCK", SMALL_BLOCK)
    ours, theirs = filled(LARGE, dtype), filled(LARGE, dtype)
    cpu.adam_(*inner(ours), step=3, **ADAM[-1])
    reference.adam_(*inner(theirs), step=3, **ADAM[-1])
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("how", ADAM[:2])
def test_compiled_adam_of_many_parameters_has_the_reference_bits(how: dict[str, Any], threads: int,
                                                                  monkeypatch: Any) -> None:
    monkeypatch.setattr(cpu, "_BLOCK", SMALL_BLOCK)  # blocks end inside of parameters, and parameters inside of blocks
    sizes = [(5, "float32"), (0, "float32"), (1, "float64"), (100, "float32"), (3, "float64"), (8, "float32")]
    before = get_num_threads()
    set_num_threads(threads)
    try:
        ours, theirs = ([filled(size, dtype, i) for i, (size, dtype) in enumerate(sizes)] for _ in range(2))
        ours[3][1], theirs[3][1] = (np.repeat(a, 2)[::2] for a in (ours[3][1], theirs[3][1]))  # a gradient with gaps
        cpu.adam_all_(*zip(*map(inner, ours), strict=True), step=2, **how)
        for arrays in theirs:
            reference.adam_(*inner(arrays), step=2, **how)
        for a, b in zip(chain(*ours), chain(*theirs), strict=True):
            np.testing.assert_array_equal(a, b)
    finally:
        set_num_threads(before)


def test_compiled_adam_leaves_other_layouts_to_the_reference() -> None:
    rng = np.random.default_rng(0)
    p, m, v = (rng.uniform(0.1, 1, (3, 4)) for _ in range(3))
    layouts: dict[str, Any] = {
        "stride 0": (p, np.broadcast_to(0.5, (3, 4)), m, v),
        "transposed": (p.copy(order="F"), rng.normal(size=(3, 4)), m.copy(order="F"), v),
        "reversed": (p[:, ::-1], rng.normal(size=(3, 4)), m[::-1], v),
    }
    for layout in layouts.values():
        ours, theirs = [a.copy("K") for a in layout], [a.copy("C") for a in layout]
        cpu.adam_(*ours, step=1, **ADAM[0])
        reference.adam_(*theirs, step=1, **ADAM[0])
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)


def test_compiled_adam_refuses_a_parameter_that_cannot_be_written() -> None:
    p, g, m, v = inner(filled(4, "float64"))
    p.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        cpu.adam_(p, g, m, v, step=1, **ADAM[0])


def test_compiled_adam_keeps_infinities_and_nans_in_their_place() -> None:
    arrays = [np.array(a) for a in ([1.0, np.inf, 1, 1], [1.0, 1, np.nan, np.inf], [0.0] * 4, [0.0] * 4)]
    copies = [a.copy() for a in arrays]
    with np.errstate(invalid="ignore"):
        cpu.adam_(*arrays, step=1, **ADAM[0])
        reference.adam_(*copies, step=1, **ADAM[0])
    for a, b in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.isfinite(arrays[0][0])
    assert np.isnan(arrays[0][2:]).all()
