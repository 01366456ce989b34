"""Bringing a turned or bowed head to the geometry of the average face, and its edit back.

An attribute vector draws a mouth where the average face has its mouth. On a turned head, that is
beside the mouth. A `Warp` moves the landmarks of a face to those of the average face. The edit is
made there, and its difference is warped back.

Points are (x, y) in pixels of the canonical crop at 200 × 200; (0, 0) is the centre of the first.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from dfi_jax.errors import InputError
from dfi_jax.photo.placement import CANONICAL_SIZE
from dfi_jax.photo.resampling import interpolate

SMOOTHING = 50.0
"""λ of the first attempt. A spline may miss the landmarks a little, as they have errors too."""

ATTEMPTS = 3
"""Number of attempts to find a spline that doesn't fold, each with ten times the smoothing."""

GRID = 4
"""Distance, in pixels, of the points at which a spline is evaluated. It is smooth enough to be
interpolated linearly in between."""

SAMPLES = 2
"""Number of samples per pixel and direction, whose mean is the pixel. A warp that brings a turned
head to the front shrinks the nearer half of the face, but hardly to less than half."""

_ENDS = (-40.0, 53.0, 146.0, 239.0)
RING = np.array([(x, y) for x in _ENDS for y in _ENDS if {x, y} & {-40.0, 239.0}])
"""Points around the crop. They don't move.

With this ring, 184 of 188 faces of LFW are warped at the first attempt; with one on the sides of
the crop, which the average chin touches, 153."""


@dataclass(frozen=True, eq=False)
class Warp:
    """A smooth map between a face and the average face.

    Attributes:
      to_face: Point of the face for each point of a grid over the average face.
      to_average: Point of the average face for each point of a grid over the face.
    """

    to_face: Float[np.ndarray, "g g 2"]
    to_average: Float[np.ndarray, "g g 2"]

    @classmethod
    def between(cls, points: Float[np.ndarray, "p 2"], average: Float[np.ndarray, "p 2"]) -> "Warp":
        """Returns the warp that moves the landmarks of a face to those of the average face.

        Each direction is a thin-plate spline f(x) = a + Bx + Σ wᵢ·U(|x − pᵢ|), U(r) = r²·log r²,
        which minimises Σ|f(pᵢ) − qᵢ|² + λ·(bending energy) over the landmarks and over points
        around the crop, which stay. If a map folds, λ is increased.

        Args:
          points: Landmarks of the face.
          average: Landmarks of the average face, in the same order.

        Raises:
          InputError: If the face can't be warped without folding it.

        References:
          Bookstein, "Principal Warps: Thin-Plate Splines and the Decomposition of Deformations",
          IEEE Transactions on Pattern Analysis and Machine Intelligence 11(6), 1989.

        >>> square = np.array([(60.0, 60), (140, 60), (60, 140), (140, 140)])
        >>> warp = Warp.between(square + 8, square)
        >>> warp.to_face[15, 15].round().tolist()  # Where (59.5, 59.5) lies in the face.
        [67.0, 67.0]
        """
        face, mean = np.concatenate([points, RING]), np.concatenate([average, RING])
        for attempt in range(ATTEMPTS):
            smoothing = SMOOTHING * 10**attempt
            maps = _spline(mean, face, smoothing), _spline(face, mean, smoothing)
            if not any(map(folds, maps)):
                return cls(*maps)
        raise InputError(
            "the head is turned too far to be warped to the average face without folding it; "
            "edit it without a warp."
        )

    def average_face(self, face: Float[np.ndarray, "s s 3"]) -> Float[np.ndarray, "s s 3"]:
        """Returns a face in the geometry of the average face.

        >>> grey = np.full((50, 50, 3), 0.5, np.float32)
        >>> float(Warp.between(RING, RING).average_face(grey).mean())
        0.5
        """
        return _resample(face, self.to_face)

    def back(self, difference: Float[np.ndarray, "s s 3"]) -> Float[np.ndarray, "s s 3"]:
        """Returns a difference between two average faces in the geometry of the face.

        >>> difference = np.full((50, 50, 3), 0.5, np.float32)
        >>> float(Warp.between(RING, RING).back(difference).mean())
        0.5
        """
        return _resample(difference, self.to_average)


def folds(grid: Float[np.ndarray, "g g 2"]) -> bool:
    """Returns whether a map turns some part of the image over.

    The Jacobian determinant of such a part is negative.

    >>> points = np.stack(np.meshgrid(np.arange(3.0), np.arange(3.0)), axis=-1)
    >>> folds(points), folds(points[::-1])
    (False, True)
    """
    down, across = np.diff(grid, axis=0)[:, :-1], np.diff(grid, axis=1)[:-1]
    determinant = across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0]
    return bool((determinant <= 0).any())


def _spline(
    centres: Float[np.ndarray, "p 2"], values: Float[np.ndarray, "p 2"], smoothing: float
) -> Float[np.ndarray, "g g 2"]:
    """Returns the thin-plate spline that maps centres to values, at the points of the grid."""
    n = len(centres)
    affine = np.column_stack([np.ones(n), centres])
    bending = _kernel(centres, centres) + smoothing * np.eye(n)
    system = np.block([[bending, affine], [affine.T, np.zeros((3, 3))]])
    weights = np.linalg.solve(system, np.concatenate([values, np.zeros((3, 2))]))
    along = np.arange(0, CANONICAL_SIZE + GRID, GRID) - 0.5  # From side to side of the crop.
    points = np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2)
    basis = np.column_stack([_kernel(points, centres), np.ones(len(points)), points])
    return (basis @ weights).reshape(len(along), len(along), 2)


def _kernel(
    points: Float[np.ndarray, "n 2"], centres: Float[np.ndarray, "p 2"]
) -> Float[np.ndarray, "n p"]:
    squares = np.sum((points[:, None] - centres) ** 2, axis=-1)
    return squares * np.log(np.where(squares > 0, squares, 1))


def _resample(
    image: Float[np.ndarray, "s s 3"], grid: Float[np.ndarray, "g g 2"]
) -> Float[np.ndarray, "s s 3"]:
    """Returns the image's values at the points that a grid gives for each of its pixels."""
    size = len(image)
    position = (np.arange(SAMPLES * size) + 0.5) / (SAMPLES * size) * (len(grid) - 1)
    low = position.astype(int)
    share = (position - low)[:, None, None]
    rows = grid[low] * (1 - share) + grid[low + 1] * share
    columns = np.swapaxes(rows, 0, 1)
    points = columns[low] * (1 - share) + columns[low + 1] * share
    # Pixels of the crop at its own size, from those at 200 × 200.
    x, y = np.moveaxis((np.swapaxes(points, 0, 1) + 0.5) * size / CANONICAL_SIZE - 0.5, -1, 0)
    sampled = interpolate(image, x, y)
    return sampled.reshape(size, SAMPLES, size, SAMPLES, 3).mean(axis=(1, 3))
