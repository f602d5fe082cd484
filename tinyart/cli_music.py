"""The commands of music and text: `train music`, `train char`, `compose`, `write`. As in `cli`, what is heavy is
imported inside the commands."""

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyart.cli_parts import command, count, number, open_run, output_file, rate, seed
from tinyart.errors import ArgumentError

if TYPE_CHECKING:
    from numpy import ndarray

    from tinyart.models import Trainers

MODELS = ("char", "music", "chords", "melody")
CELLS = ("tanh", "relu", "lstm", "gru")
EPOCHS = {"char": 12, "music": 100, "chords": 40, "melody": 60}
BATCH = {"char": 50, "music": 8, "chords": 16, "melody": 16}
STEPS = {"char": 50, "chords": 64, "melody": 32}
STEPS_PER_BEAT = 4  # of MIDI files: sixteenth notes
LONGEST = 256  # steps of a piece; longer ones are cut
JSB_TEMPO = 80.0  # beats a minute
OCTAVE = 12
ENDINGS = (".mid", ".midi", ".wav", ".png")


def add_train_arguments(train: Any) -> None:
    """What `tinyart train` takes for these models only."""
    train.add_argument("--cell", choices=CELLS, help="of recurrent networks (lstm; music: gru)")
    train.add_argument("--layers", type=count, help="of recurrent networks (2; music: 1)")
    train.add_argument("--steps", type=count, help="symbols that a gradient goes back (char 50, chords 64, melody 32)")
    train.add_argument("--steps-per-beat", type=count, help=f"music, chords: of MIDI files ({STEPS_PER_BEAT})")


def add_commands(commands: Any) -> None:
    """`compose` and `write`."""
    compose = command(commands, "compose", _compose, "music by a model that was trained on music")
    compose.add_argument("run")
    compose.add_argument("--out", required=True, nargs="+", metavar="FILE", help="one or more of .mid, .wav and .png")
    compose.add_argument("--bars", type=count, default=16, help="to write (16); a melody may end sooner")
    compose.add_argument("--temperature", type=_temperature, default=1.0, help="below 1 safer, above bolder (1)")
    compose.add_argument("--prime", metavar="FILE", help="music to go on from: .mid, or .abc for melodies")
    compose.add_argument("--seed", type=seed, default=0, help="another one gives other music (0)")

    write = command(commands, "write", _write, "text by a model that was trained on text")
    write.add_argument("run")
    write.add_argument("--prime", default="", metavar="TEXT", help="text to go on from")
    write.add_argument("--length", type=count, default=500, help="characters (500)")
    write.add_argument("--temperature", type=_temperature, default=1.0, help="below 1 safer, above bolder (1)")
    write.add_argument("--top-k", type=count, help="choose among the k likeliest characters")
    write.add_argument("--top-p", type=rate, help="choose among the likeliest that have this probability together")
    write.add_argument("--seed", type=seed, default=0, help="another one gives other text (0)")


def _temperature(text: str) -> float:
    return 0.0 if not text.strip("0.") and text.strip(".") else number(text, 100)


@dataclass
class _Sequences:
    """What `Batches` takes, what a trainer must know of the data, and how both are counted."""

    arrays: tuple["ndarray", ...]
    settings: dict[str, Any]
    count: int
    what: str  # is counted
    batch_counts: int  # of it


