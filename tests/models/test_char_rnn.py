"""The character model: its batches, its loss, its state between batches, its samples, and exact resumption."""

from typing import Any

import numpy as np
import pytest

import tinyart as ta
from tinyart.data import Batches
from tinyart.data.text import encode
from tinyart.errors import ArgumentError
from tinyart.models.char_rnn import CharModel, CharTrainer, stretches
from tinyart.random import Generator

TEXT = "to be or not to be, that is the question; " * 30
SYMBOLS = "".join(sorted(set(TEXT)))
CODES = encode(TEXT, SYMBOLS)


def trainer(**settings: Any) -> CharTrainer:
    return CharTrainer(**{"symbols": SYMBOLS, "hidden": 24, "batch": 4, "lr": 1e-2, "seed": 1} | settings)


def test_stretches_are_parts_of_the_text_read_side_by_side() -> None:
    x, y = stretches(np.arange(103), 4, 5)  # 4 parts of 25
    assert x.shape == y.shape == (20, 5)
    assert np.array_equal(y, x + 1)
    for part in range(4):
        assert np.concatenate(x[part::4]).tolist() == list(range(25 * part, 25 * part + 25))
    assert len(stretches(np.arange(101), 4, 5)[0]) == 20  # the last character is only a target
    assert len(stretches(np.arange(100), 4, 5)[0]) == 16
    with pytest.raises(ArgumentError, match=r"more than batch·steps = 20 characters, got 20\. Fix: a longer text"):
        stretches(np.arange(20), 4, 5)


def test_char_rnns_defaults() -> None:
    made = CharTrainer(symbols="abc")
    shapes = {name: p.shape for name, p in made.module.named_parameters()}
    assert shapes == {"recurrent.0.W": (3, 512), "recurrent.0.R": (128, 512), "recurrent.0.b": (512,),
                      "recurrent.1.W": (128, 512), "recurrent.1.R": (128, 512), "recurrent.1.b": (512,),
                      "output.weight": (128, 3), "output.bias": (3,)}
    for name, p in made.module.named_parameters():
        rest = np.delete(p.array, slice(128, 256)) if name.endswith(".b") else p.array
        assert np.abs(rest).max() <= 0.08
        if name.endswith(".b"):
            assert (p.array[128:256] == 1).all()  # of the forget gate
    assert (made.optimizer.lr, made.optimizer.alpha, made.clip) == (2e-3, 0.95, 5.0)
    assert [part.shape for part in made.carried] == [(2, 50, 128)] * 2


def test_the_loss_is_minus_the_log_of_the_texts_probability() -> None:
    made = trainer(batch=1)
    x, y = stretches(CODES, 1, 9)
    expected, state = 0.0, None
    for a, b in zip(x[0], y[0], strict=True):
        logits, state = made.module(made.module.one_hot(np.array([[a]])), state)
        p = np.exp(logits.array[0, 0]) / np.exp(logits.array[0, 0]).sum()
        expected -= np.log(p[b])
    assert made.evaluate(x[:1], y[:1], 1) == pytest.approx(expected / 9, rel=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_state_goes_on_from_batch_to_batch_and_its_gradient_does_not(cell: str) -> None:
    made = trainer(cell=cell, lr=0.0)
    x, y = stretches(CODES, 4, 6)
    losses = [made.step(x[i : i + 4], y[i : i + 4])["nats"] for i in (0, 4)]
    assert not any(part.requires_grad for part in made.carried)
    whole = made.evaluate(x[:8], y[:8], 4)
    assert whole == pytest.approx(np.mean(losses), rel=1e-6)
    fresh = trainer(cell=cell, lr=0.0)
    assert fresh.step(x[4:8], y[4:8])["nats"] != losses[1]  # without what came before


def test_training_learns_a_text_by_heart_and_samples_go_on_with_it() -> None:
    made = trainer()
    x, y = stretches(CODES, 4, 30)
    batches = Batches((x, y), 4, shuffle=False)
    for _ in range(150):
        loss = made.step(*next(batches))["nats"]
    assert loss < 0.2
    sample = made.module.sample("to be or ", 26, temperature=0, generator=Generator(0))
    assert sample == "not to be, that is the que"


def test_samples() -> None:
    model = CharModel(SYMBOLS, hidden=8, generator=Generator(1))
    def sample(*a: Any, seed: int = 3, **k: Any) -> str:
        return model.sample(*a, generator=Generator(seed), **k)

    assert sample("to", 20) == sample("to", 20) != sample("to", 20, seed=4)
    assert len(sample("", 12)) == 12
    assert sample("to", 0) == sample("", 0) == ""
    assert len(set(sample("to", 50, top_k=1))) == len(set(sample("to", 50, temperature=0)))
    assert model.training
    with pytest.raises(ArgumentError, match="characters that are known, got 'Z'"):
        sample("Zo", 3)
    with pytest.raises(ArgumentError, match="symbols: expected different characters, at least one, got 'aa'"):
        CharModel("aa")


def test_sampling_draws_from_the_models_own_distribution() -> None:
    model = CharModel("abc", hidden=6, layers=1, generator=Generator(5))
    with ta.no_grad():
        for p in model.parameters():
            p[...] = p * 20.0
        logits, _ = model(model.one_hot(encode("ab", "abc")[None]))
    p = np.exp(logits.array[-1, 0].astype(float))
    generator = Generator(2)
    drawn = "".join(model.sample("ab", 1, generator=generator) for _ in range(600))
    assert np.allclose([drawn.count(s) / 600 for s in "abc"], p / p.sum(), atol=0.1)


def test_a_resumed_run_is_the_same_run() -> None:
    made, x_y = trainer(dropout=0.2), stretches(CODES, 4, 10)
    batches = Batches(x_y, 4, shuffle=False)
    for _ in range(3):
        made.step(*next(batches))
    state, again = made.state(), trainer(dropout=0.2, seed=9)
    again.load_state(state)
    rest = [next(batches) for _ in range(3)]
    assert [made.step(*b) for b in rest] == [again.step(*b) for b in rest]
    for name, array in made.module.state_dict().items():
        assert np.array_equal(array, again.module.state_dict()[name])
