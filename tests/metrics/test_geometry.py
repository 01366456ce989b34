import numpy as np
import pytest

from dfi_jax.metrics.geometry import geometry
from dfi_jax.photo.faces import CANONICAL_LANDMARKS


@pytest.fixture
def points():
    """A face whose eyes are 100 pixels apart, with a mouth 80 wide and 20 open."""
    found = np.zeros((68, 2))
    found[36:42] = [(-60, 0), (-55, -4), (-45, -4), (-40, 0), (-45, 4), (-55, 4)]
    found[42:48] = found[36:42] + np.array([100, 0])
    found[48], found[54] = (-40, 85), (40, 85)
    found[62], found[66] = (0, 80), (0, 100)
    return found


def test_a_face_with_known_measures_has_these(points):
    np.testing.assert_allclose(geometry(points), (0.8, 0.2, 0.05, 0.08))


def test_size_rotation_and_position_do_not_matter(points):
    c, s = 2.5 * np.cos(0.4), 2.5 * np.sin(0.4)
    moved = points @ np.array([[c, s], [-s, c]]) + (300, 40)
    np.testing.assert_allclose(geometry(moved), geometry(points))


def test_a_smile_is_wider_and_its_corners_are_higher():
    smile = CANONICAL_LANDMARKS.copy()
    smile[48] += (-6, -4)
    smile[54] += (6, -4)
    before, after = geometry(CANONICAL_LANDMARKS), geometry(smile)
    assert after.mouth_width > before.mouth_width
    assert after.corner_lift > before.corner_lift
    assert after.mouth_opening == before.mouth_opening
