import math
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfi_jax.errors import InputError
from dfi_jax.network.conv import average_pool2x2, max_pool2x2
from dfi_jax.network.vgg import (
    VGG,
    Preprocess,
    check_images,
    feature_shapes,
    features,
    layer_names,
    prepare,
)
from dfi_jax.network.weights import load_vgg
from dfi_jax.recipe.features import DEFAULT_LAYERS

REFERENCES = Path(__file__).parents[1] / "references" / "vgg.npz"
STEP = 32
DEEP_19 = ("conv1_1", "conv2_2", "conv3_4", "conv4_4", "conv5_4")
CASES = [
    ("vgg16", (200, 200), DEFAULT_LAYERS),
    ("vgg16", (75, 101), ("conv1_2", "conv2_2", "conv5_3")),
    ("random-vgg19", (37, 53), DEEP_19),
    ("random-vgg16", (16, 16), ("conv5_1",)),
]


def wave(height, width):
    """A smooth image with all frequencies that is the same on every machine."""
    y, x = np.mgrid[:height, :width] / 10
    channels = [0.5 + 0.5 * np.sin(x * (c + 1) + y * y / (c + 2)) for c in range(3)]
    return np.stack(channels, axis=-1)[None].astype(np.float32)


def relative_error(a, b):
    return np.linalg.norm(np.asarray(a) - b) / np.linalg.norm(b)


# Sums of up to 4608 products of float32 differ by about 1e-6 in another order.
@pytest.mark.parametrize(("network", "size", "layers"), CASES)
def test_features_equal_stored_features_of_pytorch(network, size, layers):
    found = features(load_vgg(network), wave(*size), layers=layers)
    with np.load(REFERENCES) as stored:
        for layer in layers:
            reference = stored[f"{network} {size[0]}x{size[1]} {layer}"]
            assert relative_error(found[layer][..., ::STEP], reference) < 1e-5


@pytest.mark.parametrize(("network", "size", "layers"), CASES)
def test_features_equal_live_features_of_pytorch(network, size, layers):
    pytest.importorskip("torch")
    from network.torch_vgg import torch_features

    vgg = load_vgg(network)
    reference = torch_features(vgg.params, vgg.architecture, wave(*size), layers)
    found = features(vgg, wave(*size), layers=layers)
    for layer in layers:
        assert relative_error(found[layer], reference[layer]) < 1e-5


def test_conv5_1_of_a_200_pixel_image_is_12_wide():
    found = jax.eval_shape(lambda: features(load_vgg("random-vgg16"), jnp.zeros((1, 200, 200, 3))))
    assert found["conv5_1"].shape == (1, 12, 12, 512)


@settings(max_examples=15, deadline=None)
@given(
    size=st.tuples(st.integers(16, 70), st.integers(16, 70)),
    layers=st.lists(st.sampled_from(layer_names("vgg19")), min_size=1, max_size=4, unique=True),
    rounding=st.sampled_from(["down", "up"]),
)
def test_features_have_the_requested_order_and_the_predicted_shapes(size, layers, rounding):
    vgg = load_vgg("random-vgg19")
    settings = {"layers": tuple(layers), "pool_rounding": rounding}
    found = jax.eval_shape(lambda: features(vgg, jnp.zeros((2, *size, 3)), **settings))
    expected = feature_shapes("vgg19", layers, size, pool_rounding=rounding)
    assert {name: layer.shape[1:] for name, layer in found.items()} == expected


def test_nothing_deeper_than_the_deepest_layer_is_computed():
    vgg = load_vgg("random-vgg16")

    def flops(layers):
        compute = jax.jit(lambda vgg, images: features(vgg, images, layers=layers))
        lowered = compute.lower(vgg, jnp.zeros((1, 64, 64, 3)))
        return lowered.compile().cost_analysis()["flops"]

    conv1_1 = 2 * 9 * 3 * 64 * 64 * 64
    assert flops(("conv1_1",)) < 1.2 * conv1_1
    assert flops(("conv1_1", "conv2_1")) < flops(("conv1_1", "conv2_2"))


def test_features_of_a_batch_equal_those_of_each_image():
    vgg = load_vgg("random-vgg16")
    images = np.concatenate([wave(33, 47), 1 - wave(33, 47)])
    both = features(vgg, images, layers=("conv3_1",))["conv3_1"]
    for i in range(2):
        alone = features(vgg, images[i : i + 1], layers=("conv3_1",))["conv3_1"]
        assert relative_error(both[i], np.asarray(alone[0])) < 1e-6


