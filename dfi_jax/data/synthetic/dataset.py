"""A dataset of people who don't exist, and what their photographs would be with other attributes."""

import numpy as np
from jaxtyping import Float

from dfi_jax import faces
from dfi_jax.data.dataset import Dataset
from dfi_jax.data.select import find_attribute
from dfi_jax.data.synthetic.drawing import render
from dfi_jax.data.synthetic.person import (
    ATTRIBUTES,
    SMALLEST,
    STRONGEST,
    Identity,
    Number,
    check,
    identity,
    landmarks,
)
from dfi_jax.errors import InputError

MARGIN = 20
"""Pixels of the canonical crop that a photograph of the dataset shows on every side of the crop, so that an aligned
face has no black corners."""

_RELATED = {("Smiling", "Mouth Slightly Open"): 0.4, ("Beard", "Mustache"): 0.4, ("Eyeglasses", "Young"): -0.2}
_SPREAD = 1.2  # of scores before they are clipped: a third of them is then within ±0.5, neither on nor off


def counterfactual(
    identity: Identity,
    scores: Float[np.ndarray, " a"],
    attribute: str,
    score: Number,
    *,
    size: int = faces.CANONICAL_SIZE,
    margin: int = 0,
) -> Float[np.ndarray, "size size 3"]:
    """The same photograph, had the person this score of the attribute: what an edit should arrive at.

    Raises:
      InputError: as `render`, and for an unknown attribute.
    """
    check(scores, size, margin)
    here = np.arange(len(ATTRIBUTES)) == find_attribute(attribute, ATTRIBUTES)
    return render(identity, np.where(here, np.float32(score), scores), size=size, margin=margin)


def load(n: int = 1000, *, seed: int = 0, size: int = faces.CANONICAL_SIZE) -> Dataset:
    """n photographs, two of each person: image i is `identity((seed, i // 2), photograph=i % 2)`, whatever n is.

    An image is drawn when it is read, with `MARGIN` around the crop, and its `landmarks` are given, so that
    `Dataset.face` is the aligned face of height and width `size` at its own resolution. Scores are normal with
    deviation 1.2, clipped to ±2, drawn anew for each photograph, and independent but for smiling with an open mouth
    and beard with moustache (correlation 0.4), and eyeglasses with youth (−0.2).

    Args:
      n: images.
      seed: of people, photographs and scores.
      size: height and width of the canonical crop inside a photograph, whose own is 1.2 times that.

    Raises:
      InputError: for n below 1, a negative seed, or a size below 16.
    """
    if n < 1:
        raise InputError(f"the dataset would have {n} images; give 1 or more.")
    if size < SMALLEST:
        raise InputError(f"the size of the images is {size}; give {SMALLEST} or more.")
    side = round(size * (1 + 2 * MARGIN / faces.CANONICAL_SIZE))
    people = [identity((seed, i // 2), photograph=i % 2) for i in range(n)]
    scores = np.stack([_draw_scores(seed, i) for i in range(n)])
    return Dataset(
        name="synthetic",
        names=tuple(f"{seed}/{i // 2:06d}_{i % 2}" for i in range(n)),
        read=lambda index: render(people[index], scores[index], size=side, margin=MARGIN),
        attributes=ATTRIBUTES,
        scores=scores,
        people=np.arange(n) // 2,
        landmarks=np.stack([landmarks(*of, size=side, margin=MARGIN) for of in zip(people, scores, strict=True)]),
    )


def _draw_scores(seed: int, index: int) -> Float[np.ndarray, " a"]:
    covariance = np.eye(len(ATTRIBUTES))
    for pair, correlation in _RELATED.items():
        i, j = map(ATTRIBUTES.index, pair)
        covariance[i, j] = covariance[j, i] = correlation
    normal = np.random.default_rng((seed, index)).normal(size=len(ATTRIBUTES))
    return np.clip(_SPREAD * np.linalg.cholesky(covariance) @ normal, -STRONGEST, STRONGEST).astype(np.float32)
