# %% [markdown]
# # Document 4, code: the loss is D(real) - D(fake), fed back into itself
#
# `xentropy = sess.run(D(real) - D(fake)); sess.run(train_op, feed_dict={xentropy: xentropy})`: the difference is
# computed, turned into a number, and put in the place of itself. A number has no gradient, so nothing is trained. And
# D, which ends in a sigmoid, is not told to descend: as a loss D(real) - D(fake) would teach it the opposite. The
# difference is the objective of a WGAN's critic, which needs a bound on its slopes (`models.wgan`).
#
#     right, GAN:    L_D = -[log D(x) + log(1 - D(G(z)))]
#     right, WGAN:   L = E[f(G(z))] - E[f(x)] + λ (‖∂f/∂x̂‖ - 1)²

# %%
import numpy as np

import tinyart as ta
from tinyart import nn
from tinyart.errors import GraphError
from tinyart.lesson import expect
from tinyart.models.gan import discriminator_loss
from tinyart.models.wgan import critic_value, gradient_penalty
from tinyart.optim import Adam
from tinyart.random import Generator

real = ta.tensor(np.full((64, 2), [0.0, 0.0]), "float32")
fake = ta.tensor(np.full((64, 2), [3.0, 0.0]), "float32")


def network():
    random = Generator(0)
    return nn.Sequential(nn.Dense(2, 32, generator=random), nn.LeakyReLU(0.2), nn.Dense(32, 1, generator=random))


D = network()
xentropy = ta.tensor((ta.sigmoid(D(real)) - ta.sigmoid(D(fake))).numpy())  # a number again, as `sess.run` gives it
try:
    ta.grad(xentropy.mean(), D.parameters())
    refused = 0
except GraphError as error:
    print(error)
    refused = 1
expect("document: its loss has no gradient", refused, 1)


# %%
def trained(loss_of, steps=300):
    D = network()
    optimizer = Adam(D.parameters(), lr=0.01)
    for step in range(steps):
        optimizer.step(ta.grad(loss_of(D, step), D.parameters()))
    return D


wrong = trained(lambda D, _: (ta.sigmoid(D(real)) - ta.sigmoid(D(fake))).mean())  # descended, as a loss is
right = trained(lambda D, _: discriminator_loss(D(real), D(fake)))
with ta.no_grad():
    expect("document, with a gradient: D(real)", ta.sigmoid(wrong(real)).numpy().mean(), most=0.1)
    expect("right: D(real)", ta.sigmoid(right(real)).numpy().mean(), least=0.9)

# %%
# As a critic's objective it is right with the penalty, and without end without it: the points are 3 apart.
free = trained(lambda D, _: -critic_value(D(real), D(fake)))
bound = trained(lambda D, i: -critic_value(D(real), D(fake))
                + gradient_penalty(D, real, fake, Generator(i).uniform((64,))) * 10.0)
with ta.no_grad():
    expect("without a bound on slopes: f(real) - f(fake)", critic_value(free(real), free(fake)).item(), least=30)
    # The penalty is soft: 3 s - λ (s - 1)² is largest at a slope of s = 1 + 3/2λ, here 1.15.
    expect("with the penalty: the distance, 3, times 1.15", critic_value(bound(real), bound(fake)).item(), 3.45, 0.1)
