"""Detecting faces and their landmarks in a photo.

Faces are detected by dlib, which the extra `faces` installs. Nothing else in the package needs it.
"""

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8

from dfi_jax.errors import FileError
from dfi_jax.photo.image import resize, to_bytes
from dfi_jax.photo.placement import CANONICAL_POINTS, Box, Placement

CANONICAL_CORNERS = np.array(
    [(133.8, 109.3), (114.6, 110.3), (65.9, 110.9), (85.1, 111.0), (100.5, 147.0)]
)
"""Points of dlib's 5-point model in the canonical crop, in the model's order.

They are the outer and inner corner of the right eye, the outer and inner corner of the left eye,
and the base of the nose: means over the 749 faces that `detect` finds in every fourth of 3000
photos of LFW. The standard deviation between people is 2 to 5 pixels."""

CANONICAL_LANDMARKS = np.array(
    [
        (43.7, 113.1),
        (44.9, 127.5),
        (47.1, 142.3),
        (49.6, 157),
        (54.7, 170.7),
        (63.1, 182.8),
        (74.2, 193.1),
        (87.3, 200.7),
        (102, 202.4),
        (116.5, 199.9),
        (129.1, 191.9),
        (140, 181.7),
        (148.3, 169),
        (152.9, 155.2),
        (155.1, 140.6),
        (155.9, 125.8),
        (156.7, 111),
        (54.3, 101.6),
        (61, 94.9),
        (70.8, 92.7),
        (80.9, 93.6),
        (90.3, 97.3),
        (108.5, 96.6),
        (118.2, 92.7),
        (128, 91.3),
        (138.1, 93.4),
        (144.9, 99.5),
        (99.6, 108),
        (100, 117.3),
        (100, 126.6),
        (100.4, 136.4),
        (89, 143.1),
        (94.5, 145.3),
        (100.4, 147),
        (106.3, 145),
        (111.4, 142.7),
        (65.7, 111),
        (71.6, 107.6),
        (78.8, 107.6),
        (85.2, 111.4),
        (78.8, 112.7),
        (71.6, 112.9),
        (114.6, 110.7),
        (120.7, 106.3),
        (127.9, 106.3),
        (133.9, 109.3),
        (128.4, 111.4),
        (121.6, 111.7),
        (79, 162.6),
        (86.9, 158.4),
        (94.5, 156.3),
        (100.8, 157.5),
        (107.2, 156.3),
        (115.2, 157.8),
        (123.3, 161.8),
        (115.7, 169),
        (107.6, 172.8),
        (101, 173.2),
        (94.5, 172.8),
        (86.9, 169.8),
        (82.6, 162.6),
        (94.9, 160.9),
        (100.8, 161.4),
        (107.2, 160.9),
        (119.5, 161.8),
        (107.6, 165.2),
        (100.8, 166),
        (94.5, 165.6),
    ]
)
"""Points of dlib's 68-point model in the canonical crop, in the order of iBUG 300-W.

They are medians over the same 749 faces. The standard deviation between people is 6 pixels in the
mean: most of it is how far heads are turned."""

_DETECTION_SIZES = ((1000, 2.0), (2000, 4.0))
"""Sizes at which faces are looked for, in turn: longest side in pixels, and maximum enlargement.

The second size is tried if the first shows no face. dlib detects no face below 80 pixels."""

_REFINED_SIDE = 300
"""Side, in pixels, of the face in which its points are detected.

dlib rounds points to whole pixels. At 300 pixels, the placements of 45 LFW faces that were moved by
known similarities agreed within 0.3 pixels of the crop; at their own 90 pixels, within 0.8."""

_COMPARED_SIDE = 240
"""Side, in pixels, of the square around a face that is compared with itself upside down."""

_LOWEST_SCORE = -1.0
"""Lowest score of dlib's detector that counts in that comparison. A face is detected from 0."""

_CERTAIN = 1.0
"""Score from which a detected face counts as upright. In 700 photos of LFW turned by 180°, 102
faces had scores up to 0.83; in 72 upright ones, 89 % of the scores were higher than this."""

_FARTHEST = 60
"""Maximum distance, in pixels of the canonical crop and per axis, between a detected face's eyes,
nose and mouth and those of the average face. Other faces are somebody else's."""

_idle_detectors: list[Any] = []
"""dlib's detectors that no thread is using."""

_INSTALL = (
    "install them with `pip install 'dfi-jax[faces]'`, or `pip install '.[faces]'` in a clone of "
    "the repository, or set the face to `whole` or to a box x0,y0,x1,y1 (on the command line, with "
    "--face)."
)


