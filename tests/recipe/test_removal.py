import jax.numpy as jnp
import numpy as np
import pytest

from dfi_jax import Replace, Replacement

RNG = np.random.default_rng(0)
PHI = RNG.normal(size=(4, 5, 5, 3)).astype(np.float32)
VECTOR = RNG.normal(size=(4, 5, 5, 3)).astype(np.float32)
AVERAGE = RNG.normal(size=(5, 5, 3)).astype(np.float32)
FORWARDS, BACKWARDS = RNG.uniform(size=(2, 5, 5, 1)).astype(np.float32)
ALPHAS = np.array([0.4, 3.0, -0.6, 0.0], np.float32)
REPLACEMENT = Replacement(
    average={"layer": jnp.asarray(AVERAGE)},
    forwards={"layer": jnp.asarray(FORWARDS)},
    backwards={"layer": jnp.asarray(BACKWARDS)},
)


def move(stage, alphas=ALPHAS, replacement=REPLACEMENT):
    phi, vector = ({"layer": jnp.asarray(a)} for a in (PHI, VECTOR))
    return stage.move(phi, vector, jnp.asarray(alphas), replacement)["layer"]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("subtracted", [0.0, 0.5, 1.0])
def test_a_replacement_is_its_formula(share, subtracted):
    moved = move(Replace(share=share, subtracted=subtracted))
    masks = (0.4 * FORWARDS, FORWARDS, 0.6 * BACKWARDS, 0 * FORWARDS)
    pairs = zip(moved, masks, PHI.astype(np.float64), VECTOR.astype(np.float64), strict=True)
    for found, mask, phi, vector in pairs:
        expected = share * mask * (AVERAGE - phi - (1 - subtracted) * vector)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_full_replacement_has_the_average_s_features():
    everywhere = REPLACEMENT._replace(forwards={"layer": jnp.ones((5, 5, 1))})
    target = PHI + VECTOR + move(Replace(subtracted=0.0), np.ones(4, np.float32), everywhere)
    np.testing.assert_allclose(target, np.broadcast_to(AVERAGE, PHI.shape), atol=1e-6)
