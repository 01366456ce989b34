"""Which features a recipe compares, and the arithmetic on them.

Features are dicts with one array per layer, (n, h, w, c). Every function here treats each of the n
images by itself.
"""

import math
import operator
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dfi_jax.errors import InputError
from dfi_jax.recipe.preparation import Preparation, prepared_size
from dfi_jax.recipe.stage import Stage

Features = dict[str, Array]
"""Activations by layer: (n, h, w, c), or (h, w, c) for one image or for an attribute vector."""

DEFAULT_LAYERS = ("conv3_1", "conv4_1", "conv5_1")
"""The layers whose features the DFI paper moves."""

Scope = Literal["layer", "concat"]
"""Elements that a norm is computed over: those of each `layer` by itself, or `concat`, of all."""

PoolRounding = Literal["down", "up"]
"""How a pooling rounds half of an odd size: `down`, as in torchvision's networks, which drops the
last row or column, or `up`, as in Caffe's and Chainer's."""


@dataclass(frozen=True, kw_only=True)
class L2(Stage):
    """Features divided by their norm, φ/‖φ‖. Features that are all zero stay zero.

    Attributes:
      scope: Elements that the norm is computed over.

    References:
      Mahendran and Vedaldi, "Understanding Deep Image Representations by Inverting Them",
      CVPR 2015, https://arxiv.org/abs/1412.0035.
    """

    kind: ClassVar[str] = "l2"

    scope: Scope = "layer"

    def normalize(self, phi: Features) -> Features:
        """Returns φ/‖φ‖.

        >>> L2().normalize({"conv1_1": jnp.ones((1, 2, 2, 1))})["conv1_1"].ravel().tolist()
        [0.5, 0.5, 0.5, 0.5]
        """
        squares = square_norms(phi, scope=self.scope)
        return scale(phi, {name: reciprocal_root(square) for name, square in squares.items()})


@dataclass(frozen=True, kw_only=True)
class FeatureStage(Stage):
    """The features that an edit moves.

    Attributes:
      network: Kind of weights that the network must have: `raw`, `normalized`, in which every
        filter's mean activation is 1 (Gatys et al. 2015), or `any`.
      layers: Names of the network's layers.
      pool_rounding: How each pooling of the network rounds half of an odd size: `down`, as in
        torchvision's networks, which drops the last row or column, or `up`, as in Caffe's and
        Chainer's.
      size: Height and width of the crop, in pixels.
      preparation: Steps from the crop to the image that the network sees, in order, each at most
        once. The images of a dataset are prepared in the same way.
      normalization: Normalisation of an image's features wherever they are used, or None.
    """

    kind: ClassVar[str] = "features"
    least: ClassVar = {"size": 16}

    network: Literal["any", "raw", "normalized"] = "any"
    layers: tuple[str, ...] = DEFAULT_LAYERS
    pool_rounding: PoolRounding = "down"
    size: int = 200
    preparation: Preparation = ()
    normalization: L2 | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.layers:
            raise InputError("the recipe's features.layers is empty; name at least one layer.")
        kinds = [step.kind for step in self.preparation]
        if len(set(kinds)) < len(kinds):
            raise InputError(
                f"the recipe's features.preparation is {', '.join(kinds)}; give each kind of step "
                f"once."
            )

    @property
    def seen_size(self) -> tuple[int, int]:
        """Height and width, in pixels, of the image that the network sees.

        >>> from dfi_jax.recipe import Padding
        >>> FeatureStage(preparation=(Padding(),)).seen_size
        (256, 256)
        """
        return prepared_size((self.size, self.size), self.preparation)

    def normalize(self, phi: Features) -> Features:
        """Returns φ, normalised if the stage says so.

        >>> phi = {"conv1_1": jnp.ones((1, 2, 2, 1))}
        >>> FeatureStage(normalization=L2()).normalize(phi)["conv1_1"].ravel().tolist()
        [0.5, 0.5, 0.5, 0.5]
        """
        return phi if self.normalization is None else self.normalization.normalize(phi)


def square_norms(phi: Features, *, scope: Scope) -> dict[str, Float[Array, " n"]]:
    """Returns ‖φ‖² of each layer.

    With the scope `concat`, every layer gets the sum over all layers.

    >>> phi = {"conv1_1": jnp.ones((1, 2, 2, 1)), "conv2_1": jnp.ones((1, 1, 1, 3))}
    >>> square_norms(phi, scope="layer")["conv1_1"].tolist()
    [4.0]
    >>> square_norms(phi, scope="concat")["conv1_1"].tolist()
    [7.0]
    """
    squares = {name: jnp.sum(jnp.square(layer), axis=(1, 2, 3)) for name, layer in phi.items()}
    if scope == "concat":
        return dict.fromkeys(squares, reduce(operator.add, squares.values()))
    return squares


def mean_squares(phi: Features, *, scope: Scope) -> dict[str, Float[Array, " n"]]:
    """Returns mean(φ²) over the elements of each layer.

    With the scope `concat`, every layer gets the mean over the elements of all layers.

    >>> phi = {"conv1_1": jnp.full((1, 2, 2, 1), 2.0), "conv2_1": jnp.zeros((1, 1, 1, 4))}
    >>> mean_squares(phi, scope="layer")["conv1_1"].tolist()
    [4.0]
    >>> mean_squares(phi, scope="concat")["conv1_1"].tolist()
    [2.0]
    """
    sizes = {name: math.prod(layer.shape[1:]) for name, layer in phi.items()}
    total = sum(sizes.values())
    squares = square_norms(phi, scope=scope)
    return {
        name: square / (total if scope == "concat" else sizes[name])
        for name, square in squares.items()
    }


def scale(phi: Features, factors: dict[str, Float[Array, " n"]]) -> Features:
    """Returns each layer times its factor.

    >>> scaled = scale({"conv1_1": jnp.ones((2, 1, 1, 1))}, {"conv1_1": jnp.array([2.0, 3.0])})
    >>> scaled["conv1_1"].ravel().tolist()
    [2.0, 3.0]
    """
    return {name: layer * factors[name][:, None, None, None] for name, layer in phi.items()}


def reciprocal_root(square: Float[Array, " n"]) -> Float[Array, " n"]:
    """Returns 1/√square, and 0 with a gradient of 0 for a square of 0.

    >>> reciprocal_root(jnp.array([4.0, 0.0])).tolist()
    [0.5, 0.0]
    """
    safe = jnp.where(square > 0, square, 1)
    return jnp.where(square > 0, jax.lax.rsqrt(safe), 0)