@dataclass(frozen=True, eq=False)
class Face:
    """A face that was detected in a photo.

    Attributes:
      box: Box around the face, from brow to chin. It may extend beyond the photo.
      points: Points of dlib's 5-point model, in the order of `CANONICAL_CORNERS`, or of its
        68-point model, in the order of iBUG 300-W.
      score: Score of dlib's detector, which is higher for a face that is more certain.
    """

    box: Box
    points: Float[np.ndarray, "p 2"]
    score: float = 0.0

    @property
    def placement(self) -> Placement:
        """Placement of the canonical crop, fitted to the points."""
        if len(self.points) == len(CANONICAL_CORNERS):
            return Placement.from_landmarks(self.points, template=CANONICAL_CORNERS)
        return Placement.from_landmarks(five_points(self.points))


def installed() -> bool:
    """Tells whether the extra `faces` is installed.

    >>> isinstance(installed(), bool)
    True
    """
    packages = ("dlib", "face_recognition_models")
    return all(importlib.util.find_spec(package) is not None for package in packages)


def detect(pixels: Float[np.ndarray, "H W 3"], *, points: Literal[5, 68] = 5) -> list[Face]:
    """Detects the faces in a photo that look towards the camera, the largest first.

    >>> detect(np.full((60, 80, 3), 0.5)) if installed() else []
    []

    Args:
      pixels: Photo, RGB in [0, 1].
      points: Number of points to detect in each face. dlib's model of 5 points is licensed for
        commercial use; its model of 68 points isn't.

    Raises:
      FileError: If dlib or its models aren't installed.

    References:
      Dalal and Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005.
      Kazemi and Sullivan, "One Millisecond Face Alignment with an Ensemble of Regression Trees",
      CVPR 2014.
    """
    if not installed():
        raise FileError(
            "detecting a face needs the packages dlib and face_recognition_models, which aren't "
            f"both installed; {_INSTALL}"
        )
    predict = _load_predictor(locate_model(f"shape_predictor_{points}_face_landmarks.dat"))
    boxes = _detect_boxes(pixels)
    boxes.sort(key=lambda found: found[0][2] - found[0][0], reverse=True)  # They are squares.
    return [Face(box, _detect_points(pixels, box, predict), score) for box, score in boxes]


def is_upside_down(pixels: Float[np.ndarray, "H W 3"], face: Face) -> bool:
    """Tells whether a detected face is upside down, in which case its points are wrong.

    It is if the detector isn't certain of the face and, in 20 ms more, prefers it turned by 180°.
    Of 72 photos of LFW, it preferred none turned, and each of 16 that were upside down.

    Args:
      pixels: Photo, RGB in [0, 1].
      face: The face.
    """
    if face.score >= _CERTAIN:
        return False
    around = to_bytes(_crop(pixels, _square(face.box), size=_COMPARED_SIDE))
    upright, turned = (
        max(_run_detector(view, threshold=_LOWEST_SCORE)[1], default=_LOWEST_SCORE)
        for view in (around, np.ascontiguousarray(around[::-1, ::-1]))
    )
    return bool(turned > upright)


def upright_turn(pixels: Float[np.ndarray, "H W 3"]) -> int | None:
    """Returns by how many degrees a photo has to be turned clockwise, so that a face is detected.

    It is None if there is no face in a photo turned by 90, 180 or 270 degrees either.

    >>> upright_turn(np.full((60, 80, 3), 0.5)) if installed() else None
    """
    found = {}
    for quarters in (1, 2, 3):
        view = np.rot90(pixels, -quarters)
        scores = _run_detector(_shrink(view, *_DETECTION_SIZES[0]))[1]
        if scores:
            found[90 * quarters] = max(scores)
    return max(found, key=lambda turn: found[turn], default=None)


def five_points(points: Float[np.ndarray, "68 2"]) -> Float[np.ndarray, "5 2"]:
    """Returns the points of `CANONICAL_POINTS` among the 68 points of iBUG 300-W.

    An eye is the mean of the six points around it.

    >>> five_points(np.arange(136.0).reshape(68, 2))[:, 0].tolist()
    [77.0, 89.0, 60.0, 96.0, 108.0]
    """
    left_eye, right_eye = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    return np.stack([left_eye, right_eye, *points[[30, 48, 54]]])


def nearest(
    pixels: Float[np.ndarray, "H W 3"], placement: Placement
) -> Float[np.ndarray, "68 2"] | None:
    """Returns the 68 points of the face nearest to a placement, or None if no face is detected.

    >>> grey = np.full((60, 80, 3), 0.5)
    >>> nearest(grey, Placement.whole((80, 60))) if installed() else None

    Args:
      pixels: Photo, RGB in [0, 1].
      placement: Place where the face is expected.

    Raises:
      FileError: If dlib or its models aren't installed.
    """
    expected = placement.map_points(CANONICAL_POINTS)
    found = [face.points for face in detect(pixels, points=68)]
    return min(
        found,
        key=lambda points: float(np.linalg.norm(five_points(points) - expected)),
        default=None,
    )


