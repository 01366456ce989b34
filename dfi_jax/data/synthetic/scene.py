"""What all that is drawn shares: where each pixel is in the face, the light, the colours, how shapes are covered."""

from collections.abc import Sequence
from copy import copy
from functools import cached_property

import numpy as np
from jaxtyping import Float

from dfi_jax import faces
from dfi_jax.data.synthetic.person import Identity, Number, Presence, five_points, pose, smooth

Grid = Float[np.ndarray, "h w"]
Picture = Float[np.ndarray, "h w 3"]
Colour = Float[np.ndarray, " 3"] | Float[np.ndarray, "h w 3"]


class Scene:
    """What all layers share: the pixels' places in the face, the light, the colours, the places of things."""

    def __init__(self, who: Identity, shown: Presence, size: int, margin: int) -> None:
        self.who, self.shown = who, shown
        self.pixel = (faces.CANONICAL_SIZE + 2 * margin) / size
        line = (np.arange(size) + 0.5) * self.pixel - 0.5 - margin
        turn, shift = pose(who)
        place = (line + 1j * line[:, None] - shift) / turn
        self.x, self.y = place.real.astype(np.float32), place.imag.astype(np.float32)
        self.points = five_points(who, shown).tolist()  # of Python's numbers, which leave float32 arrays as they are
        self.dx = self.x - 100
        self.table = np.random.default_rng(who.texture).uniform(-1, 1, (64, 64)).astype(np.float32)
        self.light = 0.6 * who.light_x, -0.35 + 0.25 * who.light_y
        # the skull: |x/w|^1.9 + |y/h|^p, 1 at its edge
        self.width, self.chin = 51 + 3.5 * who.face_width, 191 + 4 * who.chin
        t = np.where(self.y < 108, (108 - self.y) / (108 - 38), (self.y - 108) / (self.chin - 108))
        power = np.where(self.y < 108, 2.1, 2.25 + 0.45 * who.jaw).astype(np.float32)
        self.skull = np.abs(self.dx / self.width) ** 1.9 + t**power
        tones = [(0.93, 0.78, 0.69), (0.87, 0.67, 0.55), (0.70, 0.49, 0.37), (0.43, 0.29, 0.22)]
        self.skin = between(tones, who.skin)
        dark = between([(0.07, 0.06, 0.06), (0.20, 0.13, 0.09), (0.33, 0.20, 0.12), (0.42, 0.20, 0.10)], who.hair)
        blond = dark + shown.blond * (rgb(0.82, 0.66, 0.40) - dark)
        self.hair = (blond + 0.8 * shown.age * (rgb(0.70, 0.70, 0.70) - blond)).astype(np.float32)
        # the mouth: t is −1 and 1 at the corners; four curves y(t), from the top of the upper lip down
        (left, low), (right, high) = self.points[3:]
        self.t = (self.x - (left + right) / 2) / ((right - left) / 2)
        arch = np.maximum(1 - self.t**2, 0)
        gap = 10.5 * shown.open + 2.5 * shown.smile
        full = 1 + 0.3 * who.lips
        middle = (low + high) / 2 + (high - low) / 2 * self.t + (2 + 4.5 * shown.smile) * arch
        self.lip_gap = gap
        self.lip_top = middle - 0.25 * gap * arch - full * (5.6 * arch - 1.8 * bump(self.t / 0.35))
        self.lip_upper = middle - 0.25 * gap * arch
        self.lip_lower = middle + 0.75 * gap * arch**0.8
        self.lip_bottom = self.lip_lower + full * (7.2 - 1.2 * shown.smile) * arch**0.9

    @cached_property
    def strands(self) -> Grid:
        """Streaks from −1 to 1 that leave the parting in all directions and wave."""
        x, y = self.dx - 14 * self.who.parting, self.y - 30
        r = np.hypot(x, y)
        angle = np.arctan2(x, y + 22) + (0.03 + 0.03 * self.who.curl) * np.sin(r / 9 + 3 * self.noise(x / 25, y / 25))
        return 0.55 * self.noise(14 * angle, r / 60) + 0.45 * self.noise(38 * angle, r / 40) * smooth(r / 30)

    @cached_property
    def hair_outline(self) -> Grid:
        who, long = self.who, max(self.who.hair_length, 0)
        top, end = 29 - 6 * who.hair_volume, 124 + 115 * long
        width = self.width + 5 + 3 * who.hair_volume + 8 * long
        above = self.y < 95
        t = np.where(above, (95 - self.y) / (95 - top), (self.y - 95) / (end - 95))
        sides = np.abs(self.dx / width) ** 2.3 + np.where(above, t**2, np.abs(t) ** 3.5) - 1
        return sides + (0.02 + 0.05 * max(who.curl, 0)) * self.noise(self.x / 9, self.y / 9)

    @cached_property
    def hair_cover(self) -> Grid:
        return self.cover(self.hair_outline + 0.03 * self.strands, 1.6)

    @cached_property
    def hair_colour(self) -> Picture:
        diffuse, _ = self.shade(46 * np.sqrt(np.maximum(-self.hair_outline, 0) + 0.03), 0)
        sheen = bump((self.y - 62 + 0.004 * self.dx**2) / 26) * (0.10 + 0.25 * np.maximum(self.strands, 0))
        light = (diffuse * (0.95 + 0.5 * self.strands))[..., None]
        return light * self.hair + (sheen * diffuse)[..., None] * (0.35 + 0.6 * self.hair)

    def near(self, x: Number, y: Number, radius: Number) -> tuple["Scene", tuple[slice, slice]]:
        """The pixels around a place, which are all that eyes and brows need."""
        part, inside = copy(self), np.nonzero(np.hypot(self.x - x, self.y - y) < radius)
        rows, columns = (slice(at.min(initial=len(self.x)), at.max(initial=-1) + 1) for at in inside)
        part.x, part.y = self.x[rows, columns], self.y[rows, columns]
        return part, (rows, columns)

    def edge(self, distance: Grid, soft: Number = 1) -> Grid:
        """Coverage of what has this distance to its edge, negative inside, in units of the crop."""
        return np.clip(0.5 - distance / (self.pixel * soft), 0, 1)

    def cover(self, implicit: Grid, soft: Number = 1) -> Grid:
        """Coverage of where a function is negative, its distance being f/‖∇f‖."""
        down, right = np.gradient(implicit)
        return np.clip(0.5 - implicit / (np.hypot(down, right) * soft + 1e-6), 0, 1)

    def spot(self, x: Number, y: Number, rx: Number, ry: Number) -> Grid:
        """1 at its middle and 0 outside of an ellipse."""
        return bump(np.sqrt(((self.x - x) / rx) ** 2 + ((self.y - y) / ry) ** 2))

    def stroke(self, along: Grid, across: Grid, width: Number) -> Grid:
        """A line that tapers towards |along| = 1, with its distance `across`."""
        return np.maximum(1 - along**2, 0) * bump(across / width)

    def noise(self, u: Grid, v: Grid) -> Grid:
        """Value noise from −1 to 1 with cells of 1, the same at any size."""
        (iu, fu), (iv, fv) = (
            (floor.astype(np.int32), smooth(w - floor)) for w, floor in ((u, np.floor(u)), (v, np.floor(v)))
        )
        iu, iv = iu & 63, (iv & 63) << 6
        ju, jv = iu + 1 & 63, iv + 64 & 4095
        a, b, c, d = (self.table.take(i + j) for j in (iv, jv) for i in (iu, ju))
        return a + fu * (b - a) + fv * (c - a + fu * (a - b - c + d))

    def shade(self, height: Grid, shine: Number) -> tuple[Grid, Grid]:
        """Diffuse light, 1 where the surface faces the viewer, and highlights."""
        gy, gx = np.gradient(height, self.pixel)
        (lx, ly), norm = self.light, np.sqrt(1 + gx**2 + gy**2)
        diffuse = (1 - gx * lx - gy * ly) / norm
        half = np.clip((1 - gx * lx / 2 - gy * ly / 2) / (norm * np.hypot(1, np.hypot(lx, ly) / 2)), 0, 1)
        return np.clip(1 + (0.55 + 0.15 * self.who.light_strength) * (diffuse - 1), 0.25, 1.12), shine * half**20


