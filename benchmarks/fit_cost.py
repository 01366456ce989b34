"""What does a fit of all attributes cost, beyond the features of the images?

    python benchmarks/fit_cost.py [--quick] [--json]

`dfi_jax.vectors.fit` adds up XᵀX, Xᵀφ and Σφ² over all images of a dataset. This fits drawn faces
with random scores in 40 attributes, and computes the features of the same faces alone, in turns.
Prints the seconds of each and their ratio, as medians with quartiles. `--quick` takes a few small
faces.
"""

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from benchmark_options import run_benchmark
from timing import describe_machine, describe_quartiles, print_head, print_machine, time_in_turns

from dfi_jax import VGG, Dataset, Recipe, features, load_dataset, load_vgg
from dfi_jax.data.dataset import BATCH
from dfi_jax.vectors.fit import fit


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is measured.

    Attributes:
      images: Number of images.
      attributes: Number of attributes.
      weights: Name of the network.
      changes: Changes to the default recipe, as paths with values.
      rounds: Number of rounds.
    """

    images: int = 64
    attributes: int = 40
    weights: str = "vgg16"
    changes: tuple[tuple[str, str], ...] = ()
    rounds: int = 7


CONFIG = Config()
QUICK = Config(
    images=16,
    weights="random-vgg16",
    changes=(("features.layers", "conv1_1"), ("features.size", "32")),
    rounds=2,
)


def run(config: Config) -> dict[str, Any]:
    """Returns the seconds of the features alone and of the fit, in each round."""
    recipe, vgg = Recipe().set(dict(config.changes)), load_vgg(config.weights)
    dataset = draw_dataset(config)
    alone, fitted = time_in_turns(
        [
            partial(compute_features, vgg, dataset, recipe=recipe),
            lambda: fit(vgg, dataset, recipe=recipe).squares,
        ],
        config.rounds,
    )
    return {
        "config": dataclasses.asdict(config),
        "machine": describe_machine(),
        "features": alone,
        "fit": fitted,
    }


def draw_dataset(config: Config) -> Dataset:
    """Returns drawn faces that are kept in memory, with random scores."""
    drawn = load_dataset(f"synthetic:{config.images}")
    images = [drawn.read(i) for i in range(config.images)]
    shape = (config.images, config.attributes)
    scores = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    names = tuple(f"Attribute {i}" for i in range(config.attributes))
    return dataclasses.replace(drawn, read=images.__getitem__, attributes=names, scores=scores)


def compute_features(vgg: VGG, dataset: Dataset, *, recipe: Recipe) -> None:
    """Computes the features of all images, in batches of the fit's size."""
    stage = recipe.features
    for batch in dataset.batches(np.arange(len(dataset)), size=stage.size, batch=BATCH):
        jax.block_until_ready(_features(vgg, batch, layers=stage.layers))


@partial(jax.jit, static_argnames="layers")
def _features(vgg: VGG, images: jax.Array, *, layers: tuple[str, ...]) -> dict[str, jax.Array]:
    return features(vgg, images, layers=layers)


def print_tables(record: dict[str, Any]) -> None:
    """Prints the machine and the table."""
    print_machine(record["machine"])
    print_head("| images | attributes | features, s | fit, s | ratio |")
    ratios = [b / a for a, b in zip(record["features"], record["fit"], strict=True)]
    cells = map(describe_quartiles, (record["features"], record["fit"], ratios))
    config = record["config"]
    print(f"| {config['images']} | {config['attributes']} | {' | '.join(cells)} |")


def main() -> None:
    """Measures and prints the table."""
    run_benchmark(__doc__, CONFIG, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
