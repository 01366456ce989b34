"""Attribute scores of a photo that nobody has scored: ridge regression from VGG features.

A face is described by φ(x) of two layers, each averaged over a grid of 3 × 3 cells, so that a
description keeps roughly where things are in the face. The rows of X are the descriptions of a
dataset's faces, centred and scaled to standard deviation 1, and the rows of Y are their scores,
centred. The probes are W = Xᵀ(XXᵀ + λI)⁻¹Y, with a column per attribute. λ is the value whose
predictions are best for people that are left out of the fit.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dfi_jax.data.dataset import Dataset
from dfi_jax.errors import InputError
from dfi_jax.network.vgg import VGG, features
from dfi_jax.photo.image import resize
from dfi_jax.progress import OnProgress, Progress
from dfi_jax.storage.cache import Cache, remember

LAYERS = ("conv4_1", "conv5_1")
"""The layers whose features describe a face."""

GRID = 3
"""Number of cells per side over which features are averaged."""

SIZE = 100
"""Height and width of the faces. At 200 the network would take four times as long."""

LARGEST_FIT = 4000
"""Maximum number of images that probes are fitted on. They are spread evenly over the dataset."""

FOLDS = 5
"""Number of groups of people. Each group is left out of one fit."""

PENALTIES = (1e2, 1e3, 1e4, 1e5, 1e6)
"""Values of λ to choose from. The diagonal of XXᵀ, to which λ is added, is 9216 on average."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Probes:
    """Linear probes for the attributes of a dataset.

    Attributes:
      attributes: Names of the attributes.
      weights: W, which applies to standardised descriptions.
      mean: Mean of the descriptions.
      deviation: Standard deviation of the descriptions.
      intercept: Mean score of each attribute.
      auc: Area under the ROC curve of each attribute, from predictions for people left out of the
        fit; NaN if all images have the attribute, or none.
      penalty: λ.
    """

    attributes: tuple[str, ...]
    weights: Float[np.ndarray, "d a"]
    mean: Float[np.ndarray, " d"]
    deviation: Float[np.ndarray, " d"]
    intercept: Float[np.ndarray, " a"]
    auc: Float[np.ndarray, " a"]
    penalty: float


def fit(
    vgg: VGG,
    dataset: Dataset,
    *,
    cache: Cache | None = None,
    on_progress: OnProgress | None = None,
) -> Probes:
    """Returns probes for the attributes of a dataset.

    Args:
      vgg: The network.
      dataset: A dataset with scores.
      cache: Cache in which the probes are stored, or None.
      on_progress: Function that is called with the number of images done.

    Raises:
      InputError: If the dataset has no attributes, or images of fewer than five people.
      FileError: If an image can't be read.

    `Editor.scores` has an example.
    """
    if not dataset.attributes:
        raise InputError(
            f"the dataset {dataset.name} has no attribute scores to learn from; give a dataset "
            f"with scores."
        )
    count = min(LARGEST_FIT, len(dataset))
    rows = np.unique(np.linspace(0, len(dataset) - 1, count).astype(int))
    people = rows
    if dataset.people is not None:
        people = np.unique(dataset.people[rows], return_inverse=True)[1]
    if len(np.unique(people)) < FOLDS:
        raise InputError(
            f"the dataset {dataset.name} shows fewer than {FOLDS} people; give a larger dataset."
        )
    scores = dataset.scores[rows]
    depends = {
        "images": dataset.fingerprint(rows),
        "scores": scores.tolist(),
        "people": people.tolist(),
        "attributes": dataset.attributes,
        "network": vgg.identity(),
        "method": [LAYERS, GRID, SIZE, FOLDS, PENALTIES],
    }

    def compute() -> dict[str, np.ndarray]:
        described: list[np.ndarray] = []
        for batch in dataset.batches(rows, size=SIZE):
            described.append(pool_features(vgg, batch))
            if on_progress is not None:
                done = sum(map(len, described))
                on_progress(
                    Progress(phase="attribute probes", done=done, total=len(rows), unit="images")
                )
        return _fit(np.concatenate(described), scores, people)

    kept = remember(cache, "probes", depends, compute)
    return Probes(
        attributes=dataset.attributes,
        weights=kept["weights"],
        mean=kept["mean"],
        deviation=kept["deviation"],
        intercept=kept["intercept"],
        auc=kept["auc"],
        penalty=float(kept["penalty"]),
    )


def estimate(vgg: VGG, probes: Probes, face: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, " a"]:
    """Returns the scores of a face in the dataset's crop, on the scale of the dataset's scores.

    `Editor.scores` has an example.
    """
    description = pool_features(vgg, resize(face, (SIZE, SIZE))[None])[0]
    standard = (description - probes.mean) / probes.deviation
    return standard @ probes.weights + probes.intercept


def pool_features(vgg: VGG, faces: Float[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "n d"]:
    """Returns φ(x) of both layers, averaged over 3 × 3 cells, in one row per face.

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


def _fit(
    x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "n a"], people: Int[np.ndarray, " n"]
) -> dict[str, np.ndarray]:
    folds = np.random.default_rng(0).permutation(people.max() + 1)[people] % FOLDS
    left_out = {penalty: np.zeros_like(y) for penalty in PENALTIES}
    for fold in range(FOLDS):
        test = folds == fold
        solve = _ridge(x[~test], y[~test])
        for penalty in PENALTIES:
            weights, mean, deviation, intercept = solve(penalty)
            left_out[penalty][test] = (x[test] - mean) / deviation @ weights + intercept
    spread = np.maximum(np.square(y - y.mean(axis=0)).mean(axis=0), 1e-12)
    errors = {
        penalty: np.mean(np.square(predicted - y).mean(axis=0) / spread)
        for penalty, predicted in left_out.items()
    }
    penalty = min(PENALTIES, key=errors.__getitem__)
    weights, mean, deviation, intercept = _ridge(x, y)(penalty)
    areas = [auc(left_out[penalty][:, a], y[:, a] > 0) for a in range(y.shape[1])]
    return {
        "weights": weights,
        "mean": mean,
        "deviation": deviation,
        "intercept": intercept,
        "auc": np.asarray(areas, np.float32),
        "penalty": np.asarray(penalty),
    }


def _ridge(
    x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "n a"]
) -> Callable[[float], tuple[np.ndarray, ...]]:
    """Returns a function that solves for any λ.

    It uses one eigendecomposition of XXᵀ, which is smaller than XᵀX.
    """
    mean, deviation, intercept = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6), y.mean(axis=0)
    standard = (x - mean) / deviation
    values, vectors = np.linalg.eigh(standard @ standard.T)
    rotated = vectors.T @ (y - intercept)

    def solve(penalty: float) -> tuple[np.ndarray, ...]:
        dual = vectors @ (rotated / (np.maximum(values, 0) + penalty)[:, None])
        return (standard.T @ dual).astype(np.float32), mean, deviation, intercept

    return solve


def auc(predicted: Float[np.ndarray, " n"], truth: np.ndarray) -> float:
    """Returns the area under the ROC curve.

    It is the chance that an example with the attribute is predicted higher than one without; ties
    count half (Mann and Whitney 1947).

    >>> import numpy as np
    >>> auc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, False, True, True]))
    0.875
    """
    positive, negative = predicted[truth], predicted[~truth]
    if not len(positive) or not len(negative):
        return float("nan")
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left")
    below = below + np.searchsorted(ordered, positive, "right")
    return float(below.sum() / (2 * len(positive) * len(negative)))
