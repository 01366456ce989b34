"""The image of a photo as its file holds it.

The network sees RGB in sRGB. A file may hold other channels, more bits, another colour space, and
data about the photo. An edit changes the file's own numbers, and only where the picture changed. It
keeps the colour profile and the `Metadata`, and `Original.losses` names the rest.
"""

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, UInt8, UInt16
from PIL import Image, ImageCms, JpegImagePlugin

from dfi_jax.errors import FileError
from dfi_jax.photo.container import coding_losses, is_preview, raw_mode, read_file, read_profile
from dfi_jax.photo.image import LUMA, to_bytes
from dfi_jax.photo.metadata import Metadata, read_metadata

UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda values: values[:, ::-1],
    3: lambda values: values[::-1, ::-1],
    4: lambda values: values[::-1],
    5: lambda values: values.swapaxes(0, 1),
    6: lambda values: values.swapaxes(0, 1)[:, ::-1],
    7: lambda values: values[::-1, ::-1].swapaxes(0, 1),
    8: lambda values: values.swapaxes(0, 1)[::-1],
}
"""Function that turns a photo's array upright, for each orientation except 1, which is upright."""

LOOSE = 1e-3
"""Maximum distance of floats from [0, 1] that counts as rounding."""

DEEP_WHITE = 65_535
"""White in an image of 16 bits."""

PHOTOMETRIC, WHITE_IS_ZERO = 262, 0
"""Tag of a TIFF file, and its value in a negative. Pillow inverts negatives of 8 bits only."""

_RAMP = np.linspace(0, 255, 9, dtype=np.uint8)
SAMPLES = np.stack(np.meshgrid(_RAMP, _RAMP, _RAMP), axis=-1).reshape(27, 27, 3)
"""Colours, as an image, by which it is decided whether a profile is that of sRGB."""

