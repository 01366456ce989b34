"""What happens while the package loads."""

import signal
import subprocess
import sys

# The notice is printed at once, so that the test knows when the package is being loaded.
PROGRAM = "import sys, dfi_jax.__main__ as m; m.SOON = 0; sys.argv = {}; m.main()"


def start(*words, **options):
    command = [sys.executable, "-c", PROGRAM.format(["dfi", *words])]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **streams, **options)


def test_importing_the_package_does_not_load_jax():
    program = "import sys, dfi_jax; dfi_jax.__version__; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_command_that_is_loading_says_so_and_can_be_interrupted():
    process = start("vectors", "list")
    assert process.stderr.readline() == "dfi: loading JAX\n"
    process.send_signal(signal.SIGINT)
    out, rest = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert rest == "dfi: interrupted; nothing was written.\n"


def test_an_ignored_interruption_stays_ignored_while_loading():
    ignore = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)}
    process = start("vectors", "list", **ignore)
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
