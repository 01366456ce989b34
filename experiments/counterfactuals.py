"""How close does an edit come to the truth?

    python experiments/counterfactuals.py [--photos N] [--out DIR] [--json]
    python experiments/counterfactuals.py --quick

Drawn people have what nobody else has: the same photo with the attribute (`data.synthetic`). A
dataset of drawn people gives the vectors, and others are edited in three of the ways of
`experiments/vectors.py`, at several strengths. Every way is shown at the strength whose LPIPS to
the true photo is the smallest, as a mean over photos.

The table has LPIPS and PSNR (in decibels) to the true photo, over the whole crop and over the part
in which the true photo equals the original. The way `none` is the original itself.
"""

import dataclasses
import functools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from command_line import SMALL, run_experiment
from jaxtyping import Float
from PIL import Image
from vectors import WAYS

from dfi_jax import AttributeVector, Editor, Job, Recipe, load_dataset, load_vgg
from dfi_jax.data import synthetic
from dfi_jax.metrics.change import lpips
from dfi_jax.photo.image import to_bytes
from dfi_jax.vectors.fit import fit

PEOPLE_SEED = 1
"""Seed of the people who are edited; the dataset's people have the seed 0."""

SAME = 1 / 255
"""Largest difference, in any channel, between pixels that count as equal."""

Face = Float[np.ndarray, "s s 3"]


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is compared.

    Attributes:
      dataset: Drawn people whom the vectors come from.
      ways: Names of ways.
      attributes: Attributes that are added.
      photos: Number of photos.
      changes: Changes to all recipes.
      weights: Name of the network.
      out: Folder for pictures.
    """

    dataset: str = "synthetic:600"
    ways: tuple[str, ...] = ("published", "neighbours, shrunk", "fitted")
    attributes: tuple[str, ...] = ("Smiling", "Eyeglasses", "Beard")
    photos: int = 4
    changes: Mapping[str, str] = field(default_factory=dict)
    weights: str = "vgg16"
    out: str = "out/counterfactuals"


QUICK = Config(
    dataset="synthetic:60:0:64",
    ways=("fitted",),
    attributes=("Eyeglasses",),
    photos=1,
    changes=SMALL,
    weights="random-vgg16",
)


class Pair(NamedTuple):
    """A drawn photo, and the same photo with the attribute."""

    without: Face
    truth: Face


def draw_pairs(attribute: str, count: int, size: int) -> list[Pair]:
    """Returns photos of people who have no attribute, and the true photos with one."""
    plain, full = synthetic.PLAIN, synthetic.STRONGEST_SCORE / 2
    people = [synthetic.identity((PEOPLE_SEED, i)) for i in range(count)]
    return [
        Pair(
            synthetic.render(person, plain, size=size),
            synthetic.counterfactual(person, plain, attribute, full, size=size),
        )
        for person in people
    ]


def compare(pair: Pair, edited: Face) -> dict[str, float]:
    """Returns how far an edited photo is from the true one."""
    errors = np.square(edited - pair.truth)
    same = np.abs(pair.truth - pair.without).max(axis=-1) <= SAME
    return {
        "lpips": lpips(pair.truth, edited),
        "psnr": psnr(float(errors.mean())),
        "psnr outside": psnr(float(errors[same].mean())),
    }


def psnr(error: float) -> float:
    """Returns −10·log₁₀ of a mean squared error of values in [0, 1], at most 99 decibels."""
    return min(99.0, float(-10 * np.log10(max(error, 1e-10))))


def run(config: Config) -> dict[str, Any]:
    """Edits every photo in every way, and returns the rows of the table."""
    dataset, vgg = load_dataset(config.dataset), load_vgg(config.weights)
    # A person is a neighbour many times, and takes longer to draw than to look up.
    dataset = dataclasses.replace(dataset, read=functools.cache(dataset.read))
    base = Recipe().set(config.changes)
    fitted = fit(vgg, dataset, recipe=base)
    rows: list[dict[str, Any]] = []
    for attribute in config.attributes:
        pairs = draw_pairs(attribute, config.photos, base.features.size)
        unedited = [compare(pair, pair.without) for pair in pairs]
        rows.append({"attribute": attribute, "way": "none", "alpha": 0.0, **average(unedited)})
        columns = [[pair.without for pair in pairs], [pair.truth for pair in pairs]]
        for name in config.ways:
            way = WAYS[name]
            print(f"{attribute}: {name}", file=sys.stderr, flush=True)
            editor = Editor(recipe=base.set(way.changes), weights=vgg)
            source: str | AttributeVector = attribute
            if way.vector == "fitted":
                source = fitted.vector(attribute, shrinkage=base.shrinkage)
            jobs = [
                Job(
                    photo=pair.without,
                    attribute=source,
                    alphas=way.alphas,
                    dataset=dataset if isinstance(source, str) else None,
                    face="whole",
                    name=str(i),
                )
                for i, pair in enumerate(pairs)
            ]
            edited = {
                int(job.name): np.clip(edit.faces, 0, 1) for job, edit in editor.edit_many(jobs)
            }
            found: list[dict[str, Any]] = []
            for i, alpha in enumerate(way.alphas):
                means = average([compare(pair, edited[p][i]) for p, pair in enumerate(pairs)])
                found.append({"attribute": attribute, "way": name, "alpha": alpha, **means})
            best = min(range(len(found)), key=lambda i: found[i]["lpips"])
            rows.append(found[best])
            columns.append([edited[p][best] for p in range(len(pairs))])
        draw(columns, Path(config.out, f"{attribute}.png"))
    return {"config": dataclasses.asdict(config), "rows": rows}


def average(rows: list[dict[str, float]]) -> dict[str, float]:
    """Returns the mean of each measure."""
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def show(values: Sequence[float], digits: int = 2) -> str:
    """Returns the mean of some values and their standard deviation, with decimals.

    >>> show([1.0, 2.0, 3.0])
    '2.00 ± 0.82'
    """
    return f"{np.mean(values):.{digits}f} ± {np.std(values):.{digits}f}"


def draw(columns: list[list[Face]], path: Path) -> None:
    """Writes a picture with one row per photo: original, truth, and every way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.concatenate([np.concatenate(column) for column in columns], axis=1)
    Image.fromarray(to_bytes(picture)).save(path)


def print_tables(record: dict[str, Any]) -> None:
    """Prints one row per attribute and way."""
    print("| attribute | vectors | strength | LPIPS | PSNR | PSNR outside |")
    print("| --- " * 6 + "|")
    for row in record["rows"]:
        print(
            f"| {row['attribute']} | {row['way']} | {row['alpha']:g} | {row['lpips']:.4f} | "
            f"{row['psnr']:.1f} | {row['psnr outside']:.1f} |"
        )


def main() -> None:
    """Prints the table, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
