import dataclasses

import numpy as np
import pytest

from dfi_jax.data import landmarks
from dfi_jax.data.dataset import Dataset

POINTS = np.array([(203.2, 101.5), (246.5, 104.2), (225, 127), (201, 139), (246, 141)])


@pytest.fixture
def dataset():
    pytest.importorskip("dlib")
    astronaut = pytest.importorskip("skimage.data").astronaut().astype(np.float32) / 255
    pictures = [astronaut, np.zeros((200, 200, 3), np.float32)]
    return Dataset("made", ("astronaut", "nothing"), lambda i: pictures[i], ("Smiling",), np.zeros((2, 1), np.float32))


def test_points_are_found_or_are_not_known(dataset):
    found = landmarks.detect(dataset, np.array([0, 1]))
    np.testing.assert_allclose(found[0], POINTS, atol=4)
    assert np.isnan(found[1]).all()


def test_points_of_an_image_are_kept_for_the_next_time(dataset):
    read = []
    counting = dataclasses.replace(dataset, read=lambda i: (read.append(i), dataset.read(i))[1])
    first = landmarks.detect(counting, np.array([0]))
    before = len(read)
    again = landmarks.detect(counting, np.array([1, 0]))
    np.testing.assert_array_equal(again[1], first[0])
    assert read[before:].count(0) == 1  # for its fingerprint; it isn't a file
