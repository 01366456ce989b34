"""What the experiments compute themselves, compared with another way to compute it."""

import matched_edits
import numpy as np
import pytest
from gain_curves import Curves
from neighbor_vectors import neighbor_vectors

import dfi_jax
from dfi_jax.data.selection import spread
from dfi_jax.vectors.estimate import attribute_vector

QUICK = {"features.layers": "conv1_2,conv2_1", "features.size": "32"}


@pytest.fixture(scope="module")
def people():
    return dfi_jax.load_dataset("synthetic:60")


@pytest.mark.parametrize("shrinkage", [dfi_jax.Unshrunk(), dfi_jax.Wiener()])
def test_vectors_of_many_photos_are_those_of_each_selection(random_vgg, people, shrinkage):
    recipe = dfi_jax.Recipe(shrinkage=shrinkage).set(QUICK)
    selections = [spread(people, name, k=6) for name in ("Smiling", "Eyeglasses")]
    (found,) = neighbor_vectors(random_vgg, selections, [recipe.features], shrinkage=shrinkage)
    for i, selection in enumerate(selections):
        expected = attribute_vector(random_vgg, selection, recipe=recipe).features
        for name, layer in expected.items():
            # The variance is a difference of squares in float32.
            np.testing.assert_allclose(
                found[name][i], layer, atol=1e-3 * float(np.abs(layer).max())
            )


@pytest.mark.parametrize("kind", ["gain", "unit", "unit_times_phi", "mean_square"])
@pytest.mark.parametrize("normalization", ["none", "l2"])
def test_problems_of_many_photos_are_those_of_each_photo(random_vgg, people, kind, normalization):
    recipe = dfi_jax.Recipe().set(QUICK)
    recipe = recipe.set({"vector": kind, "features.normalization": normalization})
    faces = np.stack([people.face(row, 32) for row in (0, 1)])
    selections = [spread(people, name, k=6) for name in ("Smiling", "Eyeglasses")]
    (photos,) = matched_edits.see(random_vgg, faces, selections, [recipe.features])
    problem = photos.problem(0.4 * photos.factors(recipe.vector))
    for i, face in enumerate(faces):
        vector = {name: layer[i] for name, layer in photos.vectors.items()}
        alone = dfi_jax.make_problem(random_vgg, face[None], vector, [0.4], recipe=recipe)
        for name, layer in alone.target.items():
            np.testing.assert_allclose(problem.target[name][i], layer[0], rtol=1e-4, atol=1e-4)
            norms = problem.square_norms[name][i], alone.square_norms[name][0]
            np.testing.assert_allclose(*norms, rtol=1e-5)


def test_strengths_are_found_on_gains_that_are_known():
    # The gains are length·slope, up to a largest gain.
    slopes, largest = np.array([1.0, 2.0, 0.1, 1.0]), np.array([9, 9, 9, 0.3])
    curves = Curves.trace(
        lambda lengths: np.minimum(lengths * slopes, largest), photos=4, goal=0.5, rounds=3
    )
    needed = curves.needed(0.5)
    np.testing.assert_allclose(needed[:3], 0.5 / slopes[:3])
    assert np.isnan(needed[3])
    alpha = curves.strength(np.array([1.0, 1.0, 1.0, 1.0]), 0.5)
    assert np.mean(np.minimum(alpha * slopes, largest)) == pytest.approx(0.5, rel=0.05)
