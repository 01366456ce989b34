import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfi_jax.errors import InputError
from dfi_jax.features import mean_features, mean_squares, normalize, square_norms
from dfi_jax.vgg import features
from dfi_jax.weights import load_vgg

LAYERS = ("conv1_1", "conv2_1")


def feature_dict(seed=0, n=3):
    rng = np.random.default_rng(seed)
    return {"conv1_1": jnp.asarray(rng.normal(size=(n, 4, 5, 6)), jnp.float32),
            "conv2_1": jnp.asarray(rng.normal(size=(n, 2, 2, 7)), jnp.float32)}  # fmt: skip


def vectors(phi):
    """Each layer of each image as one long float64 vector, and both layers in one."""
    layers = {name: np.asarray(layer, np.float64).reshape(len(layer), -1) for name, layer in phi.items()}
    return layers, np.concatenate(list(layers.values()), axis=1)


def test_norms_are_of_a_layer_or_of_all_layers():
    phi = feature_dict()
    layers, whole = vectors(phi)
    for name in phi:
        np.testing.assert_allclose(square_norms(phi, scope="layer")[name], (layers[name] ** 2).sum(1), rtol=1e-6)
        np.testing.assert_allclose(square_norms(phi, scope="concat")[name], (whole**2).sum(1), rtol=1e-6)
        np.testing.assert_allclose(mean_squares(phi, scope="layer")[name], (layers[name] ** 2).mean(1), rtol=1e-6)
        np.testing.assert_allclose(mean_squares(phi, scope="concat")[name], (whole**2).mean(1), rtol=1e-6)


@pytest.mark.parametrize("scope", ["layer", "concat"])
def test_normalised_features_have_norm_one(scope):
    layers, whole = vectors(normalize(feature_dict(), norm="l2", scope=scope))
    for v in layers.values() if scope == "layer" else [whole]:
        np.testing.assert_allclose(np.linalg.norm(v, axis=1), 1, rtol=1e-6)


def test_features_that_are_all_zero_stay_zero():
    zero = {"conv1_1": jnp.zeros((1, 2, 2, 3))}
    assert not normalize(zero, norm="l2", scope="layer")["conv1_1"].any()


@settings(max_examples=6, deadline=None)
@given(sizes=st.lists(st.integers(0, 5), min_size=1, max_size=5).filter(any), norm=st.sampled_from(["none", "l2"]))
def test_a_streamed_mean_is_the_mean_however_it_is_cut(sizes, norm):
    vgg = load_vgg("random-vgg16")
    images = np.random.default_rng(0).random((sum(sizes), 8, 8, 3), np.float32)
    edges = np.cumsum([0, *sizes])
    batches = (images[a:b] for a, b in itertools.pairwise(edges))
    mean = mean_features(vgg, batches, layers=LAYERS, norm=norm)
    phi = normalize(features(vgg, images, layers=LAYERS), norm=norm, scope="layer")
    for name in LAYERS:
        expected = np.asarray(phi[name], np.float64).mean(axis=0)
        np.testing.assert_allclose(mean[name], expected, rtol=1e-5, atol=1e-6)


def test_a_mean_of_nothing_is_refused():
    with pytest.raises(InputError, match="no image"):
        mean_features(load_vgg("random-vgg16"), [], layers=LAYERS)
