"""`dfi select` and `dfi attributes`: what a dataset says about a photo, before it is edited."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from jaxtyping import Float
from PIL import Image

from dfi_jax.cli import options, output
from dfi_jax.cli.terminal import (
    Debug,
    Json,
    Quiet,
    print_line,
    print_result,
    progress,
    sentence_for_errors,
)
from dfi_jax.data import Dataset, load_dataset
from dfi_jax.data.selection import Selection
from dfi_jax.editor.query import locate_photo
from dfi_jax.errors import FileError
from dfi_jax.photo.choice import parse_face
from dfi_jax.recipe import RECIPES
from dfi_jax.report.sheet import contact_sheet
from dfi_jax.storage.files import replacing, write_text

SHEET_IMAGES = 20
"""Maximum number of images per set on a sheet."""

SHEET_COLUMNS = 10
"""Number of images in a row of a sheet."""

SHEET_SIZE = 200
"""Height and width, in pixels, at which faces are cropped. The sheet enlarges them to its cells."""


@sentence_for_errors
def select(
    photo: options.Photo,
    attribute: Annotated[
        str,
        typer.Argument(
            metavar="ATTRIBUTE", help="The attribute, as for `dfi edit`.", show_default=False
        ),
    ],
    dataset: options.DatasetSpec,
    rule: options.RuleText = options.DEFAULT_RULE,
    near: options.Near = "",
    k: options.K = None,
    face: options.Face = options.DEFAULT_FACE,
    points: options.Points = options.DEFAULT_POINTS,
    recipe: options.RecipeName = options.DEFAULT_RECIPE,
    settings: options.Settings = options.NO_SETTINGS,
    weights: options.Weights = options.DEFAULT_WEIGHTS,
    precision: options.Precision = options.DEFAULT_PRECISION,
    sheet: Annotated[
        bool, typer.Option("--sheet", help="Draw sheet.png: each set's mean and nearest images.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="Folder for the results, by default dfi-select-PHOTO.",
            parser=options.named_path,
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    json_: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Select the images that an edit of a photo would use.

    This writes source.txt, which lists the images without the attribute, and target.txt, which
    lists the images with it, the nearest first.
    """
    folder = out or Path(output.folder_name(f"dfi-select-{photo.stem}"))
    output.check_out(folder, overwrite=overwrite)
    face_choice, nearness = parse_face(face), options.parse_near(near)
    chosen_recipe = options.make_recipe(recipe, settings)
    images = load_dataset(dataset)
    options.check_attribute(attribute, dataset=images, rule=rule, near=nearness, k=k)
    located = locate_photo(photo, dataset=images, face=face_choice, points=points)
    with progress(quiet=quiet) as on_progress:
        editor = options.load_editor(
            chosen_recipe, weights=weights, precision=precision, on_progress=on_progress
        )
        selection = editor.select(
            attribute,
            dataset=images,
            photo=located.photo,
            rule=rule,
            near=nearness,
            k=k,
            face=located.placement,
            points=points,
            on_progress=on_progress,
        )
    # Both lists are made before one is written, because a path that no list can hold is an error.
    lists = {
        "source.txt": [_line(images, int(row)) for row in selection.source],
        "target.txt": [_line(images, int(row)) for row in selection.target],
    }
    for name, lines in lists.items():
        write_text(folder / name, "".join(f"{line}\n" for line in lines))
    if sheet:
        face_image = located.placement.crop(located.photo.pixels, size=SHEET_SIZE)
        with replacing(folder / "sheet.png") as temporary:
            _draw(selection, face_image).save(temporary, format="PNG")
    if json_:
        typer.echo(json.dumps({"folder": str(folder), **selection.record()}))
    else:
        written = [*lists, "sheet.png"] if sheet else list(lists)
        for name in written:
            print_result(folder / name)


@sentence_for_errors
def attributes(
    photo: options.Photo,
    dataset: options.DatasetSpec,
    face: options.Face = options.DEFAULT_FACE,
    points: options.Points = options.DEFAULT_POINTS,
    weights: options.Weights = options.DEFAULT_WEIGHTS,
    json_: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Estimate the attribute scores of a photo.

    A positive score means that the face has the attribute, a negative one that it doesn't. The AUC
    says how reliable the estimate is: at 1, it perfectly separates the dataset's faces with the
    attribute from the faces without it; at 0.5, it is no better than chance. A dash replaces it if
    all faces have the attribute, or if none does.
    """
    face_choice = parse_face(face)
    images = load_dataset(dataset)
    located = locate_photo(photo, dataset=images, face=face_choice, points=points)
    with progress(quiet=quiet) as on_progress:
        editor = options.load_editor(RECIPES["default"], weights=weights, on_progress=on_progress)
        scores, probes = editor.scores(
            located.photo,
            dataset=images,
            face=located.placement,
            points=points,
            on_progress=on_progress,
        )
    known = None if located.index is None else images.scores[located.index]
    if json_:
        columns = {"estimate": scores, "auc": probes.auc}
        columns |= {} if known is None else {"in the dataset": known}
        typer.echo(json.dumps(_by_attribute(probes.attributes, columns)))
        return
    width = max(len("attribute"), *map(len, probes.attributes))
    in_dataset = "" if known is None else "  in the dataset"
    typer.echo(f"{'attribute':{width}}  estimate   AUC{in_dataset}")
    for i in np.argsort(-scores):
        auc = "   –" if math.isnan(probes.auc[i]) else f"{probes.auc[i]:.2f}"
        given = "" if known is None else f"  {known[i]:+14.2f}"
        print_line(f"{probes.attributes[i]:{width}}  {scores[i]:+8.2f}  {auc}{given}")


def _by_attribute(
    attributes: Sequence[str], columns: Mapping[str, Float[np.ndarray, " a"]]
) -> dict[str, dict[str, float | None]]:
    """Returns the numbers of each attribute, with None for NaN, which JSON lacks."""
    return {
        attribute: {
            name: None if np.isnan(column[i]) else float(column[i])
            for name, column in columns.items()
        }
        for i, attribute in enumerate(attributes)
    }


def _line(dataset: Dataset, row: int) -> str:
    """Returns the line that stands for an image in a list, which `pair:` can read."""
    name = dataset.names[row]
    line = name if dataset.folder is None else str((dataset.folder / name).absolute())
    if set(line) & {"\n", "\r"} or not _is_text(line):
        raise FileError(
            f"the path {line!r} can't be written into a list, because it contains a line break or "
            f"isn't UTF-8; rename the file or its folder."
        )
    return line


def _is_text(line: str) -> bool:
    """Returns whether a path can be written as UTF-8. A name in another encoding can't."""
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True


def _draw(selection: Selection, face: Float[np.ndarray, "s s 3"]) -> Image.Image:
    """Draws the photo's face and both means in the first row, then the nearest of each set."""
    dataset, size = selection.dataset, len(face)
    sets = (("without", selection.source), ("with", selection.target))
    rows = [[(face, "photo")]]
    for name, chosen in sets:
        total = sum(batch.sum(axis=0) for batch in dataset.batches(chosen, size=size))
        rows[0].append((total / len(chosen), f"mean of {len(chosen)} {name}"))
    for name, chosen in sets:
        nearest = chosen[:SHEET_IMAGES]
        rows.append([(dataset.face(row, size), f"{name} {i}") for i, row in enumerate(nearest, 1)])
    blank = (np.ones_like(face), "")
    cells = [cell for row in rows for cell in row + [blank] * (-len(row) % SHEET_COLUMNS)]
    return contact_sheet(
        [image for image, _ in cells], [label for _, label in cells], columns=SHEET_COLUMNS
    )
