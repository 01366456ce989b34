"""Attribute scores of a photo that nobody has scored: ridge regression from VGG features.

A face is described by φ(x) of two layers, each resized to 3 × 3 cells with a triangle filter, so
that a description keeps roughly where things are in the face. `vectors.ridge` has the regression.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dfi_jax.data.dataset import Dataset
from dfi_jax.errors import InputError
from dfi_jax.network.vgg import VGG, features
from dfi_jax.photo.image import resize
from dfi_jax.progress import OnProgress, Progress
from dfi_jax.storage.cache import Cache, remember
from dfi_jax.vectors.ridge import FOLDS, PENALTIES, Ridge, auc, check_scores, fit_ridge

LAYERS = ("conv4_1", "conv5_1")
"""The layers whose features describe a face."""

GRID = 3
"""Number of cells per side that features are resized to."""

SIZE = 100
"""Height and width of the faces. At 200 the network would take four times as long."""

LARGEST_FIT = 4000
"""Maximum number of images that probes are fitted on. They are spread evenly over the dataset."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Probes:
    """Linear probes for the attributes of a dataset.

    Attributes:
      attributes: Names of the attributes.
      ridge: Regression of the scores on the descriptions.
      auc: Area under the ROC curve of each attribute, from predictions for people left out of the
        fit; NaN if all images have the attribute, or none.
    """

    attributes: tuple[str, ...]
    ridge: Ridge
    auc: Float[np.ndarray, " a"]


def fit(
    vgg: VGG,
    dataset: Dataset,
    *,
    rows: Sequence[int] | None = None,
    cache: Cache | None = None,
    on_progress: OnProgress | None = None,
) -> Probes:
    """Returns probes for the attributes of a dataset.

    Args:
      vgg: The network.
      dataset: A dataset with scores.
      rows: Numbers of the images, or None for all.
      cache: Cache in which the probes are stored, or None.
      on_progress: Function that is called with the number of images done.

    Raises:
      InputError: If the dataset has no attributes, scores that aren't finite, or images of fewer
        than five people.
      FileError: If an image can't be read.

    `Editor.scores` has an example.
    """
    if not dataset.attributes:
        raise InputError(
            f"the dataset {dataset.name} has no attribute scores to learn from; give a dataset "
            f"with scores."
        )
    candidates = np.arange(len(dataset)) if rows is None else np.array(rows)
    count = min(LARGEST_FIT, len(candidates))
    chosen = candidates[np.unique(np.linspace(0, len(candidates) - 1, count).astype(int))]
    people = chosen if dataset.people is None else dataset.people[chosen]
    people = np.unique(people, return_inverse=True)[1]
    if len(np.unique(people)) < FOLDS:
        raise InputError(
            f"the dataset {dataset.name} shows fewer than {FOLDS} people; give a larger dataset."
        )
    scores = dataset.scores[chosen]
    check_scores(scores, dataset.name)
    depends = {
        "images": dataset.fingerprint(chosen),
        "scores": scores.tolist(),
        "people": people.tolist(),
        "attributes": dataset.attributes,
        "network": vgg.identity(),
        "method": [LAYERS, GRID, SIZE, FOLDS, PENALTIES],
    }

    def compute() -> dict[str, np.ndarray]:
        described: list[np.ndarray] = []
        for batch in dataset.batches(chosen, size=SIZE):
            described.append(pool_features(vgg, batch))
            if on_progress is not None:
                done = sum(map(len, described))
                on_progress(
                    Progress(phase="attribute probes", done=done, total=len(chosen), unit="images")
                )
        ridge, left_out = fit_ridge(np.concatenate(described), scores, people)
        areas = [auc(left_out[:, a], scores[:, a] > 0) for a in range(scores.shape[1])]
        return {
            **{name: np.asarray(value) for name, value in ridge._asdict().items()},
            "auc": np.asarray(areas, np.float32),
        }

    kept = remember(cache, "probes", depends, compute)
    ridge = Ridge(
        weights=kept["weights"],
        mean=kept["mean"],
        deviation=kept["deviation"],
        intercept=kept["intercept"],
        penalty=float(kept["penalty"]),
    )
    return Probes(attributes=dataset.attributes, ridge=ridge, auc=kept["auc"])


def estimate(vgg: VGG, probes: Probes, face: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, " a"]:
    """Returns the scores of a face in the dataset's crop, on the scale of the dataset's scores.

    `Editor.scores` has an example.
    """
    return probes.ridge.predict(pool_features(vgg, resize(face, (SIZE, SIZE))[None]))[0]


def pool_features(vgg: VGG, faces: Float[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "n d"]:
    """Returns φ(x) of both layers, resized to 3 × 3 cells, in one row per face.

    >>> import dfi_jax
    >>> pool_features(dfi_jax.load_vgg("random-vgg16"), np.zeros((1, 32, 32, 3), np.float32)).shape
    (1, 9216)
    """
    return np.asarray(_pool(vgg, jnp.asarray(faces)))


@jax.jit
def _pool(vgg: VGG, faces: Float[Array, "n h w 3"]) -> Float[Array, "n d"]:
    phi = features(vgg, faces, layers=LAYERS)
    cells = []
    for layer in phi.values():
        shape = (len(faces), GRID, GRID, layer.shape[-1])
        cells.append(jax.image.resize(layer, shape, "linear", antialias=True))
    return jnp.concatenate([cell.reshape(len(faces), -1) for cell in cells], axis=1)
