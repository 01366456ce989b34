"""Why one strength moves some photos further than others, for `starter_vectors.py`."""

from collections.abc import Sequence

import jax.numpy as jnp
import judged_edits
import numpy as np
from fitted_vectors import number_people
from jaxtyping import Float
from judged_edits import Edited

from dfi_jax import VGG, AttributeVector, Dataset, Recipe, make_problem
from dfi_jax.engine.objective import objective
from dfi_jax.metrics.judge import Judge, fit_judge

LIMITS = (2 / 3, 3 / 2)
"""Smallest and largest factor of a difference between an edited face and the face before."""


def fit_half_judges(dataset: Dataset, rows: list[int]) -> list[Judge]:
    """Returns two judges, each of which learnt from half of the people in some images."""
    numbers = number_people(dataset, rows)
    sides = np.random.default_rng(3).integers(0, 2, numbers.max() + 1)[numbers]
    return [fit_judge(dataset, np.array(rows)[sides == side].tolist()) for side in (0, 1)]


def explain_spread(
    vgg: VGG,
    edits: Sequence[Edited],
    vector: AttributeVector,
    *,
    judge: Judge,
    halves: Sequence[Judge],
    attribute: str,
    recipe: Recipe,
) -> dict[str, float]:
    """Returns how much the gain differs between photos at strength 1, and what goes with it.

    - `spread`: standard deviation of the gain, divided by its mean
    - `agreed`: the part on which two judges of different people agree, √cov divided by the mean
    - `position`: correlation of the gain with the position of the face before the edit
    - `share`: correlation with the share of the objective that reconstruction took away,
      1 − f(z)/f(x)
    - `scaled`: `spread` with each difference z − x multiplied by the mean share over its own,
      within `LIMITS`

    Args:
      vgg: The network of the edits.
      edits: The edits.
      vector: Their vector.
      judge: The judge.
      halves: Two judges, as `fit_half_judges` returns them.
      attribute: The attribute.
      recipe: The recipe of the edits.
    """
    before, after = (
        np.stack([getattr(edit, name) for edit in edits]) for name in ("face", "edited")
    )
    shares = np.array([share_reached(vgg, edit, vector, recipe=recipe) for edit in edits])
    factors = np.clip(shares.mean() / shares, *LIMITS).astype(np.float32)
    scaled = np.clip(before + factors[:, None, None, None] * (after - before), 0, 1)
    gains = measure_gains(judge, before, after, attribute)
    first, second = (measure_gains(each, before, after, attribute) for each in halves)
    covariance = np.cov(first, second, bias=True)[0, 1]
    return {
        "spread": relative_spread(gains),
        "agreed": float(np.sqrt(max(0.0, covariance)) / np.mean([first, second])),
        "position": correlate(gains, judged_edits.positions_in(judge, before, attribute)),
        "share": correlate(gains, shares),
        "scaled": relative_spread(measure_gains(judge, before, scaled, attribute)),
    }


def share_reached(vgg: VGG, edit: Edited, vector: AttributeVector, *, recipe: Recipe) -> float:
    """Returns 1 − f(z)/f(x), with f the objective, x the face and z the edited face."""
    images = jnp.stack([edit.face, edit.edited])
    problem = make_problem(
        vgg,
        images[:1],
        vector.features,
        [edit.alpha] * 2,
        recipe=recipe,
        replacement=vector.replacement,
    )
    start, end = objective(vgg, images, problem, recipe=recipe)
    return float(1 - end / start)


def measure_gains(
    judge: Judge,
    before: Float[np.ndarray, "n s s 3"],
    after: Float[np.ndarray, "n s s 3"],
    attribute: str,
) -> Float[np.ndarray, " n"]:
    """Returns the gain of each edit."""
    first, last = (judged_edits.positions_in(judge, faces, attribute) for faces in (before, after))
    return last - first


def relative_spread(gains: Float[np.ndarray, " n"]) -> float:
    """Returns the standard deviation of the gains, divided by their mean."""
    return float(gains.std() / gains.mean())


def correlate(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> float:
    """Returns the correlation, or 0 if one of the two doesn't vary."""
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else 0.0
