"""Which images of a dataset an attribute is learned from.

The images of the source set lack the attribute, and those of the target set have it. Both are near
the photo that is edited, the anchor.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from dfi_jax.data.anchor import Anchor
from dfi_jax.data.dataset import Dataset
from dfi_jax.data.distances import FindLandmarks
from dfi_jax.data.nearness import Nearness, Resources, default_nearness
from dfi_jax.data.rule import SMALLEST_SET, Rule
from dfi_jax.data.wanted import Wanted, find_attribute
from dfi_jax.errors import InputError
from dfi_jax.network.vgg import VGG

__all__ = ["SMALLEST_SET", "Anchor", "Selection", "check_selection", "select", "spread"]


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
      rule: Rule by which the images were selected.
    """

    dataset: Dataset
    wanted: Wanted
    k: int
    near: Nearness | None
    source: Int[np.ndarray, " s"]
    target: Int[np.ndarray, " t"]
    rule: Rule = field(default_factory=Rule)

    def weights(
        self,
    ) -> tuple[Float[np.ndarray, " s"] | None, Float[np.ndarray, " t"] | None]:
        """Returns the weight of each source and each target image, or None if all are equal.

        >>> from dfi_jax.data import synthetic
        >>> people = synthetic.load(100, size=16)
        >>> anchor = Anchor(index=0, scores=people.scores[0])
        >>> rule = Rule(weights="nearness")
        >>> select(people, "Smiling", anchor=anchor, k=4, rule=rule).weights()[0].tolist()
        [4.0, 3.0, 2.0, 1.0]
        """
        sets = (self.source, self.target)
        if self.rule.weights == "nearness":
            source, target = (np.arange(len(rows), 0, -1, dtype=float) for rows in sets)
        elif self.rule.weights == "confidence":
            differing = [term.name for term in self.wanted.terms if not term.shared]
            columns = [find_attribute(name, self.dataset.attributes) for name in differing]
            scores = np.abs(self.dataset.scores[:, columns]).mean(axis=1, dtype=float)
            source, target = (scores[rows] for rows in sets)
        else:
            return None, None
        return source, target

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
            "rule": self.rule.to_dict(),
            "images_sha256": self.dataset.fingerprint(np.concatenate([self.source, self.target])),
            "source": [names[row] for row in self.source],
            "target": [names[row] for row in self.target],
        }


def select(
    dataset: Dataset,
    attribute: Wanted | str | None = None,
    *,
    anchor: Anchor,
    rule: Rule | str = "default",
    near: Nearness | None = None,
    k: int | None = None,
    vgg: VGG | None = None,
    size: int = 200,
    find_landmarks: FindLandmarks | None = None,
) -> Selection:
    """Returns the k nearest images with the wanted attributes, and the k nearest opposite ones.

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
      rule: Rule by which images are selected, or its text.
      near: Nearness by which images are selected, if it isn't the rule's.
      k: Maximum number of images in each set, if it isn't the rule's.
      vgg: Network, for a nearness of features.
      size: Height and width of faces, for a nearness of features.
      find_landmarks: Function that returns the points of the faces of some rows, for a nearness of
        landmarks in a dataset that has none.

    Raises:
      InputError: If the dataset lacks one of the attributes, k is below 1, either set has too few
        images, or something that the rule depends on is unknown.
    """
    wanted, rule = Wanted.of(attribute, dataset.attributes), Rule.of(rule, near=near, k=k)
    nearness = default_nearness(anchor) if rule.near is None else rule.near
    if rule.like_photo and anchor.scores is None:
        raise _unlike(rule, "the scores of the photo are unknown")
    source, target = _admitted(dataset, wanted, anchor, rule)
    resources = Resources(vgg=vgg, size=size, find_landmarks=find_landmarks)
    for step in nearness.steps(dataset, anchor, wanted, k=rule.k, resources=resources):
        sets = (rows[np.argsort(step.distance(rows), kind="stable")] for rows in (source, target))
        source, target = (_cap(dataset, rows, rule.per_person)[: step.keep] for rows in sets)
    return Selection(
        dataset=dataset,
        wanted=wanted,
        k=rule.k,
        near=nearness,
        source=source,
        target=target,
        rule=rule.replace(near=nearness),
    )


