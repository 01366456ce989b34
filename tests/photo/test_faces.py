import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from dfi_jax.errors import FileError
from dfi_jax.photo import faces
from dfi_jax.photo.faces import (
    CANONICAL_CORNERS,
    CANONICAL_LANDMARKS,
    Face,
    detect,
    five_points,
)
from dfi_jax.photo.photo import read
from dfi_jax.photo.placement import CANONICAL_POINTS, Placement

ASTRONAUT = np.array([(203.2, 101.5), (246.5, 104.2), (225, 127), (201, 139), (246, 141)])


@pytest.mark.parametrize("package", ["dlib", "face_recognition_models"])
def test_a_missing_package_is_named(monkeypatch, package):
    if package != "dlib":
        pytest.importorskip("dlib")
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"{package}.*pip install 'dfi-jax\[faces\]'.*pip install '\.\[faces\]'.*`whole`"
    with pytest.raises(FileError, match=message):
        detect(np.zeros((50, 50, 3), np.float32))


def test_the_points_of_a_face_are_detected(astronaut):
    (found,) = detect(astronaut, points=68)
    np.testing.assert_allclose(five_points(found.points), ASTRONAUT, atol=2)
    box = np.array(found.box)
    assert np.all(box[:2] < ASTRONAUT)
    assert np.all(box[2:] > ASTRONAUT)


def test_corners_of_the_eyes_lie_about_their_centres(astronaut):
    (found,) = detect(astronaut)
    right, left = found.points[:2].mean(axis=0), found.points[2:4].mean(axis=0)
    np.testing.assert_allclose([left, right], ASTRONAUT[:2], atol=2)
    # The last point is the base of the nose, where it meets the lip.
    np.testing.assert_allclose(found.points[4], ASTRONAUT[2] + (0, 7), atol=3)
    assert found.points[0, 0] > found.points[1, 0] > found.points[3, 0] > found.points[2, 0]


# The eyes alone place a face that looks up or down differently than the eyes and the mouth do: the
# astronaut's mouth is 10 pixels higher than the mean.
@pytest.mark.parametrize(("points", "eyes", "mouth"), [(5, 3, 12), (68, 7, 7)])
def test_a_detected_face_is_placed_as_lfw_s_faces_are(astronaut, points, eyes, mouth):
    matrix = detect(astronaut, points=points)[0].placement.matrix
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    placed = ASTRONAUT @ inverse[:, :2].T + inverse[:, 2]
    np.testing.assert_allclose(placed[:3], CANONICAL_POINTS[:3], atol=eyes)
    np.testing.assert_allclose(placed[3:], CANONICAL_POINTS[3:], atol=mouth)


@pytest.mark.parametrize("points", [5, 68])
def test_points_scale_with_the_photo(astronaut, points):
    (small,) = detect(astronaut, points=points)
    large = np.kron(astronaut[:256, 64:448], np.ones((5, 5, 1), np.float32))
    (found,) = detect(large, points=points)
    scaled = (found.points + 0.5) / 5 - 0.5 + (64, 0)
    np.testing.assert_allclose(scaled, small.points, atol=5)
    assert np.abs(scaled - small.points).mean() < 1.5


def test_several_faces_are_detected_the_largest_first(two_heads):
    large, small = detect(two_heads)
    x, y = ASTRONAUT[:2].mean(axis=0)
    np.testing.assert_allclose(large.points[:4].mean(axis=0), (x - 96, y), atol=3)
    expected = ((x - 96) / 2 + 264, y / 2 + 64)
    np.testing.assert_allclose(small.points[:4].mean(axis=0), expected, atol=2)


def test_a_face_that_is_small_in_the_photo_is_detected(astronaut):
    pixels = np.full((1400, 2000, 3), 0.5, np.float32)
    pixels[600:856, 1500:1756] = astronaut[:256, 96:352]
    (found,) = detect(pixels)
    x, y = ASTRONAUT[:2].mean(axis=0)
    np.testing.assert_allclose(found.points[:4].mean(axis=0), (x + 1404, y + 600), atol=3)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (3, 200), (120, 90)])
