import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dfi_jax import LBFGS, Adam
from dfi_jax.engine.lbfgs import lbfgs
from dfi_jax.engine.solver import make_solver


def minimise(function, start, *, iterations):
    """The accepted values, and the last accepted point."""
    solver = make_solver(LBFGS())
    value_and_gradient = jax.jit(jax.value_and_grad(function))
    update = jax.jit(solver.update)
    point, state, accepted = start, solver.init(start), []
    for _ in range(iterations):
        value, gradient = value_and_gradient(point)
        step, state = update(gradient, state, point, value=value)
        accepted.append(float(state.value))
        point = optax.apply_updates(point, step)
    return np.array(accepted), state.params


def rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def test_a_quadratic_is_solved_to_its_closed_form():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(12, 12))
    matrix = root @ root.T / 12 + np.eye(12)
    b = rng.normal(size=12)
    solution = np.linalg.solve(matrix, b)
    a32, b32 = jnp.asarray(matrix, jnp.float32), jnp.asarray(b, jnp.float32)
    _, found = minimise(lambda x: x @ a32 @ x / 2 - b32 @ x, jnp.zeros(12), iterations=60)
    # Below that, float32 doesn't resolve a change of the value.
    np.testing.assert_allclose(found, solution, atol=1e-3)


def test_accepted_values_never_rise_and_a_curved_valley_is_followed_to_its_end():
    accepted, found = minimise(rosenbrock, jnp.full(6, -1.2), iterations=300)
    assert np.all(np.diff(accepted) <= 0)
    np.testing.assert_allclose(found, 1, atol=1e-2)


def test_a_step_into_what_is_not_finite_is_taken_back():
    def walled(x):  # It grows without bound towards 0, and is NaN beyond.
        return jnp.sum(x - 0.01 * jnp.log(x))

    accepted, found = minimise(walled, jnp.full(3, 0.2), iterations=60)
    assert np.isfinite(accepted).all()
    np.testing.assert_allclose(found, 0.01, rtol=1e-2)


def test_a_step_is_shortened_to_the_minimum_of_the_parabola():
    # A first step has length 1, which takes f = 50x² from 0.2 far beyond 0.
    solver = lbfgs(3)
    update = jax.jit(solver.update)
    state, point = solver.init(jnp.full(1, 0.2)), jnp.full(1, 0.2)
    # The parabola through f is f itself, so its minimum is at 0.
    for expected in (-0.8, 0.0):
        step, state = update(100 * point, state, point, value=50 * point[0] ** 2)
        point = point + step
        assert point[0] == pytest.approx(expected, abs=1e-6)


@pytest.fixture(scope="module")
def advanced():
    """A solver of f = ‖x‖²/2, whose gradient is x, after steps to (1, 2) and (0.5, 1.5)."""
    solver = make_solver(LBFGS())
    update, point = jax.jit(solver.update), jnp.array([1.0, 2.0])
    state = solver.init(point)
    for x in (point, point - 0.5):
        _, state = update(x, state, x, value=jnp.sum(x**2) / 2)
    assert state.held.sum() == 1
    return update, state


STEEPEST = -np.array([0.5, 1.5]) / np.hypot(0.5, 1.5)
"""The first step from (0.5, 1.5), and the one after a restart."""


def reject(update, state):
    """The state after a value that isn't finite, and where the solver goes next."""
    nan, at = jnp.full(2, jnp.nan), state.params + 5
    step, state = update(nan, state, at, value=jnp.asarray(jnp.nan))
    return state, at + step


def test_after_three_rejections_the_memory_is_dropped_and_a_full_step_is_tried(advanced):
    update, state = advanced
    direction = state.direction
    for rejected, length in ((1, 0.1), (2, 0.01)):
        state, point = reject(update, state)
        assert state.rejected == rejected
        np.testing.assert_allclose(point, state.params + length * direction, rtol=1e-5)
    state, point = reject(update, state)
    assert not state.held.any()
    np.testing.assert_allclose(state.params, [0.5, 1.5])
    np.testing.assert_allclose(point, state.params + STEEPEST, rtol=1e-5)
    # Further rejections shorten the new step as they did the old one.
    for length in (0.1, 0.01):
        state, point = reject(update, state)
        np.testing.assert_allclose(point, state.params + length * STEEPEST, rtol=1e-5)


def test_a_direction_that_does_not_descend_is_replaced_by_the_steepest(advanced):
    update, state = advanced
    state, point = reject(update, state._replace(direction=state.gradient))
    assert not state.held.any()
    np.testing.assert_allclose(point, state.params + STEEPEST, rtol=1e-5)


def test_a_point_that_is_worse_by_a_little_is_rejected_and_an_equal_one_accepted(advanced):
    update, state = advanced
    point = jnp.array([0.4, 1.4])
    for factor, accepted in ((1.001, False), (1.0, True)):
        _, new = update(point, state, point, value=factor * state.value)
        assert (new.rejected == 0) == accepted
        np.testing.assert_allclose(new.params, point if accepted else state.params)
        assert new.value == state.value


