"""The command `tinyart`: train on pictures, look at what was learnt. What is heavy is imported inside the commands.

Exit codes: 0; 2 for what the user can put right, said in one sentence on stderr; 130 after Ctrl-C.
"""

import argparse
import hashlib
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tinyart.errors import ArgumentError, TinyartError

if TYPE_CHECKING:
    from numpy import ndarray

    from tinyart.checkpoint import Checkpoint
    from tinyart.models import VAETrainer

MODELS = ("vae",)
ACTIVATIONS = ("relu", "leaky_relu")
DECODERS = ("bernoulli", "gaussian")
ART_PICTURES = 6000
ART_SIZE = FOLDER_SIZE = 32
DEMO: dict[str, Any] = {"data": "art:sunsets,plants,roses", "size": 32, "model": "vae", "hidden": [512], "latent": 32,
                        "activation": "leaky_relu", "decoder": "bernoulli", "batch": 64, "lr": 1e-3, "seed": 0}
DEMO_EPOCHS = 60
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
        sentence = " ".join(str(error).split()) or "not enough memory"
        print(f"tinyart: {sentence}", file=sys.stderr)
        return 2
    return 0


# ---- arguments


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}. Fix: see `{self.prog} --help`\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="tinyart", description="Train generative models on pictures, and look at what they make.",
                     allow_abbrev=False)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    train = _command(commands, "train", _train, "train a model, or go on with the run found in --out")
    train.add_argument("model", choices=MODELS)
    train.add_argument("--data", required=True, help="mnist, art or art:FAMILY,.. (drawn here), a folder, or an .npz")
    train.add_argument("--out", required=True, metavar="RUN", help="the run's folder")
    train.add_argument("--epochs", type=_count, default=10, help="in all, those of a continued run included")
    train.add_argument("--batch", type=_count, default=128)
    train.add_argument("--lr", type=_rate, default=1e-3, help="Adam's learning rate")
    train.add_argument("--latent", type=_count, default=20, help="dimensions of z")
    train.add_argument("--hidden", type=_widths, default=[400], help="widths of the hidden layers: 400 or 512,256")
    train.add_argument("--activation", choices=ACTIVATIONS, default="relu")
    train.add_argument("--decoder", choices=DECODERS, default="bernoulli", help="gaussian is sharper for colour")
    train.add_argument("--seed", type=_seed, default=0)
    train.add_argument("--size", type=_count, help=f"pictures are cropped and resized to it ({FOLDER_SIZE})")
    train.add_argument("--new", action="store_true", help="start afresh where RUN holds a run")

    sample = _command(commands, "sample", _sample, "a sheet of new pictures")
    sample.add_argument("run")
    sample.add_argument("--out", required=True, metavar="SHEET.png")
    sample.add_argument("-n", type=_count, default=64, help="pictures")
    sample.add_argument("--seed", type=_seed, default=0)

    reconstruct = _command(commands, "reconstruct", _reconstruct, "pictures, and below each what the model keeps of it")
    reconstruct.add_argument("run")
    reconstruct.add_argument("--out", required=True, metavar="SHEET.png")
    reconstruct.add_argument("--data", help="other pictures than those that it was trained on")
    reconstruct.add_argument("-n", type=_count, default=32, help="pictures")

    interpolate = _command(commands, "interpolate", _interpolate, "an animation that goes from picture to picture")
    interpolate.add_argument("run")
    interpolate.add_argument("--out", required=True, metavar="X.gif", help="or .webp or .png")
    interpolate.add_argument("-n", type=_count, default=16, help="pictures side by side")
    interpolate.add_argument("--stops", type=_count, default=5, help="places that each goes through")
    interpolate.add_argument("--frames", type=_count, default=12, help="from one place to the next")
    interpolate.add_argument("--seed", type=_seed, default=0)

    info = _command(commands, "info", _info, "what a run is and how far it came")
    info.add_argument("run")

    data = _command(commands, "data", _data, "download a data set: data fetch mnist")
    data.add_argument("action", choices=("fetch",))
    data.add_argument("name")
    data.add_argument("--url", help="in place of the known mirrors")
    data.add_argument("--into", metavar="FOLDER", help="in place of the cache")

    demo = _command(commands, "demo", _demo, "train on pictures drawn here, within two minutes, and show what came out")
    demo.add_argument("--out", default="tinyart-demo", metavar="FOLDER")
    return parser


