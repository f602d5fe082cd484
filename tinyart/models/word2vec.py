"""word2vec: skip-gram with negative sampling (Mikolov, Sutskever, Chen, Corrado & Dean 2013), an equation a function.

    pairs (w, c): each word with the words at most R places from it, R uniform on 1 .. window   `skip_gram_pairs`
    P(discard w) = 1 - √(t / f(w))                   eq. 5: frequent words say little           `keep_probability`
    P_n(w) ∝ count(w)^¾                              section 2.2: the noise                     `noise_distribution`
    -log σ(u_c·v_w) - Σ_{i=1..k} log σ(-u_i·v_w)     eq. 4, u_i of words drawn from P_n         `negative_sampling_loss`

v are the vectors of words (V, E), which are kept; u those of contexts. At the optimum u_c·v_w = log P(w, c)/(P(w) P(c))
- log k (Levy & Goldberg 2014): words that keep the same company get like vectors. A bag of words and naive Bayes, which
document 4 calls embeddings too, are a count vector and a classifier (`bayes`).
"""

from typing import Any

import numpy as np

from tinyart import nn, ops
from tinyart.errors import ArgumentError
from tinyart.graph import grad
from tinyart.optim import Adam
from tinyart.random import Generator
from tinyart.tensor import Tensor

Array = np.ndarray[Any, Any]


def noise_distribution(counts: Array, power: float = 0.75) -> Array:
    """P_n(w) = count(w)^power / Σ: (V,) -> float64 (V,)"""
    weights = np.asarray(counts, np.float64) ** power
    share: Array = weights / weights.sum()
    return share


def keep_probability(counts: Array, threshold: float = 1e-3) -> Array:
    """min(1, √(t / f(w))) with f(w) = count(w) / Σ: (V,) -> float64 (V,); 1 for words that do not occur."""
    frequency = np.asarray(counts, np.float64) / max(np.sum(counts), 1)
    keep: Array = np.minimum(1, np.sqrt(threshold / np.maximum(frequency, threshold)))
    return keep


def skip_gram_pairs(words: Array, window: int, generator: Generator) -> tuple[Array, Array]:
    """Each word and each of its contexts: int (N,) -> int64 (P,), (P,)

    How far a word looks, both ways, is drawn anew for each word from 1 .. window: nearer words come more often.
    """
    if window < 1:
        raise ArgumentError("skip_gram_pairs", "window", "at least 1", f"{window}")
    reach = generator.randint(1, window + 1, len(words)).numpy()  # (N,)
    places = [np.flatnonzero(reach[d:] >= d) + d for d in range(1, window + 1)]  # whose word d places before is seen
    ahead = [np.flatnonzero(reach[:-d] >= d) for d in range(1, window + 1)]
    centre = np.concatenate([*places, *ahead])
    context = np.concatenate([p - d for d, p in enumerate(places, 1)] + [p + d for d, p in enumerate(ahead, 1)])
    return words[centre].astype(np.int64), words[context].astype(np.int64)


def negative_sampling_loss(v: Tensor, u: Tensor, u_noise: Tensor) -> Tensor:
    """-log σ(u·v) - Σ_k log σ(-u_k·v), the mean over pairs: (N, E), (N, E), (N, K, E) -> ()"""
    positive = ops.softplus(-(u * v).sum(-1))  # (N,): -log σ(x) = softplus(-x)
    negative = ops.softplus((u_noise * ops.expand_dims(v, 1)).sum(-1))  # (N, K)
    return (positive + negative.sum(-1)).mean()


class Word2Vec(nn.Module):
    """Vectors of `words` words, `size` numbers each: `words` v from U(-½, ½)/E, `contexts` u from 0, as in the authors'
    program."""

    def __init__(self, words: int, size: int, *, generator: Generator | None = None) -> None:
        if words < 1 or size < 1:
            raise ArgumentError("Word2Vec", "words, size", "at least 1 each", f"{words}, {size}")
        generator = generator or Generator(0)
        self.words = nn.Parameter(generator.uniform((words, size), low=-0.5 / size, high=0.5 / size).numpy())
        self.contexts = nn.Parameter(np.zeros((words, size), np.float32))

    def forward(self, centre: Array, context: Array, noise: Array) -> Tensor:
        """The loss of pairs: int (N,), (N,), (N, K) -> ()"""
        return negative_sampling_loss(ops.embedding(centre, self.words), ops.embedding(context, self.contexts),
                                      ops.embedding(noise, self.contexts))


class Word2VecTrainer:
    """Word2Vec, Adam, and noise drawn for each pair from `noise_distribution(counts)`."""

    def __init__(self, counts: Array, *, size: int = 64, negatives: int = 5, lr: float = 3e-3, seed: int = 0) -> None:
        if negatives < 1:
            raise ArgumentError("Word2VecTrainer", "negatives", "at least 1", f"{negatives}")
        self.generator, self.negatives = Generator(seed), negatives
        self.module = Word2Vec(len(counts), size, generator=self.generator)
        self.optimizer = Adam(self.module.parameters(), lr=lr)
        self.cumulative = np.cumsum(noise_distribution(counts))  # (V,)

    def noise(self, n: int) -> Array:
        """int64 (n, negatives) words from P_n. The last word takes what rounding leaves of 1."""
        drawn = self.generator.uniform((n, self.negatives), "float64").numpy()
        return np.minimum(np.searchsorted(self.cumulative, drawn, side="right"), len(self.cumulative) - 1)

    def step(self, centre: Array, context: Array) -> dict[str, float]:
        """One update on pairs, int (N,) each; its mean loss in nats a pair."""
        loss = self.module(centre, context, self.noise(len(centre)))
        self.optimizer.step(grad(loss, self.module.parameters()))
        return {"loss": loss.item()}


def neighbours(vectors: Array, word: int, n: int = 8) -> list[tuple[int, float]]:
    """The n other words of the largest cosine, and it: (V, E)"""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)  # (V, E)
    cosine = unit @ unit[word]  # (V,)
    order = [int(i) for i in np.argsort(-cosine, kind="stable") if i != word]
    return [(i, float(cosine[i])) for i in order[:n]]
