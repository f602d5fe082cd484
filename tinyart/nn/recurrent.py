"""Recurrent layers, whose formulas are at `ops.rnn`, `ops.lstm` and `ops.gru`, and their cells, which do one step.

A cell is one direction of one layer: W (I, G·H), R (H, G·H) and b, which start from U(-1/√H, 1/√H), as PyTorch's do.
(PyTorch has two biases, of x and of h. Only their sum matters, but for the GRU's n; b is that sum.)

State names: "0.W", "0.R", "0.b", with `bidirectional` "0_reverse.W", .., then "1.W", .. of the second layer.
"""

import math
from typing import Any

import numpy as np

from tinyart import ops
from tinyart.errors import ArgumentError, ShapeError
from tinyart.nn import init
from tinyart.nn.layers import _count, _within
from tinyart.nn.module import Module, Parameter
from tinyart.ops.recurrent import ACTIVATIONS
from tinyart.random import Generator, default_generator


class _Cell(Module):
    """W, R and b of `gates` blocks of columns; the GRU's b has one block more."""

    gates = 1

    def __init__(self, inputs: int, hidden: int, *, bias: bool = True, generator: Generator | None = None) -> None:
        name = type(self).__name__
        _count(name, "inputs", inputs)
        columns, bound = self.gates * _count(name, "hidden", hidden), 1 / math.sqrt(hidden)

        def uniform(*shape: int) -> Parameter:
            return init.uniform_(Parameter(np.zeros(shape, np.float32)), -bound, bound, generator=generator)

        self.W, self.R = uniform(inputs, columns), uniform(hidden, columns)
        self.b = uniform(4 * hidden if self.gates > 1 else hidden) if bias else None

    def scan(self, x: Any, state: Any, **how: Any) -> Any:
        """The operation on a whole sequence: all outputs (T, N, H), and the last state."""
        raise NotImplementedError

    def forward(self, x: Any, state: Any = None) -> Any:
        """One step, x (N, I): the next state, of which h is the output. The first state is 0 if None."""
        if len(x.shape) != 2:
            raise ShapeError(type(self).__name__, "x", "(N, I), one step of the batch", f"{x.shape}",
                             fix="nn.RNN, nn.LSTM and nn.GRU take whole sequences (T, N, I)")
        return self.scan(ops.expand_dims(x, 0), state)[1]


class RNNCell(_Cell):
    """h ← f(x W + h R + b), f "tanh" or "relu": x (N, I), h (N, H) -> (N, H)."""

    def __init__(self, inputs: int, hidden: int, *, activation: str = "tanh", bias: bool = True,
                 generator: Generator | None = None) -> None:
        super().__init__(inputs, hidden, bias=bias, generator=generator)
        if activation not in ACTIVATIONS:
            raise ArgumentError("RNNCell", "activation", "'tanh' or 'relu'", repr(activation))
        self.activation = activation

    def scan(self, x: Any, state: Any, **how: Any) -> Any:
        return ops.rnn(x, self.W, self.R, self.b, state, activation=self.activation, **how)


class LSTMCell(_Cell):
    """(h, c) ← the step of `ops.lstm`: x (N, I), h and c (N, H) -> (h, c)."""

    gates = 4

    def scan(self, x: Any, state: Any, **how: Any) -> Any:
        return ops.lstm(x, self.W, self.R, self.b, *(state or (None, None)), **how)


class GRUCell(_Cell):
    """h ← the step of `ops.gru`: x (N, I), h (N, H) -> (N, H)."""

    gates = 3

    def scan(self, x: Any, state: Any, **how: Any) -> Any:
        return ops.gru(x, self.W, self.R, self.b, state, **how)


