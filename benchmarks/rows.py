"""What the suite measures: networks as lists of layers, and rows that train them or call one operation.

A layer is (kind, settings..), and `LAYERS` says what they are, how large their weights are, and what they cost. Every
library builds a network from the same list, with the same weights, and draws nothing but dropout's masks.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Layer = tuple[Any, ...]
Shape = tuple[int, ...]
Edge = tuple[int, int]  # pixels of padding before and after
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
BIASES = {"rnn": 1, "lstm": 4, "gru": 4}  # the n of a GRU has one inside the product with r and one outside
POINTWISE = {"relu", "leaky", "sigmoid", "tanh", "dropout", "reshape", "flatten"}  # while the result before is written


def weight_shapes(layer: Layer) -> list[Shape]:
    """In tinyart's layouts: dense (I, O), conv (K, K, I, O), transposed (K, K, O, I), recurrent (I, G·H), (H, G·H)."""
    match layer:
        case ("dense", i, o, bias):
            return [(i, o), (o,)][: 1 + bias]
        case ("conv", i, o, k, _, _, bias):
            return [(k, k, i, o), (o,)][: 1 + bias]
        case ("transposed", i, o, k, _, _, bias):
            return [(k, k, o, i), (o,)][: 1 + bias]
        case ("norm", c, _, _):
            return [(c,), (c,)]
        case ("rnn" | "lstm" | "gru" as kind, i, h):
            return [(i, GATES[kind] * h), (h, GATES[kind] * h), (BIASES[kind] * h,)]
    return []


def weights(layers: Sequence[Layer], rng: np.random.Generator) -> list[list[Array]]:
    """Each layer's, U(-b, b) with b = 1/√fan_in as in PyTorch; a normalisation's are 1 and 0."""
    found = []
    for layer in layers:
        shapes = weight_shapes(layer)
        if layer[0] == "norm":
            arrays = [np.ones(shapes[0], np.float32), np.zeros(shapes[1], np.float32)]
        else:
            bound = 1 / math.sqrt(layer[2] if layer[0] in GATES else math.prod(shapes[0][:-1])) if shapes else 0
            arrays = [rng.uniform(-bound, bound, shape).astype(np.float32) for shape in shapes]
        found.append(arrays)
    return found


