"""Each measure by hand on small pieces, and what it says of noise."""

import math

import numpy as np
import pytest

from tinyart.models import music_measures as m


def piece(*steps: tuple[int, ...]) -> np.ndarray:
    """A roll of the keys of each step."""
    roll = np.zeros((len(steps), 88), np.uint8)
    for row, keys in zip(roll, steps, strict=True):
        row[list(keys)] = 1
    return roll


A, B = piece((3, 7, 10), (3, 8), (), (3,)), piece((0, 12), (0, 13))


def test_voices_held_and_consonance_by_hand() -> None:
    assert m.voices([A, B]) == 10 / 6
    assert m.voices_spread([A, B]) == pytest.approx(np.std([3, 2, 0, 1, 2, 2]))
    assert m.held([A, B]) == 2 / 5  # 3 in A's second step, 0 in B's
    assert m.consonance([A, B]) == 5 / 6  # 4 7 3; 5; 12; but not 13
    assert m.melodic_step([A, B]) == (2 + 5 + 1) / 3


def test_measures_of_silence() -> None:
    silence = [np.zeros((3, 88), np.uint8)]
    assert m.voices(silence) == 0
    assert math.isnan(m.held(silence))
    assert math.isnan(m.consonance(silence))
    assert math.isnan(m.melodic_step(silence))


def test_pitch_class_distance() -> None:
    assert m.pitch_class_distance([A], [A]) == 0
    assert m.pitch_class_distance([piece((0,))], [piece((12, 24))]) == 0
    assert m.pitch_class_distance([piece((0,))], [piece((1,))]) == 1
    assert m.pitch_class_distance([piece((0, 1))], [piece((1,))]) == 0.5


def test_longest_copy() -> None:
    rng = np.random.default_rng(0)
    known = [(rng.uniform(size=(60, 88)) < 0.05).astype(np.uint8) for _ in range(3)]
    mine = np.concatenate([known[1][10:17], known[2][30:42], known[0][:4]])
    assert m.longest_copy(mine, known) == 12
    assert m.longest_copy(mine, known[:1]) == 4
    assert m.longest_copy((rng.uniform(size=(20, 88)) < 0.05).astype(np.uint8), known) <= 1
    assert m.longest_copy(known[0], known) == 60
