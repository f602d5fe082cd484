"""Tunes as events, and back."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyart.data import events_tune, parse_abc, tune_events, tunes
from tinyart.data.abc_notation import Note, Tune

LENGTHS = st.builds(Fraction, st.integers(1, 9), st.sampled_from([4, 6, 16]))
RESTS = st.builds(Note, st.none(), LENGTHS, st.just(False))
NOTES = st.builds(Note, st.integers(0, 127), LENGTHS, st.booleans()) | RESTS
TUNES = st.builds(Tune, title=st.just("x"), meter=st.none() | st.tuples(st.integers(1, 12), st.sampled_from([2, 4, 8])),
                  tonic=st.integers(0, 11), bars=st.lists(st.lists(NOTES, min_size=1, max_size=5), max_size=5))


def test_the_events_of_a_tune() -> None:
    tune = parse_abc("X:1\nM:3/4\nL:1/4\nK:D\nD3-|D2z|")
    assert tune_events(tune) == ["M:3/4", "60", "3/4", "|", "~", "1/2", "z", "1/4", "|", "."]
    assert tune_events(parse_abc("X:1\nL:1/8\nK:F\nF2-G8")) == ["M:none", "60", "1/4", "62", "1/1", "|", "."]


@given(TUNES)
def test_events_and_back_is_the_same_tune_in_c(tune: Tune) -> None:
    back = events_tune(tune_events(tune))
    shift = (tune.tonic + 6) % 12 - 6
    assert -6 <= shift <= 5
    assert back.meter == tune.meter
    assert [note.length for note in back.notes] == [note.length for note in tune.notes]
    for ours, theirs in zip(back.notes, tune.notes, strict=True):
        assert (ours.pitch is None) == (theirs.pitch is None)
        if ours.pitch is not None and theirs.pitch is not None:
            assert ours.pitch == theirs.pitch - shift or not 0 <= theirs.pitch - shift < 128
    assert [len(bar) for bar in back.bars] == [len(bar) for bar in tune.bars]


def test_the_embedded_tunes_survive() -> None:
    for tune in tunes():
        back = events_tune(tune_events(tune), tempo=tune.tempo)
        before, after = (t.score(steps_per_beat=12) for t in (tune, back))
        shift = before.notes[0, 2] - after.notes[0, 2]
        assert np.array_equal(before.notes, after.notes + np.array([0, 0, shift]))


@given(st.lists(st.sampled_from(["M:3/4", "M:none", "60", "67", "z", "~", "1/4", "1/8", "|", "."]), max_size=30))
def test_whatever_a_model_writes_is_a_tune(events: list[str]) -> None:
    tune = events_tune(events)
    assert all(tune.bars)
    assert tune.score().steps >= 0
    assert len([note for bar in tune.bars for note in bar]) <= events.count("1/4") + events.count("1/8")


@pytest.mark.parametrize(("events", "notes"), [
    ("60 67 1/4", [(67, 4)]), ("1/4 60 1/4", [(60, 4)]), ("~ 1/4", [(None, 4)]), ("60 1/4 ~ 1/4", [(60, 8)]),
    ("z 1/4 ~ 1/4", [(None, 4), (None, 4)]), ("60 1/4 . 67 1/4", [(60, 4)]), ("60 1/4 | | ~ 1/4 |", [(60, 8)]),
])  # fmt: skip
def test_broken_rules(events: str, notes: list[tuple[int | None, int]]) -> None:
    assert [(note.pitch, 16 * note.length) for note in events_tune(events.split()).notes] == notes
