"""ABC by the standard 2.1: every sign that is read, every one that is refused, and the tunes that come with tinyart."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyart.data import parse_abc, read_abc, tunes
from tinyart.data.tunes import TUNES
from tinyart.errors import FormatError


def played(music: str, *fields: str) -> str:
    """What is heard: C D E .. with # and octave as in MIDI's names, and lengths in eighths; rests are `z`."""
    key = [] if any(field.startswith("K:") for field in fields) else ["K:C"]
    tune = parse_abc("\n".join(["X:1", "L:1/8", *fields, *key, music]))
    names = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]
    return " ".join(("z" if n.pitch is None else f"{names[n.pitch % 12]}{n.pitch // 12 - 1}")
                    + ("" if n.length == Fraction(1, 8) else f":{n.length * 8}") for n in tune.notes)


@pytest.mark.parametrize(("music", "heard"), [
    # octaves, accidentals: until the end of the bar, in all octaves, not into the next
    ("C, C c c' c''", "C3 C4 C5 C6 C7"),
    ("^F F f|F", "F#4 F#4 F#5 F4"),
    ("_B =B __B ^^F B", "A#4 B4 A4 G4 A4"),
    ("^F-|F F", "F#4:2 F4"),
    ("^F-|F- F|F", "F#4:3 F4"),
    # lengths
    ("C2 C/2 C/ C// C3/2 C/4 C16", "C4:2 C4:1/2 C4:1/2 C4:1/4 C4:3/2 C4:1/4 C4:16"),
    ("z z2 x/ C", "z z:2 z:1/2 C4"),
    ("Z|Z2|C", "z:8 z:8 z:8 C4"),
    ("C>D C<D C>>D C<<<D", "C4:3/2 D4:1/2 C4:1/2 D4:3/2 C4:7/4 D4:1/4 C4:1/8 D4:15/8"),
    ("C2>D2", "C4:3 D4"),
    ("A>z B", "A4:3/2 z:1/2 B4"),
    ("(3CDE C", "C4:2/3 D4:2/3 E4:2/3 C4"),
    ("(2CD (4CDEF", "C4:3/2 D4:3/2 C4:3/4 D4:3/4 E4:3/4 F4:3/4"),
    ("(5CDEFG", "C4:2/5 D4:2/5 E4:2/5 F4:2/5 G4:2/5"),
    ("(3:2:4CDEF G", "C4:2/3 D4:2/3 E4:2/3 F4:2/3 G4"),
    ("(3::2CD E", "C4:2/3 D4:2/3 E4"),
    # ties join, also over bars; slurs do not
    ("C-C C2-|C2 (CC)", "C4:2 C4:4 C4 C4"),
    ("C-D", "C4 D4"),
    # chords by their highest note, as long as their first
    ("[CEG] [GEC]2 [C2E4] [C/E/]2 C", "G4 G4:2 E4:2 E4 C4"),
    ("[CE]-|[CE]", "E4:2"),
    # passed over
    ('"Am"C "^text"D !trill!E +fermata+F {/gab}G ~A .B vc ud Te `f', "C4 D4 E4 F4 G4 A4 B4 C5 D5 E5 F5"),
    ("C D \\\nE % no F\nw: la la\n% G\nF", "C4 D4 E4 F4"),
    # bars and repeats
    ("C||D|]E[|F|G", "C4 D4 E4 F4 G4"),
    ("C|D:|E", "C4 D4 C4 D4 E4"),
    ("C|:D:|E", "C4 D4 D4 E4"),
    ("|:C::D:|", "C4 C4 D4 D4"),
    ("|:C:|:D:|E", "C4 C4 D4 D4 E4"),
    ("|:C:||:D:|", "C4 C4 D4 D4"),
    ("|:C::|", "C4 C4 C4"),
    ("|:C|1D:|2E|F|", "C4 D4 C4 E4 F4"),
    ("|:C|1D:|2E|]F|", "C4 D4 C4 E4 F4"),
    ("|:C|[1D|E:|[2F||G:|", "C4 D4 E4 C4 F4 G4 G4"),
    ("|:C|1,3D:|2E:|", "C4 D4 C4 E4 C4 D4"),
    ("|:C|[1-2D:|[3E|]", "C4 D4 C4 D4 C4 E4"),
    ("|:C [1 D :| [2 E |]", "C4 D4 C4 E4"),
    ("|:C|1D:|2E|:F:|", "C4 D4 C4 E4 F4 F4"),
    ("E:|", "E4 E4"),
    # fields within a tune
    ("F|\nK:G\nF|[K:F]F B", "F4 F#4 F4 A#4"),
    ("C|[L:1/4]C|\nL:1/16\nC", "C4 C4:2 C4:1/2"),
    ("[M:3/4]Z|[M:6/8](2CD", "z:6 C4:3/2 D4:3/2"),
    ("[V:1]C", "C4"),
])  # fmt: skip
def test_signs(music: str, heard: str) -> None:
    assert played(music, "M:4/4") == heard


