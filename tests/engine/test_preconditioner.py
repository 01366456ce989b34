import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfi_jax import VGGSpectrum
from dfi_jax.engine.preconditioner import POWER_SPECTRUM, contrast_scale, spectrum, to_image

SCALING = VGGSpectrum()


def picture(size, seed=0):
    return jnp.asarray(np.random.default_rng(seed).random((2, *size, 3)), jnp.float32)


def full_spectrum(size):
    """S at all frequencies of a complex FFT, by the iteration of Denman and Beavers."""
    frequency = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.fftfreq(size[1])[None])
    frequency = np.maximum(frequency, 0.5 / max(size))
    rr, rg, rb, gg, gb, bb = (
        np.interp(frequency, POWER_SPECTRUM[:, 0], column) for column in POWER_SPECTRUM[:, 1:].T
    )
    matrices = np.moveaxis(np.array([[rr, rg, rb], [rg, gg, gb], [rb, gb, bb]]), (0, 1), (2, 3))
    # Grey is (1, 1, 1)/√3; the other two colours are any orthonormal pair.
    basis = np.linalg.qr(np.array([[1.0, 1, 1], [0, 1, 2], [0, 0, 1]]).T)[0]
    factors = np.diag([1, SCALING.chroma_penalty, SCALING.chroma_penalty])
    fine = SCALING.fine_penalty * frequency[..., None, None] ** 2 * (basis @ factors @ basis.T)
    root = matrices + SCALING.base_penalty * np.eye(3) + fine
    inverse = np.broadcast_to(np.eye(3), root.shape)
    for _ in range(30):
        root, inverse = (root + np.linalg.inv(inverse)) / 2, (inverse + np.linalg.inv(root)) / 2
    return inverse


