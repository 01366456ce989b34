"""Adam's schedule and its two places for ε, against float64: NumPy from formulas, and PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from builders import make_vector, small_recipe

from dfi_jax import Adam, make_problem, reconstruct
from dfi_jax.engine.adam import adam
from dfi_jax.network.weights.catalog import CAFFE


def gradient(x):
    """The gradient of a function with curvatures of very different sizes."""
    return np.geomspace(1e-9, 1, x.size) * (x + np.sin(3 * x))


def follow(recipe, x, *, count):
    """The points of the solver under test."""
    solver, at = adam(recipe), jnp.asarray(x, jnp.float32)
    update, state, points = jax.jit(solver.update), solver.init(at), [x]
    for _ in range(count):
        g = jnp.asarray(gradient(np.asarray(at, np.float64)), jnp.float32)
        step, state = update(g, state, at)
        at = at + step
        points.append(np.asarray(at))
    return np.array(points)


def reference(x, *, count, rate, epsilon, hat):
    """The points in float64. `rate` is a function of the number of steps so far."""
    m, v, points = np.zeros_like(x), np.zeros_like(x), [x]
    for t in range(1, count + 1):
        g = gradient(x)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        if hat:  # TensorFlow's documentation of AdamOptimizer.
            x = x - rate(t - 1) * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + epsilon)
        else:  # Algorithm 1 of the paper.
            x = x - rate(t - 1) * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + epsilon)
        points.append(x)
    return np.array(points)


START = np.random.default_rng(0).normal(size=9)


@pytest.mark.parametrize("epsilon", [1e-8, 1e-3])
@pytest.mark.parametrize("hat", [False, True])
def test_points_are_those_of_the_formulas_in_float64(hat, epsilon):
    recipe = Adam(learning_rate=0.05, epsilon=epsilon, epsilon_hat=hat)
    expected = reference(START, count=8, rate=lambda _: 0.05, epsilon=epsilon, hat=hat)
    np.testing.assert_allclose(follow(recipe, START, count=8), expected, atol=1e-5)


def test_the_two_places_of_epsilon_differ():
    found = [follow(Adam(epsilon=1e-3, epsilon_hat=hat), START, count=3) for hat in (False, True)]
    assert np.abs(found[0] - found[1]).max() > 1e-3


@pytest.mark.parametrize("hat", [False, True])
def test_the_rate_drops_after_the_steps_that_are_named(hat):
    recipe = Adam(learning_rate=0.09, drops=(3, 5), drop_factor=1 / 3, epsilon_hat=hat)
    expected = reference(
        START,
        count=8,
        rate=lambda done: 0.09 if done < 3 else 0.03 if done < 5 else 0.01,
        epsilon=1e-8,
        hat=hat,
    )
    np.testing.assert_allclose(follow(recipe, START, count=8), expected, atol=1e-5)


def test_steps_with_epsilon_hat_are_float32_in_a_process_that_uses_float64():
    solver, x = adam(Adam(epsilon_hat=True)), jnp.ones(2, jnp.float32)
    with jax.enable_x64(True):
        step, _ = jax.eval_shape(lambda x: solver.update(x, solver.init(x), x), x)
    assert step.dtype == jnp.float32


def test_torch_takes_the_same_steps():
    torch = pytest.importorskip("torch")
    parameter = torch.nn.Parameter(torch.tensor(START))
    solver = torch.optim.Adam([parameter], lr=0.05, eps=1e-4)
    schedule = torch.optim.lr_scheduler.MultiStepLR(solver, [2, 4], gamma=0.5)
    recipe = Adam(learning_rate=0.05, drops=(2, 4), drop_factor=0.5, epsilon=1e-4)
    for point in follow(recipe, START, count=7)[1:]:
        parameter.grad = torch.tensor(gradient(parameter.detach().numpy()))
        solver.step()
        schedule.step()
        np.testing.assert_allclose(point, parameter.detach().numpy(), atol=1e-5)


def test_tensorflow_s_steps_in_grey_levels_are_taken_on_a_network(random_vgg, waves):
    """A rate of 0.5 grey levels and an ε̂ of 1 are those of dfi-tensorflow's kind."""
    pytest.importorskip("torch")
    from engine.torch_objective import TorchObjective

    solver = Adam(
        iterations=5, learning_rate=0.5 / 255, epsilon=255.0, epsilon_hat=True, result="last"
    )
    recipe = small_recipe(
        objective__bounds="none", objective__loss="sum_squares", vector="unit"
    ).replace(solver=solver)
    vgg = random_vgg.replace(preprocess=CAFFE)
    vector = make_vector(vgg, recipe).features
    problem = make_problem(vgg, waves[:1], vector, [3000.0], recipe=recipe)
    mine = TorchObjective(vgg, problem)
    u = mine.start.copy()
    m, v = np.zeros_like(u), np.zeros_like(u)
    for t in range(1, 6):
        _, g = mine.value_and_gradient(u)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        u -= 0.5 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1)

    found = reconstruct(vgg, problem, recipe=recipe)
    np.testing.assert_allclose(found.images[0], mine.image(u), atol=1e-5)
    assert (found.iterations[0], found.evaluations[0]) == (5, 6)
    np.testing.assert_allclose(found.objective, mine.value_and_gradient(u)[0], rtol=1e-4)
    np.testing.assert_array_equal(found.objective, found.history[:, -1])
