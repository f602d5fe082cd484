"""The exact check of the MNIST loader: 1-nearest-neighbour, Euclidean, raw pixels, makes 309 errors of 10,000.

    python -m benchmarks.mnist_nearest_neighbour

Published as 3.09 % (LeCun, Bottou, Bengio, Haffner 1998). It needs MNIST: `tinyart data fetch mnist`, or
TINYART_DATA.
"""

import time

import numpy as np

from tinyart.data import mnist


def nearest_neighbour_errors(
    train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], *, block: int = 100
) -> int:
    """Test images whose nearest training image has another label; (images uint8 (N, H, W, C), labels (N,)) each.

    Compares |b|² - 2 a·b, which orders b as |a - b|² does. Exact: a pixel less 128 is at most 128 in size, so
    every sum in a·b is an integer of at most 784 · 128² < 2²⁴, which float32 holds. Ties go to the first image.
    """
    (references, labels), (queries, answers) = train, test
    b = _centred(references)  # (N, P)
    squares = np.einsum("np,np->n", b.astype(np.int32), b.astype(np.int32))  # (N,)
    errors = 0
    for start in range(0, len(queries), block):
        products = _centred(queries[start : start + block]) @ b.T  # (block, N)
        nearest = (squares - 2 * products.astype(np.int32)).argmin(axis=1)  # (block,)
        errors += int((labels[nearest] != answers[start : start + block]).sum())
    return errors


def _centred(images: np.ndarray) -> np.ndarray:
    pixels = images.reshape(len(images), -1).astype(np.float32)  # (N, P)
    if pixels.shape[1] > 1 << 10:
        raise ValueError(f"float32 holds the products of at most 1,024 pixels exactly, got {pixels.shape[1]}")
    return pixels - 128


def main() -> None:
    train, test = mnist("train"), mnist("test")
    start = time.perf_counter()
    errors = nearest_neighbour_errors(train, test)
    print(f"{errors} errors of {len(test[0])} ({time.perf_counter() - start:.1f} s); published: 309")


if __name__ == "__main__":
    main()
