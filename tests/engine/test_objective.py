import jax
import jax.numpy as jnp
import numpy as np
import pytest
from builders import LAYERS, make_vector, small_recipe

from dfi_jax import RECIPES, features, make_problem, objective
from dfi_jax.engine.objective import evaluate


@pytest.fixture
def image():
    return jnp.asarray(np.random.default_rng(0).random((1, 16, 16, 3)), jnp.float32)


def problem_of(vgg, image, recipe, alpha=0.4):
    w = make_vector(vgg, recipe).features
    return make_problem(vgg, image, w, jnp.asarray([alpha]), recipe=recipe)


def test_at_the_photo_the_relative_loss_is_the_strength_squared(random_vgg, image):
    # ‖φ(x) − (φ(x) + α‖φ(x)‖w/‖w‖)‖² = α²‖φ(x)‖² in each layer.
    recipe = small_recipe(vector="unit_times_phi")
    problem = problem_of(random_vgg, image, recipe)
    value = objective(random_vgg, image, problem, recipe=recipe)[0]
    assert value == pytest.approx(len(LAYERS) * 0.4**2 / 2, rel=1e-5)


def test_a_positive_strength_moves_features_along_the_vector(random_vgg, image):
    recipe = small_recipe(vector="gain", vector__factor=3)
    w = make_vector(random_vgg, recipe).features
    still, moved = (problem_of(random_vgg, image, recipe, alpha) for alpha in (0.0, 2.0))
    for name in LAYERS:
        difference = moved.target[name][0] - still.target[name][0]
        np.testing.assert_allclose(difference, 6 * w[name], rtol=1e-4, atol=1e-3)


def test_total_variation_is_added_on_the_image_as_the_network_takes_it(random_vgg, image):
    plain = small_recipe()
    rough = small_recipe(
        objective__total_variation="total_variation", objective__total_variation__weight=0.01
    )
    problem = problem_of(random_vgg, image, plain)
    values = [objective(random_vgg, image, problem, recipe=recipe)[0] for recipe in (plain, rough)]
    prepared = np.asarray(random_vgg.preprocess(image), np.float64)[0]
    expected = np.sum(np.diff(prepared, axis=0) ** 2) + np.sum(np.diff(prepared, axis=1) ** 2)
    assert values[1] - values[0] == pytest.approx(0.01 * expected, rel=1e-4)


def test_chainer_dfi_s_objective_is_its_published_formula(random_vgg, image):
    """Σ mean(d²) over layers, and 100·Σ(Δ²)/(3·200·200) of the image as the network takes it."""
    small = {"features.layers": ",".join(LAYERS), "features.size": "16"}
    recipe = RECIPES["chainer-dfi"].set(small)
    w = make_vector(random_vgg, recipe).features
    problem = make_problem(random_vgg, image, w, [0.4], recipe=recipe)
    z = jnp.flip(image, axis=1)
    phi, moved = (
        {name: np.asarray(layer[0], np.float64) for name, layer in found.items()}
        for found in (features(random_vgg, x, layers=LAYERS) for x in (image, z))
    )
    expected = 0.0
    for name in LAYERS:
        vector = np.asarray(w[name], np.float64)
        length = np.linalg.norm(phi[name]) / np.linalg.norm(vector)
        expected += np.mean((moved[name] - phi[name] - 0.4 * length * vector) ** 2)
    prepared = np.asarray(random_vgg.preprocess(z), np.float64)[0]
    rough = np.sum(np.diff(prepared, axis=0) ** 2) + np.sum(np.diff(prepared, axis=1) ** 2)
    found = objective(random_vgg, z, problem, recipe=recipe)[0]
    assert found == pytest.approx(expected + 100 * rough / 120_000, rel=1e-4)
    assert 100 * rough / 120_000 > 0.1 * expected  # Neither term is lost in the other.


