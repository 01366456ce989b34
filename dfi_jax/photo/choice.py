"""Which face of a photo is edited."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Int

from dfi_jax.errors import InputError
from dfi_jax.photo import faces
from dfi_jax.photo.faces import Face
from dfi_jax.photo.photo import Photo
from dfi_jax.photo.placement import Box, Placement
from dfi_jax.storage.fields import plain

FaceLike = (
    Literal["auto", "whole"] | int | np.integer | Box | list[int] | Int[np.ndarray, "4"] | Placement
)
"""Everything that `locate` accepts as a face."""


def locate(
    photo: Photo,
    face: FaceLike = "auto",
    *,
    points: Literal[5, 68] = 5,
    annotated: Placement | None = None,
) -> Placement:
    """Returns the placement of the face to edit in a photo.

    >>> import numpy as np
    >>> photo = Photo.of(np.zeros((140, 120, 3), np.uint8))
    >>> locate(photo, "whole").box, locate(photo, (10, 20, 70, 80)).box
    ((0, 0, 120, 140), (10, 20, 70, 80))

    Args:
      photo: Photo with the face.
      face: `auto` uses the annotated placement if there is one, otherwise the largest face that is
        detected. `whole` treats the whole photo as the face. A number selects among the detected
        faces, from 1 for the largest. A box or a placement says where the face is.
      points: Number of points that a detected face is aligned by: 5 around the eyes and nose, or
        68, which include the mouth. dlib's 68-point model isn't licensed for commercial use.
      annotated: Placement of the face that a dataset gives for the photo.

    Raises:
      FileError: If a face has to be detected and the extra `faces` isn't installed.
      InputError: If no such face is detected or it is upside down, the face doesn't lie in the
        photo, it is smaller than 32 × 32 pixels, or there is no model of so many points.
    """
    if points not in (5, 68):
        raise InputError(f"points is {points!r}; give 5 or 68.")
    Placement.whole(photo.size).check(photo.size)  # A tiny photo has no face, and needs no dlib.
    chosen = plain(face)
    if isinstance(chosen, Placement):
        placement = chosen
    elif isinstance(chosen, tuple | list):
        placement = Placement.from_box(chosen)
    elif chosen == "whole":
        placement = Placement.whole(photo.size)
    elif chosen == "auto" and annotated is not None:
        placement = annotated
    elif chosen == "auto" or (isinstance(chosen, int) and not isinstance(chosen, bool)):
        number = None if chosen == "auto" else chosen
        placement = _detect(photo, number, points=points).placement
    else:
        raise InputError(_explain_choices(face))
    placement.check(photo.size)
    return placement


def parse_face(text: str) -> FaceLike:
    """Reads the face to edit from text, as the command line and manifests give it.

    >>> parse_face("auto"), parse_face("2"), parse_face("40,20,210,190")
    ('auto', 2, (40, 20, 210, 190))

    Raises:
      InputError: If the text isn't `auto`, `whole`, a number from 1, or a box `x0,y0,x1,y1`.
    """
    words: dict[str, Literal["auto", "whole"]] = {"auto": "auto", "whole": "whole"}
    if word := words.get(text.strip()):
        return word
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 1 and numbers[0] >= 1:
        return numbers[0]
    if len(numbers) == 4:
        x0, y0, x1, y1 = numbers
        if x0 < x1 and y0 < y1:
            return x0, y0, x1, y1
    raise InputError(_explain_choices(text))


def choose(found: Sequence[Face], number: int | None = None) -> Face:
    """Returns the face with a number, or the largest.

    >>> found = [faces.Face((0, 0, side, side), faces.CANONICAL_CORNERS) for side in (90, 50)]
    >>> choose(found, 2).box
    (0, 0, 50, 50)

    Args:
      found: Detected faces, the largest first.
      number: Number of the face, from 1 for the largest.

    Raises:
      InputError: If there are no faces, or none with that number.
    """
    if not found:
        raise InputError(
            "no face was detected in the photo; give a photo in which a face looks towards the "
            "camera, or set the face to `whole` or to a box x0,y0,x1,y1 (on the command line, with "
            "--face)."
        )
    if number is None:
        return found[0]
    if not 1 <= number <= len(found):
        only = len(found) == 1
        detected = "1 face was" if only else f"{len(found)} faces were"
        choice = "1" if only else f"a number from 1, the largest face, to {len(found)}"
        raise InputError(
            f"the photo has no face {number}, because {detected} detected in it; give {choice}."
        )
    return found[number - 1]


def _detect(photo: Photo, number: int | None, *, points: Literal[5, 68]) -> Face:
    found = faces.detect(photo.pixels, points=points)
    if not found and (turn := faces.upright_turn(photo.pixels)):
        raise InputError(
            f"no face was detected in the photo as it is, but one was after a turn of {turn}° "
            f"clockwise; turn the photo."
        )
    face = choose(found, number)
    if faces.is_upside_down(photo.pixels, face):
        raise InputError("the face in the photo is upside down; turn the photo.")
    return face


def _explain_choices(face: object) -> str:
    return (
        f"the face is {face!r}; give auto, whole, a number from 1 for the largest face, "
        "or a box x0,y0,x1,y1 with x0 < x1 and y0 < y1."
    )
