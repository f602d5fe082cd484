# %% [markdown]
# # 16 Reinforcement learning: a pen, a policy, a painter
#
# Shows: the three methods that document 0 names. Q-learning on the cliff of Sutton and Barto, with their figures, and
# on a grid where a pen has to find out how to paint; an actor-critic, A3C's update, on the same grid; and DDPG, which
# places strokes to match a picture.
#
# Time: 30 s
#
# Numbers to expect: on the cliff -50 an episode for Q-learning and -25 for Sarsa while they learn, and -13 for the path
# that Q-learning has learnt; on the grid the best possible return, by table and by network; a painter whose ten strokes
# leave less than half the error of random ones, and more than a search that tries 100 strokes each time.
#
# There is no teacher here. An agent in state s does a, gets a reward r, and finds itself in s'. What it should have
# done nobody says. The return is what counts, the sum of all rewards to come:
#
#     R_t = r_t + γ r_{t+1} + γ² r_{t+2} + ..

# %%
import numpy as np

import tinyart as ta
from tinyart import nn
from tinyart.data import art, heatmap, line_plot, panels
from tinyart.lesson import expect, picture, show_source, size
from tinyart.models.painter import Painter, greedy_choice, random_choice
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
from tinyart.optim import Adam, clip_grad_norm
from tinyart.random import Generator

# %% [markdown]
# ## Q-learning
#
# Q(s, a) is the return if one does a in s, and the best from there on. Each step of experience corrects it a little:
#
#     Q(s, a) ← Q(s, a) + α (r + γ max_b Q(s', b) - Q(s, a))
#
# That is all: no model of the world, and no policy network, whatever document 0 says. The policy is to take the action
# with the largest Q, and in a tenth of all cases (ε) any, since what is never tried is never known. Sarsa, its sister,
# puts the action a' that is really done next in the place of the best one:
#
#     Q(s, a) ← Q(s, a) + α (r + γ Q(s', a') - Q(s, a))

# %%
show_source(q_target, sarsa_target)
world, episodes, runs = CliffWalk(), 500, size(4, 20)
found = {rule: [learn(world, rule, episodes=episodes, seed=seed) for seed in range(runs)] for rule in ("q", "sarsa")}
online = {rule: float(np.mean([run.returns[250:].mean() for run in some])) for rule, some in found.items()}
expect("online return after 250 episodes, Q-learning", online["q"], -50, size(15, 6))
expect("online return after 250 episodes, Sarsa", online["sarsa"], -25, size(10, 5))
Q = found["q"][0].Q
states, total = walk_greedily(world, lambda s: int(Q[s].argmax()))
expect("return of the greedy path, Q-learning", total, -13)
safe, _ = walk_greedily(world, lambda s: int(found["sarsa"][0].Q[s].argmax()))


def track(states):
    """-1 the cliff, 1 the path: (4, 12)"""
    grid = np.zeros(48)
    grid[states] = 1
    grid[37:47] = -1
    return heatmap(grid.reshape(4, 12), scale=20)


picture("cliff", panels([track(states), track(safe)], ["Q-learning walks along the cliff", "Sarsa keeps away from it"]))
mean = {rule: np.mean([run.returns for run in some], 0) for rule, some in found.items()}
picture("returns", line_plot({name: [(i, mean[rule][i : i + 10].mean()) for i in range(0, episodes - 9, 10)]
                              for name, rule in (("Q-learning", "q"), ("Sarsa", "sarsa"))}, xlabel="episode"))

# %% [markdown]
# Q-learning knows the shortest path and falls off it whenever it explores, hence -50; Sarsa knows that it explores, and
# learns a detour. Both are right about what they were asked.
#
# ## A pen that learns to paint
#
# A grid of cells; some belong to the picture. The pen moves up, right, down, left, each for -0.1, or makes a dot: +1
# where ink belongs, -1 elsewhere or twice. It is told only the reward. A state is its place and which cells are
# painted; the best return is known from value iteration, which is allowed to look at the whole world:

# %%
heart = np.array([[0, 1, 0, 1, 0],
                  [1, 0, 1, 0, 1],
                  [1, 0, 0, 0, 1],
                  [0, 1, 0, 1, 0],
                  [0, 0, 1, 0, 0]])[:size(3, 5), :size(4, 5)]