CONVERTED = ("CMYK", "LAB")
"""Modes of images that are converted to sRGB.

YCbCr and HSV are other ways to write RGB, so an image in them keeps its profile."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Original:
    """The image of a photo, upright, as its file holds it.

    Attributes:
      values: Numbers of the file: grey (1 channel), grey and alpha (2), RGB (3), or RGB and
        alpha (4). 16-bit numbers are always grey.
      profile: ICC profile of the colours, or None.
      metadata: Data about the photo.
      losses: Sentences about what an edit doesn't keep.
      encoding: Quantisation tables, one for each component, and chroma subsampling of a JPEG file
        that was upright already. With them, what didn't change is encoded almost as it was. The
        last table stands for all components that follow.
    """

    values: UInt8[np.ndarray, "H W c"] | UInt16[np.ndarray, "H W 1"]
    profile: bytes | None
    metadata: Metadata
    losses: tuple[str, ...]
    encoding: tuple[list[list[int]], int] | None = None

    @classmethod
    def of(cls, image: Image.Image) -> tuple["Original", Float[np.ndarray, "H W 3"]]:
        """Returns a decoded image, and what the network sees of it: RGB in sRGB, in [0, 1].

        Transparent parts are seen on white.

        >>> original, pixels = Original.of(Image.new("LA", (40, 60), (0, 0)))
        >>> original.values.shape, pixels.shape, float(pixels.min())
        ((60, 40, 2), (60, 40, 3), 1.0)

        Raises:
          FileError: If the image has values that aren't numbers in [0, 1], or is the preview of a
            raw photo.
        """
        data = read_file(image)
        if is_preview(image, data):
            raise FileError(
                "the photo is a raw photo, of which only a small preview can be read; save it as "
                "JPEG, PNG or TIFF with a program for raw photos."
            )
        frames, stored, losses = getattr(image, "n_frames", 1), raw_mode(image), []
        if frames > 1:
            losses.append(f"the photo has {frames} frames, and its edit has one.")
        losses += coding_losses(image, data)
        profile = read_profile(image, data)
        image.load()
        metadata, orientation, lost = read_metadata(image)
        losses += lost
        values = _read_values(image, stored)
        if image.mode in CONVERTED:
            profile = None
            losses.append(f"the photo is in {image.mode}, and its edit is in sRGB.")
        if _has_deep_key(image, stored):
            losses.append("the photo has a transparent colour of 16 bits, and its edit has none.")
        if image.mode == "F" or "32" in stored:
            losses.append("the photo has 32 bits per pixel, and its edit has 16.")
        if orientation in UPRIGHT:
            values = UPRIGHT[orientation](values)
            # Orientations from 5 exchange rows and columns.
            if orientation >= 5 and metadata.dpi is not None:
                metadata = replace(metadata, dpi=metadata.dpi[::-1])
        original = cls(
            values=np.ascontiguousarray(values),
            profile=profile,
            metadata=metadata,
            losses=tuple(losses),
            encoding=_read_encoding(image) if orientation == 1 else None,
        )
        return original, original._seen()

    @property
    def white(self) -> int:
        """Largest value of a channel."""
        return int(np.iinfo(self.values.dtype).max)

    @property
    def colours(self) -> int:
        """Number of channels without alpha."""
        return {1: 1, 2: 1, 3: 3, 4: 3}[self.values.shape[2]]

    @property
    def fits_jpeg(self) -> bool:
        """Whether a JPEG file can hold an edit: it has 8 bits and no alpha."""
        return self.values.dtype == np.uint8 and self.values.shape[2] == self.colours

    @property
    def holds_more(self) -> bool:
        """Whether it has a profile, metadata, alpha or 16 bits, which a plain picture lacks."""
        return self.profile is not None or self.metadata != Metadata() or not self.fits_jpeg

    def edited(
        self, before: Float[np.ndarray, "H W 3"], after: Float[np.ndarray, "H W 3"]
    ) -> Image.Image:
        """Returns the edited image. Pixels that didn't change keep the file's numbers.

        >>> original, seen = Original.of(Image.new("RGBA", (40, 60), (0, 0, 0, 255)))
        >>> original.edited(seen, seen + 0.2).getpixel((0, 0))
        (51, 51, 51, 255)

        Args:
          before: The photo as the network sees it.
          after: The edited photo, in [0, 1].
        """
        change = self._to_file(before, after)
        colours = self.values[..., : self.colours]
        if self.values.shape[2] > self.colours:
            # A translucent colour has to change by more than what is seen of it.
            alpha = self.values[..., self.colours :] / np.float32(self.white)
            change = change / np.where(alpha > 0, alpha, 1)
        moved = np.round(np.clip(colours + self.white * change, 0, self.white))
        values = np.concatenate([moved, self.values[..., self.colours :]], axis=-1)
        values = values.astype(self.values.dtype)
        image = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
        image.info |= {
            name: value
            for name, value in (("icc_profile", self.profile), ("dpi", self.metadata.dpi))
            if value is not None
        }
        return image

    def _seen(self) -> Float[np.ndarray, "H W 3"]:
        colours = self.values[..., : self.colours]
        transform = self._transform(to_srgb=True)
        if transform is not None:
            colours = _apply(transform, colours)
            if self.colours == 1:  # Rounding may have tinted it.
                colours = colours[..., 1:2]
        seen = np.asarray(colours, np.float32) / np.iinfo(colours.dtype).max
        seen = np.repeat(seen, 3, axis=-1) if self.colours == 1 else seen
        if self.values.shape[2] == self.colours:
            return seen
        alpha = np.asarray(self.values[..., self.colours :], np.float32) / self.white
        return alpha * seen + (1 - alpha)

    def _to_file(
        self, before: Float[np.ndarray, "H W 3"], after: Float[np.ndarray, "H W 3"]
    ) -> Float[np.ndarray, "H W c"]:
        """Returns the change in the file's colour space."""
        transform = self._transform(to_srgb=False)
        if transform is None:
            change = after - before
            return change if self.colours == 3 else (change @ LUMA)[..., None]
        # Both are rounded alike, so what didn't change doesn't change here either.
        here, there = (_apply(transform, to_bytes(pixels)) for pixels in (before, after))
        return (there.astype(np.float32) - here) / self.white

    def _transform(self, *, to_srgb: bool) -> ImageCms.ImageCmsTransform | None:
        """Returns the transform from the file's colours to sRGB or back, or None without one.

        A profile that can't be read, or that is for other channels, is kept and otherwise ignored.
        """
        if self.profile is None:
            return None
        mode = "RGB" if self.colours == 3 else "L" if self.white == 255 else "I;16"
        samples = SAMPLES if self.colours == 3 else np.arange(self.white + 1)[None, :, None]
        samples = samples.astype(self.values.dtype)
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
            ours = ImageCms.ImageCmsProfile(io.BytesIO(self.profile))
            srgb = ImageCms.createProfile("sRGB")
            transform = ImageCms.buildTransform(ours, srgb, mode, "RGB")
            moved = _apply(transform, samples) - 255 * (samples / self.white)
            if np.abs(moved).max() <= 1:  # A profile of sRGB; rounding isn't worth a conversion.
                return None
            return transform if to_srgb else ImageCms.buildTransform(srgb, ours, "RGB", mode)
        return None


