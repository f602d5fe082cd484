# %% [markdown]
# # 10 Keeping a GAN on its feet
#
# Shows: the remedies that document 3, section 9.2, lists for the training of GANs, one at a time on a task where
# success can be counted: learning rates, batch size, the gradient penalty, clipping, augmentation, transfer, and a
# second task.
#
# Time: 1 min
#
# Numbers to expect: of 8 clusters, those that G finds within 800 steps: 8 with the middle learning rate, none with a
# tenth of it; a critic whose value falls as G comes nearer; a discriminator that memorises 32 points, and one that was
# kept from it; a start from other weights that is ahead of a fresh one after 150 steps. One seed: differences of a few
# percent are noise.

# %%
import math

import numpy as np

import tinyart as ta
from tinyart import nn
from tinyart.data import line_plot, panels, scatter
from tinyart.lesson import expect, picture, show_source, size
from tinyart.models.gan import discriminator_loss, generator_loss, minimax_generator_loss
from tinyart.models.wgan import critic_value, gradient_penalty
from tinyart.optim import SGD, Adam, clip_grad_norm, grad_norm
from tinyart.random import Generator

# %% [markdown]
# ## The task
#
# Eight small clusters on a circle. A generator has found a cluster if at least 1 % of its samples lie within 0.2 of the
# centre (four standard deviations), and its aim is the share of samples that lie so near to any. Finding only some
# clusters is called mode collapse; a bad aim is blur.

# %%
ANGLES = np.arange(8) * math.pi / 4
CENTRES = 2 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1)  # (8, 2)
NOISE, FULL = 4, size(40, 800)


def clusters(rng, n, turn=0.0, shift=0.0):
    """n points and the numbers of their clusters: (n, 2), (n,)"""
    which = rng.integers(0, 8, n)
    c, s = math.cos(turn), math.sin(turn)
    points = CENTRES[which] @ [[c, s], [-s, c]] + rng.normal(0, 0.05, (n, 2)) + shift
    return points.astype(np.float32), which


def judge(points):
    """Clusters found, aim."""
    distance = np.linalg.norm(points[:, None] - CENTRES, axis=2)  # (N, 8)
    near = distance.min(1) < 0.2
    found = np.bincount(distance.argmin(1)[near], minlength=8) >= len(points) / 100
    return int(found.sum()), float(near.mean())


def network(inputs, outputs, random):
    """inputs - 64 - 64 - outputs, with leaky ReLU"""
    return nn.Sequential(nn.Dense(inputs, 64, generator=random), nn.LeakyReLU(0.2),
                         nn.Dense(64, 64, generator=random), nn.LeakyReLU(0.2), nn.Dense(64, outputs, generator=random))


def samples(G, n=2000):
    with ta.no_grad():
        return G(Generator(9).normal((n, NOISE))).numpy()


def play(steps=FULL, lr=1e-3, batch=128, start=None, **data):
    """The game of lesson 08. start: (G, D) to go on with. Returns G, D and D's loss by step."""
    random, rng, curve = Generator(0), np.random.default_rng(0), []
    G, D = start or (network(NOISE, 2, random), network(2, 1, random))
    g_optimizer, d_optimizer = Adam(G.parameters(), lr=lr, beta1=0.5), Adam(D.parameters(), lr=lr, beta1=0.5)
    for step in range(steps):
        real, fake = ta.tensor(clusters(rng, batch, **data)[0]), G(random.normal((batch, NOISE)))
        loss = discriminator_loss(D(real), D(fake.detach()))
        d_optimizer.step(ta.grad(loss, D.parameters()))
        g_optimizer.step(ta.grad(generator_loss(D(fake)), G.parameters()))
        curve.append((step, loss.item()))
    return G, D, curve


def show(points):
    """A scatter of points in [-3, 3]², which two corners hold in place."""
    return scatter(np.concatenate([np.clip(points, -3, 3), [[-3, -3], [3, 3]]]), side=200, radius=1.0)


