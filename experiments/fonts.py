"""How well does an edit work on letters, whose true edit is known? Letters in another typeface.

    python experiments/fonts.py [--letters TEXT] [--out DIR] [--quick] [--json]

A letter has what a photo hasn't: the same letter in bold, in italics, or with serifs. The letters
of a dataset are drawn in the eight fonts of two free families: DejaVu, which comes with matplotlib,
and Source Pro (the extra `demo`). Others, which the dataset doesn't contain, are edited whole, in
several ways, at several strengths, and compared with the true letters.

The ways differ in the examples that the vector comes from and in the recipe. *Neighbours* are the
nearest letters of both families by pixels, in the font that the edited letter has and in the font
that it should get; *pairs* are the same letters of its family, or of the other one, in both fonts.
The way `truth` takes the vector from the letter itself and from the truth, so that it shows what
reconstruction alone can reach.

For each family, the first table has LPIPS to the true letter, as a mean over letters, at every
strength. The way `none` is the letter itself. The second table has two other measures at the
strength whose LPIPS is the smallest: PSNR to the true letter in decibels, and the share of the true
change that was made, ⟨z − x, t − x⟩/‖t − x‖², for the letter x, the true letter t and the edited
letter z. The folder gets a picture of each family: for each change and each letter, the original,
the truth, and every way at that strength. It also keeps the edited letters, so rerunning the
command resumes it.
"""

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from command_line import run_experiment
from counterfactuals import average, psnr, show
from jaxtyping import Float
from kept import digest, kept_arrays
from letters import CHANGES, FAMILIES, Change, Letter, draw, make_dataset, select_pairs
from PIL import Image

from dfi_jax import VGG, Dataset, Editor, Job, Recipe, Selection, load_vgg, near
from dfi_jax.metrics.change import lpips
from dfi_jax.photo.image import to_bytes


class Way(NamedTuple):
    """A way to an edit.

    Attributes:
      examples: Kind of examples: `neighbours`, `pairs`, `pairs of the other family` or `truth`.
      k: Number of examples in each set.
      changes: Changes to the default recipe.
      alphas: Strengths.
    """

    examples: str
    k: int
    changes: Mapping[str, str] = {}
    alphas: tuple[float, ...] = (0.5, 1.0, 2.0)


FIVE_LAYERS = {"features.layers": "conv1_1,conv2_1,conv3_1,conv4_1,conv5_1"}
UNSHRUNK = {"shrinkage": "unshrunk"}
"""Shrinkage takes both sets for independent samples, which pairs aren't."""

EXACT = UNSHRUNK | {"vector.factor": "1"}
"""The gain of the default recipe is for vectors that are blurred, which the truth isn't."""

WAYS = {
    "10 neighbours": Way("neighbours", 10),
    "50 neighbours": Way("neighbours", 50),
    "50 neighbours, unshrunk": Way("neighbours", 50, UNSHRUNK),
    "50 neighbours, five layers": Way("neighbours", 50, FIVE_LAYERS),
    "50 pairs": Way("pairs", 50, UNSHRUNK),
    "50 pairs, five layers": Way("pairs", 50, UNSHRUNK | FIVE_LAYERS),
    "50 pairs of the other family": Way("pairs of the other family", 50, UNSHRUNK),
    "truth": Way("truth", 1, EXACT, (1.0,)),
    "truth, five layers": Way("truth", 1, EXACT | FIVE_LAYERS, (1.0,)),
}
"""The ways that are compared."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is compared.

    Attributes:
      families: Names of families whose letters are edited.
      letters: Letters that are edited, and that the dataset doesn't contain.
      ways: Names of ways.
      size: Height and width of the images.
      changes: Changes to all recipes.
      weights: Name of the network.
      out: Folder for pictures and edited letters.
    """

    families: tuple[str, ...] = tuple(FAMILIES)
    letters: str = "Ra5"
    ways: tuple[str, ...] = tuple(WAYS)
    size: int = 64
    changes: Mapping[str, str] = field(default_factory=dict)
    weights: str = "vgg16"
    out: str = "out/fonts"


QUICK = Config(
    families=("DejaVu",),
    letters="R",
    ways=("50 pairs",),
    size=32,
    changes={"features.layers": "conv1_2,conv2_1", "solver.iterations": "3"},
    weights="random-vgg16",
)


def run(config: Config) -> dict[str, Any]:
    """Makes every change in every way, and returns the rows of the tables."""
    vgg = load_vgg(config.weights)
    unseen = str.maketrans("", "", config.letters)
    others = {name: family.letters.translate(unseen) for name, family in FAMILIES.items()}
    dataset = make_dataset(others, config.size)
    rows = [row for family in config.families for row in edit_family(vgg, family, dataset, config)]
    return {"config": dataclasses.asdict(config), "rows": rows}


