"""The image of a photo as its file holds it.

The network sees RGB in sRGB. A file may hold other channels, more bits, another colour space, and
data about the photo. An edit changes the file's own numbers, and only where the picture changed. It
keeps the colour profile, EXIF data and resolution, and `Original.losses` names the rest.
"""

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8, UInt16
from PIL import Image, ImageCms, JpegImagePlugin

from dfi_jax.errors import FileError
from dfi_jax.photo.image import LUMA, to_bytes

ORIENTATION = 0x0112
"""Number of the EXIF tag that says how a photo is turned."""

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

STRUCTURE = (*range(254, 260), 262, 266, 273, *range(277, 282), 284, *range(322, 326), 338, 339)
"""Numbers of the EXIF tags of a TIFF file that say how its pixels are stored."""

PROFILE = 34675
"""Number of the EXIF tag that holds the colour profile of a TIFF file."""

LARGEST_DPI = 65_535
"""Largest resolution that a JPEG file can hold, in pixels per inch."""

UNKEPT = {
    "xmp": "XMP data",
    "photoshop": "Photoshop data",
    "comment": "a comment",
}
"""Name of what an edit doesn't keep, by its key in Pillow's `info`."""

SRGB_GAMMA = 1 / 2.2
"""Gamma by which PNG files approximate sRGB."""

SRGB_PRIMARIES = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
"""White point and primaries of sRGB, (x, y) each, as PNG files state them."""

POINTERS = (0x8769, 0x8825)
"""Numbers of the EXIF tags that say where further tags are in the file."""

LOOSE = 1e-3
"""Maximum distance of floats from [0, 1] that counts as rounding."""

DEEP_WHITE = 65_535
"""White in an image of 16 bits."""

_RAMP = np.linspace(0, 255, 9, dtype=np.uint8)
SAMPLES = np.stack(np.meshgrid(_RAMP, _RAMP, _RAMP), axis=-1).reshape(27, 27, 3)
"""Colours, as an image, by which it is decided whether a profile is that of sRGB."""

CONVERTED = ("CMYK", "YCbCr", "LAB", "HSV")
"""Modes of images that are converted to sRGB."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Original:
    """The image of a photo, upright, as its file holds it.

    Attributes:
      values: Numbers of the file: grey (1 channel), grey and alpha (2), RGB (3), or RGB and
        alpha (4). 16-bit numbers are always grey.
      profile: ICC profile of the colours, or None.
      exif: EXIF data, with the orientation *upright*, or no bytes.
      dpi: Horizontal and vertical resolution in pixels per inch, or None.
      losses: Sentences about what an edit doesn't keep.
      encoding: Quantisation tables and chroma subsampling of a JPEG file that was upright already.
        With them, what didn't change is encoded almost as it was.
    """

    values: UInt8[np.ndarray, "H W c"] | UInt16[np.ndarray, "H W 1"]
    profile: bytes | None
    exif: bytes
    dpi: tuple[float, float] | None
    losses: tuple[str, ...]
    encoding: tuple[dict[int, list[int]], int] | None = None

    @classmethod
    def of(cls, image: Image.Image) -> tuple["Original", Float[np.ndarray, "H W 3"]]:
        """Returns a decoded image, and what the network sees of it: RGB in sRGB, in [0, 1].

        Transparent parts are seen on white.

        >>> original, pixels = Original.of(Image.new("LA", (40, 60), (0, 0)))
        >>> original.values.shape, pixels.shape, float(pixels.min())
        ((60, 40, 2), (60, 40, 3), 1.0)

        Raises:
          FileError: If the image has values that aren't numbers in [0, 1].
        """
        losses = []
        frames, stored = getattr(image, "n_frames", 1), _raw_mode(image)
        if frames > 1:
            losses.append(f"the photo has {frames} frames, and its edit has one.")
        if image.mode not in ("I;16", "I", "F") and "16" in stored:
            losses.append("the photo has 16 bits per channel, and its edit has 8.")
        image.load()
        exif, orientation = _read_exif(image)
        if exif is None:
            losses.append("the photo's EXIF data is damaged, and its edit has none.")
        losses += [
            f"the photo has {name}, and its edit has none."
            for key, name in UNKEPT.items()
            if image.info.get(key)
        ]
        losses += _png_losses(image)
        profile, dpi = image.info.get("icc_profile"), _read_dpi(image)
        values = _read_values(image, stored)
        if image.mode in CONVERTED:
            profile = None
            losses.append(f"the photo is in {image.mode}, and its edit is in sRGB.")
        if image.mode == "F" or "32" in stored:
            losses.append("the photo has 32 bits per pixel, and its edit has 16.")
        if orientation in UPRIGHT:
            values = UPRIGHT[orientation](values)
            # Orientations from 5 exchange rows and columns.
            dpi = dpi[::-1] if dpi is not None and orientation >= 5 else dpi
        original = cls(
            values=np.ascontiguousarray(values),
            profile=profile,
            exif=exif or b"",
            dpi=dpi,
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
        if self.colours == 1:
            change = (change @ LUMA)[..., None]
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
            for name, value in (("icc_profile", self.profile), ("dpi", self.dpi))
            if value is not None
        }
        return image

    def _seen(self) -> Float[np.ndarray, "H W 3"]:
        colours = self.values[..., : self.colours]
        transform = self._transform(to_srgb=True)
        if transform is not None:
            colours = _apply(transform, colours)
        seen = np.asarray(colours, np.float32) / self.white
        seen = np.repeat(seen, 3, axis=-1) if self.colours == 1 else seen
        if self.values.shape[2] == self.colours:
            return seen
        alpha = np.asarray(self.values[..., self.colours :], np.float32) / self.white
        return alpha * seen + (1 - alpha)

    def _to_file(
        self, before: Float[np.ndarray, "H W 3"], after: Float[np.ndarray, "H W 3"]
    ) -> Float[np.ndarray, "H W 3"]:
        """Returns the change in the file's colour space."""
        transform = self._transform(to_srgb=False)
        if transform is None:
            return after - before
        # Both are rounded alike, so what didn't change doesn't change here either.
        here, there = (_apply(transform, to_bytes(pixels)) for pixels in (before, after))
        return (there.astype(np.float32) - here) / 255

    def _transform(self, *, to_srgb: bool) -> ImageCms.ImageCmsTransform | None:
        """Returns the transform from the file's colours to sRGB or back, or None without one.

        A profile that can't be read, or that isn't for RGB, is kept and otherwise ignored.
        """
        if self.profile is None or self.colours != 3:
            return None
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
            ours = ImageCms.ImageCmsProfile(io.BytesIO(self.profile))
            srgb = ImageCms.createProfile("sRGB")
            transform = ImageCms.buildTransform(ours, srgb, "RGB", "RGB")
            moved = _apply(transform, SAMPLES).astype(int) - SAMPLES
            if np.abs(moved).max() <= 1:  # A profile of sRGB; rounding isn't worth a conversion.
                return None
            return transform if to_srgb else ImageCms.buildTransform(srgb, ours, "RGB", "RGB")
        return None