base = play()
found, aim = judge(samples(base[0]))
expect("plain game: clusters found", found, least=size(0, 7))
expect("plain game: aim", aim, least=size(0.0, 0.25))
pictures = {"data": show(clusters(np.random.default_rng(1), 2000)[0]), "plain": show(samples(base[0]))}

# %% [markdown]
# ## Learning rate and batch
#
# "Set the learning rate sensibly." With a tenth of it nothing has happened after the same number of steps; with ten
# times as much the players overshoot each other. A small batch shows each step other clusters, and the players run
# after them.

# %%
results = {}
for name, how in {"learning rate / 10": {"lr": 1e-4}, "learning rate x 10": {"lr": 1e-2},
                  "batch 16": {"batch": 16}, "batch 512": {"batch": 512}}.items():
    made = samples(play(**how)[0])
    results[name], pictures[name] = judge(made), show(made)
    print(f"{name:20} clusters {results[name][0]}, aim {results[name][1]:.2f}")
expect("clusters at a tenth of the rate", results["learning rate / 10"][0], most=size(8, 3))
expect("aim at ten times the rate, minus that of the plain game", results["learning rate x 10"][1] - aim,
       most=size(1, 0.05))
expect("aim with batch 16, minus that of the plain game", results["batch 16"][1] - aim, most=size(1, 0.05))
expect("aim with batch 512, minus that with 16", results["batch 512"][1] - results["batch 16"][1], least=size(-1, 0.0))

# %% [markdown]
# ## The gradient penalty
#
# Where fakes and data lie far apart, D can be sure of everything, its slopes vanish, and G is told nothing.
# Wasserstein's critic f is not a probability but a height, whose slope is kept near 1; G then always knows where down
# is:
#
#     W = max_f E_x[f(x)] - E_z[f(G(z))]
#     P = E[(‖∂f(x̂)/∂x̂‖ - 1)²],    x̂ between a real point and a fake
#     critic: descend λ P - W,      generator: descend -E_z[f(G(z))]
#
# P holds a gradient, and the critic descends its gradient: lesson 02. The critic takes three steps for each of G's, to
# be near its maximum.

# %%
show_source(gradient_penalty)


def play_wasserstein(steps=FULL, weight=1.0, **data):
    random, rng, curve = Generator(0), np.random.default_rng(0), []
    G, f = network(NOISE, 2, random), network(2, 1, random)
    g_optimizer, f_optimizer = Adam(G.parameters(), lr=1e-3, beta1=0.5), Adam(f.parameters(), lr=1e-3, beta1=0.5)
    for step in range(steps):
        for _ in range(3):
            real, fake = ta.tensor(clusters(rng, 128, **data)[0]), G(random.normal((128, NOISE)))
            w = critic_value(f(real), f(fake.detach()))
            penalty = gradient_penalty(f, real, fake.detach(), random.uniform((128,)))
            f_optimizer.step(ta.grad(penalty * weight - w, f.parameters()))
        g_optimizer.step(ta.grad(-f(fake).mean(), G.parameters()))
        curve.append((step, w.item()))
    return G, f, curve


