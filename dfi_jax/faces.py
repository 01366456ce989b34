"""Faces in the canonical crop: where its points are, and the similarity transform that brings a photograph there.

The canonical crop is LFW's deep-funnelled geometry, clipped to (40, 20, 210, 190) and resized to 200 × 200. Points are
(x, y) in pixels, left and right as seen; the centre of the first pixel is (0, 0).
"""

import numpy as np
from jaxtyping import Float
from PIL import Image

from dfi_jax.errors import InputError

CANONICAL_SIZE = 200
"""Height and width of the crop in which `CANONICAL_POINTS` are given."""

CANONICAL_POINTS = np.array([(75.8, 110.1), (123.8, 109.1), (100.2, 135.9), (79.3, 163.0), (122.8, 162.2)])
"""Left eye, right eye, nose tip, left and right mouth corner: means over 12,000 faces of LFW in the canonical crop,
with standard deviations of 3 to 8 pixels between people."""


def fit_similarity(points: Float[np.ndarray, "p 2"], to: Float[np.ndarray, "p 2"]) -> Float[np.ndarray, "2 3"]:
    """The scaling, rotation and translation nearest to taking `points` to `to`, in least squares.

    With points as complex numbers p and their images q, the transform is q ≈ a·p + b, where a = Σ p̄'q' / Σ |p'|² over
    the centred p', q', and b = mean(q) − a·mean(p).

    Returns:
      The matrix M of q = M @ (x, y, 1).

    Raises:
      InputError: for points that all coincide, or aren't finite.
    """
    p, q = (np.asarray(pairs, float) @ np.array([1, 1j]) for pairs in (points, to))
    centred = p - p.mean()
    spread = np.sum(np.abs(centred) ** 2)
    if not np.isfinite(spread) or spread == 0:
        raise InputError("the face's points coincide or aren't finite; give two different ones at least.")
    a = np.sum(centred.conj() * (q - q.mean())) / spread
    b = q.mean() - a * p.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def align(
    photograph: Float[np.ndarray, "H W 3"], points: Float[np.ndarray, "5 2"], *, size: int = CANONICAL_SIZE
) -> Float[np.ndarray, "size size 3"]:
    """The face in the canonical crop, by the similarity transform fitted to its five points, bicubic.

    What lies outside of the photograph is black.

    Args:
      photograph: RGB in [0, 1].
      points: of the face, in the order of `CANONICAL_POINTS`.
      size: height and width of the result.

    Raises:
      InputError: for points that all coincide.
    """
    zoom = size / CANONICAL_SIZE
    target = (CANONICAL_POINTS + 0.5) * zoom - 0.5
    back = fit_similarity(target, np.asarray(points))  # from the crop to the photograph, as resampling asks
    shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # Pillow counts from a pixel's corner
    matrix = shift[:2] @ np.vstack([back, [0, 0, 1]]) @ np.linalg.inv(shift)
    channels = [
        Image.fromarray(np.ascontiguousarray(photograph[..., c], np.float32)).transform(
            (size, size), Image.Transform.AFFINE, tuple(matrix.ravel()), Image.Resampling.BICUBIC
        )
        for c in range(3)
    ]
    return np.clip(np.stack([np.asarray(c) for c in channels], axis=-1), 0, 1)
