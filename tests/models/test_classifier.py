"""The classifiers: what a convolution's W is, the published networks, and training that resumes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyart import Tensor, nn, no_grad, ops, tensor
from tinyart.data import mnist
from tinyart.errors import ArgumentError, ShapeError
from tinyart.models.classifier import NETWORKS, ClassifierTrainer, convolution_matrix, lenet, mlp, mnist_cnn
from tinyart.models.metrics import accuracy
from tinyart.random import Generator

Data = tuple[np.ndarray, np.ndarray]


def stripes(n: int, size: int = 12) -> Data:
    """Noisy stripes: class 0 horizontal, class 1 vertical. uint8 (n, size, size, 1), (n,)"""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, n)
    rows = 160 * ((np.arange(size) + rng.integers(0, 2, n)[:, None]) % 2)  # (n, size)
    images = np.where(labels[:, None, None] == 0, rows[:, :, None], rows[:, None, :])
    return (images + rng.integers(0, 80, images.shape)).astype(np.uint8)[..., None], labels


# ---- y = f(Wx + b)


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (1, 2), (2, 1), ((2, 1), ((1, 0), (2, 1))), (1, "same")])
def test_conv2d_is_w_x_plus_b_with_w_the_matrix_of_the_convolution(stride: Any, padding: Any) -> None:
    """Document 1, section 3.3.1: y = f(Wx + b)."""
    rng = np.random.default_rng(1)
    x, w, b = rng.normal(size=(3, 6, 5, 2)), rng.normal(size=(3, 3, 2, 4)), rng.normal(size=4)
    matrix = convolution_matrix(tensor(w), (6, 5, 2), stride=stride, padding=padding)
    y = ops.relu(ops.conv2d(tensor(x), tensor(w), tensor(b), stride=stride, padding=padding)).numpy()
    as_dense = matrix @ x.reshape(3, -1).T + np.tile(b, y[0].size // 4)[:, None]  # b, too, is shared by all pixels
    assert np.allclose(np.maximum(as_dense, 0).T.reshape(y.shape), y, rtol=0, atol=1e-13)


def test_the_matrix_of_a_convolution_equals_the_sum_over_the_window() -> None:
    """W[(i, j, o), (p, q, c)] = w[p - i, q - j, c, o] inside the window, else 0."""
    w = np.random.default_rng(2).normal(size=(2, 3, 2, 4))
    matrix = convolution_matrix(tensor(w), (4, 5, 2)).reshape(3, 3, 4, 4, 5, 2)
    expected = np.zeros_like(matrix)
    for i, j, a, b in np.ndindex(3, 3, 2, 3):
        expected[i, j, :, i + a, j + b, :] = w[a, b].T
    assert np.array_equal(matrix, expected)


def test_the_matrix_of_a_convolution_is_sparse_and_shared_which_the_document_does_not_say() -> None:
    w = np.arange(1.0, 10).reshape(3, 3, 1, 1)
    matrix = convolution_matrix(tensor(w), (10, 10, 1))
    assert matrix.shape == (64, 100)
    assert np.all((matrix != 0).sum(1) == 9)  # of 100
    assert all(sorted(row[row != 0]) == list(range(1, 10)) for row in matrix)  # 9 numbers serve all 64 rows
    # With any other W of that shape, y = f(Wx + b) is no convolution: shifting x does not shift y.
    x = np.random.default_rng(3).normal(size=(10, 10))
    shifted = np.roll(x, 1, axis=0)

    def moves_with_x(matrix: np.ndarray) -> bool:
        y, moved = ((matrix @ image.ravel()).reshape(8, 8) for image in (x, shifted))
        return bool(np.allclose(moved[1:], y[:-1]))

    assert moves_with_x(matrix)
    assert not moves_with_x(np.random.default_rng(4).normal(size=(64, 100)))


# ---- the networks


@pytest.mark.parametrize(("network", "parameters"), [
    (lenet, 156 + 2416 + 48_120 + 10_164 + 850), (mlp, 628_000 + 8010), (mnist_cnn, 1_199_882),
])  # fmt: skip
def test_the_networks_have_the_published_numbers_of_parameters(network: Any, parameters: int) -> None:
    assert sum(p.size for p in network((28, 28, 1), 10).parameters()) == parameters


def test_lenet_is_its_layers_in_order() -> None:
    module, x = lenet((28, 28, 1), 10, Generator(0)), np.random.default_rng(5).uniform(size=(2, 28, 28, 1))
    w = {name: array.astype(float) for name, array in module.state_dict().items()}

    def convolved(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
        windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[:2], (1, 2))  # (N, OH, OW, C, KH, KW)
        return np.maximum(np.einsum("nijcab,abco->nijo", windows, w) + b, 0)

    def pooled(x: np.ndarray) -> np.ndarray:
        n, h, width, c = x.shape
        return x.reshape(n, h // 2, 2, width // 2, 2, c).max((2, 4))

    h = pooled(convolved(np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0))), w["0.weight"], w["0.bias"]))
    h = pooled(convolved(h, w["3.weight"], w["3.bias"])).reshape(2, 400)
    for layer in ("7", "9"):
        h = np.maximum(h @ w[f"{layer}.weight"] + w[f"{layer}.bias"], 0)
    with no_grad():
        assert np.allclose(module(tensor(x, "float32")).numpy(), h @ w["11.weight"] + w["11.bias"], atol=1e-5)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("shape", [(12, 13, 3), (17, 22, 1), (32, 32, 4)])
def test_the_networks_take_images_of_other_sizes(network: str, shape: tuple[int, int, int]) -> None:
    with no_grad():
        assert NETWORKS[network](shape, 5, Generator(0))(Tensor(np.zeros((2, *shape), np.float32))).shape == (2, 5)


# ---- training


@pytest.mark.parametrize("network", NETWORKS)
def test_training_learns_to_tell_stripes_apart(network: str) -> None:
    images, labels = stripes(32)
    trainer = ClassifierTrainer(shape=(12, 12, 1), classes=2, network=network, lr=3e-3)
    for _ in range(30):
        losses = trainer.step(images, labels)
    assert set(losses) == {"cross-entropy", "error"}
    confusion = trainer.evaluate(images, labels)
    assert accuracy(confusion) > 0.95
    assert confusion.sum(1).tolist() == np.bincount(labels).tolist()


def test_step_reports_the_loss_and_the_error_before_the_update() -> None:
    images, labels = stripes(20)
    trainer = ClassifierTrainer(shape=(12, 12, 1), classes=2, network="mlp")
    p = trainer.predict(images).astype(float)
    losses = trainer.step(images, labels)
    assert losses["cross-entropy"] == pytest.approx(-np.log(p[np.arange(20), labels]).mean(), rel=1e-5)
    assert losses["error"] == (p.argmax(1) != labels).mean()


def test_predict_gives_probabilities_without_dropout_and_training_goes_on_with_it() -> None:
    images, labels = stripes(7)
    trainer = ClassifierTrainer(shape=(12, 12, 1), classes=2, network="mnist_cnn")
    before = trainer.generator.state
    p = trainer.predict(images, batch=3)
    assert (p.shape, p.dtype) == ((7, 2), np.float32)
    assert np.allclose(p.sum(1), 1, atol=1e-6)
    assert np.allclose(p, trainer.predict(images), atol=1e-6)
    assert np.array_equal(trainer.generator.state, before)  # nothing was dropped
    assert all(module.training for module in trainer.module.modules())
    trainer.step(images, labels)
    assert not np.array_equal(trainer.generator.state, before)
    assert trainer.predict(images[:0]).shape == (0, 2)


def test_the_learning_rate_falls_to_a_tenth_after_every_drop() -> None:
    images, labels = stripes(4)
    trainer = ClassifierTrainer(shape=(12, 12, 1), classes=2, network="mlp", lr=0.01, drop_every=3)
    rates = []
    for _ in range(7):
        rates.append(trainer.optimizer._rate())
        trainer.step(images, labels)
    assert rates == pytest.approx([1e-2] * 3 + [1e-3] * 3 + [1e-4])


@pytest.mark.parametrize("network", NETWORKS)
def test_three_and_four_steps_with_a_save_between_equal_seven_bit_for_bit(network: str) -> None:
    """drop_every=5: the schedule goes on, too."""
    images, labels = stripes(8)

    def make(seed: int) -> ClassifierTrainer:
        return ClassifierTrainer(shape=(12, 12, 1), classes=2, network=network, drop_every=5, seed=seed)

    straight, first, second = make(0), make(0), make(1)
    for _ in range(7):
        straight.step(images, labels)
    for _ in range(3):
        first.step(images, labels)
    second.load_state(first.state())
    for _ in range(4):
        second.step(images, labels)
    for name, array in straight.module.state_dict().items():
        assert np.array_equal(array, second.module.state_dict()[name]), name
    assert np.array_equal(straight.generator.state, second.generator.state)


def test_lenet_learns_mnist_in_a_few_steps(data_dir: Callable[[str], Path]) -> None:
    images, labels = mnist("test", folder=data_dir("mnist"))  # the smaller file
    trainer = ClassifierTrainer(shape=(28, 28, 1), classes=10, lr=3e-3)
    for i in range(60):
        trainer.step(images[64 * i :][:64], labels[64 * i :][:64])
    assert accuracy(trainer.evaluate(images[-1000:], labels[-1000:])) > 0.85


def test_errors_name_what_to_do() -> None:
    with pytest.raises(ArgumentError, match=r"lenet: shape, classes: expected \(H, W, C\) of at least \(12, 12, 1\), "
                                            r"and 2 or more, got \(28, 11, 1\), 10"):
        lenet((28, 11, 1), 10)
    with pytest.raises(ArgumentError, match=r"mnist_cnn: .*at least \(6, 6, 1\).*got \(5, 28, 1\), 10"):
        mnist_cnn((5, 28, 1), 10)
    with pytest.raises(ArgumentError, match=r"mlp: .*got \(8, 8, 3\), 1\."):
        mlp((8, 8, 3), 1)
    with pytest.raises(ArgumentError, match=r"ClassifierTrainer: network: expected one of lenet, mlp, mnist_cnn, got"):
        ClassifierTrainer(shape=(28, 28, 1), classes=10, network="resnet")
    trainer = ClassifierTrainer(shape=(12, 12, 1), classes=2, network="mlp")
    images, labels = stripes(4)
    with pytest.raises(ShapeError, match=r"ClassifierTrainer: images: expected \(N, 12, 12, 1\), got \(4, 10, 12, 1\)"):
        trainer.step(images[:, 1:-1], labels)
    with pytest.raises(ShapeError, match=r"cross_entropy: target"):
        trainer.step(images, labels[:3])
    assert isinstance(trainer.module, nn.Sequential)
