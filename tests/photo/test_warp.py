import numpy as np
import pytest
from scipy.interpolate import RBFInterpolator

from dfi_jax.errors import InputError
from dfi_jax.photo.faces import CANONICAL_LANDMARKS
from dfi_jax.photo.warp import Warp, folds


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


def narrowed(share):
    """Landmarks of a face whose left half is narrower, and the right half wider, by a share."""
    x, y = CANONICAL_LANDMARKS.T
    return np.column_stack([x - share * np.abs(x - 100), y])


@pytest.mark.parametrize(("share", "smoothing"), [(0.3, 50), (0.7, 500), (0.8, 5000)])
def test_a_warp_is_the_thin_plate_spline_of_the_least_smoothing_that_does_not_fold(
    share, smoothing
):
    ends = (-40, 53, 146, 239)
    ring = [(x, y) for x in ends for y in ends if x in (-40, 239) or y in (-40, 239)]
    face, mean = (np.concatenate([each, ring]) for each in (narrowed(share), CANONICAL_LANDMARKS))
    along = np.arange(51) * 4 - 0.5
    points = np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2)
    warp = Warp.between(narrowed(share), CANONICAL_LANDMARKS)
    for found, here, there in ((warp.to_face, mean, face), (warp.to_average, face, mean)):
        # SciPy's kernel is r²·log r, half of ours.
        spline = RBFInterpolator(here, there, kernel="thin_plate_spline", smoothing=smoothing / 2)
        np.testing.assert_allclose(found.reshape(-1, 2), spline(points), atol=1e-6)


def test_a_pixel_of_a_warped_image_is_the_mean_of_four_samples():
    warp = Warp.between(CANONICAL_LANDMARKS, CANONICAL_LANDMARKS)
    dot = np.zeros((200, 200, 3), np.float32)
    dot[60, 80] = 1
    # Each is a quarter of a pixel away in x and y, where cubic convolution weighs (Keys, 1981):
    weight = 1.5 * 0.25**3 - 2.5 * 0.25**2 + 1
    assert warp.back(dot)[60, 80, 1] == pytest.approx(weight**2, abs=1e-5)


def test_features_that_change_places_are_rejected():
    mirrored = CANONICAL_LANDMARKS * [-1, 1] + [200, 0]
    for points in (mirrored, narrowed(0.9)):
        with pytest.raises(InputError, match="turned too far"):
            Warp.between(points, CANONICAL_LANDMARKS)


def test_a_map_folds_where_its_jacobian_s_determinant_isn_t_positive():
    grid = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0)), axis=-1)
    linear = np.random.default_rng(0).normal(size=(50, 2, 2))
    for matrix in linear:
        assert folds(grid @ matrix.T) == (np.linalg.det(matrix) <= 0)
    assert folds(np.zeros_like(grid))
    for row, column in ((0, 0), (2, 3)):  # One corner of one cell turns over.
        bent = grid.copy()
        bent[row, column] += 1.5
        assert folds(bent)
