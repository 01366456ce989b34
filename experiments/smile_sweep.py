"""How do edits of ten people who don't smile look at five strengths, and how long do they take?

    python experiments/smile_sweep.py lfw:DIR [--people N] [--out DIR] [--json]
    python experiments/smile_sweep.py --quick

People are drawn from the images whose score for Smiling is below −1.5. Each is edited with the
attribute vector of the 100 + 100 images that are nearest by scores, and all strengths go through
the devices as one queue. No earlier run's mean features are used. The recipe is `default` with the
vector of chainer-dfi and a solver that suits it (`vectors.PUBLISHED`).

Prints, for each person, the seconds for the attribute vector and for the reconstruction, and the
objective at every strength. Writes a folder for each person and one sheet of all. `--quick` edits
two drawn people at 32 × 32 pixels.
"""

import dataclasses
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from command_line import run_experiment
from vectors import PUBLISHED

from dfi_jax import Cache, Dataset, Edit, Editor, Recipe, load_dataset, near
from dfi_jax.data.wanted import find_attribute
from dfi_jax.photo.image import resize
from dfi_jax.recipe.features import DEFAULT_LAYERS
from dfi_jax.report.sheet import contact_sheet


@dataclass(frozen=True, kw_only=True)
class Config:
    """Who is edited, and how.

    Attributes:
      dataset: Dataset of the people.
      people: Number of people.
      below: Upper limit of the score for Smiling.
      alphas: Strengths.
      k: Maximum number of images per set.
      near: Text of the nearness, as `near.parse` reads it.
      weights: Name of the network.
      layers: Names of layers.
      size: Height and width of the faces.
      iterations: Number of iterations, or 0 for the recipe's number.
      out: Folder for the pictures.
    """

    dataset: str
    people: int = 10
    below: float = -1.5
    alphas: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5)
    k: int = 100
    near: str = "scores"
    weights: str = "vgg16"
    layers: tuple[str, ...] = DEFAULT_LAYERS
    size: int = 200
    iterations: int = 0
    out: str = "out/smile"


QUICK = Config(
    dataset="synthetic:60",
    people=2,
    below=-0.5,
    alphas=(0.2, 0.4),
    k=3,
    near="pixels",
    weights="random-vgg16",
    layers=("conv1_2", "conv2_1"),
    size=32,
    iterations=5,
)


def run(config: Config) -> dict[str, Any]:
    """Edits one person after the other, writes the pictures, and returns seconds and objectives."""
    dataset, out = load_dataset(config.dataset), Path(config.out)
    recipe = Recipe().set(
        PUBLISHED | {"features.layers": ",".join(config.layers), "features.size": str(config.size)}
    )
    if config.iterations:
        recipe = recipe.set({"solver.iterations": str(config.iterations)})
    rows, views = [], []
    with tempfile.TemporaryDirectory() as folder:
        editor = Editor(recipe=recipe, weights=config.weights, cache=Cache(Path(folder)))
        for row in find_unsmiling(dataset, config):
            name = Path(dataset.names[row]).stem
            print(name, file=sys.stderr, flush=True)
            edit = smile(editor, dataset, row, config)
            edit.save(out / name, overwrite=True)
            views += [resize(view, (300, 300)) for view in edit.views()]
            rows.append(
                {
                    "image": name,
                    "seconds": edit.record["seconds"],
                    "objective": edit.record["objective"],
                }
            )
    labels = ["original", *(f"α = {alpha:g}" for alpha in config.alphas)]
    sheet = contact_sheet(views, labels * len(rows), columns=len(labels))
    sheet.save(out / "sheet.png")
    return {
        "config": dataclasses.asdict(config),
        "iterations": recipe.solver.iterations,
        "rows": rows,
    }


def smile(editor: Editor, dataset: Dataset, row: int, config: Config) -> Edit:
    """Edits an image of the dataset with a smile."""
    # If the photo is the dataset's own file, its scores are known and its person is left out.
    photo = dataset.read(row) if dataset.folder is None else dataset.folder / dataset.names[row]
    return editor.edit(
        photo,
        "Smiling",
        alphas=config.alphas,
        dataset=dataset,
        near=near.parse(config.near),
        k=config.k,
        face=dataset.placement(row),
    )


def find_unsmiling(dataset: Dataset, config: Config) -> list[int]:
    """Returns one image each of different people who don't smile, drawn at random."""
    assert dataset.people is not None
    scores = dataset.scores[:, find_attribute("Smiling", dataset.attributes)]
    rows = np.random.default_rng(0).permutation(np.flatnonzero(scores < config.below))
    _, first = np.unique(dataset.people[rows], return_index=True)
    return sorted(rows[np.sort(first)][: config.people].tolist())


def print_tables(record: dict[str, Any]) -> None:
    """Prints one row per person, and the medians."""
    rows = record["rows"]
    ends = f"{min(record['config']['alphas']):g} … {max(record['config']['alphas']):g}"
    print(f"| image | vector, s | reconstruction, s | objective at α = {ends} |")
    print("| --- " * 4 + "|")
    for row in rows:
        seconds, objective = row["seconds"], " ".join(f"{value:.3f}" for value in row["objective"])
        phases = f"{seconds['vector']:.1f} | {seconds['reconstruction']:.1f}"
        print(f"| {row['image']} | {phases} | {objective} |")
    print()
    vectors = [row["seconds"]["vector"] for row in rows]
    first, *later = (row["seconds"]["reconstruction"] for row in rows)
    iterations = [seconds / record["iterations"] for seconds in later or [first]]
    for name, values in {"vector": vectors, "iteration of all strengths": iterations}.items():
        middle, ends = statistics.median(values), f"{min(values):.2f} to {max(values):.2f}"
        print(f"{name}: median {middle:.2f} s, {ends} s")
    if later:
        print(f"compilation in the first edit: {first - statistics.median(later):.1f} s")


def main() -> None:
    """Prints the table, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
