"""The photos of faces that tests of detection share."""

import numpy as np
import pytest

from dfi_jax.photo.photo import Photo


@pytest.fixture(scope="session")
def astronaut():
    pytest.importorskip("dlib")
    return pytest.importorskip("skimage.data").astronaut().astype(np.float32) / 255


@pytest.fixture
def nobody():
    """A photo without a face, 120 × 140."""
    levels = np.random.default_rng(0).integers(0, 256, (7, 6, 3), dtype=np.uint8)
    return Photo.of(np.kron(levels, np.ones((20, 20, 1), np.uint8)))


@pytest.fixture
def two_heads(astronaut):
    """The astronaut's head at its own size on the left, and at half its size on the right."""
    head = astronaut[:256, 96:352]
    half = (head[::2, ::2] + head[1::2, ::2] + head[::2, 1::2] + head[1::2, 1::2]) / 4
    pixels = np.full((256, 400, 3), 0.5, np.float32)
    pixels[:, :256], pixels[64:192, 264:392] = head, half
    return pixels
