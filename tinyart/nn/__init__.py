"""Neural networks: modules with parameters, layers, and how their weights start."""

from tinyart.nn import init
from tinyart.nn.layers import (
    ELU,
    GELU,
    AvgPool2d,
    BatchNorm,
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    LayerNorm,
    LeakyReLU,
    MaxPool2d,
    ReLU,
    Reshape,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from tinyart.nn.module import Module, Parameter
from tinyart.nn.recurrent import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell, detached
