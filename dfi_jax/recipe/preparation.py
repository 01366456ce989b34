"""The steps from the crop of a face to the image that the network sees, and back.

They treat the photo and the images of a dataset alike, and each image by itself. Images are float32
NumPy arrays, RGB in [0, 1].
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from dfi_jax.recipe.stage import Stage


@dataclass(frozen=True, kw_only=True)
class PreparationStep(Stage):
    """A step between the crop and the image that the network sees."""

    @abstractmethod
    def prepare(
        self, images: Float[np.ndarray, "n h w 3"], mean_rgb: Sequence[float]
    ) -> Float[np.ndarray, "n _ _ 3"]:
        """Returns the images after the step.

        Args:
          images: Images before the step.
          mean_rgb: Mean colour of the images that the network was trained on, in [0, 1].
        """

    @abstractmethod
    def restore(
        self, z: Float[np.ndarray, "n _ _ 3"], images: Float[np.ndarray, "n h w 3"]
    ) -> Float[np.ndarray, "n h w 3"]:
        """Returns edited images as they would be without the step.

        Args:
          z: Edited images.
          images: The images before the step and the edit.
        """

    def side(self, size: int) -> int:
        """Returns the height or width of an image after the step."""
        return size


@dataclass(frozen=True, kw_only=True)
class EightBits(PreparationStep):
    """Pixels are rounded to 8 bits, as in implementations that resize 8-bit images.

    Pillow resizes 8-bit images in two passes and rounds after each. In crops of LFW that are
    resized from 170 to 200 pixels, 14 % of values therefore differ by one grey level (40
    images).
    """

    kind: ClassVar[str] = "eight_bits"

    def prepare(
        self, images: Float[np.ndarray, "n h w 3"], mean_rgb: Sequence[float]
    ) -> Float[np.ndarray, "n h w 3"]:
        """Returns round(255·x)/255.

        >>> image = np.full((1, 1, 1, 3), 0.3, np.float32)
        >>> (255 * EightBits().prepare(image, (0.5, 0.5, 0.5))).round(3).ravel().tolist()
        [76.0, 76.0, 76.0]
        """
        return np.round(255 * np.clip(images, 0, 1)).astype(np.float32) / np.float32(255)

    def restore(
        self, z: Float[np.ndarray, "n h w 3"], images: Float[np.ndarray, "n h w 3"]
    ) -> Float[np.ndarray, "n h w 3"]:
        """Returns the edited images as they are, because rounding can't be undone.

        >>> z = np.full((1, 1, 1, 3), 0.3)
        >>> EightBits().restore(z, z + 0.1).ravel().tolist()
        [0.3, 0.3, 0.3]
        """
        return z


@dataclass(frozen=True, kw_only=True)
class FullRange(PreparationStep):
    """The range of each image, over all pixels and channels, is stretched to [0, 1].

    SciPy's `imresize` did so with images of floats before it resized them, and so does
    dfi-tensorflow, which used it. Here the crop is resized first. In crops of LFW that are resized
    from 150 to 224 pixels, the range that is stretched is then narrower by 0.3 % on average and by
    3.7 % at most (40 images).
    """

    kind: ClassVar[str] = "full_range"

    def prepare(
        self, images: Float[np.ndarray, "n h w 3"], mean_rgb: Sequence[float]
    ) -> Float[np.ndarray, "n h w 3"]:
        """Returns (x − min)/(max − min), and 0 for an image of one value.

        >>> image = np.array([0.2, 0.4, 0.6], np.float32).reshape(1, 1, 1, 3)
        >>> FullRange().prepare(image, (0.5, 0.5, 0.5)).round(3).ravel().tolist()
        [0.0, 0.5, 1.0]
        """
        low, span = _range(images)
        return (images - low) / span

    def restore(
        self, z: Float[np.ndarray, "n h w 3"], images: Float[np.ndarray, "n h w 3"]
    ) -> Float[np.ndarray, "n h w 3"]:
        """Returns min + (max − min)·z, with the range that the image had.

        >>> image = np.array([0.2, 0.4, 0.6], np.float32).reshape(1, 1, 1, 3)
        >>> FullRange().restore(np.full((1, 1, 1, 3), 0.25, np.float32), image).round(3).ravel()
        array([0.3, 0.3, 0.3], dtype=float32)
        """
        low, span = _range(images)
        return low + span * z


@dataclass(frozen=True, kw_only=True)
class Padding(PreparationStep):
    """Images are padded with the mean colour that the network subtracts, to a multiple of a size.

    The image stays in the middle, and an odd margin is wider below and on the right. Pixels of the
    margin are 0 after `Preprocess`, they are edited like all others, and they are cut off in the
    end. The Torch backend of the DFI authors' code pads to multiples of 64, so 200 pixels get a
    margin of 28 on each side.

    Attributes:
      multiple: Number of pixels that divides the padded height and width.
    """

    kind: ClassVar[str] = "padding"
    least: ClassVar = {"multiple": 1}

    multiple: int = 64

    def prepare(
        self, images: Float[np.ndarray, "n h w 3"], mean_rgb: Sequence[float]
    ) -> Float[np.ndarray, "n _ _ 3"]:
        """Returns the images with their margins.

        >>> image = np.ones((1, 3, 4, 3), np.float32)
        >>> Padding(multiple=4).prepare(image, (0.5, 0.5, 0.5))[0, :, 0, 0].tolist()
        [1.0, 1.0, 1.0, 0.5]
        """
        n, height, width, _ = images.shape
        shape = (n, self.side(height), self.side(width), 3)
        padded = np.broadcast_to(np.asarray(mean_rgb, np.float32), shape).copy()
        center(padded, (height, width))[:] = images
        return padded

    def restore(
        self, z: Float[np.ndarray, "n _ _ 3"], images: Float[np.ndarray, "n h w 3"]
    ) -> Float[np.ndarray, "n h w 3"]:
        """Returns the edited images without their margins.

        >>> z, image = np.ones((1, 4, 4, 3)), np.ones((1, 3, 4, 3))
        >>> Padding(multiple=4).restore(z, image).shape
        (1, 3, 4, 3)
        """
        return center(z, (images.shape[1], images.shape[2]))

    def side(self, size: int) -> int:
        """Returns the smallest multiple that isn't less than a height or width.

        >>> Padding().side(200)
        256
        """
        return -(-size // self.multiple) * self.multiple


Preparation = tuple[EightBits | FullRange | Padding, ...]
"""Steps of a preparation, in the order in which they run."""


def prepare_images(
    images: Float[np.ndarray, "n h w 3"], steps: Preparation, mean_rgb: Sequence[float]
) -> Float[np.ndarray, "n _ _ 3"]:
    """Returns images as the network sees them.

    Args:
      images: Crops of faces.
      steps: The preparation.
      mean_rgb: Mean colour of the images that the network was trained on, in [0, 1].

    >>> prepare_images(np.zeros((1, 200, 200, 3)), (Padding(),), (0.5, 0.5, 0.5)).shape
    (1, 256, 256, 3)
    """
    for step in steps:
        images = step.prepare(images, mean_rgb)
    return images


def restore_images(
    z: Float[np.ndarray, "n _ _ 3"],
    images: Float[np.ndarray, "n h w 3"],
    steps: Preparation,
    mean_rgb: Sequence[float],
) -> Float[np.ndarray, "n h w 3"]:
    """Returns the edited crops of edited images that the network has seen.

    Args:
      z: Edited images, as the network saw them.
      images: The crops, before the preparation and the edit.
      steps: The preparation.
      mean_rgb: Mean colour of the images that the network was trained on, in [0, 1].

    >>> steps, crop = (FullRange(), Padding()), np.random.default_rng(0).random((1, 8, 8, 3))
    >>> seen = prepare_images(crop, steps, (0.5, 0.5, 0.5))
    >>> bool(np.allclose(restore_images(seen, crop, steps, (0.5, 0.5, 0.5)), crop))
    True
    """
    before = [prepare_images(images, steps[:i], mean_rgb) for i in range(len(steps))]
    for step, earlier in zip(reversed(steps), reversed(before), strict=True):
        z = step.restore(z, earlier)
    return z


def prepared_size(size: tuple[int, int], steps: Preparation) -> tuple[int, int]:
    """Returns the height and width of images as the network sees them.

    >>> prepared_size((200, 300), (EightBits(), Padding()))
    (256, 320)
    """
    height, width = size
    for step in steps:
        height, width = step.side(height), step.side(width)
    return height, width


def center(
    images: Float[np.ndarray, "n h w c"], size: tuple[int, int]
) -> Float[np.ndarray, "n _ _ c"]:
    """Returns the middle of images, as a view.

    >>> center(np.arange(4.0).reshape(1, 1, 4, 1), (1, 1)).ravel().tolist()
    [1.0]
    """
    top, left = ((whole - part) // 2 for whole, part in zip(images.shape[1:3], size, strict=True))
    return images[:, top : top + size[0], left : left + size[1]]


def _range(
    images: Float[np.ndarray, "n h w 3"],
) -> tuple[Float[np.ndarray, "n 1 1 1"], Float[np.ndarray, "n 1 1 1"]]:
    """Returns the minimum of each image, and max − min, or 1 if it is 0."""
    low = images.min(axis=(1, 2, 3), keepdims=True)
    span = images.max(axis=(1, 2, 3), keepdims=True) - low
    return low, np.where(span > 0, span, 1).astype(span.dtype)
