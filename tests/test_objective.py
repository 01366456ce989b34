import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfi_jax.objective import feature_loss, objective, total_variation
from dfi_jax.problem import make_problem
from dfi_jax.recipe import Recipe
from dfi_jax.vgg import features
from dfi_jax.weights import load_vgg

LAYERS = ("conv1_2", "conv2_1")


def test_total_variation_of_a_step_is_known():
    step = jnp.zeros((1, 4, 5, 2)).at[:, :, 3:].set(0.5)  # 4 rows cross one edge of height 0.5, in 2 channels
    assert total_variation(step)[0] == pytest.approx(4 * 2 * 0.25)
    assert total_variation(step, beta=1.0)[0] == pytest.approx(4 * 2 * 0.5, rel=0.01)  # the floor adds a little
    assert total_variation(step, beta=3.0)[0] == pytest.approx(4 * 2 * 0.125, rel=0.01)


def test_total_variation_equals_its_sum_in_float64():
    images = np.random.default_rng(0).random((2, 6, 7, 3))
    for image, value in zip(images, total_variation(jnp.asarray(images, jnp.float32)), strict=True):
        expected = np.sum(np.diff(image, axis=0) ** 2) + np.sum(np.diff(image, axis=1) ** 2)
        assert value == pytest.approx(expected, rel=1e-5)


def test_total_variation_of_a_flat_image_has_a_finite_gradient():
    for beta in (1.0, 2.0):
        gradient = jax.grad(lambda z, beta=beta: total_variation(z, beta=beta).sum())(jnp.ones((1, 4, 4, 3)))
        assert not gradient.any()


@pytest.mark.parametrize("loss", ["sum_squares", "mean_squares", "relative"])
def test_feature_loss_equals_its_formula_in_float64(loss):
    rng = np.random.default_rng(0)
    phi, target = ({"a": rng.normal(size=(2, 3, 4, 5)), "b": rng.normal(size=(2, 2, 2, 7))} for _ in range(2))
    norms = {"a": np.array([3.0, 5.0]), "b": np.array([2.0, 0.5])}
    as_float32 = jax.tree.map(lambda array: jnp.asarray(array, jnp.float32), (phi, target, norms))
    values = feature_loss(*as_float32, loss=loss)
    for i in range(2):
        squares = {name: np.sum((phi[name][i] - target[name][i]) ** 2) for name in phi}
        expected = {
            "sum_squares": sum(squares.values()) / 2,
            "mean_squares": squares["a"] / 60 + squares["b"] / 28,
            "relative": sum(squares[name] / norms[name][i] for name in phi) / 2,
        }[loss]
        assert values[i] == pytest.approx(expected, rel=1e-5)


def problem_of(recipe, alpha=0.4):
    vgg = load_vgg("random-vgg16")
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.random((1, 16, 16, 3)), jnp.float32)
    shapes = {name: layer.shape[1:] for name, layer in features(vgg, x, layers=recipe.layers).items()}
    w = {name: jnp.asarray(rng.normal(size=shape), jnp.float32) for name, shape in shapes.items()}
    return vgg, x, make_problem(vgg, x, w, jnp.asarray([alpha]), recipe=recipe)


def test_at_the_photograph_the_relative_loss_is_the_strength_squared():
    # ‖φ(x) − (φ(x) + α‖φ(x)‖w/‖w‖)‖² = α²‖φ(x)‖² in each layer
    recipe = Recipe(layers=LAYERS, size=16, loss="relative", vector_norm="unit_times_phi", norm_scope="layer")
    vgg, x, problem = problem_of(recipe)
    value = objective(vgg, x, problem.target, problem.square_norms, recipe=recipe)[0]
    assert value == pytest.approx(len(LAYERS) * 0.4**2 / 2, rel=1e-5)


@pytest.mark.parametrize("norm", ["none", "l2"])
@pytest.mark.parametrize("scope", ["layer", "concat"])
def test_the_gradient_is_that_of_finite_differences(norm, scope):
    recipe = Recipe(layers=LAYERS, size=16, feature_norm=norm, norm_scope=scope, tv_weight=0.01, tv_beta=1.5)
    vgg, x, problem = problem_of(recipe)
    direction = jnp.asarray(np.random.default_rng(1).normal(size=x.shape), jnp.float32)

    def along(t):
        return objective(vgg, x + t * direction, problem.target, problem.square_norms, recipe=recipe)[0]

    with jax.enable_x64(True):
        vgg, x, problem, direction = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), (vgg, x, problem, direction))
        analytic, h = jax.grad(along)(jnp.float64(0.0)), 1e-7
        numeric = (along(h) - along(-h)) / (2 * h)
    # float32 in the preprocessing's constants leaves 1e-7; ReLU's kinks within h leave more
    assert float(analytic) == pytest.approx(float(numeric), rel=1e-4)
