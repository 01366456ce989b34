"""Faces in the canonical crop: how they are found, where their points are, and how a photograph is brought there.

The canonical crop is LFW's deep-funnelled geometry, clipped to (40, 20, 210, 190) and resized to 200 × 200. Points are
(x, y) in pixels, left and right as seen; the centre of the first pixel is (0, 0). A *place* is where the crop lies in a
photograph: the matrix M, 2 × 3, that takes a point of the crop at 200 × 200 to the photograph's M @ (x, y, 1).

Faces are found by dlib, in the extra `faces`; nothing else here needs it.
"""

import functools
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from PIL import Image

from dfi_jax import image
from dfi_jax.errors import FileError, InputError

CANONICAL_SIZE = 200
"""Height and width of the crop in which `CANONICAL_POINTS` are given."""

CANONICAL_POINTS = np.array([(75.8, 110.1), (123.8, 109.1), (100.2, 135.9), (79.3, 163.0), (122.8, 162.2)])
"""Left eye, right eye, nose tip, left and right mouth corner: means over 12,000 faces of LFW in the canonical crop,
with standard deviations of 3 to 8 pixels between people."""

CANONICAL_CORNERS = np.array([(133.8, 109.3), (114.6, 110.3), (65.9, 110.9), (85.1, 111.0), (100.5, 147.0)])
"""Outer and inner corner of the right eye, outer and inner corner of the left eye, base of the nose: the points of
dlib's 5-point model, in its order. Means over the 749 faces that `detect` finds in every fourth of 3000 photographs of
LFW, with standard deviations of 2 to 5 pixels between people."""

DETECTED_AT = ((1000, 2.0), (2000, 4.0))
"""The longest side, in pixels, of the picture in which faces are looked for, and how far a photograph is enlarged to
it at most; the second where the first shows none. dlib finds faces from 80 pixels on."""

REFINED_AT = 300
"""The side of a face, in pixels, at which its points are found. dlib rounds them to whole pixels: at 300 the places of
45 LFW faces moved by known similarities agreed to 0.3 pixels of the crop, at the photographs' own 90 to 0.8."""


@dataclass(frozen=True, eq=False)
class Face:
    """A face found in a photograph.

    Attributes:
      box: around it from brow to chin, (x0, y0, x1, y1); some of it may lie outside of the photograph.
      points: of dlib's 5-point model, in the order of `CANONICAL_CORNERS`, or of its 68-point model, in the order of
        iBUG 300-W.
    """

    box: image.Box
    points: Float[np.ndarray, "p 2"]

    @property
    def place(self) -> Float[np.ndarray, "2 3"]:
        """Where the canonical crop lies in the photograph, by the points."""
        if len(self.points) == len(CANONICAL_CORNERS):
            return placement(self.points, CANONICAL_CORNERS)
        return placement(five_points(self.points))


def are_found() -> bool:
    """Whether the extra `faces` is installed, by which they are."""
    return all(importlib.util.find_spec(name) is not None for name in ("dlib", "face_recognition_models"))


def detect(photograph: Float[np.ndarray, "H W 3"], *, landmarks: Literal[5, 68] = 5) -> list[Face]:
    """The faces in a photograph that look towards the camera, the largest first.

    Args:
      photograph: RGB in [0, 1].
      landmarks: points found in each. dlib's model of 68 isn't licensed for commercial use, that of 5 is.

    Raises:
      FileError: where dlib or its models aren't installed.

    References:
      Dalal and Triggs, Histograms of oriented gradients for human detection, CVPR 2005.
      Kazemi and Sullivan, One millisecond face alignment with an ensemble of regression trees, CVPR 2014.
    """
    _import_dlib()
    predict = _load_predictor(_locate_model(f"shape_predictor_{landmarks}_face_landmarks.dat"))
    boxes = _detect_boxes(photograph)
    boxes.sort(key=lambda box: (box[2] - box[0]) * (box[3] - box[1]), reverse=True)
    return [Face(box, _find_points(photograph, box, predict)) for box in boxes]


def choose(found: Sequence[Face], number: int | None = None) -> Face:
    """The largest face, or that of a number, counted from 1 for the largest.

    Raises:
      InputError: where no face was found, or none of that number.
    """
    if not found:
        raise InputError(
            "no face was found in the photograph; give one in which a face looks towards the camera, "
            "or one that is cropped to the face already together with `--no-align`."
        )
    if number is None:
        return found[0]
    if not 1 <= number <= len(found):
        how_many = "one face was" if len(found) == 1 else f"{len(found)} faces were"
        raise InputError(
            f"there is no face {number}, {how_many} found in the photograph; "
            f"give a number from 1, the largest, to {len(found)}."
        )
    return found[number - 1]


def five_points(points: Float[np.ndarray, "68 2"]) -> Float[np.ndarray, "5 2"]:
    """The five of `CANONICAL_POINTS` among the 68 of iBUG 300-W: eyes are the means of the six points around them."""
    return np.stack([points[36:42].mean(axis=0), points[42:48].mean(axis=0), *points[[30, 48, 54]]])


