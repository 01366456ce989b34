import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfi_jax.data import load_dataset
from dfi_jax.errors import InputError
from dfi_jax.network.vgg import features, layer_names, prepare
from dfi_jax.network.weights import load_vgg
from dfi_jax.network.weights.catalog import CAFFE
from dfi_jax.network.weights.normalization import is_normalized, normalize
from dfi_jax.network.weights.parameters import random_params

LAYERS = layer_names("vgg16")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((5, 32, 48, 3)).astype(np.float32)


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_every_mean_activation_becomes_1_and_nothing_else_changes(images, pooling):
    vgg = load_vgg("random-vgg16", pooling=pooling)
    normalized, dead = normalize(vgg, [images[:2], images[2:4], images[4:]])
    before, after = (features(net, jnp.asarray(images), layers=LAYERS) for net in (vgg, normalized))
    assert normalized.normalized
    for name in LAYERS:
        raw, new = np.asarray(before[name], float), np.asarray(after[name], float)
        mean = raw.mean(axis=(0, 1, 2))
        alive = mean > 0
        assert dead[name] == np.sum(~alive)
        # Activations change by one positive factor per channel, and zeros stay zeros, up to the
        # rounding of float32 beside the largest activation. A filter that is hardly ever active
        # has a mean that is itself near that rounding.
        back, rounding = new * np.where(alive, mean, 1), 1e-5 * raw.max()
        np.testing.assert_allclose(
            back.mean(axis=(0, 1, 2))[alive], mean[alive], rtol=1e-3, atol=0.1 * rounding
        )
        np.testing.assert_allclose(back, raw, atol=rounding)
        np.testing.assert_array_equal(back[raw > rounding] > 0, True)
        np.testing.assert_array_equal(raw[back > rounding] > 0, True)


def test_a_prepared_network_is_normalised_as_if_it_were_not(images):
    vgg = load_vgg("random-vgg16")
    vgg = vgg.replace(params={name: vgg.params[name] for name in LAYERS[:2]})
    found, expected = (
        features(normalize(net, [images[:1]]).vgg, jnp.asarray(images[:1]), layers=("conv1_2",))
        for net in (prepare(vgg, layers=LAYERS[:2], winograd=False), vgg)
    )
    np.testing.assert_allclose(found["conv1_2"], expected["conv1_2"], rtol=1e-5, atol=1e-5)


def test_a_process_that_uses_float64_normalises_in_float32(images):
    vgg = load_vgg("random-vgg16")
    vgg = vgg.replace(params={"conv1_1": vgg.params["conv1_1"]})
    with jax.enable_x64(True):
        normalized, _ = normalize(vgg, [images[:1].astype(np.float64), images[1:2]])
    assert {leaf.dtype for leaf in jax.tree.leaves(normalized)} == {jnp.dtype("float32")}


def test_dead_filters_are_left_alone_and_counted(images):
    vgg = load_vgg("random-vgg16")
    bias = jnp.asarray(vgg.params["conv1_2"]["bias"]).at[:7].set(-1e6)
    params = {**vgg.params, "conv1_2": {**vgg.params["conv1_2"], "bias": bias}}
    normalized, dead = normalize(vgg.replace(params=params), [images])
    assert dead["conv1_2"] == 7
    np.testing.assert_array_equal(normalized.params["conv1_2"]["bias"][:7], -1e6)
    assert all(
        np.isfinite(part).all() for layer in normalized.params.values() for part in layer.values()
    )


class Noise:
    """Six images that activate every filter."""

    def __len__(self):
        return 6

    def face(self, index, size):
        coarse = np.random.default_rng(index).random((size // 8, size // 8, 3), np.float32)
        return coarse.repeat(8, axis=0).repeat(8, axis=1)


def test_a_network_can_be_normalised_on_a_dataset():
    dataset = Noise()
    vgg = load_vgg("random-vgg16", normalized_on=dataset)
    faces = np.stack([dataset.face(i, 200) for i in range(len(dataset))])
    layer = np.mean(
        [
            features(vgg, jnp.asarray(face)[None], layers=("conv2_1",))["conv2_1"][0]
            for face in faces
        ],
        axis=0,
    )
    np.testing.assert_allclose(layer.mean(axis=(0, 1)), 1, rtol=1e-3)
    assert vgg.sha256 != load_vgg("random-vgg16").sha256
    with pytest.raises(InputError, match="is normalised already"):
        normalize(vgg, [faces[:1]])


def test_average_pooling_is_the_mean_of_windows():
    vgg = load_vgg("random-vgg16", pooling="average")
    x = jnp.asarray(np.random.default_rng(0).random((1, 7, 9, 3)), jnp.float32)
    before = np.asarray(features(vgg, x, layers=("conv1_2",))["conv1_2"])
    pooled = np.mean([before[:, i:6:2, j:8:2] for i in (0, 1) for j in (0, 1)], axis=0)
    kernel, bias = vgg.params["conv2_1"]["kernel"], vgg.params["conv2_1"]["bias"]
    corner = np.einsum("hwc,hwco->o", pooled[0, :3, :3], kernel) + np.asarray(bias)
    found = features(vgg, x, layers=("conv2_1",))["conv2_1"]
    np.testing.assert_allclose(found[0, 1, 1], np.maximum(corner, 0), rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def faces():
    """Five drawn faces."""
    dataset = load_dataset("synthetic:5")
    return np.stack([dataset.face(row, 64) for row in range(5)])


def test_the_published_network_and_random_ones_are_recognised_as_raw():
    assert not is_normalized(load_vgg("vgg16").params)
    for architecture in ("vgg16", "vgg19"):
        for seed in range(3):
            assert not is_normalized(random_params(architecture, seed=seed))


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_a_network_normalised_on_faces_is_recognised(faces, pooling):
    vgg = load_vgg("vgg16", pooling=pooling)
    assert is_normalized(normalize(vgg, [faces]).vgg.params)


def test_preprocessing_does_not_change_whether_a_network_is_recognised(faces):
    # A network's preprocessing can be folded into conv1_1, as for Caffe's scale of 0 to 255.
    for vgg, expected in (
        (load_vgg("vgg16"), False),
        (normalize(load_vgg("vgg16"), [faces]).vgg, True),
    ):
        params = {layer: dict(parts) for layer, parts in vgg.params.items()}
        params["conv1_1"]["kernel"] = np.asarray(params["conv1_1"]["kernel"])[:, :, ::-1] / (
            CAFFE.scale * np.array(vgg.preprocess.std[::-1])[:, None]
        )
        assert is_normalized(params) == expected
