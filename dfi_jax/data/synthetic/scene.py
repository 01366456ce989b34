"""What all layers of an image share: coordinates, light, colours, and how shapes are painted."""

from collections.abc import Sequence
from copy import copy
from functools import cached_property

import numpy as np
from jaxtyping import Float

from dfi_jax.data.synthetic.person import Identity, Number, Visibility, five_points, pose, smooth
from dfi_jax.photo.placement import CANONICAL_SIZE

Grid = Float[np.ndarray, "h w"]
"""A number for each pixel."""

Canvas = Float[np.ndarray, "h w 3"]
"""A colour for each pixel."""

Colour = Float[np.ndarray, " 3"] | Float[np.ndarray, "h w 3"]
"""One colour, or a colour for each pixel."""


class Scene:
    """What all layers share.

    Attributes:
      who: Person and photo.
      visible: Visibility of each attribute.
      pixel: Width of a pixel of the image, in pixels of the canonical crop.
      x, y: Coordinates of each pixel in the face before it is posed.
      dx: Distance of each pixel to the right of the face's axis.
      points: The five points of the face before it is posed.
      table: Random numbers from which `noise` is interpolated.
      light: Direction of the light, (x, y).
      width, chin: Half the width of the skull, and the y of its lower end.
      skull: Implicit function of the skull, |x/w|^1.9 + |y/h|^p, which is 1 at its edge.
      skin, hair: Colours.
      t: Position of each pixel along the mouth, −1 and 1 at its corners.
      lip_top, lip_upper, lip_lower, lip_bottom: Curves y(t) of the lips' edges, downwards.
      lip_gap: Height of the gap between the lips.
    """

    def __init__(self, who: Identity, visible: Visibility, size: int, margin: int) -> None:
        self.who, self.visible = who, visible
        self.pixel = (CANONICAL_SIZE + 2 * margin) / size
        line = (np.arange(size) + 0.5) * self.pixel - 0.5 - margin
        turn, shift = pose(who)
        position = (line + 1j * line[:, None] - shift) / turn
        self.x, self.y = position.real.astype(np.float32), position.imag.astype(np.float32)
        # Python's numbers, unlike NumPy's, don't turn float32 arrays into float64.
        self.points = five_points(who, visible).tolist()
        self.dx = self.x - 100
        self.table = np.random.default_rng(who.texture).uniform(-1, 1, (64, 64)).astype(np.float32)
        self.light = 0.6 * who.light_x, -0.35 + 0.25 * who.light_y
        self.width, self.chin = 51 + 3.5 * who.face_width, 191 + 4 * who.chin
        t = np.where(self.y < 108, (108 - self.y) / (108 - 38), (self.y - 108) / (self.chin - 108))
        power = np.where(self.y < 108, 2.1, 2.25 + 0.45 * who.jaw).astype(np.float32)
        self.skull = np.abs(self.dx / self.width) ** 1.9 + t**power
        tones = [(0.93, 0.78, 0.69), (0.87, 0.67, 0.55), (0.70, 0.49, 0.37), (0.43, 0.29, 0.22)]
        self.skin = between(tones, who.skin)
        hairs = [(0.07, 0.06, 0.06), (0.20, 0.13, 0.09), (0.33, 0.20, 0.12), (0.42, 0.20, 0.10)]
        dark = between(hairs, who.hair)
        blond = dark + visible.blond * (rgb(0.82, 0.66, 0.40) - dark)
        self.hair = (blond + 0.8 * visible.age * (rgb(0.70, 0.70, 0.70) - blond)).astype(np.float32)
        (left, low), (right, high) = self.points[3:]
        self.t = (self.x - (left + right) / 2) / ((right - left) / 2)
        arch = np.maximum(1 - self.t**2, 0)
        gap = 10.5 * visible.open + 2.5 * visible.smile
        full = 1 + 0.3 * who.lips
        middle = (low + high) / 2 + (high - low) / 2 * self.t + (2 + 4.5 * visible.smile) * arch
        self.lip_gap = gap
        self.lip_top = middle - 0.25 * gap * arch - full * (5.6 * arch - 1.8 * bump(self.t / 0.35))
        self.lip_upper = middle - 0.25 * gap * arch
        self.lip_lower = middle + 0.75 * gap * arch**0.8
        self.lip_bottom = self.lip_lower + full * (7.2 - 1.2 * visible.smile) * arch**0.9

    @cached_property
    def strands(self) -> Grid:
        """Wavy streaks from −1 to 1 that leave the parting in all directions."""
        x, y = self.dx - 14 * self.who.parting, self.y - 30
        r = np.hypot(x, y)
        wave = np.sin(r / 9 + 3 * self.noise(x / 25, y / 25))
        angle = np.arctan2(x, y + 22) + (0.03 + 0.03 * self.who.curl) * wave
        fine = 0.45 * self.noise(38 * angle, r / 40) * smooth(r / 30)
        return 0.55 * self.noise(14 * angle, r / 60) + fine

    @cached_property
    def hair_outline(self) -> Grid:
        """Implicit function of the hair's outline, negative inside."""
        who, long = self.who, max(self.who.hair_length, 0)
        top, end = 29 - 6 * who.hair_volume, 124 + 115 * long
        width = self.width + 5 + 3 * who.hair_volume + 8 * long
        above = self.y < 95
        t = np.where(above, (95 - self.y) / (95 - top), (self.y - 95) / (end - 95))
        sides = np.abs(self.dx / width) ** 2.3 + np.where(above, t**2, np.abs(t) ** 3.5) - 1
        return sides + (0.02 + 0.05 * max(who.curl, 0)) * self.noise(self.x / 9, self.y / 9)

    @cached_property
    def hair_cover(self) -> Grid:
        """Coverage of each pixel by hair."""
        return self.cover(self.hair_outline + 0.03 * self.strands, 1.6)

    @cached_property
    def hair_colour(self) -> Canvas:
        """Colour of the hair under the light."""
        diffuse, _ = self.shade(46 * np.sqrt(np.maximum(-self.hair_outline, 0) + 0.03), 0)
        sheen = bump((self.y - 62 + 0.004 * self.dx**2) / 26)
        sheen = sheen * (0.10 + 0.25 * np.maximum(self.strands, 0))
        light = (diffuse * (0.95 + 0.5 * self.strands))[..., None]
        return light * self.hair + (sheen * diffuse)[..., None] * (0.35 + 0.6 * self.hair)

    def near(self, x: Number, y: Number, radius: Number) -> tuple["Scene", tuple[slice, slice]]:
        """Returns the scene of the pixels around a point, and where they lie in the image."""
        part, inside = copy(self), np.nonzero(np.hypot(self.x - x, self.y - y) < radius)
        rows, columns = (
            slice(at.min(initial=len(self.x)), at.max(initial=-1) + 1) for at in inside
        )
        part.x, part.y = self.x[rows, columns], self.y[rows, columns]
        return part, (rows, columns)

    def edge(self, distance: Grid, soft: Number = 1) -> Grid:
        """Returns the coverage by a shape, from the distance to its edge, negative inside.

        Args:
          distance: Distance in pixels of the canonical crop.
          soft: Width of the edge in pixels of the image.
        """
        return np.clip(0.5 - distance / (self.pixel * soft), 0, 1)

    def cover(self, implicit: Grid, soft: Number = 1) -> Grid:
        """Returns the coverage by a shape f < 0, with the distance to its edge f/‖∇f‖."""
        down, right = np.gradient(implicit)
        return np.clip(0.5 - implicit / (np.hypot(down, right) * soft + 1e-6), 0, 1)

    def spot(self, x: Number, y: Number, rx: Number, ry: Number) -> Grid:
        """Returns an ellipse that falls from 1 at its centre to 0 at its edge."""
        return bump(np.sqrt(((self.x - x) / rx) ** 2 + ((self.y - y) / ry) ** 2))

    def stroke(self, along: Grid, across: Grid, width: Number) -> Grid:
        """Returns a line that tapers towards |along| = 1. `across` is the distance to the line."""
        return np.maximum(1 - along**2, 0) * bump(across / width)

    def noise(self, u: Grid, v: Grid) -> Grid:
        """Returns value noise from −1 to 1 in cells of size 1, the same at any size of image."""
        (iu, fu), (iv, fv) = (
            (floor.astype(np.int32), smooth(w - floor))
            for w, floor in ((u, np.floor(u)), (v, np.floor(v)))
        )
        iu, iv = iu & 63, (iv & 63) << 6
        ju, jv = iu + 1 & 63, iv + 64 & 4095
        a, b, c, d = (self.table.take(i + j) for j in (iv, jv) for i in (iu, ju))
        return a + fu * (b - a) + fv * (c - a + fu * (a - b - c + d))

    def shade(self, height: Grid, shine: Number) -> tuple[Grid, Grid]:
        """Returns diffuse light, 1 where a surface faces the viewer, and highlights."""
        gy, gx = np.gradient(height, self.pixel)
        (lx, ly), norm = self.light, np.sqrt(1 + gx**2 + gy**2)
        diffuse = (1 - gx * lx - gy * ly) / norm
        length = norm * np.hypot(1, np.hypot(lx, ly) / 2)
        halfway = np.clip((1 - gx * lx / 2 - gy * ly / 2) / length, 0, 1)
        contrast = 0.55 + 0.15 * self.who.light_strength
        return np.clip(1 + contrast * (diffuse - 1), 0.25, 1.12), shine * halfway**20


