"""Reinforcement learning, an equation a test, and the published figures of cliff walking."""

import numpy as np
import pytest

from tinyart import grad, nn, tensor
from tinyart.errors import ArgumentError
from tinyart.models.reinforcement import (
    CliffWalk,
    PaintingGrid,
    actor_critic_loss,
    best_return,
    ddpg_target,
    discounted,
    follow,
    learn,
    q_target,
    sarsa_target,
    walk_greedily,
)
from tinyart.random import Generator
from tinyart.testing import check_grad

AFTER = np.array([0.5, 2.0, -1.0])


def test_q_target_takes_the_best_action_and_sarsa_target_the_next_one() -> None:
    assert q_target(1.0, False, AFTER, 0.9) == pytest.approx(1 + 0.9 * 2)
    assert sarsa_target(1.0, False, AFTER, 2, 0.9) == pytest.approx(1 - 0.9)
    assert q_target(1.0, True, AFTER, 0.9) == sarsa_target(1.0, True, AFTER, 2, 0.9) == 1.0


def test_cliff_walk_is_sutton_and_bartos() -> None:
    world = CliffWalk()
    assert world.step(36, 1) == (36, -100.0, False)  # right, into the cliff: back to the start
    assert world.step(36, 0) == (24, -1.0, False)
    assert world.step(36, 3) == (36, -1.0, False)  # a wall
    assert world.step(36, 2) == (36, -1.0, False)
    assert world.step(35, 2) == (47, -1.0, True)
    assert world.step(46 - 12, 2) == (36, -100.0, False)
    assert world.step(11, 1) == (11, -1.0, False)
    assert best_return(world) == -13


def test_cliff_walking_reaches_the_published_returns() -> None:
    """Online returns about -50 for Q-learning and -25 for Sarsa, the greedy path of Q-learning -13 (TARGETS)."""
    world = CliffWalk()
    runs = {rule: [learn(world, rule, episodes=500, seed=seed) for seed in range(5)] for rule in ("q", "sarsa")}
    online = {rule: np.mean([found.returns[100:].mean() for found in some]) for rule, some in runs.items()}
    assert -60 < online["q"] < -38
    assert -35 < online["sarsa"] < -19
    for found in runs["q"]:
        assert walk_greedily(world, lambda s, Q=found.Q: int(Q[s].argmax()))[1] == -13
    states, total = walk_greedily(world, lambda s: int(runs["sarsa"][0].Q[s].argmax()))
    assert total <= -13
    assert len(states) == 1 - total


def test_painting_grid_counts_what_is_painted() -> None:
    world = PaintingGrid(np.array([[0, 1, 0], [0, 0, 1]]))
    assert (world.states, world.start) == (24, 0)
    assert world.step(0, 4) == (0, -1.0, False)  # a dot where no ink belongs
    assert world.step(0, 1) == (1, -0.1, False)
    assert world.step(1, 4) == (1 + 6, 1.0, False)
    assert world.step(1 + 6, 4) == (1 + 6, -1.0, False)  # twice
    assert world.step(5 + 6, 4) == (5 + 18, 1.0, True)
    assert world.step(2 + 12, 1) == (2 + 12, -0.1, False)  # a wall
    assert best_return(world) == pytest.approx(2 - 3 * 0.1)


def test_q_learning_paints_as_well_as_can_be() -> None:
    world = PaintingGrid(np.array([[1, 0, 1], [0, 1, 0], [1, 0, 0]]))
    found = learn(world, "q", episodes=1500, alpha=1.0, epsilon=0.3, steps=200)
    total = walk_greedily(world, lambda s: int(found.Q[s].argmax()))[1]
    assert total == pytest.approx(best_return(world))


def test_discounted_begins_anew_after_an_end() -> None:
    rewards, ended = np.array([[1.0, 1.0], [2.0, 2.0], [4.0, 4.0]]), np.array([[0, 0], [1, 0], [0, 0]], bool)
    returns = discounted(rewards, ended, np.array([8.0, 16.0]), 0.5)
    assert np.array_equal(returns, [[2.0, 1 + 0.5 * (2 + 0.5 * 12)], [2.0, 8.0], [8.0, 12.0]])


RNG = np.random.default_rng(0)
LOGITS, VALUES, RETURNS, ACTIONS = RNG.normal(size=(6, 3)), RNG.normal(size=6), RNG.normal(size=6), np.arange(6) % 3


def test_actor_critic_loss_is_its_formula() -> None:
    pi = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
    advantage = RETURNS - VALUES
    expected = (0.5 * advantage**2 - np.log(pi[np.arange(6), ACTIONS]) * advantage
                + 0.1 * (pi * np.log(pi)).sum(1)).mean()
    loss = actor_critic_loss(tensor(LOGITS), tensor(VALUES), ACTIONS, tensor(RETURNS), entropy=0.1)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_the_policy_does_not_move_the_value_by_its_term() -> None:
    """The gradient by V is that of ½ (R - V)² alone."""
    values = tensor(VALUES, requires_grad=True)
    slope = grad(actor_critic_loss(tensor(LOGITS), values, ACTIONS, tensor(RETURNS)), values).numpy()
    assert np.allclose(slope, (VALUES - RETURNS) / 6, rtol=1e-12)
    check_grad(lambda logits: actor_critic_loss(logits, tensor(VALUES), ACTIONS, tensor(RETURNS)), LOGITS)


def test_ddpg_target_is_its_formula_and_a_constant() -> None:
    q_after = tensor(np.array([[2.0], [3.0]]), requires_grad=True)
    y = ddpg_target(tensor(np.array([[1.0], [1.0]])), tensor(np.array([[0.0], [1.0]])), q_after, 0.5)
    assert y.numpy().tolist() == [[2.0], [1.0]]
    assert not y.requires_grad


def test_follow_moves_a_share_of_the_way() -> None:
    slow, fast = nn.Dense(2, 3, generator=Generator(0)), nn.Dense(2, 3, generator=Generator(1))
    before = [p.numpy().copy() for p in slow.parameters()]
    follow(slow, fast, 0.25)
    for old, p, new in zip(before, slow.parameters(), fast.parameters(), strict=True):
        assert np.allclose(p.numpy(), 0.75 * old + 0.25 * new.numpy())
        assert p.requires_grad


def test_errors() -> None:
    with pytest.raises(ArgumentError, match="learn: rule: expected q or sarsa, got 'r'"):
        learn(CliffWalk(), "r", episodes=1)
    with pytest.raises(ArgumentError, match=r"PaintingGrid: picture: expected \(H, W\) with 1 to 12 cells of ink"):
        PaintingGrid(np.ones((4, 4)))
