"""Landmarks of the faces in datasets that come without them."""

from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from dfi_jax.data.dataset import Dataset
from dfi_jax.photo import faces
from dfi_jax.photo.placement import Placement
from dfi_jax.progress import OnProgress, Progress
from dfi_jax.storage.cache import Arrays, Cache, remember


def detect(
    dataset: Dataset,
    rows: Int[np.ndarray, " r"],
    *,
    points: Literal[5, 68] = 5,
    cache: Cache | None,
    on_progress: OnProgress | None = None,
) -> Float[np.ndarray, "r p 2"]:
    """Returns points of the face in each of some images, NaN if no face is detected.

    The points are detected by dlib's 68-point model, in the face nearest to the dataset's
    placement, and stored in the cache image by image. This needs the extra `faces`. Call it as
    `detect(dataset, np.arange(100), cache=Cache())`.

    Args:
      dataset: Dataset with a crop, or one whose images are whole faces.
      rows: Numbers of the images.
      points: Number of points.
      cache: Cache in which the points are stored, or None.
      on_progress: Function that is called after each image.

    Returns:
      Points in the pixels of each image: five in the order of `placement.CANONICAL_POINTS`, or 68
      in that of iBUG 300-W.

    Raises:
      FileError: If the extra `faces` isn't installed, or an image can't be read.
    """
    every = np.full((len(rows), points, 2), np.nan)
    for i, row in enumerate(rows):

        def compute(row: int = int(row)) -> Arrays:
            pixels = dataset.read(row)
            placement = dataset.placement(row, pixels=pixels)
            found = nearest(pixels, placement, points=points)
            return {"points": np.full((points, 2), np.nan) if found is None else found}

        depends = {} if cache is None else {"image": dataset.fingerprint(rows[i : i + 1])}
        if points == 68:
            depends["points"] = "68"
        every[i] = remember(cache, "landmarks", depends, compute)["points"]
        if on_progress is not None:
            on_progress(Progress(phase="landmarks", done=i + 1, total=len(rows), unit="images"))
    return every


def nearest(
    pixels: Float[np.ndarray, "h w 3"], placement: Placement, *, points: Literal[5, 68] = 5
) -> Float[np.ndarray, "p 2"] | None:
    """Returns points of the face nearest to a placement, or None if no face is detected.

    This needs the extra `faces`. Call it as `nearest(photo.pixels, Placement.whole(photo.size))`.

    Args:
      pixels: Photo, RGB in [0, 1].
      placement: Place where the face is expected.
      points: Number of points.

    Returns:
      Points in the photo's pixels, in the order of `detect`.

    Raises:
      FileError: If the extra `faces` isn't installed.
    """
    found = faces.nearest(pixels, placement)
    return found if found is None or points == 68 else faces.five_points(found)
