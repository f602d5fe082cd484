"""Tiny Shakespeare with char-rnn's defaults: python -m benchmarks.shakespeare [--epochs 12]

2 x 128 LSTM, one-hot characters, RMSprop 2e-3 (decay 0.95), gradients clipped to ±5, batch 50, 50 steps, the state
carried over, 423 batches to train on and 23 to validate with; weights from U(-0.08, 0.08), forget bias 1. Validation
loss in nats a character; at most 1.75 after 3 epochs and 1.45 after 12 pass. Without char-rnn's decay of the learning
rate after epoch 10. Beside it the time that PyTorch takes for the same steps, from the same weights, in turns; its
losses must be ours. Writes benchmarks/results/shakespeare.json, the curve, and a sample in shakespeare.txt.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from tinyart.data import Batches
from tinyart.data.files import data_folders
from tinyart.data.plot import loss_plot
from tinyart.data.text import encode, read_text, symbols
from tinyart.io import recurrent_to_pytorch
from tinyart.models.char_rnn import CharTrainer, stretches
from tinyart.random import Generator

RESULTS = Path(__file__).parent / "results"
BATCH, STEPS, TRAIN = 50, 50, 423
MARKS = {3: 1.75, 12: 1.45}


class TorchTwin:
    """PyTorch's modules and optimiser in the same place: of its two biases one learns, since ours are one."""

    def __init__(self, trainer: CharTrainer) -> None:
        import torch

        self.torch = torch
        state, size = trainer.module.state_dict(), len(trainer.module.symbols)
        self.lstm, self.output = torch.nn.LSTM(size, 128, num_layers=2), torch.nn.Linear(128, size)
        cells = {name.removeprefix("recurrent."): a for name, a in state.items() if name.startswith("recurrent.")}
        self.lstm.load_state_dict({k: torch.from_numpy(a) for k, a in recurrent_to_pytorch(cells).items()})
        self.output.load_state_dict({"weight": torch.from_numpy(state["output.weight"].T.copy()),
                                     "bias": torch.from_numpy(state["output.bias"])})
        for name, p in self.lstm.named_parameters():
            p.requires_grad_(not name.startswith("bias_hh"))
        self.parameters = [p for p in [*self.lstm.parameters(), *self.output.parameters()] if p.requires_grad]
        self.optimizer = torch.optim.RMSprop(self.parameters, lr=2e-3, alpha=0.95)
        self.state = tuple(torch.zeros(2, BATCH, 128) for _ in range(2))
        self.eye = torch.eye(size)

    def step(self, x: Any, y: Any) -> float:
        torch = self.torch
        h, state = self.lstm(self.eye[torch.from_numpy(x.T.copy())], self.state)
        self.state = tuple(part.detach() for part in state)
        loss = torch.nn.functional.cross_entropy(self.output(h).flatten(0, 1), torch.from_numpy(y.T.copy()).flatten())
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_value_(self.parameters, 5.0)
        self.optimizer.step()
        return float(loss.item())


def race(made: dict[str, Any], x: Any, y: Any, rounds: int = 6, steps: int = 5) -> dict[str, float]:
    """Milliseconds a step of tinyart and PyTorch, the median of rounds in turns, and how far their losses differ."""
    ours = CharTrainer(**made)
    theirs, times, apart, batches = TorchTwin(ours), {"tinyart": [], "pytorch": []}, 0.0, Batches((x, y), BATCH,
                                                                                                  shuffle=False)
    for _ in range(rounds + 1):  # the first warms up
        data, losses = [next(batches) for _ in range(steps)], {}
        for name, step in (("tinyart", lambda *b: ours.step(*b)["nats"]), ("pytorch", theirs.step)):
            start = time.perf_counter()
            losses[name] = [step(*batch) for batch in data]
            times[name].append((time.perf_counter() - start) / steps * 1e3)
        apart = max(apart, float(np.abs(np.subtract(*losses.values())).max()))
    medians = {f"{name} ms a step": round(float(np.median(t[1:])), 2) for name, t in times.items()}
    return medians | {"largest difference of losses": apart}


def main(epochs: int, seed: int, alone: bool) -> None:
    text = read_text(next(p for f in data_folders("tiny-shakespeare") if (p := f / "input.txt").is_file()))
    known = symbols(text)
    x, y = stretches(encode(text, known), BATCH, STEPS)
    made = {"symbols": known, "batch": BATCH, "seed": seed}
    command = f"python -m benchmarks.shakespeare --epochs {epochs} --seed {seed}{' --alone' * alone}"
    figures: dict[str, Any] = {"command": command}
    if not alone:
        figures["race"] = race(made, x[: TRAIN * BATCH], y[: TRAIN * BATCH])
        print(figures["race"], flush=True)
    trainer = CharTrainer(**made)
    batches = Batches((x[: TRAIN * BATCH], y[: TRAIN * BATCH]), BATCH, shuffle=False)
    seconds, nats = [], {}
    for epoch in range(1, epochs + 1):
        start = time.perf_counter()
        losses = [trainer.step(*batch)["nats"] for batch in batches]
        seconds.append(round(time.perf_counter() - start, 1))
        nats[epoch] = trainer.evaluate(x[TRAIN * BATCH :], y[TRAIN * BATCH :], BATCH)
        most = MARKS.get(epoch)
        mark = f"  at most {most}: {'pass' if nats[epoch] <= most else 'FAIL'}" if most else ""
        print(f"epoch {epoch:2}  train {np.mean(losses):.3f}  valid {nats[epoch]:.3f}  {seconds[-1]} s{mark}",
              flush=True)
    figures |= {"valid": nats, "marks": MARKS, "seconds an epoch": seconds, "cpus": os.cpu_count(),
                "numpy": np.__version__}
    sample = trainer.module.sample("ROMEO:\n", 600, temperature=0.8, generator=Generator(seed))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "shakespeare.json").write_text(json.dumps(figures, indent=1) + "\n")
    (RESULTS / "shakespeare.txt").write_text(f"ROMEO:\n{sample}\n")
    loss_plot(RESULTS / "shakespeare.png", {"validation": list(nats.items())}, xlabel="epoch; nats a character")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--alone", action="store_true", help="without PyTorch beside it")
    main(**vars(parser.parse_args()))