def fit_similarity(points: Float[np.ndarray, "p 2"], to: Float[np.ndarray, "p 2"]) -> Float[np.ndarray, "2 3"]:
    """The scaling, rotation and translation nearest to taking `points` to `to`, in least squares.

    With points as complex numbers p and their images q, the transform is q ≈ a·p + b, where a = Σ p̄'q' / Σ |p'|² over
    the centred p', q', and b = mean(q) − a·mean(p).

    Returns:
      The matrix M of q = M @ (x, y, 1).

    Raises:
      InputError: for points that all coincide, or aren't finite.
    """
    _check_points(points)
    p, q = (np.asarray(pairs, float) @ np.array([1, 1j]) for pairs in (points, to))
    centred = p - p.mean()
    a = np.sum(centred.conj() * (q - q.mean())) / np.sum(np.abs(centred) ** 2)
    b = q.mean() - a * p.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def placement(
    points: Float[np.ndarray, "p 2"], template: Float[np.ndarray, "p 2"] = CANONICAL_POINTS
) -> Float[np.ndarray, "2 3"]:
    """The place of the canonical crop in a photograph: the similarity transform nearest to taking template to points.

    Args:
      points: of the face, in the photograph.
      template: where they are in the canonical crop, in the same order.

    Raises:
      InputError: for points that all coincide, or aren't finite.
    """
    _check_points(points)
    return fit_similarity(template, points)


def box_placement(box: image.Box) -> Float[np.ndarray, "2 3"]:
    """The place of a crop that is a box of the photograph, resized."""
    x0, y0, x1, y1 = box
    x_scale, y_scale = (x1 - x0) / CANONICAL_SIZE, (y1 - y0) / CANONICAL_SIZE
    return np.array([[x_scale, 0, x0 - 0.5 + x_scale / 2], [0, y_scale, y0 - 0.5 + y_scale / 2]])


def from_corners(place: Float[np.ndarray, "2 3"]) -> Float[np.ndarray, "2 3"]:
    """The place in coordinates that count from the first pixel's corner, (0, 0), in the crop and in the photograph.

    Resizing multiplies such coordinates, and takes nothing else.
    """
    linear = place[:, :2]
    return np.column_stack([linear, place[:, 2] + 0.5 - linear.sum(axis=1) / 2])


def extent(place: Float[np.ndarray, "2 3"], size: tuple[int, int]) -> image.Box:
    """The smallest box that holds all of the crop that lies in a photograph of a height and width.

    Raises:
      InputError: where the crop lies outside of the photograph.
    """
    corners = np.array([(x, y, 1) for x in (0, CANONICAL_SIZE) for y in (0, CANONICAL_SIZE)]) @ from_corners(place).T
    x0, y0 = np.floor(corners.min(axis=0)).astype(int).tolist()
    x1, y1 = np.ceil(corners.max(axis=0)).astype(int).tolist()
    height, width = size
    if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
        raise InputError(
            f"the face lies outside of the photograph, which is {width} × {height} pixels; check its points."
        )
    return max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)


def align(
    photograph: Float[np.ndarray, "H W 3"], points: Float[np.ndarray, "5 2"], *, size: int = CANONICAL_SIZE
) -> Float[np.ndarray, "size size 3"]:
    """The face in the canonical crop, by the similarity transform fitted to its five points; see `crop`.

    Args:
      photograph: RGB in [0, 1].
      points: of the face, in the order of `CANONICAL_POINTS`.
      size: height and width of the result.

    Raises:
      InputError: for points that all coincide, aren't finite, or lie far outside of the photograph.
    """
    return crop(photograph, placement(points), size=size)


def crop(
    photograph: Float[np.ndarray, "H W 3"], place: Float[np.ndarray, "2 3"], *, size: int = CANONICAL_SIZE
) -> Float[np.ndarray, "size size 3"]:
    """The crop at a place in the photograph, bicubic; reduced with Lanczos' filter first where it has fewer pixels.

    Outside of the photograph its outermost pixels are repeated: a black border would be seen by the network.

    Args:
      photograph: RGB in [0, 1].
      place: of the canonical crop.
      size: height and width of the result.

    Raises:
      InputError: where the crop lies outside of the photograph.

    References:
      Keys, Cubic convolution interpolation for digital image processing, IEEE Trans. ASSP 29(6), 1981.
    """
    height, width = photograph.shape[:2]
    x0, y0, x1, y1 = extent(place, (height, width))
    matrix = from_corners(place)
    matrix[:, :2] *= CANONICAL_SIZE / size
    step = np.maximum(1, np.linalg.norm(matrix[:, :2], axis=1))  # the photograph's pixels to one of the crop
    x_margin, y_margin = np.ceil(3 * step).astype(int).tolist()  # what interpolation and rounding can reach
    x0, y0, x1, y1 = max(x0 - x_margin, 0), max(y0 - y_margin, 0), min(x1 + x_margin, width), min(y1 + y_margin, height)
    region = np.array([x1 - x0, y1 - y0])
    reduced = np.ceil(region / step).astype(int)
    matrix[:, 2] -= x0, y0
    matrix *= (reduced / region)[:, None]
    column, row = np.arange(size) + 0.5, np.arange(size)[:, None] + 0.5
    x, y = (x_step * column + y_step * row + start - 0.5 for x_step, y_step, start in matrix)
    picture = _reduce(photograph[y0:y1, x0:x1], (int(reduced[1]), int(reduced[0])))
    return np.clip(_interpolate(picture, x, y), 0, 1)


