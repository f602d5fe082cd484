"""Attention, equation by equation against loops, the three models, their training and what they write."""

import math
from typing import Any

import numpy as np
import pytest

import tinyart as ta
from tinyart import tensor
from tinyart.errors import ArgumentError, ShapeError
from tinyart.models.seq2seq import (
    AdditiveTranslator,
    EncoderDecoder,
    MultiplicativeTranslator,
    TranslatorTrainer,
    additive_scores,
    attention,
    context,
    multiplicative_scores,
)
from tinyart.random import Generator
from tinyart.testing import check_grad

rng = np.random.default_rng(0)
S, T, N, H, E, A = 5, 3, 2, 4, 6, 3
h, s, W, U, v = (rng.normal(size=shape) for shape in ((S, N, E), (T, N, H), (H, A), (E, A), (A,)))
M = rng.normal(size=(H, E))
MODELS = (AdditiveTranslator, MultiplicativeTranslator, EncoderDecoder)


def test_additive_scores_are_bahdanaus() -> None:
    e = additive_scores(tensor(s[0]), tensor(h) @ tensor(U), tensor(W), tensor(v)).array
    for n in range(N):
        for j in range(S):
            assert math.isclose(e[n, j], v @ np.tanh(W.T @ s[0, n] + U.T @ h[j, n]), rel_tol=1e-12)


def test_multiplicative_scores_are_luongs() -> None:
    e = multiplicative_scores(*map(tensor, (s, h, M))).array
    for n in range(N):
        for t in range(T):
            for j in range(S):
                assert math.isclose(e[n, t, j], s[t, n] @ M @ h[j, n], rel_tol=1e-12)


def test_attention_is_a_distribution_over_what_is_inside() -> None:
    scores, inside = rng.normal(size=(N, T, S)), np.arange(S) < np.array([[5], [2]])
    a = attention(tensor(scores), tensor(inside[:, None])).array
    assert np.allclose(a.sum(2), 1)
    assert (a[1, :, 2:] == 0).all()
    for n, length in enumerate((5, 2)):
        powers = np.exp(scores[n, :, :length])
        assert np.allclose(a[n, :, :length], powers / powers.sum(1, keepdims=True))
    assert np.allclose(attention(tensor(scores)).array[0], a[0])


def test_context_is_the_mean_of_states_that_attention_weighs() -> None:
    a = rng.dirichlet(np.ones(S), (N, T))
    c = context(tensor(a), tensor(h)).array
    for t in range(T):
        for n in range(N):
            assert np.allclose(c[t, n], sum(a[n, t, j] * h[j, n] for j in range(S)))


def test_the_equations_have_right_gradients_to_the_second_order() -> None:
    check_grad(lambda s, h, W, U, v: context(ta.expand_dims(attention(additive_scores(s[0], h @ U, W, v)), 1), h),
               s, h, W, U, v)
    check_grad(lambda s, h, M: context(attention(multiplicative_scores(s, h, M)), h), s, h, M)


@pytest.mark.parametrize("kind", MODELS)
def test_an_answer_is_not_seen_before_it_is_written(kind: Any) -> None:
    model = kind(7, 5, hidden=6, embedding=4, generator=Generator(1)).to(dtype="float64")
    x, y = rng.integers(0, 7, (S, N)), rng.integers(0, 5, (T, N))
    logits, read = model(x, y)
    assert logits.shape == (T, N, 5)
    if read is not None:
        assert read.shape == (N, T, S)
        assert np.allclose(read.array.sum(2), 1)
    other = y.copy()
    other[1] = (other[1] + 1) % 5
    changed = model(x, other)[0].array
    assert np.array_equal(changed[:2], logits.array[:2])
    assert np.array_equal(changed[2], logits.array[2]) == (kind is EncoderDecoder)  # which reads no answers


