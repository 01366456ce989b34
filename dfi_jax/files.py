"""Files: written whole or not at all, told apart by their SHA-256, and where those go that can be had again."""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pooch
import safetensors
import safetensors.numpy

from dfi_jax.errors import FileError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path` to write to, and renames it to `path` when the block ends well.

    Raises:
      FileError: where the folder can't be made or written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        os.close(handle)
    except OSError as error:
        raise FileError(f"{path} can't be written ({error.strerror}); choose another folder.") from None
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{path} can't be written ({error.strerror or error}).") from None
    finally:
        temporary.unlink(missing_ok=True)


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray], *, metadata: dict[str, str] | None = None) -> None:
    """Writes a safetensors file, whole or not at all. Raises FileError where it can't be written."""
    with replacing(path) as temporary:
        try:
            safetensors.numpy.save_file(dict(tensors), temporary, metadata=metadata)
        except safetensors.SafetensorError as error:  # of a full disk, too
            raise FileError(f"{path} can't be written ({error}).") from None


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex. Raises FileError where it can't be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileError(f"{path} can't be read ({error.strerror}); check the path.") from None


def user_path(path: str | Path) -> Path:
    """The path with a leading `~` as the user's home; `~name` of nobody known stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (pathlib's raises for nobody known)


def cache_folder() -> Path:
    """The folder for what can be had again: the one that `DFI_JAX_CACHE` names, or else the user's cache folder."""
    return user_path(os.environ.get("DFI_JAX_CACHE") or pooch.os_cache("dfi_jax"))
