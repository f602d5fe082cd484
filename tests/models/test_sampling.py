"""How symbols are drawn: each formula against a loop, frequencies against probabilities, and what is refused."""

import math
from typing import Any

import numpy as np
import pytest

from tinyart.errors import ArgumentError
from tinyart.models.sampling import draw, pick, top_k, top_p, with_temperature
from tinyart.random import Generator

LOGITS = np.array([[0.5, -1.0, 2.0, 0.5, -700.0], [1e4, 0.0, 1e4, -1e4, 3.0]])


@pytest.mark.parametrize("temperature", [0.1, 0.9, 1.0, 3.0, 1e6])
def test_with_temperature_is_the_softmax_of_logits_over_it(temperature: float) -> None:
    p = with_temperature(LOGITS, temperature)
    for row, logits in zip(p, LOGITS, strict=True):
        powers = [math.exp((x - max(logits)) / temperature) for x in logits]
        assert np.allclose(row, np.array(powers) / math.fsum(powers), rtol=1e-12)


def test_with_temperature_0_takes_the_first_of_the_likeliest() -> None:
    assert with_temperature(LOGITS, 0).tolist() == [[0, 0, 1, 0, 0], [1, 0, 0, 0, 0]]


def test_top_k_keeps_the_k_likeliest_and_their_proportions() -> None:
    p = np.array([[0.1, 0.4, 0.2, 0.2, 0.1]])
    assert np.allclose(top_k(p, 1), [[0, 1, 0, 0, 0]])
    assert np.allclose(top_k(p, 2), [[0, 2 / 3, 1 / 3, 0, 0]])
    assert np.allclose(top_k(p, 3), [[0, 0.5, 0.25, 0.25, 0]])
    assert np.allclose(top_k(p, 9), p)


def test_top_p_keeps_the_fewest_that_reach_the_mass() -> None:
    p = np.array([[0.125, 0.5, 0.25, 0.125]])
    assert np.allclose(top_p(p, 0.01), [[0, 1, 0, 0]])
    assert np.allclose(top_p(p, 0.5), [[0, 1, 0, 0]])  # reached exactly
    assert np.allclose(top_p(p, 0.51), [[0, 2 / 3, 1 / 3, 0]])
    assert np.allclose(top_p(p, 0.8), [[1 / 7, 4 / 7, 2 / 7, 0]])
    assert np.allclose(top_p(p, 1.0), p)


def test_draw_has_the_frequencies_of_p_and_never_takes_what_has_none() -> None:
    p = np.array([0.0, 0.5, 0.0, 0.3, 0.2, 0.0])
    counts = np.bincount(draw(np.tile(p, (100_000, 1)), Generator(3)), minlength=6) / 100_000
    assert (counts[p == 0] == 0).all()
    assert np.all(np.abs(counts - p) < 5 * np.sqrt(p * (1 - p) / 100_000) + 1e-12)

    class Largest(Generator):
        def uniform(self, *_: Any, **__: Any) -> Any:
            from tinyart import tensor

            return tensor(np.full((1, 1), 1 - 2.0**-53))

    short = np.array([[0.1] * 10 + [0.0]])  # its running sum stays below 1
    assert draw(short, Largest()).tolist() == [9]


def test_pick_applies_all_three_in_turn() -> None:
    logits = np.log(np.tile([0.4, 0.3, 0.2, 0.1], (20_000, 1)))
    drawn = pick(logits, Generator(1), temperature=0.5, k=3, mass=0.9)
    p = np.array([16, 9, 4]) / 29  # squared, the three likeliest; 25/29 is below 0.9, so all three stay
    assert np.allclose(np.bincount(drawn, minlength=4)[:3] / 20_000, p, atol=0.02)
    assert set(pick(logits, Generator(1), temperature=0.5, k=3, mass=0.8)) == {0, 1}
    assert set(pick(logits, Generator(1), temperature=0)) == {0}
    assert np.array_equal(pick(logits, Generator(5)), pick(logits, Generator(5)))


@pytest.mark.parametrize(("how", "message"), [
    ({"temperature": -1}, "temperature: expected a number of at least 0, got -1"),
    ({"temperature": math.nan}, "temperature"),
    ({"k": 0}, "top_k: expected a number of symbols, at least 1, got 0"),
    ({"mass": 0.0}, "top_p: expected a probability above 0, at most 1, got 0"),
    ({"mass": 1.1}, "top_p"),
])
def test_settings_out_of_range_are_refused(how: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        pick(LOGITS, Generator(0), **how)