def test_no_face_is_detected_where_there_is_none(size):
    pytest.importorskip("dlib")
    assert detect(np.full((*size, 3), 0.5, np.float32)) == []


def test_faces_are_detected_in_several_threads_as_in_one(astronaut):
    views = [astronaut[:200, x : x + 200] for x in range(90, 154, 8)]
    alone = [faces._detect_boxes(view) for view in views]
    assert any(alone)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(2):
            assert list(pool.map(faces._detect_boxes, views)) == alone


class Squares:
    """Stands for dlib: takes a white square of at least 80 pixels for a face, with two points.

    The points are the centres of its first and last pixel.
    """

    def __init__(self):
        self.looked_at, self.refined = [], []

    def run(self, image, enlargements, threshold):
        assert enlargements == threshold == 0
        self.looked_at.append(image.shape[:2])
        found = self.rectangle(*self.ends(image))
        boxes = [found] if found.right() - found.left() >= 79 else []
        return boxes, [0.5] * len(boxes), [0] * len(boxes)

    def predict(self, image, inside):
        self.refined.append((image.shape, inside.left(), inside.right() + 1))
        x0, y0, x1, y1 = self.ends(image)
        parts = [SimpleNamespace(x=x0, y=y0), SimpleNamespace(x=x1, y=y1)]
        return SimpleNamespace(parts=lambda: parts)

    @staticmethod
    def ends(image):
        rows, columns = np.nonzero(image[..., 1] > 127)
        return int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())

    @staticmethod
    def rectangle(*edges):
        names = ("left", "top", "right", "bottom")
        return SimpleNamespace(**{n: lambda e=e: e for n, e in zip(names, edges, strict=True)})


@pytest.mark.parametrize(
    ("size", "square", "looked_at"),
    [
        ((900, 600), (420, 310, 120), [(667, 1000)]),
        ((2000, 3000), (1200, 130, 600), [(1000, 667)]),
        ((300, 400), (30, 220, 60), [(800, 600)]),  # No more than twice as large.
        ((900, 1200), (400, 90, 60), [(1000, 750), (2000, 1500)]),
        ((300, 400), (20, 180, 30), [(800, 600), (1600, 1200)]),
        ((300, 400), (20, 180, 15), [(800, 600), (1600, 1200)]),  # Too small, even then.
    ],
)
def test_faces_are_looked_for_at_two_sizes_and_their_points_at_300_pixels(
    monkeypatch, size, square, looked_at
):
    dlib = Squares()
    monkeypatch.setattr(faces, "installed", lambda: True)
    monkeypatch.setattr(faces, "locate_model", lambda name: name)
    monkeypatch.setattr(faces, "import_dlib", lambda: dlib)
    monkeypatch.setattr(faces, "_idle_detectors", [dlib])
    monkeypatch.setattr(faces, "_load_predictor", lambda file: dlib.predict)
    pixels = np.zeros((size[1], size[0], 3), np.float32)
    x, y, side = square
    pixels[y : y + side, x : x + side] = 1
    found = detect(pixels)
    assert dlib.looked_at == looked_at
    assert len(found) == (side > 15)
    for face in found:
        assert face.score == 0.5
        np.testing.assert_allclose(face.box, (x, y, x + side, y + side), atol=2)
        # The square fills 300 of 450 pixels, and its points are as exact as those pixels.
        last = side - 1
        np.testing.assert_allclose(face.points, [(x, y), (x + last, y + last)], atol=1)
        ((shape, start, stop),) = dlib.refined
        assert shape == (450, 450, 3)
        np.testing.assert_allclose((start, stop), (75, 375), atol=6)


