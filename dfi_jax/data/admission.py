"""Which images count as having an attribute and which as lacking it, by their scores."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

THRESHOLD = 0.5
"""An attribute is on at this score or above, and off below its negative, as in chainer-dfi."""

CONFIDENT_SHARE = 2 / 3
"""The share of the positive scores, and of the negative scores, that count as confident.

The DFI paper's code uses the same share."""


class Admission(NamedTuple):
    """Whether each attribute of each image is on, off, or neither.

    Attributes:
      on: True if the image has the attribute.
      off: True if the image lacks the attribute.
    """

    on: Bool[np.ndarray, "n a"]
    off: Bool[np.ndarray, "n a"]


def thresholded(scores: Float[np.ndarray, "n a"]) -> Admission:
    """Returns on for scores ≥ 0.5 and off for scores < −0.5.

    >>> on, off = thresholded(np.array([[0.5], [-0.5], [-0.6]], np.float32))
    >>> on.ravel().tolist(), off.ravel().tolist()
    ([True, False, False], [False, False, True])
    """
    return Admission(scores >= THRESHOLD, scores < -THRESHOLD)


def confident(scores: Float[np.ndarray, "n a"]) -> Admission:
    """Returns on for the highest two thirds of an attribute's positive scores.

    The lowest two thirds of its negative scores are off.

    >>> on, off = confident(np.array([[1], [2], [3], [-1], [-2], [-3]], np.float32))
    >>> on.ravel().tolist()
    [False, True, True, False, False, False]
    """
    return Admission(
        scores >= confidence_thresholds(scores), scores <= -confidence_thresholds(-scores)
    )


def confidence_thresholds(scores: Float[np.ndarray, "n a"]) -> Float[np.ndarray, " a"]:
    """Returns the lowest confident score of each attribute, or ∞ if no score is positive.

    >>> confidence_thresholds(np.array([[1, -1], [2, -2], [3, -3]], np.float32)).tolist()
    [2.0, inf]
    """
    columns = (column[column > 0] for column in scores.T)
    thresholds = [
        np.quantile(column, 1 - CONFIDENT_SHARE, method="higher") if column.size else np.inf
        for column in columns
    ]
    return np.asarray(thresholds, np.float32)
