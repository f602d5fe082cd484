"""Recurrent layers and cells: against PyTorch in float64, step against sequence, lengths, states, and errors."""

from typing import Any

import numpy as np
import pytest

import tinyart as ta
from tinyart import nn, random
from tinyart.errors import ArgumentError, FormatError, ShapeError
from tinyart.io import convert_weights, recurrent_to_pytorch
from tinyart.random import Generator

KINDS = ("RNN", "LSTM", "GRU")
T, N, F, H = 5, 4, 3, 6
LENGTHS = [5, 2, 0, 3]


def normal(*shape: int, seed: int = 7) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


def layer(kind: str, seed: int = 1, **settings: Any) -> nn.Module:
    return getattr(nn, kind)(F, H, generator=Generator(seed), **settings).to(dtype="float64")


def tensors(state: Any) -> tuple[Any, ...]:
    return tuple(state) if isinstance(state, tuple) else (state,)


# ---- PyTorch

TWINS = [(kind, settings) for kind in KINDS for settings in (
    {}, {"bias": False}, {"layers": 2}, {"bidirectional": True}, {"layers": 2, "bidirectional": True})]
TWINS += [("RNN", {"activation": "relu", "layers": 2, "bidirectional": True})]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize(("kind", "settings"), TWINS, ids=str)
def test_outputs_and_gradients_are_pytorchs(kind: str, settings: dict[str, Any], started: bool, packed: bool) -> None:
    """All outputs, the last states, and the gradients of inputs, first states and weights, to rounding."""
    torch = pytest.importorskip("torch")
    names = {"layers": "num_layers", "activation": "nonlinearity"}
    theirs = getattr(torch.nn, kind)(F, H, **{names.get(k, k): v for k, v in settings.items()}).double()
    state = {name: p.detach().numpy() for name, p in theirs.named_parameters()}
    ours = layer(kind, **settings)
    ours.load_state_dict(convert_weights(state, {k: v.shape for k, v in ours.state_dict().items()}, source="pytorch"))

    lengths = [5, 2, 1, 3] if packed else None  # PyTorch packs no empty sequence
    cells = settings.get("layers", 1) * (2 if settings.get("bidirectional") else 1)
    starts = [normal(cells, N, H, seed=s) for s in range(2 if kind == "LSTM" else 1)] if started else []
    xs = [normal(T, N, F), *starts]
    own_xs, their_xs = [ta.tensor(x, requires_grad=True) for x in xs], [torch.tensor(x, requires_grad=True) for x in xs]

    def first(values: list[Any]) -> Any:
        return None if not started else tuple(values[1:]) if kind == "LSTM" else values[1]

    y, end = ours(own_xs[0], first(own_xs), lengths=lengths)
    if packed:
        data = torch.nn.utils.rnn.pack_padded_sequence(their_xs[0], torch.tensor(lengths), enforce_sorted=False)
        their_y, their_end = theirs(data, first(their_xs))
        their_y = torch.nn.utils.rnn.pad_packed_sequence(their_y, total_length=T)[0]
    else:
        their_y, their_end = theirs(their_xs[0], first(their_xs))
    made, their_made = [y, *tensors(end)], [their_y, *tensors(their_end)]
    vs = [normal(*m.shape, seed=9 + i) for i, m in enumerate(made)]
    for a, b in zip(made, their_made, strict=True):
        np.testing.assert_allclose(a.array, b.detach().numpy(), rtol=0, atol=1e-14)

    wanted = [*own_xs, *ours.parameters()]
    found = ta.grad(sum((m * v).sum() for m, v in zip(made, vs, strict=True)), wanted)
    sum((m * torch.tensor(v)).sum() for m, v in zip(their_made, vs, strict=True)).backward()
    for g, x in zip(found, their_xs, strict=False):
        np.testing.assert_allclose(g.array, x.grad.numpy(), rtol=0, atol=1e-13)
    own = {name: g for (name, _), g in zip(ours.named_parameters(), found[len(xs) :], strict=True)}
    for name, g in own.items():
        prefix, parameter = name.split(".")
        kinds = {"W": ("weight_ih",), "R": ("weight_hh",), "b": ("bias_ih", "bias_hh")}[parameter]
        expected = [getattr(theirs, f"{k}_l{prefix}").grad.numpy().T for k in kinds]
        if kind == "GRU" and parameter == "b":
            np.testing.assert_allclose(g.array[3 * H :], expected[1][2 * H :], rtol=0, atol=1e-13)
            g, expected = g[: 3 * H], expected[:1]
        for e in expected:
            np.testing.assert_allclose(g.array, e, rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_cells_are_pytorchs(kind: str) -> None:
    torch = pytest.importorskip("torch")
    theirs, ours = getattr(torch.nn, kind + "Cell")(F, H).double(), getattr(nn, kind + "Cell")(F, H)
    ours.to(dtype="float64")
    state = {name: p.detach().numpy() for name, p in theirs.named_parameters()}
    ours.load_state_dict(convert_weights(state, {k: v.shape for k, v in ours.state_dict().items()}, source="pytorch"))
    state, their_state = None, None
    for t in range(3):
        x = normal(N, F, seed=t)
        state, their_state = ours(ta.tensor(x), state), theirs(torch.tensor(x), their_state)
        for a, b in zip(tensors(state), tensors(their_state), strict=True):
            np.testing.assert_allclose(a.array, b.detach().numpy(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", [*KINDS, "RNNCell", "LSTMCell", "GRUCell"])
def test_weights_go_to_pytorch_and_back(kind: str) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, kind)(F, H), getattr(torch.nn, kind)(F, H)
    exported = recurrent_to_pytorch(ours.state_dict())
    theirs.load_state_dict({name: torch.tensor(a) for name, a in exported.items()})
    shape = (N, F) if kind.endswith("Cell") else (T, N, F)
    x = normal(*shape).astype("float32")
    y, their_y = ours(ta.tensor(x)), theirs(torch.tensor(x))
    first = y if isinstance(y, ta.Tensor) else y[0]
    their_first = their_y if isinstance(their_y, torch.Tensor) else their_y[0]
    np.testing.assert_allclose(first.array, their_first.detach().numpy(), rtol=0, atol=1e-6)
    back = convert_weights(exported, {k: v.shape for k, v in ours.state_dict().items()}, source="pytorch")
    for name, array in ours.state_dict().items():
        assert np.array_equal(back[name], array), name


def test_a_whole_models_weights_convert_with_its_layers_renamed() -> None:
    torch = pytest.importorskip("torch")

    class Theirs(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.rnn = torch.nn.GRU(F, H, num_layers=2, bidirectional=True)
            self.head = torch.nn.Linear(2 * H, 3)

    class Ours(nn.Module):
        def __init__(self) -> None:
            self.body = nn.GRU(F, H, layers=2, bidirectional=True)
            self.out = nn.Dense(2 * H, 3)

    theirs, ours = Theirs(), Ours()
    state = {name: p.detach().numpy() for name, p in theirs.state_dict().items()}
    shapes = {name: a.shape for name, a in ours.state_dict().items()}
    ours.load_state_dict(convert_weights(state, shapes, source="pytorch", rename={"rnn": "body", "head": "out"}))
    x = normal(T, N, F).astype("float32")
    y = ours.out(ours.body(ta.tensor(x))[0])
    expected = theirs.head(theirs.rnn(torch.tensor(x))[0]).detach().numpy()
    np.testing.assert_allclose(y.array, expected, rtol=0, atol=1e-6)
    del state["rnn.bias_hh_l1_reverse"]
    with pytest.raises(FormatError, match=r"body\.1_reverse\.b \(24,\) is missing"):
        convert_weights(state, shapes, source="pytorch", rename={"rnn": "body", "head": "out"})
    with pytest.raises(FormatError, match=r"W, R and b of recurrent layers, got out\.weight"):
        recurrent_to_pytorch(ours.state_dict())


@pytest.mark.parametrize("kind", KINDS)
def test_weights_start_as_pytorchs(kind: str) -> None:
    """Uniform within 1/√H: Kolmogorov and Smirnov's distance from the exact distribution, at a level of 1e-6."""
    random.manual_seed(0)
    ours, bound = getattr(nn, kind)(20, 60), 1 / np.sqrt(60)
    for name, p in ours.named_parameters():
        values = np.sort(p.array.ravel())
        distance = np.abs((values + bound) / (2 * bound) - (np.arange(values.size) + 0.5) / values.size).max()
        assert distance < np.sqrt(np.log(2e6) / 2 / values.size) + 0.5 / values.size, name


# ---- steps, lengths, states


@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_goes_step_by_step_where_the_layer_goes_at_once(kind: str) -> None:
    ours = layer(kind)
    x = ta.tensor(normal(T, N, F))
    y, end = ours(x)
    state = None
    for t in range(T):
        state = getattr(ours, "0")(x[t], state)
        np.testing.assert_allclose(y.array[t], tensors(state)[0].array, rtol=0, atol=1e-15)
    for a, b in zip(tensors(end), tensors(state), strict=True):
        np.testing.assert_allclose(a.array[0], b.array, rtol=0, atol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_each_sequence_of_a_padded_batch_is_as_it_is_alone(kind: str) -> None:
    """Outputs, last states, gradients; the padding may hold anything, and an empty sequence is its first state."""
    ours = layer(kind, layers=2, bidirectional=True)
    x = normal(T, N, F)
    for n, length in enumerate(LENGTHS):
        x[length:, n] = 1e3
    given = ta.tensor(x, requires_grad=True)
    y, end = ours(given, lengths=LENGTHS)
    v = normal(*y.shape)
    g = ta.grad((y * v).sum() + sum((part * part).sum() for part in tensors(end)), given)
    for n, length in enumerate(LENGTHS):
        assert (y.array[length:, n] == 0).all()
        assert (g.array[length:, n] == 0).all()
        if not length:
            assert all((part.array[:, n] == 0).all() for part in tensors(end))
            continue
        alone = ta.tensor(x[:length, n : n + 1], requires_grad=True)
        z, last = ours(alone)
        np.testing.assert_allclose(y.array[:length, n], z.array[:, 0], rtol=0, atol=1e-14)
        for a, b in zip(tensors(end), tensors(last), strict=True):
            np.testing.assert_allclose(a.array[:, n], b.array[:, 0], rtol=0, atol=1e-14)
        h = ta.grad((z * v[:length, n : n + 1]).sum() + sum((part * part).sum() for part in tensors(last)), alone)
        np.testing.assert_allclose(g.array[:length, n], h.array[:, 0], rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_states_carry_a_text_on_and_detached_ones_end_its_gradient(kind: str) -> None:
    ours = layer(kind, layers=2)
    x = ta.tensor(normal(T, N, F), requires_grad=True)
    whole, end = ours(x)
    first, state = ours(x[:2])
    second, last = ours(x[2:], state)
    np.testing.assert_allclose(np.concatenate([first.array, second.array]), whole.array, rtol=0, atol=1e-15)
    for a, b in zip(tensors(end), tensors(last), strict=True):
        np.testing.assert_allclose(a.array, b.array, rtol=0, atol=1e-15)
    assert (ta.grad(second.sum(), x).array[:2] != 0).all()
    cut, _ = ours(x[2:], nn.detached(state))
    assert np.array_equal(cut.array, second.array)
    assert (ta.grad(cut.sum(), x).array[:2] == 0).all()
    assert nn.detached(None) is None


def test_dropout_is_between_layers_and_in_training_only() -> None:
    x = ta.tensor(normal(T, N, F))
    plain, dropped = layer("GRU", layers=2), layer("GRU", layers=2, dropout=0.5)
    assert not np.allclose(plain(x)[0].array, dropped(x)[0].array)
    assert np.array_equal(plain(x)[1].array[0], dropped(x)[1].array[0])  # the first layer reads x itself
    assert np.array_equal(plain.eval()(x)[0].array, dropped.eval()(x)[0].array)
    gone = layer("GRU", layers=2, dropout=1.0)
    top = getattr(gone, "1")
    expected = top.scan(ta.tensor(np.zeros((T, N, H))), None)[0]
    np.testing.assert_allclose(gone(x)[0].array, expected.array, rtol=0, atol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_state_names_and_repr(kind: str) -> None:
    ours = getattr(nn, kind)(F, H, layers=2, bidirectional=True)
    cells = ("0", "0_reverse", "1", "1_reverse")
    assert list(ours.state_dict()) == [f"{cell}.{p}" for cell in cells for p in "WRb"]
    assert repr(ours).startswith(f"{kind}({F}, {H}, layers=2, bidirectional=True):")
    assert ours.state_dict()["1.W"].shape[0] == 2 * H
    assert [name for name, _ in getattr(nn, kind)(F, H, bias=False).named_parameters()] == ["0.W", "0.R"]


# ---- errors


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: nn.RNN(0, 2), ArgumentError, "RNNCell: inputs: expected an integer of at least 1, got 0"),
    (lambda: nn.LSTM(2, 0), ArgumentError, "LSTMCell: hidden: expected an integer of at least 1, got 0"),
    (lambda: nn.GRU(2, 2, layers=0), ArgumentError, "GRU: layers: expected an integer of at least 1, got 0"),
    (lambda: nn.GRU(2, 2, dropout=2), ArgumentError, "GRU: dropout: expected a number from 0 to 1, got 2"),
    (lambda: nn.RNN(2, 2, activation="gelu"), ArgumentError, "RNNCell: activation: expected 'tanh' or 'relu'"),
    (lambda: nn.RNN(2, 3)(ta.tensor(np.zeros((4, 2), "f"))), ShapeError,
     r"rnn: x: expected \(T, N, I\).*Fix: x\[:, None\] for one sequence \(T, I\); swapaxes\(x, 0, 1\) for \(N, T, I\)"),
    (lambda: nn.RNN(2, 3)(ta.tensor(np.zeros((0, 1, 2), "f"))), ShapeError, "rnn: x: .*at least one step"),
    (lambda: nn.LSTM(2, 3)(ta.tensor(np.zeros((4, 1, 5), "f"))), ShapeError,
     r"lstm: W, R: expected \(I, 4H\) and \(H, 4H\) with I = 5, the features of x, got \(2, 12\) and \(3, 12\)"),
    (lambda: nn.GRU(2, 3)(ta.tensor(np.zeros((4, 1, 2), "f")), ta.tensor(np.zeros((1, 2, 3), "f"))), ShapeError,
     r"GRU: state: expected \(layers·directions, N, H\) = \(1, 1, 3\), got \(1, 2, 3\)"),
    (lambda: nn.LSTM(2, 3)(ta.tensor(np.zeros((4, 1, 2), "f")), ta.tensor(np.zeros((1, 1, 3), "f"))), ShapeError,
     r"LSTM: state: expected a pair \(h, c\), got Tensor"),
    (lambda: nn.GRUCell(2, 3)(ta.tensor(np.zeros((4, 1, 2), "f"))), ShapeError,
     r"GRUCell: x: expected \(N, I\), one step of the batch, got \(4, 1, 2\)\. Fix: nn\.RNN"),
    (lambda: nn.GRUCell(2, 3)(ta.tensor(np.zeros((4, 2), "f")), ta.tensor(np.zeros((3, 3), "f"))), ShapeError,
     r"gru: h0: expected \(N, H\) = \(4, 3\), got \(3, 3\)"),
    (lambda: nn.GRU(2, 3)(ta.tensor(np.zeros((4, 2, 2), "f")), lengths=[5, 1]), ShapeError,
     r"gru: lengths: expected 2 integers from 0 to 4, the steps of x, got \[5, 1\]\. Fix: pad the sequences"),
    (lambda: nn.GRU(2, 3)(ta.tensor(np.zeros((4, 2, 2), "f")), lengths=[1.0, 1.0]), ShapeError, "gru: lengths"),
    (lambda: nn.GRU(2, 3)(ta.tensor(np.zeros((4, 2, 2), "f")), lengths=[1]), ShapeError, "gru: lengths"),
    (lambda: ta.lstm(*(np.zeros(s) for s in ((2, 1, 2), (2, 12), (3, 12), (3,)))), ShapeError,
     r"lstm: b: expected \(12,\), got \(3,\)"),
    (lambda: ta.rnn(*(np.zeros(s) for s in ((2, 1, 2), (2, 3), (3, 3))), activation="elu"), ArgumentError,
     "rnn: activation: expected 'tanh' or 'relu', got 'elu'"),
])
def test_errors_name_what_is_wrong(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


# ---- the definition, which stands for the kernels under create_graph


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, tuple(LENGTHS)])
@pytest.mark.parametrize("kind", ["tanh", "relu", "lstm", "gru"])
def test_the_definition_is_what_the_kernels_compute(kind: str, lengths: Any, reverse: bool) -> None:
    """Values, and all gradients recorded and not."""
    gates, name = {"lstm": 4, "gru": 3}.get(kind, 1), kind if kind in ("lstm", "gru") else "rnn"
    how: dict[str, Any] = {"lengths": lengths, "reverse": reverse} | ({"activation": kind} if name == "rnn" else {})
    shapes = [(T, N, F), (F, gates * H), (H, gates * H), (H if gates == 1 else 4 * H,)] + [(N, H)] * (1 + (gates == 4))
    xs = [ta.tensor(normal(*s, seed=i), requires_grad=True) for i, s in enumerate(shapes)]
    y, end = getattr(ta, name)(*xs, **how)
    made = tensors(getattr(ta.ops.recurrent, f"_{name}")(*xs, **how))
    inside = np.ones((T, N), bool) if lengths is None else np.arange(T)[:, None] < np.array(lengths)
    np.testing.assert_allclose(y.array[inside], made[0].array[inside], rtol=0, atol=1e-14)
    np.testing.assert_allclose(tensors(end)[-1].array, (made[1] if gates == 4 else made[0][0 if reverse else -1]).array,
                               rtol=0, atol=1e-14)
    value = sum((m * normal(*m.shape, seed=i)).sum() for i, m in enumerate((y, *tensors(end))))
    plain, recorded = ta.grad(value, xs, retain_graph=True), ta.grad(value, xs, create_graph=True)
    for a, b in zip(plain, recorded, strict=True):
        np.testing.assert_allclose(a.array, b.array, rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_second_derivatives_are_those_of_pytorchs_cells_step_by_step(kind: str) -> None:
    """PyTorch's fused layers refuse them on most devices; its cells are plain operations."""
    torch = pytest.importorskip("torch")
    theirs, ours = getattr(torch.nn, kind + "Cell")(F, H).double(), layer(kind)
    exported = recurrent_to_pytorch(ours.state_dict())
    theirs.load_state_dict({name.removesuffix("_l0"): torch.tensor(a) for name, a in exported.items()})
    x, v = normal(T, N, F), normal(T, N, F, seed=8)
    own, other = ta.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, _ = ours(own)
    first = ta.grad((y**2).sum(), own, create_graph=True)
    second = ta.grad((first * v).sum(), [own, *ours.parameters()])
    state, outputs = None, []
    for t in range(T):
        state = theirs(other[t], state)
        outputs.append(tensors(state)[0])
    their_first = torch.autograd.grad((torch.stack(outputs) ** 2).sum(), other, create_graph=True)[0]
    wanted = [other, theirs.weight_ih, theirs.weight_hh, theirs.bias_ih]
    their_second = torch.autograd.grad((their_first * torch.tensor(v)).sum(), wanted)
    np.testing.assert_allclose(first.array, their_first.detach().numpy(), rtol=0, atol=1e-13)
    for a, b in zip(second, their_second, strict=True):
        b = b.numpy().T if b.ndim == 2 else b.numpy()
        np.testing.assert_allclose(a.array[: len(b)], b, rtol=0, atol=1e-12)
