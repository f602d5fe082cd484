"""What only a GPU can show: run by `pytest --device cuda`.

That command also runs the rest of the suite with every kernel on the GPU (tests/conftest.py), and this file adds what
the mirror cannot: tensors that stay on the device, graphs, memory over many steps, and running out of it. The kernels
under NVIDIA's checker:

    compute-sanitizer --tool memcheck|racecheck|initcheck|synccheck --report-api-errors no \
        python -m pytest --device cuda --unpooled tests/cuda/test_kernels.py
"""

import os
from typing import Any

import numpy as np
import pytest

import tinyart as ta
from tinyart import backend, nn, ops
from tinyart.errors import OutOfMemory

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def _the_cpu_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "_cpu", getattr(backend._cpu, "cpu", backend._cpu))  # here not its mirror


def network(dtype: str) -> Any:
    ta.manual_seed(1)
    layers = [nn.Conv2d(1, 32, 5, stride=2, padding="same", bias=False), nn.BatchNorm(32), nn.LeakyReLU(0.2),
              nn.ConvTranspose2d(32, 16, 5, stride=2, padding="same"), nn.MaxPool2d(2), nn.Flatten(),
              nn.LayerNorm(14 * 14 * 16), nn.Dropout(0.3), nn.Dense(14 * 14 * 16, 10)]  # fmt: skip
    return nn.Sequential(*layers).to(dtype=dtype)


def trained(device: str, dtype: str, steps: int = 5, replay: bool = False) -> dict[str, np.ndarray]:
    net = network(dtype).to(device)
    optimizer = ta.optim.Adam(net.parameters(), 1e-3)
    rng = np.random.default_rng(0)

    def step(x: Any, y: Any) -> Any:
        loss = ops.cross_entropy(net(x), y) + ta.random.normal((), dtype, device=device) * 0.0
        optimizer.step(ta.grad(loss, optimizer.parameters))
        return loss

    batches = [(ta.tensor(rng.normal(size=(32, 28, 28, 1)), dtype, device), ta.tensor(rng.integers(0, 10, 32),
                device=device)) for _ in range(steps)]  # fmt: skip
    run = ta.Replay(step, *batches[0]) if replay else step
    for batch in batches:
        run(*batch)
    return net.state_dict()


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-4), ("float64", 1e-9)])
def test_training_agrees_with_the_cpu(dtype: str, tolerance: float) -> None:
    there, here = trained("cuda", dtype), trained("cpu", dtype)
    for name, value in here.items():
        np.testing.assert_allclose(there[name], value, rtol=tolerance, atol=tolerance, err_msg=name)


