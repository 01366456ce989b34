"""What is painted on the head: eyes, mouth, facial hair and eyeglasses."""

import numpy as np

from dfi_jax.data.synthetic.person import Number, smooth
from dfi_jax.data.synthetic.scene import Canvas, Grid, Scene, between, bump, paint, rgb


def eyes(whole: Scene, canvas: Canvas) -> None:
    """Paints the eyes, with lashes and creases."""
    who, visible = whole.who, whole.visible
    irises = [(0.22, 0.12, 0.06), (0.30, 0.18, 0.09), (0.30, 0.34, 0.20), (0.30, 0.44, 0.58)]
    iris = between(irises, who.eye_colour)
    wide = 12 + 1.0 * who.eye_size
    high, low = 4.9 + 0.8 * who.eye_size, 3.9 + 0.4 * who.eye_size - 1.4 * visible.smile
    for sign, (ex, ey) in zip((-1, 1), whole.points, strict=False):
        s, box = whole.near(ex, ey, 17)
        part = canvas[box]
        t = (s.x - ex) / wide
        tilt = -(0.6 + 0.8 * who.eye_tilt) * sign * t
        arch = np.maximum(1 - t**2, 0)
        top, bottom = ey + tilt - high * arch**0.75, ey + tilt + low * arch**0.9
        white = s.edge(top - s.y) * s.edge(s.y - bottom) * (np.abs(t) < 1)
        r = np.hypot(s.x - ex - 1.2 * who.gaze, s.y - ey + 0.3)
        ball = np.broadcast_to(rgb(0.90, 0.88, 0.86), part.shape) * (1 - 0.22 * t**2)[..., None]
        fibres = s.noise(8 * np.arctan2(s.y - ey, s.x - ex), r / 9)
        ring = 0.55 + 0.75 * smooth(r / 4.6) + 0.12 * fibres
        paint(ball, s.edge(r - 5.3, 1.3), 0.35 * iris)
        paint(ball, s.edge(r - 4.5, 1.3), ring[..., None] * iris)
        paint(ball, s.edge(r - 2.0, 1.2), (0.02, 0.02, 0.02))
        ball *= (1 - 0.45 * bump((s.y - top) / 5))[..., None]
        glint = np.hypot(s.x - ex - 1.2 * who.gaze - 3 * s.light[0], s.y - ey + 2.1)
        paint(ball, 0.9 * s.edge(glint - 1.0, 1.3), (1, 1, 1))
        paint(part, white, ball)
        lashes = 1.3 * np.maximum(1 - (t / 1.12) ** 4, 0) * bump((s.y - top + 0.4) / 2.0)
        paint(part, np.clip(lashes, 0, 0.9) * (s.y < bottom + 1), 0.16 * s.skin + 0.02)
        crease = s.stroke(t / 1.15, s.y - top + 3.6, 2.0)
        paint(part, 0.45 * crease, 0.45 * s.skin)
        paint(part, 0.4 * s.stroke(t / 1.05, s.y - bottom - 0.5, 1.6), 0.45 * s.skin)


def mouth_inside(s: Scene, canvas: Canvas) -> None:
    """Paints the teeth and tongue between the lips."""
    opening = s.edge(s.lip_upper - s.y) * s.edge(s.y - s.lip_lower) * (np.abs(s.t) < 0.97)
    opening = opening * min(s.lip_gap / 1.5, 1)
    depth = np.broadcast_to(rgb(0.22, 0.06, 0.06), canvas.shape).copy()
    paint(depth, 0.8 * smooth((s.y - s.lip_lower + 5) / 4), (0.45, 0.19, 0.18))
    gaps = 1 - 0.22 * bump((np.abs((s.dx / 6 + 0.5) % 1 - 0.5)) / 0.10)
    light = (1 - 0.5 * np.clip(s.t, -1, 1) ** 2) * gaps
    teeth = s.edge(s.y - s.lip_upper - 2.4 - 3 * s.visible.smile, 1.5)
    teeth = teeth * np.maximum(1 - (s.t / 0.95) ** 6, 0)
    paint(depth, teeth, light[..., None] * rgb(0.93, 0.90, 0.84))
    paint(canvas, opening, depth)


def facial_hair(s: Scene, canvas: Canvas) -> None:
    """Paints the beard and the moustache."""
    visible, side = s.visible, np.abs(s.dx)
    if not (visible.beard or visible.moustache):
        return
    hairs = s.noise(s.x / 1.5 + 0.02 * s.dx * (s.y - 140) / 8, s.y / 5)
    diffuse, _ = s.shade(42 * np.sqrt(np.maximum(1.1 - s.skull, 0) + 0.02), 0)
    tone = (diffuse * (0.8 + 0.35 * hairs))[..., None] * (0.85 * s.hair + 0.04 * s.skin)
    lips = s.edge(s.lip_top - s.y) * s.edge(s.y - s.lip_bottom) * (np.abs(s.t) < 1)
    distances, heights = [0, 8, 18, 27, 34, 42, 54], [0, 0, -3, -17, -30, -42, -62]
    start = np.interp(side, distances, heights).astype(np.float32)
    start = start + 174 + 0.75 * s.lip_gap + 2 * s.who.nose_length
    soft = smooth((s.y - start + 3 * hairs) / 7)
    grown = s.cover(s.skull - 1 - 0.10 * visible.beard * smooth((s.y - 130) / 50) + 0.03 * hairs, 3)
    beard = visible.beard * soft * grown * (0.85 + 0.3 * hairs) * (1 - lips)
    paint(canvas, np.clip(beard, 0, 0.94), tone)
    t = np.clip(np.abs(s.t), 0, 1.2)
    low = s.lip_top + 1 + 9 * np.maximum(t - 0.9, 0)
    high = low - 10.5 * np.sqrt(np.maximum(1 - (t / 1.2) ** 2, 0)) + 1.5 * bump(s.t / 0.15)
    over = smooth((s.y - high + 1 + 0.6 * hairs) / 4)
    over = over * smooth((low - s.y + 1.5 + 0.6 * hairs) / 2.5) * (t < 1.2)
    moustache = visible.moustache * over * (0.9 + 0.3 * hairs)
    paint(canvas, np.clip(moustache, 0, 0.94), tone)


def eyeglasses(s: Scene, canvas: Canvas) -> None:
    """Paints eyeglasses, with their shadow and glare."""
    visible, who = s.visible.glasses, s.who
    if not visible:
        return
    width, height, power = 19.5 + who.frame, 14 + 2 * who.frame, 2.8 + 0.8 * who.frame
    half = 0.75 + 0.35 * abs(who.frame) + 0.25 * visible
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
        paint(canvas, 0.10 * visible * s.edge(glass), (0.75, 0.85, 0.9))
        glare = s.edge(np.abs(s.x - x + 0.8 * (s.y - y) + 6) - 3, 2) * s.edge(glass)
        paint(canvas, 0.28 * visible * glare, (1, 1, 1))
    canvas *= (1 - 0.25 * visible * shadow * s.cover(s.skull - 1))[..., None]
    paint(canvas, visible * frame, (1 + 1.2 * bump((s.y - level + 12) / 5))[..., None] * tone)
