"""GANs on MNIST, judged: python -m benchmarks.gan_mnist {gan,dcgan,dcgan-document} [--epochs N] [--width W] [--out O]

Trains in OUT/NAME (a run that is there goes on, also after Ctrl-C), draws 10,000 pictures, and asks the LeNet that
`python -m benchmarks.classifiers_mnist lenet` left in OUT/lenet which digits they are. Passes: every digit between 3 %
and 25 % of the pictures, and for the DCGAN a mean confidence, the probability of the likeliest digit, of at least 0.9.
The confidence of the LeNet in real test images stands beside it. dcgan-document has document 3's own D, with dropout
in place of batch norm.

Writes benchmarks/results/gan_mnist.json, and a sheet of the first 64 pictures beside it.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

import tinyart as ta
from tinyart.data import Batches, mnist, save_image, to_uint8
from tinyart.models.classifier import ClassifierTrainer
from tinyart.models.dcgan import DCGANTrainer
from tinyart.models.gan import AdversarialTrainer, GANTrainer
from tinyart.random import Generator
from tinyart.train import Run, enlarged_sheet

RESULTS = Path(__file__).parent / "results"
TRAINERS: dict[str, type[Any]] = {"gan": GANTrainer, "dcgan": DCGANTrainer, "dcgan-document": DCGANTrainer}
SETTINGS: dict[str, dict[str, Any]] = {  # all others are the trainer's defaults
    "gan": {"epochs": 40, "batch": 128},
    "dcgan": {"epochs": 3, "batch": 64, "width": 64},
    "dcgan-document": {"epochs": 3, "batch": 64, "width": 64, "batch_norm": False},
}
SAMPLES = 10_000


def judge(weights: Path, pictures: np.ndarray) -> tuple[list[float], float, float]:
    """(share of each digit, mean confidence, the share judged with a confidence of at least 0.9)"""
    trainer = ClassifierTrainer(shape=(28, 28, 1), classes=10)
    trainer.module.load_state_dict(ta.load(weights))
    probabilities = trainer.predict(pictures)  # (N, 10)
    shares = np.bincount(probabilities.argmax(1), minlength=10) / len(pictures)
    confidence = probabilities.max(1)
    return shares.tolist(), float(confidence.mean()), float((confidence >= 0.9).mean())


def train(trainer: AdversarialTrainer, settings: dict[str, Any], seed: int, folder: Path) -> dict[str, int]:
    """Train to the epochs of the settings. Seconds, of the clock and of the processors, of all calls together."""
    run = Run(folder, trainer, Batches((mnist("train")[0],), settings["batch"], seed=seed),
              config={"model": settings | {"epochs": None, "seed": seed}})
    kept = folder / "seconds.json"
    before = json.loads(kept.read_text()) if kept.exists() else [0.0, 0.0]
    start = time.perf_counter(), time.process_time()
    try:
        run.train(settings["epochs"])
    finally:
        now = time.perf_counter() - start[0], time.process_time() - start[1]
        kept.write_text(json.dumps([a + b for a, b in zip(before, now, strict=True)]))
    clock, processors = json.loads(kept.read_text())
    return {"steps": run.step, "seconds": round(clock), "processor seconds": round(processors)}


def main(name: str, epochs: int | None, width: int | None, seed: int, out: Path) -> None:
    settings = SETTINGS[name] | {key: given for key, given in (("epochs", epochs), ("width", width)) if given}
    trainer = TRAINERS[name](shape=(28, 28, 1), seed=seed,
                             **{key: settings[key] for key in ("width", "batch_norm") if key in settings})
    figures = train(trainer, settings, seed, out / name)
    pictures = to_uint8(trainer.images(trainer.noise(SAMPLES, Generator(seed))))
    shares, confidence, sure = judge(out / "lenet" / "lenet.safetensors", pictures)
    real = judge(out / "lenet" / "lenet.safetensors", mnist("test")[0])[1]
    passed = 0.03 <= min(shares) <= max(shares) <= 0.25 and (name == "gan" or confidence >= 0.9)
    print(f"{name}: digits {' '.join(f'{100 * share:.1f}' for share in shares)} %, mean confidence {confidence:.4f} "
          f"(test images {real:.4f}), sure of {100 * sure:.1f} %: {'pass' if passed else 'FAIL'}")
    command = " ".join(f"--{key} {settings[key]}" for key in ("epochs", "width") if key in settings)
    figures = {"command": f"python -m benchmarks.gan_mnist {name} {command} --seed {seed}", "settings": settings,
               "share of each digit": shares, "mean confidence": confidence, "share with confidence >= 0.9": sure,
               "mean confidence in test images": real, "passed": passed, **figures, "cpus": os.cpu_count(),
               "numpy": np.__version__}
    path = RESULTS / "gan_mnist.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(known | {name: figures}, indent=1) + "\n")
    save_image(RESULTS / f"{name.replace('-', '_')}_mnist.png", enlarged_sheet(pictures[:64]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=list(TRAINERS))
    parser.add_argument("--epochs", type=int, help="in all, those of a continued run included")
    parser.add_argument("--width", type=int, help="dcgan: channels of its largest maps; 64 in the document")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    main(**vars(parser.parse_args()))