def _apply(
    transform: ImageCms.ImageCmsTransform, values: UInt8[np.ndarray, "H W 3"]
) -> UInt8[np.ndarray, "H W 3"]:
    return np.asarray(transform.apply(Image.fromarray(np.ascontiguousarray(values))))


def _raw_mode(image: Image.Image) -> str:
    """Returns Pillow's name for the numbers in an undecoded image's file, such as `RGB;16B`."""
    arguments = [tile[3] for tile in getattr(image, "tile", [])]
    names = [each if isinstance(each, tuple) else (each,) for each in arguments]
    if image.format == "PPM" and names and names[0][-1] == DEEP_WHITE:
        return f"{names[0][0]};16"
    return next((str(each[0]) for each in names if each), "")


def _read_exif(image: Image.Image) -> tuple[bytes | None, int]:
    """Returns the EXIF data and the orientation. The data is None if it can't be read."""
    orientation = 1
    try:
        # `getexif` returns the image's own object, which isn't ours to change.
        exif, own = Image.Exif(), image.getexif()
        orientation = int(own.get(ORIENTATION, 1))
        if not len(own):
            return None if image.info.get("exif") else b"", orientation
        if own.bigtiff:  # Pillow can't read such data apart from its file.
            exif.update({tag: value for tag, value in own.items() if tag not in POINTERS})
        else:
            exif.load(own.tobytes())
        if ORIENTATION in exif:
            exif[ORIENTATION] = 1
        for tag in (*STRUCTURE, PROFILE) if image.format == "TIFF" else ():
            exif.pop(tag, None)
        return exif.tobytes() if len(exif) else b"", orientation
    except Exception:  # Pillow raises many kinds of errors for tags of the wrong type.
        return None, orientation


def _read_encoding(image: Image.Image) -> tuple[dict[int, list[int]], int] | None:
    """Returns quantisation tables, and Pillow's number of the subsampling: -1 if unknown."""
    tables = getattr(image, "quantization", None)
    if not tables or image.mode not in ("L", "RGB"):
        return None
    copies = {int(number): [int(step) for step in table] for number, table in tables.items()}
    return copies, JpegImagePlugin.get_sampling(image)


def _png_losses(image: Image.Image) -> list[str]:
    """Returns sentences about what only PNG files have."""
    losses = []
    texts = [name for name in getattr(image, "text", None) or {} if "xmp" not in name.lower()]
    if texts:
        losses.append(f"the photo has text ({', '.join(texts)}), and its edit has none.")
    gamma = image.info.get("gamma", SRGB_GAMMA)
    primaries = image.info.get("chromaticity", SRGB_PRIMARIES)
    if image.info.keys().isdisjoint({"srgb", "icc_profile"}) and not (
        np.allclose(gamma, SRGB_GAMMA, atol=0.01)
        and np.allclose(primaries, SRGB_PRIMARIES, atol=0.01)
    ):
        losses.append(
            "the photo states its gamma or its primaries without a profile, and its edit doesn't."
        )
    return losses


def _read_dpi(image: Image.Image) -> tuple[float, float] | None:
    dpi = image.info.get("dpi")
    try:
        x, y = (float(value) for value in dpi)  # type: ignore[union-attr]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if 0 < x <= LARGEST_DPI and 0 < y <= LARGEST_DPI else None


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
            return np.asarray(image).astype(np.uint16)[..., None]
        case "I":
            return _read_integers(image, stored)
        case "F":
            return _read_floats(image)
        case "CMYK":
            return np.asarray(_from_cmyk(image))
    mode = image.mode if image.mode in ("L", "LA", "RGB", "RGBA") else "RGB"
    if image.mode == "1":
        mode = "L"
    if image.has_transparency_data and not mode.endswith("A"):
        mode += "A"
    values = np.asarray(image.convert(mode))
    return values[..., None] if values.ndim == 2 else values


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
