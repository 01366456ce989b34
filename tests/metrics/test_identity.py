import numpy as np
import pytest

from dfi_jax import load_dataset
from dfi_jax.metrics.identity import identity_distance

pytest.importorskip("dlib")


def test_a_brighter_photo_is_nearer_than_another_person():
    people = load_dataset("synthetic:2")
    face, other = (people.face(i, 200) for i in range(2))
    brighter = identity_distance(face, np.clip(1.05 * face, 0, 1))
    assert 0 < brighter < 0.5 * identity_distance(face, other)
