import numpy as np
import pytest

from dfi_jax.errors import InputError
from dfi_jax.photo.faces import CANONICAL_LANDMARKS
from dfi_jax.photo.warp import Warp


@pytest.fixture
def turned():
    """Landmarks of a head that is turned: its features are shifted and narrower on one side."""
    x, y = CANONICAL_LANDMARKS.T
    return np.column_stack([x + 14 - 0.1 * np.abs(x - 100), y + 0.05 * (x - 100)])


def blob(centre, size):
    """A bright spot at a point of the canonical crop, in an image of some size."""
    row, column = (np.mgrid[:size, :size] + 0.5) * 200 / size - 0.5
    hill = np.exp(-((column - centre[0]) ** 2 + (row - centre[1]) ** 2) / (2 * 4**2))
    return np.repeat(hill[..., None], 3, axis=2).astype(np.float32)


def centre_of(image):
    size = len(image)
    row, column = (np.mgrid[:size, :size] + 0.5) * 200 / size - 0.5
    mass = image[..., 0]
    return np.array([np.sum(mass * column), np.sum(mass * row)]) / mass.sum()


@pytest.mark.parametrize("size", [200, 100])
@pytest.mark.parametrize("landmark", [30, 48, 54, 36])
def test_a_landmark_moves_to_the_average_faces_and_back(turned, landmark, size):
    warp = Warp.between(turned, CANONICAL_LANDMARKS)
    here, there = turned[landmark], CANONICAL_LANDMARKS[landmark]
    # The spline is smoothed, so it may miss a landmark by a pixel or two.
    np.testing.assert_allclose(centre_of(warp.average_face(blob(here, size))), there, atol=2)
    np.testing.assert_allclose(centre_of(warp.back(blob(there, size))), here, atol=2)


def test_the_average_face_stays_as_it_is():
    warp = Warp.between(CANONICAL_LANDMARKS, CANONICAL_LANDMARKS)
    # Four bilinear samples per pixel of a ramp have its own value as their mean.
    ramp = np.linspace(0, 1, 200, dtype=np.float32)[None, :, None] * np.ones((200, 1, 3))
    inner = (slice(None), slice(2, -2))
    np.testing.assert_allclose(warp.average_face(ramp)[inner], ramp[inner], atol=1e-5)
    np.testing.assert_allclose(warp.back(ramp)[inner], ramp[inner], atol=1e-5)


def test_features_that_change_places_are_rejected():
    mirrored = CANONICAL_LANDMARKS * [-1, 1] + [200, 0]
    with pytest.raises(InputError, match="turned too far"):
        Warp.between(mirrored, CANONICAL_LANDMARKS)
