import io
import signal

import pytest
import typer
from rich.console import Console
from rich.text import Text

from dfi_jax import FileError, InputError, Progress
from dfi_jax.cli import terminal
from dfi_jax.engine.slots import InFlight
from dfi_jax.progress import begin


@pytest.fixture
def screen(monkeypatch):
    """What a terminal shows, which is 100 columns wide."""
    file = io.StringIO()
    monkeypatch.setattr(
        terminal, "console", Console(file=file, force_terminal=True, width=100, highlight=False)
    )
    return file


@pytest.fixture
def log(monkeypatch):
    """What goes to a file instead of a terminal."""
    file = io.StringIO()
    monkeypatch.setattr(terminal, "console", Console(file=file, force_terminal=False))
    return file


def images(done, total=10):
    return Progress(phase="mean features", done=done, total=total, unit="images")


def test_a_terminal_shows_a_bar_for_each_phase(screen):
    with terminal.progress() as report:
        report(Progress(phase="download", done=3_000_000, total=None, unit="bytes"))
        report(images(10))
        report(images(1))  # The next photo begins.
    text = screen.getvalue()
    for part in ("download", "3 MB", "mean features", " 10%", "1 of 10 images"):
        assert part in text


def test_the_bar_of_a_phase_that_counts_nothing_goes_with_it(screen):
    with terminal.progress() as report:
        report(begin("opening the photo"))
        screen.truncate(0)
        report(images(1))
        assert "opening" not in screen.getvalue()
        report(begin("compiling"))
        screen.truncate(0)
    assert "compiling" not in screen.getvalue()


def test_a_terminal_without_a_cursor_shows_lines_as_a_log_does(screen, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    with terminal.progress() as report:
        report(images(1))
        assert screen.getvalue() == "mean features: 1 of 10 images\n"


def test_a_log_has_few_lines(log, monkeypatch):
    times = iter((0.0, 5.0, 10.0, 11.0))
    monkeypatch.setattr(terminal.time, "monotonic", lambda: next(times))
    with terminal.progress() as report:
        for done in (1, 2, 3, 4):
            report(images(done))
    expected = ["mean features: 1 of 10 images", "mean features: 3 of 10 images"]
    assert log.getvalue().splitlines() == expected


def test_the_objectives_of_only_a_few_problems_are_shown(log):
    flying = InFlight(list(range(8)), None, [0.5, float("inf"), *range(1, 7)], None)
    phase = {"phase": "reconstruction", "unit": "evaluations", "in_flight": flying}
    with terminal.progress() as report:
        report(Progress(done=8, total=80, **phase))
    assert log.getvalue() == "reconstruction: 8 of 80 evaluations, objective 0.5 1 2 3 4\n"


def test_quiet_hides_progress(log, screen):
    with terminal.progress(quiet=True) as report:
        report(images(1))
    assert log.getvalue() == screen.getvalue() == ""


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_that_was_lost_ends_the_command_at_the_next_report(
    log, monkeypatch, number, code, word
):
    class Collected:
        def __del__(self):
            signal.raise_signal(number)

    lost = []
    monkeypatch.setattr("sys.unraisablehook", lost.append)

    @terminal.sentence_for_errors
    def command(debug):
        Collected()
        with terminal.progress() as report:
            report(images(1))

    with pytest.raises(typer.Exit) as end:
        command(debug=False)
    assert end.value.exit_code == code
    assert log.getvalue() == f"dfi: {word}; no half-written file is left.\n"
    assert not lost  # Python would print its traceback.


def ends_with(signal_number):
    """The exit code of a command that gets a signal."""

    @terminal.sentence_for_errors
    def command(debug):
        signal.raise_signal(signal_number)

    try:
        command(debug=False)
    except typer.Exit as end:
        return end.exit_code
    return 0


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_ends_a_command_with_a_sentence_and_its_code(log, number, code, word):
    before = signal.getsignal(number)
    assert ends_with(number) == code
    assert log.getvalue() == f"dfi: {word}; no half-written file is left.\n"
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_was_ignored_stays_ignored(log, number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        assert ends_with(number) == 0
    finally:
        signal.signal(number, before)
    assert log.getvalue() == ""


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (InputError("k is 0; give 1 or more."), "k is 0; give 1 or more."),
        (MemoryError(), "there isn't enough memory"),
        (PermissionError(13, "Permission denied", "a/b"), "a/b can't be used (Permission denied);"),
        (KeyError("x"), "KeyError ('x'). This is a bug in dfi_jax; rerun with `--debug` for a"),
    ],
)
def test_every_error_is_a_sentence(log, error, sentence):
    @terminal.sentence_for_errors
    def command(debug):
        raise error

    with pytest.raises(typer.Exit):
        command(debug=False)
    assert log.getvalue().startswith(f"dfi: {sentence}")


def test_a_failure_is_named_once(log):
    terminal.report_failure("me.jpg", "me.jpg is empty.")
    with pytest.raises(typer.Exit) as end:
        terminal.exit_with_failures({"me.jpg": "me.jpg is empty.", "you": "no face."}, total=3)
    assert end.value.exit_code == 1
    assert log.getvalue().splitlines() == [
        "dfi: me.jpg is empty.",
        "dfi: 2 of 3 edits failed:",
        "  me.jpg is empty.",
        "  you: no face.",
    ]


def test_results_stay_on_stdout_unless_bars_share_its_terminal(screen, monkeypatch, capsys):
    terminal.print_result("out/me")
    assert capsys.readouterr().out == "out/me\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    terminal.print_result("out/[you]")
    assert capsys.readouterr().out == ""
    assert screen.getvalue() == "out/[you]\n"


def test_names_are_shown_as_they_are_and_a_terminal_obeys_none(screen, monkeypatch, capsys):
    name, shown = "a:on:\n\x1b[2J\u202e.jpg", "a:on:\\n\\x1b[2J\\u202e.jpg"
    terminal.report_failure(name, "no face.")
    terminal.report_failure(name, FileError(f"{name} is empty."))
    terminal.print_note(f"{name}: no profile.")
    with pytest.raises(typer.Exit):
        terminal.exit_with_failures({name: "no face."}, total=2)
    lines = Text.from_ansi(screen.getvalue()).plain.splitlines()
    assert lines[:3] == [
        f"dfi: {shown}: no face.",
        f"dfi: {shown} is empty.",
        f"dfi: {shown}: no profile.",
    ]
    assert lines[4] == f"  {shown}: no face."
    terminal.print_result(name)
    assert capsys.readouterr().out == f"{name}\n"  # A program that reads it needs the name itself.
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    terminal.print_result(name)
    assert screen.getvalue().endswith(f"{shown}\n")
    monkeypatch.setattr(terminal.console, "_force_terminal", False)
    terminal.print_result(name)
    assert capsys.readouterr().out == f"{shown}\n"
