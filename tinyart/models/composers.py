"""Models of music and text as `train.Run` trains them, and what they write.

    `Composer`         a `MusicTrainer` on piano rolls: several voices, the chorales or a folder of MIDI files
    `ChordComposer`    a `CharTrainer` to which a chord is a word: its notes are drawn one after another, each knowing
                       those above it, where a `Composer` draws all of a step independently
    `MelodyComposer`   a `CharTrainer` whose characters are the events of melodies (`data.events`)
    `CharWriter`       a `CharTrainer` on text
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyart.data.abc_notation import Tune
from tinyart.data.events import BAR, END, events_tune, tune_events
from tinyart.data.files import replacing
from tinyart.data.midi import write_midi
from tinyart.data.score import KEYS, Score, roll_score, score_picture
from tinyart.data.sheet import save_image
from tinyart.errors import ArgumentError
from tinyart.models.char_rnn import CharTrainer
from tinyart.models.polyphony import MusicTrainer
from tinyart.random import Generator

Array = np.ndarray[Any, Any]

BEATS = 4  # quarter notes in a bar of a `Composer`, whose rolls know no metre
SAMPLE_BARS, SAMPLE_CHARACTERS = 16, 500  # of what is written after an epoch
EVENTS = 24  # of a bar, at most, on average: eight notes of two events each are seventeen with the bar line
ATTEMPTS = 8  # at enough symbols for four notes a step
STEPS_PER_BEAT = 12  # of melodies: sixteenths, and triplets of eighths
_FIRST_SYMBOL, _SYMBOLS = 0xE000, 6400  # Unicode's private use area: a character stands for an event


class Composer(MusicTrainer):
    """A `MusicTrainer` on 88 keys that knows how long its steps are: `steps_per_beat`, `tempo` in beats a minute."""

    def __init__(self, *, hidden: int = 100, cell: str = "gru", layers: int = 1, dropout: float = 0.0, lr: float = 1e-3,
                 steps_per_beat: int = 1, tempo: float = 90.0, seed: int = 0) -> None:
        super().__init__(hidden=hidden, cell=cell, layers=layers, dropout=dropout, lr=lr, seed=seed)
        self.steps_per_beat, self.tempo = steps_per_beat, tempo

    def compose(self, bars: int, *, prime: Array | None = None, temperature: float = 1.0,
                generator: Generator) -> Score:
        """`bars` bars of four beats that go on from `prime`, a roll (T, 88), with which the score begins."""
        roll = np.zeros((0, self.module.keys), np.uint8) if prime is None else prime
        steps = bars * BEATS * self.steps_per_beat
        new = self.module.sample(roll, steps, temperature=temperature, generator=generator)
        return roll_score(np.concatenate([roll, new]), steps_per_beat=self.steps_per_beat, tempo=self.tempo)

    def write_sample(self, stem: Path, generator: Generator) -> None:
        """16 bars, as MIDI and as a picture."""
        _write(stem, self.compose(SAMPLE_BARS, generator=generator))


class ChordComposer(CharTrainer):
    """A `CharTrainer` on piano rolls: a step is its keys from the highest to the lowest, and STEP; END ends a piece.

    By the chain rule its nats a step, Σ of those of a step's symbols, compare with those of a `MusicTrainer`.
    """

    SYMBOLS = "".join(chr(_FIRST_SYMBOL + i) for i in range(KEYS + 2))
    STEP, END = SYMBOLS[KEYS], SYMBOLS[KEYS + 1]

    def __init__(self, *, hidden: int = 128, layers: int = 2, cell: str = "lstm", dropout: float = 0.0, batch: int = 16,
                 lr: float = 2e-3, steps_per_beat: int = 1, tempo: float = 90.0, seed: int = 0) -> None:
        super().__init__(symbols=self.SYMBOLS, hidden=hidden, layers=layers, cell=cell, dropout=dropout, batch=batch,
                         lr=lr, seed=seed)
        self.steps_per_beat, self.tempo = steps_per_beat, tempo

    @classmethod
    def words(cls, roll: Array) -> str:
        """The symbols of a roll (T, 88), without END."""
        return "".join("".join(cls.SYMBOLS[key] for key in np.flatnonzero(row)[::-1]) + cls.STEP for row in roll)

    @classmethod
    def roll(cls, symbols: str) -> Array:
        """The roll of the whole steps that symbols describe, up to the first END: uint8 (T, 88). Order is no matter."""
        steps = symbols.partition(cls.END)[0].split(cls.STEP)[:-1]
        roll = np.zeros((len(steps), KEYS), np.uint8)
        for row, step in zip(roll, steps, strict=True):
            row[[cls.SYMBOLS.index(symbol) for symbol in step]] = 1
        return roll

    def compose(self, bars: int, *, prime: Array | None = None, temperature: float = 1.0, top_k: int | None = None,
                top_p: float | None = None, generator: Generator) -> Score:
        """`bars` bars of four beats that go on from `prime`, a roll (T, 88); fewer where the piece ends before."""
        begun = self.words(prime) if prime is not None else ""
        steps, written = bars * BEATS * self.steps_per_beat, ""
        for _ in range(ATTEMPTS):  # no more: a model may never come to the end of a step
            if (missing := steps - written.count(self.STEP)) <= 0 or self.END in written:
                break
            written += self.module.sample(self.END + begun + written, 5 * missing, temperature=temperature, top_k=top_k,
                                          top_p=top_p, generator=generator)
        new = self.roll(written)[:steps]
        roll = new if prime is None else np.concatenate([prime, new])
        return roll_score(roll, steps_per_beat=self.steps_per_beat, tempo=self.tempo)

    def write_sample(self, stem: Path, generator: Generator) -> None:
        """At most 16 bars, as MIDI and as a picture."""
        _write(stem, self.compose(SAMPLE_BARS, generator=generator))


class MelodyComposer(CharTrainer):
    """A `CharTrainer` on `events`, each of which stands for a character; tempo: of what it writes."""

    def __init__(self, *, events: Sequence[str], hidden: int = 128, layers: int = 2, cell: str = "lstm",
                 dropout: float = 0.0, batch: int = 16, lr: float = 2e-3, tempo: float = 100.0, seed: int = 0) -> None:
        if not {BAR, END} <= set(events) or len(events) > _SYMBOLS:
            raise ArgumentError("MelodyComposer", "events", f"at most {_SYMBOLS}, {BAR} and {END} among them",
                                f"{len(events)}")
        super().__init__(symbols="".join(chr(_FIRST_SYMBOL + i) for i in range(len(events))), hidden=hidden,
                         layers=layers, cell=cell, dropout=dropout, batch=batch, lr=lr, seed=seed)
        self.events, self.tempo = list(events), tempo

    def compose(self, bars: int, *, prime: Tune | None = None, temperature: float = 1.0, top_k: int | None = None,
                top_p: float | None = None, generator: Generator) -> Score:
        """A tune that goes on from `prime`, with which it begins, for at most `bars` bars: it may end sooner."""
        begun = [] if prime is None else tune_events(prime)[:-1]
        if strange := sorted(set(begun) - set(self.events)):
            raise ArgumentError("compose", "prime", "events that the model has seen", ", ".join(strange[:8]),
                                fix="a tune like those that it was trained on")
        first = self.symbols_of([END, *begun])
        written = self.module.sample(first, EVENTS * bars, temperature=temperature, top_k=top_k, top_p=top_p,
                                     generator=generator)
        new = [self.events[ord(symbol) - _FIRST_SYMBOL] for symbol in written]
        whole = [i for i, event in enumerate(new) if event == BAR][bars - 1 :]  # where as many bars are written
        tune = events_tune([*begun, *new[: min(whole, default=len(new))]], tempo=prime.tempo if prime else self.tempo)
        return tune.score(steps_per_beat=STEPS_PER_BEAT)

    def symbols_of(self, events: Sequence[str]) -> str:
        """The characters that stand for events."""
        index = {event: chr(_FIRST_SYMBOL + i) for i, event in enumerate(self.events)}
        return "".join(index[event] for event in events)

    def write_sample(self, stem: Path, generator: Generator) -> None:
        """A tune of at most 16 bars, as MIDI and as a picture."""
        _write(stem, self.compose(SAMPLE_BARS, generator=generator))


class CharWriter(CharTrainer):
    """A `CharTrainer` whose samples are text files."""

    def write_sample(self, stem: Path, generator: Generator) -> None:
        """500 characters, from the beginning of a line where the model knows lines."""
        prime = "\n" if "\n" in self.module.symbols else ""
        with replacing(stem.with_suffix(".txt")) as file:
            file.write(self.module.sample(prime, SAMPLE_CHARACTERS, generator=generator).encode())


def _write(stem: Path, score: Score) -> None:
    write_midi(stem.with_suffix(".mid"), score)
    save_image(stem.with_suffix(".png"), score_picture(score))
