"""How long does selection take, and are images decoded while the network works?

    python benchmarks/selection_speed.py lfw:DIR
    python benchmarks/selection_speed.py --quick

Selects 100 + 100 images by generated scores, from tables as large as LFW's and CelebA's. Then
computes the mean features of 200 images as `dfi edit` does, and times decoding alone and the
network alone, too. If both together take longer than the network alone, the network waits for
decoding. Prints the median, the shortest and the longest of five runs. `--quick` uses drawn faces
and small datasets instead.
"""

import dataclasses
import statistics
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from benchmark_options import make_parser, print_record
from timing import print_head

from dfi_jax import Anchor, Dataset, Recipe, load_dataset, load_vgg, select
from dfi_jax.data.dataset import BATCH
from dfi_jax.network.means import feature_moments


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is measured.

    Attributes:
      dataset: Text of the dataset whose images are decoded.
      weights: Name of the network.
      layers: Names of layers.
      size: Height and width of the images.
      images: Number of images whose mean features are computed.
      tables: Number of images and of attributes in the generated tables of scores.
      repeats: Number of runs that are timed, after one that isn't.
    """

    dataset: str
    weights: str = "vgg16"
    layers: tuple[str, ...] = Recipe().features.layers
    size: int = 200
    images: int = 200
    tables: tuple[tuple[int, int], ...] = ((13_143, 73), (202_599, 40))
    repeats: int = 5


QUICK = Config(
    dataset="synthetic:20",
    weights="random-vgg16",
    layers=("conv1_1",),
    size=32,
    images=20,
    tables=((1000, 10),),
    repeats=2,
)


def run(config: Config) -> dict[str, Any]:
    """Returns the seconds of selections and of mean features, and the peak of memory."""
    selections = [time_selection(*table, config=config) for table in config.tables]
    means = time_means(load_dataset(config.dataset), config=config)
    return {"config": dataclasses.asdict(config), "selections": selections, "means": means}


def time_selection(images: int, attributes: int, *, config: Config) -> dict[str, Any]:
    """Returns the seconds and the peak of memory of one selection from generated scores."""
    scores = np.random.default_rng(0).normal(0, 1.5, (images, attributes)).astype(np.float32)
    dataset = Dataset(
        name="generated",
        names=("",) * images,
        read=lambda index: scores,
        attributes=tuple(f"Attribute {i}" for i in range(attributes)),
        scores=scores,
        people=np.arange(images) // 2,
    )
    anchor = Anchor(index=0, scores=scores[0])

    def choose() -> None:
        select(dataset, "Attribute 3", anchor=anchor)

    seconds = time_repeatedly(choose, config.repeats)
    tracemalloc.start()
    choose()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {"images": images, "attributes": attributes, "seconds": seconds, "peak_bytes": peak}


def time_means(dataset: Dataset, *, config: Config) -> dict[str, list[float]]:
    """Returns the seconds of mean features, and of their two parts alone."""
    vgg = load_vgg(config.weights)
    rows = np.linspace(0, len(dataset) - 1, config.images).astype(int)
    decoded = list(dataset.batches(rows, size=config.size))

    def decode() -> None:
        for i in range(0, len(rows), BATCH):
            np.stack([dataset.face(row, config.size) for row in rows[i : i + BATCH]])

    def compute() -> None:
        jax.block_until_ready(feature_moments(vgg, decoded, layers=config.layers))

    def do_both() -> None:
        batches = dataset.batches(rows, size=config.size)
        jax.block_until_ready(feature_moments(vgg, batches, layers=config.layers))

    parts: dict[str, Callable[[], None]] = {
        "decoding alone": decode,
        "the network alone": compute,
        "both, decoding ahead": do_both,
    }
    return {name: time_repeatedly(part, config.repeats) for name, part in parts.items()}


def time_repeatedly(work: Callable[[], None], repeats: int) -> list[float]:
    """Returns the seconds of several runs, after one that isn't counted."""
    work()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return seconds


def print_tables(record: dict[str, Any]) -> None:
    """Prints both tables."""
    print_head("| images × attributes | seconds | peak |")
    for row in record["selections"]:
        peak = row["peak_bytes"] / 1e6
        sizes = f"{row['images']:,} × {row['attributes']}"
        print(f"| {sizes} | {describe(row['seconds'], 3)} | {peak:.0f} MB |")
    print_head(f"| mean features of {record['config']['images']} images | seconds |")
    for name, seconds in record["means"].items():
        print(f"| {name} | {describe(seconds, 2)} |")


def describe(seconds: list[float], digits: int) -> str:
    """Returns the median, with the shortest and the longest in brackets."""
    middle, low, high = statistics.median(seconds), min(seconds), max(seconds)
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def main() -> None:
    """Measures and prints the tables."""
    parser = make_parser(__doc__)
    parser.add_argument("dataset", nargs="?", help="dataset of the images, such as lfw:DIR")
    arguments = parser.parse_args()
    if not arguments.dataset and not arguments.quick:
        parser.error("give a dataset, such as lfw:DIR, or --quick")
    config = QUICK if arguments.quick else Config(dataset=arguments.dataset)
    print_record(run(config), print_tables, as_json=arguments.json)


if __name__ == "__main__":
    main()
