"""The attribute vector of a selection of images."""

import hashlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from dfi_jax.data.rule import Rule
from dfi_jax.data.selection import Selection
from dfi_jax.network.means import Moments, feature_moments
from dfi_jax.network.vgg import VGG
from dfi_jax.progress import OnProgress, Progress
from dfi_jax.recipe import Recipe
from dfi_jax.recipe.preparation import prepare_images
from dfi_jax.recipe.stage import to_json
from dfi_jax.storage.cache import Cache, remember
from dfi_jax.vectors.attribute_vector import AttributeVector, from_estimate
from dfi_jax.vectors.provenance import Provenance
from dfi_jax.vectors.replacement import takes_away


def attribute_vector(
    vgg: VGG,
    selection: Selection,
    *,
    recipe: Recipe,
    cache: Cache | None = None,
    on_progress: OnProgress | None = None,
) -> AttributeVector:
    """Returns w = mean φ(target) − mean φ(source) over a selection of images, shrunk by the recipe.

    The means are weighted as the selection's rule says. With n images and the variance σ² between
    them in each set, the squared standard error of an activation is s² = σ²/n of the target plus
    σ²/n of the source; with weights, n is (Σw)²/Σw². The provenance knows √Σs² of each layer as
    `noise`. A set of one image has the σ² of the other set. If both have only one, the noise is
    unknown, and w isn't shrunk.

    Args:
      vgg: The network.
      selection: The images without and with the attributes.
      recipe: The layers, the size of the images and their preparation, the normalisation of their
        features, and the shrinkage.
      cache: Cache in which the moments of both sets are stored, or None.
      on_progress: Function that is called with the number of images done.

    Raises:
      InputError: If a set is empty.
      FileError: If an image can't be read.

    >>> import dfi_jax
    >>> from dfi_jax.data.selection import spread
    >>> selection = spread(dfi_jax.load_dataset("synthetic:40"), "Smiling", k=2)
    >>> recipe = dfi_jax.Recipe().set({"features.layers": "conv1_1", "features.size": "16"})
    >>> vgg = dfi_jax.load_vgg("random-vgg16")
    >>> attribute_vector(vgg, selection, recipe=recipe).features["conv1_1"].shape
    (16, 16, 64)
    """
    stage = recipe.features
    total = len(selection.source) + len(selection.target)
    done = 0

    def batches(rows: Int[np.ndarray, " r"]) -> Iterator[Float[np.ndarray, "_ _ _ 3"]]:
        nonlocal done
        for batch in selection.dataset.batches(rows, size=stage.size):
            yield prepare_images(batch, stage.preparation, vgg.preprocess.mean_rgb)
            done += len(batch)
            if on_progress is not None:
                on_progress(Progress(phase="mean features", done=done, total=total, unit="images"))

    def moments(
        rows: Int[np.ndarray, " r"], weights: Float[np.ndarray, " r"] | None, fingerprint: str
    ) -> Moments:
        depends = {
            "images": fingerprint,
            "network": vgg.identity(),
            "layers": stage.layers,
            "pool_rounding": stage.pool_rounding,
            "size": stage.size,
            "preparation": to_json(stage.preparation),
            "normalization": to_json(stage.normalization),
            "statistics": ["mean", "variance"],
        }
        if weights is not None:
            depends["weights"] = weights.tolist()

        def compute() -> dict[str, np.ndarray]:
            found = feature_moments(
                vgg,
                batches(rows),
                layers=stage.layers,
                pool_rounding=stage.pool_rounding,
                normalization=stage.normalization,
                weights=weights,
            )
            return {
                f"{name}.{part}": np.asarray(layers[name])
                for part, layers in (("mean", found.mean), ("variance", found.variance))
                for name in stage.layers
            }

        kept = remember(cache, "means", depends, compute)
        mean, variance = (
            {name: jnp.asarray(kept[f"{name}.{part}"]) for name in stage.layers}
            for part in ("mean", "variance")
        )
        effective = len(rows) if weights is None else weights.sum() ** 2 / np.sum(weights**2)
        return Moments(mean, variance, len(rows), float(effective))

    sets = (selection.target, selection.source)
    fingerprints = [selection.dataset.fingerprint(rows) for rows in sets]
    target, source = map(moments, sets, reversed(selection.weights()), fingerprints)
    variances = [each.variance for each in (target, source) if each.effective > 1]
    variance = None
    if variances:
        variance = jax.tree.map(
            lambda a, b: a / target.effective + b / source.effective, variances[0], variances[-1]
        )
    wanted = selection.wanted.resolve(selection.dataset.attributes)
    provenance = Provenance(
        dataset=selection.dataset.name,
        attributes=tuple(map(str, wanted.terms)),
        k=selection.k,
        n_source=len(selection.source),
        n_target=len(selection.target),
        network=vgg.name,
        weights_sha256=vgg.sha256,
        layers=stage.layers,
        size=stage.size,
        crop=selection.dataset.crop,
        warped=selection.dataset.warped,
        pool_rounding=stage.pool_rounding,
        preparation=stage.preparation,
        normalization=stage.normalization,
        images=hashlib.sha256("".join(fingerprints).encode()).hexdigest(),
        near="" if selection.near is None else str(selection.near),
        rule=str(selection.rule.replace(near=None, k=Rule.k)),
    )
    return from_estimate(
        jax.tree.map(jnp.subtract, target.mean, source.mean),
        variance,
        provenance,
        average=target.mean if takes_away(provenance.attributes) else source.mean,
        shrinkage=recipe.shrinkage,
    )
