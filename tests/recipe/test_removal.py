import jax.numpy as jnp
import numpy as np
import pytest

from dfi_jax import InputError, Recipe, Replace, Replacement, Subtract

RNG = np.random.default_rng(0)
PHI = RNG.normal(size=(4, 5, 5, 3)).astype(np.float32)
AVERAGE = RNG.normal(size=(5, 5, 3)).astype(np.float32)
FORWARDS, BACKWARDS = RNG.uniform(size=(2, 5, 5, 1)).astype(np.float32)
ALPHAS = np.array([0.4, 3.0, -0.6, 0.0], np.float32)
REPLACEMENT = Replacement(
    average={"layer": jnp.asarray(AVERAGE)},
    forwards={"layer": jnp.asarray(FORWARDS)},
    backwards={"layer": jnp.asarray(BACKWARDS)},
)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_replacement_is_its_formula(share):
    moved = Replace(share=share).move(
        {"layer": jnp.asarray(PHI)}, jnp.asarray(ALPHAS), REPLACEMENT
    )["layer"]
    masks = (0.4 * FORWARDS, FORWARDS, 0.6 * BACKWARDS, 0 * FORWARDS)
    for found, mask, phi in zip(moved, masks, PHI.astype(np.float64), strict=True):
        np.testing.assert_allclose(found, share * mask * (AVERAGE - phi), atol=1e-6)


def test_a_full_replacement_has_the_average_s_features():
    everywhere = REPLACEMENT._replace(forwards={"layer": jnp.ones((5, 5, 1))})
    moved = Replace().move({"layer": jnp.asarray(PHI)}, jnp.ones(4), everywhere)["layer"]
    np.testing.assert_allclose(PHI + moved, np.broadcast_to(AVERAGE, PHI.shape), atol=1e-6)


def test_subtracting_replaces_nothing():
    moved = Subtract().move({"layer": jnp.asarray(PHI)}, jnp.asarray(ALPHAS), REPLACEMENT)["layer"]
    assert not moved.any()
    assert Recipe().set({"removal": "subtract"}).removal == Subtract()


def test_more_than_everything_is_not_replaced():
    with pytest.raises(InputError, match=r"share is 1\.5; give 1 or less"):
        Replace(share=1.5)
