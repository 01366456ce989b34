import dataclasses

import numpy as np
import pytest

from dfi_jax.data import landmarks
from dfi_jax.data.dataset import Dataset
from dfi_jax.photo.placement import Placement
from dfi_jax.progress import Progress
from dfi_jax.storage.cache import Cache

POINTS = np.array([(203.2, 101.5), (246.5, 104.2), (225, 127), (201, 139), (246, 141)])


@pytest.fixture
def dataset():
    pytest.importorskip("dlib")
    astronaut = pytest.importorskip("skimage.data").astronaut().astype(np.float32) / 255
    images = [astronaut, np.zeros((200, 200, 3), np.float32)]
    return Dataset(
        name="made",
        names=("astronaut", "nothing"),
        read=lambda i: images[i],
        attributes=("Smiling",),
        scores=np.zeros((2, 1), np.float32),
    )


def test_points_are_found_or_are_unknown(dataset):
    reports = []
    found = landmarks.detect(dataset, np.array([0, 1]), cache=None, on_progress=reports.append)
    np.testing.assert_allclose(found[0], POINTS, atol=4)
    assert np.isnan(found[1]).all()
    assert reports == [
        Progress(phase="landmarks", done=done, total=2, unit="images") for done in (1, 2)
    ]


def test_points_of_an_image_are_stored_for_the_next_time(dataset):
    read = []
    counting = dataclasses.replace(dataset, read=lambda i: (read.append(i), dataset.read(i))[1])
    first = landmarks.detect(counting, np.array([0]), cache=Cache())
    before = len(read)
    again = landmarks.detect(counting, np.array([1, 0]), cache=Cache())
    np.testing.assert_array_equal(again[1], first[0])
    assert read[before:].count(0) == 1  # Its fingerprint needs it, because it isn't a file.


def test_all_68_points_are_stored_beside_the_five(dataset):
    cache, row = Cache(), np.array([0, 1])
    five = landmarks.detect(dataset, row, cache=cache)
    for _ in range(2):
        every = landmarks.detect(dataset, row, points=68, cache=cache)
        assert every.shape == (2, 68, 2)
        np.testing.assert_allclose(every[0, 36:42].mean(axis=0), five[0, 0], atol=1e-9)
        assert np.isnan(every[1]).all()
    np.testing.assert_array_equal(landmarks.detect(dataset, row, cache=cache), five)


def test_without_a_cache_points_are_detected_again(dataset):
    read = []
    counting = dataclasses.replace(dataset, read=lambda i: (read.append(i), dataset.read(i))[1])
    for _ in range(2):
        landmarks.detect(counting, np.array([1]), cache=None)
    assert read == [1, 1]


def test_the_face_nearest_to_the_placement_is_taken(dataset):
    astronaut = dataset.read(0)
    twice = np.concatenate([astronaut, astronaut], axis=1)
    for x, shift in ((0, 0), (512, 512)):
        placement = Placement.from_box((x + 100, 20, x + 340, 260))
        found = landmarks.nearest(twice, placement)
        np.testing.assert_allclose(found, POINTS + np.array([shift, 0]), atol=4)
