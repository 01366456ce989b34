"""`dfi batch`: the edits of a manifest in one run, on one machine or several."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dfi_jax.cli import options, output
from dfi_jax.cli.terminal import (
    Debug,
    Quiet,
    exit_with_failures,
    print_note,
    print_result,
    progress,
    report_failure,
    sentence_for_errors,
)
from dfi_jax.editor.job import Job, load_optional_dataset
from dfi_jax.engine.share import Share, launched_share
from dfi_jax.errors import InputError
from dfi_jax.manifest import FIELDS, Outcome, read_manifest, run_jobs, select_unfinished
from dfi_jax.progress import begin

Manifest = Annotated[
    Path,
    typer.Argument(
        metavar="MANIFEST",
        help='File of JSON lines, one per edit, such as {"photo": "me.jpg", "attribute": "older"}. '
        f"The fields are {', '.join(FIELDS)}, as for `dfi edit`. Paths are relative to the file.",
        show_default=False,
        parser=options.named_path,
    ),
]

Out = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        metavar="FOLDER",
        help="Folder for the results, with a subfolder for each edit.",
        show_default=False,
        parser=options.named_path,
    ),
]


@sentence_for_errors
def batch(
    manifest: Manifest,
    out: Out,
    points: options.Points = options.DEFAULT_POINTS,
    warp: options.Warp = options.DEFAULT_WARP,
    dataset: options.DatasetOrFitted = "",
    rule: options.RuleText = options.DEFAULT_RULE,
    near: options.Near = "",
    k: options.K = None,
    recipe: options.RecipeName = options.DEFAULT_RECIPE,
    settings: options.Settings = options.NO_SETTINGS,
    weights: options.Weights = options.DEFAULT_WEIGHTS,
    precision: options.Precision = options.DEFAULT_PRECISION,
    batch_size: options.BatchSize = None,
    distributed: options.Distributed = False,
    json_: options.Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Edit many photos, listed in a file.

    Edits that already have a result.json are skipped, so rerunning the command resumes it. A photo
    that fails is reported, and the rest continue.
    """
    launched = launched_share() if distributed else Share(0, 1)
    chosen_recipe = options.make_recipe(recipe, settings)
    # The folder may hold results of an earlier run, which this run resumes.
    output.check_out(out, overwrite=True)
    images = load_optional_dataset(dataset)
    jobs = read_manifest(
        manifest,
        dataset=images,
        rule=rule,
        near=options.parse_near(near),
        k=k,
        points=points,
        warp=warp,
    )
    share = launched.of(jobs)
    if not quiet and not share:
        print_note(f"the manifest has {len(jobs)} edits, none of which is for this process")
    # Attributes are checked before anything takes long, such as loading the network.
    _check_attributes(jobs)
    failures: dict[str, str] = {}

    def announce(outcome: Outcome) -> None:
        label, record = outcome.job.label, outcome.record
        if record is None:
            failures[label] = str(outcome.failure)
            report_failure(label, str(outcome.failure))
            return
        for warning in record["warnings"]:
            print_note(f"{label}: {warning}")
        if json_:
            output.print_json(out / label, record)
        else:
            print_result(out / label)

    with progress(quiet=quiet) as on_progress:
        editor = options.load_editor(
            chosen_recipe,
            weights=weights,
            precision=precision,
            batch_size=batch_size,
            on_progress=on_progress,
        )
        # Photos and images are read for this, which can take long.
        on_progress(begin("comparing with earlier results"))
        different: list[str] = []
        unfinished = select_unfinished(
            share,
            out,
            editor=editor,
            on_different=different.append,
            on_failure=lambda job, error: announce(Outcome(job, str(error))),
        )
        finished = len(share) - len(unfinished) - len(failures)
        if not quiet and finished:
            print_note(f"{finished} of {len(share)} edits are finished already")
            for makers, times in Counter(different).items():
                print_note(
                    f"{times} of these edits were made with {makers}; delete their folders to make "
                    f"them again"
                )
        output.check_space(out, unfinished)
        run_jobs(editor, unfinished, out, on_outcome=announce, on_progress=on_progress)
    if failures:
        exit_with_failures(failures, total=len(share) - finished)


def _check_attributes(jobs: Sequence[Job]) -> None:
    """Raises InputError if an attribute that isn't a file can't be used."""
    checked = set()
    for job in jobs:
        asked = (job.attribute, job.resolved_rule, job.dataset)
        if isinstance(job.attribute, str) and asked not in checked:
            checked.add(asked)
            try:
                options.check_attribute(job.attribute, dataset=job.dataset, rule=job.resolved_rule)
            except InputError as error:
                raise InputError(f"{job.label}: {error}") from None
