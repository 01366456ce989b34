"""The arguments and options that commands share, and how their text is parsed.

Options have the names and the defaults of the API's parameters.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from dfi_jax.data import SPECS, Dataset
from dfi_jax.data.folders import IMAGE_SUFFIXES
from dfi_jax.data.near import Nearness
from dfi_jax.data.near import parse as parse_nearness
from dfi_jax.data.rule import RULES, Rule
from dfi_jax.data.selection import Anchor, check_selection
from dfi_jax.editor.editor import Editor
from dfi_jax.editor.job import Job, check_alphas, has_strengths, is_vector_file, parse_strengths
from dfi_jax.errors import InputError
from dfi_jax.network.conv import Precision as PrecisionName
from dfi_jax.progress import OnProgress
from dfi_jax.recipe import RECIPES, Recipe, named_recipe
from dfi_jax.storage.files import user_path
from dfi_jax.vectors.attribute_vector import AttributeVector
from dfi_jax.vectors.fitted import FittedDataset
from dfi_jax.vectors.starters import starter, starter_names


def default(kind: type, name: str) -> Any:
    """Returns the default of a field of a dataclass.

    >>> default(Job, "points")
    5
    """
    return {field.name: field.default for field in dataclasses.fields(kind)}[name]


ATTRIBUTE_HELP = (
    "The attribute to add, or to remove if ~ stands before its name. Without a dataset: one of "
    f"{', '.join(starter_names())}; several of these, with optional strengths "
    "(eyeglasses,older=0.5); or a file that `dfi vectors make` wrote. With a dataset: one of its "
    "attributes, several that change together (Smiling,~Young), or several with a strength each "
    "(Smiling=1,~Young=0.5); +Young and -Male restrict the dataset to young women. In "
    "a dataset of the form pair:WITHOUT:WITH, the attribute is Target."
)


def named_path(text: str) -> Path:
    """Returns the path of a file or folder; `~` is the user's home folder in `--out=~/edits`, too.

    >>> named_path("~/edits") == Path.home() / "edits"
    True
    """
    if not text:  # This would be the current folder.
        raise typer.BadParameter("it is empty; give a name.")
    return user_path(text)


Photo = Annotated[
    Path, typer.Argument(metavar="PHOTO", help="The photo.", show_default=False, parser=named_path)
]

Alphas = Annotated[
    list[str] | None,
    typer.Option(
        "--strength",
        "--alpha",
        "-a",
        metavar="STRENGTH,...",
        help="Strengths of the edit, separated by commas or given in several options. A negative "
        "strength removes the attribute. By default, the usual strength of the recipe: 1 for "
        "`default`, 0.4 for `chainer-dfi`.",
    ),
]

Face = Annotated[
    str,
    typer.Option(
        metavar="FACE",
        help="The face in the photo. `auto` uses the dataset's annotation if the photo is in it, "
        "otherwise detects the largest face. `whole` treats the whole photo as the face. A number "
        "selects a detected face: 2 is the second largest. x0,y0,x1,y1 is a box in pixels.",
    ),
]
DEFAULT_FACE: str = default(Job, "face")

Points = Annotated[
    Literal[5, 68],
    typer.Option(
        help="Number of landmarks by which a detected face is aligned. The 68 landmarks include "
        "the mouth, but dlib's model for them isn't licensed for commercial use.",
    ),
]
DEFAULT_POINTS: Literal[5, 68] = default(Job, "points")

Warp = Annotated[
    bool,
    typer.Option(
        "--warp",
        help="Edit the face in the geometry of the average face, so that a turned or bowed head "
        "is edited where its features are. This uses the model of 68 landmarks, which isn't "
        "licensed for commercial use.",
    ),
]
DEFAULT_WARP: bool = default(Job, "warp")

DATASET_HELP = f"Dataset of images with and without the attribute: {SPECS}"

DatasetSpec = Annotated[str, typer.Option(metavar="SPEC", help=f"{DATASET_HELP}.")]

DatasetOrFitted = Annotated[
    str,
    typer.Option(
        metavar="SPEC",
        help=f"{DATASET_HELP}; or fitted:FOLDER, a folder that `dfi vectors fit` wrote.",
    ),
]

RuleText = Annotated[
    str,
    typer.Option(
        "--rule",
        metavar="RULE",
        help=f"Rule by which images are selected: {', '.join(RULES)}; or changes to fields of the "
        "default rule, as in k=50,leave_out=image, or of another rule, as in "
        "chainer-dfi,weights=nearness.",
    ),
]
DEFAULT_RULE: str = default(Job, "rule")

Near = Annotated[
    str,
    typer.Option(
        metavar="NEAR",
        help="Nearness by which images are selected, the measure of their similarity to the photo: "
        "scores, binary, flags, pixels, landmarks, landmarks68, or a layer such as conv5_1. By "
        "default, the rule's: scores if the dataset has several attributes, otherwise pixels.",
    ),
]

K = Annotated[
    int | None,
    typer.Option(
        metavar="K",
        help="Maximum number of images in each set, with and without the attribute. By default, "
        "k of the rule: 100 for `default`, 10 for `dfi-tensorflow`.",
    ),
]

RecipeName = Annotated[
    str,
    typer.Option(
        "--recipe",
        metavar="NAME",
        help=f"Recipe, which holds every setting of the method: {', '.join(RECIPES)}.",
    ),
]
NO_SETTINGS: list[str] = []

DEFAULT_RECIPE: str = default(Editor, "recipe")

Settings = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Change to one field of the recipe, such as solver.iterations=30. May be repeated.",
    ),
]

Weights = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="Network: a name that `dfi weights list` prints, or a file of weights."
    ),
]
DEFAULT_WEIGHTS: str = default(Editor, "weights")

Precision = Annotated[
    PrecisionName,
    typer.Option(
        help="Precision of convolution operands: `highest` keeps float32, and the others round to "
        "10 and 7 mantissa bits. Rounding saves time on accelerators only."
    ),
]
DEFAULT_PRECISION: PrecisionName = default(Editor, "precision")

BatchSize = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Maximum number of strengths, over all photos, that are computed at the same time. "
        "By default, 1 on a CPU, and up to 64 on each accelerator, if its memory allows.",
    ),
]

Distributed = Annotated[
    bool,
    typer.Option(
        "--distributed",
        help="Share the work with other processes that run the same command. JAX_NUM_PROCESSES and "
        "JAX_PROCESS_ID, or else the environment variables of Slurm or Open MPI, say which process "
        "this is.",
    ),
]

Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace files that exist already."),
]

Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object per edit: its folder and its record."),
]


def parse_alphas(texts: Sequence[str] | None) -> tuple[float, ...] | None:
    """Returns the strengths that the `--strength` options list, or None without such options.

    >>> parse_alphas(["0.2,0.4", "1"])
    (0.2, 0.4, 1.0)
    """
    if not texts:
        return None
    text = ",".join(texts)
    try:
        alphas = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"--strength is {text!r}; give numbers separated by commas, as in 0.2,0.4."
        ) from None
    check_alphas(alphas)
    return alphas


def parse_near(text: str) -> Nearness | None:
    """Returns the nearness that a text names, or None for an empty text.

    >>> parse_near("pixels"), parse_near("")
    (Pixels(size=50), None)
    """
    return parse_nearness(text) if text else None


def parse_settings(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Returns the path and the value of each `--set` option.

    >>> parse_settings(["solver.iterations=30"])
    [('solver.iterations', '30')]
    """
    settings = []
    for text in texts:
        path, equals, value = (part.strip() for part in text.partition("="))
        if not (path and equals and value):
            raise InputError(f"--set is {text!r}; give PATH=VALUE, as in solver.iterations=30.")
        settings.append((path, value))
    return settings


