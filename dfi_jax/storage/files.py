"""Files that are written whole or not at all, and identified by their SHA-256."""

import contextlib
import errno
import hashlib
import os
import platform
import re
import stat
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from dfi_jax.errors import FileError

HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:6]
"""Identifies this computer in the names of temporary files."""


def _namespace() -> str:
    """Returns the identity of the processes that this one can see: on Linux, its container's."""
    with contextlib.suppress(OSError, NotImplementedError):
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 (as text)
    return ""


SPACE = hashlib.sha256(_namespace().encode()).hexdigest()[:6]
"""Identifies the processes among which it is known who runs."""

LONGEST_STEM = 40
"""Maximum number of characters of a file's name in that of its temporary file."""

OLD = 60.0
"""Seconds after which a temporary file from another container of the same name is deleted.

Its process may run without being seen. Writing a file takes seconds."""

_TEMPORARY = re.compile(rf"\..*-{HOST}-([0-9a-f]{{6}})-(\d+)-[^-.]*(\..*)?")
_ADDRESS = re.compile(r"(?:^|/)((?:https?|ftp|file|s3|gs):)/+(.*)")
_ours: set[Path] = set()
_lock = threading.Lock()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, and renames it to `path` if the block succeeds.

    If the block raises an exception, the temporary file is deleted and `path` stays as it was.
    Temporary files that killed processes left in the folder earlier are deleted, too.

    Args:
      path: File to create or replace; missing folders are created.

    Raises:
      FileError: If the folder can't be created or the file can't be written.

    >>> folder = Path(tempfile.mkdtemp())
    >>> with replacing(folder / "note.txt") as temporary:
    ...     _ = temporary.write_text("all of it")
    >>> [file.name for file in folder.iterdir()]
    ['note.txt']
    """
    try:
        _make_folder(path.parent)
        prefix = f".{path.stem[:LONGEST_STEM]}-{HOST}-{SPACE}-{os.getpid()}-"
        with _lock:
            _sweep(path.parent)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=path.suffix)
            _ours.add(Path(name))
        os.close(handle)
        with contextlib.suppress(OSError):  # The umask may forbid even their owner to open files.
            Path(name).chmod(stat.S_IRUSR | stat.S_IWUSR)
    except OSError as error:
        raise FileError(
            f"{path} can't be written ({error.strerror}); choose another folder."
        ) from None
    temporary = Path(name)
    try:
        yield temporary
        # Only their owner can read files that mkstemp makes. FAT has no permissions to change.
        with contextlib.suppress(OSError):
            temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(
            f"{path} can't be written ({error.strerror or error}); choose another folder."
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
        _ours.discard(temporary)


def _make_folder(folder: Path) -> None:
    """Creates a folder and those above it, which this user can write to whatever the umask is."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & stat.S_IRWXU != stat.S_IRWXU:
        with contextlib.suppress(OSError):  # FAT has no permissions to change.
            folder.chmod(mode | stat.S_IRWXU)


def delete_unfinished() -> None:
    """Deletes the temporary files of this process, which is about to end at once."""
    for path in list(_ours):
        with contextlib.suppress(OSError):
            path.unlink()


def _sweep(folder: Path) -> None:
    """Deletes the temporary files of processes of this computer that don't run any more."""
    names = {path.name for path in _ours}
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = _TEMPORARY.fullmatch(entry.name)
            if found is None or entry.name in names:
                continue
            with contextlib.suppress(OSError):
                seen = found[1] == SPACE
                age = time.time() - entry.stat().st_mtime
                if not _runs(int(found[2])) if seen else age > OLD:
                    Path(entry.path).unlink()


def _runs(number: int) -> bool:
    """Returns whether a process other than this one has the number, or might."""
    if number == os.getpid():
        return False
    if os.name != "posix":  # Elsewhere, os.kill would end the process.
        return True
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    with contextlib.suppress(OSError, IndexError):
        # One that was killed is listed as a zombie until its parent has asked for its exit code.
        state = Path(f"/proc/{number}/stat").read_text(errors="replace").rpartition(")")[2]
        return state.split()[0] != "Z"
    return True


