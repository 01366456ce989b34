"""What reconstruction minimises: a distance of features, total variation, and a penalty on pixels.

Every `measure` returns one value for each image of a batch, because a batch is a list of
independent problems.
"""

import math
import operator
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dfi_jax.errors import InputError
from dfi_jax.recipe.features import Features
from dfi_jax.recipe.stage import Stage

TV_FLOOR = 1e-6
"""Smallest squared gradient that enters a total variation with β ≠ 2.

For β < 2, the power has an infinite derivative at 0, so backpropagation would give NaN.
"""


@dataclass(frozen=True, kw_only=True)
class Loss(Stage):
    """A distance of features from their target."""

    @abstractmethod
    def measure(
        self, phi: Features, target: Features, square_norms: dict[str, Float[Array, " n"]]
    ) -> Float[Array, " n"]:
        """Returns the distance for each image.

        Args:
          phi: φ(z).
          target: φ(x) + αw.
          square_norms: ‖φ(x)‖² of each layer.
        """


@dataclass(frozen=True, kw_only=True)
class SumSquares(Loss):
    """ω·Σd², with d = φ(z) − target, over all elements of all layers.

    Attributes:
      weight: ω.
    """

    kind: ClassVar[str] = "sum_squares"
    least: ClassVar = {"weight": 0}

    weight: float = 0.5

    def measure(
        self, phi: Features, target: Features, square_norms: dict[str, Float[Array, " n"]]
    ) -> Float[Array, " n"]:
        """Returns ω·Σd².

        >>> phi, target = ({"conv1_1": jnp.full((1, 2, 2, 1), value)} for value in (3.0, 1.0))
        >>> SumSquares().measure(phi, target, {}).tolist()
        [8.0]
        """
        squares = _square_distances(phi, target)
        return reduce(operator.add, (self.weight * square for square in squares.values()))


@dataclass(frozen=True, kw_only=True)
class MeanSquares(Loss):
    """Σ over layers of mean(d²), with d = φ(z) − target, as in chainer-dfi."""

    kind: ClassVar[str] = "mean_squares"

    def measure(
        self, phi: Features, target: Features, square_norms: dict[str, Float[Array, " n"]]
    ) -> Float[Array, " n"]:
        """Returns Σ over layers of mean(d²).

        >>> phi, target = ({"conv1_1": jnp.full((1, 2, 2, 1), value)} for value in (3.0, 1.0))
        >>> MeanSquares().measure(phi, target, {}).tolist()
        [4.0]
        """
        squares = _square_distances(phi, target)
        sizes = {name: math.prod(layer.shape[1:]) for name, layer in phi.items()}
        return reduce(operator.add, (square / sizes[name] for name, square in squares.items()))


@dataclass(frozen=True, kw_only=True)
class Relative(Loss):
    """Σ over layers of ½Σd²/‖φ(x)‖², with d = φ(z) − target.

    The balance between layers doesn't depend on the units of the weights. ‖φ(x)‖ is the norm of
    each layer by itself, whatever the scope of the other stages.
    """

    kind: ClassVar[str] = "relative"

    def measure(
        self, phi: Features, target: Features, square_norms: dict[str, Float[Array, " n"]]
    ) -> Float[Array, " n"]:
        """Returns Σ over layers of ½Σd²/‖φ(x)‖².

        >>> phi, target = ({"conv1_1": jnp.full((1, 2, 2, 1), value)} for value in (3.0, 1.0))
        >>> Relative().measure(phi, target, {"conv1_1": jnp.array([4.0])}).tolist()
        [2.0]
        """
        squares = _square_distances(phi, target)
        parts = (square / (2 * square_norms[name]) for name, square in squares.items())
        return reduce(operator.add, parts)


@dataclass(frozen=True, kw_only=True)
class Variation(Stage):
    """A measure of how rough an image is."""

    @abstractmethod
    def measure(
        self, prepared: Float[Array, "n h w 3"], images: Float[Array, "n h w 3"]
    ) -> Float[Array, " n"]:
        """Returns the measure of each image.

        Args:
          prepared: z as the network takes it, after `Preprocess`.
          images: z, RGB in [0, 1].
        """


