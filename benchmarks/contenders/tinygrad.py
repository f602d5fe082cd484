"""The dense rows in tinygrad: the whole training step is one TinyJit. (A product of 512×512 takes it 0.1 s on the CPU.)

Its CPU device compiles with clang, which has to be on the PATH.
"""

import shutil
from collections.abc import Sequence
from typing import Any

from tinygrad import Context, Tensor, TinyJit
from tinygrad.nn.optim import Adam

from benchmarks.contenders import Skip, Work
from benchmarks.rows import Layer, Training

KINDS = {"dense", "norm", "relu", "leaky", "sigmoid"}
Net = list[list[Tensor]]  # each layer's weights


def apply(layers: Sequence[Layer], net: Net, x: Tensor) -> Tensor:
    for (kind, *settings), weights in zip(layers, net, strict=True):
        if kind == "dense":
            x = x.linear(weights[0], weights[1])
        elif kind == "norm":
            mean = x.mean(0)
            x = (x - mean) * ((x - mean).square().mean(0) + settings[1]).rsqrt() * weights[0] + weights[1]
        elif kind == "relu":
            x = x.relu()
        elif kind == "leaky":
            x = x.leaky_relu(settings[0])
        elif kind == "sigmoid":
            x = x.sigmoid()
    return x


def training(row: Training) -> Work:
    if shutil.which("clang") is None:
        raise Skip("tinygrad compiles with clang, which is not on the PATH")
    if missing := {layer[0] for layers in row.networks.values() for layer in layers} - KINDS:
        raise Skip(f"left out, a step would take many seconds: {', '.join(sorted(missing))}")
    nets = {name: [[Tensor(a).contiguous().realize() for a in arrays] for arrays in net]
            for name, net in row.arrays().items()}
    batches = [[Tensor(a).contiguous().realize() for a in batch] for batch in row.batches()]
    parts = [["D"], ["G"]] if row.game == "gan" else [list(nets)]
    optimizers = [Adam([a for name in part for arrays in nets[name] for a in arrays], row.lr, row.beta1, 0.999)
                  for part in parts]

    def run(name: str, x: Tensor) -> Tensor:
        return apply(row.networks[name], nets[name], x)

    def update(loss: Tensor, optimizer: Adam) -> list[Tensor]:
        optimizer.zero_grad()
        for p, g in zip(optimizer.params, loss.gradient(*optimizer.params), strict=True):
            p.grad = g
        return optimizer.schedule_step()

    def gan(x: Tensor, z: Tensor) -> list[Tensor]:
        fake = run("G", z)
        logits = run("D", x.cat(fake.detach()))
        d_loss = (-logits[: len(x)]).softplus().mean() + logits[len(x) :].softplus().mean()
        Tensor.realize(d_loss, *update(d_loss, optimizers[0]))
        g_loss = (-run("D", fake)).softplus().mean()
        Tensor.realize(g_loss, *update(g_loss, optimizers[1]))
        return [d_loss, g_loss]

    def one(x: Tensor, y: Tensor) -> list[Tensor]:
        if row.game == "vae":
            h = run("encoder", x)
            mu, log_var = run("mu", h), run("log_var", h)
            logits = run("decoder", mu + (0.5 * log_var).exp() * y)
            kl = -0.5 * (1 + log_var - mu * mu - log_var.exp()).sum(1)
            loss = ((logits.softplus() - x * logits).sum(1) + kl).mean()
        else:  # imitate
            loss = (run("net", x) - y).square().mean()
        Tensor.realize(loss, *update(loss, optimizers[0]))
        return [loss]

    turn = TinyJit(gan if row.game == "gan" else one)

    def step(i: int) -> Any:
        with Context(TRAINING=1):
            return turn(*batches[i % len(batches)])

    return Work(step, lambda losses: [loss.item() for loss in losses])


def wait(result: Any) -> None:
    for loss in result:
        loss.item()
