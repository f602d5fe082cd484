"""Matrix products. Like convolution, a product is one trilinear form, so its gradients are products again:

⟨A B, G⟩ = ⟨A, G Bᵀ⟩ = ⟨B, Aᵀ G⟩
"""

import math
from typing import TYPE_CHECKING, Any

from tinyart.errors import ShapeError
from tinyart.graph import apply
from tinyart.ops.op import Op
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
