"""Adam, as an Optax transformation of one problem's unknown."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from dfi_jax.recipe import Adam

BETA1, BETA2 = 0.9, 0.999
"""Decay rates of the two moments, with the values of the paper, which dfi-tensorflow keeps."""


class EpsilonHatState(NamedTuple):
    """The memory of Adam with ε̂.

    Attributes:
      updates: Number of updates so far.
      first: Decaying mean m of the gradients.
      second: Decaying mean v of their squares.
    """

    updates: Int[Array, ""]
    first: Array
    second: Array


def adam(recipe: Adam) -> optax.GradientTransformation:
    """Returns Adam with a recipe's schedule and ε.

    Step t is −rate·m̂/(√v̂ + ε), with m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ). With `epsilon_hat`, it
    is −rate·(1 − β₁ᵗ)⁻¹·√(1 − β₂ᵗ)·m/(√v + ε), as in TensorFlow. The rate is multiplied by
    `drop_factor` after each of the `drops`.

    Args:
      recipe: The fields.

    References:
      Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015,
      https://arxiv.org/abs/1412.6980, algorithm 1, and the end of section 2 for ε̂.

    >>> solver, x = adam(Adam(learning_rate=0.5)), jnp.array([3.0])
    >>> step, _ = solver.update(2 * x, solver.init(x), x)
    >>> step.round(3).tolist()
    [-0.5]
    """
    rate: Any = recipe.learning_rate
    if recipe.drops:
        drops = dict.fromkeys(recipe.drops, recipe.drop_factor)
        rate = optax.piecewise_constant_schedule(recipe.learning_rate, drops)
    if not recipe.epsilon_hat:
        return _converting(optax.adam(rate, b1=BETA1, b2=BETA2, eps=recipe.epsilon))
    scaling = _scale_with_epsilon_hat(recipe.epsilon)
    return _converting(optax.chain(scaling, optax.scale_by_learning_rate(rate)))


def _converting(solver: optax.GradientTransformation) -> optax.GradientTransformation:
    """Returns the solver for programs that let JAX convert no types, as Optax needs it."""

    def update(updates: Array, state: Any, params: Array | None = None) -> tuple[Any, Any]:
        with jax.numpy_dtype_promotion("standard"):
            return solver.update(updates, state, params)

    return optax.GradientTransformation(solver.init, update)


def _scale_with_epsilon_hat(epsilon: float) -> optax.GradientTransformation:
    def init(params: Array) -> EpsilonHatState:
        zeros = jnp.zeros_like(params)
        return EpsilonHatState(updates=jnp.asarray(0, jnp.int32), first=zeros, second=zeros)

    def update(
        updates: Array, state: EpsilonHatState, params: Array | None = None
    ) -> tuple[Array, EpsilonHatState]:
        count = state.updates + 1
        first = BETA1 * state.first + (1 - BETA1) * updates
        second = BETA2 * state.second + (1 - BETA2) * jnp.square(updates)
        # In a process that uses float64, powers whose exponent is an array of integers are float64.
        correction = (jnp.sqrt(1 - BETA2**count) / (1 - BETA1**count)).astype(updates.dtype)
        scaled = correction * first / (jnp.sqrt(second) + epsilon)
        return scaled, EpsilonHatState(count, first, second)

    return optax.GradientTransformation(init, update)
