"""The command `dfi`, also run as `python -m dfi_jax`.

It shows a sign of life and answers Ctrl-C while the rest of the package loads, which takes seconds.
"""

import codecs
import io
import os
import signal
import sys
import threading
from typing import Any, NoReturn, TextIO

SOON = 0.5
"""Seconds after which a command that is still loading prints a notice."""

MINIMUM_SECONDS = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
"""Environment variable with the minimum compilation time of a program that JAX stores."""

HEEDED = (
    "JAX_PLATFORMS",
    "JAX_PLATFORM_NAME",
    "JAX_CUDA_VISIBLE_DEVICES",
    "JAX_ROCM_VISIBLE_DEVICES",
    "JAX_NUM_PROCESSES",
    "JAX_PROCESS_ID",
    "JAX_COMPILATION_CACHE_DIR",
    MINIMUM_SECONDS,
)
"""JAX's environment variables that `dfi` keeps: devices, processes and the place of the cache.

Others, such as JAX_ENABLE_X64, are for the user's own programs. JAX ends with a traceback if one of
them isn't a number that should be, and with JAX_COMPILATION_CACHE_MAX_SIZE it locks the cache."""

IGNORED = (
    "MPLBACKEND",
    "FORCE_COLOR",
    "TTY_COMPATIBLE",
    "TTY_INTERACTIVE",
    "NVIDIA_TF32_OVERRIDE",
    "TF_CPP_MIN_LOG_LEVEL",
    "TF_CPP_MAX_VLOG_LEVEL",
)
"""Environment variables for other programs.

Those of rich would write progress bars into files, that of cuBLAS overrides `--precision`, and
those of TensorFlow would print the log of XLA."""

CUDA_FOLDER = "--xla_gpu_cuda_data_dir="
"""The flag in XLA_FLAGS that `dfi` keeps, because it says where CUDA is.

Others would change what an edit computes, and an unknown flag ends the process."""


class Messages:
    """The stream of messages, which may be lost on a full disk without ending the command."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes a text, or loses it on a full disk; raises BrokenPipeError if nobody reads it."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            raise
        except OSError:
            return len(text)

    def flush(self) -> None:
        """Writes the rest of the text, or loses it, as `write` does."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError:
            pass


def main() -> None:
    """Runs the command line."""
    _open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=_errors(sys.stdout.encoding))
    sys.stderr = Messages(sys.stderr)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, _stop)
    notice = threading.Timer(SOON, _say, ["loading JAX"])
    notice.daemon = True
    if "--quiet" not in sys.argv and "_DFI_COMPLETE" not in os.environ:
        notice.start()
    _ignore_settings()
    from dfi_jax.cli import interruption
    from dfi_jax.cli.main import app

    notice.cancel()
    interruption.watch()
    try:
        app(prog_name="dfi")
    except SystemExit as ended:
        if isinstance(ended.code, int) and (ended.code > 128 or sys.flags.inspect):
            interruption.end(ended.code)  # With PYTHONINSPECT, Python would ask for more input.
        raise
    finally:
        if signal.getsignal(signal.SIGINT) == _stop:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def _open_closed_streams() -> None:
    """Replaces closed streams, as after `dfi … >&-`, by streams that lose everything.

    Otherwise, a file of the edit would get their number, and XLA's messages are written to it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _errors(encoding: str) -> str:
    r"""Returns how text is written that an encoding lacks: a path's own bytes, or else escapes.

    >>> "me-\udcff".encode("utf-8", _errors("UTF-8")), "é漢".encode("latin-1", _errors("latin-1"))
    (b'me-\xff', b'\xe9\\u6f22')
    """
    return "surrogateescape" if codecs.lookup(encoding).name == "utf-8" else "backslashreplace"


def _ignore_settings() -> None:
    """Removes settings of other programs that would change an edit, or make it fail."""
    for name, value in list(os.environ.items()):
        unheeded = name.startswith("JAX_") and name not in HEEDED
        if unheeded or name in IGNORED or (name == MINIMUM_SECONDS and not _is_number(value)):
            del os.environ[name]
    for name in ("COLUMNS", "LINES"):
        # On a terminal of no size, rich shows nothing.
        if not os.environ.get(name, "80").strip("0"):
            del os.environ[name]
    flags = os.environ.pop("XLA_FLAGS", "").split()
    if kept := [flag for flag in flags if flag.startswith(CUDA_FOLDER)]:
        os.environ["XLA_FLAGS"] = " ".join(kept)
    import logging  # Until this is loaded, Ctrl-C would be answered later.

    # matplotlib warns if its own cache folder isn't writable, which harms no edit.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _stop(number: int, _: object) -> NoReturn:
    """Ends the process at once, as nothing has been written yet.

    An exception could be lost in the middle of an import. Commands have a handler of their own.
    """
    _say("interrupted; nothing was written.")
    os._exit(128 + number)


def _say(sentence: str) -> None:
    print(f"dfi: {sentence}", file=sys.stderr, flush=True)  # noqa: T201 (rich isn't loaded)


if __name__ == "__main__":
    main()
