"""The basic VAE on MNIST against published figures: python -m benchmarks.vae_mnist [--epochs 10]

784-400-(20, 20)-400-784, ReLU, grey pixels as Bernoulli targets, summed cross-entropy + closed KL, Adam 1e-3, batch
128, 60,000 images, seed 0. Test -ELBO in nats an image; after 4 and 10 epochs three published logs of PyTorch's VAE
example give 109.6 and 105.6. Writes benchmarks/results/vae_mnist.json and a sheet of samples beside it.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

from tinyart.data import Batches, mnist, save_image
from tinyart.models import VAETrainer
from tinyart.random import Generator
from tinyart.train import enlarged_sheet

RESULTS = Path(__file__).parent / "results"
PUBLISHED = {4: (109.6, 1.0), 10: (105.6, 0.8)}  # epochs: test -ELBO, and how far from it passes


def main(epochs: int, seed: int) -> None:
    images, test = mnist("train")[0], mnist("test")[0]
    trainer = VAETrainer(shape=(28, 28, 1), hidden=(400,), latent=20, lr=1e-3, seed=seed)
    batches = Batches((images,), 128, seed=seed, drop_last=False)
    seconds, bounds = [], {}
    for epoch in range(1, epochs + 1):
        start = time.perf_counter()
        losses = [trainer.step(*batch)["-elbo"] for batch in batches]
        seconds.append(time.perf_counter() - start)
        bounds[epoch] = trainer.evaluate(test, Generator(seed + 1))
        published, margin = PUBLISHED.get(epoch, (0.0, 0.0))
        verdict = "pass" if abs(bounds[epoch] - published) <= margin else "FAIL"
        mark = f"  published {published} ± {margin}: {verdict}" if margin else ""
        print(f"epoch {epoch:2}  train {np.mean(losses):.2f}  test -ELBO {bounds[epoch]:.2f}  "
              f"{seconds[-1]:.1f} s{mark}", flush=True)
    middle = float(np.median(seconds))
    print(f"median time of an epoch {middle:.2f} s, {len(images) / middle:,.0f} images/s, {os.cpu_count()} CPUs")
    RESULTS.mkdir(exist_ok=True)
    figures = {"command": f"python -m benchmarks.vae_mnist --epochs {epochs} --seed {seed}", "test -elbo": bounds,
               "seconds an epoch": [round(s, 3) for s in seconds], "cpus": os.cpu_count(), "numpy": np.__version__}
    (RESULTS / "vae_mnist.json").write_text(json.dumps(figures, indent=1) + "\n")
    save_image(RESULTS / "vae_mnist.png", enlarged_sheet(trainer.images(trainer.noise(64, Generator(seed)))))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    main(**vars(parser.parse_args()))
