"""The Parzen window estimate of a generator's log-likelihood: Breuleux, Bengio & Vincent 2011; Goodfellow et al. 2014.

    log p(x) ≈ log( 1/N Σ_n N(x; s_n, σ² I) ) = log-mean-exp_n( -|x - s_n|²/2σ² ) - P log(σ √(2π))

for samples s_n of the generator, with the σ that suits images held out from training best. In P = 784 dimensions it
rewards blur and copies of the training images, and never comes near the true log p (Theis, van den Oord & Bethge
2016): compare it with the score of training images themselves, and look at the samples.
"""

import math
from typing import Any

import numpy as np

from tinyart.errors import ArgumentError, ShapeError

Array = np.ndarray[Any, Any]

SIGMAS = np.logspace(-1, 0, 10)  # among which the published code chooses
_BLOCK = 500  # test images at a time: with 10,000 samples 20 MB


def parzen_log_likelihood(test: Array, samples: Array, sigma: float) -> Array:
    """log p(x) of each test image, a density in nats: (T, ..), (N, ..) in [0, 1] -> float64 (T,)

    The score of Goodfellow et al. is the mean, its error std/√T. Distances are sums of float32, good to about
    1e-5/σ² nats. Time: that of a matrix product (T, P) by (P, N).

    Errors: `ShapeError` for images of different sizes, `ArgumentError` for σ ≤ 0.
    """
    values: Array = _log_likelihoods(test, samples, np.array([sigma]))[0]
    return values


def parzen_sigma(validation: Array, samples: Array) -> float:
    """The σ of `SIGMAS` with the highest mean log-likelihood: (V, ..), (N, ..) in [0, 1]"""
    return float(SIGMAS[_log_likelihoods(validation, samples, SIGMAS).mean(1).argmax()])


def _log_likelihoods(test: Array, samples: Array, sigmas: Array) -> Array:
    """For several σ, from the same distances: (T, ..), (N, ..), (S,) -> float64 (S, T)"""
    if test.shape[1:] != samples.shape[1:] or not len(samples):
        raise ShapeError("parzen", "test, samples", "images (T, ..) and (N, ..) of one size, N > 0",
                         f"{test.shape} and {samples.shape}")
    if not (sigmas > 0).all():
        raise ArgumentError("parzen", "sigma", "more than 0", f"{sigmas.min()}")
    x, s = (images.reshape(len(images), -1).astype(np.float32, copy=False) for images in (test, samples))  # (T, P) ..
    half_squares = np.einsum("np,np->n", s, s) / 2  # (N,)
    result = np.empty((len(sigmas), len(x)))
    for start in range(0, len(x), _BLOCK):
        part = x[start : start + _BLOCK]  # (B, P)
        exponents = part @ s.T  # (B, N), and with the next line x·s - |s|²/2 = (|x|² - |x - s|²)/2
        exponents -= half_squares
        exponents -= (np.einsum("np,np->n", part, part) / 2)[:, None]  # -|x - s|²/2
        nearest = exponents.max(1, keepdims=True)  # (B, 1)
        exponents -= nearest
        for row, sigma in zip(result, sigmas, strict=True):
            mean = np.exp(exponents * np.float32(1 / sigma**2)).mean(1, dtype=np.float64)  # (B,)
            row[start : start + _BLOCK] = nearest[:, 0] / sigma**2 + np.log(mean)
    normaliser = x.shape[1] * np.log(sigmas * math.sqrt(2 * math.pi))  # (S,)
    result -= normaliser[:, None]
    return result
