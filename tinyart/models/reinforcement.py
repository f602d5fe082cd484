"""Reinforcement learning, document 0: Q-learning, actor-critic (A3C's update) and DDPG, an equation a function.

    Q(s, a) ← Q(s, a) + α (y - Q(s, a)),  y = r + γ max_b Q(s', b)      `q_target`; Watkins 1989
                                          y = r + γ Q(s', a')           `sarsa_target`, a' what is done next
    R_t = r_t + γ R_{t+1}                                               `discounted`
    L = -log π(a|s) (R - V(s)) + ½ (R - V(s))² - β H(π)                 `actor_critic_loss`; Mnih et al. 2016
    y = r + γ Q'(s', μ'(s')),  L = (Q(s, a) - y)²,  L_μ = -Q(s, μ(s))   `ddpg_target`; Lillicrap et al. 2016
    θ' ← (1 - τ) θ' + τ θ                                               `follow`

The document says that an RL system has a policy network and a value network. Q-learning has only a value, of which it
takes the best action; the other two have both. A world here is deterministic: numbers of states and actions, where it
starts, and what a step does.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from tinyart import ops
from tinyart.errors import ArgumentError
from tinyart.graph import no_grad
from tinyart.nn import Module
from tinyart.tensor import Tensor

Array = np.ndarray[Any, Any]


class World(Protocol):
    """States and actions are numbers from 0; `step` gives the next state, the reward, and whether that was the end."""

    states: int
    actions: int
    start: int

    def step(self, state: int, action: int) -> tuple[int, float, bool]: ...


class CliffWalk:
    """Sutton & Barto, example 6.6: 4 rows of 12; from the lower left corner to the lower right one, -1 a step.

    Between them is the cliff: a step into it costs 100 and leads back to the start. Actions: up, right, down, left.
    """

    states, actions, start = 48, 4, 36

    def step(self, state: int, action: int) -> tuple[int, float, bool]:
        """A step against a wall stays where it is."""
        row, column = divmod(state, 12)
        down, right = ((-1, 0), (0, 1), (1, 0), (0, -1))[action]
        row, column = min(max(row + down, 0), 3), min(max(column + right, 0), 11)
        if row == 3 and 0 < column < 11:
            return self.start, -100.0, False
        return 12 * row + column, -1.0, (row, column) == (3, 11)


class PaintingGrid:
    """A pen over a grid, and a picture to paint: bool (H, W), with K cells of ink, K ≤ 12.

    Actions: up, right, down, left, -0.1 each, and a dot: +1 on a cell of the picture not yet painted, else `wrong`.
    It ends when all are. A state is the pen's place and the set of painted cells: H·W·2ᴷ of them; the pen starts at 0.
    """

    actions, start = 5, 0

    def __init__(self, picture: Array, *, wrong: float = -1.0) -> None:
        self.picture, self.wrong = np.asarray(picture, bool), wrong
        self.cells = {int(place): k for k, place in enumerate(np.flatnonzero(self.picture))}
        if self.picture.ndim != 2 or not 1 <= len(self.cells) <= 12:
            raise ArgumentError("PaintingGrid", "picture", "(H, W) with 1 to 12 cells of ink",
                                f"{self.picture.shape} with {len(self.cells)}")
        self.states = self.picture.size << len(self.cells)

    def step(self, state: int, action: int) -> tuple[int, float, bool]:
        """The state is place + H·W · Σ 2ᵏ over painted cells k."""
        painted, place = divmod(state, self.picture.size)
        if action == 4:
            cell = self.cells.get(place)
            if cell is None or painted >> cell & 1:
                return state, self.wrong, False
            painted |= 1 << cell
            return painted * self.picture.size + place, 1.0, painted == (1 << len(self.cells)) - 1
        height, width = self.picture.shape
        row, column = divmod(place, width)
        down, right = ((-1, 0), (0, 1), (1, 0), (0, -1))[action]
        row, column = min(max(row + down, 0), height - 1), min(max(column + right, 0), width - 1)
        return painted * self.picture.size + row * width + column, -0.1, False


# ---- tables


def q_target(reward: float, ended: bool, after: Array, gamma: float) -> float:
    """r + γ max_b Q(s', b), or r at the end: after = Q(s', ·), (A,). What is learnt is the best policy's value."""
    return reward if ended else reward + gamma * float(after.max())


def sarsa_target(reward: float, ended: bool, after: Array, action: int, gamma: float) -> float:
    """r + γ Q(s', a') with the a' that is really done: the value of the policy that explores."""
    return reward if ended else reward + gamma * float(after[action])


