"""The bookkeeping of a descent, on objectives whose values are known in advance.

What Adam minimises here is the sum of all pixels, so it lowers each of them by the learning rate at
every iteration. An image therefore tells how often it was moved.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfi_jax import LBFGS, Adam, Problem, Recipe, VGGSpectrum
from dfi_jax.engine import descent
from dfi_jax.engine.objective import Evaluation
from dfi_jax.engine.preconditioner import contrast_scale

LEARNING_RATE = 2**-6
RATES = np.array([0.03, 0.015])
"""In ten iterations, the problems' objectives fall by 26 % and by 14 %."""


def run(vgg, solver, evaluate, monkeypatch, rates=RATES):
    """Every leaf of the last state, of problems that start at 0."""
    monkeypatch.setattr(descent, "evaluate", evaluate)
    recipe = Recipe(solver=solver)
    rates = jnp.asarray(rates, jnp.float32)
    problem = Problem(jnp.zeros((len(rates), 2, 2, 3)), {"rate": rates}, {})
    return jax.jit(lambda problem: descent.run(vgg, problem, recipe=recipe))(problem)


def falling(vgg, images, problem, *, recipe):
    """The sum of the pixels is minimised, and the objective falls by its rate at each iteration."""
    moved = -images.mean(axis=(1, 2, 3)) / LEARNING_RATE
    objective = jax.lax.stop_gradient(jnp.exp(-problem.target["rate"] * moved))
    return Evaluation(images.sum(axis=(1, 2, 3)), objective, images)


@pytest.mark.parametrize(
    ("tolerance", "ends"),
    [(0.0, (40, 40)), (0.2, (40, 20)), (0.5, (20, 20))],
)
def test_a_problem_ends_if_ten_iterations_lower_it_by_less_than_the_tolerance(
    random_vgg, monkeypatch, tolerance, ends
):
    solver = Adam(iterations=40, tolerance=tolerance, learning_rate=LEARNING_RATE)
    end = run(random_vgg, solver, falling, monkeypatch)
    assert end.iterations.tolist() == list(ends)
    assert end.done.all()
    for i, last in enumerate(ends):
        # A problem that has ended stays as it was, though the others continue.
        passed = np.minimum(np.arange(40), last - 1)
        np.testing.assert_allclose(end.history[i], np.exp(-RATES[i] * passed), rtol=1e-4)
        np.testing.assert_allclose(end.value[i], np.exp(-RATES[i] * (last - 1)), rtol=1e-4)
        np.testing.assert_allclose(end.best[i], -(last - 1) * LEARNING_RATE, rtol=1e-4)


def test_an_objective_that_rises_leaves_the_start_as_the_best_image(random_vgg, monkeypatch):
    solver = Adam(iterations=5, learning_rate=LEARNING_RATE)
    end = run(random_vgg, solver, falling, monkeypatch, -RATES)
    np.testing.assert_array_equal(end.best, 0)
    np.testing.assert_array_equal(end.history, 1)


@pytest.mark.parametrize("kind", ["vgg", "none"])
def test_places_are_scaled_by_the_contrast_of_the_start_if_at_all(kind):
    start = jnp.asarray(np.random.default_rng(0).random((2, 16, 16, 3)), jnp.float32)
    start = start.at[0, :8].set(0.5)
    recipe = Recipe().set({"solver.preconditioner": kind})
    begun = descent.begin(Problem(start, {}, {}), recipe=recipe)
    expected = contrast_scale(start, VGGSpectrum()) if kind == "vgg" else 1
    np.testing.assert_allclose(begun.contrast, expected, rtol=1e-5)
    np.testing.assert_array_equal(begun.unknown, 0)
    np.testing.assert_array_equal(begun.best, start)


def test_the_solver_sees_what_is_minimised_and_the_best_image_has_the_lowest_objective(
    random_vgg, monkeypatch
):
    """The minimum is where all pixels are 1, and the objective rises all the way to it."""

    def climbing(vgg, images, problem, *, recipe):
        squares = jnp.sum(jnp.square(images - 1), axis=(1, 2, 3)) / 2
        return Evaluation(squares, jnp.sum(images, axis=(1, 2, 3)), images)

    solver = LBFGS(iterations=12, relaxation=1.0, preconditioner=None)
    end = run(random_vgg, solver, climbing, monkeypatch)
    np.testing.assert_allclose(end.solver.params, 1, atol=1e-4)
    np.testing.assert_array_equal(end.best, 0)
