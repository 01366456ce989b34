"""What reconstruction minimises over z: a distance of features, and λ times the total variation of the image.

Every function returns one value an image; a batch is a list of independent problems.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from dfi_jax.features import normalize
from dfi_jax.recipe import Loss, Recipe
from dfi_jax.vgg import VGG, Features, features

TV_FLOOR = 1e-6
"""Least squared gradient that enters a total variation with β ≠ 2: for β < 2 the derivative at 0 is infinite."""


def total_variation(images: Float[Array, "n h w c"], *, beta: float = 2.0) -> Float[Array, " n"]:
    """R(z) = Σ ((Δh)² + (Δw)²)^(β/2) over positions and channels, with forward differences, 0 beyond the border.

    Reference: Mahendran and Vedaldi, "Understanding Deep Image Representations by Inverting Them", CVPR 2015,
    https://arxiv.org/abs/1412.0035.
    """
    rows = jnp.square(jnp.diff(images, axis=1, append=images[:, -1:]))
    columns = jnp.square(jnp.diff(images, axis=2, append=images[:, :, -1:]))
    squares = rows + columns
    if beta != 2:
        squares = jnp.maximum(squares, TV_FLOOR) ** (beta / 2)
    return jnp.sum(squares, axis=(1, 2, 3))


def feature_loss(
    phi: Features, target: Features, square_norms: dict[str, Float[Array, " n"]], *, loss: Loss
) -> Float[Array, " n"]:
    """The distance of features from their target, with d = φ(z) − target.

    Args:
      phi: φ(z).
      target: φ(x) + αw.
      square_norms: ‖φ(x)‖² of each layer, which `relative` divides by.
      loss: `sum_squares` ½Σd²; `mean_squares` the sum over layers of mean(d²); `relative` the sum over layers of
        ½Σd²/‖φ(x)‖².
    """
    total = jnp.zeros(())
    for name, layer in phi.items():
        square = jnp.sum(jnp.square(layer - target[name]), axis=(1, 2, 3))
        if loss == "sum_squares":
            total = total + square / 2
        elif loss == "mean_squares":
            total = total + square / layer[0].size
        else:
            total = total + square / (2 * square_norms[name])
    return total


def objective(
    vgg: VGG,
    images: Float[Array, "n h w 3"],
    target: Features,
    square_norms: dict[str, Float[Array, " n"]],
    *,
    recipe: Recipe,
) -> Float[Array, " n"]:
    """distance(φ(z), φ(x) + αw) + λ·R(z) for each image z.

    R is taken of the image as the network takes it, after `Preprocess`: every implementation does so, in grey levels of
    255 with Caffe's weights, in standard deviations with torchvision's, and features are in proportion to those units.
    """
    phi = normalize(features(vgg, images, layers=recipe.layers), norm=recipe.feature_norm, scope=recipe.norm_scope)
    value = feature_loss(phi, target, square_norms, loss=recipe.loss)
    if recipe.tv_weight:
        value = value + recipe.tv_weight * total_variation(vgg.preprocess(images), beta=recipe.tv_beta)
    return value
