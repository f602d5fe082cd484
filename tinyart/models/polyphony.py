"""A model of polyphonic music on K keys, 88 those of a piano (Boulanger-Lewandowski, Bengio & Vincent 2012).

    p(v_1 .. v_T) = Π_t p(v_t | v_1 .. v_{t-1})      v_t: which keys sound at step t
    p(v_t | ..) = Π_k p_k^v_k (1 - p_k)^(1 - v_k)    p = σ(y_t), y_t from h_t, which has read v_{t-1}: `step_nats`

The keys of a step are independent, given the past. Figures are nats a step: sums over keys, means over all steps of
all pieces, the first included, before which there is silence.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyart import ops
from tinyart.backend import as_array
from tinyart.errors import ArgumentError, ShapeError
from tinyart.graph import grad, no_grad
from tinyart.models.rnn import RecurrentNetwork
from tinyart.optim import Adam, clip_grad_norm
from tinyart.random import Generator
from tinyart.tensor import Tensor

Array = np.ndarray[Any, Any]


def padded(pieces: Sequence[Array]) -> tuple[Array, Array]:
    """Pieces (T, K) of several lengths as what `Batches` takes: uint8 (N, longest, K), int64 lengths (N,)."""
    if not pieces:
        raise ArgumentError("padded", "pieces", "at least one piano roll (T, K)", "none")
    lengths = np.array([len(piece) for piece in pieces])
    rolls = np.zeros((len(pieces), lengths.max(), pieces[0].shape[1]), np.uint8)
    for roll, piece in zip(rolls, pieces, strict=True):
        roll[: len(piece)] = piece
    return rolls, lengths


def note_frequencies(pieces: Sequence[Array]) -> Array:
    """The note 1-gram: how often each key sounds, (c + ½)/(n + 1) for c of n steps: (K,)"""
    steps = np.concatenate(pieces)
    return np.asarray((steps.sum(0) + 0.5) / (len(steps) + 1))


def frequency_nats(pieces: Sequence[Array], p: Array) -> float:
    """The mean of -Σ_k log p(v_k) over all steps, for keys that sound with the fixed probabilities p (K,)."""
    steps = np.concatenate(pieces)
    return float(-np.where(steps, np.log(p), np.log1p(-p)).sum(1).mean())


def step_nats(logits: Tensor, v: Tensor) -> Tensor:
    """-log p(v_t | ..) = -Σ_k v_k log p_k + (1 - v_k) log(1 - p_k), p = σ(logits): (T, N, K) each -> (T, N)"""
    return ops.bce_with_logits(logits, v, reduction="none").sum(-1)


class PolyphonicModel(RecurrentNetwork):
    """The steps before -> logits of the keys: v (T, N, K) -> (T, N, K), where those of step t have not seen v_t."""

    def __init__(self, keys: int = 88, hidden: int = 100, *, cell: str = "gru", layers: int = 1, dropout: float = 0.0,
                 generator: Generator | None = None) -> None:
        self.keys = keys
        super().__init__(keys, hidden, keys, cell=cell, layers=layers, dropout=dropout, generator=generator)

    def forward(self, v: Any, state: Any = None, *, lengths: Any = None) -> tuple[Tensor, Any]:
        """The logits of all steps from silence, v_0 = 0, and the state that has read all but the last."""
        before = ops.pad(v[:-1], [(1, 0), (0, 0), (0, 0)])
        return super().forward(before, state, lengths=lengths)

    def keys_of(self, rolls: Array) -> Tensor:
        """Rolls (N, T, K) of 0 and 1 as what the network takes: (T, N, K) on the weights' device."""
        if rolls.ndim != 3 or rolls.shape[2] != self.keys:
            raise ShapeError("PolyphonicModel", "rolls", f"(N, T, {self.keys})", f"{rolls.shape}",
                             fix="roll[None] for one piece")
        p = self.parameters()[0]
        return Tensor(as_array(np.ascontiguousarray(rolls.swapaxes(0, 1)).astype(p.dtype), device=p.device))

    @no_grad()
    def sample(self, prime: Array, n: int, *, temperature: float = 1.0, generator: Generator) -> Array:
        """`n` steps that go on from `prime` (T, K), which may have no steps: uint8 (n, K)

        Each key sounds with probability σ(y/τ); τ = 0 takes what is likelier than silence.
        """
        if not 0 <= temperature < np.inf:
            raise ArgumentError("sample", "temperature", "a number of at least 0", f"{temperature}")
        training = self.training
        self.eval()
        made = np.zeros((n, self.keys), np.uint8)
        read = np.concatenate([np.zeros((1, self.keys)), prime])[None]  # silence, then the prime
        state = None
        for step in made:
            logits, state = RecurrentNetwork.forward(self, self.keys_of(read), state)
            y = logits.numpy()[-1, 0].astype(np.float64)
            if temperature == 0:
                step[:] = y > 0
            else:
                with np.errstate(over="ignore"):
                    step[:] = generator.uniform(self.keys, "float64").numpy() < 1 / (1 + np.exp(-y / temperature))
            read = step[None, None]
        self.train(training)
        return made


class MusicTrainer:
    """A PolyphonicModel, Adam and the generator of weights and dropout: what `train.Run` trains, saves and resumes.

    A batch is of whole pieces, `padded`; the gradient's norm is clipped to `clip`. Raises ArgumentError for settings
    outside their range.
    """

    def __init__(self, *, keys: int = 88, hidden: int = 100, cell: str = "gru", layers: int = 1, dropout: float = 0.0,
                 lr: float = 1e-3, clip: float = 1.0, seed: int = 0) -> None:
        self.generator = Generator(seed)
        self.module = PolyphonicModel(keys, hidden, cell=cell, layers=layers, dropout=dropout,
                                      generator=self.generator)
        self.optimizer = Adam(self.module.parameters(), lr=lr)
        self.clip = clip

    def step(self, rolls: Array, lengths: Array) -> dict[str, float]:
        """One update on rolls (N, T, K) of which each has its length: the loss, nats a step."""
        loss = self._sum(rolls, lengths) * (1 / int(lengths.sum()))
        gradients = grad(loss, self.module.parameters())
        self.optimizer.step(clip_grad_norm(gradients, self.clip))
        return {"nats": loss.item()}

    @no_grad()
    def evaluate(self, rolls: Array, lengths: Array, batch: int = 50) -> float:
        """Nats a step, the mean over all steps of all pieces, without dropout."""
        self.module.eval()
        parts = range(0, len(rolls), batch)
        total = sum(self._sum(rolls[i : i + batch], lengths[i : i + batch]).item() for i in parts)
        self.module.train()
        return float(total / lengths.sum())

    def _sum(self, rolls: Array, lengths: Array) -> Tensor:
        """-log p of all pieces together."""
        longest = int(lengths.max())
        v = self.module.keys_of(rolls[:, :longest])
        inside = np.arange(longest)[:, None] < lengths  # (T, N)
        logits, _ = self.module(v, lengths=lengths)
        return ops.where(Tensor(as_array(inside, device=v.device)), step_nats(logits, v), 0.0).sum()

    def state(self) -> dict[str, Any]:
        """Everything that later steps depend on: nested dicts of arrays."""
        return {"module": self.module.state_dict(), "optimizer": self.optimizer.state_dict(),
                "generator": self.generator.state}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go back to what `state` gave."""
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.state = state["generator"]
