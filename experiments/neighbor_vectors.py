"""The attribute vectors of many photos in one pass over their neighbours."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from dfi_jax import VGG, features
from dfi_jax.data.selection import Selection
from dfi_jax.errors import InputError
from dfi_jax.recipe.features import Features, FeatureStage
from dfi_jax.recipe.shrinkage import ShrinkageStage

BATCH = 32
"""Number of images whose features are added up at a time."""

Sums = dict[str, tuple[Array, Array]]
"""Means and mean squares of features of several sets of images, by layer."""


def neighbor_vectors(
    vgg: VGG,
    selections: Sequence[Selection],
    stages: Sequence[FeatureStage],
    *,
    shrinkage: ShrinkageStage,
) -> list[Features]:
    """Returns w = mean φ(target) − mean φ(source) of each selection, for each stage.

    The selections share a dataset. The network sees each of its images once, whatever the number of
    selections that contain it.

    Raises:
      InputError: If a stage prepares images, because the problems of `matched_edits` start from the
        faces as they are.
    """
    steps = [step.kind for stage in stages for step in stage.preparation]
    if steps:
        raise InputError(
            f"the recipe's features.preparation is {', '.join(steps)}; set it to none to edit many "
            f"photos at once."
        )
    dataset = selections[0].dataset
    sets = [s.target for s in selections] + [s.source for s in selections]
    rows = np.unique(np.concatenate(sets))
    shares = np.zeros((len(sets), len(rows) + -len(rows) % BATCH), np.float32)
    for share, some in zip(shares, sets, strict=True):
        share[np.searchsorted(rows, some)] = 1 / len(some)
    total: list[Sums] | None = None
    batches = dataset.batches(rows, size=stages[0].size, batch=BATCH)
    for i, batch in enumerate(batches):
        filled = np.pad(batch, ((0, BATCH - len(batch)), (0, 0), (0, 0), (0, 0)))
        some = shares[:, i * BATCH : (i + 1) * BATCH]
        added = _add_up(vgg, filled, some, stages=tuple(stages))
        total = added if total is None else jax.tree.map(jnp.add, total, added)
    assert total is not None
    counts = np.array([len(some) for some in sets], np.float32)
    return [_subtract(sums, counts, shrinkage=shrinkage) for sums in total]


@partial(jax.jit, static_argnames="stages")
def _add_up(
    vgg: VGG, images: Array, shares: Array, *, stages: tuple[FeatureStage, ...]
) -> list[Sums]:
    phi = features(vgg, images, layers=stages[0].layers, pool_rounding=stages[0].pool_rounding)
    # By default, a GPU would multiply with TF32's ten bits of mantissa.
    add_up = partial(jnp.tensordot, shares, axes=1, precision="highest")
    return [
        {name: (add_up(layer), add_up(layer**2)) for name, layer in stage.normalize(phi).items()}
        for stage in stages
    ]


@partial(jax.jit, static_argnames="shrinkage")
def _subtract(sums: Sums, counts: Array, *, shrinkage: ShrinkageStage) -> Features:
    """Returns the shrunk difference between the first and the second half of some means."""
    half = len(counts) // 2
    vectors, variances = {}, {}
    for name, (mean, square) in sums.items():
        errors = (square - mean**2) / (counts - 1)[:, None, None, None]
        vectors[name] = mean[:half] - mean[half:]
        variances[name] = jnp.maximum(errors[:half] + errors[half:], 0)
    return dict(jax.vmap(shrinkage.shrink)(vectors, variances))
