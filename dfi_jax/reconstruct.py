"""Reconstruction: the images whose features are nearest to their targets, a batch of independent problems at a time.

A problem is a start and a target. Every problem in a batch has its own solver state, its own record of the objective
and its own end, so a batch gives the same images as its problems one by one, to float tolerance.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from dfi_jax.attribute import scaled_vector
from dfi_jax.errors import InputError
from dfi_jax.features import normalize, square_norms
from dfi_jax.objective import objective
from dfi_jax.recipe import Recipe
from dfi_jax.solver import make_solver, to_image
from dfi_jax.vgg import VGG, Features, features, prepare

WINDOW = 10
"""Iterations over which progress is measured against a recipe's `tolerance`."""

PREPARE_FROM = 300
"""Iterations, of all problems together, from which `vgg.prepare` pays: what it makes takes 18 seconds longer to compile
and saves 0.07 seconds an iteration of a problem (VGG-16, 200 × 200, 2 CPU cores)."""


class Problem(NamedTuple):
    """A batch of problems; every leaf has the batch as its first axis.

    Attributes:
      start: the image that z starts from, RGB in [0, 1].
      target: φ(x) + αw.
      square_norms: ‖φ(x)‖² of each layer.
    """

    start: Float[Array, "n h w 3"]
    target: Features
    square_norms: dict[str, Float[Array, " n"]]


class Reconstruction(NamedTuple):
    """What a batch of problems gave.

    Attributes:
      images: z, in [0, 1].
      objective: at z.
      history: the objective of the best image so far after each evaluation; once a problem is done it stays.
      iterations: evaluations that each problem took.
    """

    images: Float[np.ndarray, "n h w 3"]
    objective: Float[np.ndarray, " n"]
    history: Float[np.ndarray, "n i"]
    iterations: Int[np.ndarray, " n"]


class Progress(NamedTuple):
    """Where a reconstruction stands.

    Attributes:
      iteration: evaluations done, of `total` at most.
      total: evaluations to do.
      objective: of each problem's best image so far.
      images: those.
    """

    iteration: int
    total: int
    objective: Float[np.ndarray, " n"]
    images: Float[Array, "n h w 3"]


class _Run(NamedTuple):
    """The loop's state, a batch of runs; `evaluations` alone is shared."""

    unknown: Float[Array, "n h w 3"]
    solver: Any
    best: Float[Array, "n h w 3"]
    value: Float[Array, " n"]
    earlier: Float[Array, " n"]
    history: Float[Array, "n i"]
    iterations: Int[Array, " n"]
    done: Bool[Array, " n"]
    evaluations: Int[Array, ""]


def make_problem(
    vgg: VGG,
    images: Float[Array, "n h w 3"],
    vector: Features,
    alphas: Float[Array, " n"],
    *,
    recipe: Recipe,
    start: Float[Array, "n h w 3"] | None = None,
) -> Problem:
    """The problems of moving each image's features by its own strength along an attribute vector.

    Args:
      vgg: the network.
      images: x, RGB in [0, 1].
      vector: w, `{layer: (h, w, c)}`.
      alphas: α of each image.
      recipe: how features and vector are normalised, and where z starts.
      start: where z starts, instead of where the recipe says.

    Returns:
      Problems with target φ(x) + α·w, w scaled as `attribute.scaled_vector` says.
    """
    phi = normalize(features(vgg, images, layers=recipe.layers), norm=recipe.feature_norm, scope=recipe.norm_scope)
    w = scaled_vector(vector, phi, recipe=recipe)
    target = {name: layer + alphas[:, None, None, None] * w[name] for name, layer in phi.items()}
    if start is None:
        start = (
            noise_like(images, vgg.preprocess.mean_rgb, seed=recipe.noise_seed) if recipe.init == "noise" else images
        )
    return Problem(start, target, square_norms(phi, scope="layer"))


def noise_like(images: Float[Array, "n h w 3"], mean: Sequence[float], *, seed: int) -> Float[Array, "n h w 3"]:
    """Uniform noise of ±10/255 around a colour, the same for every image of the batch."""
    noise = np.random.default_rng(seed).uniform(-10 / 255, 10 / 255, images.shape[1:])
    return jnp.broadcast_to(jnp.asarray(noise + np.asarray(mean), jnp.float32), images.shape)


def reconstruct(
    vgg: VGG,
    problem: Problem,
    *,
    recipe: Recipe,
    every: int = 5,
    on_progress: Callable[[Progress], None] | None = None,
) -> Reconstruction:
    """argmin over z of distance(φ(z), target) + λ·R(z), for every problem of the batch, in one compiled loop.

    Args:
      vgg: the network.
      problem: the batch.
      recipe: the objective, the solver, its iterations and the image's bounds.
      every: iterations between two calls of `on_progress`; it is called after the first and the last as well.
      on_progress: called with where the reconstruction stands.

    Raises:
      InputError: for a `normalized` recipe with raw weights or the reverse.
    """
    check_network(vgg, recipe)
    if len(problem.start) * recipe.iterations >= PREPARE_FROM:
        vgg = prepare(vgg, layers=recipe.layers)
    run = _begin(problem, recipe=recipe)
    for iteration in range(1, recipe.iterations + 1):
        run = _step(vgg, problem, run, recipe=recipe)
        if iteration % every == 0 or iteration in (1, recipe.iterations):
            if on_progress is not None:
                on_progress(Progress(iteration, recipe.iterations, np.asarray(run.value), _bounded(run.best)))
            if bool(run.done.all()):
                break
    evaluations = int(run.evaluations)
    return Reconstruction(
        np.asarray(_bounded(run.best)), np.asarray(run.value), np.asarray(run.history)[:, :evaluations],
        np.asarray(run.iterations),
    )  # fmt: skip


