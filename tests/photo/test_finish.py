import numpy as np
import pytest

from dfi_jax.photo.finish import (
    apply_mask,
    cancel_residual,
    match_color,
    match_image,
    stay_grey,
    stretch,
    truncate,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_matched_colour_has_the_mean_and_deviation_of_the_face(rng):
    z, x = rng.random((2, 20, 20, 3)).astype(np.float32)
    matched = match_color(0.3 * z + 0.1, x)
    np.testing.assert_allclose(matched.mean(axis=(0, 1)), x.mean(axis=(0, 1)), atol=1e-5)
    np.testing.assert_allclose(matched.std(axis=(0, 1)), x.std(axis=(0, 1)), rtol=1e-4)


def test_colour_of_a_large_face_is_matched_as_exactly(rng):
    # Most of the pixels are equal, as in a background, so that rounding errors have one sign.
    z, x = np.where(rng.random((2, 400, 400, 3)) < 0.7, 0.9, 0.1).astype(np.float32)
    matched = match_color(0.3 * z + 0.1, x)
    mean, expected = (image.mean(axis=(0, 1), dtype=np.float64) for image in (matched, x))
    np.testing.assert_allclose(mean, expected, atol=1e-6)
    assert matched.dtype == np.float32


def test_matching_colour_does_not_clip(rng):
    z, x = rng.normal(0.5, 1, (2, 20, 20, 3)).astype(np.float32)
    matched = match_color(z, x)
    assert matched.min() < 0
    assert matched.max() > 1
    np.testing.assert_allclose(matched.std(axis=(0, 1)), x.std(axis=(0, 1)), rtol=1e-4)


def test_a_flat_reconstruction_takes_the_face_s_mean(rng):
    x = rng.random((8, 8, 3)).astype(np.float32)
    matched = match_color(np.full_like(x, 0.7), x)
    np.testing.assert_allclose(matched, np.broadcast_to(x.mean(axis=(0, 1)), x.shape), atol=1e-3)


def test_colour_over_the_image_has_one_mean_and_one_deviation(rng):
    z, x = (rng.random((2, 9, 8, 3)) * (1.0, 0.5, 0.2)).astype(np.float32)
    matched = match_image(0.3 * z + 0.1, x)
    assert matched.mean() == pytest.approx(x.mean(), abs=1e-6)
    assert matched.std() == pytest.approx(x.std(), rel=1e-5)
    # The channels keep the ratio of their deviations.
    ratio = z.std(axis=(0, 1)) / z.std()
    np.testing.assert_allclose(matched.std(axis=(0, 1)) / matched.std(), ratio, rtol=1e-4)


def test_a_stretched_image_fills_its_range_and_keeps_its_order(rng):
    z = rng.normal(0.5, 2, (5, 6, 3))
    found = stretch(z)
    assert (found.min(), found.max()) == (0, 1)
    np.testing.assert_allclose(found * np.ptp(z) + z.min(), z, atol=1e-12)
    assert not stretch(np.full((2, 2, 3), 0.7)).any()


def test_a_truncated_difference_is_what_8_bits_hold(rng):
    levels = np.concatenate([rng.uniform(-300, 300, 57), [-128.5, 0.99, -0.01]])
    expected = (levels + 128).clip(0, 255).astype(np.uint8).astype(float) - 128
    found = truncate(levels.reshape(4, 5, 3) / 255).ravel() * 255
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_the_residual_nearest_to_the_edit_is_subtracted(rng):
    x, edit, error = rng.random((3, 6, 6, 3)).astype(np.float32)
    far = x + 5
    edited = cancel_residual(x + 0.1 * edit + error, x, [far, x + error])
    np.testing.assert_allclose(edited, x + 0.1 * edit, atol=1e-5)


def test_the_edit_of_a_grey_face_has_its_luma_and_no_colour(rng):
    x = np.repeat(rng.random((6, 6, 1)).astype(np.float32), 3, axis=2)
    x[..., 2] += 1.9 / 255  # JPEG rounds the channels of grey differently.
    edit = rng.normal(0, 0.2, (6, 6, 3)).astype(np.float32)
    added = stay_grey(x + edit, x) - x
    luma = 0.299 * edit[..., 0] + 0.587 * edit[..., 1] + 0.114 * edit[..., 2]
    np.testing.assert_allclose(added, np.repeat(luma[..., None], 3, axis=2), atol=1e-6)


def test_the_edit_of_a_face_with_one_coloured_pixel_keeps_its_colour(rng):
    x = np.full((6, 6, 3), 0.5, np.float32)
    x[2, 3, 0] += 2.1 / 255
    z = rng.random((6, 6, 3)).astype(np.float32)
    np.testing.assert_array_equal(stay_grey(z, x), z)


def test_a_mask_keeps_the_edit_inside(rng):
    z, x = rng.random((2, 4, 4, 3)).astype(np.float32)
    mask = np.zeros_like(x)
    mask[:2] = 1
    result = apply_mask(z, x, mask)
    np.testing.assert_allclose(result[:2], z[:2], atol=1e-6)
    np.testing.assert_array_equal(result[2:], x[2:])
