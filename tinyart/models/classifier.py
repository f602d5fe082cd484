"""Classifiers of images: the convolutional network of documents 1, 3 and 4, and a dense one to compare with.

    y = f(W x + b)                    a layer, document 1, section 3.3.1; for a convolution W is `convolution_matrix`
    p_k = e^{y_k} / Σ_j e^{y_j}       what `predict` gives
    L = -log p_label                  `ops.cross_entropy`, averaged over the batch

N images (H, W, C) of K classes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinyart import nn, ops
from tinyart.errors import ArgumentError
from tinyart.graph import grad, no_grad
from tinyart.models.metrics import confusion_matrix
from tinyart.models.pixels import pixels
from tinyart.ops.conv import Padding, Pair
from tinyart.optim import Adam, StepLR
from tinyart.random import Generator
from tinyart.tensor import Tensor

Array = np.ndarray[Any, Any]


def convolution_matrix(w: Tensor, shape: Sequence[int], *, stride: int | Pair = 1,
                       padding: Padding = 0) -> Array:
    """The W with which a convolution is W x: w (KH, KW, C, O), x of `shape` (H, W, C) -> (OH·OW·O, H·W·C)

    x and W x are images as vectors, row by row. Column i is the convolution of the image that is 1 at place i and 0
    elsewhere. A row belongs to one channel of one output pixel: the KH·KW·C weights of its window, and 0 everywhere
    else. The next pixel's row holds the same weights, shifted.
    """
    size = int(np.prod(shape))
    units = Tensor(np.eye(size, dtype=w.dtype).reshape(size, *shape)).to(w.device)
    with no_grad():
        return ops.conv2d(units, w, stride=stride, padding=padding).numpy().reshape(size, -1).T


def lenet(shape: Sequence[int], classes: int, generator: Generator | None = None) -> nn.Sequential:
    """Convolutions 6@5×5 (padding 2) and 16@5×5, each with ReLU and 2×2 pooling, then dense 120-84-K.

    LeNet-5 (LeCun, Bottou, Bengio & Haffner 1998, figure 2) in today's form: maximum for trainable averages, ReLU for
    tanh, all 16 filters on all 6 maps, softmax for radial basis functions. 61,706 parameters for 28×28×1 and K = 10.
    """
    height, width, channels = _image("lenet", shape, classes, least=12)
    flat = (height // 2 - 4) // 2 * ((width // 2 - 4) // 2) * 16
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=2, generator=generator), nn.ReLU(), nn.MaxPool2d(2),  # (N, H/2, W/2, 6)
        nn.Conv2d(6, 16, 5, generator=generator), nn.ReLU(), nn.MaxPool2d(2),  # (N, H/4 - 2, W/4 - 2, 16)
        nn.Flatten(),
        nn.Dense(flat, 120, generator=generator), nn.ReLU(),
        nn.Dense(120, 84, generator=generator), nn.ReLU(),
        nn.Dense(84, classes, generator=generator))  # fmt: skip


def mlp(shape: Sequence[int], classes: int, generator: Generator | None = None) -> nn.Sequential:
    """Dense 800 with ReLU, then K: the two-layer network of Simard, Steinkraus & Platt 2003."""
    height, width, channels = _image("mlp", shape, classes, least=1)
    return nn.Sequential(
        nn.Flatten(),
        nn.Dense(height * width * channels, 800, generator=generator), nn.ReLU(),
        nn.Dense(800, classes, generator=generator))  # fmt: skip


def mnist_cnn(shape: Sequence[int], classes: int, generator: Generator | None = None) -> nn.Sequential:
    """Convolutions 32@3×3 and 64@3×3 with ReLU, 2×2 pooling, dropout ¼, dense 128 with ReLU, dropout ½, K.

    The example mnist_cnn of Keras: 1,199,882 parameters for 28×28×1 and K = 10.
    """
    height, width, channels = _image("mnist_cnn", shape, classes, least=6)
    flat = (height - 4) // 2 * ((width - 4) // 2) * 64
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3, generator=generator), nn.ReLU(),  # (N, H - 2, W - 2, 32)
        nn.Conv2d(32, 64, 3, generator=generator), nn.ReLU(),  # (N, H - 4, W - 4, 64)
        nn.MaxPool2d(2), nn.Dropout(0.25, generator=generator),  # (N, H/2 - 2, W/2 - 2, 64)
        nn.Flatten(),
        nn.Dense(flat, 128, generator=generator), nn.ReLU(), nn.Dropout(0.5, generator=generator),
        nn.Dense(128, classes, generator=generator))  # fmt: skip


NETWORKS: dict[str, Callable[[Sequence[int], int, Generator], nn.Sequential]] = {
    "lenet": lenet, "mlp": mlp, "mnist_cnn": mnist_cnn,
}  # fmt: skip


class ClassifierTrainer:
    """A classifier, Adam, and the generator of weights and dropout: what `train.Run` trains, saves and resumes.

    After every `drop_every` steps the learning rate falls to a tenth; with None it stays.

    Raises ArgumentError for settings outside their range.
    """

    def __init__(self, *, shape: Sequence[int], classes: int, network: str = "lenet", lr: float = 1e-3,
                 drop_every: int | None = None, seed: int = 0) -> None:
        if network not in NETWORKS:
            raise ArgumentError("ClassifierTrainer", "network", f"one of {', '.join(NETWORKS)}", repr(network))
        self.shape, self.classes = tuple(shape), classes
        self.generator = Generator(seed)
        self.module = NETWORKS[network](self.shape, classes, self.generator)
        self.optimizer = Adam(self.module.parameters(), lr=StepLR(lr, drop_every) if drop_every is not None else lr)

    def step(self, images: Array, labels: Array) -> dict[str, float]:
        """One update on uint8 (N, H, W, C) and integers (N,): the mean cross-entropy in nats, the share of errors."""
        logits = self._logits(images)  # (N, K)
        loss = ops.cross_entropy(logits, labels)
        self.optimizer.step(grad(loss, self.module.parameters()))
        return {"cross-entropy": loss.item(), "error": float((logits.numpy().argmax(1) != labels).mean())}

    @no_grad()
    def predict(self, images: Array, batch: int = 1000) -> Array:
        """p(class | image), without dropout: uint8 (N, H, W, C) -> float32 (N, K), rows sum to 1"""
        self.module.eval()
        try:
            parts = [self._logits(images[i : i + batch]) for i in range(0, max(1, len(images)), batch)]
            return np.concatenate([ops.softmax(part).numpy() for part in parts])
        finally:
            self.module.train()

    def evaluate(self, images: Array, labels: Array) -> Array:
        """The confusion matrix of the likeliest classes: uint8 (N, H, W, C), (N,) -> int64 (K, K)"""
        return confusion_matrix(labels, self.predict(images).argmax(1), self.classes)

    def _logits(self, images: Array) -> Tensor:
        logits: Tensor = self.module(pixels("ClassifierTrainer", images, self.shape,
                                            self.module.parameters()[0].device))
        return logits

    def state(self) -> dict[str, Any]:
        """Everything that later steps depend on: nested dicts of arrays."""
        return {"module": self.module.state_dict(), "optimizer": self.optimizer.state_dict(),
                "generator": self.generator.state}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go back to what `state` gave."""
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.state = state["generator"]


def _image(network: str, shape: Sequence[int], classes: int, least: int) -> tuple[int, int, int]:
    """(H, W, C) if the network's layers leave a pixel of it."""
    if len(shape) != 3 or min(shape[:2]) < least or shape[2] < 1 or classes < 2:
        raise ArgumentError(network, "shape, classes", f"(H, W, C) of at least ({least}, {least}, 1), and 2 or more",
                            f"{tuple(shape)}, {classes}")
    return shape[0], shape[1], shape[2]
