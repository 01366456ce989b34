"""Fixtures of the tests of edits."""

import numpy as np
import pytest
from builders import make_vector
from PIL import Image
from small_edits import RECIPE


@pytest.fixture
def pixels():
    """A photo of nobody, 80 × 60."""
    noise = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((80, 60), Image.Resampling.BICUBIC)
    return np.asarray(picture, np.float32) / 255


@pytest.fixture(scope="module")
def vector(random_vgg):
    """A vector of noise that fits `RECIPE`."""
    return make_vector(random_vgg, RECIPE)
