"""The way from a job to the work on it: its photo, its face and its vectors, at every size."""

import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float

from dfi_jax.editor.job import Job
from dfi_jax.editor.query import LocatedPhoto, Query, find_vector, find_warp, locate_photo
from dfi_jax.editor.work import Work
from dfi_jax.errors import InputError
from dfi_jax.network.vgg import VGG
from dfi_jax.photo.photo import Photo, PhotoLike
from dfi_jax.progress import OnProgress
from dfi_jax.recipe import CancelResidual, Mask, Recipe, TransferDifference
from dfi_jax.recipe.preparation import prepare_images, restore_images
from dfi_jax.storage.cache import Cache
from dfi_jax.vectors.attribute_vector import AttributeVector


def prepare_work(
    job: Job,
    *,
    vgg: VGG,
    recipe: Recipe,
    cache: Cache | None = None,
    on_progress: OnProgress | None = None,
) -> Work:
    """Opens a job's photo, finds its face, and finds or computes its vector, at each size.

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
    mask = None if job.mask is None else open_mask(job.mask)
    check_mask(mask, located.photo, recipe=recipe)
    recipe = work_recipe(recipe, masked=mask is not None)
    warp = find_warp(located, cache=cache) if job.warp else None
    opened = time.perf_counter()
    query = Query(
        dataset=job.dataset,
        located=located,
        rule=job.resolved_rule,
        cache=cache,
        on_progress=on_progress,
    )
    found = find_vector(vgg, job.attribute, query, recipe=recipe)
    # The images may change or disappear before the edit is made, which can be hours later.
    used = [selection.record() for selection in found.selections]
    finer = load_finer(job.finer, recipe=recipe)
    vectors = [(recipe.features.size, found.vector), *((w.provenance.size, w) for w in finer)]
    mean_rgb, work = vgg.preprocess.mean_rgb, None
    for size, w in reversed(vectors):
        sized = recipe.replace(features=recipe.features.replace(size=size))
        w.check(vgg, recipe=sized)
        work = Work(
            job=job,
            located=located,
            recipe=sized,
            mean_rgb=mean_rgb,
            face=crop_face(located, recipe=sized, mean_rgb=mean_rgb, warped=warp is not None),
            warp=warp,
            mask=None if mask is None else located.placement.crop(mask.pixels, size=size),
            mask_record=None if mask is None else {"name": mask.name, "sha256": mask.sha256},
            vector=w,
            parts=found.parts if w is found.vector else (),
            selections=used,
            finer=work,
        )
    assert work is not None
    work.seconds = {"photo": opened - started, "vector": time.perf_counter() - opened}
    return work


def load_finer(
    vectors: Sequence[AttributeVector | str | Path], *, recipe: Recipe
) -> list[AttributeVector]:
    """Returns the vectors of larger sizes, and reads those that are given as files.

    Raises:
      InputError: If their sizes don't increase, or the recipe can't be used at several sizes.
      FileError: If a file can't be read.

    >>> load_finer([], recipe=Recipe())
    []
    """
    loaded = [v if isinstance(v, AttributeVector) else AttributeVector.load(v) for v in vectors]
    sizes = [recipe.features.size, *(vector.provenance.size for vector in loaded)]
    if any(after <= before for before, after in pairwise(sizes)):
        raise InputError(
            f"the recipe's features.size and the sizes of the finer vectors are "
            f"{', '.join(map(str, sizes))}; give vectors of larger and larger images."
        )
    if loaded and any(isinstance(step, CancelResidual) for step in recipe.finish):
        raise InputError(
            "the recipe's finish has the step cancel_residual, which can't be used at several "
            "sizes; omit the step, or the finer vectors."
        )
    return loaded


def crop_face(
    located: LocatedPhoto, *, recipe: Recipe, mean_rgb: tuple[float, float, float], warped: bool
) -> Float[np.ndarray, "s s 3"]:
    """Returns the crop of a photo's face, as the recipe's preparation leaves it.

    >>> photo = np.full((60, 40, 3), 0.3, np.float32)
    >>> located = locate_photo(photo, dataset=None, face="whole", points=5)
    >>> crop_face(located, recipe=Recipe(), mean_rgb=(0.5, 0.5, 0.5), warped=False).shape
    (200, 200, 3)
    """
    face = located.placement.crop(located.photo.pixels, size=recipe.features.size)
    if warped:
        return face
    # A step that rounds can't be undone. What it takes from the face isn't part of the edit.
    steps = recipe.features.preparation
    seen = prepare_images(face[None], steps, mean_rgb)
    return restore_images(seen, face[None], steps, mean_rgb)[0]


def open_mask(mask: PhotoLike) -> Photo:
    """Opens a mask, which may also be an array of truth values.

    >>> open_mask(np.ones((60, 40), bool)).pixels.mean()
    np.float32(1.0)
    """
    if isinstance(mask, np.ndarray) and mask.dtype == bool:
        mask = mask.astype(np.float32)
    return Photo.of(mask, called="the mask")


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