wasserstein = play_wasserstein()
made = samples(wasserstein[0])
results["gradient penalty"], pictures["gradient penalty"] = judge(made), show(made)
print("gradient penalty: clusters {}, aim {:.2f}".format(*results["gradient penalty"]))
expect("gradient penalty: clusters", results["gradient penalty"][0], least=size(0, 7))
values = [w for _, w in wasserstein[2]]
expect("critic's value: its last tenth, of its highest", np.mean(values[-len(values) // 10 :]) / max(values),
       most=size(1.5, 0.3))
x = Generator(5).normal((256, 2), std=2.0)
leaf = ta.tensor(x.numpy(), requires_grad=True)
slopes = np.linalg.norm(ta.grad(wasserstein[1](leaf).sum(), leaf).numpy(), axis=1)
expect("mean slope of the critic", slopes.mean(), least=size(0, 0.4), most=1.6)
picture("losses", line_plot({"critic's W: falls as G comes nearer": wasserstein[2],
                             "L_D of the plain game: says little": base[2]}))

# %% [markdown]
# The aim is no better than the plain game's here, and each step costs some four times as much. What the penalty buys is
# another thing: a number that says how training goes, and a game that starts from anywhere. Put the data far off, at
# (12, 12), and D is sure at once:

# %%
far = size(30, 300)


def far_off(loss_of):
    """How far G's mean has come to (12, 12), of the way from where it started, after `far` plain steps."""
    random, rng = Generator(0), np.random.default_rng(0)
    G, D = network(NOISE, 2, random), network(2, 1, random)
    d_optimizer, g_optimizer = SGD(D.parameters(), lr=0.05), SGD(G.parameters(), lr=0.05)
    for _ in range(far):
        real, fake = ta.tensor(clusters(rng, 128, shift=12.0)[0]), G(random.normal((128, NOISE)))
        d_optimizer.step(ta.grad(discriminator_loss(D(real), D(fake.detach())), D.parameters()))
        g_optimizer.step(ta.grad(loss_of(D(fake)), G.parameters()))
    return float(samples(G).mean() / 12)


stuck = far_off(minimax_generator_loss)
moved = float(samples(play_wasserstein(far, shift=12.0)[0]).mean() / 12)
expect("minimax loss, plain steps: share of the way", stuck, least=-0.2, most=size(1.0, 0.3))
expect("gradient penalty: share of the way", moved, least=size(0.0, 0.8))

# %% [markdown]
# ## Clipping
#
# Clipping shortens a gradient that is too long, and leaves its direction:
#
#     g ← g · min(1, c/‖g‖)
#
# It bounds what a single bad step can do. It does not lengthen anything: against vanishing gradients, for which the
# document recommends it, it is powerless. Plain steps with a rate of 2 show it:

# %%
def clipped(limit):
    """(largest gradient of D, largest weight of both at the end), with plain steps that are too large."""
    random, rng = Generator(0), np.random.default_rng(0)
    G, D = network(NOISE, 2, random), network(2, 1, random)
    d_optimizer, g_optimizer, longest = SGD(D.parameters(), lr=2.0), SGD(G.parameters(), lr=2.0), 0.0
    for _ in range(size(30, 200)):
        real, fake = ta.tensor(clusters(rng, 128)[0]), G(random.normal((128, NOISE)))
        gradients = ta.grad(discriminator_loss(D(real), D(fake.detach())), D.parameters())
        longest = max(longest, grad_norm(gradients))
        if longest > 1e6:
            break
        d_optimizer.step(clip_grad_norm(gradients, limit))
        gradients = ta.grad(generator_loss(D(fake)), G.parameters())
        g_optimizer.step(clip_grad_norm(gradients, limit))
    return longest, max(float(np.abs(p.numpy()).max()) for p in [*G.parameters(), *D.parameters()])


wild, tame = clipped(1e9), clipped(0.1)
print(f"longest gradient, largest weight: free {wild[0]:.3g}, {wild[1]:.3g}; clipped {tame[0]:.3g}, {tame[1]:.3g}")
expect("longest gradient without clipping", wild[0], least=size(1, 100))
expect("largest weight with clipping at 0.1", tame[1], most=20)
tiny = [ta.tensor(np.full(4, 1e-9))]
expect("a gradient of 2e-9 after clipping", grad_norm(clip_grad_norm(tiny, 0.1)), 2e-9, 1e-15)

# %% [markdown]
# ## Augmentation
#
# With few data D learns them by heart: sure of those it has seen, it takes new ones of the same kind for fakes, and G
# learns to copy. Shown each point a little changed every time (and the fakes too, else G would learn the changes), it
# cannot. On images one shifts and mirrors; here we move points by normal noise. In two dimensions there is no room to
# learn by heart, so take 32 points of 32 dimensions, and fakes that lie about one standard deviation off. What D says
# of the points it knows, minus what it says of new ones, measures it:

# %%
def gap(noise):
    """Mean logit on the 32 points of the training, minus that on 2,000 new ones."""
    random = Generator(0)
    D, middle = network(32, 1, random), 0.18  # of each coordinate: √32 · 0.18 is about 1
    known, new = random.normal((32, 32), mean=middle), random.normal((2000, 32), mean=middle)
    optimizer = Adam(D.parameters(), lr=1e-3)
    for _ in range(size(100, 300)):
        real = known + random.normal((32, 32), std=noise)
        fake = random.normal((32, 32)) + random.normal((32, 32), std=noise)
        optimizer.step(ta.grad(discriminator_loss(D(real), D(fake)), D.parameters()))
    with ta.no_grad():
        return float(D(known).numpy().mean() - D(new).numpy().mean())


plain, moved_points = gap(0.0), gap(1.0)
expect("gap between known and new points, without augmentation", plain, least=size(0.5, 2))
expect("the same with moved points, of that", moved_points / plain, most=size(1.0, 0.5))

# %% [markdown]
# ## Transfer, and a second task
#
# "Use transfer learning, multi-task learning." Transfer: start from the players of the plain game when the clusters
# have been turned by 22.5 degrees, the new ones right between the old, and compare with a fresh start after a fifth of
# the steps. The second task: tell D to name the cluster too, and tell G which one to paint; its loss for that is a
# plain cross-entropy (Odena, Olah & Shlens 2017):
#
#     L_D = -[log D(x) + log(1 - D(G(z, k)))] - log p(k|x)
#     L_G = -log D(G(z, k)) - log p(k|G(z, k))

# %%
few, turn = size(20, 150), math.pi / 8
back = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
fresh = judge(samples(play(few, turn=turn)[0]) @ back)  # turned back, to be judged by the same centres
transferred = judge(samples(play(few, turn=turn, start=base[:2])[0]) @ back)
print(f"after {few} steps, clusters and aim: fresh {fresh}, transferred {transferred}")
expect("aim: transferred minus fresh", transferred[1] - fresh[1], least=size(-1, 0.02))


def play_with_names(steps):
    random, rng = Generator(0), np.random.default_rng(0)
    G, D = network(NOISE + 8, 2, random), network(2, 1 + 8, random)
    g_optimizer, d_optimizer = Adam(G.parameters(), lr=1e-3, beta1=0.5), Adam(D.parameters(), lr=1e-3, beta1=0.5)

    def paint(names):
        one_hot = ta.tensor(np.eye(8)[names], "float32")
        return G(ta.concatenate([random.normal((len(names), NOISE)), one_hot], axis=1))

    for _ in range(steps):
        points, names = clusters(rng, 128)
        fake = paint(names)
        on_real, on_fake = D(ta.tensor(points)), D(fake.detach())  # (N, 9): real or not, and eight names
        loss = discriminator_loss(on_real[:, :1], on_fake[:, :1]) + ta.cross_entropy(on_real[:, 1:], names)
        d_optimizer.step(ta.grad(loss, D.parameters()))
        on_fake = D(fake)
        loss = generator_loss(on_fake[:, :1]) + ta.cross_entropy(on_fake[:, 1:], names)
        g_optimizer.step(ta.grad(loss, G.parameters()))
    with ta.no_grad():
        return paint(np.arange(2000) % 8).numpy()


half = size(30, 400)
alone = judge(samples(play(half)[0]))
made = play_with_names(half)
results["names"], pictures["with names"] = judge(made), show(made)
print(f"after {half} steps, clusters and aim: alone {alone}, with names {results['names']}")
expect("with names: clusters found", results["names"][0], least=size(0, 7))
expect("with names: aim, minus that of the plain game", results["names"][1] - alone[1], least=size(-1, 0.0))

# %% [markdown]
# The pictures: the data, and 2,000 samples of each game.

# %%
picture("games", panels(list(pictures.values()), list(pictures), columns=4))
