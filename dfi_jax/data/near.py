"""What makes an image of a dataset near to the photo that is edited.

A nearness is a value: `scores`, `binary`, `flags`, `pixels`, `features("conv5_1")` or
`landmarks()`. On the command line and in records it is text, which `parse` reads: `scores`,
`binary`, `flags`, `pixels`, `conv5_1` or `landmarks`.
"""

import re
from typing import Literal

from dfi_jax.data.nearness import Binary, Features, Flags, Landmarks, Nearness, Pixels, Scores
from dfi_jax.errors import InputError

LONGEST = 200
"""Maximum number of characters of a text. A number in it is then read in no time, and no kind of
nearness is nested too deep."""

__all__ = [
    "Binary",
    "Features",
    "Flags",
    "Landmarks",
    "Nearness",
    "Pixels",
    "Scores",
    "binary",
    "features",
    "flags",
    "landmarks",
    "parse",
    "pixels",
    "scores",
]

scores = Scores()
"""Nearness of the scores of all attributes except the wanted ones."""

binary = Binary()
"""Nearness of the attributes that an image has confidently."""

flags = Flags()
"""Nearness of the photo's scores to the flags of images, over the attributes of the face."""

pixels = Pixels()
"""Nearness of the pixels of faces at 50 × 50."""


def features(layer: str) -> Features:
    """Returns the nearness of features at a layer of the network.

    >>> str(features("conv5_1"))
    'conv5_1'
    """
    return Features(layer)


def landmarks(
    *, first: Nearness | None = None, candidates: int = 4, points: Literal[5, 68] = 5
) -> Landmarks:
    """Returns the nearness of facial points, among the images nearest by another nearness.

    >>> str(landmarks(first=pixels))
    'landmarks:pixels'

    Args:
      first: Nearness by which the candidates are selected. None stands for the default: scores if
        the photo's are known, otherwise pixels.
      candidates: Number of candidates for each image that is selected.
      points: Number of facial points.
    """
    return Landmarks(first, candidates, points)


def parse(text: str) -> Nearness:
    """Reads the text of a nearness.

    The text is `scores`, `binary`, `flags`, `pixels`, `landmarks`, `landmarks68` or the name of a
    layer. With `scores:all`, the wanted attributes count, too. `binary:SHARE` sets the share of
    positive scores that count as confident. `pixels:SIZE` sets the size at which faces are
    compared. `landmarks:FIRST`, `landmarks:CANDIDATES` and `landmarks:CANDIDATES:FIRST` set how the
    candidates are selected.

    >>> parse("landmarks:8:pixels")
    Landmarks(first=Pixels(size=50), candidates=8, points=5)

    Raises:
      InputError: If the text names no nearness.
    """
    if len(text) > LONGEST:
        raise InputError(
            f"near is a text of {len(text)} characters; give one of at most {LONGEST}, such as "
            f"pixels."
        )
    name, colon, rest = text.partition(":")
    if text in ("scores", "scores:all"):
        return Scores(count_wanted=bool(colon))
    if name == "binary" and (not colon or re.fullmatch(r"\d*\.?\d+", rest)):
        return Binary(float(rest)) if colon else binary
    if name.startswith("conv"):
        return Features(text)
    if name == "pixels" and (not colon or rest.isdecimal()):
        return Pixels(int(rest)) if colon else pixels
    if text == "flags":
        return flags
    if name in ("landmarks", "landmarks68") and (not colon or rest):
        number, _, first = rest.partition(":")
        candidates, first = (
            (int(number), first) if number.isdecimal() else (Landmarks.candidates, rest)
        )
        points: Literal[5, 68] = 68 if name.endswith("68") else 5
        return Landmarks(parse(first) if first else None, candidates, points)
    raise InputError(
        f"images can't be selected by {text!r}; choose from scores, binary, flags, pixels, "
        f"landmarks and landmarks68, or name a layer, such as conv5_1."
    )
