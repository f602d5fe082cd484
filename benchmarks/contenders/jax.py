"""The rows in JAX: the whole training step is one jitted function, whose state is donated to it."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.contenders import DEVICE, PRECISION, Work
from benchmarks.rows import GATES, Layer, Operation, Overhead, Product, Training, edge

if DEVICE == "cuda":  # where its products in float32 are TF32 unless it is told
    jax.config.update("jax_default_matmul_precision", "tensorfloat32" if PRECISION == "tf32" else "highest")

Net = list[list[Any]]  # each layer's weights
DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def recurrent(kind: str, weights: list[Any], x: Any) -> Any:
    """(T, N, I) -> (T, N, H), PyTorch's equations; all inputs enter by one product."""
    w, r, b = weights
    hidden = r.shape[0]
    zeros = jnp.zeros((x.shape[1], hidden))

    def rnn(h: Any, z: Any) -> tuple[Any, Any]:
        h = jnp.tanh(z + h @ r)
        return h, h

    def lstm(state: Any, z: Any) -> tuple[Any, Any]:
        h, c = state
        i, f, g, o = jnp.split(z + h @ r, 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    def gru(h: Any, z: Any) -> tuple[Any, Any]:
        m = h @ r
        gates = jax.nn.sigmoid(z[:, : 2 * hidden] + m[:, : 2 * hidden])
        n = jnp.tanh(z[:, 2 * hidden :] + gates[:, :hidden] * (m[:, 2 * hidden :] + b[3 * hidden :]))
        h = n + gates[:, hidden:] * (h - n)
        return h, h

    cell, start = {"rnn": (rnn, zeros), "lstm": (lstm, (zeros, zeros)), "gru": (gru, zeros)}[kind]
    return lax.scan(cell, start, x @ w + b[: w.shape[1]])[1]


def apply(layers: Sequence[Layer], net: Net, moments: Net, x: Any, key: Any, dropout: bool) -> tuple[Any, Net]:
    """The network's output, and each normalisation's running mean and variance after it."""
    after: Net = []
    for number, ((kind, *settings), weights, running) in enumerate(zip(layers, net, moments, strict=True)):
        new = running
        if kind == "dense":
            x = x @ weights[0]
        elif kind == "conv":
            _, _, k, stride, padding, _ = settings
            edges = [edge(padding, n, k, stride) for n in x.shape[1:3]]
            x = lax.conv_general_dilated(x, weights[0], (stride, stride), edges, dimension_numbers=DIMENSIONS)
        elif kind == "transposed":
            _, _, k, stride, padding, _ = settings
            befores = [edge(padding, stride * n, k, stride)[0] for n in x.shape[1:3]]
            edges = [(k - 1 - before, stride - 1 + before) for before in befores]  # stride·n pixels come out
            x = lax.conv_general_dilated(x, weights[0][::-1, ::-1], (1, 1), edges, lhs_dilation=(stride, stride),
                                         dimension_numbers=("NHWC", "HWOI", "NHWC"))
        elif kind == "norm":
            _, eps, momentum = settings
            axes = tuple(range(x.ndim - 1))
            mean = x.mean(axes)
            var = ((x - mean) ** 2).mean(axes)
            count = math.prod(x.shape[:-1])
            x = (x - mean) * (weights[0] * lax.rsqrt(var + eps)) + weights[1]
            new = [running[0] * (1 - momentum) + mean * momentum,
                   running[1] * (1 - momentum) + var * (momentum * count / (count - 1))]
        elif kind == "relu":
            x = jax.nn.relu(x)
        elif kind == "leaky":
            x = jax.nn.leaky_relu(x, settings[0])
        elif kind == "sigmoid":
            x = jax.nn.sigmoid(x)
        elif kind == "tanh":
            x = jnp.tanh(x)
        elif kind == "dropout" and dropout:
            kept = jax.random.bernoulli(jax.random.fold_in(key, number), 1 - settings[0], x.shape)
            x = jnp.where(kept, x / (1 - settings[0]), 0)
        elif kind == "pool":
            window = (1, settings[0], settings[0], 1)
            x = lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")
        elif kind == "reshape":
            x = x.reshape(-1, *settings[0])
        elif kind == "flatten":
            x = x.reshape(len(x), -1)
        elif kind in GATES:
            x = recurrent(kind, weights, x)
        if kind in ("dense", "conv", "transposed") and len(weights) == 2:
            x = x + weights[1]
        after.append(new)
    return x, after


def adam(row: Training, params: Any, slots: Any, gradients: Any, t: Any) -> tuple[Any, Any]:
    m = jax.tree.map(lambda m, g: row.beta1 * m + (1 - row.beta1) * g, slots[0], gradients)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, slots[1], gradients)
    rate, root = row.lr / (1 - row.beta1**t), 1 / jnp.sqrt(1 - 0.999**t)
    return jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) * root + 1e-8), params, m, v), (m, v)


