"""The cache: results of earlier runs, stored under a hash of everything that they depend on.

Each result is a file that is renamed into place once it is complete and never changed, so any
number of processes can share the folder. Two processes that compute the same result at once write
the same file. A file that can't be read is treated as missing. Compiled programs are the only
exception: JAX writes their files itself (`storage.compiled`).
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import platformdirs
import safetensors

from dfi_jax.errors import FileError, InputError
from dfi_jax.storage import compiled
from dfi_jax.storage.files import check_file, tensors_sha256, user_path, write_tensors

KINDS = ("means", "probes", "landmarks", "compiled", "weights")
"""The subfolders of the cache: mean features, attribute probes, landmarks of faces,
programs compiled by JAX, and downloaded weights."""

UNKNOWN_HOME = Path(os.devnull, "unknown-home-folder", "dfi_jax")
"""The cache folder of a user without a home folder. It can't be created, so nothing is stored, and
downloads fail with the advice to set `DFI_JAX_CACHE`."""

Arrays = dict[str, np.ndarray]
"""Arrays by name."""

_log = logging.getLogger(__name__)


class Usage(NamedTuple):
    """The contents of one subfolder of the cache.

    Attributes:
      folder: Path of the subfolder.
      files: Number of files.
      size: Total size of the files in bytes.
    """

    folder: Path
    files: int
    size: int


def default_folder() -> Path:
    """Returns the folder named by `DFI_JAX_CACHE`, or else `dfi_jax` in the user's cache folder.

    If the user's home folder is unknown, the result is `UNKNOWN_HOME`.

    >>> default_folder() == Cache().folder
    True
    """
    if named := os.environ.get("DFI_JAX_CACHE"):
        return user_path(named)
    try:
        folder = platformdirs.user_cache_path("dfi_jax")
    except RuntimeError:
        return UNKNOWN_HOME
    return folder if folder.is_absolute() else UNKNOWN_HOME  # platformdirs < 4.12 returns ~/.cache.


@dataclass(frozen=True)
class Cache:
    """A folder of results from earlier runs. The folder is created once something is stored.

    Attributes:
      folder: Path of the folder; `default_folder()` by default.

    >>> import tempfile
    >>> cache = Cache(Path(tempfile.mkdtemp()))
    >>> _ = cache.remember("means", {"images": 3}, lambda: {"mean": np.ones(2)})
    >>> cache.usage()["means"].files
    1
    >>> cache.clear(["means"]) > 0, cache.usage()["means"].files
    (True, 0)
    """

    folder: Path = field(default_factory=default_folder)

    def remember(
        self, kind: str, depends: Mapping[str, Any], compute: Callable[[], Arrays]
    ) -> Arrays:
        """Returns the stored result for `depends`, or computes and stores it.

        A result that can't be stored is returned all the same, with a warning in the log.

        Args:
          kind: Kind of the result, one of `KINDS`.
          depends: Everything that the result depends on, as values that JSON can hold.
          compute: Function that computes the result.
        """
        key = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()
        path = self.folder / kind / f"{key}.safetensors"
        try:
            return _load(path)
        except (OSError, safetensors.SafetensorError):
            pass
        arrays = _compute(compute)
        try:
            write_tensors(path, arrays, metadata={"sha256": tensors_sha256(arrays)})
        except FileError as error:
            _log.warning("The result couldn't be stored in the cache: %s", error)
        return arrays

    def usage(self) -> dict[str, Usage]:
        """Returns the contents of each subfolder, by kind."""
        usages = {}
        for kind in KINDS:
            sizes = [size for path in self._files(kind) if (size := _size(path)) is not None]
            usages[kind] = Usage(self.folder / kind, len(sizes), sum(sizes))
        return usages

    def clear(self, kinds: Sequence[str]) -> int:
        """Deletes everything of the given kinds.

        Args:
          kinds: Kinds to delete, from `KINDS`.

        Returns:
          The number of bytes deleted.

        Raises:
          InputError: If a kind doesn't exist.
          FileError: If a file can't be deleted.
        """
        for kind in kinds:
            if kind not in KINDS:
                raise InputError(f"the cache has no kind {kind!r}; choose from {', '.join(KINDS)}.")
        deleted = 0
        for path in [path for kind in kinds for path in self._files(kind)]:
            size = _size(path)
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise FileError(
                    f"{path} can't be deleted ({error.strerror}); delete it yourself."
                ) from None
            deleted += size or 0
        return deleted

    def keep_compiled(self, *, seconds: float = 1.0) -> None:
        """Makes JAX store the programs that it compiles in this cache, and reuse stored ones.

        This sets options of JAX for the whole process, so programs should call it and libraries
        shouldn't. It does nothing if `JAX_COMPILATION_CACHE_DIR` is set or if the folder can't be
        written. A damaged program is deleted and compiled again.

        Args:
          seconds: Minimum compilation time of a program that is stored.
        """
        compiled.ignore_warnings()
        if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
            compiled.keep(self.folder / "compiled", seconds=seconds)

    def _files(self, kind: str) -> list[Path]:
        return [path for path in (self.folder / kind).rglob("*") if path.is_file()]


def remember(
    cache: Cache | None, kind: str, depends: Mapping[str, Any], compute: Callable[[], Arrays]
) -> Arrays:
    """Returns `cache.remember(…)`, or simply computes the result if there is no cache.

    Args:
      cache: Cache to use, or None.
      kind: Kind of the result, one of `KINDS`.
      depends: Everything that the result depends on, as values that JSON can hold.
      compute: Function that computes the result.

    >>> remember(None, "means", {"images": 3}, lambda: {"mean": np.zeros(2)})
    {'mean': array([0., 0.])}
    """
    return _compute(compute) if cache is None else cache.remember(kind, depends, compute)


def _compute(compute: Callable[[], Arrays]) -> Arrays:
    return {name: np.asarray(array, order="C") for name, array in compute().items()}


def _load(path: Path) -> Arrays:
    """Returns the arrays of a file.

    Raises:
      OSError: If the file can't be read, or isn't as it was written.
      SafetensorError: If it is no file of arrays.
    """
    check_file(path)  # safetensors would wait for a pipe.
    with safetensors.safe_open(path, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
        recorded = (file.metadata() or {}).get("sha256")
    if recorded not in (None, tensors_sha256(arrays)):
        raise OSError
    return arrays


def _size(path: Path) -> int | None:
    """Returns the size in bytes, or None if another process has just deleted the file."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
