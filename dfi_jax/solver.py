"""The solvers, as Optax transformations of one problem's unknown; `reconstruct` maps them over a batch.

L-BFGS here has no line search: an iteration is one evaluation of value and gradient, and a safeguard takes back what
made things worse. It works on an image's scaled spectrum, where the problem is better conditioned than on pixels.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from dfi_jax.recipe import Recipe


class SafeguardState(NamedTuple):
    """What `safeguard` remembers.

    Attributes:
      inner: the state of the transformation it guards.
      params: the last point accepted.
      gradient: there.
      value: there; infinite before the first evaluation.
      direction: from there, as the inner transformation proposed it.
      length: the fraction of `direction` being tried.
      rejected: how many lengths have been rejected in a row.
    """

    inner: Any
    params: Array
    gradient: Array
    value: Float[Array, ""]
    direction: Array
    length: Float[Array, ""]
    rejected: Int[Array, ""]


def safeguard(inner: optax.GradientTransformation, *, patience: int = 3) -> optax.GradientTransformationExtraArgs:
    """Guards a quasi-Newton transformation, so that no accepted point is worse than the one before.

    A point whose value is finite and no higher than the last accepted one's is accepted, and the inner transformation
    proposes a step d from it. Otherwise the step is taken back and retried at the minimum of the parabola through
    f(0), f′(0) and f(t), kept within [0.1 t, 0.5 t]:

      t ← −f′(0)·t² / (2·(f(t) − f(0) − f′(0)·t)),  f′(0) = gradientᵀd.

    After `patience` rejections in a row, or where d doesn't descend, the inner state is started afresh.

    Args:
      inner: its updates are steps (already with their sign), and its state is a function of accepted points alone.
      patience: rejections in a row before the inner state is dropped.

    Returns:
      A transformation whose `update` takes the objective's `value` at `params` as well.
    """

    def init(params: Array) -> SafeguardState:
        zeros = jnp.zeros_like(params)
        return SafeguardState(
            inner=inner.init(params),
            params=params,
            gradient=zeros,
            value=jnp.asarray(jnp.inf, jnp.float32),
            direction=zeros,
            length=jnp.asarray(1.0, jnp.float32),
            rejected=jnp.asarray(0),
        )

    def update(
        updates: Array, state: SafeguardState, params: Array | None = None, *, value: Float[Array, ""], **_: Any
    ) -> tuple[Array, SafeguardState]:
        assert params is not None
        accepted = jnp.isfinite(value) & jnp.all(jnp.isfinite(updates)) & (value <= state.value)

        slope = jnp.vdot(state.gradient, state.direction)
        rise = value - state.value - slope * state.length
        shortened = jnp.where(jnp.isfinite(rise), -slope * state.length**2 / (2 * rise), 0)
        length = jnp.where(accepted, 1, jnp.clip(shortened, 0.1 * state.length, 0.5 * state.length))
        rejected = jnp.where(accepted, 0, state.rejected + 1)

        params_now = jnp.where(accepted, params, state.params)
        gradient = jnp.where(accepted, updates, state.gradient)
        proposed, moved = inner.update(gradient, state.inner, params_now)
        direction = jnp.where(accepted, proposed, state.direction)
        inner_now = _select(accepted, moved, state.inner)

        restart = (rejected == patience) | (jnp.vdot(gradient, direction) >= 0)
        fresh_direction, fresh = inner.update(gradient, inner.init(params_now), params_now)
        direction = jnp.where(restart, fresh_direction, direction)
        inner_now = _select(restart, fresh, inner_now)
        length = jnp.where(restart, 1, length)

        new = SafeguardState(
            inner=inner_now,
            params=params_now,
            gradient=gradient,
            value=jnp.where(accepted, value, state.value),
            direction=direction,
            length=length,
            rejected=rejected,
        )
        return params_now + length * direction - params, new

    return optax.GradientTransformationExtraArgs(init, update)


def _select(condition: Bool[Array, ""], yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


def make_solver(recipe: Recipe) -> optax.GradientTransformationExtraArgs:
    """The solver of a recipe, for one problem. Its `update` takes `value`, the objective at `params`."""
    if recipe.solver == "adam":
        return optax.with_extra_args_support(optax.adam(recipe.learning_rate))
    return safeguard(optax.chain(optax.scale_by_lbfgs(memory_size=recipe.memory), optax.scale(-1)))


def spectrum_scale(size: tuple[int, int], *, power: float) -> Float[np.ndarray, "h f 1"]:
    """s = 1/max(f, 1/size)^power over the frequencies f of a real 2-D FFT, in cycles a pixel, with mean square 1."""
    height, width = size
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    values = np.maximum(frequency, 1 / max(size)) ** -power
    return (values / np.sqrt(np.mean(values**2)))[..., None].astype(np.float32)


def to_image(
    unknown: Float[Array, "n h w 3"], start: Float[Array, "n h w 3"], *, power: float
) -> Float[Array, "n h w 3"]:
    """z = start + F⁻¹(s·F(q)): the image that the unknown q stands for; `power` 0 makes it start + q."""
    if power == 0:
        return start + unknown
    size = (start.shape[1], start.shape[2])
    spectrum = jnp.fft.rfft2(unknown, axes=(1, 2)) * spectrum_scale(size, power=power)
    return start + jnp.fft.irfft2(spectrum, s=size, axes=(1, 2))