def write_tensors(
    path: Path, tensors: Mapping[str, np.ndarray], *, metadata: dict[str, str] | None = None
) -> None:
    """Writes a safetensors file, whole or not at all.

    Args:
      path: File to create or replace.
      tensors: Arrays by name.
      metadata: Texts by name, stored in the file's header.

    Raises:
      FileError: If the file can't be written.

    >>> path = Path(tempfile.mkdtemp(), "ones.safetensors")
    >>> write_tensors(path, {"ones": np.ones(3, np.float32)})
    >>> safetensors.numpy.load_file(path)
    {'ones': array([1., 1., 1.], dtype=float32)}
    """
    with replacing(path) as temporary:
        try:
            # safetensors writes the memory of a view in another order as if it were in C order.
            ordered = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
            safetensors.numpy.save_file(ordered, temporary, metadata=metadata)
        except safetensors.SafetensorError as error:  # A full disk raises this, too.
            raise FileError(f"{path} can't be written ({error}); choose another folder.") from None


def tensors_sha256(tensors: Mapping[str, np.ndarray]) -> str:
    """Returns the SHA-256 of arrays with their names, types and shapes, in hexadecimal.

    The order of the arrays makes no difference.

    >>> a, b = np.zeros(2), np.ones(2)
    >>> tensors_sha256({"a": a, "b": b}) == tensors_sha256({"b": b, "a": a})
    True
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(repr((name, tensors[name].dtype.str, tensors[name].shape)).encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 text file, whole or not at all.

    Args:
      path: File to create or replace.
      text: Contents of the file; line ends are written as they are.

    Raises:
      FileError: If the file can't be written.

    >>> path = Path(tempfile.mkdtemp(), "greeting.txt")
    >>> write_text(path, "grüezi")
    >>> path.read_text(encoding="utf-8")
    'grüezi'
    """
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode())


def file_sha256(path: Path) -> str:
    """Returns the SHA-256 of a file's contents, in hexadecimal.

    Raises:
      FileError: If the file can't be read.

    >>> path = Path(tempfile.mkdtemp(), "empty")
    >>> path.touch()
    >>> file_sha256(path)[:16]
    'e3b0c44298fc1c14'
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileError(f"{path} can't be read ({error.strerror}); check the path.") from None


def is_file(path: Path) -> bool:
    r"""Returns whether a path is that of a file, whatever text the path was made from.

    `Path.is_file` raises an exception if a name is too long for the file system.

    >>> is_file(Path(__file__)), is_file(Path("x" * 5000)), is_file(Path("\0"))
    (True, False, False)
    """
    return os.path.isfile(path)  # noqa: PTH113 (see above)


def check_file(path: Path) -> None:
    """Checks that a path is that of a file, which can be read without waiting.

    Raises:
      FileError: If it doesn't exist, can't be read, or is something else, such as a pipe.

    >>> check_file(Path(__file__))
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            path.open("rb").close()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError is about NUL.
        if found := _ADDRESS.search(str(path)):  # A path has one slash in place of two.
            raise FileError(
                f"{found[1]}//{found[2]} is an address; download the file and give its path."
            ) from None
        raise FileError(f"{path} doesn't exist; check the path.") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise FileError(f"{path} doesn't exist; check the path.") from None
        raise FileError(
            f"{path} can't be read ({error.strerror}); check the path and its permissions."
        ) from None
    if stat.S_ISDIR(mode):
        raise FileError(f"{path} is a folder; give a file.")
    if not stat.S_ISREG(mode):
        raise FileError(f"{path} is a pipe or a device; give a file.")


def exists(path: Path) -> bool:
    """Returns whether a file or folder exists, whatever text the path was made from.

    >>> exists(Path(__file__)), exists(Path("x" * 5000))
    (True, False)
    """
    return os.path.exists(path)  # noqa: PTH110 (see `is_file`)


def check_names(path: Path) -> None:
    """Checks that all the names in a path can exist, even below folders that don't exist yet.

    Raises:
      OSError: If the file system takes no name of such a length.

    >>> check_names(Path("no-such-folder", "x" * 5000))
    Traceback (most recent call last):
    OSError: [Errno 36] File name too long...
    """
    path = path.absolute()
    existing = next(folder for folder in (path, *path.parents) if exists(folder))
    for name in path.relative_to(existing).parts:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            (existing / name).lstat()


def user_path(path: str | Path) -> Path:
    """Returns the path with a leading `~` or `~name` replaced by that user's home folder.

    If the home folder is unknown, or nobody can have such a name, the path is returned unchanged.

    >>> user_path("~/faces") == Path.home() / "faces"
    True
    >>> user_path("~nobody-by-that-name/faces").as_posix()
    '~nobody-by-that-name/faces'
    """
    try:
        return Path(os.path.expanduser(path))  # noqa: PTH111 (Path.expanduser raises an exception)
    except ValueError:  # The name has NUL or a lone surrogate.
        return Path(path)
