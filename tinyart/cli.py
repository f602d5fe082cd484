"""The command `tinyart`: train on pictures, look at what was learnt. What is heavy is imported inside the commands.

Exit codes: 0; 2 for what the user can put right, said in one sentence on stderr; 130 after Ctrl-C.
"""

import argparse
import hashlib
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyart import __version__
from tinyart.cli_parts import Parser, command, count, open_run, output_file, rate, seed, share, widths
from tinyart.errors import ArgumentError, TinyartError

if TYPE_CHECKING:
    from numpy import ndarray

    from tinyart.models import Trainers

# What --help offers must be known without importing the models; a test compares it with them.
MODELS = ("vae", "autoencoder", "gan", "dcgan", "classifier", "char", "music", "chords", "melody")
ACTIVATIONS = ("relu", "leaky_relu")
DECODERS = ("bernoulli", "gaussian")
LOSSES = ("non_saturating", "minimax", "squared_error", "cross_entropy")
NETWORKS = ("lenet", "mlp", "mnist_cnn")
SETTINGS = ("hidden", "latent", "activation", "decoder", "loss", "width", "batch_norm", "dropout", "network", "cell",
            "layers", "lr", "seed")
COUNTED = ("images", "pieces", "notes", "events", "characters")  # in a run's configuration
EPOCHS, BATCH = 10, 128  # of models of pictures
ART_PICTURES = 6000
ART_SIZE = FOLDER_SIZE = 32
DEMO_DATA = "art:sunsets,plants,roses"
DEMO_MODEL = {"hidden": [512], "latent": 32, "activation": "leaky_relu", "decoder": "gaussian"}
DEMO_EPOCHS = 40
DEMO_SECONDS = 80.0  # of training; drawing the pictures before and the results after take a few more


