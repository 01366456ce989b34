"""The files and folders that commands write: their names, checks before the work, and records."""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dfi_jax.cli.terminal import print_result
from dfi_jax.editor.job import Job, shorten
from dfi_jax.editor.result import check_folder
from dfi_jax.errors import FileError
from dfi_jax.photo.photo import Photo, PhotoLike
from dfi_jax.storage.files import check_names, exists

LEAST_SPACE = 100_000
"""Number of bytes for which there has to be room, about those of a small photo's edit."""


def folder_name(text: str) -> str:
    r"""Returns a text as the name of a folder, which any file system can have.

    >>> folder_name("dfi-me\n-older"), folder_name("..")
    ('dfi-me--older', '--')
    """
    # A terminal obeys control characters, and other systems' names can't have them.
    name = "".join(character if character.isprintable() else "-" for character in text)
    if not name.strip("."):  # It is the folder itself, or the one above.
        name = "-" * len(name)
    return shorten(name)


def check_out(folder: Path, *, overwrite: bool) -> None:
    """Checks that results can be written into a folder, without creating it.

    Raises:
      FileError: If the folder is a file, can't be created or written to, is on a full disk, or
        holds files and `overwrite` is False.
    """
    try:
        check_folder(folder, overwrite=overwrite)
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(bytes(LEAST_SPACE))
            file.flush()
    except FileError:
        raise
    except OSError as error:
        raise FileError(
            f"{folder} can't be written to ({error.strerror}); choose another folder with --out."
        ) from None


def check_space(folder: Path, jobs: Sequence[Job]) -> None:
    """Checks that a folder's disk has room for edits, which are about as large as their photos.

    Raises:
      FileError: If it has less.

    >>> check_space(Path("no-such-folder"), [Job(photo="no-such.jpg", attribute="older")])
    """
    needed = sum(_size(job.photo) * len(job.alphas or [1]) + LEAST_SPACE for job in jobs)
    existing = next(path for path in (folder, *folder.absolute().parents) if exists(path))
    try:
        disk = shutil.disk_usage(existing)
    except OSError:  # Then writing shows whether there is room.
        return
    if disk.total and disk.free < needed:
        raise FileError(
            f"{folder} is on a disk with {disk.free / 1e6:.1f} MB left and the edits need about "
            f"{needed / 1e6:.1f} MB; free some space there, or choose another folder with --out."
        )


def _size(photo: PhotoLike) -> int:
    """Returns the number of bytes in the file of a photo, or 0 if there is none."""
    path = photo.path if isinstance(photo, Photo) else photo
    try:
        return path.stat().st_size if isinstance(path, Path) else 0
    except (OSError, ValueError):  # The photo fails later, with a sentence of its own.
        return 0


def print_json(folder: Path, record: Mapping[str, Any]) -> None:
    """Prints the folder and the record of an edit as one line of JSON."""
    print_result(json.dumps({"folder": str(folder), **record}))


def check_out_file(file: Path, *, overwrite: bool) -> None:
    """Checks that a file can be written, without creating it.

    Raises:
      FileError: If the file exists and `overwrite` is False, or it can't be written.
    """
    try:
        check_names(file)
    except OSError as error:
        raise FileError(
            f"{file} can't be written ({error.strerror}); choose another name."
        ) from None
    if file.is_dir():
        raise FileError(f"{file} is a folder; give the name of a file.")
    if file.exists() and not overwrite:
        raise FileError(
            f"{file} exists already; choose another name, or replace it with --overwrite."
        )
    check_out(file.parent, overwrite=True)
