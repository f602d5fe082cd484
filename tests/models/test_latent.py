import numpy as np
import pytest

from tinyart import tensor
from tinyart.models import slerp, walk


@pytest.mark.parametrize("t", [0.0, 0.25, 0.5, 1.0])
def test_slerp_turns_by_t_times_the_angle_at_one_length(t: float) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 6, 5))
    a, b = (3 * v / np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b))
    between = slerp(a, b, t)
    angle = np.arccos((a * b).sum(1) / 9)
    assert np.allclose(np.linalg.norm(between, axis=1), 3)
    assert np.allclose((a * between).sum(1) / 9, np.cos(t * angle))
    assert np.allclose((b * between).sum(1) / 9, np.cos((1 - t) * angle))


def test_slerp_of_parallel_opposite_and_zero_vectors_is_the_line() -> None:
    a = np.float32([[1, 0], [1, 0], [0, 0]])
    b = np.float32([[2, 0], [-1, 0], [1, 1]])
    between = slerp(a, b, 0.25)
    assert between.dtype == np.float32
    assert np.allclose(between[:2], [[1.25, 0], [0.5, 0]])
    assert np.isfinite(between).all()


def test_walk_starts_at_each_place_and_goes_round() -> None:
    z = np.random.default_rng(1).normal(size=(3, 4, 5))
    steps = [place.numpy() for place in walk(tensor(z), 6)]
    assert len(steps) == 18
    for k in range(3):
        assert np.allclose(steps[6 * k], z[k])
        assert np.allclose(steps[6 * k + 3], slerp(z[k], z[(k + 1) % 3], 0.5))
