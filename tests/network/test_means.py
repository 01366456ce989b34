import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfi_jax.errors import InputError
from dfi_jax.network.means import feature_moments
from dfi_jax.network.vgg import features
from dfi_jax.network.weights import load_vgg
from dfi_jax.recipe.features import L2

LAYERS = ("conv1_1", "conv2_1")


def normalized(phi, normalization):
    """Divides the features of each image by their float64 norm, per layer or over all layers."""
    if normalization is None:
        return phi
    squares = {name: (layer**2).sum(axis=(1, 2, 3)) for name, layer in phi.items()}
    if normalization.scope == "concat":
        squares = dict.fromkeys(phi, sum(squares.values()))
    return {
        name: layer / np.sqrt(squares[name])[:, None, None, None] for name, layer in phi.items()
    }


@settings(max_examples=9, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 5), min_size=1, max_size=5).filter(any),
    normalization=st.sampled_from([None, L2(scope="layer"), L2(scope="concat")]),
)
def test_streamed_moments_do_not_depend_on_the_batches(sizes, normalization):
    vgg = load_vgg("random-vgg16")
    images = np.random.default_rng(0).random((sum(sizes), 8, 8, 3), np.float32)
    edges = np.cumsum([0, *sizes])
    batches = (images[a:b] for a, b in itertools.pairwise(edges))
    found = feature_moments(vgg, batches, layers=LAYERS, normalization=normalization)
    assert found.images == sum(sizes)
    phi = {
        name: np.asarray(layer, np.float64)
        for name, layer in features(vgg, images, layers=LAYERS).items()
    }
    expected = normalized(phi, normalization)
    for name in LAYERS:
        mean, variance = found.mean[name], found.variance[name]
        np.testing.assert_allclose(mean, expected[name].mean(axis=0), rtol=1e-5, atol=1e-6)
        if found.images == 1:
            assert not variance.any()
        else:
            truth = expected[name].var(axis=0, ddof=1)
            np.testing.assert_allclose(variance, truth, rtol=1e-3, atol=1e-5 * truth.max())


def test_moments_are_those_of_features_whose_sizes_are_rounded_up():
    vgg = load_vgg("random-vgg16")
    images = np.random.default_rng(0).random((3, 9, 9, 3), np.float32)
    found = feature_moments(vgg, [images], layers=("conv2_1",), pool_rounding="up")
    phi = features(vgg, images, layers=("conv2_1",), pool_rounding="up")["conv2_1"]
    assert phi.shape == (3, 5, 5, 128)
    expected = np.asarray(phi, np.float64).mean(axis=0)
    np.testing.assert_allclose(found.mean["conv2_1"], expected, rtol=1e-5, atol=1e-6)


def test_a_mean_of_no_images_is_rejected():
    with pytest.raises(InputError, match="no images"):
        feature_moments(load_vgg("random-vgg16"), [], layers=LAYERS)


@settings(max_examples=9, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 5), min_size=1, max_size=5).filter(any),
    seed=st.integers(0, 1000),
)
def test_weighted_moments_are_those_of_float64(sizes, seed):
    vgg, n, rng = load_vgg("random-vgg16"), sum(sizes), np.random.default_rng(seed)
    images = rng.random((n, 8, 8, 3), np.float32)
    weights = rng.random(n) * (rng.random(n) < 0.7)
    weights[rng.integers(n)] = 1
    batches = (images[a:b] for a, b in itertools.pairwise(np.cumsum([0, *sizes])))
    found = feature_moments(vgg, batches, layers=LAYERS, weights=weights)
    total, squares = weights.sum(), (weights**2).sum()
    assert found.images == n
    np.testing.assert_allclose(found.effective, total**2 / squares)
    for name, layer in features(vgg, images, layers=LAYERS).items():
        phi = np.asarray(layer, np.float64)
        mean = np.average(phi, axis=0, weights=weights)
        np.testing.assert_allclose(found.mean[name], mean, rtol=1e-5, atol=1e-6)
        if np.count_nonzero(weights) > 1:
            about = np.tensordot(weights, (phi - mean) ** 2, axes=1)
            variance = about / (total - squares / total)
            scale = variance.max()
            np.testing.assert_allclose(found.variance[name], variance, rtol=2e-3, atol=1e-5 * scale)


@pytest.mark.parametrize("weights", [[0.0, 0.0], [1.0, -0.5], [np.inf, 1.0], []])
def test_weights_that_are_none_are_rejected(weights):
    images, vgg = np.zeros((2, 8, 8, 3), np.float32), load_vgg("random-vgg16")
    with pytest.raises(InputError, match="all 0, or one is negative or infinite"):
        feature_moments(vgg, [images], layers=LAYERS, weights=np.array(weights))
