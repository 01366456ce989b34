"""A problem of reconstruction: where it starts, and the features that it should reach."""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dfi_jax.errors import InputError
from dfi_jax.network.vgg import (
    VGG,
    check_images,
    check_layers,
    feature_shapes,
    features,
    trunk_layers,
)
from dfi_jax.recipe import LBFGS, Recipe, UnguardedLBFGS
from dfi_jax.recipe.features import Features, FeatureStage, square_norms
from dfi_jax.recipe.removal import Replace, Replacement
from dfi_jax.recipe.start import StartStage
from dfi_jax.recipe.vector import VectorStage

ACTIVATION_COPIES = 1.7
"""Memory of an evaluation and its gradient, relative to the size of all activations.

The compiler counts 1.64 to 1.71 for direct convolution (VGG-16 and VGG-19, 104 to 1000 pixels,
jax 0.10.2; docs/scaling.md).
"""


class Problem(NamedTuple):
    """A batch of independent problems. Every leaf has the batch as its first axis.

    Attributes:
      start: The image that z starts from, RGB in [0, 1].
      target: φ(x) + αw, moved by the recipe's removal if there is a replacement.
      square_norms: ‖φ(x)‖² of each layer.
    """

    start: Float[Array, "n h w 3"]
    target: Features
    square_norms: dict[str, Float[Array, " n"]]


def make_problem(
    vgg: VGG,
    images: Float[Array | np.ndarray, "m h w 3"],
    vector: Features,
    alphas: Float[Array | np.ndarray, " n"] | Sequence[float],
    *,
    recipe: Recipe,
    replacement: Replacement | None = None,
    start: Float[Array | np.ndarray, "n h w 3"] | None = None,
) -> Problem:
    """Returns the problems of moving each image's features along an attribute vector.

    The target is φ(x) + α·w, with φ normalised and w scaled as the recipe says. Where an attribute
    is taken away, the recipe's removal moves it as well. A single image with several strengths is a
    sweep, one problem per strength.

    Args:
      vgg: The network.
      images: x, RGB in [0, 1], as the network sees it: one image, or as many as there are
        strengths. `recipe.preparation.prepare_images` makes it from crops, for a recipe with a
        preparation.
      vector: w, (h, w, c) for each of the recipe's layers.
      alphas: α of each problem.
      recipe: The normalisation of features, the scaling of the vector, the removal, and the start.
      replacement: Features that replace the image's own where an attribute is taken away, or None
        to subtract the vector and nothing else.
      start: The image that z starts from, for each problem, if not the recipe's.

    Raises:
      InputError: If the strengths aren't a list; if there are several images and another number of
        strengths, or another number of starts; if images or starts aren't floats; or if the vector
        has other layers, or another size.

    >>> import jax.numpy as jnp, dfi_jax
    >>> recipe = dfi_jax.Recipe().set({"features.layers": "conv1_1", "features.size": "16"})
    >>> vgg, image = dfi_jax.load_vgg("random-vgg16"), jnp.full((1, 16, 16, 3), 0.5)
    >>> vector = {"conv1_1": jnp.ones((16, 16, 64))}
    >>> make_problem(vgg, image, vector, [0.2, 0.4], recipe=recipe).target["conv1_1"].shape
    (2, 16, 16, 64)
    """
    images = check_images(vgg, jnp.asarray(images))
    alphas = jnp.asarray(alphas, images.dtype)
    if alphas.ndim != 1:
        raise InputError(
            f"the alphas have the shape {alphas.shape}; give a list of strengths, such as [0.4]."
        )
    n, layers = len(alphas), recipe.features.layers
    if len(images) not in (1, n):
        raise InputError(
            f"there are {len(images)} images and {n} alphas; give one image, or one per alpha."
        )
    if set(vector) != set(layers):
        raise InputError(
            f"the vector has the layers {', '.join(vector)}, and the recipe "
            f"{', '.join(layers)}; give the recipe's layers."
        )
    vector, replacement = jax.tree.map(
        lambda layer: jnp.asarray(layer, images.dtype), (dict(vector), replacement)
    )
    if start is not None:
        start = check_images(vgg, jnp.asarray(start))
        if start.shape != (n, *images.shape[1:]):
            raise InputError(
                f"the start has the shape {start.shape}; give one image per alpha, "
                f"{(n, *images.shape[1:])}."
            )
    stages = (recipe.features, recipe.vector, recipe.removal, recipe.start)
    return _make_problem(vgg, images, vector, alphas, replacement, start, stages=stages)


