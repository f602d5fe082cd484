"""The recurrent network of documents 1 and 3, equation by equation."""

import numpy as np
import pytest

import tinyart as ta
from tinyart import tensor
from tinyart.errors import ArgumentError
from tinyart.models.rnn import CELLS, RecurrentNetwork, hidden_state, one_hot, output
from tinyart.random import Generator
from tinyart.testing import check_grad

rng = np.random.default_rng(0)
W, R, b, W2, b2 = (rng.normal(size=s) for s in ((3, 4), (4, 4), (4,), (4, 2), (2,)))
x, h = rng.normal(size=(5, 3)), rng.normal(size=(5, 4))


def test_hidden_state_is_the_documents_equation_for_each_vector() -> None:
    new = hidden_state(*map(tensor, (x, h, W, R, b)), ta.tanh).array
    for n in range(5):  # columns, as the document writes them: W here is its transpose
        assert np.allclose(new[n], np.tanh(W.T @ x[n] + R.T @ h[n] + b), rtol=1e-14)


def test_output_is_the_documents_equation_for_each_vector() -> None:
    y = output(*map(tensor, (h, W2, b2))).array
    for n in range(5):
        assert np.allclose(y[n], W2.T @ h[n] + b2, rtol=1e-14)


def test_the_equations_have_right_gradients_to_the_second_order() -> None:
    check_grad(lambda *ts: output(hidden_state(*ts[:5], ta.tanh), *ts[5:]), x, h, W, R, b, W2, b2)


@pytest.mark.parametrize(("cell", "f"), [("tanh", ta.tanh), ("relu", ta.relu)])
def test_the_network_is_the_equations_one_after_another(cell: str, f: object) -> None:
    network = RecurrentNetwork(3, 4, 2, cell=cell, generator=Generator(1)).to(dtype="float64")
    state = network.state_dict()
    assert list(state) == ["recurrent.0.W", "recurrent.0.R", "recurrent.0.b", "output.weight", "output.bias"]
    weights = list(map(tensor, state.values()))
    xs = rng.normal(size=(6, 5, 3))
    ys, last = network(tensor(xs))
    h = tensor(np.zeros((5, 4)))
    for t in range(6):
        h = hidden_state(tensor(xs[t]), h, *weights[:3], f)  # type: ignore[arg-type]
        assert np.allclose(ys.array[t], output(h, *weights[3:]).array, rtol=1e-13)
    assert np.allclose(last.array[0], h.array, rtol=1e-13)


def test_every_cell_learns_to_repeat_what_it_read_two_steps_before() -> None:
    for cell in CELLS:
        network = RecurrentNetwork(4, 24, 4, cell=cell, generator=Generator(2))
        optimizer = ta.optim.Adam(network.parameters(), lr=1e-2)
        draws = np.random.default_rng(3)
        for _ in range(150):
            codes = draws.integers(0, 4, (12, 16))
            logits, _ = network(one_hot(codes, 4, network.parameters()[0]))
            loss = ta.ops.cross_entropy(logits[2:], codes[:-2])
            optimizer.step(ta.grad(loss, network.parameters()))
        assert loss.item() < 0.3, cell  # guessing costs log 4 = 1.39


def test_one_hot() -> None:
    like = tensor(np.zeros(1, "float32"))
    y = one_hot(np.array([[2, 0], [1, 1]]), 3, like)
    assert y.dtype == "float32"
    assert y.array.tolist() == [[[0, 0, 1], [1, 0, 0]], [[0, 1, 0], [0, 1, 0]]]


def test_an_unknown_cell_is_refused() -> None:
    with pytest.raises(ArgumentError, match="cell: expected one of tanh, relu, lstm, gru, got 'elman'"):
        RecurrentNetwork(1, 1, 1, cell="elman")
