"""A job in progress: its photo, face and vector, then its reconstructions and finished photos."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from dfi_jax.editor.job import Job
from dfi_jax.editor.query import LocatedPhoto
from dfi_jax.engine.reconstruction import concatenate
from dfi_jax.engine.slots import Reconstruction
from dfi_jax.photo import finish
from dfi_jax.photo.image import resize
from dfi_jax.photo.warp import Warp
from dfi_jax.recipe import (
    CancelResidual,
    Clip,
    Mask,
    MatchColor,
    Recipe,
    Stretch,
    TransferDifference,
)
from dfi_jax.recipe.preparation import center, prepare_images, restore_images
from dfi_jax.vectors.attribute_vector import AttributeVector


@dataclass(kw_only=True, eq=False)
class Work:
    """A job that is ready for the queue, or in it.

    Attributes:
      job: The job.
      located: The photo, and the face in it.
      recipe: The recipe, with the step `mask` if the job has a mask.
      mean_rgb: Mean colour of the images that the network was trained on, in [0, 1].
      face: The crop of the photo.
      warp: The map to the average face, or None.
      mask: The mask's crop, or None.
      mask_record: Name and SHA-256 of the mask, or None.
      vector: The attribute vector.
      parts: Vectors whose sum it is, with the strength of each, or nothing if it isn't a sum.
      selections: Records of the images that the vector was computed from.
      finer: The job at the next larger size, or None. It starts from the result at this size.
      results: The reconstructions so far, by the index of their strength in the job.
      seconds: Seconds that each phase took.
    """

    job: Job
    located: LocatedPhoto
    recipe: Recipe
    mean_rgb: tuple[float, float, float]
    face: Float[np.ndarray, "s s 3"]
    warp: Warp | None
    mask: Float[np.ndarray, "s s 3"] | None
    mask_record: dict[str, str] | None
    vector: AttributeVector
    parts: tuple[tuple[AttributeVector, float], ...] = ()
    selections: list[dict[str, Any]]
    finer: "Work | None" = None
    results: dict[int, Reconstruction] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def begin(self) -> None:
        """Starts the clock of the reconstruction."""
        self.seconds["reconstruction"] = -time.perf_counter()

    @property
    def alphas(self) -> tuple[float, ...]:
        """The strengths."""
        return self.job.strengths(self.recipe)

    @cached_property
    def aligned(self) -> Float[np.ndarray, "s s 3"]:
        """The face itself, or warped to the average face."""
        return self.face if self.warp is None else self.warp.average_face(self.face)

    @cached_property
    def seen(self) -> Float[np.ndarray, "_ _ 3"]:
        """The image that the network sees: the aligned face, prepared by the recipe."""
        return self._prepare(self.aligned)

    def sizes(self) -> "Iterator[Work]":
        """Yields the job at each of its sizes, the smallest first."""
        work: Work | None = self
        while work is not None:
            yield work
            work = work.finer

    def start_from(
        self, coarser: "Work", z: Float[np.ndarray, "_ _ 3"]
    ) -> Float[np.ndarray, "_ _ 3"]:
        """Returns the start of a reconstruction from the one at the next smaller size.

        Only its difference is enlarged, so the face keeps its own details.

        Args:
          coarser: The job at the next smaller size.
          z: The reconstruction at that size.
        """
        difference = coarser._restore(z) - coarser._restore(coarser.seen)
        enlarged = resize(difference, self.aligned.shape[:2])
        return self._prepare(np.clip(self.aligned + enlarged, 0, 1))

    def as_face(self, z: Float[np.ndarray, "_ _ 3"]) -> Float[np.ndarray, "s s 3"]:
        """Returns the edited crop of a reconstruction.

        It is restored from the recipe's preparation, warped back, and grey if the face is.
        """
        z = self._restore(z)
        if self.warp is not None:
            z = self.face + self.warp.back(z - self._restore(self.seen))
        return finish.stay_grey(z, self.face)

    def _prepare(self, face: Float[np.ndarray, "s s 3"]) -> Float[np.ndarray, "_ _ 3"]:
        steps = self.recipe.features.preparation
        return prepare_images(face[None], steps, self.mean_rgb)[0]

    def _restore(self, z: Float[np.ndarray, "_ _ 3"]) -> Float[np.ndarray, "s s 3"]:
        steps = self.recipe.features.preparation
        return restore_images(z[None], self.aligned[None], steps, self.mean_rgb)[0]

    @property
    def solved(self) -> bool:
        """Whether all strengths are reconstructed."""
        return len(self.results) == len(self.alphas)

    def end(self) -> Reconstruction:
        """Stops the clock, and returns the reconstructions in the order of the strengths."""
        self.seconds["reconstruction"] += time.perf_counter()
        return concatenate([self.results[i] for i in range(len(self.alphas))])

    def replaced(self, alpha: float) -> Float[np.ndarray, "s s 3"] | None:
        """Returns where an edit replaces the face's own features, from 0 to 1, or None if nowhere.

        It is the share of the layer with the most positions, inside the job's mask.
        """
        removal, replacement = self.recipe.removal, self.vector.replacement
        if removal is None or replacement is None:
            return None
        alphas = jnp.asarray([alpha / self.recipe.vector.usual_alpha], jnp.float32)
        shares = removal.shares(alphas, replacement)
        finest = np.asarray(max(shares.values(), key=lambda share: share.shape[1])[0])
        if not finest.any():
            return None
        finest = resize(finest, self.recipe.features.seen_size)
        replaced = np.repeat(center(finest[None], self.face.shape[:2])[0], 3, axis=-1)
        if self.warp is not None:
            replaced = self.warp.back(replaced)
        # Interpolation overshoots at edges.
        replaced = np.clip(replaced, 0, 1)
        return replaced if self.mask is None else replaced * self.mask

    def finish(
        self,
        z: Float[np.ndarray, "s s 3"],
        *,
        alpha: float,
        unedited: list[Float[np.ndarray, "s s 3"]],
    ) -> Float[np.ndarray, "_ _ 3"]:
        """Returns the finished photo of an edited crop, in [0, 1].

        The steps work on the edited crop as the solver left it. Pixels are clipped at the end.

        Args:
          z: The edited crop, as `as_face` returns it.
          alpha: Its strength.
          unedited: Edited crops at α = 0, if the recipe has the step `cancel_residual`.
        """
        pixels, placement = self.located.photo.pixels, self.located.placement
        for step in self.recipe.finish:
            match step:
                case MatchColor():
                    match = finish.match_color if step.over == "channel" else finish.match_image
                    z, *unedited = (match(each, self.face) for each in (z, *unedited))
                case Clip():
                    z, *unedited = (np.clip(each, 0, 1) for each in (z, *unedited))
                case Stretch():
                    z, *unedited = map(finish.stretch, (z, *unedited))
                case CancelResidual():
                    z = finish.cancel_residual(z, self.face, unedited)
                case Mask():
                    assert self.mask is not None
                    z = finish.apply_mask(z, self.face, self.mask)
                case TransferDifference():
                    replaced = self.replaced(alpha)
                    if replaced is not None:
                        # A frame that is taken off has details that the crop doesn't show.
                        pixels = placement.smooth(pixels, replaced, feather=step.feather)
                    difference = z - self.face
                    if step.truncate:
                        difference = finish.truncate(difference)
                    z = placement.paste(pixels, difference, feather=step.feather)
        return np.clip(z, 0, 1)