def _apply(
    transform: ImageCms.ImageCmsTransform, values: np.ndarray
) -> UInt8[np.ndarray, "H W c"] | UInt16[np.ndarray, "H W 1"]:
    """Returns the colours (or grey, with one channel) that a transform makes of others."""
    channels = values[..., 0] if values.shape[2] == 1 else values
    made = np.asarray(transform.apply(Image.fromarray(np.ascontiguousarray(channels))))
    return made[..., None] if made.ndim == 2 else made


def _has_deep_key(image: Image.Image, stored: str) -> bool:
    """Returns whether a colour of 16 bits is transparent, which Pillow would compare in 8 bits."""
    return "16" in stored and "transparency" in image.info


def _read_encoding(image: Image.Image) -> tuple[list[list[int]], int] | None:
    """Returns quantisation tables, and Pillow's number of the subsampling: -1 if unknown."""
    if not isinstance(image, JpegImagePlugin.JpegImageFile) or image.mode not in ("L", "RGB"):
        return None
    # Tables may have any numbers, and Pillow writes those of its components in their order.
    numbers = [number for *_, number in image.layer[: len(image.getbands())]]
    if not image.quantization.keys() >= set(numbers):
        return None
    tables = [list(image.quantization[number]) for number in numbers]
    while tables[1:] and tables[-1] == tables[-2]:
        tables.pop()
    return tables, JpegImagePlugin.get_sampling(image)


def _read_values(image: Image.Image, stored: str) -> np.ndarray:
    """Returns the numbers of an image.

    Args:
      image: The decoded image.
      stored: Pillow's name for the numbers in the file.

    Raises:
      FileError: If there are floats outside [0, 1].
    """
    match image.mode:
        case "I;16" | "I;16L" | "I;16B" | "I;16N":
            return _read_deep(image, stored)
        case "I":
            return _read_integers(image, stored)
        case "F":
            return _read_floats(image)
        case "CMYK":
            return np.asarray(_from_cmyk(image))
    if image.mode == "La":
        image = image.convert("LA")
    mode = image.mode if image.mode in ("L", "LA", "RGB", "RGBA") else "RGB"
    if image.mode == "1":
        mode = "L"
    deep_key = _has_deep_key(image, stored)
    if image.has_transparency_data and not (mode.endswith("A") or deep_key):
        mode += "A"
    values = np.asarray(image.convert(mode))
    return values[..., None] if values.ndim == 2 else values


def _read_deep(image: Image.Image, stored: str) -> UInt16[np.ndarray, "H W 1"]:
    values = np.asarray(image).astype(np.uint16)
    if stored == "I;12":
        values = np.round(values * (DEEP_WHITE / 4095)).astype(np.uint16)
    if image.format == "TIFF" and getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO:
        values = DEEP_WHITE - values
    return values[..., None]


def _read_integers(image: Image.Image, stored: str) -> UInt16[np.ndarray, "H W 1"]:
    """Returns 32-bit integers with 16 bits. Pillow uses them for some images of 16 bits, too."""
    values, bits, signed = np.asarray(image), 32 if "32" in stored else 16, stored.endswith("S")
    if bits == 32 and not signed:
        values = values.view(np.uint32)
    grey = np.clip(values.astype(np.float64) / (2 ** (bits - signed) - 1), 0, 1)
    return np.round(DEEP_WHITE * grey).astype(np.uint16)[..., None]


def _read_floats(image: Image.Image) -> UInt16[np.ndarray, "H W 1"]:
    values = np.asarray(image, np.float32)
    if not np.isfinite(values).all() or values.min() < -LOOSE or values.max() > 1 + LOOSE:
        raise FileError(
            f"the photo has floats from {np.min(values):.4g} to {np.max(values):.4g}; give one "
            f"with floats in [0, 1], or with integers."
        )
    return np.round(DEEP_WHITE * np.clip(values, 0, 1)).astype(np.uint16)[..., None]


def _from_cmyk(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
            ours = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            there = ImageCms.createProfile("sRGB")
            transform = ImageCms.buildTransform(ours, there, "CMYK", "RGB")
            return transform.apply(image)
    return image.convert("RGB")
