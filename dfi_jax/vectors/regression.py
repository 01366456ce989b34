"""Least squares of features on scores, from their sums.

With X a column of ones and a column of scores per attribute, one row for each of n images, and φ
their features, the sums are Xᵀφ and Σφ² of every activation. The coefficients, their covariance and
the variance of the residuals follow from them:

    b = A Xᵀφ        cov b = σ²·A XᵀX A        σ² = (Σφ² − (Xᵀφ)ᵀ Q Xᵀφ)/(n − p)

with A = (XᵀX + Λ)⁻¹, Q = 2A − A XᵀX A, p columns of X, and Λ a ridge penalty on the attributes that
are only held constant. X has only the columns that are asked for. With no more images than columns,
n − p becomes n − 2 tr(A XᵀX) + tr(A XᵀX A XᵀX), which is what residuals keep of n.
"""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from dfi_jax.errors import InputError
from dfi_jax.recipe.features import Features

FLOOR = 1e-4
"""Smallest residual variance of an activation, in mean variances of its layer.

An activation that hardly ever fires would otherwise outweigh all others in `decompose`."""

LARGEST_PENALTY = 1e12
"""Λ of attributes that are practically not held. A larger one might not be finite in a matrix."""

RANK = 1e-13
"""Smallest eigenvalue, relative to the largest, of a matrix that is inverted. Smaller ones are
rounding errors of 0, as if two attributes have the same scores."""

LEAST_LEFT = 1e-6
"""Smallest share of the images that residuals keep. With less, nothing says what noise there is."""

Sums = Mapping[str, Float[np.ndarray, "..."]]
"""Sums by layer."""


def regress(
    scores: Float[np.ndarray, "n a"],
    products: Sums,
    squares: Sums,
    columns: Sequence[int],
    held: Sequence[int],
    slopes: Float[np.ndarray, " t"],
    *,
    penalty: float,
) -> tuple[Features, Features]:
    """Returns w = Σ slope·b over some columns, and its squared standard error s², per layer.

    Args:
      scores: Scores of n images for all attributes.
      products: Xᵀφ with all attributes, (1 + a, h, w, c).
      squares: Σφ², (h, w, c).
      columns: Attributes whose coefficients are added.
      held: Attributes that are held constant.
      slopes: Factor of each of the columns.
      penalty: Λ of the attributes that are held, in n times the variance of their scores.

    Raises:
      InputError: If the columns explain the images entirely, because there are as many.

    >>> scores = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    >>> phi = np.array([3.0, 5.0, 0.0, 0.0])  # The means are 4 with it and 0 without it.
    >>> products = {"layer": np.array([phi.sum(), scores[:, 0] @ phi]).reshape(2, 1, 1, 1)}
    >>> squares = {"layer": np.sum(phi**2).reshape(1, 1, 1)}
    >>> w, variance = regress(scores, products, squares, [0], [], np.array([2.0]), penalty=0.0)
    >>> w["layer"].item(), variance["layer"].item()  # s² = σ²(1/2 + 1/2), σ² = (1 + 1)/(4 − 2)
    (4.0, 1.0)
    """
    chosen, last = [*columns, *held], 1 + len(columns)
    gram, rows = _gram(scores, chosen)
    ridge = np.zeros(len(gram))
    variances = scores[:, list(held)].astype(np.float64).var(axis=0)
    ridge[last:] = min(penalty, LARGEST_PENALTY) * len(scores) * variances
    inverse = _invert(gram + np.diag(ridge))
    weights = inverse[:, 1:last] @ slopes
    quadratic = 2 * inverse - inverse @ gram @ inverse
    spread = weights @ gram @ weights / _images_left(len(scores), gram, inverse)
    w: Features = {}
    variance: Features = {}
    for name in products:
        taken = products[name][rows]
        residual = _residual(taken, squares[name], quadratic)
        w[name] = jnp.asarray(np.tensordot(weights.astype(taken.dtype), taken, 1), jnp.float32)
        variance[name] = jnp.asarray(spread * residual, jnp.float32)
    return w, variance


