"""The layers of a picture, from the background to the eyeglasses, and how they come together."""

import numpy as np
from jaxtyping import Float

from dfi_jax import faces
from dfi_jax.data.synthetic.person import Identity, Number, presences, smooth
from dfi_jax.data.synthetic.scene import Grid, Picture, Scene, between, bump, paint, rgb


def render(
    identity: Identity, scores: Float[np.ndarray, " a"], *, size: int = faces.CANONICAL_SIZE, margin: int = 0
) -> Float[np.ndarray, "size size 3"]:
    """Draws a person with attributes. Two scores give two pictures that are equal where the attribute isn't seen.

    Args:
      identity: the person and the photograph.
      scores: of `ATTRIBUTES`, from −2 to 2; below −0.5 the attribute is absent, above 0.5 plain to see.
      size: height and width of the image.
      margin: pixels of the canonical crop shown on every side of it.

    Returns:
      RGB in [0, 1].

    Raises:
      InputError: for a size below 16, a negative margin, or scores that aren't one number from −2 to 2 an attribute.
    """
    shown = presences(scores, size, margin)
    scene = Scene(identity, shown, size, margin)
    picture = _background(scene)
    for layer in (_hair_behind, _body, _head, _facial_hair, _mouth_inside, _eyes, _hair_in_front, _eyeglasses):
        layer(scene, picture)
    return _develop(scene, picture)


def _background(s: Scene) -> Picture:
    who = s.who
    colour = np.array([who.background_red, who.background_green, who.background_blue], np.float32)
    colour = 0.48 + 0.3 * colour.mean() + 0.14 * colour
    soft = 0.95 + 0.14 * s.noise(s.x / 45, s.y / 60) + 0.002 * who.background_slope * s.dx - 0.001 * (s.y - 100)
    return soft[..., None] * colour


def _hair_behind(s: Scene, picture: Picture) -> None:
    paint(picture, s.hair_cover, 0.6 * s.hair_colour)


def _body(s: Scene, picture: Picture) -> None:
    side = np.abs(s.dx)
    neck = s.edge(side - 33 - 0.010 * np.maximum(s.y - 165, 0) ** 2) * s.edge(150 - s.y)
    light = np.clip(0.62 + 0.009 * (s.y - s.chin), 0.5, 0.95)  # in the shadow of the chin
    light *= 1 - 0.35 * (side / 36) ** 2 + 0.006 * s.dx * s.light[0]
    paint(picture, neck, light[..., None] * s.skin)
    cloth = between([(0.09, 0.10, 0.14), (0.30, 0.14, 0.16), (0.25, 0.36, 0.5), (0.85, 0.84, 0.8)], s.who.clothes)
    collar = 198 + 0.0017 * s.dx**2 - s.y
    scoop = ((s.dx / 40) ** 2 + ((s.y - 192) / 24) ** 2) - 1
    fold = 0.9 + 0.12 * s.noise(s.x / 14, s.y / 40) - 0.002 * side
    paint(picture, s.edge(collar) * s.cover(-scoop), fold[..., None] * cloth)
    for sign in (-1, 1):
        ear = ((s.x - 100 - sign * (s.width + 1)) / 7.5) ** 2 + ((s.y - 121) / 16) ** 2 - 1
        light = (0.8 + 0.25 * sign * s.light[0]) * (1 - 0.3 * s.spot(100 + sign * (s.width + 2.5), 120, 5, 10))
        paint(picture, s.cover(ear), light[..., None] * s.skin * rgb(1.03, 0.95, 0.93))


