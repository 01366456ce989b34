import numpy as np
import pytest

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


def test_a_mask_keeps_the_edit_inside(rng):
    z, x = rng.random((2, 4, 4, 3)).astype(np.float32)
    mask = np.zeros_like(x)
    mask[:2] = 1
    result = apply_mask(z, x, mask)
    np.testing.assert_allclose(result[:2], z[:2], atol=1e-6)
    np.testing.assert_array_equal(result[2:], x[2:])
