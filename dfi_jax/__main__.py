"""The command `dfi`, also run as `python -m dfi_jax`.

It shows a sign of life and answers Ctrl-C while the rest of the package loads, which takes seconds.
"""

import os
import re
import signal
import sys
import threading
from typing import NoReturn

SOON = 0.5
"""Seconds after which a command that is still loading says so."""


HEEDED = re.compile(
    "JAX_(PLATFORM|(COMPILATION_CACHE|CUDA|NUM_PROCESSES|PERSISTENT_CACHE|PROCESS_ID|ROCM|TPU))"
)
"""Pattern of the JAX environment variables that `dfi` keeps: devices, processes and the cache.

Others, such as JAX_ENABLE_X64, are for the user's own programs."""


def main() -> None:
    """Runs the command line."""
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
        if isinstance(ended.code, int) and ended.code > 128:
            interruption.end(ended.code)
        raise
    finally:
        if signal.getsignal(signal.SIGINT) == _stop:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def _ignore_settings() -> None:
    """Removes settings of other programs that would change an edit, or make it fail."""
    for name in list(os.environ):
        if name == "MPLBACKEND" or (name.startswith("JAX_") and not HEEDED.match(name)):
            del os.environ[name]


def _stop(number: int, _: object) -> NoReturn:
    """Ends the process at once, as nothing has been written yet.

    An exception could be lost in the middle of an import. Commands have a handler of their own.
    """
    _say("interrupted; nothing was written.")
    os._exit(128 + number)


def _say(sentence: str) -> None:
    if sys.stderr is not None:  # `dfi … 2>&-` closes it, and print would use stdout.
        print(f"dfi: {sentence}", file=sys.stderr, flush=True)  # noqa: T201 (rich isn't loaded)


if __name__ == "__main__":
    main()
