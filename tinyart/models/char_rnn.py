"""A model of text, character by character: two layers of 128 LSTM units, the defaults of char-rnn (Karpathy 2015).

    p(c_1 .. c_T) = Π_t p(c_t | c_1 .. c_{t-1})      p(c_t | ..) = softmax(y_{t-1})
    loss = -1/T Σ_t log p(c_t | ..)                  `ops.cross_entropy`, in nats a character

The text is cut into `batch` stretches that are read side by side, some `steps` characters at a time: the state goes
on from one batch to the next, its gradient does not (truncated backpropagation through time).
"""

from typing import Any

import numpy as np

from tinyart import nn, ops
from tinyart.backend import as_array
from tinyart.data.text import encode
from tinyart.errors import ArgumentError
from tinyart.graph import grad, no_grad
from tinyart.models.rnn import RecurrentNetwork, one_hot
from tinyart.models.sampling import pick
from tinyart.optim import RMSprop, clip_grad_value
from tinyart.random import Generator
from tinyart.tensor import Tensor

Array = np.ndarray[Any, Any]

SPREAD = 0.08  # weights start from U(-SPREAD, SPREAD), as char-rnn's
FORGET_BIAS = 1.0


def stretches(codes: Array, batch: int, steps: int) -> tuple[Array, Array]:
    """Inputs and targets, the next characters, (batches·batch, steps) each, for `Batches(.., batch, shuffle=False)`.

    The text is cut into `batch` equal parts, what is over is left out; batch k has characters k·steps.. of each part.
    """
    batches = (len(codes) - 1) // (batch * steps)
    if not batches:
        raise ArgumentError("stretches", "codes", f"more than batch·steps = {batch * steps} characters",
                            f"{len(codes)}", fix="a longer text, a smaller batch or fewer steps")
    used = batches * batch * steps

    def cut(part: Array) -> Array:
        return part.reshape(batch, batches, steps).swapaxes(0, 1).reshape(-1, steps)

    return cut(codes[:used]), cut(codes[1 : used + 1])


class CharModel(RecurrentNetwork):
    """The characters before -> logits of the next: one-hot (T, N, V) -> (T, N, V), V the number of `symbols`."""

    def __init__(self, symbols: str, *, hidden: int = 128, layers: int = 2, cell: str = "lstm", dropout: float = 0.0,
                 generator: Generator | None = None) -> None:
        if not symbols or len(set(symbols)) < len(symbols):
            raise ArgumentError("CharModel", "symbols", "different characters, at least one", repr(symbols[:40]),
                                fix="tinyart.data.symbols(text)")
        self.symbols, self.hidden = symbols, hidden
        super().__init__(len(symbols), hidden, len(symbols), cell=cell, layers=layers, dropout=dropout,
                         generator=generator)
        for name, p in self.named_parameters():
            nn.init.uniform_(p, -SPREAD, SPREAD, generator=generator)
            if cell == "lstm" and name.endswith(".b"):
                with no_grad():
                    p[hidden : 2 * hidden] = FORGET_BIAS

    def one_hot(self, codes: Array) -> Tensor:
        """Indices of characters (N, T) -> (T, N, V)"""
        return one_hot(codes.T, len(self.symbols), self.parameters()[0])

    @no_grad()
    def sample(self, prime: str, n: int, *, temperature: float = 1.0, top_k: int | None = None,
               top_p: float | None = None, generator: Generator) -> str:
        """`n` characters that go on from `prime`, which may be empty: then from a random first one.

        Errors: `ArgumentError` for a character that the model does not know, and for settings out of range.
        """
        training = self.training
        self.eval()
        try:
            state, made = None, []
            first = encode(prime, self.symbols) if prime else generator.randint(0, len(self.symbols), 1).numpy()
            logits, state = self(self.one_hot(first[None]), state)
            if not prime and n:
                made.append(int(first[0]))
            while len(made) < n:
                made.append(int(pick(logits.numpy()[-1], generator, temperature=temperature, k=top_k, mass=top_p)[0]))
                logits, state = self(self.one_hot(np.array([[made[-1]]])), state)
            return "".join(self.symbols[i] for i in made)
        finally:
            self.train(training)


class CharTrainer:
    """A CharModel, RMSprop, the state that the text has come to, and the generator of weights and dropout.

    `step` takes the batches of `stretches` in their order. Each gradient is clipped to ±`clip`. What `train.Run`
    trains, saves and resumes. Raises ArgumentError for settings outside their range.
    """

    def __init__(self, *, symbols: str, hidden: int = 128, layers: int = 2, cell: str = "lstm", dropout: float = 0.0,
                 batch: int = 50, lr: float = 2e-3, clip: float = 5.0, seed: int = 0) -> None:
        if batch < 1:
            raise ArgumentError("CharTrainer", "batch", "at least 1", f"{batch}")
        self.generator = Generator(seed)
        self.module = CharModel(symbols, hidden=hidden, layers=layers, cell=cell, dropout=dropout,
                                generator=self.generator)
        self.optimizer = RMSprop(self.module.parameters(), lr=lr, alpha=0.95)
        self.clip, self.carried = clip, self._start(batch)

    def step(self, x: Array, y: Array) -> dict[str, float]:
        """One update on characters x and the next ones y, int64 (N, T); their mean loss in nats a character."""
        loss, end = self._loss(x, y, self.carried)
        self.carried = [part.detach() for part in end]
        self.optimizer.step(clip_grad_value(grad(loss, self.module.parameters()), self.clip))
        return {"nats": loss.item()}

    @no_grad()
    def evaluate(self, x: Array, y: Array, batch: int = 50) -> float:
        """The mean loss of `stretches` of another text, made with `batch`, in nats a character, without dropout."""
        state, losses = self._start(batch), []
        self.module.eval()
        for i in range(0, len(x), batch):
            loss, state = self._loss(x[i : i + batch], y[i : i + batch], state)
            losses.append(loss.item())
        self.module.train()
        return float(np.mean(losses))

    def _loss(self, x: Array, y: Array, carried: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        state = tuple(carried) if len(carried) > 1 else carried[0]
        logits, end = self.module(self.module.one_hot(x), state)  # (T, N, V)
        return ops.cross_entropy(logits, y.T), list(end if isinstance(end, tuple) else (end,))

    def _start(self, batch: int) -> list[Tensor]:
        """h, and of an LSTM c too: (layers, N, H) each, 0"""
        p, cells = self.module.parameters()[0], self.module.recurrent
        shape = (cells.layers, batch, cells.hidden)
        zeros = [Tensor(as_array(np.zeros(shape, p.dtype), device=p.device)) for _ in range(2)]
        return zeros[: 2 if isinstance(cells, nn.LSTM) else 1]

    def state(self) -> dict[str, Any]:
        """Everything that later steps depend on: nested dicts of arrays."""
        return {"module": self.module.state_dict(), "optimizer": self.optimizer.state_dict(),
                "generator": self.generator.state,
                "carried": {str(i): part.numpy().copy() for i, part in enumerate(self.carried)}}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go back to what `state` gave."""
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.state = state["generator"]
        self.carried = [Tensor(as_array(part, device=part_now.device))
                        for part, part_now in zip(state["carried"].values(), self.carried, strict=True)]
