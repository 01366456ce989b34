"""`dfi select` and `dfi attributes`: what a dataset says of a photograph, before anything is edited."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from jaxtyping import Float

from dfi_jax import edit as editing
from dfi_jax import image, probes, report
from dfi_jax.cli import subject as options
from dfi_jax.cli.terminal import Debug, counting, progress, sentence_for_errors
from dfi_jax.data import Dataset, load_dataset
from dfi_jax.data.select import Selection, parse_attributes
from dfi_jax.storage.files import replacing
from dfi_jax.recipe import RECIPES
from dfi_jax.vectors.subject import cut

SHEET = 20
"""Images of each set on a sheet: the nearest."""

COLUMNS = 10


@sentence_for_errors
def select(
    photo: options.Photo,
    dataset: options.DatasetSpec,
    attribute: Annotated[str, typer.Option(help="What to add, as for `dfi edit`.")],
    k: options.K = 100,
    by: options.By = "",
    crop: options.Crop = "",
    align: options.Align = None,
    face: options.FaceNumber = None,
    points: options.Points = 5,
    weights: options.Weights = "vgg16",
    out: Annotated[Path | None, typer.Option(help="The folder for the lists; dfi-select-PHOTO by default.")] = None,
    sheet: Annotated[bool, typer.Option("--sheet", help="Draw the nearest of both sets, and both means.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files of the same names there.")] = False,
    debug: Debug = False,
) -> None:
    """Choose the images that an edit would use, nearest first: source.txt without the attribute, target.txt with it."""
    folder = out or Path(f"dfi-select-{photo.stem}")
    editing.check_folder(folder, force=overwrite)
    data = load_dataset(dataset)
    wanted = parse_attributes(attribute)
    subject = options.find(photo, dataset=data, crop=crop, align=align, face=face, points=points)
    vgg = options.load_network(weights)
    selection = options.choose(vgg, data, wanted, subject=subject, k=k, by=by or None, recipe=RECIPES["default"])
    for name, rows in (("source", selection.source), ("target", selection.target)):
        with replacing(folder / f"{name}.txt") as temporary:
            temporary.write_text("".join(f"{_where(data, row)}\n" for row in rows), encoding="utf-8")
        typer.echo(folder / f"{name}.txt")
    if sheet:
        image.write(folder / "sheet.png", _draw(data, selection, cut(subject.photograph, subject.place, size=200)))
        typer.echo(folder / "sheet.png")


@sentence_for_errors
def attributes(
    photo: options.Photo,
    dataset: options.DatasetSpec,
    crop: options.Crop = "",
    align: options.Align = None,
    face: options.FaceNumber = None,
    points: options.Points = 5,
    weights: options.Weights = "vgg16",
    debug: Debug = False,
) -> None:
    """Estimate a photograph's attribute scores from a dataset's; positive is present.

    The AUC is how well the estimate tells people with the attribute from people without who weren't learnt from: 1 is
    always, 0.5 is chance.
    """
    data = load_dataset(dataset)
    subject = options.find(photo, dataset=data, crop=crop, align=align, face=face, points=points)
    vgg = options.load_network(weights)
    with progress("attribute probes, once for this dataset") as bar:
        fitted = probes.fit(vgg, data, on_progress=counting(bar))
    scores = probes.estimate(vgg, fitted, cut(subject.photograph, subject.place, size=200))
    known = None if subject.index is None else data.scores[subject.index]
    width = max(map(len, fitted.attributes))
    typer.echo(f"{'attribute':{width}}  estimate   AUC{'  in the dataset' if known is not None else ''}")
    for i in np.argsort(-scores):
        given = f"  {known[i]:+14.2f}" if known is not None else ""
        typer.echo(f"{fitted.attributes[i]:{width}}  {scores[i]:+8.2f}  {fitted.auc[i]:.2f}{given}")


def _where(dataset: Dataset, row: int) -> str:
    return dataset.names[row] if dataset.folder is None else str((dataset.folder / dataset.names[row]).absolute())


def _draw(dataset: Dataset, selection: Selection, face: Float[np.ndarray, "s s 3"]) -> Float[np.ndarray, "_ _ 3"]:
    """The photograph and both sets' means in the first row, then the nearest of each set."""
    size = len(face)
    rows: list[np.ndarray] = [face]
    labels = ["photograph"]
    for name, chosen in (("without", selection.source), ("with", selection.target)):
        total = sum(batch.sum(axis=0) for batch in dataset.batches(chosen, size=size))
        rows.append(total / len(chosen))
        labels.append(f"mean of {len(chosen)} {name}")
    blank = np.ones_like(face)
    rows += [blank] * (COLUMNS - len(rows))
    labels += [""] * (COLUMNS - len(labels))
    for name, chosen in (("without", selection.source), ("with", selection.target)):
        nearest = chosen[:SHEET]
        rows += [dataset.face(row, size) for row in nearest] + [blank] * (-len(nearest) % COLUMNS)
        labels += [f"{name} {i + 1}" for i in range(len(nearest))] + [""] * (-len(nearest) % COLUMNS)
    return report.contact_sheet(rows, labels, columns=COLUMNS)
