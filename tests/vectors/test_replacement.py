import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfi_jax import AttributeVector, Replacement, combine, starter
from dfi_jax.vectors import replacement
from dfi_jax.vectors.fitted import FittedDataset
from dfi_jax.vectors.origin import Origin


@pytest.fixture
def spot():
    """A vector that is 1 in a square of 4 × 4 positions, and noise of 0.01 elsewhere."""
    w = np.random.default_rng(0).normal(scale=0.01, size=(40, 40, 8)).astype(np.float32)
    w[10:14, 20:24] = 1
    return {"layer": jnp.asarray(w)}


@pytest.fixture(scope="module")
def fitted():
    """Sums of 40 images whose features have the mean 2."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(40, 3)).astype(np.float32)
    phi = rng.normal(size=(40, 4, 4, 2))
    phi += 2 - phi.mean(axis=0)
    design = np.column_stack([np.ones(40), scores])
    origin = Origin(
        dataset="random",
        attributes=("Eyeglasses", "Young", "No Beard"),
        network="none",
        weights_sha256="",
        layers=("conv1_1",),
        size=4,
        crop=None,
        normalization=None,
        where="",
        images="",
        total=40,
    )
    return FittedDataset(
        origin=origin,
        scores=scores,
        products={"conv1_1": np.tensordot(design.T, phi, 1).astype(np.float32)},
        squares={"conv1_1": np.square(phi).sum(axis=0).astype(np.float32)},
    )


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


@pytest.mark.parametrize(("rows", "located"), [(15, True), (17, False)])
def test_an_attribute_that_lies_nearly_everywhere_is_not_replaced(rows, located):
    # Two layers, of which m is 1 in the first rows of each: the mean decides, not each layer.
    wide = {
        "one": jnp.zeros((40, 10, 1)).at[:rows].set(1.0),
        "two": jnp.zeros((40, 10, 1)).at[:8].set(1.0),
    }
    found = replacement.locate(wide)
    assert all(bool(m.any()) == located for m in found.values())


@pytest.mark.parametrize("name", ["older", "blond"])
def test_age_and_the_colour_of_hair_are_only_subtracted(name):
    taken = starter(f"~{name}").replacement
    assert not any(m.any() for masks in (taken.forwards, taken.backwards) for m in masks.values())


def test_a_starter_replaces_only_in_the_direction_that_takes_its_attribute_away():
    added, taken = starter("eyeglasses").replacement, starter("~eyeglasses").replacement
    assert not any(mask.any() for mask in added.forwards.values())
    assert all(float(mask.max()) == 1 for mask in added.backwards.values())
    jax.tree.map(np.testing.assert_array_equal, taken, added.opposite())
    turned = starter("eyeglasses").scaled(-2.0).replacement
    jax.tree.map(np.testing.assert_array_equal, turned, taken)


def test_spectacles_lie_at_the_eyes():
    mask = np.asarray(starter("eyeglasses").replacement.backwards["conv4_1"])[..., 0]
    # The eyes of the canonical crop are at (76, 110) and (124, 109), and the mouth at (101, 163).
    eyes, mouth = mask[109 // 8, [76 // 8, 124 // 8]], mask[163 // 8, 101 // 8]
    assert eyes.min() == 1
    assert max(mouth, mask[:4].max(), mask[-3:].max()) < 0.3


@pytest.mark.parametrize("attribute", ["Eyeglasses", "~Young", "~No Beard"])
def test_the_vector_of_a_fitted_attribute_replaces_where_it_takes_something_away(fitted, attribute):
    added = fitted.vector(attribute).replacement
    taken = fitted.vector(attribute[1:] if attribute[0] == "~" else f"~{attribute}").replacement
    assert not any(mask.any() for mask in added.forwards.values())
    jax.tree.map(np.testing.assert_array_equal, taken, added.opposite())
    np.testing.assert_allclose(added.average["conv1_1"], 2.0)


def test_combined_vectors_replace_what_any_of_them_takes_away():
    both = combine([(starter("smiling"), 1.0), (starter("eyeglasses"), -0.5)]).replacement
    smiling, glasses = starter("smiling").replacement, starter("eyeglasses").replacement
    for layer in both.forwards:
        np.testing.assert_allclose(both.forwards[layer], 0.5 * glasses.backwards[layer])
        np.testing.assert_allclose(both.backwards[layer], smiling.backwards[layer])
        np.testing.assert_allclose(both.average[layer], glasses.average[layer], rtol=1e-6)


def test_nothing_is_replaced_more_than_once_where_more_is_left_of_a_vector_than_there_was():
    one = {"layer": jnp.ones((1, 1, 2))}
    part = Replacement(average=one, forwards=one, backwards=one)
    found = replacement.keep_left(part, one, {"layer": -3 * one["layer"]})
    jax.tree.map(np.testing.assert_array_equal, found, part)


def test_the_average_of_a_combination_is_that_of_what_is_replaced():
    none, one = {"layer": jnp.zeros((1, 1, 1))}, {"layer": jnp.ones((1, 1, 1))}
    elsewhere = Replacement(average={"layer": 5 * one["layer"]}, forwards=none, backwards=none)
    here = Replacement(average={"layer": 3 * one["layer"]}, forwards=one, backwards=none)
    found = replacement.combine([(elsewhere, 1.0), (here, 1.0)])
    np.testing.assert_allclose(found.average["layer"], 3.0, rtol=1e-5)


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
