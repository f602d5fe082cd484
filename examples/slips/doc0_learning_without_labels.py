# %% [markdown]
# # Document 0, deep learning: "needs a large amount of labelled data"
#
# "1. Supervised: deep learning models need a large amount of annotated data to learn effective parameters." The same
# document then describes GANs, which need none. An autoencoder's target is its input; where a label would stand, the
# image stands itself.
#
#     L = 1/P Σ_i (x_i - x̂_i)²        no label in it

# %%
import inspect

import numpy as np

from tinyart.data import art
from tinyart.lesson import expect
from tinyart.models.autoencoder import AutoencoderTrainer
from tinyart.models.classifier import ClassifierTrainer
from tinyart.models.gan import GANTrainer
from tinyart.models.vae import VAETrainer

images, _, _ = art(100, size=8)  # the second value, the labels, is thrown away
trainer = AutoencoderTrainer(shape=(8, 8, 3), hidden=(64,), latent=16, lr=5e-3)
before = float(((trainer.module.reconstruct(images) - images / 255) ** 2).mean())
for _ in range(200):
    trainer.step(images)
after = float(((trainer.module.reconstruct(images) - images / 255) ** 2).mean())
mean_image = float(((images.mean(0) / 255 - images / 255) ** 2).mean())
expect("document: error without labelled data, untrained", before, least=0.05)
expect("right: error after training without a label, of that of the mean image", after / mean_image, most=0.5)

# %%
# What a step takes says it too: of four trainers only the classifier asks for labels.
asks = {trainer.__name__: len(inspect.signature(trainer.step).parameters) - 2
        for trainer in (AutoencoderTrainer, VAETrainer, GANTrainer, ClassifierTrainer)}
print(asks)
expect("trainers that ask for labels, of four", np.sum(list(asks.values())), 1)