def bump(r: Grid) -> Grid:
    """(1 − r²)², and 0 from r = 1 on: unlike a Gaussian it ends, so that pixels beyond stay exactly as they are."""
    return np.maximum(1 - r * r, 0) ** 2


def rgb(*colour: Number) -> Float[np.ndarray, " 3"]:
    """A colour."""
    return np.array(colour, np.float32)


def between(colours: Sequence[tuple[Number, ...]], where: Number) -> Float[np.ndarray, " 3"]:
    """Of colours laid evenly from −1 to 1."""
    at = np.linspace(-1, 1, len(colours))
    return rgb(*(float(np.interp(where, at, channel)) for channel in zip(*colours, strict=True)))


def paint(picture: Picture, cover: Grid, colour: Colour | Sequence[Number]) -> None:
    """Mixes a colour in, such that a coverage of 0 or 1 leaves exactly what was there or the colour."""
    seen = np.flatnonzero(cover.any(axis=1))
    rows = slice(seen.min(initial=len(cover)), seen.max(initial=-1) + 1)  # the others needn't be touched
    mixed, colour = cover[rows, :, None], np.asarray(colour, np.float32)
    picture[rows] *= 1 - mixed
    picture[rows] += mixed * (colour[rows] if colour.ndim == 3 else colour)
