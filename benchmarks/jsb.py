"""The chorales of Bach against published figures: python -m benchmarks.jsb [--cells tanh gru lstm]

Nats a step, the sum over 88 keys, the mean over all steps of all test pieces, the first included. The note 1-gram has
no training and must be 11.060 exactly (published 11.06). Networks: Adam, 8 whole pieces a batch, gradient norm clipped
to 1, until 25 epochs brought no better validation loss; the weights of the best one are tested. Published: Chung et al.
2014, table 2. A network passes up to 0.3 above. Writes benchmarks/results/jsb.json and the curves beside it.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from tinyart.data import Batches
from tinyart.data.chorales import jsb_chorales
from tinyart.data.plot import loss_plot
from tinyart.models.polyphony import MusicTrainer, frequency_nats, note_frequencies, padded

RESULTS = Path(__file__).parent / "results"
NETWORKS = {"tanh": (100, 1e-3, 9.10), "gru": (46, 3e-3, 8.54), "lstm": (36, 1e-3, 8.67)}  # units, lr, published
MARGIN, PATIENCE, BATCH, NOTE_1_GRAM = 0.3, 25, 8, 11.060


def train(cell: str, seed: int, epochs: int) -> tuple[dict[str, Any], list[tuple[float, float]]]:
    hidden, lr, published = NETWORKS[cell]
    trainer = MusicTrainer(hidden=hidden, cell=cell, lr=lr, seed=seed)
    batches = Batches(padded(jsb_chorales("train")), BATCH, seed=seed, drop_last=False)
    valid, test = padded(jsb_chorales("valid")), padded(jsb_chorales("test"))
    curve, best, state, start = [], (np.inf, 0), trainer.module.state_dict(), time.perf_counter()
    for epoch in range(1, epochs + 1):
        losses = [trainer.step(*batch)["nats"] for batch in batches]
        curve.append((epoch, trainer.evaluate(*valid)))
        if curve[-1][1] < best[0]:
            best, state = (curve[-1][1], epoch), trainer.module.state_dict()
        if epoch % 10 == 0:
            print(f"{cell} epoch {epoch}: train {np.mean(losses):.3f}, valid {curve[-1][1]:.3f}", flush=True)
        if epoch >= best[1] + PATIENCE:
            break
    seconds = time.perf_counter() - start
    trainer.module.load_state_dict(state)
    nats = trainer.evaluate(*test)
    verdict = "pass" if nats <= published + MARGIN else "FAIL"
    print(f"{cell}, {hidden} units: test {nats:.3f} after epoch {best[1]}, published {published}: {verdict}",
          flush=True)
    return {"hidden": hidden, "lr": lr, "seed": seed, "epochs": epoch, "best epoch": best[1], "valid": best[0],
            "test": nats, "published": published, "verdict": verdict, "seconds": round(seconds, 1)}, curve


def main(cells: list[str], seed: int, epochs: int) -> None:
    nats = frequency_nats(jsb_chorales("test"), note_frequencies(jsb_chorales("train")))
    verdict = "pass" if round(nats, 3) == NOTE_1_GRAM else "FAIL"
    print(f"note 1-gram: test {nats:.3f}, published 11.06: {verdict}", flush=True)
    figures: dict[str, Any] = {"command": f"python -m benchmarks.jsb --seed {seed}", "note 1-gram": nats}
    curves = {}
    for cell in cells:
        figures[cell], curves[f"{cell} {NETWORKS[cell][0]}"] = train(cell, seed, epochs)
    figures |= {"cpus": os.cpu_count(), "numpy": np.__version__}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "jsb.json").write_text(json.dumps(figures, indent=1) + "\n")
    loss_plot(RESULTS / "jsb.png", {name: curve[9:] for name, curve in curves.items()},
              xlabel="epoch, from the tenth; validation nats a step")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--epochs", type=int, default=1000, help="at most")
    parser.add_argument("--seed", type=int, default=0)
    main(**vars(parser.parse_args()))
