"""Accuracy, precision, recall and F1 from the confusion matrix, beside document 0's account of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tinyart.errors import ArgumentError, ShapeError
from tinyart.models.metrics import accuracy, confusion_matrix, f1, precision, recall

# 100 pictures: 10 of roses, of which 6 are found; of the other 90, 2 are taken for roses.
ROSES = np.array([[88, 2], [4, 6]])
COUNTS = arrays(np.int64, st.integers(1, 5).map(lambda k: (k, k)), elements=st.integers(0, 20))


def test_confusion_matrix_has_labels_in_rows_and_predictions_in_columns() -> None:
    labels, predictions = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 0, 0, 2], np.uint8)
    assert confusion_matrix(labels, predictions, 4).tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [2, 0, 1, 0], [0] * 4]
    assert confusion_matrix(np.zeros(0, int), np.zeros(0, int), 2).tolist() == [[0, 0], [0, 0]]


def test_document_0_gives_accuracy_the_word_for_precision_but_the_four_are_four_different_figures() -> None:
    """It says: accuracy is "precision", the share of right predictions; precision is the ability to find positives."""
    assert accuracy(ROSES) == 94 / 100
    assert precision(ROSES)[1] == 6 / 8
    assert recall(ROSES)[1] == 6 / 10  # this is the ability to find positives
    assert f1(ROSES)[1] == 12 / 18
    assert len({accuracy(ROSES), precision(ROSES)[1], recall(ROSES)[1], f1(ROSES)[1]}) == 4


def test_f1_is_the_harmonic_mean_not_the_average_of_document_0() -> None:
    p, r = precision(ROSES)[1], recall(ROSES)[1]
    assert f1(ROSES)[1] == pytest.approx(2 * p * r / (p + r))
    assert f1(ROSES)[1] < (p + r) / 2
    everything_is_a_rose = np.array([[0, 99], [0, 1]])
    assert f1(everything_is_a_rose)[1] < 0.02  # the average would be 0.505


def test_accuracy_alone_praises_a_classifier_that_finds_nothing() -> None:
    nothing = np.array([[90, 0], [10, 0]])
    assert accuracy(nothing) == 0.9
    assert (precision(nothing)[1], recall(nothing)[1], f1(nothing)[1]) == (0, 0, 0)


@given(COUNTS)
def test_per_class_figures_equal_their_definitions(confusion: np.ndarray) -> None:
    total = confusion.sum()
    for k in range(len(confusion)):
        tp = confusion[k, k]
        fp, fn = confusion[:, k].sum() - tp, confusion[k, :].sum() - tp
        assert precision(confusion)[k] == (tp / (tp + fp) if tp + fp else 0)
        assert recall(confusion)[k] == (tp / (tp + fn) if tp + fn else 0)
        assert f1(confusion)[k] == pytest.approx(2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0)
    assert accuracy(confusion) == (sum(confusion[k, k] for k in range(len(confusion))) / total if total else 0)


@given(COUNTS)
def test_micro_averages_all_equal_the_accuracy(confusion: np.ndarray) -> None:
    for measure in (precision, recall, f1):
        assert measure(confusion, "micro") == pytest.approx(accuracy(confusion))


def test_macro_is_the_mean_over_classes_and_macro_f1_is_not_the_f1_of_the_means() -> None:
    confusion = np.array([[5, 5, 0], [0, 10, 0], [0, 1, 9]])
    for measure in (precision, recall, f1):
        assert measure(confusion, "macro") == pytest.approx(sum(measure(confusion)) / 3)
    p, r = precision(confusion, "macro"), recall(confusion, "macro")
    assert abs(f1(confusion, "macro") - 2 * p * r / (p + r)) > 0.01


def test_a_share_of_nothing_is_zero_without_a_warning() -> None:
    unseen = np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]])  # class 2 neither occurs nor is predicted
    for measure in (precision, recall, f1):
        assert measure(unseen)[2] == 0
        assert measure(np.zeros((2, 2), int), "micro") == 0
    assert accuracy(np.zeros((2, 2), int)) == 0


def test_errors_name_the_argument() -> None:
    labels = np.array([0, 1])
    with pytest.raises(ShapeError, match=r"confusion_matrix: predictions: expected 2 integers, one an example, got"):
        confusion_matrix(labels, np.array([0.0, 1.0]), 2)
    with pytest.raises(ShapeError, match=r"confusion_matrix: predictions: expected 2 integers"):
        confusion_matrix(labels, np.array([0]), 2)
    with pytest.raises(ArgumentError, match=r"confusion_matrix: labels: expected classes from 0 to 0, got 0 to 1"):
        confusion_matrix(labels, np.array([0, 0]), 1)
    with pytest.raises(ArgumentError, match=r"confusion_matrix: predictions: .*got -1 to 0"):
        confusion_matrix(labels, np.array([0, -1]), 2)
    with pytest.raises(ShapeError, match=r"f1: confusion: expected counts of shape \(K, K\), got \(2, 3\)"):
        f1(np.zeros((2, 3), int))
    with pytest.raises(ArgumentError, match=r"recall: average: expected 'macro', 'micro' or None, got 'weighted'"):
        recall(ROSES, "weighted")
