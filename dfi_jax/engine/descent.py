"""A batch of problems on its way down: its state, and one iteration of it on the devices of a mesh.

Each problem has its own solver state, its own history and its own end, so a batch gives the same
images as its problems one by one, up to the rounding of float32.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int

from dfi_jax.engine import devices, preconditioner
from dfi_jax.engine.objective import evaluate
from dfi_jax.engine.problem import Problem
from dfi_jax.engine.solver import make_solver
from dfi_jax.network.vgg import VGG
from dfi_jax.recipe import LBFGS, Recipe, UnguardedLBFGS, VGGSpectrum

WINDOW = 10
"""Number of iterations over which progress is measured against a recipe's `tolerance`."""


class Descent(NamedTuple):
    """The state of a batch. Every leaf has the batch as its first axis.

    Attributes:
      unknown: The point of the next evaluation: as `preconditioner.to_image` takes it, z − start
        without a preconditioner, or z − start in the network's units for `UnguardedLBFGS`.
      contrast: The `preconditioner.contrast_scale` of the start, or ones without a preconditioner.
      solver: The state of the solver.
      best: The images that would be returned: the best so far, or the last if the solver returns
        the last.
      value: The objective at these images.
      earlier: The `value` at the last measurement of progress.
      history: The `value` after each evaluation.
      iterations: Number of evaluations so far.
      done: Whether each problem has ended.
    """

    unknown: Float[Array, "n h w 3"]
    contrast: Float[Array, "n h w 1"]
    solver: Any
    best: Float[Array, "n h w 3"]
    value: Float[Array, " n"]
    earlier: Float[Array, " n"]
    history: Float[Array, "n i"]
    iterations: Int[Array, " n"]
    done: Bool[Array, " n"]


@partial(jax.jit, static_argnames="recipe")
def begin(problem: Problem, *, recipe: Recipe) -> Descent:
    """Returns the state of every problem at its start."""
    n = problem.start.shape[0]
    unknown = jnp.zeros_like(problem.start)
    infinite = jnp.full(n, jnp.inf, unknown.dtype)
    scaling = _scaling(recipe)
    if scaling is None:
        contrast = jnp.ones_like(problem.start[..., :1])
    else:
        contrast = preconditioner.contrast_scale(problem.start, scaling)
    return Descent(
        unknown=unknown,
        contrast=contrast,
        solver=jax.vmap(make_solver(recipe.solver).init)(unknown),
        best=problem.start,
        value=infinite,
        earlier=infinite,
        history=jnp.zeros((n, recipe.solver.evaluations), unknown.dtype),
        iterations=jnp.zeros(n, jnp.int32),
        done=jnp.zeros(n, bool),
    )


@partial(jax.jit, static_argnames="recipe", donate_argnums=(0, 1))
def fill(
    problem: Problem, descent: Descent, single: Problem, slot: Int[Array, ""], *, recipe: Recipe
) -> tuple[Problem, Descent]:
    """Returns the batch with a new problem, at its start, in one slot."""
    fresh = (single, begin(single, recipe=recipe))
    return jax.tree.map(lambda batch, one: batch.at[slot].set(one[0]), (problem, descent), fresh)


@jax.jit
def keep(problem: Problem, descent: Descent, slots: Int[Array, " s"]) -> tuple[Problem, Descent]:
    """Returns a smaller batch of some slots only."""
    return jax.tree.map(lambda leaf: leaf[slots], (problem, descent))


def advance(
    vgg: VGG, problem: Problem, descent: Descent, steps: int, *, recipe: Recipe, mesh: Mesh
) -> Descent:
    """Returns the batch after a number of iterations.

    On an accelerator they are one compiled loop. On a CPU the loop is Python's: inside a compiled
    loop XLA lowers convolutions differently, and an iteration takes 4 times as long (VGG-16,
    200 × 200, jax 0.10.2, 2 cores).
    """
    if jax.default_backend() != "cpu":
        return _steps(vgg, problem, descent, jnp.asarray(steps), recipe=recipe, mesh=mesh)
    for _ in range(steps):
        descent = _step(vgg, problem, descent, recipe=recipe, mesh=mesh)
    return descent


