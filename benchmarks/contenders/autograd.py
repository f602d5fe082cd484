"""The rows without images in HIPS autograd: NumPy code, differentiated as it stands."""

from collections.abc import Sequence
from typing import Any

import autograd.numpy as np
import numpy
from autograd import make_vjp, value_and_grad

from benchmarks.contenders import Work
from benchmarks.rows import GATES, Layer, Overhead, Training

Net = list[list[Any]]  # each layer's weights


def sigmoid(x: Any) -> Any:
    return 0.5 * (np.tanh(0.5 * x) + 1)


def softplus(x: Any) -> Any:
    return np.logaddexp(numpy.float32(0), x)


def recurrent(kind: str, weights: list[Any], x: Any) -> Any:
    """(T, N, I) -> (T, N, H), PyTorch's equations; all inputs enter by one product."""
    w, r, b = weights
    size = r.shape[0]
    entered = np.dot(x, w) + b[: w.shape[1]]
    h = c = numpy.zeros((x.shape[1], size), numpy.float32)
    states = []
    for t in range(len(x)):
        if kind == "rnn":
            h = np.tanh(entered[t] + np.dot(h, r))
        elif kind == "lstm":
            i, f, g, o = np.split(entered[t] + np.dot(h, r), 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        else:
            m = np.dot(h, r)
            gates = sigmoid(entered[t][:, : 2 * size] + m[:, : 2 * size])
            n = np.tanh(entered[t][:, 2 * size :] + gates[:, :size] * (m[:, 2 * size :] + b[3 * size :]))
            h = n + gates[:, size:] * (h - n)
        states.append(h)
    return np.stack(states)


def apply(layers: Sequence[Layer], net: Net, x: Any) -> Any:
    for (kind, *settings), weights in zip(layers, net, strict=True):
        if kind == "dense":  # the rows that name autograd as a peer have these layers
            x = np.dot(x, weights[0]) + weights[1]
        elif kind == "norm":
            mean = np.mean(x, 0)
            x = (x - mean) / np.sqrt(np.mean((x - mean) ** 2, 0) + settings[1]) * weights[0] + weights[1]
        elif kind == "relu":
            x = np.maximum(x, 0)
        elif kind == "leaky":
            x = np.maximum(x, settings[0] * x)
        elif kind == "sigmoid":
            x = sigmoid(x)
        elif kind in GATES:
            x = recurrent(kind, weights, x)
    return x


class Adam:
    """In place."""

    def __init__(self, row: Training, net: Any) -> None:
        self.row, self.arrays, self.t = row, [a for arrays in net for a in arrays], 0
        self.slots = [(numpy.zeros_like(a), numpy.zeros_like(a)) for a in self.arrays]

    def step(self, gradient: Any) -> None:
        self.t += 1
        beta1, rate = self.row.beta1, self.row.lr / (1 - self.row.beta1**self.t)
        root = (1 - 0.999**self.t) ** 0.5
        gradients = [g for gs in gradient for g in gs]
        for p, g, (m, v) in zip(self.arrays, gradients, self.slots, strict=True):
            m *= beta1
            m += (1 - beta1) * g
            v *= 0.999
            v += 0.001 * g * g
            p -= rate * m / (numpy.sqrt(v) / root + 1e-8)


def training(row: Training) -> Work:
    nets, batches = row.arrays(), row.batches()
    parts = [["D"], ["G"]] if row.game == "gan" else [list(nets)]
    optimizers = [Adam(row, [layer for name in part for layer in nets[name]]) for part in parts]

    def run(name: str, net: Net, x: Any) -> Any:
        return apply(row.networks[name], net, x)

    def d_loss_of(d: Net, x: Any, fake: Any) -> Any:
        logits = run("D", d, np.concatenate([x, fake]))
        return np.mean(softplus(-logits[: len(x)])) + np.mean(softplus(logits[len(x) :]))

    def g_loss_of(g: Net, z: Any) -> Any:
        return np.mean(softplus(-run("D", nets["D"], run("G", g, z))))

    def loss_of(nets: dict[str, Net], x: Any, y: Any = None) -> Any:
        if row.game == "vae":
            h = run("encoder", nets["encoder"], x)
            mu, log_var = run("mu", nets["mu"], h), run("log_var", nets["log_var"], h)
            logits = run("decoder", nets["decoder"], mu + np.exp(0.5 * log_var) * y)
            kl = -0.5 * np.sum(1 + log_var - mu * mu - np.exp(log_var), 1)
            return np.mean(np.sum(softplus(logits) - x * logits, 1) + kl)
        if row.game == "imitate":
            return np.mean((run("net", nets["net"], x) - y) ** 2)
        logits = run("net", nets["net"], x[:-1])
        return np.mean(softplus(logits) - x[1:] * logits)

    d_step, g_step, one_step = map(value_and_grad, (d_loss_of, g_loss_of, loss_of))

    def gan(x: Any, z: Any) -> list[Any]:
        d_loss, gradient = d_step(nets["D"], x, run("G", nets["G"], z))
        optimizers[0].step(gradient)
        g_loss, gradient = g_step(nets["G"], z)
        optimizers[1].step(gradient)
        return [d_loss, g_loss]

    def one(*batch: Any) -> list[Any]:
        loss, gradient = one_step(nets, *batch)
        optimizers[0].step([layer for name in nets for layer in gradient[name]])
        return [loss]

    turn = gan if row.game == "gan" else one
    return Work(lambda i: turn(*batches[i % len(batches)]), lambda losses: losses)


def backward(row: Overhead) -> Work:
    """Through a chain of 1,000 additions, held for many times."""
    ones = numpy.ones(16, numpy.float32)

    def chain(y: Any) -> Any:
        z = y
        for _ in range(1000):
            z = z + y
        return z

    pull, _ = make_vjp(chain)(ones)
    return Work(lambda i: pull(ones), lambda g: g - 1, operations=1000)  # the first y of the chain is not the others'


def wait(result: Any) -> None:
    """Every operation ends before it returns."""
