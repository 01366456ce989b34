"""Which direction changes a face least for what it adds?

    python experiments/directions.py lfw:DIR [--photos N] [--out DIR] [--json]
    python experiments/directions.py --quick

Every direction comes from the same half of the people (`judged_edits.divide`). The normal n of a
classifier becomes a vector as w = n(n·Δμ)/‖n‖², the part of the mean difference Δμ that lies along
it. Each direction edits the same photos at two strengths, and the table compares what else changed
at a mean gain of 1, by interpolation. A gain of 1 is the distance between typical faces without and
with the attribute, as a judge on another network sees it.

- `mean difference`: Δμ between all images with and without the attribute
- `regression`: least squares with the other attributes held, except those that belong to it
  (`starter_fits.STARTERS`)
- `regression, all held`: the same with all other attributes held
- `ridge`, `logistic`: normals of ridge and logistic regression
- `both`: for each layer, the sum of the regression and the normal of logistic regression, both
  shrunk and of length 1, in the regression's length

*Shrunk* means `Wiener`, as in the default recipe; the variance of a normal comes from a jackknife
over groups of people. *Focused* means shrunk with `Wiener(focus=1.5)`, and *focused twice* with 3.
Regressions are always shrunk.

*AUC* says how well a classifier along the direction separates people left out of the fit. The
network works with TF32's precision, because 48 photos in every direction take a GPU: on an H200, a
direction takes three seconds, and everything before two minutes. The edited faces are written as
JPEG, for `identity.py`.
"""

import dataclasses
import itertools
import json
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import judged_edits
import normals
import numpy as np
from command_line import SMALL, run_experiment
from fitted_vectors import number_people
from identity import FACES, save_sheet
from jax.flatten_util import ravel_pytree
from jaxtyping import Float
from starter_fits import FOCUS, STARTERS, regress

from dfi_jax import (
    VGG,
    Dataset,
    Recipe,
    Unshrunk,
    load_dataset,
    load_vgg,
    make_problem,
    reconstruct,
)
from dfi_jax.engine.reconstruction import largest_batch, prepare_for
from dfi_jax.metrics.change import measure_change
from dfi_jax.metrics.judge import Judge, fit_judge
from dfi_jax.recipe.features import Features
from dfi_jax.recipe.shrinkage import Wiener
from dfi_jax.storage.files import write_text
from dfi_jax.vectors.fit import fit
from dfi_jax.vectors.fitted import FittedDataset
from dfi_jax.vectors.ridge import auc

FIRST, STRONGEST = 2.0, 10.0
"""The strength of a trial, and the largest that is assumed to give a gain of 1."""

TRIAL = 12
"""Number of faces in a trial."""

SHARES = (0.8, 1.3)
"""The strengths, as shares of the strength that should give a gain of 1 according to the trial."""

SHOWN = 24
"""Number of faces that are written as pictures."""