grid = PaintingGrid(heart)
best = best_return(grid)
table = learn(grid, "q", episodes=size(1500, 6000), alpha=1.0, epsilon=0.3, steps=300)
visited, total = walk_greedily(grid, lambda s: int(table.Q[s].argmax()))
expect("states", grid.states, heart.size << int(heart.sum()))
expect("best possible return", best, least=1.0)
expect("Q-learning's return, of that", total / best, least=size(0.6, 0.95), most=1.0)


def drawn(states):
    """What is painted after each of some states: 1 ink, -1 the pen."""
    frames = []
    for state in states:
        painted, place = divmod(state, heart.size)
        cells = np.zeros(heart.size)
        cells[[cell for cell, k in grid.cells.items() if painted >> k & 1]] = 1
        cells[place] = cells[place] or -1
        frames.append(heatmap(cells.reshape(heart.shape), scale=14))
    return frames


moments = np.linspace(0, len(visited) - 1, 6).astype(int)
picture("pen", panels(drawn([visited[i] for i in moments]), [f"step {i}" for i in moments]))

# %% [markdown]
# ## A policy of its own: the actor-critic
#
# With more cells the table grows beyond every memory. A network can share what it learns between states. The actor
# π(a|s) gives a probability for each action, the critic V(s) the return to be expected. After some steps one knows the
# return R better than V did, and whether what was done was better or worse than usual:
#
#     L = -log π(a|s) (R - V(s)) + ½ (R - V(s))² - β H(π)
#
# The last term, the entropy, keeps the policy from being sure too soon. This is the update of A3C; its third A, workers
# that run asynchronously, is about hardware. Here 16 pens paint side by side. What the network sees is the ink that is
# still missing, as the pen sees it: a map in whose middle the pen is. And a wrong dot costs only -0.2: at -1 the first
# thing that an actor learns is never to make a dot, and then it never learns when to.

# %%
show_source(discounted, actor_critic_loss)
pens, random = 16, Generator(0)
grid = PaintingGrid(heart, wrong=-0.2)
(height, width), cells = heart.shape, len(grid.cells)
network = nn.Sequential(nn.Dense((2 * height - 1) * (2 * width - 1), 64, generator=random), nn.Tanh(),
                        nn.Dense(64, grid.actions + 1, generator=random))
optimizer = Adam(network.parameters(), lr=5e-3)


def seen(states):
    """The missing ink around the pen: (N,) -> (N, (2H - 1)·(2W - 1))"""
    painted, place = np.divmod(np.asarray(states), heart.size)
    missing = np.zeros((len(painted), heart.size), np.float32)
    missing[:, list(grid.cells)] = 1 - (painted[:, None] >> np.arange(cells) & 1)
    views = np.zeros((len(painted), 2 * height - 1, 2 * width - 1), np.float32)
    for view, ink, (row, column) in zip(views, missing, zip(*np.divmod(place, width), strict=True), strict=True):
        top, left = height - 1 - row, width - 1 - column
        view[top : top + height, left : left + width] = ink.reshape(height, width)
    return views.reshape(len(views), -1)


def greedy(state):
    with ta.no_grad():
        return int(network(ta.tensor(seen([state]))).numpy()[0, : grid.actions].argmax())