def pool_by_definition(x, weights, reduce, rounding):
    """Pools an image (h, w) window by window, and the gradient of Σ weights·pooled, in float64."""
    half = math.floor if rounding == "down" else math.ceil
    pooled = np.zeros((half(x.shape[0] / 2), half(x.shape[1] / 2)))
    gradient = np.zeros(x.shape)
    for i, j in np.ndindex(pooled.shape):
        window = np.s_[2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        part = x[window]
        pooled[i, j] = reduce(part)
        taken = part == part.max() if reduce is np.max else np.full(part.shape, 1 / part.size)
        gradient[window] = weights[i, j] * taken
    return pooled, gradient


@pytest.mark.parametrize("rounding", ["down", "up"])
@pytest.mark.parametrize(("pool", "reduce"), [(max_pool2x2, np.max), (average_pool2x2, np.mean)])
@pytest.mark.parametrize("size", [(3, 5), (4, 7), (6, 4), (1, 1)])
def test_pooling_and_its_gradient_equal_their_definition(size, pool, reduce, rounding):
    # Everything is negative, so that zeros beyond the border would show.
    x = -1 - np.random.default_rng(0).random((2, *size, 3), np.float32)
    found, pull = jax.vjp(lambda x: pool(x, rounding), jnp.asarray(x))
    weights = np.random.default_rng(1).normal(size=found.shape).astype(np.float32)
    (gradient,) = pull(jnp.asarray(weights))
    for n, c in np.ndindex(2, 3):
        expected = pool_by_definition(x[n, ..., c], weights[n, ..., c], reduce, rounding)
        np.testing.assert_allclose(found[n, ..., c], expected[0], rtol=1e-6)
        np.testing.assert_allclose(gradient[n, ..., c], expected[1], rtol=1e-6)


def test_features_of_sizes_rounded_up_and_their_gradient_equal_pytorch_s():
    torch = pytest.importorskip("torch")
    from network.torch_vgg import torch_features

    vgg, image = load_vgg("random-vgg16"), wave(37, 53)
    layers = ("conv3_1", "conv5_1")
    rng = np.random.default_rng(0)
    weights = {
        name: rng.normal(size=(1, *shape)).astype(np.float32)
        for name, shape in feature_shapes("vgg16", layers, (37, 53), pool_rounding="up").items()
    }

    def score(x):
        phi = features(vgg, x, layers=layers, pool_rounding="up")
        return sum(jnp.vdot(weights[name], phi[name]) for name in layers), phi

    (_, found), gradient = jax.value_and_grad(score, has_aux=True)(jnp.asarray(image))
    x = torch.from_numpy(image).requires_grad_()
    reference = torch_features(vgg.params, "vgg16", x, layers, ceil_mode=True)
    sum((torch.from_numpy(weights[name]) * reference[name]).sum() for name in layers).backward()
    for name in layers:
        assert relative_error(found[name], reference[name].detach().numpy()) < 1e-5
    # Rounding decides on which side of a kink of ReLU an activation is.
    assert relative_error(gradient, x.grad.numpy()) < 1e-3


def test_sizes_are_rounded_down_unless_asked_otherwise():
    vgg, image = load_vgg("random-vgg16"), wave(37, 53)
    found = features(vgg, image, layers=("conv3_1",))["conv3_1"]
    down = features(vgg, image, layers=("conv3_1",), pool_rounding="down")["conv3_1"]
    np.testing.assert_array_equal(found, down)
    assert found.shape == (1, 9, 13, 256)


def test_even_sizes_are_pooled_alike_however_odd_ones_are_rounded():
    vgg, image = load_vgg("random-vgg16"), wave(32, 48)
    down, up = (features(vgg, image, pool_rounding=rounding) for rounding in ("down", "up"))
    for name in DEFAULT_LAYERS:
        np.testing.assert_array_equal(down[name], up[name])


def test_a_network_tells_how_its_convolutions_are_computed(monkeypatch):
    vgg = load_vgg("random-vgg16")
    assert vgg.convolution == "direct"
    assert prepare(vgg, layers=("conv1_1",)).convolution == "direct"  # This layer is too narrow.
    prepared = prepare(vgg, layers=("conv1_2",))
    assert prepared.convolution == "winograd"
    # Filters of another precision aren't used.
    assert prepared.replace(precision="tf32").convolution == "direct"
    assert jax.jit(lambda net: net.convolution == "winograd")(prepared)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert prepare(vgg, layers=("conv1_2",)).convolution == "direct"


def test_a_network_is_shown_without_its_numbers(random_vgg):
    shown = repr(prepare(random_vgg, layers=("conv1_1",)))
    assert shown.startswith("VGG(architecture='vgg16', preprocess=Preprocess(mean=(0.485, ")
    assert "Array" not in shown


def test_a_network_is_made_from_keywords_only():
    with pytest.raises(TypeError, match="positional"):
        VGG({}, "vgg16", Preprocess((0.0,) * 3, (1.0,) * 3), "name", "sha256")


def test_preprocess_of_caffe_is_bgr_in_grey_levels():
    caffe = Preprocess(mean=(104.0, 117.0, 124.0), std=(1.0, 1.0, 1.0), scale=255.0, bgr=True)
    red = jnp.broadcast_to(jnp.array([1.0, 0.0, 0.0]), (1, 2, 2, 3))
    np.testing.assert_allclose(caffe(red)[0, 0, 0], [-104, -117, 131])
    np.testing.assert_allclose(caffe.mean_rgb, (124 / 255, 117 / 255, 104 / 255))


@pytest.mark.parametrize(
    "layers", [("conv3_4",), ("conv6_1",), (), ("conv1_1", "conv1_1"), ["conv6_1"], "conv1_1"]
)
def test_layers_that_do_not_exist_are_rejected(layers):
    with pytest.raises(InputError, match="layer"):
        features(load_vgg("random-vgg16"), jnp.zeros((1, 32, 32, 3)), layers=layers)
    with pytest.raises(InputError, match="layer"):
        prepare(load_vgg("random-vgg16"), layers=layers)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((1, 8, 8, 3), "uint8"), ((8, 8, 3), "float32"), ((1, 3, 8, 8), "float32")]
)
def test_images_of_another_type_or_shape_are_rejected(random_vgg, shape, dtype):
    with pytest.raises(InputError, match=r"give floats in \[0, 1\] of the shape"):
        check_images(random_vgg, jnp.zeros(shape, dtype))


