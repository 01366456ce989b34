"""Is a vector from men better for men, and one from women for women?

    python experiments/genders.py lfw:DIR [--out DIR] [--json]
    python experiments/genders.py --quick

The people of the dataset are divided into halves, and the men and women of each half are fitted by
themselves (`dfi_jax.vectors.fit` with `where`). The vector w' of one half's men, without shrinkage,
stands for what is true of men. From the other half, three vectors are compared with it: that of all
people, that of the men, and that of the women. The same is done for women. The table has the
relative errors ‖shrunk(w) − w'‖²/‖w'‖² as means over layers and over both directions. w' has noise
as well, so only differences between columns count.

The attributes that `dfi vectors regress` holds by default are held. `--quick` uses drawn faces.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from command_line import run_experiment
from fitted_vectors import halve

from dfi_jax import Recipe, Unshrunk, load_dataset, load_vgg
from dfi_jax.recipe.features import DEFAULT_LAYERS, Features
from dfi_jax.vectors.fit import fit
from dfi_jax.vectors.fitted import FittedDataset


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is compared.

    Attributes:
      dataset: Dataset with scores.
      attributes: Attributes whose vectors are computed.
      groups: Name of each group, and the attributes that its images have or lack.
      weights: Name of the network.
      layers: Names of layers.
      size: Height and width of the faces.
      out: Folder for the sums.
    """

    dataset: str
    attributes: tuple[str, ...] = ("Smiling", "Mouth Slightly Open", "Eyeglasses", "~Young")
    groups: Mapping[str, str] = field(default_factory=lambda: {"men": "+Male", "women": "-Male"})
    weights: str = "vgg16"
    layers: tuple[str, ...] = DEFAULT_LAYERS
    size: int = 200
    out: str = "out/genders"


QUICK = Config(
    dataset="synthetic:320:0:64",
    attributes=("Smiling",),
    groups={"young": "+Young", "old": "-Young"},
    weights="random-vgg16",
    layers=("conv1_2", "conv2_1"),
    size=32,
)


def run(config: Config) -> dict[str, Any]:
    """Fits both groups of both halves, and returns the rows of the table."""
    dataset, vgg = load_dataset(config.dataset), load_vgg(config.weights)
    recipe = Recipe().set(
        {"features.layers": ",".join(config.layers), "features.size": str(config.size)}
    )
    folder = Path(config.out, f"{len(dataset)}-images-{config.size}-pixels")
    halves: list[dict[str, FittedDataset]] = []
    for i, rows in enumerate(halve(dataset)):
        sums = {
            name: fit(
                vgg, dataset, recipe=recipe, where=where, rows=rows, folder=folder / f"{name}-{i}"
            )
            for name, where in config.groups.items()
        }
        halves.append({"all": FittedDataset.merge(list(sums.values())), **sums})
    counts = {name: [len(half[name].scores) for half in halves] for name in ("all", *config.groups)}
    return {
        "config": dataclasses.asdict(config),
        "images": counts,
        "rows": [
            {"attribute": attribute, "group": group, "errors": compare(halves, attribute, group)}
            for attribute in config.attributes
            for group in config.groups
        ],
    }


def compare(halves: list[dict[str, FittedDataset]], attribute: str, group: str) -> dict[str, float]:
    """Returns the relative error of each kind of vector for a group's vector of the other half."""
    errors: dict[str, list[float]] = {}
    for here, there in (halves, halves[::-1]):
        truth = there[group].vector(attribute, shrinkage=Unshrunk()).features
        for name, sums in here.items():
            found = sums.vector(attribute).features
            errors.setdefault(name, []).append(relative_error(found, truth))
    return {name: float(np.mean(values)) for name, values in errors.items()}


def relative_error(found: Features, truth: Features) -> float:
    """Returns ‖w − w'‖²/‖w'‖², as a mean over layers."""
    ratios = [
        np.sum(np.square(found[name] - truth[name])) / np.sum(np.square(truth[name]))
        for name in truth
    ]
    return float(np.mean(ratios))


def print_tables(record: dict[str, Any]) -> None:
    """Prints one row per attribute and group."""
    names = list(record["images"])
    print(" · ".join(f"{name}: {record['images'][name]} images" for name in names) + "\n")
    print(f"| attribute | true of | {' | '.join(f'vector of {name}' for name in names)} |")
    print("| --- " * (2 + len(names)) + "|")
    for row in record["rows"]:
        errors = " | ".join(f"{row['errors'][name]:.3f}" for name in names)
        print(f"| {row['attribute']} | {row['group']} | {errors} |")


def main() -> None:
    """Prints the table, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