def test_training_gives_the_same_bits_again() -> None:
    first, second = trained("cuda", "float32"), trained("cuda", "float32")
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_a_replayed_training_is_the_training() -> None:
    replayed, eager = trained("cuda", "float32", 8, replay=True), trained("cuda", "float32", 8)
    for name, value in eager.items():
        np.testing.assert_allclose(replayed[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("replay", [False, True])
@pytest.mark.slow
def test_memory_is_flat_over_10000_steps(replay: bool) -> None:
    import cupy

    module = nn.Sequential(nn.Dense(64, 64), nn.ReLU(), nn.Dense(64, 64)).to("cuda")
    optimizer = ta.optim.Adam(module.parameters())

    def step(x: Any) -> Any:
        loss = ((module(x) - ta.random.normal((32, 64), device="cuda")) ** 2).mean()
        optimizer.step(ta.grad(loss, optimizer.parameters))
        return loss

    x = ta.random.normal((32, 64), device="cuda")
    run = ta.Replay(step, x) if replay else step
    used = []
    for i in range(10_000):
        run(x)
        if i in (100, 9_999):
            cupy.cuda.get_current_stream().synchronize()
            free = cupy.cuda.runtime.memGetInfo()[0] if "PYTEST_XDIST_WORKER" not in os.environ else 0  # others' too
            used.append((free, cupy.get_default_memory_pool().total_bytes()))
    assert used[0] == used[1]


def test_fetching_a_loss_does_not_wait_for_later_steps() -> None:
    import cupy

    x = ta.tensor([1.5], device="cuda")
    large = ta.random.normal((8192, 8192), device="cuda")
    ops.matmul(large, large)  # cuBLAS is loaded
    end = cupy.cuda.Event()
    loss = ta.fetch(x * 2)
    for _ in range(200):  # a second or more
        ops.matmul(large, large)
    end.record()
    assert loss().item() == 3
    assert not end.done


def test_running_out_of_memory_says_how_much_was_asked_and_can_go_on() -> None:
    import cupy

    free, _ = cupy.cuda.runtime.memGetInfo()
    rows = int(free // (4 << 20)) + 1024
    x = ta.tensor(np.zeros((rows, 1), np.float32), device="cuda")
    with pytest.raises(OutOfMemory, match=r"room for what is made of .* Out of memory allocating [\d,]+ bytes"):
        ops.matmul(x, ta.tensor(np.zeros((1, 1 << 20), np.float32), device="cuda"))
    assert ops.exp(x).sum().item() == rows


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numba_kernels_agree_with_cuda_c(dtype: str) -> None:
    """Sizes that are no multiple of a block, a warp or a tile; more elements than a grid has threads."""
    pytest.importorskip("numba_cuda")
    import tinyart.kernels.cuda.numba_kernels as ours

    try:  # numba-cuda 0.30 loads what it compiles with at the first compilation, and NumPy 2.5 has no row_stack
        ours.leaky_relu(backend.to_device(np.ones(1, dtype), "cuda"), slope=0.5)
    except AttributeError as error:
        if "row_stack" not in str(error):
            raise
        pytest.skip(f"numba-cuda cannot be loaded: {error}")

    rng, theirs = np.random.default_rng(0), backend._cuda

    def draw(*shape: int) -> Any:
        return backend.to_device(rng.normal(size=shape).astype(dtype), "cuda")

    x, w, b = draw(70, 33), draw(33, 50), draw(50)
    images = backend.to_device(rng.integers(0, 3, (3, 9, 10, 5)).astype(dtype), "cuda")  # ties
    how: Any = {"size": (3, 2), "stride": (2, 1), "padding": ((1, 1), (0, 1))}
    pooled = theirs.max_pool(images, **how)
    calls: list[tuple[str, list[Any], Any]] = [
        ("leaky_relu", [draw(2, 300_001)], {"slope": 0.2}),
        ("softmax", [draw(70, 1000)], {"axis": -1}), ("softmax", [draw(7, 3, 5)], {"axis": 0}),
        *(("dense", [x, w, b], {"activation": f, "slope": 0.1})
          for f in ("none", "relu", "leaky_relu", "sigmoid", "tanh")),
        ("max_pool_input", [draw(*pooled.shape), images, pooled], how),
    ]
    for name, inputs, settings in calls:
        found, expected = (getattr(kernels, name)(*inputs, **settings).get() for kernels in (ours, theirs))
        np.testing.assert_allclose(found, expected, rtol=64 * np.finfo(dtype).eps, atol=64 * np.finfo(dtype).eps,
                                   err_msg=name)
    state = [abs(draw(300_001)) for _ in "pgmv"]
    again = [a.copy() for a in state]
    same: Any = {"lr": 0.01, "beta1": 0.9, "beta2": 0.99, "eps": 1e-6, "step": 3, "weight_decay": 0.1,
                 "decoupled": True}
    ours.adam_(*state, **same)
    theirs.adam_all_(*([a] for a in again), **same)
    for found, expected in zip(state, again, strict=True):
        np.testing.assert_allclose(found.get(), expected.get(), rtol=64 * np.finfo(dtype).eps,
                                   atol=64 * np.finfo(dtype).eps)  # a parameter of 1 can lose all but its rounding


def test_arrays_of_other_libraries_are_shared() -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.arange(6, dtype=torch.float32, device="cuda")
    ours = ta.from_dlpack(theirs)
    ours[0] = 9
    assert theirs[0].item() == 9
    assert torch.from_dlpack(ours)[0].item() == 9
