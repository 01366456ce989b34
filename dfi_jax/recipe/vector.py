"""The scaling of an attribute vector before it is added to the features of an image.

w is the attribute vector, φ(x) the features of the image, and ‖·‖ the Euclidean norm over the
stage's scope. A layer in which w is all zero stays zero.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp

from dfi_jax.recipe.features import (
    L2,
    Features,
    Scope,
    mean_squares,
    reciprocal_root,
    scale,
    square_norms,
)
from dfi_jax.recipe.stage import Stage


@dataclass(frozen=True, kw_only=True)
class VectorStage(Stage):
    """The scaling of an attribute vector."""

    usual_alpha: ClassVar[float] = 0.4
    """The strength of the DFI authors' demonstration on faces."""

    @abstractmethod
    def scale(self, w: Features, phi: Features) -> Features:
        """Returns the scaled vector for each image.

        Args:
          w: The attribute vector, (h, w, c) per layer.
          phi: φ(x), (n, h, w, c) per layer.

        Returns:
          (n, h, w, c) per layer.
        """


@dataclass(frozen=True, kw_only=True)
class Gain(VectorStage):
    """g·w.

    w is the difference between typical images with and without the attribute. It is blurred,
    because no two faces have their features in the same positions, so a reconstruction reaches only
    part of its target. If the target is φ(x) + w, a face moves by about 1/g of the distance between
    typical faces without and with the attribute. With g·w, α = 1 moves it by about all of it.

    Attributes:
      factor: g.
    """

    kind: ClassVar[str] = "gain"
    usual_alpha: ClassVar[float] = 1.0

    factor: float = 4.0

    def scale(self, w: Features, phi: Features) -> Features:
        """Returns g·w.

        >>> w, phi = {"conv1_1": jnp.ones((1, 1, 2))}, {"conv1_1": jnp.zeros((1, 1, 1, 2))}
        >>> Gain(factor=3.0).scale(w, phi)["conv1_1"].ravel().tolist()
        [3.0, 3.0]
        """
        return _repeat({name: self.factor * layer for name, layer in w.items()}, phi)


@dataclass(frozen=True, kw_only=True)
class Unit(VectorStage):
    """w/‖w‖.

    Attributes:
      scope: Elements that the norm is computed over.
    """

    kind: ClassVar[str] = "unit"

    scope: Scope = "layer"

    def scale(self, w: Features, phi: Features) -> Features:
        """Returns w/‖w‖.

        >>> w, phi = {"conv1_1": jnp.ones((2, 2, 1))}, {"conv1_1": jnp.full((1, 2, 2, 1), 3.0)}
        >>> Unit().scale(w, phi)["conv1_1"].ravel().tolist()
        [0.5, 0.5, 0.5, 0.5]
        """
        return L2(scope=self.scope).normalize(_repeat(w, phi))


@dataclass(frozen=True, kw_only=True)
class UnitTimesPhi(VectorStage):
    """‖φ(x)‖·w/‖w‖, as in chainer-dfi.

    Attributes:
      scope: Elements that both norms are computed over.
    """

    kind: ClassVar[str] = "unit_times_phi"

    scope: Scope = "layer"

    def scale(self, w: Features, phi: Features) -> Features:
        """Returns ‖φ(x)‖·w/‖w‖.

        >>> w, phi = {"conv1_1": jnp.ones((2, 2, 1))}, {"conv1_1": jnp.full((1, 2, 2, 1), 3.0)}
        >>> UnitTimesPhi().scale(w, phi)["conv1_1"].ravel().tolist()
        [3.0, 3.0, 3.0, 3.0]
        """
        unit = L2(scope=self.scope).normalize(_repeat(w, phi))
        squares = square_norms(phi, scope=self.scope)
        return scale(unit, {name: jnp.sqrt(square) for name, square in squares.items()})


@dataclass(frozen=True, kw_only=True)
class MeanSquare(VectorStage):
    """w/mean(w²), as in the DFI authors' code, which calls the strength β.

    Attributes:
      scope: Elements that the mean is computed over.
    """

    kind: ClassVar[str] = "mean_square"

    scope: Scope = "layer"

    def scale(self, w: Features, phi: Features) -> Features:
        """Returns w/mean(w²).

        >>> w, phi = {"conv1_1": jnp.full((1, 1, 2), 2.0)}, {"conv1_1": jnp.zeros((1, 1, 1, 2))}
        >>> MeanSquare().scale(w, phi)["conv1_1"].ravel().tolist()
        [0.5, 0.5]
        """
        repeated = _repeat(w, phi)
        squares = mean_squares(repeated, scope=self.scope)
        factors = {name: jnp.square(reciprocal_root(square)) for name, square in squares.items()}
        return scale(repeated, factors)


def _repeat(w: Features, phi: Features) -> Features:
    n = next(iter(phi.values())).shape[0]
    return {name: jnp.broadcast_to(layer, (n, *layer.shape)) for name, layer in w.items()}
