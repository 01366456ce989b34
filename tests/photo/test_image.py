import numpy as np

from dfi_jax.photo.image import resize, to_bytes


def test_resizing_a_ramp_keeps_it_a_ramp():
    row = (np.arange(40, dtype=np.float32) + 0.5) / 40
    larger = resize(np.broadcast_to(row[None, :, None], (40, 40, 3)), (40, 80))[0, :, 0]
    inner = slice(2, -2)  # Beyond the outermost centres there is nothing to interpolate.
    np.testing.assert_allclose(larger[inner], ((np.arange(80) + 0.5) / 80)[inner], atol=1e-6)


def test_resizing_takes_height_before_width():
    assert resize(np.zeros((4, 6, 2), np.float32), (8, 3)).shape == (8, 3, 2)


def test_bytes_are_clipped_and_rounded():
    grey = np.array([-0.2, 0, 0.499 / 255, 0.501 / 255, 254.6 / 255, 1, 3])
    np.testing.assert_array_equal(to_bytes(grey), np.uint8([0, 0, 0, 1, 255, 255, 255]))
