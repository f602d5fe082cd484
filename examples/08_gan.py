# %% [markdown]
# # 08 Two players: the GAN in one dimension
#
# Shows: the game of documents 1 to 4 where everything can be seen: densities on a line. The best discriminator is
# learnt and laid over its formula; two generator losses with the same goal and other gradients; and a whole game, at
# whose end D says ½ everywhere.
#
# Time: 20 s
#
# Numbers to expect: a learnt D within 0.04 of D* on average; V of the best D is 2 JS - log 4; a slope of the minimax
# loss of 5·10⁻⁵ where the other's is 1; at the end of the game, D within 0.05 of ½ and V near -log 4 = -1.386.
#
# ## The game
#
# A generator G turns noise z into samples G(z); their density is p_g. A discriminator D(x) is the probability that x is
# real. D wants to tell them apart, G wants D to fail:
#
#     min_G max_D V(D, G) = E_x[log D(x)] + E_z[log(1 - D(G(z)))]
#
# Document 2, section 3.1.3, writes D(x) ~ p_data(x) and D(G(z)) ~ p_g(z). That cannot be meant: D(x) is one number
# between 0 and 1, not a sample. It is the x that are distributed like p_data, and the G(z) that are like p_g.

# %%
import math

import numpy as np

import tinyart as ta
from tinyart import nn
from tinyart.data import line_plot
from tinyart.lesson import expect, picture, show_source, size
from tinyart.models.gan import (
    best_discriminator,
    discriminator_loss,
    generator_loss,
    minimax_generator_loss,
    value,
)
from tinyart.optim import EMA, Adam
from tinyart.random import Generator

show_source(value, discriminator_loss)

# %% [markdown]
# Networks give the logit a of D = σ(a), because log σ(a) can be computed exactly for every a, and log of a probability
# that was rounded to 0 cannot.
#
# ## The best D against a fixed G
#
# Fix two densities on the line: real data with two humps, and a generator's single wide one.
#
#     p_data(x) = ½ N(x; -2, 0.4²) + ½ N(x; 1, 0.8²)
#     p_g(x) = N(x; 0, 1.5²)
#
# For each x, V holds p_data log D + p_g log(1 - D). Its derivative by D is p_data/D - p_g/(1 - D), and it is 0 at
#
#     D*(x) = p_data(x)/(p_data(x) + p_g(x))

