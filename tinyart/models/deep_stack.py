"""The generator of document 1, section 4.1: 165 times a dense layer, ReLU and batch normalisation."""

from tinyart import nn
from tinyart.errors import ArgumentError
from tinyart.random import Generator


def deep_stack(blocks: int = 165, width: int = 1024, *, inputs: int = 100, outputs: int = 784,
               generator: Generator | None = None) -> nn.Sequential:
    """`blocks` of Dense(width), ReLU and BatchNorm, then Dense(outputs) and a sigmoid: (N, inputs) -> (N, outputs)

    The document's code breaks off after its 165th block; the last two layers, which make pixels, are ours. Its
    library's BatchNorm has eps 1e-3 and keeps 0.99 of the running moments. Parameters, with W = width, B = blocks:

        I·W + (B - 1)·W² + 3·B·W + W·O + O      some 173 million for the document's, 694 MB in float32

    Normalisation keeps the activations at one size through all blocks, but not the gradients, which grow from each
    block to the one before it (Yang, Pennington, Rao, Sohl-Dickstein & Schoenholz 2019).
    """
    if min(blocks, width, inputs, outputs) < 1:
        raise ArgumentError("deep_stack", "blocks, width, inputs, outputs", "numbers of at least 1",
                            f"{blocks}, {width}, {inputs}, {outputs}")
    layers: list[nn.Module] = []
    for i in range(blocks):
        layers += [nn.Dense(width if i else inputs, width, generator=generator), nn.ReLU(),
                   nn.BatchNorm(width, momentum=0.01, eps=1e-3)]
    return nn.Sequential(*layers, nn.Dense(width, outputs, generator=generator), nn.Sigmoid())
