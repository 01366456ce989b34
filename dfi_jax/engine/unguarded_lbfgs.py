"""L-BFGS in which every step is taken, as in chainer-dfi and `torch.optim.LBFGS`.

It is an Optax transformation of one problem's unknown, like `lbfgs`, which is faster and safer.
This one is for reproducing published results: the pairs are applied one after the other, in the
order of the originals, because the rounding errors of another order would grow with every step.
"""

from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Bool, Float

from dfi_jax.recipe import UnguardedLBFGS

# By default, a GPU would multiply with TF32's ten bits of mantissa.
_inner = partial(jnp.vdot, precision="highest")

SMALLEST_CURVATURE = 1e-10
"""A pair is remembered if its yᵀs is larger, both in chainer-dfi and in PyTorch."""


class UnguardedState(NamedTuple):
    """The memory of `unguarded_lbfgs`: at most m pairs.

    Attributes:
      steps: Steps s, the newest last.
      changes: Changes y of the gradient over those steps.
      curvatures: yᵀs of each pair, 0 for a place without a pair.
      gamma: yᵀs/yᵀy of the newest pair, 1 before the first.
      step: The last step.
      gradient: The gradient before that step.
      value: The objective before that step, infinite before the first evaluation.
      ended: Whether the solver's own tolerances end the problem at the last evaluated point.
    """

    steps: Float[Array, "m *size"]
    changes: Float[Array, "m *size"]
    curvatures: Float[Array, " m"]
    gamma: Float[Array, ""]
    step: Array
    gradient: Array
    value: Float[Array, ""]
    ended: Bool[Array, ""]


def unguarded_lbfgs(recipe: UnguardedLBFGS) -> optax.GradientTransformationExtraArgs:
    """Returns L-BFGS with constant steps.

    The step from a point with the gradient g is −relaxation·r, where r is found from the pairs
    (sᵢ, yᵢ) by two loops, from the newest pair to the oldest and back:

      q = g;  aᵢ = ρᵢ·sᵢᵀq,  q ← q − aᵢyᵢ;  r = γq;  r ← r + (aᵢ − ρᵢ·yᵢᵀr)·sᵢ,

    with ρᵢ = 1/max(yᵢᵀsᵢ, `curvature_floor`) and γ = yᵀs/yᵀy of the newest pair. The first step is
    −relaxation·g, or −relaxation·g·min(1, 1/‖g‖₁). A pair is remembered if its yᵀs is larger than
    `SMALLEST_CURVATURE`.

    With `gradient_tolerance` t and `change_tolerance` u, the problem ends at a point if max|g| ≤ t,
    if the step to it has max|s| ≤ u or has changed the objective by less than u, or if gᵀr < u.
    With u = 0, only the first of these ends it.

    Args:
      recipe: The fields.

    Returns:
      A transformation whose `update` also takes `value`, the objective at `params`.

    References:
      Nocedal and Wright, "Numerical Optimization", 2nd edition, 2006, algorithm 7.4.

    >>> import jax.numpy as jnp
    >>> solver = unguarded_lbfgs(UnguardedLBFGS(first_step="gradient"))
    >>> x = jnp.array([3.0, -2.0])
    >>> state = solver.init(x)
    >>> for _ in range(2):
    ...     step, state = solver.update(3 * x, state, x, value=1.5 * jnp.sum(x**2))
    ...     x = x + step
    >>> [round(abs(z), 4) for z in x.tolist()]
    [0.0, 0.0]
    """

    def init(params: Array) -> UnguardedState:
        zeros = jnp.zeros_like(params)
        pairs = jnp.zeros((recipe.memory, *params.shape), params.dtype)
        return UnguardedState(
            steps=pairs,
            changes=pairs,
            curvatures=jnp.zeros(recipe.memory, params.dtype),
            gamma=jnp.asarray(1.0, params.dtype),
            step=zeros,
            gradient=zeros,
            value=jnp.asarray(jnp.inf, params.dtype),
            ended=jnp.asarray(False),
        )

    def update(
        updates: Array,
        state: UnguardedState,
        params: Array | None = None,
        *,
        value: Float[Array, ""],
        **_: Any,
    ) -> tuple[Array, UnguardedState]:
        first = jnp.isinf(state.value)
        state_now = _remember(state, updates, first=first)
        direction = -_times_inverse_hessian(state_now, updates, floor=recipe.curvature_floor)
        factor = jnp.asarray(recipe.relaxation, updates.dtype)
        if recipe.first_step == "unit":
            shortened = factor * jnp.minimum(1, 1 / jnp.sum(jnp.abs(updates)))
            factor = jnp.where(first, shortened, factor)
        ended = jnp.max(jnp.abs(updates)) <= recipe.gradient_tolerance
        if recipe.change_tolerance > 0:
            small = jnp.max(jnp.abs(state.step)) <= recipe.change_tolerance
            still = jnp.abs(value - state.value) < recipe.change_tolerance
            flat = -_inner(updates, direction) < recipe.change_tolerance
            ended |= (~first & (small | still)) | flat
        step = factor * direction
        return step, state_now._replace(step=step, gradient=updates, value=value, ended=ended)

    return optax.GradientTransformationExtraArgs(init, update)


def _remember(state: UnguardedState, gradient: Array, *, first: Bool[Array, ""]) -> UnguardedState:
    """Returns the state with the pair of the last step, if it is remembered, as the newest."""
    change = gradient - state.gradient
    curvature = _inner(change, state.step)
    usable = ~first & (curvature > SMALLEST_CURVATURE)

    def append(rows: Array, row: Array) -> Array:
        return jnp.where(usable, jnp.concatenate([rows[1:], row[None]]), rows)

    return state._replace(
        steps=append(state.steps, state.step),
        changes=append(state.changes, change),
        curvatures=append(state.curvatures, curvature),
        gamma=jnp.where(usable, curvature / _inner(change, change), state.gamma),
    )


def _times_inverse_hessian(state: UnguardedState, gradient: Array, *, floor: float) -> Array:
    """Returns r of the two loops."""
    # A position without a pair holds zeros, with which the loops change nothing.
    held = state.curvatures > 0
    inverses = 1 / jnp.where(held, jnp.maximum(state.curvatures, floor), 1)

    def backwards(q: Array, pair: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        step, change, inverse = pair
        along = inverse * _inner(step, q)
        return q - along * change, along

    def forwards(r: Array, pair: tuple[Array, Array, Array, Array]) -> tuple[Array, None]:
        step, change, inverse, along = pair
        return r + (along - inverse * _inner(change, r)) * step, None

    pairs = (state.steps, state.changes, inverses)
    q, along = lax.scan(backwards, gradient, pairs, reverse=True)
    r, _ = lax.scan(forwards, state.gamma * q, (*pairs, along))
    return r
