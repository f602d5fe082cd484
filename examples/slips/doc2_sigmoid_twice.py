# %% [markdown]
# # Document 2, code: the sigmoid twice
#
# The discriminator ends with `activation=tf.nn.sigmoid`, and its output enters `sigmoid_cross_entropy_with_logits`,
# which takes the sigmoid again. What it calls a logit lies in [0, 1], so that σ of it lies in [0.5, 0.73]: D can never
# be sure.
#
#     L_D ≥ log(1 + e⁻¹) + log 2 = 1.0064        where it should reach 0

# %%
import math

import numpy as np

import tinyart as ta
from tinyart import nn
from tinyart.lesson import expect
from tinyart.models.gan import discriminator_loss
from tinyart.optim import Adam
from tinyart.random import Generator

bound = math.log(1 + math.exp(-1)) + math.log(2)
real, fake = ta.tensor(np.full((64, 1), 1.0), "float32"), ta.tensor(np.full((64, 1), -1.0), "float32")


def trained(last):
    """L_D after 500 steps on the easiest of tasks: real is 1, fake is -1. last: what comes after D's last layer."""
    random = Generator(0)
    d = nn.Sequential(nn.Dense(1, 16, generator=random), nn.LeakyReLU(0.2), nn.Dense(16, 1, generator=random))
    optimizer = Adam(d.parameters(), lr=0.02)
    for _ in range(500):
        loss = discriminator_loss(last(d(real)), last(d(fake)))  # the loss takes logits
        optimizer.step(ta.grad(loss, d.parameters()))
    return loss.item()


expect("document: L_D, sigmoid before a loss with logits", trained(ta.sigmoid), bound, 0.01)
expect("its bound", bound, 1.0064, 1e-4)
expect("right: L_D, logits", trained(lambda logits: logits), most=0.01)