def decompose(
    scores: Float[np.ndarray, "n a"],
    products: Sums,
    squares: Sums,
    columns: Sequence[int],
    w: Sums,
) -> Float[np.ndarray, " c"]:
    """Returns how much of each attribute a change of features has, in units of the scores.

    It is the m that minimises Σ (w − Σ m·b)²/σ² over all activations, with the coefficients b and
    the residual variances σ² of the regression on all the attributes together: generalised least
    squares with a diagonal covariance.

    Args:
      scores: Scores of n images for all attributes.
      products: Xᵀφ with all attributes, (1 + a, h, w, c).
      squares: Σφ², (h, w, c).
      columns: Attributes to decompose into.
      w: The change of features, (h, w, c) per layer.
    """
    gram, rows = _gram(scores, columns)
    inverse = _invert(gram)
    left, right = np.zeros((len(columns), len(columns))), np.zeros(len(columns))
    for name in products:
        taken = products[name][rows]
        noise = _residual(taken, squares[name], inverse).reshape(-1)
        precision = 1 / np.maximum(noise, max(FLOOR * noise.mean(), 1e-30))
        b = (inverse[1:] @ taken.reshape(len(gram), -1)).astype(np.float32)
        weighted = b * precision
        left += weighted @ b.T
        right += weighted @ w[name].reshape(-1)
    return _invert(left) @ right


def _invert(matrix: Float[np.ndarray, "p p"]) -> Float[np.ndarray, "p p"]:
    """Returns a generalised inverse of a symmetric matrix without negative eigenvalues.

    The diagonal is scaled to 1 first, so that neither the unit of an attribute's scores nor a large
    penalty decides which eigenvalues count as 0.
    """
    diagonal = np.diag(matrix)
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1))
    unit = scale[:, None] * matrix * scale
    return scale[:, None] * np.linalg.pinv(unit, rcond=RANK, hermitian=True) * scale


def _images_left(
    n: int, gram: Float[np.ndarray, "p p"], inverse: Float[np.ndarray, "p p"]
) -> float:
    """Returns what Σ of the squared residuals is divided by: n − p, or more with a penalty."""
    if n > len(gram):
        return float(n - len(gram))
    hat = inverse @ gram
    left = float(n - 2 * np.trace(hat) + np.trace(hat @ hat))
    if left < LEAST_LEFT * n:
        raise InputError(
            f"{n} images can't tell {len(gram) - 1} attributes apart; hold fewer attributes, set a "
            f"larger penalty, or fit more images."
        )
    return left


def _gram(
    scores: Float[np.ndarray, "n a"], columns: Sequence[int]
) -> tuple[Float[np.ndarray, "p p"], list[int]]:
    """Returns XᵀX with a column of ones, and the rows of Xᵀφ that belong to it."""
    chosen = list(columns)
    design = np.column_stack([np.ones(len(scores)), scores[:, chosen].astype(np.float64)])
    return design.T @ design, [0, *(1 + a for a in chosen)]


def _residual(
    products: Float[np.ndarray, "p h w c"],
    squares: Float[np.ndarray, "h w c"],
    quadratic: Float[np.ndarray, "p p"],
) -> Float[np.ndarray, "h w c"]:
    """Returns the sum of squares of the residuals, Σφ² − (Xᵀφ)ᵀ Q Xᵀφ.

    Q is computed as RᵀR, and the subtrahend as ‖R Xᵀφ‖². In float32, the product with Q is a small
    difference of large terms if attributes go together: with 38 of LFW's 40 held, s² is off by 0.5
    to 1 % that way, and by 3e-6 with R (conv4_1 and conv5_1, 1,360 images).
    """
    values, vectors = np.linalg.eigh(quadratic)
    root = np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
    transformed = np.tensordot(root.astype(products.dtype), products, 1)
    explained = np.einsum("p...,p...->...", transformed, transformed)
    return np.maximum(squares - explained, 0)
