"""The double says what CuPy says, and training on a GPU moves nothing to the host but what is asked for."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tinyart as ta
from tests.cuda import double
from tinyart import nn, ops
from tinyart.backend import device_of, to_device
from tinyart.errors import ArgumentError, DeviceError, OutOfMemory

ROOT = Path(__file__).parents[2]


def test_the_double_has_cupys_functions_and_methods() -> None:
    """Asked of another process, for here `cupy` may be the double."""
    ask = "import cupy; from tests.cuda import double; print(double.differences_from(cupy))"
    done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True)
    if "No module named 'cupy'" in done.stderr:
        pytest.skip("no CuPy")
    assert done.stdout == "[]\n", done.stderr


def test_the_double_is_as_strict_as_cupy(cupy: ModuleType) -> None:
    x = cupy.asarray(np.ones(3, np.float32))
    with pytest.raises(TypeError, match="Implicit conversion"):
        np.asarray(x)
    with pytest.raises(TypeError, match=r"Unsupported type <class 'numpy\.ndarray'>"):
        x + np.ones(3)
    with pytest.raises(TypeError, match=r"cupy\.max\(\) got an unexpected argument: \['initial'\]"):
        np.max(x, initial=0)
    with pytest.raises(TypeError):
        np.add.at(x, np.zeros(1, int), x)
    for reduced in (np.sum, np.argmax, lambda x, axis: x.max(axis)):
        with pytest.raises(np.exceptions.AxisError):
            reduced(x[0], axis=0)
    double.reads.clear()  # those of the message
    assert (float(x.sum()), len(double.reads)) == (3, 1)


# ---- tensors on the device


def test_tensors_go_to_the_device_and_back(cupy: ModuleType) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    t = ta.tensor(values, device="cuda", requires_grad=True)
    assert (t.device, t.shape, t.dtype, len(double.uploads)) == ("cuda", (2, 3), "float32", 1)
    assert isinstance(t.array, cupy.ndarray)
    assert t.to("cuda") is t
    assert (t.to("cpu").numpy() == values).all()
    assert ta.tensor(t).array is not t.array
    assert "4., 5." in repr(t)
    assert ta.tensor([1, 2], device="cuda").dtype == "int64"
    assert t[0, 1].item() == 1


@pytest.mark.parametrize("name", ["sum", "max", "min", "mean", "var", "logsumexp", "argmax", "argmin", "softmax",
                                  "log_softmax"])  # fmt: skip
def test_a_number_on_the_device_has_an_axis_0_as_on_the_cpu(name: str, cupy: ModuleType) -> None:
    x = ta.tensor(2.0, "float64", "cuda", requires_grad=True)
    y = getattr(ta, name)(x, 0)
    assert y.item() == getattr(ta, name)(ta.tensor(2.0, "float64"), 0).item()
    if not name.startswith("arg"):
        assert y.shape == ta.grad(y, x).shape == ()


def test_devices_do_not_mix_silently(cupy: ModuleType) -> None:
    x, y = ta.tensor([1.0], device="cuda"), ta.tensor([1.0])
    with pytest.raises(DeviceError, match=r"move one: x\.to\('cuda'\) or x\.to\('cpu'\)"):
        x + y
    with pytest.raises(DeviceError):
        ops.embedding(np.array([0]), ta.tensor([[1.0]], device="cuda"))


def test_a_module_and_its_optimizer_move(cupy: ModuleType) -> None:
    net = nn.Sequential(nn.Dense(3, 4), nn.BatchNorm(4))
    before = net.state_dict()
    assert net.to("cuda") is net
    assert {device_of(t.array) for t in net._tensors().values()} == {"cuda"}
    state = net.state_dict()
    assert all((state[name] == before[name]).all() for name in before)
    net.load_state_dict({name: value + 1 for name, value in before.items()})
    assert (net.state_dict()["0.bias"] == before["0.bias"] + 1).all()
    optimizer = ta.optim.Adam(net.parameters())
    optimizer.load_state_dict(optimizer.state_dict())
    assert {device_of(a) for arrays in optimizer.slots.values() for a in arrays} == {"cuda"}
    assert net.to("cpu").parameters()[0].device == "cpu"


def test_another_librarys_array_on_the_gpu_is_taken_over(cupy: ModuleType) -> None:
    class Foreign:
        __cuda_array_interface__: Any = {}  # noqa: RUF012

        def __array__(self, *_: Any, **__: Any) -> Any:
            return np.ones(2, np.float32)

    assert isinstance(ta.tensor(Foreign()).array, cupy.ndarray)


def test_no_room_is_a_sentence_with_the_sizes(cupy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise MemoryError("Out of memory allocating 4,000 bytes (allocated so far: 1,000 bytes).")

    x = ta.tensor(np.ones((10, 10), np.float32), device="cuda", requires_grad=True)
    monkeypatch.setattr("tinyart.kernels.cuda.pointwise.empty", full)
    with pytest.raises(OutOfMemory) as caught:
        ops.sigmoid(x)
    assert str(caught.value) == (
        "sigmoid: result: expected room for what is made of (10, 10) float32 on cuda, got Out of memory allocating "
        "4,000 bytes (allocated so far: 1,000 bytes).. Fix: a smaller batch, or fewer tensors kept.")
    monkeypatch.undo()
    assert ops.sigmoid(x).shape == (10, 10)  # and the process goes on


def test_the_precision_of_products_is_the_users_choice(cupy: ModuleType) -> None:
    x = ta.tensor(np.array([1 + 2.0**-12, 0], np.float32).reshape(1, 1, 1, 2), device="cuda")
    w = ta.tensor(np.ones((1, 1, 2, 1), np.float32), device="cuda")
    assert ops.conv2d(x, w).item() == 1 + 2.0**-12
    ta.set_matmul_precision("tf32")
    try:
        assert ops.conv2d(x, w).item() == 1
    finally:
        ta.set_matmul_precision("float32")
    with pytest.raises(ArgumentError, match="expected 'float32', 'tf32' or 'bfloat16', got 'bf16'"):
        ta.set_matmul_precision("bf16")


# ---- training steps: nothing goes to the host


def conv_net() -> Any:
    return nn.Sequential(nn.Conv2d(1, 4, 3, stride=2, padding="same"), nn.BatchNorm(4), nn.LeakyReLU(0.2),
                         nn.ConvTranspose2d(4, 3, 3, stride=2, padding="same"), nn.MaxPool2d(2), nn.AvgPool2d(2),
                         nn.Flatten(), nn.LayerNorm(12), nn.Dropout(0.3), nn.Dense(12, 5))  # fmt: skip


def test_a_training_step_reads_nothing_and_uploads_nothing(cupy: ModuleType) -> None:
    net, embedding = conv_net().to("cuda"), nn.Embedding(7, 12).to("cuda")
    parameters = [*net.parameters(), *embedding.parameters()]
    images = ta.tensor(np.random.default_rng(0).normal(size=(6, 8, 8, 1)).astype("float32"), device="cuda")
    classes = ta.tensor(np.arange(6) % 5, device="cuda")
    for make in (ta.optim.SGD, ta.optim.RMSprop, ta.optim.Adam):
        optimizer = make(parameters)
        average = ta.optim.EMA(net)
        for counted in (False, True):  # the first step may upload constants once
            double.reads.clear()
            double.uploads.clear()
            h = ops.resize(images, 8, "bilinear")
            logits = net(h) + (embedding(classes) * ta.random.normal((6, 12), device="cuda"))[:, :5]
            picked = logits[np.s_[1:3]].sum() + ops.gather(logits, ops.expand_dims(classes, 1), 1).mean()
            loss = ops.cross_entropy(logits, classes) + picked * 1e-3 + ops.bce_with_logits(
                logits, ops.sigmoid(logits.detach()))
            optimizer.step(ta.grad(loss, parameters))
            average.update()
            if counted:
                assert double.reads == []
                assert double.uploads == []
    assert np.isfinite(loss.item())
    assert len(double.reads) == 1


def test_a_step_on_the_device_is_the_step_on_the_cpu(cupy: ModuleType) -> None:
    found = []
    images = np.random.default_rng(0).normal(size=(6, 8, 8, 1)).astype("float32")
    for device in ("cpu", "cuda"):
        ta.manual_seed(3)
        net = conv_net().to(dtype="float64").to(device)
        optimizer = ta.optim.SGD(net.parameters(), 0.1)
        x = ta.tensor(images, "float64", device)
        for _ in range(2):
            loss = ops.cross_entropy(net(x), ta.tensor(np.arange(6) % 5, device=device))
            optimizer.step(ta.grad(loss, net.parameters()))
        found.append(net.state_dict())
    for name, value in found[0].items():
        np.testing.assert_allclose(found[1][name], value, rtol=1e-9, atol=1e-12, err_msg=name)


def test_a_step_on_the_device_gives_the_same_bits_again(cupy: ModuleType) -> None:
    """Adjoints of reading an element several times add up in a fixed order."""
    found = []
    for _ in range(2):
        ta.manual_seed(5)
        net, rows = conv_net().to("cuda"), nn.Embedding(4, 5).to("cuda")
        x = ta.random.normal((6, 8, 8, 1), device="cuda")
        indices = to_device(np.array([0, 1, 1, 3, 1, 0]), "cuda")
        loss = (net(x) * ops.embedding(indices, rows.weight)).sum() + (rows.weight[indices] ** 2).sum()
        found.append([g.numpy().tobytes() for g in ta.grad(loss, [*net.parameters(), *rows.parameters()])])
    assert found[0] == found[1]


# ---- how many launches that is


def test_a_step_launches_few_kernels_and_a_recorded_one_next_to_none(cupy: ModuleType, monkeypatch: Any) -> None:
    from benchmarks import launches

    monkeypatch.setattr(import_module("tinyart.kernels.cuda.launch"), "_function",
                        lambda _, kernel, *__: launches.Module().get_function(kernel))
    monkeypatch.setattr(import_module("tinyart.kernels.cuda.blas"), "_library", launches.Library)
    monkeypatch.setattr(launches.contender, "DEVICE", "cuda")
    monkeypatch.setattr(launches.backend, "_cuda", launches.backend._cuda)
    rows = {row.name: row for row in launches.ROWS}
    for name in ("VAE", "LeNet"):
        found = launches.counted(rows[name])
        assert found["replayed"] <= 5 < 2 * found["after"] < found["before"]
        assert found["most"]["product"] > 0
