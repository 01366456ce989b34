import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfi_jax.preconditioner import POWER, Scale, estimate_scale, identity_scale, probe_target, to_image, to_unknown

SIZES = [(16, 16), (15, 20)]


def some_scale(size, seed=0):
    rng = np.random.default_rng(seed)
    scale = identity_scale(jnp.zeros((2, *size, 3)))
    roots = rng.normal(size=scale.spectrum.shape)
    return Scale(
        jnp.asarray(roots @ np.swapaxes(roots, 2, 3), jnp.float32), jnp.asarray(rng.random((2, *size, 1)), jnp.float32)
    )


def waves(size):
    """The radius of every frequency of a full FFT, in waves over the longer side, as a row of the scale's matrices."""
    frequency = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.fftfreq(size[1]))
    return np.maximum(np.rint(frequency * max(size)).astype(int), 3) - 3


@pytest.mark.parametrize("size", SIZES)
def test_an_image_is_its_start_and_the_scaled_spectrum_of_the_unknown(size):
    rng = np.random.default_rng(1)
    unknown, start = rng.normal(size=(2, *size, 3)), rng.random((2, *size, 3))
    scale = some_scale(size)
    matrices = np.asarray(scale.spectrum, np.float64)[:, waves(size)]
    spectrum = np.einsum("nhwab,nhwb->nhwa", matrices, np.fft.fft2(unknown, axes=(1, 2)))
    expected = start + np.asarray(scale.pixels, np.float64) * np.fft.ifft2(spectrum, axes=(1, 2)).real
    found = to_image(jnp.asarray(unknown, jnp.float32), jnp.asarray(start, jnp.float32), scale)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_the_gradient_by_the_unknown_is_that_of_jax(size):
    rng = np.random.default_rng(2)
    unknown, start, gradient = (jnp.asarray(rng.normal(size=(2, *size, 3)), jnp.float32) for _ in range(3))
    scale = some_scale(size)
    (expected,) = jax.vjp(lambda q: to_image(q, start, scale), unknown)[1](gradient)
    np.testing.assert_allclose(to_unknown(gradient, scale), expected, rtol=1e-4, atol=1e-4)


def test_without_a_scale_or_with_that_of_nothing_the_unknown_is_of_pixels():
    image = jnp.asarray(np.random.default_rng(0).random((1, 12, 16, 3)), jnp.float32)
    np.testing.assert_array_equal(to_image(image, image, None), 2 * image)
    np.testing.assert_array_equal(to_unknown(image, None), image)
    np.testing.assert_allclose(to_image(image, image, identity_scale(image)), 2 * image, atol=1e-5)


def test_a_probe_of_filtered_noise_has_the_scale_of_the_filter():
    size = (64, 64)
    rng = np.random.default_rng(3)
    mix = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 0.5]])  # between colours
    slope = 1 / (3.0 + waves(size))  # the larger, the slower a wave
    place = np.where(np.arange(64) < 32, 1.0, 3.0)[:, None, None]
    probes = []
    for _ in range(64):
        noise = np.fft.fft2(rng.normal(size=(*size, 3)), axes=(0, 1))
        probes.append(place * np.fft.ifft2(slope[..., None] * noise, axes=(0, 1)).real @ mix.T)
    scale = estimate_scale(jnp.asarray(np.stack(probes), jnp.float32))

    values, vectors = np.linalg.eigh(mix @ mix.T)
    root = (vectors * values**-POWER) @ vectors.T
    expected = root * (3.0 + np.arange(3, 30))[:, None, None] ** (2 * POWER)
    found = np.asarray(scale.spectrum).mean(axis=0)[3:30]
    ratio = np.einsum("rab,rab->r", found, expected) / np.einsum("rab,rab->r", expected, expected)
    np.testing.assert_allclose(found / ratio.mean(), expected, atol=0.15 * np.abs(expected).max())
    pixels = np.asarray(scale.pixels).mean(axis=0)[..., 0]
    assert pixels[16].mean() / pixels[48].mean() == pytest.approx(9**POWER, rel=0.1)  # of energies 9 apart


def test_a_scale_keeps_the_size_of_white_noise_and_is_each_problems_own():
    rng = np.random.default_rng(4)
    probes = jnp.asarray(rng.normal(size=(2, 32, 32, 3)) * np.array([1.0, 100.0]).reshape(2, 1, 1, 1), jnp.float32)
    scale = estimate_scale(probes)
    unknown = jnp.asarray(rng.normal(size=probes.shape), jnp.float32)
    image = to_image(unknown, jnp.zeros_like(unknown), scale)
    # the first and last columns of a real FFT count as much as the others, which stand for two each
    np.testing.assert_allclose(jnp.sqrt(jnp.mean(image**2, axis=(1, 2, 3))), 1, rtol=0.2)
    alone = estimate_scale(probes[1:])
    np.testing.assert_allclose(scale.spectrum[1], alone.spectrum[0], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(scale.pixels[1], alone.pixels[0], rtol=1e-4)


@pytest.mark.parametrize(
    ("loss", "weights"), [("sum_squares", (1, 1)), ("mean_squares", (2 / 96, 2 / 32)), ("relative", (1 / 4, 1 / 9))]
)
def test_a_probes_noise_has_the_inverse_of_the_losss_weight_for_variance(loss, weights):
    target = {"conv1_1": jnp.ones((2, 4, 4, 6)), "conv2_1": jnp.ones((2, 2, 2, 8))}
    norms = {"conv1_1": jnp.full(2, 4.0), "conv2_1": jnp.full(2, 9.0)}
    moved = probe_target(target, norms, loss=loss)
    for (name, layer), weight in zip(moved.items(), weights, strict=True):
        noise = np.asarray(target[name] - layer)
        np.testing.assert_array_equal(noise[0], noise[1])
        assert noise.var() * weight == pytest.approx(1, rel=0.5)
        assert np.abs(noise).max() > 0
