"""Which images show an attribute and which its opposite, near the image that is edited.

What is wanted is a list of names with a sign or none: `Smiling` is to be on in the target set and off in the source
set; `~Smiling` the reverse; `+Young` is to be on in both sets, and `-Male` off in both. Sets differ in every attribute
that has no `+` or `-`.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from dfi_jax import image
from dfi_jax.data.dataset import Dataset
from dfi_jax.errors import InputError

THRESHOLD = 0.5
"""An attribute is on at a score of at least this and off below its negative, as in chainer-dfi."""

CONFIDENT = 2 / 3
"""The part of the positive scores, and of the negative ones, that `binary` admits: the highest, as the DFI paper's
released code does."""

MINIMUM = 10
"""Images that either set needs: the mean of fewer is a portrait of those few rather than of the attribute."""

CANDIDATES = 4
"""Times k: how many `landmarks` chooses from, as the authors' demonstration at high resolution does."""

NEARBY = 50
"""Height and width at which faces are compared pixel by pixel."""

BY = ("scores", "binary", "pixels", "features", "landmarks")
"""What nearness is of:

- `scores`: ‖s − s'‖ over all attributes (chainer-dfi, the seed article)
- `binary`: the number of attributes that are confidently on in one and not in the other, among the most confident
  images of the same gender (the DFI paper's released code)
- `pixels`: ‖x − x'‖ of the faces at 50 × 50
- `features`: ‖φ(x) − φ(x')‖ at a layer
- `landmarks`: first 4k images by scores (or, where there are none, by pixels), then those whose five points a
  similarity transform takes nearest to the image's own (the authors' demonstration at high resolution)
"""

Rows = Int[np.ndarray, " r"]
Distance = Callable[[Rows], Float[np.ndarray, " r"]]
"""The distance of some rows of a dataset to the edited image."""

Describe = Callable[[Float[np.ndarray, "b h w 3"]], Float[np.ndarray, "b d"]]
"""What faces are compared by."""

LandmarksOf = Callable[[Rows], Float[np.ndarray, "r p 2"]]
"""Points of the faces of some rows; NaN where they aren't known, which is farthest from anything."""


def pixels(faces: Float[np.ndarray, "b h w 3"]) -> Float[np.ndarray, "b d"]:
    """A face's pixels in a row."""
    return faces.reshape(len(faces), -1)


@dataclass(frozen=True, eq=False)
class Like:
    """What is known of the image that the selected ones should be near.

    Attributes:
      index: in the dataset, if it is one of its images; it is then never selected, nor are others of its person.
      scores: of its attributes, as the dataset's.
      face: in the dataset's crop.
      landmarks: five points, in any pixels.
    """

    index: int | None = None
    scores: Float[np.ndarray, " a"] | None = None
    face: Float[np.ndarray, "h w 3"] | None = None
    landmarks: Float[np.ndarray, "p 2"] | None = None


class Selection(NamedTuple):
    """Rows of a dataset, nearest first: `source` lacks the attributes, `target` has them.

    Attributes:
      source: rows.
      target: rows.
      by: what nearness was of.
    """

    source: Int[np.ndarray, " s"]
    target: Int[np.ndarray, " t"]
    by: str

    def named(self, dataset: Dataset) -> dict[str, str | list[str]]:
        """The same with the images' names, as it is written into results."""
        source, target = ([dataset.names[row] for row in rows] for rows in (self.source, self.target))
        return {"by": self.by, "source": source, "target": target}


def find_attribute(name: str, attributes: Sequence[str]) -> int:
    """The column of an attribute, whatever its case, spaces and underscores.

    Raises:
      InputError: where there is none of that name; the message has the nearest names.
    """
    if not attributes:
        raise InputError(f"there is no attribute {name!r}, nor any other, in a dataset without scores; use another.")
    keys = [_key(attribute) for attribute in attributes]
    if _key(name) in keys:
        return keys.index(_key(name))
    near = difflib.get_close_matches(_key(name), keys, n=3, cutoff=0.5)
    names = [attributes[keys.index(key)] for key in near] or sorted(attributes)
    raise InputError(f"there is no attribute {name!r}; {'did you mean' if near else 'choose from'} "
                     f"{', '.join(names)}{'?' if near else '.'}")  # fmt: skip


def _key(name: str) -> str:
    return "".join(c for c in name.casefold() if c not in " _\t")


