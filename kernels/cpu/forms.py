"""Winograd's forms F(2, r): two neighbouring pixels of y from r + 1 of d and r taps w by r + 1 products (2 if r is 1).

    y = Aᵀ [(G w) ⊙ (Bᵀ d)]                           Lavin & Gray 2016, section 4.1

From the points 0, 1 and infinity; 0, 1, -1 and infinity; and 0, 1, -1, 1/2, -2 and infinity, at which polynomials are
multiplied.

Rounding, as tests/kernels/test_winograd_cpu.py has it: a convolution by F(2, 3) is more exact than the plain sum from
first to last, since that has more terms, by F(2, 2) as exact to a half. The points of F(2, 5) are further apart: its
error is up to three times that of the plain sum, and up to six times in the gradient of weights.
"""

from collections.abc import Callable
from typing import NamedTuple

Matrix = list[list[float]]


class Form(NamedTuple):
    read: Matrix  # Bᵀ
    weights: Matrix  # G
    made: Matrix  # Aᵀ


FORMS = {
    1: Form([[1, 0], [0, 1]], [[1], [1]], [[1, 0], [0, 1]]),
    2: Form([[1, -1, 0], [0, 1, 0], [0, -1, 1]], [[1, 0], [1, 1], [0, 1]], [[1, 1, 0], [0, 1, 1]]),
    3: Form([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
            [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]],
            [[1, 1, 1, 0], [0, 1, -1, -1]]),
    5: Form([[2, -3, -4, 3, 2, 0], [0, -2, 1, 5, 2, 0], [0, -2, 5, -1, -2, 0], [0, 2, 1, -2, -1, 0],
             [0, 1, -2, -1, 2, 0], [0, 2, -3, -4, 3, 2]],
            [[1 / 2, 0, 0, 0, 0], [1 / 6, 1 / 6, 1 / 6, 1 / 6, 1 / 6], [1 / 6, -1 / 6, 1 / 6, -1 / 6, 1 / 6],
             [16 / 15, 8 / 15, 4 / 15, 2 / 15, 1 / 15], [1 / 30, -1 / 15, 2 / 15, -4 / 15, 8 / 15],
             [0, 0, 0, 0, 1 / 2]],
            [[1, 1, 1, 1, 1, 0], [0, 1, -1, 0.5, -2, 1]]),
}  # fmt: skip


def _transposed(matrix: Matrix) -> Matrix:
    return [list(row) for row in zip(*matrix, strict=True)]


def _terms(few: int, many: int) -> Callable[[int], int]:
    return lambda r: few if r <= 3 else many


# What is done with a form, and how many terms a row has: alike for short forms, so that they go with each other.
LINES = READ, GRADIENT, WEIGHTS, TOTAL = (
    (lambda form: form.read, _terms(2, 5)),
    (lambda form: _transposed(form.made), _terms(2, 2)),
    (lambda form: form.weights, _terms(3, 5)),
    (lambda form: _transposed(form.weights), _terms(4, 6)),
)