def test_features_of_16_bit_images_are_those_of_the_same_numbers_in_float32(random_vgg):
    image = jnp.asarray(np.random.default_rng(0).random((1, 8, 8, 3)), jnp.float16)
    found, expected = (
        features(random_vgg, x, layers=("conv1_1",))["conv1_1"]
        for x in (image, image.astype(jnp.float32))
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("winograd", [False, True])
def test_no_images_have_no_features(random_vgg, winograd):
    layers = ("conv1_2", "conv2_1")
    prepared = prepare(random_vgg, layers=layers, winograd=winograd)
    found = features(prepared, jnp.zeros((0, 8, 8, 3)), layers=layers)
    assert found["conv2_1"].shape == (0, 4, 4, 128)


def test_the_parameters_of_a_network_are_constants(random_vgg):
    image = jnp.full((1, 8, 8, 3), 0.5)

    def activation(params):
        vgg = random_vgg.replace(params={"conv1_1": params})
        return features(vgg, image, layers=("conv1_1",))["conv1_1"].sum()

    for gradient in jax.grad(activation)(random_vgg.params["conv1_1"]).values():
        np.testing.assert_array_equal(gradient, 0)


def test_an_image_too_small_for_the_layer_is_rejected():
    with pytest.raises(InputError, match="at least 16 × 16"):
        features(load_vgg("random-vgg16"), jnp.zeros((1, 15, 40, 3)), layers=("conv5_1",))
    up = jax.eval_shape(
        lambda: features(load_vgg("random-vgg16"), jnp.zeros((1, 15, 40, 3)), pool_rounding="up")
    )
    assert up["conv5_1"].shape == (1, 1, 3, 512)


def test_a_process_that_uses_float64_gets_the_same_features_and_bytes_are_rejected():
    program = (
        "import sys, jax, numpy as np, dfi_jax\n"
        "jax.config.update('jax_enable_x64', sys.argv[1] == '64')\n"
        "image = np.random.default_rng(0).random((1, 16, 16, 3))\n"
        "vgg = dfi_jax.load_vgg('random-vgg16')\n"
        "found = dfi_jax.features(vgg, image, layers=('conv2_1',))['conv2_1']\n"
        "print(found.dtype, float(abs(found).sum()))\n"
        "try:\n"
        "    dfi_jax.features(vgg, np.uint8(255 * image), layers=('conv2_1',))\n"
        "except dfi_jax.InputError as error:\n"
        "    print(error)\n"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", program, bits], capture_output=True, text=True, check=True
        ).stdout
        for bits in ("32", "64")
    ]
    assert outputs[0] == outputs[1]
    assert outputs[0].startswith("float32 ")
    assert "the images are uint8 of the shape (1, 16, 16, 3); give floats in" in outputs[0]
