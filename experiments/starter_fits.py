"""The starter vectors before they are calibrated. `starter_vectors.py` calibrates them."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import judged_edits
import normals
import numpy as np
from fitted_vectors import halve, number_people
from jaxtyping import Float
from kept import digest

from dfi_jax import VGG, AttributeVector, Dataset, Recipe
from dfi_jax.recipe.shrinkage import Unshrunk, Wiener
from dfi_jax.vectors.attribute_vector import from_estimate
from dfi_jax.vectors.fit import fit
from dfi_jax.vectors.fitted import DEFAULT_SHRINKAGE, FittedDataset

GAIN = 1.2
"""Usual movement of faces at strength 1, as a mean, in distances between typical faces.

Some people without an attribute are further from it than others. Moved by exactly one distance, a
quarter of them would still look to the judge like faces without eyeglasses."""

FOCUS = 1.5
"""The focus of what is focused (docs/directions.md)."""


@dataclass(frozen=True, kw_only=True)
class Starter:
    """A vector to make.

    Attributes:
      attribute: Attribute of the dataset.
      kind: Kind of vector.
      belongs: Attributes that belong to it, so that a regression doesn't hold them constant.
      hold: Attributes that a regression holds constant, or None for all that don't belong to it.
      alphas: Strengths of the calibration, before the vector is scaled.
      gain: Mean movement of faces at strength 1.
    """

    attribute: str
    kind: Literal["regression", "normal"] = "regression"
    belongs: tuple[str, ...] = ()
    hold: tuple[str, ...] | None = None
    alphas: tuple[float, ...] = (1.5, 2.5)
    gain: float = GAIN

    @property
    def fitted(self) -> tuple[Any, ...]:
        """What the vector depends on before it is calibrated."""
        return self.attribute, self.kind, self.belongs, self.hold


STARTERS = {
    "smiling": Starter(
        attribute="Smiling",
        kind="normal",
        belongs=("High Cheekbones", "Mouth Slightly Open", "Narrow Eyes"),
        alphas=(2.5, 4.0),
    ),
    "mouth-open": Starter(attribute="Mouth Slightly Open", kind="normal", alphas=(2.0, 3.5)),
    "eyeglasses": Starter(attribute="Eyeglasses", kind="normal", alphas=(1.5, 3.0)),
    "older": Starter(
        attribute="~Young",
        # The others explain 90 % of the variance of Young. With most of them held, what remains is
        # noisy, and changes a face more than age does.
        hold=(
            "Male",
            "Eyeglasses",
            "Smiling",
            "Mouth Slightly Open",
            "Wearing Hat",
            "Wearing Necktie",
            "Blurry",
        ),
        alphas=(2.4,),
        # The ten faces that calibrate it are younger than most, and move a quarter further.
        gain=1.4,
    ),
    "moustache": Starter(
        attribute="Mustache", belongs=("Goatee", "No Beard", "5 o' Clock Shadow", "Sideburns")
    ),
    "beard": Starter(
        attribute="~No Beard", belongs=("Goatee", "Mustache", "5 o' Clock Shadow", "Sideburns")
    ),
    "bangs": Starter(attribute="Bangs", belongs=("Receding Hairline", "Bald")),
    "blond": Starter(
        attribute="Blond Hair",
        belongs=("Black Hair", "Brown Hair", "Gray Hair"),
        alphas=(2.5, 4.0),
    ),
}
"""The vectors that come with the package, by name."""


def make_vectors(
    vgg: VGG, dataset: Dataset, names: Sequence[str], out: Path, *, recipe: Recipe
) -> list[dict[str, AttributeVector]]:
    """Returns the vectors from half of the people and from all of them, before calibration.

    Args:
      vgg: The network.
      dataset: The dataset.
      names: Names of starters.
      out: Folder for sums, vectors and the average face, which a rerun reads.
      recipe: The layers and the size of the images.
    """
    half, other = halve(dataset)
    groups = {"half": half, "all": [*half, *other]}
    same = (dataset.catalog_sha256, vgg.identity(), recipe.to_dict()["features"])
    files = {name: f"{name}-{digest(*same, *STARTERS[name].fitted)}.safetensors" for name in names}
    paths = {group: {name: out / group / file for name, file in files.items()} for group in groups}
    average = out / "average.safetensors"
    if not all(
        path.exists() for path in (average, *paths["half"].values(), *paths["all"].values())
    ):
        parts = out / f"{len(dataset)}-images-{recipe.features.size}-pixels"
        fitted = [
            fit(vgg, dataset, recipe=recipe, rows=rows, folder=parts / f"half-{i}")
            for i, rows in enumerate((half, other))
        ]
        sums = {"half": fitted[0], "all": FittedDataset.merge(fitted)}
        save_average(sums["all"], average)
        classified = {name: STARTERS[name] for name in names if is_normal(name)}
        if classified:
            described = normals.describe(vgg, dataset, groups["all"], recipe=recipe)
        for group, rows in groups.items():
            made = {
                name: regress(sums[group], STARTERS[name]) for name in names if not is_normal(name)
            }
            if classified:
                made |= fit_normals(described[: len(rows)], dataset, rows, classified, sums[group])
            for name, vector in made.items():
                vector.save(paths[group][name])
    return [
        {name: AttributeVector.load(path) for name, path in each.items()} for each in paths.values()
    ]


def save_average(fitted: FittedDataset, path: Path) -> None:
    """Writes the mean features of all images, in the form of a vector."""
    provenance = dataclasses.replace(
        fitted.vector(fitted.origin.attributes[0], hold=[], shrinkage=Unshrunk()).provenance,
        attributes=(),
        n_source=0,
        n_target=len(fitted.scores),
        penalty=None,
        length=(),
        noise=(),
        note="mean features of all images",
    )
    AttributeVector(fitted.mean, provenance).save(path, dtype="int8")


def is_normal(name: str) -> bool:
    """Returns whether a starter is a normal."""
    return STARTERS[name].kind == "normal"


def fit_normals(
    described: Float[np.ndarray, "n d"],
    dataset: Dataset,
    rows: list[int],
    starters: Mapping[str, Starter],
    fitted: FittedDataset,
) -> dict[str, AttributeVector]:
    """Returns the normals of some starters.

    Args:
      described: Features of the images.
      dataset: The dataset.
      rows: Numbers of the images.
      starters: The starters by name.
      fitted: Sums of the same images, which the mean difference comes from.
    """
    coordinates = normals.Coordinates(described)
    numbers = number_people(dataset, rows)
    made = {}
    for name, starter in starters.items():
        print(f"normal of {name}, {len(rows)} images", file=sys.stderr, flush=True)
        on = judged_edits.has(dataset, rows, starter.attribute)
        found = normals.fit_normals(coordinates, on, numbers, kind="logistic")
        difference = fitted.vector(starter.attribute, hold=[], shrinkage=Unshrunk())
        w, variance = normals.as_vector(coordinates.activations(found), difference.features)
        provenance = dataclasses.replace(
            difference.provenance, penalty=None, note="normal of logistic regression"
        )
        made[name] = from_estimate(
            w, variance, provenance, average=fitted.mean, shrinkage=Wiener(focus=FOCUS)
        )
    return made


def regress(
    fitted: FittedDataset, starter: Starter, *, shrinkage: Unshrunk | Wiener = DEFAULT_SHRINKAGE
) -> AttributeVector:
    """Returns a starter's regression before it is calibrated."""
    free = (starter.attribute.removeprefix("~"), *starter.belongs)
    names = fitted.origin.attributes
    rest = [name for name in names if name not in free]
    held = rest if starter.hold is None else [name for name in rest if name in starter.hold]
    return fitted.vector(starter.attribute, hold=held, shrinkage=shrinkage)
