"""Landmarks of faces in photographs that come without them."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from dfi_jax import cache, faces, image
from dfi_jax.data.dataset import Dataset


def detect(
    dataset: Dataset, rows: Int[np.ndarray, " r"], *, on_progress: Callable[[int, int], None] | None = None
) -> Float[np.ndarray, "r 5 2"]:
    """Five points of the face in each of some images, as `faces.CANONICAL_POINTS`; NaN where none is found.

    The points are those of dlib's 68-point model. Of several faces in an image it is the one nearest to where the
    dataset has it. They are kept in the cache folder, image by image.

    Args:
      dataset: that has a crop, or whose images are whole faces.
      rows: of the dataset.
      on_progress: called with the images done, and how many there are.

    Raises:
      FileError: without the extra `faces`, or where an image can't be read.
    """
    found = np.full((len(rows), *faces.CANONICAL_POINTS.shape), np.nan)
    for i, row in enumerate(rows):

        def compute(row: int = int(row)) -> cache.Arrays:
            photograph = dataset.read(row)
            height, width = photograph.shape[:2]
            points = nearest(photograph, dataset.crop or (0, 0, width, height))
            return {"points": np.full((5, 2), np.nan) if points is None else points}

        found[i] = cache.remember("landmarks", {"image": dataset.fingerprint(rows[i : i + 1])}, compute)["points"]
        if on_progress is not None:
            on_progress(i + 1, len(rows))
    return found


def nearest(
    photograph: Float[np.ndarray, "h w 3"], place: image.Box | Float[np.ndarray, "2 3"]
) -> Float[np.ndarray, "5 2"] | None:
    """Five points of the face that is nearest to a place in a photograph; None where there is no face."""
    place = faces.box_placement(place) if isinstance(place, tuple) else place
    expected = np.column_stack([faces.CANONICAL_POINTS, np.ones(5)]) @ place.T
    found = [faces.five_points(face.points) for face in faces.detect(photograph, landmarks=68)]
    return min(found, key=lambda points: float(np.linalg.norm(points - expected)), default=None)