def spread(
    dataset: Dataset,
    attribute: Wanted | str | None = None,
    *,
    rule: Rule | str = "default",
    k: int | None = None,
) -> Selection:
    """Returns images with the wanted attributes and opposite ones, for any photo.

    Each set is spread evenly over the dataset's images that belong in it, in the dataset's order.

    >>> from dfi_jax.data import synthetic
    >>> len(spread(synthetic.load(100, size=16), "Smiling", k=20).source)
    20

    Args:
      dataset: Dataset with attribute scores.
      attribute: Attributes, as for `select`.
      rule: Rule by which images are admitted, or its text. Its nearness isn't used.
      k: Maximum number of images in each set, if it isn't the rule's.

    Raises:
      InputError: If the dataset lacks one of the attributes, k is below 1, either set has too few
        images, or the rule depends on a photo.
    """
    wanted, rule = Wanted.of(attribute, dataset.attributes), Rule.of(rule, k=k)
    if rule.like_photo or rule.weights == "nearness":
        raise _unlike(rule, "there is no photo")
    sets = [
        _cap(dataset, rows, rule.per_person) for rows in _admitted(dataset, wanted, Anchor(), rule)
    ]
    source, target = (
        rows[np.linspace(0, len(rows) - 1, min(rule.k, len(rows))).round().astype(int)]
        for rows in sets
    )
    return Selection(
        dataset=dataset,
        wanted=wanted,
        k=rule.k,
        near=None,
        source=source,
        target=target,
        rule=rule,
    )


def check_selection(
    dataset: Dataset,
    attribute: Wanted | str | None = None,
    *,
    anchor: Anchor,
    rule: Rule | str = "default",
    near: Nearness | None = None,
    k: int | None = None,
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
      rule: Rule by which images would be selected, as for `select`.
      near: Nearness by which images would be selected, as for `select`.
      k: Maximum number of images in each set, as for `select`.
      vgg: Network, for a nearness of features.

    Raises:
      InputError: If the dataset lacks one of the attributes, k is below 1, either set has too few
        images, or the network lacks the layer whose features are compared.
    """
    rule = Rule.of(rule, near=near, k=k)
    if vgg is not None:
        (default_nearness(anchor) if rule.near is None else rule.near).check(vgg)
    _admitted(dataset, Wanted.of(attribute, dataset.attributes), anchor, rule)


def _admitted(
    dataset: Dataset, wanted: Wanted, anchor: Anchor, rule: Rule
) -> tuple[Int[np.ndarray, " s"], Int[np.ndarray, " t"]]:
    """Returns the rows of all images that belong in each set, in the dataset's order."""
    source, target = map(np.flatnonzero, rule.members(dataset, wanted, anchor))
    needed = min(rule.smallest, rule.k)
    without, having = (_count(dataset, rows, rule.per_person) for rows in (source, target))
    if min(without, having) < needed:
        capped = having < len(target) or without < len(source)
        raise InputError(
            f"the dataset {dataset.name} has too few images for {wanted}: {having} that have it "
            f"and {without} with the opposite"
            f"{f', counting at most {rule.per_person} of a person' if capped else ''}, but each "
            f"set needs {needed}; use a larger dataset, name fewer attributes at once, or set "
            f"`smallest` of the rule to a lower number."
        )
    return source, target


def _count(dataset: Dataset, rows: Int[np.ndarray, " n"], per_person: int | None) -> int:
    """Returns the number of images that `_cap` keeps."""
    if dataset.people is None or per_person is None:
        return len(rows)
    _, counts = np.unique(dataset.people[rows], return_counts=True)
    return int(np.minimum(counts, per_person).sum())


def _cap(
    dataset: Dataset, rows: Int[np.ndarray, " n"], per_person: int | None
) -> Int[np.ndarray, " m"]:
    """Returns the first images of each person, at most `per_person`."""
    if dataset.people is None or per_person is None:
        return rows
    counts: Counter[Any] = Counter()
    kept = []
    for row in rows.tolist():
        counts[dataset.people[row]] += 1
        if counts[dataset.people[row]] <= per_person:
            kept.append(row)
    return np.array(kept, int)


def _unlike(rule: Rule, reason: str) -> InputError:
    return InputError(
        f"the rule {rule} can't be used because {reason}; leave out like_photo, and weights by "
        f"nearness."
    )
