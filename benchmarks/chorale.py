"""How a model of the chorales composes: its pieces beside Bach's and beside notes that are drawn one by one.

    tinyart train chords --data jsb --lr 0.004 --dropout 0.2 --epochs 40 --out runs/chorales      (or `train music`)
    python -m benchmarks.chorale runs/chorales [--temperatures 1 0.8 0.6] [--seed 0]

For each temperature it composes as many pieces as there are test chorales, each as long as one of them, from silence;
those of `chords` may end before.
The baseline draws each key by its frequency in the training chorales, the "note 1-gram" of Boulanger-Lewandowski et al.
2012. Every measure (`tinyart.models.music_measures`) is taken of the test chorales, of the validation ones (how far two
parts of Bach differ), of the baseline and of what was composed. `apart` is how far that is from the test chorales, in
standard deviations of the measure among them: at 1 it is as far as a chorale is from the average one. The measures
where it is largest come first. Judged by numbers alone: nobody has listened.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyart.cli_music import chord_codes, rolls
from tinyart.cli_parts import open_run
from tinyart.models import Composer
from tinyart.models import music_measures as m
from tinyart.models.polyphony import frequency_nats, note_frequencies, padded
from tinyart.random import Generator

RESULTS = Path(__file__).parent / "results"
Pieces = Sequence[np.ndarray]


def measures(trainer: Any, train: Pieces) -> dict[str, Callable[[Pieces], float]]:
    """Name -> a measure of a list of pieces."""
    p = note_frequencies(train)
    return {
        "nats a step, by the model": lambda pieces: nats(trainer, pieces),
        "nats a step, by note frequencies": lambda pieces: frequency_nats(pieces, p),
        "voices in a step, mean": m.voices,
        "voices in a step, standard deviation": m.voices_spread,
        "share of notes held from the step before": m.held,
        "share of consonant intervals": m.consonance,
        "steps of the highest voice, semitones": m.melodic_step,
        "pitch classes, distance from the training ones": lambda pieces: m.pitch_class_distance(pieces, train),
        "longest passage copied from a training chorale":
            lambda pieces: float(np.mean([m.longest_copy(piece, train) for piece in pieces])),
    }  # fmt: skip


def nats(trainer: Any, pieces: Pieces) -> float:
    """-log p of the pieces, the ends of those of `chords` included, for each of their steps."""
    if isinstance(trainer, Composer):
        return float(trainer.evaluate(*padded(pieces)))
    codes = np.concatenate([[len(trainer.SYMBOLS) - 1], chord_codes(pieces)])  # after the end of a piece another begins
    each = trainer.evaluate(codes[None, :-1], codes[None, 1:], 1)
    return float(each * (len(codes) - 1) / sum(map(len, pieces)))


def composed(trainer: Any, lengths: Sequence[int], temperature: float, generator: Generator) -> list[np.ndarray]:
    """A piece for each length. A bar is four steps."""
    return [piece[:steps] for steps in lengths
            if len(piece := trainer.compose(-(-steps // 4), temperature=temperature, generator=generator).roll())]


def noise(train: Pieces, lengths: Sequence[int], generator: Generator) -> list[np.ndarray]:
    """Pieces whose keys sound independently, with their frequencies."""
    p = note_frequencies(train)
    return [(generator.uniform((steps, len(p)), "float64").numpy() < p).astype(np.uint8) for steps in lengths]


def main(run: str, temperatures: list[float], seed: int, out: Path | None) -> None:
    trainer, found = open_run(run, "compose")
    train, valid, test = (rolls("jsb", split=split)[0] for split in ("train", "valid", "test"))
    lengths, generator = [len(piece) for piece in test], Generator(seed)
    written = {"baseline": noise(train, lengths, generator)} | {
        f"τ {temperature:g}": composed(trainer, lengths, temperature, generator) for temperature in temperatures}
    columns = {"Bach, test": test, "Bach, valid": valid, **written}
    rows = []
    for name, measure in measures(trainer, train).items():
        values = {column: measure(pieces) for column, pieces in columns.items()}
        spread = float(np.std([measure([piece]) for piece in test]))
        apart = {column: abs(values[column] - values["Bach, test"]) / spread for column in written}
        rows.append({"measure": name, **values, "apart": apart})
    rows.sort(key=lambda row: -min(apart for column, apart in row["apart"].items() if column != "baseline"))
    print(f"{'':52}" + "".join(f"{column:>12}" for column in columns) + "   apart: " + ", ".join(written))
    for row in rows:
        print(f"{row['measure']:52}" + "".join(f"{row[column]:12.3f}" for column in columns) + "   "
              + " ".join(f"{value:5.1f}" for value in row["apart"].values()))
    config = found.meta["config"]
    out = out or RESULTS / f"chorale_{config['model']['name']}.json"
    steps = {column: sum(map(len, pieces)) for column, pieces in columns.items()}
    out.write_text(json.dumps({
        "command": f"python -m benchmarks.chorale RUN --temperatures {' '.join(map(str, temperatures))} --seed {seed}",
        "model": config["model"], "epochs": found.meta["batches"]["epoch"], "pieces": len(test),
        "steps": steps, "rows": rows}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="of `tinyart train chords`, or `music`, with `--data jsb`")
    parser.add_argument("--temperatures", type=float, nargs="+", default=[1.0, 0.8, 0.6])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    main(**vars(parser.parse_args()))
