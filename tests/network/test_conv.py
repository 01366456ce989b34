import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfi_jax.errors import InputError
from dfi_jax.network.conv import check_precision, conv3x3, make_filters
from dfi_jax.network.vgg import features, prepare
from dfi_jax.network.weights import load_vgg


def correlate(x, kernel):
    """Computes a 3×3 cross-correlation by its definition, in float64."""
    h, w = x.shape[1:3]
    padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [
        padded[:, i : i + h, j : j + w] @ kernel[i, j].astype(np.float64)
        for i in range(3)
        for j in range(3)
    ]
    return np.sum(taps, axis=0)


# Winograd's float32 sums are off by about 4e-6, direct ones by 1e-6.
@pytest.mark.parametrize(
    ("channels", "winograd"), [((64, 70), True), ((64, 70), False), ((3, 64), True)]
)
@pytest.mark.parametrize("size", [(8, 12), (13, 6), (1, 3)])
def test_a_convolution_and_its_gradient_equal_their_definition(channels, winograd, size):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *size, channels[0])).astype(np.float32)
    kernel = rng.normal(size=(3, 3, *channels)).astype(np.float32)
    weights = rng.normal(size=(2, *size, channels[1])).astype(np.float32)
    filters = jax.jit(make_filters, static_argnames="winograd")(
        jnp.asarray(kernel), winograd=winograd
    )
    assert filters.winograd == isinstance(filters.forward, tuple)
    assert filters.winograd == (winograd and min(channels) >= 64)
    found, pull = jax.vjp(lambda x: jax.jit(conv3x3)(x, filters), jnp.asarray(x))
    expected = correlate(x, kernel)
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())
    gradient = correlate(weights, kernel[::-1, ::-1].swapaxes(2, 3))
    np.testing.assert_allclose(
        pull(jnp.asarray(weights))[0], gradient, atol=2e-5 * np.abs(gradient).max()
    )


def test_a_convolution_under_vmap_equals_separate_ones():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(3, 2, 9, 8, 64)), jnp.float32)
    filters = make_filters(jnp.asarray(rng.normal(size=(3, 3, 64, 64)), jnp.float32), winograd=True)
    found = jax.jit(jax.vmap(lambda x: conv3x3(x, filters)))(x)
    np.testing.assert_allclose(found[1], conv3x3(x[1], filters), atol=1e-3)


def test_a_prepared_network_has_the_same_features(random_vgg):
    layers = ("conv1_2", "conv2_1")
    images = jnp.asarray(np.random.default_rng(0).random((2, 33, 50, 3)), jnp.float32)
    expected = features(random_vgg, images, layers=layers)
    found = features(prepare(random_vgg, layers=layers), images, layers=layers)
    for layer in layers:
        error = jnp.linalg.norm(found[layer] - expected[layer]) / jnp.linalg.norm(expected[layer])
        assert error < 2e-5


def rounded(values, bits):
    """Rounds float32 to a number of mantissa bits, to nearest, ties to even, bit by bit."""
    drop = 23 - bits
    whole = values.astype(np.float32).view(np.uint32).astype(np.uint64)
    whole += (1 << (drop - 1)) - 1 + ((whole >> drop) & 1)
    return (whole >> drop << drop).astype(np.uint32).view(np.float32)


@pytest.mark.parametrize(("precision", "bits"), [("tf32", 10), ("bfloat16", 7)])
@pytest.mark.parametrize("winograd", [True, False])
def test_a_lower_precision_rounds_the_operands(precision, bits, winograd):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 9, 10, 64)).astype(np.float32)
    kernel = rng.normal(size=(3, 3, 64, 65)).astype(np.float32)
    weights = rng.normal(size=(1, 9, 10, 65)).astype(np.float32)
    filters = make_filters(jnp.asarray(kernel), winograd=winograd, precision=precision)
    found, pull = jax.vjp(lambda x: conv3x3(x, filters), jnp.asarray(x))
    expected = correlate(rounded(x, bits), rounded(kernel, bits))
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())
    assert np.abs(found - correlate(x, kernel)).max() > 1e-3
    gradient = correlate(rounded(weights, bits), rounded(kernel, bits)[::-1, ::-1].swapaxes(2, 3))
    np.testing.assert_allclose(
        pull(jnp.asarray(weights))[0], gradient, atol=2e-5 * np.abs(gradient).max()
    )


def test_precision_is_part_of_a_network_s_identity_and_an_unknown_one_is_rejected():
    vgg = load_vgg("random-vgg16")
    lower = vgg.replace(precision="tf32")
    assert vgg.identity() != lower.identity()
    assert load_vgg("random-vgg16", precision="tf32").identity() == lower.identity()
    with pytest.raises(
        InputError, match="precision 'float8' doesn't exist; choose from highest, tf32, bfloat16"
    ):
        check_precision("float8")


def test_on_an_accelerator_bfloat16_operands_are_summed_in_float32():
    filters = make_filters(jnp.ones((3, 3, 8, 8)), precision="bfloat16")
    x = jnp.ones((1, 4, 4, 8))
    program = jax.export.export(jax.jit(conv3x3), platforms=["cuda"])(x, filters).mlir_module()
    (line,) = [line for line in program.splitlines() if "stablehlo.convolution" in line]
    assert "(tensor<1x4x4x8xbf16>, tensor<3x3x8x8xbf16>) -> tensor<1x4x4x8xf32>" in line


def test_filters_of_another_precision_or_of_too_few_layers_are_not_used():
    vgg = load_vgg("random-vgg16")
    images = jnp.asarray(np.random.default_rng(0).random((1, 16, 16, 3)), jnp.float32)
    prepared = prepare(vgg, layers=("conv1_2",))
    deeper = features(prepared, images, layers=("conv2_1",))["conv2_1"]
    expected = features(vgg, images, layers=("conv2_1",))["conv2_1"]
    np.testing.assert_allclose(deeper, expected, atol=2e-5 * float(jnp.abs(expected).max()))
    lower = features(prepared.replace(precision="bfloat16"), images, layers=("conv1_2",))["conv1_2"]
    expected = features(vgg.replace(precision="bfloat16"), images, layers=("conv1_2",))["conv1_2"]
    np.testing.assert_array_equal(lower, expected)
