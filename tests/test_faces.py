import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfi_jax.errors import InputError
from dfi_jax.faces import CANONICAL_POINTS, align, fit_similarity


@given(scale=st.floats(0.1, 10), angle=st.floats(-3, 3), x=st.floats(-100, 100), y=st.floats(-100, 100))
def test_a_known_similarity_is_found(scale, angle, x, y):
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[c, -s, x], [s, c, y]])
    moved = CANONICAL_POINTS @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(
        fit_similarity(CANONICAL_POINTS, moved), matrix, atol=1e-9 * (1 + abs(x) + abs(y) + scale)
    )


def test_no_other_similarity_is_nearer_in_least_squares():
    rng = np.random.default_rng(0)
    points, to = CANONICAL_POINTS, CANONICAL_POINTS + rng.normal(0, 5, (5, 2))

    def error(matrix):
        return np.sum((points @ matrix[:, :2].T + matrix[:, 2] - to) ** 2)

    best = fit_similarity(points, to)
    for _ in range(50):
        a, b, x, y = rng.normal(0, 1e-2, 4)
        assert error(best + np.array([[a, -b, x], [b, a, y]])) > error(best)


def test_points_that_coincide_are_refused():
    with pytest.raises(InputError, match="coincide"):
        fit_similarity(np.ones((5, 2)), CANONICAL_POINTS)


def blobs(points, size, width=2.0):
    """A picture with a soft white spot at each point (x, y)."""
    y, x = np.mgrid[:size, :size]
    spots = [np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * width**2)) for px, py in points]
    return np.repeat(np.clip(sum(spots), 0, 1)[..., None], 3, axis=2).astype(np.float32)


@pytest.mark.parametrize("size", [200, 100])
def test_a_face_comes_to_the_canonical_points(size):
    c, s = 1.7 * np.cos(0.3), 1.7 * np.sin(0.3)
    points = CANONICAL_POINTS @ np.array([[c, -s], [s, c]]).T + np.array([60.0, 20.0])
    face = align(blobs(points, 500, 3.0), points, size=size)
    y, x = np.mgrid[:size, :size]
    for px, py in (CANONICAL_POINTS + 0.5) * size / 200 - 0.5:
        near = face[..., 0] * ((x - px) ** 2 + (y - py) ** 2 < (size / 25) ** 2)
        found = np.array([np.sum(near * x), np.sum(near * y)]) / near.sum()
        np.testing.assert_allclose(found, (px, py), atol=0.1)


def test_what_is_outside_of_the_photograph_is_black():
    face = align(np.ones((100, 100, 3), np.float32), CANONICAL_POINTS)
    assert face[50, 50].tolist() == [1, 1, 1]
    assert face[150, 150].tolist() == [0, 0, 0]
