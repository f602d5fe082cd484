"""Every kernel as the plainest array code: definition, oracle and fallback. NumPy or CuPy arrays in and out."""

from .conv import conv, conv_input, conv_weight
from .elementwise import *  # noqa: F403  (a table of names)
from .index import put_add, take, take_add, take_along, take_along_add
from .linear import dense, dense_backward, matmul
from .loss import (
    cross_entropy,
    cross_entropy_backward,
    kl_to_standard_normal,
    kl_to_standard_normal_backward,
)
from .norm import batch_norm, batch_norm_backward, layer_norm, layer_norm_backward
from .optim import adam_, adam_all_, norm_all, rmsprop_, rmsprop_all_, scaled_all, sgd_, sgd_all_
from .pool import max_pool, max_pool_gather, max_pool_input, sum_pool, sum_pool_input
from .random import bernoulli, counters_used, normal, permutation, randint, uniform
from .recurrent import gru, gru_backward, lstm, lstm_backward, rnn, rnn_backward
from .reduce import argmax, argmin, log_softmax, logsumexp, max, min, softmax, softmax_backward, sum
from .shape import broadcast_to, concatenate, flip, getitem, pad, reshape, split, transpose