@dataclass(frozen=True, kw_only=True)
class TotalVariation(Variation):
    """λ·R(z), with R(z) = Σ max((Δh)² + (Δw)², f)^(β/2) over positions and channels.

    Δh and Δw are forward differences of the image as the network takes it, and 0 at the border.
    With f = 0 and β = 2, R is the sum of all squared differences, as in chainer-dfi. For β ≠ 2, f
    is at least `TV_FLOOR`.

    Attributes:
      weight: λ.
      beta: β.
      positions: Positions that are added up: `all`, or `inner`, all but the last row and column.
      floor: f, in the squared units of the image. Gradients whose square is smaller aren't
        smoothed. The DFI authors' code has 0.001 and `inner`.

    References:
      Mahendran and Vedaldi, "Understanding Deep Image Representations by Inverting Them",
      CVPR 2015, https://arxiv.org/abs/1412.0035.
    """

    kind: ClassVar[str] = "total_variation"
    least: ClassVar = {"weight": 0, "beta": 1, "floor": 0}

    weight: float = 0.001
    beta: float = 2.0
    positions: Literal["all", "inner"] = "all"
    floor: float = 0.0

    def measure(
        self, prepared: Float[Array, "n h w 3"], images: Float[Array, "n h w 3"]
    ) -> Float[Array, " n"]:
        """Returns λ·R(z) for each image.

        >>> image = jnp.array([[0.0] * 3, [1.0] * 3] * 2).reshape(1, 2, 2, 3)
        >>> TotalVariation(weight=0.5).measure(image, image).tolist()  # ½·2 rows·3 channels
        [3.0]
        >>> TotalVariation(weight=0.5, positions="inner").measure(image, image).tolist()
        [1.5]
        """
        if self.positions == "inner":
            rows = jnp.square(jnp.diff(prepared, axis=1)[:, :, :-1])
            columns = jnp.square(jnp.diff(prepared, axis=2)[:, :-1])
        else:
            rows = jnp.square(jnp.diff(prepared, axis=1, append=prepared[:, -1:]))
            columns = jnp.square(jnp.diff(prepared, axis=2, append=prepared[:, :, -1:]))
        squares = rows + columns
        floor = self.floor if self.beta == 2 else max(self.floor, TV_FLOOR)
        if floor > 0:
            squares = jnp.maximum(squares, floor)
        if self.beta != 2:
            squares = squares ** (self.beta / 2)
        return self.weight * jnp.sum(squares, axis=(1, 2, 3))


@dataclass(frozen=True, kw_only=True)
class ChannelSum(Variation):
    """λ·R(z), with R(z) = (Σ(Δh)² + Σ(Δw)²)^(β/2)/(255·3hw), as in dfi-tensorflow.

    Δh and Δw are forward differences of the sum of the three channels of the RGB image, in grey
    levels (0 to 255), whatever the network's units are. The image is continued by 0 below and on
    the right. A change of colour that keeps the sum costs nothing. For β ≠ 2, the sum of squares is
    at least `TV_FLOOR`.

    Attributes:
      weight: λ.
      beta: β.
    """

    kind: ClassVar[str] = "channel_sum"
    least: ClassVar = {"weight": 0, "beta": 1}

    weight: float = 0.001
    beta: float = 2.0

    def measure(
        self, prepared: Float[Array, "n h w 3"], images: Float[Array, "n h w 3"]
    ) -> Float[Array, " n"]:
        """Returns λ·R(z) for each image.

        >>> image = jnp.full((1, 1, 1, 3), 0.2)  # The sum is 153, and both differences are −153.
        >>> round(float(ChannelSum(weight=1.0).measure(image, image)[0]), 3)  # 2·153²/(255·3)
        61.2
        """
        sums = 255 * jnp.sum(images, axis=3)
        rows = jnp.diff(sums, axis=1, append=jnp.zeros_like(sums[:, :1]))
        columns = jnp.diff(sums, axis=2, append=jnp.zeros_like(sums[:, :, :1]))
        squares = jnp.sum(jnp.square(rows) + jnp.square(columns), axis=(1, 2))
        if self.beta != 2:
            squares = jnp.maximum(squares, TV_FLOOR) ** (self.beta / 2)
        return self.weight * squares / (255 * math.prod(images.shape[1:]))


@dataclass(frozen=True, kw_only=True)
class LinearPenalty(Stage):
    """A penalty of λ times the mean excess of pixels outside [0, 1], as in dfi-tensorflow.

    The penalty is λ·mean(max(0, −z) + max(0, z − 255)) over positions and channels, for z in grey
    levels. It is a term of the objective. The network sees pixels as they are, and they are clipped
    only in the finished photo.

    Attributes:
      weight: λ.
    """

    kind: ClassVar[str] = "linear"
    least: ClassVar = {"weight": 0}

    weight: float = 1.0

    def measure(self, images: Float[Array, "n h w 3"]) -> Float[Array, " n"]:
        """Returns the penalty for each image, RGB in [0, 1] or beyond.

        >>> image = jnp.array([-0.25, 0.5, 1.5]).reshape(1, 1, 1, 3)
        >>> LinearPenalty().measure(image).tolist()  # (63.75 + 127.5)/3
        [63.75]
        """
        excess = jnp.maximum(0, -images) + jnp.maximum(0, images - 1)
        return self.weight * 255 * jnp.mean(excess, axis=(1, 2, 3))


