import inspect
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfi_jax.errors import InputError
from dfi_jax.photo.placement import CANONICAL_POINTS, Placement


def similarity(scale, angle, x, y):
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, x], [s, c, y]])


def transform(matrix, points):
    return np.asarray(points) @ matrix[:, :2].T + matrix[:, 2]


def placement_of(matrix):
    """The placement of a matrix, as numbers of Python."""
    return Placement(tuple(map(tuple, np.asarray(matrix).tolist())))


@given(
    scale=st.floats(0.1, 10),
    angle=st.floats(-3, 3),
    x=st.floats(-100, 100),
    y=st.floats(-100, 100),
)
def test_a_known_similarity_is_recovered(scale, angle, x, y):
    matrix = similarity(scale, angle, x, y)
    fitted = Placement.from_landmarks(transform(matrix, CANONICAL_POINTS))
    atol = 1e-9 * (1 + abs(x) + abs(y) + scale)
    np.testing.assert_allclose(fitted.matrix, matrix, atol=atol)
    np.testing.assert_allclose(fitted.side, 200 * scale, rtol=1e-9)


def test_no_other_similarity_is_nearer_in_least_squares():
    rng = np.random.default_rng(0)
    points = CANONICAL_POINTS + rng.normal(0, 5, (5, 2))

    def error(matrix):
        return np.sum((transform(matrix, CANONICAL_POINTS) - points) ** 2)

    best = np.array(Placement.from_landmarks(points).matrix)
    for _ in range(50):
        a, b, x, y = rng.normal(0, 1e-2, 4)
        assert error(best + np.array([[a, -b, x], [b, a, y]])) > error(best)


def test_another_template_is_fitted():
    template = np.array([(10.0, 20.0), (30.0, 25.0)])
    matrix = similarity(2.0, 0.3, 5.0, 7.0)
    fitted = Placement.from_landmarks(transform(matrix, template), template=template)
    np.testing.assert_allclose(fitted.matrix, matrix, atol=1e-12)


@pytest.mark.parametrize("value", [1.0, 0.1, np.nan, np.inf])
def test_points_that_coincide_or_are_not_finite_are_refused(value):
    with pytest.raises(InputError, match="coincide"):
        Placement.from_landmarks(np.full((5, 2), value))
    with pytest.raises(InputError, match="coincide"):
        Placement.from_landmarks(CANONICAL_POINTS, template=np.full((5, 2), value))
    with pytest.raises(InputError, match=r"shape \(68, 2\) and the template's have \(5, 2\)"):
        inspect.unwrap(Placement.from_landmarks.__func__)(Placement, np.ones((68, 2)))


def test_points_beyond_every_photo_are_refused():
    points = CANONICAL_POINTS.copy()
    points[3, 1] = -1e38
    with pytest.raises(InputError, match=r"lies at 1e\+38; give points in pixels of the photo"):
        Placement.from_landmarks(points)


def blobs(points, size, width=2.0):
    """An image with a soft white spot at each point (x, y)."""
    y, x = np.mgrid[:size, :size]
    spots = [np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * width**2)) for px, py in points]
    return np.repeat(np.clip(sum(spots), 0, 1)[..., None], 3, axis=2).astype(np.float32)


@pytest.mark.parametrize("size", [200, 100])
def test_the_points_of_a_face_come_to_the_canonical_points(size):
    points = transform(similarity(1.7, 0.3, 60.0, 20.0), CANONICAL_POINTS)
    face = Placement.from_landmarks(points).crop(blobs(points, 500, 3.0), size=size)
    y, x = np.mgrid[:size, :size]
    for px, py in (CANONICAL_POINTS + 0.5) * size / 200 - 0.5:
        near = face[..., 0] * ((x - px) ** 2 + (y - py) ** 2 < (size / 25) ** 2)
        found = np.array([np.sum(near * x), np.sum(near * y)]) / near.sum()
        np.testing.assert_allclose(found, (px, py), atol=0.1)


