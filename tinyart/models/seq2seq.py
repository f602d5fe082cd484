"""Sequence to sequence (document 4: machine translation), an equation a function. Time-major: S steps in, T steps out.

    e_tj = vᵀ tanh(W s_{t-1} + U h_j)      `additive_scores`, Bahdanau, Cho & Bengio 2015, section 3.1 and A.1.2
    e_tj = s_tᵀ W h_j                      `multiplicative_scores`, Luong, Pham & Manning 2015, equation 8, "general"
    a_tj = exp e_tj / Σ_k exp e_tk         `attention`: how much of h_j step t reads; the map of all a_tj is a picture
    c_t = Σ_j a_tj h_j                     `context`

h_1 .. h_S are the encoder's states, s_t the decoder's. Without attention, all that the decoder knows is h_S.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyart import nn, ops
from tinyart.backend import as_array
from tinyart.errors import ArgumentError, ShapeError
from tinyart.graph import grad, no_grad
from tinyart.models.rnn import one_hot
from tinyart.optim import Adam, clip_grad_norm
from tinyart.random import Generator
from tinyart.tensor import Tensor

Array = np.ndarray[Any, Any]

ATTENTIONS = ("additive", "multiplicative", "none")


def additive_scores(s: Tensor, Uh: Tensor, W: Tensor, v: Tensor) -> Tensor:
    """e_j = vᵀ tanh(W s + U h_j): s (N, H), U h for all j (S, N, A), W (H, A), v (A,) -> (N, S)"""
    return ops.transpose(ops.tanh(Uh + s @ W) @ v)


def multiplicative_scores(s: Tensor, h: Tensor, W: Tensor) -> Tensor:
    """e_tj = s_tᵀ W h_j for all t and j: s (T, N, H), h (S, N, E), W (H, E) -> (N, T, S)"""
    return ops.matmul(ops.swapaxes(s @ W, 0, 1), ops.transpose(h, (1, 2, 0)))


def attention(scores: Tensor, inside: Tensor | None = None) -> Tensor:
    """a_j = exp e_j / Σ_k exp e_k over the last axis, where `inside`; 0 elsewhere, past the end of a sequence."""
    return ops.softmax(scores if inside is None else ops.where(inside, scores, -1e9))


def context(a: Tensor, h: Tensor) -> Tensor:
    """c_t = Σ_j a_tj h_j: a (N, T, S), h (S, N, E) -> (T, N, E)"""
    return ops.swapaxes(ops.matmul(a, ops.swapaxes(h, 0, 1)), 0, 1)


class _Translator(nn.Module):
    """What the three models have in common: symbols in and out are integers, of `inputs` and `outputs` kinds.

    The decoder is given the symbol before each one that it is asked for: y_0 is a start symbol of its own.
    """

    inputs = outputs = 0

    def forward(self, x: Array, y: Array, lengths: Any = None) -> tuple[Tensor, Tensor | None]:
        """x (S, N), of the given lengths, and answers y (T, N) -> logits (T, N, V), attention map (N, T, S) or None."""
        raise NotImplementedError

    def before(self, y: Array) -> Array:
        """The symbols before those of y, first the start symbol: (T, N) -> (T, N)"""
        return np.concatenate([np.full((1, y.shape[1]), self.outputs), y[:-1]])

    def inside(self, x: Array, lengths: Any) -> Tensor | None:
        """Which symbols are before the end of their sequence: (N, S)"""
        if lengths is None:
            return None
        mask = np.arange(len(x)) < np.asarray(lengths)[:, None]
        return Tensor(as_array(mask, device=self.parameters()[0].device))

    @no_grad()
    def generate(self, x: Array, steps: int, lengths: Any = None) -> tuple[Array, Array | None]:
        """The likeliest symbol, one after another: x (S, N) -> int64 (steps, N), attention map (N, steps, S) or None.

        Every step reads all symbols before it again: for sequences of some tens of symbols.
        """
        made = np.zeros((0, x.shape[1]), np.int64)
        read: Tensor | None = None
        for _ in range(steps):
            y = np.concatenate([made, np.zeros((1, x.shape[1]), np.int64)])
            logits, read = self(x, y, lengths)
            made = np.concatenate([made, logits.numpy()[-1:].argmax(2)])
        return made, None if read is None else read.numpy()


class AdditiveTranslator(_Translator):
    """Bahdanau et al. 2015: a bidirectional GRU reads; a GRU writes, which attends before each step.

    s_0 = tanh(W_s h←_1), s_t = GRU([y_{t-1}, c_t], s_{t-1}), logits from [s_t, c_t, y_{t-1}], one dense layer.
    """

    def __init__(self, inputs: int, outputs: int, *, hidden: int = 64, embedding: int = 32,
                 generator: Generator | None = None) -> None:
        self.inputs, self.outputs = inputs, outputs
        self.read = nn.Embedding(inputs, embedding, generator=generator)
        self.encoder = nn.GRU(embedding, hidden, bidirectional=True, generator=generator)
        self.start = nn.Dense(hidden, hidden, generator=generator)
        self.written = nn.Embedding(outputs + 1, embedding, generator=generator)
        self.decoder = nn.GRUCell(embedding + 2 * hidden, hidden, generator=generator)
        self.W = nn.Dense(hidden, hidden, bias=False, generator=generator)
        self.U = nn.Dense(2 * hidden, hidden, bias=False, generator=generator)
        self.v = nn.Parameter(np.zeros(hidden, np.float32))
        nn.init.normal_(self.v, std=hidden**-0.5, generator=generator)
        self.output = nn.Dense(3 * hidden + embedding, outputs, generator=generator)

    def forward(self, x: Array, y: Array, lengths: Any = None) -> tuple[Tensor, Tensor | None]:
        h, ends = self.encoder(self.read(x), lengths=lengths)  # (S, N, 2H), (2, N, H)
        inside, Uh = self.inside(x, lengths), self.U(h)  # (S, N, H), once for all steps
        s, written = ops.tanh(self.start(ends[1])), self.written(self.before(y))  # (N, H), (T, N, E)
        rows, maps = [], []
        for t in range(len(y)):
            a = attention(additive_scores(s, Uh, self.W.weight, self.v), inside)  # (N, S)
            c = context(ops.expand_dims(a, 1), h)[0]  # (N, 2H)
            s = self.decoder(ops.concatenate([written[t], c], 1), s)
            rows.append(ops.concatenate([s, c, written[t]], 1))
            maps.append(a)
        return self.output(ops.stack(rows)), ops.stack(maps, 1)


class MultiplicativeTranslator(_Translator):
    """Luong et al. 2015: a bidirectional GRU reads, a GRU writes; attention comes after, for all steps at once.

    s_t = GRU(y_{t-1}, s_{t-1}), s_0 the encoder's last states; logits = W tanh(W_c [c_t, s_t])  (equations 5 and 6)
    """

    def __init__(self, inputs: int, outputs: int, *, hidden: int = 64, embedding: int = 32,
                 generator: Generator | None = None) -> None:
        self.inputs, self.outputs = inputs, outputs
        self.read = nn.Embedding(inputs, embedding, generator=generator)
        self.encoder = nn.GRU(embedding, hidden, bidirectional=True, generator=generator)
        self.written = nn.Embedding(outputs + 1, embedding, generator=generator)
        self.decoder = nn.GRU(embedding, 2 * hidden, generator=generator)
        self.W = nn.Dense(2 * hidden, 2 * hidden, bias=False, generator=generator)
        self.combine = nn.Dense(4 * hidden, 2 * hidden, generator=generator)
        self.output = nn.Dense(2 * hidden, outputs, generator=generator)

    def forward(self, x: Array, y: Array, lengths: Any = None) -> tuple[Tensor, Tensor | None]:
        h, ends = self.encoder(self.read(x), lengths=lengths)  # (S, N, 2H), (2, N, H)
        start = ops.concatenate([ends[0], ends[1]], 1)[None]  # (1, N, 2H)
        s, _ = self.decoder(self.written(self.before(y)), start)  # (T, N, 2H)
        inside = self.inside(x, lengths)
        a = attention(multiplicative_scores(s, h, self.W.weight), None if inside is None else inside[:, None])
        bent = ops.tanh(self.combine(ops.concatenate([context(a, h), s], 2)))
        return self.output(bent), a


class EncoderDecoder(_Translator):
    """Without attention: an LSTM reads one-hot symbols; its last state is the input of each step of one that writes.

    Keras's example addition_rnn, after Sutskever, Vinyals & Le 2014. What was written before is not read again. Weights
    start as Keras's do: W from Glorot's uniform distribution, R orthogonal, biases 0 but those of forget gates, which
    are 1 (Jozefowicz, Zaremba & Sutskever 2015, section 2.2).
    """

    def __init__(self, inputs: int, outputs: int, *, hidden: int = 128, embedding: int = 0,
                 generator: Generator | None = None) -> None:
        self.inputs, self.outputs = inputs, outputs
        self.encoder = nn.LSTM(inputs, hidden, generator=generator)
        self.decoder = nn.LSTM(hidden, hidden, generator=generator)
        self.output = nn.Dense(hidden, outputs, generator=generator)
        for name, p in self.named_parameters():
            if p.ndim == 1:
                nn.init.zeros_(p)
            elif name.endswith(".R"):
                nn.init.orthogonal_(p, generator=generator)  # (H, 4H)
            else:
                nn.init.glorot_uniform_(p, generator=generator)
            if name.endswith(".b"):
                with no_grad():
                    p[hidden : 2 * hidden] = 1.0  # i, f, g, o

    def forward(self, x: Array, y: Array, lengths: Any = None) -> tuple[Tensor, Tensor | None]:
        _, (h, _) = self.encoder(one_hot(x, self.inputs, self.parameters()[0]), lengths=lengths)  # (1, N, H)
        s, _ = self.decoder(ops.broadcast_to(h, (len(y), *h.shape[1:])))  # (T, N, H)
        return self.output(s), None

    @no_grad()
    def generate(self, x: Array, steps: int, lengths: Any = None) -> tuple[Array, Array | None]:
        """The likeliest symbols, all at once: x (S, N) -> int64 (steps, N), None"""
        logits, _ = self(x, np.zeros((steps, x.shape[1]), np.int64), lengths)
        return logits.numpy().argmax(2), None


class TranslatorTrainer:
    """A translator, Adam and the generator of its weights: what `train.Run` trains, saves and resumes.

    attention: "additive", "multiplicative" or "none". Raises ArgumentError for settings outside their range.
    """

    def __init__(self, *, inputs: int, outputs: int, attention: str = "additive", hidden: int = 64,
                 embedding: int = 32, lr: float = 1e-3, clip: float = 1.0, seed: int = 0) -> None:
        if attention not in ATTENTIONS:
            raise ArgumentError("TranslatorTrainer", "attention", f"one of {', '.join(ATTENTIONS)}", repr(attention))
        kinds: Sequence[type[_Translator]] = (AdditiveTranslator, MultiplicativeTranslator, EncoderDecoder)
        kind: Any = kinds[ATTENTIONS.index(attention)]
        self.generator = Generator(seed)
        self.module: _Translator = kind(inputs, outputs, hidden=hidden, embedding=embedding, generator=self.generator)
        self.optimizer = Adam(self.module.parameters(), lr=lr)
        self.clip = clip

    def step(self, x: Array, y: Array, lengths: Array | None = None,
             y_lengths: Array | None = None) -> dict[str, float]:
        """One update on integers x (N, S) and answers y (N, T): nats a symbol, and the share of wrong ones."""
        if len(x) != len(y):
            raise ShapeError("TranslatorTrainer", "x, y", "as many rows in each", f"{x.shape} and {y.shape}")
        logits, _ = self.module(x.T, y.T, lengths)
        inside = np.ones_like(y.T, bool) if y_lengths is None else np.arange(y.shape[1])[:, None] < y_lengths
        each = ops.cross_entropy(logits, y.T, "none")  # (T, N)
        loss = (each * Tensor(as_array(inside.astype(each.dtype), device=each.device))).sum() * (1 / int(inside.sum()))
        self.optimizer.step(clip_grad_norm(grad(loss, self.module.parameters()), self.clip))
        wrong = (logits.numpy().argmax(2) != y.T) & inside
        return {"nats": loss.item(), "error": float(wrong.sum() / inside.sum())}

    def exact(self, x: Array, y: Array, batch: int = 500) -> float:
        """The share of rows that are answered without a mistake, by the model's own words: x (N, S), y (N, T)"""
        right = [(y[i : i + batch] == self.module.generate(x[i : i + batch].T, y.shape[1])[0].T).all(1)
                 for i in range(0, len(x), batch)]
        return float(np.concatenate(right).mean())

    def state(self) -> dict[str, Any]:
        """Everything that later steps depend on: nested dicts of arrays."""
        return {"module": self.module.state_dict(), "optimizer": self.optimizer.state_dict(),
                "generator": self.generator.state}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go back to what `state` gave."""
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.state = state["generator"]
