import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from builders import LAYERS, make_vector, small_recipe

from dfi_jax import InputError, Replacement, Wiener, combine, project_out

RECIPE = small_recipe()


@pytest.fixture
def vector(random_vgg):
    found = make_vector(random_vgg, RECIPE)
    made = dataclasses.replace(found.provenance, attributes=("Smiling", "~Male"))
    return found.replace(provenance=made)


def as_row(vector):
    """All activations in float64."""
    return np.concatenate([np.asarray(vector.features[n], np.float64).ravel() for n in LAYERS])


def test_combined_vectors_are_added_with_their_strengths(random_vgg, vector):
    other = make_vector(random_vgg, RECIPE, seed=1)
    total = combine([(vector, 1.0), (other, -0.5)])
    for name in LAYERS:
        a, b = (np.asarray(v.features[name], np.float64) for v in (vector, other))
        np.testing.assert_allclose(total.features[name], a - 0.5 * b, atol=1e-5)
    assert total.provenance.attributes == ("1 × Smiling,~Male", "-0.5 × Smiling")
    assert total.provenance.n_target == 20


def test_vectors_stay_float32_in_a_process_that_uses_float64(vector):
    nowhere = {name: jnp.zeros((*w.shape[:2], 1)) for name, w in vector.features.items()}
    vector = vector.replace(replacement=Replacement(vector.features, nowhere, nowhere))
    with jax.enable_x64(True):
        found = combine([(vector, np.float64(0.5))]), vector.scaled(np.float64(2))
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype("float32")}


def test_a_sum_states_what_its_vectors_agree_in_and_names_the_rest(vector):
    made = dataclasses.replace(
        vector.provenance, near="scores", where="+Male", held=("Young",), kept=("Bangs", "Hat")
    )
    other = dataclasses.replace(
        made, near="pixels", held=(), kept=("Hat",), shrinkage=Wiener(strength=3.0)
    )
    total = combine([(vector.replace(provenance=each), 1.0) for each in (made, other)]).provenance
    assert (total.near, total.where, total.held, total.kept) == ("", "+Male", (), ("Hat",))
    assert total.note == "sum of vectors that differ in near, held, shrinkage"


def test_a_vector_alone_is_scaled(vector):
    for name, layer in combine([(vector, -2.0)]).features.items():
        np.testing.assert_array_equal(layer, -2 * vector.features[name])


def test_vectors_that_do_not_fit_together_are_not_combined(random_vgg, vector):
    other = make_vector(random_vgg, small_recipe(size=32))
    with pytest.raises(InputError, match="were made with different size"):
        combine([(vector, 1.0), (other, 1.0)])
    with pytest.raises(InputError, match="a strength is nan"):
        combine([(vector, float("nan"))])
    with pytest.raises(InputError, match="no attribute vector"):
        combine([])


def test_a_vector_without_others_is_the_residual_of_its_regression_on_them(random_vgg, vector):
    # The two others are far from orthogonal.
    first = make_vector(random_vgg, RECIPE, seed=1)
    second = combine([(first, 0.9), (make_vector(random_vgg, RECIPE, seed=2), 0.1)])
    w = combine([(vector, 1.0), (first, 2.0)]).replace(provenance=vector.provenance)
    left = project_out(w, [first, second])
    others = np.stack([as_row(first), as_row(second)], axis=1)
    shares, *_ = np.linalg.lstsq(others, as_row(w), rcond=None)
    # The sums over 30,000 activations are float32's.
    np.testing.assert_allclose(as_row(left), as_row(w) - others @ shares, atol=1e-3)
    assert np.linalg.norm(as_row(left)) < 0.6 * np.linalg.norm(as_row(w))
    assert left.provenance.kept == ("Smiling", "0.9 × Smiling", "0.1 × Smiling")


def test_a_vector_without_others_knows_the_noise_that_it_was_estimated_with(random_vgg, vector):
    made = dataclasses.replace(
        vector.provenance, length=(3.0, 4.0), noise=(2.0, 1.0), calibration=((1.0, 0.5),)
    )
    left = project_out(vector.replace(provenance=made), [make_vector(random_vgg, RECIPE, seed=1)])
    assert (left.provenance.length, left.provenance.noise) == (made.length, made.noise)
    assert left.provenance.calibration == ()  # It moves faces less.


def test_nothing_is_replaced_where_a_vector_is_projected_out(vector):
    here, there = (np.zeros((6, 6, 1), np.float32) for _ in range(2))
    here[1:3], there[4:] = 1, 1
    everywhere = dict.fromkeys(LAYERS, jnp.ones((6, 6, 1)))
    both, one = (
        vector.replace(
            features=dict.fromkeys(LAYERS, jnp.asarray(w)),
            replacement=Replacement(everywhere, everywhere, everywhere),
        )
        for w in (here + 2 * there, there)
    )
    left = project_out(both, [one]).replacement
    for name in LAYERS:
        for mask in (left.forwards[name], left.backwards[name]):
            # Where w is 0, nothing is left of it either.
            np.testing.assert_allclose(mask, here, atol=1e-6)
        np.testing.assert_array_equal(left.average[name], everywhere[name])


def test_without_others_a_vector_stays_as_it_is(vector):
    assert project_out(vector, []) is vector


def test_nothing_is_left_of_a_vector_without_itself(vector):
    with pytest.raises(InputError, match="nothing is left of the vector Smiling,~Male"):
        project_out(vector, [vector.scaled(2.0)])


def test_vectors_of_another_size_cannot_be_kept(random_vgg, vector):
    with pytest.raises(InputError, match="were made with different size"):
        project_out(vector, [make_vector(random_vgg, small_recipe(size=32))])
