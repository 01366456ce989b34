"""`dfi`, run as a user would."""

from typer.testing import CliRunner

from dfi_jax.cli.main import app

PHASES = (
    "loading the network",
    "comparing with earlier results",
    "opening the photo",
    "reading the sums",
    "regression",
)
"""Lines that may come before an error."""


def dfi(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def succeeds(*arguments):
    """Runs `dfi`, which should exit with code 0; returns what it printed on stdout."""
    result = dfi(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def fails(*arguments):
    """Runs `dfi`, which should print one sentence and exit with code 1; returns the sentence."""
    result = dfi(*arguments)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    lines = [line for line in result.output.strip().splitlines() if line not in PHASES]
    assert len(lines) == 1, lines
    assert lines[0].startswith("dfi: ")
    return lines[0]
