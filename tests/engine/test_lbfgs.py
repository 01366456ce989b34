import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dfi_jax import LBFGS, Adam
from dfi_jax.engine.lbfgs import lbfgs, make_solver


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
    state, point = solver.init(jnp.full(1, 0.2)), jnp.full(1, 0.2)
    # The parabola through f is f itself, so its minimum is at 0.
    for expected in (-0.8, 0.0):
        step, state = solver.update(100 * point, state, point, value=50 * point[0] ** 2)
        point = point + step
        assert point[0] == pytest.approx(expected, abs=1e-6)


def test_after_three_rejections_the_memory_is_dropped():
    solver = make_solver(LBFGS())
    point = jnp.array([1.0, 2.0])
    state = solver.init(point)
    for x in (point, point - 0.5):  # The gradient of f = ‖x‖²/2 is x.
        _, state = solver.update(x, state, x, value=jnp.sum(x**2) / 2)
    assert state.held.sum() == 1
    for rejected in (1, 2, 3):
        nan = jnp.full(2, jnp.nan)
        _, state = solver.update(nan, state, point, value=jnp.asarray(jnp.nan))
        assert state.rejected == rejected
    assert not state.held.any()
    np.testing.assert_allclose(state.params, point - 0.5)
    np.testing.assert_array_less(0, -np.vdot(state.gradient, state.direction))


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
    at = rng.normal(size=9)
    state, steps, last = solver.init(jnp.asarray(at, jnp.float32)), [], None
    value = 100.0
    # The points are chosen at random; only the four newest positions of the ring count.
    for count in range(12):
        refused = count in rejections
        gradient = matrix @ at
        value = value + 1 if refused else value - 1
        _, state = solver.update(
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
