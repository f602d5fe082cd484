"""The rows in PyTorch, as its performance guide says: channels-last images, fused Adam, gradients set to None, only
the gradients that are used. With `compiled` every loss is one call of torch.compile. OMP_NUM_THREADS sets its threads.

PyTorch pads both sides alike, while "same" puts an odd pixel at the end. Mirrored images under mirrored filters give
mirrored results, with the odd pixel at the start, where a symmetric padding has it too: no copy for padding is needed.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.contenders import DEVICE, PRECISION, Work
from benchmarks.rows import GATES, Array, Convolution, Layer, Operation, Overhead, Product, Training, edge

torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = PRECISION == "tf32"
torch.backends.cudnn.benchmark = True


def lower(function: Any) -> Any:
    """The same with autocast, if bfloat16 is what is measured: else not even a call more."""
    return torch.autocast(DEVICE, torch.bfloat16)(function) if PRECISION == "bfloat16" else function


def lowered(x: Any) -> Any:
    """As autocast does before a product."""
    return x.to(torch.bfloat16) if PRECISION == "bfloat16" else x


class Reshape(nn.Module):
    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Any) -> Any:
        return x.view(-1, *self.shape).permute(0, 3, 1, 2)  # channels-last memory: (N, C, H, W) is a view


class Flatten(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.permute(0, 2, 3, 1).flatten(1)  # (N, H·W·C): of channels-last memory a view


class Recurrent(nn.Module):
    """Of the two biases that PyTorch adds up, only one learns, and in a GRU's n both."""

    def __init__(self, kind: str, inputs: int, hidden: int) -> None:
        super().__init__()
        self.cell = getattr(nn, kind.upper())(inputs, hidden)
        if kind == "gru":
            free = torch.cat([torch.zeros(2 * hidden), torch.ones(hidden)]).to(DEVICE)
            self.cell.bias_hh_l0.register_hook(lambda g: g * free)
        else:
            self.cell.bias_hh_l0.requires_grad_(False)

    def forward(self, x: Any) -> Any:
        return self.cell(x)[0]


def _transposed(i: int, o: int, k: int, stride: int, padding: int | str, bias: bool) -> nn.Module:
    before, after = edge(padding, stride * k, k, stride)  # the same for every multiple of the stride
    return nn.ConvTranspose2d(i, o, k, stride, padding=after, output_padding=after - before, bias=bias)


LAYERS: dict[str, Any] = {
    "dense": lambda i, o, bias: nn.Linear(i, o, bias),
    "conv": lambda i, o, k, stride, padding, bias: nn.Conv2d(i, o, k, stride, edge(padding, stride * k, k, stride)[1],
                                                             bias=bias),
    "transposed": _transposed,
    "norm": lambda c, eps, momentum: Norm(c, eps, momentum),
    "relu": nn.ReLU, "leaky": nn.LeakyReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh,
    "dropout": nn.Dropout, "pool": nn.MaxPool2d, "reshape": Reshape, "flatten": lambda shape: Flatten(),
}  # fmt: skip


class Norm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm1d and 2d in one."""

    def _check_input_dim(self, x: Any) -> None:
        pass


def converted(layer: Layer, arrays: list[Array]) -> list[Array]:
    """In the order and the layouts of PyTorch's parameters, filters mirrored."""
    match layer, arrays:
        case ("dense", *_), [w, *b]:
            return [w.T, *b]
        case ("conv" | "transposed", *_), [w, *b]:
            return [w[::-1, ::-1].transpose(3, 2, 0, 1), *b]
        case ("gru", _, h), [w, r, b]:
            return [w.T, r.T, b[: 3 * h], np.concatenate([np.zeros(2 * h, np.float32), b[3 * h :]])]
        case ("rnn" | "lstm", *_), [w, r, b]:
            return [w.T, r.T, b, np.zeros_like(b)]
    return arrays


def mirrored(array: Array, axis: int, shape: tuple[int, int, int]) -> Array:
    """The axis of H·W·C numbers as those of a mirrored image."""
    before, after = array.shape[:axis], array.shape[axis + 1 :]
    return array.reshape(*before, *shape, *after)[(slice(None),) * axis + (slice(None, None, -1),) * 2].reshape(
        array.shape)