def make_recipe(name: str, settings: Sequence[str]) -> Recipe:
    """Returns the named recipe, changed by the `--set` options in their order.

    >>> make_recipe("default", ["solver=adam", "solver.iterations=30"]).solver.iterations
    30
    """
    recipe = named_recipe(name)
    for path, value in parse_settings(settings):
        recipe = recipe.set({path: value})
    return recipe


def load_editor(
    recipe: Recipe,
    *,
    weights: str,
    precision: PrecisionName = DEFAULT_PRECISION,
    batch_size: int | None = None,
    on_progress: OnProgress,
) -> Editor:
    """Returns an editor that has loaded its network."""
    editor = Editor(recipe=recipe, weights=weights, precision=precision, batch_size=batch_size)
    editor.load(on_progress=on_progress)
    return editor


def check_attribute(
    attribute: str,
    *,
    dataset: Dataset | FittedDataset | None,
    rule: Rule | str = "default",
    near: Nearness | None = None,
    k: int | None = None,
) -> None:
    """Checks an attribute as far as that is possible without the photo.

    Raises:
      InputError: If the attribute doesn't exist, or the dataset has too few images for it.
      FileError: If it is a file that isn't an attribute vector.

    >>> check_attribute("eyeglasses,older=0.5", dataset=None)
    """
    if is_vector_file(attribute):
        AttributeVector.load(attribute)
    elif dataset is None:
        for name in parse_strengths(attribute):
            starter(name)
    elif has_strengths(attribute):
        for name in parse_strengths(attribute):
            check_attribute(name, dataset=dataset, rule=rule, near=near, k=k)
    elif isinstance(dataset, FittedDataset):
        dataset.check(attribute)
    else:
        check_selection(dataset, attribute, anchor=Anchor(), rule=rule, near=near, k=k)


def check_given(attribute: str, photos: Sequence[Path]) -> None:
    """Raises InputError unless there are photos, and one attribute after them.

    >>> check_given("eyeglasses", [Path("me.jpg")])
    """
    choice = f"without a dataset, the attributes are {', '.join(starter_names())}"
    if attribute.lower().endswith(IMAGE_SUFFIXES):
        raise InputError(
            f"no attribute follows the photo {attribute}; give one last, as in `dfi edit me.jpg "
            f"eyeglasses` ({choice})."
        )
    if not photos or not attribute:
        raise InputError(
            f"the {'attribute' if photos else 'photo'} is missing; give a photo and an attribute, "
            f"as in `dfi edit me.jpg eyeglasses` ({choice})."
        )
    for photo in photos:
        if str(photo).casefold() in starter_names() and not photo.exists():
            raise InputError(
                f"{photo} is an attribute and not a photo; separate attributes by commas, as in "
                f"`dfi edit me.jpg {photo},{attribute}`."
            )
