"""What is done to a reconstruction afterwards. z is the reconstruction, x the face it was made from, both (h, w, 3)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from PIL import Image

from dfi_jax import faces
from dfi_jax.faces import CANONICAL_SIZE
from dfi_jax.image import Box, resize

FLAT = 1e-3
"""Least deviation of a channel that is taken for contrast rather than for rounding: a quarter of a grey level."""

FEATHER = 0.08
"""The part of a crop's side over which an edit fades towards the photograph around it."""


def match_color(z: Float[np.ndarray, "h w 3"], x: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """z with each channel's mean and standard deviation made x's: (z − mean z)·std x/std z + mean x."""
    mean_z, std_z = z.mean(axis=(0, 1)), z.std(axis=(0, 1))
    mean_x, std_x = x.mean(axis=(0, 1)), x.std(axis=(0, 1))
    return (z - mean_z) * (std_x / np.maximum(std_z, FLAT)) + mean_x


def cancel_residual(
    z: Float[np.ndarray, "h w 3"], x: Float[np.ndarray, "h w 3"], unedited: Sequence[Float[np.ndarray, "h w 3"]]
) -> Float[np.ndarray, "h w 3"]:
    """z − e, with e the error u − x of that reconstruction u of α = 0 whose error is nearest to z − x.

    What reconstruction gets wrong even where nothing is edited is so taken out of the edit (chainer-dfi).

    Args:
      z: the reconstruction.
      x: the face.
      unedited: reconstructions of α = 0, after different numbers of iterations.
    """
    errors = [u - x for u in unedited]
    return z - min(errors, key=lambda error: float(np.sum(np.square(z - x - error))))


def transfer_difference(
    z: Float[np.ndarray, "h w 3"],
    x: Float[np.ndarray, "h w 3"],
    photograph: Float[np.ndarray, "H W 3"],
    place: Box | Float[np.ndarray, "2 3"],
) -> Float[np.ndarray, "H W 3"]:
    """The photograph with z − x added where the crop lies in it, bilinear, averaged over area where that is smaller.

    Towards each side of the crop behind which the photograph goes on, the difference fades to nothing. No other pixel
    of the photograph changes.

    Args:
      z: the reconstruction.
      x: the face, cropped from the photograph.
      photograph: RGB in [0, 1], of any size.
      place: the crop's box, or its place (see `faces`).

    Raises:
      InputError: where the crop lies outside of the photograph.
    """
    if isinstance(place, tuple):
        place = faces.box_placement(place)
    size = photograph.shape[:2]
    x0, y0, x1, y1 = faces.extent(place, size)
    matrix = faces.from_corners(place)
    height, width = z.shape[:2]
    sides = CANONICAL_SIZE * np.linalg.norm(matrix[:, :2], axis=0)  # the crop's, in pixels of the photograph
    width, height = np.clip(np.round(sides).astype(int), 1, (width, height)).tolist()
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    weight = _fade(inverse, size, (x0, y0, x1, y1))[..., None]
    inverse[:, 2] += inverse[:, :2] @ (x0, y0)
    inverse *= np.array([width, height])[:, None] / CANONICAL_SIZE
    difference = _warp(resize(z - x, (height, width)), inverse, (y1 - y0, x1 - x0))
    result = photograph.copy()
    changed = result[y0:y1, x0:x1]
    np.add(changed, difference * weight, out=changed, where=weight > 0)
    return result


def _warp(
    picture: Float[np.ndarray, "h w 3"], matrix: Float[np.ndarray, "2 3"], size: tuple[int, int]
) -> Float[np.ndarray, "_ _ 3"]:
    """The image of (height, width) whose pixel at (x, y), from the corner, is the picture's at matrix @ (x, y, 1)."""
    channels = [
        Image.fromarray(np.ascontiguousarray(picture[..., c], np.float32)).transform(
            size[::-1], Image.Transform.AFFINE, tuple(matrix.ravel()), Image.Resampling.BILINEAR
        )
        for c in range(3)
    ]
    return np.stack([np.asarray(c) for c in channels], axis=-1)


def _fade(inverse: Float[np.ndarray, "2 3"], size: tuple[int, int], box: Box) -> Float[np.ndarray, "h w"]:
    """What is kept of an edit in each pixel of the box; `inverse` takes the photograph's pixels to the crop's."""
    height, width = size
    x0, y0, x1, y1 = box
    column, row = np.arange(x0, x1) + 0.5, np.arange(y0, y1)[:, None] + 0.5
    corners = [(x, y) for x in (0.5, width - 0.5) for y in (0.5, height - 0.5)]
    weight = np.ones((y1 - y0, x1 - x0), np.float32)
    for x_step, y_step, start in inverse / CANONICAL_SIZE:
        position = (x_step * column + y_step * row + start).astype(np.float32)
        reached = [x_step * x + y_step * y + start for x, y in corners]
        if min(reached) < 0:
            weight *= np.clip(position / FEATHER, 0, 1)
        if max(reached) > 1:
            weight *= np.clip((1 - position) / FEATHER, 0, 1)
    return weight


def apply_mask(
    z: Float[np.ndarray, "h w 3"], x: Float[np.ndarray, "h w 3"], mask: Float[np.ndarray, "h w 3"]
) -> Float[np.ndarray, "h w 3"]:
    """x + mask·(z − x): z where the mask is 1, x where it is 0."""
    return x + mask * (z - x)