def network(layers: Sequence[Layer], weights: list[list[Array]]) -> nn.Module:
    weights = [list(arrays) for arrays in weights]
    for place, (kind, *settings) in enumerate(layers):
        if kind == "reshape":  # all layers before it make vectors of images
            for arrays in weights[:place]:
                arrays[:] = [mirrored(a, a.ndim - 1, settings[0]) for a in arrays]
        if kind == "flatten":  # the next one takes them
            after = next(arrays for arrays in weights[place:] if arrays)
            after[0] = mirrored(after[0], 0, settings[0])
    made = nn.Sequential(*(Recurrent(kind, *settings) if kind in GATES else LAYERS[kind](*settings)
                           for kind, *settings in layers))
    arrays = [a for layer, given in zip(layers, weights, strict=True) for a in converted(layer, given)]
    with torch.no_grad():
        for parameter, array in zip(made.parameters(), arrays, strict=True):
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(array)))
    return made.to(DEVICE, memory_format=torch.channels_last)


def images(array: Array) -> Any:
    """(N, H, W, C) -> (N, C, H, W) in channels-last memory, mirrored; other arrays as they are."""
    if array.ndim != 4:
        return torch.from_numpy(array).to(DEVICE)
    return torch.from_numpy(array[:, ::-1, ::-1].copy()).to(DEVICE).permute(0, 3, 1, 2)


def training(row: Training, compiled: bool = False, mode: str | None = None) -> Work:
    given = row.arrays()
    nets = {name: network(layers, given[name]) for name, layers in row.networks.items()}
    batches = [[images(a) for a in batch] for batch in row.batches()]
    parts = [["D"], ["G"]] if row.game == "gan" else [list(nets)]
    optimizers = [torch.optim.Adam([p for name in part for p in nets[name].parameters() if p.requires_grad], lr=row.lr,
                                   betas=(row.beta1, 0.999), fused=True) for part in parts]

    @lower
    def d_loss_of(x: Any, fake: Any) -> Any:
        logits, n = nets["D"](torch.cat([x, fake])), len(x)
        return F.softplus(-logits[:n]).mean() + F.softplus(logits[n:]).mean()

    @lower
    def g_loss_of(fake: Any) -> Any:
        return F.softplus(-nets["D"](fake)).mean()

    @lower
    def loss_of(x: Any, y: Any = None) -> Any:
        if row.game == "vae":
            h = nets["encoder"](x)
            mu, log_var = nets["mu"](h), nets["log_var"](h)
            logits = nets["decoder"](mu + torch.exp(0.5 * log_var) * y)
            kl = -0.5 * (1 + log_var - mu * mu - log_var.exp()).sum()
            return (F.binary_cross_entropy_with_logits(logits, x, reduction="sum") + kl) / len(x)
        if row.game == "classify":
            return F.cross_entropy(nets["net"](x), y)
        if row.game == "imitate":
            return F.mse_loss(nets["net"](x), y)
        return F.binary_cross_entropy_with_logits(nets["net"](x[:-1]), x[1:])

    generate = nets.get("G") and lower(nets["G"])
    if compiled:
        d_loss_of, g_loss_of, loss_of = (torch.compile(f, mode=mode) for f in (d_loss_of, g_loss_of, loss_of))
        generate = generate and torch.compile(generate, mode=mode)

    def update(loss: Any, optimizer: Any) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def gan(x: Any, z: Any) -> list[Any]:
        fake = generate(z)
        d_loss = d_loss_of(x, fake.detach())
        update(d_loss, optimizers[0])
        nets["D"].requires_grad_(False)
        g_loss = g_loss_of(fake)
        update(g_loss, optimizers[1])
        nets["D"].requires_grad_(True)
        return [d_loss, g_loss]

    def one(*batch: Any) -> list[Any]:
        loss = loss_of(*batch)
        update(loss, optimizers[0])
        return [loss]

    drops = [(m, m.p) for net in nets.values() for m in net.modules() if isinstance(m, nn.Dropout)]

    def dropout(on: bool) -> None:
        for module, p in drops:
            module.p = p if on else 0.0

    turn = gan if row.game == "gan" else one
    return Work(lambda i: turn(*batches[i % len(batches)]), lambda losses: [loss.item() for loss in losses], dropout)


