"""`dfi batch`: the edits of a manifest in one run, on one machine or several."""

import json as json_format
from pathlib import Path
from typing import Annotated

import typer

from dfi_jax.cli import options
from dfi_jax.cli.terminal import (
    Debug,
    Quiet,
    exit_with_failures,
    print_note,
    progress,
    report_failure,
    sentence_for_errors,
)
from dfi_jax.engine import devices
from dfi_jax.manifest import FIELDS, read_manifest, run_jobs, select_unfinished

Manifest = Annotated[
    Path,
    typer.Argument(
        metavar="MANIFEST",
        help='File of JSON lines, one per edit, such as {"photo": "me.jpg", "attribute": "older"}. '
        f"The fields are {', '.join(FIELDS)}. Paths are relative to the file.",
        show_default=False,
    ),
]

Out = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        metavar="FOLDER",
        help="Folder of the results, which gets a folder for each edit.",
        show_default=False,
    ),
]

Distributed = Annotated[
    bool,
    typer.Option(
        "--distributed",
        help="Share the edits with other processes that run the same command. The environment "
        "variables JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, or Slurm, say "
        "which process this is.",
    ),
]


@sentence_for_errors
def batch(
    manifest: Manifest,
    out: Out,
    points: options.Points = options.DEFAULT_POINTS,
    dataset: options.DatasetSpec = "",
    near: options.Near = "",
    k: options.K = options.DEFAULT_K,
    recipe: options.RecipeName = options.DEFAULT_RECIPE,
    settings: options.Settings = options.NO_SETTINGS,
    weights: options.Weights = options.DEFAULT_WEIGHTS,
    precision: options.Precision = options.DEFAULT_PRECISION,
    batch_size: options.BatchSize = None,
    distributed: Distributed = False,
    json: options.Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Edit many photos, which are listed in a file.

    Edits that already have a result.json are skipped, so rerunning the command resumes it. A photo
    that fails is reported, and the rest continue.
    """
    chosen_recipe = options.make_recipe(recipe, settings)
    data = options.load_optional_dataset(dataset)
    jobs = read_manifest(
        manifest, dataset=data, near=options.parse_near(near), k=k, points=points
    )
    for job in jobs:
        ...
