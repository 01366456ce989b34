"""Corrections of a reconstruction before it is pasted into the photo.

z is the reconstruction and x the face that it was made from, both of shape (h, w, 3). Values may
lie outside [0, 1], and aren't clipped.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from dfi_jax.photo.image import LUMA

GREY = 2 / 255
"""Largest difference between the channels of a pixel that counts as grey.

JPEG files of greyscale photos in three channels differ by a level or two."""

FLAT = 1e-3
"""Minimum standard deviation of a channel that counts as contrast: a quarter of a grey level.

Anything below may be rounding, which must not be amplified."""

TINY = 1e-8
"""Number added to standard deviations so that none is divided by 0, as in the DFI authors' code."""


def match_color(
    z: Float[np.ndarray, "h w 3"], x: Float[np.ndarray, "h w 3"]
) -> Float[np.ndarray, "h w 3"]:
    """Gives each channel of z the mean and standard deviation of x.

    The result is (z − mean z)·std x/std z + mean x, with std z at least `FLAT`.

    >>> z, x = np.array([[[0.0], [1.0]], [[0.2], [0.4]]]) * np.ones((1, 1, 3))
    >>> match_color(z[None], x[None])[0, :, 0].round(3).tolist()
    [0.2, 0.4]
    """
    (mean_z, std_z), (mean_x, std_x) = map(_channel_moments, (z, x))
    return (z - mean_z) * (std_x / np.maximum(std_z, FLAT)) + mean_x


def match_image(
    z: Float[np.ndarray, "h w 3"], x: Float[np.ndarray, "h w 3"]
) -> Float[np.ndarray, "h w 3"]:
    """Gives z the mean and standard deviation of x, over all pixels and channels.

    The result is (z − mean z)·(std x + 1e-8)/(std z + 1e-8) + mean x, as in the DFI authors' code.

    >>> z, x = np.array([[0.0, 0.5, 1.0]]), np.array([[0.2, 0.3, 0.4]])
    >>> match_image(z[None], x[None]).round(3).tolist()
    [[[0.2, 0.3, 0.4]]]
    """
    return (z - z.mean()) * ((x.std() + TINY) / (z.std() + TINY)) + x.mean()


def stretch(z: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """Maps the range of z to [0, 1]: (z − min z)/(max z − min z), as in dfi-tensorflow.

    Minimum and maximum are over all pixels and channels. A flat z becomes 0.

    >>> stretch(np.array([[[1.0, 2.0, 3.0]]])).tolist()
    [[[0.0, 0.5, 1.0]]]
    """
    return (z - z.min()) / max(np.ptp(z), TINY)


def truncate(difference: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """Returns a difference as 8 bits hold it, with 128 for 0, as in chainer-dfi.

    The result is ⌊clip(255·d + 128, 0, 255)⌋ − 128, over 255. Rounding down makes a photo darker by
    half a grey level.

    >>> levels = truncate(np.array([[[-200.0, 0.7, 200.0]]]) / 255) * 255
    >>> levels.round(3).tolist()
    [[[-128.0, 0.0, 127.0]]]
    """
    return (np.floor(np.clip(255 * difference + 128, 0, 255)) - 128) / 255


def stay_grey(
    z: Float[np.ndarray, "h w 3"], x: Float[np.ndarray, "h w 3"]
) -> Float[np.ndarray, "h w 3"]:
    """Takes the colour out of an edit of a greyscale face: x + luma(z − x).

    The edit of a face with any colour stays as it is.

    >>> grey, red = np.full((1, 1, 3), 0.5), np.array([[[0.5, 0.0, 0.0]]])
    >>> stay_grey(grey + red, grey)[0, 0].round(2).tolist()
    [0.65, 0.65, 0.65]
    >>> stay_grey(grey, red)[0, 0].tolist()
    [0.5, 0.5, 0.5]
    """
    if np.ptp(x, axis=-1).max() > GREY:
        return z
    return x + ((z - x) @ LUMA)[..., None]


def cancel_residual(
    z: Float[np.ndarray, "h w 3"],
    x: Float[np.ndarray, "h w 3"],
    unedited: Sequence[Float[np.ndarray, "h w 3"]],
) -> Float[np.ndarray, "h w 3"]:
    """Subtracts from z the error that reconstruction makes even without an edit (chainer-dfi).

    The error is u − x for the unedited reconstruction u that is nearest to z.

    >>> x = np.zeros((1, 1, 3))
    >>> cancel_residual(x + 0.5, x, [x + 0.1, x + 3.0])[0, 0].tolist()
    [0.4, 0.4, 0.4]

    Args:
      z: Reconstruction.
      x: Face.
      unedited: Reconstructions with an alpha of 0, after different numbers of iterations.
    """
    errors = [u - x for u in unedited]
    return z - min(errors, key=lambda error: float(np.sum(np.square(z - x - error))))


def apply_mask(
    z: Float[np.ndarray, "h w 3"], x: Float[np.ndarray, "h w 3"], mask: Float[np.ndarray, "h w 3"]
) -> Float[np.ndarray, "h w 3"]:
    """Keeps the edit where the mask is 1 and the face where it is 0: x + mask·(z − x).

    >>> x = np.zeros((1, 2, 3))
    >>> mask = np.array([[[0.0], [1.0]]]) * np.ones(3)
    >>> apply_mask(x + 0.5, x, mask)[0, :, 0].tolist()
    [0.0, 0.5]
    """
    return x + mask * (z - x)


def _channel_moments(
    image: Float[np.ndarray, "h w 3"],
) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]]:
    """Returns the mean and standard deviation of each channel."""
    # NumPy adds up rows of pixels one by one, which in float32 shifts the mean by 0.03 grey levels
    # at 200 × 200 pixels and by 0.1 at 400 × 400.
    mean, std = (of(axis=(0, 1), dtype=np.float64) for of in (image.mean, image.std))
    return mean.astype(image.dtype), std.astype(image.dtype)
