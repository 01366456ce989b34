"""A dataset of drawn people, and what their photos would be with other attributes."""

import numpy as np
from jaxtyping import Float

from dfi_jax.data.dataset import Dataset
from dfi_jax.data.synthetic.drawing import render
from dfi_jax.data.synthetic.person import (
    ATTRIBUTES,
    SMALLEST_SIZE,
    STRONGEST_SCORE,
    Identity,
    Number,
    check,
    identity,
    landmarks,
)
from dfi_jax.data.wanted import find_attribute
from dfi_jax.errors import InputError
from dfi_jax.photo.placement import CANONICAL_SIZE

MARGIN = 20
"""Width of the border that a photo of the dataset shows around the canonical crop, in the crop's
pixels. It keeps an aligned face inside the photo."""

LARGEST = 1_000_000
"""Maximum number of images. A thousand take 0.3 s to describe."""

LARGEST_SIZE = 8000
"""Largest size of a crop. Its photo, which is 1.2 times as large, has 92 megapixels."""

SPREAD = 1.2
"""The standard deviation of scores before they are clipped. A third of the scores are then within
±0.5, neither on nor off."""

CORRELATIONS = {
    ("Smiling", "Mouth Slightly Open"): 0.4,
    ("Beard", "Mustache"): 0.4,
    ("Eyeglasses", "Young"): -0.2,
}
"""The correlations between scores before they are clipped. All others are 0."""


def counterfactual(
    identity: Identity,
    scores: Float[np.ndarray, " a"],
    attribute: str,
    score: Number,
    *,
    size: int = CANONICAL_SIZE,
    margin: int = 0,
) -> Float[np.ndarray, "size size 3"]:
    """Returns the photo of a person with another score for one attribute.

    An ideal edit would produce this photo.

    >>> from dfi_jax.data.synthetic.person import PLAIN
    >>> smiling = counterfactual(Identity(), PLAIN, "Smiling", 1.0, size=32)
    >>> bool((smiling != render(Identity(), PLAIN, size=32)).any())
    True

    Args:
      identity: Person and photo.
      scores: Scores of `ATTRIBUTES`.
      attribute: Name of the attribute that changes.
      score: New score of the attribute.
      size: Height and width of the image.
      margin: Width of the border shown around the canonical crop, in the crop's pixels.

    Raises:
      InputError: If the attribute is unknown, or `render` would raise it.
    """
    check(scores, size, margin)
    changed = np.arange(len(ATTRIBUTES)) == find_attribute(attribute, ATTRIBUTES)
    changed_scores = np.where(changed, np.float32(score), scores)
    return render(identity, changed_scores, size=size, margin=margin)


def load(n: int = 1000, *, seed: int = 0, size: int = CANONICAL_SIZE) -> Dataset:
    """Returns a dataset of n drawn photos, two of each person.

    Image i is `identity((seed, i // 2), photo=i % 2)`, whatever n is. It is drawn when it is read,
    with `MARGIN` around the crop. The landmarks are known, so `Dataset.face` returns the aligned
    face. Scores are normally distributed with a standard deviation of 1.2, clipped to ±2, and
    different in each photo. They are independent, apart from smiling with an open mouth and a beard
    with a moustache (correlation 0.4), and eyeglasses with youth (−0.2).

    >>> load(4, seed=7).names
    ('7/000000_0', '7/000000_1', '7/000001_0', '7/000001_1')

    Args:
      n: Number of images.
      seed: Seed of the people, photos and scores.
      size: Height and width of the canonical crop in a photo. The photo is 1.2 times as large.

    Raises:
      InputError: If n isn't from 1 to a million, the seed is negative, or the size isn't from 16 to
        8000.
    """
    if not 1 <= n <= LARGEST:
        raise InputError(f"the dataset would have {n} images; give 1 to {LARGEST}.")
    if not SMALLEST_SIZE <= size <= LARGEST_SIZE:
        raise InputError(
            f"the size of the images is {size}; give {SMALLEST_SIZE} to {LARGEST_SIZE}."
        )
    side = round(size * (1 + 2 * MARGIN / CANONICAL_SIZE))
    people = [identity((seed, i // 2), photo=i % 2) for i in range(n)]
    scores = np.stack([_draw_scores(seed, i) for i in range(n)])
    points = [
        landmarks(person, row, size=side, margin=MARGIN)
        for person, row in zip(people, scores, strict=True)
    ]
    return Dataset(
        name="synthetic",
        names=tuple(f"{seed}/{i // 2:06d}_{i % 2}" for i in range(n)),
        read=lambda index: render(people[index], scores[index], size=side, margin=MARGIN),
        attributes=ATTRIBUTES,
        scores=scores,
        people=np.arange(n) // 2,
        landmarks=np.stack(points),
    )


def _draw_scores(seed: int, index: int) -> Float[np.ndarray, " a"]:
    covariance = np.eye(len(ATTRIBUTES))
    for pair, correlation in CORRELATIONS.items():
        i, j = map(ATTRIBUTES.index, pair)
        covariance[i, j] = covariance[j, i] = correlation
    normal = np.random.default_rng((seed, index)).normal(size=len(ATTRIBUTES))
    scores = SPREAD * np.linalg.cholesky(covariance) @ normal
    return np.clip(scores, -STRONGEST_SCORE, STRONGEST_SCORE).astype(np.float32)
