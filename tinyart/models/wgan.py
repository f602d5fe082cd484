"""The Wasserstein GAN and its gradient penalty (Arjovsky, Chintala & Bottou 2017; Gulrajani et al. 2017, WGAN-GP).

    W(p_data, p_g) = max_f E_x[f(x)] - E_z[f(G(z))],  f with slopes of at most 1       `critic_value`; the maximum is W
    P = E_u[(‖∂f(x̂)/∂x̂‖ - 1)²],  x̂ = u x + (1 - u) G(z),  u ~ U(0, 1)                  `gradient_penalty`

The critic f descends λ P - E_x[f(x)] + E_z[f(G(z))], the generator -E_z[f(G(z))]. Document 4's code trains on
D(real) - D(fake) alone: without the bound on slopes that has no maximum, and D grows without end. Document 3, section
9.2, names gradient penalty and clipping in one breath: this penalty changes what f is, clipping how far a step goes.

f gives a number for each of N inputs (N, ..) -> (N, 1).
"""

from collections.abc import Callable

from tinyart import ops
from tinyart.errors import ShapeError
from tinyart.graph import grad, leaf, no_grad
from tinyart.tensor import Tensor


def critic_value(real: Tensor, fake: Tensor) -> Tensor:
    """mean f(x) - mean f(G(z)): (N, 1), (N, 1) -> (). No logarithm: f is no probability."""
    return real.mean() - fake.mean()


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, u: Tensor) -> Tensor:
    """mean (‖∂f(x̂)/∂x̂‖ - 1)² with x̂ = u x + (1 - u) G(z): real, fake (N, ..), u (N,) in [0, 1] -> ()

    A gradient inside a loss: the critic's step differentiates it a second time. x̂ is a constant of it: no gradient
    reaches G. f must not mix the inputs of a batch: with batch normalisation there is no ∂f(x̂)/∂x̂ of one input.

    Errors: `ShapeError` for shapes that differ.
    """
    if real.shape != fake.shape or u.shape != real.shape[:1]:
        raise ShapeError("gradient_penalty", "real, fake, u", "(N, ..) twice, and (N,)",
                         f"{real.shape}, {fake.shape} and {u.shape}")
    with no_grad():
        share = u.reshape((-1, *[1] * (real.ndim - 1)))
        between = real * share + fake * (1.0 - share)
    leaf(between)
    slope = grad(critic(between).sum(), between, create_graph=True)  # (N, ..)
    norms = ops.sqrt((slope.reshape((len(slope), -1)) ** 2).sum(1) + 1e-12)  # (N,); √ has no slope at 0
    return ((norms - 1.0) ** 2).mean()
