"""Bringing a turned or bowed head to the geometry of the average face, and edits of it back.

An attribute vector draws a mouth where the average face has its mouth. On a turned head, that is
beside the mouth. A `Warp` moves the landmarks of a face to those of the average face. The edit is
made there, and its difference is warped back.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from dfi_jax.errors import InputError
from dfi_jax.photo.resampling import sample_at

SMOOTHING = 50.0
"""λ of the first attempt: how far the spline may miss landmarks, which have errors of their own."""

ATTEMPTS = 4
"""Number of attempts to find a spline that doesn't fold, each with ten times the smoothing."""

GRID = 4
"""Distance, in pixels of the canonical crop, of the points at which a spline is evaluated. It is
smooth, so values between them are interpolated linearly."""

_ENDS = (0.0, 66.0, 133.0, 199.0)
EDGE = np.array([(x, y) for x in _ENDS for y in _ENDS if {x, y} & {0.0, 199.0}])
"""Points on the sides of the canonical crop, which stay where they are."""


@dataclass(frozen=True, eq=False)
class Warp:
    """A smooth map between a face and the average face, both in the canonical crop.

    Attributes:
      to_face: Point of the face for each point of a grid over the average face.
      to_average: Point of the average face for each point of a grid over the face.
    """

    to_face: Float[np.ndarray, "g g 2"]
    to_average: Float[np.ndarray, "g g 2"]

    @classmethod
    def between(
        cls, points: Float[np.ndarray, "p 2"], average: Float[np.ndarray, "p 2"]
    ) -> "Warp":
        """Returns the warp that moves the landmarks of a face to those of the average face.

        Each direction is a thin-plate spline f(x) = a + Bx + Σ wᵢ·U(|x − pᵢ|), U(r) = r²·log r²,
        which minimises Σ|f(pᵢ) − qᵢ|² + λ·(bending energy) over the landmarks and over points on
        the sides of the crop, which stay. If a map folds, λ is increased.

        Args:
          points: Landmarks of the face in the canonical crop, (x, y) in pixels at 200 × 200.
          average: Landmarks of the average face, in the same order.

        Raises:
          InputError: If the points can't be warped without folding the face.

        References:
          Bookstein, "Principal Warps: Thin-Plate Splines and the Decomposition of Deformations",
          IEEE Transactions on Pattern Analysis and Machine Intelligence 11(6), 1989.

        >>> square = np.array([(60.0, 60), (140, 60), (60, 140), (140, 140)])
        >>> Warp.between(square + 10, square).to_face[20, 20].round(-1).tolist()
        [90.0, 90.0]
        """
        face, mean = np.concatenate([points, EDGE]), np.concatenate([average, EDGE])
        for attempt in range(ATTEMPTS):
            smoothing = SMOOTHING * 10**attempt
            maps = _spline(mean, face, smoothing), _spline(face, mean, smoothing)
            if not any(map(_folds, maps)):
                return cls(*maps)
        raise InputError(
            "the head is turned too far to be warped without folding the face; edit it without "
            "warping."
        )

    def average_face(self, face: Float[np.ndarray, "s s 3"]) -> Float[np.ndarray, "s s 3"]:
        """Returns a face in the geometry of the average face.

        >>> grey = np.full((50, 50, 3), 0.5, np.float32)
        >>> warp = Warp.between(EDGE + 1, EDGE)
        >>> float(warp.average_face(grey).mean())
        0.5
        """
        return _apply(face, self.to_face)

    def back(self, difference: Float[np.ndarray, "s s 3"]) -> Float[np.ndarray, "s s 3"]:
        """Returns a difference between two average faces in the geometry of the face."""
        return _apply(difference, self.to_average)


def _spline(
    centres: Float[np.ndarray, "p 2"], values: Float[np.ndarray, "p 2"], smoothing: float
) -> Float[np.ndarray, "g g 2"]:
    """Returns a thin-plate spline, fitted to values at the centres, at the points of the grid."""
    n = len(centres)
    affine = np.column_stack([np.ones(n), centres])
    system = np.block(
        [
            [_kernel(centres, centres) + smoothing * np.eye(n), affine],
            [affine.T, np.zeros((3, 3))],
        ]
    )
    weights = np.linalg.solve(system, np.concatenate([values, np.zeros((3, 2))]))
    along = np.arange(0, 200 + GRID, GRID) - 0.5  # From the first pixel's corner to the last's.
    grid = np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2)
    found = _kernel(grid, centres) @ weights[:n]
    found += np.column_stack([np.ones(len(grid)), grid]) @ weights[n:]
    return found.reshape(len(along), len(along), 2)


def _kernel(
    points: Float[np.ndarray, "n 2"], centres: Float[np.ndarray, "p 2"]
) -> Float[np.ndarray, "n p"]:
    squares = np.sum((points[:, None] - centres) ** 2, axis=-1)
    return squares * np.log(np.where(squares > 0, squares, 1))


def _folds(grid: Float[np.ndarray, "g g 2"]) -> bool:
    """Returns whether a map turns part of the image over: a Jacobian determinant below 0."""
    down, across = np.diff(grid, axis=0)[:, :-1], np.diff(grid, axis=1)[:-1]
    return bool(np.any(across[..., 0] * down[..., 1] <= across[..., 1] * down[..., 0]))


def _apply(
    image: Float[np.ndarray, "s s 3"], grid: Float[np.ndarray, "g g 2"]
) -> Float[np.ndarray, "s s 3"]:
    """Returns the image's values at the points of a grid that is refined to its pixels."""
    size = len(image)
    # Two samples a pixel and direction: a warp may shrink parts of a face to about half.
    fine = 2 * size
    position = (np.arange(fine) + 0.5) / fine * (len(grid) - 1)
    low = np.minimum(position.astype(int), len(grid) - 2)
    share = position - low
    rows = grid[low] * (1 - share)[:, None, None] + grid[low + 1] * share[:, None, None]
    points = rows[:, low] * (1 - share)[:, None] + rows[:, low + 1] * share[:, None]
    x, y = np.moveaxis((points + 0.5) * size / 200 - 0.5, -1, 0)
    return sample_at(image, x, y).reshape(size, 2, size, 2, 3).mean(axis=(1, 3))
