"""Trainers that write music and text: what they make of what the model draws."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tinyart.data import parse_abc, read_midi, tune_events, tunes
from tinyart.errors import ArgumentError
from tinyart.models import CharWriter, ChordComposer, Composer, MelodyComposer, build, settings_of
from tinyart.random import Generator

pytest.importorskip("mido")
EVENTS = [".", "|", "60", "62", "64", "z", "~", "1/4", "1/2", "M:3/4"]


def melody(monkeypatch: pytest.MonkeyPatch, written: str = "") -> tuple[MelodyComposer, list[str]]:
    """A composer whose model has `written`, and the list of events that it was given to go on from."""
    composer, given = MelodyComposer(events=EVENTS, hidden=3, layers=1, batch=2, tempo=70.0), []

    def sample(prime: str, n: int, **_: object) -> str:
        given.extend(composer.events[composer.module.symbols.index(symbol)] for symbol in prime)
        return composer.symbols_of(written.split())[:n]

    monkeypatch.setattr(type(composer.module), "sample", lambda self, prime, n, **how: sample(prime, n, **how))
    return composer, given


@pytest.mark.parametrize(("written", "bars", "pitches", "steps"), [
    ("M:3/4 60 1/4 62 1/2 | 64 1/2 z 1/4 | . M:3/4 60 1/4", 16, [60, 62, 64], 72),  # to the end of the tune
    ("M:3/4 60 1/4 62 1/2 | 64 1/2 z 1/4 | .", 1, [60, 62], 36),  # to the bars that are wanted
    ("M:3/4 60 1/4 62 1/2 | ~ 1/2 z 1/4 |", 2, [60, 62], 72),
    ("60 1/4", 4, [60], 12),  # never a bar line
    ("", 4, [], 0),
])  # fmt: skip
def test_a_melody_ends_with_its_tune_or_its_bars(written: str, bars: int, pitches: list[int], steps: int,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    composer, given = melody(monkeypatch, written)
    score = composer.compose(bars, generator=Generator(0))
    assert given == ["."]  # after the end of a tune another begins
    assert score.notes[:, 2].tolist() == pitches
    assert (score.steps, score.steps_per_beat, score.tempo) == (steps, 12, 70.0)


def test_a_melody_goes_on_from_a_tune(monkeypatch: pytest.MonkeyPatch) -> None:
    composer, given = melody(monkeypatch, "62 1/4 | 60 1/4 |")
    prime = parse_abc("X:1\nM:3/4\nL:1/4\nQ:1/4=50\nK:C\nC|E")
    score = composer.compose(1, prime=prime, generator=Generator(0))
    assert given == [".", *tune_events(prime)[:-1]]
    assert score.notes[:, 2].tolist() == [60, 64, 62]
    assert score.tempo == 50


def test_a_strange_tune_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    composer, _ = melody(monkeypatch)
    with pytest.raises(ArgumentError, match="prime: expected events that the model has seen, got 3/8, 69, M:6/8"):
        composer.compose(1, prime=parse_abc("X:1\nM:6/8\nL:1/8\nK:C\nA3"), generator=Generator(0))


def test_events_must_have_bars_and_ends() -> None:
    for events in (EVENTS[1:], [*EVENTS, *map(str, range(200, 7000))]):
        with pytest.raises(ArgumentError, match=f"MelodyComposer: events: expected at most 6400, .*got {len(events)}"):
            MelodyComposer(events=events)


def test_what_a_composer_writes_is_its_prime_and_its_models_steps() -> None:
    composer = Composer(hidden=7, steps_per_beat=2, tempo=61.0)
    prime = (np.random.default_rng(0).uniform(size=(5, 88)) < 0.1).astype(np.uint8)
    score = composer.compose(3, prime=prime, temperature=0.7, generator=Generator(3))
    drawn = composer.module.sample(prime, 3 * 4 * 2, temperature=0.7, generator=Generator(3))
    assert np.array_equal(score.roll(), np.concatenate([prime, drawn]))
    assert (score.steps_per_beat, score.tempo) == (2, 61.0)
    assert composer.compose(2, generator=Generator(0)).steps == 16


@given(arrays(np.uint8, st.tuples(st.integers(0, 12), st.just(88)), elements=st.sampled_from([0, 0, 0, 1])))
def test_words_of_chords_and_back(roll: np.ndarray) -> None:
    words = ChordComposer.words(roll)
    assert np.array_equal(ChordComposer.roll(words + ChordComposer.END), roll)
    assert len(words) == roll.sum() + len(roll)
    keys = [ChordComposer.SYMBOLS.index(symbol) for symbol in words]
    assert all(a > b for a, b in pairwise(keys) if 88 not in (a, b))  # from the highest down


def test_what_a_model_writes_of_chords_is_a_roll() -> None:
    keys, step, end = ChordComposer.SYMBOLS, ChordComposer.STEP, ChordComposer.END
    written = keys[3] + keys[9] + keys[3] + step + step + keys[87] + step + keys[5] + end + keys[4] + step
    assert np.argwhere(ChordComposer.roll(written)).tolist() == [[0, 3], [0, 9], [2, 87]]
    assert len(ChordComposer.roll(written)) == 3


@pytest.mark.parametrize(("written", "steps"), [
    (["kskkks"] * 9, 8), (["kks" * 40], 8), (["ks", "kskke", "ks"], 2), (["kkkkk"] * 99, 0), (["e"], 0),
])  # fmt: skip
def test_chords_are_drawn_until_there_are_enough_or_the_piece_ends(written: list[str], steps: int,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    composer = ChordComposer(hidden=3, layers=1, batch=2)
    signs = {"k": composer.SYMBOLS[40], "s": composer.STEP, "e": composer.END}
    primes, drawn = [], iter(written)

    def sample(model: object, prime: str, n: int, **_: object) -> str:
        primes.append(prime)
        return "".join(signs[sign] for sign in next(drawn))

    monkeypatch.setattr(type(composer.module), "sample", sample)
    prime = np.zeros((1, 88), np.uint8)
    score = composer.compose(2, prime=prime, generator=Generator(0))
    assert score.steps == 1 + steps
    assert len(primes) <= 8
    assert primes[0] == composer.END + composer.STEP
    assert all(after.startswith(before) for before, after in pairwise(primes))


def test_samples_are_files_named_by_the_stem(tmp_path: Path) -> None:
    Composer(hidden=3).write_sample(tmp_path / "m", Generator(0))
    ChordComposer(hidden=3, layers=1).write_sample(tmp_path / "k", Generator(0))
    MelodyComposer(events=EVENTS, hidden=3, layers=1).write_sample(tmp_path / "t", Generator(0))
    CharWriter(symbols="ab\n", hidden=3, layers=1).write_sample(tmp_path / "c", Generator(0))
    CharWriter(symbols="äb", hidden=3, layers=1).write_sample(tmp_path / "d", Generator(0))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "c.txt", "d.txt", "k.mid", "k.png", "m.mid", "m.png", "t.mid", "t.png"]
    assert read_midi(tmp_path / "m.mid", steps_per_beat=1).steps == 64
    assert len((tmp_path / "d.txt").read_text(encoding="utf-8")) == 500


@pytest.mark.parametrize(("name", "given"), [
    ("music", {"hidden": 5, "steps_per_beat": 4, "tempo": 77.5, "cell": "lstm"}),
    ("chords", {"hidden": 5, "layers": 1, "batch": 3, "steps_per_beat": 2}),
    ("melody", {"events": EVENTS, "hidden": 5, "layers": 1, "batch": 3}),
    ("char", {"symbols": "abc", "hidden": 5, "layers": 2, "batch": 2, "cell": "gru"}),
])  # fmt: skip
def test_settings_build_the_same_trainer(name: str, given: dict[str, object]) -> None:
    settings = settings_of(name, given)
    first, second = build(settings), build(settings)
    assert all(settings[key] == value for key, value in given.items())
    for p, q in zip(first.module.parameters(), second.module.parameters(), strict=True):
        assert np.array_equal(p.numpy(), q.numpy())
    second.load_state(first.state())


def test_a_melody_model_learns_the_tunes() -> None:
    """From e^3.8 = 44 events, all equally likely, to fewer than e^2.5 = 12 within 30 steps."""
    from tinyart.models.char_rnn import stretches

    events = [event for tune in tunes() for event in tune_events(tune)]
    known = sorted(set(events))
    composer = MelodyComposer(events=known, hidden=24, layers=1, batch=20, lr=0.02)
    x, y = stretches(np.array([known.index(event) for event in events]), 20, 12)
    first = composer.step(x[:20], y[:20])["nats"]
    for i in range(30):
        k = i % (len(x) // 20) * 20
        last = composer.step(x[k : k + 20], y[k : k + 20])["nats"]
    assert first == pytest.approx(np.log(len(known)), abs=0.2)
    assert last < 2.5
