"""The Parzen window score against its formula in float64."""

import math

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from tinyart.errors import ArgumentError, ShapeError
from tinyart.models import parzen
from tinyart.models.parzen import SIGMAS, parzen_log_likelihood, parzen_sigma

RNG = np.random.default_rng(0)
TEST, SAMPLES = RNG.uniform(size=(13, 4, 5, 1)).astype(np.float32), RNG.uniform(size=(9, 4, 5, 1)).astype(np.float32)


def by_definition(test: np.ndarray, samples: np.ndarray, sigma: float) -> np.ndarray:
    """log of the mean of the Gaussian densities around the samples, in float64."""
    x, s = (a.reshape(len(a), -1).astype(float) for a in (test, samples))
    log_densities = norm.logpdf(x[:, None], s[None], sigma).sum(-1)  # (T, N)
    return logsumexp(log_densities, axis=1) - math.log(len(s))


@pytest.mark.parametrize("sigma", [0.1, 0.2, 1.0])
def test_log_likelihood_is_the_log_of_the_mean_density(sigma: float, monkeypatch: pytest.MonkeyPatch) -> None:
    values = parzen_log_likelihood(TEST, SAMPLES, sigma)
    assert (values.shape, values.dtype) == ((13,), np.float64)
    assert np.allclose(values, by_definition(TEST, SAMPLES, sigma), atol=1e-5 / sigma**2, rtol=1e-6)
    monkeypatch.setattr(parzen, "_BLOCK", 4)  # three blocks and one image
    assert np.allclose(parzen_log_likelihood(TEST, SAMPLES, sigma), values, atol=1e-5 / sigma**2, rtol=1e-6)


def test_log_likelihood_is_a_density() -> None:
    """∫ p(x) dx = 1, here for one pixel."""
    grid = np.linspace(-4, 5, 9001, dtype=np.float32)[:, None]
    density = np.exp(parzen_log_likelihood(grid, np.float32([[0.0], [0.3], [1.0]]), 0.25))
    assert density.sum() * 1e-3 == pytest.approx(1, abs=1e-4)


def test_log_likelihood_far_from_all_samples_is_finite() -> None:
    (value,) = parzen_log_likelihood(np.full((1, 20), 50, np.float32), np.zeros((3, 20), np.float32), 0.1)
    assert value == pytest.approx(-20 * (50**2 / 0.02 + math.log(0.1 * math.sqrt(2 * math.pi))), rel=1e-6)


def test_sigma_is_the_best_of_the_ten() -> None:
    assert len(SIGMAS) == 10
    assert np.allclose(SIGMAS, 10 ** np.linspace(-1, 0, 10))
    for spread in (0.05, 0.2, 0.4):  # images this far from the samples want about this σ
        test = SAMPLES + RNG.normal(0, spread, SAMPLES.shape).astype(np.float32)
        scores = [by_definition(test, SAMPLES, sigma).mean() for sigma in SIGMAS]
        best = SIGMAS[np.argmax(scores)]
        assert parzen_sigma(test, SAMPLES) == best
        assert best == pytest.approx(max(spread, 0.1), rel=0.35)


def test_errors_name_what_came() -> None:
    with pytest.raises(ShapeError, match=r"parzen: test, samples: expected .* got \(13, 4, 5, 1\) and \(9, 20\)"):
        parzen_log_likelihood(TEST, SAMPLES.reshape(9, 20), 0.2)
    with pytest.raises(ShapeError, match=r"N > 0"):
        parzen_sigma(TEST, SAMPLES[:0])
    with pytest.raises(ArgumentError, match=r"parzen: sigma: expected more than 0, got 0\.0"):
        parzen_log_likelihood(TEST, SAMPLES, 0.0)