def test_a_similarity_takes_an_image_there_and_back():
    y, x = np.mgrid[:300, :300]
    photo = np.stack([0.5 + 0.4 * np.sin(x / 9 + c) * np.cos(y / 11) for c in range(3)], axis=-1)
    there = similarity(0.8, 0.4, 90.0, 50.0)
    back = np.linalg.inv(np.vstack([there, [0, 0, 1]]))[:2]
    face = placement_of(there).crop(photo.astype(np.float32))
    again = placement_of(back).crop(face)
    inside = (slice(130, 170), slice(110, 150))
    np.testing.assert_allclose(again[inside], photo[:200, :200][inside], atol=2e-3)


@pytest.mark.parametrize("scale", [0.6, 1.0, 2.5, 6.0])
def test_a_slow_wave_appears_in_the_crop_where_the_matrix_says(scale):
    placement = placement_of(similarity(scale, 0.2, 100.0, 50.0))
    side = int(200 * scale * 1.25) + 150
    y, x = np.mgrid[:side, :side]
    photo = (0.5 + 0.4 * np.sin(x / (8 * scale)) * np.sin(y / (9 * scale)))[..., None] * np.ones(3)
    face = placement.crop(photo.astype(np.float32))
    v, u = np.mgrid[20:180, 20:180]
    at = placement.map_points(np.stack([u, v], axis=-1).astype(float))
    expected = 0.5 + 0.4 * np.sin(at[..., 0] / (8 * scale)) * np.sin(at[..., 1] / (9 * scale))
    np.testing.assert_allclose(face[20:180, 20:180, 1], expected, atol=4e-3)


@pytest.mark.parametrize(("scale", "angle"), [(4.0, 0.0), (4.0, 0.3), (3.7, 0.0)])
def test_detail_finer_than_the_crop_s_pixels_becomes_its_mean(scale, angle):
    y, x = np.mgrid[:1100, :1100]
    checkerboard = ((x + y) % 2)[..., None] * np.ones(3, np.float32)
    wave = (0.5 + 0.5 * np.sin(2 * np.pi * x / (1.3 * scale)))[..., None] * np.ones(3)
    placement = placement_of(similarity(scale, angle, 260.0, 30.0))
    for photo in (checkerboard, wave):
        face = placement.crop(photo.astype(np.float32))
        # The transition band of Lanczos' filter lets a thirtieth of the wave through.
        np.testing.assert_allclose(face[20:180, 20:180], 0.5, atol=0.03)


def test_smoothing_leaves_what_the_crop_shows_and_only_where_the_mask_is():
    y, x = np.mgrid[:900, :1000]
    wave = (0.5 + 0.3 * np.sin(x / 60))[..., None] * np.ones(3)
    checkerboard = 0.2 * ((x + y) % 2 - 0.5)[..., None]
    photo = (wave + checkerboard).astype(np.float32)
    placement = placement_of(similarity(4.0, 0.2, 180.0, 20.0))
    mask = np.zeros((200, 200, 3), np.float32)
    mask[60:140, 60:140] = 1
    found = placement.smooth(photo, mask)
    inside = placement.paste(np.zeros_like(photo), mask)[..., 0]
    np.testing.assert_array_equal(found[inside == 0], photo[inside == 0])
    # The wave goes through the crop and back, and the checkerboard is gone.
    np.testing.assert_allclose(found[inside == 1], wave[inside == 1], atol=0.01)


def test_the_matrix_of_a_box_is_that_of_its_pixels():
    photo = np.random.default_rng(0).random((400, 300, 3)).astype(np.float32)
    placement = Placement.from_box((40, 120, 240, 320))
    by_matrix = Placement(placement.matrix)
    assert Placement(Placement.from_box((0, 0, 300, 400)).matrix).side == pytest.approx(300)
    np.testing.assert_allclose(by_matrix.crop(photo), photo[120:320, 40:240], atol=1e-6)
    assert placement.extent((300, 400)) == (40, 120, 240, 320)
    beyond = Placement.from_box((-40, 120, 240, 520))
    assert beyond.extent((300, 400)) == (0, 120, 240, 400)


