"""Which images of a dataset an attribute is learned from.

The images of the source set lack the attribute, and those of the target set have it. Both are near
the photo that is edited, the anchor.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from dfi_jax.data.anchor import Anchor
from dfi_jax.data.dataset import Dataset
from dfi_jax.data.distances import FindLandmarks
from dfi_jax.data.near import scores
from dfi_jax.data.nearness import Nearness, Resources, default_nearness
from dfi_jax.data.wanted import Wanted
from dfi_jax.errors import InputError
from dfi_jax.network.vgg import VGG

__all__ = ["SMALLEST_SET", "Anchor", "Selection", "check_selection", "select", "spread"]

SMALLEST_SET = 10
"""The smallest number of images in a set, unless fewer are asked for.

The mean of fewer images shows the people in them rather than the attribute."""


PER_PERSON = 3
"""Maximum number of images of one person in a set.

In the whole of LFW, one person has 530 of 13,233 images. A set with many of them would show that
person rather than the attribute."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Selection:
    """Images of a dataset with and without attributes, and how they were selected.

    Attributes:
      dataset: Dataset.
      wanted: Attributes that differ between the sets, and attributes that the sets share.
      k: Maximum number of images in each set.
      near: Nearness by which the images were selected, or None if they were selected otherwise.
      source: Rows of the images that lack the attributes, nearest first.
      target: Rows of the images that have the attributes, nearest first.
    """

    dataset: Dataset
    wanted: Wanted
    k: int
    near: Nearness | None
    source: Int[np.ndarray, " s"]
    target: Int[np.ndarray, " t"]

    def record(self) -> dict[str, Any]:
        """Returns the selection in a form that JSON can hold, with the names of the images.

        >>> from dfi_jax.data import synthetic
        >>> record = spread(synthetic.load(20, size=16), "Smiling", k=2).record()
        >>> record["wanted"], record["near"], len(record["target"])
        ('Smiling', None, 2)
        """
        names = self.dataset.names
        return {
            "dataset": self.dataset.name,
            "wanted": str(self.wanted),
            "k": self.k,
            "near": None if self.near is None else str(self.near),
            "images_sha256": self.dataset.fingerprint(np.concatenate([self.source, self.target])),
            "source": [names[row] for row in self.source],
            "target": [names[row] for row in self.target],
        }


def select(
    dataset: Dataset,
    attribute: Wanted | str | None = None,
    *,
    anchor: Anchor,
    k: int = 100,
    near: Nearness | None = None,
    vgg: VGG | None = None,
    size: int = 200,
    find_landmarks: FindLandmarks | None = None,
) -> Selection:
    """Returns the k nearest images that have what is wanted, and the k nearest with the opposite.

    >>> from dfi_jax.data import synthetic
    >>> people = synthetic.load(100, size=16)
    >>> anchor = Anchor(index=0, scores=people.scores[0])
    >>> selection = select(people, "Smiling,-Eyeglasses", anchor=anchor, k=5)
    >>> bool((people.scores[selection.target, 0] >= 0.5).all())
    True
    >>> selection.record()["near"]
    'scores'

    Args:
      dataset: Dataset with attribute scores.
      attribute: Attributes that differ between the sets, and attributes that the sets share, or
        their text. None stands for the attribute of a dataset that has only one.
      anchor: The photo that the images should be near.
      k: Maximum number of images in each set.
      near: Nearness by which images are selected. None stands for scores if the anchor's are known,
        otherwise pixels.
      vgg: Network, for a nearness of features.
      size: Height and width of faces, for a nearness of features.
      find_landmarks: Function that returns the points of the faces of some rows, for a nearness of
        landmarks in a dataset that has none.

    Raises:
      InputError: If the dataset lacks one of the attributes, k is below 1, either set has fewer
        than min(k, 10) images, or something that the nearness depends on is unknown.
    """
    wanted = Wanted.of(attribute, dataset.attributes)
    nearness = default_nearness(anchor) if near is None else near
    source, target = _admitted(dataset, wanted, anchor, k, nearness)
    resources = Resources(vgg=vgg, size=size, find_landmarks=find_landmarks)
    for step in nearness.steps(dataset, anchor, wanted, k=k, resources=resources):
        source, target = (
            _cap(dataset, rows[np.argsort(step.distance(rows), kind="stable")])[: step.keep]
            for rows in (source, target)
        )
    return Selection(
        dataset=dataset, wanted=wanted, k=k, near=nearness, source=source, target=target
    )


