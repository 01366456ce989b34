"""Downloads of published files: resumed after a failure, verified, and stored in the cache folder.

`requests` and `pooch` are imported inside functions because they slow down the start of programs
that download nothing.
"""

import errno
import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock

from dfi_jax.errors import FileError
from dfi_jax.network.weights import formats
from dfi_jax.network.weights.catalog import Published
from dfi_jax.progress import OnProgress, Progress
from dfi_jax.storage.cache import default_folder
from dfi_jax.storage.files import file_sha256, write_text

CHUNK = 1 << 20
"""The number of bytes between two reports of progress."""

TIMEOUT = 30
"""The number of seconds without an answer after which a server counts as unreachable."""

_log = logging.getLogger(__name__)


def fetch(
    name: str, published: Published, *, on_progress: OnProgress | None = None
) -> tuple[Path, str]:
    """Returns the path of a published file and its SHA-256, after downloading it if necessary.

    A file only appears under its name in the cache folder once it is complete and its checksum is
    right. Its SHA-256 is then recorded beside it, in `FILE.sha256`, and required every time from
    then on. If several processes want the same file, one downloads it and the others wait.
    `load_vgg("vgg19")` calls this function.

    Args:
      name: Name of the network in errors.
      published: File to download.
      on_progress: Function that is called with the progress of the download.

    Raises:
      FileError: If the file can't be downloaded, isn't the published one, or couldn't be read
        afterwards because a package is missing.
    """
    path = _path(published)
    record = _record(path)
    # This check takes no lock, so a file in a read-only folder can be used.
    if (digest := recorded_sha256(path)) and path.is_file() and file_sha256(path) == digest:
        return path, digest
    _check_reader(name, published.reader)
    import pooch

    with _errors_as_sentences(name, published, path), _locked(path, name):
        digest = recorded_sha256(path)
        with _quiet_pooch():
            pooch.retrieve(
                published.address,
                f"sha256:{digest}" if digest else published.checksum,
                path=path.parent,
                fname=path.name,
                downloader=_ResumingDownloader(name, published, on_progress),
            )
        if digest is None:
            digest = file_sha256(path)
            write_text(record, f"{digest}  {path.name}\n")
            if published.checksum is None:
                _log.warning(
                    "No checksum of %s is published; its SHA-256, %s, is recorded in %s and "
                    "required from now on.",
                    path.name,
                    digest,
                    record,
                )
    return path, digest


def is_downloaded(published: Published) -> bool:
    """Returns whether a published file is in the cache folder.

    >>> from dfi_jax.network.weights.catalog import CATALOG
    >>> is_downloaded(CATALOG["vgg19"]) in (True, False)
    True
    """
    return _path(published).is_file()


def recorded_sha256(path: Path) -> str | None:
    """Returns the SHA-256 that was recorded when a file was downloaded, or None.

    >>> import tempfile
    >>> recorded_sha256(Path(tempfile.mkdtemp(), "vgg19.pth")) is None
    True
    """
    record = _record(path)
    return record.read_text().partition(" ")[0] if record.is_file() else None


def _path(published: Published) -> Path:
    return default_folder() / "weights" / published.file


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _partial(path: Path) -> Path:
    """Returns where a file is stored during its download: under the same name, in a subfolder.

    The name must stay the same because some formats are recognised by their suffix.
    """
    return path.parent / "partial" / path.name


def _check_reader(name: str, reader: str) -> None:
    """Raises FileError if the package that reads a file is missing, before the download starts."""
    package = reader.rpartition(".")[2]
    try:
        found = importlib.util.find_spec(reader)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise FileError(
            f"the weights of {name} can't be read without the package {package}; "
            "install it with `pip install 'dfi-jax[convert]'`."
        )


