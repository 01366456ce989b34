"""`dfi vectors`: attribute vectors, shipped with the package or computed from a dataset."""

import json
import textwrap
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from dfi_jax.cli import options, output
from dfi_jax.cli.terminal import (
    Command,
    Debug,
    Json,
    Quiet,
    print_line,
    print_result,
    progress,
    sentence_for_errors,
)
from dfi_jax.data import load_dataset
from dfi_jax.editor.job import is_vector_file
from dfi_jax.editor.record import vector_record
from dfi_jax.engine.share import launched_share
from dfi_jax.errors import InputError, visible
from dfi_jax.photo.choice import parse_face
from dfi_jax.photo.photo import Photo
from dfi_jax.progress import Progress, begin
from dfi_jax.storage.files import is_file
from dfi_jax.vectors.attribute_vector import AttributeVector
from dfi_jax.vectors.combination import project_out
from dfi_jax.vectors.fitted import PENALTY, FittedDataset
from dfi_jax.vectors.provenance import Provenance, words
from dfi_jax.vectors.starters import starter, starter_names

app = typer.Typer(no_args_is_help=True, help="Show, compute and compare attribute vectors.")


VectorFile = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="File to write. Its name must end in .safetensors.",
        show_default=False,
        parser=options.named_path,
    ),
]

FittedFolder = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER",
        help="Folder that `dfi vectors fit` wrote.",
        show_default=False,
        parser=options.named_path,
    ),
]

Keep = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME_OR_FILE",
        help="Attribute vector whose direction is taken out of the new one, so that edits leave "
        "its attribute alone. May be repeated.",
        show_default=False,
    ),
]

