# %% [markdown]
# # Document 3, section 9.2: "gradient penalty techniques, such as gradient clipping, against vanishing or exploding"
#
# Clipping is no penalty, and it does nothing for gradients that vanish: it multiplies by a factor of at most 1.
#
#     clip(g) = g · min(1, c/‖g‖)
#     penalty:  L + λ (‖∂f/∂x‖ - 1)²        another loss, whose slope *raises* slopes that are too small
#
# A chain of 30 layers with weights too small, and one with weights too large.

# %%
import numpy as np

import tinyart as ta
from tinyart import nn
from tinyart.lesson import expect
from tinyart.models.wgan import gradient_penalty
from tinyart.optim import Adam, clip_grad_norm, grad_norm
from tinyart.random import Generator


def first_gradient(size):
    """The gradient of the first of 30 layers tanh(W x), W random with entries of about size/√16."""
    rng = np.random.default_rng(0)
    layers = [ta.tensor(rng.normal(size=(16, 16)) * size / 4, requires_grad=True) for _ in range(30)]
    x = ta.tensor(rng.normal(size=(8, 16)))
    for w in layers:
        x = x @ w if size > 1 else (x @ w).tanh()
    return ta.grad((x**2).mean(), layers[0])


small, large = first_gradient(0.5), first_gradient(2.0)
expect("vanishing: norm of the first gradient", grad_norm([small]), most=1e-6)
after = grad_norm(clip_grad_norm([small], 1.0))
expect("document: after clipping at 1, of that before", after / grad_norm([small]), 1.0, 1e-12)
expect("exploding: norm", grad_norm([large]), least=1e6)
expect("right: clipping bounds it", grad_norm(clip_grad_norm([large], 1.0)), 1.0, 1e-9)

# %%
# The penalty: a critic that starts almost flat. Its slope comes up to 1.
critic = nn.Sequential(nn.Dense(2, 16, generator=Generator(0)), nn.Tanh(), nn.Dense(16, 1, generator=Generator(1)))
for p in critic.parameters():
    p.array *= 0.1
x, y = Generator(2).normal((64, 2)), Generator(3).normal((64, 2))
optimizer = Adam(critic.parameters(), lr=0.02)
slopes = []
for step in range(200):
    u = Generator(step).uniform((64,))
    penalty = gradient_penalty(critic, x, y, u)
    slopes.append(1 - float(np.sqrt(penalty.item())))  # for slopes below 1: about the mean slope
    optimizer.step(ta.grad(penalty, critic.parameters()))
expect("slope of the critic before", slopes[0], most=0.05)
expect("slope of the critic after", slopes[-1], least=0.7)
