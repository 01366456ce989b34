"""The layers of an image, from the background to the eyeglasses, and how they are combined."""

import numpy as np
from jaxtyping import Float

from dfi_jax.data.synthetic.details import eyeglasses, eyes, facial_hair, mouth_inside
from dfi_jax.data.synthetic.person import Identity, smooth, visibility
from dfi_jax.data.synthetic.scene import Canvas, Scene, between, paint, rgb
from dfi_jax.data.synthetic.skin import head
from dfi_jax.photo.placement import CANONICAL_SIZE


def render(
    identity: Identity,
    scores: Float[np.ndarray, " a"],
    *,
    size: int = CANONICAL_SIZE,
    margin: int = 0,
) -> Float[np.ndarray, "size size 3"]:
    """Draws a person with some attributes.

    Two images that differ in one score are equal wherever its attribute isn't visible.

    >>> from dfi_jax.data.synthetic.person import PLAIN
    >>> render(Identity(), PLAIN, size=32).shape
    (32, 32, 3)

    Args:
      identity: Person and photo.
      scores: Scores of `ATTRIBUTES`, from −2 to 2. Below −0.5 an attribute is absent, and above 0.5
        it is plainly visible.
      size: Height and width of the image.
      margin: Width of the border shown around the canonical crop, in the crop's pixels.

    Returns:
      RGB in [0, 1].

    Raises:
      InputError: If the size is below 16, the margin is negative, or the scores aren't one number
        from −2 to 2 for each attribute.
    """
    scene = Scene(identity, visibility(scores, size, margin), size, margin)
    canvas = _background(scene)
    _hair_behind(scene, canvas)
    _body(scene, canvas)
    head(scene, canvas)
    facial_hair(scene, canvas)
    mouth_inside(scene, canvas)
    eyes(scene, canvas)
    _hair_in_front(scene, canvas)
    eyeglasses(scene, canvas)
    return _develop(scene, canvas)


def _background(s: Scene) -> Canvas:
    who = s.who
    colour = np.array([who.background_red, who.background_green, who.background_blue], np.float32)
    colour = 0.48 + 0.3 * colour.mean() + 0.14 * colour
    light = 0.95 + 0.14 * s.noise(s.x / 45, s.y / 60)
    light = light + 0.002 * who.background_slope * s.dx - 0.001 * (s.y - 100)
    return light[..., None] * colour


def _hair_behind(s: Scene, canvas: Canvas) -> None:
    paint(canvas, s.hair_cover, 0.6 * s.hair_colour)


def _body(s: Scene, canvas: Canvas) -> None:
    side = np.abs(s.dx)
    neck = s.edge(side - 33 - 0.010 * np.maximum(s.y - 165, 0) ** 2) * s.edge(150 - s.y)
    light = np.clip(0.62 + 0.009 * (s.y - s.chin), 0.5, 0.95)  # The chin casts a shadow.
    light *= 1 - 0.35 * (side / 36) ** 2 + 0.006 * s.dx * s.light[0]
    paint(canvas, neck, light[..., None] * s.skin)
    cloths = [(0.09, 0.10, 0.14), (0.30, 0.14, 0.16), (0.25, 0.36, 0.5), (0.85, 0.84, 0.8)]
    cloth = between(cloths, s.who.clothes)
    collar = 198 + 0.0017 * s.dx**2 - s.y
    scoop = ((s.dx / 40) ** 2 + ((s.y - 192) / 24) ** 2) - 1
    fold = 0.9 + 0.12 * s.noise(s.x / 14, s.y / 40) - 0.002 * side
    paint(canvas, s.edge(collar) * s.cover(-scoop), fold[..., None] * cloth)
    for sign in (-1, 1):
        ear = ((s.x - 100 - sign * (s.width + 1)) / 7.5) ** 2 + ((s.y - 121) / 16) ** 2 - 1
        hollow = s.spot(100 + sign * (s.width + 2.5), 120, 5, 10)
        light = (0.8 + 0.25 * sign * s.light[0]) * (1 - 0.3 * hollow)
        paint(canvas, s.cover(ear), light[..., None] * s.skin * rgb(1.03, 0.95, 0.93))


def _hair_in_front(s: Scene, canvas: Canvas) -> None:
    who = s.who
    fringe = max(who.fringe, 0)
    line = 56 - 5 * who.hairline + 26 * fringe + (0.1 + 0.1 * fringe) * who.parting * s.dx
    line = np.minimum(line, 100)
    opening = np.abs((s.dx - 4 * who.parting) / (s.width - 1)) ** (2.6 + fringe)
    opening += np.maximum((112 - s.y) / (112 - line), 0) ** 2 - 1
    cover = s.hair_cover * s.cover(-opening + (0.08 + 0.2 * fringe) * s.strands, 4)
    shadow = s.cover(-opening - 0.18, 10) * s.cover(s.skull - 1)
    canvas *= (1 - 0.30 * shadow * smooth((130 - s.y) / 40))[..., None]
    paint(canvas, cover, s.hair_colour)


def _develop(s: Scene, canvas: Canvas) -> Canvas:
    """Returns the image with the warmth of the light, a darker rim, and grain."""
    tint = np.array([1 + 0.06 * s.who.warmth, 1, 1 - 0.06 * s.who.warmth])
    rim = 1.02 - 0.000008 * (s.dx**2 + (s.y - 100) ** 2)
    grain = 0.008 * s.noise(s.x * 0.9 + 17, s.y * 0.9 + 5)
    return np.clip(canvas * tint * rim[..., None] + grain[..., None], 0, 1).astype(np.float32)
