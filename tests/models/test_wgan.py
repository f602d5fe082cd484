"""The critic and its gradient penalty: against plain evaluation, and to the second order."""

import numpy as np
import pytest

from tinyart import grad, nn, tensor
from tinyart.errors import ShapeError
from tinyart.models.wgan import critic_value, gradient_penalty
from tinyart.optim import Adam
from tinyart.random import Generator
from tinyart.testing import check_grad

RNG = np.random.default_rng(0)
REAL, FAKE, U = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 3)), RNG.uniform(size=5)


def test_critic_value_is_the_difference_of_the_means() -> None:
    assert critic_value(tensor(REAL), tensor(FAKE)).item() == pytest.approx(REAL.mean() - FAKE.mean(), rel=1e-13)


def test_gradient_penalty_of_a_linear_critic_is_the_squared_distance_of_its_slope_from_1() -> None:
    w = np.array([[1.0], [-2.0], [2.0]])  # of length 3 everywhere
    penalty = gradient_penalty(lambda x: x @ tensor(w), tensor(REAL), tensor(FAKE), tensor(U))
    assert penalty.item() == pytest.approx(4.0, rel=1e-12)
    assert gradient_penalty(lambda x: x @ tensor(w / 3), tensor(REAL), tensor(FAKE), tensor(U)).item() < 1e-20


def test_gradient_penalty_is_taken_between_real_and_fake() -> None:
    """Of f(x) = Σ x²/2 the slope at x is x itself."""
    between = REAL * U[:, None] + FAKE * (1 - U[:, None])
    expected = ((np.linalg.norm(between, axis=1) - 1) ** 2).mean()
    penalty = gradient_penalty(lambda x: (x**2).sum(1) * 0.5, tensor(REAL), tensor(FAKE), tensor(U))
    assert penalty.item() == pytest.approx(expected, rel=1e-10)


def test_images_keep_one_share_each() -> None:
    real, fake = RNG.normal(size=(2, 4, 3, 2, 1))
    between = real * U[:4, None, None, None] + fake * (1 - U[:4, None, None, None])
    expected = ((np.sqrt((between**2).sum((1, 2, 3))) - 1) ** 2).mean()
    penalty = gradient_penalty(lambda x: (x**2).sum((1, 2, 3)) * 0.5, tensor(real), tensor(fake), tensor(U[:4]))
    assert penalty.item() == pytest.approx(expected, rel=1e-10)


def test_gradient_penalty_has_right_gradients_by_the_critics_weights() -> None:
    def penalty(w, v):  # type: ignore[no-untyped-def]
        return gradient_penalty(lambda x: (x @ w).tanh() @ v, tensor(REAL), tensor(FAKE), tensor(U))

    check_grad(penalty, RNG.normal(size=(3, 4)), RNG.normal(size=(4, 1)), order=2)


def test_no_gradient_reaches_the_generator() -> None:
    fake, w = tensor(FAKE, requires_grad=True), tensor(RNG.normal(size=(3, 1)), requires_grad=True)
    penalty = gradient_penalty(lambda x: (x @ w).tanh(), tensor(REAL), fake, tensor(U))
    assert np.all(grad(penalty, fake).numpy() == 0)


def test_a_critic_whose_slope_is_0_gets_finite_gradients() -> None:
    w = tensor(np.zeros((3, 1)), requires_grad=True)
    penalty = gradient_penalty(lambda x: x @ w, tensor(REAL), tensor(FAKE), tensor(U))
    assert penalty.item() == pytest.approx(1, abs=1e-5)
    assert np.isfinite(grad(penalty, w).numpy()).all()


def test_the_penalised_critic_finds_the_distance_of_two_points() -> None:
    """W of point masses 3 apart is 3; 3 s - 10 (s - 1)² is largest at s = 1.15. Without the penalty it has no end."""
    real, fake = tensor(np.zeros((32, 2), np.float32)), tensor(np.full((32, 2), [3.0, 0.0], np.float32))
    values = {}
    for weight in (10.0, 0.0):
        random = Generator(0)
        critic = nn.Sequential(nn.Dense(2, 16, generator=random), nn.LeakyReLU(0.2),
                               nn.Dense(16, 1, generator=random))
        optimizer = Adam(critic.parameters(), lr=1e-2)
        for _ in range(300):
            loss = -critic_value(critic(real), critic(fake))
            if weight:
                loss = loss + gradient_penalty(critic, real, fake, random.uniform((32,))) * weight
            optimizer.step(grad(loss, critic.parameters()))
        values[weight] = critic_value(critic(real), critic(fake)).item()
    assert values[10.0] == pytest.approx(3 * 1.15, abs=0.1)
    assert values[0.0] > 30


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"gradient_penalty: real, fake, u: expected \(N, \.\.\) twice, and \(N,\)"):
        gradient_penalty(lambda x: x, tensor(REAL), tensor(FAKE[:4]), tensor(U))
