"""How are the starter vectors made, and what are they worth?

    python experiments/starter_vectors.py lfw:DIR [--starters NAMES] [--out DIR] [--json]
    python experiments/starter_vectors.py --quick

Each vector is fitted to all images of the dataset at once. A *regression* (`dfi_jax.vectors.fit`)
holds the other attributes constant, except those that belong to the attribute itself: a goatee may
come with a moustache. `older` holds only seven. A *normal* is that of logistic regression
(`normals`), shrunk and focused. If both were compared, the better one is made (`directions.py`).

The vectors are calibrated on people whom neither a vector nor the judge has seen. For that, each
vector is fitted to half of the people, and faces of other people are edited with it at several
strengths (`judged_edits`). The vector is then scaled so that strength 1 moves these faces, on
average, by the starter's `gain` (`starter_fits`), in distances between typical faces without and
with the attribute. A second set of faces, edited at strength 1, shows what the calibrated vector is
worth.
The attribute is also taken away from faces that have it, at strength 1: by the default recipe,
which replaces the photo's features where the attribute was, and by subtracting the vector and
nothing else. The last two tables ask why photos move by different amounts, and whether judges agree
on that (`spread.explain_spread`).

Writes the vectors as int8 with a scale per channel, each with its calibration, and one picture of
the second set per vector. The vectors in `dfi_jax/assets/vectors` are made from the 3000 images of
LFW; normals of so many take 10 GB of memory. `--starters older` makes one of them alone, and
`--quick` makes two vectors from drawn faces.
"""

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import judged_edits
import numpy as np
from command_line import SMALL, run_experiment
from jax.flatten_util import ravel_pytree
from spread import explain_spread, fit_judges
from starter_fits import STARTERS, make_vectors

from dfi_jax import AttributeVector, Editor, Recipe, load_dataset, load_vgg
from dfi_jax.data.wanted import opposite
from dfi_jax.metrics.judge import Judge


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
    testing: int = 28
    removing: int = 4
    changes: Mapping[str, str] = field(default_factory=dict)
    weights: str = "vgg16"
    out: str = "out/starter_vectors"


QUICK = Config(
    dataset="synthetic:320:0:64",
    starters=("smiling", "older"),
    calibrating=2,
    testing=2,
    removing=1,
    changes=SMALL,
    weights="random-vgg16",
)


MEASURES = tuple(name for name in judged_edits.HEADS if name not in ("luma", "chroma"))
"""Measures in the table of what the vectors are worth."""

SPREAD = {
    "spread": "spread over gain",
    "agreed": "agreed by two judges",
    "position": "correlation with the position before",
    "share": "correlation with the share reached",
    "scaled": "spread over gain, scaled by the share",
}
"""Heads of the table of the spread (`spread.explain_spread`)."""

CORRECTED = {
    "half": "AlexNet, other people",
    "half_corrected": "corrected",
    "other": "VGG",
    "other_corrected": "corrected",
    "networks": "correlation of AlexNet and VGG",
}
"""Heads of the table of edits that are corrected by the gain that a judge measured."""


def run(config: Config) -> dict[str, Any]:
    """Makes every vector, and returns what it is worth."""
    if unknown := set(config.starters) - set(STARTERS):
        raise SystemExit(f"no starter is named {', '.join(sorted(unknown))}.")
    dataset, vgg = load_dataset(config.dataset), load_vgg(config.weights)
    editor = Editor(recipe=Recipe().set(config.changes), weights=vgg)
    groups, out = judged_edits.divide(dataset), Path(config.out)
    from_half, from_all = make_vectors(
        vgg, dataset, config.starters, out, recipe=editor.resolved_recipe
    )
    judges = fit_judges(vgg, dataset, groups.judge)
    judge = judges.whole
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
        calibrated = half.scaled(at["alpha"])
        ((_, tested),) = edit(dict(testing), calibrated, (1.0,), folder / "testing")
        spread = explain_spread(
            vgg,
            list(
                judged_edits.edit_all(
                    editor, dataset, dict(testing), calibrated, (1.0,), folder / "testing"
                )
            ),
            calibrated,
            judges=judges,
            attribute=attribute,
            recipe=recipe,
        )
        taken = opposite(attribute)
        wearing = judged_edits.choose_photos(dataset, groups.photos, taken, config.removing)
        removed = {}
        for way in ("replace", "none"):
            ((_, removed[way]),) = judged_edits.edit_and_measure(
                Editor(recipe=recipe.set({"removal": way}), weights=vgg),
                dataset,
                wearing,
                calibrated.opposite(),
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
                "spread": spread,
                "removed": removed,
                **save(made, out / "vectors" / f"{name}.safetensors"),
            }
        )
    return {"config": dataclasses.asdict(config), "rows": rows}


def matching_factor(vector: AttributeVector, other: AttributeVector) -> float:
    """Returns ‖v‖²/(v·w), the multiple of w whose part along v is v."""
    v, w = (ravel_pytree(each.features)[0] for each in (vector, other))
    return float(jnp.vdot(v, v) / jnp.vdot(v, w))


def auc_of(judge: Judge, attribute: str) -> float:
    """Returns how well the judge tells faces with an attribute from faces without it."""
    return float(judge.auc[judged_edits.column_of(judge, attribute)])


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
    """Prints the data of each vector, what it is worth, what it takes away, and the spread."""
    print("| vector | images with, without | judge's AUC | noise | factor |")
    print("| --- " * 5 + "|")
    for row in record["rows"]:
        present, absent = row["images"]
        lengths = [(n**2, n**2 + s**2) for s, n in zip(row["signal"], row["noise"], strict=True)]
        percent = 100 * np.mean([noise / total for noise, total in lengths])
        print(
            f"| `{row['starter']}` | {present}, {absent} | {row['auc']:.3f} | {percent:.0f} % | "
            f"{row['factor']:.2f} |"
        )
    print()
    judged_edits.print_head(["vector"], MEASURES)
    for row in record["rows"]:
        judged_edits.print_row([f"`{row['starter']}`"], row["strength 1"], MEASURES)
    print()
    measures = [name for name in MEASURES if name not in ("spread", "same_person")]
    judged_edits.print_head(["vector", "`removal`"], measures)
    for row in record["rows"]:
        replaced, subtracted = row["removed"]["replace"], row["removed"]["none"]
        ways = {"`replace`": replaced, "`none`": subtracted}
        if replaced == subtracted:  # The attribute lies everywhere, so nothing is replaced.
            ways = {"both": subtracted}
        for way, means in ways.items():
            judged_edits.print_row([f"`~{row['starter']}`", way], means, measures)
    print()
    for heads in (SPREAD, CORRECTED):
        print(f"| vector | {' | '.join(heads.values())} |\n{'| --- ' * (1 + len(heads))}|")
        for row in record["rows"]:
            figures = (f"{row['spread'][name]:.2f}".replace("-", "−") for name in heads)
            print(f"| `{row['starter']}` | {' | '.join(figures)} |")
        print()
    print(f"The vectors are in {record['config']['out']}/vectors.")


def main() -> None:
    """Prints the tables, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
