"""The shape of the mouth and the eyes, from the landmarks of a face.

This needs the extra `faces`, whose model of 68 landmarks isn't licensed for commercial use.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dfi_jax.photo import faces
from dfi_jax.photo.placement import Placement

CORNERS = (48, 54)
INNER_LIPS = (62, 66)
LIDS = ((37, 41), (38, 40), (43, 47), (44, 46))
"""Points of iBUG 300-W: corners of the mouth, middle of the inner lips, and pairs of eyelids."""


class Geometry(NamedTuple):
    """The shape of a mouth and of the eyes, in distances between the centres of the eyes.

    Attributes:
      mouth_width: Distance between the corners of the mouth.
      mouth_opening: Distance between the inner lips.
      corner_lift: Height of the corners above the middle of the inner lips.
      eye_opening: Mean distance between the eyelids.
    """

    mouth_width: float
    mouth_opening: float
    corner_lift: float
    eye_opening: float


def geometry(points: Float[np.ndarray, "68 2"]) -> Geometry:
    """Returns the shape of a mouth and of the eyes, whatever the face's size and rotation.

    Args:
      points: Landmarks in the order of iBUG 300-W.

    >>> [round(value, 2) for value in geometry(faces.CANONICAL_LANDMARKS)]
    [0.9, 0.09, 0.03, 0.11]
    """
    left, right = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    across = (right - left) / np.sum(np.square(right - left))  # A step of 1 along the eyes.
    down = np.array([-across[1], across[0]])
    scale = float(np.linalg.norm(across))

    def distance(pair: tuple[int, int]) -> float:
        return scale * float(np.linalg.norm(points[pair[1]] - points[pair[0]]))

    lips, corners = points[list(INNER_LIPS)].mean(axis=0), points[list(CORNERS)].mean(axis=0)
    return Geometry(
        mouth_width=distance(CORNERS),
        mouth_opening=distance(INNER_LIPS),
        corner_lift=float((lips - corners) @ down),
        eye_opening=float(np.mean([distance(pair) for pair in LIDS])),
    )


def face_geometry(face: Float[np.ndarray, "h w 3"]) -> Geometry | None:
    """Returns the geometry of a face in the canonical crop, or None if no face is detected.

    Raises:
      FileError: If the extra `faces` isn't installed.

    >>> if faces.installed():
    ...     assert face_geometry(np.full((60, 60, 3), 0.5)) is None
    """
    height, width = face.shape[:2]
    points = faces.nearest(face, Placement.whole((width, height)))
    return None if points is None else geometry(points)
