"""Notes on a grid of steps: what every reader of music gives, and what becomes MIDI, sound or a picture.

A piano roll is uint8 (T, 88): row t is a step, column c is MIDI note 21 + c (A0 is 21, middle C 60, C8 108), and 1 says
that the note sounds. It cannot tell a note that is struck again from one that is held; a `Score` can.
"""

from colorsys import hsv_to_rgb
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyart.errors import ArgumentError, ShapeError

LOWEST, KEYS = 21, 88
MAX_STEPS = 100_000
MAX_STEPS_PER_BEAT = 48
TEMPOS = (4.0, 1000.0)  # beats a minute: what MIDI's 24 bits of microseconds can say, and a bound for the other end

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Score:
    """notes: int (N, 3), each (first step, step after the last, MIDI note 0 to 127), in this order; `steps` in all.

    A beat is a quarter note; tempo is in beats a minute. Notes of one pitch may touch, and overlap as in MIDI.
    Errors: `ShapeError`, `ArgumentError` for notes without length, outside the steps or the range of MIDI.
    """

    notes: Array
    steps: int
    steps_per_beat: int = 4
    tempo: float = 96.0

    def __post_init__(self) -> None:
        if self.notes.ndim != 2 or self.notes.shape[1] != 3 or self.notes.dtype.kind not in "iu":
            raise ShapeError("Score", "notes", "integers (N, 3)", f"{self.notes.dtype} {self.notes.shape}")
        start, end, pitch = self.notes.astype(np.int64).T
        low, high = TEMPOS
        if not (0 <= self.steps <= MAX_STEPS and 1 <= self.steps_per_beat <= MAX_STEPS_PER_BEAT
                and low <= self.tempo <= high):
            raise ArgumentError("Score", "steps, steps_per_beat, tempo",
                                f"at most {MAX_STEPS}, 1 to {MAX_STEPS_PER_BEAT}, {low:g} to {high:g}",
                                f"{self.steps}, {self.steps_per_beat}, {self.tempo:g}")
        if not ((start >= 0) & (start < end) & (end <= self.steps) & (pitch >= 0) & (pitch < 128)).all():
            raise ArgumentError("Score", "notes", f"0 <= start < end <= {self.steps}, 0 <= pitch <= 127", "others")
        object.__setattr__(self, "notes", self.notes[np.lexsort((pitch, end, start))])

    @property
    def seconds(self) -> float:
        """How long it plays."""
        return self.steps / self.steps_per_beat * 60 / self.tempo

    def roll(self) -> Array:
        """The piano roll, uint8 (steps, 88); notes that a piano lacks are left out."""
        roll = np.zeros((self.steps, KEYS), np.uint8)
        for start, end, pitch in self.notes.tolist():
            if LOWEST <= pitch < LOWEST + KEYS:
                roll[start:end, pitch - LOWEST] = 1
        return roll


def roll_score(roll: Array, *, steps_per_beat: int = 4, tempo: float = 96.0) -> Score:
    """A piano roll (T, 88) as a score: what sounds in consecutive steps is one note. `Score.roll` is the inverse.

    Errors: `ShapeError` for another shape.
    """
    if roll.ndim != 2 or roll.shape[1] != KEYS or roll.dtype.kind not in "biu":
        raise ShapeError("roll_score", "roll", f"integers (T, {KEYS})", f"{roll.dtype} {roll.shape}")
    silence = np.zeros((1, KEYS), np.int8)
    edges = np.diff(np.concatenate([silence, (roll != 0).astype(np.int8), silence]), axis=0)  # (T + 1, 88)
    column, start = np.nonzero(edges.T == 1)
    _, end = np.nonzero(edges.T == -1)  # column by column starts and ends alternate, so both lists pair up
    return Score(np.stack([start, end, column + LOWEST], 1), len(roll), steps_per_beat, tempo)


def score_picture(score: Score, *, height: int = 6) -> Array:
    """The score as a picture: uint8 (rows, columns, 3), time to the right, a row of `height` pixels a semitone.

    Notes are coloured by their place in the octave; keys that are black on a piano, and every fourth beat, are marked.
    It is as high as the range of the notes asks, at least two octaves, and as wide as the beats, up to 8,192 pixels.

    Errors: `ArgumentError` for a height out of range.
    """
    if not 2 <= height <= 64:
        raise ArgumentError("score_picture", "height", "2 to 64 pixels", f"{height}")
    pitches = score.notes[:, 2]
    low, high = (int(pitches.min()), int(pitches.max())) if len(pitches) else (60, 60)
    low, high = max(0, min(low - 2, (low + high) // 2 - 12)), min(127, max(high + 2, (low + high) // 2 + 12))
    width = max(1, min(height, 8192 // max(score.steps, 1)))
    canvas = np.full(((high - low + 1) * height, max(score.steps, 1) * width, 3), _PAPER, np.uint8)
    for pitch in range(low, high + 1):
        if pitch % 12 in _BLACK_KEYS:
            canvas[(high - pitch) * height : (high - pitch + 1) * height] = _BAND
    canvas[:, :: 4 * score.steps_per_beat * width] = _LINE
    for start, end, pitch in score.notes.tolist():
        top = (high - pitch) * height
        # The last column stays open where there is room: a note that is struck again is seen as two.
        canvas[top : top + height - 1, start * width : max(end * width - 1, start * width + 1)] = _COLOURS[pitch % 12]
    return canvas


_PAPER, _BAND, _LINE = (250, 248, 243), (240, 236, 228), (205, 198, 186)
_BLACK_KEYS = (1, 3, 6, 8, 10)
# Around the circle of fifths the hue goes around once: notes that sound well together look alike.
_COLOURS = (255 * np.array([hsv_to_rgb(7 * p % 12 / 12, 0.62, 0.72) for p in range(12)])).astype(np.uint8)  # (12, 3)
