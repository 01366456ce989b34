"""Is a classifier's normal a better direction for an edit than a difference of means?

    python experiments/directions.py lfw:DIR [--photos N] [--out DIR] [--json]
    python experiments/directions.py --quick

Every direction comes from the same half of the people (`judged_edits.divide`), except those of
neighbours, which come from the whole dataset without the edited person. Classifiers see at most
`Config.images` images. The normal n of a classifier becomes a vector as w = n(n·Δμ)/‖n‖², the part
of the mean difference Δμ that lies along it.

Each direction edits the same photos, at strength 1 and at a second strength that should reach a
mean gain of 1, the distance between typical faces without and with the attribute as a judge on
another network sees it. The table compares what else changed at that gain, by interpolation.

- `neighbours`: Δμ between the 100 + 100 images nearest by scores
- `neighbours, shrunk`: the same, shrunk as the default recipe does
- `mean difference`: Δμ between all images with and without the attribute
- `regression`: least squares with all others held that don't mean much the same, shrunk: a fitted
  dataset's vector
- `regression, all held`: the same with all other attributes held
- `corrected`: `regression`, and what the neighbours' difference adds to it, shrunk
- `LDA`: normal of linear discriminant analysis, with a hundredth of the ridge's penalty
- `ridge`, `logistic`: normals of regressions whose penalties separate people left out best

*AUC* says how well a classifier along the direction separates people left out of the fit. A rerun
finds the edited faces in the folder again.
"""

import dataclasses
import functools
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import judged_edits
import normals
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

from dfi_jax import AttributeVector, Dataset, Editor, Recipe, Unshrunk, load_dataset, load_vgg
from dfi_jax.data.wanted import find_attribute
from dfi_jax.metrics.judge import Judge, fit_judge
from dfi_jax.network.means import feature_moments
from dfi_jax.network.vgg import VGG, features
from dfi_jax.photo.placement import Placement
from dfi_jax.recipe.features import Features
from dfi_jax.vectors.fit import fit
from dfi_jax.vectors.fitted import FittedDataset
from dfi_jax.vectors.ridge import auc

STRONGEST = 8.0
"""Largest strength that is tried."""

LOCAL = ("neighbours", "neighbours, shrunk", "corrected")
"""Directions that depend on the photo."""

FIXED = ("mean difference", "regression", "regression, all held", "LDA", "ridge", "logistic")
"""Directions that are the same for all photos."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is compared.

    Attributes:
      dataset: Dataset with scores.
      attributes: Attributes that are added.
      directions: Names of directions.
      photos: Number of photos per attribute.
      images: Maximum number of images that classifiers are fitted to.
      neighbours: Maximum number of neighbours in each set.
      changes: Changes to the default recipe.
      weights: Name of the network.
      out: Folder for sums, edits and pictures.
    """

    dataset: str
    attributes: tuple[str, ...] = ("Smiling", "Eyeglasses")
    directions: tuple[str, ...] = (*FIXED, *LOCAL)
    photos: int = 3
    images: int = 1000
    neighbours: int = 100
    changes: Mapping[str, str] = field(default_factory=dict)
    weights: str = "vgg16"
    out: str = "out/directions"


QUICK = Config(
    dataset="synthetic:200",
    attributes=("Smiling",),
    directions=("ridge", "corrected"),
    photos=1,
    images=60,
    neighbours=20,
    changes={
        "features.layers": "conv1_2,conv2_1",
        "features.size": "64",
        "solver.iterations": "5",
    },
    weights="random-vgg16",
)

Direction = Callable[[int, Placement], AttributeVector]
"""Function that returns the vector for a photo."""


