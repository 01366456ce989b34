"""The rule by which images of a dataset are selected, and the rules of the published systems.

As text, a rule is the name of one, or changes of fields, or both, separated by commas:

    chainer-dfi
    k=50,leave_out=image
    dfi-tensorflow,k=100,near=binary:1
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float

from dfi_jax.data import near
from dfi_jax.data.admission import THRESHOLD, Admission, thresholded
from dfi_jax.data.anchor import Anchor
from dfi_jax.data.dataset import Dataset
from dfi_jax.data.nearness import Nearness, Need
from dfi_jax.data.wanted import Wanted, find_attribute
from dfi_jax.errors import InputError
from dfi_jax.storage.fields import plain

Lacking = Literal["opposite", "others"]
LeaveOut = Literal["person", "image", "nobody"]
Weights = Literal["equal", "nearness", "confidence"]

SMALLEST_SET = 10
"""The smallest number of images in a set, unless fewer are asked for.

The mean of fewer images shows the people in them rather than the attribute."""

PER_PERSON = 3
"""Maximum number of images of one person in a set.

In the whole of LFW, one person has 530 of 13,233 images. A set with many of them would show that
person rather than the attribute."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How the images with and without an attribute are selected, and what they weigh.

    An image *has* an attribute if its score s is positive and s ≥ t. It has the *opposite* if
    s < −t. Of the images on either side, only the share p with the scores farthest from 0 is
    admitted.

    `str(rule)` is text that `parse` reads back.

    Attributes:
      near: Nearness by which images are selected. None stands for scores if the photo's are known,
        otherwise pixels.
      k: Maximum number of images in each set.
      threshold: t.
      share: p.
      lacking: Images that lack a wanted attribute: images with its `opposite`, or all `others` that
        don't have it, as in the DFI paper's code.
      like_photo: Attributes in which the images of both sets equal the photo, by the sign of its
        score. A wanted attribute is ignored here.
      like_most: Attributes in which the images of both sets equal most of the images that have
        the first wanted attribute. A wanted attribute is ignored here.
      leave_out: Images that are never selected if the photo is in the dataset: all images of its
        `person`, if the dataset knows its people; the `image` itself; or `nobody`.
      per_person: Maximum number of images of one person in each set, or None.
      smallest: Smallest number of images in each set; fewer are enough if k is smaller.
      weights: Weights of the images in the means: `equal`; by `nearness`, where the i-th nearest of
        n images has the weight n + 1 − i; or by `confidence`, where an image has the mean of |s|
        over the wanted attributes.

    Raises:
      InputError: If a field is out of its range.

    >>> rule = Rule.parse("chainer-dfi,k=50")
    >>> rule.k, rule.leave_out, str(rule.near)
    (50, 'nobody', 'scores:all')
    """

    near: Nearness | None = None
    k: int = 100
    threshold: float = THRESHOLD
    share: float = 1.0
    lacking: Lacking = "opposite"
    like_photo: tuple[str, ...] = ()
    like_most: tuple[str, ...] = ()
    leave_out: LeaveOut = "person"
    per_person: int | None = PER_PERSON
    smallest: int = SMALLEST_SET
    weights: Weights = "equal"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, plain(getattr(self, field.name)))
        for name in ("k", "smallest", "per_person"):
            value = getattr(self, name)
            if not isinstance(value, int | None) or isinstance(value, bool):
                raise InputError(f"{name} is {value!r}; give a whole number.")
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}; give 1 or more.")
        if not 0 <= self.threshold < math.inf:
            raise InputError(f"threshold is {self.threshold}; give a number from 0.")
        if not 0 < self.share <= 1:
            raise InputError(f"share is {self.share}; give a number above 0, and at most 1.")
        for name in _CHOICES:
            _check_choice(name, getattr(self, name))
        for attribute in (*self.like_photo, *self.like_most):
            if not attribute or set(attribute) & set(",+") or attribute != attribute.strip():
                raise InputError(
                    f"{attribute!r} isn't the name of an attribute; give a name without , and +."
                )

    @classmethod
    def parse(cls, text: str) -> "Rule":
        """Reads the name of a rule, changes of the form FIELD=VALUE, or both.

        Names of attributes are separated by `+`.

        >>> Rule.parse("k=50,like_photo=Male+Smiling").like_photo
        ('Male', 'Smiling')

        Raises:
          InputError: If the rule or the field doesn't exist, or a value doesn't fit its field.
        """
        name, *parts = text.split(",")
        if "=" in name:
            name, parts = "default", [name, *parts]
        if name.strip() not in RULES:
            raise InputError(
                f"the rule {name.strip()!r} doesn't exist; choose from {', '.join(RULES)}, or give "
                f"changes, as in k=50,leave_out=image."
            )
        changes: dict[str, Any] = {}
        for part in parts:
            field, equals, value = (piece.strip() for piece in part.partition("="))
            if not equals or field not in _READERS:
                raise InputError(
                    f"the rule {text!r} has the part {part.strip()!r}; give FIELD=VALUE with one "
                    f"of the fields {', '.join(_READERS)}."
                )
            if field in _CHOICES:
                _check_choice(field, value)
            try:
                changes[field] = _READERS[field](value)
            except InputError:
                raise
            except ValueError:
                raise InputError(f"the rule's {field} is {value!r}; give a number.") from None
        return RULES[name.strip()].replace(**changes)

    @classmethod
    def of(
        cls, rule: "Rule | str", *, near: Nearness | None = None, k: int | None = None
    ) -> "Rule":
        """Returns a rule, or the rule that a text stands for, with another nearness or k if given.

        >>> Rule.of("chainer-dfi", near=near.pixels).near
        Pixels(size=50)
        """
        if not isinstance(rule, str | Rule):
            raise InputError(f"the rule is {rule!r}; give a Rule, or the text of one.")
        if not isinstance(near, Nearness | None):
            raise InputError(f"near is {near!r}; give a nearness, such as dfi_jax.near.pixels.")
        found = cls.parse(rule) if isinstance(rule, str) else rule
        changes = {name: v for name, v in (("near", near), ("k", k)) if v is not None}
        return found.replace(**changes)

    def __str__(self) -> str:
        fields = [field.name for field in dataclasses.fields(self)]
        changed = [name for name in fields if getattr(self, name) != getattr(Rule(), name)]
        return ",".join(f"{name}={_text(getattr(self, name))}" for name in changed) or "default"

    def replace(self, **changes: Any) -> "Rule":
        """Returns this rule with some fields changed.

        >>> RULES["paper"].replace(k=50).k
        50
        """
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON can write them.

        >>> Rule().to_dict()["per_person"]
        3
        """
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        lists = {name: list(value) for name, value in values.items() if isinstance(value, tuple)}
        return values | lists | {"near": None if self.near is None else str(self.near)}

    @property
    def needs(self) -> frozenset[Need]:
        """Everything about the photo that a selection may depend on."""
        scores: frozenset[Need] = frozenset({"scores"})
        needs = scores if self.near is None else self.near.needs
        return needs | scores if self.like_photo else needs

    def admit(self, scores: Float[np.ndarray, "n a"]) -> Admission:
        """Returns whether each image has each attribute, its opposite, or neither.

        >>> Rule(threshold=0.0).admit(np.array([[0.1], [-0.1]], np.float32)).on.ravel().tolist()
        [True, False]
        """
        return thresholded(scores, threshold=self.threshold, share=self.share)

    def members(
        self, dataset: Dataset, wanted: Wanted, anchor: Anchor
    ) -> tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        """Returns which images belong in the source set, and which in the target set.

        If the photo's scores are unknown, they are assumed to be found later.

        >>> from dfi_jax.data import synthetic
        >>> source, target = Rule().members(
        ...     synthetic.load(40, size=16), Wanted.parse("Smiling"), Anchor()
        ... )
        >>> bool((source & target).any())
        False

        Args:
          dataset: The dataset.
          wanted: Attributes that differ between the sets, and attributes that the sets share.
          anchor: The photo.

        Raises:
          InputError: If the dataset lacks one of the attributes.
        """
        named = [term.name for term in wanted.terms]
        columns = {name: find_attribute(name, dataset.attributes) for name in named}
        columns |= {name: self._find(name, dataset) for name in (*self.like_photo, *self.like_most)}
        # Admitting all of CelebA's 40 attributes would take most of a selection's time.
        admission = self.admit(dataset.scores[:, list(columns.values())])
        others = self.lacking == "others"
        source, target = wanted.members(admission, tuple(columns), others=others)
        allowed = self._not_left_out(dataset, anchor)
        like: dict[str, Any] = {}
        if anchor.scores is not None:
            like |= {name: anchor.scores[columns[name]] >= 0 for name in self.like_photo}
        if self.like_most:
            first = Wanted(tuple(term for term in wanted.terms if not term.shared)[:1])
            _, having = first.members(admission, tuple(columns), others=others)
            on, off = (np.count_nonzero(side[having], axis=0) for side in admission)
            like |= {name: (on >= off)[list(columns).index(name)] for name in self.like_most}
        for name, present in like.items():
            if not wanted.mentions(name):
                side = admission.on if present else admission.off
                allowed &= side[:, list(columns).index(name)]
        return source & allowed, target & allowed

    def _find(self, name: str, dataset: Dataset) -> int:
        """Returns the column of an attribute that the rule names, rather than the user."""
        try:
            return find_attribute(name, dataset.attributes)
        except InputError:
            field = "like_photo" if name in self.like_photo else "like_most"
            raise InputError(
                f"the rule's {field} has {name!r}, which isn't an attribute of the dataset "
                f"{dataset.name}; leave it out, as in paper,{field}=."
            ) from None

    def _not_left_out(self, dataset: Dataset, anchor: Anchor) -> Bool[np.ndarray, " n"]:
        """Returns which images may be selected, as far as the photo's own images matter."""
        if anchor.index is None or self.leave_out == "nobody":
            return np.ones(len(dataset), bool)
        if dataset.people is None or self.leave_out == "image":
            return np.arange(len(dataset)) != anchor.index
        return np.asarray(dataset.people != dataset.people[anchor.index])


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return "+".join(value)
    return "none" if value is None else str(value)