def train(arguments: Any, given: dict[str, Any]) -> "Trainers":
    """Train a model of music or text, or go on with it; the trainer."""
    from tinyart.data import Batches
    from tinyart.data.midi import import_mido
    from tinyart.models import build, settings_of
    from tinyart.random import manual_seed
    from tinyart.train import Run

    model, data = arguments.model, arguments.data
    if model != "char":
        import_mido("train")  # before an epoch is trained whose sample cannot be written
    if model == "music" and (data == "tunes" or data.endswith(".abc")):
        model = "melody"
    if arguments.size is not None:
        raise ArgumentError("tinyart", "--size", f"none: {model} learns from no pictures", f"{arguments.size}")
    if len(given.get("hidden", [0])) > 1:
        raise ArgumentError("tinyart", "--hidden", "one width, that of each layer", f"{given['hidden']}")
    batch = arguments.batch or BATCH[model]
    if model == "music":
        found = _music(data, arguments.steps_per_beat, batch)
    else:
        found = _text(model, data, arguments.steps_per_beat, batch, arguments.steps or STEPS[model])
    if model == "music" and arguments.steps is not None:
        raise ArgumentError("tinyart", "--steps", "none: music learns from whole pieces", f"{arguments.steps}")
    given = {**given, **({"hidden": given["hidden"][0]} if "hidden" in given else {}), **found.settings}
    settings = settings_of(model, given)
    digest = hashlib.sha256()
    for array in found.arrays:
        digest.update(array.tobytes())
    config = {"model": settings, "batch": batch, found.what: found.count, "content": digest.hexdigest()[:16]}
    manual_seed(settings["seed"])
    trainer = build(settings)
    batches = Batches(found.arrays, batch, seed=settings["seed"], shuffle=model == "music", drop_last=model != "music")
    Run(arguments.out, trainer, batches, config=config, pace=(found.batch_counts, found.what),
        source={"data": os.path.abspath(data) if os.path.exists(data) else data}).train(
            arguments.epochs or EPOCHS[model], new=arguments.new)
    return trainer


def _music(data: str, steps_per_beat: int | None, batch: int) -> _Sequences:
    from tinyart.models.polyphony import padded

    pieces, steps_per_beat, tempo = rolls(data, steps_per_beat)
    parts = [piece[start : start + LONGEST] for piece in pieces for start in range(0, len(piece), LONGEST)]
    return _Sequences(padded(parts), {"steps_per_beat": steps_per_beat, "tempo": tempo}, len(pieces), "pieces", batch)


def rolls(data: str, steps_per_beat: int | None = None, split: Any = "train") -> tuple[list["ndarray"], int, float]:
    """Piano rolls, their steps a beat and tempo: of the chorales, an octave lower than they are stored, where they are
    sung; or of the MIDI files of a folder. split: of the chorales."""
    import numpy as np

    from tinyart.data import jsb_chorales, midi_folder

    if data == "jsb":
        if steps_per_beat not in (None, 1):
            raise ArgumentError("tinyart", "--steps-per-beat", "1, as the chorales are stored", f"{steps_per_beat}")
        return [np.roll(piece, -OCTAVE, axis=1) for piece in jsb_chorales(split)], 1, JSB_TEMPO
    if os.path.isdir(data):
        scores, report = midi_folder(data, steps_per_beat=steps_per_beat or STEPS_PER_BEAT)
        print(report, flush=True)
        tempo = round(float(np.median([score.tempo for score in scores])), 2)
        return [score.roll() for score in scores], scores[0].steps_per_beat, tempo
    raise ArgumentError("tinyart", "--data", "jsb, tunes, a folder of MIDI files or an .abc file", repr(data),
                        fix="see that it exists")


def _text(model: str, data: str, steps_per_beat: int | None, batch: int, steps: int) -> _Sequences:
    """What is learnt symbol by symbol: characters, notes of chords, events of melodies."""
    import numpy as np

    from tinyart.data import encode, read_text, symbols
    from tinyart.models.char_rnn import stretches

    settings: dict[str, Any]
    if model == "char":
        text = read_text(data)
        settings, what = {"symbols": symbols(text)}, "characters"
        codes = encode(text, settings["symbols"])
    elif model == "chords":
        pieces, steps_per_beat, tempo = rolls(data, steps_per_beat)
        settings, what = {"steps_per_beat": steps_per_beat, "tempo": tempo}, "notes"
        codes = chord_codes(pieces)
    else:
        events, tempo = melodies(data)
        known = sorted(set(events))
        settings, what = {"events": known, "tempo": tempo}, "events"
        codes = np.array([known.index(event) for event in events])
    if model != "chords" and steps_per_beat is not None:
        raise ArgumentError("tinyart", "--steps-per-beat", "none: it is for piano rolls", f"{steps_per_beat}")
    return _Sequences(stretches(codes, batch, steps), {**settings, "batch": batch}, len(codes), what, batch * steps)


