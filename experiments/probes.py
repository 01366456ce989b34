"""How well are the attributes of a photo estimated that nobody has scored?

    python experiments/probes.py lfw:DIR [--json]
    python experiments/probes.py --quick

Fits the probes by which `dfi attributes` estimates a photo's scores, or reads them from the cache.
Prints the AUC of each attribute, the area under the ROC curve of the estimates, for people left out
of the fit. `--quick` takes drawn faces.
"""

import dataclasses
import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from command_line import run_experiment

from dfi_jax import Cache, load_dataset, load_vgg
from dfi_jax.vectors.probes import fit

COLUMNS = 4
"""Number of attributes in a row of the table."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is measured.

    Attributes:
      dataset: Dataset with scores.
      weights: Name of the network.
    """

    dataset: str
    weights: str = "vgg16"


QUICK = Config(dataset="synthetic:60:0:64", weights="random-vgg16")


def run(config: Config) -> dict[str, Any]:
    """Fits the probes, and returns the AUC of each attribute, or None if it is undefined."""
    dataset, vgg = load_dataset(config.dataset), load_vgg(config.weights)
    probes = fit(vgg, dataset, cache=Cache())
    areas = zip(probes.attributes, probes.auc.tolist(), strict=True)
    return {
        "config": dataclasses.asdict(config),
        "images": len(dataset),
        "penalty": probes.ridge.penalty,
        "auc": {name: None if math.isnan(area) else area for name, area in areas},
    }


def print_tables(record: dict[str, Any]) -> None:
    """Prints the AUC of each attribute, from the largest to the smallest, and their mean."""
    known = {name: area for name, area in record["auc"].items() if area is not None}
    cells = [f"{name} | {known[name]:.3f}" for name in sorted(known, key=lambda n: -known[n])]
    rows = -(-len(cells) // COLUMNS)
    columns = [cells[i : i + rows] for i in range(0, len(cells), rows)]
    print(f"{'| attribute | AUC ' * len(columns)}|\n{'| --- ' * 2 * len(columns)}|")
    for row in itertools.zip_longest(*columns, fillvalue=" | "):
        print(f"| {' | '.join(row)} |")
    print(f"\nThe mean AUC is {np.mean(list(known.values())):.3f}, of {record['images']} images.")
    if unknown := sorted(record["auc"].keys() - known):
        print(f"All or none of the images have the attribute: {', '.join(unknown)}.")


def main() -> None:
    """Prints the table, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
