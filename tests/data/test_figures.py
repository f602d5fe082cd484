"""Where the ink of a figure lies."""

import numpy as np
import pytest

from tinyart.data import bars, heatmap, panels, scatter
from tinyart.data.figures import _BLUE, _CLASSES, _ORANGE
from tinyart.data.plot import _COLOURS
from tinyart.errors import ArgumentError, ShapeError


def test_heatmap_is_blue_below_and_orange_above_zero():
    image = heatmap([[-2.0, 0.0, 1.0, 9.0]], scale=3, limit=2)
    assert image.shape == (3, 12, 3)
    assert image.dtype == np.uint8
    assert np.array_equal(image[1, 1], _BLUE)
    assert np.array_equal(image[1, 4], [255, 255, 255])
    assert np.array_equal(image[1, 7], np.rint((255 + _ORANGE) / 2))
    assert np.array_equal(image[1, 10], _ORANGE)
    assert np.array_equal(heatmap([[-1.0, 4.0]])[0, 1], _ORANGE)  # the largest value is the limit
    assert (heatmap(np.zeros((2, 2))) == 255).all()


def test_scatter_has_x_to_the_right_and_y_up():
    image = scatter([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [0, 1, 2], side=100)
    assert image.shape == (100, 100, 3)
    for (row, column), label in zip([(88, 12), (88, 88), (12, 12)], range(3), strict=True):
        assert "#{:02x}{:02x}{:02x}".format(*image[row, column]) == _CLASSES[label]
    assert (image[12, 88] == 255).all()
    assert (scatter([[2.0, 3.0]]) != 255).any()  # one point, and no label


def test_panels_hold_each_image_over_its_caption():
    black, red = np.zeros((10, 20)), np.full((5, 5, 3), (255, 0, 0), np.uint8)
    image = panels([black, red], ["a", "b"])
    left, right = np.hsplit(image, 2)
    assert (left[8:18].sum(2) == 0).any(0).sum() == 20
    assert (right == (255, 0, 0)).all(2).sum() == 25
    assert (left[20:].min(axis=2) < 128).any()  # the caption's ink
    assert panels([black, red, red], columns=2).shape[0] == 2 * (10 + 16)
    assert panels([black[..., None]], []).shape == (26, 36, 3)


def test_bars_are_as_long_as_their_values():
    image = bars(["one", "half", "none"], [2.0, 1.0, 0.0], width=216)
    assert image.shape == (128, 216, 3)
    lengths = [int((("#{:02x}{:02x}{:02x}".format(*p) == _COLOURS[k]) and 1) or 0)
               for k in range(3) for p in image[40 * k + 33]]
    assert [sum(lengths[i : i + 216]) for i in (0, 216, 432)] == [201, 101, 1]


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ShapeError, match=r"heatmap: values: expected a matrix \(H, W\) of finite numbers, got \(3,\)"):
        heatmap(np.zeros(3))
    with pytest.raises(ShapeError, match="heatmap: values"):
        heatmap([[np.nan]])
    with pytest.raises(ShapeError, match=r"scatter: points: expected \(N, 2\) finite numbers, N > 0, got \(0, 2\)"):
        scatter(np.zeros((0, 2)))
    with pytest.raises(ShapeError, match=r"panels: images: expected .* got \[\(2, 2, 2\)\]"):
        panels([np.zeros((2, 2, 2))])
    with pytest.raises(ShapeError, match="bars: names, values: expected as many of each"):
        bars(["a"], [-1.0])
    with pytest.raises(ArgumentError, match="panels: images: expected uint8, or finite floats"):
        panels([np.zeros((2, 2), int)])
