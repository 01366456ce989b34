import jax
import numpy as np
import pytest

from dfi_jax.metrics import alexnet
from dfi_jax.metrics.change import _lpips, lpips, measure_change

FACE = np.full((100, 100, 3), 0.5)


def wave(frequency, color):
    """A horizontal cosine of amplitude 10 grey levels."""
    row = np.cos(2 * np.pi * frequency * np.arange(100))
    return 10 / 255 * row[None, :, None] * np.ones((100, 1, 1)) * np.asarray(color)


def test_a_fine_grey_wave_is_noise_of_luma():
    change = measure_change(FACE, FACE + wave(0.4, (1, 1, 1)))
    assert change.luma == pytest.approx(10 / np.sqrt(2), rel=1e-6)
    assert change.chroma == pytest.approx(0, abs=1e-6)


def test_a_fine_wave_without_luma_is_noise_of_chroma():
    color = np.array([0.587, -0.299, 0.0])  # Its weighted sum is 0.
    change = measure_change(FACE, FACE + wave(0.4, color))
    assert change.luma == pytest.approx(0, abs=1e-6)
    expected = 10 / np.sqrt(2) * np.sqrt(np.mean(color**2))
    assert change.chroma == pytest.approx(expected, rel=1e-6)


def test_a_broad_wave_is_a_change_but_no_noise():
    change = measure_change(FACE, FACE + wave(0.1, (1, 1, 1)))
    assert change.mean == pytest.approx(10 * 2 / np.pi, rel=0.05)
    assert max(change.luma, change.chroma) < 1e-6


def test_the_border_is_eight_hundredths_of_the_side():
    edited = FACE.copy()
    edited[8:92, 8:92] += 0.2
    change = measure_change(FACE, edited)
    assert change.border == 0
    assert change.mean == pytest.approx(0.2 * 255 * 0.84**2)
    edited[0] += 0.2
    assert measure_change(FACE, edited).border > 0


def test_lpips_grows_with_the_distance_between_images():
    noise = np.random.default_rng(0).normal(size=FACE.shape)
    distances = [lpips(FACE, np.clip(FACE + scale * noise, 0, 1)) for scale in (0, 0.02, 0.1)]
    assert distances[0] == pytest.approx(0, abs=1e-6)
    assert distances[1] < distances[2]


def test_lpips_convolves_in_float32_on_every_platform():
    image = np.zeros((1, 64, 64, 3), np.float32)
    program = str(jax.make_jaxpr(_lpips)({"params": alexnet.load()}, image, image))
    assert program.count("conv_general_dilated[") == program.count("precision=(Precision.HIGHEST")