def _check_points(points: Float[np.ndarray, "p 2"]) -> None:
    if not np.isfinite(points).all() or np.all(points == points[0]):
        raise InputError("the face's points coincide or aren't finite; give two different ones at least.")


def _reduce(picture: Float[np.ndarray, "h w 3"], size: tuple[int, int]) -> Float[np.ndarray, "_ _ 3"]:
    if picture.shape[:2] == size:
        return picture
    channels = (Image.fromarray(np.ascontiguousarray(picture[..., c], np.float32)) for c in range(3))
    return np.stack([np.asarray(c.resize(size[::-1], Image.Resampling.LANCZOS)) for c in channels], axis=-1)


def _interpolate(
    picture: Float[np.ndarray, "h w 3"], x: Float[np.ndarray, "a b"], y: Float[np.ndarray, "a b"]
) -> Float[np.ndarray, "a b 3"]:
    """Cubic convolution (Keys 1981), the outermost pixels repeated.

    Pillow's transform isn't used: its bicubic kernel, of a = −1, doesn't reproduce even a linear ramp.
    """
    height, width = picture.shape[:2]
    pixels = np.reshape(picture, (-1, 3))
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    columns = [np.clip(left + i, 0, width - 1) for i in (-1, 0, 1, 2)]
    rows = [np.clip(top + i, 0, height - 1) * width for i in (-1, 0, 1, 2)]
    across, down = _cubic_weights(x - left)[..., None], _cubic_weights(y - top)[..., None]
    result = np.zeros((*x.shape, 3), np.float32)
    for row, weight in zip(rows, down, strict=True):
        line = (np.take(pixels, row + column, axis=0) for column in columns)
        result += weight * sum(w * values for w, values in zip(across, line, strict=True))
    return result


def _cubic_weights(t: Float[np.ndarray, "a b"]) -> Float[np.ndarray, "4 a b"]:
    """Of the pixels at −1, 0, 1 and 2 for a value at t, between 0 and 1."""
    t = t.astype(np.float32)
    return 0.5 * np.stack([
        t * (t * (2 - t) - 1), t * t * (3 * t - 5) + 2, t * (t * (4 - 3 * t) + 1), t * t * (t - 1),
    ])  # fmt: skip


def _import_dlib() -> Any:
    try:
        import dlib
    except ImportError as error:
        raise FileError(
            f"finding faces needs dlib, which can't be imported ({error}); "
            "install it with `pip install 'dfi-jax[faces]'`, or crop the photograph to the face and use `--no-align`."
        ) from None
    return dlib


def _locate_model(name: str) -> Path:
    """A model's file, found without importing its package: that imports pkg_resources, which setuptools dropped."""
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise FileError(
            "finding faces needs the package face_recognition_models, which is missing; "
            "install it with `pip install 'dfi-jax[faces]'`."
        )
    file = Path(next(iter(spec.submodule_search_locations)), "models", name)
    if not file.is_file():
        raise FileError(
            f"{file} is missing from the package face_recognition_models; "
            "reinstall it with `pip install --force-reinstall face_recognition_models`."
        )
    return file


@functools.cache
def _load_detector() -> Any:
    return _import_dlib().get_frontal_face_detector()


@functools.cache
def _load_predictor(file: Path) -> Any:
    return _import_dlib().shape_predictor(str(file))


def _detect_boxes(photograph: Float[np.ndarray, "H W 3"]) -> list[image.Box]:
    height, width = photograph.shape[:2]
    for longest, enlarged in DETECTED_AT:
        scale = min(longest / max(height, width), enlarged)
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        found = _load_detector()(image.to_bytes(image.resize(photograph, size)), 0)
        if found:
            x_scale, y_scale = width / size[1], height / size[0]
            return [
                (
                    round(box.left() * x_scale),
                    round(box.top() * y_scale),
                    round((box.right() + 1) * x_scale),
                    round((box.bottom() + 1) * y_scale),
                )
                for box in found
            ]
    return []


def _find_points(photograph: Float[np.ndarray, "H W 3"], box: image.Box, predict: Any) -> Float[np.ndarray, "p 2"]:
    x0, y0, x1, y1 = box
    side = 3 * max(x1 - x0, y1 - y0) // 2
    left, top = (x0 + x1 - side) // 2, (y0 + y1 - side) // 2
    size = 3 * REFINED_AT // 2
    around = crop(photograph, box_placement((left, top, left + side, top + side)), size=size)
    zoom = size / side
    x0, y0, x1, y1 = (round((edge - start) * zoom) for edge, start in zip(box, (left, top, left, top), strict=True))
    inside = _import_dlib().rectangle(x0, y0, x1 - 1, y1 - 1)
    points = np.array([(point.x, point.y) for point in predict(image.to_bytes(around), inside).parts()], float)
    return (points + 0.5) / zoom - 0.5 + (left, top)
