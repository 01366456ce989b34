"""Every experiment runs on drawn faces."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

NEEDS = {
    "alignment": ["dlib", "skimage"],
    "demo": ["skimage"],
    "precision": [],
    "preconditioner": [],
    "smile_sweep": [],
    "solver": ["skimage"],
    "starter_vectors": ["scipy"],
}
"""The packages of extras that each experiment needs."""


def test_every_experiment_is_tested():
    assert {path.stem for path in (ROOT / "experiments").glob("*.py")} == set(NEEDS)


@pytest.mark.parametrize("name", NEEDS)
def test_an_experiment_runs_quickly(name, tmp_path):
    for package in NEEDS[name]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}")
    command = [sys.executable, str(ROOT / "experiments" / f"{name}.py"), "--quick"]
    paths = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | paths, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