def _command(commands: Any, name: str, run: Callable[[Any], None], text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.set_defaults(command=run)
    return parser


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:12]) <= 1_000_000):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to 1000000, got {text!r}")
    return int(text)


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:20]) < 1 << 63):
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to 2**63 - 1, got {text!r}")
    return int(text)


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0 and at most 1, got {text!r}")
    return value


def _widths(text: str) -> list[int]:
    return [_count(width) for width in text.split(",")]


# ---- commands


def _train(arguments: Any) -> None:
    settings = {name: getattr(arguments, name) for name in (
        "model", "hidden", "latent", "activation", "decoder", "lr", "seed", "batch", "data", "size")}
    _run(arguments.out, settings, epochs=arguments.epochs, new=arguments.new)
    out = Path(arguments.out)
    print(f"{arguments.epochs} epochs are done. Samples: {out / 'samples'}; losses: {out / 'loss.png'}")


def _run(out: str, settings: dict[str, Any], *, epochs: int, new: bool = False,
         limit_seconds: float = math.inf) -> "VAETrainer":
    """Train, and give the trainer. settings: model, its own ones, batch, data and size."""
    from tinyart.data import Batches
    from tinyart.models import build
    from tinyart.random import manual_seed
    from tinyart.train import Run

    images, source = _pictures(settings["data"], settings["size"])
    model = {name: settings[name] for name in ("hidden", "latent", "activation", "decoder", "lr", "seed")}
    model |= {"name": settings["model"], "shape": list(images.shape[1:])}
    pixels = hashlib.sha256(images.data).hexdigest()[:16]
    config = {"model": model, "batch": settings["batch"], "images": len(images), "pixels": pixels}
    manual_seed(settings["seed"])
    trainer = build(model)
    batches = Batches((images,), settings["batch"], seed=settings["seed"], drop_last=False)
    run = Run(out, trainer, batches, config=config, source=source)
    run.train(epochs, new=new, limit_seconds=limit_seconds)
    return trainer


def _pictures(data: str, size: int | None, drawn: int | None = None) -> tuple["ndarray", dict[str, Any]]:
    """uint8 (N, H, W, C), and what finds them again. drawn: of how many drawn pictures those of the families are."""
    from tinyart import data as readers

    if data == "mnist":
        images = readers.mnist("train")[0]
    elif data.partition(":")[0] == "art":
        images = _art(data.partition(":")[2], size or ART_SIZE, drawn or ART_PICTURES)
    elif os.path.isdir(data):
        images, report = readers.image_folder(data, size=size or FOLDER_SIZE)
        print(report, flush=True)
    elif os.path.isfile(data) and data.endswith(".npz"):
        stored = readers.npz_array(data, "images", "rgba")
        grey = stored.ndim == 3 or stored.shape[-1] == 1
        images = readers.image_archive(data, channels=1 if grey else 3)
    else:
        raise ArgumentError("tinyart", "--data", "mnist, art, a folder of pictures or an .npz file", repr(data),
                            fix="see that it exists")
    if size not in (None, *images.shape[1:3]):
        got = f"pictures of {images.shape[1]}x{images.shape[2]}"
        raise ArgumentError("tinyart", "--size", f"{size}, as given", got, fix="leave --size away for this data")
    return images, {"data": os.path.abspath(data) if os.path.exists(data) else data, "size": size}


