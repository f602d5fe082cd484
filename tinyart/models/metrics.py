"""The measures of a classifier that document 0 names, each a function of the confusion matrix.

c_ij counts the examples of class i that were taken for class j, of K classes. For a class k

    TP_k = c_kk      FP_k = Σ_i c_ik - c_kk      FN_k = Σ_j c_kj - c_kk

The document explains accuracy, "the share of right predictions", with the Chinese word for precision, precision as the
ability to find positives, which is what recall is, and F1 as the average of the two, which it is only if that means
the harmonic one. These are four different figures.

A share of nothing, 0/0, counts as 0: the precision of a class that was never predicted, the recall of one that never
occurred. `average` says how K figures become one: "macro" is their mean, each class equally; "micro" sums TP, FP and
FN over the classes first, each example equally; None keeps the K figures. With one label an example each miss is a
false positive of one class and a false negative of another: the micro averages all equal the accuracy.

Errors: `ShapeError` for what is no confusion matrix, `ArgumentError` for another average.
"""

from typing import Any

import numpy as np

from tinyart.errors import ArgumentError, ShapeError

AVERAGES = (None, "macro", "micro")

Array = np.ndarray[Any, Any]


def confusion_matrix(labels: Array, predictions: Array, classes: int) -> Array:
    """c_ij = the number of examples n with label i and prediction j: (N,), (N,) -> int64 (K, K)

    Errors: `ShapeError` unless both are N integers, `ArgumentError` for one outside 0 .. K - 1.
    """
    for name, values in (("labels", labels), ("predictions", predictions)):
        if values.shape != (len(labels),) or values.dtype.kind not in "iu":
            raise ShapeError("confusion_matrix", name, f"{len(labels)} integers, one an example",
                             f"{values.shape} {values.dtype}")
        if values.size and not 0 <= values.min() <= values.max() < classes:
            raise ArgumentError("confusion_matrix", name, f"classes from 0 to {classes - 1}",
                                f"{values.min()} to {values.max()}")
    pairs = labels.astype(np.int64) * classes + predictions.astype(np.int64)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def accuracy(confusion: Array) -> float:
    """Σ_k c_kk / Σ_ij c_ij: the share of examples that were taken for what they are."""
    _check("accuracy", confusion)
    return float(_share(confusion.trace(), confusion.sum()))


def precision(confusion: Array, average: str | None = None) -> Any:
    """TP / (TP + FP): of what was taken for class k, the share that is of it. (K, K) -> (K,), or a float"""
    _check("precision", confusion, average)
    return _averaged(confusion.diagonal(), confusion.sum(0), average)


def recall(confusion: Array, average: str | None = None) -> Any:
    """TP / (TP + FN): of what is of class k, the share that was found. (K, K) -> (K,), or a float"""
    _check("recall", confusion, average)
    return _averaged(confusion.diagonal(), confusion.sum(1), average)


def f1(confusion: Array, average: str | None = None) -> Any:
    """2 TP / (2 TP + FP + FN) = 2 P R / (P + R), the harmonic mean of precision and recall. (K, K) -> (K,), or a float

    "macro" is the mean of the classes' F1, not the F1 of the mean precision and the mean recall.
    """
    _check("f1", confusion, average)
    return _averaged(2 * confusion.diagonal(), confusion.sum(0) + confusion.sum(1), average)


def _averaged(part: Array, whole: Array, average: str | None) -> Any:
    if average == "micro":
        return float(_share(part.sum(), whole.sum()))
    each = _share(part, whole)
    return each if average is None else float(each.mean())


def _share(part: Any, whole: Any) -> Array:
    """part / whole, and 0 where both are 0."""
    ratio: Array = np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) != 0)
    return ratio


def _check(name: str, confusion: Array, average: str | None = None) -> None:
    if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1] or not len(confusion):
        raise ShapeError(name, "confusion", "counts of shape (K, K)", f"{confusion.shape}",
                         fix="confusion_matrix(labels, predictions, classes)")
    if average not in AVERAGES:
        raise ArgumentError(name, "average", "'macro', 'micro' or None", repr(average))