def _head(s: Scene, picture: Picture) -> None:
    """The skin with nose, cheeks, lips, brows and wrinkles: a height map and a map of colour."""
    who, shown = s.who, s.shown
    (lx, ly), (rx, ry), (nx, ny), (ml, mly), (mr, mry) = s.points
    spot = s.spot
    height = 42 * np.sqrt(np.maximum(1 - s.skull, 0) + 0.02)
    width = 1 + 0.2 * who.nose_width
    bridge = smooth((s.y - ny + 42) / 42)
    ridge = bump((s.x - nx) / (width * (9 + 7 * bridge)))
    height += (1 + 10 * bridge**1.5) * ridge * smooth((s.y - ny + 44) / 16) * smooth((ny + 9 - s.y) / 11)
    for sign, ex, ey, mx, my in ((-1, lx, ly, ml, mly), (1, rx, ry, mr, mry)):
        height -= 6 * spot(ex - sign * 2, ey - 3, 18, 13) - 3 * spot(ex, ey - 14, 22, 9)
        height += 4.5 * spot(nx + sign * 9 * width, ny + 2, 7 * width, 7) + 4 * spot(100 + sign * 31, 136, 26, 26)
        height += 3.5 * shown.smile * spot(mx + sign * 5, my - 21, 17, 16)
        fold = (s.y - (ny + my + 6) / 2) / ((my + 6 - ny) / 2 + 4)
        curve = nx + sign * (22 + 8 * fold + 3 * shown.smile + 1.5 * (1 - fold**2))
        height -= (0.2 + 1.1 * shown.smile + 1.8 * shown.age) * s.stroke(fold, s.x - curve, 5.5)
        height -= 1.2 * shown.smile * spot(mx + sign, my, 4, 5)
        bag = (s.x - ex) / 15
        height -= (0.3 + 2.0 * shown.age) * s.stroke(bag, s.y - ey - 10.5 + 3 * bag**2, 3.5)
        for k in (-1, 0, 1):
            foot = (s.x - ex - sign * 20) / 7
            height -= 1.3 * shown.age * s.stroke(foot, s.y - ey - k * (3 + 2 * sign * foot) - 1, 1.8)
        marionette = (s.y - my - 10) / 9
        height -= 1.6 * shown.age * s.stroke(marionette, s.x - mx - sign * (2 + 1.5 * marionette), 3)
    for k in range(3):
        across = (s.x - 100 - 2 * k) / (34 - 3 * k)
        waves = 88 - 8.5 * k + 2.5 * across**2 + 1.2 * s.noise(s.x / 18, np.full_like(s.y, 7 * k))
        height -= 1.5 * shown.age * s.stroke(across, s.y - waves, 2.4)
    height += 5 * spot(100, s.chin - 8, 19, 12) - 2.5 * spot(100, (s.chin + 168) / 2 - 4, 18, 5)
    height -= 1.2 * spot(nx, ny + 14, 3.5, 8)
    upper, lower = (s.lip_top + s.lip_upper) / 2, (s.lip_lower + s.lip_bottom) / 2
    height += 1.5 * s.stroke(s.t, s.y - upper, 5) + 3 * s.stroke(s.t, s.y - lower, 6)
    diffuse, shine = s.shade(height, 0.06 + 0.02 * who.skin)

    colour = np.broadcast_to(s.skin, (*s.x.shape, 3)).copy()
    red = s.skin * rgb(1.0, 0.78, 0.76)
    rosy = 0.45 + 0.35 * who.blush
    for sign in (-1, 1):
        paint(colour, rosy * spot(100 + sign * 31, 141, 24, 20), red)
    paint(colour, 0.7 * rosy * spot(nx, ny, 13, 12), red)
    mottle = 1 + 0.025 * s.noise(s.x / 2.2, s.y / 2.2) + 0.02 * s.noise(s.x / 9, s.y / 9)
    colour *= mottle[..., None]
    lips = s.edge(s.lip_top - s.y, 1.5) * s.edge(s.y - s.lip_bottom, 1.5) * (np.abs(s.t) < 1)
    tone = s.skin * rgb(0.86, 0.52, 0.52) + rgb(0.05, 0.01, 0.02)
    paint(colour, 0.85 * lips, np.where((s.y < s.lip_upper)[..., None], 0.86 * tone, tone))
    _brows(s, colour)

    dark = 1 - 0.32 * spot(nx, ny + 8.5, 14 * width, 5)
    for sign, ex, ey in ((-1, lx, ly), (1, rx, ry)):
        dark *= 1 - 0.15 * spot(ex - sign * 11, ey - 3, 10, 12)
        dark *= 1 - 0.75 * spot(nx + sign * 5.5 * width, ny + 6, 4 * width, 2.4)
        dark *= 1 - 0.22 * s.stroke((s.y - ny - 1) / 8, s.x - nx - sign * (14 * width), 3)
    dark *= 1 - 0.28 * spot((ml + mr) / 2, (mly + mry) / 2 + 14 + 4 * shown.smile + 7 * shown.open, 17, 6)
    seam = s.stroke(s.t / 1.06, s.y - s.lip_upper, 2.2)
    dark *= 1 - 0.6 * seam
    dark *= 1 - 0.22 * np.clip((s.skull - 0.72) / 0.28, 0, 1) ** 2
    skin = (diffuse * dark)[..., None] * colour + shine[..., None]
    paint(picture, s.cover(s.skull - 1), skin)


def _brows(whole: Scene, colour: Picture) -> None:
    who = whole.who
    for sign, (ex, ey) in zip((-1, 1), whole.points, strict=False):
        s, box = whole.near(ex, ey - 17, 24)
        t = (s.x - ex - sign * 1.5) / 17 * sign  # −1 at the nose, 1 at the temple
        arch = ey - 15 - 1.5 * who.brow_height - 2.2 * (1 - (t - 0.3) ** 2) + (0.5 - 1.2 * who.brow_tilt) * t
        width = (3.8 + 1.1 * who.brow_width) * (1 - 0.35 * np.clip(t, -1, 1))
        hairs = 0.85 + 0.4 * s.noise(s.x / 1.6 - s.y / 3 * sign, s.y / 4)
        density = np.clip(1.5 * np.maximum(1 - t**4, 0) * bump((s.y - arch) / width) * hairs, 0, 0.92)
        paint(colour[box], density, 0.75 * s.hair + 0.1 * s.skin)


