"""The recurrent network of documents 1 and 3, an equation a function, and the cells that may take its place.

    h_t = f(W x_t + R h_{t-1} + b)      `hidden_state`
    y_t = W₂ h_t + b₂                   `output`

The documents' vectors are columns; here N of them are the rows of a matrix, and weights are (inputs, outputs).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinyart import nn
from tinyart.backend import as_array
from tinyart.errors import ArgumentError
from tinyart.random import Generator
from tinyart.tensor import Tensor

CELLS: dict[str, Callable[..., nn.RNN | nn.LSTM | nn.GRU]] = {
    "tanh": nn.RNN, "relu": lambda *sizes, **settings: nn.RNN(*sizes, activation="relu", **settings),
    "lstm": nn.LSTM, "gru": nn.GRU,
}  # fmt: skip


def hidden_state(x: Tensor, h: Tensor, W: Tensor, R: Tensor, b: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
    """h_t = f(W x_t + R h_{t-1} + b): x (N, I), h (N, H), W (I, H), R (H, H), b (H,) -> (N, H)"""
    return f(x @ W + h @ R + b)


def output(h: Tensor, W2: Tensor, b2: Tensor) -> Tensor:
    """y_t = W₂ h_t + b₂: (N, H), (H, O), (O,) -> (N, O)"""
    return h @ W2 + b2


class RecurrentNetwork(nn.Module):
    """x (T, N, I) -> y (T, N, O) by `cell`, "tanh" and "relu" being the documents' f, and a dense layer, W₂ and b₂."""

    def __init__(self, inputs: int, hidden: int, outputs: int, *, cell: str = "tanh", layers: int = 1,
                 dropout: float = 0.0, generator: Generator | None = None) -> None:
        if cell not in CELLS:
            raise ArgumentError("RecurrentNetwork", "cell", f"one of {', '.join(CELLS)}", repr(cell))
        self.recurrent = CELLS[cell](inputs, hidden, layers=layers, dropout=dropout, generator=generator)
        self.output = nn.Dense(hidden, outputs, generator=generator)

    def forward(self, x: Any, state: Any = None, *, lengths: Any = None) -> tuple[Tensor, Any]:
        """All y_t from `state` (None: 0), and the last state."""
        h, state = self.recurrent(x, state, lengths=lengths)
        return self.output(h), state


def one_hot(indices: Any, count: int, like: Tensor) -> Tensor:
    """1 at each index, 0 elsewhere: integers (..) -> (.., count), of the dtype and on the device of `like`."""
    return Tensor(as_array(np.eye(count, dtype=like.dtype)[np.asarray(indices)], device=like.device))

