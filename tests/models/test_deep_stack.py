"""Document 1, section 4.1: 165 blocks of Dense, ReLU and BatchNorm, and the output layer that its code lacks."""

import numpy as np
import pytest

from tinyart import grad, nn
from tinyart.errors import ArgumentError
from tinyart.models.deep_stack import deep_stack
from tinyart.optim import Adam
from tinyart.random import Generator


def test_165_blocks_run_forward_and_backward_with_finite_gradients() -> None:
    module = deep_stack(165, 16, inputs=8, outputs=6, generator=Generator(0))
    y = module(Generator(1).normal((32, 8)))
    assert y.shape == (32, 6)
    assert 0 < y.numpy().min() < y.numpy().max() < 1
    assert y.numpy().std(0).min() > 0.01  # the noise reaches the output through all blocks
    gradients = grad(((y - 0.3) ** 2).mean(), module.parameters())
    assert len(gradients) == 165 * 4 + 2
    assert all(np.isfinite(g.numpy()).all() for g in gradients)
    norms = [float(np.linalg.norm(g.numpy())) for g in gradients[:-2:4]]  # of each block's weight
    assert norms[0] > 1e3 * norms[80] > 1e6 * norms[-1]  # they grow from each block to the one before it


def test_the_number_of_parameters_is_that_of_the_formula() -> None:
    """I·W + (B - 1)·W² + 3·B·W + W·O + O, and for the document's widths some 173 million."""

    def formula(b: int, w: int, i: int, o: int) -> int:
        return i * w + (b - 1) * w**2 + 3 * b * w + w * o + o

    for b, w, i, o in ((1, 3, 5, 2), (4, 8, 100, 784), (165, 5, 7, 3)):
        assert sum(p.size for p in deep_stack(b, w, inputs=i, outputs=o).parameters()) == formula(b, w, i, o)
    assert round(formula(165, 1024, 100, 784) / 1e6) == 173
    assert round(4 * formula(165, 1024, 100, 784) / 1e6) == 694


def test_the_blocks_are_the_documents_and_the_output_is_ours() -> None:
    layers = list(deep_stack(3, 4, inputs=2, outputs=5))
    assert [type(layer) for layer in layers] == [nn.Dense, nn.ReLU, nn.BatchNorm] * 3 + [nn.Dense, nn.Sigmoid]
    assert [layer.weight.shape for layer in layers if isinstance(layer, nn.Dense)] == [(2, 4), (4, 4), (4, 4), (4, 5)]


def test_a_shallow_stack_trains() -> None:
    """To send each of 16 noises to a picture of its own."""
    module = deep_stack(5, 32, inputs=8, outputs=6, generator=Generator(0))
    z, pictures = Generator(1).normal((16, 8)), Generator(2).uniform((16, 6))
    optimizer = Adam(module.parameters(), lr=3e-3)
    losses = []
    for _ in range(80):
        loss = ((module(z) - pictures) ** 2).mean()
        optimizer.step(grad(loss, module.parameters()))
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_errors_name_the_numbers() -> None:
    with pytest.raises(ArgumentError, match=r"deep_stack: blocks, width, inputs, outputs: .*got 0, 8, 100, 784"):
        deep_stack(0, 8)
