"""Melodies in ABC, the letters that traditional tunes are passed on in (the ABC music standard 2.1, 2011).

    X:1            a number, with which a tune begins          K:Dmix   the key, with which its header ends
    T:Old Hundred  title                                       CDE cde c' C,  notes, an octave up, an octave down
    M:4/4          metre                                       ^F _B =c       sharp, flat, natural, until the bar ends
    L:1/8          the length of a note without one            C2 C/2 C3/2 z  lengths, in L; a rest
    Q:1/4=100      tempo                                       A>B (3ABC A-A  dotted pairs, triplets, ties

Read are these and: repeats with endings, K, L, M and Q within a tune, [K:..] in a line, chords in brackets, of which
the highest note is taken, tuplets (p:q:r, rests of several bars. Passed over are lyrics, chord names, grace notes,
decorations, slurs and other fields. Several voices are refused, as is what the standard does not know.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinyart.data.files import Report, reading, shown
from tinyart.data.score import TEMPOS, Score
from tinyart.errors import FormatError

MAX_FILE = 16 << 20  # bytes
MAX_NOTES = 20_000  # of a tune, with its repeats
MAX_LENGTH = 64  # of a note, in whole notes
MAX_TUNE = 2000  # whole notes
MAX_TEXT = 1 << 20  # characters of a tune
MAX_PASSES = 9  # of a repeat
_FINEST = 768  # no denominator of a length is larger: 1/256 in triplets

_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_SHARPS = "FCGDAEB"  # the order in which a signature takes them; flats from its end
_TONICS = {"C": 0, "G": 1, "D": 2, "A": 3, "E": 4, "B": 5, "F": -1}  # sharps of the major key
_MODES = {"": 0, "maj": 0, "ion": 0, "min": -3, "m": -3, "aeo": -3, "mix": -1, "dor": -2, "phr": -4, "lyd": 1,
          "loc": -5, "exp": 0}  # sharps that are added; exp: only those that are written out
_ACCIDENTALS = {"^^": 2, "^": 1, "=": 0, "_": -1, "__": -2}
_TUPLETS = {2: 3, 3: 2, 4: 3, 6: 2, 8: 3}  # p notes in the time of q; of 5, 7 and 9 the metre decides


class Note(NamedTuple):
    """pitch: of MIDI, 60 is middle C, None a rest; length in whole notes; tied: goes on in the note that follows."""

    pitch: int | None
    length: Fraction
    tied: bool = False


@dataclass
class Tune:
    """A melody as it is played, repeats written out: `bars` of notes, meter (beats, unit) or None, tempo in quarter
    notes a minute, tonic: of the key it begins in, 0 to 11 for C to B; mode: its three letters."""

    title: str = ""
    meter: tuple[int, int] | None = None
    tempo: float = 100.0
    tonic: int = 0
    mode: str = "maj"
    bars: list[list[Note]] = field(default_factory=list)

    @property
    def notes(self) -> list[Note]:
        """All notes and rests, tied ones joined."""
        joined: list[Note] = []
        for note in (note for bar in self.bars for note in bar):
            if joined and joined[-1].tied and note.pitch == joined[-1].pitch:
                joined[-1] = Note(note.pitch, joined[-1].length + note.length, note.tied)
            else:
                joined.append(note)
        return [note._replace(tied=False) for note in joined]

    def score(self, *, steps_per_beat: int = 4) -> Score:
        """The notes on a grid of steps, each end at the nearest; what is shorter than half a step may vanish."""
        notes, now = [], Fraction(0)
        for pitch, length, _ in self.notes:
            start, end = (round(4 * steps_per_beat * time) for time in (now, now + length))
            now += length
            if pitch is not None and start < end:
                notes.append((start, end, pitch))
        steps = round(4 * steps_per_beat * now)
        return Score(np.array(notes, np.int64).reshape(-1, 3), steps, steps_per_beat, self.tempo)


def read_abc(path: str | Path) -> tuple[list[Tune], Report]:
    """The tunes of an ABC file, each from its X: to an empty line, and a Report of those that were skipped.

    Raises FormatError where none is left, or for a file that is not text.
    """
    with reading("read_abc", path, "an ABC file"), open(path, "rb") as file:
        content = file.read(MAX_FILE + 1)
        if len(content) > MAX_FILE:
            raise FormatError("read_abc", shown(path), f"at most {MAX_FILE} bytes", "more")
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("latin-1")  # the standard's encoding of old
    tunes, report = [], Report("tunes")
    for source in re.split(r"(?m)^(?=X:)", re.sub(r"\r\n?", "\n", text))[1:]:
        try:
            tunes.append(parse_abc(source.partition("\n\n")[0]))
            report.paths.append(Path(path))
        except FormatError as error:
            report.skipped.append(error)
    if not tunes:
        first = f"; the first: {report.skipped[0]}" if report.skipped else ", no line that begins with X:"
        raise FormatError("read_abc", shown(path), "tunes", f"none{first}")
    return tunes, report


def parse_abc(text: str) -> Tune:
    """One tune. Raises FormatError, with the tune's title and what is wrong in it."""
    parser = _Parser()
    try:
        if len(text) > MAX_TEXT:
            raise _Wrong(f"at most {MAX_TEXT} characters", f"{len(text)}")
        return parser.parse(text)
    except _Wrong as wrong:
        name = parser.tune.title or (re.search(r"(?m)^X:\s*(.{0,20})", text) or ["", "?"])[1]
        raise FormatError("parse_abc", shown(name), wrong.expected, wrong.got) from wrong