def edit_family(vgg: VGG, family: str, dataset: Dataset, config: Config) -> list[dict[str, Any]]:
    """Makes every change to letters of a family, writes the picture, and returns the rows."""
    rows: list[dict[str, Any]] = []
    pictures: list[Letter] = []
    settings = digest(config.letters, config.size, dict(config.changes), config.weights)
    folder = Path(config.out, settings)
    for name, change in CHANGES.items():
        letters, truths = (
            [draw(letter, font, family, config.size) for letter in config.letters]
            for font in (change.before, change.after)
        )
        place = {"family": family, "change": name}
        rows.append(place | {"way": "none", "alpha": 0.0} | measure(letters, truths, letters))
        columns = [letters, truths]
        for way_name in config.ways:
            print(f"{family}, {name}: {way_name}", file=sys.stderr, flush=True)
            way = WAYS[way_name]
            kept = kept_arrays(
                folder / f"{family}, {name}, {way_name}.safetensors",
                partial(edit_letters, vgg, family, change, way, dataset, config),
            )
            faces = [kept[letter] for letter in config.letters]
            edited = [list(each) for each in zip(*faces, strict=True)]
            found = [
                place | {"way": way_name, "alpha": alpha} | measure(letters, truths, each)
                for alpha, each in zip(way.alphas, edited, strict=True)
            ]
            rows += found
            columns.append(edited[found.index(smallest(found))])
        pictures.append(np.concatenate([np.concatenate(column) for column in columns], axis=1))
    path = Path(config.out, f"{family}.jpg")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(to_bytes(np.concatenate(pictures))).save(path, quality=90)
    return rows


def edit_letters(
    vgg: VGG, family: str, change: Change, way: Way, dataset: Dataset, config: Config
) -> dict[str, Float[np.ndarray, "n s s 3"]]:
    """Returns each edited letter, at all strengths of a way."""
    recipe = Recipe().set({"features.size": str(config.size), **way.changes, **config.changes})
    jobs = [
        make_job(letter, family, change, way, dataset, config.size) for letter in config.letters
    ]
    edits = Editor(recipe=recipe, weights=vgg).edit_many(jobs)
    return {job.name: np.clip(edit.faces, 0, 1) for job, edit in edits}


def make_job(
    letter: str, family: str, change: Change, way: Way, dataset: Dataset, size: int
) -> Job:
    """Returns the job of changing a letter in one way, with examples from a dataset of others."""
    nearby = way.examples == "neighbours"
    attribute: str | Selection = change.wanted
    if way.examples == "truth":
        attribute = select_pairs(make_dataset({family: letter}, size), family, change, way.k)
    elif not nearby:
        (other,) = FAMILIES.keys() - {family}
        pairs_of = family if way.examples == "pairs" else other
        attribute = select_pairs(dataset, pairs_of, change, way.k)
    return Job(
        photo=draw(letter, change.before, family, size),
        attribute=attribute,
        alphas=way.alphas,
        dataset=dataset if nearby else None,
        near=near.pixels if nearby else None,
        k=way.k if nearby else None,
        face="whole",
        name=letter,
    )


def measure(letters: list[Letter], truths: list[Letter], edited: list[Letter]) -> dict[str, Any]:
    """Returns how far edited letters are from the true ones, and how far they have come."""
    each = [
        {
            "lpips": lpips(t, z),
            "psnr": psnr(float(np.square(z - t).mean())),
            "share": float(np.vdot(z - x, t - x) / np.vdot(t - x, t - x)),
        }
        for x, t, z in zip(letters, truths, edited, strict=True)
    ]
    return {**average(each), "letters": each}


def smallest(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the row whose LPIPS is the smallest."""
    return min(rows, key=lambda row: row["lpips"])


def print_tables(record: dict[str, Any]) -> None:
    """Prints LPIPS at every strength, then the other measures at the best strength, by family."""
    for family in record["config"]["families"]:
        rows = [row for row in record["rows"] if row["family"] == family]
        ways = list(dict.fromkeys(row["way"] for row in rows))
        print(f"\n{family}: LPIPS\n")
        print_distances(rows, ways)
        print(f"\n{family}: the other measures\n")
        heads = [f"{name}: {measure}" for name in CHANGES for measure in ("PSNR", "share")]
        print(f"| way | {' | '.join(heads)} |\n{'| --- ' * (1 + len(heads))}|")
        for way in ways:
            bests = [smallest(curve(rows, way, name)) for name in CHANGES]
            cells = [
                show([letter[measure] for letter in best["letters"]], digits)
                for best in bests
                for measure, digits in (("psnr", 1), ("share", 2))
            ]
            print(f"| {way} | {' | '.join(cells)} |")


def print_distances(rows: list[dict[str, Any]], ways: list[str]) -> None:
    """Prints LPIPS at every strength. The letter itself is the same at all of them."""
    strengths = sorted({row["alpha"] for row in rows} - {0.0})
    heads = [f"{name} {alpha:g}" for name in CHANGES for alpha in strengths]
    print(f"| way | {' | '.join(heads)} |\n{'| --- ' * (1 + len(heads))}|")
    for way in ways:
        cells = []
        for name in CHANGES:
            found = {row["alpha"]: f"{row['lpips']:.3f}" for row in curve(rows, way, name)}
            cells += [found.get(alpha, found.get(0.0, "")) for alpha in strengths]
        print(f"| {way} | {' | '.join(cells)} |")


def curve(rows: list[dict[str, Any]], way: str, change: str) -> list[dict[str, Any]]:
    """Returns the rows of a way and a change, which differ in the strength."""
    return [row for row in rows if (row["way"], row["change"]) == (way, change)]


def main() -> None:
    """Prints the tables, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
