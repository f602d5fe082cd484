"""The music model on 88 keys: its equation, masks, samples, resumption; and the note 1-gram's published figure."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinyart as ta
from tinyart.data import Batches
from tinyart.errors import ArgumentError, ShapeError
from tinyart.models.polyphony import (
    MusicTrainer,
    PolyphonicModel,
    frequency_nats,
    note_frequencies,
    padded,
    step_nats,
)
from tinyart.random import Generator

rng = np.random.default_rng(0)
PIECES = [(rng.random((n, 5)) < 0.3).astype(np.uint8) for n in (7, 3, 9, 4)]


def trainer(**settings: Any) -> MusicTrainer:
    return MusicTrainer(**{"keys": 5, "hidden": 12, "lr": 1e-2, "seed": 1} | settings)


def test_step_nats_is_minus_the_log_of_the_product_over_keys() -> None:
    y, v = rng.normal(size=(4, 2, 5)), rng.integers(0, 2, (4, 2, 5)).astype(float)
    p = 1 / (1 + np.exp(-y))
    assert np.allclose(step_nats(ta.tensor(y), ta.tensor(v)).array, -np.log(np.where(v == 1, p, 1 - p).prod(2)))


def test_the_probabilities_of_all_pieces_of_two_steps_sum_to_1() -> None:
    """Only if no step sees itself or what comes after."""
    model = PolyphonicModel(3, 4, generator=Generator(1)).to(dtype="float64")
    rolls = ((np.arange(64)[:, None] >> np.arange(6)) & 1).reshape(64, 2, 3)
    v = model.keys_of(rolls)
    logits, _ = model(v)
    assert math.isclose(np.exp(-step_nats(logits, v).array.sum(0)).sum(), 1.0, rel_tol=1e-12)


def test_padded_pieces_count_as_they_would_alone() -> None:
    made = trainer()
    rolls, lengths = padded(PIECES)
    assert (rolls.shape, rolls.dtype, lengths.tolist()) == ((4, 9, 5), np.uint8, [7, 3, 9, 4])
    alone = [made.evaluate(*padded([piece])) * len(piece) for piece in PIECES]
    assert made.evaluate(rolls, lengths) == pytest.approx(sum(alone) / lengths.sum(), rel=1e-6)
    assert made.evaluate(rolls, lengths, batch=3) == pytest.approx(sum(alone) / lengths.sum(), rel=1e-6)
    rolls[1, 3:] = 1  # past its end
    assert made.evaluate(rolls, lengths) == pytest.approx(sum(alone) / lengths.sum(), rel=1e-6)
    with pytest.raises(ArgumentError, match="at least one piano roll"):
        padded([])


def test_note_frequencies_and_frequency_nats() -> None:
    pieces = [np.array([[1, 0], [1, 0]]), np.array([[0, 0]])]
    p = note_frequencies(pieces)
    assert np.allclose(p, [2.5 / 4, 0.5 / 4])
    each = [-math.log(p[0]) - math.log(1 - p[1])] * 2 + [-math.log(1 - p[0]) - math.log(1 - p[1])]
    assert math.isclose(frequency_nats(pieces, p), sum(each) / 3)


def test_the_note_1_gram_of_the_chorales_is_the_published_one(data_dir: Callable[[str], Path]) -> None:
    from tinyart.data.chorales import jsb_chorales

    folder = data_dir("jsb-chorales")
    p = note_frequencies(jsb_chorales("train", folder=folder))
    assert round(frequency_nats(jsb_chorales("test", folder=folder), p), 3) == 11.060


@pytest.mark.parametrize("cell", ["tanh", "lstm", "gru"])
def test_training_learns_a_pattern_and_samples_repeat_it(cell: str) -> None:
    made = trainer(cell=cell, hidden=24)
    piece = np.eye(5, dtype=np.uint8)[np.arange(20) % 5]
    rolls, lengths = padded([piece, piece[:11]])
    for _ in range(200):
        loss = made.step(rolls, lengths)["nats"]
    assert loss < 0.3
    made_up = made.module.sample(piece[:3], 7, temperature=0, generator=Generator(0))
    assert np.array_equal(made_up, piece[3:10])
    assert made.module.sample(piece[:0], 4, generator=Generator(0)).shape == (4, 5)


def test_a_sample_has_the_models_own_frequencies() -> None:
    model = PolyphonicModel(3, 4, generator=Generator(1))
    with ta.no_grad():
        model.output.bias[...] = np.array([1.0, -1.0, 0.0], "f")
        logits, _ = model(model.keys_of(np.zeros((1, 1, 3))))
    generator = Generator(2)
    drawn = [model.sample(np.zeros((0, 3)), 1, temperature=2.0, generator=generator)[0] for _ in range(2000)]
    assert np.allclose(np.mean(drawn, 0), 1 / (1 + np.exp(-logits.array[0, 0] / 2)), atol=0.05)


def test_a_resumed_run_is_the_same_run() -> None:
    made = trainer(dropout=0.2, layers=2)
    batches = Batches(padded(PIECES), 2, seed=3)
    made.step(*next(batches))
    again = trainer(dropout=0.2, layers=2, seed=5)
    again.load_state(made.state())
    rest = [next(batches) for _ in range(3)]
    assert [made.step(*b) for b in rest] == [again.step(*b) for b in rest]


def test_errors() -> None:
    model = PolyphonicModel(5, 4)
    with pytest.raises(ShapeError, match=r"rolls: expected \(N, T, 5\), got \(3, 5\)\. Fix: roll\[None\]"):
        model.keys_of(np.zeros((3, 5)))
    with pytest.raises(ArgumentError, match="temperature"):
        model.sample(np.zeros((0, 5)), 1, temperature=-1.0, generator=Generator(0))