class _Wrong(Exception):
    def __init__(self, expected: str, got: str) -> None:
        super().__init__(expected, got)
        self.expected, self.got = expected, repr(got[:40])


@dataclass
class _Bar:
    """A bar as it is written. starts: `|:` before it; repeats: how often `:|` after it sends back; endings: in which
    passes of a repeat it is played, None in all."""

    notes: list[Note] = field(default_factory=list)
    starts: bool = False
    repeats: int = 0
    endings: frozenset[int] | None = None


_LENGTH = r"(\d{0,4})(/+)?(\d{0,4})"
_TOKENS = re.compile(rf"""
    (?P<note>(?P<accidental>\^\^|\^|__|_|=)?(?P<letter>[A-Ga-g])(?P<octave>[',]{{0,8}})(?P<length>{_LENGTH}))
  | (?P<rest>[zx](?P<rest_length>{_LENGTH}))
  | (?P<bars_rest>[ZX](?P<bars_count>\d{{0,3}}))
  | (?P<inline>\[(?P<inline_name>[A-Za-z]):(?P<inline_value>[^\]]*)\])
  | (?P<bar>\[\|\]|:*\.?[|\[]*\|+[\]|]*:*|::+)(?:\s*\[?(?P<after>\d[\d,-]*))?
  | \[(?P<ending>\d[\d,-]*)
  | (?P<chord>\[(?P<chord_notes>[^\]|]*)\](?P<chord_length>{_LENGTH}))
  | (?P<broken><+|>+)
  | (?P<tie>-)
  | \((?P<tuplet>\d)(?::(?P<into>\d?)(?::(?P<over>\d?))?)?
  | (?P<skip>"[^"]*"|![^!|]*!|\+[^+|]*\+|\{{[^}}]*\}}|!|(?:[\s)`~.HLMOPSTuvy$\#*;?@\\]|\((?!\d))+)
""", re.VERBOSE)


