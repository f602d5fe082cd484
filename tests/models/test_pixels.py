"""What networks take."""

import numpy as np
import pytest

from tinyart.errors import ShapeError
from tinyart.models.pixels import pixels


def test_bytes_become_numbers_from_0_to_1() -> None:
    images = np.array([0, 51, 255, 102], np.uint8).reshape(2, 1, 2, 1)
    x = pixels("VAE", images, (1, 2, 1), "cpu")
    assert (x.shape, x.dtype) == ((2, 1, 2, 1), np.float32)
    assert x.numpy().ravel() == pytest.approx([0, 0.2, 1, 0.4], abs=1e-7)


def test_images_of_another_size_are_refused_in_the_models_name() -> None:
    with pytest.raises(ShapeError, match=r"GAN: images: expected \(N, 1, 2, 1\), got \(2, 2, 1, 1\)"):
        pixels("GAN", np.zeros((2, 2, 1, 1), np.uint8), (1, 2, 1), "cpu")