def run(config: Config) -> dict[str, Any]:
    """Edits every photo along every direction, and returns the rows of the table."""
    dataset, vgg = load_dataset(config.dataset), load_vgg(config.weights)
    editor = Editor(recipe=Recipe().set(config.changes), weights=vgg)
    groups, out, recipe = judged_edits.divide(dataset), Path(config.out), editor.resolved_recipe
    sums = out / f"{len(dataset)}-images-{recipe.features.size}-pixels" / "half-0"
    fitted = fit(vgg, dataset, recipe=recipe, rows=groups.vectors, folder=sums)
    judge = fit_judge(dataset, groups.judge)
    learnt = np.random.default_rng(3).permutation(groups.vectors)[: config.images]

    @functools.cache
    def coordinates() -> normals.Coordinates:
        print(f"features of {len(learnt)} images", file=sys.stderr, flush=True)
        return normals.Coordinates(describe(vgg, dataset, learnt, recipe=recipe))

    tested = np.random.default_rng(3).permutation(groups.judge)[: config.images // 4]
    left_out = describe(vgg, dataset, tested, recipe=recipe)
    rows: list[dict[str, Any]] = []
    for attribute in config.attributes:
        photos = judged_edits.choose_photos(dataset, groups.photos, attribute, config.photos)
        on = dataset.scores[:, find_attribute(attribute, dataset.attributes)] > 0
        local = local_directions(editor, dataset, fitted.vector(attribute), attribute, config)
        for name in config.directions:
            print(f"{attribute}: {name}", file=sys.stderr, flush=True)
            score = None
            if name in FIXED:
                vector = fixed_direction(name, fitted, coordinates, dataset, learnt, attribute)
                direction = always(vector)
                score = auc(left_out @ flatten(vector.features), on[tested])
            else:
                direction = local[name]
            curve = edit_to_match(
                editor, dataset, photos, direction, out / attribute / name, judge, attribute
            )
            found = judged_edits.matched(curve)
            rows.append(
                {
                    "attribute": attribute,
                    "direction": name,
                    "auc": score,
                    "reaches": found is not None,
                    "curve": curve,
                    "at": found or {"alpha": curve[-1][0], **curve[-1][1]},
                }
            )
    return {"config": dataclasses.asdict(config), "images": len(learnt), "rows": rows}


def describe(
    vgg: VGG, dataset: Dataset, rows: np.ndarray, *, recipe: Recipe
) -> Float[np.ndarray, "n d"]:
    """Returns the features of images, one row each, as float16: a million activations take 2 MB."""
    stage = recipe.features
    found = []
    for batch in dataset.batches(rows, size=stage.size):
        phi = features(vgg, jnp.asarray(batch), layers=stage.layers)
        layers = [
            np.asarray(phi[name], np.float16).reshape(len(batch), -1)
            for name in sorted(stage.layers)
        ]
        found.append(np.concatenate(layers, axis=1))
    return np.concatenate(found)


def flatten(phi: Features) -> Float[np.ndarray, " d"]:
    """Returns all activations of all layers in one row, the layers in the order of their names."""
    return np.asarray(ravel_pytree(phi)[0])


def always(vector: AttributeVector) -> Direction:
    """Returns the direction that is the same for all photos."""
    return lambda row, face: vector


def fixed_direction(
    name: str,
    fitted: FittedDataset,
    coordinates: Callable[[], normals.Coordinates],
    dataset: Dataset,
    learnt: np.ndarray,
    attribute: str,
) -> AttributeVector:
    """Returns a vector that is the same for all photos."""
    if name == "regression":
        return fitted.vector(attribute)
    if name == "regression, all held":
        return fitted.vector(attribute, hold=fitted.origin.attributes)
    difference = fitted.vector(attribute, hold=[], shrinkage=Unshrunk())
    if name == "mean difference":
        return difference
    on = dataset.scores[learnt, find_attribute(attribute, dataset.attributes)] > 0
    people = learnt if dataset.people is None else dataset.people[learnt]
    _, numbers = np.unique(people, return_inverse=True)
    kind = "ridge" if name == "LDA" else name
    normal = normals.fit_normal(coordinates(), on, numbers, kind=kind)
    if name == "LDA":
        less = (normal.penalty / 100,)
        normal = normals.fit_normal(coordinates(), on, numbers, kind=kind, penalties=less)
    delta, unflatten = ravel_pytree(difference.features)
    n = normal.direction
    along = n * (float(n @ np.asarray(delta)) / float(n @ n))
    return AttributeVector(unflatten(jnp.asarray(along)), difference.provenance)


def local_directions(
    editor: Editor,
    dataset: Dataset,
    regression: AttributeVector,
    attribute: str,
    config: Config,
) -> dict[str, Direction]:
    """Returns the directions that depend on the neighbours of a photo."""
    stage = editor.resolved_recipe.features
    shrink = Recipe().shrinkage.shrink
    known: dict[int, tuple[Features, Features]] = {}

    def estimate(row: int, face: Placement) -> tuple[Features, Features]:
        """Returns the neighbours' mean difference and its squared standard error."""
        if row not in known:
            photo = (
                dataset.read(row) if dataset.folder is None else judged_edits.file_of(dataset, row)
            )
            chosen = editor.select(
                attribute, dataset=dataset, photo=photo, face=face, k=config.neighbours
            )
            target, source = (
                feature_moments(
                    editor.vgg, dataset.batches(rows, size=stage.size), layers=stage.layers
                )
                for rows in (chosen.target, chosen.source)
            )
            known[row] = (
                {name: target.mean[name] - source.mean[name] for name in stage.layers},
                {
                    name: target.variance[name] / target.images
                    + source.variance[name] / source.images
                    for name in stage.layers
                },
            )
        return known[row]

    def as_vector(w: Features) -> AttributeVector:
        return AttributeVector(w, regression.provenance)

    def neighbours(row: int, face: Placement) -> AttributeVector:
        return as_vector(estimate(row, face)[0])

    def shrunk(row: int, face: Placement) -> AttributeVector:
        return as_vector(shrink(*estimate(row, face)))

    def corrected(row: int, face: Placement) -> AttributeVector:
        w, variance = estimate(row, face)
        added = shrink({name: w[name] - regression.features[name] for name in w}, variance)
        return as_vector({name: regression.features[name] + added[name] for name in w})

    return {"neighbours": neighbours, "neighbours, shrunk": shrunk, "corrected": corrected}


def edit_to_match(
    editor: Editor,
    dataset: Dataset,
    photos: Mapping[int, Placement],
    direction: Direction,
    folder: Path,
    judge: Judge,
    attribute: str,
) -> list[tuple[float, dict[str, float]]]:
    """Returns the measures at strength 1 and at a strength whose gain should be 1."""

    def at(alpha: float) -> dict[str, float]:
        measured = []
        for row, face in photos.items():
            vector = direction(row, face)
            for edit in judged_edits.edit_all(
                editor, dataset, {row: face}, vector, [alpha], folder
            ):
                measured.append(judged_edits.measure(judge, edit, attribute))
        return judged_edits.average(measured)

    first = at(1.0)
    # A little more than is needed, so that the gain of 1 lies between both strengths.
    second = float(np.clip(round(1.2 / max(first["gain"], 1e-3), 1), 0.2, STRONGEST))
    return sorted([(1.0, first), (second, at(second))], key=lambda pair: pair[0])


def print_tables(record: dict[str, Any]) -> None:
    """Prints one row per attribute and direction."""
    columns = ("gain", "spread", "others", "identity", "mean", "border", "luma", "chroma")
    print(f"| attribute | direction | AUC | strength | {' | '.join(columns)} |")
    print("| --- " * (4 + len(columns)) + "|")
    for row in record["rows"]:
        score = "–" if row["auc"] is None else f"{row['auc']:.3f}"
        values = " | ".join(f"{row['at'][name]:.2f}" for name in columns)
        labels = f"| {row['attribute']} | {row['direction']} | {score} | {row['at']['alpha']:.1f}"
        print(f"{labels} | {values} |")


def main() -> None:
    """Prints the tables, or the record as JSON."""
    judged_edits.command_line(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
