import numpy as np
import pytest

from dfi_jax.errors import InputError
from dfi_jax.photo.placement import Placement


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def placement_of(scale, angle, x, y):
    c, s = float(scale * np.cos(angle)), float(scale * np.sin(angle))
    return Placement(((c, -s, x), (s, c, y)))


def crop_coordinates(placement, height, width):
    """Where each pixel of the photo lies in the crop."""
    y, x = np.mgrid[:height, :width]
    inverse = np.linalg.inv(np.vstack([placement.matrix, [0, 0, 1]]))
    u, v, _ = np.einsum("ij,jhw->ihw", inverse, np.stack([x, y, np.ones_like(x)]))
    return u, v


def half(size):
    """A difference of half the range of values in every pixel."""
    return np.full((size, size, 3), 0.5, np.float32)


def test_a_difference_over_the_whole_photo_is_added_unfaded(rng):
    photo = rng.random((8, 8, 3)).astype(np.float32)
    result = Placement.whole((8, 8)).paste(photo, half(4) / 2)
    np.testing.assert_allclose(result, photo + 0.25, atol=1e-6)


def test_a_difference_in_a_box_leaves_the_rest_untouched_and_fades_at_its_border(rng):
    photo = rng.random((100, 90, 3)).astype(np.float32)
    difference = Placement.from_box((20, 0, 70, 50)).paste(photo, half(20)) - photo
    outside = np.ones((100, 90), bool)
    outside[:50, 20:70] = False
    assert not difference[outside].any()
    np.testing.assert_allclose(difference[10:40, 30:60], 0.5, atol=1e-6)
    np.testing.assert_allclose(difference[0, 30:60], 0.5, atol=1e-6)  # The photo ends here.
    assert np.all(difference[10:40, 20] < 0.1)
    assert np.all(np.diff(difference[25, 20:30, 0]) >= -1e-6)


@pytest.mark.parametrize("size", [200, 128])
@pytest.mark.parametrize("scale", [0.3, 1.0, 2.7])
def test_a_difference_lands_where_the_placement_says(rng, scale, size):
    placement = placement_of(scale, -0.35, 30.0, 210.0)
    u, v, width = 120.0, 70.0, 8.0
    row, column = (np.mgrid[:size, :size] + 0.5) * 200 / size - 0.5
    hill = 0.5 * np.exp(-((column - u) ** 2 + (row - v) ** 2) / (2 * width**2))
    blob = np.repeat(hill[..., None], 3, axis=2).astype(np.float32)
    photo = rng.random((900, 800, 3)).astype(np.float32)
    added = (placement.paste(photo, blob) - photo).mean(axis=2)
    rows, columns = np.mgrid[:900, :800]
    centre = np.array([np.sum(added * columns), np.sum(added * rows)]) / added.sum()
    np.testing.assert_allclose(centre, placement.map_points(np.array([u, v])), atol=0.1)
    volume = 0.5 * 2 * np.pi * (width * scale) ** 2  # The blob is a Gaussian hill.
    np.testing.assert_allclose(added.sum(), volume, rtol=0.01)


PARTLY_OUTSIDE = [
    placement_of(0.4, 0.5, 150.0, 20.0),
    placement_of(1.3, -0.2, 20.0, 60.0),
    placement_of(2.0, 0.3, -100.0, 30.0),
]


@pytest.mark.parametrize(
    ("feather", "unfaded"),
    [(0.08, 17), (0.2, 41)],  # A feather of 0.08 is 16 pixels of the crop.
)
@pytest.mark.parametrize("placement", PARTLY_OUTSIDE)
def test_no_pixel_outside_the_crop_changes_and_its_border_hardly_does(
    rng, placement, feather, unfaded
):
    photo = rng.random((400, 380, 3)).astype(np.float32)
    before = photo.copy()
    result = placement.paste(photo, half(200), feather=feather)
    np.testing.assert_array_equal(photo, before)
    u, v = crop_coordinates(placement, 400, 380)
    # The four sides of the crop fade by themselves.
    depths = np.array([u + 0.5, 199.5 - u, v + 0.5, 199.5 - v])
    depth = depths.min(axis=0)
    assert result[depth < 0].tobytes() == photo[depth < 0].tobytes()
    difference = result - photo
    np.testing.assert_allclose(difference[depth > unfaded], 0.5, atol=1e-5)
    ends = [side for side in depths if side.min() < 0]  # The others have no photo beyond them.
    assert len(ends) >= 2
    for side in ends:
        assert np.all(difference[(depth > 0) & (side < 1)] < 0.04)


@pytest.mark.parametrize("placement", PARTLY_OUTSIDE)
def test_without_a_feather_the_difference_ends_at_the_crop_s_sides(rng, placement):
    photo = rng.random((400, 380, 3)).astype(np.float32)
    difference = placement.paste(photo, half(200), feather=0.0) - photo
    u, v = crop_coordinates(placement, 400, 380)
    depth = np.min([u + 0.5, 199.5 - u, v + 0.5, 199.5 - v], axis=0)
    assert not difference[depth < 0].any()
    np.testing.assert_allclose(difference[depth > 1], 0.5, atol=1e-5)


@pytest.mark.parametrize("feather", [-0.1, float("nan")])
def test_a_negative_feather_is_refused(feather):
    with pytest.raises(InputError, match=r"feather is .*; give 0 or more"):
        Placement.whole((50, 50)).paste(
            np.zeros((50, 50, 3), np.float32), half(10), feather=feather
        )


def test_an_edit_is_not_faded_towards_where_the_photo_ends(rng):
    photo = rng.random((150, 300, 3)).astype(np.float32)
    difference = placement_of(1.0, 0.0, -8.0, -30.0).paste(photo, half(200)) - photo
    # The left side of the crop lies outside the photo, as do its top and bottom.
    np.testing.assert_allclose(difference[:, :170], 0.5, atol=1e-6)
    assert np.all(np.diff(difference[70, 175:192, 0]) < 0)
    assert not difference[:, 192:].any()


def test_a_difference_finer_than_the_photo_s_pixels_is_averaged():
    row, column = np.mgrid[:200, :200]
    fine = 0.4 + 0.4 * np.where((row + column) % 2, 1, -1)[..., None] * np.ones(3, np.float32)
    placement = placement_of(0.3, 0.2, 30.0, 20.0)
    difference = placement.paste(np.zeros((100, 100, 3), np.float32), fine.astype(np.float32))
    u, v = crop_coordinates(placement, 100, 100)
    inner = np.min([u, 199 - u, v, 199 - v], axis=0) > 20
    np.testing.assert_allclose(difference[inner], 0.4, atol=0.01)


def test_a_difference_is_averaged_along_the_side_of_the_crop_that_the_photo_shows_smaller():
    stripes = 0.8 * (np.arange(200) % 2)[:, None, None] * np.ones((1, 200, 3))
    # Columns of the crop are rows of the photo, and four of its rows are a column.
    placement = Placement(((0.0, 0.25, 20.0), (1.0, 0.0, 10.0)))
    photo = np.zeros((220, 100, 3), np.float32)
    difference = placement.paste(photo, stripes.astype(np.float32), feather=0.0)
    np.testing.assert_allclose(difference[20:200, 25:65], 0.4, atol=0.01)


def test_an_edit_far_from_the_photo_is_refused():
    photo = np.zeros((50, 50, 3), np.float32)
    with pytest.raises(InputError, match="outside the photo"):
        placement_of(1.0, 0.0, 60.0, 0.0).paste(photo, half(10))
