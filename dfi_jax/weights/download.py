"""Published files, downloaded once: resumed where they broke off, verified, and kept in the user's cache folder."""

import errno
import importlib.util
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import pooch
import requests

from dfi_jax.errors import FileError
from dfi_jax.files import cache_folder, file_sha256, replacing
from dfi_jax.weights import formats
from dfi_jax.weights.catalog import Published

OnBytes = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes there will be (0 where the server doesn't say)."""

CHUNK = 1 << 20
TIMEOUT = 30
"""Seconds without an answer after which a server counts as out of reach."""

_log = logging.getLogger(__name__)


def fetch(name: str, published: Published, *, on_bytes: OnBytes | None = None) -> tuple[Path, str]:
    """The published file on this machine, downloaded where it isn't there, and its SHA-256.

    A file is in the cache folder under its name only once it is whole and its checksum right; its SHA-256 then stands
    beside it, in `FILE.sha256`, and is required every time from then on. Processes that want the same file wait for
    the one that gets it.

    Args:
      name: of the network, for errors.
      published: the file that is wanted.
      on_bytes: follows the download.

    Raises:
      FileError: where the file can't be had, isn't the published one, or can't be read here afterwards.
    """
    path = _path(published)
    record = path.with_name(f"{path.name}.sha256")
    if (digest := _recorded(record)) and path.is_file() and file_sha256(path) == digest:
        return path, digest  # with no lock, so that a folder that can only be read will do
    _check_reader(name, published.reader)
    with _sentences(name, published, path), _waiting(path, name):
        digest = _recorded(record)
        known = f"sha256:{digest}" if digest else published.checksum
        with _quiet_pooch():
            pooch.retrieve(published.address, known, path=path.parent, fname=path.name,
                           downloader=_Resuming(name, published, on_bytes))  # fmt: skip
        if digest is None:
            digest = file_sha256(path)
            with replacing(record) as temporary:
                temporary.write_text(f"{digest}  {path.name}\n")
            if published.checksum is None:
                _log.warning("No checksum of %s is published; its SHA-256, %s, is recorded in %s and required from "
                             "now on.", path.name, digest, record)  # fmt: skip
    return path, digest


def is_here(published: Published) -> bool:
    """Whether the file has been downloaded."""
    return _path(published).is_file()


def _path(published: Published) -> Path:
    return cache_folder() / "weights" / published.file


def recorded_sha256(path: Path) -> str | None:
    """The SHA-256 of a downloaded file as it was when it came, where the file is one."""
    return _recorded(path.with_name(f"{path.name}.sha256"))


def _recorded(record: Path) -> str | None:
    return record.read_text().partition(" ")[0] if record.is_file() else None


def _check_reader(name: str, reader: str) -> None:
    """Raises FileError where a file couldn't be read, before it is downloaded."""
    package = reader.rpartition(".")[2]
    try:
        found = importlib.util.find_spec(reader)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise FileError(f"the weights of {name} need the package {package} to be read; "
                        f"install it with `pip install 'dfi-jax[convert]'`.")  # fmt: skip


class _Resuming:
    """A downloader for pooch that keeps what came, and goes on from there when it is called again.

    What came is in the folder `partial`, with the server's validator beside it: a file that has changed since is
    begun anew.
    """

    def __init__(self, name: str, published: Published, on_bytes: OnBytes | None) -> None:
        self.name = name
        self.published = published
        self.on_bytes = on_bytes or (lambda _, __: None)

    def __call__(self, url: str, output_file: str, _: Any) -> None:
        partial = _partial(Path(output_file).with_name(self.published.file))
        partial.parent.mkdir(exist_ok=True)
        validator = partial.with_name(f"{partial.name}.validator")
        headers = {"Accept-Encoding": "identity"}
        if partial.is_file() and validator.is_file():
            headers |= {"Range": f"bytes={partial.stat().st_size}-", "If-Range": validator.read_text()}
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                validator.unlink()  # all of it had come, or more than there is
                return self(url, output_file, _)
            answer.raise_for_status()
            there = partial.stat().st_size if answer.status_code == requests.codes.partial_content else 0
            coming = answer.headers.get("Content-Length")
            total = there + int(coming) if coming else 0
            _log.warning("Downloading %s%s", url, f" from {there / 1e6:.1f} MB on" if there else "")
            validator.unlink(missing_ok=True)
            if state := answer.headers.get("ETag") or answer.headers.get("Last-Modified"):
                validator.write_text(state)
            with partial.open("ab" if there else "wb") as file:
                for chunk in answer.iter_content(CHUNK):
                    there += file.write(chunk)
                    self.on_bytes(there, total)
        if self.published.checksum is None:
            formats.read(partial)  # nothing else tells whether this is what was wanted
        partial.replace(output_file)
        validator.unlink(missing_ok=True)


def _partial(path: Path) -> Path:
    """Where the file is kept while it is coming, under its own name, by which some formats are known."""
    return path.parent / "partial" / path.name


@contextmanager
def _waiting(path: Path, name: str) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        _log.warning("Another process is downloading %s; waiting for it.", name)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _quiet_pooch() -> Iterator[None]:
    logger = pooch.get_logger()
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _sentences(name: str, published: Published, path: Path) -> Iterator[None]:
    """Turns what goes wrong on the way into one sentence each."""
    instead = "or get it elsewhere and give the file's path in place of the name"
    size = f" ({published.size / 1e6:.0f} MB)" if published.size else ""
    wanted = f"the weights of {name} are wanted from {published.address}{size}"
    try:
        yield
    except FileError:
        raise
    except requests.HTTPError as error:
        raise FileError(f"{wanted}, and the server answers {error.response.status_code} {error.response.reason}; "
                        f"try later, {instead}.") from None  # fmt: skip
    except requests.RequestException:
        came = _partial(path).stat().st_size if _partial(path).is_file() else 0
        after = f" after {came / 1e6:.1f} MB, from which it goes on" if came else ""
        raise FileError(f"{wanted}, and the connection failed{after}; go online and try again, {instead}.") from None
    except ValueError:  # pooch's, of a checksum
        known = published.checksum or recorded_sha256(path)
        raise FileError(f"what {published.address} sent for {name} is not the published file (its checksum isn't "
                        f"{known}) and was deleted; try later, {instead}.") from None  # fmt: skip
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "free some space there" if full else "make it writable"
        raise FileError(f"{path.parent} can't be written to ({error.strerror or error}); {advice}, or name another "
                        f"folder in DFI_JAX_CACHE.") from None  # fmt: skip
