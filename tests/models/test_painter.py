"""Strokes, and the painter that learns them."""

import numpy as np
import pytest

from tinyart.errors import ShapeError
from tinyart.models.painter import Painter, greedy_choice, random_choice, strokes
from tinyart.random import Generator

PICTURE = np.ones((10, 10), np.float32)
PICTURE[3:8, 1:6] = 0.1


def test_a_stroke_is_a_disc_at_its_place() -> None:
    canvas = np.ones((2, 20, 20), np.float32)
    painted = strokes(canvas, np.array([[0.25, 0.75, 0.5, 0.2], [0.5, 0.5, 0.0, 0.0]], np.float32))
    assert painted.dtype == np.float32
    assert painted[0, 14, 4] == pytest.approx(0.2, abs=1e-4)  # y down, x to the right
    assert painted[0, 4, 14] == 1
    dark = (painted < 0.6).sum((1, 2))
    assert abs(dark[0] - np.pi * (0.2 * 20) ** 2) < 12
    assert dark[1] < 8
    assert np.array_equal(canvas, np.ones_like(canvas))


def test_rewards_add_up_to_what_was_won() -> None:
    painter = Painter(PICTURE, count=3, canvases=4, width=8, memory=100)
    for _ in range(3):
        painter.explore(0.3, 0.5)
    state, _, reward, after, ended = (store[:12].reshape(3, 4, -1) for store in painter.memory)
    assert np.array_equal(after[:2], state[1:])
    assert ended[:, 0, 0].tolist() == [0, 0, 1]
    left = (after[2, :, :-1] ** 2).sum(1) / painter.empty
    assert np.allclose(reward.sum((0, 2)), 1 - left, atol=1e-6)
    assert painter.used == 0
    assert (painter.canvas == 1).all()


def test_memory_forgets_the_oldest() -> None:
    painter = Painter(PICTURE, count=2, canvases=4, width=8, memory=6)
    for _ in range(4):
        painter.explore(0.1, 1.0)
    assert painter.seen == 16
    assert np.isfinite(painter.memory[0]).all()
    painter.learn(8)


def test_it_learns_to_paint_better_than_chance() -> None:
    picture = np.ones((8, 8), np.float32)
    picture[2:7, 1:6] = 0.1
    painter = Painter(picture, count=2, canvases=8, width=32, seed=1)
    for _ in range(60):
        painter.explore(0.0, 1.0)
    for _ in range(450):
        painter.explore(0.15, 0.3)
        painter.learn(32)
    own = float(painter.error(painter.paint()[-1])[0])
    chance = float(painter.error(painter.paint(random_choice(Generator(5)), 50)[-1]).mean())
    greedy = float(painter.error(painter.paint(greedy_choice(painter, Generator(6), 50), 3)[-1]).mean())
    assert own < 0.5 * chance
    assert greedy < 0.5 * chance
    assert [c.shape for c in painter.paint()] == [(1, 8, 8)] * 3


def test_learning_moves_actor_and_critic_and_their_slow_copies_by_tau() -> None:
    painter = Painter(PICTURE, canvases=4, width=8, tau=0.1)
    painter.explore(0.1, 1.0)
    parts = painter.actor, painter.critic, painter.slow_actor, painter.slow_critic
    before = [[p.numpy().copy() for p in part.parameters()] for part in parts]
    painter.learn(4)
    for fast, slow, old in ((parts[0], parts[2], before[2]), (parts[1], parts[3], before[3])):
        for p, q, o in zip(fast.parameters(), slow.parameters(), old, strict=True):
            assert np.abs(p.numpy() - o).max() > 0
            assert np.allclose(q.numpy(), 0.9 * o + 0.1 * p.numpy(), atol=1e-7)


def test_a_picture_is_square() -> None:
    with pytest.raises(ShapeError, match=r"Painter: picture: expected \(S, S\), got \(3, 4\)"):
        Painter(np.ones((3, 4)))
