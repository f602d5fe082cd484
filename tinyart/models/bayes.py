"""A bag of words and the multinomial naive Bayes classifier, the baselines of document 4, an equation a function.

    x_w = how often word w occurs in a document: the order of words is lost                            `bag_of_words`
    P(k) = N_k / N,  P(w|k) = (N_kw + α) / (Σ_w N_kw + α V)                                            `fit`
    log P(k|x) = log P(k) + Σ_w x_w log P(w|k) - log Σ_j e^(the same of class j)                       `log_posterior`

N_kw counts word w in the documents of class k, of V words. α > 0, Laplace's smoothing with 1, gives words that a class
never used a chance: without it one strange word would rule the class out (Manning, Raghavan & Schütze 2008, ch. 13).
"naive": given the class, words are taken as independent.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinyart.errors import ArgumentError, ShapeError

Array = np.ndarray[Any, Any]


class NaiveBayes(NamedTuple):
    """log_prior (K,) and log_likelihood (K, V), float64."""

    log_prior: Array
    log_likelihood: Array


def bag_of_words(documents: Sequence[Sequence[str]], index: Mapping[str, int]) -> Array:
    """Counts of the words in `index`, others are left out: N documents -> int64 (N, V)"""
    counts = np.zeros((len(documents), len(index)), np.int64)
    for row, document in zip(counts, documents, strict=True):
        np.add.at(row, [index[word] for word in document if word in index], 1)
    return counts


def fit(counts: Array, labels: Array, classes: int, *, alpha: float = 1.0) -> NaiveBayes:
    """The model of counts (N, V) and classes (N,) from 0 to K - 1. A class without documents has the prior 0.

    Errors: `ShapeError` for shapes that do not match, `ArgumentError` for labels out of range and α ≤ 0.
    """
    if counts.ndim != 2 or labels.shape != counts.shape[:1] or not len(labels):
        raise ShapeError("naive Bayes", "counts, labels", "(N, V) and (N,), N > 0", f"{counts.shape}, {labels.shape}")
    if not 0 <= labels.min() <= labels.max() < classes or not alpha > 0:
        raise ArgumentError("naive Bayes", "labels, alpha", f"0 to {classes - 1}, above 0",
                            f"{labels.min()} to {labels.max()}, {alpha}")
    belongs = np.arange(classes)[:, None] == labels  # (K, N)
    words = belongs.astype(np.float64) @ counts + alpha  # (K, V)
    with np.errstate(divide="ignore"):
        return NaiveBayes(np.log(belongs.mean(1)), np.log(words / words.sum(1, keepdims=True)))


def log_posterior(model: NaiveBayes, counts: Array) -> Array:
    """log P(k|x): (N, V) -> float64 (N, K)"""
    joint = model.log_prior + counts @ model.log_likelihood.T  # (N, K)
    highest = joint.max(1, keepdims=True)
    result: Array = joint - highest - np.log(np.exp(joint - highest).sum(1, keepdims=True))
    return result
