# %% [markdown]
# # Document 2, code: reconstruction averaged over pixels, KL summed over latents
#
# `x_loss = tf.reduce_mean(sigmoid_cross_entropy..)` divides by the number of pixels, `kl_loss = -0.5 *
# tf.reduce_sum(..)` does not divide by anything. Against the bound the KL then weighs P times as much (784 for 28×28),
# and the best answer is to give every image the same code: the posterior collapses.
#
#     right:     -ELBO = -Σ_i log p(x_i|z) + KL,        both sums over their own axis, then the mean over the batch
#     document:  -1/P Σ_i log p(x_i|z) + KL

# %%
import numpy as np

import tinyart as ta
from tinyart.data import art
from tinyart.lesson import expect
from tinyart.models.vae import VAE, negative_elbo
from tinyart.optim import Adam
from tinyart.random import Generator

images = art(32, size=8)[0]


def trained(divide_by):
    """KL in nats after 150 steps, and how much reconstructions of different images differ."""
    generator = Generator(0)
    vae = VAE((8, 8, 3), hidden=(32,), latent=4, generator=generator)
    optimizer = Adam(vae.parameters(), lr=1e-2)
    for _ in range(150):
        log_likelihood, kl = vae(vae.pixels(images), generator.normal((32, 4)))
        optimizer.step(ta.grad(negative_elbo(log_likelihood / divide_by, kl), vae.parameters()))
    return float(kl.array.mean()), float(np.std(vae.reconstruct(images), axis=0).mean())


(kl, variety), (right_kl, right_variety) = trained(192.0), trained(1.0)
expect("document: KL, nats: what z says about an image", kl, most=0.01)
expect("right: KL", right_kl, least=1)
expect("document: standard deviation of a pixel between reconstructions", variety, most=0.005)
expect("right: the same", right_variety, least=0.1)
