"""Where the ink of a loss plot lies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageColor

from tinyart.data import loss_plot
from tinyart.data.plot import _BANDS, _BOTTOM, _COLOURS, _LEFT, _RIGHT, _TOP, _ticks
from tinyart.errors import ArgumentError


def drawn(tmp_path, curves, **settings) -> np.ndarray:
    loss_plot(tmp_path / "a.png", curves, **settings)
    return np.asarray(Image.open(tmp_path / "a.png")).astype(int)


def where(pixels: np.ndarray, colour: str) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the pixels of a colour, from the left end and the foot of the axes, in parts of their lengths."""
    box = pixels[_TOP : _BOTTOM + 1, _LEFT : _RIGHT + 1]
    y, x = np.nonzero(np.abs(box - ImageColor.getrgb(colour)).max(axis=2) < 12)
    return x / (_RIGHT - _LEFT), 1 - y / (_BOTTOM - _TOP)


def test_a_straight_line_runs_from_corner_to_corner(tmp_path):
    x, y = where(drawn(tmp_path, {"loss": [(10, 3.0), (20, 5.0)]}), _COLOURS[0])
    assert x.min() < 0.01
    assert x.max() > 0.99
    margin = 0.05 / 1.1  # five hundredths of the range above and below
    assert np.abs(y - (margin + x * (1 - 2 * margin))).max() < 0.012


def test_two_curves_have_two_colours_and_their_own_values(tmp_path):
    pixels = drawn(tmp_path, {"low": [(0, 0.0), (9, 0.0)], "high": [(0, 1.0), (9, 1.0)]})
    low, high = (where(pixels, colour)[1] for colour in _COLOURS[:2])
    assert np.abs(low - 0.05 / 1.1).max() < 0.01
    assert np.abs(high - 1.05 / 1.1).max() < 0.01


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf, 1e40])
def test_values_that_are_not_finite_leave_a_gap(tmp_path, hole):
    curve = [(k, hole if 40 <= k <= 60 else 1.0) for k in range(101)] + [(101, 0.0)]
    x, _ = where(drawn(tmp_path, {"loss": curve}), _COLOURS[0])
    assert not ((x > 0.4) & (x < 0.58)).any()
    assert ((x > 0.3) & (x < 0.38)).any()
    assert ((x > 0.61) & (x < 0.7)).any()


def test_many_points_become_their_mean_and_their_range(tmp_path):
    curve = [(k, 1.0 if k % 2 else 3.0) for k in range(50_000)]
    pixels = drawn(tmp_path, {"loss": curve})
    x, y = where(pixels, _COLOURS[0])
    assert np.abs(y - 0.5).max() < 0.02
    assert len(np.unique(x)) > 690
    _, band = where(pixels, _BANDS[0])
    assert band.min() == pytest.approx(0.05 / 1.1, abs=0.01)
    assert band.max() == pytest.approx(1.05 / 1.1, abs=0.01)


@given(st.floats(-1e29, 1e29), st.floats(1e-9, 1e29))
def test_ticks_are_few_round_and_within_the_range(low, span):
    high = low + max(span, 1e-8 * abs(low))
    ticks = _ticks(low, high)
    values = np.array(list(ticks))
    slack = 1e-6 * (high - low)
    assert 3 <= len(ticks) <= 9
    assert values.min() >= low - slack
    assert values.max() <= high + slack
    step = np.diff(values).mean()
    digits = float(f"{step:.6e}".partition("e")[0])
    assert digits == pytest.approx(round(digits), abs=1e-3) or step < 1e-6 * abs(low)
    assert round(digits) in (1, 2, 5, 10) or step < 1e-6 * abs(low)


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0, 1, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0, 20_000, ["0", "5,000", "10,000", "15,000", "20,000"]),
        (0, 6e6, ["0", "1e+06", "2e+06", "3e+06", "4e+06", "5e+06", "6e+06"]),
        (-0.031, 0.01, ["-0.03", "-0.02", "-0.01", "0.00", "0.01"]),
    ],
)
def test_ticks_are_written_plainly(low, high, texts):
    assert list(_ticks(low, high).values()) == texts


@pytest.mark.parametrize(
    "curves",
    [
        {"one point": [(3, 4.0)]},
        {"flat": [(0, 0.0), (1, 0.0)]},
        {"huge": [(0, -1e29), (1, 1e29)], "tiny": [(0, 1e-300)], "empty": []},
        {"a\nb" * 30: [(0, 1.0)], "画": [(1, 2.0)]} | {f"curve {k}": [(k, k)] for k in range(20)},
        {"numpy": np.array([[0, 1.0], [1, 2.0]])},
    ],
)
def test_odd_curves_are_drawn(tmp_path, curves):
    pixels = drawn(tmp_path, curves, xlabel="epoch")
    assert pixels.shape == (420, 800, 3)
    assert len(where(pixels, _COLOURS[0])[0]) > 0


@pytest.mark.parametrize("curves", [{}, {"a": []}, {"a": [(0, np.nan)], "b": [(np.nan, 0)]}])
def test_nothing_to_draw_is_refused(tmp_path, curves):
    with pytest.raises(ArgumentError, match="line_plot: curves: expected a curve with a finite point"):
        loss_plot(tmp_path / "a.png", curves)
    assert not list(tmp_path.iterdir())
