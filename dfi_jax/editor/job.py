"""What is to be edited, and how strongly."""

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dfi_jax.data import load_dataset
from dfi_jax.data.dataset import Dataset
from dfi_jax.data.near import Nearness
from dfi_jax.data.rule import Rule
from dfi_jax.data.selection import Selection
from dfi_jax.data.wanted import Wanted
from dfi_jax.errors import InputError
from dfi_jax.photo.choice import FaceLike
from dfi_jax.photo.photo import PhotoLike
from dfi_jax.photo.placement import Placement
from dfi_jax.recipe import Recipe
from dfi_jax.storage.fields import plain
from dfi_jax.storage.files import user_path
from dfi_jax.vectors.attribute_vector import AttributeVector
from dfi_jax.vectors.fitted import FittedDataset

AttributeLike = str | Path | Wanted | AttributeVector | Selection | Mapping[str, float]
"""Everything that is accepted as an attribute.

Without a dataset, it is the name of a starter vector, or several names separated by commas, each
with an optional strength, as in `eyeglasses,older=0.5`. With a dataset, it is a `Wanted` or the
text of one, or names of which at least one has a strength, as in `Smiling=1,~Young=0.5`. In both
cases, it can also be an `AttributeVector`, the path of a vector's file, a `Selection` to compute a
vector from, or a mapping from names to strengths.
"""

LONGEST_NAME = 200
"""Maximum number of bytes in the name of a folder. File systems allow 255."""

LARGEST_ALPHA = 1e6
"""The largest strength. With much larger ones, the objective isn't finite in float32."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """A photo to edit.

    Attributes:
      photo: The photo: a path, a PIL image or an array.
      attribute: The attribute to add; see `AttributeLike`.
      alphas: The strengths α, each of which gives one edited photo. A negative strength removes the
        attribute. None stands for the usual strength of the recipe, which is 1 for `default`.
      dataset: The dataset that the attribute vector is computed from, or None if the attribute is
        an existing vector. The vector of a dataset is made from images near the photo; the vector
        of a fitted dataset is the same for all photos, and needs no images.
      rule: Rule by which images of a dataset are selected, or its text: the name of one of `RULES`,
        or changes such as `k=50,leave_out=image`.
      near: Nearness by which the images are selected, if it isn't the rule's. The default rule's is
        scores if the dataset has several attributes, otherwise pixels.
      k: Maximum number of images per set, if it isn't the rule's. The default rule's is 100.
      face: The face in the photo: `auto` (the dataset's annotation if the photo is in it, otherwise
        the largest face that is detected), `whole` (the whole photo), n (the n-th largest face), a
        box, or a `Placement`.
      points: Number of landmarks that a detected face is aligned by.
      warp: Whether the face is edited in the geometry of the average face, and the difference
        warped back. A turned head then gets its smile where its mouth is. It needs the extra
        `faces`, whose model of 68 landmarks isn't licensed for commercial use.
      mask: An image of the photo's size: white where the photo may change.
      finer: Vectors of the attribute at larger sizes than the recipe's, such as 400, or their
        files, the smallest size first. The edit is made again at each of these sizes, from the
        result before, which gives a large face sharper details.
      name: Name of the job, by default made from the names of the photo and the attribute.

    Raises:
      InputError: If there is no strength, or one isn't finite or is given twice, if the dataset or
        the nearness is a text, if the rule can't be read, if a rule, a nearness or k is given for a
        fitted dataset or without a dataset, or if `finer` isn't a sequence.

    >>> Job(photo="me.jpg", attribute="eyeglasses").label
    'me-eyeglasses'
    """

    photo: PhotoLike
    attribute: AttributeLike
    alphas: Sequence[float] | None = None
    dataset: Dataset | FittedDataset | None = None
    rule: Rule | str = "default"
    near: Nearness | None = None
    k: int | None = None
    face: FaceLike = "auto"
    points: Literal[5, 68] = 5
    warp: bool = False
    mask: PhotoLike | None = None
    finer: Sequence[AttributeVector | str | Path] = ()
    name: str = ""

    def __post_init__(self) -> None:
        if self.alphas is not None:
            check_alphas(self.alphas)
        _ = self.resolved_rule  # Reading it also checks it.
        if isinstance(self.finer, AttributeVector | str | Path):
            raise InputError("finer is a single vector; give a list of vectors or of their files.")
        if not isinstance(self.finer, Sequence):
            raise InputError(f"finer is {self.finer!r}; give a list of vectors or of their files.")

    @property
    def label(self) -> str:
        """The job's name, which is also the name of its folder in a run of many edits."""
        photo = self.photo
        stem = (
            Path(photo).stem if isinstance(photo, str | Path) else getattr(photo, "stem", "photo")
        )
        made = f"{file_name(stem)}-{file_name(attribute_name(self.attribute))}"
        return self.name or shorten(made)

    @property
    def resolved_rule(self) -> Rule:
        """The rule itself, even if its text was given, with the job's own nearness and k."""
        return resolve_rule(self.dataset, rule=self.rule, near=self.near, k=self.k)

    def strengths(self, recipe: Recipe) -> tuple[float, ...]:
        """Returns the strengths, or the usual strength of a recipe if none are given.

        >>> Job(photo="me.jpg", attribute="older").strengths(Recipe())
        (1.0,)
        """
        alphas = (recipe.vector.usual_alpha,) if self.alphas is None else self.alphas
        return tuple(float(alpha) for alpha in alphas)

    @property
    def dataset_sha256(self) -> str | None:
        """SHA-256 of what is known about the dataset's images, or None without a dataset."""
        return None if self.dataset is None else self.dataset.catalog_sha256

    def request(self, recipe: Recipe) -> dict[str, Any]:
        """Returns all that was asked for, except images and finer vectors, as JSON can write it.

        >>> job = Job(photo="me.jpg", attribute="older", face=(40, 20, 210, 190))
        >>> request = job.request(Recipe())
        >>> request["attribute"], request["face"]
        ('older', [40, 20, 210, 190])
        """
        face = plain(self.face)
        face = face.to_json() if isinstance(face, Placement) else face
        rule = self.resolved_rule.to_dict()
        return {
            "attribute": attribute_name(self.attribute),
            "alphas": list(self.strengths(recipe)),
            "dataset": None if self.dataset is None else self.dataset.name,
            "near": rule["near"],
            "k": rule["k"],
            "rule": rule,
            "face": list(face) if isinstance(face, tuple) else face,
            "points": plain(self.points),
            "warp": plain(self.warp),
        }


