"""Initialisers: each fills a tensor in place, from `generator` or the global one, and returns it.

fan_in is the number of inputs that one output sums up, fan_out the number of outputs that one input goes to:

    Dense (I, O): I and O      convolution (KH, KW, I/groups, O): KH·KW·I/groups and KH·KW·O      Embedding (V, E): V, E

For a transposed convolution, (KH, KW, O/groups, I), O and I change places, as in PyTorch and Keras.
"""

import math
from typing import TypeVar

import numpy as np

from tinyart.backend import as_array
from tinyart.errors import ArgumentError, ShapeError
from tinyart.graph import no_grad
from tinyart.random import Generator, default_generator
from tinyart.tensor import Tensor

_T = TypeVar("_T", bound=Tensor)


def fans(tensor: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight. Errors: `ShapeError` for fewer than two axes."""
    if tensor.ndim < 2:
        raise ShapeError("init", "tensor", "a weight of at least two axes", f"shape {tensor.shape}",
                         fix="zeros_, uniform_ and normal_ fill any shape")
    *taps, inputs, outputs = tensor.shape
    return math.prod(taps) * inputs, math.prod(taps) * outputs


def zeros_(tensor: _T) -> _T:
    """0"""
    return _filled(tensor, 0.0)


def uniform_(tensor: _T, low: float = 0.0, high: float = 1.0, *, generator: Generator | None = None) -> _T:
    """U(low, high)"""
    draw = (generator or default_generator()).uniform
    return _filled(tensor, draw(tensor.shape, tensor.dtype, low=low, high=high, device=tensor.device))


def normal_(tensor: _T, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> _T:
    """N(mean, std²)"""
    draw = (generator or default_generator()).normal
    return _filled(tensor, draw(tensor.shape, tensor.dtype, mean=mean, std=std, device=tensor.device))


def glorot_uniform_(tensor: _T, gain: float = 1.0, *, generator: Generator | None = None) -> _T:
    """U(-b, b), b = gain·√(6 / (fan_in + fan_out)), also called Xavier. Glorot & Bengio 2010, equation 16."""
    bound = gain * math.sqrt(6 / sum(fans(tensor)))
    return uniform_(tensor, -bound, bound, generator=generator)


def glorot_normal_(tensor: _T, gain: float = 1.0, *, generator: Generator | None = None) -> _T:
    """N(0, σ²), σ = gain·√(2 / (fan_in + fan_out)). Glorot & Bengio 2010, equation 12."""
    return normal_(tensor, 0.0, gain * math.sqrt(2 / sum(fans(tensor))), generator=generator)


def he_uniform_(tensor: _T, slope: float = 0.0, *, generator: Generator | None = None) -> _T:
    """U(-b, b), b = √(6 / ((1 + slope²)·fan_in)), also called Kaiming: the variance of `he_normal_`."""
    bound = math.sqrt(6 / ((1 + slope**2) * fans(tensor)[0]))
    return uniform_(tensor, -bound, bound, generator=generator)


def he_normal_(tensor: _T, slope: float = 0.0, *, generator: Generator | None = None) -> _T:
    """N(0, σ²), σ = √(2 / ((1 + slope²)·fan_in)), before a leaky ReLU of that slope. He et al. 2015, equation 15."""
    return normal_(tensor, 0.0, math.sqrt(2 / ((1 + slope**2) * fans(tensor)[0])), generator=generator)


def orthogonal_(tensor: _T, gain: float = 1.0, *, generator: Generator | None = None) -> _T:
    """gain·Q, Q uniform among the matrices (fan_in, outputs) with orthonormal columns, or rows if those are fewer.

    Saxe, McClelland & Ganguli 2014. Q is from the QR decomposition of a normal matrix, with the signs that make R's
    diagonal positive: without them Q is not uniform (Mezzadri 2007). Computed in float64 on the CPU.
    """
    rows, columns = fans(tensor)[0], tensor.shape[-1]
    if 0 in tensor.shape:
        raise ArgumentError("orthogonal_", "tensor", "lengths of at least 1", f"shape {tensor.shape}")
    draw = (generator or default_generator()).normal
    q, r = np.linalg.qr(draw((max(rows, columns), min(rows, columns)), "float64").array)
    q *= np.sign(np.diag(r))
    q = gain * (q if rows >= columns else q.T)  # (fan_in, outputs)
    return _filled(tensor, Tensor(as_array(q.reshape(tensor.shape), tensor.dtype, tensor.device)))


def _filled(tensor: _T, values: Tensor | float) -> _T:
    with no_grad():
        tensor[...] = values
    return tensor