Faces = Float[np.ndarray, "n s s 3"]


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is compared.

    Attributes:
      dataset: Dataset with scores.
      starters: Names of the attributes that are added, as those of the starter vectors.
      directions: Names of directions, or none for all.
      photos: Number of photos per attribute.
      tested: Number of images that the AUC is measured on.
      changes: Changes to the default recipe.
      weights: Name of the network.
      out: Folder for sums and pictures.
    """

    dataset: str
    starters: tuple[str, ...] = ("smiling", "mouth-open", "eyeglasses", "older", "moustache")
    directions: tuple[str, ...] = ()
    photos: int = 48
    tested: int = 240
    changes: Mapping[str, str] = field(default_factory=dict)
    weights: str = "vgg16"
    out: str = "out/directions"


QUICK = Config(
    dataset="synthetic:200:0:64",
    starters=("smiling",),
    directions=("regression", "both, focused"),
    photos=2,
    tested=40,
    changes=SMALL,
    weights="random-vgg16",
)


def run(config: Config) -> dict[str, Any]:
    """Edits every photo along every direction, and returns the rows of the table."""
    dataset, out = load_dataset(config.dataset), Path(config.out)
    exact, recipe = load_vgg(config.weights), Recipe().set(config.changes)
    vgg = dataclasses.replace(exact, precision="tf32", filters=None)
    groups, size = judged_edits.divide(dataset), recipe.features.size
    sums = out / f"{len(dataset)}-images-{size}-pixels" / "half-0"
    fitted = fit(exact, dataset, recipe=recipe, rows=groups.vectors, folder=sums)
    judge = fit_judge(dataset, groups.judge)
    report("normals")
    made = make_directions(exact, dataset, fitted, groups.vectors, config, recipe=recipe)
    tested = np.random.default_rng(3).permutation(groups.judge)[: config.tested]
    left_out = normals.describe(exact, dataset, tested.tolist(), recipe=recipe)
    rows: list[dict[str, Any]] = []
    for starter in config.starters:
        attribute = STARTERS[starter].attribute
        on = judged_edits.has(dataset, tested, attribute)
        photos = itertools.islice(
            judged_edits.people_without(dataset, groups.photos, attribute), config.photos
        )
        faces = np.stack([dataset.face(row, size) for row in photos])
        save_sheet(out / starter / FACES, faces[:SHOWN])
        for name, vector in made[starter].items():
            curve = edit_to_match(vgg, faces, vector, judge, attribute, recipe, out / starter, name)
            found = judged_edits.matched(curve)
            rows.append(
                {
                    "starter": starter,
                    "direction": name,
                    "auc": auc(left_out @ normals.flatten(vector), on),
                    "reaches": found is not None,
                    "curve": curve,
                    "at": found or {"alpha": curve[-1][0], **curve[-1][1]},
                }
            )
            write_text(out / "rows.json", json.dumps(rows))
            report(f"{starter}: {name}, gains {[round(row['gain'], 2) for _, row in curve]}")
    return {"config": dataclasses.asdict(config), "rows": rows}


def report(text: str) -> None:
    """Prints what the experiment is doing."""
    print(text, file=sys.stderr, flush=True)


def make_directions(
    vgg: VGG,
    dataset: Dataset,
    fitted: FittedDataset,
    rows: list[int],
    config: Config,
    *,
    recipe: Recipe,
) -> dict[str, dict[str, Features]]:
    """Returns all directions of every attribute."""
    coordinates = normals.Coordinates(normals.describe(vgg, dataset, rows, recipe=recipe))
    numbers = number_people(dataset, rows)
    found = {}
    for starter in config.starters:
        on = judged_edits.has(dataset, rows, STARTERS[starter].attribute)
        logistic = normals.fit_normals(coordinates, on, numbers, kind="logistic")
        ridge = normals.fit_normals(coordinates, on, numbers, kind="ridge")[:1]
        found[starter] = np.concatenate([logistic, ridge])
        report(f"{starter}: normals")
    flat = coordinates.activations(np.concatenate(list(found.values())))
    each = flat.reshape(len(found), -1, flat.shape[1])
    return {
        starter: directions_of(starter, fitted, activations, config)
        for starter, activations in zip(found, each, strict=True)
    }


def directions_of(
    starter: str, fitted: FittedDataset, found: Float[np.ndarray, "k d"], config: Config
) -> dict[str, Features]:
    """Returns the directions of an attribute.

    Args:
      starter: Name of the attribute's starter vector.
      fitted: Sums of the images.
      found: The normal of logistic regression, those without a group of people each, and the normal
        of ridge regression.
      config: The configuration.
    """
    attribute, every = STARTERS[starter].attribute, fitted.origin.attributes
    difference = fitted.vector(attribute, hold=[], shrinkage=Unshrunk()).features
    delta, unflatten = ravel_pytree(difference)
    ridge = normals.along(found[-1], np.asarray(delta)) * found[-1]
    logistic, variance = normals.as_vector(found[:-1], difference)
    shrunk, focused = (Wiener(focus=c).shrink(logistic, variance) for c in (0.0, FOCUS))
    regression, regression_focused = (
        regress(fitted, STARTERS[starter], shrinkage=Wiener(focus=c)).features for c in (0.0, FOCUS)
    )
    twice = regress(fitted, STARTERS[starter], shrinkage=Wiener(focus=2 * FOCUS)).features
    made: dict[str, Features] = {
        "mean difference": difference,
        "mean difference, shrunk": fitted.vector(attribute, hold=[]).features,
        "regression": regression,
        "regression, all held": fitted.vector(attribute, hold=every).features,
        "regression, focused": regression_focused,
        "regression, focused twice": twice,
        "ridge": unflatten(jnp.asarray(ridge)),
        "logistic": logistic,
        "logistic, shrunk": shrunk,
        "logistic, focused": focused,
        "both": both(regression, shrunk),
        "both, focused": both(regression_focused, focused),
    }
    return {name: made[name] for name in config.directions or made}


def both(first: Features, second: Features) -> Features:
    """Returns the sum of both directions, of length 1 each, in the first's length, by layer."""
    total = {
        name: w / jnp.linalg.norm(w) + second[name] / jnp.linalg.norm(second[name])
        for name, w in first.items()
    }
    return {
        name: jnp.linalg.norm(first[name]) * w / jnp.linalg.norm(w) for name, w in total.items()
    }


