import jax.numpy as jnp
import numpy as np
import pytest

from dfi_jax.problem import noise_like


def test_noise_is_the_same_for_all_within_ten_grey_levels_of_the_mean():
    images, mean = jnp.zeros((3, 16, 16, 3)), (0.485, 0.456, 0.406)
    noise = np.asarray(noise_like(images, mean, seed=0))
    np.testing.assert_array_equal(noise[0], noise[2])
    assert not np.array_equal(noise, noise_like(images, mean, seed=1))
    off = (noise[0] - np.array(mean)) * 255
    assert np.abs(off).max() <= 10.001
    assert off.std() == pytest.approx(10 / np.sqrt(3), rel=0.05)  # a uniform distribution's