def load_optional_dataset(spec: str, *, folder: Path = Path()) -> Dataset | FittedDataset | None:
    """Returns the dataset that a text names, fitted or not, or None for an empty text.

    Args:
      spec: A text as for `load_dataset`, or `fitted:FOLDER`.
      folder: Folder that relative paths in the text start from.

    Raises:
      InputError: If the text has another form.
      FileError: If the dataset can't be read.

    >>> load_optional_dataset("synthetic:3").name, load_optional_dataset("")
    ('synthetic', None)
    """
    if spec.startswith("fitted:"):
        return FittedDataset.load(folder / user_path(spec.removeprefix("fitted:")))
    return load_dataset(spec, folder=folder) if spec else None


def resolve_rule(
    dataset: Dataset | FittedDataset | None,
    *,
    rule: Rule | str,
    near: Nearness | None,
    k: int | None,
) -> Rule:
    """Returns the rule itself, even if its text is given, with another nearness or k if given.

    Raises:
      InputError: If the dataset isn't one, or the rule can't be read, or if it, a nearness or k is
        given for a fitted dataset or without a dataset.

    >>> resolve_rule(load_dataset("synthetic:3"), rule="paper", near=None, k=50).k
    50
    """
    if not isinstance(dataset, Dataset | FittedDataset | None):
        raise InputError(
            f"the dataset is {dataset!r}; give what load_dataset or FittedDataset.load returns."
        )
    found = Rule.of(rule, near=near, k=k)
    if isinstance(dataset, Dataset) or found == Rule():
        return found
    given = f"rule is {rule}" if near is None else f"near is {near}"
    given = f"k is {found.k}" if found.replace(k=Rule.k) == Rule() else given
    if dataset is None:
        raise InputError(
            f"{given} and there is no dataset; give a dataset to select images from, or omit it."
        )
    raise InputError(
        f"{given} and the dataset is fitted; omit it, because a fitted dataset has one vector for "
        f"all photos."
    )


