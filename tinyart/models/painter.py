"""A painter that learns where to put its strokes (DDPG; Lillicrap et al. 2016, for painting Huang, Heng & Zhou 2019).

    state    the canvas minus the picture, (S, S), and the share of strokes that are used up
    action   x, y, radius and grey of a soft disc, four numbers in [0, 1]
    reward   by how much the stroke lowers Σ (canvas - picture)², of what it was on the empty canvas

The actor μ maps states to actions, the critic Q judges pairs of both; `reinforcement` has the equations. N canvases are
painted side by side.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinyart import nn, ops
from tinyart.errors import ShapeError
from tinyart.graph import grad, no_grad
from tinyart.models.reinforcement import ddpg_target, follow
from tinyart.optim import Adam
from tinyart.random import Generator
from tinyart.tensor import Tensor

Array = np.ndarray[Any, Any]

RADII = (0.06, 0.34)  # of a disc, in parts of the side
EDGE = 0.35  # of a disc, in pixels: from 73 % to 27 % cover


def strokes(canvas: Array, actions: Array) -> Array:
    """Each canvas with a disc on it, c (1 - m) + grey m, m = 1/(1 + e^((d - r)/edge)): (N, S, S), (N, 4) -> (N, S, S)

    d is a pixel's distance from (x, y); x to the right, y down, from edge to edge; r from 6 to 34 % of the side.
    """
    side = canvas.shape[1]
    ticks = np.arange(side) + 0.5
    x, y, radius, grey = (actions[:, k, None, None] for k in range(4))  # (N, 1, 1) each
    distance = np.sqrt((ticks[None, None, :] - x * side) ** 2 + (ticks[None, :, None] - y * side) ** 2)
    edge = np.clip((distance - (RADII[0] + (RADII[1] - RADII[0]) * radius) * side) / EDGE, -30, 30)
    cover = 1 / (1 + np.exp(edge))
    painted: Array = (canvas * (1 - cover) + grey * cover).astype(canvas.dtype)
    return painted


class Painter:
    """DDPG for one picture, float (S, S) in [0, 1], on canvases that begin white, with `count` strokes each."""

    def __init__(self, picture: Array, *, count: int = 10, width: int = 96, gamma: float = 0.8, tau: float = 0.02,
                 canvases: int = 16, memory: int = 20_000, seed: int = 0) -> None:
        if picture.ndim != 2 or picture.shape[0] != picture.shape[1]:
            raise ShapeError("Painter", "picture", "(S, S)", f"{picture.shape}")
        self.picture, self.count, self.gamma, self.tau = picture.astype(np.float32), count, gamma, tau
        self.random, size = Generator(seed), picture.size + 1
        self.actor, self.slow_actor = self._network(size, 4, width), self._network(size, 4, width)
        self.critic, self.slow_critic = self._network(size + 4, 1, width), self._network(size + 4, 1, width)
        follow(self.slow_actor, self.actor, 1.0)
        follow(self.slow_critic, self.critic, 1.0)
        self.actor_optimizer = Adam(self.actor.parameters(), lr=3e-4)
        self.critic_optimizer = Adam(self.critic.parameters(), lr=1e-3)
        self.canvas, self.used = np.ones((canvases, *picture.shape), np.float32), 0
        self.empty = float(((1 - self.picture) ** 2).sum())
        self.memory: list[Array] = [np.empty((memory, n), np.float32) for n in (size, 4, 1, size, 1)]
        self.seen = 0

    def _network(self, inputs: int, outputs: int, width: int) -> nn.Sequential:
        return nn.Sequential(nn.Dense(inputs, width, generator=self.random), nn.ReLU(),
                             nn.Dense(width, width, generator=self.random), nn.ReLU(),
                             nn.Dense(width, outputs, generator=self.random))

    def states(self, canvas: Array, used: int) -> Array:
        """(N, S, S) -> (N, S·S + 1)"""
        share = np.full((len(canvas), 1), used / self.count, np.float32)
        return np.concatenate([(canvas - self.picture).reshape(len(canvas), -1), share], axis=1)

    @no_grad()
    def act(self, states: Array) -> Array:
        """μ(s), (N, 4) in [0, 1]"""
        return ops.sigmoid(self.actor(Tensor(states))).numpy()

    def error(self, canvas: Array) -> Array:
        """Σ (canvas - picture)², of that of an empty canvas: (N, S, S) -> (N,)"""
        error: Array = ((canvas - self.picture) ** 2).sum((1, 2)) / self.empty
        return error

    def explore(self, noise: float, share: float) -> None:
        """A stroke on every canvas, by μ plus normal noise or, for a `share` of them, at random; it is remembered."""
        n = len(self.canvas)
        states = self.states(self.canvas, self.used)
        actions = np.clip(self.act(states) + noise * self.random.normal((n, 4)).numpy(), 0, 1)
        drawn = self.random.bernoulli(share, (n, 1)).numpy()
        actions = np.where(drawn, self.random.uniform((n, 4)).numpy(), actions).astype(np.float32)
        after, self.used = strokes(self.canvas, actions), self.used + 1
        reward, ended = self.error(self.canvas) - self.error(after), self.used == self.count
        rows = (self.seen + np.arange(n)) % len(self.memory[0])
        for store, values in zip(self.memory, (states, actions, reward[:, None], self.states(after, self.used),
                                               np.full((n, 1), ended)), strict=True):
            store[rows] = values
        self.canvas, self.seen = after, self.seen + n
        if ended:
            self.canvas, self.used = np.ones_like(self.canvas), 0

    def learn(self, batch: int = 64) -> tuple[float, float]:
        """One update of critic and actor from what is remembered: the critic's squared error, and Q(s, μ(s))."""
        rows = self.random.randint(0, min(self.seen, len(self.memory[0])), batch).numpy()
        state, action, reward, after, ended = (Tensor(store[rows]) for store in self.memory)
        with no_grad():
            q_after = self.slow_critic(ops.concatenate([after, ops.sigmoid(self.slow_actor(after))], axis=1))
        y = ddpg_target(reward, ended, q_after, self.gamma)  # (N, 1)
        q_loss = ops.mse_loss(self.critic(ops.concatenate([state, action], axis=1)), y)
        self.critic_optimizer.step(grad(q_loss, self.critic.parameters()))
        value = self.critic(ops.concatenate([state, ops.sigmoid(self.actor(state))], axis=1)).mean()
        self.actor_optimizer.step(grad(-value, self.actor.parameters()))  # none of the critic's
        follow(self.slow_critic, self.critic, self.tau)
        follow(self.slow_actor, self.actor, self.tau)
        return q_loss.item(), value.item()

    def paint(self, choose: Callable[[Array, int], Array] | None = None, canvases: int = 1) -> list[Array]:
        """The canvases before the first stroke and after each, of μ or of choose(canvas, used): (N, S, S) each"""
        canvas = np.ones((canvases, *self.picture.shape), np.float32)
        made = [canvas]
        for used in range(self.count):
            actions = self.act(self.states(canvas, used)) if choose is None else choose(canvas, used)
            canvas = strokes(canvas, actions)
            made.append(canvas)
        return made


def random_choice(random: Generator) -> Callable[[Array, int], Array]:
    """Strokes drawn uniformly: what every painter must beat."""
    return lambda canvas, used: random.uniform((len(canvas), 4)).numpy()


def greedy_choice(painter: Painter, random: Generator, tries: int = 100) -> Callable[[Array, int], Array]:
    """Of `tries` random strokes the one after which the canvas is nearest to the picture. It looks; μ does not."""

    def choose(canvas: Array, used: int) -> Array:
        best = []
        for one in canvas:
            actions = random.uniform((tries, 4)).numpy()
            best.append(actions[painter.error(strokes(one[None].repeat(tries, 0), actions)).argmin()])
        return np.stack(best)

    return choose
