# %% [markdown]
# # Document 2, section 3.2.3: log p(x) = E[log p(x|z)] - ½ KL, with N(z; μ, σ)
#
# Three slips in one line of formulas: "=" for "≥"; a ½ before the KL, where it belongs inside its closed form; and σ
# where the second parameter of N, the variance σ², is used by the code below it.
#
#     log p(x) ≥ E_q[log p(x|z)] - KL(q‖p)
#     KL(q‖p) = -½ Σ_j (1 + log σ_j² - μ_j² - σ_j²)
#
# One latent and three binary pixels: every term is a sum over a fine grid.

# %%
import math

import numpy as np

import tinyart as ta
from tinyart.lesson import expect
from tinyart.models.vae import bernoulli_log_likelihood, reparameterise

z = np.linspace(-10, 10, 4001)
dz = z[1] - z[0]
logits, x = np.outer(z, [2.0, -1.5, 0.7]) + np.array([0.3, -0.2, 1.0]), np.array([1.0, 0.0, 1.0])
log_likelihood = bernoulli_log_likelihood(ta.tensor(np.repeat(x[None], len(z), 0)), ta.tensor(logits)).numpy()
log_prior = -0.5 * (math.log(2 * math.pi) + z**2)
log_p = math.log(np.exp(log_likelihood + log_prior).sum() * dz)
mu, log_var = 0.6, -0.6
log_q = -0.5 * (math.log(2 * math.pi) + log_var + (z - mu) ** 2 / math.exp(log_var))
fit = (np.exp(log_q) * log_likelihood).sum() * dz
kl = ta.kl_to_standard_normal(ta.tensor([[mu]]), ta.tensor([[log_var]])).item()
expect("log p(x)", log_p, -1.1858, 1e-4)
expect("document: E[log p(x|z)] - ½ KL, which is no lower bound", fit - kl / 2, least=log_p + 0.05)
expect("right: E[log p(x|z)] - KL", fit - kl, most=log_p - 0.05)
expect("document: 'equal': right side minus left, even without the ½", fit - kl - log_p, -0.0663, 1e-4)

# %%
# The ½: KL by its definition, an integral, against the closed form with and without one more ½.
by_definition = (np.exp(log_q) * (log_q - log_prior)).sum() * dz
expect("KL by its definition", by_definition, kl, 1e-6)
expect("document: half of it, off by", kl / 2 - by_definition, most=-0.1)

# %%
# σ or σ²: of draws z = μ + σ ε the variance is σ². Read as N(μ, variance σ) they would be another distribution.
log_vars = ta.tensor(np.full((200_000, 1), log_var))
draws = reparameterise(ta.tensor(np.full((200_000, 1), mu)), log_vars,
                       ta.tensor(np.random.default_rng(0).normal(size=(200_000, 1)))).numpy()
expect("variance of the draws: σ²", draws.var(), math.exp(log_var), 0.01)
expect("document: σ", math.exp(log_var / 2), least=draws.var() + 0.15)
