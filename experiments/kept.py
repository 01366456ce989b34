"""Results that an experiment keeps in its folder, so that rerunning it resumes it."""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from dfi_jax.storage.files import replacing, write_tensors


def digest(*values: Any) -> str:
    """Returns a name for what determines a result, as JSON can write it.

    >>> digest({"k": 100}), digest({"k": 50})
    ('370abc46', '59c37f3b')
    """
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:8]


def kept_rows(path: Path, make: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Returns rows from a file, or else makes them and writes the file."""
    if not path.exists():
        rows = make()
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(rows), encoding="utf-8")
        print(path.stem, file=sys.stderr, flush=True)
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def kept_arrays(
    path: Path, make: Callable[[], Mapping[str, np.ndarray]]
) -> Mapping[str, np.ndarray]:
    """Returns arrays by name from a file, or else makes them and writes the file."""
    if not path.exists():
        write_tensors(path, make())
    found: dict[str, np.ndarray] = load_file(path)
    return found
