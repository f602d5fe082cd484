"""A replayed step is the step: the same parameters after the same batches, on the CPU and on the double of CuPy.

The double's graph keeps every piece of work of the capture and does none of it before the launch: what a step was told
by value stays as it was, as in a CUDA graph.
"""

import gc
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tinyart as ta
from tests.cuda import double
from tinyart import nn, optim
from tinyart.errors import ArgumentError, DeviceError, DtypeError, GraphError, ShapeError

DEVICES = ["cpu", "cuda"]


@pytest.fixture(params=DEVICES)
def on(request: pytest.FixtureRequest) -> str:
    if request.param == "cuda":
        request.getfixturevalue("cupy")
    return str(request.param)


def batches(n: int, shape: tuple[int, ...] = (6, 4, 4, 1)) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape).astype("float32") for _ in range(n)]


def network(device: str, make: Callable[..., Any]) -> tuple[Any, Any, Callable[[Any], Any]]:
    """Convolution, whose bias would have a gradient of rounding alone; batch norm with its running statistics, dropout
    and noise, a schedule, clipping, an average.
    """
    ta.manual_seed(1)
    convolution = nn.Conv2d(1, 3, 3, padding="same", bias=False)
    net = nn.Sequential(convolution, nn.BatchNorm(3), nn.ReLU(), nn.Flatten(),
                        nn.Dropout(0.3), nn.Dense(48, 5)).to(device)  # fmt: skip
    optimizer = make(net.parameters(), optim.StepLR(0.05, every=2, factor=0.5))
    average = optim.EMA(net, 0.9)

    def step(x: Any) -> Any:
        noise = ta.random.normal((6, 5), device=device)
        loss = ((net(x) + noise) ** 2).mean()
        optimizer.step(optim.clip_grad_norm(ta.grad(loss, optimizer.parameters), 0.5))
        average.update()
        return {"loss": loss, "noise": noise}

    def state() -> dict[str, np.ndarray]:
        return {**net.state_dict(), **optimizer.state_dict(), **{"a." + k: v for k, v in average.state_dict().items()},
                "random": ta.random.default_generator().state}  # fmt: skip

    return step, state, optimizer


@pytest.mark.parametrize("make", [optim.Adam, optim.SGD, optim.RMSprop])
def test_replayed_steps_are_steps(on: str, make: Any) -> None:
    step, state, _ = network(on, make)
    wanted = [step(ta.tensor(x, device=on)) for x in batches(6)]
    expected = state()
    step, state, _ = network(on, make)
    replay = ta.Replay(step, ta.tensor(batches(1)[0], device=on))
    found = [replay(ta.tensor(x, device=on)) for x in batches(6)]
    # A learning rate on the device is float64, where a number adopts the parameter's float32
    for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
        np.testing.assert_allclose(a["loss"].item(), b["loss"].item(), rtol=1e-5, err_msg=str(i))
        assert (a["noise"].numpy() == b["noise"].numpy()).all()
    for name, value in state().items():
        np.testing.assert_allclose(value, expected[name], rtol=2e-4, atol=2e-6, err_msg=name)


def test_a_replay_is_one_launch_and_one_small_upload(cupy: ModuleType) -> None:
    step, _, _ = network("cuda", optim.Adam)
    xs = [ta.tensor(x, device="cuda") for x in batches(5)]
    replay = ta.Replay(step, xs[0])
    for i, x in enumerate(xs):
        double.uploads.clear()
        replay(x)
        if i > 1:
            assert len(double.uploads) == 1  # learning rate, count of steps, counters
    assert replay._graph.launches == 4
    assert double.reads == []


def test_numpy_batches_are_uploaded(on: str) -> None:
    replay = ta.Replay(lambda x: x.sum(), np.zeros(3, np.float32) if on == "cpu" else ta.tensor([0.0] * 3, device=on))
    for i in range(4):
        assert replay(np.full(3, i, np.float32)).item() == 3 * i


def test_a_loss_is_fetched_without_waiting_for_the_device(on: str) -> None:
    replay = ta.Replay(lambda x: x * 2, ta.tensor([0.0], device=on))
    double.reads.clear()
    x = ta.tensor([3.0], device=on)
    fetched = [ta.fetch(replay(ta.tensor([float(i)], device=on))) for i in range(5)] + [ta.fetch(x)]
    x[0] = 4.0
    assert [f().item() for f in fetched] == [0, 2, 4, 6, 8, 3]
    assert double.reads == []
    with pytest.raises(GraphError, match="a step that reads no tensor's values"):
        ta.Replay(ta.fetch, x)(x)


def test_a_step_that_failed_at_first_is_run_again_before_it_is_recorded(on: str) -> None:
    """Here for want of memory: what a step was told by then must not count as recorded."""
    calls: list[bool] = []

    def step(x: Any) -> Any:
        calls.append(on == "cuda" and double._captured is not None)
        if len(calls) == 1:
            raise MemoryError
        return x + 1

    x = ta.tensor([1.0], device=on)
    replay = ta.Replay(step, x)
    with pytest.raises(MemoryError):
        replay(x)
    assert [replay(x).item() for _ in range(3)] == [2, 2, 2]
    assert calls[1] is False
    assert any(calls) == (on == "cuda")