def canonical_points(
    pixels: Float[np.ndarray, "H W 3"], placement: Placement
) -> Float[np.ndarray, "68 2"] | None:
    """Returns the 68 points of the face at a placement, in pixels of the canonical crop.

    They are None if no face is detected there.

    >>> grey = np.full((60, 80, 3), 0.5)
    >>> canonical_points(grey, Placement.whole((80, 60))) if installed() else None

    Args:
      pixels: Photo, RGB in [0, 1].
      placement: Placement of the face.

    Raises:
      FileError: If dlib or its models aren't installed.
    """
    found = nearest(pixels, placement)
    if found is None:
        return None
    points = placement.unmap_points(found)
    off = np.abs(five_points(points) - CANONICAL_POINTS).max()
    return points if off <= _FARTHEST else None


def import_dlib() -> Any:
    """Returns the module dlib.

    Raises:
      FileError: If it can't be imported.
    """
    try:
        import dlib
    except ImportError as error:
        raise FileError(
            f"detecting a face needs dlib, which is installed but can't be imported ({error}); "
            "reinstall it with `pip install --force-reinstall dlib-bin`."
        ) from None
    return dlib


def locate_model(name: str) -> Path:
    """Returns the path of one of dlib's models.

    The package that holds it isn't imported, because it imports pkg_resources, which setuptools no
    longer has.

    Raises:
      FileError: If the package lacks the model.
    """
    spec = importlib.util.find_spec("face_recognition_models")
    folders = spec.submodule_search_locations if spec else None
    file = Path(*list(folders or [])[:1], "models", name)
    if not file.is_file():
        raise FileError(
            f"{file} is missing from the package face_recognition_models; "
            "reinstall it with `pip install --force-reinstall face_recognition_models`."
        )
    return file


def _run_detector(
    pixels: UInt8[np.ndarray, "h w 3"], *, threshold: float = 0.0
) -> tuple[Any, list[float]]:
    """Returns dlib's boxes of the faces in an image, and their scores.

    dlib lets other threads run meanwhile. A detector writes to its own memory, so two threads that
    share one find wrong faces, or end the process.
    """
    try:
        detector = _idle_detectors.pop()
    except IndexError:  # Loading another one takes 0.2 seconds.
        detector = import_dlib().get_frontal_face_detector()
    boxes, scores, _ = detector.run(pixels, 0, threshold)
    _idle_detectors.append(detector)
    return boxes, scores


@functools.cache
def _load_predictor(file: Path) -> Any:
    return import_dlib().shape_predictor(str(file))


def _detect_boxes(pixels: Float[np.ndarray, "H W 3"]) -> list[tuple[Box, float]]:
    """Returns the box around each face, which is a square, and its score."""
    height, width = pixels.shape[:2]
    for longest, enlargement in _DETECTION_SIZES:
        seen = _shrink(pixels, longest, enlargement)
        detected, scores = _run_detector(seen)
        if detected:
            x_scale, y_scale = width / seen.shape[1], height / seen.shape[0]
            boxes = [
                (
                    round(box.left() * x_scale),
                    round(box.top() * y_scale),
                    round((box.right() + 1) * x_scale),
                    round((box.bottom() + 1) * y_scale),
                )
                for box in detected
            ]
            return list(zip(boxes, scores, strict=True))
    return []


def _shrink(
    pixels: Float[np.ndarray, "H W 3"], longest: int, enlargement: float
) -> UInt8[np.ndarray, "h w 3"]:
    height, width = pixels.shape[:2]
    scale = min(longest / max(height, width), enlargement)
    return to_bytes(resize(pixels, (max(1, round(height * scale)), max(1, round(width * scale)))))


def _square(box: Box) -> Box:
    """Returns a square around a face's box."""
    x0, y0, x1, y1 = box
    side = 3 * max(x1 - x0, y1 - y0) // 2
    left, top = (x0 + x1 - side) // 2, (y0 + y1 - side) // 2
    return left, top, left + side, top + side


def _crop(
    pixels: Float[np.ndarray, "H W 3"], square: Box, *, size: int
) -> Float[np.ndarray, "s s 3"]:
    # A placement without a box may extend beyond the photo, and this square often does.
    return Placement(Placement.from_box(square).matrix).crop(pixels, size=size)


def _detect_points(
    pixels: Float[np.ndarray, "H W 3"], box: Box, predict: Any
) -> Float[np.ndarray, "p 2"]:
    square = _square(box)
    left, top, right, _ = square
    size = 3 * _REFINED_SIDE // 2
    around = _crop(pixels, square, size=size)
    zoom = size / (right - left)
    starts = (left, top, left, top)
    x0, y0, x1, y1 = (round((edge - start) * zoom) for edge, start in zip(box, starts, strict=True))
    inside = import_dlib().rectangle(x0, y0, x1 - 1, y1 - 1)
    parts = predict(to_bytes(around), inside).parts()
    points = np.array([(point.x, point.y) for point in parts], float)
    return (points + 0.5) / zoom - 0.5 + (left, top)
