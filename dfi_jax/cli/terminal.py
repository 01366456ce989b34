"""The terminal: progress bars, and errors in one sentence with exit code 1."""

import functools
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Protocol

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from dfi_jax.errors import DfiError

console = Console(stderr=True)

Debug = Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")]


class Report(Protocol):
    """Shows how far something is."""

    def __call__(self, done: int, total: int, detail: str) -> None: ...


@contextmanager
def progress(description: str) -> Iterator[Report]:
    """A progress bar, there from the first report on, so that an error before it stands alone.

    A report also ends what was interrupted: KeyboardInterrupt is lost where Python raises it inside one of JAX's own
    callbacks.
    """
    interrupted = False

    def interrupt(*_: Any) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console)
    task = bar.add_task(description, start=False, detail="")

    def report(done: int, total: int, detail: str) -> None:
        if interrupted:
            raise KeyboardInterrupt
        if not bar.live.is_started:
            bar.start()
            bar.start_task(task)
        bar.update(task, completed=done, total=total, detail=detail)

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield report
    finally:
        signal.signal(signal.SIGINT, before)
        if bar.live.is_started:
            bar.stop()


def sentence_for_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turns an error into its sentence and exit code 1; `--debug` shows the traceback as well."""

    @functools.wraps(command)
    def wrapped(*args: Any, debug: bool, **kwargs: Any) -> None:
        try:
            command(*args, debug=debug, **kwargs)
        except BrokenPipeError:  # `dfi … | head`: click ends quietly
            raise
        except (Exception, KeyboardInterrupt) as error:
            if debug:
                traceback.print_exc()
            console.print(f"dfi: {_sentence(error)}", style="red", markup=False, highlight=False, soft_wrap=True)
            raise typer.Exit(1) from None

    return wrapped


def _sentence(error: BaseException) -> str:
    if isinstance(error, DfiError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; nothing half-written was left."
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return "there is not enough memory; take fewer strengths at once or a smaller photograph."
    return f"{type(error).__name__}: {error} This is a mistake in dfi_jax; --debug shows where."


def megabytes(report: Report) -> Callable[[int, int], None]:
    """Shows how much of a download is there."""
    return lambda there, total: report(there, total or there, f"{there / 1e6:.0f} MB")


def counting(report: Report) -> Callable[[int, int], None]:
    """Shows how many images are done."""
    return lambda done, total: report(done, total, f"{done} of {total} images")