@pytest.mark.parametrize(("key", "heard"), [
    ("C", "C D E F G A B"), ("G", "C D E F# G A B"), ("D", "C# D E F# G A B"), ("F#", "C# D# F F# G# A# B"),
    ("C#", "C# D# F F# G# A# C"), ("F", "C D E F G A A#"), ("Bb", "C D D# F G A A#"), ("Cb", "B C# D# E F# G# A#"),
    ("Am", "C D E F G A B"), ("Emin", "C D E F# G A B"), ("F#m", "C# D E F# G# A B"), ("C minor", "C D D# F G G# A#"),
    ("Ddor", "C D E F G A B"), ("E Dorian", "C# D E F# G A B"), ("Amix", "C# D E F# G A B"),
    ("Ephr", "C D E F G A B"), ("FLyd", "C D E F G A B"), ("Bloc", "C D E F G A B"), ("Aaeo", "C D E F G A B"),
    ("Gion", "C D E F# G A B"), ("D Phr ^f", "C D D# F# G A A#"), ("Dexp _B ^f", "C D E F# G A A#"),
    ("none", "C D E F G A B"), ("", "C D E F G A B"), ("HP", "C D E F G A B"), ("Hp", "C# D E F# G A B"),
    ("G clef=treble", "C D E F# G A B"), ("F bass", "C D E F G A A#"), ("C transpose=2", "D E F# G A B C#"),
])  # fmt: skip
def test_keys_and_modes(key: str, heard: str) -> None:
    assert [name.rstrip("0123456789") for name in played("CDEFGAB", f"K:{key}").split()] == heard.split()


def test_octave_and_transpose_shift() -> None:
    assert played("C", "K:C octave=-1") == "C3"
    assert played("C", "K:C transpose=-3") == "A3"


@pytest.mark.parametrize(("key", "tonic", "mode"), [("C", 0, "maj"), ("Bb", 10, "maj"), ("F#m", 6, "min"),
                                                    ("Edor", 4, "dor"), ("Cb", 11, "maj"), ("Hp", 9, "maj")])
def test_the_tonic_and_mode_are_kept(key: str, tonic: int, mode: str) -> None:
    tune = parse_abc(f"X:1\nK:{key}\nC|[K:D]C")
    assert (tune.tonic, tune.mode) == (tonic, mode)


@pytest.mark.parametrize(("fields", "unit"), [
    (["M:4/4"], Fraction(1, 8)), (["M:3/4"], Fraction(1, 8)), (["M:6/8"], Fraction(1, 8)), (["M:2/4"], Fraction(1, 16)),
    (["M:C"], Fraction(1, 8)), (["M:C|"], Fraction(1, 8)), (["M:none"], Fraction(1, 8)), ([], Fraction(1, 8)),
    (["M:2/4", "L:1/4"], Fraction(1, 4)), (["M:5/8"], Fraction(1, 16)), (["L:1"], Fraction(1)),
])  # fmt: skip
def test_the_unit_follows_from_the_metre(fields: list[str], unit: Fraction) -> None:
    assert parse_abc("\n".join(["X:1", *fields, "K:C", "C"])).notes[0].length == unit


@pytest.mark.parametrize(("tempo", "quarters"), [
    ("1/4=120", 120), ("1/8=120", 60), ("3/8=40", 60), ("1/4 3/8 1/4 3/8=40", 200), ('"Allegro" 1/4=132', 132),
    ('1/4=80 "slow"', 80), ("120", 60), ('"Adagio"', 100), ("1/2=100", 200),
])  # fmt: skip
def test_tempo(tempo: str, quarters: float) -> None:
    assert parse_abc(f"X:1\nL:1/8\nQ:{tempo}\nK:C\nC").tempo == quarters


def test_metre() -> None:
    for text, meter in {"6/8": (6, 8), "C": (4, 4), "C|": (2, 2), "2+2+3/8": (7, 8), "(2+3)/8": (5, 8),
                        "none": None}.items():
        assert parse_abc(f"X:1\nM:{text}\nK:C\nC").meter == meter