class _Parser:
    """The state that letters are read in: the key, the bar's accidentals, what a tuplet or a dot asks of next notes."""

    def __init__(self) -> None:
        self.tune = Tune()
        self.bars = [_Bar()]
        self.unit: Fraction | None = None
        self.meter: tuple[int, int] | None = None
        self.key: dict[str, int] = {}
        self.shift = 0  # semitones, of transpose= and octave=
        self.accidentals: dict[str, int] = {}
        self.factor = Fraction(1)  # of the next note, after > or <
        self.tuplet, self.tuplet_notes = Fraction(1), 0
        self.last = -1  # index in the bar of the note that > or - belong to
        self.spelled = self.carried = ("", 0)  # the last note as it is written, and one whose tie keeps its accidental
        self.ending: frozenset[int] | None = None
        self.count = 0

    def parse(self, text: str) -> Tune:
        lines = iter(text.splitlines())
        for line in lines:
            name, value = line[:1], re.split(r"(?<!\\)%", line[2:])[0].strip()
            if line[1:2] != ":" or line.startswith("%"):
                if line.split("%")[0].strip():
                    raise _Wrong("fields in the header, the last of them K:", line)
                continue
            self.field(name, value)
            if name == "K":
                break
        else:
            raise _Wrong("a header that ends with K:", "none")
        self.tune.meter = self.meter
        for line in lines:
            line = re.split(r"(?<!\\)%", line)[0]
            if re.match(r"[A-Za-z+]:", line) and line[1:3] not in (":|", "::"):
                self.field(line[0], line[2:].strip())
            else:
                self.music(line)
        self.tune.bars = list(self.expanded())
        if not any(note.pitch is not None for bar in self.tune.bars for note in bar):
            raise _Wrong("a note", "none")
        return self.tune

    # ---- fields

    def field(self, name: str, value: str) -> None:
        if name == "T":
            self.tune.title = self.tune.title or value[:80]
        elif name == "M":
            self.meter = _meter(value)
        elif name == "L":
            self.unit = _fraction("a length such as 1/8", value)
        elif name == "Q":
            self.tempo(value)
        elif name == "K":
            self.set_key(value)
        elif name == "V" and not re.match(r"1\b", value):
            raise _Wrong("one voice", f"V:{value}")

    def tempo(self, value: str) -> None:
        found = re.fullmatch(r'(?:"[^"]*"\s*)?((?:\d+/\d+\s*)*)=?\s*(\d+)(?:\s*"[^"]*")?|"[^"]*"', value)
        if not found:
            raise _Wrong("Q: with a tempo such as 1/4=120", value)
        if found[2]:
            beat = sum((_fraction("a beat", part) for part in found[1].split()), Fraction(0)) or self.default_unit()
            tempo = float(4 * beat * int(found[2][:6]))
            if not TEMPOS[0] <= tempo <= TEMPOS[1]:
                raise _Wrong("a tempo of {:g} to {:g} quarter notes a minute".format(*TEMPOS), value)
            if not self.count:
                self.tune.tempo = tempo

    def set_key(self, value: str) -> None:
        """Tonic, mode and accidentals of its own, such as `D Phr ^f`; clefs change nothing that is heard."""
        self.shift = 0
        rest = value
        for name, sign, number in re.findall(r"\b(transpose|octave)=([+-]?)(\d{1,2})", value):
            self.shift += (12 if name == "octave" else 1) * int(sign + number)
        rest = re.sub(r"\b\w+=\S+|\b(treble|bass|alto|tenor|perc)\S*", "", rest).strip()
        found = re.fullmatch(r"(?:([A-G])([#b]?)\s*([A-Za-z]*)|(HP|Hp|none|exp)?)\s*"
                             r"((?:(?:\^\^?|__?|=)[A-Ga-g]\s*)*)", rest)
        if not found or (mode := (found[3] or "").lower()[:3]) not in _MODES:
            raise _Wrong("a key such as D, Bb, F#m or Ador", value)
        sharps, tonic, name = 0, 0, "maj"
        if found[1]:
            alter = {"#": 1, "b": -1, "": 0}[found[2]]
            sharps = _TONICS[found[1]] + 7 * alter + _MODES[mode] if mode != "exp" else 0
            tonic, name = (_LETTERS[found[1]] + alter) % 12, {"": "maj", "m": "min", "exp": "maj"}.get(mode, mode)
        elif found[4] == "Hp":
            sharps, tonic = 2, 9  # the pipes' F and C are sharp, and their tonic is A
        if not -7 <= sharps <= 7:
            raise _Wrong("at most 7 sharps or flats", value)
        self.key = {letter: 1 for letter in _SHARPS[:max(sharps, 0)]}
        self.key |= {letter: -1 for letter in _SHARPS[::-1][:max(-sharps, 0)]}
        for accidental, letter in re.findall(r"(\^\^?|__?|=)([A-Ga-g])", found[5]):
            self.key[letter.upper()] = _ACCIDENTALS[accidental]
        if not self.count:
            self.tune.tonic, self.tune.mode = (tonic + self.shift) % 12, name

    def default_unit(self) -> Fraction:
        """1/16 in metres shorter than 3/4, otherwise 1/8."""
        if self.unit is None:
            short = self.meter is not None and Fraction(*self.meter) < Fraction(3, 4)
            return Fraction(1, 16 if short else 8)
        return self.unit

    # ---- notes

    def music(self, line: str) -> None:
        at = 0
        while at < len(line):
            found = _TOKENS.match(line, at)
            if not found or found.end() == at:
                raise _Wrong("notes, rests, bars", line[at : at + 20])
            at = found.end()
            if found["note"]:
                self.add(self.pitch(found["accidental"], found["letter"], found["octave"]), found["length"])
            elif found["rest"]:
                self.add(None, found["rest_length"])
            elif found["bars_rest"]:
                self.rest_bars(int(found["bars_count"] or 1))
            elif found["inline"]:
                self.field(found["inline_name"], found["inline_value"].strip())
            elif found["bar"]:
                self.bar(found["bar"], found["after"])
            elif found["ending"]:
                self.begin_ending(found["ending"])
            elif found["chord"]:
                self.chord(found["chord_notes"], found["chord_length"])
            elif found["broken"]:
                self.break_rhythm(found["broken"])
            elif found["tie"]:
                self.tie()
            elif found["tuplet"]:
                self.begin_tuplet(int(found["tuplet"]), found["into"], found["over"])

    def pitch(self, accidental: str | None, letter: str, octave: str) -> int:
        """An accidental holds for its letter, in all octaves, to the end of the bar."""
        name = letter.upper()
        if not accidental and letter + octave == self.carried[0]:
            return self.carried[1]
        if accidental:
            self.accidentals[name] = _ACCIDENTALS[accidental]
        alter = self.accidentals.get(name, self.key.get(name, 0))
        octaves = (letter != name) + octave.count("'") - octave.count(",")
        pitch = 60 + _LETTERS[name] + alter + 12 * octaves + self.shift
        if not 0 <= pitch < 128:
            raise _Wrong("pitches of MIDI, 0 to 127", letter + octave)
        self.spelled = letter + octave, pitch
        return pitch

    def add(self, pitch: int | None, length: str, times: Fraction = Fraction(1)) -> None:
        value = _length(length) * times * self.default_unit() * self.factor
        self.factor, self.carried = Fraction(1), ("", 0)
        if self.tuplet_notes:
            value *= self.tuplet
            self.tuplet_notes -= 1
        if not 0 < value <= MAX_LENGTH or value.denominator > _FINEST:
            raise _Wrong(f"lengths above 0, at most {MAX_LENGTH} whole notes, in parts of at most {_FINEST}",
                         f"{length or 1} of {self.default_unit()}")
        self.append(Note(pitch, value))

    def append(self, note: Note) -> None:
        self.count += 1
        if self.count > MAX_NOTES:
            raise _Wrong(f"at most {MAX_NOTES} notes", "more")
        self.last = len(self.bars[-1].notes)
        self.bars[-1].notes.append(note)

    def rest_bars(self, count: int) -> None:
        if self.meter is None or not 1 <= count <= MAX_LENGTH:
            raise _Wrong(f"rests of 1 to {MAX_LENGTH} bars, in a metre", f"Z{count}")
        for i in range(count):
            if i:
                self.bar("|", None)
            self.append(Note(None, Fraction(*self.meter)))

    def chord(self, notes: str, length: str) -> None:
        """The highest of the notes, as long as the first of them."""
        pitches, first, at, notes = [], "", 0, re.sub(r'"[^"]*"|![^!]*!|[\s~.()uvHLMOPST]', "", notes)
        tied = notes.endswith("-")
        notes = notes.replace("-", "")
        while at < len(notes):
            found = _TOKENS.match(notes, at)
            if not found or not found["note"]:
                raise _Wrong("notes in a chord", notes)
            pitches.append(self.pitch(found["accidental"], found["letter"], found["octave"]))
            first = first if at else found["length"]
            at = found.end()
        if not pitches:
            raise _Wrong("notes in a chord", "none")
        self.add(max(pitches), length, _length(first))
        if tied:
            self.tie()

    def break_rhythm(self, signs: str) -> None:
        """a>b: the first half as long again, the second half as long; >> three quarters; < the other way round."""
        if self.last < 0 or len(signs) > 3 or self.factor != 1:
            raise _Wrong("up to three > or < between two notes", signs)
        short = Fraction(1, 2 ** len(signs))
        mine, self.factor = (2 - short, short) if signs[0] == ">" else (short, 2 - short)
        notes = self.bars[-1].notes
        notes[self.last] = notes[self.last]._replace(length=notes[self.last].length * mine)

    def tie(self) -> None:
        if self.last < 0 or self.bars[-1].notes[self.last].pitch is None:
            raise _Wrong("a note before a tie", "-")
        self.bars[-1].notes[self.last] = self.bars[-1].notes[self.last]._replace(tied=True)
        self.carried = self.spelled

    def begin_tuplet(self, p: int, into: str | None, over: str | None) -> None:
        compound = self.meter is not None and self.meter[1] == 8 and self.meter[0] in (6, 9, 12)
        q = int(into) if into else _TUPLETS.get(p, 3 if compound else 2)
        if p < 2 or q < 1:
            raise _Wrong("tuplets of 2 to 9 notes", f"({p}")
        self.tuplet, self.tuplet_notes = Fraction(q, p), int(over) if over else p

    # ---- bars

    def bar(self, sign: str, after: str | None) -> None:
        """sign: such as |, ||, |], |:, :|, :: or :|:"""
        now = self.bars[-1]
        left, right = (len(sign) - len(sign.lstrip(":")), len(sign) - len(sign.rstrip(":")))
        if set(sign) == {":"}:  # `::` is `:|:`
            left, right = (len(sign) + 1) // 2, len(sign) // 2
        if left >= MAX_PASSES:
            raise _Wrong(f"at most {MAX_PASSES} passes", sign)
        now.repeats = max(now.repeats, left + 1 if left else 0)
        if left or right or "||" in sign or "]" in sign:
            self.ending = None
        if now.notes or now.repeats:
            self.bars.append(_Bar(endings=self.ending))
        self.bars[-1].starts |= right > 0
        self.bars[-1].endings = self.ending
        self.accidentals, self.last = {}, -1
        if after:
            self.begin_ending(after)

    def begin_ending(self, numbers: str) -> None:
        """`[1`, `|2`, `[1,3`, `[1-3`"""
        passes: set[int] = set()
        for part in numbers.strip(",-").split(","):
            low, _, high = part.partition("-")
            if not (re.fullmatch(r"[1-9]", low) and re.fullmatch(r"[1-9]?", high)):
                raise _Wrong("endings from 1 to 9", numbers)
            passes |= set(range(int(low), int(high or low) + 1))
        if self.bars[-1].notes:
            self.bars.append(_Bar())
            self.last = -1
        self.ending = self.bars[-1].endings = frozenset(passes)

    def expanded(self) -> Iterator[list[Note]]:
        """The bars in the order in which they are played."""
        section: list[_Bar] = []
        count, length = 0, Fraction(0)
        for bar in [*self.bars, _Bar(starts=True)]:
            # A repeat's second ending still belongs to it, what comes after does not.
            over = bar.endings is None and any(b.repeats for b in section)
            if section and (bar.starts or over):
                passes = max(max((b.repeats for b in section), default=0), 1,
                             *(max(b.endings) for b in section if b.endings))
                for number in range(1, passes + 1):
                    for played in section:
                        if played.endings is None or number in played.endings:
                            count += len(played.notes)
                            length += sum(note.length for note in played.notes)
                            if count > MAX_NOTES or length > MAX_TUNE:
                                raise _Wrong(f"at most {MAX_NOTES} notes and {MAX_TUNE} whole notes of time", "more")
                            if played.notes:
                                yield played.notes
                section = []
            section.append(bar)


