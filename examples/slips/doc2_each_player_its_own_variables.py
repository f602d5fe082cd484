# %% [markdown]
# # Document 2, code: each optimiser minimises over all variables
#
# `AdamOptimizer(..).minimize(g_loss)` without `var_list` moves every variable that g_loss depends on: D's as well. G's
# optimiser then makes D say "real" of everything, which is the easier way to please; and D's moves G.
#
#     right:  θ_D ← θ_D - η ∂L_D/∂θ_D,    θ_G ← θ_G - η ∂L_G/∂θ_G

# %%
import numpy as np

import tinyart as ta
from tinyart import nn
from tinyart.lesson import expect
from tinyart.models.gan import discriminator_loss, generator_loss
from tinyart.optim import Adam
from tinyart.random import Generator


def play(all_variables):
    """Real numbers lie near 2, z is normal: the mean distance of G(z) from 2 after 300 steps of both."""
    random, rng = Generator(0), np.random.default_rng(0)
    G = nn.Sequential(nn.Dense(1, 16, generator=random), nn.LeakyReLU(0.2), nn.Dense(16, 1, generator=random))
    D = nn.Sequential(nn.Dense(1, 16, generator=random), nn.LeakyReLU(0.2), nn.Dense(16, 1, generator=random))
    both = D.parameters() + G.parameters()
    d_vars, g_vars = (both, both) if all_variables else (D.parameters(), G.parameters())
    d_optimizer, g_optimizer = Adam(d_vars, lr=5e-3, beta1=0.5), Adam(g_vars, lr=5e-3, beta1=0.5)
    for _ in range(300):
        x = ta.tensor(rng.normal(2, 0.1, (64, 1)), "float32")
        fake = G(random.normal((64, 1)))
        d_optimizer.step(ta.grad(discriminator_loss(D(x), D(fake)), d_vars))
        fake = G(random.normal((64, 1)))
        g_optimizer.step(ta.grad(generator_loss(D(fake)), g_vars))
    with ta.no_grad():
        return float(np.abs(G(random.normal((500, 1))).numpy() - 2).mean())


expect("document: how far samples lie from 2", play(all_variables=True), least=1.0)
expect("right: with its own variables", play(all_variables=False), most=0.5)