def training(row: Training) -> Work:
    params = jax.tree.map(jnp.asarray, row.arrays())
    zeros = jax.tree.map(jnp.zeros_like, params)
    moments = {name: [[jnp.zeros_like(w), jnp.ones_like(w)] if kind == "norm" else []
                      for (kind, *_), (w, *_) in zip(layers, [a or [None] for a in params[name]], strict=True)]
               for name, layers in row.networks.items()}  # fmt: skip
    batches = [[jnp.asarray(a) for a in batch] for batch in row.batches()]
    key = jax.random.key(0, impl="rbg")  # a faster generator than the default, says its documentation

    def run(name: str, params: Any, moments: Any, x: Any, key: Any, dropout: bool) -> tuple[Any, Any]:
        y, after = apply(row.networks[name], params[name], moments[name], x, key, dropout)
        return y, moments | {name: after}

    def gan(state: Any, key: Any, dropout: bool, x: Any, z: Any) -> tuple[Any, list[Any]]:
        params, slots, moments, t = state
        keys = jax.random.split(key, 3)

        def generate(g: Any) -> tuple[Any, Any]:
            return run("G", {"G": g}, moments, z, keys[0], dropout)

        fake, pull, moments = jax.vjp(generate, params["G"], has_aux=True)

        def d_loss_of(d: Any) -> Any:
            logits, _ = run("D", {"D": d}, moments, jnp.concatenate([x, fake]), keys[1], dropout)
            return jax.nn.softplus(-logits[: len(x)]).mean() + jax.nn.softplus(logits[len(x) :]).mean()

        def g_loss_of(fake: Any, d: Any) -> Any:
            return jax.nn.softplus(-run("D", {"D": d}, moments, fake, keys[2], dropout)[0]).mean()

        d_loss, d_gradient = jax.value_and_grad(d_loss_of)(params["D"])
        d, d_slots = adam(row, params["D"], [s["D"] for s in slots], d_gradient, t)
        g_loss, cotangent = jax.value_and_grad(g_loss_of)(fake, d)
        g, g_slots = adam(row, params["G"], [s["G"] for s in slots], pull(cotangent)[0], t)
        slots = tuple({"G": a, "D": b} for a, b in zip(g_slots, d_slots, strict=True))
        return ({"G": g, "D": d}, slots, moments, t + 1), [d_loss, g_loss]

    def loss_of(params: Any, moments: Any, key: Any, dropout: bool, x: Any, y: Any = None) -> tuple[Any, Any]:
        if row.game == "vae":
            h, _ = run("encoder", params, moments, x, key, dropout)
            mu, log_var = (run(name, params, moments, h, key, dropout)[0] for name in ("mu", "log_var"))
            logits, _ = run("decoder", params, moments, mu + jnp.exp(0.5 * log_var) * y, key, dropout)
            kl = -0.5 * (1 + log_var - mu * mu - jnp.exp(log_var)).sum(1)
            return ((jax.nn.softplus(logits) - x * logits).sum(1) + kl).mean(), moments
        if row.game == "sequence":
            logits, _ = run("net", params, moments, x[:-1], key, dropout)
            return (jax.nn.softplus(logits) - x[1:] * logits).mean(), moments
        out, moments = run("net", params, moments, x, key, dropout)
        if row.game == "classify":
            return -jnp.take_along_axis(jax.nn.log_softmax(out), y[:, None], 1).mean(), moments
        return ((out - y) ** 2).mean(), moments

    def one(state: Any, key: Any, dropout: bool, *batch: Any) -> tuple[Any, list[Any]]:
        params, slots, moments, t = state
        (loss, moments), gradient = jax.value_and_grad(loss_of, has_aux=True)(params, moments, key, dropout, *batch)
        params, slots = adam(row, params, slots, gradient, t)
        return (params, slots, moments, t + 1), [loss]

    turn = jax.jit(gan if row.game == "gan" else one, donate_argnums=(0,), static_argnums=(2,))
    held: dict[str, Any] = {"state": (params, (zeros, jax.tree.map(jnp.copy, zeros)), moments, jnp.float32(1)),
                            "dropout": False}

    def step(i: int) -> Any:
        held["state"], losses = turn(held["state"], jax.random.fold_in(key, i), held["dropout"],
                                     *batches[i % len(batches)])
        return losses

    return Work(step, lambda losses: [float(loss) for loss in losses], lambda on: held.update(dropout=on))