@pytest.mark.parametrize(("text", "sentence"), [
    ("X:1\nT:a tune\n", "parse_abc: 'a tune': expected a header that ends with K:, got 'none'"),
    ("X:7\nCDE\nK:C\nC", "parse_abc: '7': expected fields in the header, the last of them K:, got 'CDE'"),
    ("X:1\nK:C\n", "expected a note, got 'none'"),
    ("X:1\nK:C\nz|z", "expected a note, got 'none'"),
    ("X:1\nK:H\nC", "expected a key such as D, Bb, F#m or Ador, got 'H'"),
    ("X:1\nK:Cwhat\nC", "expected a key"),
    ("X:1\nK:G#\nC", "at most 7 sharps or flats, got 'G#'"),
    ("X:1\nM:4/5\nK:C\nC", "a metre such as 6/8, C or none, got '4/5'"),
    ("X:1\nM:waltz\nK:C\nC", "a metre such as"),
    ("X:1\nM:0/4\nK:C\nC", "a metre such as"),
    ("X:1\nL:0/8\nK:C\nC", "a length such as 1/8, got '0/8'"),
    ("X:1\nL:1/0\nK:C\nC", "a length such as 1/8, got '1/0'"),
    ("X:1\nQ:fast\nK:C\nC", "Q: with a tempo such as 1/4=120, got 'fast'"),
    ("X:1\nQ:1/4=9999\nK:C\nC", "a tempo of 4 to 1000 quarter notes a minute, got '1/4=9999'"),
    ("X:1\nQ:1/4=0\nK:C\nC", "a tempo of 4"),
    ("X:1\nV:2\nK:C\nC", "expected one voice, got 'V:2'"),
    ("X:1\nK:C\nC [V:bass] D", "expected one voice"),
    ("X:1\nK:C\nC D = E", "expected notes, rests, bars, got '= E'"),
    ("X:1\nK:C\nC \"unclosed", "expected notes, rests, bars"),
    ("X:1\nK:C\nC §", "expected notes, rests, bars, got '§'"),
    ("X:1\nK:C\nC0", "lengths above 0, at most 64 whole notes"),
    ("X:1\nK:C\nC9999", "at most 64 whole notes.*got '9999 of 1/8'"),
    ("X:1\nK:C\nC/0", "a length such as 3, 3/2 or /4, got '/0'"),
    ("X:1\nK:C\nC//////////", "a length such as"),
    ("X:1\nK:C\nC/997", "in parts of at most 768"),
    ("X:1\nK:C\nC,,,,,,", "pitches of MIDI, 0 to 127, got 'C,,,,,,'"),
    ("X:1\nK:C\n>C", "up to three > or < between two notes, got '>'"),
    ("X:1\nK:C\nC>>>>D", "up to three"),
    ("X:1\nK:C\nC|[1>D", "up to three"),
    ("X:1\nK:C\n-C", "a note before a tie"),
    ("X:1\nK:C\nz-z", "a note before a tie"),
    ("X:1\nK:C\n(1C", "tuplets of 2 to 9 notes, got '(1'"),
    ("X:1\nK:C\n[CzE]", "notes in a chord, got 'CzE'"),
    ("X:1\nK:C\n[]", "notes in a chord, got 'none'"),
    ("X:1\nK:C\nZ", "rests of 1 to 64 bars, in a metre, got 'Z1'"),
    ("X:1\nM:4/4\nK:C\nZ999", "rests of 1 to 64 bars"),
    ("X:1\nK:C\nC|[0D", "endings from 1 to 9, got '0'"),
    ("X:1\nK:C\nC:::::::::|", "at most 9 passes"),
    ("X:1\nK:C\n" + "C" * 20_001, "at most 20000 notes"),
    ("X:1\nK:C\n|:" + "C" * 12_000 + ":|", "at most 20000 notes and 2000 whole notes"),
    ("X:1\nK:C\n" + "C99" * 200, "2000 whole notes"),
    ("X:1\nK:C\n" + "%" * (1 << 20), "at most 1048576 characters, got '1048584'"),
])  # fmt: skip
def test_what_is_refused_gets_one_sentence(text: str, sentence: str) -> None:
    import re
    with pytest.raises(FormatError, match=sentence if ".*" in sentence else re.escape(sentence)) as caught:
        parse_abc(text)
    assert "\n" not in str(caught.value)


def test_score_puts_notes_on_a_grid_and_keeps_repeated_ones_apart() -> None:
    score = parse_abc("X:1\nL:1/4\nQ:1/4=90\nK:C\nC C z (3E/F/G/").score(steps_per_beat=12)
    assert score.notes.tolist() == [[0, 12, 60], [12, 24, 60], [36, 40, 64], [40, 44, 65], [44, 48, 67]]
    assert (score.steps, score.steps_per_beat, score.tempo) == (48, 12, 90)
    rounded = parse_abc("X:1\nL:1/4\nK:C\nC/4 D").score(steps_per_beat=1)
    assert rounded.notes.tolist() == [[0, 1, 62]]  # a quarter of a step is none


