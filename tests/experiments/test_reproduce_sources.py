"""The networks of the published systems, as their stand-ins compute them."""

import jax.numpy as jnp
import numpy as np
from reproduce_sources import in_grey_levels

import dfi_jax


def test_a_network_in_grey_levels_has_the_same_features_58_times_as_large(random_vgg):
    grey = in_grey_levels(random_vgg)
    image = np.random.default_rng(0).random((1, 24, 24, 3)).astype(np.float32)
    layers = ("conv1_1", "conv2_1")
    for name, expected in dfi_jax.features(random_vgg, image, layers=layers).items():
        found = dfi_jax.features(grey, image, layers=layers)[name]
        scale = 255 * np.mean([0.229, 0.224, 0.225])
        np.testing.assert_allclose(found, scale * expected, atol=1e-5 * float(abs(found).max()))
    prepared = grey.preprocess(jnp.array([[[[1.0, 0.5, 0.0]]]]))[0, 0, 0]
    np.testing.assert_allclose(
        prepared, [-255 * 0.406, 255 * (0.5 - 0.456), 255 * (1 - 0.485)], rtol=1e-5
    )