def bump(r: Grid) -> Grid:
    """Returns (1 − r²)² up to r = 1 and 0 beyond.

    Unlike a Gaussian, it leaves distant pixels exactly as they are.

    >>> bump(np.array([[0.0, 1.0, 3.0]])).tolist()
    [[1.0, 0.0, 0.0]]
    """
    return np.maximum(1 - r * r, 0) ** 2


def rgb(*colour: Number) -> Float[np.ndarray, " 3"]:
    """Returns a colour as an array.

    >>> rgb(1, 0.5, 0).tolist()
    [1.0, 0.5, 0.0]
    """
    return np.array(colour, np.float32)


def between(colours: Sequence[tuple[Number, ...]], position: Number) -> Float[np.ndarray, " 3"]:
    """Returns the colour at a position from −1 to 1, over which colours are spread evenly.

    >>> between([(0, 0, 0), (1, 0.5, 0)], 0).tolist()
    [0.5, 0.25, 0.0]
    """
    grid = np.linspace(-1, 1, len(colours))
    channels = zip(*colours, strict=True)
    return rgb(*(float(np.interp(position, grid, channel)) for channel in channels))


def paint(canvas: Canvas, cover: Grid, colour: Colour | Sequence[Number]) -> None:
    """Paints a colour over a canvas, in place.

    A coverage of 0 leaves exactly the canvas, and a coverage of 1 exactly the colour.

    >>> canvas = np.zeros((1, 2, 3), np.float32)
    >>> paint(canvas, np.array([[0.0, 1.0]], np.float32), (1, 1, 1))
    >>> canvas[..., 0].tolist()
    [[0.0, 1.0]]
    """
    seen = np.flatnonzero(cover.any(axis=1))
    # Rows without any coverage stay as they are, so they are skipped.
    rows = slice(seen.min(initial=len(cover)), seen.max(initial=-1) + 1)
    mixed, colour = cover[rows, :, None], np.asarray(colour, np.float32)
    canvas[rows] *= 1 - mixed
    canvas[rows] += mixed * (colour[rows] if colour.ndim == 3 else colour)
