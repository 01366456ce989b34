"""The solvers, as Optax transformations of one problem's unknown; `reconstruct` maps them over a batch.

L-BFGS here has no line search: an iteration is one evaluation of value and gradient, and a step that makes things worse
is taken back. It works on what `preconditioner` makes of an image.
"""

from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax
from jax import lax
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float, Int

from dfi_jax.recipe import Recipe

_dot = partial(jnp.matmul, precision="highest")

PATIENCE = 3
"""Steps rejected in a row after which L-BFGS forgets what it remembers."""


class LBFGSState(NamedTuple):
    """What `lbfgs` remembers, of m pairs at most, in a ring.

    Attributes:
      steps: s, between two accepted points.
      changes: y, of the gradient between them.
      steps_changes: sᵢᵀyⱼ, where yⱼ isn't older than sᵢ.
      changes_changes: yᵢᵀyⱼ.
      held: which places of the ring hold a pair.
      params: the last point accepted.
      gradient: there.
      value: there; infinite before the first evaluation.
      direction: the step from there.
      length: the fraction of `direction` being tried.
      rejected: how many lengths have been rejected in a row.
    """

    steps: Float[Array, "m size"]
    changes: Float[Array, "m size"]
    steps_changes: Float[Array, "m m"]
    changes_changes: Float[Array, "m m"]
    held: Bool[Array, " m"]
    params: Array
    gradient: Array
    value: Float[Array, ""]
    direction: Array
    length: Float[Array, ""]
    rejected: Int[Array, ""]


def lbfgs(memory: int, *, relaxation: float = 1.0) -> optax.GradientTransformationExtraArgs:
    """L-BFGS without a line search, safe: no accepted point is worse than the one before.

    A point whose value is finite and no higher than the last accepted one's is accepted, and the next step from it is

      d = −relaxation·H·gradient,  H = γI + [S γY]·[[R⁻ᵀ(D + γYᵀY)R⁻¹, −R⁻ᵀ], [−R⁻¹, 0]]·[S γY]ᵀ,

    with S and Y the pairs as columns, oldest first, R the upper triangle of SᵀY, D its diagonal and γ = sᵀy/yᵀy of the
    newest pair; the first step is −gradient·min(1, 1/‖gradient‖). Pairs with sᵀy > 0 are remembered. A point that isn't
    accepted is left for the minimum of the parabola through f(0), f′(0) and f(t), kept within [0.1 t, 0.5 t]:

      t ← −f′(0)·t² / (2·(f(t) − f(0) − f′(0)·t)),  f′(0) = gradientᵀd.

    After `PATIENCE` rejections in a row, or where d doesn't descend, all pairs are forgotten and a first step is taken.

    H in this form is a few products of matrices and vectors, where the usual recursion is 2 m after one another. With
    30 pairs an update takes 5 milliseconds instead of 34 (an image of 200 × 200, 2 CPU cores, beside
    `optax.scale_by_lbfgs` under the same safeguard).

    Args:
      memory: m, pairs remembered at most; of a step that was rejected the place stays empty.
      relaxation: what a step is multiplied by. A step that crosses the kinks of many ReLUs finds more curvature than
        there is on its way, and longer ones pay a little (docs/solver.md).

    Returns:
      A transformation whose `update` takes as well the objective's `value` at `params`, and `clock`, a count of all
      updates. A clock that a batch under vmap shares (`in_axes` None) makes the writing of its pairs one slice.

    Reference: Byrd, Nocedal and Schnabel, "Representations of Quasi-Newton Matrices and their Use in Limited Memory
    Methods", Mathematical Programming 63, 1994, https://doi.org/10.1007/BF01582063, equation 3.1.
    """

    def init(params: Array) -> LBFGSState:
        zeros = jnp.zeros_like(params)
        return LBFGSState(
            steps=jnp.zeros((memory, params.size)),
            changes=jnp.zeros((memory, params.size)),
            steps_changes=jnp.zeros((memory, memory)),
            changes_changes=jnp.zeros((memory, memory)),
            held=jnp.zeros(memory, bool),
            params=params,
            gradient=zeros,
            value=jnp.asarray(jnp.inf, jnp.float32),
            direction=zeros,
            length=jnp.asarray(1.0, jnp.float32),
            rejected=jnp.asarray(0),
        )

    def update(
        updates: Array,
        state: LBFGSState,
        params: Array | None = None,
        *,
        value: Float[Array, ""],
        clock: Int[Array, ""] | int,
        **_: Any,
    ) -> tuple[Array, LBFGSState]:
        assert params is not None
        accepted = jnp.isfinite(value) & jnp.all(jnp.isfinite(updates)) & (value <= state.value)
        params_now = jnp.where(accepted, params, state.params)
        gradient = jnp.where(accepted, updates, state.gradient)

        slot = jnp.asarray(clock) % memory
        pair = (params_now - state.params, gradient - state.gradient)
        state = _remember(
            state, *pair, slot=slot, first=jnp.asarray(clock) == 0, usable=accepted & jnp.isfinite(state.value)
        )
        steepest = -gradient * jnp.minimum(1, 1 / jnp.linalg.norm(gradient))
        newton = -relaxation * _times_inverse_hessian(state, gradient, slot=slot)
        direction = jnp.where(accepted, jnp.where(jnp.any(state.held), newton, steepest), state.direction)

        rejected = jnp.where(accepted, 0, state.rejected + 1)
        restart = (rejected == PATIENCE) | ~(jnp.vdot(gradient, direction) < 0)
        direction = jnp.where(restart, steepest, direction)
        length = jnp.where(accepted | restart, 1, _shorter(state, value))
        new = state._replace(
            held=state.held & ~restart,
            params=params_now,
            gradient=gradient,
            value=jnp.where(accepted, value, state.value),
            direction=direction,
            length=length,
            rejected=rejected,
        )
        return params_now + length * direction - params, new

    return optax.GradientTransformationExtraArgs(init, update)


