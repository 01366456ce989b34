"""A problem of reconstruction: where it starts, and the features that it should reach."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dfi_jax.errors import InputError
from dfi_jax.features import normalize, scaled_vector, square_norms
from dfi_jax.recipe import Recipe
from dfi_jax.vgg import VGG, Features, feature_shapes, features, trunk_layers

WORKSPACE = 1.7
"""Bytes that an evaluation and its gradient need, over those of all activations: 1.64 to 1.71 by the compiler's count
for direct convolution (VGG-16 and VGG-19, 104 to 1000 pixels, jax 0.10.2; docs/scaling.md has the sum beside it)."""


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
      Problems with target φ(x) + α·w, w scaled as `features.scaled_vector` says.
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


def problem_bytes(architecture: str, recipe: Recipe) -> int:
    """Bytes that a problem takes on its device while it is being solved, about.

    Every activation up to the deepest layer, once for its value and most of that again for its gradient, twice as many
    images as L-BFGS remembers pairs, and the target.
    """
    names = trunk_layers(architecture, recipe.layers)
    shapes = feature_shapes(architecture, names, (recipe.size, recipe.size))
    activations = sum(math.prod(shape) for shape in shapes.values())
    target = sum(math.prod(shapes[name]) for name in recipe.layers)
    images = (2 * recipe.memory + 12) * 3 * recipe.size**2
    return 4 * (round(WORKSPACE * activations) + target + images)


def check_network(vgg: VGG, recipe: Recipe) -> None:
    """Raises InputError unless the network is of the kind that the recipe asks for."""
    if vgg.normalized != (recipe.network == "normalized"):
        kind = "normalized" if vgg.normalized else "raw"
        raise InputError(
            f"the recipe asks for {recipe.network} weights and {vgg.name}'s are {kind}; "
            f"choose other weights or a recipe with network={kind!r}."
        )