def edit_to_match(
    vgg: VGG,
    faces: Faces,
    vector: Features,
    judge: Judge,
    attribute: str,
    recipe: Recipe,
    folder: Path,
    name: str,
) -> list[tuple[float, dict[str, float]]]:
    """Returns the measures at two strengths whose gains should be around 1.

    The strengths come from a trial on a few faces. Writes the faces at the strength whose gain is
    nearer to 1.
    """
    few = faces[:TRIAL]
    trial = edit(vgg, few, vector, FIRST, recipe=recipe)
    needed = FIRST / max(measure(judge, few, trial, attribute)["gain"], FIRST / STRONGEST)
    tried: dict[float, tuple[dict[str, float], Faces]] = {}
    for share in SHARES:
        alpha = round(share * needed, 2)
        edited = edit(vgg, faces, vector, alpha, recipe=recipe)
        tried[alpha] = measure(judge, faces, edited, attribute), edited
    nearest = min(tried, key=lambda alpha: abs(tried[alpha][0]["gain"] - 1))
    save_sheet(folder / f"{name}.jpg", tried[nearest][1][:SHOWN])
    return [(alpha, tried[alpha][0]) for alpha in sorted(tried)]


def edit(vgg: VGG, faces: Faces, vector: Features, alpha: float, *, recipe: Recipe) -> Faces:
    """Returns the faces moved along a vector."""
    prepared, at_once = prepare_for(vgg, recipe=recipe), largest_batch(vgg, recipe=recipe)
    edited = []
    for start in range(0, len(faces), at_once):
        some = faces[start : start + at_once]
        problem = make_problem(vgg, some, vector, [alpha] * len(some), recipe=recipe)
        edited.append(reconstruct(prepared, problem, recipe=recipe).images)
    return np.clip(np.concatenate(edited), 0, 1)


def measure(judge: Judge, faces: Faces, edited: Faces, attribute: str) -> dict[str, float]:
    """Returns the means over all faces of what `judged_edits.measure` defines, without identity."""
    with ThreadPoolExecutor() as pool:
        changes = pool.map(measure_change, faces, edited)
    positions = zip(judge.positions(faces), judge.positions(edited), changes, strict=True)
    return judged_edits.average(
        [
            judged_edits.measure_movement(judge, before, after, attribute) | change._asdict()
            for before, after, change in positions
        ]
    )


def print_tables(record: dict[str, Any]) -> None:
    """Prints one row per attribute and direction."""
    columns = ("spread", "others", "mean", "border", "luma", "chroma")
    print(f"| attribute | direction | AUC | strength | {' | '.join(columns)} |")
    print("| --- " * (4 + len(columns)) + "|")
    for row in record["rows"]:
        values = " | ".join(f"{row['at'][name]:.2f}" for name in columns)
        labels = f"| {row['starter']} | {row['direction']} | {row['auc']:.3f}"
        print(f"{labels} | {row['at']['alpha']:.2f} | {values} |")


def main() -> None:
    """Prints the tables, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