def check_alphas(alphas: Any) -> None:
    """Raises InputError unless there are strengths, none too large, all different to six digits.

    >>> check_alphas([0.2, 0.4])
    """
    listed = isinstance(alphas, Sized) and getattr(alphas, "ndim", 1) == 1
    if isinstance(alphas, str) or not listed:
        raise InputError(f"alphas is {alphas!r}; give a list of numbers, such as [0.5, 1].")
    if not len(alphas):
        raise InputError("alphas is empty; give at least one strength, such as 1.")
    names = set()
    for alpha in alphas:
        if not is_number(alpha):
            raise InputError(f"alpha is {alpha!r}; give a number, such as 1.")
        if not abs(alpha) <= LARGEST_ALPHA:
            raise InputError(
                f"alpha is {alpha:g}; give a number from -{LARGEST_ALPHA:g} to {LARGEST_ALPHA:g}, "
                f"such as 1."
            )
        if f"{alpha:g}" in names:
            raise InputError(f"alpha {alpha:g} is given twice; give each strength once.")
        names.add(f"{alpha:g}")


def is_number(value: Any) -> bool:
    """Returns whether a value is a real number: Python's, NumPy's or JAX's.

    >>> is_number(np.float32(1)), is_number("1")
    (True, False)
    """
    return isinstance(value, int | float) or (
        np.shape(value) == () and np.asarray(value).dtype.kind in "iuf"
    )


def attribute_name(attribute: AttributeLike) -> str:
    """Returns an attribute as text.

    >>> attribute_name({"eyeglasses": 1.0, "older": 0.5})
    'eyeglasses=1,older=0.5'
    """
    match attribute:
        case AttributeVector():
            return ",".join(attribute.provenance.attributes)
        case Selection():
            return str(attribute.wanted)
        case Mapping():
            return ",".join(f"{name}={strength:g}" for name, strength in attribute.items())
        case Path():
            return attribute.stem
        case str() if is_vector_file(attribute):
            return Path(attribute).stem
    return str(attribute)


def is_vector_file(attribute: str) -> bool:
    """Returns whether an attribute is the path of a vector's file.

    >>> is_vector_file("smile.safetensors"), is_vector_file("Smiling")
    (True, False)
    """
    return attribute.endswith(".safetensors")


def parse_strengths(text: str) -> dict[str, float]:
    """Returns the strength of each of the vectors that a text names.

    Raises:
      InputError: If a name is missing or given twice, or a strength isn't a number or too large.

    >>> parse_strengths("eyeglasses,older=0.5")
    {'eyeglasses': 1.0, 'older': 0.5}
    """
    strengths: dict[str, float] = {}
    for part in text.split(","):
        name, _, strength = (piece.strip() for piece in part.partition("="))
        if is_vector_file(name):
            raise InputError(
                f"the attribute {text!r} has a file among names; give the file alone, and its "
                f"strength as alphas (on the command line, with --strength)."
            )
        if not name or name.casefold() in map(str.casefold, strengths):
            problem = "has the same name twice" if name else "lacks a name"
            raise InputError(
                f"the attribute {text!r} {problem}; give names separated by commas, each with an "
                f"optional strength, as in eyeglasses,older=0.5."
            )
        try:
            strengths[name] = float(strength or 1)
            if not abs(strengths[name]) <= LARGEST_ALPHA:
                raise ValueError
        except ValueError:
            raise InputError(
                f"the attribute {text!r} has the strength {strength!r}; give a number up to "
                f"{LARGEST_ALPHA:g}, as in eyeglasses,older=0.5."
            ) from None
    return strengths


def has_strengths(attribute: object) -> bool:
    """Returns whether an attribute of a dataset is a text that gives strengths to names.

    >>> has_strengths("Smiling=1,~Young=0.5"), has_strengths("Smiling,~Young")
    (True, False)
    """
    return isinstance(attribute, str) and "=" in attribute


def shorten(name: str) -> str:
    """Returns the name of a folder with at most `LONGEST_NAME` bytes.

    >>> shorten("me"), len(shorten("é" * 300))
    ('me', 100)
    """
    return name.encode(errors="replace")[:LONGEST_NAME].decode(errors="ignore")


def file_name(text: str) -> str:
    """Returns a text for use in a file's name: all but letters, digits and `-_~` become `-`.

    >>> file_name("Smiling, ~Young")
    'Smiling--~Young'
    """
    return "".join(c if c.isalnum() or c in "-_~" else "-" for c in text)
