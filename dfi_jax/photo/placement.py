"""Where a face lies in a photo: cropping the face out, and pasting an edit of it back.

The *canonical crop* of a face is LFW's deep-funnelled geometry, clipped to (40, 20, 210, 190) and
resized to 200 × 200 pixels. A `Placement` says where that crop lies in a photo.

Points are (x, y) in pixels, sizes (width, height), and boxes (x0, y0, x1, y1) with x0 ≤ x < x1 and
y0 ≤ y < y1. Left and right are as seen by the viewer. (0, 0) is the centre of the first pixel.
"""

import operator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from dfi_jax.errors import InputError
from dfi_jax.photo.image import LARGEST, resize
from dfi_jax.photo.resampling import sample, warp
from dfi_jax.storage.fields import plain

Box = tuple[int, int, int, int]
"""Pixels x0 ≤ x < x1, y0 ≤ y < y1 of a photo, as (x0, y0, x1, y1)."""

Matrix = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Affine map of (x, y, 1), by rows."""

CANONICAL_SIZE = 200
"""Height and width, in pixels, of the canonical crop."""

CANONICAL_POINTS = np.array(
    [(75.8, 110.1), (123.8, 109.1), (100.2, 135.9), (79.3, 163.0), (122.8, 162.2)]
)
"""Left eye, right eye, nose tip, and left and right corner of the mouth in the canonical crop.

