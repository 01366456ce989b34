"""The attribute vectors that come with the package."""

import difflib
import functools
from pathlib import Path

from dfi_jax.errors import InputError
from dfi_jax.recipe.features import Features
from dfi_jax.vectors.attribute_vector import AttributeVector
from dfi_jax.vectors.replacement import of_attribute

STARTERS = Path(__file__).parents[1] / "assets" / "vectors"
"""Folder of the vectors that come with the package, one `NAME.safetensors` per attribute."""

AVERAGE = STARTERS.parent / "average.safetensors"
"""Mean features of the images that the vectors come from, as a vector's file."""


def starter_names() -> tuple[str, ...]:
    """Returns the names of the vectors that come with the package.

    >>> starter_names()[:3]
    ('bangs', 'beard', 'blond')
    """
    return tuple(sorted(path.stem for path in STARTERS.glob("*.safetensors")))


def starter(name: str) -> AttributeVector:
    """Returns a vector that comes with the package.

    The case of the name doesn't matter. With `~` before the name, it is the opposite vector, −w.

    Raises:
      InputError: If no vector has that name. The message suggests similar names.

    >>> starter("Eyeglasses").features["conv5_1"].shape
    (12, 12, 512)
    >>> starter("~eyeglasses").provenance.attributes
    ('~Eyeglasses',)
    """
    if name.startswith("~"):
        return starter(name[1:]).opposite()
    if name.casefold() not in starter_names():
        if similar := difflib.get_close_matches(name.casefold(), starter_names()):
            advice = f"did you mean {', '.join(similar)}?"
        else:
            names = ", ".join(starter_names())
            advice = f"choose from {names}, or give a dataset or a vector's file."
        raise InputError(f"the package has no vector of the attribute {name!r}; {advice}")
    vector = AttributeVector.load(STARTERS / f"{name.casefold()}.safetensors")
    # One average serves all vectors, so it isn't in their files.
    found = of_attribute(vector.features, _average(), vector.provenance.attributes)
    return AttributeVector(vector.features, vector.provenance, found)


@functools.cache
def _average() -> Features:
    return AttributeVector.load(AVERAGE).features
