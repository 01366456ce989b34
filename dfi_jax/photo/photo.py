"""The photo that is edited, and how it is read from and written to files."""

import dataclasses
import functools
import hashlib
import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, Union, runtime_checkable

import numpy as np
from jaxtyping import Float
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from dfi_jax.errors import FileError, InputError
from dfi_jax.photo.image import LARGEST, to_bytes
from dfi_jax.photo.original import LOOSE, Original
from dfi_jax.storage.files import check_file, replacing, user_path


@runtime_checkable
class Array(Protocol):
    """An array of NumPy, or of a library whose arrays NumPy can read, such as JAX."""

    def __array__(self) -> np.ndarray:
        """Returns the array as NumPy's."""


PhotoLike = Union["Photo", str, Path, Image.Image, Array]
"""Everything that `Photo.of` accepts as a photo."""

_JPEG_FORMATS = ("JPEG", "MPO")
"""Pillow's names for JPEG files. MPO is what many phones and cameras write: a JPEG file that is
followed by further pictures."""

FORMATS: dict[str, Literal["PNG", "JPEG"]] = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
"""Formats that are written, by the suffix of the file's name."""

_JPEG_MODES = ("L", "RGB")
"""Pillow's modes of images that a JPEG file can hold: 8 bits, without alpha."""

_READ = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow's names for the formats that are read; JPEG stands for MPO, too.

Pillow reads many more, some of which start other programs: an EPS file would run Ghostscript."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Photo:
    """A photo, upright and in RGB, and where it comes from.

    Attributes:
      pixels: Image, RGB in [0, 1].
      name: Name of the file, or `photo` if the photo isn't a file.
      path: Path of the file, or None.
      format: Format in which edits of the photo are written: JPEG if the photo is a JPEG file,
        otherwise PNG.
      sha256: SHA-256, in hex, of the file's bytes, or of the pixels if the photo isn't a file.
      original: Image as the file holds it, or None if the photo is an array.
    """

    pixels: Float[np.ndarray, "H W 3"] = field(repr=False)
    name: str
    path: Path | None = None
    format: Literal["PNG", "JPEG"] = "PNG"
    sha256: str
    original: Original | None = field(default=None, repr=False)

    @classmethod
    def open(cls, path: str | Path) -> "Photo":
        """Opens an image file: AVIF, BMP, GIF, JPEG, JPEG 2000, PNG, PPM, TIFF or WebP.

        The photo is turned upright as EXIF says. Its pixels are in sRGB, converted from the colour
        profile if there is one, and transparent parts are white.

        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write(pathlib.Path(folder, "me.jpg"), np.zeros((40, 60, 3)))
        ...     photo = Photo.open(pathlib.Path(folder, "me.jpg"))
        >>> photo.name, photo.size, photo.format
        ('me.jpg', (60, 40), 'JPEG')

        Args:
          path: Path of the file. A leading `~` is the user's home folder.

        Raises:
          FileError: If the file doesn't exist, isn't an image, is cut short, or has more than
            100 million pixels.
        """
        path = user_path(path)
        check_file(path)
        with _decoding(str(path)):
            with path.open("rb") as file:
                if not file.read(1):
                    raise FileError(f"{path} is empty; give another copy of the photo.")
                # The header is checked first so that no video and no huge image is read whole.
                with Image.open(file, formats=_formats()) as header:
                    _check_size(str(path), header.size)
                file.seek(0)
                content = file.read()
            with Image.open(io.BytesIO(content), formats=_formats()) as image:
                _check_size(str(path), image.size)
                original, pixels = Original.of(image)
                return cls(
                    pixels=pixels,
                    name=path.name,
                    path=path,
                    format=_edit_format(image, original),
                    sha256=hashlib.sha256(content).hexdigest(),
                    original=original,
                )

    @classmethod
    def of(cls, photo: PhotoLike, *, called: str = "the photo") -> "Photo":
        """Returns the photo that a path, a Pillow image or an array stands for.

        Pillow images are treated like files: see `Photo.open`.

        >>> Photo.of(np.full((40, 60), 255, np.uint8)).pixels.shape
        (40, 60, 3)

        Args:
          photo: Path, Pillow image, or array of shape (height, width, 3) or, for greyscale,
            (height, width): 8-bit or 16-bit unsigned integers, or floats in [0, 1]. A `Photo` is
            returned as it is.
          called: Words for the photo in an error.

        Raises:
          FileError: If the file can't be opened, or the image can't be decoded.
          InputError: If the array has another shape, type or range of values.
        """
        if isinstance(photo, Photo):
            return photo
        if isinstance(photo, str | Path):
            return cls.open(photo)
        if isinstance(photo, Image.Image):
            with _decoding(called):
                _check_size(called, photo.size)
                original, pixels = Original.of(photo)
                made = cls._from_pixels(pixels, format=_edit_format(photo, original))
                return dataclasses.replace(made, original=original)
        if isinstance(photo, Array):
            try:
                array = np.asarray(photo)
            except Exception as error:  # Other libraries may refuse, as PyTorch does on a GPU.
                raise InputError(
                    f"{called} is an array that NumPy can't read ({error}); give one of NumPy's."
                ) from None
            return cls._from_pixels(_from_array(array, called=called))
        raise InputError(
            f"{called} is a {type(photo).__name__}; give a path, a Pillow image or an array."
        )

    @classmethod
    def _from_pixels(
        cls, pixels: Float[np.ndarray, "H W 3"], *, format: Literal["PNG", "JPEG"] = "PNG"
    ) -> "Photo":
        digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes())
        return cls(pixels=pixels, name="photo", format=format, sha256=digest.hexdigest())

    @property
    def stem(self) -> str:
        """Name without its suffix."""
        return Path(self.name).stem

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def suffix(self) -> str:
        """Suffix of files with edits of the photo, `.jpg` or `.png`."""
        return ".jpg" if self.format == "JPEG" else ".png"

    @property
    def losses(self) -> tuple[str, ...]:
        """Sentences about what an edit of the photo doesn't keep in the photo's `format`."""
        return self.losses_as(self.format)

    def losses_as(self, format: Literal["PNG", "JPEG"]) -> tuple[str, ...]:
        """Returns sentences about what an edit of the photo doesn't keep in a format.

        >>> photo = Photo.of(Image.new("CMYK", (40, 60)))
        >>> photo.losses_as("PNG")
        ('the photo is in CMYK, and its edit is in sRGB.',)
        """
        if self.original is None:
            return ()
        return (*self.original.losses, *self.original.metadata.losses(format))

    def edited(self, pixels: Float[np.ndarray, "H W 3"]) -> Image.Image:
        """Returns an edit of the photo as a Pillow image, with the photo's channels and profile.

        >>> photo = Photo.of(Image.new("L", (40, 40), 51))
        >>> photo.edited(photo.pixels + 0.2).getpixel((0, 0))
        102

        Args:
          pixels: Edited photo, RGB in [0, 1], of the photo's size.
        """
        if self.original is None:
            return to_pil(pixels)
        return self.original.edited(self.pixels, pixels)


