"""A job in progress: its photo, face and vector, then its reconstructions and finished photos."""

import time
from dataclasses import dataclass, field
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from dfi_jax.data.selection import Selection
from dfi_jax.editor.job import Job
from dfi_jax.editor.query import LocatedPhoto, Query, find_vector, find_warp, locate_photo
from dfi_jax.engine.reconstruction import concatenate
from dfi_jax.engine.slots import Reconstruction
from dfi_jax.errors import InputError
from dfi_jax.network.vgg import VGG
from dfi_jax.photo import finish
from dfi_jax.photo.image import resize
from dfi_jax.photo.photo import Photo
from dfi_jax.photo.warp import Warp
from dfi_jax.progress import OnProgress
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
from dfi_jax.storage.cache import Cache
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
      selections: The images that the vector was computed from.
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
    selections: list[Selection]
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
        steps = self.recipe.features.preparation
        return prepare_images(self.aligned[None], steps, self.mean_rgb)[0]

    def as_face(self, z: Float[np.ndarray, "_ _ 3"]) -> Float[np.ndarray, "s s 3"]:
        """Returns the edited crop of a reconstruction.

        It is restored from the recipe's preparation, warped back, and grey if the face is.
        """
        z = self._restore(z)
        if self.warp is not None:
            z = self.face + self.warp.back(z - self._restore(self.seen))
        return finish.stay_grey(z, self.face)

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
        alphas = jnp.asarray([alpha / self.recipe.vector.usual_alpha])
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


def prepare_work(
    job: Job,
    *,
    vgg: VGG,
    recipe: Recipe,
    cache: Cache | None = None,
    on_progress: OnProgress | None = None,
) -> Work:
    """Opens a job's photo, finds its face, and finds or computes its vector.

    Args:
      job: The job.
      vgg: The network.
      recipe: The recipe.
      cache: Cache in which means, probes and landmarks are stored, or None.
      on_progress: Function that is called with the progress of every phase.

    Raises:
      InputError: If the job can't be done as it is.
      FileError: If a file can't be read, or an extra isn't installed.

    >>> from dfi_jax.network.weights import load_vgg
    >>> job = Job(photo=np.zeros((60, 40, 3), np.float32), attribute="older", face="whole")
    >>> prepare_work(job, vgg=load_vgg("vgg16"), recipe=Recipe()).face.shape
    (200, 200, 3)
    """
    started = time.perf_counter()
    located = locate_photo(job.photo, dataset=job.dataset, face=job.face, points=job.points)
    mask = None if job.mask is None else Photo.of(job.mask)
    check_mask(mask, located.photo, recipe=recipe)
    recipe = work_recipe(recipe, masked=mask is not None)
    warp = find_warp(located, cache=cache) if job.warp else None
    size, steps = recipe.features.size, recipe.features.preparation
    opened = time.perf_counter()
    query = Query(
        dataset=job.dataset,
        located=located,
        rule=job.resolved_rule,
        cache=cache,
        on_progress=on_progress,
    )
    vector, selections = find_vector(vgg, job.attribute, query, recipe=recipe)
    vector.check(vgg, recipe=recipe)
    face = located.placement.crop(located.photo.pixels, size=size)
    mean_rgb = vgg.preprocess.mean_rgb
    if warp is None:
        # A step that rounds can't be undone. What it takes from the face isn't part of the edit.
        seen = prepare_images(face[None], steps, mean_rgb)
        face = restore_images(seen, face[None], steps, mean_rgb)[0]
    return Work(
        job=job,
        located=located,
        recipe=recipe,
        mean_rgb=mean_rgb,
        face=face,
        warp=warp,
        mask=None if mask is None else located.placement.crop(mask.pixels, size=size),
        mask_record=None if mask is None else {"name": mask.name, "sha256": mask.sha256},
        vector=vector,
        selections=selections,
        seconds={"photo": opened - started, "vector": time.perf_counter() - opened},
    )


def check_mask(mask: Photo | None, photo: Photo, *, recipe: Recipe) -> None:
    """Raises InputError if a mask has another size than its photo, or is needed and missing.

    >>> photo, mask = Photo.of(np.zeros((60, 40, 3))), Photo.of(np.ones((60, 40)))
    >>> check_mask(mask, photo, recipe=Recipe())
    """
    if mask is None:
        if Mask() in recipe.finish:
            raise InputError(
                f"the recipe's finish has the step mask, but {photo.name} has no mask; give one."
            )
    elif mask.size != photo.size:
        raise InputError(
            f"the mask {mask.name} is {mask.size[0]} × {mask.size[1]} pixels and the photo is "
            f"{photo.size[0]} × {photo.size[1]}; give a mask of the photo's size."
        )


def work_recipe(recipe: Recipe, *, masked: bool) -> Recipe:
    """Returns the recipe of a job, with the step `mask` in its finish if the job has a mask.

    >>> [step.kind for step in work_recipe(Recipe(), masked=True).finish]
    ['mask', 'transfer_difference']
    """
    if not masked or Mask() in recipe.finish:
        return recipe
    # The mask works on the crop, which the step transfer_difference leaves.
    last = [step for step in recipe.finish if isinstance(step, TransferDifference)]
    before = [step for step in recipe.finish if step not in last]
    return recipe.replace(finish=(*before, Mask(), *last))