class Learnt(NamedTuple):
    """Q (S, A), and the sum of rewards of each episode."""

    Q: Array
    returns: Array


def learn(world: World, rule: str, *, episodes: int, alpha: float = 0.5, gamma: float = 1.0, epsilon: float = 0.1,
          steps: int = 10_000, seed: int = 0) -> Learnt:
    """A table by `rule`, "q" or "sarsa". With probability ε an action is drawn, else it is the best known.

    steps: after which an episode is broken off. Ties are decided by the generator: a table of zeros has many.
    """
    if rule not in ("q", "sarsa"):
        raise ArgumentError("learn", "rule", "q or sarsa", repr(rule))
    rng = np.random.default_rng(seed)
    Q, returns = np.zeros((world.states, world.actions)), []

    def choose(state: int) -> int:
        if rng.random() < epsilon:
            return int(rng.integers(world.actions))
        best = np.flatnonzero(Q[state] == Q[state].max())
        return int(best[rng.integers(len(best))] if len(best) > 1 else best[0])

    for _ in range(episodes):
        state, total, ended = world.start, 0.0, False
        action = choose(state)
        for _ in range(steps):
            after, reward, ended = world.step(state, action)
            following = choose(after)
            target = (q_target(reward, ended, Q[after], gamma) if rule == "q"
                      else sarsa_target(reward, ended, Q[after], following, gamma))
            Q[state, action] += alpha * (target - Q[state, action])
            state, action, total = after, following, total + reward
            if ended:
                break
        returns.append(total)
    return Learnt(Q, np.array(returns))


def walk_greedily(world: World, policy: Callable[[int], int], steps: int = 1000) -> tuple[list[int], float]:
    """The states that a policy goes through from the start, and the sum of its rewards."""
    states, total = [world.start], 0.0
    for _ in range(steps):
        after, reward, ended = world.step(states[-1], policy(states[-1]))
        states.append(after)
        total += reward
        if ended:
            break
    return states, total


def best_return(world: World, sweeps: int = 1000) -> float:
    """The largest sum of rewards from the start, by value iteration without discount (Bellman 1957)."""
    steps = [[world.step(s, a) for a in range(world.actions)] for s in range(world.states)]
    after, reward, ended = (np.array([[step[k] for step in row] for row in steps]) for k in range(3))  # (S, A) each
    values = np.full(world.states, -1e9)
    for _ in range(sweeps):
        better = (reward + np.where(ended, 0.0, values[after])).max(1)
        if np.array_equal(better, values):
            break
        values = better
    return float(values[world.start])


# ---- networks


def discounted(rewards: Array, ended: Array, last: Array, gamma: float) -> Array:
    """R_t = r_t + γ R_{t+1}, begun anew after an end; R_T = last, the value where it broke off: (T, N), (T, N), (N,)"""
    returns, following = np.empty_like(rewards), last
    for t in range(len(rewards) - 1, -1, -1):
        following = rewards[t] + gamma * np.where(ended[t], 0, following)
        returns[t] = following
    return returns


def actor_critic_loss(logits: Tensor, values: Tensor, actions: Array, returns: Tensor, *,
                      entropy: float = 0.01) -> Tensor:
    """-log π(a|s) (R - V) + ½ (R - V)² - β H(π), the mean: (N, A), (N,), (N,), (N,) -> (); β = `entropy`

    In the first term R - V is a constant: how good the action was does not depend on how likely it was.
    """
    log_pi = ops.log_softmax(logits, axis=1)  # (N, A)
    done = ops.gather(log_pi, np.asarray(actions)[:, None], axis=1).reshape((-1,))  # (N,)
    advantage = returns - values
    certainty = (log_pi.exp() * log_pi).sum(1)  # -H
    return (advantage**2 * 0.5 - done * advantage.detach() + certainty * entropy).mean()


def ddpg_target(reward: Tensor, ended: Tensor, q_after: Tensor, gamma: float) -> Tensor:
    """y = r + γ Q'(s', μ'(s')), r at the end: (N,) each, `ended` 0 or 1; a constant"""
    return (reward + (1.0 - ended) * q_after * gamma).detach()


@no_grad()
def follow(target: Module, source: Module, tau: float) -> None:
    """θ' ← (1 - τ) θ' + τ θ for all parameters: the target moves slowly, or y would run after itself."""
    for slow, fast in zip(target.parameters(), source.parameters(), strict=True):
        slow[...] = slow * (1 - tau) + fast * tau
