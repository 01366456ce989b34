"""Landmarks of the faces in datasets that come without them."""

import numpy as np
from jaxtyping import Float, Int

from dfi_jax.data.dataset import Dataset
from dfi_jax.photo import faces
from dfi_jax.photo.placement import CANONICAL_POINTS, Placement
from dfi_jax.progress import OnProgress, Progress
from dfi_jax.storage.cache import Arrays, Cache, remember


def detect(
    dataset: Dataset,
    rows: Int[np.ndarray, " r"],
    *,
    cache: Cache | None,
    on_progress: OnProgress | None = None,
) -> Float[np.ndarray, "r 5 2"]:
    """Returns five points of the face in each of some images, NaN if no face is detected.

    The points are detected by dlib's 68-point model, in the face nearest to the dataset's
    placement, and stored in the cache image by image. This needs the extra `faces`. Call it as
    `detect(dataset, np.arange(100), cache=Cache())`.

    Args:
      dataset: Dataset with a crop, or one whose images are whole faces.
      rows: Numbers of the images.
      cache: Cache in which the points are stored, or None.
      on_progress: Function that is called after each image.

    Returns:
      Points in the pixels of each image, in the order of `placement.CANONICAL_POINTS`.

    Raises:
      FileError: If the extra `faces` isn't installed, or an image can't be read.
    """
    points = np.full((len(rows), *CANONICAL_POINTS.shape), np.nan)
    for i, row in enumerate(rows):

        def compute(row: int = int(row)) -> Arrays:
            pixels = dataset.read(row)
            found = nearest(pixels, dataset.placement(row, pixels=pixels))
            return {"points": np.full_like(CANONICAL_POINTS, np.nan) if found is None else found}

        depends = {} if cache is None else {"image": dataset.fingerprint(rows[i : i + 1])}
        points[i] = remember(cache, "landmarks", depends, compute)["points"]
        if on_progress is not None:
            on_progress(Progress(phase="landmarks", done=i + 1, total=len(rows), unit="images"))
    return points


def nearest(
    pixels: Float[np.ndarray, "h w 3"], placement: Placement
) -> Float[np.ndarray, "5 2"] | None:
    """Returns five points of the face nearest to a placement, or None if no face is detected.

    This needs the extra `faces`. Call it as `nearest(photo.pixels, Placement.whole(photo.size))`.

    Args:
      pixels: Photo, RGB in [0, 1].
      placement: Place where the face is expected.

    Returns:
      Points in the photo's pixels, in the order of `placement.CANONICAL_POINTS`.

    Raises:
      FileError: If the extra `faces` isn't installed.
    """
    found = faces.nearest(pixels, placement)
    return None if found is None else faces.five_points(found)
