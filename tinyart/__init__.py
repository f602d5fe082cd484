"""tinyart: a small deep-learning framework for making art."""

import os as _os

__version__ = "0.1.0"

# `tinyart.kernels` is the folder kernels/, which an install puts inside this package. In a checkout, and in an
# editable install, it lies beside the package. Where both could be found, only the inner one is ours: what lies
# beside an installed package may be another project's `kernels`.
if not _os.path.isdir(_os.path.join(_os.path.dirname(__file__), "kernels")):
    __path__.append(_os.path.dirname(_os.path.dirname(_os.path.abspath(__file__))))

from tinyart import nn, ops, optim, random
from tinyart.backend import get_num_threads, set_matmul_precision, set_num_threads
from tinyart.graph import detect_anomaly, grad, no_grad
from tinyart.io import load, save
from tinyart.ops import *  # noqa: F403  (the operations, whose names are the table of contents of tinyart.ops)
from tinyart.random import manual_seed
from tinyart.replay import Replay, fetch
from tinyart.tensor import Tensor, from_dlpack, tensor
