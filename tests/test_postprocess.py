import numpy as np
import pytest

from dfi_jax.errors import InputError
from dfi_jax.postprocess import apply_mask, cancel_residual, match_color, transfer_difference


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_matched_colour_has_the_mean_and_deviation_of_the_original(rng):
    z, x = rng.random((2, 20, 20, 3)).astype(np.float32)
    matched = match_color(0.3 * z + 0.1, x)
    np.testing.assert_allclose(matched.mean(axis=(0, 1)), x.mean(axis=(0, 1)), atol=1e-5)
    np.testing.assert_allclose(matched.std(axis=(0, 1)), x.std(axis=(0, 1)), rtol=1e-4)


def test_a_flat_reconstruction_takes_the_original_s_mean(rng):
    x = rng.random((8, 8, 3)).astype(np.float32)
    matched = match_color(np.full_like(x, 0.7), x)
    np.testing.assert_allclose(matched, np.broadcast_to(x.mean(axis=(0, 1)), x.shape), atol=1e-3)


def test_the_residual_nearest_to_the_edit_is_subtracted(rng):
    x, edit, error = rng.random((3, 6, 6, 3)).astype(np.float32)
    far = x + 5
    np.testing.assert_allclose(cancel_residual(x + 0.1 * edit + error, x, [far, x + error]), x + 0.1 * edit, atol=1e-5)


def test_a_difference_over_the_whole_photograph_is_added_unfaded(rng):
    x = rng.random((4, 4, 3)).astype(np.float32)
    photograph = rng.random((8, 8, 3)).astype(np.float32)
    result = transfer_difference(x + 0.25, x, photograph, (0, 0, 8, 8))
    np.testing.assert_allclose(result, photograph + 0.25, atol=1e-6)


def test_a_difference_in_a_box_leaves_the_rest_untouched_and_fades_at_its_border(rng):
    photograph = rng.random((100, 90, 3)).astype(np.float32)
    x = np.zeros((20, 20, 3), np.float32)
    result = transfer_difference(x + 0.5, x, photograph, (20, 0, 70, 50))
    difference = result - photograph
    outside = np.ones((100, 90), bool)
    outside[:50, 20:70] = False
    assert not difference[outside].any()
    np.testing.assert_allclose(difference[10:40, 30:60], 0.5, atol=1e-6)
    np.testing.assert_allclose(difference[0, 30:60], 0.5, atol=1e-6)  # the photograph ends here
    assert np.all(difference[10:40, 20] < 0.1)
    assert np.all(np.diff(difference[25, 20:30, 0]) >= -1e-6)


def place_of(scale, angle, x, y):
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, x], [s, c, y]])


def crop_coordinates(place, height, width):
    """Where each pixel of the photograph lies in the crop."""
    y, x = np.mgrid[:height, :width]
    inverse = np.linalg.inv(np.vstack([place, [0, 0, 1]]))
    u, v, _ = np.einsum("ij,jhw->ihw", inverse, np.stack([x, y, np.ones_like(x)]))
    return u, v


@pytest.mark.parametrize("size", [200, 128])
@pytest.mark.parametrize("scale", [0.3, 1.0, 2.7])
def test_a_difference_lands_where_the_place_says(rng, scale, size):
    place = place_of(scale, -0.35, 30.0, 210.0)
    u, v, width = 120.0, 70.0, 8.0
    row, column = (np.mgrid[:size, :size] + 0.5) * 200 / size - 0.5
    blob = 0.5 * np.exp(-((column - u) ** 2 + (row - v) ** 2) / (2 * width**2))[..., None].astype(np.float32)
    x = rng.random((size, size, 3)).astype(np.float32)
    photograph = rng.random((900, 800, 3)).astype(np.float32)
    added = (transfer_difference(x + blob, x, photograph, place) - photograph).mean(axis=2)
    rows, columns = np.mgrid[:900, :800]
    centre = np.array([np.sum(added * columns), np.sum(added * rows)]) / added.sum()
    np.testing.assert_allclose(centre, place @ (u, v, 1), atol=0.1)
    volume = 0.5 * 2 * np.pi * (width * scale) ** 2  # of a Gaussian hill
    np.testing.assert_allclose(added.sum(), volume, rtol=0.01)


@pytest.mark.parametrize("place", [
    place_of(0.4, 0.5, 150.0, 20.0), place_of(1.3, -0.2, 20.0, 60.0), place_of(2.0, 0.3, -100.0, 30.0),
])  # fmt: skip
def test_no_pixel_outside_of_the_crop_changes_and_its_border_hardly_does(rng, place):
    x = rng.random((200, 200, 3)).astype(np.float32)
    photograph = rng.random((400, 380, 3)).astype(np.float32)
    before = photograph.copy()
    result = transfer_difference(x + 0.5, x, photograph, place)
    np.testing.assert_array_equal(photograph, before)
    u, v = crop_coordinates(place, 400, 380)
    depths = np.array([u + 0.5, 199.5 - u, v + 0.5, 199.5 - v])  # behind each side of the crop
    depth = depths.min(axis=0)
    assert result[depth < 0].tobytes() == photograph[depth < 0].tobytes()
    difference = result - photograph
    np.testing.assert_allclose(difference[depth > 17], 0.5, atol=1e-5)  # the feather is 16 pixels of the crop
    ends = [side for side in depths if side.min() < 0]  # others have no photograph beyond them
    assert len(ends) >= 2
    for side in ends:
        assert np.all(difference[(depth > 0) & (side < 1)] < 0.04)


def test_an_edit_is_not_faded_towards_where_the_photograph_ends(rng):
    x = np.zeros((200, 200, 3), np.float32)
    photograph = rng.random((150, 300, 3)).astype(np.float32)
    difference = transfer_difference(x + 0.5, x, photograph, place_of(1.0, 0.0, -8.0, -30.0)) - photograph
    np.testing.assert_allclose(difference[:, :170], 0.5, atol=1e-6)  # the left side and both ends lie outside
    assert np.all(np.diff(difference[70, 175:192, 0]) < 0)
    assert not difference[:, 192:].any()


def test_a_difference_finer_than_the_photograph_s_pixels_is_averaged(rng):
    x = np.zeros((200, 200, 3), np.float32)
    row, column = np.mgrid[:200, :200]
    z = 0.4 + 0.4 * np.where((row + column) % 2, 1, -1)[..., None] * np.ones(3, np.float32)
    photograph = np.zeros((100, 100, 3), np.float32)
    place = place_of(0.3, 0.2, 30.0, 20.0)
    difference = transfer_difference(z.astype(np.float32), x, photograph, place)
    u, v = crop_coordinates(place, 100, 100)
    inner = np.min([u, 199 - u, v, 199 - v], axis=0) > 20
    np.testing.assert_allclose(difference[inner], 0.4, atol=0.01)


def test_an_edit_far_from_the_photograph_is_refused():
    x = np.zeros((10, 10, 3), np.float32)
    with pytest.raises(InputError, match="outside of the photograph"):
        transfer_difference(x, x, np.zeros((50, 50, 3), np.float32), place_of(1.0, 0.0, 60.0, 0.0))


def test_a_mask_keeps_the_edit_inside(rng):
    z, x = rng.random((2, 4, 4, 3)).astype(np.float32)
    mask = np.zeros_like(x)
    mask[:2] = 1
    result = apply_mask(z, x, mask)
    np.testing.assert_allclose(result[:2], z[:2], atol=1e-6)
    np.testing.assert_array_equal(result[2:], x[2:])