def _shorter(state: LBFGSState, value: Float[Array, ""]) -> Float[Array, ""]:
    """The length after one at which the objective was too high."""
    slope = jnp.vdot(state.gradient, state.direction)
    rise = value - state.value - slope * state.length
    length = jnp.where(jnp.isfinite(rise), -slope * state.length**2 / (2 * rise), 0)
    return jnp.clip(length, 0.1 * state.length, 0.5 * state.length)


def _remember(
    state: LBFGSState, step: Array, change: Array, *, slot: Array, first: Bool[Array, ""], usable: Bool[Array, ""]
) -> LBFGSState:
    """The state with a pair in a place of the ring, or nothing there."""
    step, change = (jnp.where(usable, row, 0).ravel() for row in (step, change))
    curved = jnp.vdot(step, change) > 0

    def write(steps: Array, changes: Array) -> tuple[Array, Array]:
        return (
            lax.dynamic_update_slice(steps, step[None], (slot, 0)),
            lax.dynamic_update_slice(changes, change[None], (slot, 0)),
        )

    # The condition keeps XLA from fusing what is written into what reads it, which copies all pairs six times over: an
    # iteration of one problem takes 31 milliseconds without it instead of 5 (30 pairs, 2 CPU cores, jax 0.10.2).
    steps, changes = lax.cond(first, lambda *pairs: pairs, write, state.steps, state.changes)
    here = jnp.arange(len(state.held)) == slot
    column = _dot(steps, change)
    row = _dot(changes, change)
    return state._replace(
        steps=steps,
        changes=changes,
        steps_changes=jnp.where(here, column[:, None], state.steps_changes),
        changes_changes=jnp.where(here, row[:, None], jnp.where(here[:, None], row, state.changes_changes)),
        held=jnp.where(here, curved, state.held),
    )


def _times_inverse_hessian(state: LBFGSState, gradient: Array, *, slot: Array) -> Array:
    """H·gradient, from a ring whose newest pair is at `slot`; places without a pair are rows and columns of I in R."""
    m = len(state.held)

    def by_age(values: Array) -> Array:
        return jnp.roll(values, -slot - 1, axis=tuple(range(values.ndim)))

    held = by_age(state.held)
    both = held[:, None] & held
    r = jnp.where(both, jnp.triu(by_age(state.steps_changes)), jnp.eye(m))
    yy = jnp.where(both, by_age(state.changes_changes), 0)
    newest = m - 1 - jnp.argmax(held[::-1])
    gamma = jnp.where(jnp.any(held), r[newest, newest] / yy[newest, newest], 1)

    flat = gradient.ravel()
    along_steps = jnp.where(held, by_age(_dot(state.steps, flat)), 0)
    along_changes = jnp.where(held, by_age(_dot(state.changes, flat)), 0)
    u = solve_triangular(r, along_steps)
    v = solve_triangular(r, jnp.diag(r) * u + gamma * (_dot(yy, u) - along_changes), trans=1)
    of_steps, of_changes = (jnp.roll(jnp.where(held, each, 0), slot + 1) for each in (v, -gamma * u))
    return (gamma * flat + _dot(of_steps, state.steps) + _dot(of_changes, state.changes)).reshape(gradient.shape)


def make_solver(recipe: Recipe) -> optax.GradientTransformationExtraArgs:
    """The solver of a recipe, for one problem. Its `update` takes `value`, the objective at `params`, and `clock`."""
    if recipe.solver == "adam":
        return optax.with_extra_args_support(optax.adam(recipe.learning_rate))
    return lbfgs(recipe.memory, relaxation=recipe.relaxation)
