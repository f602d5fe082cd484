"""A melody as a row of events, each one of a few signs, so that a model of characters can learn it.

    M:3/4            the metre, with which a tune begins
    67 or z or ~     what sounds: a pitch, a rest, or still the note before (over a bar line)
    1/4              for how long, in whole notes; always after what sounds
    |                the end of a bar
    .                the end of the tune

Tunes are brought to the tonic C, by at most six semitones, so that what is alike in them looks alike.
"""

import re
from collections.abc import Iterable
from fractions import Fraction

from tinyart.data.abc_notation import Note, Tune

BAR, END, REST, HELD = "|", ".", "z", "~"
_METRE = re.compile(r"M:(?:none|(\d+)/(\d+))")


def tune_events(tune: Tune) -> list[str]:
    """The events of a tune."""
    down = (tune.tonic + 6) % 12 - 6
    events = ["M:{}/{}".format(*tune.meter) if tune.meter else "M:none"]
    held = None  # the pitch that a tie holds
    for bar in tune.bars:
        for pitch, length, tied in bar:
            events += [REST if pitch is None else HELD if pitch == held else str(_in_range(pitch - down)),
                       f"{length.numerator}/{length.denominator}"]
            held = pitch if tied else None
        events.append(BAR)
    return [*events, END]


def events_tune(events: Iterable[str], *, title: str = "", tempo: float = 100.0) -> Tune:
    """The tune that events describe, up to the first END. What a model writes may break the rules: a length without
    something that sounds, or the other way round, is left out, and a note that is held after none is a rest."""
    tune = Tune(title=title, tempo=tempo, bars=[[]])
    sounding: str | None = None
    last: int | None = None  # the pitch before, None after a rest
    for event in events:
        if event == END:
            break
        if metre := _METRE.fullmatch(event):
            tune.meter = (int(metre[1]), int(metre[2])) if metre[1] else None
        elif event == BAR:
            tune.bars.append([])
        elif "/" not in event:
            sounding = event
        elif sounding is not None:
            if sounding == HELD and last is not None:
                _tie_last(tune)
            else:
                last = None if sounding in (REST, HELD) else int(sounding)
            tune.bars[-1].append(Note(last, Fraction(event)))
            sounding = None
    tune.bars = [bar for bar in tune.bars if bar]
    return tune


def _in_range(pitch: int) -> int:
    return pitch + 12 if pitch < 0 else pitch - 12 if pitch > 127 else pitch


def _tie_last(tune: Tune) -> None:
    bar = next(bar for bar in reversed(tune.bars) if bar)
    bar[-1] = bar[-1]._replace(tied=True)
