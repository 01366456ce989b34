import jax.numpy as jnp
import numpy as np
import pytest
from builders import make_vector, small_recipe

from dfi_jax import make_problem
from dfi_jax.engine.problem import problem_bytes


def test_a_problem_starts_where_the_recipe_says_or_where_it_is_told(random_vgg, waves):
    alphas = jnp.full(3, 0.3)
    starts = {}
    for start in ("image", "noise", "previous"):
        recipe = small_recipe(start=start)
        w = make_vector(random_vgg, recipe).features
        starts[start] = make_problem(random_vgg, waves, w, alphas, recipe=recipe).start
    np.testing.assert_array_equal(starts["image"], waves)
    np.testing.assert_array_equal(starts["previous"], waves)
    mean = np.asarray(random_vgg.preprocess.mean_rgb)
    assert np.abs(np.asarray(starts["noise"]) - mean).max() <= 10.001 / 255
    told = make_problem(random_vgg, waves, w, alphas, recipe=recipe, start=waves / 2).start
    np.testing.assert_array_equal(told, waves / 2)


def test_the_norms_of_the_relative_loss_are_those_of_each_layer(random_vgg, waves):
    # The scope of the vector's scaling doesn't change the norms.
    recipe = small_recipe(vector="unit_times_phi", vector__scope="concat")
    w = make_vector(random_vgg, recipe).features
    problem = make_problem(random_vgg, waves, w, jnp.zeros(3), recipe=recipe)
    for name, square in problem.square_norms.items():
        expected = np.sum(np.asarray(problem.target[name], np.float64) ** 2, axis=(1, 2, 3))
        np.testing.assert_allclose(square, expected, rtol=1e-5)


def test_memory_grows_with_size_and_pairs():
    sizes = [problem_bytes("vgg16", recipe=small_recipe(size=size)) for size in (64, 128)]
    assert sizes[1] == pytest.approx(4 * sizes[0])
    pairs = [problem_bytes("vgg16", recipe=small_recipe(solver__memory=m)) for m in (10, 20)]
    assert pairs[1] - pairs[0] == 10 * 2 * 4 * 3 * 16 * 16
    adam = problem_bytes("vgg16", recipe=small_recipe(solver="adam"))
    assert adam < pairs[0]
