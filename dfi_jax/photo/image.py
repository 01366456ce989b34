"""Conversions of images, which are float32 arrays of shape (h, w, 3), RGB, in [0, 1]."""

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in luma (ITU-R BT.601)."""

LARGEST = 100_000_000
"""Maximum number of pixels of a photo. Editing 100 megapixels, as floats, takes 4 GB of memory."""


def to_bytes(image: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Returns the image in 8 bits: clipped to [0, 1], times 255, rounded.

    >>> to_bytes(np.array([[[0.0, 0.5, 1.2]]]))
    array([[[  0, 128, 255]]], dtype=uint8)
    """
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def resize(
    image: Float[np.ndarray, "h w c"],
    size: tuple[int, int],
    *,
    resample: Image.Resampling = Image.Resampling.BILINEAR,
) -> Float[np.ndarray, "_ _ c"]:
    """Resizes an image without rounding it to 8 bits.

    If the result has fewer pixels, each is an average over the area that it covers.

    >>> resize(np.array([[[0.0], [1.0]], [[0.0], [1.0]]]), (1, 2)).tolist()
    [[[0.0], [1.0]]]

    Args:
      image: Image with any number of channels.
      size: Height and width of the result, in the order of an array's shape.
      resample: Interpolation filter.
    """
    if image.shape[:2] == size:
        return image
    channels = [to_channel(image[..., c]) for c in range(image.shape[2])]
    return np.stack([np.asarray(c.resize(size[::-1], resample)) for c in channels], axis=-1)


def to_channel(values: Float[np.ndarray, "h w"]) -> Image.Image:
    """Returns one channel as a Pillow image of 32-bit floats.

    >>> to_channel(np.zeros((2, 3))).size
    (3, 2)
    """
    return Image.fromarray(np.ascontiguousarray(values, np.float32))
