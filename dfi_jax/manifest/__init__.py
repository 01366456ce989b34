"""Many edits in one run, from a manifest: a file of JSON lines, one edit per line.

    {"photo": "me.jpg", "attribute": "eyeglasses", "alphas": [0.5, 1]}

`lines` reads the jobs of a manifest, `earlier` leaves out those whose results an earlier run wrote,
and `run` edits the photos of the rest. `Edit.save` writes each edit to its own folder.
"""

from dfi_jax.manifest.earlier import select_unfinished
from dfi_jax.manifest.lines import FIELDS, read_manifest
from dfi_jax.manifest.run import Outcome, check_files, run_jobs

__all__ = ["FIELDS", "Outcome", "check_files", "read_manifest", "run_jobs", "select_unfinished"]
