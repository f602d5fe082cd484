"""The rows in tinyart, as its README and models use it; training steps on a GPU by `Replay`, but for tinyart.eager."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

import tinyart as ta
from benchmarks.contenders import DEVICE, PRECISION, Skip, Work
from benchmarks.rows import GATES, Array, Convolution, Layer, Operation, Overhead, Product, Training
from tinyart import nn, ops
from tinyart.backend import cupy, kernels_of, to_device
from tinyart.models.gan import discriminator_loss, generator_loss
from tinyart.models.vae import bernoulli_log_likelihood, reparameterise
from tinyart.optim import Adam

ta.set_matmul_precision(PRECISION)

LAYERS: dict[str, Any] = {
    "dense": lambda i, o, bias: nn.Dense(i, o, bias=bias),
    "conv": lambda i, o, k, stride, padding, bias: nn.Conv2d(i, o, k, stride=stride, padding=padding, bias=bias),
    "transposed": lambda i, o, k, stride, padding, bias: nn.ConvTranspose2d(i, o, k, stride=stride, padding=padding,
                                                                            bias=bias),
    "norm": lambda c, eps, momentum: nn.BatchNorm(c, momentum=momentum, eps=eps),
    "relu": nn.ReLU, "leaky": nn.LeakyReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh,
    "dropout": nn.Dropout, "pool": nn.MaxPool2d, "reshape": nn.Reshape, "flatten": lambda shape: nn.Flatten(),
}  # fmt: skip


class Recurrent(nn.Module):
    """The states of all steps: (T, N, I) -> (T, N, H)"""

    def __init__(self, kind: str, inputs: int, hidden: int) -> None:
        self.cell = getattr(nn, kind.upper())(inputs, hidden)

    def forward(self, x: Any) -> Any:
        return self.cell(x)[0]


def network(layers: Sequence[Layer], weights: list[list[Array]]) -> nn.Sequential:
    made = nn.Sequential(*(Recurrent(kind, *settings) if kind in GATES else LAYERS[kind](*settings)
                           for kind, *settings in layers))
    for parameter, array in zip(made.parameters(), (a for arrays in weights for a in arrays), strict=True):
        parameter.array[...] = array
    made.to(DEVICE)
    return made


def training(row: Training, replay: bool = DEVICE == "cuda") -> Work:
    given = row.arrays()
    nets = {name: network(layers, given[name]) for name, layers in row.networks.items()}
    batches = [[ta.tensor(a, device=DEVICE) for a in batch] for batch in row.batches()]
    parts = [["D"], ["G"]] if row.game == "gan" else [list(nets)]
    optimizers = [Adam([p for name in part for p in nets[name].parameters()], lr=row.lr, beta1=row.beta1)
                  for part in parts]

    def gan(x: Any, z: Any) -> list[Any]:
        n, fake = len(x), nets["G"](z)
        logits = nets["D"](ops.concatenate([x, fake.detach()]))
        d_loss = discriminator_loss(logits[:n], logits[n:])
        optimizers[0].step(ta.grad(d_loss, optimizers[0].parameters))
        g_loss = generator_loss(nets["D"](fake))
        optimizers[1].step(ta.grad(g_loss, optimizers[1].parameters))
        return [d_loss, g_loss]

    def loss_of(x: Any, y: Any = None) -> Any:
        if row.game == "vae":
            h = nets["encoder"](x)
            mu, log_var = nets["mu"](h), nets["log_var"](h)
            logits = nets["decoder"](reparameterise(mu, log_var, y))
            return (ops.kl_to_standard_normal(mu, log_var) - bernoulli_log_likelihood(x, logits)).mean()
        if row.game == "classify":
            return ops.cross_entropy(nets["net"](x), y)
        if row.game == "imitate":
            return ops.mse_loss(nets["net"](x), y)
        return ops.bce_with_logits(nets["net"](x[:-1]), x[1:])

    def one(*batch: Any) -> list[Any]:
        loss = loss_of(*batch)
        optimizers[0].step(ta.grad(loss, optimizers[0].parameters))
        return [loss]

    drops = [(m, m.p) for net in nets.values() for m in net.modules() if isinstance(m, nn.Dropout)]

    turn: Any = gan if row.game == "gan" else one
    recorded = [turn]

    def dropout(on: bool) -> None:
        for module, p in drops:
            module.p = p if on else 0.0
        recorded[0] = ta.Replay(turn, *batches[0]) if replay else turn  # a recording has one p

    return Work(lambda i: recorded[0](*batches[i % len(batches)]), lambda losses: [loss.item() for loss in losses],
                dropout)


def convolution(row: Convolution) -> Work:
    x, w, g = (to_device(a, DEVICE) for a in row.arrays())
    kernels = kernels_of(x)
    settings: Any = {"stride": (row.stride,) * 2, "padding": row.edges, "dilation": (1, 1), "groups": row.groups}
    forward, inputs = ("input", "forward") if row.transposed else ("forward", "input")
    steps = {
        forward: lambda i: kernels.conv(x, w, **settings),
        inputs: lambda i: kernels.conv_input(g, w, size=(row.height, row.width), **settings),
        "weight": lambda i: kernels.conv_weight(x, g, size=(row.size, row.size), **settings),
    }
    return Work(steps[row.direction], lambda array: np.asarray(to_device(array, "cpu")))


def product(row: Product) -> Work:
    x, weights, g = row.arrays()
    x, g = (to_device(a, DEVICE) for a in (x, g))
    ws, kernels = [to_device(w, DEVICE) for w in weights], kernels_of(x)
    steps = {"forward": lambda i: kernels.matmul(x, ws[i % len(ws)]),
             "input": lambda i: kernels.matmul(g, ws[i % len(ws)].T), "weight": lambda i: kernels.matmul(x.T, g)}
    return Work(steps[row.direction], lambda array: np.asarray(to_device(array, "cpu")))


OPERATIONS: dict[str, Any] = {
    "add": ops.add, "mul": ops.mul, "exp": ops.exp, "tanh": ops.tanh, "sigmoid": ops.sigmoid,
    "leaky_relu": lambda x: ops.leaky_relu(x, 0.2), "bce": ops.bce_with_logits, "sum": ops.sum,
    "sum_rows": lambda x: ops.sum(x, 0), "softmax": ops.softmax, "batch_norm": lambda *a: ops.batch_norm(*a)[0],
    "layer_norm": ops.layer_norm, "cross_entropy": ops.cross_entropy, "embedding": lambda x, i: ops.embedding(i, x),
}  # fmt: skip


def parameter(array: Array) -> nn.Parameter:
    return nn.Parameter(to_device(array, DEVICE))


def in_numba(row: Operation) -> Work:
    """By the kernels of kernels/cuda/numba_kernels.py, where there is one."""
    kernels: Any = import_module("tinyart.kernels.cuda.numba_kernels")
    x, *others = (to_device(a, DEVICE) for a in row.arrays())
    if row.operation == "adam":
        slots, how = [np.zeros_like(x) for _ in "mv"], {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
        return Work(lambda i: kernels.adam_(x, others[0], *slots, **how, step=i + 1, weight_decay=0.0, decoupled=False),
                    lambda _: np.asarray(to_device(x, "cpu")))
    calls = {"leaky_relu": {"slope": 0.2}, "softmax": {"axis": -1}}
    if row.gradient or row.operation not in calls:
        raise Skip("no kernel in Numba")
    kernel, settings = getattr(kernels, row.operation), calls[row.operation]
    return Work(lambda i: kernel(x, **settings), lambda y: np.asarray(to_device(y, "cpu")))


def operation(row: Operation, numba: bool = False) -> Work:
    if numba:
        return in_numba(row)
    *arrays, g = row.arrays()
    if row.operation == "adam":
        optimizer, gradient = Adam([parameter(arrays[0])]), [ta.tensor(arrays[1], device=DEVICE)]
        return Work(lambda i: optimizer.step(gradient), lambda _: optimizer.parameters[0].numpy())
    function = OPERATIONS[row.operation]
    xs = [parameter(a) if a.dtype.kind == "f" else ta.tensor(a, device=DEVICE) for a in arrays]
    learnt = [x for x in xs if x.requires_grad]
    cotangent = ta.tensor(g, device=DEVICE)
    if row.gradient:
        return Work(lambda i: ta.grad(function(*xs), learnt, cotangent=cotangent),
                    lambda gradients: gradients[0].numpy())
    return Work(lambda i: function(*xs), lambda y: y.numpy())


def recording(row: Overhead) -> Work:
    x, y = nn.Parameter(np.ones(16)), nn.Parameter(np.ones(16))

    def step(i: int) -> Any:
        for _ in range(1000):
            z = x + y
        return z

    return Work(step, lambda z: z.numpy(), operations=1000)


def backward(row: Overhead) -> Work:
    """Through a chain of 1,000 additions, held for many times."""
    x, y = nn.Parameter(np.ones(16)), nn.Parameter(np.ones(16))
    z = x
    for _ in range(1000):
        z = z + y
    ones = ta.tensor(np.ones(16))
    return Work(lambda i: ta.grad(z, [x, y], cotangent=ones, retain_graph=True), lambda found: found[1].numpy(),
                operations=1000)


def wait(result: Any) -> None:
    """On the CPU every operation ends before it returns."""
    if DEVICE == "cuda":
        cupy().cuda.get_current_stream().synchronize()
