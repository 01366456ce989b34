"""Arithmetic on feature dicts: norms over a scope, normalisation, and means over any number of images.

A feature dict holds an array a layer; here each is (n, h, w, c), and what is computed is computed for each of the n.
"""

from collections.abc import Iterable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dfi_jax import parallel
from dfi_jax.errors import InputError
from dfi_jax.recipe import Norm, Recipe, Scope
from dfi_jax.vgg import VGG, Features, features


def square_norms(phi: Features, *, scope: Scope) -> dict[str, Float[Array, " n"]]:
    """‖φ‖² for each layer by itself (`layer`), or the same sum over all layers for each (`concat`)."""
    squares = {name: jnp.sum(jnp.square(layer), axis=(1, 2, 3)) for name, layer in phi.items()}
    if scope == "concat":
        total = sum(squares.values(), start=jnp.zeros(()))
        return dict.fromkeys(squares, total)
    return squares


def mean_squares(phi: Features, *, scope: Scope) -> dict[str, Float[Array, " n"]]:
    """mean(φ²) over each layer's elements, or over all layers' elements."""
    sizes = {name: layer[0].size for name, layer in phi.items()}
    total = sum(sizes.values())
    squares = square_norms(phi, scope=scope)
    return {name: square / (total if scope == "concat" else sizes[name]) for name, square in squares.items()}


def scale(phi: Features, factors: dict[str, Float[Array, " n"]]) -> Features:
    """Each layer times its factor."""
    return {name: layer * factors[name][:, None, None, None] for name, layer in phi.items()}


def normalize(phi: Features, *, norm: Norm, scope: Scope) -> Features:
    """φ as it is (`none`) or φ/‖φ‖ (`l2`); features that are all zero stay zero."""
    if norm == "none":
        return phi
    return scale(phi, {name: reciprocal_root(square) for name, square in square_norms(phi, scope=scope).items()})


def reciprocal_root(square: Float[Array, " n"]) -> Float[Array, " n"]:
    """1/√square, and 0 where square is 0, with a gradient of 0 there."""
    safe = jnp.where(square > 0, square, 1)
    return jnp.where(square > 0, jax.lax.rsqrt(safe), 0)


def scaled_vector(vector: Features, phi: Features, *, recipe: Recipe) -> Features:
    """The attribute vector as the recipe's `vector_norm` scales it, for each image.

    Args:
      vector: w, without a batch axis.
      phi: φ(x), (n, h, w, c) a layer.
      recipe: its `vector_norm` and `norm_scope`.

    Returns:
      (n, h, w, c) a layer: w, w/‖w‖, ‖φ(x)‖·w/‖w‖ or w/mean(w²). A layer where w is all zero stays zero.
    """
    n = next(iter(phi.values())).shape[0]
    w = {name: jnp.broadcast_to(layer, (n, *layer.shape)) for name, layer in vector.items()}
    if recipe.vector_norm == "none":
        return w
    if recipe.vector_norm == "mean_square":
        squares = mean_squares(w, scope=recipe.norm_scope)
        return scale(w, {name: jnp.square(reciprocal_root(square)) for name, square in squares.items()})
    w = normalize(w, norm="l2", scope=recipe.norm_scope)
    if recipe.vector_norm == "unit":
        return w
    return scale(w, {name: jnp.sqrt(square) for name, square in square_norms(phi, scope=recipe.norm_scope).items()})


def mean_features(
    vgg: VGG,
    batches: Iterable[Float[np.ndarray, "_ h w 3"]],
    *,
    layers: tuple[str, ...],
    norm: Norm = "none",
    scope: Scope = "layer",
    over_processes: bool = False,
) -> dict[str, Float[Array, "h w c"]]:
    """mean φ(x) over all images of all batches, one batch in memory at a time.

    Args:
      vgg: the network.
      batches: of images in [0, 1], all of one size. A batch shorter than the first is filled up, so that the network
        is compiled once.
      layers: of the network.
      norm: whether each image's features are normalised before the mean.
      scope: of that norm.
      over_processes: whether the images are this process's share, and the mean is over those of all processes
        (`parallel`), each of which calls this and has one image at least.

    Raises:
      InputError: where there is no image.
    """
    mean: Features | None = None
    count, length = 0, 0
    for batch in batches:
        n = len(batch)
        if n == 0:
            continue
        length = max(length, n)
        count += n
        weights = np.zeros(length, np.float32)
        weights[:n] = 1 / count
        filled = np.concatenate([batch, np.zeros((length - n, *batch.shape[1:]), np.float32)])
        added = _weighted_sum(vgg, filled, weights, layers=layers, norm=norm, scope=scope)
        mean = added if mean is None else _move(mean, added, n / count)
    if mean is None:
        raise InputError("there is no image to take the mean features of; give one image at least.")
    if over_processes:
        images = parallel.total(np.asarray(count, np.float32))
        shares = {name: np.asarray(layer) * np.float32(count / images) for name, layer in mean.items()}
        mean = {name: jnp.asarray(layer) for name, layer in parallel.total(shares).items()}
    return mean


@partial(jax.jit, static_argnames=("layers", "norm", "scope"))
def _weighted_sum(
    vgg: VGG, images: Array, weights: Array, *, layers: tuple[str, ...], norm: Norm, scope: Scope
) -> Features:
    phi = normalize(features(vgg, images, layers=layers), norm=norm, scope=scope)
    return {name: jnp.tensordot(weights, layer, axes=1) for name, layer in phi.items()}


@partial(jax.jit, donate_argnums=0)
def _move(mean: Features, added: Features, share: float | Float[Array, ""]) -> Features:
    """mean + (added − share·mean).

    The rounding of a weight near 1, as count/(count + n), would add up over batches: after 20,000 of ten the
    mean is 3e-5 off that way and 5e-6 this way (random numbers in [0, 2]).
    """
    return jax.tree.map(lambda m, a: m + (a - share * m), mean, added)
