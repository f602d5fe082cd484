"""The drawn pictures: the same for ever, sharper when larger, and of families that can be told apart."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyart.data import FAMILIES, art
from tinyart.errors import ArgumentError


def test_pictures_labels_and_names():
    images, labels, names = art(25)
    assert (images.shape, images.dtype, labels.dtype) == ((25, 32, 32, 3), np.dtype("uint8"), np.dtype("int64"))
    assert labels.tolist() == [*range(10), *range(10), *range(5)]
    assert names == FAMILIES
    assert len(set(names)) == 10
    assert [array.shape for array in art(0)[:2]] == [(0, 32, 32, 3), (0,)]


@settings(max_examples=15)
@given(st.integers(1, 30), st.integers(0, 2**63 - 1), st.sampled_from([4, 7, 16]))
def test_a_picture_depends_on_the_seed_and_its_number_alone(n, seed, size):
    images = art(30, size=size, seed=seed)[0]
    assert np.array_equal(art(n, size=size, seed=seed)[0], images[:n])


def test_some_families_are_the_same_pictures_without_the_others():
    images, labels, names = art(23, size=8)
    some, kept, same_names = art(23, size=8, families=("flow", "planes"))
    wanted = np.isin(labels, [names.index("flow"), names.index("planes")])
    assert np.array_equal(some, images[wanted])
    assert np.array_equal(kept, labels[wanted])
    assert kept.dtype == np.int64
    assert same_names == names
    with pytest.raises(ArgumentError, match=r"art: families: expected some of planes,.*ripples, got cats,roses"):
        art(3, families=("cats", "roses"))


def test_seeds_and_numbers_give_different_pictures():
    pictures = [picture.tobytes() for seed in range(5) for picture in art(100, seed=seed)[0]]
    assert len(set(pictures)) == 500


def test_a_larger_picture_is_the_same_one_sharper():
    small, large = art(100, size=32, seed=2)[0], art(100, size=96, seed=2)[0]
    averaged = large.reshape(100, 32, 3, 32, 3, 3).mean(axis=(2, 4))
    error = np.abs(small - averaged).mean(axis=(1, 2, 3))
    other = np.abs(small - averaged[np.roll(np.arange(100), 10)]).mean(axis=(1, 2, 3))  # same family, another picture
    assert error.max() < 4
    assert other.min() > 2 * error.max()


def test_edges_are_smooth():
    """Black bars on planes: between bar and plane there are greys, since each pixel averages its area."""
    values = art(1, seed=1)[0][0].astype(int).sum(axis=2)
    assert len(np.unique(values)) > 8


def test_every_family_uses_colour_and_contrast():
    images, labels, _ = art(400, seed=3)
    for family in range(10):
        pictures = images[labels == family].astype(float)
        assert pictures.std(axis=(1, 2)).mean() > 25
        assert np.abs(pictures[..., 0] - pictures[..., 2]).mean() > 12
        spread = pictures.std(axis=0).mean()  # the pictures of a family differ
        assert spread > 20


def features(images: np.ndarray) -> np.ndarray:
    """Means over a 4 x 4 board of brightness and of its changes along and across, and their spreads."""
    grey = images.mean(axis=3)
    maps = [grey[:, :-1, :-1], np.abs(np.diff(grey, axis=1))[:, :, :-1], np.abs(np.diff(grey, axis=2))[:, :-1]]
    maps.append(np.minimum(maps[1], maps[2]))
    stack = np.stack(maps, axis=-1)[:, :28, :28]  # (N, 28, 28, 4)
    board = stack.reshape(len(images), 4, 7, 4, 7, 4)
    both = np.concatenate([board.mean(axis=(2, 4)), board.std(axis=(2, 4))], axis=-1).reshape(len(images), -1)
    return np.hstack([np.sqrt(both), np.ones((len(images), 1))])


def test_families_can_be_told_apart():
    """Least squares on 129 crude features, trained on 1,500 pictures, names the family of 500 others."""
    images, labels, _ = art(2000)
    x, y = features(images), np.eye(10)[labels]
    weights = np.linalg.lstsq(x[:1500], y[:1500], rcond=None)[0]
    accuracy = (np.argmax(x[1500:] @ weights, axis=1) == labels[1500:]).mean()
    assert accuracy > 0.8  # chance is 0.1


def test_two_thousand_pictures_take_less_than_ten_seconds():
    start = time.process_time()
    art(200)
    assert time.process_time() - start < 1


@pytest.mark.parametrize("arguments", [{"n": -1}, {"size": 3}, {"size": 1025}, {"seed": -1}, {"seed": 2**63}])
def test_wrong_arguments_are_refused(arguments):
    with pytest.raises(ArgumentError, match="art: n, size, seed: expected n >= 0, 4 <= size <= 1024 and 0 <= seed"):
        art(**({"n": 1} | arguments))