def parse_attributes(text: str) -> tuple[str, ...]:
    """`"Smiling, ~Mouth Slightly Open, +Young"` as `("Smiling", "~Mouth Slightly Open", "+Young")`.

    Raises:
      InputError: where no attribute is to differ.
    """
    parts = [part.strip() for part in text.split(",")]
    names = tuple(part[:1] + part[1:].strip() for part in parts if part)
    if not any(sign_and_name(name)[0] in ("", "~") for name in names) or not all(sign_and_name(n)[1] for n in names):
        raise InputError(f"{text!r} names no attribute to change; give one as Smiling, or several as "
                         f"'Smiling,~Eyeglasses', and what both sets should share as '+Young' or '-Male'.")  # fmt: skip
    return names


def sign_and_name(wanted: str) -> tuple[str, str]:
    """`~Smiling` as `("~", "Smiling")`, and `Smiling` as `("", "Smiling")`."""
    return (wanted[0], wanted[1:].strip()) if wanted[:1] in ("~", "+", "-") else ("", wanted)


class _Admission(NamedTuple):
    on: Bool[np.ndarray, "n a"]
    off: Bool[np.ndarray, "n a"]


def thresholded(scores: Float[np.ndarray, "n a"]) -> _Admission:
    """On at a score ≥ 0.5, off at a score < −0.5; what lies between is neither."""
    return _Admission(scores >= THRESHOLD, scores < -THRESHOLD)


def confident(scores: Float[np.ndarray, "n a"]) -> _Admission:
    """On in the highest two thirds of an attribute's positive scores, off in the lowest two thirds of the negative."""
    return _Admission(scores >= _confidence(scores), scores <= -_confidence(-scores))


def _confidence(scores: Float[np.ndarray, "n a"]) -> Float[np.ndarray, " a"]:
    """The score that the most confident two thirds of each column's positive scores reach; ∞ where none is."""
    columns = (column[column > 0] for column in scores.T)
    return np.asarray(
        [np.quantile(c, 1 - CONFIDENT, method="higher") if c.size else np.inf for c in columns], np.float32
    )


def having(
    admission: _Admission, attributes: Sequence[str], wanted: Sequence[str]
) -> tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Which images have all that is wanted, and which have the opposite of all, and both what both sets share."""
    has = np.ones(len(admission.on), bool)
    opposite = has.copy()
    for sign, name in map(sign_and_name, wanted):
        column = find_attribute(name, attributes)
        on, off = admission.on[:, column], admission.off[:, column]
        has &= off if sign in ("~", "-") else on
        opposite &= on if sign in ("~", "+") else off
    return has, opposite


def score_distance(scores: Float[np.ndarray, "n a"], like: Float[np.ndarray, " a"]) -> Distance:
    """‖s − s'‖ over all attributes."""
    return lambda rows: np.linalg.norm(scores[rows] - like, axis=1)


def binary_distance(scores: Float[np.ndarray, "n a"], like: Float[np.ndarray, " a"]) -> Distance:
    """The number of attributes that are confidently on in one of the two alone (Hamming)."""
    least = _confidence(scores)
    on = scores >= least
    return lambda rows: np.sum(on[rows] != (like >= least), axis=1).astype(np.float32)


def face_distance(
    dataset: Dataset,
    face: Float[np.ndarray, "h w 3"],
    describe: Describe,
    *,
    size: int,
) -> Distance:
    """‖d(x) − d(x')‖ with d what `describe` gives of a face resized to size × size."""
    own = describe(image.resize(face, (size, size))[None])

    def distance(rows: Rows) -> Float[np.ndarray, " r"]:
        batches = dataset.batches(rows, size=size)
        return np.concatenate([np.linalg.norm(describe(batch) - own, axis=1) for batch in batches])

    return distance


def landmark_distance(landmarks_of: LandmarksOf, like: Float[np.ndarray, "p 2"]) -> Distance:
    """How far the similarity transform that takes an image's points nearest to `like` leaves them from it.

    With the centred points as complex numbers p and q, Σ|q|² − |Σ p̄q|²/Σ|p|², its root over ‖q‖.
    """
    q = np.asarray(like, float) @ np.array([1, 1j])
    q = q - q.mean()
    size = np.sum(np.abs(q) ** 2)

    def distance(rows: Rows) -> Float[np.ndarray, " r"]:
        p = np.asarray(landmarks_of(rows), float) @ np.array([1, 1j])
        p = p - p.mean(axis=1, keepdims=True)
        cross = np.abs(p.conj() @ q) ** 2 / np.sum(np.abs(p) ** 2, axis=1)
        return np.sqrt(np.maximum(size - cross, 0) / size)

    return distance


