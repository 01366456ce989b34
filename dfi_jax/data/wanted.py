"""The request to a dataset.

It names the attributes that differ between the two sets of images, and the attributes that both
sets share. As text, each attribute has a sign or none:

    Smiling    on in the target set, off in the source set
    ~Smiling   off in the target set, on in the source set
    +Young     on in both sets
    -Male      off in both sets

The source set has the opposite of every attribute without `+` or `-`.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool

from dfi_jax.data.admission import Admission
from dfi_jax.errors import InputError

SIGNS = {"~": (False, False), "+": (True, True), "-": (False, True)}
"""The values of `Term.on` and `Term.shared` for each sign."""


@dataclass(frozen=True)
class Term:
    """One attribute that is wanted.

    Attributes:
      name: Name of the attribute.
      on: Whether the target set has the attribute.
      shared: Whether the source set equals the target set in this attribute, instead of being its
        opposite.
    """

    name: str
    on: bool = True
    shared: bool = False

    def __str__(self) -> str:
        return f"{self._sign}{self.name}"

    @property
    def _sign(self) -> str:
        meaning = (self.on, self.shared)
        return next((sign for sign, value in SIGNS.items() if value == meaning), "")


@dataclass(frozen=True)
class Wanted:
    """The attributes that differ between the source and target sets, or that both sets share.

    `str(wanted)` is text that `parse` reads back.

    Attributes:
      terms: Attributes, of which at least one differs between the sets.

    Raises:
      InputError: If no attribute differs between the sets, or a name can't be written as text.
    """

    terms: tuple[Term, ...]

    def __post_init__(self) -> None:
        if not all(term.name for term in self.terms) or all(term.shared for term in self.terms):
            raise InputError(
                f"{str(self)!r} names no attribute to change; name one or more, such as Smiling "
                f"or 'Smiling,~Eyeglasses', besides any that both sets share, such as '+Young'."
            )
        for term in self.terms:
            if _read_term(str(term)) != term or "," in term.name:
                raise InputError(
                    f"{term.name!r} isn't the name of an attribute; give a name without commas, "
                    f"a leading ~, + or -, or surrounding spaces."
                )

    @classmethod
    def parse(cls, text: str) -> "Wanted":
        """Reads attributes separated by commas, each with the sign `~`, `+`, `-` or none.

        >>> wanted = Wanted.parse("Smiling, ~Mouth Slightly Open, +Young")
        >>> wanted.terms[1]
        Term(name='Mouth Slightly Open', on=False, shared=False)
        >>> str(wanted)
        'Smiling,~Mouth Slightly Open,+Young'

        Raises:
          InputError: If no attribute differs between the sets.
        """
        parts = [part.strip() for part in text.split(",")]
        return cls(tuple(_read_term(part) for part in parts if part))

    @classmethod
    def of(cls, wanted: "Wanted | str | None", attributes: Sequence[str]) -> "Wanted":
        """Returns the wanted attributes, with the names that a dataset uses.

        >>> str(Wanted.of("mouth slightly open", ["Male", "Mouth_Slightly_Open"]))
        'Mouth_Slightly_Open'
        >>> str(Wanted.of(None, ["Target"]))
        'Target'

        Args:
          wanted: Attributes, or their text. None or an empty text stands for the attribute of a
            dataset that has only one.
          attributes: Attributes of the dataset.

        Raises:
          InputError: If the dataset lacks one of the attributes, or no attribute differs between
            the sets.
        """
        if wanted is None or (isinstance(wanted, str) and not wanted.strip()):
            wanted = cls((Term(attributes[0]),)) if len(attributes) == 1 else ""
        return (cls.parse(wanted) if isinstance(wanted, str) else wanted).resolve(attributes)

    def __str__(self) -> str:
        return ",".join(map(str, self.terms))

    def resolve(self, attributes: Sequence[str]) -> "Wanted":
        """Returns the same request with the names that a dataset uses.

        >>> str(Wanted.parse("smiling,+young").resolve(["Young", "Smiling"]))
        'Smiling,+Young'

        Args:
          attributes: Attributes of the dataset.

        Raises:
          InputError: If the dataset lacks one of the attributes. The message suggests similar
            names.
        """
        columns = [find_attribute(term.name, attributes) for term in self.terms]
        return Wanted(
            tuple(
                replace(term, name=attributes[column])
                for term, column in zip(self.terms, columns, strict=True)
            )
        )

    def members(
        self, admission: Admission, attributes: Sequence[str], *, others: bool = False
    ) -> tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        """Returns which images belong in the source set, and which in the target set.

        >>> from dfi_jax.data.admission import thresholded
        >>> admission = thresholded(np.array([[1, 1], [-1, 1], [1, -1]], np.float32))
        >>> source, target = Wanted.parse("Smiling,+Male").members(admission, ["Smiling", "Male"])
        >>> source.tolist(), target.tolist()
        ([False, True, False], [True, False, False])

        Args:
          admission: Whether each attribute of each image is on, off, or neither.
          attributes: Attributes of the dataset.
          others: Whether an attribute that differs between the sets is off in all images in which
            it isn't on.

        Raises:
          InputError: If the dataset lacks one of the attributes.
        """
        target = np.ones(len(admission.on), bool)
        source = target.copy()
        for term in self.terms:
            column = find_attribute(term.name, attributes)
            on, off = admission.on[:, column], admission.off[:, column]
            if others and not term.shared:
                off = ~on
            target &= on if term.on else off
            source &= on if term.on == term.shared else off
        return source, target

    def mentions(self, attribute: str) -> bool:
        """Returns whether one of the terms is about an attribute.

        >>> Wanted.parse("Smiling,-Male").mentions("male")
        True
        """
        return _key(attribute) in (_key(term.name) for term in self.terms)


def parse_shared(text: str, attributes: Sequence[str]) -> tuple[Term, ...]:
    """Reads attributes that all images have or lack, such as `+Young,-Male`.

    >>> [str(term) for term in parse_shared("+young, -male", ["Male", "Young"])]
    ['+Young', '-Male']

    Args:
      text: Attributes separated by commas, each with the sign `+` or `-`; an empty text has none.
      attributes: Attributes of the dataset.

    Raises:
      InputError: If the dataset lacks one of the attributes, or a sign is missing.
    """
    terms = [_read_term(part.strip()) for part in text.split(",") if part.strip()]
    if unsigned := [term.name for term in terms if not term.shared]:
        raise InputError(
            f"{unsigned[0]} has no sign; give +{unsigned[0]} for images that have it, or "
            f"-{unsigned[0]} for images that lack it."
        )
    return tuple(
        replace(term, name=attributes[find_attribute(term.name, attributes)]) for term in terms
    )


def opposite(attribute: str) -> str:
    """Returns the text of the opposite attribute. One that both sets share has none, and stays.

    >>> opposite("Smiling"), opposite("~Young"), opposite("-Male")
    ('~Smiling', 'Young', '-Male')
    """
    if attribute.startswith(("+", "-")):
        return attribute
    return attribute[1:] if attribute.startswith("~") else f"~{attribute}"


def find_attribute(name: str, attributes: Sequence[str]) -> int:
    """Returns the column of an attribute.

    Case, spaces and underscores don't matter, unless several names differ in them alone.

    >>> find_attribute("mouth_slightly_open", ["Male", "Mouth Slightly Open"])
    1

    Raises:
      InputError: If no attribute has that name. The message suggests similar names.
    """
    if not attributes:
        raise InputError(
            f"the attribute {name!r} doesn't exist in a dataset without scores; "
            f"use a dataset that has attribute scores."
        )
    if name in attributes:
        return list(attributes).index(name)
    keys = [_key(attribute) for attribute in attributes]
    if _key(name) in keys:
        return keys.index(_key(name))
    similar = difflib.get_close_matches(_key(name), keys, n=3, cutoff=0.5)
    if not similar:
        advice = f"choose from {', '.join(sorted(attributes))}."
    else:
        advice = f"did you mean {', '.join(attributes[keys.index(key)] for key in similar)}?"
    raise InputError(f"the attribute {name!r} doesn't exist; {advice}")


def _key(name: str) -> str:
    return "".join(c for c in name.casefold() if c not in " _\t")


def _read_term(text: str) -> Term:
    if text[:1] not in SIGNS:
        return Term(text.strip())
    on, shared = SIGNS[text[0]]
    return Term(text[1:].strip(), on, shared)
