"""Distances from the images of a dataset to an anchor.

Each function named `…_distance` returns a `Distance`, which is then called with some rows only.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int

from dfi_jax.data.admission import CONFIDENT_SHARE, confidence_thresholds
from dfi_jax.data.dataset import Dataset
from dfi_jax.photo.image import resize
from dfi_jax.photo.two_scales import fit_two_scales

Rows = Int[np.ndarray, " r"]

Distance = Callable[[Rows], Float[np.ndarray, " r"]]
"""Function that computes the distance of each of some rows of a dataset to the anchor."""

Embed = Callable[[Float[np.ndarray, "b h w 3"]], Float[np.ndarray, "b d"]]
"""Function that turns each face into the numbers by which faces are compared."""

FindLandmarks = Callable[[Rows], Float[np.ndarray, "r p 2"]]
"""Function that returns the points of the faces of some rows, NaN if they are unknown. Faces with
unknown points come last in a selection."""


def score_distance(
    scores: Float[np.ndarray, "n a"],
    anchor: Float[np.ndarray, " a"],
    *,
    columns: Sequence[int] | None = None,
) -> Distance:
    """Returns the distance ‖s − s'‖ between attribute scores, of all attributes or some columns.

    >>> scores = np.array([[0, 0], [3, 4]], np.float32)
    >>> score_distance(scores, scores[0])(np.array([0, 1])).tolist()
    [0.0, 5.0]
    """
    counted = slice(None) if columns is None else list(columns)
    return lambda rows: np.linalg.norm(scores[rows][:, counted] - anchor[counted], axis=1)


def binary_distance(
    scores: Float[np.ndarray, "n a"],
    anchor: Float[np.ndarray, " a"],
    *,
    share: float = CONFIDENT_SHARE,
) -> Distance:
    """Returns the number of attributes that only one of two images has confidently (Hamming).

    >>> scores = np.array([[1, -1], [1, 1], [-1, 1]], np.float32)
    >>> binary_distance(scores, scores[0])(np.arange(3)).tolist()
    [0.0, 1.0, 2.0]

    Args:
      scores: Scores of the images.
      anchor: Scores of the anchor.
      share: Share of each attribute's positive scores that count as confident, the highest.
    """
    if share == 1:
        on, on_anchor = scores > 0, anchor > 0
    else:
        thresholds = confidence_thresholds(scores, share=share)
        on, on_anchor = scores >= thresholds, anchor >= thresholds
    return lambda rows: np.sum(on[rows] != on_anchor, axis=1).astype(np.float32)


def flag_distance(scores: Float[np.ndarray, "n a"], anchor: Float[np.ndarray, " a"]) -> Distance:
    """Returns Σ|s − b'| between the anchor's scores s and the images' flags b', 1 for s' ≥ 0 or 0.

    >>> scores = np.array([[3, -1], [0.1, -2]], np.float32)
    >>> flag_distance(scores, scores[0])(np.arange(2)).tolist()
    [3.0, 3.0]
    """
    flags = scores >= 0
    return lambda rows: np.abs(flags[rows] - anchor).sum(axis=1)


def face_distance(
    dataset: Dataset, face: Float[np.ndarray, "h w 3"], embed: Embed, *, size: int
) -> Distance:
    """Returns the distance ‖e(x) − e(x')‖ between faces, with e computed by `embed`.

    >>> from dfi_jax.data import synthetic
    >>> people = synthetic.load(4, size=32)
    >>> distance = face_distance(people, people.face(1, 32), flatten, size=32)
    >>> int(np.argmin(distance(np.arange(4))))
    1

    Args:
      dataset: Images, which are read in batches as they are compared.
      face: Face of the anchor, in the dataset's crop.
      embed: Function that turns faces into the numbers to compare.
      size: Height and width at which faces are compared.
    """
    embedded = embed(resize(face, (size, size))[None])

    def distance(rows: Rows) -> Float[np.ndarray, " r"]:
        batches = dataset.batches(rows, size=size)
        return np.concatenate(
            [np.linalg.norm(embed(batch) - embedded, axis=1) for batch in batches]
        )

    return distance


def flatten(faces: Float[np.ndarray, "b h w 3"]) -> Float[np.ndarray, "b d"]:
    """Returns the pixels of each face in one row.

    >>> flatten(np.zeros((2, 4, 4, 3), np.float32)).shape
    (2, 48)
    """
    return faces.reshape(len(faces), -1)


def landmark_distance(find_landmarks: FindLandmarks, anchor: Float[np.ndarray, "p 2"]) -> Distance:
    """Returns how far points are from the anchor's after the best similarity transform.

    With the centred points of an image and of the anchor as complex numbers p and q, it is
    √(Σ|q|² − |Σ p̄q|² / Σ|p|²) / ‖q‖.

    >>> anchor = np.array([(0.0, 0.0), (4.0, 0.0), (2.0, 3.0)])
    >>> turned_and_enlarged = 2 * anchor[:, ::-1] * (1, -1) + 7
    >>> distance = landmark_distance(lambda rows: turned_and_enlarged[None], anchor)
    >>> distance(np.array([0])).round(6).tolist()
    [0.0]

    Args:
      find_landmarks: Function that returns the points of the images.
      anchor: Points of the anchor, in the same order.
    """
    q = np.asarray(anchor, float) @ np.array([1, 1j])
    q = q - q.mean()
    square = np.sum(np.abs(q) ** 2)

    def distance(rows: Rows) -> Float[np.ndarray, " r"]:
        p = np.asarray(find_landmarks(rows), float) @ np.array([1, 1j])
        p = p - p.mean(axis=1, keepdims=True)
        explained = np.abs(p.conj() @ q) ** 2 / np.sum(np.abs(p) ** 2, axis=1)
        return np.sqrt(np.maximum(square - explained, 0) / square)

    return distance


def two_scale_distance(find_landmarks: FindLandmarks, anchor: Float[np.ndarray, "p 2"]) -> Distance:
    """Returns how far points are from the anchor's after the best rotation, scaling and shift.

    It is the distance of `photo.two_scales.fit_two_scales`, in the anchor's pixels.

    >>> anchor = np.array([(0.0, 0.0), (4.0, 0.0), (2.0, 3.0), (1.0, 1.0)])
    >>> stretched = anchor * (2, 3) + 7
    >>> distance = two_scale_distance(lambda rows: stretched[None], anchor)
    >>> distance(np.array([0])).round(6).tolist()
    [0.0]

    Args:
      find_landmarks: Function that returns the points of the images.
      anchor: Points of the anchor, in the same order.
    """
    return lambda rows: fit_two_scales(find_landmarks(rows), anchor).distances
