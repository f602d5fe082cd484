"""Reductions. `axis` is None (all axes), an int or a tuple of ints, negative from the end; `keepdims` as in NumPy."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyart.errors import ArgumentError
from tinyart.graph import apply
from tinyart.ops.op import Op
from tinyart.ops.shape import broadcast_to, reshape

if TYPE_CHECKING:
    from tinyart.tensor import Tensor

Axis = int | tuple[int, ...] | None


def _axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    if axis is None or ndim == 0:  # NumPy has an axis 0 for a number, too
        return tuple(range(ndim))
    return tuple(a % ndim for a in ((axis,) if isinstance(axis, int) else axis))


def _kept(g: Any, x_shape: tuple[int, ...], axis: Axis) -> Any:
    """g with the reduced axes put back at length 1; broadcasting does so by itself where they are the first ones."""
    axes = _axes(axis, len(x_shape))
    if axes == tuple(range(len(axes))):
        return g
    return reshape(g, tuple(1 if i in axes else n for i, n in enumerate(x_shape)))


def _to_extreme(g: Any, x: Any, y: Any, axis: Axis) -> Any:
    """g goes to where x is extreme, in equal shares where it is so more than once."""
    ties = (x == _kept(y, x.shape, axis)).astype(x.dtype)
    return ties / ties.sum(axis, keepdims=True) * _kept(g, x.shape, axis)


_SUM = Op("sum", "x", floating=False,
          x=lambda g, x_shape, axis: broadcast_to(_kept(g, x_shape, axis), x_shape))
_MAX = Op("max", "x", floating=False, x=lambda g, x, y, axis: _to_extreme(g, x, y, axis))
_MIN = Op("min", "x", floating=False, x=lambda g, x, y, axis: _to_extreme(g, x, y, axis))
_ARGMAX = Op("argmax", "x", floating=False)
_ARGMIN = Op("argmin", "x", floating=False)
_LOGSUMEXP = Op("logsumexp", "x",
                x=lambda g, x, y, axis: _kept(g, x.shape, axis) * (x - _kept(y, x.shape, axis)).exp())
_SOFTMAX = Op("softmax", "x", x=lambda g, y, axis: apply(_SOFTMAX_BACKWARD, g, y, axis=axis))
_SOFTMAX_BACKWARD = Op("softmax_backward", "g y", results="gx",  # y (g - Σ g y)
                       g=lambda gg, y, axis: apply(_SOFTMAX_BACKWARD, gg, y, axis=axis),
                       y=lambda gg, g, y, axis: (gg * (g - (g * y).sum(axis, keepdims=True))
                                                 - g * (gg * y).sum(axis, keepdims=True)))
_LOG_SOFTMAX = Op("log_softmax", "x", x=lambda g, y, axis: g - y.exp() * g.sum(axis, keepdims=True))


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """The adjoint of broadcasting: g summed over the axes along which an argument of `shape` was repeated."""
    if g.shape == shape:
        return g
    lead = g.ndim - len(shape)
    axes = (*range(lead), *(i + lead for i, n in enumerate(shape) if n == 1 and g.shape[i + lead] != 1))
    return reshape(sum(g, axes), shape)


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> "Tensor":
    """Σ x over `axis`."""
    y: Tensor = apply(_SUM, x, axis=axis, keepdims=keepdims)
    return y


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> "Tensor":
    """(1/n) Σ x over `axis`; NaN over no elements."""
    return sum(x, axis, keepdims) / _count(x, axis)


def var(x: Any, axis: Axis = None, keepdims: bool = False, correction: int = 0) -> "Tensor":
    """1/(n - correction) Σ (x - mean x)² over `axis`; correction 1 is the unbiased estimate.

    Errors: `ArgumentError` if n ≤ correction.
    """
    n = _count(x, axis) - correction
    if n <= 0 < correction:
        raise ArgumentError("var", "correction", f"less than the {n + correction:.0f} values", f"{correction}")
    return sum((x - mean(x, axis, keepdims=True)) ** 2, axis, keepdims) / n


def _count(x: Any, axis: Axis) -> float:
    shape = np.shape(x)
    return float(math.prod(shape[a] for a in _axes(axis, len(shape))))


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> "Tensor":
    """The largest x over `axis`; ties share the gradient equally."""
    y: Tensor = apply(_MAX, x, axis=axis, keepdims=keepdims)
    return y


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> "Tensor":
    """The smallest x over `axis`; ties share the gradient equally."""
    y: Tensor = apply(_MIN, x, axis=axis, keepdims=keepdims)
    return y


def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> "Tensor":
    """The index (int64) of the first largest x along `axis`, or in the flattened x."""
    y: Tensor = apply(_ARGMAX, x, axis=axis, keepdims=keepdims)
    return y


def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> "Tensor":
    """The index (int64) of the first smallest x along `axis`, or in the flattened x."""
    y: Tensor = apply(_ARGMIN, x, axis=axis, keepdims=keepdims)
    return y


def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> "Tensor":
    """ln Σ e^x over `axis`, without overflow; -inf over no elements."""
    y: Tensor = apply(_LOGSUMEXP, x, axis=axis, keepdims=keepdims)
    return y


def softmax(x: Any, axis: int = -1) -> "Tensor":
    """e^x / Σ e^x along `axis`, without overflow."""
    y: Tensor = apply(_SOFTMAX, x, axis=axis)
    return y


def log_softmax(x: Any, axis: int = -1) -> "Tensor":
    """x - ln Σ e^x along `axis`, without overflow or cancellation."""
    y: Tensor = apply(_LOG_SOFTMAX, x, axis=axis)
    return y
