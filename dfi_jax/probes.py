"""Attribute scores of a photograph that nobody has scored: ridge regression from VGG features, fitted on a dataset.

A face is described by φ(x) of two layers, each averaged over a grid of 3 × 3 cells, so that where things are in a face
is kept coarsely. With these descriptions centred and scaled to deviation 1 as the rows of X, and a dataset's scores
centred as Y, the probes are W = Xᵀ(XXᵀ + λI)⁻¹Y, one column an attribute; λ is the one whose predictions of people left
out of the fit are best.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dfi_jax import cache
from dfi_jax.data.dataset import Dataset
from dfi_jax.errors import InputError
from dfi_jax.image import resize
from dfi_jax.vgg import VGG, features

LAYERS = ("conv4_1", "conv5_1")
GRID = 3
SIZE = 100
"""Height and width of the faces: a quarter of the work at 200."""

IMAGES = 4000
"""Images that probes are fitted on, at most, spread evenly over the dataset."""

FOLDS = 5
PENALTIES = (1e2, 1e3, 1e4, 1e5, 1e6)
"""λ to choose from; descriptions have 9216 numbers of deviation 1."""


@dataclass(frozen=True, eq=False)
class Probes:
    """Linear probes for the attributes of a dataset.

    Attributes:
      attributes: names.
      weights: W, of the standardised description.
      mean: of the descriptions.
      deviation: of the descriptions.
      intercept: mean scores.
      auc: of each attribute, of predictions for people left out of the fit: the chance that an image with the
        attribute gets a higher score than one without (NaN where all have it or none).
      penalty: λ.
    """

    attributes: tuple[str, ...]
    weights: Float[np.ndarray, "d a"]
    mean: Float[np.ndarray, " d"]
    deviation: Float[np.ndarray, " d"]
    intercept: Float[np.ndarray, " a"]
    auc: Float[np.ndarray, " a"]
    penalty: float


def fit(vgg: VGG, dataset: Dataset, *, on_progress: Callable[[int, int], None] | None = None) -> Probes:
    """Probes for a dataset's attributes, fitted once and kept in the cache folder.

    Args:
      vgg: the network.
      dataset: with scores.
      on_progress: called with the images done, and how many there are.

    Raises:
      InputError: for a dataset without attributes, or with images of fewer than five people.
      FileError: where an image can't be read.
    """
    if not dataset.attributes:
        raise InputError(f"{dataset.name} has no attribute scores to learn from; give a dataset that has.")
    rows = np.unique(np.linspace(0, len(dataset) - 1, min(IMAGES, len(dataset))).astype(int))
    people = rows if dataset.people is None else np.unique(dataset.people[rows], return_inverse=True)[1]
    if len(np.unique(people)) < FOLDS:
        raise InputError(f"{dataset.name} shows fewer than {FOLDS} people; give a larger dataset.")
    scores = dataset.scores[rows]
    depends = {
        "images": dataset.fingerprint(rows),
        "scores": scores.tolist(),
        "people": people.tolist(),
        "attributes": dataset.attributes,
        "network": vgg.identity(),
        "how": [LAYERS, GRID, SIZE, FOLDS, PENALTIES],
    }

    def compute() -> cache.Arrays:
        found = []
        for batch in dataset.batches(rows, size=SIZE):
            found.append(describe(vgg, batch))
            if on_progress is not None:
                on_progress(sum(map(len, found)), len(rows))
        return _fit(np.concatenate(found), scores, people)

    kept = cache.remember("probes", depends, compute)
    return Probes(
        dataset.attributes, kept["weights"], kept["mean"], kept["deviation"], kept["intercept"], kept["auc"],
        float(kept["penalty"]),
    )  # fmt: skip


def estimate(vgg: VGG, probes: Probes, face: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, " a"]:
    """Scores of a face, in the dataset's crop, on the scale of the dataset's own."""
    description = describe(vgg, resize(face, (SIZE, SIZE))[None])[0]
    return (description - probes.mean) / probes.deviation @ probes.weights + probes.intercept


def describe(vgg: VGG, faces: Float[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "n d"]:
    """φ(x) of both layers, averaged over 3 × 3 cells, in one row a face."""
    return np.asarray(_pooled(vgg, jnp.asarray(faces)))


@jax.jit
def _pooled(vgg: VGG, faces: Float[Array, "n h w 3"]) -> Float[Array, "n d"]:
    phi = features(vgg, faces, layers=LAYERS)
    cells = [
        jax.image.resize(layer, (len(faces), GRID, GRID, layer.shape[-1]), "linear", antialias=True)
        for layer in phi.values()
    ]
    return jnp.concatenate([c.reshape(len(faces), -1) for c in cells], axis=1)


def _fit(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "n a"], people: Int[np.ndarray, " n"]) -> cache.Arrays:
    folds = np.random.default_rng(0).permutation(people.max() + 1)[people] % FOLDS
    left_out = {penalty: np.zeros_like(y) for penalty in PENALTIES}
    for fold in range(FOLDS):
        test = folds == fold
        solve = _ridge(x[~test], y[~test])
        for penalty in PENALTIES:
            weights, mean, deviation, intercept = solve(penalty)
            left_out[penalty][test] = (x[test] - mean) / deviation @ weights + intercept
    spread = np.maximum(np.square(y - y.mean(axis=0)).mean(axis=0), 1e-12)
    errors = {penalty: np.mean(np.square(left_out[penalty] - y).mean(axis=0) / spread) for penalty in PENALTIES}
    penalty = min(PENALTIES, key=errors.__getitem__)
    weights, mean, deviation, intercept = _ridge(x, y)(penalty)
    areas = np.asarray([auc(left_out[penalty][:, a], y[:, a] > 0) for a in range(y.shape[1])], np.float32)
    return {"weights": weights, "mean": mean, "deviation": deviation, "intercept": intercept, "auc": areas,
            "penalty": np.asarray(penalty)}  # fmt: skip


def _ridge(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "n a"]) -> Callable[[float], tuple[np.ndarray, ...]]:
    """Solutions for any λ, by one eigendecomposition of XXᵀ, which is smaller than XᵀX."""
    mean, deviation, intercept = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6), y.mean(axis=0)
    standard = (x - mean) / deviation
    values, vectors = np.linalg.eigh(standard @ standard.T)
    rotated = vectors.T @ (y - intercept)

    def solve(penalty: float) -> tuple[np.ndarray, ...]:
        dual = vectors @ (rotated / (np.maximum(values, 0) + penalty)[:, None])
        return (standard.T @ dual).astype(np.float32), mean, deviation, intercept

    return solve


def auc(predicted: Float[np.ndarray, " n"], truth: np.ndarray) -> float:
    """The chance that one with the attribute is predicted higher than one without; ties count half (Mann–Whitney)."""
    positive, negative = predicted[truth], predicted[~truth]
    if not len(positive) or not len(negative):
        return float("nan")
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left") + np.searchsorted(ordered, positive, "right")
    return float(below.sum() / (2 * len(positive) * len(negative)))
