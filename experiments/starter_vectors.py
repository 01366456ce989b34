"""How are the starter vectors made, and what are they worth?

    python experiments/starter_vectors.py lfw:DIR [--out DIR] [--json]
    python experiments/starter_vectors.py --quick

Each vector is fitted to all images of the dataset at once. A *regression* (`dfi_jax.vectors.fit`)
holds the other attributes constant, except those that belong to the attribute itself: grey hair and
baldness may come with age. A *normal* is that of logistic regression (`normals`), shrunk and
focused. Where both were compared, the better one is made (`directions.py`).

The vectors are calibrated on people whom neither a vector nor the judge has seen. For that, each
vector is fitted to half of the people, and faces of other people are edited with it at several
strengths (`judged_edits`). The vector is then scaled so that strength 1 moves these faces by `GAIN`
times the distance between typical faces without and with the attribute, as a mean. A second set of
faces, edited at strength 1, shows what the calibrated vector is worth. The attribute is also taken
away from faces that have it, at strength 1: by the default recipe, which replaces the photo's
features where the attribute was, and by subtracting the vector and nothing else.

Writes the vectors as int8 with a scale per channel, each with its calibration, and one picture of
the second set per vector. The vectors in `dfi_jax/assets/vectors` are made from the 3000 images of
LFW; normals of so many take 10 GB of memory. `--quick` makes two vectors from drawn faces.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import judged_edits
import normals
import numpy as np
from fitted_vectors import halve
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

from dfi_jax import VGG, AttributeVector, Dataset, Editor, Recipe, load_dataset, load_vgg
from dfi_jax.data.wanted import find_attribute
from dfi_jax.metrics.judge import Judge, fit_judge
from dfi_jax.recipe.shrinkage import Unshrunk, Wiener
from dfi_jax.vectors.attribute_vector import from_estimate
from dfi_jax.vectors.fit import fit
from dfi_jax.vectors.fitted import DEFAULT_SHRINKAGE, FittedDataset

GAIN = 1.2
"""Mean movement of faces at strength 1, in distances between typical faces, unless a starter has
another.

