"""Landmarks of the faces in a dataset that comes without them."""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from dfi_jax import cache, faces, image
from dfi_jax.data.dataset import Dataset


def detect(
    dataset: Dataset,
    *,
    rows: Int[np.ndarray, " r"] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """The dataset, or some rows of it, with five points for each face, which `Dataset.face` then aligns by.

    The points are those of dlib's 68-point model. Of several faces in an image it is the one nearest to where the
    dataset has it; where none is found, the points are where the dataset's crop has them on average. They are kept in
    the cache folder.

    Args:
      dataset: that has a crop, or whose images are whole faces.
      rows: of the dataset; all by default.
      on_progress: called with the images done, and how many there are.

    Raises:
      FileError: without the extra `faces`, or where an image can't be read.
    """
    rows = np.arange(len(dataset)) if rows is None else rows

    def compute() -> cache.Arrays:
        found = []
        for i, row in enumerate(rows, 1):
            photograph = dataset.read(int(row))
            height, width = photograph.shape[:2]
            found.append(nearest(photograph, dataset.crop or (0, 0, width, height)))
            if on_progress is not None:
                on_progress(i, len(rows))
        return {"points": np.stack(found)}

    part = dataset.take(rows)
    points = cache.remember("landmarks", {"images": dataset.fingerprint(rows)}, compute)["points"]
    return dataclasses.replace(part, landmarks=points)


def nearest(
    photograph: Float[np.ndarray, "h w 3"], place: image.Box | Float[np.ndarray, "2 3"]
) -> Float[np.ndarray, "5 2"]:
    """Five points of the face that is nearest to a place in a photograph, or where they are there on average."""
    place = faces.box_placement(place) if isinstance(place, tuple) else place
    expected = np.column_stack([faces.CANONICAL_POINTS, np.ones(5)]) @ place.T
    found = [faces.five_points(face.points) for face in faces.detect(photograph, landmarks=68)]
    return min(found, key=lambda points: float(np.linalg.norm(points - expected)), default=expected)
