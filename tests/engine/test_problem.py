import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from builders import make_vector, small_recipe

from dfi_jax import InputError, Replacement, features, make_problem, objective
from dfi_jax.engine.problem import ACTIVATION_COPIES, problem_bytes


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


def test_another_number_of_images_than_of_strengths_is_rejected(random_vgg, waves):
    recipe = small_recipe()
    w = make_vector(random_vgg, recipe).features
    with pytest.raises(InputError, match="there are 3 images and 2 alphas; give one image, or"):
        make_problem(random_vgg, waves, w, [0.1, 0.2], recipe=recipe)


def test_arrays_of_another_shape_or_type_are_rejected(random_vgg, waves):
    recipe = small_recipe()
    w = make_vector(random_vgg, recipe).features
    make = inspect.unwrap(make_problem)  # The tests' own checks of shapes would come first.
    for images in (waves[0], waves[..., :2], (255 * waves).astype(np.uint8)):
        with pytest.raises(InputError, match=r"; give floats in \[0, 1\] of the shape \(n, height"):
            make(random_vgg, images, w, [0.1], recipe=recipe)
    with pytest.raises(InputError, match=r"have the shape \(\); give a list of strengths, such as"):
        make(random_vgg, waves, w, 0.4, recipe=recipe)
    for vector in ({"conv1_2": w["conv1_2"]}, w | {"conv3_1": w["conv2_1"]}):
        with pytest.raises(InputError, match="and the recipe conv1_2, conv2_1; give the recipe's"):
            make(random_vgg, waves, vector, [0.1] * 3, recipe=recipe)
    with pytest.raises(InputError, match=r"in conv2_1, and the images' features"):
        make(random_vgg, waves, w | {"conv2_1": w["conv2_1"][1:]}, [0.1] * 3, recipe=recipe)
    with pytest.raises(InputError, match=r"give one image per alpha, \(2, 16, 16, 3\)"):
        make(random_vgg, waves[:1], w, [0.1, 0.2], recipe=recipe, start=waves)


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
    unguarded = small_recipe(solver="unguarded_lbfgs", solver__memory=10)
    assert problem_bytes("vgg16", recipe=unguarded) == pairs[0]


def test_memory_is_that_of_what_the_network_sees():
    padded = small_recipe(size=65, features__preparation="padding")
    assert problem_bytes("vgg16", recipe=padded) == problem_bytes(
        "vgg16", recipe=small_recipe(size=128)
    )
    # Rounding up adds an activation of 33 × 33 − 32 × 32 positions in 128 channels to the target
    # and to the activations.
    down, up = (
        problem_bytes("vgg16", recipe=small_recipe(size=65, features__pool_rounding=each))
        for each in ("down", "up")
    )
    added = 128 * (33**2 - 32**2)
    assert up - down == pytest.approx(4 * (1 + ACTIVATION_COPIES) * added, abs=8)


def test_sizes_are_rounded_as_the_recipe_says_in_problem_and_objective(random_vgg):
    rng = np.random.default_rng(0)
    x, z = (jnp.asarray(rng.random((1, 17, 17, 3)), jnp.float32) for _ in range(2))
    recipe = small_recipe(
        size=17, layers=("conv2_1",), features__pool_rounding="up", objective__loss="sum_squares"
    )
    w = make_vector(random_vgg, recipe).features
    problem = make_problem(random_vgg, x, w, [0.5], recipe=recipe)
    phi, moved = (
        np.asarray(
            features(random_vgg, image, layers=("conv2_1",), pool_rounding="up")["conv2_1"],
            np.float64,
        )
        for image in (x, z)
    )
    assert phi.shape == (1, 9, 9, 128)
    target = phi + 0.5 * 4.0 * np.asarray(w["conv2_1"])
    np.testing.assert_allclose(problem.target["conv2_1"], target, rtol=1e-4, atol=1e-4)
    value = objective(random_vgg, z, problem, recipe=recipe)[0]
    assert value == pytest.approx(np.sum((moved - target) ** 2) / 2, rel=1e-4)


def test_a_target_is_the_photo_the_vector_and_what_is_replaced(random_vgg, waves):
    recipe = small_recipe(vector__factor=3.0)
    w = make_vector(random_vgg, recipe).features
    half = {name: jnp.full((*layer.shape[:2], 1), 0.5) for name, layer in w.items()}
    average = {name: layer + 1 for name, layer in w.items()}
    alphas = [0.0, 0.5, -1.0]
    away = Replacement(average, forwards=half, backwards=jax.tree.map(jnp.zeros_like, half))
    found, plain, subtracted = (
        make_problem(random_vgg, waves, w, alphas, recipe=r, replacement=replacement).target
        for r, replacement in (
            (recipe, away),
            (recipe, None),
            (recipe.set({"removal": "none"}), away),
        )
    )
    phi = features(random_vgg, waves, layers=recipe.features.layers)
    for name in w:
        np.testing.assert_array_equal(subtracted[name], plain[name])
        np.testing.assert_array_equal(found[name][0], phi[name][0])
        np.testing.assert_array_equal(found[name][2], plain[name][2])
        # Half of the vector is left where everything is replaced, and 7/8 with a share of 1/4.
        vector = 7 / 8 * 0.5 * 3 * w[name]
        expected = phi[name][1] + 0.25 * (average[name] - phi[name][1]) + vector
        np.testing.assert_allclose(found[name][1], expected, atol=1e-4)


def test_a_replacement_is_entire_at_the_recipe_s_usual_strength(random_vgg, waves):
    # The vector is zero, so that the target is what is replaced.
    recipe = small_recipe(vector="unit_times_phi")
    w = jax.tree.map(jnp.zeros_like, make_vector(random_vgg, recipe).features)
    everywhere = {name: jnp.ones((*layer.shape[:2], 1)) for name, layer in w.items()}
    away = Replacement(w, forwards=everywhere, backwards=everywhere)
    target = make_problem(
        random_vgg, waves, w, [0.4, -0.4, 0.2], recipe=recipe, replacement=away
    ).target
    phi = features(random_vgg, waves, layers=recipe.features.layers)
    for name in w:
        np.testing.assert_allclose(target[name][:2], 0, atol=1e-5)
        np.testing.assert_allclose(target[name][2], phi[name][2] / 2, atol=1e-5)