def test_a_box_is_cropped_to_its_own_pixels():
    photo = np.random.default_rng(0).random((40, 60, 3)).astype(np.float32)
    placement = Placement.from_box((10, 5, 30, 25))
    np.testing.assert_array_equal(placement.crop(photo, size=None), photo[5:25, 10:30])
    np.testing.assert_array_equal(placement.crop(photo, size=20), photo[5:25, 10:30])
    assert placement.crop(photo).shape == (200, 200, 3)
    changed = photo.copy()
    changed[:5] = changed[25:] = changed[:, :10] = changed[:, 30:] = 0
    np.testing.assert_array_equal(placement.crop(changed), placement.crop(photo))


def test_the_whole_photo_is_a_box():
    placement = Placement.whole((60, 40))
    assert placement == Placement.from_box((0, 0, 60, 40))
    assert (placement.side, placement.to_json()) == (60.0, [0, 0, 60, 40])


@pytest.mark.parametrize(("scale", "expected"), [(0.5, 100), (2.004, 401), (0.001, 1)])
def test_a_crop_without_a_size_has_the_photo_s_resolution(scale, expected):
    placement = placement_of(similarity(scale, 0.4, 90.0, 20.0))
    photo = np.random.default_rng(0).random((300, 300, 3)).astype(np.float32)
    face = placement.crop(photo, size=None)
    assert face.shape == (expected, expected, 3)
    np.testing.assert_array_equal(face, placement.crop(photo, size=expected))


def test_outside_the_photo_its_border_continues():
    photo = np.random.default_rng(0).random((100, 110, 3)).astype(np.float32)
    face = placement_of(similarity(1.0, 0.0, -40.0, -50.0)).crop(photo)
    row, column = np.clip(np.arange(200) - 50, 0, 99), np.clip(np.arange(200) - 40, 0, 109)
    np.testing.assert_allclose(face, photo[row[:, None], column], atol=1e-6)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_a_crop_beside_the_photo_is_refused(scale):
    placement = placement_of(similarity(scale, 0.0, 150.0, 0.0))
    with pytest.raises(InputError, match="outside the photo, which is 100 × 90 pixels"):
        placement.crop(np.zeros((90, 100, 3), np.float32))
    with pytest.raises(InputError, match="outside the photo, which is 100 × 90 pixels"):
        placement.check((100, 90))


@pytest.mark.parametrize(
    ("box", "shift"),
    [
        ((-30, 5, 1, 36), (-1, 0)),
        ((99, 5, 130, 36), (1, 0)),
        ((5, -30, 36, 1), (0, -1)),
        ((5, 89, 36, 120), (0, 1)),
    ],
)
def test_a_crop_lies_beside_the_photo_from_the_first_pixel_without_it(box, shift):
    x0, y0, x1, y1 = box
    inside = (max(x0, 0), max(y0, 0), min(x1, 100), min(y1, 90))
    assert Placement.from_box(box).extent((100, 90)) == inside
    x, y = shift
    with pytest.raises(InputError, match="outside the photo, which is 100 × 90 pixels"):
        Placement.from_box((x0 + x, y0 + y, x1 + x, y1 + y)).extent((100, 90))


@pytest.mark.parametrize("box", [(0, 0, 61, 40), (-1, 0, 10, 10), (0, 0, 10, 41), (0, -3, 5, 9)])
def test_a_box_that_is_not_inside_the_photo_is_refused(box):
    placement = Placement.from_box(box)
    message = "doesn't lie inside the photo, which is 60 × 40 pixels; give x0,y0,x1,y1 with 0 ≤ x0"
    with pytest.raises(InputError, match=message):
        placement.crop(np.zeros((40, 60, 3), np.float32))
    with pytest.raises(InputError, match=message):
        placement.check((60, 40))