# %%
def normal(x, mean, std):
    return np.exp(-0.5 * ((x - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))


def p_data(x):
    return 0.5 * normal(x, -2, 0.4) + 0.5 * normal(x, 1, 0.8)


def p_g(x):
    return normal(x, 0, 1.5)


def draw_data(rng, n):
    left = rng.random(n) < 0.5
    return np.where(left, rng.normal(-2, 0.4, n), rng.normal(1, 0.8, n))[:, None].astype(np.float32)


def network(inputs, width, random):
    """inputs - width - width - 1, with tanh."""
    return nn.Sequential(nn.Dense(inputs, width, generator=random), nn.Tanh(),
                         nn.Dense(width, width, generator=random), nn.Tanh(), nn.Dense(width, 1, generator=random))


rng, random = np.random.default_rng(0), Generator(0)
D = network(1, 32, random)
optimizer = Adam(D.parameters(), lr=3e-3)
for _ in range(size(toy=250, full=2000)):
    real, fake = draw_data(rng, 256), rng.normal(0, 1.5, (256, 1)).astype(np.float32)
    loss = discriminator_loss(D(ta.tensor(real)), D(ta.tensor(fake)))
    optimizer.step(ta.grad(loss, D.parameters()))

x = np.linspace(-5, 5, 401)
best = best_discriminator(p_data(x), p_g(x))
with ta.no_grad():
    learnt = ta.sigmoid(D(ta.tensor(x[:, None], "float32"))).numpy()[:, 0]
weight = (p_data(x) + p_g(x)) / (p_data(x) + p_g(x)).sum()  # where data or fakes are: elsewhere nobody asks D
expect("|learnt D - D*|, mean over real and fake", (weight * np.abs(learnt - best)).sum(), most=size(0.12, 0.04))
picture("best_discriminator", line_plot({"p_data": list(zip(x, p_data(x), strict=True)),
                                         "p_g": list(zip(x, p_g(x), strict=True)),
                                         "D* by formula": list(zip(x, best, strict=True)),
                                         "D learnt": list(zip(x, learnt, strict=True))}, xlabel="x"))

# %% [markdown]
# And what the best D scores says how different the densities are. With JS the Jensen-Shannon divergence,
#
#     V(D*, G) = 2 JS(p_data, p_g) - log 4
#
# which is least, -log 4, where they agree; D* is then ½ everywhere. Document 3, section 4.2, gets the ½ by setting
# 1/D - 1/(1 - D) to 0, for any G. But against a fixed G that differs from the data, ½ is a bad answer:

# %%
dx = x[1] - x[0]
mixture = (p_data(x) + p_g(x)) / 2
js = 0.5 * ((p_data(x) * np.log(p_data(x) / mixture)).sum() + (p_g(x) * np.log(p_g(x) / mixture)).sum()) * dx


def value_of(d):
    return (p_data(x) * np.log(d) + p_g(x) * np.log(1 - d)).sum() * dx


expect("V(D*, G)", value_of(best), 2 * js - math.log(4), 2e-3)
expect("V(½, G)", value_of(np.full_like(x, 0.5)), -math.log(4), 2e-3)
expect("what D* gains over ½", value_of(best) - value_of(np.full_like(x, 0.5)), least=0.1)

# %% [markdown]
# ## Two losses for G
#
# G's part of V is the minimax loss of documents 1 and 2. Document 3 has another one. Both fall as D(G(z)) rises, both
# are content at the same place; but look at their slopes in the logit a, D = σ(a):
#
#     L_G = log(1 - D(G(z)))       ∂L_G/∂a = -D              saturating
#     L_G = -log D(G(z))           ∂L_G/∂a = D - 1           non-saturating
#
# At the start of training the fakes are bad and D is sure: a is far below 0. The first loss then tells G almost
# nothing, just when it has most to learn.

# %%
show_source(minimax_generator_loss, generator_loss)
logits = np.linspace(-10, 6, 161)
slopes = {}
for name, loss in (("minimax: -D", minimax_generator_loss), ("non-saturating: D - 1", generator_loss)):
    a = ta.tensor(logits[:, None], requires_grad=True)
    slopes[name] = ta.grad(loss(a), a).numpy()[:, 0] * len(logits)  # the loss is a mean
d = 1 / (1 + np.exp(-logits))
expect("slope of minimax minus -D", np.abs(slopes["minimax: -D"] + d).max(), 0.0, 1e-14)
expect("slope of non-saturating minus (D - 1)", np.abs(slopes["non-saturating: D - 1"] - (d - 1)).max(), 0.0, 1e-14)
expect("at a = -10: minimax", slopes["minimax: -D"][0], -4.54e-5, 1e-7)
expect("at a = -10: non-saturating", slopes["non-saturating: D - 1"][0], -1.0, 1e-4)
picture("slopes", line_plot({name: list(zip(logits, s, strict=True)) for name, s in slopes.items()},
                            xlabel="logit of D(G(z)): left, D is sure that it is fake"))

# %% [markdown]
# ## A whole game
#
# G is a network from one normal number to the line. Both players move in turn, each by its own loss and its own
# optimiser: D's step does not touch G, and G's does not touch D. (In document 2's code both optimisers minimise over
# all variables: G would then also make D blind.)
#
# The players chase each other: where G puts its samples, D lowers its verdict, and G moves on. A moving average of G's
# weights sits in the middle of that circling, and that is what we draw with.

# %%
G, D = network(1, 32, random), network(1, 32, random)
g_optimizer, d_optimizer = Adam(G.parameters(), lr=1e-3, beta1=0.5), Adam(D.parameters(), lr=2e-3, beta1=0.5)
average, curve, n = EMA(G, 0.995), [], 256
steps = size(toy=400, full=4000)
for step in range(steps):
    real, z = ta.tensor(draw_data(rng, n)), random.normal((n, 1))
    fake = G(z)
    v = value(D(real), D(fake.detach()))
    d_optimizer.step(ta.grad(-v, D.parameters()))
    g_optimizer.step(ta.grad(generator_loss(D(fake)), G.parameters()))
    average.update()
    curve.append((step, v.item()))

with ta.no_grad(), average.applied():
    samples = G(random.normal((20_000, 1))).numpy()[:, 0]
    verdict = ta.sigmoid(D(ta.tensor(draw_data(rng, 5000)))).numpy()
last = float(np.mean([v for _, v in curve[-steps // 4 :]]))
expect("V at the end, of a best possible -1.386", last, -math.log(4), size(0.4, 0.05))
expect("|D(x) - ½| on real x at the end", np.abs(verdict - 0.5).mean(), most=size(0.3, 0.05))
edges = np.linspace(-5, 5, 81)
density, centres = np.histogram(samples, edges, density=True)[0], (edges[1:] + edges[:-1]) / 2
off = 0.5 * np.abs(density - p_data(centres)).sum() * (edges[1] - edges[0])
expect("share of mass that lies wrong", off, most=size(0.7, 0.3))
picture("value", line_plot({"V(D, G)": curve, "-log 4": [(0, -math.log(4)), (steps, -math.log(4))]}))

# %% [markdown]
# The last picture: the data's density, that of G's samples, and D, which has nothing left to say.

# %%
with ta.no_grad():
    said = ta.sigmoid(D(ta.tensor(x[:, None], "float32"))).numpy()[:, 0]
inside = np.abs(x) < 3.5
picture("game", line_plot({"p_data": list(zip(x, p_data(x), strict=True)),
                           "G's samples": list(zip(centres, density, strict=True)),
                           "D": list(zip(x[inside], said[inside], strict=True))}, xlabel="x"))