def test_the_average_face_is_symmetric_and_its_three_tables_agree():
    corners = CANONICAL_LANDMARKS[[45, 42, 36, 39, 33]]
    np.testing.assert_allclose(CANONICAL_CORNERS, corners, atol=0.5)
    np.testing.assert_allclose(CANONICAL_POINTS, five_points(CANONICAL_LANDMARKS), atol=0.8)
    left = [*range(8), *range(17, 22), 31, 32, *range(36, 42), 48, 49, 50, 58, 59, 60, 61, 67]
    right = [*range(16, 8, -1), *range(26, 21, -1), 35, 34, 45, 44, 43, 42, 47, 46, 54, 53, 52]
    right += [56, 55, 64, 63, 65]
    order = np.arange(68)
    order[left + right] = right + left
    mirrored = CANONICAL_LANDMARKS[order] * [-1, 1]
    fitted = Placement.from_landmarks(CANONICAL_LANDMARKS, template=mirrored)
    off = np.abs(fitted.map_points(mirrored) - CANONICAL_LANDMARKS)
    assert np.all(off < [1.1, 0.7])
    assert np.median(off) < 0.3


@pytest.mark.parametrize(
    ("points", "digest"),
    [
        (CANONICAL_POINTS, 1805237365),
        (CANONICAL_CORNERS, 256388430),
        (CANONICAL_LANDMARKS, 4288361656),
    ],
)
def test_the_average_face_stays_because_saved_vectors_are_in_its_geometry(points, digest):
    assert zlib.crc32(np.round(10 * points).astype("<i4").tobytes()) == digest


def test_the_face_nearest_to_the_placement_is_taken_and_a_distant_one_is_not_its_own(monkeypatch):
    placement = Placement.from_box((100, 50, 300, 250))
    own, near_by = (CANONICAL_LANDMARKS + shift for shift in ((103, 52), (160, 50)))
    found = [Face((0, 0, 900, 900), near_by), Face((0, 0, 90, 90), own)]
    monkeypatch.setattr(faces, "detect", lambda pixels, points: found[: 2 * (points == 68)])
    grey = np.full((400, 400, 3), 0.5, np.float32)
    np.testing.assert_array_equal(faces.nearest(grey, placement), own)
    points = faces.canonical_points(grey, placement)
    np.testing.assert_allclose(points - CANONICAL_LANDMARKS, np.broadcast_to((3, 2), (68, 2)))
    found.pop()
    np.testing.assert_array_equal(faces.nearest(grey, placement), near_by)
    assert faces.canonical_points(grey, placement) is None  # A nose may be 60 pixels off.
    found[0] = Face((0, 0, 900, 900), near_by - (1, 0))
    assert faces.canonical_points(grey, placement) is not None


def test_lfw_s_faces_lie_in_the_canonical_crop(real_lfw):
    pytest.importorskip("dlib")
    landmarks, corners = [], []
    for file in sorted(real_lfw.glob("lfw-deepfunneled/*/*.jpg"))[::100]:
        pixels = read(file)
        for points, kept in ((68, landmarks), (5, corners)):
            found = detect(pixels, points=points)
            nearest = min(found, key=lambda face: abs(sum(face.box) / 4 - 125))
            kept.append((nearest.points - (40, 20) + 0.5) * 200 / 170 - 0.5)
    # With 30 faces the standard errors are 0.5 to 1.5 pixels.
    np.testing.assert_allclose(five_points(np.mean(landmarks, axis=0)), CANONICAL_POINTS, atol=4)
    np.testing.assert_allclose(np.mean(corners, axis=0), CANONICAL_CORNERS, atol=4)


def test_the_extra_is_installed_if_both_packages_are(monkeypatch):
    for present in ({"dlib", "face_recognition_models"}, {"dlib"}, set()):
        find = {name: object() for name in present}.get
        monkeypatch.setattr("importlib.util.find_spec", find)
        assert faces.installed() is (len(present) == 2)
