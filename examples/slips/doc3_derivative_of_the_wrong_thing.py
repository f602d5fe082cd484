# %% [markdown]
# # Document 3, section 4.2: ∂L_D/∂G(z) = 1/D(G(z)) - 1/(1 - D(G(z))), set to 0
#
# The document gets D = ½ from it, for any generator. Neither is it a derivative by G(z), nor is it L_D's by D(G(z)),
# which is never 0. What is true: for a *fixed* G each x has its own best D, from both densities, and it is ½ only
# where they agree.
#
#     ∂L_D/∂D(G(z)) = 1/(1 - D(G(z)))
#     ∂V/∂D(x) = p_data(x)/D(x) - p_g(x)/(1 - D(x)) = 0   at   D*(x) = p_data(x)/(p_data(x) + p_g(x))

# %%
import math

import numpy as np

import tinyart as ta
from tinyart.lesson import expect
from tinyart.models.gan import best_discriminator

d = ta.tensor(np.array(0.3), requires_grad=True)
slope = ta.grad(-ta.ops.log(1.0 - d), d).item()
expect("right: the derivative of L_D by D(G(z)) at 0.3", slope, 1 / 0.7, 1e-12)
expect("document: 1/D - 1/(1 - D) at 0.3", 1 / 0.3 - 1 / 0.7, 1.9048, 1e-4)

# %%
p_data, p_g = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.4, 0.3, 0.25, 0.05])  # of four values of x


def value_of(d):
    return float((p_data * np.log(d) + p_g * np.log(1 - d)).sum())


best = best_discriminator(p_data, p_g)
expect("document: V with D = ½", value_of(np.full(4, 0.5)), -math.log(4), 1e-12)
expect("right: V with D*", value_of(best), least=-math.log(4) + 0.1)
steps = np.random.default_rng(0).normal(0, 0.02, (200, 4))
expect("of 200 small changes of D*, those that help", sum(value_of(best + s) > value_of(best) for s in steps), 0)
expect("D* where the densities agree", best_discriminator(p_data, p_data)[0], 0.5)
