import numpy as np

from dfi_jax.photo.two_scales import fit_two_scales


def test_the_map_is_a_turn_with_two_scales_and_leaves_the_distance():
    rng = np.random.default_rng(0)
    p, q = rng.normal(100, 30, (4, 68, 2)), rng.normal(100, 30, (68, 2))
    # Three faces are the anchor, turned, stretched and moved; the last has nothing to do with it.
    for i, degrees in enumerate((-25, 0, 40)):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        p[i] = (q * rng.uniform(0.5, 2, 2) + rng.uniform(-50, 50, 2)) @ [[c, s], [-s, c]]
    fit = fit_two_scales(p, q)
    linear, shift = fit.matrices[:, :, :2], fit.matrices[:, :, 2]
    moved = np.einsum("rij,rpj->rpi", linear, p) + shift[:, None]
    left = np.linalg.norm(moved - q, axis=(1, 2))
    # A distance of 0 is the root of a difference of sums of about 1e5, in float64.
    np.testing.assert_allclose(fit.distances, left, rtol=1e-6, atol=1e-4)
    # The grid's last step is 0.0025°, which is 0.004 pixels at 100 pixels from the centre.
    np.testing.assert_allclose(moved[:3], np.broadcast_to(q, (3, 68, 2)), atol=0.01)
    # With rows at right angles, the map is a rotation, and then a scale for x and one for y.
    np.testing.assert_allclose(np.sum(linear[:, 0] * linear[:, 1], axis=1), 0, atol=1e-9)


def test_a_face_without_points_fits_nowhere():
    q = np.random.default_rng(0).normal(0, 10, (5, 2))
    fit = fit_two_scales(np.stack([q, np.full((5, 2), np.nan)]), q)
    assert np.isnan(fit.distances).tolist() == [False, True]