class _Recurrent(Module):
    """`layers` of cells one above another, in two directions if `bidirectional`, with dropout of the outputs between.

    x (T, N, I) -> y (T, N, D·H), D directions side by side, and the last states (layers·D, N, H), as in PyTorch:
    layer by layer, forward before backward. States given or returned by an LSTM are pairs (h, c) of these.
    """

    cell: type[_Cell]

    def __init__(self, inputs: int, hidden: int, *, layers: int = 1, bidirectional: bool = False,
                 dropout: float = 0.0, bias: bool = True, generator: Generator | None = None, **cell: Any) -> None:
        name = type(self).__name__
        self.layers, self.directions = _count(name, "layers", layers), 2 if bidirectional else 1
        self.hidden, self.dropout, self.generator = hidden, _within(name, "dropout", dropout, 0, 1), generator
        for layer in range(layers):
            width = _count(name, "hidden", hidden) * self.directions if layer else inputs
            for direction in ("", "_reverse")[: self.directions]:
                setattr(self, f"{layer}{direction}", self.cell(width, hidden, bias=bias, generator=generator, **cell))

    def forward(self, x: Any, state: Any = None, *, lengths: Any = None) -> Any:
        """All outputs and the last states, from `state` or 0. `lengths`: see `tinyart.ops.recurrent`."""
        starts = self._parts(state, x)
        ends: list[Any] = []
        for layer in range(self.layers):
            if layer and self.training and self.dropout:
                x = ops.dropout(x, self.dropout, self.generator or default_generator())
            outputs = []
            for reverse in (False, True)[: self.directions]:
                cell = getattr(self, f"{layer}{'_reverse' if reverse else ''}")
                y, end = cell.scan(x, starts[len(ends)], lengths=lengths, reverse=reverse)
                outputs.append(y)
                ends.append(end)
            x = outputs[0] if self.directions == 1 else ops.concatenate(outputs, 2)
        return x, self._whole(ends)

    def _parts(self, state: Any, x: Any) -> list[Any]:
        """The state of each cell, out of those of all."""
        count = self.layers * self.directions
        if state is None:
            return [None] * count
        expected = (count, x.shape[1], self.hidden)
        if getattr(state, "shape", None) != expected:
            raise ShapeError(type(self).__name__, "state", f"(layers·directions, N, H) = {expected}",
                             str(getattr(state, "shape", type(state).__name__)))
        return [state[i] for i in range(count)]

    def _whole(self, ends: list[Any]) -> Any:
        return ops.stack(ends)


class RNN(_Recurrent):
    """`ops.rnn`: h_t = f(x_t W + h_{t-1} R + b), f the `activation`, "tanh" or "relu"."""

    cell = RNNCell

    def __init__(self, inputs: int, hidden: int, *, activation: str = "tanh", layers: int = 1,
                 bidirectional: bool = False, dropout: float = 0.0, bias: bool = True,
                 generator: Generator | None = None) -> None:
        super().__init__(inputs, hidden, layers=layers, bidirectional=bidirectional, dropout=dropout, bias=bias,
                         generator=generator, activation=activation)


class LSTM(_Recurrent):
    """`ops.lstm`; the state is a pair (h, c)."""

    cell = LSTMCell

    def _parts(self, state: Any, x: Any) -> list[Any]:
        if state is None:
            return super()._parts(None, x)
        if not isinstance(state, tuple | list) or len(state) != 2:
            raise ShapeError("LSTM", "state", "a pair (h, c)", type(state).__name__)
        hs, cs = (super(LSTM, self)._parts(part, x) for part in state)
        return list(zip(hs, cs, strict=True))

    def _whole(self, ends: list[Any]) -> Any:
        return tuple(ops.stack(part) for part in zip(*ends, strict=True))


class GRU(_Recurrent):
    """`ops.gru`"""

    cell = GRUCell


def detached(state: Any) -> Any:
    """The same numbers as constants: carried into the next stretch of a text they end its backpropagation there.

    Truncated backpropagation through time (Williams & Peng 1990). `state` is a tensor, a tuple of them, or None.
    """
    return tuple(map(detached, state)) if isinstance(state, tuple | list) else None if state is None else state.detach()
