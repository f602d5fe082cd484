"""MIDI files, by way of mido, which is imported at first use.

Time in a MIDI file is counted in ticks, so many a quarter note; a step is the nearest 1/steps_per_beat of a quarter
note. Tempo changes say how fast steps go by, not which notes they hold: the first tempo is kept.
"""

from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tinyart.data.files import Report, files_below, reading, replacing, shown
from tinyart.data.score import MAX_STEPS, MAX_STEPS_PER_BEAT, TEMPOS, Score
from tinyart.errors import ArgumentError, FormatError

MAX_FILE = 4 << 20  # bytes; mido takes some microseconds for each
MAX_RUN = 4096  # bytes of 128 and more in a row
TICKS_PER_STEP = 120
PERCUSSION = 9  # its notes are instruments, not pitches
DEFAULT_TEMPO = 120.0  # of a file that says nothing
_MICROSECONDS = 60e6  # in a minute


def read_midi(path: str | Path, *, steps_per_beat: int = 4, max_steps: int = MAX_STEPS) -> Score:
    """The notes of all tracks and channels but the drums', each at least a step long.

    Its length is known before anything of that length is made. Raises FormatError, with one sentence, for what is no
    MIDI file, a damaged one, one longer than `max_steps` or of independent patterns, whatever mido raises.
    """
    mido = import_mido("read_midi")
    if not 1 <= steps_per_beat <= MAX_STEPS_PER_BEAT:
        raise ArgumentError("read_midi", "steps_per_beat", f"1 to {MAX_STEPS_PER_BEAT}", f"{steps_per_beat}")
    with reading("read_midi", path, "a MIDI file"), open(path, "rb") as file:
        if (size := file.seek(0, 2)) > MAX_FILE:
            raise FormatError("read_midi", shown(path), f"a file of at most {MAX_FILE} bytes", f"{size}")
        file.seek(0)
        midi = mido.MidiFile(file=_Bounded(file))
        if midi.type not in (0, 1) or midi.ticks_per_beat <= 0:
            got = f"type {midi.type}, {midi.ticks_per_beat} ticks"
            raise FormatError("read_midi", shown(path), "type 0 or 1, timed in ticks a quarter note", got)
        notes, length, tempo = _collect(midi.tracks)
    steps = _rounded(length * steps_per_beat, midi.ticks_per_beat)
    if steps >= min(max_steps, MAX_STEPS):
        raise FormatError("read_midi", shown(path), f"fewer than {min(max_steps, MAX_STEPS)} steps", f"{steps}",
                          fix="a smaller steps_per_beat, or cut the file")
    if not TEMPOS[0] <= tempo <= TEMPOS[1]:
        raise FormatError("read_midi", shown(path), "a tempo of {:g} to {:g} beats a minute".format(*TEMPOS),
                          f"{tempo:g}")
    grid = np.array([(start, max(end, start + 1), pitch) for start, end, pitch in (
        (_rounded(a * steps_per_beat, midi.ticks_per_beat), _rounded(b * steps_per_beat, midi.ticks_per_beat), pitch)
        for a, b, pitch in notes)], np.int64).reshape(-1, 3)  # (N, 3)
    return Score(grid, int(max(steps, grid[:, 1].max(initial=0))), steps_per_beat, tempo)


def midi_folder(folder: str | Path, *, steps_per_beat: int = 4) -> tuple[list[Score], Report]:
    """Every MIDI file with a note below `folder`, in the order of their names, and a Report of what was skipped.

    Raises FormatError where none is left.
    """
    paths, scores, report = files_below("midi_folder", folder), [], Report("MIDI files")
    for path in paths:
        try:
            score = read_midi(path, steps_per_beat=steps_per_beat)
            if not score.roll().any():
                raise FormatError("read_midi", shown(path), "notes of a piano's range", "none")
            scores.append(score)
            report.paths.append(path)
        except FormatError as error:
            report.skipped.append(error)
    if not scores:
        first = f", none of them readable; the first: {report.skipped[0]}" if paths else ""
        raise FormatError("midi_folder", shown(folder), "MIDI files", f"{len(paths)} files{first}")
    return scores, report


def write_midi(path: str | Path, score: Score, *, program: int = 0) -> None:
    """Write a MIDI file of one track, whole or not at all. program: 0 is a piano, 19 a church organ (General MIDI).

    `read_midi` at the same `steps_per_beat` gives the score back, its tempo to a microsecond a beat, where no two notes
    of one pitch overlap: the second would end the first.
    """
    mido = import_mido("write_midi")
    if not 0 <= program < 128:
        raise ArgumentError("write_midi", "program", "0 to 127", f"{program}")
    # What ends at a step is let go before what starts there is struck.
    events = sorted([(step, struck, pitch) for start, end, pitch in score.notes.tolist()
                     for step, struck in ((start, 1), (end, 0))])
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=round(_MICROSECONDS / score.tempo)),
                            mido.Message("program_change", program=program)])
    now = 0
    for step, struck, pitch in events:
        track.append(mido.Message("note_on", note=pitch, velocity=80 * struck, time=(step - now) * TICKS_PER_STEP))
        now = step
    track.append(mido.MetaMessage("end_of_track", time=(score.steps - now) * TICKS_PER_STEP))
    content = BytesIO()
    mido.MidiFile(type=0, tracks=[track], ticks_per_beat=TICKS_PER_STEP * score.steps_per_beat).save(file=content)
    with replacing(path) as file:
        file.write(content.getvalue())


def import_mido(operation: str) -> Any:
    """mido. Raises ArgumentError, in the name of `operation`, where it is not installed."""
    try:
        import mido
    except ImportError as error:
        raise ArgumentError(operation, "mido", "the package that reads and writes MIDI files", "none installed",
                            fix="pip install 'tinyart[music]'") from error
    return mido


class _Bounded:
    """A file for mido, which reads numbers byte by byte until one is under 128, be they a megabyte long."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.tell, self.run = file, file.tell, 0

    def read(self, size: int) -> bytes:
        data = self.file.read(size)
        self.run = self.run + 1 if size == 1 and data >= b"\x80" else 0
        if self.run > MAX_RUN:
            raise ValueError(f"a number or text of over {MAX_RUN} bytes")
        return data


def _collect(tracks: Any) -> tuple[list[tuple[int, int, int]], int, float]:
    """(start, end, pitch) of each note in ticks, the length of the longest track, the first tempo in beats a minute."""
    notes: list[tuple[int, int, int]] = []
    tempos: list[tuple[int, float]] = []
    length = 0
    for track in tracks:
        now = 0
        sounding: dict[tuple[int, int], int] = {}  # (channel, pitch) -> start
        for message in track:
            now += message.time
            if message.type == "set_tempo":
                tempos.append((now, _MICROSECONDS / max(message.tempo, 1)))
            elif message.type in ("note_on", "note_off") and message.channel != PERCUSSION:
                key = (message.channel, message.note)
                if key in sounding:  # let go, or struck again
                    notes.append((sounding.pop(key), now, message.note))
                if message.type == "note_on" and message.velocity:
                    sounding[key] = now
        notes += [(start, now, pitch) for (_, pitch), start in sounding.items()]  # never let go
        length = max(length, now)
    return notes, length, min(tempos, default=(0, DEFAULT_TEMPO))[1]


def _rounded(ticks: int, ticks_per_step: int) -> int:
    """ticks / ticks_per_step, halves upwards, in whole numbers: ticks from a file may be too many for a float."""
    return (2 * ticks + ticks_per_step) // (2 * ticks_per_step)
