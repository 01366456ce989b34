"""What can be computed again, kept in the cache folder by a key of all that it depends on.

A file is renamed into place when it is whole, and never changed, so that any number of processes may share the folder;
two that compute the same thing at once write the same file. A file that can't be read counts as missing. Compiled
programs alone are JAX's own files, written under its own lock.
"""

import hashlib
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import safetensors
import safetensors.numpy

from dfi_jax.errors import FileError, InputError
from dfi_jax.files import cache_folder, write_tensors

KINDS = ("means", "probes", "landmarks", "compiled", "weights")
"""Folders of the cache: mean features, attribute probes, landmarks of datasets' faces, what JAX has compiled, and
downloaded networks."""

COMPILED_BYTES = 1_000_000_000
"""Of compiled programs, at most; those unused for longest go first."""

Arrays = dict[str, np.ndarray]

_log = logging.getLogger(__name__)


class Usage(NamedTuple):
    """What a folder of the cache holds.

    Attributes:
      folder: where it is.
      files: how many.
      size: their bytes together.
    """

    folder: Path
    files: int
    size: int


def remember(kind: str, depends: Mapping[str, Any], compute: Callable[[], Arrays]) -> Arrays:
    """What `compute` gives, or gave in an earlier run where everything in `depends` was the same.

    Args:
      kind: one of `KINDS`.
      depends: all that the result depends on, as JSON can write it.
      compute: gives named arrays.
    """
    key = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()
    path = cache_folder() / kind / f"{key}.safetensors"
    try:
        return safetensors.numpy.load_file(path)
    except (OSError, safetensors.SafetensorError):
        pass
    arrays = {name: np.asarray(array, order="C") for name, array in compute().items()}
    try:
        write_tensors(path, arrays)
    except FileError as error:
        _log.warning("The result isn't kept for the next time: %s", error)
    return arrays


def keep_compiled(*, seconds: float = 1.0) -> None:
    """Has JAX keep what it compiles from now on, and takes from there what an earlier process has compiled.

    This sets options of JAX for the whole process, which is a program's to do and not a library's. It does nothing
    where the user has set `JAX_COMPILATION_CACHE_DIR`, or where the folder can't be written to; what goes wrong later
    with a file there costs only time.

    Args:
      seconds: that compilation should have taken to be worth keeping.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    folder = cache_folder() / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        for path in folder.glob("*-cache"):  # without its other half, by which age is known, JAX would write no more
            if not path.with_name(f"{path.name.removesuffix('-cache')}-atime").exists():
                path.unlink(missing_ok=True)
    except OSError:
        return
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache entry", UserWarning)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", COMPILED_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", seconds)


def usage() -> dict[str, Usage]:
    """What the cache holds, by kind."""
    found = {}
    for kind in KINDS:
        sizes = [size for path in _files(kind) if (size := _size(path)) is not None]
        found[kind] = Usage(cache_folder() / kind, len(sizes), sum(sizes))
    return found


def _files(kind: str) -> list[Path]:
    return [path for path in (cache_folder() / kind).rglob("*") if path.is_file()]


def _size(path: Path) -> int | None:
    """In bytes; None where another process has just deleted the file."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def clear(kinds: tuple[str, ...]) -> int:
    """Deletes what the cache holds of some kinds; returns how many bytes that were.

    Raises:
      InputError: for a kind there is none of.
      FileError: where something can't be deleted.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise InputError(f"the cache holds no {kind!r}; choose from {', '.join(KINDS)}.")
    deleted = 0
    for path in (path for kind in kinds for path in _files(kind)):
        size = _size(path)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise FileError(f"{path} can't be deleted ({error.strerror}); delete it yourself.") from None
        deleted += size or 0
    return deleted
