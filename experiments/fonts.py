"""How does an edit do away from faces, where the truth is known? Letters in another typeface.

    python experiments/fonts.py [--letters TEXT] [--out DIR] [--quick] [--json]

A letter has what a photo hasn't: the same letter in bold, in italics, or with serifs. The letters
of a dataset are drawn in the eight faces of DejaVu Sans and DejaVu Serif, which come with
matplotlib; others, which the dataset doesn't contain, are edited whole, in several ways, at several
strengths, and compared with the true letters.

The ways differ in the examples that the vector comes from and in the recipe. *Neighbours* are the
nearest letters by pixels, in the face that the edited letter has and in the face that it should
get; *pairs* are the same letters in both faces. The way `truth` takes the vector from the letter
itself and from the truth, so that it shows what reconstruction alone can reach.

The first table has LPIPS to the true letter, as a mean over letters, at every strength. The way
`none` is the letter itself. The second table has two other measures at the strength whose LPIPS is
the smallest: PSNR to the true letter in decibels, and the share of the true change that was made,
⟨z − x, t − x⟩/‖t − x‖², for the letter x, the true letter t and the edited letter z. The folder
gets a picture: for each change and each letter, the original, the truth, and every way at that
strength.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from counterfactuals import average, psnr
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

from dfi_jax import VGG, Dataset, Editor, Job, Recipe, Selection, Wanted, load_vgg, near
from dfi_jax.metrics.change import lpips
from dfi_jax.photo.image import to_bytes

ALPHABET = (
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    "ΓΔΘΛΞΠΣΦΨΩαβγδεζηθλμξπστφχψω"
    "БДЖЗИЙЛЦЧШЩЪЫЬЭЮЯбвгджзийлмнптфцчшщъыьэюя"
)
"""Letters of three scripts. Letters that look like one of another script are left out, because an
edited letter would find the truth among its neighbours."""

FACES = {
    "DejaVuSans": (-1, -1, -1),
    "DejaVuSans-Bold": (-1, 1, -1),
    "DejaVuSans-Oblique": (-1, -1, 1),
    "DejaVuSans-BoldOblique": (-1, 1, 1),
    "DejaVuSerif": (1, -1, -1),
    "DejaVuSerif-Bold": (1, 1, -1),
    "DejaVuSerif-Italic": (1, -1, 1),
    "DejaVuSerif-BoldItalic": (1, 1, 1),
}
"""Scores of each face for `ATTRIBUTES`."""

ATTRIBUTES = ("Serif", "Bold", "Italic")

EM, BASELINE = 0.8, 0.75
"""Size of a letter, and distance of its baseline from the top, relative to the image's side."""

Letter = Float[np.ndarray, "s s 3"]


class Change(NamedTuple):
    """A change from one face to another.

    Attributes:
      wanted: The attribute that changes, and those that stay.
      before: Face of the edited letters.
      after: Face of the true letters.
    """

    wanted: str
    before: str
    after: str


CHANGES = {
    "bold": Change("Bold,-Italic,-Serif", "DejaVuSans", "DejaVuSans-Bold"),
    "italic": Change("Italic,-Bold,+Serif", "DejaVuSerif", "DejaVuSerif-Italic"),
    "serif": Change("Serif,-Bold,-Italic", "DejaVuSans", "DejaVuSerif"),
}
"""The changes that are tried."""


class Way(NamedTuple):
    """A way to an edit.

    Attributes:
      examples: Kind of examples: `neighbours`, `pairs` or `truth`.
      k: Number of examples in each set.
      changes: Changes to the default recipe.
      alphas: Strengths.
    """

    examples: str
    k: int
    changes: Mapping[str, str] = {}
    alphas: tuple[float, ...] = (0.5, 1.0, 2.0)


FIVE_LAYERS = {"features.layers": "conv1_1,conv2_1,conv3_1,conv4_1,conv5_1"}
LONGER = {"solver.iterations": "100"}
PAIRED = {"shrinkage": "unshrunk"}
"""Shrinkage takes both sets for independent samples, which pairs aren't."""

EXACT = PAIRED | {"vector.factor": "1"}
"""The gain of the default recipe is for vectors that are blurred, which the truth isn't."""

