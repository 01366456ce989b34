"""The objective of a problem at an image."""

from typing import NamedTuple

from jaxtyping import Array, Float

from dfi_jax.engine.problem import Problem
from dfi_jax.network.vgg import VGG, features
from dfi_jax.recipe import Recipe, ValidPixels


class Evaluation(NamedTuple):
    """What the solver learns from one evaluation.

    Attributes:
      minimised: The function that the solver minimises: the objective and, if pixels are seen
        clipped, the penalty on what is clipped.
      objective: The objective of the image that would be returned.
      images: The image that would be returned.
    """

    minimised: Float[Array, " n"]
    objective: Float[Array, " n"]
    images: Float[Array, "n h w 3"]


def objective(
    vgg: VGG, images: Float[Array, "n h w 3"], problem: Problem, *, recipe: Recipe
) -> Float[Array, " n"]:
    """Returns loss(φ(z), φ(x) + αw) + λ·R(z) for each image z.

    If the recipe has a `LinearPenalty`, it is added.

    Args:
      vgg: The network.
      images: z, RGB in [0, 1].
      problem: The targets.
      recipe: The layers, and the objective.

    >>> import jax.numpy as jnp, dfi_jax
    >>> recipe = dfi_jax.Recipe().set({"features.layers": "conv1_1", "features.size": "16"})
    >>> recipe = recipe.set({"vector": "unit_times_phi"})
    >>> vgg, image = dfi_jax.load_vgg("random-vgg16"), jnp.full((1, 16, 16, 3), 0.5)
    >>> vector = {"conv1_1": jnp.ones((16, 16, 64))}
    >>> problem = dfi_jax.make_problem(vgg, image, vector, jnp.array([0.4]), recipe=recipe)
    >>> round(float(objective(vgg, image, problem, recipe=recipe)[0]), 4)  # α²/2
    0.08
    """
    stage = recipe.features
    phi = stage.normalize(
        features(vgg, images, layers=stage.layers, pool_rounding=stage.pool_rounding)
    )
    return recipe.objective.measure(
        phi, problem.target, problem.square_norms, vgg.preprocess(images), images
    )


def evaluate(
    vgg: VGG, images: Float[Array, "n h w 3"], problem: Problem, *, recipe: Recipe
) -> Evaluation:
    """Evaluates images as the solver proposes them, before any bounds.

    A solver that keeps a `Box` proposes nothing outside.

    Args:
      vgg: The network.
      images: z, as proposed.
      problem: The targets.
      recipe: The layers, and the objective.

    >>> import jax.numpy as jnp, dfi_jax
    >>> recipe = dfi_jax.Recipe().set({"features.layers": "conv1_1", "features.size": "16"})
    >>> vgg, image = dfi_jax.load_vgg("random-vgg16"), jnp.full((1, 16, 16, 3), 0.5)
    >>> vector = {"conv1_1": jnp.ones((16, 16, 64))}
    >>> problem = dfi_jax.make_problem(vgg, image, vector, jnp.array([0.4]), recipe=recipe)
    >>> float(evaluate(vgg, image + 1, problem, recipe=recipe).images.max())  # 1.5, clipped
    1.0
    """
    bounds = recipe.objective.bounds
    if not isinstance(bounds, ValidPixels):
        value = objective(vgg, images, problem, recipe=recipe)
        return Evaluation(value, value, images)
    seen = bounds.clip(images)
    value = objective(vgg, seen, problem, recipe=recipe)
    unit = recipe.objective.unit(problem.target, problem.square_norms)
    return Evaluation(value + bounds.measure(images, unit), value, seen)