def _check_choice(name: str, value: str) -> None:
    if value not in _CHOICES[name]:
        raise InputError(f"{name} is {value!r}; choose from {', '.join(_CHOICES[name])}.")


def _read_names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split("+") if name.strip())


_CHOICES = {
    "lacking": get_args(Lacking),
    "leave_out": get_args(LeaveOut),
    "weights": get_args(Weights),
}

_READERS: Mapping[str, Any] = {
    "near": lambda text: None if text == "none" else near.parse(text),
    "k": int,
    "threshold": float,
    "share": float,
    "lacking": str,
    "like_photo": _read_names,
    "like_most": _read_names,
    "leave_out": str,
    "per_person": lambda text: None if text == "none" else int(text),
    "smallest": int,
    "weights": str,
}

_PUBLISHED = Rule(threshold=0.0, leave_out="image", per_person=None, smallest=1)

RULES: Mapping[str, Rule] = {
    "default": Rule(),
    "chainer-dfi": _PUBLISHED.replace(
        near=near.Scores(count_wanted=True), threshold=THRESHOLD, leave_out="nobody"
    ),
    "paper": _PUBLISHED.replace(
        near=near.binary, share=2 / 3, lacking="others", like_most=("Male",)
    ),
    "paper-high-resolution": _PUBLISHED.replace(
        near=near.landmarks(first=near.flags, points=68),
        share=0.7,
        like_photo=("Male", "Smiling"),
        smallest=100,
    ),
    "dfi-tensorflow": _PUBLISHED.replace(near=near.Scores(count_wanted=True), k=10),
}
"""The rules by name: `default`, and those of the published systems."""
