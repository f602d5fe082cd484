"""A bag of words is a count vector, naive Bayes a classifier: equation by equation, and what document 4 calls them."""

import itertools
import math

import numpy as np
import pytest

from tinyart.errors import ArgumentError, ShapeError
from tinyart.models.bayes import bag_of_words, fit, log_posterior

INDEX = {"sun": 0, "moon": 1, "rain": 2}
DOCUMENTS = [["sun", "sun", "moon"], ["rain", "cloud"], [], ["rain", "sun"]]


def test_bag_of_words_counts_and_forgets_the_order() -> None:
    assert bag_of_words(DOCUMENTS, INDEX).tolist() == [[2, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 1]]
    assert len({bag_of_words([list(order)], INDEX).tobytes() for order in itertools.permutations(DOCUMENTS[0])}) == 1


def test_a_bag_of_words_is_no_embedding_of_words() -> None:
    """One-word documents are all equally far apart: nothing in the counts says which words are alike."""
    vectors = bag_of_words([[word] for word in INDEX], INDEX)
    assert np.array_equal(vectors, np.eye(3))


def test_fit_and_posterior_are_bayes_rule_with_laplace_smoothing() -> None:
    """The example of Manning, Raghavan & Schütze 2008, 13.1: P(China | d) ∝ 3/4 (3/7)³ 1/14 1/14."""
    index = {word: i for i, word in enumerate(["chinese", "beijing", "shanghai", "macao", "tokyo", "japan"])}
    documents = ["chinese beijing chinese", "chinese chinese shanghai", "chinese macao", "tokyo japan chinese"]
    model = fit(bag_of_words([d.split() for d in documents], index), np.array([1, 1, 1, 0]), 2)
    assert np.allclose(np.exp(model.log_prior), [1 / 4, 3 / 4])
    assert np.allclose(np.exp(model.log_likelihood[:, [0, 4, 5]]), [[2 / 9] * 3, [3 / 7, 1 / 14, 1 / 14]])
    posterior = np.exp(log_posterior(model, bag_of_words([["chinese"] * 3 + ["tokyo", "japan"]], index)))
    joint = np.array([1 / 4 * (2 / 9) ** 5, 3 / 4 * (3 / 7) ** 3 / 14**2])
    assert np.allclose(posterior, joint / joint.sum(), rtol=1e-12)


def test_likelihoods_and_posteriors_sum_to_one() -> None:
    rng = np.random.default_rng(0)
    counts, labels = rng.poisson(1.0, (50, 7)), rng.integers(0, 4, 50)
    model = fit(counts, labels, 4, alpha=0.3)
    assert np.allclose(np.exp(model.log_likelihood).sum(1), 1)
    assert np.allclose(np.exp(log_posterior(model, counts * 1000)).sum(1), 1)  # in logarithms: nothing underflows


def test_without_smoothing_one_strange_word_would_decide() -> None:
    counts = np.array([[100, 0], [0, 1]])
    document = np.array([[50, 1]])
    assert log_posterior(fit(counts, np.array([0, 1]), 2, alpha=1e-300), document).argmax() == 1 - 1
    smooth = np.exp(log_posterior(fit(counts, np.array([0, 1]), 2), document))
    assert smooth[0, 0] > 0.99
    by_hand = math.log(101 / 102) * 50 + math.log(1 / 102) - 50 * math.log(1 / 3) - math.log(2 / 3)
    assert math.log(smooth[0, 0] / smooth[0, 1]) == pytest.approx(by_hand)


def test_it_separates_what_was_made_by_such_a_model() -> None:
    rng = np.random.default_rng(1)
    words = rng.dirichlet(np.ones(40), 3)
    labels = rng.integers(0, 3, 600)
    counts = np.array([rng.multinomial(30, words[label]) for label in labels])
    model = fit(counts[:300], labels[:300], 3)
    assert (log_posterior(model, counts[300:]).argmax(1) == labels[300:]).mean() > 0.97


def test_a_class_without_documents_is_never_chosen() -> None:
    model = fit(np.array([[1, 2]]), np.array([1]), 3)
    assert np.exp(log_posterior(model, np.array([[0, 0], [3, 1]]))).tolist() == [[0, 1, 0], [0, 1, 0]]


def test_errors() -> None:
    with pytest.raises(ShapeError, match=r"counts, labels: expected \(N, V\) and \(N,\), N > 0, got \(2, 3\)"):
        fit(np.ones((2, 3)), np.zeros(3, int), 2)
    with pytest.raises(ShapeError, match="N > 0"):
        fit(np.ones((0, 3)), np.zeros(0, int), 2)
    with pytest.raises(ArgumentError, match="labels, alpha: expected 0 to 1, above 0, got 0 to 2, 1"):
        fit(np.ones((2, 3)), np.array([0, 2]), 2)
    with pytest.raises(ArgumentError, match="above 0, got 0 to 1, 0"):
        fit(np.ones((2, 3)), np.array([0, 1]), 2, alpha=0)
