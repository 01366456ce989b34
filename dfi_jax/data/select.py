"""Which images show an attribute and which its opposite, near the image that is edited."""

import difflib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from dfi_jax.errors import InputError

THRESHOLD = 0.5
"""An attribute is on at a score of at least this and off below its negative, as in chainer-dfi."""

MINIMUM = 10
"""Images that either set needs: the mean of fewer is a portrait of those few rather than of the attribute."""


class Selection(NamedTuple):
    """Rows of a dataset, nearest first: `source` lacks the attributes, `target` has them."""

    source: Int[np.ndarray, " s"]
    target: Int[np.ndarray, " t"]


def find_attribute(name: str, attributes: Sequence[str]) -> int:
    """The column of an attribute, whatever its case, spaces and underscores.

    Raises:
      InputError: where there is none of that name; the message has the nearest names.
    """
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
    """`"Smiling, ~Mouth Slightly Open"` as `("Smiling", "~Mouth Slightly Open")`. Raises InputError for none."""
    parts = [part.strip() for part in text.split(",")]
    names = tuple(("~" if part.startswith("~") else "") + part.removeprefix("~").strip() for part in parts if part)
    if not names or "~" in names:
        raise InputError(f"{text!r} names no attribute; give one as Smiling, or several as 'Smiling,~Eyeglasses'.")
    return names


def having(
    scores: Float[np.ndarray, "n a"], attributes: Sequence[str], wanted: Sequence[str]
) -> tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Which images have all the attributes wanted, and which have the opposite of all.

    An attribute is on at a score ≥ 0.5 and off at a score < −0.5; an image between is neither. `~Name` wants it off.
    """
    has = np.ones(len(scores), bool)
    opposite = np.ones(len(scores), bool)
    for name in wanted:
        column = scores[:, find_attribute(name.removeprefix("~"), attributes)]
        on, off = column >= THRESHOLD, column < -THRESHOLD
        if name.startswith("~"):
            on, off = off, on
        has &= on
        opposite &= off
    return has, opposite


def score_distance(
    scores: Float[np.ndarray, "n a"], like: Float[np.ndarray, " a"]
) -> Callable[[Int[np.ndarray, " r"]], Float[np.ndarray, " r"]]:
    """‖scores of a row − like‖ over all attributes: the nearness that the seed article uses."""
    return lambda rows: np.linalg.norm(scores[rows] - like, axis=1)


def select(
    scores: Float[np.ndarray, "n a"],
    attributes: Sequence[str],
    wanted: Sequence[str],
    *,
    distance: Callable[[Int[np.ndarray, " r"]], Float[np.ndarray, " r"]],
    k: int = 100,
    exclude: Bool[np.ndarray, " n"] | None = None,
) -> Selection:
    """The k nearest images that have the attributes wanted, and the k nearest that have the opposite of all.

    Args:
      scores: one row an image, one column an attribute.
      attributes: names of the columns.
      wanted: names; `~Name` for an attribute that is to be off.
      distance: of rows of the dataset to the edited image, such as `score_distance` gives.
      k: images in a set, at most.
      exclude: images not to take, such as the edited one and others of its person.

    Raises:
      InputError: for an unknown attribute, k below 1, or where either set has fewer than ten images.
    """
    if k < 1:
        raise InputError(f"k is {k}; it should be 1 or more.")
    has, opposite = having(scores, attributes, wanted)
    sets = []
    for mask in (opposite, has):
        rows = np.flatnonzero(mask if exclude is None else mask & ~exclude)
        sets.append(rows[np.argsort(distance(rows), kind="stable")][:k])
    source, target = sets
    needed = min(MINIMUM, k)
    if min(len(source), len(target)) < needed:
        raise InputError(
            f"too few images for {', '.join(wanted)}: {len(target)} have it and {len(source)} have the opposite, "
            f"at least {needed} of each are needed; name fewer attributes at once or use a larger dataset."
        )
    return Selection(source, target)
