"""Random sequences backwards by attention: python -m benchmarks.reversal [--attention multiplicative additive]

20 digits in, the same ones in reverse order out, fresh random ones in every batch of 64; Adam 3e-3, to 3e-4 after two
thirds of the steps. At least 99 % of 1,000 unseen sequences must come out without a mistake, each digit written after
those that the model wrote before. Writes benchmarks/results/reversal.json, and a picture of the attention map, which
should be the other diagonal, beside it.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from tinyart.data import save_image
from tinyart.models.seq2seq import TranslatorTrainer
from tinyart.optim import StepLR

RESULTS = Path(__file__).parent / "results"
LENGTH, DIGITS, BATCH, MARK, TILE = 20, 10, 64, 0.99, 16
STEPS = {"multiplicative": 1200, "additive": 1200}


def train(attention: str, steps: int, seed: int) -> tuple[dict[str, Any], np.ndarray]:
    trainer = TranslatorTrainer(inputs=DIGITS, outputs=DIGITS, attention=attention, lr=3e-3, seed=seed)
    trainer.optimizer.lr = StepLR(3e-3, max(1, 2 * steps // 3))
    rng, start = np.random.default_rng(seed), time.perf_counter()
    for step in range(1, steps + 1):
        x = rng.integers(0, DIGITS, (BATCH, LENGTH))
        losses = trainer.step(x, x[:, ::-1])
        if step % 100 == 0:
            print(f"{attention} step {step}: {losses['nats']:.4f} nats, {losses['error']:.2%} wrong", flush=True)
    seconds = time.perf_counter() - start
    test = np.random.default_rng([seed, 1]).integers(0, DIGITS, (1000, LENGTH))
    exact = trainer.exact(test, test[:, ::-1])
    read = trainer.module.generate(test[:1].T, LENGTH)[1]
    assert read is not None
    print(f"{attention}: {exact:.1%} exact, at least {MARK:.0%}: {'pass' if exact >= MARK else 'FAIL'}", flush=True)
    on = float(np.take_along_axis(read[0], np.arange(LENGTH)[::-1, None], 1).mean())
    return {"steps": steps, "exact": exact, "attention on the digit that is written": round(on, 3),
            "seconds": round(seconds, 1)}, read[0]


def main(attention: list[str], steps: int | None, seed: int) -> None:
    figures: dict[str, Any] = {
        "command": f"python -m benchmarks.reversal --attention {' '.join(attention)} --seed {seed}", "mark": MARK}
    maps = []
    for name in attention:
        figures[name], read = train(name, steps or STEPS[name], seed)
        maps += [np.kron(read, np.ones((TILE, TILE))), np.ones((LENGTH * TILE, TILE))]  # a step a row, white between
    figures |= {"cpus": os.cpu_count(), "numpy": np.__version__}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "reversal.json").write_text(json.dumps(figures, indent=1) + "\n")
    save_image(RESULTS / "reversal.png", np.concatenate(maps[:-1], 1)[:, :, None].astype(np.float32))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--attention", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    main(**vars(parser.parse_args()))
