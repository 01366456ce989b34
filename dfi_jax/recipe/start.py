"""The image that reconstruction starts from."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dfi_jax.errors import InputError
from dfi_jax.recipe.stage import Stage


@dataclass(frozen=True, kw_only=True)
class StartStage(Stage):
    """The image that z starts from."""

    @abstractmethod
    def images(
        self, images: Float[Array, "n h w 3"], mean_rgb: Sequence[float]
    ) -> Float[Array, "n h w 3"]:
        """Returns the start for each image.

        Args:
          images: x, RGB in [0, 1].
          mean_rgb: Mean colour of the images that the network was trained on, in [0, 1].
        """


@dataclass(frozen=True, kw_only=True)
class FromImage(StartStage):
    """z starts from the image."""

    kind: ClassVar[str] = "image"

    def images(
        self, images: Float[Array, "n h w 3"], mean_rgb: Sequence[float]
    ) -> Float[Array, "n h w 3"]:
        """Returns the images.

        >>> image = jnp.full((1, 1, 1, 3), 0.25)
        >>> FromImage().images(image, (0.5, 0.5, 0.5)).ravel().tolist()
        [0.25, 0.25, 0.25]
        """
        return images


@dataclass(frozen=True, kw_only=True)
class FromNoise(StartStage):
    """z starts from uniform noise around the mean colour, the same for every image.

    Attributes:
      amplitude: Largest distance from the mean colour, in grey levels (0 to 255).
      seed: Seed of the noise.
    """

    kind: ClassVar[str] = "noise"
    least: ClassVar = {"amplitude": 0, "seed": 0}

    amplitude: float = 10.0
    seed: int = 0

    def images(
        self, images: Float[Array, "n h w 3"], mean_rgb: Sequence[float]
    ) -> Float[Array, "n h w 3"]:
        """Returns mean + uniform(−amplitude, amplitude)/255.

        >>> start = FromNoise(amplitude=51).images(jnp.zeros((1, 8, 8, 3)), (0.5, 0.5, 0.5))
        >>> bool((abs(start - 0.5) <= 0.2).all())
        True
        """
        limit = self.amplitude / 255
        noise = np.random.default_rng(self.seed).uniform(-limit, limit, images.shape[1:])
        start = jnp.asarray(noise + np.asarray(mean_rgb), images.dtype)
        return jnp.broadcast_to(start, images.shape)


@dataclass(frozen=True, kw_only=True)
class FromUniform(StartStage):
    """z starts from uniform noise over the whole range of pixels, the same for every image.

    dfi-tensorflow's `--random-start` does so.

    Attributes:
      seed: Seed of the noise.
    """

    kind: ClassVar[str] = "uniform"
    least: ClassVar = {"seed": 0}

    seed: int = 0

    def images(
        self, images: Float[Array, "n h w 3"], mean_rgb: Sequence[float]
    ) -> Float[Array, "n h w 3"]:
        """Returns uniform(0, 1).

        >>> start = FromUniform().images(jnp.zeros((1, 8, 8, 3)), (0.5, 0.5, 0.5))
        >>> bool(start.min() < 0.1), bool(start.max() > 0.9)
        (True, True)
        """
        noise = np.random.default_rng(self.seed).random(images.shape[1:])
        return jnp.broadcast_to(jnp.asarray(noise, images.dtype), images.shape)


@dataclass(frozen=True, kw_only=True)
class FromPrevious(StartStage):
    """z starts from the result of the previous strength. The first strength starts from the image.

    The strengths of an edit are therefore reconstructed one after the other. The previous result is
    clipped to [0, 1].

    Attributes:
      later_iterations: Iterations of each later strength, as a fraction of the solver's. There are
        at least two.
    """

    kind: ClassVar[str] = "previous"

    later_iterations: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.later_iterations <= 1:
            raise InputError(
                f"the recipe's previous.later_iterations is {self.later_iterations}; give more "
                f"than 0 and at most 1."
            )

    def images(
        self, images: Float[Array, "n h w 3"], mean_rgb: Sequence[float]
    ) -> Float[Array, "n h w 3"]:
        """Returns the images, from which the first strength starts.

        >>> image = jnp.full((1, 1, 1, 3), 0.25)
        >>> FromPrevious().images(image, (0.5, 0.5, 0.5)).ravel().tolist()
        [0.25, 0.25, 0.25]
        """
        return images

    def iterations_after(self, first: int) -> int:
        """Returns the number of iterations of each later strength, rounded down.

        There are at least 2, unless the first strength has fewer: the first evaluation of most
        solvers is that of the start, so with it alone, the previous result would be repeated.

        Args:
          first: Number of iterations of the first strength.

        >>> FromPrevious(later_iterations=0.5).iterations_after(500)
        250
        """
        return min(first, max(2, int(self.later_iterations * first)))
