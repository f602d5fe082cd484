# %% [markdown]
# # Document 2, code: the real images are noise, and of two shapes
#
# `real_images = tf.random.uniform([batch_size, 784], 0, 1)`, then `tf.reshape(.., [-1, 28, 28])`, in the GAN and in the
# VAE. There is nothing to learn in uniform noise, except that its mean is ½; and a dense layer on (N, 28, 28) works on
# the last axis, so that D gives 28 verdicts an image, one a row. (Document 4's generator ends with the same reshape.)
#
#     right: x from data, (N, 784), as many as D's first layer takes

# %%
import numpy as np

from tinyart import nn
from tinyart.data import art
from tinyart.errors import ShapeError
from tinyart.lesson import expect
from tinyart.models.autoencoder import AutoencoderTrainer
from tinyart.random import Generator

noise = Generator(0).uniform((5, 784)).reshape((5, 28, 28))
d = nn.Sequential(nn.Dense(28, 32), nn.LeakyReLU(0.2), nn.Dense(32, 1))
expect("document: verdicts on 5 images", d(noise).size, 140)
try:
    nn.Dense(784, 32)(noise)
    refused = 0
except ShapeError as error:
    print(error)
    refused = 1
expect("right: a layer for 784 pixels refuses 28 x 28", refused, 1)
expect("right: verdicts on 5 images", nn.Sequential(nn.Dense(784, 32), nn.Dense(32, 1))(noise.flatten(1)).size, 5)

# %%
# What can be learnt of noise: an autoencoder trained on it, against one trained on pictures, each by the share of the
# variance that it explains on images it has not seen.
rng = np.random.default_rng(0)


def explained(train, test):
    trainer = AutoencoderTrainer(shape=(8, 8, 3), hidden=(64,), latent=16, lr=3e-3)
    for step in range(300):
        trainer.step(train[step * 64 % 448 :][:64])
    error = ((trainer.module.reconstruct(test) - test / 255) ** 2).mean()
    return 1 - error / ((train.mean(0) / 255 - test / 255) ** 2).mean()


uniform = rng.integers(0, 256, (640, 8, 8, 3)).astype(np.uint8)
pictures = art(640, size=8)[0]
expect("document: explained of noise", explained(uniform[:512], uniform[512:]), most=0.1)
expect("right: explained of pictures", explained(pictures[:512], pictures[512:]), least=0.5)