@pytest.mark.parametrize("replayed", [False, True])
def test_memory_does_not_grow_with_the_steps(replayed: bool, cupy: ModuleType) -> None:
    """Arrays that are alive after 5 and after 25 steps; test_gpu.py counts bytes over 10,000."""
    module = nn.Sequential(nn.Dense(3, 4), nn.ReLU(), nn.Dense(4, 2)).to("cuda")
    optimizer = optim.Adam(module.parameters())

    def step(x: Any) -> Any:
        loss = ((module(x) - ta.random.normal((2, 2), device="cuda")) ** 2).mean()
        optimizer.step(ta.grad(loss, optimizer.parameters))
        return loss

    x = ta.random.normal((2, 3), device="cuda")
    run = ta.Replay(step, x) if replayed else step
    gc.collect()
    alive = []
    for i in range(25):
        run(x)
        if i in (4, 24):
            alive.append(sum(type(o) is double.ndarray for o in gc.get_objects()))
    assert alive[0] == alive[1]


def test_what_is_returned_does_not_change_later(on: str) -> None:
    replay = ta.Replay(lambda x: (x * 2, [x + 1], None), ta.tensor([0.0], device=on))
    results = [replay(ta.tensor([float(i)], device=on)) for i in range(5)]
    assert [r[0].item() for r in results] == [0, 2, 4, 6, 8]
    assert [r[1][0].item() for r in results] == [1, 2, 3, 4, 5]
    assert results[4][2] is None


# ---- refusals


def test_inputs_unlike_the_example_are_refused_by_name(on: str) -> None:
    x = ta.tensor(np.zeros((2, 3), np.float32), device=on)
    replay = ta.Replay(lambda x: x + 1, x)
    where = f"float32 on {on}"
    for _ in range(3):
        replay(x)
        with pytest.raises(ShapeError) as shape:
            replay(ta.tensor(np.zeros((3, 3), np.float32), device=on))
        assert str(shape.value) == (f"Replay: input 0: expected (2, 3) {where}, got (3, 3) {where}. "
                                    "Fix: another Replay for another shape.")
        with pytest.raises(DtypeError, match=rf"Replay: input 0: expected \(2, 3\) {where}, got \(2, 3\) float64"):
            replay(ta.tensor(np.zeros((2, 3)), "float64", device=on))
        with pytest.raises(ArgumentError, match="Replay: inputs: expected 1, as recorded, got 2"):
            replay(x, x)
    with pytest.raises(ArgumentError, match="Replay: examples"):
        ta.Replay(lambda: None)


def test_an_input_on_the_other_device_is_refused(cupy: ModuleType) -> None:
    replay = ta.Replay(lambda x: x, ta.tensor([1.0], device="cuda"))
    with pytest.raises(DeviceError, match=r"input 0: .* on cuda, got \(1,\) float32 on cpu\. Fix: x\.to\('cuda'\)"):
        replay(ta.tensor([1.0]))


@pytest.mark.parametrize("reading", [lambda x: x.item(), float, bool, int, lambda x: x.numpy(), np.asarray, repr])
def test_a_step_that_reads_is_refused_with_its_line(on: str, reading: Any) -> None:
    replay = ta.Replay(lambda x: reading(x), ta.tensor([1.0], device=on))
    with pytest.raises(GraphError) as caught:
        replay(ta.tensor([1.0], device=on))
    assert str(caught.value).startswith("Replay: step: expected a step that reads no tensor's values, got a read at ")
    assert "Fix: return the tensor, and read it after the call." in str(caught.value)
    assert ta.tensor([1.0], device=on).item() == 1  # outside of a recording reading goes on


def test_other_parameters_than_those_recorded_are_refused(on: str) -> None:
    step, _, optimizer = network(on, optim.Adam)
    x = ta.tensor(batches(1)[0], device=on)
    replay = ta.Replay(step, x)
    for _ in range(3):
        replay(x)
        p = optimizer.parameters[1]
        own, p.array = p.array, p.array.copy()
        with pytest.raises(GraphError, match=r"Replay: parameters: expected the arrays that were recorded: number 1 "):
            replay(x)
        p.array = own
    removed = optimizer.parameters.pop()
    with pytest.raises(GraphError, match="Replay: parameters"):
        replay(x)
    optimizer.parameters.append(removed)
    replay(x)


def test_a_graph_made_before_a_replay_is_refused_after_it(on: str) -> None:
    step, _, optimizer = network(on, optim.Adam)
    x = ta.tensor(batches(1)[0], device=on)
    replay = ta.Replay(step, x)
    replay(x)
    replay(x)
    stale = (optimizer.parameters[0] ** 2).sum()
    replay(x)
    with pytest.raises(GraphError, match="in place since"):
        ta.grad(stale, optimizer.parameters[0])


def test_a_permutation_is_not_recorded(cupy: ModuleType) -> None:
    replay = ta.Replay(lambda x: ta.random.permutation(3, device="cuda"), ta.tensor([1.0], device="cuda"))
    with pytest.raises(ArgumentError, match="a step without permutation"):
        replay(ta.tensor([1.0], device="cuda"))


def test_the_gradient_of_many_indices_is_recorded(on: str) -> None:
    """More than one run of keys, which are sorted on the device: a graph holds it."""
    rows, indices = nn.Embedding(50, 2).to(on), np.random.default_rng(0).integers(0, 50, 1500)
    optimizer = optim.SGD(rows.parameters(), 0.1)
    start = rows.weight.numpy().copy()

    def step(i: Any) -> Any:
        loss = (rows(i) ** 2).sum()
        optimizer.step(ta.grad(loss, optimizer.parameters))
        return loss

    replay = ta.Replay(step, ta.tensor(indices, device=on))
    for _ in range(3):
        replay(ta.tensor(indices, device=on))
    shrunk = (1 - 0.2 * np.bincount(indices, minlength=50)[:, None]) ** 3
    np.testing.assert_allclose(rows.weight.numpy(), start * shrunk, rtol=1e-4)
