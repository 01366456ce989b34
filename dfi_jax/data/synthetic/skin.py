"""The skin of the head, with nose, cheeks, lips, brows and wrinkles."""

import numpy as np

from dfi_jax.data.synthetic.person import smooth
from dfi_jax.data.synthetic.scene import Canvas, Grid, Scene, bump, paint, rgb


def head(s: Scene, canvas: Canvas) -> None:
    """Paints the head: colours on a height map under the scene's light."""
    diffuse, shine = s.shade(_relief(s), 0.06 + 0.02 * s.who.skin)
    skin = (diffuse * _darkening(s))[..., None] * _complexion(s) + shine[..., None]
    paint(canvas, s.cover(s.skull - 1), skin)


def _relief(s: Scene) -> Grid:
    """Returns the height map of the head."""
    visible, spot = s.visible, s.spot
    (lx, ly), (rx, ry), (nx, ny), (ml, mly), (mr, mry) = s.points
    height = 42 * np.sqrt(np.maximum(1 - s.skull, 0) + 0.02)
    width = _nose_width(s)
    bridge = smooth((s.y - ny + 42) / 42)
    ridge = bump((s.x - nx) / (width * (9 + 7 * bridge)))
    ends = smooth((s.y - ny + 44) / 16), smooth((ny + 9 - s.y) / 11)
    height += (1 + 10 * bridge**1.5) * ridge * ends[0] * ends[1]
    for sign, ex, ey, mx, my in ((-1, lx, ly, ml, mly), (1, rx, ry, mr, mry)):
        height -= 6 * spot(ex - sign * 2, ey - 3, 18, 13) - 3 * spot(ex, ey - 14, 22, 9)
        nostril = spot(nx + sign * 9 * width, ny + 2, 7 * width, 7)
        cheek = spot(100 + sign * 31, 136, 26, 26)
        height += 4.5 * nostril + 4 * cheek
        height += 3.5 * visible.smile * spot(mx + sign * 5, my - 21, 17, 16)
        fold = (s.y - (ny + my + 6) / 2) / ((my + 6 - ny) / 2 + 4)
        curve = nx + sign * (22 + 8 * fold + 3 * visible.smile + 1.5 * (1 - fold**2))
        height -= (0.2 + 1.1 * visible.smile + 1.8 * visible.age) * s.stroke(fold, s.x - curve, 5.5)
        height -= 1.2 * visible.smile * spot(mx + sign, my, 4, 5)
        bag = (s.x - ex) / 15
        height -= (0.3 + 2.0 * visible.age) * s.stroke(bag, s.y - ey - 10.5 + 3 * bag**2, 3.5)
        for k in (-1, 0, 1):
            foot = (s.x - ex - sign * 20) / 7
            line = s.stroke(foot, s.y - ey - k * (3 + 2 * sign * foot) - 1, 1.8)
            height -= 1.3 * visible.age * line
        marionette = (s.y - my - 10) / 9
        line = s.stroke(marionette, s.x - mx - sign * (2 + 1.5 * marionette), 3)
        height -= 1.6 * visible.age * line
    for k in range(3):
        across = (s.x - 100 - 2 * k) / (34 - 3 * k)
        waves = 88 - 8.5 * k + 2.5 * across**2 + 1.2 * s.noise(s.x / 18, np.full_like(s.y, 7 * k))
        height -= 1.5 * visible.age * s.stroke(across, s.y - waves, 2.4)
    height += 5 * spot(100, s.chin - 8, 19, 12) - 2.5 * spot(100, (s.chin + 168) / 2 - 4, 18, 5)
    height -= 1.2 * spot(nx, ny + 14, 3.5, 8)
    upper, lower = (s.lip_top + s.lip_upper) / 2, (s.lip_lower + s.lip_bottom) / 2
    height += 1.5 * s.stroke(s.t, s.y - upper, 5) + 3 * s.stroke(s.t, s.y - lower, 6)
    return height


def _complexion(s: Scene) -> Canvas:
    """Returns the colour of the skin, lips and brows."""
    spot = s.spot
    nx, ny = s.points[2]
    colour = np.broadcast_to(s.skin, (*s.x.shape, 3)).copy()
    red = s.skin * rgb(1.0, 0.78, 0.76)
    rosy = 0.45 + 0.35 * s.who.blush
    for sign in (-1, 1):
        paint(colour, rosy * spot(100 + sign * 31, 141, 24, 20), red)
    paint(colour, 0.7 * rosy * spot(nx, ny, 13, 12), red)
    mottle = 1 + 0.025 * s.noise(s.x / 2.2, s.y / 2.2) + 0.02 * s.noise(s.x / 9, s.y / 9)
    colour *= mottle[..., None]
    lips = s.edge(s.lip_top - s.y, 1.5) * s.edge(s.y - s.lip_bottom, 1.5) * (np.abs(s.t) < 1)
    tone = s.skin * rgb(0.86, 0.52, 0.52) + rgb(0.05, 0.01, 0.02)
    paint(colour, 0.85 * lips, np.where((s.y < s.lip_upper)[..., None], 0.86 * tone, tone))
    _paint_brows(s, colour)
    return colour


def _darkening(s: Scene) -> Grid:
    """Returns the share of light that reaches the skin in hollows and shadows."""
    visible, spot, width = s.visible, s.spot, _nose_width(s)
    (lx, ly), (rx, ry), (nx, ny), (ml, mly), (mr, mry) = s.points
    dark = 1 - 0.32 * spot(nx, ny + 8.5, 14 * width, 5)
    for sign, ex, ey in ((-1, lx, ly), (1, rx, ry)):
        dark *= 1 - 0.15 * spot(ex - sign * 11, ey - 3, 10, 12)
        dark *= 1 - 0.75 * spot(nx + sign * 5.5 * width, ny + 6, 4 * width, 2.4)
        dark *= 1 - 0.22 * s.stroke((s.y - ny - 1) / 8, s.x - nx - sign * (14 * width), 3)
    below_lips = (mly + mry) / 2 + 14 + 4 * visible.smile + 7 * visible.open
    dark *= 1 - 0.28 * spot((ml + mr) / 2, below_lips, 17, 6)
    seam = s.stroke(s.t / 1.06, s.y - s.lip_upper, 2.2)
    dark *= 1 - 0.6 * seam
    dark *= 1 - 0.22 * np.clip((s.skull - 0.72) / 0.28, 0, 1) ** 2
    return dark


def _paint_brows(whole: Scene, colour: Canvas) -> None:
    who = whole.who
    for sign, (ex, ey) in zip((-1, 1), whole.points, strict=False):
        s, box = whole.near(ex, ey - 17, 24)
        t = (s.x - ex - sign * 1.5) / 17 * sign  # This is −1 at the nose and 1 at the temple.
        arch = ey - 15 - 1.5 * who.brow_height - 2.2 * (1 - (t - 0.3) ** 2)
        arch = arch + (0.5 - 1.2 * who.brow_tilt) * t
        width = (3.8 + 1.1 * who.brow_width) * (1 - 0.35 * np.clip(t, -1, 1))
        hairs = 0.85 + 0.4 * s.noise(s.x / 1.6 - s.y / 3 * sign, s.y / 4)
        density = 1.5 * np.maximum(1 - t**4, 0) * bump((s.y - arch) / width) * hairs
        paint(colour[box], np.clip(density, 0, 0.92), 0.75 * s.hair + 0.1 * s.skin)


def _nose_width(s: Scene) -> float:
    """Returns the width of the nose, 1 in the mean face."""
    return 1 + 0.2 * s.who.nose_width