states, curve, totals, steps = [0] * pens, [], np.zeros(pens), np.zeros(pens, int)
rng = np.random.default_rng(0)
for update in range(size(60, 600)):
    trace = []
    for _ in range(8):
        with ta.no_grad():
            pi = ta.ops.softmax(network(ta.tensor(seen(states)))[:, : grid.actions], axis=1).numpy()
        actions = (rng.random((pens, 1)) > pi.cumsum(1)).sum(1).clip(max=grid.actions - 1)
        outcome = [grid.step(s, int(a)) for s, a in zip(states, actions, strict=True)]
        totals, steps = totals + [r for _, r, _ in outcome], steps + 1
        over = np.array([ended for _, _, ended in outcome]) | (steps >= 100)  # a pen that is lost starts again
        trace.append((states, actions, [r for _, r, _ in outcome], over))
        curve += [(update, total) for total, o in zip(totals, over, strict=True) if o]
        totals, steps = np.where(over, 0, totals), np.where(over, 0, steps)
        states = [0 if o else after for (after, _, _), o in zip(outcome, over, strict=True)]
    with ta.no_grad():
        last = network(ta.tensor(seen(states))).numpy()[:, -1]
    rewards, over = np.array([t[2] for t in trace], np.float32), np.array([t[3] for t in trace])
    returns = discounted(rewards, over, last, 0.95).astype(np.float32).reshape(-1)
    out = network(ta.tensor(seen(np.concatenate([t[0] for t in trace]))))
    loss = actor_critic_loss(out[:, : grid.actions], out[:, -1], np.concatenate([t[1] for t in trace]),
                             ta.tensor(returns), entropy=0.02)
    optimizer.step(clip_grad_norm(ta.grad(loss, network.parameters()), 1.0))
_, total = walk_greedily(grid, greedy, steps=100)
half = len(curve) // 10
early, late = np.mean([r for _, r in curve[:half]]), np.mean([r for _, r in curve[-half:]])
expect("mean return of the last tenth of episodes, minus that of the first", late - early, least=size(0.0, 3.0))
expect("actor-critic: return of the likeliest actions, of the best", total / best, least=size(-20, 0.9), most=1.0)
picture("actor_critic", line_plot({"return of an episode": curve, "best": [(0, best), (curve[-1][0], best)]},
                                  xlabel="update"))

# %% [markdown]
# ## DDPG: a painter
#
# A stroke is four numbers: where, how large, how dark. max_b Q(s, b) over all strokes cannot be looked up. So the actor
# is trained to give it: μ(s) climbs the critic's slope, through the critic, whose own weights stay as they are:
#
#     y = r + γ Q'(s', μ'(s'))
#     L_Q = (Q(s, a) - y)²,        L_μ = -Q(s, μ(s))
#     θ' ← (1 - τ) θ' + τ θ
#
# Q' and μ' are slow copies, so that the target does not run away. The reward is by how much a stroke lowers the squared
# distance to the picture.

# %%
show_source(ddpg_target, follow, Painter.learn)
side, count = size(8, 12), size(4, 10)
target = art(10, size=side)[0][6].astype(np.float64).mean(2) / 255  # a sunset, grey
painter = Painter(target, count=count, width=size(32, 96), seed=0)
for _ in range(60):
    painter.explore(0.0, share=1.0)
for _ in range(size(40, 1500)):
    painter.explore(0.15, share=0.2)
    painter.learn()

# %% [markdown]
# Beside it two that do not learn: strokes drawn at random, and a search that, before every stroke, tries many random
# ones on the picture and takes the best. The search wins: it looks at the picture 100 times for a stroke. The painter
# has never seen the result of the stroke that it makes; it makes it at once.

# %%
def errors(canvases):
    return [(i, float(painter.error(c).mean())) for i, c in enumerate(canvases)]


own, chance = painter.paint(), painter.paint(random_choice(Generator(5)), 50)
search = painter.paint(greedy_choice(painter, Generator(6), 100), size(2, 5))
curves = {"DDPG": errors(own), "random strokes": errors(chance), "best of 100 random strokes": errors(search)}
last = {name: curve[-1][1] for name, curve in curves.items()}
expect(f"error after {count} strokes, of the empty canvas's: random", last["random strokes"], least=0.2, most=2.0)
expect("DDPG, of that", last["DDPG"] / last["random strokes"], most=size(3.0, 0.5))
expect("search, of that", last["best of 100 random strokes"] / last["random strokes"], most=size(1.0, 0.3))
picture("painting_errors", line_plot(curves, xlabel="strokes"))

# %% [markdown]
# The picture: what is to be painted, then the painter's canvas after each stroke or two, then chance and search.

# %%
large = [np.clip(c, 0, 1).repeat(96 // side, 0).repeat(96 // side, 1) for c in
         (target, *(c[0] for c in own[1::2]), chance[-1][0], search[-1][0])]
captions = ["the picture", *(f"stroke {i}" for i in range(1, count + 1, 2)), "random", "search"]
picture("painting", panels(large, captions, columns=4))
