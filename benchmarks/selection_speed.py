"""How long selection takes at the size of LFW and of CelebA, and whether images are decoded while the network works.

    python experiments/selection_speed.py LFW_DIR

Selections are of 100 + 100 by scores, of generated ones, each the median of five. The mean features of 200 images are
taken as `dfi edit` takes them, beside decoding alone and the network alone; what is left of decoding when both are
done at once is what the network waits for.
"""

import argparse
import statistics
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from dfi_jax.data import lfw, select
from dfi_jax.data.dataset import BATCH, Dataset
from dfi_jax.data.select import Like
from dfi_jax.network.means import mean_features
from dfi_jax.recipe import RECIPES
from dfi_jax.network.weights import load_vgg

REPEATS = 5
IMAGES = 200


def median_seconds(work: Callable[[], object]) -> tuple[float, float, float]:
    """The median of some runs, the shortest and the longest, after one that doesn't count."""
    work()
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds), min(seconds), max(seconds)


def report_selection(images: int, attributes: int) -> None:
    """Prints what choosing 100 + 100 images takes."""
    scores = np.random.default_rng(0).normal(0, 1.5, (images, attributes)).astype(np.float32)
    names = tuple(f"Attribute {i}" for i in range(attributes))
    dataset = Dataset("generated", ("",) * images, lambda index: scores, names, scores, np.arange(images) // 2)

    def work() -> None:
        select.select(dataset, like=Like(index=0, scores=scores[0]), attributes=["Attribute 3"])

    middle, shortest, longest = median_seconds(work)
    tracemalloc.start()
    work()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"| {images:,} × {attributes} | {middle:.3f} ({shortest:.3f}–{longest:.3f}) | {peak / 1e6:.0f} MB |")


def report_overlap(dataset: Dataset) -> None:
    """Prints what the mean features of 200 images take, and its two parts alone."""
    vgg, recipe = load_vgg("vgg16"), RECIPES["default"]
    rows = np.linspace(0, len(dataset) - 1, IMAGES).astype(int)
    decoded = list(dataset.batches(rows, size=recipe.size))
    parts = {
        "decoding alone": lambda: [np.stack([dataset.face(row, recipe.size) for row in rows[i : i + BATCH]])
                                   for i in range(0, IMAGES, BATCH)],
        "the network alone": lambda: jax.block_until_ready(mean_features(vgg, decoded, layers=recipe.layers)),
        "both, decoding ahead": lambda: jax.block_until_ready(
            mean_features(vgg, dataset.batches(rows, size=recipe.size), layers=recipe.layers)
        ),
    }  # fmt: skip
    for name, work in parts.items():
        middle, shortest, longest = median_seconds(work)
        print(f"| {name} | {middle:.2f} ({shortest:.2f}–{longest:.2f}) |")


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lfw", type=Path, help="the folder with lfw_attributes.txt and lfw-deepfunneled")
    dataset = lfw.load(parser.parse_args().lfw)
    print("| images × attributes | seconds | peak |\n| --- | --- | --- |")
    report_selection(13_143, 73)
    report_selection(202_599, 40)
    print("\n| mean features of 200 images | seconds |\n| --- | --- |")
    report_overlap(dataset)


if __name__ == "__main__":
    main()
