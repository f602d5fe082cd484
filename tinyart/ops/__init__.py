"""The operations: every function here takes tensors, is differentiable to any order, and states its formula."""

from tinyart.ops.activation import elu, gelu, leaky_relu, relu, sigmoid, silu, softplus
from tinyart.ops.conv import conv1d, conv2d, conv_transpose2d
from tinyart.ops.dropout import dropout
from tinyart.ops.elementwise import (
    abs,
    add,
    arccos,
    arccosh,
    arcsin,
    arcsinh,
    arctan,
    arctanh,
    astype,
    clip,
    cos,
    cosh,
    div,
    equal,
    erf,
    exp,
    expm1,
    greater,
    greater_equal,
    less,
    less_equal,
    log,
    log1p,
    logical_and,
    logical_not,
    logical_or,
    maximum,
    minimum,
    mul,
    neg,
    not_equal,
    power,
    sign,
    sin,
    sinh,
    sqrt,
    sub,
    tan,
    tanh,
    where,
)
from tinyart.ops.index import embedding, gather, getitem, take
from tinyart.ops.loss import bce_with_logits, cross_entropy, kl_normal, kl_to_standard_normal, l1_loss, mse_loss
from tinyart.ops.matmul import dense, matmul
from tinyart.ops.norm import batch_norm, layer_norm
from tinyart.ops.pool import avg_pool2d, max_pool2d
from tinyart.ops.recurrent import gru, lstm, rnn
from tinyart.ops.reduce import argmax, argmin, log_softmax, logsumexp, max, mean, min, softmax, sum, unbroadcast, var
from tinyart.ops.resize import resize
from tinyart.ops.shape import (
    broadcast_to,
    concatenate,
    expand_dims,
    flatten,
    flip,
    pad,
    reshape,
    split,
    squeeze,
    stack,
    swapaxes,
    transpose,
)