def _art(families: str, size: int, count: int) -> "ndarray":
    from tinyart.data import FAMILIES, art

    wanted = families.split(",") if families else list(FAMILIES)
    if not set(wanted) <= set(FAMILIES):
        raise ArgumentError("tinyart", "--data", f"art, or art: and some of {','.join(FAMILIES)}", f"art:{families}")
    print(f"drawing {count} pictures", flush=True)
    images, labels, names = art(count, size=size)
    return images[[names[label] in wanted for label in labels]]


def _open(run: str) -> tuple["VAETrainer", "Checkpoint"]:
    from tinyart.models import build
    from tinyart.train import load_trainer, read_run

    found = read_run(run)
    for note in found.notes:
        print(note, file=sys.stderr)
    trainer = build(found.meta["config"].get("model", {}))
    load_trainer(found, trainer)
    return trainer, found


def _sample(arguments: Any) -> None:
    from tinyart.random import Generator

    out = _output(arguments.out, ".png")
    trainer, _ = _open(arguments.run)
    _write_sheet(out, trainer.images(trainer.noise(arguments.n, Generator(arguments.seed))))


def _reconstruct(arguments: Any) -> None:
    out = _output(arguments.out, ".png")
    trainer, found = _open(arguments.run)
    size = found.meta["source"].get("size")
    images, _ = _pictures(arguments.data or found.meta["source"].get("data", ""), size, drawn=10 * arguments.n)
    _write_reconstructions(out, trainer, images[: arguments.n])


def _write_reconstructions(out: Path, trainer: "VAETrainer", images: "ndarray") -> None:
    import numpy as np

    from tinyart.data import to_uint8

    columns = min(8, len(images))
    rows = []
    for start in range(0, len(images) - columns + 1, columns):
        part = images[start : start + columns]
        rows += [part, to_uint8(trainer.module.reconstruct(part))]
    _write_sheet(out, np.concatenate(rows), columns)


def _interpolate(arguments: Any) -> None:
    out = _output(arguments.out, ".gif", ".webp", ".png", ".apng")
    trainer, _ = _open(arguments.run)
    _write_walk(out, trainer, arguments.n, arguments.stops, arguments.frames, arguments.seed)


def _write_walk(out: Path, trainer: "VAETrainer", n: int, stops: int, frames: int, seed: int) -> None:
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

    trainer, found = _open(arguments.run)
    config, batches = found.meta["config"], found.meta["batches"]
    model = dict(config["model"])
    print(f"model       {model.pop('name')}, {sum(p.size for p in trainer.module.parameters()):,} parameters")
    print("settings    " + ", ".join(f"{name} {value}" for name, value in model.items()))
    print(f"data        {found.meta['source']['data']}, {config['images']:,} pictures, batch {config['batch']}")
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


def _demo(arguments: Any) -> None:
    from tinyart.random import Generator

    out = Path(arguments.out)
    trainer = _run(arguments.out, DEMO, epochs=DEMO_EPOCHS, limit_seconds=DEMO_SECONDS)
    seen = _pictures(DEMO["data"], DEMO["size"], drawn=120)[0][:32]
    print("the gallery, an interpolation, pictures with their reconstructions, and the losses:")
    _write_sheet(out / "gallery.png", trainer.images(trainer.noise(64, Generator(1))))
    _write_walk(out / "interpolation.gif", trainer, n=16, stops=5, frames=12, seed=2)
    _write_reconstructions(out / "reconstructions.png", trainer, seen)
    print(out / "loss.png")


def _output(path: str, *endings: str) -> Path:
    out = Path(path)
    if out.suffix.lower() not in endings:
        raise ArgumentError("tinyart", "--out", f"a file name that ends in {' or '.join(endings)}", repr(path))
    out.parent.mkdir(parents=True, exist_ok=True)
    return out


def _write_sheet(out: Path, images: "ndarray", columns: int | None = None) -> None:
    from tinyart.data import save_image
    from tinyart.train import enlarged_sheet

    save_image(out, enlarged_sheet(images, columns))
    print(out)