def _meter(value: str) -> tuple[int, int] | None:
    """`4/4`, `C`, `C|`, `2+2+3/8`, `none`"""
    if value in ("none", ""):
        return None
    known = {"C": "4/4", "C|": "2/2"}.get(value, value).replace("(", "").replace(")", "")
    if not re.fullmatch(r"\d{1,2}(\+\d{1,2}){0,8}/\d{1,3}", known):
        raise _Wrong("a metre such as 6/8, C or none", value)
    beats, _, unit = known.partition("/")
    result = sum(map(int, beats.split("+"))), int(unit)
    if not result[0] or result[1] not in (1, 2, 4, 8, 16, 32, 64):
        raise _Wrong("a metre such as 6/8, C or none", value)
    return result


def _fraction(expected: str, value: str) -> Fraction:
    found = re.fullmatch(r"\s*(\d{1,3})(?:/(\d{1,3}))?\s*", value)
    if not found or not int(found[1]) or (found[2] and not int(found[2])):
        raise _Wrong(expected, value)
    return Fraction(int(found[1]), int(found[2] or 1))


def _length(text: str) -> Fraction:
    """`` is 1, `3` is 3, `3/2`, `/` is 1/2, `/4`, `//` is 1/4"""
    found = re.fullmatch(_LENGTH, text)
    assert found is not None, "the token's own pattern"
    above, slashes, below = found.groups()
    under = int(below) if below else 2 ** len(slashes or "")
    if not under or len(slashes or "") > 8:
        raise _Wrong("a length such as 3, 3/2 or /4", text)
    return Fraction(int(above or 1), under)