def _eyes(whole: Scene, picture: Picture) -> None:
    who, shown = whole.who, whole.shown
    iris = between([(0.22, 0.12, 0.06), (0.30, 0.18, 0.09), (0.30, 0.34, 0.20), (0.30, 0.44, 0.58)], who.eye_colour)
    wide = 12 + 1.0 * who.eye_size
    high, low = 4.9 + 0.8 * who.eye_size, 3.9 + 0.4 * who.eye_size - 1.4 * shown.smile
    for sign, (ex, ey) in zip((-1, 1), whole.points, strict=False):
        s, box = whole.near(ex, ey, 17)
        part = picture[box]
        t = (s.x - ex) / wide
        tilt = -(0.6 + 0.8 * who.eye_tilt) * sign * t
        arch = np.maximum(1 - t**2, 0)
        top, bottom = ey + tilt - high * arch**0.75, ey + tilt + low * arch**0.9
        white = s.edge(top - s.y) * s.edge(s.y - bottom) * (np.abs(t) < 1)
        r = np.hypot(s.x - ex - 1.2 * who.gaze, s.y - ey + 0.3)
        ball = np.broadcast_to(rgb(0.90, 0.88, 0.86), part.shape) * (1 - 0.22 * t**2)[..., None]
        ring = 0.55 + 0.75 * smooth(r / 4.6) + 0.12 * s.noise(8 * np.arctan2(s.y - ey, s.x - ex), r / 9)
        paint(ball, s.edge(r - 5.3, 1.3), 0.35 * iris)
        paint(ball, s.edge(r - 4.5, 1.3), ring[..., None] * iris)
        paint(ball, s.edge(r - 2.0, 1.2), (0.02, 0.02, 0.02))
        ball *= (1 - 0.45 * bump((s.y - top) / 5))[..., None]
        glint = s.edge(np.hypot(s.x - ex - 1.2 * who.gaze - 3 * s.light[0], s.y - ey + 2.1) - 1.0, 1.3)
        paint(ball, 0.9 * glint, (1, 1, 1))
        paint(part, white, ball)
        lash = np.clip(1.3 * np.maximum(1 - (t / 1.12) ** 4, 0) * bump((s.y - top + 0.4) / 2.0), 0, 0.9)
        paint(part, lash * (s.y < bottom + 1), 0.16 * s.skin + 0.02)
        crease = s.stroke(t / 1.15, s.y - top + 3.6, 2.0)
        paint(part, 0.45 * crease, 0.45 * s.skin)
        paint(part, 0.4 * s.stroke(t / 1.05, s.y - bottom - 0.5, 1.6), 0.45 * s.skin)


def _mouth_inside(s: Scene, picture: Picture) -> None:
    opened = s.edge(s.lip_upper - s.y) * s.edge(s.y - s.lip_lower) * (np.abs(s.t) < 0.97) * min(s.lip_gap / 1.5, 1)
    depth = np.broadcast_to(rgb(0.22, 0.06, 0.06), picture.shape).copy()
    paint(depth, 0.8 * smooth((s.y - s.lip_lower + 5) / 4), (0.45, 0.19, 0.18))
    gaps = 1 - 0.22 * bump((np.abs((s.dx / 6 + 0.5) % 1 - 0.5)) / 0.10)
    light = (1 - 0.5 * np.clip(s.t, -1, 1) ** 2) * gaps
    teeth = s.edge(s.y - s.lip_upper - 2.4 - 3 * s.shown.smile, 1.5) * np.maximum(1 - (s.t / 0.95) ** 6, 0)
    paint(depth, teeth, light[..., None] * rgb(0.93, 0.90, 0.84))
    paint(picture, opened, depth)


