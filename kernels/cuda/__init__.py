"""CUDA C kernels for CuPy arrays, each a faster form of a reference kernel: the same name, signature and result.

`name.cu` says what a kernel computes, which thread does what, and how many bytes it moves; `name.py` plans
and launches. Whatever is not listed here runs as the reference, on CuPy.
"""

OVERRIDES: dict[str, str] = {  # kernel -> module here; loaded, and CuPy with it, when the kernel is first used
    **dict.fromkeys(["conv", "conv_input", "conv_weight"], "conv"),
    **dict.fromkeys(["batch_norm", "batch_norm_backward"], "norm"),
    **dict.fromkeys(["layer_norm", "layer_norm_backward"], "layer"),
    **dict.fromkeys(["exp", "tanh", "sigmoid", "softplus", "relu", "leaky_relu", "elu"], "pointwise"),
    **dict.fromkeys(["softmax", "softmax_backward", "log_softmax", "logsumexp", "cross_entropy"], "rows"),
    **dict.fromkeys(["cross_entropy_backward", "kl_to_standard_normal", "kl_to_standard_normal_backward"], "rows"),
    **dict.fromkeys(["max_pool", "max_pool_input", "max_pool_gather", "sum_pool", "sum_pool_input"], "pool"),
    **dict.fromkeys(["put_add", "take", "take_add", "take_along_add"], "index"),
    **dict.fromkeys(["relu_backward", "sigmoid_backward", "tanh_backward", "leaky_relu_backward"], "pointwise"),
    **dict.fromkeys(["bce_with_logits", "bce_with_logits_backward", "masked"], "pointwise"),
    **dict.fromkeys(["dense", "dense_backward"], "dense"),
    **dict.fromkeys(["rnn", "rnn_backward", "lstm", "lstm_backward", "gru", "gru_backward"], "recurrent"),
    "matmul": "blas",
    "sum": "reduce",
    **dict.fromkeys(["adam_all_", "sgd_all_", "rmsprop_all_", "lerp_all_", "norm_all", "scaled_all"], "optim"),
    **dict.fromkeys(["uniform", "normal", "bernoulli", "randint"], "random"),
}
