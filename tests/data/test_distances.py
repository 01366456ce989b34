import numpy as np
import pytest

from dfi_jax.data.distances import landmark_distance, two_scale_distance


def test_the_landmark_distance_is_what_the_best_similarity_leaves():
    rng = np.random.default_rng(1)
    p, q = rng.normal(0, 5, (1, 5, 2)), rng.normal(0, 5, (5, 2))
    x, y = p[0].T
    columns = np.concatenate(
        [
            np.stack([x, -y, np.ones(5), np.zeros(5)], 1),
            np.stack([y, x, np.zeros(5), np.ones(5)], 1),
        ]
    )
    _, residual, *_ = np.linalg.lstsq(columns, np.concatenate([q[:, 0], q[:, 1]]), rcond=None)
    expected = np.sqrt(residual[0]) / np.linalg.norm(q - q.mean(axis=0))
    found = landmark_distance(p.__getitem__, q)(np.array([0]))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_the_two_scale_distance_is_what_the_best_turn_scales_and_shift_leave():
    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(2)
    q = rng.normal(0, 30, (68, 2)) + 100
    p = np.stack([q * rng.uniform(0.4, 2, 2) + rng.normal(0, 5, (68, 2)) for _ in range(6)])
    for i, degrees in enumerate((-60, -20, 0, 5, 25, 45)):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        p[i] = p[i] @ np.array([[c, s], [-s, c]])
    p[5] = rng.normal(0, 30, (68, 2))  # These points have nothing to do with the others.

    def left(unknowns, points):
        angle, scales, shift = unknowns[0], unknowns[1:3], unknowns[3:]
        c, s = np.cos(angle), np.sin(angle)
        return (np.abs(scales) * (points @ np.array([[c, s], [-s, c]])) + shift - q).ravel()

    expected = []
    for points in p:
        starts = [np.array([angle, 1, 1, 0, 0]) for angle in np.linspace(-3, 3, 13)]
        fits = [optimize.least_squares(left, start, args=(points,)) for start in starts]
        expected.append(np.sqrt(2 * min(fit.cost for fit in fits)))
    found = two_scale_distance(p.__getitem__, q)(np.arange(6))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
