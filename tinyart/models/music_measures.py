"""Measures of music in which several notes sound together, to compare what a model writes with what people wrote.

A piece is a piano roll r, (T, 88), of 0 and 1; all measures are of a list of pieces. None says that music is good: each
says one thing that good music of a style has, and noise, or a copy, has not; `polyphony.frequency_nats` is one more.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Pieces = Sequence[Array]

CONSONANT = (0, 3, 4, 5, 7, 8, 9)  # semitones within an octave: unison, thirds, fourth, fifth, sixths


def voices(pieces: Pieces) -> float:
    """Notes in a step, the mean."""
    return float(np.concatenate(pieces).sum(1).mean())


def voices_spread(pieces: Pieces) -> float:
    """Notes in a step, the standard deviation."""
    return float(np.concatenate(pieces).sum(1).std())


def held(pieces: Pieces) -> float:
    """The share of notes that sound in the step before too; NaN where no note has one before."""
    stay = sum(int((piece[1:] & piece[:-1]).sum()) for piece in pieces)
    notes = sum(int(piece[1:].sum()) for piece in pieces)
    return stay / notes if notes else math.nan


def consonance(pieces: Pieces) -> float:
    """The share of `CONSONANT` intervals among all pairs of notes of a step; NaN without pairs."""
    counts = np.zeros(88)
    for row in np.concatenate(pieces):
        keys = np.flatnonzero(row)
        counts += np.bincount(np.abs(keys[:, None] - keys)[np.triu_indices(len(keys), 1)], minlength=88)
    return float(counts[np.isin(np.arange(88) % 12, CONSONANT)].sum() / counts.sum()) if counts.sum() else math.nan


def melodic_step(pieces: Pieces) -> float:
    """How far the highest note moves from one step to the next where it moves, in semitones, the mean."""
    moves = [np.abs(np.diff([int(np.flatnonzero(row)[-1]) for row in piece if row.any()])) for piece in pieces]
    moved = np.concatenate([np.zeros(0, int), *moves])
    moved = moved[moved > 0]
    return float(moved.mean()) if len(moved) else math.nan


def pitch_class_distance(pieces: Pieces, others: Pieces) -> float:
    """½ Σ_k |f_k - g_k|, f and g the shares of the twelve pitch classes among the notes of two lists: 0 to 1."""
    shares = []
    for rows in (np.concatenate(pieces), np.concatenate(others)):
        counts = np.bincount((np.nonzero(rows)[1] + 9) % 12, minlength=12)  # key 0 is an A
        shares.append(counts / max(counts.sum(), 1))
    return float(0.5 * np.abs(shares[0] - shares[1]).sum())


def longest_copy(piece: Array, known: Pieces) -> int:
    """The most consecutive steps of a piece that stand, note for note, somewhere in a known one."""
    names: dict[bytes, int] = {}
    ids = [np.array([names.setdefault(row.tobytes(), len(names)) for row in roll.astype(np.uint8)], np.int64)
           for roll in (piece, *known)]
    others = np.concatenate([part for roll in ids[1:] for part in (roll, [-1])])  # -1: no passage goes over an end
    longest, run = 0, np.zeros(len(others) + 1, np.int64)  # run[j]: how many steps before j agree with those here
    for step in ids[0]:
        run[1:] = np.where(others == step, run[:-1] + 1, 0)
        longest = max(longest, int(run.max()))
    return longest
