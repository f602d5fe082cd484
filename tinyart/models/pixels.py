"""Images as what networks take."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyart.errors import ShapeError
from tinyart.tensor import Tensor


def pixels(model: str, images: np.ndarray[Any, Any], shape: Sequence[int], device: str) -> Tensor:
    """uint8 / 255: images (N, H, W, C) of `shape` (H, W, C) -> float32 in [0, 1].

    Errors: `ShapeError`, in the name of `model`, for images of another size.
    """
    if images.shape[1:] != tuple(shape):
        raise ShapeError(model, "images", f"(N, {', '.join(map(str, shape))})", f"{images.shape}")
    return Tensor(images.astype(np.float32) / np.float32(255)).to(device)
