"""Convolution, channels last. One trilinear form carries three operations, each other's gradients in any order:

⟨conv(x, w), g⟩ = ⟨x, conv_input(g, w)⟩ = ⟨w, conv_weight(x, g)⟩

    y[n, i, j, o] = Σ_{a,b,c} x[n, i·s + a·d - p, j·s + b·d - p, c] · w[a, b, c, o]      s stride, d dilation, p padding

Transposed convolution is `conv_input`: the gradient of a convolution with respect to its input.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tinyart.errors import ArgumentError, ShapeError
from tinyart.graph import apply
from tinyart.ops.op import Op
from tinyart.ops.shape import reshape

if TYPE_CHECKING:
    from tinyart.tensor import Tensor

Pair = tuple[int, int]
Padding = int | Sequence[int] | Sequence[Sequence[int]] | str

_CONV = Op("conv", "x w",
           x=lambda g, w, x_shape, how: apply(_CONV_INPUT, g, w, size=x_shape[1:3], how=how),
           w=lambda g, x, w_shape, how: apply(_CONV_WEIGHT, x, g, size=w_shape[:2], how=how))
_CONV_INPUT = Op("conv_input", "g w",
                 g=lambda v, w, how: apply(_CONV, v, w, how=how),
                 w=lambda v, g, w_shape, how: apply(_CONV_WEIGHT, v, g, size=w_shape[:2], how=how))
_CONV_WEIGHT = Op("conv_weight", "x g",
                  x=lambda v, g, x_shape, how: apply(_CONV_INPUT, g, v, size=x_shape[1:3], how=how),
                  g=lambda v, x, how: apply(_CONV, x, v, how=how))
