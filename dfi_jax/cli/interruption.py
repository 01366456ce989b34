"""Signals end a command soon, whatever it is doing, with one sentence and no half-written file.

Python handles a signal between two of its own steps, which JAX can keep apart for seconds while it
compiles. An exception in a callback of JAX is lost. So a command has three chances to end: the
signal raises `Interrupted`, the next report of progress raises it again, and after `GRACE` seconds
a thread ends the process.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from dfi_jax.storage import files

SIGNALS = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "terminated",
    signal.SIGHUP: "the terminal was closed",
}
"""Signals that end a command, and the words for each.

The exit code is 128 plus the signal's number, as for programs that a signal kills."""

GRACE = 2.0
"""Seconds that a command has to end by itself."""

_pending: list[int] = []
"""The signal that hasn't ended the command yet, if there is one."""


class Interrupted(KeyboardInterrupt):
    """A signal that ends the command."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(number)
        self.number = number


def sentence(number: int) -> str:
    """Returns what is printed for a signal."""
    return f"{SIGNALS[signal.Signals(number)]}; no half-written file is left."


def raise_pending() -> None:
    """Raises Interrupted if a signal came whose exception was lost."""
    if _pending:
        raise Interrupted(_pending[0])


@contextmanager
def interruptible() -> Iterator[None]:
    """Makes signals raise Interrupted inside the block.

    A signal that the parent process ignores stays ignored. Shells ignore SIGINT for the background
    jobs of a script, and `nohup` ignores SIGHUP.
    """

    def interrupt(number: int, _: Any) -> None:
        _pending[:] = [number]
        raise Interrupted(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _pending.clear()
    heeded = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def watch() -> None:
    """Starts the thread that ends this process soon after a signal."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_wait, args=(ours, theirs), daemon=True).start()


def _wait(ours: socket.socket, _: socket.socket) -> None:
    while number := ours.recv(1)[0]:
        if number in set(SIGNALS):
            time.sleep(GRACE)
            if sys.stderr is not None:  # Otherwise print would use stdout.
                with contextlib.suppress(OSError):
                    print(f"dfi: {sentence(number)}", file=sys.stderr)  # noqa: T201 (rich locks)
            end(128 + number)


def end(code: int) -> NoReturn:
    """Ends this process at once.

    Python would wait for what JAX is computing, and crash if it is still computing then.
    """
    files.delete_unfinished()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
