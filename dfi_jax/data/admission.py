"""Which images count as having an attribute and which as lacking it, by their scores."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

THRESHOLD = 0.5
"""By default, an attribute is on at this score or above, and off below its negative, as in
chainer-dfi."""

CONFIDENT_SHARE = 2 / 3
"""The share of an attribute's positive scores that count as confident in the DFI paper's code."""


class Admission(NamedTuple):
    """Whether each attribute of each image is on, off, or neither.

    Attributes:
      on: True if the image has the attribute.
      off: True if the image lacks the attribute.
    """

    on: Bool[np.ndarray, "n a"]
    off: Bool[np.ndarray, "n a"]


def thresholded(
    scores: Float[np.ndarray, "n a"], *, threshold: float = THRESHOLD, share: float = 1.0
) -> Admission:
    """Returns on for scores s ≥ t that are positive, and off for scores s < −t.

    >>> on, off = thresholded(np.array([[0.5], [-0.5], [-0.6]], np.float32))
    >>> on.ravel().tolist(), off.ravel().tolist()
    ([True, False, False], [False, False, True])
    >>> scores = np.array([[1], [2], [3], [-1], [-2], [-3]], np.float32)
    >>> on, off = thresholded(scores, threshold=0.0, share=2 / 3)
    >>> on.ravel().tolist(), off.ravel().tolist()
    ([False, True, True, False, False, False], [False, False, False, False, True, True])

    Args:
      scores: Scores of each image for each attribute.
      threshold: t. At 0, the sign of the score decides.
      share: Share of the n scores of either side that remain: the ⌊share·n⌋ farthest from 0, and
        any that equal the last of these.
    """
    on, off = (scores >= threshold if threshold > 0 else scores > 0), scores < -threshold
    if share < 1:
        on &= scores >= confidence_thresholds(np.where(on, scores, 0), share=share)
        off &= -scores >= confidence_thresholds(np.where(off, -scores, 0), share=share)
    return Admission(on, off)


def confidence_thresholds(
    scores: Float[np.ndarray, "n a"], *, share: float = CONFIDENT_SHARE
) -> Float[np.ndarray, " a"]:
    """Returns the ⌊share·n⌋-th highest of each attribute's n positive scores, or ∞ for none.

    >>> scores = np.array([[1, -1], [2, -2], [3, -3]], np.float32)
    >>> confidence_thresholds(scores).tolist()
    [2.0, inf]
    """
    thresholds = np.full(scores.shape[1], np.inf, np.float32)
    for i, column in enumerate(scores.T):
        positive = np.sort(column[column > 0])
        # In floating point, share·n may lie just below a whole number.
        kept = int(share * len(positive) + 1e-9)
        if kept:
            thresholds[i] = positive[-kept]
    return thresholds
