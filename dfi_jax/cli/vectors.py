"""`dfi vectors`: attribute vectors, shipped with the package or computed from a dataset."""

import json
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from dfi_jax.cli import options
from dfi_jax.cli.terminal import Command, Debug, Json, Quiet, progress, sentence_for_errors
from dfi_jax.data import load_dataset
from dfi_jax.editor.job import is_vector_file
from dfi_jax.editor.record import vector_record
from dfi_jax.errors import InputError
from dfi_jax.photo.choice import parse_face
from dfi_jax.photo.photo import Photo
from dfi_jax.vectors.attribute_vector import AttributeVector, Provenance, starter, starter_names

app = typer.Typer(
    no_args_is_help=True, help="Show and compute attribute vectors, which edits add to features."
)


@app.command("list", cls=Command)
@sentence_for_errors
def list_vectors(json_: Json = False, debug: Debug = False) -> None:
    """List the attribute vectors that come with the package."""
    if json_:
        typer.echo(json.dumps({name: vector_record(starter(name)) for name in starter_names()}))
        return
    width = max(map(len, starter_names()))
    for name in starter_names():
        made = starter(name).provenance
        typer.echo(
            f"{name:{width}}  {','.join(made.attributes)}: {made.n_target} images with it and "
            f"{made.n_source} without it from {made.dataset}, for {made.network} at "
            f"{made.size} × {made.size}"
        )


@app.command("show", cls=Command)
@sentence_for_errors
def show_vector(
    vector: Annotated[
        str,
        typer.Argument(
            metavar="NAME_OR_FILE",
            help="Name that `dfi vectors list` prints, or file that `dfi vectors make` wrote.",
            show_default=False,
        ),
    ],
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Show how an attribute vector was made, and its shape and length in each layer."""
    is_file = is_vector_file(vector) or Path(vector).is_file()
    found = AttributeVector.load(vector) if is_file else starter(vector)
    if json_:
        typer.echo(json.dumps(vector_record(found)))
        return
    for name, value in _rows(found.provenance).items():
        typer.echo(f"{name:15} {value}")
    for layer, values in found.features.items():
        array = np.asarray(values)
        shape = " × ".join(map(str, array.shape))
        typer.echo(f"{layer:15} {shape}, length {np.linalg.norm(array):.4g}")


@app.command("make", cls=Command)
@sentence_for_errors
def make_vector(
    attribute: Annotated[
        str,
        typer.Argument(
            metavar="ATTRIBUTE",
            help="Attribute of the dataset, or several separated by commas, as for `dfi edit`.",
            show_default=False,
        ),
    ],
    dataset: options.DatasetSpec,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="File to write. Its name must end in .safetensors.",
            show_default=False,
        ),
    ],
    photo: Annotated[
        Path | None,
        typer.Option(
            metavar="PHOTO",
            help="Photo that the images should be similar to. Without it, each set is spread "
            "evenly over all images that have the attribute, or that lack it.",
        ),
    ] = None,
    face: options.Face = options.DEFAULT_FACE,
    points: options.Points = options.DEFAULT_POINTS,
    near: options.Near = "",
    k: options.K = options.DEFAULT_K,
    recipe: options.RecipeName = options.DEFAULT_RECIPE,
    settings: options.Settings = options.NO_SETTINGS,
    weights: options.Weights = options.DEFAULT_WEIGHTS,
    precision: options.Precision = options.DEFAULT_PRECISION,
    dtype: Annotated[
        Literal["float32", "int8"],
        typer.Option(help="Type of the numbers in the file; int8 takes a quarter of the space."),
    ] = "float32",
    overwrite: options.Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compute an attribute vector from a dataset and write it to a file.

    `dfi edit` accepts the file in place of an attribute's name. Two folders of pictures, without
    and with the attribute, make a dataset: `--dataset pair:WITHOUT:WITH`. Its attribute is Target.
    """
    if not is_vector_file(str(out)):
        raise InputError(f"--out is {out}; give a file whose name ends in .safetensors.")
    options.check_out_file(out, overwrite=overwrite)
    if is_vector_file(attribute):
        raise InputError(f"the attribute {attribute} is a file; name an attribute of the dataset.")
    if photo is None and (near or face != options.DEFAULT_FACE):
        raise InputError(
            f"--{'near' if near else 'face'} is given without --photo; give a photo, or omit the "
            f"option."
        )
    face_choice, nearness = parse_face(face), options.parse_near(near)
    chosen_recipe = options.make_recipe(recipe, settings)
    opened = None if photo is None else Photo.open(photo)
    images = load_dataset(dataset)
    options.check_attribute(attribute, dataset=images, near=nearness, k=k)
    with progress(quiet=quiet) as on_progress:
        editor = options.load_editor(
            chosen_recipe,
            weights=weights,
            precision=precision,
            on_progress=on_progress,
        )
        vector = editor.vector(
            attribute,
            dataset=images,
            photo=opened,
            near=nearness,
            k=k,
            face=face_choice,
            points=points,
            on_progress=on_progress,
        )
    vector.save(out, dtype=dtype)
    typer.echo(out)


def _rows(made: Provenance) -> dict[str, str]:
    values = {
        "attributes": ",".join(made.attributes),
        "dataset": made.dataset,
        "images": f"{made.n_target} with the attribute, {made.n_source} without (k = {made.k})",
        "near": made.near or "no photo",
        "network": f"{made.network}, SHA-256 {made.weights_sha256}",
        "layers": ", ".join(made.layers),
        "image size": f"{made.size} × {made.size}",
        "crop": "" if made.crop is None else ",".join(map(str, made.crop)),
        "normalization": ""
        if made.normalization is None
        else f"l2 over {made.normalization.scope}",
        "note": made.note,
    }
    return {name: value for name, value in values.items() if value}
