"""A job in progress: its photo, face and vector, then its reconstructions and finished photos."""

import time
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from dfi_jax.data.selection import Selection
from dfi_jax.editor.job import Job
from dfi_jax.editor.query import LocatedPhoto
from dfi_jax.engine.reconstruction import concatenate
from dfi_jax.engine.slots import Reconstruction
from dfi_jax.errors import InputError
from dfi_jax.photo import finish
from dfi_jax.photo.photo import Photo
from dfi_jax.recipe import CancelResidual, Mask, MatchColor, Recipe, TransferDifference
from dfi_jax.vectors.attribute_vector import AttributeVector


@dataclass(kw_only=True, eq=False)
class Work:
    """A job that is ready for the queue, or in it.

    Attributes:
      job: The job.
      located: The photo, and the face in it.
      recipe: The recipe, with the step `mask` if the job has a mask.
      face: The crop that the network sees.
      mask: The mask's crop, or None.
      vector: The attribute vector.
      selections: The images that the vector was computed from.
      results: The reconstructions so far, by the index of their strength in the job.
      seconds: Seconds that each phase took.
    """

    job: Job
    located: LocatedPhoto
    recipe: Recipe
    face: Float[np.ndarray, "s s 3"]
    mask: Float[np.ndarray, "s s 3"] | None
    vector: AttributeVector
    selections: list[Selection]
    results: dict[int, Reconstruction] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def begin(self) -> None:
        """Starts the clock of the reconstruction."""
        self.seconds["reconstruction"] = -time.perf_counter()

    @property
    def solved(self) -> bool:
        """Whether all strengths are reconstructed."""
        return len(self.results) == len(self.job.alphas)

    def end(self) -> Reconstruction:
        """Stops the clock, and returns the reconstructions in the order of the strengths."""
        self.seconds["reconstruction"] += time.perf_counter()
        return concatenate([self.results[i] for i in range(len(self.job.alphas))])

    def finish(
        self, z: Float[np.ndarray, "s s 3"], *, unedited: list[Float[np.ndarray, "s s 3"]]
    ) -> Float[np.ndarray, "_ _ 3"]:
        """Returns the finished photo of a reconstruction, in [0, 1].

        The steps work on the reconstruction as the solver left it. Pixels are clipped at the end.

        Args:
          z: The reconstruction.
          unedited: Reconstructions at α = 0, if the recipe has the step `cancel_residual`.
        """
        pixels, placement = self.located.photo.pixels, self.located.placement
        for step in self.recipe.finish:
            match step:
                case MatchColor():
                    z = finish.match_color(z, self.face)
                    unedited = [finish.match_color(u, self.face) for u in unedited]
                case CancelResidual():
                    z = finish.cancel_residual(z, self.face, unedited)
                case Mask():
                    assert self.mask is not None
                    z = finish.apply_mask(z, self.face, self.mask)
                case TransferDifference():
                    z = placement.paste(pixels, z - self.face, feather=step.feather)
        return np.clip(z, 0, 1)


def crop_mask(
    job: Job, located: LocatedPhoto, *, recipe: Recipe
) -> tuple[Recipe, Float[np.ndarray, "s s 3"] | None]:
    """Returns the job's recipe, with the step `mask` if there is a mask, and the mask's crop.

    Raises:
      InputError: If the mask and the photo differ in size, or the recipe needs a mask that the job
        doesn't have.
      FileError: If the mask can't be read.
    """
    if job.mask is None:
        if Mask() in recipe.finish:
            raise InputError(
                f"the recipe's finish has the step mask, but {located.photo.name} has no mask; "
                f"give one."
            )
        return recipe, None
    mask, size = Photo.of(job.mask), located.photo.size
    if mask.size != size:
        raise InputError(
            f"the mask {mask.name} is {mask.size[0]} × {mask.size[1]} pixels and the photo is "
            f"{size[0]} × {size[1]}; give a mask of the photo's size."
        )
    crop = located.placement.crop(mask.pixels, size=recipe.features.size)
    return work_recipe(recipe, masked=True), crop


def work_recipe(recipe: Recipe, *, masked: bool) -> Recipe:
    """Returns the recipe of a job, with the step `mask` in its finish if the job has a mask.

    >>> [step.kind for step in work_recipe(Recipe(), masked=True).finish]
    ['mask', 'transfer_difference']
    """
    if not masked or Mask() in recipe.finish:
        return recipe
    last = [step for step in recipe.finish if isinstance(step, TransferDifference)]
    before = [step for step in recipe.finish if step not in last]
    return recipe.replace(finish=(*before, Mask(), *last))
