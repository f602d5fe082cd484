"""The 2014 GAN on MNIST, scored by Parzen windows: python -m benchmarks.parzen_mnist [--epochs 20] [--out FOLDER]

Goodfellow et al. 2014, table 1: 225 ± 2 nats (deep GSN 214, stacked CAE 121, DBN 138) after some hundred epochs of the
first 50,000 images. 10,000 samples, σ by the first 1,000 images after those 50,000, then the mean over all 10,000
test images; ± is its standard error. The score rewards blur and copies of training images. So it stands beside its
ceiling, what the first 10,000 training images score as samples, 241 to 243, and beside a sheet of samples. After 20
epochs a mean of at least 80 over the seeds passes: rounding alone moves one run by 20 nats there, and by hundreds after
the first epoch.

The runs in FOLDER go on where they were stopped. Writes benchmarks/results/parzen_mnist.json and .png.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tinyart.data import Batches, mnist, save_image, sheet
from tinyart.models.goodfellow import GoodfellowTrainer
from tinyart.models.parzen import parzen_log_likelihood, parzen_sigma
from tinyart.random import Generator
from tinyart.train import Run

RESULTS = Path(__file__).parent / "results"
TRAINING, VALIDATION = slice(0, 50_000), slice(50_000, 51_000)  # of MNIST's 60,000 training images
SAMPLES = 10_000
EARLIER = {1: -178, 3: -42, 5: -43, 10: 57, 15: 76, 20: 97}  # epochs: the score of another implementation
CEILING, PASS = (241, 243), (20, 80)  # from, to; epochs and least score


def main(epochs: int, seeds: list[int], out: str) -> None:
    images, test = mnist("train")[0], mnist("test")[0]
    ceiling = score(_grey(images[:SAMPLES]), images, test)
    good = CEILING[0] <= ceiling["score"] <= CEILING[1]
    print(f"ceiling, training images as samples: {_line(ceiling)}  {_verdict(good)}", flush=True)
    runs = {seed: train(images, test, epochs, seed, Path(out) / f"seed-{seed}") for seed in seeds}
    figures = {"command": f"python -m benchmarks.parzen_mnist --epochs {epochs} --seeds {' '.join(map(str, seeds))}",
               "ceiling": ceiling, "seeds": {seed: scores for seed, (scores, _) in runs.items()},
               "cpus": os.cpu_count(), "numpy": np.__version__}
    if epochs >= PASS[0]:
        last = [scores[str(PASS[0])]["score"] for scores, _ in runs.values()]
        figures["mean"], figures["spread"] = float(np.mean(last)), float(np.std(last))
        print(f"after {PASS[0]} epochs {figures['mean']:.1f}, the mean of {len(last)} seeds from {min(last):.1f} to "
              f"{max(last):.1f}  {_verdict(figures['mean'] >= PASS[1])}")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "parzen_mnist.json").write_text(json.dumps(figures, indent=1) + "\n")
    save_image(RESULTS / "parzen_mnist.png", sheet(runs[seeds[0]][1][:100]))


def train(images: np.ndarray, test: np.ndarray, epochs: int, seed: int, out: Path) -> tuple[dict, np.ndarray]:
    """Epochs -> scores, and the samples after the last one."""
    trainer = GoodfellowTrainer(images[TRAINING], seed=seed)
    run = Run(out, trainer, Batches((images[TRAINING],), 100, seed=seed),
              config={"model": "goodfellow", "data": "mnist", "seed": seed})
    run.train(0)  # to the newest checkpoint
    kept = out / "scores.json"
    scores = json.loads(kept.read_text()) if kept.exists() and run.step else {}
    for epoch in sorted({*EARLIER, epochs}):
        if epoch <= epochs and str(epoch) not in scores:
            start, before = time.perf_counter(), run.step
            run.train(epoch)
            pace = (time.perf_counter() - start) / (run.step - before) if run.step > before else None
            scores[str(epoch)] = {**score(_samples(trainer, seed), images, test), "seconds a step": pace}
            kept.write_text(json.dumps(scores))
            note = f"  earlier {EARLIER[epoch]}" if epoch in EARLIER else ""
            print(f"seed {seed}  epoch {epoch:3}  {_line(scores[str(epoch)])}{note}", flush=True)
    return scores, _samples(trainer, seed)


def score(samples: np.ndarray, images: np.ndarray, test: np.ndarray) -> dict[str, Any]:
    """Mean log-likelihood of the test images, its standard error and σ; samples (N, H, W, C) in [0, 1], rest uint8."""
    sigma = parzen_sigma(_grey(images[VALIDATION]), samples)
    values = parzen_log_likelihood(_grey(test), samples, sigma)
    return {"score": float(values.mean()), "error": float(values.std() / len(values) ** 0.5), "sigma": sigma}


def _grey(images: np.ndarray) -> np.ndarray:
    return images / np.float32(255)


def _samples(trainer: GoodfellowTrainer, seed: int) -> np.ndarray:
    return trainer.images(trainer.noise(SAMPLES, Generator(seed + 1)))  # (N, H, W, C), always of the same noise


def _line(found: dict[str, Any]) -> str:
    return f"{found['score']:.1f} ± {found['error']:.1f}  σ {found['sigma']:.3f}"


def _verdict(passed: bool) -> str:
    return "pass" if passed else "FAIL"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", default=os.path.join(tempfile.gettempdir(), "parzen_mnist"))
    main(**vars(parser.parse_args()))
