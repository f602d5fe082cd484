"""Matrix products, and the dense layer. Like convolution, a product is one trilinear form, so gradients are products:

⟨A B, G⟩ = ⟨A, G Bᵀ⟩ = ⟨B, Aᵀ G⟩
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tinyart.errors import ArgumentError, ShapeError
from tinyart.graph import apply
from tinyart.ops.activation import leaky_relu, relu, sigmoid
from tinyart.ops.elementwise import tanh
from tinyart.ops.op import Fused, Op
from tinyart.ops.reduce import unbroadcast
from tinyart.ops.shape import reshape, swapaxes

if TYPE_CHECKING:
    from tinyart.tensor import Tensor

_MATMUL = Op("matmul", "a b",
             a=lambda g, b, a_shape: unbroadcast(matmul(g, swapaxes(b, -1, -2)), a_shape),
             b=lambda g, a, b_shape: unbroadcast(matmul(swapaxes(a, -1, -2), g), b_shape))


def matmul(a: Any, b: Any) -> "Tensor":
    """Σ_k a[.., i, k] b[.., k, j]: (.., M, K), (.., K, N) -> (.., M, N); leading axes broadcast, 1-D as in NumPy.

    Errors: `ShapeError` for a 0-D argument or where K differs.
    """
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[max(b.ndim - 2, 0)]:
        raise ShapeError("matmul", "a, b", "shapes (.., M, K) and (.., K, N)", f"{a.shape} and {b.shape}")
    if a.ndim == 1:
        row = matmul(reshape(a, (1, *a.shape)), b)  # (.., 1, N), or (1,) for 1-D b
        return reshape(row, (*b.shape[:-2], *b.shape[-1:]) if b.ndim > 1 else ())
    if b.ndim == 1:
        return reshape(matmul(a, reshape(b, (*b.shape, 1))), a.shape[:-1])
    if a.ndim > 2 and b.ndim == 2:  # one large product, and one for b's gradient, instead of a stack of small ones
        rows = reshape(a, (math.prod(a.shape[:-1]), a.shape[-1]))  # (..·M, K)
        return reshape(matmul(rows, b), (*a.shape[:-1], b.shape[1]))  # (.., M, N)
    y: Tensor = apply(_MATMUL, a, b)
    return y


ACTIVATIONS: dict[str, Callable[[Any, float], Any]] = {
    "none": lambda z, slope: z, "relu": lambda z, slope: relu(z), "leaky_relu": leaky_relu,
    "sigmoid": lambda z, slope: sigmoid(z), "tanh": lambda z, slope: tanh(z),
}  # fmt: skip
_DENSE = Fused("dense", "x w b", backward="x w y activation slope wanted",
               definition=lambda x, w, b, activation, slope: ACTIVATIONS[activation](matmul(x, w) + b, slope))


def dense(x: Any, w: Any, b: Any, *, activation: str = "none", slope: float = 0.01) -> "Tensor":
    """f(x w + b): x (.., I), w (I, O), b (O,) -> (.., O), with bias and f in one pass over the product.

    f is "none", "relu", "leaky_relu" with `slope`, "sigmoid" or "tanh". Saved for backward: x and the result, from
    which f' follows.

    Errors: `ShapeError`; `ArgumentError` for another f and a slope below 0, where f(z) does not tell the sign of z.
    """
    if activation not in ACTIVATIONS or not 0 <= slope < math.inf:
        raise ArgumentError("dense", "activation, slope", f"one of {', '.join(ACTIVATIONS)}, and 0 or more",
                            f"{activation!r}, {slope}", fix="the activation as an operation of its own")
    if x.ndim == 0 or w.ndim != 2 or b.shape != w.shape[1:] or x.shape[-1] != w.shape[0]:
        raise ShapeError("dense", "x, w, b", "shapes (.., I), (I, O) and (O,)", f"{x.shape}, {w.shape}, {b.shape}")
    rows = x if x.ndim == 2 else reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))  # (..·, I)
    y: Tensor = apply(_DENSE, rows, w, b, activation=activation, slope=float(slope))
    return y if x.ndim == 2 else reshape(y, (*x.shape[:-1], w.shape[1]))
