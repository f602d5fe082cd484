"""The networks of the benchmark's GPU rows, small, as recorded steps on the double: the losses are the CPU's."""

from types import ModuleType

import pytest

from benchmarks import rows
from benchmarks.contenders import tinyart as contender

SMALL = [rows.mlp_gan("gan", 1, 4, width=8), rows.vae("vae", 3, hidden=8, latent=2),
         rows.dcgan("dcgan", 28, 1, 2, width=2), rows.recurrent("lstm", 3, 2, 4, 5), rows.recurrent("gru", 3, 2, 4, 5),
         rows.lenet("lenet", 2), rows.deep_stack("deep", 2, 4, width=8)]  # fmt: skip


@pytest.mark.parametrize("row", SMALL, ids=[row.name.split("/")[-1] for row in SMALL])
def test_recorded_steps_have_the_cpus_losses(row: rows.Training, cupy: ModuleType,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for device in ("cpu", "cuda"):
        monkeypatch.setattr(contender, "DEVICE", device)
        work = contender.training(row, replay=device == "cuda")
        work.dropout(False)
        found.append([work.answer(work.step(i)) for i in range(4)])  # the first runs, the second is recorded
    for ours, expected in zip(found[1], found[0], strict=True):
        assert ours == pytest.approx(expected, rel=1e-4)