Some people without an attribute are further from it than others. Moved by exactly one distance, a
quarter of them would still look to the judge like faces without spectacles."""

FOCUSED = Wiener(focus=1.5)
"""Shrinkage of a normal (docs/directions.md)."""


@dataclass(frozen=True, kw_only=True)
class Starter:
    """A vector to make.

    Attributes:
      attribute: Attribute of the dataset.
      kind: Kind of vector.
      belongs: Attributes that belong to it, so that a regression doesn't hold them constant.
      alphas: Strengths of the calibration, before the vector is scaled.
      gain: Mean movement of faces at strength 1.
    """

    attribute: str
    kind: Literal["regression", "normal"] = "regression"
    belongs: tuple[str, ...] = ()
    alphas: tuple[float, ...] = (1.5, 2.5)
    gain: float = GAIN


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
        belongs=(
            "Gray Hair",
            "Bald",
            "Receding Hairline",
            "Bags Under Eyes",
            "Double Chin",
            "Attractive",
        ),
        alphas=(3.0, 5.0),
        # At 1.2, two of eight faces are no longer the same person's, and noses become purple.
        gain=1.0,
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


@dataclass(frozen=True, kw_only=True)
class Config:
    """What the vectors are made from.

    Attributes:
      dataset: Dataset of the faces.
      starters: Names of the vectors.
      calibrating: Number of photos per vector that are edited to calibrate it.
      testing: Number of photos per vector that are edited with the calibrated vector.
      removing: Number of photos per vector from which the attribute is taken away.
      changes: Changes to the default recipe.
      weights: Name of the network.
      out: Folder for sums, edits, pictures and vectors.
    """

    dataset: str
    starters: tuple[str, ...] = tuple(STARTERS)
    calibrating: int = 10
    testing: int = 8
    removing: int = 4
    changes: Mapping[str, str] = field(default_factory=dict)
    weights: str = "vgg16"
    out: str = "out/starter_vectors"


QUICK = Config(
    dataset="synthetic:160",
    starters=("smiling", "older"),
    calibrating=2,
    testing=1,
    removing=1,
    changes={
        "features.layers": "conv1_2,conv2_1",
        "features.size": "64",
        "solver.iterations": "5",
    },
    weights="random-vgg16",
)


def run(config: Config) -> dict[str, Any]:
    """Makes every vector, and returns what it is worth."""
    dataset, vgg = load_dataset(config.dataset), load_vgg(config.weights)
    editor = Editor(recipe=Recipe().set(config.changes), weights=vgg)
    groups, out = judged_edits.divide(dataset), Path(config.out)
    from_half, from_all = make_vectors(vgg, dataset, config, recipe=editor.resolved_recipe)
    judge = fit_judge(dataset, groups.judge)
    rows = []
    for name in config.starters:
        print(name, file=sys.stderr, flush=True)
        attribute, half, whole = STARTERS[name].attribute, from_half[name], from_all[name]
        photos = judged_edits.choose_photos(
            dataset, groups.photos, attribute, config.calibrating + config.testing
        )
        items = list(photos.items())
        calibrating, testing = items[: config.calibrating], items[config.calibrating :]
        edit = partial(
            judged_edits.edit_and_measure, editor, dataset, judge=judge, attribute=attribute
        )
        folder, recipe = out / "edits" / name, editor.resolved_recipe
        curve = edit(dict(calibrating), half, STARTERS[name].alphas, folder / "calibrating")
        # A vector that doesn't reach the attribute keeps the largest strength.
        at = judged_edits.matched(curve, STARTERS[name].gain) or {"alpha": curve[-1][0]}
        ((_, tested),) = edit(dict(testing), half.scaled(at["alpha"]), (1.0,), folder / "testing")
        taken = opposite(attribute)
        wearing = judged_edits.choose_photos(dataset, groups.photos, taken, config.removing)
        removed = {}
        for way in ("replace", "subtract"):
            ((_, removed[way]),) = judged_edits.edit_and_measure(
                Editor(recipe=recipe.set({"removal": way}), weights=vgg),
                dataset,
                wearing,
                half.scaled(at["alpha"]).opposite(),
                (1.0,),
                folder / way,
                judge=judge,
                attribute=taken,
            )
        # A vector from more images is less shrunk, so it is scaled to the same effect.
        factor = at["alpha"] * matching_factor(half, whole)
        calibration = tuple((alpha / at["alpha"], means["gain"]) for alpha, means in curve)
        scaled = whole.scaled(factor)
        # One average serves all vectors, so it isn't in their files.
        made = AttributeVector(
            scaled.features, dataclasses.replace(scaled.provenance, calibration=calibration)
        )
        rows.append(
            {
                "starter": name,
                "attribute": attribute,
                "auc": auc_of(judge, attribute),
                "factor": factor,
                "curve": curve,
                "strength 1": tested,
                "removed": removed,
                **save(made, out / "vectors" / f"{name}.safetensors"),
            }
        )
    return {"config": dataclasses.asdict(config), "rows": rows}


def make_vectors(
    vgg: VGG, dataset: Dataset, config: Config, *, recipe: Recipe
) -> list[dict[str, AttributeVector]]:
    """Returns the vectors from half of the people and from all of them, before calibration.

    Writes them as files, which a rerun reads.
    """
    half, other = halve(dataset)
    groups, out = {"half": half, "all": [*half, *other]}, Path(config.out)
    paths = {
        group: {name: out / group / f"{name}.safetensors" for name in config.starters}
        for group in groups
    }
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
        described = normals.describe(vgg, dataset, groups["all"], recipe=recipe)
        for group, rows in groups.items():
            classified = {name: STARTERS[name] for name in config.starters if is_normal(name)}
            found = fit_normals(described[: len(rows)], dataset, rows, classified, sums[group])
            for name in config.starters:
                vector = found[name] if name in found else regress(sums[group], STARTERS[name])
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
    people = np.array(rows) if dataset.people is None else dataset.people[rows]
    _, numbers = np.unique(people, return_inverse=True)
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
            w,
            variance,
            provenance,
            average=fitted.mean,
            shrinkage=FOCUSED,
        )
    return made


def regress(
    fitted: FittedDataset, starter: Starter, *, shrinkage: Unshrunk | Wiener = DEFAULT_SHRINKAGE
) -> AttributeVector:
    """Returns a starter's regression before it is calibrated."""
    free = (starter.attribute.removeprefix("~"), *starter.belongs)
    names = fitted.origin.attributes
    held = [name for name in names if name not in free]
    return fitted.vector(starter.attribute, hold=held, shrinkage=shrinkage)


