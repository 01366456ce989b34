"""Who is drawn: the numbers that make a person and a photo, and how visible each attribute is."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float

from dfi_jax.errors import InputError
from dfi_jax.photo.placement import CANONICAL_POINTS, CANONICAL_SIZE

Number = float | int

ATTRIBUTES = (
    "Smiling",
    "Mouth Slightly Open",
    "Eyeglasses",
    "Beard",
    "Mustache",
    "Young",
    "Blond Hair",
)
"""The attributes, in the order of a vector of scores.

Positive scores mean present, negative scores absent, and 0 half visible. The names are CelebA's,
except for `Beard`, which is the opposite of CelebA's `No_Beard`."""

PLAIN = np.array([-1, -1, -1, -1, -1, 1, -1], np.float32)
"""The scores of a young face with none of the other attributes."""

STRONGEST_SCORE = 2.0
"""The highest score. Its negative is the lowest."""

SMALLEST_SIZE = 16
"""The smallest height and width of an image."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A person and one photo of that person.

    Every parameter but `texture` is a number from −1 to 1, and 0 is the mean: `Identity()` is the
    mean face. Each description below says what a positive number means.

    Attributes:
      texture: Seed of everything without a parameter: pores, strands of hair, grain.
      face_width: Wide face.
      jaw: Square jaw.
      chin: Long chin.
      skin: Dark skin.
      blush: Red cheeks and nose.
      hair: Auburn hair; black if negative.
      hair_length: Long hair.
      hair_volume: Voluminous hair.
      hairline: High forehead.
      fringe: Fringe on the forehead.
      parting: Parting to the right.
      curl: Wavy hair.
      brow_height: High eyebrows.
      brow_width: Bushy eyebrows.
      brow_tilt: Eyebrows raised at the temples.
      eye_size: Large eyes.
      eye_spacing: Eyes far apart.
      eye_tilt: Eyes raised at the temples.
      eye_colour: Blue eyes; brown if negative.
      nose_width: Wide nose.
      nose_length: Long nose.
      mouth_width: Wide mouth.
      lips: Full lips.
      frame: Large and square eyeglasses; small and round if negative.
      light_x: Light from the right.
      light_y: Light from below.
      light_strength: Hard light.
      warmth: Reddish light.
      background_red: Red background.
      background_green: Green background.
      background_blue: Blue background.
      background_slope: Background that is lighter to the right.
      clothes: Light clothes.
      gaze: Gaze to the right.
      shift_x: Face shifted to the right, by up to 5 pixels.
      shift_y: Face shifted down, by up to 5 pixels.
      roll: Head turned clockwise, by up to 5°.
      zoom: Larger face, by up to 4 %.
    """

    texture: int = 0
    face_width: Number = 0
    jaw: Number = 0
    chin: Number = 0
    skin: Number = 0
    blush: Number = 0
    hair: Number = 0
    hair_length: Number = 0
    hair_volume: Number = 0
    hairline: Number = 0
    fringe: Number = 0
    parting: Number = 0
    curl: Number = 0
    brow_height: Number = 0
    brow_width: Number = 0
    brow_tilt: Number = 0
    eye_size: Number = 0
    eye_spacing: Number = 0
    eye_tilt: Number = 0
    eye_colour: Number = 0
    nose_width: Number = 0
    nose_length: Number = 0
    mouth_width: Number = 0
    lips: Number = 0
    frame: Number = 0
    light_x: Number = 0
    light_y: Number = 0
    light_strength: Number = 0
    warmth: Number = 0
    background_red: Number = 0
    background_green: Number = 0
    background_blue: Number = 0
    background_slope: Number = 0
    clothes: Number = 0
    gaze: Number = 0
    shift_x: Number = 0
    shift_y: Number = 0
    roll: Number = 0
    zoom: Number = 0


_NUMBERS = tuple(field.name for field in fields(Identity))[1:]
_PHOTO_NUMBERS = _NUMBERS[_NUMBERS.index("light_x") :]
"""The parameters that belong to the photo rather than the person."""


def identity(seed: int | Sequence[int], *, photo: int = 0) -> Identity:
    """Returns the person drawn from a seed, in one of their photos.

    Each parameter is drawn independently and uniformly from −1 to 1. The parameters from `light_x`
    on belong to the photo, the others to the person.

    >>> identity(3).jaw == identity(3, photo=1).jaw
    True
    >>> identity(3).roll == identity(3, photo=1).roll
    False

    Args:
      seed: Seed of the person, one or several numbers.
      photo: Number of the photo.

    Raises:
      InputError: If a number is negative.
    """
    if min(photo, *np.atleast_1d(seed)) < 0:
        raise InputError(f"the seed {seed} and the photo {photo} should be 0 or more.")
    person_rng, photo_rng = (
        np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(key,)))
        for key in (0, 1 + photo)
    )
    numbers = {
        name: float(person_rng.uniform(-1, 1)) for name in _NUMBERS if name not in _PHOTO_NUMBERS
    }
    numbers |= {name: float(photo_rng.uniform(-1, 1)) for name in _PHOTO_NUMBERS}
    return Identity(texture=int(person_rng.integers(2**31)), **numbers)


