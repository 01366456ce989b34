"""What is done to a reconstruction afterwards. z is the reconstruction, x the face it was made from, both (h, w, 3)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

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
    box: Box,
) -> Float[np.ndarray, "H W 3"]:
    """The photograph with z − x, resized bilinearly to `box`, added there.

    Where the box leaves some of the photograph outside, the difference fades to nothing towards that side.
    """
    x0, y0, x1, y1 = box
    height, width = photograph.shape[:2]
    rows = _fade(y1 - y0, before=y0 > 0, after=y1 < height)
    columns = _fade(x1 - x0, before=x0 > 0, after=x1 < width)
    result = photograph.copy()
    result[y0:y1, x0:x1] += resize(z - x, (y1 - y0, x1 - x0)) * rows[:, None, None] * columns[:, None]
    return result


def _fade(length: int, *, before: bool, after: bool) -> Float[np.ndarray, " length"]:
    position = (np.arange(length, dtype=np.float32) + 0.5) / (FEATHER * length)
    ramp = np.clip(position, 0, 1)
    return (ramp if before else np.ones_like(ramp)) * (ramp[::-1] if after else 1)


def apply_mask(
    z: Float[np.ndarray, "h w 3"], x: Float[np.ndarray, "h w 3"], mask: Float[np.ndarray, "h w 3"]
) -> Float[np.ndarray, "h w 3"]:
    """x + mask·(z − x): z where the mask is 1, x where it is 0."""
    return x + mask * (z - x)
