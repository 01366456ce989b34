import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfi_jax import AttributeVector, Replacement, combine, starter
from dfi_jax.vectors import replacement


@pytest.fixture
def spot():
    """A vector that is 1 in a square of 4 × 4 positions, and noise of 0.01 elsewhere."""
    w = np.random.default_rng(0).normal(scale=0.01, size=(40, 40, 8)).astype(np.float32)
    w[10:14, 20:24] = 1
    return {"layer": jnp.asarray(w)}


def test_an_attribute_lies_where_its_vector_is_long(spot):
    found = np.array(replacement.locate(spot)["layer"])[..., 0]
    assert (found[10:14, 20:24] == 1).all()
    found[10:14, 20:24] = 0
    # The noise is a hundredth of the peak, and its excess over the median is divided by 0.3.
    assert found.max() < 0.06
    assert np.median(found) == 0


def test_where_an_attribute_lies_does_not_depend_on_its_strength(spot):
    scaled = {"layer": -7 * spot["layer"]}
    expected, found = (replacement.locate(w)["layer"] for w in (spot, scaled))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_vector_that_is_the_same_everywhere_lies_nowhere():
    assert not replacement.locate({"layer": jnp.ones((5, 5, 2))})["layer"].any()


def test_a_starter_replaces_only_in_the_direction_that_takes_its_attribute_away():
    added, taken = starter("eyeglasses").replacement, starter("~eyeglasses").replacement
    assert not any(mask.any() for mask in added.forwards.values())
    assert all(float(mask.max()) == 1 for mask in added.backwards.values())
    jax.tree.map(np.testing.assert_array_equal, taken, replacement.opposite(added))
    turned = starter("eyeglasses").scaled(-1.0).replacement
    jax.tree.map(np.testing.assert_array_equal, turned, taken)


def test_spectacles_lie_at_the_eyes():
    mask = np.asarray(starter("eyeglasses").replacement.backwards["conv4_1"])[..., 0]
    y, x = (np.average(axis, weights=mask) for axis in np.indices(mask.shape))
    # The eyes of the canonical crop are at (76, 110) and (124, 109) of 200 pixels.
    assert np.hypot(x * 8 + 3.5 - 100, y * 8 + 3.5 - 110) < 12


def test_combined_vectors_replace_what_any_of_them_takes_away():
    both = combine([(starter("smiling"), 1.0), (starter("eyeglasses"), -0.5)]).replacement
    smiling, glasses = starter("smiling").replacement, starter("eyeglasses").replacement
    for layer in both.forwards:
        np.testing.assert_allclose(both.forwards[layer], 0.5 * glasses.backwards[layer])
        np.testing.assert_allclose(both.backwards[layer], smiling.backwards[layer])
        np.testing.assert_allclose(both.average[layer], glasses.average[layer], rtol=1e-6)


def test_a_file_holds_the_replacement(tmp_path):
    vector = starter("~smiling")
    for dtype in ("float32", "int8"):
        vector.save(tmp_path / "v.safetensors", dtype=dtype)
        found = AttributeVector.load(tmp_path / "v.safetensors").replacement
        assert isinstance(found, Replacement)
        for kept, part in zip(
            jax.tree.leaves(found), jax.tree.leaves(vector.replacement), strict=True
        ):
            # int8 keeps 127 levels of each channel's range.
            atol = 0 if dtype == "float32" else float(jnp.abs(part).max()) / 250
            np.testing.assert_allclose(kept, part, atol=atol)


def test_a_file_without_a_replacement_has_none(tmp_path):
    starter("older").replace(replacement=None).save(tmp_path / "v.safetensors")
    assert AttributeVector.load(tmp_path / "v.safetensors").replacement is None