@pytest.mark.parametrize("kind", MODELS)
def test_padding_changes_nothing(kind: Any) -> None:
    model = kind(7, 5, hidden=6, embedding=4, generator=Generator(1)).to(dtype="float64")
    x, y = rng.integers(0, 7, (S, N)), rng.integers(0, 5, (T, N))
    logits, read = model(x, y, [3, 5])
    alone, read_alone = model(x[:3, :1], y[:, :1])
    np.testing.assert_allclose(logits.array[:, :1], alone.array, rtol=0, atol=1e-12)
    if read is not None:
        np.testing.assert_allclose(read.array[:1, :, :3], read_alone.array, rtol=0, atol=1e-12)
        assert (read.array[0, :, 3:] == 0).all()


@pytest.mark.parametrize("kind", MODELS)
def test_generate_writes_the_likeliest_symbol_after_its_own(kind: Any) -> None:
    model = kind(7, 5, hidden=6, embedding=4, generator=Generator(3))
    x = rng.integers(0, 7, (S, N))
    made, read = model.generate(x, 4)
    logits, again = model(x, made)
    assert np.array_equal(logits.array.argmax(2), made)
    assert (read is None) == (again is None) == (kind is EncoderDecoder)
    if read is not None:
        np.testing.assert_allclose(read, again.array, rtol=0, atol=1e-6)


def test_attention_learns_to_reverse_and_its_map_is_the_other_diagonal() -> None:
    trainer = TranslatorTrainer(inputs=6, outputs=6, attention="multiplicative", hidden=32, embedding=16, lr=5e-3)
    draws = np.random.default_rng(1)
    for _ in range(200):
        x = draws.integers(0, 6, (32, 6))
        trainer.step(x, x[:, ::-1])
    x = draws.integers(0, 6, (50, 6))
    assert trainer.exact(x, x[:, ::-1]) > 0.9
    read = trainer.module.generate(x.T, 6)[1]
    assert read is not None
    assert np.array_equal(read.mean(0).argmax(1), np.arange(6)[::-1])


@pytest.mark.parametrize("kind", ["additive", "multiplicative", "none"])
def test_a_resumed_run_is_the_same_run_and_its_loss_falls(kind: str) -> None:
    trainer = TranslatorTrainer(inputs=4, outputs=4, attention=kind, hidden=12, embedding=8, lr=1e-2)
    x = rng.integers(0, 4, (16, 4))
    lengths = rng.integers(1, 5, 16)
    first = trainer.step(x, x, lengths, lengths)["nats"]
    again = TranslatorTrainer(inputs=4, outputs=4, attention=kind, hidden=12, embedding=8, lr=1e-2, seed=5)
    again.load_state(trainer.state())
    losses = [trainer.step(x, x, lengths, lengths) for _ in range(30)]
    assert losses == [again.step(x, x, lengths, lengths) for _ in range(30)]
    assert losses[-1]["nats"] < 0.8 * first


def test_errors() -> None:
    with pytest.raises(ArgumentError, match="attention: expected one of additive, multiplicative, none, got 'dot'"):
        TranslatorTrainer(inputs=2, outputs=2, attention="dot")
    with pytest.raises(ShapeError, match=r"x, y: expected as many rows in each, got \(3, 2\) and \(2, 2\)"):
        TranslatorTrainer(inputs=2, outputs=2).step(np.zeros((3, 2), int), np.zeros((2, 2), int))


def test_the_encoder_and_decoder_start_as_kerass_do() -> None:
    state = EncoderDecoder(12, 11, hidden=32, generator=Generator(0)).state_dict()
    for cell, width in (("encoder.0", 12), ("decoder.0", 32)):
        R, W = state[f"{cell}.R"], state[f"{cell}.W"]
        assert np.allclose(R @ R.T, np.eye(32), atol=1e-5)
        bound = math.sqrt(6 / (width + 128))  # Glorot & Bengio 2010, equation 16
        assert 0.95 * bound < np.abs(W).max() <= bound
        assert np.array_equal(state[f"{cell}.b"], np.repeat([0, 1, 0, 0], 32))  # i, f, g, o
    assert 0.9 * math.sqrt(6 / 43) < np.abs(state["output.weight"]).max() <= math.sqrt(6 / 43)
    assert not state["output.bias"].any()