Dtype = Annotated[
    Literal["float32", "int8"],
    typer.Option(help="Type of the numbers in the file; int8 takes a quarter of the space."),
]


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
    """Show how an attribute vector was made, and its length and noise."""
    found = load_vector(vector)
    if json_:
        typer.echo(json.dumps(vector_record(found)))
        return
    made = found.provenance
    for name, value in _rows(made).items():
        # The names of all attributes that are held take 500 characters.
        lines = textwrap.wrap(visible(value), 84, break_long_words=False, break_on_hyphens=False)
        for title, line in zip_longest([name], lines, fillvalue=""):
            print_line(f"{title:15} {line}")
    for layer, values in found.features.items():
        array = np.asarray(values)
        shape = " × ".join(map(str, array.shape))
        estimated = ""
        if made.length:
            i = made.layers.index(layer)
            signal, noise = made.signal[i], made.noise[i]
            estimated = f"; before shrinkage: signal {signal:.4g}, noise {noise:.4g}"
        print_line(f"{layer:15} {shape}, length {np.linalg.norm(array):.4g}{estimated}")


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
    out: VectorFile,
    photo: Annotated[
        Path | None,
        typer.Option(
            metavar="PHOTO",
            help="Photo that the images should be similar to. Without it, each set is spread "
            "evenly over all images that have the attribute, or that lack it.",
            parser=options.named_path,
        ),
    ] = None,
    face: options.Face = options.DEFAULT_FACE,
    points: options.Points = options.DEFAULT_POINTS,
    rule: options.RuleText = options.DEFAULT_RULE,
    near: options.Near = "",
    k: options.K = None,
    recipe: options.RecipeName = options.DEFAULT_RECIPE,
    settings: options.Settings = options.NO_SETTINGS,
    weights: options.Weights = options.DEFAULT_WEIGHTS,
    precision: options.Precision = options.DEFAULT_PRECISION,
    keep: Keep = None,
    dtype: Dtype = "float32",
    overwrite: options.Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compute an attribute vector from sets of images.

    This writes the vector to a file, which `dfi edit` accepts in place of an attribute's name. Two
    folders of pictures, without and with the attribute, make a dataset: `--dataset
    pair:WITHOUT:WITH`. Its attribute is Target.
    """
    check_vector_file(out, overwrite=overwrite)
    if is_vector_file(attribute):
        raise InputError(f"the attribute {attribute} is a file; name an attribute of the dataset.")
    if photo is None and (near or face != options.DEFAULT_FACE):
        raise InputError(
            f"--{'near' if near else 'face'} is given without --photo; give a photo, or omit the "
            f"option."
        )
    face_choice, nearness = parse_face(face), options.parse_near(near)
    chosen_recipe = options.make_recipe(recipe, settings)
    kept = [load_vector(name) for name in keep or []]
    opened = None if photo is None else Photo.open(photo)
    images = load_dataset(dataset)
    options.check_attribute(attribute, dataset=images, rule=rule, near=nearness, k=k)
    with progress(quiet=quiet) as on_progress:
        editor = options.load_editor(
            chosen_recipe,
            weights=weights,
            precision=precision,
            on_progress=on_progress,
        )
        for name, vector in zip(keep or [], kept, strict=True):
            try:
                vector.check(editor.vgg, recipe=chosen_recipe)
            except InputError as error:
                raise InputError(f"--keep is {name}, but {error}") from None
        vector = editor.vector(
            attribute,
            dataset=images,
            photo=opened,
            rule=rule,
            near=nearness,
            k=k,
            face=face_choice,
            points=points,
            on_progress=on_progress,
        )
    project_out(vector, kept).save(out, dtype=dtype)
    print_result(out)


@app.command("fit", cls=Command)
@sentence_for_errors
def fit_dataset(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="Dataset with attribute scores, such as lfw:DIR, as for `dfi edit --dataset`.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="Folder for the sums.",
            show_default=False,
            parser=options.named_path,
        ),
    ],
    where: Annotated[
        str,
        typer.Option(
            metavar="ATTRIBUTES",
            help="Attributes that all images have (+Male) or lack (-Male), separated by commas.",
        ),
    ] = "",
    warp: Annotated[
        bool,
        typer.Option(
            "--warp",
            help="Warp every face to the geometry of the average face first, to compare. Smiles "
            "and open mouths lose their shape. This needs the extra 'faces'.",
        ),
    ] = False,
    recipe: options.RecipeName = options.DEFAULT_RECIPE,
    settings: options.Settings = options.NO_SETTINGS,
    weights: options.Weights = options.DEFAULT_WEIGHTS,
    precision: options.Precision = options.DEFAULT_PRECISION,
    distributed: options.Distributed = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Fit all attributes of a dataset in one pass over its images.

    This adds up the features and scores of all images. `dfi edit --dataset fitted:FOLDER` then
    edits a photo with any of the attributes, and `dfi vectors regress` writes a single vector to a
    file. The sums are written every 500 images, so rerunning the command resumes it.
    """
    share = launched_share() if distributed else None
    output.check_out(out, overwrite=True)
    chosen_recipe = options.make_recipe(recipe, settings)
    images = load_dataset(dataset)
    with progress(quiet=quiet) as on_progress:
        editor = options.load_editor(
            chosen_recipe, weights=weights, precision=precision, on_progress=on_progress
        )
        editor.fit(images, where=where, warp=warp, folder=out, share=share, on_progress=on_progress)
    print_result(out)


@app.command("regress", cls=Command)
@sentence_for_errors
def regress_vector(
    attribute: Annotated[
        str,
        typer.Argument(
            metavar="ATTRIBUTE",
            help="Attribute of the fitted dataset, or several that change together, separated by "
            "commas. ~Young is the opposite of Young.",
            show_default=False,
        ),
    ],
    fitted: FittedFolder,
    out: VectorFile,
    hold: Annotated[
        str | None,
        typer.Option(
            metavar="ATTRIBUTES",
            help="Attributes that are held constant, separated by commas; an empty text holds "
            "none. By default, all others are held, except those that mean much the same.",
            show_default=False,
        ),
    ] = None,
    penalty: Annotated[
        float,
        typer.Option(
            min=0,
            help="Ridge penalty of each attribute that is held. 0 holds it entirely; a larger one "
            "lets it move a little, and gives less noise.",
        ),
    ] = PENALTY,
    keep: Keep = None,
    dtype: Dtype = "float32",
    overwrite: options.Overwrite = False,
    debug: Debug = False,
) -> None:
    """Compute an attribute vector from a fitted dataset.

    It is the difference between typical images with and without the attribute that are alike in the
    attributes that are held. This writes the vector to a file, which `dfi edit` accepts in place of
    an attribute's name.
    """
    check_vector_file(out, overwrite=overwrite)
    kept = [load_vector(name) for name in keep or []]
    held = None if hold is None else tuple(filter(None, map(str.strip, hold.split(","))))
    with progress() as on_progress:
        on_progress(begin("reading the sums"))
        sums = FittedDataset.load(fitted)
        on_progress(begin("regression"))
        vector = sums.vector(attribute, hold=held, penalty=penalty)
        project_out(vector, kept).save(out, dtype=dtype)
    print_result(out)