def test_pixels_outside_the_bounds_cost_a_penalty_and_are_seen_clipped(random_vgg, image):
    recipe = small_recipe(objective__bounds__penalty=0.5)
    problem = problem_of(random_vgg, image, recipe)
    proposed = image.at[0, 0, 0, 0].set(1.3).at[0, 3, 3, 1].set(-0.2)
    found = evaluate(random_vgg, proposed, problem, recipe=recipe)
    clipped = jnp.clip(proposed, 0, 1)
    np.testing.assert_array_equal(found.images, clipped)
    expected = objective(random_vgg, clipped, problem, recipe=recipe)
    np.testing.assert_allclose(found.objective, expected, rtol=1e-6)
    unit = sum(
        np.sum(np.asarray(problem.target[name], np.float64) ** 2)
        / (2 * float(problem.square_norms[name][0]))
        for name in LAYERS
    )
    penalty = 0.5 * unit * (0.3**2 + 0.2**2)
    assert float(found.minimised[0] - found.objective[0]) == pytest.approx(penalty, rel=1e-4)


def test_dfi_tensorflow_s_objective_is_its_published_formula(random_vgg, image):
    """½Σd² of normalised features, λ·TV of summed channels, and the mean excess in grey levels."""
    recipe = small_recipe(
        features__normalization="l2",
        features__normalization__scope="concat",
        vector="unit",
        vector__scope="concat",
        objective__loss="sum_squares",
        objective__total_variation="channel_sum",
        objective__bounds="linear",
    )
    w = make_vector(random_vgg, recipe).features
    problem = make_problem(random_vgg, image, w, [0.4], recipe=recipe)
    z = (1.2 * jnp.flip(image, axis=1)) - 0.1
    phi, moved = (
        np.concatenate([np.asarray(layer, np.float64).ravel() for layer in found.values()])
        for found in (features(random_vgg, x, layers=LAYERS) for x in (image, z))
    )
    vector = np.concatenate([np.asarray(w[name], np.float64).ravel() for name in LAYERS])
    target = phi / np.linalg.norm(phi) + 0.4 * vector / np.linalg.norm(vector)
    distance = np.sum((moved / np.linalg.norm(moved) - target) ** 2) / 2
    levels = 255 * np.asarray(z, np.float64)[0]
    sums = np.pad(levels.sum(axis=2), ((0, 1), (0, 1)))
    rough = np.sum(np.diff(sums, axis=0)[:, :16] ** 2) + np.sum(np.diff(sums, axis=1)[:16] ** 2)
    excess = np.mean(np.maximum(0, -levels) + np.maximum(0, levels - 255))
    expected = distance + 0.001 * rough / (255 * 16 * 16 * 3) + excess
    found = evaluate(random_vgg, z, problem, recipe=recipe)
    assert float(found.objective[0]) == pytest.approx(expected, rel=1e-4)
    assert min(distance, 0.001 * rough / (255 * 16 * 16 * 3), excess) > 0.005 * expected
    np.testing.assert_array_equal(found.minimised, found.objective)
    np.testing.assert_array_equal(found.images, z)


@pytest.mark.parametrize("normalization", ["none", "l2"])
@pytest.mark.parametrize("scope", ["layer", "concat"])
def test_the_gradient_is_that_of_finite_differences(random_vgg, image, normalization, scope):
    settings = {} if normalization == "none" else {"features__normalization__scope": scope}
    recipe = small_recipe(
        features__normalization=normalization,
        vector="unit_times_phi",
        vector__scope=scope,
        objective__total_variation="total_variation",
        objective__total_variation__weight=0.01,
        objective__total_variation__beta=1.5,
        **settings,
    )
    problem = problem_of(random_vgg, image, recipe)
    direction = jnp.asarray(np.random.default_rng(1).normal(size=image.shape), jnp.float32)

    with jax.enable_x64(True):
        vgg, x, problem, direction = jax.tree.map(
            lambda a: jnp.asarray(a, jnp.float64), (random_vgg, image, problem, direction)
        )

        def along(t):
            return objective(vgg, x + t * direction, problem, recipe=recipe)[0]

        analytic, h = jax.grad(along)(jnp.float64(0.0)), 1e-7
        numeric = (along(h) - along(-h)) / (2 * h)
    # ReLU's kinks within h leave 6e-6.
    assert float(analytic) == pytest.approx(float(numeric), rel=1e-4)
