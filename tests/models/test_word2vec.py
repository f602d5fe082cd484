"""Skip-gram with negative sampling, equation by equation, and what it finds in text that was made to be found."""

import math

import numpy as np
import pytest

from tinyart import grad, tensor
from tinyart.errors import ArgumentError
from tinyart.models.word2vec import (
    Word2Vec,
    Word2VecTrainer,
    keep_probability,
    negative_sampling_loss,
    neighbours,
    noise_distribution,
    skip_gram_pairs,
)
from tinyart.random import Generator
from tinyart.testing import check_adjoint, check_grad

RNG = np.random.default_rng(0)
V, U, NOISE = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 3)), RNG.normal(size=(4, 5, 3))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_loss_is_equation_4() -> None:
    expected = np.mean([-math.log(sigmoid(u @ v)) - sum(math.log(sigmoid(-n @ v)) for n in noise)
                        for v, u, noise in zip(V, U, NOISE, strict=True)])
    assert negative_sampling_loss(tensor(V), tensor(U), tensor(NOISE)).item() == pytest.approx(expected, rel=1e-12)


def test_loss_has_the_gradients_that_the_program_of_2013_applies() -> None:
    """(σ(x) - label) times the other vector, of the word, the context and each noise word."""
    v, u, noise = (tensor(a, requires_grad=True) for a in (V, U, NOISE))
    to_v, to_u, to_noise = grad(negative_sampling_loss(v, u, noise) * float(len(V)), [v, u, noise])
    seen, unseen = sigmoid((U * V).sum(-1)) - 1, sigmoid((NOISE * V[:, None]).sum(-1))  # (N,), (N, K)
    assert np.allclose(to_v.numpy(), seen[:, None] * U + (unseen[..., None] * NOISE).sum(1), rtol=1e-12)
    assert np.allclose(to_u.numpy(), seen[:, None] * V, rtol=1e-12)
    assert np.allclose(to_noise.numpy(), unseen[..., None] * V[:, None], rtol=1e-12)


def test_loss_by_difference_quotients_to_the_second_order() -> None:
    check_grad(negative_sampling_loss, V, U, NOISE, order=2)
    check_adjoint(negative_sampling_loss, V, U, NOISE)


def test_gradient_of_tables_where_a_word_comes_twice() -> None:
    """The model's gradients are the sums over the places where a word stands."""
    centre, context, noise = np.array([0, 0, 2]), np.array([1, 0, 1]), np.array([[1, 1], [2, 0], [0, 2]])
    model = Word2Vec(3, 2).to(dtype="float64")
    model.load_state_dict({"words": RNG.normal(size=(3, 2)), "contexts": RNG.normal(size=(3, 2))})
    to_words, to_contexts = (g.numpy() for g in grad(model(centre, context, noise), model.parameters()))
    tables = {name: array.copy() for name, array in model.state_dict().items()}
    rows = [tensor(rows, requires_grad=True) for rows in (
        tables["words"][centre], tables["contexts"][context], tables["contexts"][noise])]
    to_rows = [g.numpy() for g in grad(negative_sampling_loss(*rows), rows)]
    expected = np.zeros((3, 2)), np.zeros((3, 2))
    np.add.at(expected[0], centre, to_rows[0])
    np.add.at(expected[1], context, to_rows[1])
    np.add.at(expected[1], noise, to_rows[2])
    assert np.allclose(to_words, expected[0], rtol=1e-12)
    assert np.allclose(to_contexts, expected[1], rtol=1e-12)


def test_noise_distribution_flattens_counts() -> None:
    share = noise_distribution(np.array([16, 1, 0]))
    assert np.allclose(share, [8 / 9, 1 / 9, 0])
    trainer = Word2VecTrainer(np.array([16, 1, 0]), negatives=7)
    drawn = np.bincount(trainer.noise(20_000).ravel(), minlength=3) / 140_000
    assert np.abs(drawn - share).max() < 5 * math.sqrt(0.1 / 140_000)


def test_keep_probability_is_one_less_equation_5() -> None:
    keep = keep_probability(np.array([900, 99, 1, 0]), threshold=0.01)
    assert np.allclose(keep, [math.sqrt(0.01 / 0.9), math.sqrt(0.01 / 0.099), 1, 1])


@pytest.mark.parametrize("window", [1, 2, 5, 40])
def test_pairs_are_of_words_within_the_window_nearer_ones_more_often(window: int) -> None:
    words = np.arange(30)
    centre, context = skip_gram_pairs(words, window, Generator(3))
    distance = np.abs(centre - context)
    assert distance.min() >= 1
    assert distance.max() <= window
    reach = [max((abs(c - w) for w, c in zip(centre, context, strict=True) if w == word), default=0) for word in words]
    seen = {(w, c) for w, c in zip(centre.tolist(), context.tolist(), strict=True)}
    assert len(seen) == len(centre)  # each pair once
    assert seen == {(w, c) for w in range(30) for c in range(30) if w != c and abs(w - c) <= reach[w]}
    if window == 5:
        long = skip_gram_pairs(np.arange(20_000), 5, Generator(0))
        share = np.bincount(np.abs(long[0] - long[1]))[1:] / len(long[0])
        assert np.allclose(share, np.array([5, 4, 3, 2, 1]) / 15, atol=0.01)


def test_training_finds_planted_angles_in_two_dimensions() -> None:
    """16 words on a circle, P(w, c) ∝ e^(2 cos(θ_w - θ_c)): log P(w, c)/P(w)P(c) has rank 2 but for a constant."""
    words, rng = 16, np.random.default_rng(1)
    place = rng.permutation(words)  # so that neither order nor frequency tells
    angle = 2 * np.pi * place / words
    chance = np.exp(2 * np.cos(angle[:, None] - angle))
    drawn = rng.choice(words * words, 60_000, p=(chance / chance.sum()).ravel())
    centre, context = np.divmod(drawn, words)
    trainer = Word2VecTrainer(np.bincount(centre, minlength=words), size=2, negatives=1, lr=0.02)
    for start in range(0, len(drawn), 500):
        losses = trainer.step(centre[start : start + 500], context[start : start + 500])
    vectors = trainer.module.words.numpy()
    found = np.arctan2(vectors[:, 1], vectors[:, 0])
    errors = [np.angle(np.exp(1j * (sign * found - angle))) for sign in (1, -1)]  # a rotation, perhaps a reflection
    errors = [np.abs(np.angle(np.exp(1j * (e - np.angle(np.exp(1j * e).mean()))))).max() for e in errors]
    assert min(errors) < np.pi / words  # each word is nearer to its own place than to any other
    assert losses["loss"] < 2 * math.log(2) - 0.1
    for word in range(words):
        (first, _), (second, _) = neighbours(vectors, word, 2)
        assert {int(place[first] - place[word]) % words, int(place[second] - place[word]) % words} == {1, words - 1}


def test_errors() -> None:
    with pytest.raises(ArgumentError, match="skip_gram_pairs: window: expected at least 1, got 0"):
        skip_gram_pairs(np.arange(3), 0, Generator(0))
    with pytest.raises(ArgumentError, match="Word2Vec: words, size: expected at least 1 each, got 0, 3"):
        Word2Vec(0, 3)
    with pytest.raises(ArgumentError, match="Word2VecTrainer: negatives: expected at least 1, got 0"):
        Word2VecTrainer(np.ones(3), negatives=0)
