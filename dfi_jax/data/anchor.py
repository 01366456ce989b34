"""What is known about the photo that selected images should be near."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, eq=False, kw_only=True)
class Anchor:
    """The photo that selected images should be near.

    Attributes:
      index: Number of the photo in the dataset, or None if the photo isn't in it. By default,
        neither the photo nor another image of the same person is selected.
      scores: Scores of the dataset's attributes, if they are known.
      face: Face in the dataset's crop, RGB in [0, 1], if nearness depends on it.
      landmarks: Points of the face, in any pixel coordinates, if nearness depends on them.
    """

    index: int | None = None
    scores: Float[np.ndarray, " a"] | None = None
    face: Float[np.ndarray, "h w 3"] | None = None
    landmarks: Float[np.ndarray, "p 2"] | None = None
