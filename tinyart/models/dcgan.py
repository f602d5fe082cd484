"""The deep convolutional GAN of document 3, section 4.1 (Radford, Metz & Chintala 2016; layers as in the document).

    G: z - dense 7·7·256 - 7×7×256 - 7×7×128 - 14×14×64 - 28×28×C      transposed convolutions 5×5, batch norm, tanh
    D: 28×28×C - 14×14×64 - 7×7×128 - 1                                convolutions 5×5 of stride 2, batch norm

Both with leaky ReLU of slope 0.3, Keras's default. The document asserts an output of 128×128×1; these are its layers,
but for one thing: its D has dropout 0.3 where ours has batch norm, as the paper has (section 3: in both networks, but
not at D's input). `benchmarks/gan_mnist.py` measures both; a LeNet is a little surer of the digits of ours.

Other sides are start·2ⁿ: n transposed convolutions double `start`, which is 7 for 28 (56, ..), 8 for powers of two from
32 and 4 for 16; the channels, 64·2ⁿ⁻¹ after the first convolution, halve as the side doubles.
"""

from collections.abc import Sequence

from tinyart import nn
from tinyart.errors import ArgumentError
from tinyart.models.gan import GAN, AdversarialTrainer
from tinyart.nn import init
from tinyart.random import Generator

SLOPE = 0.3
DROPOUT = 0.3


def plan(side: int) -> tuple[int, int]:
    """(start, n): side = start·2ⁿ with at least two doublings."""
    for start in (7, 8, 4):
        n = (side // start).bit_length() - 1
        if n >= 2 and start << n == side:
            return start, n
    raise ArgumentError("dcgan", "shape", "squares of a side 16, 28, 32, 56, 64, 112, 128, 224, 256, ..",
                        f"a side of {side}", fix="--size 32")


def dcgan(shape: Sequence[int], *, latent: int = 100, width: int = 64, batch_norm: bool = True,
          random: Generator | None = None) -> GAN:
    """G and D for images (S, S, C). width: the channels of the largest inner maps; the document's is 64.

    batch_norm: in D after each convolution but the first; without, dropout 0.3 after each, as in the document.
    Weights are drawn from N(0, 0.02²) as in the paper, section 4.
    """
    if len(shape) != 3 or shape[0] != shape[1] or min(*shape, latent, width) < 1:
        raise ArgumentError("dcgan", "shape, latent, width", "(S, S, C), a width and a width",
                            f"{tuple(shape)}, {latent}, {width}")
    start, n = plan(shape[0])
    networks = GAN(_generator(shape[2], start, n, latent, width, random),
                   _discriminator(shape[2], start, n, width, batch_norm, random), shape=shape, latent=latent)
    for weight in networks.parameters():
        if weight.ndim > 1:
            init.normal_(weight, 0.0, 0.02, generator=random)
    return networks


def _generator(channels: int, start: int, n: int, latent: int, width: int, random: Generator | None) -> nn.Module:
    c = width << n
    layers: list[nn.Module] = [
        nn.Dense(latent, start * start * c, bias=False, generator=random),
        nn.BatchNorm(start * start * c), nn.LeakyReLU(SLOPE),
        nn.Reshape((start, start, c)),  # (N, s, s, c)
    ]  # fmt: skip
    for stride in (1, *[2] * (n - 1)):
        layers += [nn.ConvTranspose2d(c, c // 2, 5, stride=stride, padding="same", bias=False, generator=random),
                   nn.BatchNorm(c // 2), nn.LeakyReLU(SLOPE)]  # (N, s, s, c) -> (N, s·stride, s·stride, c/2)
        c //= 2
    last = nn.ConvTranspose2d(c, channels, 5, stride=2, padding="same", bias=False, generator=random)
    return nn.Sequential(*layers, last, nn.Tanh())  # (N, S, S, C)


def _discriminator(channels: int, start: int, n: int, width: int, batch_norm: bool,
                   random: Generator | None) -> nn.Module:
    layers: list[nn.Module] = []
    before, c = channels, width
    for i in range(n):
        layers.append(nn.Conv2d(before, c, 5, stride=2, padding="same", generator=random))  # (N, s, s, ..) -> s/2, c
        if batch_norm and i:
            layers.append(nn.BatchNorm(c))
        layers.append(nn.LeakyReLU(SLOPE))
        if not batch_norm:
            layers.append(nn.Dropout(DROPOUT, generator=random))
        before, c = c, 2 * c
    return nn.Sequential(*layers, nn.Flatten(), nn.Dense(start * start * before, 1, generator=random))


class DCGANTrainer(AdversarialTrainer):
    """`dcgan` in training. average: the decay of the average of G's weights, a step, in the end.

    lr: the paper's is 2e-4; with batches of 64 small pictures 5e-4 gets as far in half the steps.
    """

    def __init__(self, *, shape: Sequence[int], latent: int = 100, width: int = 64, batch_norm: bool = True,
                 loss: str = "non_saturating", lr: float = 5e-4, average: float = 0.999, seed: int = 0) -> None:
        random = Generator(seed)
        super().__init__(dcgan(shape, latent=latent, width=width, batch_norm=batch_norm, random=random), random,
                         loss=loss, lr=lr, average=average)