WAYS = {
    "10 neighbours": Way("neighbours", 10),
    "30 neighbours": Way("neighbours", 30),
    "100 neighbours": Way("neighbours", 100),
    "30 neighbours, unshrunk": Way("neighbours", 30, {"shrinkage": "unshrunk"}),
    "30 neighbours, five layers": Way("neighbours", 30, FIVE_LAYERS),
    "10 pairs": Way("pairs", 10, PAIRED),
    "100 pairs": Way("pairs", 100, PAIRED),
    "100 pairs, five layers": Way("pairs", 100, PAIRED | FIVE_LAYERS),
    "100 pairs, five layers, 100 iterations": Way("pairs", 100, PAIRED | FIVE_LAYERS | LONGER),
    "truth": Way("truth", 1, EXACT, (1.0,)),
    "truth, five layers": Way("truth", 1, EXACT | FIVE_LAYERS, (1.0,)),
}
"""The ways that are compared."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is compared.

    Attributes:
      letters: Letters that are edited, and that the dataset doesn't contain.
      ways: Names of ways.
      size: Height and width of the images.
      changes: Changes to all recipes.
      weights: Name of the network.
      out: Folder for pictures.
    """

    letters: str = "Rha5"
    ways: tuple[str, ...] = tuple(WAYS)
    size: int = 64
    changes: Mapping[str, str] = field(default_factory=dict)
    weights: str = "vgg16"
    out: str = "out/fonts"


CONFIG = Config()
QUICK = Config(
    letters="R",
    ways=("10 pairs",),
    size=32,
    changes={"features.layers": "conv1_2,conv2_1", "solver.iterations": "3"},
    weights="random-vgg16",
)


def draw(letter: str, face: str, size: int) -> Letter:
    """Returns a letter, black on white."""
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{face}.ttf")
    font = ImageFont.truetype(str(path), round(EM * size))
    image = Image.new("RGB", (size, size), "white")
    place = (size / 2, BASELINE * size)
    ImageDraw.Draw(image).text(place, letter, fill="black", font=font, anchor="ms")
    return np.asarray(image, np.float32) / 255


def make_dataset(letters: str, size: int) -> Dataset:
    """Returns a dataset of letters in all faces, letter by letter."""
    images = [(letter, face) for letter in letters for face in FACES]
    return Dataset(
        name="letters",
        names=tuple(f"{face}/{letter}" for letter, face in images),
        read=lambda index: draw(*images[index], size),
        attributes=ATTRIBUTES,
        scores=np.array([FACES[face] for _, face in images], np.float32),
    )


def select_pairs(dataset: Dataset, change: Change, k: int) -> Selection:
    """Returns letters, spread over all of a dataset, in both faces of a change."""
    n = len(dataset) // len(FACES)
    letters = np.linspace(0, n - 1, min(k, n)).round().astype(int)
    source, target = (
        len(FACES) * letters + list(FACES).index(face) for face in (change.before, change.after)
    )
    wanted = Wanted.of(change.wanted, dataset.attributes)
    return Selection(dataset=dataset, wanted=wanted, k=k, near=None, source=source, target=target)


def run(config: Config) -> dict[str, Any]:
    """Makes every change in every way, and returns the rows of both tables."""
    vgg = load_vgg(config.weights)
    others = "".join(letter for letter in ALPHABET if letter not in config.letters)
    dataset = make_dataset(others, config.size)
    rows: list[dict[str, Any]] = []
    pictures: list[Letter] = []
    for name, change in CHANGES.items():
        letters, truths = (
            [draw(letter, face, config.size) for letter in config.letters]
            for face in (change.before, change.after)
        )
        unedited = measure(letters, truths, letters)
        rows.append({"change": name, "way": "none", "alpha": 0.0, **unedited})
        columns = [letters, truths]
        for way_name in config.ways:
            print(f"{name}: {way_name}", file=sys.stderr, flush=True)
            way = WAYS[way_name]
            edited = edit_letters(vgg, change, way, dataset, config)
            found = [
                {"change": name, "way": way_name, "alpha": alpha, **measure(letters, truths, each)}
                for alpha, each in zip(way.alphas, edited, strict=True)
            ]
            rows += found
            columns.append(edited[found.index(smallest(found))])
        pictures.append(np.concatenate([np.concatenate(column) for column in columns], axis=1))
    path = Path(config.out, "letters.jpg")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(to_bytes(np.concatenate(pictures))).save(path, quality=90)
    return {"config": dataclasses.asdict(config), "rows": rows}


