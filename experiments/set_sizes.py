"""How much noise does a vector of two sets have, and what does it cost an edit?

    python experiments/set_sizes.py lfw:DIR [--photos N] [--out DIR] [--json]
    python experiments/set_sizes.py --quick

Images with an attribute and images without it are drawn at random from the people whom neither the
judge nor the photos show (`judged_edits.divide`). The vector is the difference between the means of
n images in each set, and smaller sets are part of larger ones.

The table has a row per attribute and n: the share of noise in the vector's energy, as its standard
errors predict it, and as it differs from a vector of n + n other images, if there are as many
(`fitted_vectors.difference_share`). Both are means over layers, before shrinkage. The shrunk vector
then edits photos at several strengths. The other columns compare these edits at one mean gain, by
interpolation: at 1, or what all rows of the attribute reach.

The edited faces are written to the folder, where a rerun finds them again, with one picture per
vector. `--quick` uses drawn faces.
"""

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import judged_edits
import numpy as np
from command_line import SMALL, run_experiment
from fitted_vectors import difference_share

from dfi_jax import Cache, Dataset, Editor, Recipe, Selection, load_dataset, load_vgg
from dfi_jax.data.wanted import Wanted
from dfi_jax.metrics.judge import fit_judge

MEASURES = ("spread", "others", "identity", "mean", "border", "luma")
"""Measures in the table."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is compared.

    Attributes:
      dataset: Dataset with scores.
      attributes: Attributes that are added.
      counts: Numbers of images in each set.
      photos: Number of photos per attribute.
      alphas: Strengths.
      changes: Changes to the default recipe.
      weights: Name of the network.
      out: Folder for means, edits and pictures.
    """

    dataset: str
    attributes: tuple[str, ...] = ("Smiling", "Eyeglasses")
    counts: tuple[int, ...] = (10, 25, 50, 100, 200, 400)
    photos: int = 4
    alphas: tuple[float, ...] = (1.0, 2.0, 4.0)
    changes: Mapping[str, str] = field(default_factory=dict)
    weights: str = "vgg16"
    out: str = "out/set_sizes"


QUICK = Config(
    dataset="synthetic:160:0:64",
    attributes=("Smiling",),
    counts=(5, 10),
    photos=1,
    alphas=(1.0,),
    changes=SMALL,
    weights="random-vgg16",
)


def run(config: Config) -> dict[str, Any]:
    """Makes the vector of every number of images, edits with it, and returns the rows."""
    dataset, vgg, out = load_dataset(config.dataset), load_vgg(config.weights), Path(config.out)
    groups = judged_edits.divide(dataset)
    judge = fit_judge(dataset, groups.judge)
    recipe = Recipe().set(config.changes)
    cache, raw = Cache(out / "means"), recipe.set({"shrinkage": "unshrunk"})
    editor, unshrunk = (Editor(recipe=each, weights=vgg, cache=cache) for each in (recipe, raw))
    rows: list[dict[str, Any]] = []
    for attribute in config.attributes:
        photos = judged_edits.choose_photos(dataset, groups.photos, attribute, config.photos)
        found: list[dict[str, Any]] = []
        for count in config.counts:
            some = draw(dataset, groups.vectors, attribute, count)
            if some is None:
                continue
            print(f"{attribute}: {count} + {count} images", file=sys.stderr, flush=True)
            others = draw(dataset, groups.vectors, attribute, count, skipped=count)
            vector = unshrunk.vector(some)
            measured = None
            if others is not None:
                measured = difference_share(vector, unshrunk.vector(others))
            curve = judged_edits.edit_and_measure(
                editor,
                dataset,
                photos,
                editor.vector(some),
                config.alphas,
                out / f"{attribute}-{count}",
                judge=judge,
                attribute=attribute,
            )
            noise = {"predicted": vector.provenance.noise_share, "measured": measured}
            found.append({"attribute": attribute, "count": count, **noise, "curve": curve})
        gain = min(1.0, *(max(means["gain"] for _, means in row["curve"]) for row in found))
        for row in found:
            at = judged_edits.matched(row["curve"], gain) if gain > 0 else None
            rows.append(row | {"gain": gain, "at": at})
    return {"config": dataclasses.asdict(config), "rows": rows}


def draw(
    dataset: Dataset, rows: list[int], attribute: str, count: int, *, skipped: int = 0
) -> Selection | None:
    """Returns images with and without an attribute, at random, or None if there are too few.

    Args:
      dataset: The dataset.
      rows: Images to choose from.
      attribute: The attribute.
      count: Number of images in each set.
      skipped: Number of images in each set that are left out, because another selection has them.
    """
    shuffled = np.random.default_rng(0).permutation(rows)
    on = judged_edits.has(dataset, shuffled, attribute)
    target, source = (shuffled[which][skipped : skipped + count] for which in (on, ~on))
    if min(len(target), len(source)) < count:
        return None
    wanted = Wanted.of(attribute, dataset.attributes)
    return Selection(
        dataset=dataset, wanted=wanted, k=count, near=None, source=source, target=target
    )


def print_tables(record: dict[str, Any]) -> None:
    """Prints a row per attribute and number of images."""
    heads = ["attribute", "images per set", "noise, predicted", "noise, measured", "strength"]
    judged_edits.print_head([*heads, "gain"], MEASURES)
    for row in record["rows"]:
        noise = (row["predicted"], row["measured"])
        labels = [row["attribute"], row["count"]]
        labels += ["" if share is None else f"{100 * share:.0f} %" for share in noise]
        cells = [""] * (2 + len(MEASURES))
        if row["at"] is not None:
            cells = [f"{row['at'][name]:.2f}" for name in ("alpha", "gain", *MEASURES)]
        print(f"| {' | '.join(map(str, [*labels, *cells]))} |")


def main() -> None:
    """Prints the table, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
