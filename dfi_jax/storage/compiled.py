"""The folder of compiled programs, which JAX fills and this module keeps in order.

JAX can limit the size of the folder itself, but only by locking it for every program that it reads
or writes: a process that holds the lock costs all others ten seconds per program. It also never
replaces a program that was cut short, so each later process compiles it again. Without a limit,
JAX neither locks nor deletes anything, so both are done here, once, when a process starts.
"""

import contextlib
import os
import stat
import tempfile
import warnings
import zlib
from pathlib import Path

LARGEST = 1_000_000_000
"""Total size of compiled programs in bytes; the least recently used beyond it are deleted."""

CHECKED = ".checked"
"""Name of the file whose time says when the programs were last checked."""


def keep(folder: Path, *, seconds: float) -> None:
    """Makes JAX store the programs that it compiles in a folder, and reuse stored ones.

    The least recently used programs are deleted if there are too many, and so are damaged ones.
    If the folder can't be written, JAX compiles everything anew.

    Args:
      folder: Path of the folder, which is created if necessary.
      seconds: Minimum compilation time of a program that is stored.
    """
    import jax

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            now = os.fstat(file.fileno()).st_mtime_ns
        _delete_unused(folder)  # A check counts as a use, so it comes second.
        _delete_damaged(folder, now)
    except OSError:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", -1)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", seconds)


def ignore_warnings() -> None:
    """Hides JAX's warnings about stored programs that can't be read or written."""
    warnings.filterwarnings(
        "ignore", "Error (reading|writing) persistent compilation cache entry", UserWarning
    )


def _delete_damaged(folder: Path, now: int) -> None:
    """Deletes damaged programs among those written since the last check, and notes the time."""
    stamp = folder / CHECKED
    last = stamp.stat().st_mtime_ns if stamp.exists() else 0
    for path, status in _programs(folder):
        if status.st_mtime_ns >= last and not _is_whole(path):
            path.unlink(missing_ok=True)
    stamp.touch()
    os.utime(stamp, ns=(now, now))


def _delete_unused(folder: Path) -> None:
    """Deletes the least recently used programs until the rest fit into `LARGEST`."""
    programs = sorted(_programs(folder), key=lambda program: -program[1].st_atime_ns)
    total = 0
    for path, status in programs:
        total += status.st_size
        if total > LARGEST:
            path.unlink(missing_ok=True)


def _programs(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """Returns the path and status of each program. Other processes may delete some meanwhile."""
    found = []
    for entry in os.scandir(folder):
        if entry.name.endswith("-cache"):
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISREG((status := entry.stat()).st_mode):  # A pipe would never end.
                    found.append((Path(entry.path), status))
    return found


def _is_whole(path: Path) -> bool:
    """Returns whether a program can be decompressed, as JAX would do it in this environment."""
    try:
        _decompress(path.read_bytes())
    except Exception:  # Each of the compression libraries has errors of its own.
        return False
    return True


def _decompress(data: bytes) -> bytes:
    try:
        from compression import zstd  # Python 3.14
    except ImportError:
        try:
            import zstandard as zstd
        except ImportError:
            return zlib.decompress(data)
    return zstd.decompress(data)
