import numpy as np

from dfi_jax.data.distances import landmark_distance


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
