"""`dfi edit`: from a photograph to edited photographs."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from dfi_jax import attribute as vectors
from dfi_jax import edit as editing
from dfi_jax import image
from dfi_jax.cli import subject as options
from dfi_jax.cli.terminal import Debug, counting, progress, sentence_for_errors
from dfi_jax.data import load_dataset
from dfi_jax.data.select import parse_attributes
from dfi_jax.errors import InputError
from dfi_jax.reconstruct import Progress as Reconstructing
from dfi_jax.subject import vector_between


@sentence_for_errors
def edit(
    photo: options.Photo,
    attribute: Annotated[
        str,
        typer.Option(
            help="What to add: a starter vector's name, or a dataset's attributes: 'Smiling,~Eyeglasses'; '+Young' or "
            "'-Male' is what images with and without them should share."
        ),
    ] = "",
    vector: Annotated[Path | None, typer.Option(help="A file with an attribute vector.")] = None,
    dataset: options.DatasetSpec = "",
    alpha: Annotated[str, typer.Option(help="Strengths, with commas between them; negative ones take away.")] = "0.4",
    recipe: options.RecipeName = "default",
    iterations: options.Iterations = None,
    k: options.K = 100,
    by: options.By = "",
    crop: options.Crop = "",
    align: options.Align = None,
    face: options.FaceNumber = None,
    points: options.Points = 5,
    mask: Annotated[Path | None, typer.Option(help="An image of the face: white where it may change.")] = None,
    weights: options.Weights = "vgg16",
    precision: options.Precision = "highest",
    out: Annotated[
        Path | None, typer.Option(help="The folder for the results; dfi-PHOTO-ATTRIBUTE by default.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files of the same names there.")] = False,
    debug: Debug = False,
) -> None:
    """Edit a face at one or several strengths; write pictures, loss curves and how they were made."""
    alphas = _parse_alphas(alpha)
    editing.check_alphas(alphas)
    chosen = options.make_recipe(recipe, iterations)
    if mask is not None:
        chosen = chosen.replace(postprocess=_with_mask(chosen.postprocess))
    if vector is not None and dataset:
        raise InputError("both --vector and --dataset are given; give one of them.")
    if dataset.startswith("folders:"):
        attribute = attribute or "Target"
    if not attribute and vector is None and not dataset:
        raise InputError(
            f"no --attribute is given; name a starter vector ({', '.join(vectors.starter_names())}), "
            f"or give a --vector or a --dataset."
        )
    named = attribute or (vector.stem if vector is not None else "")
    folder = out or Path(f"dfi-{photo.stem}-{editing.file_name(named)}")
    editing.check_folder(folder, force=overwrite)

    found = None
    if not dataset:
        found = vectors.load(vector) if vector is not None else vectors.starter(attribute)
    data = load_dataset(dataset) if dataset else None
    wanted = parse_attributes(attribute) if dataset else ()
    subject = options.find(photo, dataset=data, crop=crop, align=align, face=face, points=points)
    mask_image = image.read(mask) if mask is not None else None

    seconds: dict[str, float] = {}
    about: dict[str, Any] = {"photograph": photo.name, "attribute": named}
    with _timed(seconds, "weights"):
        vgg = options.load_network(weights, precision)
    if data is not None:
        with _timed(seconds, "selection"):
            selection = options.choose(vgg, data, wanted, subject=subject, k=k, by=by or None, recipe=chosen)
        about["selection"] = selection.named(data)
        with _timed(seconds, "means"), progress("mean features") as report:
            found = vector_between(vgg, data, wanted, selection, k=k, recipe=chosen, on_progress=counting(report))
    assert found is not None
    with progress(f"{named}, {len(alphas)} strength{'s' * (len(alphas) > 1)}") as report:

        def watch(state: Reconstructing) -> None:
            values = " ".join(f"{value:.4g}" for value in state.objective if math.isfinite(value))  # of those begun
            report(state.iteration, state.total, f"objective {values}")

        edited = editing.edit_face(
            vgg, subject.photograph, found, alphas=alphas, recipe=chosen, place=subject.place, mask=mask_image,
            on_progress=watch,
        )  # fmt: skip
    for path in editing.save(folder, edited, vgg=vgg, subject=about, seconds=seconds, force=overwrite):
        typer.echo(path)


def _parse_alphas(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--alpha is {text!r}; give numbers with commas between them, as 0.1,0.2,0.4.") from None


def _with_mask(steps: tuple[str, ...]) -> tuple[str, ...]:
    """The steps with `mask` among them, before the difference goes to the photograph."""
    before = tuple(step for step in steps if step not in ("mask", "transfer_difference"))
    return (*before, "mask", *(step for step in steps if step == "transfer_difference"))


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[phase] = time.perf_counter() - started
