"""Who is drawn: the numbers that make a person and a photograph, and those that say what is seen of attributes."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float

from dfi_jax import faces
from dfi_jax.errors import InputError

Number = float | int

ATTRIBUTES = ("Smiling", "Mouth Slightly Open", "Eyeglasses", "Beard", "Mustache", "Young", "Blond Hair")
"""The order of a vector of scores. Positive is present, negative absent, and 0 is half seen. The names are CelebA's,
but for `Beard`, which is its `No_Beard` reversed."""

PLAIN = np.array([-1, -1, -1, -1, -1, 1, -1], np.float32)
"""Scores of a young face with none of the other attributes."""

STRONGEST = 2.0
"""Scores lie from its negative to it."""

SMALLEST = 16
"""Height and width of an image, at least."""


@dataclass(frozen=True)
class Identity:
    """A person and a photograph of them. Every number is from −1 to 1, with 0 the mean; `Identity()` is the mean face.

    Attributes:
      texture: seed of what has no parameter: pores, strands of hair, grain.
      face_width, jaw, chin: wide, square, long.
      skin, blush: from light to dark; redness of cheeks and nose.
      hair, hair_length, hair_volume, hairline, fringe, parting, curl: from black to auburn; short below 0; high
        forehead; hair on it; to the right; waves.
      brow_height, brow_width, brow_tilt: high, bushy, raised outside.
      eye_size, eye_spacing, eye_tilt, eye_colour: large, apart, raised outside, from brown to blue.
      nose_width, nose_length: wide, long.
      mouth_width, lips: wide, full.
      frame: of eyeglasses, from small and round to large and square.
      light_x, light_y, light_strength, warmth: from the right, from below, hard, reddish.
      background_red, background_green, background_blue, background_slope: its colour, lighter to the right.
      clothes: from dark to light.
      gaze: to the right.
      shift_x, shift_y, roll, zoom: to the right and down (5 pixels), clockwise (5°), larger (4 %).
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
_OF_PHOTOGRAPH = _NUMBERS[_NUMBERS.index("light_x") :]


def identity(seed: int | Sequence[int], *, photograph: int = 0) -> Identity:
    """The person of a seed, in one of their photographs.

    Every parameter is drawn by itself, uniformly from −1 to 1; those from `light_x` on are the photograph's, the
    others the person's.

    Raises:
      InputError: for a negative number.
    """
    if min(photograph, *np.atleast_1d(seed)) < 0:
        raise InputError(f"the seed {seed} and the photograph {photograph} should be 0 or more.")
    person, picture = (np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(k,))) for k in (0, 1 + photograph))
    drawn = {name: float(person.uniform(-1, 1)) for name in _NUMBERS if name not in _OF_PHOTOGRAPH}
    drawn |= {name: float(picture.uniform(-1, 1)) for name in _OF_PHOTOGRAPH}
    return Identity(texture=int(person.integers(2**31)), **drawn)


def landmarks(
    identity: Identity, scores: Float[np.ndarray, " a"], *, size: int = faces.CANONICAL_SIZE, margin: int = 0
) -> Float[np.ndarray, "5 2"]:
    """The five points of a face as `render` draws it, in the image's pixels, in the order of `CANONICAL_POINTS`.

    Those of `Identity()` that doesn't smile, at 200 pixels, are `CANONICAL_POINTS`. A smile moves the mouth's corners.

    Raises:
      InputError: as `render`.
    """
    shown = presences(scores, size, margin)
    turn, shift = pose(identity)
    posed = turn * (five_points(identity, shown) @ np.array([1, 1j])) + shift
    side = faces.CANONICAL_SIZE + 2 * margin
    return (np.stack([posed.real, posed.imag], axis=1) + margin + 0.5) * (size / side) - 0.5


def check(scores: Float[np.ndarray, " a"], size: int, margin: int) -> None:
    """Raises InputError for what `render` can't draw."""
    if size < SMALLEST or margin < 0:
        raise InputError(f"the size {size} should be {SMALLEST} or more, and the margin {margin} 0 or more.")
    if scores.shape != (len(ATTRIBUTES),) or not (np.abs(scores) <= STRONGEST).all():
        raise InputError(f"the scores {scores.tolist()} should be {len(ATTRIBUTES)} numbers from −2 to 2, "
                         f"for {', '.join(ATTRIBUTES)}.")  # fmt: skip


@dataclass(frozen=True)
class Presence:
    """How much of each attribute is seen, from 0 to 1; of youth, its absence."""

    smile: float
    open: float
    glasses: float
    beard: float
    moustache: float
    age: float
    blond: float


def presences(scores: Float[np.ndarray, " a"], size: int, margin: int) -> Presence:
    """0 to a score of −0.5, ¾·S(s + ½) + ¼·S((s + ½)/2½) from there, with S the smoothstep: 0.84 at 0.5, 1 at 2."""
    check(scores, size, margin)
    signs = [-1 if name == "Young" else 1 for name in ATTRIBUTES]
    s = np.asarray(scores, float) * signs + 0.5
    return Presence(*(0.75 * smooth(s) + 0.25 * smooth(s / 2.5)).tolist())


def five_points(who: Identity, shown: Presence) -> Float[np.ndarray, "5 2"]:
    """The five points before the pose."""
    apart, down = 1.5 * who.eye_spacing, 2 * who.nose_length
    wider, lower = 2.5 * who.mouth_width + 5 * shown.smile, down - 5 * shown.smile
    moved = [(-apart, 0), (apart, 0), (0, down), (-wider, lower), (wider, lower)]
    return faces.CANONICAL_POINTS + np.array(moved)


def pose(who: Identity) -> tuple[complex, complex]:
    """a and b of posed = a·z + b, with points as complex numbers."""
    centre = 100 + 130j
    turn = complex((1 + 0.04 * who.zoom) * np.exp(1j * np.deg2rad(5 * who.roll)))
    return turn, centre - turn * centre + 5 * who.shift_x + 5j * who.shift_y


def smooth(t: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """From 0 at 0 to 1 at 1, level at both: t²(3 − 2t)."""
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)