@dataclass(frozen=True, kw_only=True)
class ValidPixels(Stage):
    """Pixels are kept in [0, 1]: the network sees them clipped, and a penalty pulls them back.

    The penalty is `penalty`·u·Σ(z − clip(z))², where u is the loss of features that are all zero.

    Attributes:
      penalty: Weight of the penalty. It should be no stiffer than the loss (docs/solver.md).
    """

    kind: ClassVar[str] = "valid"
    least: ClassVar = {"penalty": 0}

    penalty: float = 0.01

    def clip(self, images: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
        """Returns the images with every pixel in [0, 1].

        >>> image = jnp.array([-1.0, 0.5, 2.0]).reshape(1, 1, 1, 3)
        >>> ValidPixels().clip(image).ravel().tolist()
        [0.0, 0.5, 1.0]
        """
        return jnp.clip(images, 0, 1)

    def measure(
        self, images: Float[Array, "n h w 3"], unit: Float[Array, " n"]
    ) -> Float[Array, " n"]:
        """Returns the penalty for each image.

        Args:
          images: z, not clipped.
          unit: u, the loss of features that are all zero.

        >>> image = jnp.array([-1.0, 0.5, 2.0]).reshape(1, 1, 1, 3)
        >>> ValidPixels(penalty=0.5).measure(image, jnp.array([4.0])).tolist()  # ½·4·(1 + 1)
        [4.0]
        """
        excess = jnp.sum(jnp.square(images - self.clip(images)), axis=(1, 2, 3))
        return self.penalty * unit * excess


@dataclass(frozen=True, kw_only=True)
class Box(Stage):
    """Pixels never leave a range about the mean colour. Only the solver `lbfgsb` can keep it.

    The mean colour is that of the images that the network was trained on. The default
    range is wider than what 8 bits can show, so pixels are still clipped in the finished photo.

    Attributes:
      low: Smallest difference of a pixel from the mean colour, in grey levels (0 to 255).
      high: Largest difference.
    """

    kind: ClassVar[str] = "box"

    low: float = -128.0
    high: float = 162.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low >= self.high:
            raise InputError(
                f"the recipe's box.low is {self.low:g} and its box.high {self.high:g}; give a low "
                f"below the high."
            )

    def limits(self, mean_rgb: Sequence[float]) -> Float[np.ndarray, "2 3"]:
        """Returns the smallest and the largest value of each channel, in float64.

        Args:
          mean_rgb: Mean colour, in [0, 1].

        >>> Box(low=-51, high=102).limits((0.5, 0.5, 0.5)).round(3).tolist()
        [[0.3, 0.3, 0.3], [0.9, 0.9, 0.9]]
        """
        return np.add.outer(np.array([self.low, self.high]) / 255, np.asarray(mean_rgb))


@dataclass(frozen=True, kw_only=True)
class ObjectiveStage(Stage):
    """loss(φ(z), φ(x) + αw) + λ·R(z), plus the penalty of a `LinearPenalty`.

    `TotalVariation` is computed on the image as the network takes it, after `Preprocess`: in grey
    levels (0 to 255) for Caffe's weights, and in standard deviations for torchvision's.
    `ChannelSum` is computed on the RGB image in grey levels.

    Attributes:
      loss: Distance of the features from their target.
      total_variation: λ·R, or None for no such term.
      bounds: Range that pixels are kept in, or None to clip only the finished photo.
    """

    kind: ClassVar[str] = "objective"

    loss: SumSquares | MeanSquares | Relative = field(default_factory=Relative)
    total_variation: TotalVariation | ChannelSum | None = None
    bounds: ValidPixels | LinearPenalty | Box | None = field(default_factory=ValidPixels)

    def measure(
        self,
        phi: Features,
        target: Features,
        square_norms: dict[str, Float[Array, " n"]],
        prepared: Float[Array, "n h w 3"],
        images: Float[Array, "n h w 3"],
    ) -> Float[Array, " n"]:
        """Returns the objective of each image.

        Args:
          phi: φ(z).
          target: φ(x) + αw.
          square_norms: ‖φ(x)‖² of each layer.
          prepared: z as the network takes it, after `Preprocess`.
          images: z, RGB in [0, 1], or beyond if the stage doesn't clip pixels.

        >>> stage = ObjectiveStage(loss=SumSquares(), total_variation=TotalVariation(weight=0.5))
        >>> phi, target = ({"conv1_1": jnp.full((1, 2, 2, 1), value)} for value in (3.0, 1.0))
        >>> prepared = jnp.array([[0.0] * 3, [1.0] * 3]).reshape(1, 1, 2, 3)
        >>> stage.measure(phi, target, {}, prepared, prepared).tolist()  # 8 + ½·3
        [9.5]
        """
        value = self.loss.measure(phi, target, square_norms)
        if self.total_variation is not None:
            value = value + self.total_variation.measure(prepared, images)
        if isinstance(self.bounds, LinearPenalty):
            value = value + self.bounds.measure(images)
        return value

    def unit(
        self, target: Features, square_norms: dict[str, Float[Array, " n"]]
    ) -> Float[Array, " n"]:
        """Returns the loss of features that are all zero: the scale of the objective.

        >>> target, norms = {"conv1_1": jnp.ones((1, 2, 2, 1))}, {"conv1_1": jnp.array([4.0])}
        >>> ObjectiveStage().unit(target, norms).tolist()  # ½·4/4
        [0.5]
        """
        return self.loss.measure(jax.tree.map(jnp.zeros_like, target), target, square_norms)


def _square_distances(phi: Features, target: Features) -> dict[str, Float[Array, " n"]]:
    return {
        name: jnp.sum(jnp.square(layer - target[name]), axis=(1, 2, 3))
        for name, layer in phi.items()
    }
