"""Layers against PyTorch in float64, given the same weights by transposes: outputs, all gradients, starting weights."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyart as ta
from tinyart import nn, optim, random
from tinyart.random import Generator

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

AXES_IN = {2: (0, 1), 3: (0, 2, 1), 4: (0, 3, 1, 2)}  # channels last -> first
AXES_OUT = {2: (0, 1), 3: (0, 2, 1), 4: (0, 2, 3, 1)}
NAMES = {"gamma": "weight", "beta": "bias"}


def weight_axes(kind: str, ndim: int) -> tuple[int, ...]:
    """From PyTorch's layout to ours."""
    table: dict[tuple[str, int], tuple[int, ...]] = {("Dense", 2): (1, 0), ("Conv1d", 3): (2, 1, 0)}
    return table.get((kind, ndim), (2, 3, 1, 0) if ndim == 4 else tuple(range(ndim)))


def compare(ours: Any, theirs: Any, x: Any, tolerance: float = 1e-11) -> None:
    """y, the gradients of x and of every parameter, under a random cotangent; x and y channels last."""
    theirs = theirs.double()
    kind = type(ours).__name__
    ours.to(dtype="float64")
    state = {name: p.detach().numpy() for name, p in theirs.named_parameters()}
    own_names = [name for name, _ in ours.named_parameters()]
    assert sorted(NAMES.get(name, name) for name in own_names) == sorted(state)
    with ta.no_grad():
        for name, p in ours.named_parameters():
            value = state[NAMES.get(name, name)]
            p[...] = value.transpose(weight_axes(kind, value.ndim))
    tx = torch.from_numpy(np.ascontiguousarray(x.transpose(AXES_IN[x.ndim]))).requires_grad_()
    ty = theirs(tx)
    v = np.random.default_rng(1).normal(size=tuple(ty.shape))
    ty.backward(torch.from_numpy(v))

    own_x = ta.tensor(x, requires_grad=True)
    y = ours(own_x)
    expected = ty.detach().numpy()
    assert np.allclose(y.array, expected.transpose(AXES_OUT[expected.ndim]), rtol=0, atol=tolerance)
    y.backward(ta.tensor(np.ascontiguousarray(v.transpose(AXES_OUT[v.ndim]))))
    assert np.allclose(own_x.grad.array, tx.grad.numpy().transpose(AXES_OUT[x.ndim]), rtol=0, atol=tolerance)
    for name, p in ours.named_parameters():
        g = dict(theirs.named_parameters())[NAMES.get(name, name)].grad.numpy()
        assert np.allclose(p.grad.array, g.transpose(weight_axes(kind, g.ndim)), rtol=0, atol=tolerance), name


def normal(*shape: int) -> Any:
    return np.random.default_rng(7).normal(size=shape)


@pytest.mark.parametrize("bias", [True, False])
def test_dense(bias: bool) -> None:
    compare(nn.Dense(5, 3, bias=bias), torch.nn.Linear(5, 3, bias=bias), normal(4, 5))


@pytest.mark.parametrize("settings", [
    {}, {"stride": 2, "padding": 1}, {"dilation": 2, "padding": 2, "groups": 2}, {"bias": False},
])
def test_conv1d(settings: dict[str, Any]) -> None:
    compare(nn.Conv1d(4, 6, 3, **settings), torch.nn.Conv1d(4, 6, 3, **settings), normal(2, 9, 4))


@pytest.mark.parametrize("settings", [
    {}, {"stride": (2, 1), "padding": (1, 2)}, {"dilation": (1, 2), "padding": 2, "groups": 2}, {"groups": 4},
    {"padding": "same", "dilation": (1, 2)}, {"bias": False, "padding": "valid"},
])
def test_conv2d(settings: dict[str, Any]) -> None:
    compare(nn.Conv2d(4, 8, (3, 2), **settings), torch.nn.Conv2d(4, 8, (3, 2), **settings), normal(2, 7, 6, 4))


