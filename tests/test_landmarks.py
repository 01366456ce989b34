import numpy as np
import pytest

from dfi_jax import faces
from dfi_jax.data import landmarks
from dfi_jax.data.dataset import Dataset

POINTS = np.array([(203.2, 101.5), (246.5, 104.2), (225, 127), (201, 139), (246, 141)])


@pytest.fixture
def dataset():
    pytest.importorskip("dlib")
    astronaut = pytest.importorskip("skimage.data").astronaut().astype(np.float32) / 255
    pictures = [astronaut, np.zeros((200, 200, 3), np.float32)]
    return Dataset("made", ("astronaut", "nothing"), lambda i: pictures[i], ("Smiling",), np.zeros((2, 1), np.float32))


def test_points_are_found_or_are_where_the_crop_has_them(dataset):
    found = landmarks.detect(dataset)
    np.testing.assert_allclose(found.landmarks[0], POINTS, atol=4)
    np.testing.assert_allclose(found.landmarks[1], faces.CANONICAL_POINTS, atol=1e-6)
    assert found.names == dataset.names


def test_points_are_kept_for_the_next_time(dataset):
    counts = []
    first = landmarks.detect(dataset, rows=np.array([0]), on_progress=lambda *count: counts.append(count))
    assert counts == [(1, 1)]
    again = landmarks.detect(dataset, rows=np.array([0]), on_progress=lambda *count: counts.append(count))
    assert counts == [(1, 1)]
    np.testing.assert_array_equal(first.landmarks, again.landmarks)
