"""Recurrent layers over whole sequences, time-major: PyTorch's equations in the documents' letters.

    x (T, N, I): T steps of N sequences      W (I, G·H): input      R (H, G·H): recurrent      b: bias      h0 (N, H)

The kernels take one product for all inputs, one fused kernel a step, and one product for each weight's gradient.

`lengths`, N numbers from 0 to T, are those of shorter sequences: past its end a sequence keeps its state, and its
outputs are 0. `reverse` goes from a sequence's last step to its first. Both are what PyTorch's packed sequences do.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyart.backend import as_array, device_of, kernels_of, to_device
from tinyart.errors import ArgumentError, ShapeError
from tinyart.graph import Variable, apply
from tinyart.ops.activation import relu, sigmoid
from tinyart.ops.elementwise import tanh, where
from tinyart.ops.matmul import matmul
from tinyart.ops.op import Fused
from tinyart.ops.shape import split, stack

if TYPE_CHECKING:
    from tinyart.tensor import Tensor

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"tanh": tanh, "relu": relu}
Step = Callable[..., tuple[Any, ...]]


def _rnn(x: Any, W: Any, R: Any, b: Any, h0: Any, activation: str, **how: Any) -> Any:
    def step(z: Any, h: Any) -> tuple[Any]:
        return (ACTIVATIONS[activation](z + matmul(h, R)),)

    return stack([h for h, in _scan(step, matmul(x, W) + b, (h0,), **how)])


def _lstm(x: Any, W: Any, R: Any, b: Any, h0: Any, c0: Any, **how: Any) -> Any:
    def step(z: Any, h: Any, c: Any) -> tuple[Any, Any]:
        i, f, g, o = split(z + matmul(h, R), 4, 1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        return sigmoid(o) * tanh(c), c

    states = _scan(step, matmul(x, W) + b, (h0, c0), **how)
    return stack([h for h, _ in states]), states[0 if how["reverse"] else -1][1]


def _gru(x: Any, W: Any, R: Any, b: Any, h0: Any, **how: Any) -> Any:
    of_rzn, of_m = b[: W.shape[1]], b[W.shape[1] :]

    def step(z: Any, h: Any) -> tuple[Any]:
        (r, u, n), (Rr, Ru, m) = split(z, 3, 1), split(matmul(h, R), 3, 1)
        r, u = sigmoid(r + Rr), sigmoid(u + Ru)
        return ((1.0 - u) * tanh(n + r * (m + of_m)) + u * h,)

    return stack([h for h, in _scan(step, matmul(x, W) + of_rzn, (h0,), **how)])


def _scan(step: Step, z: Any, state: tuple[Any, ...], lengths: Any, reverse: bool) -> list[tuple[Any, ...]]:
    """The states, state ← step(z[t], *state), of each step t; a sequence that has ended keeps its state."""
    states, inside = [state] * len(z), None
    if lengths is not None:
        mask = np.arange(len(z))[:, None, None] < np.array(lengths)[:, None]  # (T, N, 1)
        inside = Variable.result(to_device(mask, device_of(z.array)))
    for t in reversed(range(len(z))) if reverse else range(len(z)):
        new = step(z[t], *state)
        state = new if inside is None else tuple(where(inside[t], a, b) for a, b in zip(new, state, strict=True))
        states[t] = state
    return states


_SETTINGS = "lengths reverse wanted"
_RNN = Fused("rnn", "x W R b h0", definition=_rnn, backward=f"x W R h0 y activation {_SETTINGS}")
_LSTM = Fused("lstm", "x W R b h0 c0", definition=_lstm, results="y last c gates", outputs=2,
              backward=f"x W R h0 c0 y c gates {_SETTINGS}")
_GRU = Fused("gru", "x W R b h0", definition=_gru, results="y gates", backward=f"x W R h0 y gates {_SETTINGS}")


def rnn(x: Any, W: Any, R: Any, b: Any = None, h0: Any = None, *, activation: str = "tanh", lengths: Any = None,
        reverse: bool = False) -> "tuple[Tensor, Tensor]":
    """h_t = f(x_t W + h_{t-1} R + b), f "tanh" or "relu". Elman 1990; documents 1 and 3.

    x (T, N, I), W (I, H), R (H, H), b (H,), h0 (N, H), both 0 if None -> all h_t (T, N, H) and the last (N, H).
    Saved for backward: x and the result, from which f' follows.

    Errors: `ShapeError` for shapes, no steps, and lengths outside 0 to T; `ArgumentError` for another activation.
    """
    if activation not in ACTIVATIONS:
        raise ArgumentError("rnn", "activation", "'tanh' or 'relu'", repr(activation))
    b, (h0,), lengths = _checked("rnn", 1, x, W, R, b, {"h0": h0}, lengths)
    y: Tensor = apply(_RNN, x, W, R, b, h0, activation=activation, lengths=lengths, reverse=bool(reverse))
    return _without_tails(y, lengths), y[0 if reverse else -1]


def lstm(x: Any, W: Any, R: Any, b: Any = None, h0: Any = None, c0: Any = None, *, lengths: Any = None,
         reverse: bool = False) -> "tuple[Tensor, tuple[Tensor, Tensor]]":
    """c_t = f c_{t-1} + i g, h_t = o tanh(c_t) with the gates i, f, o = σ(x_t W + h_{t-1} R + b), g = tanh(..).

    x (T, N, I), W (I, 4H), R (H, 4H), b (4H,), columns i, f, g, o; h0 and c0 (N, H); b, h0, c0 are 0 if None
    -> all h_t (T, N, H), and the last h and c, (N, H) each. Hochreiter & Schmidhuber 1997, with the forget gate of
    Gers, Schmidhuber & Cummins 2000. Saved for backward: x, h_t, c_t and the gates, 6H numbers a step.

    Errors: `ShapeError` for shapes, no steps, and lengths outside 0 to T.
    """
    b, (h0, c0), lengths = _checked("lstm", 4, x, W, R, b, {"h0": h0, "c0": c0}, lengths)
    y, c = apply(_LSTM, x, W, R, b, h0, c0, lengths=lengths, reverse=bool(reverse))
    return _without_tails(y, lengths), (y[0 if reverse else -1], c)


def gru(x: Any, W: Any, R: Any, b: Any = None, h0: Any = None, *, lengths: Any = None,
        reverse: bool = False) -> "tuple[Tensor, Tensor]":
    """h_t = (1 - z) n + z h_{t-1}    r, z = σ(x_t W + h_{t-1} R + b)    n = tanh(x_t W + b + r (h_{t-1} R + b'))

    x (T, N, I), W (I, 3H) and R (H, 3H), columns r, z, n; b (4H,), those of r, z, n and b'; h0 (N, H); b and h0 are 0
    if None -> all h_t (T, N, H) and the last (N, H). Cho et al. 2014, with r after the product, as PyTorch, cuDNN and
    Keras have it: the recurrent product is then one. Saved for backward: x, h_t and r, z, n, h R + b', 5H numbers.

    Errors: `ShapeError` for shapes, no steps, and lengths outside 0 to T.
    """
    b, (h0,), lengths = _checked("gru", 3, x, W, R, b, {"h0": h0}, lengths)
    y: Tensor = apply(_GRU, x, W, R, b, h0, lengths=lengths, reverse=bool(reverse))
    return _without_tails(y, lengths), y[0 if reverse else -1]


def _checked(name: str, gates: int, x: Any, W: Any, R: Any, b: Any, states: dict[str, Any],
             lengths: Any) -> tuple[Any, list[Any], tuple[int, ...] | None]:
    """b, the states and the lengths as the kernels take them, once all shapes have proved to fit."""
    if len(x.shape) != 3 or not x.shape[0]:
        raise ShapeError(name, "x", "(T, N, I): at least one step, the batch, features", f"{x.shape}",
                         fix="x[:, None] for one sequence (T, I); swapaxes(x, 0, 1) for (N, T, I)")
    steps, batch, features = x.shape
    size = R.shape[0]
    if W.shape != (features, gates * size) or R.shape != (size, gates * size):
        raise ShapeError(name, "W, R", f"(I, {gates}H) and (H, {gates}H) with I = {features}, the features of x",
                         f"{W.shape} and {R.shape}", fix="weights are (inputs, outputs): PyTorch's transposed")
    width = 4 * size if gates > 1 else size  # the GRU's b has one row of gates more than W
    if b is not None and b.shape != (width,):
        raise ShapeError(name, "b", f"({width},)", f"{b.shape}")
    for argument, state in states.items():
        if state is not None and state.shape != (batch, size):
            raise ShapeError(name, argument, f"(N, H) = ({batch}, {size})", f"{state.shape}")
    array = getattr(x, "array", x)

    def zeros(*shape: int) -> Any:
        return Variable.result(kernels_of(array).full(array, value=0, shape=shape))

    return (zeros(width) if b is None else b,
            [zeros(batch, size) if state is None else state for state in states.values()],
            _checked_lengths(name, lengths, steps, batch))


def _checked_lengths(name: str, lengths: Any, steps: int, batch: int) -> tuple[int, ...] | None:
    if lengths is None:
        return None
    array = to_device(as_array(getattr(lengths, "array", lengths)), "cpu")
    within = array.dtype.kind in "iu" and ((array >= 0) & (array <= steps)).all()
    if array.shape != (batch,) or (batch and not within):  # of no sequences, [] has no integers
        raise ShapeError(name, "lengths", f"{batch} integers from 0 to {steps}, the steps of x",
                         f"{array.tolist()}", fix="pad the sequences to one length, and give their own")
    return None if (array == steps).all() else tuple(array.tolist())


def _without_tails(y: "Tensor", lengths: tuple[int, ...] | None) -> "Tensor":
    """y with 0 past the end of each sequence."""
    if lengths is None:
        return y
    inside = np.arange(y.shape[0])[:, None, None] < np.array(lengths)[:, None]
    return where(Variable.result(to_device(inside, y.device)), y, 0.0)
