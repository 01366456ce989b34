"""The options that commands share: where the face is in a photograph, what it should be like, and how it is made."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from dfi_jax import conv
from dfi_jax.cli.terminal import counting, megabytes, progress
from dfi_jax.data import SPECS, Dataset
from dfi_jax.data.select import BY, Selection
from dfi_jax.errors import InputError
from dfi_jax.image import Box
from dfi_jax.recipe import Recipe, named_recipe
from dfi_jax.subject import Subject, check_selection, describe_subject, find_subject, select_images
from dfi_jax.vgg import VGG
from dfi_jax.weights import load_vgg

Photo = Annotated[Path, typer.Argument(help="The photograph.")]
Crop = Annotated[str, typer.Option(help="The face in the photograph: x0,y0,x1,y1 in pixels.")]
Align = Annotated[
    bool | None,
    typer.Option(
        "--align/--no-align",
        help="Find the face in any photograph, or take all of it for the face, but in a dataset's own where that has "
        "it; by default it is found in what is of no dataset, where the extra 'faces' is installed.",
    ),
]
FaceNumber = Annotated[int | None, typer.Option("--face", help="Which face, from 1, the largest.")]
Points = Annotated[
    int,
    typer.Option(
        help="Points that a face is aligned by: 5, or 68, mouth included, whose model isn't for commercial use."
    ),
]
RecipeName = Annotated[str, typer.Option("--recipe", help="A named recipe: default or chainer-dfi.")]
Iterations = Annotated[int | None, typer.Option(help="Evaluations of the objective, at most, for each strength.")]
K = Annotated[int, typer.Option(help="Images with and without the attribute, at most.")]
By = Annotated[
    str,
    typer.Option(
        help=f"What images should be near in: {', '.join(name for name in BY if name != 'features')}, or the features "
        "of a layer, such as conv5_1; by default scores, estimated where they aren't known."
    ),
]
DatasetSpec = Annotated[str, typer.Option("--dataset", help=f"{SPECS}.")]
Weights = Annotated[str, typer.Option(help="The network: a name that `dfi weights list` has, or a file of weights.")]
Precision = Annotated[
    str,
    typer.Option(
        help="What convolutions round their operands to: highest (the default, not at all), tf32 or bfloat16; the last "
        "two are for accelerators, and save no time on a CPU."
    ),
]


def parse_crop(text: str) -> Box | None:
    """`10,20,110,120` as a box."""
    if not text:
        return None
    try:
        x0, y0, x1, y1 = (int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--crop is {text!r}; give four whole numbers as x0,y0,x1,y1.") from None
    return x0, y0, x1, y1


def parse_points(number: int) -> Literal[5, 68]:
    """5 or 68."""
    if number == 5:
        return 5
    if number == 68:
        return 68
    raise InputError(f"--points is {number}; give 5 or 68.")


def make_recipe(name: str, iterations: int | None) -> Recipe:
    """The recipe of that name, with the iterations that were asked for."""
    recipe = named_recipe(name)
    return recipe if iterations is None else recipe.replace(iterations=iterations)


def find(
    photo: Path,
    *,
    dataset: Dataset | None,
    crop: str,
    align: bool | None,
    face: int | None,
    points: int,
) -> Subject:
    """The photograph and the face in it, as the options say."""
    return find_subject(
        photo, dataset=dataset, crop=parse_crop(crop), align=align, number=face, points=parse_points(points)
    )


def load_network(name: str, precision: str = "highest") -> VGG:
    """The network at a precision, with a progress bar where it is downloaded."""
    checked = conv.check_precision(precision)
    with progress("weights") as report:
        return dataclasses.replace(load_vgg(name, on_bytes=megabytes(report)), precision=checked)


def choose(
    vgg: VGG, dataset: Dataset, attributes: Sequence[str], *, subject: Subject, k: int, by: str | None, recipe: Recipe
) -> Selection:
    """The images that an edit of the photograph uses, with progress bars for what takes long."""
    check_selection(vgg, dataset, attributes, subject=subject, k=k, by=by)  # before anything takes long
    with progress("attribute probes, once for this dataset") as report:
        like = describe_subject(vgg, dataset, subject, by=by, on_progress=counting(report))
    with progress("landmarks") as report:
        return select_images(
            vgg, dataset, attributes, like=like, k=k, by=by, recipe=recipe, on_progress=counting(report)
        )
