"""What happens while the package loads."""

import errno
import io
import os
import signal
import subprocess
import sys

import pytest
from rich.console import Console

from dfi_jax.__main__ import Messages, _ignore_settings
from dfi_jax.cli import terminal

# The notice is printed at once, so that the test knows when the package is being loaded.
PROGRAM = "import sys, dfi_jax.__main__ as m; m.SOON = 0; sys.argv = {}; m.main()"


def start(*words, before=(), **options):
    command = [*before, sys.executable, "-c", PROGRAM.format(["dfi", *words])]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **streams, **options)


def test_importing_the_package_does_not_load_jax():
    program = "import sys, dfi_jax; dfi_jax.__version__; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_ctrl_c_is_answered_before_anything_slow_is_loaded():
    slow = "{'importlib.metadata', 'logging', 'numpy', 'pathlib'}"
    program = f"import sys, dfi_jax.__main__; sys.exit(len({slow} & set(sys.modules)))"
    # Without -S, files of other packages are run first, which may load anything.
    search = os.pathsep.join(filter(None, sys.path))
    environment = os.environ | {"PYTHONPATH": search}
    command = [sys.executable, "-S", "-c", program]
    assert subprocess.run(command, env=environment, check=False).returncode == 0


def test_a_command_that_is_loading_says_so_and_can_be_interrupted():
    process = start("vectors", "list")
    assert process.stderr.readline() == "dfi: loading JAX\n"
    process.send_signal(signal.SIGINT)
    out, rest = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert rest == "dfi: interrupted; nothing was written.\n"


def test_an_ignored_interruption_stays_ignored_while_loading():
    ignoring = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh"]
    process = start("vectors", "list", before=ignoring)
    assert process.stderr.readline() == "dfi: loading JAX\n"
    process.send_signal(signal.SIGINT)
    out, rest = process.communicate(timeout=120)
    assert (process.returncode, rest) == (0, "")
    assert "eyeglasses" in out


def test_quiet_commands_do_not_say_that_they_load():
    process = start("edit", "no-such.jpg", "older", "--quiet")
    _, rest = process.communicate(timeout=120)
    assert process.returncode == 1
    assert rest.startswith("dfi: no-such.jpg doesn't exist")


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("COLUMNS", "0", False),
        ("COLUMNS", "100", True),
        ("JAX_ENABLE_X64", "1", False),
        ("JAX_NUMPY_RANK_PROMOTION", "raise", False),
        ("JAX_TRACEBACK_FILTERING", "nonsense", False),
        ("MPLBACKEND", "nonsense", False),
        ("JAX_PLATFORMS", "cpu", True),
        ("JAX_COORDINATOR_ADDRESS", "localhost:1", False),
        ("JAX_NUM_CPU_DEVICES", "many", False),
        ("JAX_COMPILATION_CACHE_MAX_SIZE", "1000", False),
        ("XLA_FLAGS", "--nonsense", False),
        ("XLA_FLAGS", "--xla_gpu_cuda_data_dir=/cuda", True),
        ("FORCE_COLOR", "1", False),
        ("JAX_NUM_PROCESSES", "2", True),
        ("JAX_PROCESS_ID", "0", True),
        ("JAX_COMPILATION_CACHE_DIR", "/tmp", True),
        ("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0", True),
        ("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "soon", False),
        ("HOME", "/", True),
    ],
)
def test_settings_for_other_programs_are_ignored(monkeypatch, name, value, kept):
    monkeypatch.setenv(name, value)
    _ignore_settings()
    assert (name in os.environ) == kept


def test_messages_that_a_full_disk_does_not_take_end_no_command(monkeypatch):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(errno.ENOSPC, "No space left on device")

    # A console keeps what it couldn't write, and would print it in another test.
    monkeypatch.setattr(terminal, "console", Console(stderr=True))
    monkeypatch.setattr("sys.stderr", Messages(Full()))
    terminal.print_note("this is lost.")
    monkeypatch.setattr("sys.stderr", Full())
    with pytest.raises(OSError, match="No space left"):
        terminal.print_note("this too.")


def test_a_closed_stream_and_characters_that_the_other_lacks_are_no_error():
    without_messages = ["sh", "-c", 'exec "$@" <&- 2>&-', "sh"]
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    process = start("weights", "list", before=without_messages, env=environment)
    out, rest = process.communicate(timeout=120)
    assert (process.returncode, rest) == (0, "")
    assert "sha256:2ecbe4ce\\u2026" in out


def test_a_command_ends_where_python_would_ask_for_more_input():
    process = start("weights", "get", "nothing", env=os.environ | {"PYTHONINSPECT": "1"})
    _, rest = process.communicate(timeout=120)
    assert process.returncode == 1
    assert rest.splitlines()[1:] == [line for line in rest.splitlines() if "'nothing'" in line]


def test_a_platform_that_is_not_here_is_one_sentence(photo):
    process = start(
        *("edit", str(photo), "older", "--face", "whole", "--quiet"),
        env=os.environ | {"JAX_PLATFORMS": "cuda"},
    )
    _, rest = process.communicate(timeout=120)
    assert process.returncode == 1
    assert rest.startswith("dfi: JAX finds no device")
    assert rest.count("\n") == 1