def main(argv: list[str] | None = None) -> int:
    """Run the command; its exit code."""
    try:
        arguments = _parser().parse_args(argv)
        arguments.command(arguments)
    except KeyboardInterrupt:
        print("tinyart: stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    except (TinyartError, OSError, MemoryError) as error:
        sentence = " ".join(str(error).split()).removeprefix("tinyart: ") or "not enough memory"
        print(f"tinyart: {sentence}", file=sys.stderr)
        return 2
    return 0


# ---- arguments


def _parser() -> argparse.ArgumentParser:
    from tinyart import cli_music

    parser = Parser(prog="tinyart", description="Train generative models on pictures, music and text, and see what "
                                                 "they make.",
                     allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"tinyart {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    train = command(commands, "train", _train, "train a model, or go on with the run found in --out")
    train.add_argument("model", choices=MODELS)
    train.add_argument("--data", required=True, help="mnist, art or art:FAMILY,.. (drawn here), a folder, an .npz; "
                       "music, chords: jsb, a folder of MIDI files; music, melody: tunes, an .abc; char: a text file")
    train.add_argument("--out", required=True, metavar="RUN", help="the run's folder")
    defaults = "({}; char {char}, music {music}, chords {chords}, melody {melody})"
    train.add_argument("--epochs", type=count, help="in all, those of a continued run included "
                       + defaults.format(EPOCHS, **cli_music.EPOCHS))
    train.add_argument("--batch", type=count, help="examples a step " + defaults.format(BATCH, **cli_music.BATCH))
    train.add_argument("--lr", type=rate, help="learning rate (0.001; gan 0.0002; dcgan 0.0005; char, chords, "
                                                "melody 0.002)")
    train.add_argument("--latent", type=count, help="dimensions of z (20; gan and dcgan 100)")
    train.add_argument("--hidden", type=widths, help="widths of dense layers, such as 512,256 (400; gan 1024,1024), "
                       "or of recurrent ones (128; music 100)")
    train.add_argument("--activation", choices=ACTIVATIONS, help="vae, autoencoder (relu)")
    train.add_argument("--decoder", choices=DECODERS, help="vae (bernoulli); gaussian is sharper for colour")
    train.add_argument("--loss", choices=LOSSES, help="gan, dcgan: the first two; autoencoder: the others")
    train.add_argument("--width", type=count, help="dcgan: channels of its largest maps (64)")
    train.add_argument("--batch-norm", action=argparse.BooleanOptionalAction, help="dcgan: in D (yes); without it "
                       "dropout, as in document 3")
    train.add_argument("--dropout", type=share, help="gan: of D's units (0.5); recurrent: between layers")
    train.add_argument("--network", choices=NETWORKS, help="classifier (lenet)")
    cli_music.add_train_arguments(train)
    train.add_argument("--seed", type=seed, default=0, help="of weights, order and noise (0)")
    train.add_argument("--size", type=count, help=f"pictures are cropped and resized to it ({FOLDER_SIZE})")
    train.add_argument("--new", action="store_true", help="start afresh where RUN holds a run")

    sample = command(commands, "sample", _sample, "a sheet of new pictures")
    sample.add_argument("run")
    sample.add_argument("--out", required=True, metavar="SHEET.png")
    sample.add_argument("-n", type=count, default=64, help="pictures (64)")
    sample.add_argument("--seed", type=seed, default=0, help="another one gives other pictures (0)")

    reconstruct = command(commands, "reconstruct", _reconstruct, "pictures, and below each what the model keeps of it")
    reconstruct.add_argument("run")
    reconstruct.add_argument("--out", required=True, metavar="SHEET.png")
    reconstruct.add_argument("--data", help="other pictures than those that it was trained on")
    reconstruct.add_argument("-n", type=count, default=32, help="pictures (32)")

    evaluate = command(commands, "evaluate", _evaluate, "how good a model is, on the test set of MNIST or JSB")
    evaluate.add_argument("run")
    evaluate.add_argument("--data", help="other data; for a classifier in a folder each class, or an npz's labels")

    interpolate = command(commands, "interpolate", _interpolate, "an animation that goes from picture to picture")
    interpolate.add_argument("run")
    interpolate.add_argument("--out", required=True, metavar="X.gif", help="or .webp or .png")
    interpolate.add_argument("-n", type=count, default=16, help="pictures side by side (16)")
    interpolate.add_argument("--stops", type=count, default=5, help="places that each goes through (5)")
    interpolate.add_argument("--frames", type=count, default=12, help="from one place to the next (12)")
    interpolate.add_argument("--seed", type=seed, default=0, help="another one gives other places (0)")

    cli_music.add_commands(commands)

    info = command(commands, "info", _info, "what a run is and how far it came")
    info.add_argument("run")

    data = command(commands, "data", _data, "download a data set: data fetch mnist")
    data.add_argument("action", choices=("fetch",))
    data.add_argument("name")
    data.add_argument("--url", help="in place of the known mirrors")
    data.add_argument("--into", metavar="FOLDER", help="in place of the cache")

    lesson = command(commands, "lesson", _lesson, "the course: its list, or one lesson, run and read")
    lesson.add_argument("number", nargs="?", help="such as 07, or the name of a slip; without it the list")
    lesson.add_argument("--toy", action="store_true", help="at the size of the tests, within seconds")
    lesson.add_argument("--no-pause", action="store_true", help="do not wait for Enter")
    lesson.add_argument("--out", metavar="FOLDER", help="of its pictures (runs/lessons/NUMBER)")

    demo = command(commands, "demo", _demo, "train on pictures drawn here, within two minutes, and show what came out")
    demo.add_argument("--out", default="tinyart-demo", metavar="FOLDER", help="where the run goes (tinyart-demo)")
    return parser


# ---- commands


def _train(arguments: Any) -> None:
    from tinyart import cli_music
    from tinyart.train import Painter, Writer

    given = {name: getattr(arguments, name) for name in SETTINGS if getattr(arguments, name) is not None}
    epochs = arguments.epochs or cli_music.EPOCHS.get(arguments.model, EPOCHS)
    if arguments.model in cli_music.MODELS:
        trainer = cli_music.train(arguments, given)
    elif (value := arguments.steps or arguments.steps_per_beat) is not None:
        raise ArgumentError("tinyart", "--steps, --steps-per-beat", "none: they are for music and text", f"{value}")
    else:
        trainer = _run(arguments.out, arguments.model, given, arguments.data, arguments.size,
                       batch=arguments.batch or BATCH, epochs=epochs, new=arguments.new)
    out = Path(arguments.out)
    samples = f"Samples: {out / 'samples'}; l" if isinstance(trainer, Painter | Writer) else "L"
    print(f"{epochs} epochs are done. {samples}osses: {out / 'loss.png'}")


def _run(out: str, model: str, given: dict[str, Any], data: str, size: int | None, *, batch: int, epochs: int,
         new: bool = False, limit_seconds: float = math.inf) -> "Trainers":
    """Train a model with the settings given, and the others at their defaults; the trainer."""
    from tinyart.data import Batches
    from tinyart.models import build, settings_of
    from tinyart.random import manual_seed
    from tinyart.train import Run

    pictures = _pictures(data, size, labelled=model == "classifier")
    arrays = tuple(array for array in (pictures.images, pictures.labels) if array is not None)
    given = given | {"shape": list(pictures.images.shape[1:])}
    if pictures.names:
        given["classes"] = len(pictures.names)
    settings = settings_of(model, given)
    seed, rows = settings["seed"], len(pictures.images)
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.data)
    config = {"model": settings, "batch": batch, "images": rows, "pixels": digest.hexdigest()[:16]}
    manual_seed(seed)
    trainer = build(settings)
    alone = rows % batch == 1 and rows > 1  # batch norm has no variance to take from a last batch of one
    batches = Batches(arrays, batch, seed=seed, drop_last=alone)
    Run(out, trainer, batches, config=config, source=pictures.source).train(epochs, new=new,
                                                                            limit_seconds=limit_seconds)
    return trainer


@dataclass
class _Pictures:
    """uint8 (N, H, W, C), what finds them again, and, where they were asked for, int64 (N,) and the classes' names."""

    images: "ndarray"
    source: dict[str, Any]
    labels: "ndarray | None" = None
    names: Sequence[str] = ()


def _pictures(data: str, size: int | None, *, drawn: int | None = None, split: Any = "train",
              labelled: bool = False) -> _Pictures:
    """What `data` names. drawn: of how many drawn pictures those of the families are. split: of MNIST."""
    from tinyart import data as readers

    classes: Any = None  # of each picture, a number or a name
    if data == "mnist":
        images, classes = readers.mnist(split)
    elif data.partition(":")[0] == "art":
        images, classes = _art(data.partition(":")[2], size or ART_SIZE, drawn or ART_PICTURES)
    elif os.path.isdir(data):
        images, report = readers.image_folder(data, size=size or FOLDER_SIZE, progress=_show_reading)
        print(report, flush=True)
        classes = [path.relative_to(data).parts[0] for path in report.paths]
    elif os.path.isfile(data) and data.endswith(".npz"):
        stored = readers.npz_array(data, "images", "rgba")
        grey = stored.ndim == 3 or stored.shape[-1] == 1
        images = readers.image_archive(data, channels=1 if grey else 3)
        classes = readers.npz_array(data, "labels", "group") if labelled else None
    else:
        raise ArgumentError("tinyart", "--data", "mnist, art, a folder of pictures or an .npz file", repr(data),
                            fix="see that it exists")
    if size not in (None, *images.shape[1:3]):
        got = f"pictures of {images.shape[1]}x{images.shape[2]}"
        raise ArgumentError("tinyart", "--size", f"{size}, as given", got, fix="leave --size away for this data")
    found = _Pictures(images, {"data": os.path.abspath(data) if os.path.exists(data) else data, "size": size})
    if labelled:
        found.labels, found.names = _numbered(data, classes, len(images))
    return found


def _show_reading(done: int, files: int) -> None:
    if done % 1000 == 0:
        print(f"{done:,} of {files:,} files read", flush=True)


def _numbered(data: str, classes: Any, rows: int) -> tuple["ndarray", list[str]]:
    """Numbers or names of classes as 0, 1, ..: int64 (N,), and what they were."""
    import numpy as np

    array = np.asarray(classes)
    names, labels = np.unique(array, return_inverse=True)
    if array.shape != (rows,) or array.dtype.kind not in "iuU" or not 2 <= len(names) <= rows / 2:
        raise ArgumentError("tinyart", "--data", f"a class for each of {rows} pictures, and several pictures of each",
                            f"{data} with {len(names)} classes for {array.shape}",
                            fix="a folder that holds a folder for each class, or an npz with labels")
    return labels.astype(np.int64), [str(name) for name in names]


def _art(families: str, size: int, count: int) -> tuple["ndarray", "ndarray"]:
    import numpy as np

    from tinyart.data import FAMILIES, art

    wanted = families.split(",") if families else FAMILIES
    if not set(wanted) <= set(FAMILIES):
        raise ArgumentError("tinyart", "--data", f"art, or art: and some of {','.join(FAMILIES)}", f"art:{families}")
    print(f"drawing {count * len(set(wanted)) // len(FAMILIES):,} pictures", flush=True)
    images, labels, names = art(count, size=size, families=wanted)
    return images, np.array(names)[labels]


def _sample(arguments: Any) -> None:
    from tinyart.random import Generator

    out = output_file(arguments.out, ".png")
    trainer, _ = open_run(arguments.run, "images")
    _write_sheet(out, trainer.images(trainer.noise(arguments.n, Generator(arguments.seed))))


def _reconstruct(arguments: Any) -> None:
    out = output_file(arguments.out, ".png")
    trainer, found = open_run(arguments.run, "reconstruct")
    source = found.meta["source"]
    images = _pictures(arguments.data or source["data"], source["size"], drawn=10 * arguments.n).images
    _write_reconstructions(out, trainer, images[: arguments.n])


def _write_reconstructions(out: Path, trainer: Any, images: "ndarray") -> None:
    import numpy as np

    from tinyart.data import to_uint8

    columns = min(8, len(images))
    rows = []
    for start in range(0, len(images) - columns + 1, columns):
        part = images[start : start + columns]
        rows += [part, to_uint8(trainer.module.reconstruct(part))]
    _write_sheet(out, np.concatenate(rows), columns)


def _evaluate(arguments: Any) -> None:
    from tinyart import cli_music
    from tinyart.random import Generator

    trainer, found = open_run(arguments.run, "evaluate")
    source, model = found.meta["source"], found.meta["config"]["model"]["name"]
    classifies = model == "classifier"
    data = arguments.data or source["data"]
    if model in cli_music.MODELS:
        cli_music.evaluate(trainer, model, data)
        return
    pictures = _pictures(data, source["size"], split="test", labelled=classifies)
    seen = "" if data == "mnist" or data != source["data"] else ", on which it was trained: others are judged worse"
    print(f"{len(pictures.images):,} pictures of {data}{seen}")
    if classifies:
        _print_metrics(trainer.evaluate(pictures.images, pictures.labels), pictures.names)
    else:
        print(f"-ELBO {trainer.evaluate(pictures.images, Generator(0)):.2f} nats a picture")


def _print_metrics(confusion: "ndarray", names: Sequence[str]) -> None:
    from tinyart.models.metrics import accuracy, f1, precision, recall

    print(f"accuracy {accuracy(confusion):.4f}, error {1 - accuracy(confusion):.2%}")
    print(f"{'':12} precision   recall       F1")
    measures = precision, recall, f1
    rows = [*zip(names, *(measure(confusion) for measure in measures), strict=True),
            *((mean, *(measure(confusion, mean) for measure in measures)) for mean in ("macro", "micro"))]
    for name, *values in rows:
        print(f"{name[:12]:12} " + "".join(f"{value:9.4f}" for value in values))


def _interpolate(arguments: Any) -> None:
    out = output_file(arguments.out, ".gif", ".webp", ".png", ".apng")
    trainer, _ = open_run(arguments.run, "images")
    _write_walk(out, trainer, arguments.n, arguments.stops, arguments.frames, arguments.seed)


def _write_walk(out: Path, trainer: Any, n: int, stops: int, frames: int, seed: int) -> None:
    import numpy as np

    from tinyart.data import save_animation
    from tinyart.models import walk
    from tinyart.random import Generator
    from tinyart.train import enlarged_sheet

    z = trainer.noise(stops * n, Generator(seed)).reshape((stops, n, -1))  # (K, N, J)
    save_animation(out, np.stack([enlarged_sheet(trainer.images(place)) for place in walk(z, frames)]))
    print(out)


def _info(arguments: Any) -> None:
    from tinyart.train import loss_curves

    trainer, found = open_run(arguments.run)
    config, batches = found.meta["config"], found.meta["batches"]
    model = dict(config["model"])
    print(f"model       {model.pop('name')}, {sum(p.size for p in trainer.module.parameters()):,} parameters")
    print("settings    " + ", ".join(f"{name} {value}" for name, value in model.items()))
    count = next(f"{config[name]:,} {name.replace('image', 'picture')}" for name in COUNTED if name in config)
    print(f"data        {found.meta['source']['data']}, {count}, batch {config['batch']}")
    print(f"trained     {batches['epoch']} epochs and {batches['cursor']} steps")
    print(f"checkpoint  {found.path}")
    for name, curve in loss_curves(arguments.run).items():
        last = [value for _, value in curve[-100:]]
        print(f"{name:11} {sum(last) / len(last):.4g}, the mean of the last {len(last)} steps")


def _data(arguments: Any) -> None:
    from tinyart.data import fetch

    def show(name: str, done: int, size: int) -> None:
        if done == size:
            print(f"{name}  {size:,} bytes", flush=True)

    print(fetch(arguments.name, url=arguments.url, into=arguments.into, progress=show))


def _lesson(arguments: Any) -> None:
    from tinyart.lesson import lesson, lessons, read, slips

    if arguments.number is None:
        for item in lessons():
            print(f"{item.number}  {item.title}   ({item.time})")
        print("\nThe documents' slips, each run, and put right:")
        for item in slips():
            print(f"{item.path.stem:40} {item.title}")
        print("\nRead one: tinyart lesson 01")
    else:
        item = lesson(arguments.number)
        out = Path(arguments.out or Path("runs", "lessons", arguments.number))
        read(item, out, toy=arguments.toy, pause=False if arguments.no_pause else None)


def _demo(arguments: Any) -> None:
    from tinyart.random import Generator

    out = Path(arguments.out)
    trainer: Any = _run(arguments.out, "vae", DEMO_MODEL, DEMO_DATA, ART_SIZE, batch=64, epochs=DEMO_EPOCHS,
                        limit_seconds=DEMO_SECONDS)
    seen = _pictures(DEMO_DATA, ART_SIZE, drawn=120).images[:32]
    print("the gallery, an interpolation, pictures with their reconstructions, and the losses:")
    _write_sheet(out / "gallery.png", trainer.images(trainer.noise(64, Generator(1))))
    _write_walk(out / "interpolation.gif", trainer, n=16, stops=5, frames=12, seed=2)
    _write_reconstructions(out / "reconstructions.png", trainer, seen)
    print(out / "loss.png")


def _write_sheet(out: Path, images: "ndarray", columns: int | None = None) -> None:
    from tinyart.data import save_image
    from tinyart.train import enlarged_sheet

    save_image(out, enlarged_sheet(images, columns))
    print(out)