@pytest.mark.parametrize("size", [(16, 16), (15, 20)])
def test_an_image_is_its_start_and_the_scaled_spectrum_of_the_unknown(size):
    unknown, start = picture(size), picture(size, seed=1)
    matrices = full_spectrum(size)
    half = matrices[:, : size[1] // 2 + 1]  # A real FFT keeps this half, whose mean square is 1.
    matrices = matrices / np.sqrt(np.mean(np.sum(half**2, axis=(2, 3)) / 3))
    scaled = np.einsum(
        "hwij,nhwj->nhwi", matrices, np.fft.fft2(np.asarray(unknown, np.float64), axes=(1, 2))
    )
    at = np.asarray(contrast_scale(start, SCALING))
    expected = start + at * np.fft.ifft2(scaled, axes=(1, 2)).real
    np.testing.assert_allclose(
        to_image(unknown, start, contrast_scale(start, SCALING), SCALING), expected, atol=1e-5
    )


def test_at_0_the_image_is_the_start():
    start = picture((16, 16))
    np.testing.assert_array_equal(
        to_image(jnp.zeros_like(start), start, contrast_scale(start, SCALING), SCALING), start
    )


def test_every_scale_is_positive_and_of_mean_square_1():
    values = np.linalg.eigvalsh(spectrum((40, 60), SCALING))
    assert values.min() > 0
    np.testing.assert_allclose(np.mean(values**2), 1, rtol=1e-5)
    at = contrast_scale(picture((40, 60)), SCALING)
    assert at.min() > 0
    np.testing.assert_allclose(jnp.mean(at**2, axis=(1, 2, 3)), 1, rtol=1e-5)


def test_steps_are_longer_where_there_is_contrast():
    y, x = np.mgrid[:96, :96] / 96
    # The right half has a tenth of the contrast.
    waves = 0.5 + 0.2 * np.where(x < 0.5, np.sin(40 * y), 0.1 * np.sin(40 * y))
    images = jnp.asarray(np.repeat(waves[None, ..., None], 3, axis=3), jnp.float32)
    at = np.asarray(contrast_scale(images, SCALING))[0, ..., 0]
    rows, margin = slice(24, 72), int(2 * SCALING.contrast_blur)
    left, right = at[rows, margin : 48 - margin].mean(), at[rows, 48 + margin : 96 - margin].mean()
    least = max(0.01, 0.1 * (1 + 0.01) / 2)  # The floor is a tenth of the mean.
    assert left / right == pytest.approx((1 / least) ** SCALING.contrast_power, rel=0.05)


def periodic_gaussian(n, deviation):
    """The matrix that blurs n values on a circle, by summing up the Gaussian's turns."""
    turns = np.arange(n)[:, None] - np.arange(n) + n * np.arange(-9, 10)[:, None, None]
    weights = np.exp(-0.5 * (turns / deviation) ** 2).sum(axis=0)
    return weights / weights.sum(axis=1, keepdims=True)


def contrast_in_float64(image, *, power, blur, floor):
    down, across = np.zeros_like(image), np.zeros_like(image)
    down[:-1], across[:, :-1] = np.diff(image, axis=0), np.diff(image, axis=1)
    energy = np.sum(down**2 + across**2, axis=2)
    height, width = energy.shape
    blurred = periodic_gaussian(height, blur) @ energy @ periodic_gaussian(width, blur).T
    scale = np.maximum(blurred, floor * energy.mean()) ** power
    return scale / np.sqrt(np.mean(scale**2))


@pytest.mark.parametrize("size", [(30, 41), (40, 24)])
def test_contrast_is_the_blurred_square_of_the_gradient_along_both_axes(size):
    images = np.asarray(picture(size)).copy()
    images[0, :, 10:] = 0.5  # The rest of this picture has no contrast.
    images[1, 8:] = images[1, 8]
    scaling = SCALING.replace(contrast_blur=2.0, contrast_power=0.3, contrast_floor=0.2)
    found = contrast_scale(jnp.asarray(images), scaling)[..., 0]
    for scale, image in zip(found, images.astype(np.float64), strict=True):
        expected = contrast_in_float64(image, power=0.3, blur=2.0, floor=0.2)
        np.testing.assert_allclose(scale, expected, rtol=1e-4)


def test_the_measured_power_is_that_of_spectra_of_three_colours():
    frequencies, upper = POWER_SPECTRUM[:, 0], POWER_SPECTRUM[:, 1:]
    assert (frequencies[0], upper.max()) == (0, 1)
    assert np.all(np.diff(frequencies) > 0)
    for (rr, rg, rb, gg, gb, bb), before in zip(upper[1:], upper[:-1], strict=True):
        # A mean of products F·F* has no negative eigenvalue.
        assert np.linalg.eigvalsh([[rr, rg, rb], [rg, gg, gb], [rb, gb, bb]]).min() > 0
        # The frequencies are dense enough for a smooth curve.
        assert np.abs(np.array([rr, rg, rb, gg, gb, bb]) - before).max() < 0.3
    rr, rg, rb, gg, gb, bb = upper.T
    correlations = rg / np.sqrt(rr * gg), rb / np.sqrt(rr * bb), gb / np.sqrt(gg * bb)
    assert np.abs(np.diff(correlations)).max() < 0.25


@pytest.mark.parametrize("power", [0.2, 2.0])
def test_a_picture_of_one_colour_is_the_same_everywhere(power):
    scaling = SCALING.replace(contrast_power=power)
    np.testing.assert_allclose(contrast_scale(jnp.full((1, 16, 16, 3), 0.3), scaling), 1, rtol=1e-5)


def test_the_gradient_by_the_unknown_is_that_of_a_symmetric_map():
    start, direction = picture((16, 16)), picture((16, 16), seed=2)
    at = jnp.ones((2, 16, 16, 1))

    def scaled(unknown):
        return to_image(unknown, jnp.zeros_like(start), at, SCALING)

    _, transposed = jax.vjp(scaled, start)
    np.testing.assert_allclose(transposed(direction)[0], scaled(direction), atol=1e-5)


def test_places_are_scaled_alike_without_a_contrast_power():
    scaling = SCALING.replace(contrast_power=0.0)
    np.testing.assert_allclose(contrast_scale(picture((16, 16)), scaling), 1, rtol=1e-6)


def test_colours_are_scaled_alike_by_their_mean_power_if_the_recipe_says_so():
    frequency = np.hypot(np.fft.fftfreq(16)[:, None], np.fft.rfftfreq(16))
    frequency[0, 0] = 1 / 32  # Half a wave per image.
    powers = [np.interp(frequency, POWER_SPECTRUM[:, 0], POWER_SPECTRUM[:, i]) for i in (1, 4, 6)]
    power = np.mean(powers, axis=0) + SCALING.base_penalty + SCALING.fine_penalty * frequency**2
    scale = power**-0.5 / np.sqrt(np.mean(1 / power))
    matrices = spectrum((16, 16), SCALING.replace(color=False))
    np.testing.assert_allclose(matrices, scale[..., None, None] * np.eye(3), rtol=1e-5, atol=1e-7)


def test_a_larger_fine_penalty_shortens_the_finest_steps():
    finest = [
        np.linalg.eigvalsh(spectrum((32, 32), SCALING.replace(fine_penalty=penalty)))[16, 16].min()
        for penalty in (0.3, 3.0, 30.0)
    ]
    assert finest == sorted(finest, reverse=True)


def test_a_larger_base_penalty_shortens_the_broadest_steps():
    broadest = [
        np.linalg.eigvalsh(spectrum((32, 32), SCALING.replace(base_penalty=penalty)))[0, 0].max()
        for penalty in (0.03, 0.3, 3.0)
    ]
    assert broadest == sorted(broadest, reverse=True)


def test_colour_is_penalised_and_grey_isnt():
    few, many = (
        spectrum((32, 32), SCALING.replace(chroma_penalty=penalty))[16, 16] for penalty in (1, 1000)
    )
    grey, red = np.full(3, 3**-0.5), np.array([2.0, -1, -1]) / 6**0.5
    assert np.linalg.norm(many @ red) < 0.1 * np.linalg.norm(few @ red)
    assert np.linalg.norm(many @ grey) > 0.5 * np.linalg.norm(few @ grey)