class _ResumingDownloader:
    """A downloader for pooch that resumes at the byte where the previous attempt ended.

    The folder `partial` holds the bytes received so far and the server's validator (ETag or date).
    If the file has changed on the server since, the download starts again.
    """

    def __init__(self, name: str, published: Published, on_progress: OnProgress | None) -> None:
        self.name = name
        self.published = published
        self.on_progress = on_progress

    def __call__(self, url: str, output_file: str, _: Any) -> None:
        import requests

        partial = _partial(Path(output_file).with_name(self.published.file))
        partial.parent.mkdir(exist_ok=True)
        validator = partial.with_name(f"{partial.name}.validator")
        # A compressed answer couldn't be resumed.
        headers = {"Accept-Encoding": "identity"}
        if partial.is_file() and validator.is_file():
            headers["Range"] = f"bytes={partial.stat().st_size}-"
            headers["If-Range"] = validator.read_text()
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                # The partial file is at least as long as the file on the server.
                validator.unlink()
                self(url, output_file, _)
                return
            answer.raise_for_status()
            resumed = answer.status_code == requests.codes.partial_content
            done = partial.stat().st_size if resumed else 0
            length = answer.headers.get("Content-Length")
            total = done + int(length) if length else None
            _log.warning("Downloading %s%s", url, f" from {done / 1e6:.1f} MB on" if done else "")
            validator.unlink(missing_ok=True)
            if state := answer.headers.get("ETag") or answer.headers.get("Last-Modified"):
                validator.write_text(state)
            with partial.open("ab" if resumed else "wb") as file:
                for chunk in answer.iter_content(CHUNK):
                    done += file.write(chunk)
                    self._report(done, total)
        if self.published.checksum is None:
            # Without a published checksum, only reading the file shows whether it holds weights.
            formats.read(partial)
        partial.replace(output_file)
        validator.unlink(missing_ok=True)

    def _report(self, done: int, total: int | None) -> None:
        if self.on_progress is not None:
            self.on_progress(Progress(phase="download", done=done, total=total, unit="bytes"))


@contextmanager
def _locked(path: Path, name: str) -> Iterator[None]:
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
    import pooch

    logger = pooch.get_logger()
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _errors_as_sentences(name: str, published: Published, path: Path) -> Iterator[None]:
    """Turns each error of a download into a FileError of one sentence."""
    import requests

    alternative = "or download the file elsewhere and give its path instead of the name"
    size = f" ({published.size / 1e6:.0f} MB)" if published.size else ""
    failed = f"the weights of {name} couldn't be downloaded from {published.address}{size}"
    try:
        yield
    except FileError:
        raise
    except requests.HTTPError as error:
        answer = error.response
        raise FileError(
            f"{failed} because the server answered {answer.status_code} {answer.reason}; "
            f"try later, {alternative}."
        ) from None
    except requests.RequestException as error:
        done = _partial(path).stat().st_size if _partial(path).is_file() else 0
        after = f" after {done / 1e6:.1f} MB" if done else ""
        reason, advice = _explain_failure(error, published.address)
        raise FileError(
            f"{failed} because {reason}{after}; {advice}{' to resume' if done else ''}, "
            f"{alternative}."
        ) from None
    except ValueError:  # Pooch raises this if the checksum is wrong.
        expected = published.checksum or recorded_sha256(path)
        raise FileError(
            f"the file that {published.address} sent for {name} is not the published file "
            f"(its checksum isn't {expected}) and was deleted; try later, {alternative}."
        ) from None
    except OSError as error:
        if error.errno is None and "certificate" in str(error):  # requests has no type for it.
            raise FileError(
                f"{failed} because a file of certificates is missing ({error}); correct or unset "
                f"REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE, {alternative}."
            ) from None
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "free some space there" if full else "make it writable"
        raise FileError(
            f"{path.parent} can't be written ({error.strerror or error}); "
            f"{advice}, or set DFI_JAX_CACHE to another folder."
        ) from None


def _explain_failure(error: Exception, address: str) -> tuple[str, str]:
    """Returns why a connection failed, and what to do, by the settings of the environment."""
    import requests

    if isinstance(error, requests.exceptions.SSLError):
        return (
            "the server's certificate couldn't be verified",
            "correct or unset REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE, and try again",
        )
    if requests.utils.select_proxy(address, requests.utils.get_environ_proxies(address)):
        return (
            "the connection through a proxy failed",
            "go online, or correct or unset HTTPS_PROXY and ALL_PROXY, and try again",
        )
    return "the connection failed", "go online and try again"
