"""Why one strength moves some photos further than others, for `starter_vectors.py`."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import judged_edits
import numpy as np
from fitted_vectors import number_people
from jaxtyping import Float
from judged_edits import Edited

from dfi_jax import VGG, AttributeVector, Dataset, Recipe, make_problem
from dfi_jax.data.wanted import find_attribute
from dfi_jax.engine.objective import objective
from dfi_jax.metrics.judge import Judge, fit_judge
from dfi_jax.vectors import probes

LIMITS = (2 / 3, 3 / 2)
"""Smallest and largest factor of a difference between an edited face and the face before."""


class Judges(NamedTuple):
    """What measures gains.

    Attributes:
      whole: A judge.
      halves: Two judges, each of which learnt from half of its people.
      other: Probes on VGG's features, which learnt from all of its people.
    """

    whole: Judge
    halves: tuple[Judge, Judge]
    other: probes.Probes


def fit_judges(vgg: VGG, dataset: Dataset, rows: list[int]) -> Judges:
    """Returns judges and probes that learnt from some images."""
    numbers = number_people(dataset, rows)
    sides = np.random.default_rng(3).integers(0, 2, numbers.max() + 1)[numbers]
    first, second = (fit_judge(dataset, np.array(rows)[sides == side].tolist()) for side in (0, 1))
    other = probes.fit(vgg, dataset, rows=rows)
    return Judges(fit_judge(dataset, rows), (first, second), other)


def explain_spread(
    vgg: VGG,
    edits: Sequence[Edited],
    vector: AttributeVector,
    *,
    judges: Judges,
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
    - `half`, `half_corrected`: spread according to the second of two judges, as it is and with each
      difference multiplied by the mean gain over its own according to the first, within `LIMITS`
    - `other`, `other_corrected`: the same two spreads, according to the probes on VGG's features
    - `networks`: correlation of the gain with the gain according to these probes

    Args:
      vgg: The network of the edits.
      edits: The edits.
      vector: Their vector.
      judges: The judges.
      attribute: The attribute.
      recipe: The recipe of the edits.
    """
    before, after = (
        np.stack([getattr(edit, name) for edit in edits]) for name in ("face", "edited")
    )

    def gains(judge: Judge, faces: Float[np.ndarray, "n s s 3"]) -> Float[np.ndarray, " n"]:
        first, last = (
            judged_edits.positions_in(judge, each, attribute) for each in (before, faces)
        )
        return last - first

    def other_gains(faces: Float[np.ndarray, "n s s 3"]) -> Float[np.ndarray, " n"]:
        first, last = (estimates(vgg, judges.other, each, attribute) for each in (before, faces))
        return last - first

    def rescaled(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n s s 3"]:
        # A face that hasn't moved, or has moved backwards, takes the largest factor.
        smallest = values.mean() / LIMITS[1]
        factors = np.clip(values.mean() / np.maximum(values, smallest), *LIMITS).astype(np.float32)
        return np.clip(before + factors[:, None, None, None] * (after - before), 0, 1)

    shares = np.array([share_reached(vgg, edit, vector, recipe=recipe) for edit in edits])
    gain, other = gains(judges.whole, after), other_gains(after)
    first, second = (gains(half, after) for half in judges.halves)
    covariance = np.cov(first, second, bias=True)[0, 1]
    corrected = rescaled(first)
    return {
        "spread": relative_spread(gain),
        "agreed": float(np.sqrt(max(0.0, covariance)) / np.mean([first, second])),
        "position": correlate(gain, judged_edits.positions_in(judges.whole, before, attribute)),
        "share": correlate(gain, shares),
        "scaled": relative_spread(gains(judges.whole, rescaled(shares))),
        "half": relative_spread(second),
        "half_corrected": relative_spread(gains(judges.halves[1], corrected)),
        "other": relative_spread(other),
        "other_corrected": relative_spread(other_gains(corrected)),
        "networks": correlate(gain, other),
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


def estimates(
    vgg: VGG, fitted: probes.Probes, faces: Float[np.ndarray, "n s s 3"], attribute: str
) -> Float[np.ndarray, " n"]:
    """Returns the score of each face in an attribute, according to probes on VGG's features."""
    column = find_attribute(attribute.removeprefix("~"), fitted.attributes)
    scores = np.array([probes.estimate(vgg, fitted, face)[column] for face in faces])
    return judged_edits.towards(scores, attribute)


def relative_spread(gains: Float[np.ndarray, " n"]) -> float:
    """Returns the standard deviation of the gains, divided by their mean."""
    return float(gains.std() / gains.mean())


def correlate(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> float:
    """Returns the correlation, or 0 if one of the two doesn't vary."""
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else 0.0
