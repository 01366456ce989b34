"""Which attribute vector adds its attribute and nothing else?

    python experiments/vectors.py lfw:DIR [--photos N] [--out DIR] [--json]
    python experiments/vectors.py --quick

The people of the dataset are divided into three groups (`judged_edits.divide`). The first half
gives the fitted vectors, part of the others teaches a judge on another network, and the rest are
edited. The vectors of similar images come from the whole dataset without the edited person, as in
the published systems.

The first table compares the ways to a vector at equal gain: each measure is interpolated between
strengths. The second shows every attribute and strength: the gain (1 is the distance between
typical faces without and with the attribute), its spread between photos, the share of faces that
pass the midpoint, the movement of the other attributes, the identity distance, and the change in
grey levels: in the mean, at the border, and beyond 0.3 cycles per pixel in luma and chroma.

The edited faces are written to the folder, where a rerun finds them again, with one picture per way
and attribute. `--quick` uses drawn faces.
"""

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import judged_edits
import numpy as np
from command_line import SMALL, run_experiment
from judged_edits import HEADS
from starter_fits import STARTERS, make_vectors

from dfi_jax import VGG, AttributeVector, Dataset, Editor, Recipe, load_dataset, load_vgg, near
from dfi_jax.metrics.judge import fit_judge
from dfi_jax.vectors.fit import fit


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to an edit.

    Attributes:
      vector: Kind of vector: the difference between the photo's `neighbours`, the regression of
        the `fitted` dataset, or one made like the package's, a `starter`.
      changes: Changes to the default recipe.
      alphas: Strengths.
    """

    vector: Literal["neighbours", "fitted", "starter"]
    changes: Mapping[str, str]
    alphas: tuple[float, ...]


PUBLISHED = {
    "shrinkage": "unshrunk",
    "vector": "unit_times_phi",
    "solver.iterations": "100",
    "solver.preconditioner.base_penalty": "0",
    "solver.preconditioner.fine_penalty": "3",
    "solver.preconditioner.chroma_penalty": "1",
}
"""The recipe that was the default before this experiment: the published systems' vector, with a
solver that was tuned on it."""

NEAR = near.parse("scores:all")
"""Nearness of the neighbours, which counts the wanted attribute, as it did then."""

WAYS = {
    "published": Way(vector="neighbours", changes=PUBLISHED, alphas=(0.4, 0.8)),
    "neighbours, shrunk": Way(vector="neighbours", changes={}, alphas=(0.5, 1.0, 2.0)),
    "fitted": Way(vector="fitted", changes={}, alphas=(0.5, 1.0, 2.0)),
    "starter": Way(vector="starter", changes={}, alphas=(1.5, 2.5, 4.0)),
}
"""The ways that are compared."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is compared.

    Attributes:
      dataset: Dataset with scores.
      ways: Names of ways.
      attributes: Attributes that are added.
      photos: Number of photos per attribute.
      changes: Changes to all recipes.
      weights: Name of the network.
      out: Folder for sums, edits and pictures.
    """

    dataset: str
    ways: tuple[str, ...] = tuple(WAYS)
    attributes: tuple[str, ...] = ("Smiling", "Mouth Slightly Open", "Eyeglasses")
    photos: int = 2
    changes: Mapping[str, str] = field(default_factory=dict)
    weights: str = "vgg16"
    out: str = "out/vectors"


QUICK = Config(
    dataset="synthetic:160:0:64",
    ways=("neighbours, shrunk", "fitted"),
    attributes=("Smiling",),
    photos=1,
    changes=SMALL,
    weights="random-vgg16",
)


def run(config: Config) -> dict[str, Any]:
    """Edits every photo in every way, and returns the rows of both tables."""
    dataset, vgg = load_dataset(config.dataset), load_vgg(config.weights)
    base = Recipe().set(config.changes)
    groups, out = judged_edits.divide(dataset), Path(config.out)
    vectors = make_way_vectors(vgg, dataset, groups.vectors, config, recipe=base)
    judge = fit_judge(dataset, groups.judge)
    rows: list[dict[str, Any]] = []
    for name in config.ways:
        way = WAYS[name]
        editor = Editor(recipe=base.set(way.changes), weights=vgg)
        for attribute in config.attributes:
            source: str | AttributeVector = vectors.get((way.vector, attribute), attribute)
            photos = judged_edits.choose_photos(dataset, groups.photos, attribute, config.photos)
            print(f"{name}: {attribute}", file=sys.stderr, flush=True)
            curve = judged_edits.edit_and_measure(
                editor,
                dataset,
                photos,
                source,
                way.alphas,
                out / name / attribute,
                judge=judge,
                attribute=attribute,
                near=NEAR if way.vector == "neighbours" else None,
            )
            for alpha, means in curve:
                rows.append({"way": name, "attribute": attribute, "alpha": alpha, **means})
    return {
        "config": dataclasses.asdict(config),
        "images": {name: len(images) for name, images in groups._asdict().items()},
        "auc": float(np.mean(judge.auc)),
        "rows": rows,
        "matched": match(rows, config),
    }


def make_way_vectors(
    vgg: VGG, dataset: Dataset, rows: list[int], config: Config, *, recipe: Recipe
) -> dict[tuple[str, str], AttributeVector]:
    """Returns the vectors that don't depend on the photo, by their kind and attribute.

    Args:
      vgg: The network.
      dataset: The dataset.
      rows: Images that the vectors are computed from.
      config: The ways and the attributes.
      recipe: The layers, the size of the images and the shrinkage.
    """
    kinds, out = {WAYS[name].vector for name in config.ways}, Path(config.out)
    vectors = {}
    if "fitted" in kinds:
        sums = out / f"{len(dataset)}-images-{recipe.features.size}-pixels" / "half-0"
        fitted = fit(vgg, dataset, recipe=recipe, rows=rows, folder=sums)
        for attribute in config.attributes:
            vector = fitted.vector(attribute, shrinkage=recipe.shrinkage)
            vectors["fitted", attribute] = vector
    if "starter" in kinds:
        names = [name for name, s in STARTERS.items() if s.attribute in config.attributes]
        half, _ = make_vectors(vgg, dataset, names, out, recipe=recipe)
        for name, vector in half.items():
            vectors["starter", STARTERS[name].attribute] = vector
    return vectors


def match(rows: list[dict[str, Any]], config: Config) -> list[dict[str, Any]]:
    """Returns the means over attributes at equal gain, for each way.

    The gain is 1, or what all ways reach of it, attribute by attribute.
    """
    curves: dict[tuple[str, str], list[tuple[float, dict[str, float]]]] = {}
    for row in rows:
        means = {name: row[name] for name in HEADS}
        curves.setdefault((row["attribute"], row["way"]), []).append((row["alpha"], means))
    found: dict[str, list[dict[str, float]]] = {name: [] for name in config.ways}
    for attribute in config.attributes:
        reach = [max(m["gain"] for _, m in curves[attribute, way]) for way in config.ways]
        gain = min(1.0, *reach)
        for way in config.ways:
            at = judged_edits.matched(curves[attribute, way], gain) if gain > 0 else None
            if at is not None:
                found[way].append(at)
    return [
        {"way": way, **{name: float(np.mean([at[name] for at in ats])) for name in HEADS}}
        for way, ats in found.items()
        if ats
    ]


def print_tables(record: dict[str, Any]) -> None:
    """Prints both tables."""
    judged_edits.print_head(["vectors"], HEADS)
    for row in record["matched"]:
        judged_edits.print_row([row["way"]], row, HEADS)
    print()
    judged_edits.print_head(["vectors", "attribute", "α"], HEADS)
    for row in record["rows"]:
        judged_edits.print_row([row["way"], row["attribute"], row["alpha"]], row, HEADS)


def main() -> None:
    """Prints the tables, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
