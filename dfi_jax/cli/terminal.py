"""The terminal: help pages, progress, and errors as one sentence with exit code 1."""

import errno
import functools
import logging
import math
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text
from typer.core import TyperCommand

from dfi_jax.cli import interruption
from dfi_jax.cli.interruption import Interrupted, interruptible, raise_pending
from dfi_jax.engine import devices
from dfi_jax.errors import DfiError, InputError, visible
from dfi_jax.progress import OnProgress, Progress

console = Console(stderr=True, highlight=False)

Debug = Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")]

Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but results and errors.")]

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

LINE_SECONDS = 10
"""Minimum number of seconds between two lines about the same phase if stderr isn't a terminal."""


class Command(TyperCommand):
    """A command whose help names its arguments as they are typed: `PHOTO... ATTRIBUTE`."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Returns the parts of the usage line that follow the command's name."""
        return ["[OPTIONS]", *(name for name, _ in self._arguments())]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the help of the arguments and the options."""
        options = [
            parameter.get_help_record(ctx)
            for parameter in self.get_params(ctx)
            if parameter.param_type_name == "option"
        ]
        for title, rows in (("Arguments", self._arguments()), ("Options", options)):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def _arguments(self) -> list[tuple[str, str]]:
        return [
            (parameter.metavar or parameter.name.upper(), getattr(parameter, "help", "") or "")
            for parameter in self.params
            if parameter.param_type_name == "argument"
        ]


def sentence_for_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Makes a command print any error as one sentence on stderr, and exit with code 1.

    A command that was interrupted exits with the code of `interruption.SIGNALS`.

    The command's parameter `debug` prints the traceback too. Its parameter `quiet`, if it has one,
    hides warnings.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, debug: bool, **kwargs: Any) -> None:
        try:
            with interruptible(), _warnings_hidden(kwargs.get("quiet", False)):
                command(*args, debug=debug, **kwargs)
        except (BrokenPipeError, typer.Exit, typer.Abort):
            # These aren't failures: `dfi weights list | head`, for example, breaks the pipe.
            raise
        except (Exception, KeyboardInterrupt) as error:
            _print_error(_sentence(error), error=error, debug=debug)
            raise typer.Exit(_exit_code(error)) from None

    return wrapped


def print_result(result: object) -> None:
    """Prints a line on stdout, or above the progress bars if stdout and stderr are terminals."""
    if not sys.stdout.isatty():
        typer.echo(result, color=True)  # Otherwise, escape sequences in a name would be missing.
    elif console.is_terminal:
        _print(str(result))
    else:
        print_line(str(result))


def print_line(text: str) -> None:
    """Prints a line on stdout that quotes a file, which may hold characters for the terminal."""
    typer.echo(visible(text))


def print_note(sentence: str) -> None:
    """Prints a note, which isn't an error, on stderr."""
    _print(f"dfi: {sentence}")


def report_failure(name: str, error: BaseException | str, *, debug: bool = False) -> None:
    """Prints on stderr that one of several edits failed, and why."""
    failure = error if isinstance(error, BaseException) else None
    _print_error(_with_name(name, str(error)), error=failure, debug=debug)


def exit_with_failures(failures: Mapping[str, str], *, total: int) -> NoReturn:
    """Lists the edits that failed, and exits with code 1."""
    _print(f"dfi: {len(failures)} of {total} edits failed:", style="red")
    for name, sentence in failures.items():
        _print(f"  {_with_name(name, sentence)}", style="red")
    raise typer.Exit(1)


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[OnProgress]:
    """Yields a function that shows progress on stderr: a bar per phase, or a line now and then.

    Nothing is shown before the first report, so that an earlier error is printed alone. A report
    also ends a command that was interrupted.
    """
    # A terminal that can't move its cursor would show the bars only once all is done.
    shown = _Bars() if console.is_terminal and not console.is_dumb_terminal else _Lines()

    def report(progress: Progress) -> None:
        raise_pending()
        if not quiet:
            shown.show(progress)

    try:
        yield report
    finally:
        shown.stop()


class _Bars:
    def __init__(self) -> None:
        self._tasks: dict[str, TaskID] = {}
        self._done: dict[str, int] = {}
        self._uncounted: str | None = None
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeRemainingColumn(),
            console=console,
            # Otherwise the bars would send the results to stderr, even if stdout is a file.
            redirect_stdout=False,
        )

    def show(self, progress: Progress) -> None:
        self._bars.start()
        self._remove_uncounted()
        if not progress.unit:
            self._uncounted = progress.phase
        if progress.phase not in self._tasks:
            self._tasks[progress.phase] = self._bars.add_task(progress.phase, total=None, detail="")
        task = self._tasks[progress.phase]
        if progress.done < self._done.get(progress.phase, 0):
            self._bars.reset(task)  # The next photo has reached the same phase.
        self._done[progress.phase] = progress.done
        self._bars.update(
            task, completed=progress.done, total=progress.total, detail=progress.detail
        )

    def stop(self) -> None:
        self._remove_uncounted()
        if self._bars.live.is_started:
            self._bars.stop()

    def _remove_uncounted(self) -> None:
        """Removes the bar of a phase that counts nothing, whose end nobody reports."""
        if self._uncounted is not None:
            self._bars.remove_task(self._tasks.pop(self._uncounted))
            self._uncounted = None


class _Lines:
    def __init__(self) -> None:
        self._printed: dict[str, float] = {}

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        if now >= self._printed.get(progress.phase, -math.inf) + LINE_SECONDS:
            self._printed[progress.phase] = now
            _print(str(progress))

    def stop(self) -> None:
        pass


@contextmanager
def _warnings_hidden(hidden: bool) -> Iterator[None]:
    if not hidden:
        yield
        return
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _print_error(sentence: str, *, error: BaseException | None, debug: bool) -> None:
    if debug and error is not None:
        traceback.print_exception(error)
    _print(f"dfi: {sentence}", style="red")


def _print(line: str, *, style: str = "") -> None:
    """Prints a line on stderr, which may quote names and values of any characters."""
    # In a plain string, rich would look for markup and for names of emoji, such as :on:.
    console.print(Text(visible(line), style=style), soft_wrap=True)


def _with_name(name: str, sentence: str) -> str:
    """Returns the sentence after the name, unless it is about a file of that name."""
    named = Path(name).suffix and sentence.startswith(visible(name))
    return sentence if named else f"{name}: {sentence}"


def _exit_code(error: BaseException) -> int:
    return 128 + _number(error) if isinstance(error, KeyboardInterrupt) else 1


def _number(error: KeyboardInterrupt) -> int:
    return error.number if isinstance(error, Interrupted) else signal.SIGINT


def _sentence(error: BaseException) -> str:
    if isinstance(error, DfiError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return interruption.sentence(_number(error))
    if isinstance(error, OSError) and isinstance(error.filename, str | bytes | os.PathLike):
        return (
            f"{os.fsdecode(error.filename)} can't be used ({error.strerror}); check the path and "
            f"its permissions."
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        return f"the output can't be written ({error.strerror}); write it somewhere else."
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return "there isn't enough memory; use a smaller photo, or a smaller --batch-size."
    if isinstance(error, AssertionError | RuntimeError):
        try:
            devices.check()
        except InputError as without_device:  # Then any use of JAX fails with such an error.
            return str(without_device)
    return (
        f"{type(error).__name__} ({error}). This is a bug in dfi_jax; rerun with `--debug` for a "
        f"traceback."
    )
