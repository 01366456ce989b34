"""`dfi batch`: many edits in one run, on one machine or several."""

from pathlib import Path
from typing import Annotated

import typer

from dfi_jax import attribute as vectors
from dfi_jax import batch as batches
from dfi_jax import parallel
from dfi_jax.attribute import AttributeVector
from dfi_jax.batch import Failure, Job
from dfi_jax.cli import subject as options
from dfi_jax.cli.terminal import Debug, console, progress, sentence_for_errors
from dfi_jax.data import load_dataset
from dfi_jax.data.select import parse_attributes
from dfi_jax.errors import InputError
from dfi_jax.subject import Subject, check_selection, describe_subject, find_subject, select_images, vector_between


@sentence_for_errors
def batch(
    manifest: Annotated[
        Path,
        typer.Argument(
            help='JSON lines: {"photo": "me.jpg", "attribute": "older", "alphas": [0.2, 0.4]}, and where needed '
            '"vector", "crop" and "name"; paths are relative to the manifest.'
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder for the results, a folder for each line.")],
    dataset: options.DatasetSpec = "",
    recipe: options.RecipeName = "default",
    iterations: options.Iterations = None,
    k: options.K = 100,
    by: options.By = "",
    align: options.Align = None,
    points: options.Points = 5,
    weights: options.Weights = "vgg16",
    precision: options.Precision = "highest",
    batch_size: Annotated[
        int | None, typer.Option(help="Images at a time; by default as many as the devices' memory takes.")
    ] = None,
    distributed: Annotated[
        bool,
        typer.Option(
            "--distributed",
            help="One of several processes that share the lines: JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and "
            "JAX_PROCESS_ID say which, or Slurm.",
        ),
    ] = False,
    debug: Debug = False,
) -> None:
    """Edit many photographs in one run; started again, it goes on where it was."""
    if batch_size is not None and batch_size < 1:
        raise InputError(f"--batch-size is {batch_size}; give 1 or more.")
    chosen = options.make_recipe(recipe, iterations)
    everything = batches.read_manifest(manifest)
    if distributed:
        parallel.initialize()
    jobs = batches.unfinished(parallel.own(everything), out, recipe=chosen)
    if not jobs:
        console.print(f"all of {len(parallel.own(everything))} edits are in {out} already", highlight=False)
        return
    batches.check_files(jobs)
    data = load_dataset(dataset) if dataset else None
    for name in {job.attribute for job in jobs if job.vector is None}:
        if data is None:
            vectors.starter(name)
        else:
            parse_attributes(name)
    vgg = options.load_network(weights, precision)
    given: dict[Path | str, AttributeVector] = {}

    def find(job: Job) -> Subject:
        return find_subject(job.photo, dataset=data, crop=job.crop, align=align, points=options.parse_points(points))

    def vector(job: Job, subject: Subject) -> AttributeVector:
        if data is None or job.vector is not None:
            source = job.vector or job.attribute
            if source not in given:
                given[source] = vectors.load(job.vector) if job.vector is not None else vectors.starter(job.attribute)
            return given[source]
        wanted = parse_attributes(job.attribute)
        check_selection(vgg, data, wanted, subject=subject, k=k, by=by or None)
        like = describe_subject(vgg, data, subject, by=by or None)
        selection = select_images(vgg, data, wanted, like=like, k=k, by=by or None, recipe=chosen)
        return vector_between(vgg, data, wanted, selection, k=k, recipe=chosen)

    failures: list[Failure] = []
    with progress(f"{len(jobs)} edits") as report:
        results = batches.run(vgg, jobs, out, recipe=chosen, find=find, vector=vector, batch_size=batch_size)
        for done, result in enumerate(results, 1):
            if isinstance(result, Failure):
                failures.append(result)
            else:
                typer.echo(out / result.name)
            report(done, len(jobs), f"{done} of {len(jobs)} edits")
    sentences = [f"{failure.job.name}: {failure.reason}" for failure in failures]
    for sentence in sentences[:-1]:
        console.print(f"dfi: {sentence}", style="red", markup=False, highlight=False, soft_wrap=True)
    if sentences:
        raise InputError(sentences[-1])
