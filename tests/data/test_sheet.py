"""Sheets pixel by pixel, files that appear whole or not at all, animations frame by frame."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from tinyart.data import save_animation, save_image, sheet, to_uint8
from tinyart.errors import ArgumentError, ShapeError


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


@given(
    n=st.integers(1, 7), height=st.integers(1, 4), width=st.integers(1, 4), channels=st.sampled_from([1, 3, 4]),
    columns=st.none() | st.integers(1, 9), scale=st.integers(1, 3), gap=st.integers(0, 2),
)  # fmt: skip
def test_every_pixel_of_a_sheet_is_in_its_place(n, height, width, channels, columns, scale, gap):
    images = noise(n, height, width, channels)
    canvas = sheet(images, columns=columns, scale=scale, gap=gap)
    across = columns or next(k for k in range(1, 9) if k * k >= n)
    down = next(k for k in range(1, 9) if k * across >= n)
    assert canvas.shape == (gap + down * (height * scale + gap), gap + across * (width * scale + gap), channels)
    expected = np.full_like(canvas, 255)
    for k in range(n):
        for y in range(height * scale):
            for x in range(width * scale):
                row = gap + (k // across) * (height * scale + gap) + y
                column = gap + (k % across) * (width * scale + gap) + x
                expected[row, column] = images[k, y // scale, x // scale]
    assert np.array_equal(canvas, expected)


def test_floats_are_scaled_rounded_and_clipped():
    values = np.array([-1, 0, 0.5 / 255 - 1e-4, 0.5 / 255 + 1e-4, 0.5, 1, 7], np.float32)
    for dtype in (np.float16, np.float32, np.float64):
        assert to_uint8(values.astype(dtype)[[0, 1, 4, 5, 6]]).tolist() == [0, 0, 128, 255, 255]
    assert to_uint8(values).tolist() == [0, 0, 0, 1, 128, 255, 255]
    assert to_uint8(np.arange(256) / 255).tolist() == list(range(256))


@pytest.mark.parametrize(
    ("images", "got"),
    [
        (np.zeros((1, 2, 2, 1), np.int64), "int64"),
        (np.zeros((1, 2, 2, 1), bool), "bool"),
        (np.full((1, 2, 2, 1), np.nan), "NaN or infinite"),
        (np.full((1, 2, 2, 1), np.inf), "NaN or infinite"),
    ],
)
def test_other_values_are_refused(images, got):
    with pytest.raises(ArgumentError, match=rf"sheet: images: expected uint8, or finite floats in \[0, 1\], got {got}"):
        sheet(images)


@pytest.mark.parametrize("shape", [(0, 2, 2, 1), (2, 0, 2, 1), (2, 2, 2), (2, 2, 2, 2), (2, 2, 2, 3, 1)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ShapeError, match=r"sheet: images: expected \(N, H, W, C\) with C 1, 3 or 4"):
        sheet(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("settings", [{"columns": 0}, {"scale": 0}, {"gap": -1}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ArgumentError, match="columns, scale, gap: expected at least 1, 1 and 0"):
        sheet(noise(1, 2, 2, 1), **settings)


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 1), (5, 4, 3), (5, 4, 4)])
def test_images_are_written_without_loss(tmp_path, shape):
    pixels = noise(*shape)
    save_image(tmp_path / "a.png", pixels)
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image), pixels.reshape(shape[:2]) if shape[2:] == (1,) else pixels)
    save_image(tmp_path / "a.png", pixels / 255)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")).ravel(), pixels.ravel())
    assert os.listdir(tmp_path) == ["a.png"]


@pytest.mark.parametrize("shape", [(4,), (2, 2, 2), (1, 2, 2, 3), (0, 3)])
def test_what_is_no_image_is_not_written(tmp_path, shape):
    with pytest.raises(ShapeError, match=r"save_image: image: expected \(H, W\) or \(H, W, C\)"):
        save_image(tmp_path / "a.png", np.zeros(shape, np.uint8))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch, failing):
    save_image(tmp_path / "a.png", noise(3, 3))

    def full(*_):
        raise OSError(28, "No space left on device")

    old = (tmp_path / "a.png").read_bytes()
    monkeypatch.setattr(os, failing, full)
    for write in (
        lambda: save_image(tmp_path / "a.png", noise(9, 9)),
        lambda: save_animation(tmp_path / "b.gif", noise(2, 4, 4, 3)),
    ):
        with pytest.raises(OSError, match="No space left"):
            write()
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == old


def test_a_file_has_the_rights_of_any_other(tmp_path):
    save_image(tmp_path / "a.png", noise(3, 3))
    (tmp_path / "b").write_text("")
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.parametrize(
    ("name", "kind"), [("a.gif", "GIF"), ("a.webp", "WEBP"), ("a.png", "PNG"), ("a.apng", "PNG"), ("A.GIF", "GIF")]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_animations_hold_their_frames_and_their_pace(tmp_path, name, kind, channels):
    frames = np.full((5, 8, 6, channels), 20, np.uint8)
    for k in range(5):
        frames[k, k, k] = 250
    save_animation(tmp_path / name, frames / 255, fps=20)
    with Image.open(tmp_path / name) as image:
        assert (image.format, image.n_frames, image.info.get("loop")) == (kind, 5, 0)
        read = [(np.asarray(frame.convert("RGB")), frame.info["duration"]) for frame in ImageSequence.Iterator(image)]
    for (pixels, duration), frame in zip(read, frames, strict=True):
        assert np.array_equal(pixels, np.broadcast_to(frame, (8, 6, 3)))
        assert duration == 50


def test_a_gif_of_many_colours_stays_close(tmp_path):
    ramp = np.linspace(0, 1, 32)
    frame = np.stack(np.broadcast_arrays(ramp[:, None], ramp, 0.5), axis=-1)  # (32, 32, 3)
    save_animation(tmp_path / "a.gif", frame[None])
    read = np.asarray(Image.open(tmp_path / "a.gif").convert("RGB"))
    assert np.abs(read / 255 - frame).mean() < 0.03


def test_wrong_animations_are_refused(tmp_path):
    frames = noise(2, 4, 4, 3)
    with pytest.raises(ArgumentError, match=r"path: expected an ending \.gif, \.webp, \.png, \.apng, got '.*a\.mp4'"):
        save_animation(tmp_path / "a.mp4", frames)
    for fps in (0, -1, 51, float("nan")):
        with pytest.raises(ArgumentError, match="fps: expected 0 < fps <= 50"):
            save_animation(tmp_path / "a.gif", frames, fps=fps)
    with pytest.raises(ShapeError, match="at least one frame"):
        save_animation(tmp_path / "a.gif", frames[:0])
    with pytest.raises(ShapeError, match="save_animation: image"):
        save_animation(tmp_path / "a.gif", noise(2, 4, 4, 2))
    assert os.listdir(tmp_path) == []
