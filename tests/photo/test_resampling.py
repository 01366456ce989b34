import numpy as np

from dfi_jax.photo.resampling import sample, warp

IDENTITY = np.array([[1.0, 0, 0], [0, 1, 0]])


def test_the_identity_samples_the_image_itself():
    image = np.random.default_rng(0).random((20, 20, 3)).astype(np.float32)
    result = sample(image, IDENTITY, size=20, region=(0, 0, 20, 20))
    np.testing.assert_allclose(result, image, atol=1e-6)


def test_a_sampled_ramp_stays_a_ramp():
    ramp = np.arange(40, dtype=np.float32)[None, :, None] / 40 * np.ones((40, 1, 3), np.float32)
    matrix = np.array([[0.3, 0, 7.0], [0, 0.3, 9.0]])
    result = sample(ramp, matrix, size=20, region=(7, 9, 13, 15))
    expected = (0.3 * (np.arange(20) + 0.5) + 7 - 0.5) / 40
    np.testing.assert_allclose(result[5, :, 1], expected, atol=1e-6)


def test_an_image_is_reduced_along_the_axis_that_the_grid_is_coarser_than():
    y, x = np.mgrid[:160, :40]
    image = np.stack([y % 2, x / 40, y / 160], axis=-1).astype(np.float32)
    turned = np.array([[0, 1.0, 10], [4, 0, 40]])  # Columns of the result are rows of the image.
    result = sample(image, turned, size=20, region=(10, 40, 30, 120))
    np.testing.assert_allclose(result[..., 0], 0.5, atol=0.01)  # Every other row is white.
    centre = np.arange(20) + 0.5
    for channel, expected in ((1, (centre[:, None] + 9.5) / 40), (2, (4 * centre + 39.5) / 160)):
        np.testing.assert_allclose(result[..., channel], expected + np.zeros((20, 20)), atol=1e-3)


def test_what_is_sampled_beside_an_edge_stays_between_black_and_white():
    # Cubic convolution overshoots by a fourteenth beside an edge.
    edge = np.repeat(np.arange(20) < 10, 20).reshape(20, 20, 1) * np.ones(3, np.float32)
    matrix = np.array([[0.37, 0, 6.0], [0, 0.37, 6.0]])
    result = sample(edge, matrix, size=20, region=(6, 6, 14, 14))
    assert (result.min(), result.max()) == (0, 1)


def test_warping_reads_the_image_where_the_matrix_says():
    image = np.random.default_rng(0).random((6, 8, 3)).astype(np.float32)
    shifted = warp(image, np.array([[1.0, 0, 2], [0, 1, 1]]), (5, 6))
    np.testing.assert_array_equal(shifted, image[1:, 2:])
