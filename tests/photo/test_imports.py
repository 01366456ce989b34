import subprocess
import sys
from pathlib import Path

from dfi_jax.photo import faces

MODULES = ("photo.faces", "photo.finish", "photo.resampling", "report.sheet", "report.curves")

SCRIPT = """
import importlib, sys, types
package = types.ModuleType("dfi_jax")  # The package's own __init__ imports jax.
package.__path__ = [sys.argv[1]]
sys.modules["dfi_jax"] = package
for name in sys.argv[2:]:
    importlib.import_module("dfi_jax." + name)
print(sorted({"jax", "matplotlib", "requests", "dlib"} & set(sys.modules)))
"""


def test_photos_and_reports_import_neither_jax_nor_matplotlib():
    folder = Path(faces.__file__).parents[1]
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), *MODULES], capture_output=True, text=True
    )
    assert (run.returncode, run.stdout.strip()) == (0, "[]"), run.stderr