def read(path: str | Path) -> Float[np.ndarray, "H W 3"]:
    """Returns the pixels of an image file, as `Photo.open` does.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(pathlib.Path(folder, "me.png"), np.ones((40, 60, 3)))
    ...     read(pathlib.Path(folder, "me.png")).shape
    (40, 60, 3)
    """
    return Photo.open(path).pixels


def write(path: Path, pixels: Float[np.ndarray, "H W 3"]) -> None:
    """Writes an image, rounded to 8 bits; if that fails, the file isn't created or changed.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(pathlib.Path(folder, "face.png"), np.zeros((40, 40, 3)))
    ...     [path.name for path in pathlib.Path(folder).iterdir()]
    ['face.png']

    Args:
      path: Path of the file. Its suffix decides the format: `.png`, `.jpg` or `.jpeg`. JPEG files
        have a quality of 95 and full colour resolution.
      pixels: RGB in [0, 1]; values outside are clipped.

    Raises:
      FileError: If the file can't be written.
      InputError: If the path has another suffix.
    """
    save(path, to_pil(pixels))


def save(
    path: Path, image: Image.Image, *, original: Original | None = None
) -> Literal["PNG", "JPEG"]:
    """Writes a Pillow image as `write` does, with its profile and resolution; returns the format.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = save(pathlib.Path(folder, "face.png"), Image.new("LA", (40, 30)))
    ...     Photo.open(pathlib.Path(folder, "face.png")).original.values.shape
    (30, 40, 2)

    Args:
      path: Path of the file, as for `write`.
      image: Image of a mode that the format can hold.
      original: Photo whose metadata is written, too, and whose quantisation a JPEG file gets.

    Raises:
      FileError: If the file can't be written.
      InputError: If the path has another suffix, or the format can't hold the image.
    """
    format = check_suffix(path, fits_jpeg=image.mode in _JPEG_MODES)
    options: dict[str, Any] = {"quality": 95, "subsampling": 0} if format == "JPEG" else {}
    if format == "JPEG" and original is not None and original.encoding is not None:
        tables, subsampling = original.encoding
        options = {"qtables": tables}
        if subsampling >= 0:
            options["subsampling"] = subsampling
    options |= {name: image.info[name] for name in ("icc_profile", "dpi") if name in image.info}
    if original is not None:
        options |= original.metadata.options(format)
    with replacing(path) as temporary:
        try:
            image.save(temporary, format=format, **options)
        except OSError:
            raise
        except Exception as error:  # Encoders raise errors of any kind for odd metadata.
            raise FileError(
                f"{path} can't be written ({error}); give the photo in another format."
            ) from None
    return format