They are means over 12,000 faces of LFW; the standard deviation between people is 3 to 8 pixels."""

FURTHEST = 1e9
"""Largest coordinate of a point. Crops of larger ones overflow the integers that count pixels."""

SMALLEST = 32
"""Minimum width and height, in pixels, of a face in a photo. Smaller faces are only a blur."""


@dataclass(frozen=True)
class Placement:
    """Where the canonical crop of a face lies in a photo.

    Placements are usually made by `whole`, `from_box` or `from_landmarks`.

    Attributes:
      matrix: Matrix that maps a pixel (x, y, 1) of the crop at 200 × 200 to a pixel of the photo.
      box: Box of the photo that the crop covers, or None if it doesn't cover whole pixels. A crop
        of a box is resized from the box's pixels alone.
    """

    matrix: Matrix
    box: Box | None = None

    def __post_init__(self) -> None:
        if np.shape(self.matrix) != (2, 3) or not np.isfinite(self.matrix).all():
            raise InputError(
                f"the placement's matrix is {self.matrix}; give two rows of three finite numbers."
            )
        if np.linalg.det(np.asarray(self.matrix)[:, :2]) == 0:
            raise InputError(
                f"the placement's matrix {self.matrix} has no inverse; give a crop with an area."
            )
        if self.box is not None and self.matrix != _box_matrix(self.box):
            raise InputError(
                f"the placement's matrix isn't that of its box {self.box}; use Placement.from_box."
            )

    @classmethod
    def whole(cls, size: tuple[int, int]) -> "Placement":
        """Returns the placement for which the whole photo is the face.

        >>> Placement.whole((120, 140)).box
        (0, 0, 120, 140)

        Args:
          size: Width and height of the photo.
        """
        return cls.from_box((0, 0, *size))

    @classmethod
    def from_box(cls, box: Box | list[int]) -> "Placement":
        """Returns the placement of a crop that covers a box of the photo.

        >>> Placement.from_box((40, 20, 210, 190)).side
        170.0

        Raises:
          InputError: If the box is empty, isn't made of integers, or is larger than any photo.
        """
        try:
            x0, y0, x1, y1 = map(operator.index, box)
        except (TypeError, ValueError):
            raise InputError(f"the box is {box!r}; give four integers, x0,y0,x1,y1.") from None
        if x0 >= x1 or y0 >= y1:
            raise InputError(f"the box {x0},{y0},{x1},{y1} is empty; give x0 < x1 and y0 < y1.")
        if max(-x0, -y0, x1, y1) > LARGEST:  # Floats can't hold all integers.
            raise InputError("the box is larger than any photo; give x0,y0,x1,y1 in pixels.")
        return cls(_box_matrix((x0, y0, x1, y1)), (x0, y0, x1, y1))

    @classmethod
    def from_landmarks(
        cls,
        points: Float[np.ndarray, "p 2"],
        *,
        template: Float[np.ndarray, "p 2"] = CANONICAL_POINTS,
    ) -> "Placement":
        """Returns the placement that brings the points of a face nearest to the template.

        It is the similarity transform (scaling, rotation and translation) that maps the template to
        the points with the least squared error. With the template as complex numbers p and the
        points as q, the transform is q ≈ a·p + b, where a = Σ p̄'q / Σ |p'|² over the centred p'
        and b = mean(q) − a·mean(p).

        >>> placement = Placement.from_landmarks(2 * CANONICAL_POINTS + 10)
        >>> round(placement.side), placement.map_points(np.array([0.0, 50.0])).round().tolist()
        (400, [10.0, 110.0])

        Args:
          points: Points of the face in the photo.
          template: Points of the canonical crop, in the same order.

        Raises:
          InputError: If all the points coincide, some aren't finite or lie beyond every photo, or
            there aren't as many as in the template.
        """
        if np.shape(points) != np.shape(template):
            raise InputError(
                f"the face's points have the shape {np.shape(points)} and the template's have "
                f"{np.shape(template)}; give an x and a y for each point of the template."
            )
        for pairs in (points, template):
            if not np.isfinite(pairs).all() or np.all(pairs == pairs[0]):
                raise InputError(
                    "the face's points coincide or aren't finite; give at least two different ones."
                )
        if np.abs(points).max() > FURTHEST:
            raise InputError(
                f"a point of the face lies at {np.abs(points).max():g}; give points in pixels of "
                f"the photo."
            )
        p, q = (np.asarray(pairs, float) @ np.array([1, 1j]) for pairs in (template, points))
        centred = p - p.mean()
        a = np.sum(centred.conj() * q) / np.sum(np.abs(centred) ** 2)
        b = q.mean() - a * p.mean()
        return cls(_to_matrix(np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])))

    @property
    def side(self) -> float:
        """Width of the crop, in pixels of the photo."""
        if self.box is not None:
            return float(self.box[2] - self.box[0])
        return CANONICAL_SIZE * float(np.linalg.norm(np.array(self.matrix)[:, 0]))

    def crop(
        self, pixels: Float[np.ndarray, "H W 3"], *, size: int | None = CANONICAL_SIZE
    ) -> Float[np.ndarray, "h w 3"]:
        """Crops the face out of a photo.

        A box is resized bilinearly. Every other crop is interpolated bicubically, after a reduction
        with Lanczos' filter if it has fewer pixels than the photo. Outside the photo, the nearest
        pixel of its border is repeated, because the network would react to a black border.

        >>> pixels = np.arange(100)[:, None, None] / 100 * np.ones((1, 100, 3))
        >>> Placement.from_box((20, 30, 60, 70)).crop(pixels, size=None)[0, 0].tolist()
        [0.3, 0.3, 0.3]

        Args:
          pixels: Photo, RGB in [0, 1].
          size: Height and width of the result. None keeps the resolution of the photo: a box's
            pixels are returned as they are, and any other crop gets `side` pixels, rounded.

        Raises:
          InputError: If the box doesn't lie inside the photo, or the crop lies outside it.
        """
        photo_size = pixels.shape[1], pixels.shape[0]
        if self.box is not None:
            _check_inside(self.box, photo_size)
            x0, y0, x1, y1 = self.box
            face = pixels[y0:y1, x0:x1]
            return face if size is None else resize(face, (size, size))
        size = max(1, round(self.side)) if size is None else size
        matrix = self._between_corners()
        matrix[:, :2] *= CANONICAL_SIZE / size
        return sample(pixels, matrix, size=size, region=self.extent(photo_size))

    def paste(
        self,
        pixels: Float[np.ndarray, "H W 3"],
        difference: Float[np.ndarray, "h w 3"],
        *,
        feather: float = 0.08,
    ) -> Float[np.ndarray, "H W 3"]:
        """Pastes an edit into a photo, by adding its difference where the crop lies.

        The difference is interpolated bilinearly, and averaged over the area of a pixel if the crop
        has more pixels than the photo. It fades out towards each side of the crop beyond which the
        photo continues. No pixel outside the crop changes.

        >>> photo, brighter = np.zeros((100, 100, 3)), np.ones((40, 40, 3))
        >>> pasted = Placement.from_box((20, 30, 60, 70)).paste(photo, brighter)
        >>> pasted[50, 40].tolist(), pasted[50, 70].tolist()
        ([1.0, 1.0, 1.0], [0.0, 0.0, 0.0])

        Args:
          pixels: Photo, RGB in [0, 1].
          difference: Edited crop minus the crop, of any size.
          feather: Part of the crop's side over which the difference fades out.

        Raises:
          InputError: If the crop lies outside the photo, or feather is negative.
        """
        rows, columns, spread, kept = self._spread(pixels, difference, feather=feather)
        result = pixels.copy()
        changed = result[rows, columns]
        np.add(changed, spread * kept, out=changed, where=kept > 0)
        return result

    def smooth(
        self,
        pixels: Float[np.ndarray, "H W 3"],
        mask: Float[np.ndarray, "h w 3"],
        *,
        feather: float = 0.08,
    ) -> Float[np.ndarray, "H W 3"]:
        """Brings a part of a photo to the resolution of the crop, which takes finer details out.

        >>> pixels = np.zeros((400, 400, 3), np.float32)
        >>> pixels[::2] = 1.0  # Lines of one pixel, and a crop with half of the photo's pixels.
        >>> smoothed = Placement.whole((400, 400)).smooth(pixels, np.ones((200, 200, 3)))
        >>> smoothed[100, 100].round(2).tolist()
        [0.5, 0.5, 0.5]

        Args:
          pixels: Photo, RGB in [0, 1].
          mask: Where the photo is smoothed, from 0 to 1, of the crop's size.
          feather: Part of the crop's side over which the mask fades out, as for `paste`.

        Raises:
          InputError: As `crop` and `paste`.
        """
        face = self.crop(pixels, size=len(mask))
        rows, columns, coarse, _ = self._spread(pixels, face, feather=feather)
        _, _, mask, kept = self._spread(pixels, mask, feather=feather)
        result = pixels.copy()
        changed = result[rows, columns]
        np.add(changed, mask * kept * (coarse - changed), out=changed, where=kept > 0)
        return result

    def _spread(
        self,
        pixels: Float[np.ndarray, "H W 3"],
        crop: Float[np.ndarray, "h w 3"],
        *,
        feather: float,
    ) -> tuple[slice, slice, Float[np.ndarray, "y x 3"], Float[np.ndarray, "y x 1"]]:
        """Returns the part of the photo around a crop, the crop's values there, and how they fade.

        The part is given as a slice of rows and one of columns.
        """
        if not feather >= 0:
            raise InputError(f"feather is {feather}; give 0 or more.")
        photo_size = pixels.shape[1], pixels.shape[0]
        x0, y0, x1, y1 = self.extent(photo_size)
        matrix = self._between_corners()
        height, width = crop.shape[:2]
        # The crop needs no more pixels than it has in the photo.
        sides = CANONICAL_SIZE * np.linalg.norm(matrix[:, :2], axis=0)
        width, height = np.clip(np.round(sides).astype(int), 1, (width, height)).tolist()
        inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
        kept = _fade(inverse, photo_size, (x0, y0, x1, y1), feather=feather)[..., None]
        inverse[:, 2] += inverse[:, :2] @ (x0, y0)
        inverse *= np.array([width, height])[:, None] / CANONICAL_SIZE
        spread = warp(resize(crop, (height, width)), inverse, (y1 - y0, x1 - x0))
        return slice(y0, y1), slice(x0, x1), spread, kept

    def map_points(self, points: Float[np.ndarray, "*p 2"]) -> Float[np.ndarray, "*p 2"]:
        """Returns where points of the canonical crop lie in the photo.

        >>> Placement.from_box((40, 20, 240, 220)).map_points(np.array([0.0, 10.0])).tolist()
        [40.0, 30.0]
        """
        matrix = np.array(self.matrix)
        return points @ matrix[:, :2].T + matrix[:, 2]

    def unmap_points(self, points: Float[np.ndarray, "*p 2"]) -> Float[np.ndarray, "*p 2"]:
        """Returns where points of the photo lie in the canonical crop.

        >>> Placement.from_box((40, 20, 240, 220)).unmap_points(np.array([40.0, 30.0])).tolist()
        [0.0, 10.0]
        """
        matrix = np.array(self.matrix)
        return np.linalg.solve(matrix[:, :2], (points - matrix[:, 2]).T).T

    def extent(self, size: tuple[int, int]) -> Box:
        """Returns a box that holds every pixel of the photo that the crop covers.

        Rounding can make it one row or column larger than necessary.

        >>> Placement.from_box((40, 20, 240, 220)).extent((230, 300))
        (40, 20, 230, 220)

        Args:
          size: Width and height of the photo.

        Raises:
          InputError: If the crop lies outside the photo.
        """
        ends = (0, CANONICAL_SIZE)
        corners = np.array([(x, y, 1) for x in ends for y in ends]) @ self._between_corners().T
        x0, y0 = np.floor(corners.min(axis=0)).astype(int).tolist()
        x1, y1 = np.ceil(corners.max(axis=0)).astype(int).tolist()
        width, height = size
        if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
            raise InputError(
                f"the face lies outside the photo, which is {width} × {height} pixels; "
                "check its box or points."
            )
        return max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)

    def check(self, size: tuple[int, int]) -> None:
        """Checks that the face lies in a photo and is large enough to be edited.

        >>> Placement.from_box((40, 20, 210, 190)).check((250, 250))

        Args:
          size: Width and height of the photo.

        Raises:
          InputError: If the box doesn't lie inside the photo, the crop lies outside it, or the face
            is smaller than 32 × 32 pixels.
        """
        if self.box is not None:
            _check_inside(self.box, size)
            width, height = self.box[2] - self.box[0], self.box[3] - self.box[1]
        else:
            self.extent(size)
            width = height = max(1, round(self.side))
        if min(width, height) < SMALLEST:
            raise InputError(
                f"the face is {width} × {height} pixels, which is too small to edit; "
                f"give a photo in which it has at least {SMALLEST} × {SMALLEST} pixels."
            )

    def to_json(self) -> list[int] | list[list[float]]:
        """Returns the box as [x0, y0, x1, y1] if there is one, otherwise the rows of the matrix.

        >>> Placement.from_box((40, 20, 210, 190)).to_json()
        [40, 20, 210, 190]
        """
        rows = [list(row) for row in self.matrix] if self.box is None else list(self.box)
        return plain(rows)

    def _between_corners(self) -> Float[np.ndarray, "2 3"]:
        """Returns the matrix for coordinates from the first pixel's corner instead of its centre.

        Resizing an image scales such coordinates without moving them.
        """
        matrix = np.array(self.matrix)
        linear = matrix[:, :2]
        return np.column_stack([linear, matrix[:, 2] + 0.5 - linear.sum(axis=1) / 2])


def _box_matrix(box: Box) -> Matrix:
    x0, y0, x1, y1 = box
    x_scale, y_scale = (x1 - x0) / CANONICAL_SIZE, (y1 - y0) / CANONICAL_SIZE
    return (
        (x_scale, 0.0, x0 - 0.5 + x_scale / 2),
        (0.0, y_scale, y0 - 0.5 + y_scale / 2),
    )


def _to_matrix(array: Float[np.ndarray, "2 3"]) -> Matrix:
    (a, b, c), (d, e, f) = array.tolist()
    return (a, b, c), (d, e, f)


def _check_inside(box: Box, size: tuple[int, int]) -> None:
    x0, y0, x1, y1 = box
    width, height = size
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise InputError(
            f"the box {x0},{y0},{x1},{y1} doesn't lie inside the photo, which is "
            f"{width} × {height} pixels; give x0,y0,x1,y1 with 0 ≤ x0 < x1 ≤ {width} "
            f"and 0 ≤ y0 < y1 ≤ {height}."
        )


def _fade(
    inverse: Float[np.ndarray, "2 3"], size: tuple[int, int], box: Box, *, feather: float
) -> Float[np.ndarray, "h w"]:
    """Returns the part of an edit that each pixel of the box keeps.

    `inverse` maps pixels of the photo to pixels of the crop, both from their corners.
    """
    width, height = size
    x0, y0, x1, y1 = box
    feather = max(feather, 1e-9)  # A feather of 0 is a hard edge.
    column, row = np.arange(x0, x1) + 0.5, np.arange(y0, y1)[:, None] + 0.5
    ends = [(x, y) for x in (0.5, width - 0.5) for y in (0.5, height - 0.5)]
    kept = np.ones((y1 - y0, x1 - x0), np.float32)
    for x_step, y_step, start in inverse / CANONICAL_SIZE:
        position = (x_step * column + y_step * row + start).astype(np.float32)
        reached = [x_step * x + y_step * y + start for x, y in ends]
        if min(reached) < 0:  # The photo continues beyond the left or upper side of the crop.
            kept *= np.clip(position / feather, 0, 1)
        if max(reached) > 1:
            kept *= np.clip((1 - position) / feather, 0, 1)
    return kept