def _batch_norm(x: Any, gamma: Any, beta: Any) -> Any:
    mean = x.mean(0)
    return (x - mean) * (gamma * lax.rsqrt(((x - mean) ** 2).mean(0) + 1e-5)) + beta


def _layer_norm(x: Any, gamma: Any, beta: Any) -> Any:
    centred = x - x.mean(1, keepdims=True)
    return centred * jax.lax.rsqrt((centred**2).mean(1, keepdims=True) + 1e-5) * gamma + beta


OPERATIONS: dict[str, Any] = {
    "add": jnp.add, "mul": jnp.multiply, "exp": jnp.exp, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid,
    "leaky_relu": lambda x: jax.nn.leaky_relu(x, 0.2), "bce": lambda x, t: (jax.nn.softplus(x) - t * x).mean(),
    "sum": jnp.sum, "sum_rows": lambda x: x.sum(0), "softmax": jax.nn.softmax, "batch_norm": _batch_norm,
    "layer_norm": _layer_norm, "embedding": lambda x, i: x[i],
    "cross_entropy": lambda x, t: -jnp.take_along_axis(jax.nn.log_softmax(x), t[:, None], 1).mean(),
}  # fmt: skip


def product(row: Product) -> Work:
    x, weights, g = row.arrays()
    x, g, *ws = map(jnp.asarray, (x, g, *weights))
    forward, inputs, weight = (jax.jit(f) for f in (lambda a, w: a @ w, lambda a, w: a @ w.T, lambda a, b: a.T @ b))
    steps = {"forward": lambda i: forward(x, ws[i % len(ws)]), "input": lambda i: inputs(g, ws[i % len(ws)]),
             "weight": lambda i: weight(x, g)}
    return Work(steps[row.direction], np.asarray)


def operation(row: Operation) -> Work:
    *xs, g = map(jnp.asarray, row.arrays())
    if row.operation == "adam":
        rule = Training("adam", "", {}, {}, 0)
        update = jax.jit(lambda p, slots, t: adam(rule, p, slots, xs[1], t), donate_argnums=(0, 1))
        held = [jnp.copy(xs[0]), (jnp.zeros_like(xs[0]), jnp.zeros_like(xs[0])), 0]

        def step(i: int) -> Any:
            held[2] += 1
            held[0], held[1] = update(held[0], held[1], jnp.float32(held[2]))
            return held[0]

        return Work(step, np.asarray)
    function = OPERATIONS[row.operation]
    if row.gradient:
        pulled = jax.jit(lambda g, *xs: jax.vjp(function, *xs)[1](g))
        return Work(lambda i: pulled(g, *xs), lambda found: np.asarray(found[0]))
    jitted = jax.jit(function)
    return Work(lambda i: jitted(*xs), np.asarray)


def recording(row: Overhead) -> Work:
    """JAX records while it traces; outside, an operation is dispatched."""
    x, y = jnp.ones(16), jnp.ones(16)

    def step(i: int) -> Any:
        for _ in range(1000):
            z = x + y
        return z

    return Work(step, np.asarray, operations=1000)


def wait(result: Any) -> None:
    jax.block_until_ready(result)