@pytest.mark.parametrize("settings", [
    {}, {"stride": (2, 3), "padding": (1, 0)}, {"stride": 2, "padding": 1, "output_padding": 1},
    {"stride": (3, 2), "output_padding": (2, 1), "groups": 2}, {"dilation": (2, 1), "bias": False},
])
def test_conv_transpose2d(settings: dict[str, Any]) -> None:
    ours, theirs = nn.ConvTranspose2d(4, 6, (3, 4), **settings), torch.nn.ConvTranspose2d(4, 6, (3, 4), **settings)
    compare(ours, theirs, normal(2, 4, 5, 4))


@pytest.mark.parametrize("momentum", [0.1, 0.7])
def test_batch_norm_in_training_and_evaluation(momentum: float) -> None:
    ours, theirs = nn.BatchNorm(4, momentum=momentum, eps=1e-3), torch.nn.BatchNorm2d(4, momentum=momentum, eps=1e-3)
    with torch.no_grad():
        theirs.weight.uniform_(0.5, 2)
        theirs.bias.uniform_(-1, 1)
    for scale in (1.0, 4.0, 0.2):
        theirs.zero_grad()
        ours.zero_grad()
        compare(ours, theirs, scale * normal(3, 4, 5, 4) + scale)
        assert np.allclose(ours.running_mean.array, theirs.running_mean.numpy(), rtol=0, atol=1e-12)
        assert np.allclose(ours.running_var.array, theirs.running_var.numpy(), rtol=0, atol=1e-12)
    ours.eval()
    theirs.eval()
    theirs.zero_grad()
    ours.zero_grad()
    compare(ours, theirs, normal(1, 4, 5, 4))


def test_layer_norm() -> None:
    ours, theirs = nn.LayerNorm(6, eps=1e-3), torch.nn.LayerNorm(6, eps=1e-3)
    with torch.no_grad():
        theirs.weight.uniform_(0.5, 2)
        theirs.bias.uniform_(-1, 1)
    compare(ours, theirs, normal(5, 6))


def test_embedding() -> None:
    ours, theirs = nn.Embedding(7, 3).to(dtype="float64"), torch.nn.Embedding(7, 3).double()
    ours.load_state_dict({name: p.detach().numpy() for name, p in theirs.named_parameters()})
    indices, v = np.array([[0, 6, 3], [3, 3, 1]]), normal(2, 3, 3)
    y, ty = ours(ta.tensor(indices)), theirs(torch.from_numpy(indices))
    assert np.array_equal(y.array, ty.detach().numpy())
    y.backward(ta.tensor(v))
    ty.backward(torch.from_numpy(v))
    assert np.allclose(ours.parameters()[0].grad.array, theirs.weight.grad.numpy(), rtol=0, atol=1e-13)


@pytest.mark.parametrize(("ours", "theirs"), [
    (nn.MaxPool2d(2), torch.nn.MaxPool2d(2)),
    (nn.MaxPool2d((3, 2), stride=(1, 2), padding=1), torch.nn.MaxPool2d((3, 2), stride=(1, 2), padding=1)),
    (nn.AvgPool2d(3, stride=2, padding=1), torch.nn.AvgPool2d(3, stride=2, padding=1)),
    (nn.AvgPool2d((2, 3), padding=(1, 1), count_include_pad=False),
     torch.nn.AvgPool2d((2, 3), padding=(1, 1), count_include_pad=False)),
    (nn.ReLU(), torch.nn.ReLU()),
    (nn.LeakyReLU(), torch.nn.LeakyReLU()),
    (nn.LeakyReLU(0.2), torch.nn.LeakyReLU(0.2)),
    (nn.ELU(), torch.nn.ELU()),
    (nn.ELU(0.7), torch.nn.ELU(0.7)),
    (nn.GELU(), torch.nn.GELU()),
    (nn.SiLU(), torch.nn.SiLU()),
    (nn.Sigmoid(), torch.nn.Sigmoid()),
    (nn.Tanh(), torch.nn.Tanh()),
    (nn.Softplus(), torch.nn.Softplus()),
    (nn.Softmax(), torch.nn.Softmax(dim=1)),
    (nn.Softmax(axis=1), torch.nn.Softmax(dim=2)),
], ids=repr)
def test_layers_without_parameters(ours: nn.Module, theirs: Any) -> None:
    compare(ours, theirs, normal(2, 7, 6, 3))


