"""Images between files and arrays. Arrays are float32 (h, w, 3), RGB, in [0, 1]; boxes are (x0, y0, x1, y1) pixels."""

import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageOps, UnidentifiedImageError

from dfi_jax.errors import FileError, InputError
from dfi_jax.files import replacing

Box = tuple[int, int, int, int]

LARGEST = 100_000_000
"""Pixels in a photograph, at most: as floats and with room to work, 100 megapixels take 4 GB."""


def read(path: Path) -> Float[np.ndarray, "h w 3"]:
    """Reads an image of any kind that Pillow reads, upright, as RGB in [0, 1].

    The EXIF rotation is applied; greyscale, palette, CMYK and 16-bit images are converted; what is transparent is
    laid on white.

    Raises:
      FileError: where the file is missing, is no image, is cut short, or has over 100 million pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                if opened.width * opened.height > LARGEST:
                    raise FileError(_too_large(path))
                return _to_rgb(ImageOps.exif_transpose(opened))
    except FileError:
        raise
    except Image.DecompressionBombError:
        raise FileError(_too_large(path)) from None
    except FileNotFoundError:
        raise FileError(f"{path} does not exist; check the path.") from None
    except IsADirectoryError:
        raise FileError(f"{path} is a folder; give an image file.") from None
    except UnidentifiedImageError:
        what = "is empty" if Path(path).stat().st_size == 0 else "is not an image that can be read"
        raise FileError(f"{path} {what}; give a photograph, as PNG or JPEG for example.") from None
    except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises for damaged files
        raise FileError(f"{path} can't be read, it may be damaged or cut short ({error}).") from None


def _too_large(path: Path) -> str:
    return f"{path} has more than {LARGEST // 10**6} megapixels; make it smaller first."


def _to_rgb(image: Image.Image) -> Float[np.ndarray, "h w 3"]:
    if image.mode.startswith("I") or image.mode == "F":  # one channel of more than 8 bits
        grey = np.asarray(image, np.float32) / (1 if image.mode == "F" else 65535)
        return np.repeat(np.clip(grey, 0, 1)[..., None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"), np.float32) / 255


def write(path: Path, image: Float[np.ndarray, "h w 3"]) -> None:
    """Writes a PNG, rounded to 8 bits, whole or not at all. Raises FileError where it can't."""
    with replacing(path) as temporary:
        Image.fromarray(to_bytes(image)).save(temporary, format="PNG")


def to_bytes(image: Float[np.ndarray, "h w 3"]) -> np.ndarray:
    """Rounded to 8 bits: uint8, clipped to 0–255."""
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def crop(image: Float[np.ndarray, "h w 3"], box: Box) -> Float[np.ndarray, "_ _ 3"]:
    """The pixels x0 ≤ x < x1, y0 ≤ y < y1. Raises InputError for a box that is empty or not inside the image."""
    x0, y0, x1, y1 = box
    height, width = image.shape[:2]
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise InputError(
            f"the crop {x0},{y0},{x1},{y1} doesn't lie inside the image, which is {width} × {height} pixels; "
            f"give x0,y0,x1,y1 with 0 ≤ x0 < x1 ≤ {width} and 0 ≤ y0 < y1 ≤ {height}."
        )
    return image[y0:y1, x0:x1]


def resize(image: Float[np.ndarray, "h w c"], size: tuple[int, int]) -> Float[np.ndarray, "_ _ c"]:
    """Bilinear, in float, to (height, width); averaging over the pixels' area where that is smaller."""
    if image.shape[:2] == size:
        return image
    channels = (Image.fromarray(np.ascontiguousarray(image[..., c], np.float32)) for c in range(image.shape[2]))
    resized = [c.resize(size[::-1], Image.Resampling.BILINEAR) for c in channels]
    return np.stack([np.asarray(c) for c in resized], axis=-1)