def test_a_step_that_makes_it_much_worse_is_shortened_to_a_tenth(advanced):
    update, state = advanced
    at = state.params + state.direction
    step, _ = update(at, state, at, value=jnp.asarray(1e6))
    np.testing.assert_allclose(at + step, state.params + 0.1 * state.direction, rtol=1e-5)


def test_a_first_step_is_the_gradient_and_no_longer_than_1(advanced):
    update, _ = advanced
    start = make_solver(LBFGS()).init(jnp.zeros(2))
    for gradient, expected in (([0.3, -0.4], [-0.3, 0.4]), ([30.0, -40.0], [-0.6, 0.8])):
        step, _ = update(jnp.array(gradient), start, jnp.zeros(2), value=jnp.asarray(1.0))
        np.testing.assert_allclose(step, expected, rtol=1e-5)


def test_a_recipe_s_memory_and_relaxation_are_the_solver_s(advanced):
    _, state = advanced
    assert make_solver(LBFGS(memory=7)).init(jnp.zeros(2)).held.shape == (7,)
    plain = make_solver(LBFGS(relaxation=1.0))
    state = state._replace(params=jnp.array([1.0, 2.0]), gradient=jnp.array([1.0, 2.0]))
    point = jnp.array([0.5, 1.5])
    _, found = jax.jit(plain.update)(point, state, point, value=state.value)
    # Newton's step on this quadratic leads to 0 at once.
    np.testing.assert_allclose(found.direction, -point, rtol=1e-5)
    _, relaxed = advanced[0](point, state, point, value=state.value)
    np.testing.assert_allclose(relaxed.direction, -1.3 * point, rtol=1e-5)


def two_loops(steps, changes, gradient):
    """H·gradient by algorithm 7.4 of Nocedal and Wright, in float64, with pairs oldest first."""
    q, alphas = gradient.astype(np.float64), []
    for s, y in reversed(list(zip(steps, changes, strict=True))):
        alphas.append(s @ q / (s @ y))
        q = q - alphas[-1] * y
    if steps:
        q = q * (steps[-1] @ changes[-1]) / (changes[-1] @ changes[-1])
    for s, y, alpha in zip(steps, changes, reversed(alphas), strict=True):
        q = q + (alpha - y @ q / (s @ y)) * s
    return q


@pytest.mark.parametrize("rejections", [(), (4, 9)])
def test_a_direction_is_that_of_the_two_loop_recursion(rejections):
    rng = np.random.default_rng(0)
    root = rng.normal(size=(9, 9))
    matrix = root @ root.T + np.eye(9)
    solver = lbfgs(4, relaxation=1.3)
    update = jax.jit(solver.update)
    at = rng.normal(size=9)
    state, steps, last = solver.init(jnp.asarray(at, jnp.float32)), [], None
    value = 100.0
    # The points are chosen at random; only the four newest positions of the ring count.
    for count in range(12):
        refused = count in rejections
        gradient = matrix @ at
        value = value + 1 if refused else value - 1
        _, state = update(
            jnp.asarray(gradient, jnp.float32),
            state,
            jnp.asarray(at, jnp.float32),
            value=jnp.float32(value),
        )
        if refused:
            steps.append(None)
            value -= 2
        else:
            if count > 0:
                steps.append((at - last[0], gradient - last[1]))
            last = (at, gradient)
            pairs = [pair for pair in steps[-4:] if pair is not None]
            if pairs:
                expected = -1.3 * two_loops(*zip(*pairs, strict=True), gradient)
                np.testing.assert_allclose(
                    state.direction, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max()
                )
        at = at + rng.normal(size=9) * 0.3


def test_problems_under_vmap_are_solved_as_one_by_one():
    solver = make_solver(LBFGS(memory=4))
    scales = jnp.array([1.0, 30.0, 1000.0])
    starts = jnp.asarray(np.random.default_rng(0).normal(size=(3, 5)), jnp.float32)

    def step(scale, point, state):
        value, gradient = jax.value_and_grad(lambda x: scale * rosenbrock(x) / 100)(point)
        update, state = solver.update(gradient, state, point, value=value)
        return point + update, state

    batch, batch_state = starts, jax.vmap(solver.init)(starts)
    singles = [(start, solver.init(start)) for start in starts]
    single_step, batch_step = jax.jit(step), jax.jit(jax.vmap(step))
    for _ in range(15):
        batch, batch_state = batch_step(scales, batch, batch_state)
        singles = [
            single_step(scale, *single) for scale, single in zip(scales, singles, strict=True)
        ]
    for i, (_, state) in enumerate(singles):
        assert batch_state.value[i] == pytest.approx(float(state.value), rel=1e-3)


def test_adam_lowers_its_objective():
    solver = make_solver(Adam(learning_rate=0.1))
    point = jnp.full(3, 2.0)
    state = solver.init(point)
    for _ in range(200):
        step, state = solver.update(2 * point, state, point, value=jnp.sum(point**2))
        point = point + step
    np.testing.assert_allclose(point, 0, atol=1e-2)
