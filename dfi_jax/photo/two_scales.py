"""Laying faces over another face: a rotation, a scale for each direction, and a shift.

Points are (x, y) in pixels of their images, with any origin.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

TURNS = tuple((np.pi / divisor, steps) for divisor, steps in ((1, 360), (180, 40), (3600, 40)))
"""Widths and steps of the grids of angles that are tried: around 0, then around the best angle of
the grid before. The last grid is of 0.0025°, which leaves a relative error of 1e-9 in the squared
distance that is explained."""


class TwoScaleFit(NamedTuple):
    """How the points of some faces are brought to those of another, the anchor.

    Attributes:
      matrices: Map from the points of each face to the anchor's, by rows.
      distances: √(Σ|q − Mp|²) of each face, in the anchor's pixels.
    """

    matrices: Float[np.ndarray, "r 2 3"]
    distances: Float[np.ndarray, " r"]


def fit_two_scales(
    points: Float[np.ndarray, "r p 2"], anchor: Float[np.ndarray, "p 2"]
) -> TwoScaleFit:
    """Returns the maps M that bring the points p of each face nearest to the anchor's points q.

    Mp = diag(s, t)·R(θ)·p + d: the rotation comes first, and x and y then have a scale each,
    s and t ≥ 0. Σ|q − Mp|² is minimised over s, t, θ and d. For each θ, s, t and d are those of
    least squares.

    >>> anchor = np.array([(0.0, 0.0), (4.0, 0.0), (2.0, 3.0), (1.0, 1.0)])
    >>> fit = fit_two_scales((anchor * (2, 3) + 7)[None], anchor)
    >>> linear, shift = fit.matrices[0, :, :2], fit.matrices[0, :, 2]
    >>> bool(np.allclose((anchor * (2, 3) + 7) @ linear.T + shift, anchor))
    True

    Args:
      points: Points of the faces. A face with NaN among its points gets NaN.
      anchor: Points of the anchor, in the same order.

    References:
      The demonstration at high resolution in the code of the DFI paper,
      https://github.com/paulu/deepfeatinterp, which minimises the same sum with SciPy.
    """
    p, q = np.asarray(points, float), np.asarray(anchor, float)
    p_mean, q_mean = p.mean(axis=1, keepdims=True), q.mean(axis=0)
    p, q = p - p_mean, q - q_mean
    within, across = np.einsum("rpi,rpj->rij", p, p), np.einsum("rpi,pj->rij", p, q)

    def turn(angles: Float[np.ndarray, "r t"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the rows of R(θ), the best scale of each, and how much of Σ|q|² they explain."""
        c, s = np.cos(angles), np.sin(angles)
        rows = np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], axis=-2)
        along = np.maximum(np.einsum("rtai,ria->rta", rows, across), 0)
        power = np.einsum("rtai,rij,rtaj->rta", rows, within, rows)
        return rows, along / power, np.sum(along**2 / power, axis=-1)

    angles = np.zeros((len(p), 1))
    for width, steps in TURNS:
        angles = angles + np.linspace(-width, width, steps + 1)
        _, _, explained = turn(angles)
        angles = np.take_along_axis(angles, np.argmax(explained, axis=1)[:, None], axis=1)
    rows, scales, explained = (each[:, 0] for each in turn(angles))
    linear = scales[..., None] * rows
    shift = q_mean - np.einsum("rai,ri->ra", linear, p_mean[:, 0])
    left = np.maximum(np.sum(q**2) - explained, 0)
    return TwoScaleFit(np.concatenate([linear, shift[..., None]], axis=-1), np.sqrt(left))