def convolution(row: Convolution) -> Work:
    """The functions that autograd calls."""
    x, w, g = row.arrays()
    (_, bottom), _ = row.edges
    channels_last = torch.from_numpy(w[::-1, ::-1].transpose(3, 2, 0, 1).copy()).contiguous(
        memory_format=torch.channels_last).to(DEVICE)
    x, w, g = images(x), channels_last, images(g)
    extra = (row.height + 2 * bottom - row.size) % row.stride if row.transposed else 0  # pixels no window reaches
    shared: Any = ([row.stride] * 2, [bottom] * 2, [1, 1], row.transposed)

    def gradient(input_: Any, cotangent: Any, mask: list[bool]) -> Any:
        arrays = map(lowered, (cotangent, input_, w))
        found = torch.ops.aten.convolution_backward(*arrays, None, *shared, [extra] * 2, row.groups, mask)
        return found[mask.index(True)]

    def forward(i: int) -> Any:
        arrays = map(lowered, (g if row.transposed else x, w))
        return torch.ops.aten.convolution(*arrays, None, *shared, [extra] * 2, row.groups)

    input_, cotangent = (g, x) if row.transposed else (x, g)
    steps = {"forward": forward, "input": lambda i: gradient(input_, cotangent, [True, False, False]),
             "weight": lambda i: gradient(input_, cotangent, [False, True, False])}

    def answer(result: Any) -> Array:
        order = (2, 3, 1, 0) if row.direction == "weight" else (0, 2, 3, 1)
        array = result.permute(order).float().cpu().numpy()  # (K, K, C, O) or (N, H, W, C)
        return array[::-1, ::-1] if row.direction == "weight" else array[:, ::-1, ::-1]

    return Work(steps[row.direction], answer)


OPERATIONS: dict[str, Any] = {
    "add": torch.add, "mul": torch.mul, "exp": torch.exp, "tanh": torch.tanh, "sigmoid": torch.sigmoid,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2), "bce": F.binary_cross_entropy_with_logits, "sum": torch.sum,
    "sum_rows": lambda x: torch.sum(x, 0), "softmax": lambda x: torch.softmax(x, -1),
    "batch_norm": lambda x, gamma, beta: F.batch_norm(x, None, None, gamma, beta, training=True),
    "layer_norm": lambda x, gamma, beta: F.layer_norm(x, (256,), gamma, beta), "cross_entropy": F.cross_entropy,
    "embedding": lambda x, i: F.embedding(i, x),
}  # fmt: skip


def product(row: Product) -> Work:
    x, weights, g = row.arrays()
    x, g = (torch.from_numpy(a).to(DEVICE) for a in (x, g))
    ws = [torch.from_numpy(w).to(DEVICE) for w in weights]
    steps = {"forward": lambda i: lowered(x) @ lowered(ws[i % len(ws)]),
             "input": lambda i: lowered(g) @ lowered(ws[i % len(ws)]).T, "weight": lambda i: lowered(x).T @ lowered(g)}
    return Work(steps[row.direction], lambda y: y.float().cpu().numpy())


def operation(row: Operation) -> Work:
    *arrays, g = row.arrays()
    xs, cotangent = [torch.from_numpy(a).to(DEVICE) for a in arrays], torch.tensor(g, device=DEVICE)
    learnt = [x.requires_grad_() for x in xs if x.is_floating_point()]
    if row.operation == "adam":
        xs[0].grad = xs[1].detach()
        optimizer = torch.optim.Adam(xs[:1], lr=1e-3, fused=True)
        return Work(lambda i: optimizer.step(), lambda _: xs[0].detach().cpu().numpy())
    function = OPERATIONS[row.operation]
    if row.gradient:
        return Work(lambda i: torch.autograd.grad(function(*xs), learnt, cotangent),
                    lambda found: found[0].cpu().numpy())
    return Work(lambda i: function(*xs), lambda y: y.detach().cpu().numpy())


def recording(row: Overhead) -> Work:
    x, y = (torch.ones(16, requires_grad=True) for _ in range(2))

    def step(i: int) -> Any:
        for _ in range(1000):
            z = x + y
        return z

    return Work(step, lambda z: z.detach().numpy(), operations=1000)


def backward(row: Overhead) -> Work:
    x, y = (torch.ones(16, requires_grad=True) for _ in range(2))
    z = x
    for _ in range(1000):
        z = z + y
    ones = torch.ones(16)
    return Work(lambda i: torch.autograd.grad(z, [x, y], ones, retain_graph=True), lambda found: found[1].numpy(),
                operations=1000)


def wait(result: Any) -> None:
    """On the CPU every operation ends before it returns."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()
