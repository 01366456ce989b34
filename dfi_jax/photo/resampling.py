"""Sampling and warping float images without rounding them to 8 bits.

Matrices are affine maps of points (x, y, 1). (0, 0) is the corner of an image's first pixel.
"""

import numpy as np
from jaxtyping import Float
from PIL import Image

from dfi_jax.photo.image import resize, to_channel


def sample(
    image: Float[np.ndarray, "h w 3"],
    matrix: Float[np.ndarray, "2 3"],
    *,
    size: int,
    region: tuple[int, int, int, int],
) -> Float[np.ndarray, "size size 3"]:
    """Samples an image bicubically along a grid.

    If the grid is coarser than the image's pixels, the image is first reduced with Lanczos' filter.
    Beyond the image, the nearest pixel of its border is repeated.

    >>> ramp = np.arange(8.0)[None, :, None] / 8 * np.ones((8, 1, 3))
    >>> half = np.array([[0.5, 0, 2], [0, 0.5, 2]])
    >>> sample(ramp, half, size=4, region=(2, 2, 4, 4))[0, :, 0].tolist()
    [0.21875, 0.28125, 0.34375, 0.40625]

    Args:
      image: Image, RGB in [0, 1].
      matrix: Map from the result to the image.
      size: Height and width of the result.
      region: Box (x0, y0, x1, y1) of the image that the result shows.
    """
    height, width = image.shape[:2]
    x0, y0, x1, y1 = region
    # One step from pixel to pixel in the result is this many pixels in the image.
    step = np.maximum(1, np.linalg.norm(matrix[:, :2], axis=1))
    # Interpolation, reduction and rounding reach no further than three steps.
    x_margin, y_margin = np.ceil(3 * step).astype(int).tolist()
    x0, x1 = max(x0 - x_margin, 0), min(x1 + x_margin, width)
    y0, y1 = max(y0 - y_margin, 0), min(y1 + y_margin, height)
    extent = np.array([x1 - x0, y1 - y0])
    reduced = np.ceil(extent / step).astype(int)
    shifted = np.column_stack([matrix[:, :2], matrix[:, 2] - (x0, y0)])
    shifted *= (reduced / extent)[:, None]
    column, row = np.arange(size) + 0.5, np.arange(size)[:, None] + 0.5
    x, y = (x_step * column + y_step * row + start - 0.5 for x_step, y_step, start in shifted)
    reduced_size = int(reduced[1]), int(reduced[0])
    around = resize(image[y0:y1, x0:x1], reduced_size, resample=Image.Resampling.LANCZOS)
    return np.clip(interpolate(around, x, y), 0, 1)


def warp(
    image: Float[np.ndarray, "h w 3"], matrix: Float[np.ndarray, "2 3"], size: tuple[int, int]
) -> Float[np.ndarray, "_ _ 3"]:
    """Warps an image bilinearly by an affine map.

    >>> shifted = warp(np.ones((2, 2, 3)), np.array([[1.0, 0, -1], [0, 1, 0]]), (2, 4))
    >>> shifted[0, :, 0].tolist()
    [0.0, 1.0, 1.0, 0.0]

    Args:
      image: Image to warp.
      matrix: Map from the result to the image.
      size: Height and width of the result.
    """
    channels = [
        to_channel(image[..., c]).transform(
            size[::-1], Image.Transform.AFFINE, tuple(matrix.ravel()), Image.Resampling.BILINEAR
        )
        for c in range(3)
    ]
    return np.stack([np.asarray(c) for c in channels], axis=-1)


def interpolate(
    image: Float[np.ndarray, "h w 3"], x: Float[np.ndarray, "a b"], y: Float[np.ndarray, "a b"]
) -> Float[np.ndarray, "a b 3"]:
    """Returns the values at points (x, y) by cubic convolution; the first pixel's centre is (0, 0).

    Pillow's own bicubic transform isn't used, because its kernel, with a = −1, doesn't even
    reproduce a linear ramp.

    References:
      Keys, "Cubic Convolution Interpolation for Digital Image Processing", IEEE Transactions on
      Acoustics, Speech, and Signal Processing 29(6), 1981.
    """
    height, width = image.shape[:2]
    pixels = np.reshape(image, (-1, 3))
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    columns = [np.clip(left + i, 0, width - 1) for i in (-1, 0, 1, 2)]
    rows = [np.clip(top + i, 0, height - 1) * width for i in (-1, 0, 1, 2)]
    across, down = _cubic_weights(x - left)[..., None], _cubic_weights(y - top)[..., None]
    result = np.zeros((*x.shape, 3), np.float32)
    for row, weight in zip(rows, down, strict=True):
        line = (np.take(pixels, row + column, axis=0) for column in columns)
        result += weight * sum(w * values for w, values in zip(across, line, strict=True))
    return result


def _cubic_weights(t: Float[np.ndarray, "a b"]) -> Float[np.ndarray, "4 a b"]:
    """Returns the weights of the pixels at −1, 0, 1 and 2 for a value at t, from 0 to 1."""
    t = t.astype(np.float32)
    before = t * (t * (2 - t) - 1)
    left = t * t * (3 * t - 5) + 2
    right = t * (t * (4 - 3 * t) + 1)
    after = t * t * (t - 1)
    return 0.5 * np.stack([before, left, right, after])
