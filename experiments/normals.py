"""Normals of linear classifiers on features, which are directions in which an attribute grows.

The normal n of a classifier becomes an attribute vector as w = n(n·Δμ)/‖n‖², the part of the mean
difference Δμ that lies along it. Its standard error comes from a jackknife over groups of people.

With the rows of X the centred features of n images, far fewer than the d activations, a normal is
XᵀU·v^(−1/2)·b, where XXᵀ = U·diag(v)·Uᵀ and b is the normal in the n coordinates U·v^(1/2) of the
images. These coordinates keep all distances, so classifiers are fitted in them.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Bool, Float, Int

from dfi_jax import VGG, Dataset, Recipe
from dfi_jax.network.vgg import features
from dfi_jax.recipe.features import Features

PENALTY = {"ridge": 0.1, "logistic": 0.01}
"""λ of each kind, in mean squared distances of an image from the mean. For eight attributes of LFW,
logistic regression separates people left out of the fit best with 0.01, out of 0.01, 0.1 and 1.
Ridge's λ isn't tuned."""

GROUPS = 8
"""Number of groups of people. Each group is left out of one fit."""

NEWTON_STEPS = 30
"""Maximum number of Newton steps of a logistic regression. It usually converges within ten."""

CONVERGED = 1e-8
"""Length of a Newton step, relative to the solution, below which a regression has converged."""

BLOCK = 1 << 16
"""Number of activations that are in memory as float32 at a time."""


def describe(
    vgg: VGG, dataset: Dataset, rows: Sequence[int], *, recipe: Recipe
) -> Float[np.ndarray, "n d"]:
    """Returns the features of images, one row each, as float16: a million activations take 2 MB."""
    layers = recipe.features.layers
    found, done = None, 0
    for batch in dataset.batches(np.array(rows), size=recipe.features.size):
        phi = features(vgg, jnp.asarray(batch), layers=layers)
        some = np.concatenate(
            [np.asarray(phi[name], np.float16).reshape(len(batch), -1) for name in sorted(layers)],
            axis=1,
        )
        if found is None:
            # The features of 3000 images take 6 GB, so they are in memory only once.
            found = np.empty((len(rows), some.shape[1]), np.float16)
        found[done : done + len(some)] = some
        done += len(some)
    assert found is not None
    return found


def flatten(phi: Features) -> Float[np.ndarray, " d"]:
    """Returns all activations of all layers in one row, in the order of `describe`."""
    return np.asarray(ravel_pytree(phi)[0])


class Coordinates:
    """The coordinates of images among each other, and the way back to activations."""

    def __init__(self, features: Float[np.ndarray, "n d"]) -> None:
        self._features = features
        self._mean = features.mean(axis=0, dtype=np.float32)
        gram = np.zeros((len(features), len(features)))
        for start in range(0, features.shape[1], BLOCK):
            block = self._block(start)
            gram += block @ block.T
        values, vectors = np.linalg.eigh(gram)
        kept = values > 1e-6 * values[-1]
        self._values, self._vectors = values[kept], vectors[:, kept]
        self.rows = self._vectors * np.sqrt(self._values)

    def activations(self, normals: Float[np.ndarray, "k m"]) -> Float[np.ndarray, "k d"]:
        """Returns normals in the coordinates as one number per activation."""
        duals = (normals / np.sqrt(self._values) @ self._vectors.T).astype(np.float32)
        starts = range(0, self._features.shape[1], BLOCK)
        return np.concatenate([duals @ self._block(start) for start in starts], axis=1)

    def _block(self, start: int) -> Float[np.ndarray, "n _"]:
        some = slice(start, start + BLOCK)
        return self._features[:, some].astype(np.float32) - self._mean[some]


def ridge(
    x: Float[np.ndarray, "n m"], on: Bool[np.ndarray, " n"], penalty: float
) -> Float[np.ndarray, " m"]:
    """Returns the normal that minimises ‖y − xb − a‖² + λ‖b‖², where y is ±1.

    It is a multiple of (S + λI)⁻¹(μ₁ − μ₀), with S the scatter within and between the classes: of
    the normal of linear discriminant analysis for λ → 0, and of the mean difference for λ → ∞.

    >>> x = np.array([[0.0, 0.0], [0.0, 2.0], [1.0, 0.0], [1.0, 2.0]])
    >>> ridge(x, np.array([False, False, True, True]), 1e-9).round(6).tolist()
    [2.0, 0.0]
    """
    y = np.where(on, 1.0, -1.0)
    centred = x - x.mean(axis=0)
    gram = centred.T @ centred + penalty * np.eye(x.shape[1])
    return np.linalg.solve(gram, centred.T @ (y - y.mean()))


def logistic(
    x: Float[np.ndarray, "n m"], on: Bool[np.ndarray, " n"], penalty: float
) -> Float[np.ndarray, " m"]:
    """Returns the normal that minimises Σ log(1 + exp(−y(xb + a))) + λ‖b‖²/2 by Newton's method.

    >>> x = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> found = logistic(x, np.array([False, False, True, True]), 0.1)
    >>> slope = lambda b: 1 / (1 + np.exp(b * (x[:, 0] - 1.5)))  # By symmetry, a = −1.5 b.
    >>> y = np.array([-1, -1, 1, 1])
    >>> gradient = -np.sum(y * x[:, 0] / (1 + np.exp(y * found[0] * (x[:, 0] - 1.5)))) + 0.1 * found
    >>> bool(abs(gradient[0]) < 1e-6)
    True
    """
    design = np.column_stack([x, np.ones(len(x))])
    ridge_matrix = penalty * np.diag([*np.ones(x.shape[1]), 1e-9])
    beta = np.zeros(design.shape[1])
    for _ in range(NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ beta, -30, 30)))
        gradient = design.T @ (chance - on) + ridge_matrix @ beta
        hessian = (design.T * (chance * (1 - chance))) @ design + ridge_matrix
        step = np.linalg.solve(hessian, gradient)
        beta = beta - step
        if np.linalg.norm(step) <= CONVERGED * np.linalg.norm(beta):
            break
    return beta[:-1]


def fit_normals(
    coordinates: Coordinates,
    on: Bool[np.ndarray, " n"],
    people: Int[np.ndarray, " n"],
    *,
    kind: str,
) -> Float[np.ndarray, "k m"]:
    """Returns the normal of a classifier in the coordinates, and those without some of the people.

    Args:
      coordinates: Coordinates of the images.
      on: Whether each image has the attribute.
      people: Number of the person in each image, from 0.
      kind: `ridge` or `logistic`.

    Returns:
      The normal for all images in the first row. In each further row, the normal without the people
      of one of `GROUPS` groups.
    """
    fit = {"ridge": ridge, "logistic": logistic}[kind]
    x = coordinates.rows
    # A step of the mean squared distance makes λ independent of the features' units.
    penalty = PENALTY[kind] * float(np.mean(np.sum(np.square(x - x.mean(axis=0)), axis=1)))
    groups = np.random.default_rng(0).permutation(people.max() + 1)[people] % GROUPS
    kept = [np.ones(len(x), bool), *(groups != group for group in range(GROUPS))]
    return np.stack([fit(x[rows], on[rows], penalty) for rows in kept])


def jackknife(left_out: Float[np.ndarray, "g d"]) -> Float[np.ndarray, " d"]:
    """Returns the squared standard error of an estimate, from estimates without one group each.

    It is (g − 1)/g·Σ(b − mean b)², the delete-a-group jackknife.

    >>> jackknife(np.array([[1.0], [3.0]])).tolist()
    [1.0]
    """
    g = len(left_out)
    squares = np.square(left_out - left_out.mean(axis=0)).sum(axis=0)
    return np.asarray((g - 1) / g * squares)


def along(n: Float[np.ndarray, " d"], difference: Float[np.ndarray, " d"]) -> float:
    """Returns n·Δμ/‖n‖², the multiple of a normal that is the part of Δμ along it.

    >>> along(np.array([0.0, 2.0]), np.array([3.0, 1.0]))
    0.5
    """
    return float(n @ difference) / float(n @ n)


def as_vector(found: Float[np.ndarray, "k d"], difference: Features) -> tuple[Features, Features]:
    """Returns a normal as an attribute vector w, and the squared standard error of w.

    Args:
      found: The normal for all images, and those without a group of people each.
      difference: Δμ, (h, w, c) per layer.
    """
    delta, unflatten = ravel_pytree(difference)
    scale = along(found[0], np.asarray(delta))
    return (
        unflatten(jnp.asarray(scale * found[0])),
        unflatten(jnp.asarray(scale**2 * jackknife(found[1:]))),
    )
