"""Every experiment and every benchmark runs on drawn faces, and its record gives its tables."""

import contextlib
import importlib
import importlib.util
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from programs import NEEDS

ROOT = Path(__file__).parents[1]

PICTURES = {"experiments/demo"}
"""Programs that make pictures and no record."""

PARTS = {"benchmarks/editing_worker", "benchmarks/scaling_devices"}
"""Programs that another one starts."""


def test_every_program_is_tested():
    programs = {
        f"{path.parent.name}/{path.stem}"
        for folder in ("benchmarks", "experiments")
        for path in (ROOT / folder).glob("*.py")
        if "__main__" in path.read_text()
    }
    assert programs - PARTS == set(NEEDS)


def test_no_program_has_the_name_of_a_module_of_the_tests():
    # Both are imported by their name alone, so that the second import would find the first module.
    shared = {path.stem for path in (ROOT / "tests").rglob("*.py")} - {"__init__", "conftest"}
    folders = (ROOT / "benchmarks", ROOT / "experiments")
    assert not shared & {path.stem for folder in folders for path in folder.glob("*.py")}


@pytest.mark.parametrize("name", NEEDS)
def test_a_program_runs_quickly(name, tmp_path, monkeypatch):
    for package in NEEDS[name]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}")
    options = ["--quick"] if name in PICTURES else ["--quick", "--json"]
    command = [sys.executable, str(ROOT / f"{name}.py"), *options]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    printed = io.StringIO(done.stdout)
    if name not in PICTURES:
        monkeypatch.syspath_prepend(str((ROOT / name).parent))
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            importlib.import_module(Path(name).name).print_tables(json.loads(done.stdout))
    assert printed.getvalue().strip()
