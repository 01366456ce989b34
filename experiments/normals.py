"""Normals of linear classifiers on features, which are directions in which an attribute grows.

With the rows of X the centred features of n images, far fewer than the d activations, a normal is
XᵀU·v^(−1/2)·b, where XXᵀ = U·diag(v)·Uᵀ and b is the normal in the n coordinates U·v^(1/2) of the
images. These coordinates keep all distances, so classifiers are fitted in them.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from dfi_jax.vectors.ridge import FOLDS, auc

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Values of λ to choose from, in mean squared distances of an image from the mean."""

NEWTON_STEPS = 30
"""Maximum number of Newton steps of a logistic regression. It usually converges within ten."""

CONVERGED = 1e-8
"""Length of a Newton step, relative to the solution, below which a regression has converged."""

BLOCK = 1 << 16
"""Number of activations that are in memory as float32 at a time."""


class Normal(NamedTuple):
    """The normal of a classifier.

    Attributes:
      direction: The normal, one number per activation.
      auc: Area under the ROC curve for people left out of the fit.
      penalty: λ.
    """

    direction: Float[np.ndarray, " d"]
    auc: float
    penalty: float


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

    def activations(self, normal: Float[np.ndarray, " m"]) -> Float[np.ndarray, " d"]:
        """Returns a normal in the coordinates as one number per activation."""
        dual = (self._vectors @ (normal / np.sqrt(self._values))).astype(np.float32)
        starts = range(0, self._features.shape[1], BLOCK)
        return np.concatenate([self._block(start).T @ dual for start in starts])

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


def fit_normal(
    coordinates: Coordinates,
    on: Bool[np.ndarray, " n"],
    people: Int[np.ndarray, " n"],
    *,
    kind: str,
    penalties: tuple[float, ...] = PENALTIES,
) -> Normal:
    """Returns the normal of a classifier, with the λ that separates people left out best.

    Args:
      coordinates: Coordinates of the images.
      on: Whether each image has the attribute.
      people: Number of the person in each image, from 0.
      kind: `ridge` or `logistic`.
      penalties: Values of λ to choose from.
    """
    fit = {"ridge": ridge, "logistic": logistic}[kind]
    x = coordinates.rows
    # A step of the mean squared distance makes λ independent of the features' units.
    unit = float(np.mean(np.sum(np.square(x - x.mean(axis=0)), axis=1)))
    folds = np.random.default_rng(0).permutation(people.max() + 1)[people] % FOLDS
    found = {}
    for penalty in penalties:
        predicted = np.zeros(len(x))
        for fold in range(FOLDS):
            test = folds == fold
            predicted[test] = x[test] @ fit(x[~test], on[~test], penalty * unit)
        found[penalty] = auc(predicted, on)
    best = max(found, key=found.__getitem__)
    return Normal(coordinates.activations(fit(x, on, best * unit)), found[best], best)
