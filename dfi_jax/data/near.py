"""What makes an image of a dataset near to the photo that is edited.

A nearness is a value: `scores`, `binary`, `pixels`, `features("conv5_1")` or `landmarks()`. On the
command line and in records it is text, which `parse` reads: `scores`, `binary`, `pixels`, `conv5_1`
or `landmarks`.
"""

from dfi_jax.data.nearness import Binary, Features, Landmarks, Nearness, Pixels, Scores
from dfi_jax.errors import InputError

__all__ = [
    "Binary",
    "Features",
    "Landmarks",
    "Nearness",
    "Pixels",
    "Scores",
    "binary",
    "features",
    "landmarks",
    "parse",
    "pixels",
    "scores",
]

scores = Scores()
"""Nearness of the scores of all attributes except the wanted ones."""

binary = Binary()
"""Nearness of the attributes that an image has confidently, among images of the same gender."""

pixels = Pixels()
"""Nearness of the pixels of faces at 50 × 50."""


def features(layer: str) -> Features:
    """Returns the nearness of features at a layer of the network.

    >>> str(features("conv5_1"))
    'conv5_1'
    """
    return Features(layer)


def landmarks(*, first: Nearness | None = None, candidates: int = 4) -> Landmarks:
    """Returns the nearness of facial points, among the images nearest by another nearness.

    >>> str(landmarks(first=pixels))
    'landmarks:pixels'

    Args:
      first: Nearness by which the candidates are selected. None stands for the default: scores if
        the photo's are known, otherwise pixels.
      candidates: Number of candidates for each image that is selected.
    """
    return Landmarks(first, candidates)


def parse(text: str) -> Nearness:
    """Reads the text of a nearness.

    The text is `scores`, `binary`, `pixels`, `landmarks` or the name of a layer. With `scores:all`,
    the wanted attributes count, too. `pixels:SIZE` sets the size at which faces are compared.
    `landmarks:FIRST`, `landmarks:CANDIDATES` and `landmarks:CANDIDATES:FIRST` set how the
    candidates are selected.

    >>> parse("landmarks:8:binary")
    Landmarks(first=Binary(), candidates=8)

    Raises:
      InputError: If the text names no nearness.
    """
    name, colon, rest = text.partition(":")
    if not colon and name in ("scores", "binary"):
        return scores if name == "scores" else binary
    if text == "scores:all":
        return Scores(count_wanted=True)
    if name.startswith("conv"):
        return Features(text)
    if name == "pixels" and (not colon or rest.isdecimal()):
        return Pixels(int(rest)) if colon else pixels
    if name == "landmarks" and (not colon or rest):
        number, _, first = rest.partition(":")
        candidates, first = (
            (int(number), first) if number.isdecimal() else (Landmarks.candidates, rest)
        )
        return Landmarks(parse(first) if first else None, candidates)
    raise InputError(
        f"images can't be selected by {text!r}; choose from scores, binary, pixels and landmarks, "
        f"or name a layer, such as conv5_1."
    )