def chord_codes(pieces: "list[ndarray]") -> "ndarray":
    """All pieces as the symbols of a `ChordComposer`, one after another."""
    from tinyart.data import encode
    from tinyart.models import ChordComposer

    text = "".join(ChordComposer.words(piece) + ChordComposer.END for piece in pieces)
    return encode(text, ChordComposer.SYMBOLS)


def melodies(data: str) -> tuple[list[str], float]:
    """The events of the embedded tunes or those of an ABC file, one after another, and their median tempo."""
    import numpy as np

    from tinyart.data import read_abc, tune_events, tunes

    if data == "tunes":
        found = tunes()
    elif os.path.isfile(data):
        found, report = read_abc(data)
        print(report, flush=True)
    else:
        raise ArgumentError("tinyart", "--data", "tunes or an .abc file", repr(data), fix="see that it exists")
    tempo = round(float(np.median([tune.tempo for tune in found])), 2)
    return [event for tune in found for event in tune_events(tune)], tempo


def evaluate(trainer: Any, model: str, data: str) -> None:
    """Print the nats a step, or a symbol, of music or text that the model may not have seen."""
    from tinyart.models.char_rnn import stretches
    from tinyart.models.polyphony import frequency_nats, note_frequencies, padded

    if model == "music":
        pieces = rolls(data, trainer.steps_per_beat, "test")[0]
        print(f"{len(pieces)} pieces, {sum(map(len, pieces)):,} steps of {data}")
        print(f"{trainer.evaluate(*padded(pieces)):.3f} nats a step")
        if data == "jsb":
            baseline = frequency_nats(pieces, note_frequencies(rolls(data)[0]))
            print(f"{baseline:.3f} by note frequencies alone; on the training pieces "
                  f"{trainer.evaluate(*padded(rolls(data)[0])):.3f}")
        return
    from tinyart.data import encode, read_text

    each, per = 1.0, "symbol"
    if model == "chords":
        pieces = rolls(data, trainer.steps_per_beat, "test")[0]
        codes = chord_codes(pieces)
        each, per = len(codes) / sum(map(len, pieces)), "step"
    elif model == "char":
        codes = encode(read_text(data), trainer.module.symbols)
    else:
        codes = encode(trainer.symbols_of(melodies(data)[0]), trainer.module.symbols)
    batch, steps = (1, min(50, len(codes) - 1)) if len(codes) <= 2500 else (50, 50)
    print(f"{len(codes):,} symbols of {data}")
    print(f"{each * trainer.evaluate(*stretches(codes, batch, steps), batch):.3f} nats a {per}")


def _compose(arguments: Any) -> None:
    from tinyart.data import read_abc, read_midi, save_image, score_picture, write_midi, write_wav
    from tinyart.random import Generator

    outs = [output_file(path, *ENDINGS) for path in arguments.out]
    trainer, found = open_run(arguments.run, "compose")
    prime: Any = None
    if arguments.prime is not None:
        melody = found.meta["config"]["model"]["name"] == "melody"
        if Path(arguments.prime).suffix.lower() not in ((".abc",) if melody else (".mid", ".midi")):
            raise ArgumentError("tinyart", "--prime", f"{'an .abc' if melody else 'a .mid'} file for this model",
                                repr(arguments.prime))
        prime = read_abc(arguments.prime)[0][0] if melody else read_midi(
            arguments.prime, steps_per_beat=trainer.steps_per_beat).roll()
    score = trainer.compose(arguments.bars, prime=prime, temperature=arguments.temperature,
                            generator=Generator(arguments.seed))
    for out in outs:
        if out.suffix.lower() == ".wav":
            write_wav(out, score)
        elif out.suffix.lower() == ".png":
            save_image(out, score_picture(score))
        else:
            write_midi(out, score)
        print(out)


def _write(arguments: Any) -> None:
    from tinyart.random import Generator

    trainer, found = open_run(arguments.run, "sample")
    if found.meta["config"]["model"]["name"] != "char":
        raise ArgumentError("tinyart", arguments.run, "a model of text", "another", fix="tinyart train char")
    text = trainer.module.sample(arguments.prime, arguments.length, temperature=arguments.temperature,
                                 top_k=arguments.top_k, top_p=arguments.top_p, generator=Generator(arguments.seed))
    sys.stdout.write(arguments.prime + text + "\n")