def select(
    dataset: Dataset,
    *,
    like: Like,
    attributes: Sequence[str],
    k: int = 100,
    by: str | None = None,
    describe: Describe | None = None,
    landmarks_of: LandmarksOf | None = None,
    size: int = 200,
) -> Selection:
    """The k nearest images that have what is wanted, and the k nearest that have the opposite of all.

    Args:
      dataset: with attribute scores.
      like: the image that is edited.
      attributes: what is wanted, with signs as this module's docstring says.
      k: images in a set, at most.
      by: what nearness is of; scores where they are known, or else pixels.
      describe: for `features`: faces, size × size, to a row of activations each.
      landmarks_of: for `landmarks`: points of the faces of some rows; the dataset's own by default.
      size: for `features`: height and width of the faces.

    Raises:
      InputError: for an unknown attribute, k below 1, where either set has fewer than ten images, or where what
        nearness is of isn't known.
    """
    by = by or ("pixels" if like.scores is None else "scores")
    source, target = admitted(dataset, attributes, like=like, k=k, by=by)
    for distance, kept in _stages(dataset, like, by, k, describe, landmarks_of, size):
        source, target = (rows[np.argsort(distance(rows), kind="stable")][:kept] for rows in (source, target))
    return Selection(source, target, by)


def admitted(
    dataset: Dataset, attributes: Sequence[str], *, like: Like, k: int = 100, by: str | None = None
) -> tuple[Int[np.ndarray, " s"], Int[np.ndarray, " t"]]:
    """All rows of the source and of the target set, in the dataset's order, before nearness is looked at.

    Raises:
      InputError: for an unknown attribute or nearness, k below 1, or where either set has fewer than ten images.
    """
    if k < 1:
        raise InputError(f"k is {k}; it should be 1 or more.")
    if by is not None and by not in BY:
        raise InputError(f"images can't be selected by {by!r}; choose from {', '.join(BY)}.")
    admission = confident(dataset.scores) if by == "binary" else thresholded(dataset.scores)
    has, opposite = having(admission, dataset.attributes, attributes)
    allowed = _others(dataset, like)
    if by == "binary" and like.scores is not None and (gender := _gender(dataset, attributes)) is not None:
        allowed &= (dataset.scores[:, gender] > 0) == (like.scores[gender] > 0)
    source, target = np.flatnonzero(opposite & allowed), np.flatnonzero(has & allowed)
    needed = min(MINIMUM, k)
    if min(len(source), len(target)) < needed:
        raise InputError(
            f"too few images for {', '.join(attributes)}: {len(target)} have it and {len(source)} have the opposite, "
            f"at least {needed} of each are needed; name fewer attributes at once or use a larger dataset."
        )
    return source, target


def _others(dataset: Dataset, like: Like) -> Bool[np.ndarray, " n"]:
    """All images but the edited one and those of its person."""
    if like.index is None:
        return np.ones(len(dataset), bool)
    if dataset.people is None:
        return np.arange(len(dataset)) != like.index
    return np.asarray(dataset.people != dataset.people[like.index])


def _gender(dataset: Dataset, wanted: Sequence[str]) -> int | None:
    """The column of `Male`, unless it is wanted itself."""
    keys = [_key(name) for name in dataset.attributes]
    return None if "male" not in keys or "male" in (_key(sign_and_name(w)[1]) for w in wanted) else keys.index("male")


def _stages(
    dataset: Dataset,
    like: Like,
    by: str,
    k: int,
    describe: Describe | None,
    landmarks_of: LandmarksOf | None,
    size: int,
) -> list[tuple[Distance, int]]:
    """Distances in the order in which they are used, each with the number of images that it keeps."""
    if by in ("scores", "binary"):
        if like.scores is None:
            raise InputError(f"images can't be selected by {by}, because the scores of the edited image are not known; "
                             f"select by pixels or by a layer's features.")  # fmt: skip
        return [((score_distance if by == "scores" else binary_distance)(dataset.scores, like.scores), k)]
    if by == "landmarks":
        if landmarks_of is None and dataset.landmarks is not None:
            landmarks_of = dataset.landmarks.__getitem__
        if like.landmarks is None or landmarks_of is None:
            where = "the edited image" if like.landmarks is None else dataset.name
            raise InputError(f"images can't be selected by landmarks, because those of {where} are not known; "
                             f"select by another nearness.")  # fmt: skip
        first = _stages(dataset, like, "pixels" if like.scores is None else "scores", CANDIDATES * k, None, None, size)
        return [*first, (landmark_distance(landmarks_of, like.landmarks), k)]
    if like.face is None:
        raise InputError(f"images can't be selected by {by} without the edited image's face; give it.")
    if by == "pixels":
        return [(face_distance(dataset, like.face, pixels, size=NEARBY), k)]
    if describe is None:
        raise InputError("images can't be selected by features without a network; give `describe`.")
    return [(face_distance(dataset, like.face, describe, size=size), k)]
