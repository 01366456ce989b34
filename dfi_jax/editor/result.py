"""An edit: the edited photos, and the record of how they were made."""

import io
import json
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from PIL import Image

from dfi_jax.errors import FileError, InputError
from dfi_jax.photo.photo import Photo, save, to_pil
from dfi_jax.photo.placement import Placement
from dfi_jax.recipe import TransferDifference
from dfi_jax.report.curves import draw_loss_curves
from dfi_jax.report.sheet import contact_sheet
from dfi_jax.storage.files import check_names, exists, replacing, user_path, write_text


@dataclass(frozen=True, kw_only=True, eq=False)
class Edit:
    """A photo, edited with one attribute at one or more strengths.

    Attributes:
      photo: The original photo.
      placement: The face in the photo.
      face: The original crop, at the largest size of the edit.
      faces: The edited crops, one per strength. They may leave [0, 1] if the recipe has no
        bounds. The edit of a greyscale face is grey.
      pixels: The finished photos, one per strength, RGB in [0, 1].
      alphas: The strengths.
      objective: The objective of each reconstruction.
      history: The objective of the crop that the solver would return after each evaluation, one row
        per strength. With finer vectors, the evaluations at each size follow one another.
      iterations: Number of iterations for each strength, over all sizes.
      record: Everything about how the edit was made, which result.json holds. The same input gives
        the same record apart from `seconds`.

    >>> import tempfile
    >>> from dfi_jax.recipe import Recipe
    >>> grey = np.full((40, 40, 3), 0.5, np.float32)
    >>> edit = Edit(  # An `Editor` fills in these fields.
    ...     photo=Photo.of(grey),
    ...     placement=Placement.whole((40, 40)),
    ...     face=grey,
    ...     faces=grey[None],
    ...     pixels=(grey + 0.25,),
    ...     alphas=(0.4,),
    ...     objective=np.zeros(1),
    ...     history=np.ones((1, 2)),
    ...     iterations=np.array([2]),
    ...     record={"recipe": Recipe().to_dict(), "files": ["alpha-0.4.png"]},
    ... )
    >>> [float(view.mean()) for view in edit.views()], edit.sheet().size
    ([0.5, 0.75], (624, 346))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in edit.save(folder)]
    ['alpha-0.4.png', 'sheet.png', 'loss.png', 'result.json']
    """

    photo: Photo
    placement: Placement
    face: Float[np.ndarray, "s s 3"] = field(repr=False)
    faces: Float[np.ndarray, "a s s 3"] = field(repr=False)
    pixels: tuple[Float[np.ndarray, "_ _ 3"], ...] = field(repr=False)
    alphas: tuple[float, ...]
    objective: Float[np.ndarray, " a"]
    history: Float[np.ndarray, "a i"] = field(repr=False)
    iterations: Int[np.ndarray, " a"]
    record: dict[str, Any] = field(repr=False)

    @property
    def photos(self) -> list[Image.Image]:
        """The finished photos as PIL images, one per strength.

        They have the channels, bits and colour profile of the original photo, if they are whole
        photos and not crops.
        """
        return [self._make(pixels) for pixels in self.pixels]

    def _make(self, pixels: Float[np.ndarray, "_ _ 3"]) -> Image.Image:
        return self.photo.edited(pixels) if self._are_whole else to_pil(pixels)

    @property
    def _are_whole(self) -> bool:
        """Whether the finished photos are whole photos, not crops."""
        steps = [step["kind"] for step in self.record["recipe"]["finish"]]
        return TransferDifference.kind in steps

    def views(self) -> list[Float[np.ndarray, "_ _ 3"]]:
        """Returns the face before and after at every strength, as the finished photos show it."""
        if not self._are_whole:
            return [self.face, *self.pixels]
        photos = (self.photo.pixels, *self.pixels)
        return [self.placement.crop(pixels, size=None) for pixels in photos]

    def sheet(self) -> Image.Image:
        """Returns the face before and after at every strength, side by side with labels."""
        return contact_sheet(self.views(), ["original", *self._labels()])

    def save(self, folder: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Writes the edit into a folder, each file whole or not at all.

        The files are a photo for each strength (`alpha-0.4.jpg` for a JPEG photo, otherwise
        `alpha-0.4.png`), `sheet.png` (the face before and after), `loss.png` (the objective after
        each evaluation), and finally `result.json` (the record).

        Args:
          folder: The folder, which is created if it doesn't exist.
          overwrite: Whether the folder may hold files. If so, files of the same names are replaced.

        Returns:
          The files.

        Raises:
          FileError: If the folder holds files and `overwrite` is False, or can't be written to.
        """
        folder = user_path(folder)
        check_folder(folder, overwrite=overwrite)
        record = folder / "result.json"
        try:
            # If writing the new photos is interrupted, an earlier record would count as theirs.
            record.unlink(missing_ok=True)
        except OSError as error:
            raise FileError(
                f"{record} can't be replaced ({error.strerror}); choose another folder."
            ) from None
        written = []
        original = self.photo.original if self._are_whole else None
        for name, pixels in zip(self.record["files"], self.pixels, strict=True):
            save(folder / name, self._make(pixels), original=original)
            written.append(folder / name)
        sheet = io.BytesIO()
        self.sheet().save(sheet, format="PNG")
        for name, data in (
            ("sheet.png", sheet.getvalue()),
            ("loss.png", draw_loss_curves(self.history, self._labels())),
        ):
            with replacing(folder / name) as temporary:
                temporary.write_bytes(data)
            written.append(folder / name)
        # The record comes last, because a manifest skips edits that have one.
        write_text(record, json.dumps(self.record, indent=2) + "\n")
        return [*written, record]

    def save_photo(self, path: str | Path, *, overwrite: bool = False) -> list[str]:
        """Writes the edited photo alone, if there is only one strength.

        Args:
          path: Path of the file, which ends in .png, .jpg or .jpeg.
          overwrite: Whether a file that exists is replaced.

        Returns:
          Sentences about what the file's format can't hold of the photo, besides the warnings of
          the record.

        Raises:
          InputError: If there are several strengths, or the format can't hold the photo.
          FileError: If the file exists and `overwrite` is False, or can't be written.

        >>> import dfi_jax, tempfile
        >>> face = dfi_jax.load_dataset("synthetic:1").face(0, 200)
        >>> quick = dfi_jax.Recipe().set({"solver.iterations": "2"})
        >>> edit = dfi_jax.edit(face, "eyeglasses", face="whole", recipe=quick)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     lost = edit.save_photo(Path(folder, "me.jpg"))
        ...     lost, [path.name for path in Path(folder).iterdir()]
        ([], ['me.jpg'])
        """
        path = user_path(path)
        if len(self.alphas) > 1:
            raise InputError(
                f"{path} is one file, but there are {len(self.alphas)} strengths; give a folder."
            )
        if exists(path) and not overwrite:
            raise FileError(f"{path} exists already; choose another name, or set overwrite.")
        original = self.photo.original if self._are_whole else None
        format = save(path, self._make(self.pixels[0]), original=original)
        lost = self.photo.losses_as(format) if self._are_whole else ()
        return [sentence for sentence in lost if sentence not in self.record["warnings"]]

    def _labels(self) -> list[str]:
        return [f"α = {alpha:g}" for alpha in self.alphas]


def check_folder(folder: Path, *, overwrite: bool = False) -> None:
    """Checks that results may be written into a folder.

    Raises:
      FileError: If the folder is a file or a link to nowhere, holds files and `overwrite` is False,
        or can't exist or be read.

    >>> check_folder(Path("a-folder-that-does-not-exist"))
    """
    try:
        check_names(folder)
        is_folder = stat.S_ISDIR(folder.stat().st_mode)
        is_free = overwrite or not is_folder or all(map(_is_hidden, folder.iterdir()))
    except FileNotFoundError:
        if folder.is_symlink():
            raise FileError(f"{folder} is a link to nowhere; choose another folder.") from None
        return
    except ValueError:  # It has NUL.
        raise FileError(f"{folder} can't be the name of a folder; choose another name.") from None
    except OSError as error:
        raise FileError(
            f"{folder} can't be written to ({error.strerror}); choose another folder or name."
        ) from None
    if not is_folder:
        raise FileError(f"{folder} is a file; choose a folder for the results.")
    if not is_free:
        raise FileError(
            f"{folder} already holds files; choose another folder, or replace files of the same "
            f"names with overwrite=True (on the command line, with --overwrite)."
        )


def _is_hidden(path: Path) -> bool:
    """Returns whether a file is hidden, as temporary files of a killed run are."""
    return path.name.startswith(".")
