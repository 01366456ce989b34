"""Images of a dataset that are warped onto a whole photo, and the edit that follows from them.

`high_resolution.py` chooses the images.
"""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from whole_photos import Pixels, Subject

from dfi_jax import VGG, Anchor, Cache, Dataset, Recipe, Selection, make_problem, prepare
from dfi_jax import reconstruct as solve
from dfi_jax.data import landmarks
from dfi_jax.network.means import feature_moments
from dfi_jax.photo.resampling import warp
from dfi_jax.photo.two_scales import fit_two_scales
from dfi_jax.recipe.features import Features
from dfi_jax.recipe.preparation import prepare_images, restore_images

Laid = tuple[Int[np.ndarray, " r"], Float[np.ndarray, "r 2 3"]]
"""Images, by their numbers, and the maps that lay them over the photo.

Maps count from the corner of the first pixel."""

SEEN = 1_000_000
"""Maximum number of pixels that the network sees at a time. With more, the images of the sets would
take more memory than the reconstruction."""

BEYOND = 0.5
"""Grey level beyond a warped image, as in the authors' code."""


def compare_sets(selection: Selection, anchor: Anchor) -> dict[str, Any]:
    """Returns how many images the rule admits to each set, and in what the chosen images differ.

    `admitted` counts images without the attribute, then images with it. `wanted` has the attributes
    that were asked for, and `other` the one that differs most of all others. Each has the mean
    score of the set with the attribute minus that of the other set, in standard deviations of the
    dataset's scores.
    """
    dataset = selection.dataset
    admitted = selection.rule.members(dataset, selection.wanted, anchor)
    source, target = (dataset.scores[rows] for rows in (selection.source, selection.target))
    differences = (target.mean(axis=0) - source.mean(axis=0)) / dataset.scores.std(axis=0)
    others = dict(zip(dataset.attributes, differences.tolist(), strict=True))
    wanted = {term.name: others.pop(term.name) for term in selection.wanted.terms}
    name = max(others, key=lambda name: abs(others[name]))
    return {
        "admitted": [int(rows.sum()) for rows in admitted],
        "wanted": wanted,
        "other": {name: others[name]},
    }


def fit_sets(selection: Selection, subject: Subject, *, cache: Cache | None) -> list[Laid]:
    """Returns the images with the opposite and those with the attribute, and their maps.

    Images in which no face is detected are left out.
    """
    found = []
    for rows in (selection.source, selection.target):
        points = landmarks.detect(selection.dataset, rows, points=68, cache=cache)
        # Warping counts from the corner of the first pixel, and points count from its centre.
        fit = fit_two_scales(points + 0.5, subject.points + 0.5)
        known = np.isfinite(fit.distances)
        found.append((rows[known], fit.matrices[known]))
    return found


def edit_whole(
    vgg: VGG, pixels: Pixels, dataset: Dataset, sets: list[Laid], recipe: Recipe, alpha: float
) -> Pixels:
    """Returns the whole photo with its features moved, at its own size."""
    steps, mean_rgb = recipe.features.preparation, vgg.preprocess.mean_rgb
    # Winograd's convolutions take nearly 1 GB more at 1000 × 1000, and hardly less time.
    vgg = prepare(vgg, layers=recipe.features.layers, winograd=False)
    # Nothing but the engine holds the problem. At 1000 × 1000, each set of features takes 0.1 GB.
    problems = (
        make_problem(
            vgg,
            prepare_images(pixels[None], steps, mean_rgb),
            mean_difference(vgg, dataset, sets, recipe, pixels.shape[:2]),
            [alpha],
            recipe=recipe,
        )
        for _ in range(1)
    )
    # The engine counts with the recipe's size, which isn't the photo's.
    ((_, found),) = solve(vgg, problems, recipe=recipe, batch_size=1)
    return restore_images(found.images, pixels[None], steps, mean_rgb)[0].clip(0, 1)


def mean_difference(
    vgg: VGG, dataset: Dataset, sets: list[Laid], recipe: Recipe, size: tuple[int, int]
) -> Features:
    """Returns the mean features of warped images with the attribute, minus those without it."""
    stage, mean_rgb = recipe.features, vgg.preprocess.mean_rgb
    source, target = (
        feature_moments(
            vgg,
            (
                prepare_images(batch, stage.preparation, mean_rgb)
                for batch in lay_over(dataset, rows, maps, size)
            ),
            layers=stage.layers,
            pool_rounding=stage.pool_rounding,
            normalization=stage.normalization,
        )
        for rows, maps in sets
    )
    variance = jax.tree.map(
        lambda a, b: a / target.images + b / source.images, target.variance, source.variance
    )
    return recipe.shrinkage.shrink(jax.tree.map(jnp.subtract, target.mean, source.mean), variance)


def lay_over(
    dataset: Dataset,
    rows: Int[np.ndarray, " r"],
    maps: Float[np.ndarray, "r 2 3"],
    size: tuple[int, int],
) -> Iterator[Float[np.ndarray, "_ h w 3"]]:
    """Yields images warped to a photo's frame, as many at a time as `SEEN` allows."""
    inverses = [np.linalg.inv(np.vstack([each, [0, 0, 1]]))[:2] for each in maps]
    count = max(1, SEEN // (size[0] * size[1]))
    for i in range(0, len(rows), count):
        pairs = zip(rows[i : i + count].tolist(), inverses[i : i + count], strict=True)
        # Beyond the image, `warp` gives 0.
        yield np.stack([warp(dataset.read(row) - BEYOND, m, size) + BEYOND for row, m in pairs])