def run(vgg: VGG, problem: Problem, *, recipe: Recipe) -> Descent:
    """Returns the batch after all iterations, as one traceable loop.

    It works inside jit, vmap, and shard_map with `check_vma=False`.
    """
    first = begin(problem, recipe=recipe)
    return lax.fori_loop(
        0,
        recipe.solver.evaluations,
        lambda _, now: _iterate(vgg, problem, now, recipe=recipe),
        first,
    )


@partial(jax.jit, static_argnames=("recipe", "mesh"), donate_argnums=2)
def _steps(
    vgg: VGG, problem: Problem, descent: Descent, count: Array, *, recipe: Recipe, mesh: Mesh
) -> Descent:
    def steps_here(vgg: VGG, problem: Problem, descent: Descent, count: Array) -> Descent:
        return lax.fori_loop(
            0, count, lambda _, now: _iterate(vgg, problem, now, recipe=recipe), descent
        )

    replicated = (True, False, False, True)
    everywhere = devices.map_over_devices(steps_here, mesh, replicated=replicated)
    return everywhere(vgg, problem, descent, count)


@partial(jax.jit, static_argnames=("recipe", "mesh"), donate_argnums=2)
def _step(vgg: VGG, problem: Problem, descent: Descent, *, recipe: Recipe, mesh: Mesh) -> Descent:
    step_here = partial(_iterate, recipe=recipe)
    everywhere = devices.map_over_devices(step_here, mesh, replicated=(True, False, False))
    return everywhere(vgg, problem, descent)


def _iterate(vgg: VGG, problem: Problem, now: Descent, *, recipe: Recipe) -> Descent:
    """Returns the batch after one evaluation of every problem and the solver's step from it."""

    def minimised(unknown: Array) -> tuple[Array, tuple[Array, Array, Array]]:
        images = _to_image(vgg, unknown, problem.start, now.contrast, recipe=recipe)
        found = evaluate(vgg, images, problem, recipe=recipe)
        return found.minimised.sum(), found

    (_, found), gradient = jax.value_and_grad(minimised, has_aux=True)(now.unknown)
    update = partial(_update, make_solver(recipe.solver))
    updates, solver = jax.vmap(update)(gradient, now.solver, now.unknown, found.minimised)
    last = recipe.solver.returns_last
    finite = jnp.isfinite(found.objective)
    better = ~now.done & (finite if last else found.objective < now.value)
    value = jnp.where(better, found.objective, now.value)
    iterations = jnp.where(now.done, now.iterations, now.iterations + 1)
    tolerance = recipe.solver.tolerance
    measured = iterations % WINDOW == 0
    stalled = measured & (tolerance > 0) & (value >= (1 - tolerance) * now.earlier)
    # Without a safeguard, a descent may diverge. It then ends at the last finite objective.
    ended = stalled | ~finite if last else stalled
    if isinstance(recipe.solver, UnguardedLBFGS):
        ended |= solver.ended
    # Later entries are set too, so that the history of a problem that ends early stays constant.
    evaluations = jnp.arange(recipe.solver.evaluations, dtype=now.iterations.dtype)
    rest = evaluations[None] >= now.iterations[:, None]
    return now._replace(
        unknown=optax.apply_updates(now.unknown, updates),
        # Problems that are done get a new solver state too: keeping the old would copy all pairs.
        solver=solver,
        best=jnp.where(better[:, None, None, None], found.images, now.best),
        value=value,
        earlier=jnp.where(measured, value, now.earlier),
        history=jnp.where(rest, value[:, None], now.history),
        iterations=iterations,
        done=now.done | ended | (iterations == recipe.solver.evaluations),
    )


def _scaling(recipe: Recipe) -> VGGSpectrum | None:
    return recipe.solver.preconditioner if isinstance(recipe.solver, LBFGS) else None


def _to_image(
    vgg: VGG, unknown: Array, start: Array, contrast: Array, *, recipe: Recipe
) -> Float[Array, "n h w 3"]:
    if isinstance(recipe.solver, UnguardedLBFGS):
        return start + unknown * jnp.asarray([[[vgg.preprocess.unit_rgb]]], unknown.dtype)
    scaling = _scaling(recipe)
    if scaling is None:
        return start + unknown
    return preconditioner.to_image(unknown, start, contrast, scaling)


def _update(
    solver: optax.GradientTransformationExtraArgs,
    gradient: Array,
    state: Any,
    at: Array,
    value: Array,
) -> tuple[Any, Any]:
    return solver.update(gradient, state, at, value=value)