# Compiled at once, because some 60 operations take longer to compile one by one.
@partial(jax.jit, static_argnames="stages")
def _make_problem(
    vgg: VGG,
    images: Array,
    vector: Features,
    alphas: Array,
    replacement: Replacement | None,
    start: Array | None,
    *,
    stages: tuple[FeatureStage, VectorStage, Replace | None, StartStage],
) -> Problem:
    stage, scaling, removal, starting = stages
    phi = stage.normalize(
        features(vgg, images, layers=stage.layers, pool_rounding=stage.pool_rounding)
    )
    for name, layer in phi.items():
        if vector[name].shape != layer.shape[1:]:
            raise InputError(
                f"the vector has the shape {vector[name].shape} in {name}, and the images' "
                f"features {layer.shape[1:]}; give images of the vector's size."
            )
    w = scaling.scale(vector, phi)
    moved = {name: alphas[:, None, None, None] * layer for name, layer in w.items()}
    target = {name: layer + moved[name] for name, layer in phi.items()}
    if replacement is not None and removal is not None:
        away = removal.move(phi, moved, alphas / scaling.usual_alpha, replacement)
        target = {name: layer + away[name] for name, layer in target.items()}
    n = len(alphas)
    if start is None:
        repeated = jnp.broadcast_to(images, (n, *images.shape[1:]))
        start = starting.images(repeated, vgg.preprocess.mean_rgb)
    norms = square_norms(phi, scope="layer")
    return Problem(
        start=start,
        target=target,
        square_norms={name: jnp.broadcast_to(norm, (n,)) for name, norm in norms.items()},
    )


def problem_bytes(architecture: str, *, recipe: Recipe) -> int:
    """Returns about how many bytes a problem takes on its device while it is solved.

    They hold every activation up to the deepest layer, most of the activations again for their
    gradients, two images for each pair that L-BFGS remembers and twelve more, and the target.

    >>> from dfi_jax import Recipe
    >>> round(problem_bytes("vgg16", recipe=Recipe()) / 1e6)
    101
    """
    stage, size = recipe.features, recipe.features.seen_size
    names = trunk_layers(architecture, stage.layers)
    shapes = feature_shapes(architecture, names, size, pool_rounding=stage.pool_rounding)
    activations = sum(math.prod(shape) for shape in shapes.values())
    target = sum(math.prod(shapes[name]) for name in stage.layers)
    solver = recipe.solver
    pairs = solver.memory if isinstance(solver, LBFGS | UnguardedLBFGS) else 1
    images = (2 * pairs + 12) * 3 * math.prod(size)
    return 4 * (round(ACTIVATION_COPIES * activations) + target + images)


def check_network(vgg: VGG, *, recipe: Recipe) -> None:
    """Raises InputError unless the network has the layers and the kind of weights of the recipe.

    >>> from dfi_jax.network.weights import load_vgg
    >>> check_network(load_vgg("random-vgg16"), recipe=Recipe())
    """
    check_layers(vgg.architecture, recipe.features.layers)
    wanted = recipe.features.network
    found = "normalized" if vgg.normalized else "raw"
    if wanted not in ("any", found):
        example = "vgg19-normalized" if wanted == "normalized" else "vgg19"
        raise InputError(
            f"the recipe asks for {wanted} weights, but {vgg.name} has {found} ones; choose other "
            f"weights, such as {example}, or set the recipe's features.network={found}."
        )