def same(n: int, k: int, stride: int) -> Edge:
    """TensorFlow's padding "same": ⌈n/stride⌉ pixels come out, an odd pixel goes to the end."""
    total = max(0, (-(-n // stride) - 1) * stride + k - n)
    return total // 2, total - total // 2


def edge(padding: int | str, n: int, k: int, stride: int) -> Edge:
    return same(n, k, stride) if padding == "same" else (int(padding), int(padding))


def taps(n: int, k: int, stride: int, around: Edge) -> int:
    """How many of a window's places lie inside the image, over all windows: Σ_i #{t: 0 ≤ i·s - before + t < n}"""
    starts = range(-around[0], n + around[1] - k + 1, stride)
    return sum(min(n, i + k) - max(0, i) for i in starts)


def outcome(layer: Layer, shape: Shape) -> tuple[Shape, int]:
    """The shape that comes out of a layer, without the batch, and the multiply-adds of an example, padding left out."""
    match layer:
        case ("dense", i, o, _):
            return (*shape[:-1], o), math.prod(shape[:-1]) * i * o
        case ("conv", i, o, k, stride, padding, _):
            edges = [edge(padding, n, k, stride) for n in shape[:2]]
            out = tuple((n + sum(e) - k) // stride + 1 for n, e in zip(shape[:2], edges, strict=True))
            return (*out, o), i * o * math.prod(taps(n, k, stride, e) for n, e in zip(shape[:2], edges, strict=True))
        case ("transposed", i, o, k, stride, padding, _):
            out = tuple(stride * n for n in shape[:2])
            return (*out, o), i * o * math.prod(taps(n, k, stride, edge(padding, n, k, stride)) for n in out)
        case ("pool", size):
            return (shape[0] // size, shape[1] // size, shape[2]), 0
        case ("reshape", to):
            return to, 0
        case ("flatten", _):
            return (math.prod(shape),), 0
        case ("rnn" | "lstm" | "gru" as kind, i, h):
            return (shape[0], h), shape[0] * (i + h) * GATES[kind] * h
    return shape, 0


@dataclass(frozen=True)
class Cost:
    """Of one example: multiply-adds of a forward pass and of the first layer's alone, and elements it writes."""

    products: int
    first: int
    elements: int
    parameters: int


def cost(layers: Sequence[Layer], shape: Shape) -> Cost:
    products, first, elements = 0, 0, 0
    for layer in layers:
        shape, count = outcome(layer, shape)
        if not products and count:
            first = count if layer[0] not in GATES else count * layer[1] // (layer[1] + layer[2])
        products += count
        elements += math.prod(shape) if layer[0] not in POINTWISE else 0
    return Cost(products, first, elements, sum(math.prod(s) for layer in layers for s in weight_shapes(layer)))


@dataclass(frozen=True)
class Training:
    """One training step with Adam, on float32 images or sequences that are already in memory.

    gan: D on real and generated images in one batch of 2N, then G; nobody's gradients are computed in the other's turn.
    vae: -ELBO; classify: cross-entropy; imitate: squared error; sequence: cross-entropy of the next frame's notes.
    """

    name: str
    game: str
    networks: dict[str, list[Layer]]
    inputs: dict[str, Shape]  # what a network takes, without the batch
    batch: int
    lr: float = 1e-3
    beta1: float = 0.9
    agree: float = 1e-5  # relative, of the losses of the first three steps
    peers: tuple[str, ...] = ("torch", "torch.compile", "jax", "autograd", "tinygrad")
    threads: int | None = None  # where the row is about their number
    kind: str = "training"
    unit: str = "s"

    def arrays(self) -> dict[str, list[list[Array]]]:
        """Network -> its layers' weights."""
        rng = np.random.default_rng(0)
        return {name: weights(layers, rng) for name, layers in self.networks.items()}

    def batches(self, count: int = 4) -> list[tuple[Array, ...]]:
        """What the first steps take, which then come again. Images are (N, H, W, C) or (N, P), sequences (T, N, F)."""
        rng, n, takes = np.random.default_rng(1), self.batch, self.inputs
        draw: dict[str, Callable[[], tuple[Array, ...]]] = {
            "gan": lambda: (rng.random((n, *takes["D"])), rng.standard_normal((n, *takes["G"]))),
            "vae": lambda: (rng.random((n, *takes["encoder"])), rng.standard_normal((n, *takes["decoder"]))),
            "classify": lambda: (rng.random((n, *takes["net"])), rng.integers(0, 10, n)),
            "imitate": lambda: (rng.standard_normal((n, *takes["net"])), rng.random((n, 784))),
            "sequence": lambda: ((rng.random((takes["net"][0] + 1, n, takes["net"][1])) < 0.1),),
        }
        return [tuple(a.astype(np.float32 if a.dtype != np.int64 else np.int64) for a in draw[self.game]())
                for _ in range(count)]

    def floor(self) -> tuple[float, float]:
        """(operations, bytes) that cannot be saved.

        A layer's product costs as much forward, for its weights' gradient and for its input's, which the first one
        does not need. Adam reads p, g, m, v and writes p, m, v: 28 bytes a parameter, and g was written. What is not
        pointwise is written and read, and so is its gradient: 16 bytes an element.
        """
        costs = {name: cost(layers, self.inputs[name]) for name, layers in self.networks.items()}
        products, elements = 0, 0
        for name, c in costs.items():
            if self.game == "gan" and name == "D":  # 2N images in training, N of them again for G's gradient
                products += 2 * (3 * c.products - c.first) + 2 * c.products
                elements += 3 * c.elements
            else:
                inner = self.game == "vae" and name != "encoder"  # what is before it learns too
                products += 3 * c.products - (0 if inner else c.first)
                elements += c.elements
        parameters = sum(c.parameters for c in costs.values())
        return 2.0 * self.batch * products, 32.0 * parameters + 16.0 * self.batch * elements


@dataclass(frozen=True)
class Convolution:
    """One of the three products of a convolution of images (N, H, W, C) with filters (K, K, C/groups, O).

    direction: "forward", "input" or "weight", as the layer has it; a transposed one's forward pass is "input".
    """

    name: str
    batch: int
    height: int
    width: int
    channels: int
    outputs: int
    size: int
    stride: int
    padding: int | str
    groups: int
    direction: str
    transposed: bool = False
    agree: float = 1e-4  # of the result's norm
    peers: tuple[str, ...] = ("torch",)
    threads: int | None = None
    kind: str = "convolution"
    unit: str = "s"

    @property
    def edges(self) -> tuple[Edge, Edge]:
        top, left = (edge(self.padding, n, self.size, self.stride) for n in (self.height, self.width))
        return top, left

    @property
    def out(self) -> tuple[int, int]:
        down, across = ((n + sum(e) - self.size) // self.stride + 1
                        for n, e in zip((self.height, self.width), self.edges, strict=True))
        return down, across

    def arrays(self) -> tuple[Array, Array, Array]:
        """x (N, H, W, C), w (K, K, C/groups, O), g (N, OH, OW, O)"""
        rng = np.random.default_rng(0)
        shapes: list[Shape] = [(self.batch, self.height, self.width, self.channels),
                               (self.size, self.size, self.channels // self.groups, self.outputs),
                               (self.batch, *self.out, self.outputs)]
        x, w, g = (rng.standard_normal(shape, np.float32) for shape in shapes)
        return x, w, g

    def floor(self) -> tuple[float, float]:
        """(operations, bytes): each array moves once."""
        inside = math.prod(taps(n, self.size, self.stride, e)
                           for n, e in zip((self.height, self.width), self.edges, strict=True))
        elements = self.batch * (self.height * self.width * self.channels + math.prod(self.out) * self.outputs)
        return (2.0 * self.batch * inside * self.channels // self.groups * self.outputs,
                4.0 * (elements + self.size**2 * self.channels // self.groups * self.outputs))


@dataclass(frozen=True)
class Product:
    """One of the three products of a dense layer of x (N, I) with w (I, O), whose weights are not in a cache any more.

    direction: "forward" x w, "input" g wᵀ or "weight" xᵀ g.
    """

    name: str
    batch: int
    inputs: int
    outputs: int
    direction: str
    agree: float = 1e-4  # of the result's norm
    peers: tuple[str, ...] = ("numpy", "torch", "jax")
    threads: int | None = None
    kind: str = "product"
    unit: str = "s"

    def arrays(self) -> tuple[Array, list[Array], Array]:
        """x (N, I), up to 64 different w (I, O), 64 MiB of them if they are large, g (N, O)"""
        rng, size = np.random.default_rng(0), self.inputs * self.outputs
        x, g = (rng.standard_normal((self.batch, n), np.float32) for n in (self.inputs, self.outputs))
        weights = rng.standard_normal((min(64, max(2, (1 << 24) // size)), self.inputs, self.outputs), np.float32)
        return x, list(weights), g

    def floor(self) -> tuple[float, float]:
        moved = self.batch * (self.inputs + self.outputs) + self.inputs * self.outputs
        return 2.0 * self.batch * self.inputs * self.outputs, 4.0 * moved


@dataclass(frozen=True)
class Operation:
    """One operation on `size` elements, or with `gradient` the operation and then its gradients for a cotangent."""

    name: str
    operation: str  # of OPERATIONS
    size: int
    gradient: bool = False
    agree: float = 1e-4  # of the result's norm
    peers: tuple[str, ...] = ("torch", "jax")
    threads: int | None = None
    kind: str = "operation"
    unit: str = "s"

    def arrays(self) -> list[Array]:
        """The arguments, then the cotangent. Rows are 256 long; a row has a class, and a place is a row's number."""
        rng, count = np.random.default_rng(0), self.size // 256
        shape, numbers = (count, 256), {"classes": 256, "places": count}
        shapes = {"x": shape, "t": shape, "gamma": (256,), "beta": (256,), "scalar": (), "row": (256,)}
        names, out, _ = (OPERATIONS | CUDA_OPERATIONS)[self.operation]
        return [rng.integers(0, numbers[name], count) if name in numbers else
                rng.random(shapes[name], np.float32) + np.float32(0.1) for name in (*names.split(), out)]

    def floor(self) -> tuple[float, float]:
        return 0.0, 4.0 * self.size * (OPERATIONS | CUDA_OPERATIONS)[self.operation][2][self.gradient]


# name: arguments; what comes out; arrays that move forward, and with the gradient
OPERATIONS: dict[str, tuple[str, str, tuple[int, int]]] = {
    "add": ("x t", "x", (3, 3)), "mul": ("x t", "x", (3, 8)), "exp": ("x", "x", (2, 5)), "tanh": ("x", "x", (2, 5)),
    "sigmoid": ("x", "x", (2, 5)), "leaky_relu": ("x", "x", (2, 5)), "bce": ("x t", "scalar", (2, 5)),
    "sum": ("x", "scalar", (1, 2)), "sum_rows": ("x", "row", (1, 2)), "softmax": ("x", "x", (2, 5)),
    "batch_norm": ("x gamma beta", "x", (2, 5)), "adam": ("x t", "x", (7, 7)),
}  # fmt: skip
CUDA_OPERATIONS: dict[str, tuple[str, str, tuple[int, int]]] = {  # on a GPU besides: each has kernels of its own there
    "layer_norm": ("x gamma beta", "x", (2, 5)), "cross_entropy": ("x classes", "scalar", (1, 3)),
    "embedding": ("x places", "x", (2, 4)),
}  # fmt: skip


@dataclass(frozen=True)
class Overhead:
    """What comes before and around the work: `kind` names the function that measures it."""

    name: str
    kind: str
    peers: tuple[str, ...]
    unit: str = "s"
    agree: float = 1e-6
    threads: int | None = None

    def floor(self) -> tuple[float, float]:
        return 0.0, 0.0


Row = Training | Convolution | Product | Operation | Overhead

# ---- the networks of the documents

GAN = 5e-4  # Adam divides small gradients by themselves: their rounding moves weights as far as the others
IMAGE_PEERS = ("torch", "torch.compile", "jax", "tinygrad")  # autograd has no convolution of images to speak of


def dense(*widths: int, activation: Layer, last: Sequence[Layer] = ()) -> list[Layer]:
    """Dense layers from width to width, the activation between them and `last` at the end."""
    layers: list[Layer] = []
    for i, o in pairwise(widths):
        layers += [("dense", i, o, True), activation]
    return [*layers[:-1], *last]


def mlp_gan(name: str, hidden: int, batch: int, width: int = 1024, **more: Any) -> Training:
    leaky = ("leaky", 0.2)
    return Training(name, "gan", {
        "G": dense(100, *[width] * hidden, 784, activation=leaky, last=[("sigmoid",)]),
        "D": dense(784, *[width] * hidden, 1, activation=leaky),
    }, {"G": (100,), "D": (784,)}, batch, lr=2e-4, beta1=0.5, agree=GAN, **more)  # fmt: skip


def vae(name: str, batch: int, hidden: int = 1024, latent: int = 20, **more: Any) -> Training:
    leaky, head = ("leaky", 0.2), [("dense", hidden, latent, True)]
    return Training(name, "vae", {
        "encoder": [("dense", 784, hidden, True), leaky], "mu": head, "log_var": head,
        "decoder": dense(latent, hidden, 784, activation=leaky),
    }, {"encoder": (784,), "mu": (hidden,), "log_var": (hidden,), "decoder": (latent,)}, batch, **more)  # fmt: skip


def dcgan(name: str, side: int, channels: int, batch: int, width: int = 64, **more: Any) -> Training:
    start, n = (7, int(math.log2(side // 7))) if side % 7 == 0 else (8, int(math.log2(side // 8)))
    c = width << n
    leaky, size = ("leaky", 0.3), start * start * c
    g: list[Layer] = [("dense", 100, size, False), ("norm", size, 1e-5, 0.1), leaky, ("reshape", (start, start, c))]
    for stride in (1, *[2] * (n - 1)):
        g += [("transposed", c, c // 2, 5, stride, "same", False), ("norm", c // 2, 1e-5, 0.1), leaky]
        c //= 2
    g += [("transposed", c, channels, 5, 2, "same", False), ("tanh",)]
    d: list[Layer] = []
    before, c = channels, width
    for _ in range(n):
        d += [("conv", before, c, 5, 2, "same", True), leaky, ("dropout", 0.3)]
        before, c = c, 2 * c
    d += [("flatten", (start, start, before)), ("dense", start * start * before, 1, True)]
    return Training(name, "gan", {"G": g, "D": d}, {"G": (100,), "D": (side, side, channels)}, batch, lr=2e-4,
                    beta1=0.5, agree=GAN, **{"peers": IMAGE_PEERS} | more)


def classifier(name: str, batch: int, **more: Any) -> Training:
    """Keras's mnist_cnn."""
    return Training(name, "classify", {"net": [
        ("conv", 1, 32, 3, 1, 0, True), ("relu",), ("conv", 32, 64, 3, 1, 0, True), ("relu",), ("pool", 2),
        ("dropout", 0.25), ("flatten", (12, 12, 64)), ("dense", 9216, 128, True), ("relu",), ("dropout", 0.5),
        ("dense", 128, 10, True),
    ]}, {"net": (28, 28, 1)}, batch, **{"peers": IMAGE_PEERS} | more)  # fmt: skip


def lenet(name: str, batch: int, **more: Any) -> Training:
    return Training(name, "classify", {"net": [
        ("conv", 1, 6, 5, 1, 2, True), ("relu",), ("pool", 2), ("conv", 6, 16, 5, 1, 0, True), ("relu",), ("pool", 2),
        ("flatten", (5, 5, 16)), *dense(400, 120, 84, 10, activation=("relu",)),
    ]}, {"net": (28, 28, 1)}, batch, **{"peers": IMAGE_PEERS} | more)  # fmt: skip


def deep_stack(name: str, blocks: int, batch: int, width: int = 1024, **more: Any) -> Training:
    layers: list[Layer] = []
    for i in range(blocks):
        layers += [("dense", width if i else 100, width, True), ("relu",), ("norm", width, 1e-3, 0.01)]
    return Training(name, "imitate", {"net": [*layers, ("dense", width, 784, True), ("sigmoid",)]}, {"net": (100,)},
                    batch, **more)


def recurrent(cell: str, t: int, batch: int, i: int, h: int, name: str = "", **more: Any) -> Training:
    return Training(name or f"step/{cell}-T{t}-B{batch}-I{i}-H{h}", "sequence",
                    {"net": [(cell, i, h), ("dense", h, i, True)]}, {"net": (t, i)}, batch, **more)


def _training_rows() -> Iterator[Training]:
    yield mlp_gan("step/mlp-gan-128", 2, 128)
    yield mlp_gan("step/mlp-gan-4-layers-128", 3, 128)
    yield vae("step/vae-128", 128)
    yield dcgan("step/dcgan-28-64", 28, 1, 64)
    yield dcgan("step/dcgan-28-256", 28, 1, 256)
    yield dcgan("step/dcgan-64-colour-64", 64, 3, 64)
    yield classifier("step/cnn-128", 128)
    yield lenet("step/lenet-128", 128)
    # Each block multiplies a rounding error by 1.2 (Yang et al. 2019), and where it turns the sign of a ReLU's
    # argument, the gradient jumps: after 20 blocks float32 is off float64 by 0.5 to 0.8 %, in any library. Adam's first
    # step then moves 0.1 % of the weights the wrong way: at a rate of 1e-3 that is 0.1 % of the loss, at 1e-6 2e-6 of
    # it, and the step itself 7e-5. A step at any rate takes as long.
    yield deep_stack("step/deep-20-64", 20, 64, lr=1e-6)
    # After 165 only the mean over pixels is the same; after 128 gradients in float64 differ by 3 % between libraries.
    yield deep_stack("step/deep-165-64", 165, 64, agree=0.05, peers=("torch", "torch.compile", "jax"))
    for cell in GATES:
        yield recurrent(cell, 100, 32, 88, 128)
        yield recurrent(cell, 64, 16, 64, 256)


def _convolution_rows() -> Iterator[Convolution]:
    # name, H = W, C, O, K, stride, padding, groups, transposed: of a transposed one, what it is the transpose of
    layers = [
        ("dcgan-28-g1", 7, 128, 256, 5, 1, "same", 1, True), ("dcgan-28-g2", 14, 64, 128, 5, 2, "same", 1, True),
        ("dcgan-28-g3", 28, 1, 64, 5, 2, "same", 1, True),
        ("dcgan-28-d1", 28, 1, 64, 5, 2, "same", 1, False), ("dcgan-28-d2", 14, 64, 128, 5, 2, "same", 1, False),
        ("dcgan-64-g1", 8, 256, 512, 5, 1, "same", 1, True), ("dcgan-64-g2", 16, 128, 256, 5, 2, "same", 1, True),
        ("dcgan-64-g3", 32, 64, 128, 5, 2, "same", 1, True), ("dcgan-64-g4", 64, 3, 64, 5, 2, "same", 1, True),
        ("dcgan-64-d1", 64, 3, 64, 5, 2, "same", 1, False), ("dcgan-64-d2", 32, 64, 128, 5, 2, "same", 1, False),
        ("dcgan-64-d3", 16, 128, 256, 5, 2, "same", 1, False),
        ("cnn-1", 28, 1, 32, 3, 1, 0, 1, False), ("cnn-2", 26, 32, 64, 3, 1, 0, 1, False),
        ("lenet-1", 28, 1, 6, 5, 1, 2, 1, False), ("lenet-2", 14, 6, 16, 5, 1, 0, 1, False),
        ("3x3-14x14x128", 14, 128, 128, 3, 1, 1, 1, False), ("3x3-28x28x64", 28, 64, 64, 3, 1, 1, 1, False),
        ("1x1-28x28x128", 28, 128, 128, 1, 1, 0, 1, False), ("depthwise-28x28x128", 28, 128, 128, 3, 1, 1, 128, False),
    ]  # fmt: skip
    for name, side, c, o, k, stride, padding, groups, transposed in layers:
        for direction in ("forward", "input", "weight"):
            yield Convolution(f"conv/{name}-{direction}", 64, side, side, c, o, k, stride, padding, groups, direction,
                              transposed)


def _product_rows() -> Iterator[Product]:
    """Of the dense networks, of classifiers' last layers, and of what a recurrent layer's gradient of weights is."""
    for shape in ((32, 1024, 1024), (64, 1024, 1024), (128, 1024, 1024), (256, 1024, 1024), (128, 784, 1024),
                  (128, 1024, 784), (128, 100, 1024), (128, 1024, 20), (128, 400, 120), (3200, 217, 512)):  # fmt: skip
        for direction in ("forward", "input", "weight"):
            yield Product(f"product/{'x'.join(map(str, shape))}-{direction}", *shape, direction)


def _operation_rows() -> Iterator[Operation]:
    for name in OPERATIONS:
        for where, size in {"cache": 1 << 14, "memory": 1 << 24}.items():
            yield Operation(f"operation/{name}-{where}", name, size)
            if name != "adam":
                yield Operation(f"operation/{name}-{where}-gradient", name, size, gradient=True)


def _overhead_rows() -> Iterator[Overhead]:
    yield Overhead("overhead/record-an-operation", "recording", ("numpy", "torch", "jax"))
    yield Overhead("overhead/backward-through-an-operation", "backward", ("torch", "autograd"))
    yield Overhead("overhead/import", "importing", ("numpy", "torch", "jax", "tinygrad"))
    yield Overhead("overhead/first-dcgan-step", "first_step", ("torch", "torch.compile", "jax"))
    yield Overhead("overhead/first-dcgan-step-empty-cache", "first_step_cold", ("torch", "torch.compile", "jax"))
    yield Overhead("overhead/installed", "installed", ("torch", "jax", "tinygrad"), unit="B")


def _growth_rows() -> Iterator[Training]:
    few: Any = {"peers": ("torch", "jax")}
    for batch in (16, 64, 256, 1024):
        yield mlp_gan(f"growth/mlp-gan/batch-{batch}", 2, batch, **few)
    for width in (256, 512, 1024, 2048):
        yield mlp_gan(f"growth/mlp-gan/width-{width}", 2, 128, width, **few)
    for blocks in (2, 8, 32, 128):  # the rounding error grows with them: see above
        yield deep_stack(f"growth/deep/blocks-{blocks}", blocks, 64, 512, **few, agree=1e-4 if blocks < 32 else 0.05)
    for side in (28, 56, 112):
        yield dcgan(f"growth/dcgan/side-{side}", side, 3, 16, 16, **few)
    for t in (25, 50, 100, 200):
        yield recurrent("lstm", t, 32, 88, 128, f"growth/lstm/length-{t}", **few)
    for threads in (1, 2, 4, 8, 16):
        yield mlp_gan(f"growth/mlp-gan/threads-{threads}", 2, 128, threads=threads, **few)
        yield dcgan(f"growth/dcgan-28/threads-{threads}", 28, 1, 64, threads=threads, **few)


def _cuda_rows() -> Iterator[Row]:
    """What a GPU has besides: batches that fill it, and arrays, of 512 MiB, that none of its caches holds."""
    yield mlp_gan("fill/mlp-gan-8192", 2, 8192)
    yield vae("fill/vae-8192", 8192)
    yield dcgan("fill/dcgan-28-2048", 28, 1, 2048)
    yield dcgan("fill/dcgan-64-colour-1024", 64, 3, 1024)
    yield classifier("fill/cnn-4096", 4096)
    yield lenet("fill/lenet-8192", 8192)
    yield deep_stack("fill/deep-20-8192", 20, 8192)
    for cell in GATES:
        yield recurrent(cell, 100, 1024, 88, 512, f"fill/{cell}-1024")
    for name in OPERATIONS | CUDA_OPERATIONS:
        yield Operation(f"operation/{name}-card", name, 1 << 27)
        if name != "adam":
            yield Operation(f"operation/{name}-card-gradient", name, 1 << 27, gradient=True)


CUDA_ROWS: dict[str, Row] = {row.name: row for row in _cuda_rows()}  # after those of ROWS that a GPU takes

ROWS: dict[str, Row] = {row.name: row for rows in (
    _training_rows(), _convolution_rows(), _product_rows(), _operation_rows(), _overhead_rows(), _growth_rows())
    for row in rows}  # fmt: skip
