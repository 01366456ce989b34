"""Ridge regression whose penalty is chosen by what it predicts for people it hasn't seen.

The rows of X are descriptions of images, centred and scaled to standard deviation 1, and the rows
of Y are their scores, centred. The coefficients are W = Xᵀ(XXᵀ + λI)⁻¹Y.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from dfi_jax.errors import InputError

FOLDS = 5
"""Number of groups of people. Each group is left out of one fit."""

PENALTIES = (1e2, 1e3, 1e4, 1e5, 1e6)
"""Values of λ to choose from. The diagonal of XXᵀ, to which λ is added, is the number of columns
of X on average: about 10⁴."""


class Ridge(NamedTuple):
    """A fitted ridge regression.

    Attributes:
      weights: W, which applies to standardised descriptions.
      mean: Mean of the descriptions.
      deviation: Standard deviation of the descriptions.
      intercept: Mean of each score.
      penalty: λ.
    """

    weights: Float[np.ndarray, "d a"]
    mean: Float[np.ndarray, " d"]
    deviation: Float[np.ndarray, " d"]
    intercept: Float[np.ndarray, " a"]
    penalty: float

    def predict(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n a"]:
        """Returns the scores that descriptions suggest."""
        return (x - self.mean) / self.deviation @ self.weights + self.intercept


def check_scores(scores: Float[np.ndarray, "n a"], dataset: str) -> None:
    """Raises InputError unless all scores are finite, because sums and fits need every one.

    >>> check_scores(np.zeros((2, 3)), "mine")
    """
    if not np.isfinite(scores).all():
        raise InputError(
            f"the dataset {dataset} has scores that aren't finite; give numbers, or leave out the "
            f"attributes or the images whose scores are unknown."
        )


def fit_ridge(
    x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "n a"], people: Int[np.ndarray, " n"]
) -> tuple[Ridge, Float[np.ndarray, "n a"]]:
    """Returns the regression of y on x, and its predictions for people left out of the fit.

    Args:
      x: Descriptions of n images.
      y: Scores.
      people: Number of the person in each image, from 0.

    >>> x = np.arange(10.0)[:, None]
    >>> ridge, left_out = fit_ridge(x, 2 * x, np.arange(10))
    >>> ridge.penalty, left_out.shape
    (100.0, (10, 1))
    """
    folds = np.random.default_rng(0).permutation(people.max() + 1)[people] % FOLDS
    left_out = {penalty: np.zeros_like(y) for penalty in PENALTIES}
    for fold in range(FOLDS):
        test = folds == fold
        solve = _solver(x[~test], y[~test])
        for penalty in PENALTIES:
            left_out[penalty][test] = solve(penalty).predict(x[test])
    spread = np.maximum(np.square(y - y.mean(axis=0)).mean(axis=0), 1e-12)
    errors = {
        penalty: np.mean(np.square(predicted - y).mean(axis=0) / spread)
        for penalty, predicted in left_out.items()
    }
    penalty = min(PENALTIES, key=errors.__getitem__)
    return _solver(x, y)(penalty), left_out[penalty]


def _solver(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "n a"]) -> Callable[[float], Ridge]:
    """Returns a function that solves for any λ.

    It uses one eigendecomposition of XXᵀ, which is smaller than XᵀX.
    """
    mean, deviation, intercept = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6), y.mean(axis=0)
    standard = (x - mean) / deviation
    values, vectors = np.linalg.eigh(standard @ standard.T)
    rotated = vectors.T @ (y - intercept)

    def solve(penalty: float) -> Ridge:
        dual = vectors @ (rotated / (np.maximum(values, 0) + penalty)[:, None])
        weights = (standard.T @ dual).astype(np.float32)
        return Ridge(weights, mean, deviation, intercept, penalty)

    return solve


def auc(predicted: Float[np.ndarray, " n"], truth: Bool[np.ndarray, " n"]) -> float:
    """Returns the area under the ROC curve.

    It is the chance that an example with the attribute is predicted higher than one without; ties
    count half (Mann and Whitney 1947).

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
