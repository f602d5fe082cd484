"""Numba kernels for the CPU, each a faster form of a reference kernel: the same name, signature and result."""

OVERRIDES: dict[str, str] = {  # kernel -> module here; loaded, and Numba with it, when the kernel is first used
    "uniform": "random",
    "normal": "random",
    "bernoulli": "random",
    "adam_": "optim",
    "adam_all_": "optim",
    "conv": "conv",
    "conv_input": "conv",
    "conv_weight": "conv",
    "rnn": "recurrent",
    "rnn_backward": "recurrent",
    "lstm": "recurrent",
    "lstm_backward": "recurrent",
    "gru": "recurrent",
    "gru_backward": "recurrent",
}