def _facial_hair(s: Scene, picture: Picture) -> None:
    shown, side = s.shown, np.abs(s.dx)
    if not (shown.beard or shown.moustache):
        return
    hairs = s.noise(s.x / 1.5 + 0.02 * s.dx * (s.y - 140) / 8, s.y / 5)
    diffuse, _ = s.shade(42 * np.sqrt(np.maximum(1.1 - s.skull, 0) + 0.02), 0)
    tone = (diffuse * (0.8 + 0.35 * hairs))[..., None] * (0.85 * s.hair + 0.04 * s.skin)
    lips = s.edge(s.lip_top - s.y) * s.edge(s.y - s.lip_bottom) * (np.abs(s.t) < 1)
    start = np.interp(side, [0, 8, 18, 27, 34, 42, 54], [0, 0, -3, -17, -30, -42, -62]).astype(np.float32)
    start = start + 174 + 0.75 * s.lip_gap + 2 * s.who.nose_length
    soft = smooth((s.y - start + 3 * hairs) / 7)
    grown = s.cover(s.skull - 1 - 0.10 * shown.beard * smooth((s.y - 130) / 50) + 0.03 * hairs, 3)
    paint(picture, np.clip(shown.beard * soft * grown * (0.85 + 0.3 * hairs) * (1 - lips), 0, 0.94), tone)
    t = np.clip(np.abs(s.t), 0, 1.2)
    low = s.lip_top + 1 + 9 * np.maximum(t - 0.9, 0)
    high = low - 10.5 * np.sqrt(np.maximum(1 - (t / 1.2) ** 2, 0)) + 1.5 * bump(s.t / 0.15)
    over = smooth((s.y - high + 1 + 0.6 * hairs) / 4) * smooth((low - s.y + 1.5 + 0.6 * hairs) / 2.5) * (t < 1.2)
    paint(picture, np.clip(shown.moustache * over * (0.9 + 0.3 * hairs), 0, 0.94), tone)


def _hair_in_front(s: Scene, picture: Picture) -> None:
    who = s.who
    fringe = max(who.fringe, 0)
    line = np.minimum(56 - 5 * who.hairline + 26 * fringe + (0.1 + 0.1 * fringe) * who.parting * s.dx, 100)
    opening = np.abs((s.dx - 4 * who.parting) / (s.width - 1)) ** (2.6 + fringe)
    opening += np.maximum((112 - s.y) / (112 - line), 0) ** 2 - 1
    cover = s.hair_cover * s.cover(-opening + (0.08 + 0.2 * fringe) * s.strands, 4)
    shadow = s.cover(-opening - 0.18, 10) * s.cover(s.skull - 1)
    picture *= (1 - 0.30 * shadow * smooth((130 - s.y) / 40))[..., None]
    paint(picture, cover, s.hair_colour)


def _eyeglasses(s: Scene, picture: Picture) -> None:
    shown, who = s.shown.glasses, s.who
    if not shown:
        return
    width, height, power = 19.5 + who.frame, 14 + 2 * who.frame, 2.8 + 0.8 * who.frame
    half = 0.75 + 0.35 * abs(who.frame) + 0.25 * shown
    tone = between([(0.45, 0.36, 0.22), (0.07, 0.06, 0.06), (0.20, 0.11, 0.06)], who.frame)

    def lens(x: Number, y: Number) -> Grid:
        u, v = np.abs((s.x - x) / width), np.abs((s.y - y) / height)
        return ((u**power + v**power) ** (1 / power) - 1) * min(width, height)

    (lx, ly), (rx, ry) = s.points[:2]
    level = (ly + ry) / 2
    bow = level - 3 + (s.x - (lx + rx) / 2) ** 2 / 16
    frame = s.edge(lx + width - s.x) * s.edge(s.x - rx + width) * s.edge(np.abs(s.y - bow) - half)
    shadow = np.zeros_like(s.x)
    for sign, x, y in ((-1, lx - 0.5, ly + 1.5), (1, rx + 0.5, ry + 1.5)):
        glass = lens(x, y)
        beyond = (s.x - x) * sign - width
        arm = s.edge(np.abs(s.y - y + 5) - half) * s.edge(-beyond) * s.edge(s.dx * sign - s.width)
        frame = np.maximum(frame, np.maximum(s.edge(np.abs(glass) - half), arm))
        shadow = np.maximum(shadow, s.edge(np.abs(lens(x - 3 * s.light[0], y + 3)) - half, 4))
        paint(picture, 0.10 * shown * s.edge(glass), (0.75, 0.85, 0.9))
        glare = s.edge(np.abs(s.x - x + 0.8 * (s.y - y) + 6) - 3, 2) * s.edge(glass)
        paint(picture, 0.28 * shown * glare, (1, 1, 1))
    picture *= (1 - 0.25 * shown * shadow * s.cover(s.skull - 1))[..., None]
    paint(picture, shown * frame, (1 + 1.2 * bump((s.y - level + 12) / 5))[..., None] * tone)


def _develop(s: Scene, picture: Picture) -> Picture:
    """Warmth of the light, a darker rim, and grain."""
    tint = np.array([1 + 0.06 * s.who.warmth, 1, 1 - 0.06 * s.who.warmth])
    rim = 1.02 - 0.000008 * (s.dx**2 + (s.y - 100) ** 2)
    grain = 0.008 * s.noise(s.x * 0.9 + 17, s.y * 0.9 + 5)
    return np.clip(picture * tint * rim[..., None] + grain[..., None], 0, 1).astype(np.float32)