@app.command("compare", cls=Command)
@sentence_for_errors
def compare_vectors(
    fitted: FittedFolder,
    vectors: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME_OR_FILE...",
            help="Attribute vectors: names that `dfi vectors list` prints, or files.",
            show_default=False,
        ),
    ],
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Print how far vectors move a face in each attribute of a fitted dataset.

    The unit is the distance between typical images with and without the attribute. The attributes
    that move most come first.
    """
    with progress() as on_progress:
        on_progress(begin("reading the sums"))
        sums, moved = FittedDataset.load(fitted), {}
        for i, vector in enumerate(vectors):
            moved[vector] = sums.movements(load_vector(vector))
            on_progress(
                Progress(phase="comparison", done=i + 1, total=len(vectors), unit="vectors")
            )
    if json_:
        typer.echo(json.dumps(moved))
        return
    for vector, movements in moved.items():
        print_line(vector)
        for name, distance in sorted(movements.items(), key=lambda item: -abs(item[1])):
            print_line(f"  {distance:+6.2f}  {name}")


def load_vector(name: str) -> AttributeVector:
    """Returns the vector in a file, or the starter vector with a name.

    >>> load_vector("older").provenance.attributes
    ('~Young',)
    """
    if is_vector_file(name) or is_file(Path(name)):
        return AttributeVector.load(name)
    return starter(name)


def check_vector_file(out: Path, *, overwrite: bool) -> None:
    """Raises an error unless a vector can be written into the file.

    >>> check_vector_file(Path("no-such-file.safetensors"), overwrite=False)
    """
    if not is_vector_file(str(out)):
        raise InputError(f"--out is {out}; give a file whose name ends in .safetensors.")
    output.check_out_file(out, overwrite=overwrite)


def _rows(made: Provenance) -> dict[str, str]:
    share = made.noise_share
    values = {
        "attributes": ",".join(made.attributes),
        "dataset": made.dataset,
        "images": f"{made.n_target} with the attribute, {made.n_source} without",
        "at most": "" if made.k is None else f"{made.k} of each",
        "near": made.near or ("" if made.k is None else "no photo"),
        "rule": "" if made.rule == "default" else made.rule,
        "where": made.where,
        "held": ", ".join(made.held),
        "kept": ", ".join(made.kept),
        "penalty": "" if made.penalty is None else f"{made.penalty:g}",
        "network": f"{made.network}, SHA-256 {made.weights_sha256}",
        "layers": ", ".join(made.layers),
        "pooled sizes": "" if made.pool_rounding == "down" else f"rounded {made.pool_rounding}",
        "image size": f"{made.size} × {made.size}",
        "preparation": words(made.preparation) if made.preparation else "",
        "crop": "" if made.crop is None else ",".join(map(str, made.crop)),
        "warped": "to the average face" if made.warped else "",
        "normalization": "" if made.normalization is None else words(made.normalization),
        "noise": "" if share is None else f"{min(1, share):.0%} of the energy before shrinkage",
        "shrinkage": words(made.shrinkage),
        "calibration": ", ".join(
            f"strength {alpha:.2f} moves faces by {moved:.2f}" for alpha, moved in made.calibration
        ),
        "note": made.note,
    }
    return {name: value for name, value in values.items() if value}