# ---- files


def test_a_tune_book_gives_its_tunes_and_reports_the_others(tmp_path: Path) -> None:
    (tmp_path / "book.abc").write_bytes("%abc-2.1\nsome text\n\nX:1\r\nT:Gälisch\r\nK:D\r\nDEF\r\n\r\nNotes: none\n\n"
                                        "X:2\nT:broken\nK:H\nC\n\nX:3\nK:C\nC\nX:4\nK:C\nE".encode("latin-1"))
    found, report = read_abc(tmp_path / "book.abc")
    assert [[note.pitch for note in tune.notes] for tune in found] == [[62, 64, 66], [60], [64]]
    assert found[0].title == "Gälisch"
    assert str(report).splitlines() == [
        "3 tunes read, 1 files skipped",
        "  parse_abc: 'broken': expected a key such as D, Bb, F#m or Ador, got 'H'."]


@pytest.mark.parametrize(("content", "sentence"), [
    (b"", "read_abc: .*: expected tunes, got none, no line that begins with X:"),
    (b"X:1\nC", "expected tunes, got none; the first: parse_abc: '1': expected fields in the header"),
    (b"X:1\n" * (5 << 20), "at most 16777216 bytes, got more"),
])  # fmt: skip
def test_a_file_without_tunes_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "x.abc").write_bytes(content)
    with pytest.raises(FormatError, match=sentence):
        read_abc(tmp_path / "x.abc")


def refused_or_right(text: str) -> bool:
    try:
        tune = parse_abc(text)
    except FormatError as error:
        assert "\n" not in str(error)  # noqa: PT017  (some are read)
        return False
    assert all(note.length > 0 and (note.pitch is None or 0 <= note.pitch < 128) for note in tune.notes)
    tune.score(steps_per_beat=12).roll()
    return True


def test_500_damaged_tunes_are_refused_or_read() -> None:
    rng, sources, read = np.random.default_rng(0), TUNES.strip().split("\n\n"), 0
    signs = np.array(list("ABCabcz|:[]()<>-23/^_=,'\"!{}~ \n%K\\XMLQ#"))
    for i in range(500):
        text = list(sources[i % len(sources)])
        for place in rng.integers(0, len(text), rng.integers(1, 6)):
            text[place] = str(rng.choice(signs))
        read += refused_or_right("".join(text[: rng.integers(1, len(text))] if i % 5 == 0 else text))
    assert 100 < read < 450


@given(st.text(st.sampled_from(list("ABCabcz|:[]()<>-234/^_=,'\"!{}~ \n%K:MLQVwZ+.&#\0é")), max_size=60))
def test_no_text_raises_anything_else(text: str) -> None:
    refused_or_right("X:1\nM:3/4\nK:C\n" + text)
    refused_or_right(text)


# ---- the tunes that come with tinyart


def test_there_are_forty_tunes_of_whole_bars() -> None:
    """Each bar is full, but for upbeats: what an upbeat has, the last bar of its part lacks."""
    found = tunes()
    assert len(found) == 40
    assert len({tune.title for tune in found}) == 40
    for tune in found:
        assert tune.meter is not None
        bar, part = Fraction(*tune.meter), Fraction(0)
        for notes in tune.bars:
            length = sum((note.length for note in notes), Fraction(0))
            assert 0 < length <= bar, tune.title
            part = (part + length) % bar if length != bar else part
            assert length == bar or part in (0, length), tune.title
        assert part == 0, tune.title


def test_the_tunes_can_be_sung() -> None:
    for tune in tunes():
        pitches = [note.pitch for note in tune.notes if note.pitch is not None]
        assert 53 <= min(pitches) < max(pitches) <= 84, tune.title  # F3 to C6
        assert max(pitches) - min(pitches) <= 21, tune.title
        assert np.abs(np.diff(pitches)).max() <= 15, tune.title
        assert 60 <= tune.tempo <= 220, tune.title
        scale = {"maj": [0, 2, 4, 5, 7, 9, 11], "min": [0, 2, 3, 5, 7, 8, 10], "dor": [0, 2, 3, 5, 7, 9, 10]}[tune.mode]
        strange = sum((pitch - tune.tonic) % 12 not in scale for pitch in pitches) / len(pitches)
        assert strange <= (0.15 if tune.title == "Greensleeves" else 0), tune.title
        assert (pitches[-1] - tune.tonic) % 12 in (0, 2, 4, 5, 7), tune.title