def edit_letters(
    vgg: VGG, change: Change, way: Way, dataset: Dataset, config: Config
) -> list[list[Letter]]:
    """Returns the edited letters at each strength of a way."""
    recipe = Recipe().set({"features.size": str(config.size), **way.changes, **config.changes})
    jobs = [make_job(letter, change, way, dataset, config.size) for letter in config.letters]
    edits = {
        job.name: np.clip(edit.faces, 0, 1)
        for job, edit in Editor(recipe=recipe, weights=vgg).edit_many(jobs)
    }
    return [[edits[letter][i] for letter in config.letters] for i in range(len(way.alphas))]


def make_job(letter: str, change: Change, way: Way, dataset: Dataset, size: int) -> Job:
    """Returns the job of changing a letter in one way, with examples from a dataset of others."""
    nearby = way.examples == "neighbours"
    attribute: str | Selection = change.wanted
    if not nearby:
        examples = dataset if way.examples == "pairs" else make_dataset(letter, size)
        attribute = select_pairs(examples, change, way.k)
    return Job(
        photo=draw(letter, change.before, size),
        attribute=attribute,
        alphas=way.alphas,
        dataset=dataset if nearby else None,
        near=near.pixels if nearby else None,
        k=way.k,
        face="whole",
        name=letter,
    )


def measure(letters: list[Letter], truths: list[Letter], edited: list[Letter]) -> dict[str, float]:
    """Returns how far edited letters are from the true ones, and how far they have come."""
    return average(
        [
            {
                "lpips": lpips(t, z),
                "psnr": psnr(float(np.square(z - t).mean())),
                "share": float(np.vdot(z - x, t - x) / np.vdot(t - x, t - x)),
            }
            for x, t, z in zip(letters, truths, edited, strict=True)
        ]
    )


def smallest(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the row whose LPIPS is the smallest."""
    return min(rows, key=lambda row: row["lpips"])


def print_tables(record: dict[str, Any]) -> None:
    """Prints LPIPS at every strength, then the other measures at the best strength."""
    curves: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for row in record["rows"]:
        curves.setdefault(row["way"], {name: [] for name in CHANGES})[row["change"]].append(row)
    strengths = sorted({row["alpha"] for row in record["rows"]} - {0.0})
    heads = [f"{name} {alpha:g}" for name in CHANGES for alpha in strengths]
    print(f"| way | {' | '.join(heads)} |\n{'| --- ' * (1 + len(heads))}|")
    for way, changes in curves.items():
        cells = []
        for curve in changes.values():
            found = {row["alpha"]: f"{row['lpips']:.3f}" for row in curve}
            cells += [found.get(alpha, found.get(0.0, "")) for alpha in strengths]
        print(f"| {way} | {' | '.join(cells)} |")
    heads = [f"{name}: {measure}" for name in CHANGES for measure in ("PSNR", "share")]
    print(f"\n| way | {' | '.join(heads)} |\n{'| --- ' * (1 + len(heads))}|")
    for way, changes in curves.items():
        bests = map(smallest, changes.values())
        cells = [f"{best['psnr']:.1f} | {best['share']:.2f}" for best in bests]
        print(f"| {way} | {' | '.join(cells)} |")


def main() -> None:
    """Prints the tables, or the record as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--letters", help="letters that are edited")
    parser.add_argument("--out", default=CONFIG.out, help="folder for the pictures")
    parser.add_argument("--quick", action="store_true", help="try it on one letter")
    parser.add_argument("--json", action="store_true", help="print the record as JSON")
    arguments = parser.parse_args()
    config = QUICK if arguments.quick else CONFIG
    if arguments.letters:
        config = dataclasses.replace(config, letters=arguments.letters)
    record = run(dataclasses.replace(config, out=arguments.out))
    if arguments.json:
        print(json.dumps(record, indent=2))
    else:
        print_tables(record)


if __name__ == "__main__":
    main()