def landmarks(
    identity: Identity,
    scores: Float[np.ndarray, " a"],
    *,
    size: int = CANONICAL_SIZE,
    margin: int = 0,
) -> Float[np.ndarray, "5 2"]:
    """Returns the five points of a face in the image that `render` draws.

    They are in the image's pixels and in the order of `placement.CANONICAL_POINTS`, which are the
    points of `Identity()` without a smile at 200 pixels. A smile moves the corners of the mouth.

    >>> bool(np.allclose(landmarks(Identity(), PLAIN), CANONICAL_POINTS))
    True

    Args:
      identity: Person and photo.
      scores: Scores of `ATTRIBUTES`.
      size: Height and width of the image.
      margin: Width of the border shown around the canonical crop, in the crop's pixels.

    Raises:
      InputError: If `render` would raise it.
    """
    visible = visibility(scores, size, margin)
    turn, shift = pose(identity)
    posed = turn * (five_points(identity, visible) @ np.array([1, 1j])) + shift
    side = CANONICAL_SIZE + 2 * margin
    return (np.stack([posed.real, posed.imag], axis=1) + margin + 0.5) * (size / side) - 0.5


def check(scores: Float[np.ndarray, " a"], size: int, margin: int) -> None:
    """Checks what is to be drawn.

    >>> check(PLAIN, 200, 0)

    Raises:
      InputError: If the size is below 16, the margin is negative, or the scores aren't one number
        from −2 to 2 for each attribute.
    """
    if size < SMALLEST_SIZE or margin < 0:
        raise InputError(
            f"the size {size} should be {SMALLEST_SIZE} or more, and the margin {margin} should be "
            f"0 or more."
        )
    if scores.shape != (len(ATTRIBUTES),) or not (np.abs(scores) <= STRONGEST_SCORE).all():
        raise InputError(
            f"the scores {scores.tolist()} should be {len(ATTRIBUTES)} numbers from −2 to 2, for "
            f"{', '.join(ATTRIBUTES)}."
        )


@dataclass(frozen=True, kw_only=True)
class Visibility:
    """How visible each attribute is, from 0 to 1.

    Attributes:
      smile: Smile.
      open: Open mouth.
      glasses: Eyeglasses.
      beard: Beard.
      moustache: Moustache.
      age: Age, the opposite of youth.
      blond: Blond hair.
    """

    smile: float
    open: float
    glasses: float
    beard: float
    moustache: float
    age: float
    blond: float


def visibility(scores: Float[np.ndarray, " a"], size: int, margin: int) -> Visibility:
    """Returns how visible each attribute is at a score s.

    It is 0 up to a score of −0.5. Above, it is ¾·S(s + ½) + ¼·S((s + ½)/2½), where S is `smooth`,
    and so 0.84 at 0.5 and 1 at 2. The visibility of age takes the negative score of `Young` as s.

    >>> visibility(PLAIN, 200, 0).smile
    0.0

    Raises:
      InputError: If `render` would raise it.
    """
    check(scores, size, margin)
    signs = [-1 if name == "Young" else 1 for name in ATTRIBUTES]
    s = np.asarray(scores, float) * signs + 0.5
    values = (0.75 * smooth(s) + 0.25 * smooth(s / 2.5)).tolist()
    names = [field.name for field in fields(Visibility)]
    return Visibility(**dict(zip(names, values, strict=True)))


def five_points(who: Identity, visible: Visibility) -> Float[np.ndarray, "5 2"]:
    """Returns the five points of a face before it is posed.

    >>> five_points(Identity(nose_length=1), visibility(PLAIN, 200, 0))[2].round(1).tolist()
    [100.2, 137.9]
    """
    apart, down = 1.5 * who.eye_spacing, 2 * who.nose_length
    wider, lower = 2.5 * who.mouth_width + 5 * visible.smile, down - 5 * visible.smile
    moved = [(-apart, 0), (apart, 0), (0, down), (-wider, lower), (wider, lower)]
    return CANONICAL_POINTS + np.array(moved)


def pose(who: Identity) -> tuple[complex, complex]:
    """Returns a and b of the pose, which moves a point z, as a complex number, to a·z + b.

    >>> pose(Identity(shift_x=1))
    ((1+0j), (5+0j))
    """
    centre = 100 + 130j
    turn = complex((1 + 0.04 * who.zoom) * np.exp(1j * np.deg2rad(5 * who.roll)))
    return turn, centre - turn * centre + 5 * who.shift_x + 5j * who.shift_y


def smooth(t: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Returns t²(3 − 2t), which rises from 0 at 0 to 1 at 1 and is level at both ends and beyond.

    >>> smooth(np.array([-1.0, 0.5, 2.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)
