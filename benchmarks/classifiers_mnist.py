"""Classifiers on MNIST against published test errors: python -m benchmarks.classifiers_mnist [lenet mlp mnist_cnn]

60,000 images in [0, 1], Adam, the settings below, seed 0; the last epoch counts, whichever was best. The epochs of mlp
were chosen by the error on the last 10,000 training images, after training on the others.
Published: LeNet-5 0.95 % (LeCun et al. 1998), 784-800-10 1.6 % (Simard et al. 2003), Keras's mnist_cnn 0.75 % after
12 epochs. Writes each network's figures into benchmarks/results/classifiers_mnist.json, and its weights with the
settings of its trainer into OUT/NETWORK.safetensors. mnist_cnn is slow, and runs only if named.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

import tinyart as ta
from tinyart.data import Batches, mnist
from tinyart.models.classifier import ClassifierTrainer
from tinyart.models.metrics import accuracy, f1, precision, recall

RESULTS = Path(__file__).parent / "results" / "classifiers_mnist.json"
# lr falls to a tenth after each `drop_epochs`; `passes` is the largest test error, in percent.
SETTINGS: dict[str, dict[str, Any]] = {
    "lenet": {"epochs": 12, "drop_epochs": 8, "batch": 64, "lr": 1e-3, "passes": 1.1},
    "mlp": {"epochs": 20, "drop_epochs": 15, "batch": 128, "lr": 1e-3, "passes": 1.8},
    "mnist_cnn": {"epochs": 12, "drop_epochs": 8, "batch": 128, "lr": 1e-3, "passes": 1.0},
}  # fmt: skip


def run(network: str, epochs: int | None, seed: int, out: Path) -> dict[str, Any]:
    settings = SETTINGS[network] | ({"epochs": epochs} if epochs else {})
    (images, labels), (test, answers) = mnist("train"), mnist("test")
    batches = Batches((images, labels), settings["batch"], seed=seed, drop_last=False)
    built = {"shape": (28, 28, 1), "classes": 10, "network": network, "lr": settings["lr"],
             "drop_every": settings["drop_epochs"] * len(batches), "seed": seed}
    trainer = ClassifierTrainer(**built)
    errors, seconds = {}, []
    for epoch in range(1, settings["epochs"] + 1):
        start = time.perf_counter()
        losses = [trainer.step(*batch)["cross-entropy"] for batch in batches]
        seconds.append(round(time.perf_counter() - start, 2))
        confusion = trainer.evaluate(test, answers)
        errors[epoch] = round(100 * (1 - accuracy(confusion)), 2)
        print(f"{network} epoch {epoch:2}  train cross-entropy {np.mean(losses):.4f}  "
              f"test error {errors[epoch]:.2f} %  {seconds[-1]:.1f} s", flush=True)
    passed = errors[settings["epochs"]] <= settings["passes"]
    print(f"{network}: {errors[settings['epochs']]} %, at most {settings['passes']}: {'pass' if passed else 'FAIL'}")
    out.mkdir(parents=True, exist_ok=True)
    ta.save(out / f"{network}.safetensors", trainer.module.state_dict(), {"trainer": "classifier", **built})
    measures = {measure.__name__: {"macro": measure(confusion, "macro"), "micro": measure(confusion, "micro"),
                                   "classes": measure(confusion).round(4).tolist()}
                for measure in (precision, recall, f1)}
    return {"command": f"python -m benchmarks.classifiers_mnist {network} --epochs {settings['epochs']} --seed {seed}",
            "settings": settings, "test error %": errors, "accuracy": accuracy(confusion), **measures,
            "confusion": confusion.tolist(), "seconds an epoch": seconds, "cpus": os.cpu_count(),
            "numpy": np.__version__}


def main(networks: list[str], epochs: int | None, seed: int, out: Path) -> None:
    for network in networks:
        figures = run(network, epochs, seed, out)
        RESULTS.parent.mkdir(exist_ok=True)
        known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}  # of the networks that are not run now
        RESULTS.write_text(json.dumps(known | {network: figures}, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", choices=list(SETTINGS), default=["lenet", "mlp"], metavar="NETWORK",
                        help=f"{', '.join(SETTINGS)}; by default lenet mlp")
    parser.add_argument("--epochs", type=int, help="instead of those in the settings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/lenet"))
    main(**vars(parser.parse_args()))
