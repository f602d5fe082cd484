# %% [markdown]
# # Document 1 against document 3: two losses for the generator
#
# Documents 1 and 2 play min_G of V, so G descends log(1 - D(G(z))). Document 3 writes L_G = -log D(G(z)). Both are
# right, and they are not the same: one fixed point, other gradients on the way. With a = the logit of D(G(z)):
#
#     minimax:         ∂L_G/∂a = -D            vanishes where D is sure of a fake
#     non-saturating:  ∂L_G/∂a = D - 1         -1 there

# %%
import numpy as np

import tinyart as ta
from tinyart import nn
from tinyart.lesson import expect
from tinyart.models.gan import discriminator_loss, generator_loss, minimax_generator_loss
from tinyart.optim import SGD
from tinyart.random import Generator

rejected = ta.tensor(np.array([[-20.0]]), requires_grad=True)
expect("minimax: slope where D is sure", ta.grad(minimax_generator_loss(rejected), rejected).item(), 0.0, 1e-8)
expect("non-saturating: slope there", ta.grad(generator_loss(rejected), rejected).item(), -1.0, 1e-8)
even = ta.tensor(np.array([[0.0]]), requires_grad=True)
expect("where D says ½, both", ta.grad(minimax_generator_loss(even), even).item()
       - ta.grad(generator_loss(even), even).item(), 0.0, 1e-12)

# %%
# What it means for training: D is first taught to tell 3 from 0, then G, which paints 0s, takes 50 plain steps.


def moved(loss_of):
    random = Generator(0)
    D = nn.Sequential(nn.Dense(1, 16, generator=random), nn.Tanh(), nn.Dense(16, 1, generator=random))
    real, G = ta.tensor(np.full((8, 1), 3.0), "float32"), ta.tensor(np.zeros((8, 1)), "float32", requires_grad=True)
    d_optimizer, g_optimizer = SGD(D.parameters(), lr=0.5), SGD([G], lr=1.0)
    for _ in range(600):
        d_optimizer.step(ta.grad(discriminator_loss(D(real), D(G.detach())), D.parameters()))
    for _ in range(50):
        g_optimizer.step([ta.grad(loss_of(D(G)), G)])
    return float(G.numpy().mean())


expect("minimax: G went from 0 to", moved(minimax_generator_loss), most=0.2)
expect("non-saturating: G went from 0 to", moved(generator_loss), least=1.0)