def sweep(
    vgg: VGG,
    image: Float[Array, "h w 3"],
    vector: Features,
    alphas: Sequence[float],
    *,
    recipe: Recipe,
    on_progress: Callable[[Progress], None] | None = None,
) -> Reconstruction:
    """One image at several strengths: one batch, or one after the other where the recipe starts from the previous.

    Args:
      vgg: the network.
      image: x, RGB in [0, 1].
      vector: w, `{layer: (h, w, c)}`.
      alphas: strengths.
      recipe: as for `reconstruct`.
      on_progress: as for `reconstruct`; strengths one after the other are counted on.

    Returns:
      A reconstruction for each strength, in their order.
    """
    images = jnp.asarray(image)[None]
    if recipe.init != "previous":
        strengths = jnp.asarray(alphas, jnp.float32)
        images = jnp.broadcast_to(images, (len(alphas), *image.shape))
        problem = make_problem(vgg, images, vector, strengths, recipe=recipe)
        return reconstruct(vgg, problem, recipe=recipe, on_progress=on_progress)
    start, results = images, []
    for i, alpha in enumerate(alphas):
        problem = make_problem(vgg, images, vector, jnp.asarray([alpha], jnp.float32), recipe=recipe, start=start)

        def counted_on(progress: Progress, before: int = i * recipe.iterations) -> None:
            if on_progress is not None:
                total = len(alphas) * recipe.iterations
                on_progress(progress._replace(iteration=before + progress.iteration, total=total))

        results.append(reconstruct(vgg, problem, recipe=recipe, on_progress=counted_on))
        start = jnp.asarray(results[-1].images)
    width = max(result.history.shape[1] for result in results)
    history = [np.pad(result.history, ((0, 0), (0, width - result.history.shape[1])), "edge") for result in results]
    return Reconstruction(
        images=np.concatenate([result.images for result in results]),
        objective=np.concatenate([result.objective for result in results]),
        history=np.concatenate(history),
        iterations=np.concatenate([result.iterations for result in results]),
    )


def check_network(vgg: VGG, recipe: Recipe) -> None:
    """Raises InputError unless the network is of the kind that the recipe asks for."""
    if vgg.normalized != (recipe.network == "normalized"):
        kind = "normalized" if vgg.normalized else "raw"
        raise InputError(
            f"the recipe asks for {recipe.network} weights and {vgg.name}'s are {kind}; "
            f"choose other weights or a recipe with network={kind!r}."
        )


def _bounded(images: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
    return jnp.clip(images, 0, 1)


@partial(jax.jit, static_argnames="recipe")
def _begin(problem: Problem, *, recipe: Recipe) -> _Run:
    n = problem.start.shape[0]
    unknown = jnp.zeros_like(problem.start)
    infinite = jnp.full(n, jnp.inf)
    return _Run(
        unknown=unknown,
        solver=jax.vmap(make_solver(recipe).init)(unknown),
        best=problem.start,
        value=infinite,
        earlier=infinite,
        history=jnp.zeros((n, recipe.iterations)),
        iterations=jnp.zeros(n, jnp.int32),
        done=jnp.zeros(n, bool),
        evaluations=jnp.zeros((), jnp.int32),
    )


@partial(jax.jit, static_argnames="recipe", donate_argnums=2)
def _step(vgg: VGG, problem: Problem, run: _Run, *, recipe: Recipe) -> _Run:
    """One iteration of every problem that isn't done.

    The loop over iterations is Python's, not `lax.while_loop`: inside a loop XLA lowers convolutions for CPU another
    way, and a step takes 4 times as long (VGG-16, 200 × 200, jax 0.10.2, 2 cores). Dispatch is asynchronous, so an
    accelerator doesn't wait for Python.
    """

    def total(unknown: Array) -> tuple[Array, tuple[Array, Array]]:
        images = to_image(unknown, problem.start, power=recipe.spectrum_power if recipe.solver == "lbfgs" else 0.0)
        seen = images
        penalty = jnp.zeros(())
        if recipe.bounds == "valid":
            seen = _bounded(images)
            penalty = jnp.sum(jnp.square(images - seen), axis=(1, 2, 3))
        values = objective(vgg, seen, problem.target, problem.square_norms, recipe=recipe) + penalty
        return values.sum(), (values, seen)

    (_, (values, images)), gradient = jax.value_and_grad(total, has_aux=True)(run.unknown)
    updates, solver = jax.vmap(partial(_update, make_solver(recipe)))(gradient, run.solver, run.unknown, values)
    better = ~run.done & (values < run.value)
    value = jnp.where(better, values, run.value)
    evaluations = run.evaluations + 1
    measured = evaluations % WINDOW == 0
    stalled = measured & (recipe.tolerance > 0) & (value >= (1 - recipe.tolerance) * run.earlier)
    return _Run(
        unknown=_where(run.done, run.unknown, optax.apply_updates(run.unknown, updates)),
        solver=jax.tree.map(partial(_where, run.done), run.solver, solver),
        best=_where(better, images, run.best),
        value=value,
        earlier=jnp.where(measured, value, run.earlier),
        history=run.history.at[:, run.evaluations].set(value),
        iterations=run.iterations + ~run.done,
        done=run.done | stalled,
        evaluations=evaluations,
    )


def _update(solver: Any, gradient: Array, state: Any, unknown: Array, value: Array) -> tuple[Array, Any]:
    return solver.update(gradient, state, unknown, value=value)


def _where(condition: Bool[Array, " n"], yes: Array, no: Array) -> Array:
    return jnp.where(condition.reshape(-1, *[1] * (yes.ndim - 1)), yes, no)
