"""A batch of problems on its way down: its state, and one iteration of it, on the devices of a mesh.

Each problem has its own solver state, its own record of the objective and its own end; only the count of iterations is
the batch's.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int

from dfi_jax import parallel, preconditioner
from dfi_jax.objective import feature_loss, objective
from dfi_jax.problem import Problem
from dfi_jax.recipe import Recipe
from dfi_jax.solver import make_solver
from dfi_jax.vgg import VGG

WINDOW = 10
"""Iterations over which progress is measured against a recipe's `tolerance`."""

PENALTY = 0.01
"""Of the sum of squares by which pixels leave [0, 1], over the loss of features that are all zero. The network sees
pixels clipped, so the penalty only calls them back, and it should be no stiffer than the loss (docs/solver.md)."""


class Descent(NamedTuple):
    """The state of a batch; every leaf has the batch as its first axis.

    Attributes:
      unknown: where the next evaluation is, as `preconditioner.to_image` takes it, or z − start without one.
      places: as `preconditioner.places` gives them.
      solver: its state.
      best: the best images so far.
      value: the objective there.
      earlier: the same at the last measurement of progress.
      history: the objective of the best image after each evaluation.
      iterations: evaluations so far.
      done: problems that have ended.
    """

    unknown: Float[Array, "n h w 3"]
    places: Float[Array, "n h w 1"]
    solver: Any
    best: Float[Array, "n h w 3"]
    value: Float[Array, " n"]
    earlier: Float[Array, " n"]
    history: Float[Array, "n i"]
    iterations: Int[Array, " n"]
    done: Bool[Array, " n"]


@partial(jax.jit, static_argnames="recipe")
def begin(problem: Problem, *, recipe: Recipe) -> Descent:
    """Every problem at its start."""
    n = problem.start.shape[0]
    unknown = jnp.zeros_like(problem.start)
    infinite = jnp.full(n, jnp.inf, jnp.float32)
    return Descent(
        unknown=unknown,
        places=preconditioner.places(problem.start),
        solver=jax.vmap(make_solver(recipe).init)(unknown),
        best=problem.start,
        value=infinite,
        earlier=infinite,
        history=jnp.zeros((n, recipe.iterations)),
        iterations=jnp.zeros(n, jnp.int32),
        done=jnp.zeros(n, bool),
    )


@partial(jax.jit, static_argnames="recipe", donate_argnums=(0, 1))
def place(
    problem: Problem, descent: Descent, single: Problem, slot: Int[Array, ""], *, recipe: Recipe
) -> tuple[Problem, Descent]:
    """The batch with a problem at its start in one place."""
    fresh = (single, begin(single, recipe=recipe))
    return jax.tree.map(lambda all_of_them, one: all_of_them.at[slot].set(one[0]), (problem, descent), fresh)


@jax.jit
def keep(problem: Problem, descent: Descent, slots: Int[Array, " s"]) -> tuple[Problem, Descent]:
    """A smaller batch, of some places alone."""
    return jax.tree.map(lambda leaf: leaf[slots], (problem, descent))


def advance(
    vgg: VGG, problem: Problem, descent: Descent, steps: int, *, clock: int, recipe: Recipe, mesh: Mesh
) -> Descent:
    """So many iterations of the batch, after `clock` of them.

    On an accelerator they are one compiled loop. On a CPU the loop is Python's: inside of one XLA lowers convolutions
    another way, and a step takes 4 times as long (VGG-16, 200 × 200, jax 0.10.2, 2 cores).
    """
    begun = jnp.asarray(clock, jnp.int32)
    if jax.default_backend() != "cpu":
        return _steps(vgg, problem, descent, begun, begun + steps, recipe=recipe, mesh=mesh)
    for i in range(steps):
        descent = _step(vgg, problem, descent, begun + i, recipe=recipe, mesh=mesh)
    return descent


@partial(jax.jit, static_argnames=("recipe", "mesh"), donate_argnums=2)
def _steps(
    vgg: VGG, problem: Problem, descent: Descent, begun: Array, end: Array, *, recipe: Recipe, mesh: Mesh
) -> Descent:
    def steps_here(vgg: VGG, problem: Problem, descent: Descent, begun: Array, end: Array) -> Descent:
        return lax.fori_loop(begun, end, lambda i, now: _iterate(vgg, problem, now, i, recipe=recipe), descent)

    each = parallel.on_each(steps_here, mesh, replicated=(True, False, False, True, True))
    return each(vgg, problem, descent, begun, end)


@partial(jax.jit, static_argnames=("recipe", "mesh"), donate_argnums=2)
def _step(vgg: VGG, problem: Problem, descent: Descent, clock: Array, *, recipe: Recipe, mesh: Mesh) -> Descent:
    step_here = partial(_iterate, recipe=recipe)
    return parallel.on_each(step_here, mesh, replicated=(True, False, False, True))(vgg, problem, descent, clock)


def _iterate(vgg: VGG, problem: Problem, now: Descent, clock: Int[Array, ""], *, recipe: Recipe) -> Descent:
    """One evaluation of every problem, and the solver's step from it."""

    def total(unknown: Array) -> tuple[Array, tuple[Array, Array]]:
        images = _image(unknown, problem.start, now.places, recipe=recipe)
        seen = jnp.clip(images, 0, 1) if recipe.bounds == "valid" else images
        values = objective(vgg, seen, problem.target, problem.square_norms, recipe=recipe)
        if recipe.bounds == "valid":
            nothing = jax.tree.map(jnp.zeros_like, problem.target)
            unit = feature_loss(nothing, problem.target, problem.square_norms, loss=recipe.loss)
            values = values + PENALTY * unit * jnp.sum(jnp.square(images - seen), axis=(1, 2, 3))
        return values.sum(), (values, seen)

    (_, (values, images)), gradient = jax.value_and_grad(total, has_aux=True)(now.unknown)
    solve = partial(_solve, make_solver(recipe), clock)
    updates, solver = jax.vmap(solve)(gradient, now.solver, now.unknown, values)
    better = ~now.done & (values < now.value)
    value = jnp.where(better, values, now.value)
    iterations = now.iterations + ~now.done
    measured = iterations % WINDOW == 0
    stalled = measured & (recipe.tolerance > 0) & (value >= (1 - recipe.tolerance) * now.earlier)
    return now._replace(
        unknown=optax.apply_updates(now.unknown, updates),
        solver=solver,  # of those that are done as well: to keep theirs would copy all pairs
        best=_where(better, images, now.best),
        value=value,
        earlier=jnp.where(measured, value, now.earlier),
        history=jnp.where(jnp.arange(recipe.iterations) == now.iterations[:, None], value[:, None], now.history),
        iterations=iterations,
        done=now.done | stalled | (iterations == recipe.iterations),
    )


def _image(unknown: Array, start: Array, places: Array, *, recipe: Recipe) -> Float[Array, "n h w 3"]:
    if recipe.solver == "lbfgs" and recipe.preconditioner == "vgg":
        return preconditioner.to_image(unknown, start, places)
    return start + unknown


def _solve(
    solver: optax.GradientTransformationExtraArgs, clock: Array, gradient: Array, state: Any, at: Array, value: Array
) -> tuple[Any, Any]:
    return solver.update(gradient, state, at, value=value, clock=clock)


def _where(condition: Bool[Array, " n"], yes: Array, no: Array) -> Array:
    return jnp.where(condition.reshape(-1, *[1] * (yes.ndim - 1)), yes, no)