def check_suffix(path: Path, *, fits_jpeg: bool) -> Literal["PNG", "JPEG"]:
    """Returns the format that a path's suffix stands for.

    >>> check_suffix(Path("me.PNG"), fits_jpeg=False)
    'PNG'

    Args:
      path: Path of the file.
      fits_jpeg: Whether a JPEG file can hold the image.

    Raises:
      InputError: If the path has another suffix, or the format can't hold the image.
    """
    format = FORMATS.get(path.suffix.lower())
    if format is None:
        raise InputError(
            f"{path} has the suffix {path.suffix!r}; give a path that ends in .png, .jpg or .jpeg."
        )
    if format == "JPEG" and not fits_jpeg:
        raise InputError(
            f"{path} can't hold the photo's transparency or 16 bits; give a path that ends in .png."
        )
    return format


def to_pil(pixels: Float[np.ndarray, "H W 3"]) -> Image.Image:
    """Returns a Pillow image, rounded to 8 bits.

    >>> to_pil(np.zeros((40, 60, 3))).size
    (60, 40)
    """
    return Image.fromarray(to_bytes(pixels))


class _PillowState:
    """Hides Pillow's warnings, and raises a limit of its own, while some thread decodes an image.

    Pillow warns about photos that are large, or whose EXIF data is damaged in part. It rejects PNG
    files with more than 1 MiB of compressed text or profile, though some programs write a whole
    workflow there. All threads share the list of filters. If each saved and restored it, a filter
    of another would stay in it.
    """

    def __init__(self) -> None:
        self._lock, self._threads = threading.Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._threads:
                self._before = warnings.catch_warnings()
                self._before.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\b")
                self._longest = PngImagePlugin.MAX_TEXT_CHUNK
                PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY
            self._threads += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._threads -= 1
            if not self._threads:
                self._before.__exit__(None, None, None)
                PngImagePlugin.MAX_TEXT_CHUNK = self._longest


_pillow_state = _PillowState()


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Turns every error of opening and decoding an image into one that names the image."""
    try:
        with _pillow_state:
            yield
    except FileError:
        raise
    except Image.DecompressionBombError:
        raise FileError(_too_large(name)) from None
    except MemoryError:
        raise FileError(
            f"{name} needs more memory than there is; make it smaller, or try another copy."
        ) from None
    except PermissionError as error:
        raise FileError(
            f"{name} can't be read ({error.strerror}); check its permissions."
        ) from None
    except UnidentifiedImageError:
        raise FileError(
            f"{name} isn't an image that can be read; give a photo, for example a PNG or JPEG file."
        ) from None
    except Exception as error:  # Decoders raise errors of any kind for damaged files.
        reason = str(error) or type(error).__name__
        raise FileError(
            f"{name} can't be read ({reason}); it may be damaged or cut short, so try another copy."
        ) from None


def _check_size(name: str, size: tuple[int, int]) -> None:
    if 0 in size:
        raise FileError(f"{name} has no pixels; give another photo.")
    if size[0] * size[1] > LARGEST:
        raise FileError(_too_large(name))


def _too_large(name: str) -> str:
    return f"{name} has more than {LARGEST // 10**6} megapixels; make it smaller first."


def _edit_format(image: Image.Image, original: Original) -> Literal["PNG", "JPEG"]:
    # A program may have added alpha to an image that it read from a JPEG file.
    return "JPEG" if image.format in _JPEG_FORMATS and original.fits_jpeg else "PNG"


@functools.cache
def _formats() -> tuple[str, ...]:
    """Returns the formats of `_READ` that this installation of Pillow can read."""
    Image.init()
    return tuple(name for name in _READ if name in Image.OPEN)


def _from_array(array: np.ndarray, *, called: str) -> Float[np.ndarray, "H W 3"]:
    if array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,)) or array.size == 0:
        raise InputError(
            f"{called} is an array of shape {array.shape}; give (height, width, 3) for RGB "
            "or (height, width) for greyscale."
        )
    _check_size(called, (array.shape[1], array.shape[0]))
    if array.dtype.kind == "u" and array.dtype.itemsize <= 2:
        pixels = array.astype(np.float32) / np.iinfo(array.dtype).max
    elif np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all():
            raise InputError(f"{called} has values that aren't finite; give floats in [0, 1].")
        if array.min() < -LOOSE or array.max() > 1 + LOOSE:
            raise InputError(
                f"{called} has values from {array.min():.4g} to {array.max():.4g}; "
                "give floats in [0, 1], or integers of type uint8."
            )
        pixels = np.clip(array.astype(np.float32), 0, 1)
    else:
        raise InputError(
            f"{called} is an array of type {array.dtype}; give uint8, uint16 or floats in [0, 1]."
        )
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
