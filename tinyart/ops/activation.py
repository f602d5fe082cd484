"""Activations, elementwise."""

import math
from typing import TYPE_CHECKING, Any

from tinyart.graph import apply
from tinyart.ops.elementwise import erf, greater, mul, where
from tinyart.ops.op import Op

if TYPE_CHECKING:
    from tinyart.tensor import Tensor

# The gradients of the most used ones are operations of their own: one pass over the arrays.
relu = Op("relu", "x", "max(x, 0); its gradient at 0 is 0", x=lambda g, y: _RELU_BACKWARD(g, y))
_RELU_BACKWARD = Op("relu_backward", "g y", results="gx", g=lambda gg, y: _RELU_BACKWARD(gg, y))
sigmoid = Op("sigmoid", "x", "1 / (1 + e^-x)", x=lambda g, y: _SIGMOID_BACKWARD(g, y))
_SIGMOID_BACKWARD = Op("sigmoid_backward", "g y", results="gx",
                       g=lambda gg, y: _SIGMOID_BACKWARD(gg, y),
                       y=lambda gg, g, y: gg * g * (1.0 - 2.0 * y))
softplus = Op("softplus", "x", "ln(1 + e^x)", x=lambda g, x: g * sigmoid(x))
_LEAKY_RELU = Op("leaky_relu", "x", x=lambda g, x, slope: apply(_LEAKY_RELU_BACKWARD, g, x, slope=slope))
_LEAKY_RELU_BACKWARD = Op("leaky_relu_backward", "g x",
                          g=lambda gg, x, slope: apply(_LEAKY_RELU_BACKWARD, gg, x, slope=slope))
_ELU = Op("elu", "x", x=lambda g, x, y, alpha: where(greater(x, 0.0), g, g * (y + alpha)))


def leaky_relu(x: Any, slope: float = 0.01) -> "Tensor":
    """x for x > 0, else slope·x (Maas et al. 2013)"""
    y: Tensor = apply(_LEAKY_RELU, x, slope=float(slope))  # a NumPy float64 would promote float32
    return y


def elu(x: Any, alpha: float = 1.0) -> "Tensor":
    """x for x > 0, else α(e^x - 1) (Clevert et al. 2016)"""
    y: Tensor = apply(_ELU, x, alpha=float(alpha))
    return y


def gelu(x: Any) -> "Tensor":
    """x Φ(x) = x/2 (1 + erf(x/√2)) (Hendrycks & Gimpel 2016)"""
    return mul(x, erf(mul(x, 1 / math.sqrt(2))) + 1.0) * 0.5


def silu(x: Any) -> "Tensor":
    """x / (1 + e^-x)"""
    return mul(x, sigmoid(x))