def spread(dataset: Dataset, attribute: Wanted | str | None = None, *, k: int = 100) -> Selection:
    """Returns images that have what is wanted and images with the opposite, for any photo.

    Each set is spread evenly over the dataset's images that belong in it, in the dataset's order.

    >>> from dfi_jax.data import synthetic
    >>> len(spread(synthetic.load(100, size=16), "Smiling", k=20).source)
    20

    Args:
      dataset: Dataset with attribute scores.
      attribute: Attributes, as for `select`.
      k: Maximum number of images in each set.

    Raises:
      InputError: If the dataset lacks one of the attributes, k is below 1, or either set has fewer
        than min(k, 10) images.
    """
    wanted = Wanted.of(attribute, dataset.attributes)
    sets = [_cap(dataset, rows) for rows in _admitted(dataset, wanted, Anchor(), k, scores)]
    source, target = (
        rows[np.linspace(0, len(rows) - 1, min(k, len(rows))).round().astype(int)] for rows in sets
    )
    return Selection(dataset=dataset, wanted=wanted, k=k, near=None, source=source, target=target)


def check_selection(
    dataset: Dataset,
    attribute: Wanted | str | None = None,
    *,
    anchor: Anchor,
    k: int = 100,
    near: Nearness | None = None,
    vgg: VGG | None = None,
) -> None:
    """Checks quickly whether `select` would fail, before anything slow is computed for it.

    Only the anchor's index has to be known. If its other fields are still unknown, they are assumed
    to be found later.

    >>> from dfi_jax.data import synthetic
    >>> check_selection(synthetic.load(100, size=16), "Smiling", anchor=Anchor(index=0))

    Args:
      dataset: Dataset with attribute scores.
      attribute: Attributes, as for `select`.
      anchor: The photo that the images should be near.
      k: Maximum number of images in each set.
      near: Nearness by which images would be selected, as for `select`.
      vgg: Network, for a nearness of features.

    Raises:
      InputError: If the dataset lacks one of the attributes, k is below 1, either set has fewer
        than min(k, 10) images, or the network lacks the layer whose features are compared.
    """
    nearness = default_nearness(anchor) if near is None else near
    if vgg is not None:
        nearness.check(vgg)
    _admitted(dataset, Wanted.of(attribute, dataset.attributes), anchor, k, nearness)


def _admitted(
    dataset: Dataset, wanted: Wanted, anchor: Anchor, k: int, nearness: Nearness
) -> tuple[Int[np.ndarray, " s"], Int[np.ndarray, " t"]]:
    """Returns the rows of all images that belong in each set, in the dataset's order."""
    if k < 1:
        raise InputError(f"k is {k}; give 1 or more.")
    in_source, in_target = wanted.members(nearness.admit(dataset.scores), dataset.attributes)
    allowed = _other_people(dataset, anchor) & nearness.eligible(dataset, anchor, wanted)
    source, target = np.flatnonzero(in_source & allowed), np.flatnonzero(in_target & allowed)
    needed = min(SMALLEST_SET, k)
    if min(len(source), len(target)) < needed:
        raise InputError(
            f"the dataset {dataset.name} has too few images for {wanted}: {len(target)} that have "
            f"it and {len(source)} with the opposite, but each set needs {needed}; name fewer "
            f"attributes at once or use a larger dataset."
        )
    return source, target


def _cap(dataset: Dataset, rows: Int[np.ndarray, " n"]) -> Int[np.ndarray, " m"]:
    """Returns the first images of each person, at most `PER_PERSON`."""
    if dataset.people is None:
        return rows
    counts: Counter[Any] = Counter()
    kept = []
    for row in rows.tolist():
        counts[dataset.people[row]] += 1
        if counts[dataset.people[row]] <= PER_PERSON:
            kept.append(row)
    return np.array(kept, int)


def _other_people(dataset: Dataset, anchor: Anchor) -> Bool[np.ndarray, " n"]:
    """Returns which images show neither the anchor nor its person."""
    if anchor.index is None:
        return np.ones(len(dataset), bool)
    if dataset.people is None:
        return np.arange(len(dataset)) != anchor.index
    return np.asarray(dataset.people != dataset.people[anchor.index])