@pytest.mark.parametrize("box", [(10, 10, 10, 20), (20, 0, 10, 10), (0, 9, 5, 3)])
def test_an_empty_box_is_refused(box):
    with pytest.raises(InputError, match="is empty; give x0 < x1 and y0 < y1"):
        Placement.from_box(box)


@pytest.mark.parametrize("box", [(0, 0, 10**400, 9), (-(10**400), 0, 9, 9), (0, 0, 9, 10**9)])
def test_a_box_larger_than_any_photo_is_refused(box):
    with pytest.raises(InputError, match="the box is larger than any photo"):
        Placement.from_box(box)


def test_a_box_of_numpy_s_integers_can_be_written_as_json():
    from_box = inspect.unwrap(Placement.from_box.__func__)  # Beartype admits no such integers.
    placement = from_box(Placement, tuple(np.array([1, 2, 33, 44])))
    assert json.dumps(placement.to_json()) == "[1, 2, 33, 44]"


@pytest.mark.parametrize("box", [(1.5, 2, 33, 44), (1, 2, 33), "1,2,33,44", None])
def test_a_box_of_anything_but_four_integers_is_refused(box):
    from_box = inspect.unwrap(Placement.from_box.__func__)
    with pytest.raises(InputError, match="give four integers, x0,y0,x1,y1"):
        from_box(Placement, box)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (((1.0, 0.0, np.nan), (0.0, 1.0, 0.0)), "three finite numbers"),
        (((1.0, 2.0, 0.0), (2.0, 4.0, 0.0)), "has no inverse"),
        (((0.0, 0.0, 5.0), (0.0, 0.0, 5.0)), "has no inverse"),
    ],
)
def test_a_matrix_without_an_inverse_is_refused(matrix, message):
    with pytest.raises(InputError, match=message):
        Placement(matrix)


def test_a_box_and_another_matrix_are_refused():
    with pytest.raises(InputError, match=r"isn't that of its box .*; use Placement\.from_box"):
        Placement(((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), (0, 0, 100, 100))


def test_a_face_of_32_pixels_is_large_enough_and_a_smaller_one_is_refused():
    Placement.from_box((5, 5, 37, 37)).check((60, 40))
    placement_of(similarity(0.16, 0.5, 20.0, 5.0)).check((60, 40))
    for placement, size in (
        (Placement.from_box((5, 5, 36, 37)), "31 × 32"),
        (Placement.from_box((5, 5, 37, 36)), "32 × 31"),
        (placement_of(similarity(0.157, 0.5, 20.0, 5.0)), "31 × 31"),
    ):
        message = f"the face is {size} pixels, which is too small .* at least 32 × 32 pixels"
        with pytest.raises(InputError, match=message):
            placement.check((60, 40))


def test_checking_a_face_does_not_crop_it(monkeypatch):
    def forbid(*arguments, **options):
        raise AssertionError("the face was cropped")

    monkeypatch.setattr(Placement, "crop", forbid)
    monkeypatch.setattr("dfi_jax.photo.placement.sample", forbid)
    monkeypatch.setattr("dfi_jax.photo.placement.resize", forbid)
    Placement.whole((6000, 4000)).check((6000, 4000))
    placement_of(similarity(10.0, 0.2, 300.0, 200.0)).check((6000, 4000))


def test_json_holds_the_box_or_the_matrix():
    box = Placement.from_box((40, 20, 210, 190))
    assert json.loads(json.dumps(box.to_json())) == [40, 20, 210, 190]
    turned = placement_of(similarity(0.8, 0.4, 90.0, 50.0))
    rows = json.loads(json.dumps(turned.to_json()))
    assert Placement(tuple(map(tuple, rows))) == turned


def test_placements_are_equal_and_hashed_by_value():
    first, second = (Placement.from_box((1, 2, 33, 44)) for _ in range(2))
    assert len({first, second, Placement(first.matrix)}) == 2