@pytest.mark.parametrize(("ours", "theirs"), [
    (nn.Dense, torch.nn.Linear),
    (lambda i, o: nn.Conv1d(i, o, 5), lambda i, o: torch.nn.Conv1d(i, o, 5)),
    (lambda i, o: nn.Conv2d(i, o, (3, 5), groups=2), lambda i, o: torch.nn.Conv2d(i, o, (3, 5), groups=2)),
    (lambda i, o: nn.ConvTranspose2d(i, o, 3, groups=2), lambda i, o: torch.nn.ConvTranspose2d(i, o, 3, groups=2)),
    (nn.Embedding, torch.nn.Embedding),
])
def test_the_starting_weights_have_the_same_distribution(ours: Callable[..., Any], theirs: Callable[..., Any]) -> None:
    """Kolmogorov and Smirnov's distance of two samples, at a level of 1e-6; biases pooled from many layers."""
    torch.manual_seed(0)
    random.manual_seed(0)
    for name in ("weight", "bias"):
        a = np.concatenate([getattr(ours(20, 60), name).array.ravel() for _ in range(20)]) \
            if hasattr(ours(20, 60), name) else np.zeros(1)
        b = np.concatenate([getattr(theirs(20, 60), name).detach().numpy().ravel() for _ in range(20)]) \
            if hasattr(theirs(20, 60), name) else np.zeros(1)
        points = np.sort(np.concatenate([a, b]))
        distance = np.abs(np.searchsorted(np.sort(a), points, "right") / a.size
                          - np.searchsorted(np.sort(b), points, "right") / b.size).max()
        assert distance < np.sqrt(np.log(2e6) / 2 * (1 / a.size + 1 / b.size))


def test_a_network_trains_as_its_twin() -> None:
    """Five Adam steps on a small CNN, in float64: every loss to 1e-10, every parameter and statistic to 1e-9."""
    generator = Generator(3)
    ours = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2, padding=1, generator=generator), nn.BatchNorm(4),
                         nn.LeakyReLU(0.2), nn.Flatten(), nn.Dense(64, 3, generator=generator)).to(dtype="float64")
    theirs = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3, stride=2, padding=1), torch.nn.BatchNorm2d(4),
                                 torch.nn.LeakyReLU(0.2), torch.nn.Flatten(), torch.nn.Linear(64, 3)).double()
    state, spread = ours.state_dict(), (2, 0, 1)  # rows of the dense layer: (H, W, C) -> (C, H, W)

    def to_torch(state: dict[str, Any]) -> dict[str, Any]:
        rows = state["4.weight"].reshape(4, 4, 4, 3).transpose(*spread, 3).reshape(64, 3)
        return {"0.weight": state["0.weight"].transpose(3, 2, 0, 1), "0.bias": state["0.bias"],
                "1.weight": state["1.gamma"], "1.bias": state["1.beta"], "1.running_mean": state["1.running_mean"],
                "1.running_var": state["1.running_var"], "4.weight": rows.T, "4.bias": state["4.bias"]}

    theirs.load_state_dict({name: torch.from_numpy(a.copy()) for name, a in to_torch(state).items()}, strict=False)
    own = optim.Adam(ours.parameters(), 1e-2, beta1=0.5)
    other = torch.optim.Adam(theirs.parameters(), 1e-2, (0.5, 0.999))
    for i in range(5):
        x = np.random.default_rng(i).normal(size=(6, 8, 8, 1))
        loss = (ours(ta.tensor(x)) ** 2).mean()
        own.zero_grad()
        loss.backward()
        own.step()
        their_loss = (theirs(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())) ** 2).mean()
        other.zero_grad()
        their_loss.backward()
        other.step()
        assert abs(loss.item() - their_loss.item()) < 1e-10
    after = to_torch(ours.state_dict())
    for name, tensor in theirs.state_dict().items():
        if name in after:
            assert np.allclose(after[name], tensor.numpy(), rtol=0, atol=1e-9), name
