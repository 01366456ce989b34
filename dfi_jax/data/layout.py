"""Looks for the parts of a dataset in the folder that the user named."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dfi_jax.errors import FileError
from dfi_jax.storage.files import exists

_log = logging.getLogger(__name__)

ARCHIVES = (".zip", ".tgz", ".gz", ".tar", ".7z", ".001")
"""Suffixes of archives that may hold a part of a dataset."""


def require(root: Path, *names: str) -> Path:
    """Returns the path of the first of the named files or folders that a folder holds.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "scores.csv").touch()
    ...     require(Path(folder), "scores.txt", "scores.csv").name
    'scores.csv'

    Args:
      root: The folder.
      names: Names of the files or folders, any of which will do.

    Raises:
      FileError: If the folder holds none of them. If there is an archive to unpack, or a folder
        nearby that holds one of them, the message names it.
    """
    if found := _first(root, names):
        return found
    wanted = " or ".join(names)
    if not exists(root):
        raise FileError(f"{root} doesn't exist; give the folder that holds {wanted}.")
    if not root.is_dir():
        raise FileError(f"{root} is a file; give the folder that holds {wanted}.")
    inside = sorted(path for path in root.iterdir() if not path.name.startswith("."))
    stems = {Path(name).stem for name in names}
    for path in inside:
        if path.suffix in ARCHIVES and any(path.name.startswith(stem) for stem in stems):
            raise FileError(f"{root} has no {wanted}; unpack {path.name} there.")
    nearby = (*root.resolve().parents[:2], *(path for path in inside if path.is_dir()))
    if other := next((folder for folder in nearby if _first(folder, names)), None):
        raise FileError(f"{root} has no {wanted}; give {other}, which has it.")
    raise FileError(f"{root} has no {wanted}; give the folder that holds it, or put it there.")


def warn_of_missing(table: Path, *, found: int, listed: int) -> None:
    """Writes to the log how many of the images that a table lists don't exist.

    >>> warn_of_missing(Path("scores.csv"), found=3, listed=3)
    """
    if found < listed:
        _log.warning(
            "%s: %d of %d images don't exist and were left out.", table, listed - found, listed
        )


def check_columns(table: Path, names: Sequence[str], *, advice: str) -> None:
    """Raises FileError if a table has two columns of the same name.

    >>> check_columns(Path("scores.csv"), ["Male", "Smiling"], advice="rename one.")
    """
    for name, times in Counter(names).items():
        if times > 1:
            raise FileError(f"{table} has {times} columns {name!r}; {advice}")


def unpacked(folder: Path) -> Path:
    """Returns the folder inside a folder that has its name, if there is one, otherwise the folder.

    Some archives unpack that way.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     Path(root, "lfw", "lfw").mkdir(parents=True)
    ...     unpacked(Path(root, "lfw")).relative_to(root).as_posix()
    'lfw/lfw'
    """
    return folder / folder.name if (folder / folder.name).is_dir() else folder


def _first(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if exists(folder / name)), None)
