import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

BLOCKED = """
import contextlib, hashlib, signal
from pathlib import Path
from dfi_jax.cli import interruption
from dfi_jax.storage.files import replacing
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # What `nohup` ignores would stay ignored.
interruption.watch()
with interruption.interruptible(), replacing(Path("out", "half-written.txt")) as temporary:
    temporary.write_text("half of")
    while True:
        with contextlib.suppress(KeyboardInterrupt):
            print("begun", flush=True)
            hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # Minutes, in one step of Python.
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_what_python_cannot_interrupt_and_no_file_is_left(tmp_path, number):
    process = subprocess.Popen(
        [sys.executable, "-c", BLOCKED],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "begun\n"
    assert len(list((tmp_path / "out").iterdir())) == 1
    process.send_signal(number)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert rest.startswith("dfi: ")
    assert rest.endswith("; no half-written file is left.\n")
    assert list((tmp_path / "out").iterdir()) == []