def opposite(attribute: str) -> str:
    """Returns the attribute of the faces that lack an attribute, such as `~Smiling` or `Young`."""
    return attribute[1:] if attribute.startswith("~") else f"~{attribute}"


def matching_factor(vector: AttributeVector, other: AttributeVector) -> float:
    """Returns ‖v‖²/(v·w), the multiple of w whose part along v is v."""
    v, w = (ravel_pytree(each.features)[0] for each in (vector, other))
    return float(jnp.vdot(v, v) / jnp.vdot(v, w))


def auc_of(judge: Judge, attribute: str) -> float:
    """Returns how well the judge tells faces with an attribute from faces without it."""
    return float(judge.auc[find_attribute(attribute.removeprefix("~"), judge.attributes)])


def save(vector: AttributeVector, path: Path) -> dict[str, Any]:
    """Writes a vector as int8, and returns how near it is to float32."""
    # The package holds these files, and int8 takes a quarter of the space.
    vector.save(path, dtype="int8")
    stored = AttributeVector.load(path).features
    return {
        "images": [vector.provenance.n_target, vector.provenance.n_source],
        "signal": list(vector.provenance.signal),
        "noise": list(vector.provenance.noise),
        "cosines": [cosine(vector.features[layer], stored[layer]) for layer in stored],
        "bytes": path.stat().st_size,
    }


def cosine(a: jax.Array, b: jax.Array) -> float:
    """Returns the cosine of the angle between two vectors."""
    return float(jnp.vdot(a, b) / jnp.linalg.norm(a) / jnp.linalg.norm(b))


def print_tables(record: dict[str, Any]) -> None:
    """Prints one row per vector: its data, and what it is worth at strength 1."""
    print("| vector | images with, without | AUC | noise | factor | int8 cosine |")
    print("| --- " * 6 + "|")
    for row in record["rows"]:
        present, absent = row["images"]
        lengths = [(n**2, n**2 + s**2) for s, n in zip(row["signal"], row["noise"], strict=True)]
        share = np.mean([noise / total for noise, total in lengths])
        print(
            f"| {row['starter']} | {present}, {absent} | {row['auc']:.3f} | {share:.0%} | "
            f"{row['factor']:.2f} | {min(row['cosines']):.4f} |"
        )
    columns = ("gain", "spread", "reached", "others", "identity", "same_person", "mean", "border")
    print(f"\n| vector, at strength 1 | {' | '.join(columns)} |")
    print("| --- " * (1 + len(columns)) + "|")
    for row in record["rows"]:
        values = " | ".join(f"{row['strength 1'][name]:.2f}" for name in columns)
        print(f"| {row['starter']} | {values} |")
    print(f"\n| vector, taken away | way | {' | '.join(columns)} |")
    print("| --- " * (2 + len(columns)) + "|")
    for row in record["rows"]:
        for way, means in row["removed"].items():
            values = " | ".join(f"{means[name]:.2f}" for name in columns)
            print(f"| {row['starter']} | {way} | {values} |")
    print(f"\nThe vectors are in {record['config']['out']}/vectors.")


def main() -> None:
    """Prints the tables, or the record as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", nargs="?", help="dataset of the faces, such as lfw:DIR")
    parser.add_argument("--out", default=Config.out, help="folder for everything it writes")
    parser.add_argument("--quick", action="store_true", help="try it on a few drawn faces")
    parser.add_argument("--json", action="store_true", help="print the record as JSON")
    arguments = parser.parse_args()
    if not arguments.dataset and not arguments.quick:
        parser.error("give a dataset, such as lfw:DIR, or --quick")
    config = QUICK if arguments.quick else Config(dataset=arguments.dataset)
    record = run(dataclasses.replace(config, out=arguments.out))
    if arguments.json:
        print(json.dumps(record, indent=2))
    else:
        print_tables(record)


if __name__ == "__main__":
    main()
