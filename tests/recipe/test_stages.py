"""The pure functions of the stages against their formulas in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfi_jax import (
    L2,
    FromNoise,
    Gain,
    MeanSquare,
    MeanSquares,
    Relative,
    SumSquares,
    TotalVariation,
    Unit,
    UnitTimesPhi,
)
from dfi_jax.recipe.features import mean_squares, square_norms

LAYERS = ("conv1_1", "conv2_1")


def feature_dict(seed=0, n=3):
    rng = np.random.default_rng(seed)
    return {
        "conv1_1": jnp.asarray(rng.normal(size=(n, 4, 5, 6)), jnp.float32),
        "conv2_1": jnp.asarray(rng.normal(size=(n, 2, 2, 7)), jnp.float32),
    }


def vectors(phi):
    """Each layer of each image as one long float64 vector, and all layers in one."""
    layers = {
        name: np.asarray(layer, np.float64).reshape(len(layer), -1) for name, layer in phi.items()
    }
    return layers, np.concatenate(list(layers.values()), axis=1)


def test_norms_are_those_of_a_layer_or_of_all_layers():
    phi = feature_dict()
    layers, whole = vectors(phi)
    for name in phi:
        for scope, values in (("layer", layers[name]), ("concat", whole)):
            squares = values**2
            np.testing.assert_allclose(
                square_norms(phi, scope=scope)[name], squares.sum(1), rtol=1e-6
            )
            np.testing.assert_allclose(
                mean_squares(phi, scope=scope)[name], squares.mean(1), rtol=1e-6
            )


@pytest.mark.parametrize("scope", ["layer", "concat"])
def test_normalised_features_have_norm_one(scope):
    layers, whole = vectors(L2(scope=scope).normalize(feature_dict()))
    for v in layers.values() if scope == "layer" else [whole]:
        np.testing.assert_allclose(np.linalg.norm(v, axis=1), 1, rtol=1e-6)


def test_features_that_are_all_zero_stay_zero():
    zero = {"conv1_1": jnp.zeros((1, 2, 2, 3))}
    assert not L2().normalize(zero)["conv1_1"].any()
    for stage in (Unit(), UnitTimesPhi(), MeanSquare()):
        scaled = stage.scale({"conv1_1": jnp.zeros((2, 2, 3))}, {"conv1_1": jnp.ones((1, 2, 2, 3))})
        assert not scaled["conv1_1"].any()


@pytest.mark.parametrize("scope", ["layer", "concat"])
@pytest.mark.parametrize("stage", [Gain, Unit, UnitTimesPhi, MeanSquare])
def test_a_vector_is_scaled_by_its_formula(stage, scope):
    phi = feature_dict(1)
    vector = {name: layer[0] for name, layer in feature_dict(2).items()}
    scaled = (stage(factor=3.0) if stage is Gain else stage(scope=scope)).scale(vector, phi)
    w = {name: np.asarray(layer, np.float64) for name, layer in vector.items()}
    for name in LAYERS:
        names = [name] if scope == "layer" else LAYERS
        all_w = np.concatenate([w[n].ravel() for n in names])
        for i in range(3):
            all_phi = np.concatenate([np.asarray(phi[n][i], np.float64).ravel() for n in names])
            factor = {
                Gain: 3,
                Unit: 1 / np.linalg.norm(all_w),
                UnitTimesPhi: np.linalg.norm(all_phi) / np.linalg.norm(all_w),
                MeanSquare: 1 / np.mean(all_w**2),
            }[stage]
            np.testing.assert_allclose(scaled[name][i], factor * w[name], rtol=1e-5)


@pytest.mark.parametrize("loss", [SumSquares, MeanSquares, Relative])
def test_a_loss_equals_its_formula_in_float64(loss):
    rng = np.random.default_rng(0)
    phi, target = (
        {"a": rng.normal(size=(2, 3, 4, 5)), "b": rng.normal(size=(2, 2, 2, 7))} for _ in range(2)
    )
    norms = {"a": np.array([3.0, 5.0]), "b": np.array([2.0, 0.5])}
    as_float32 = jax.tree.map(lambda array: jnp.asarray(array, jnp.float32), (phi, target, norms))
    values = loss().measure(*as_float32)
    for i in range(2):
        squares = {name: np.sum((phi[name][i] - target[name][i]) ** 2) for name in phi}
        expected = {
            SumSquares: sum(squares.values()) / 2,
            MeanSquares: squares["a"] / 60 + squares["b"] / 28,
            Relative: sum(squares[name] / norms[name][i] for name in phi) / 2,
        }[loss]
        assert values[i] == pytest.approx(expected, rel=1e-5)


def test_total_variation_of_a_step_is_known():
    # 4 rows cross one edge of height 0.5, in 2 channels.
    step = jnp.zeros((1, 4, 5, 2)).at[:, :, 3:].set(0.5)
    for beta in (1.0, 2.0, 3.0):
        measured = TotalVariation(weight=10.0, beta=beta).measure(step)[0]
        # The floor of squared gradients adds a little.
        assert measured == pytest.approx(10 * 4 * 2 * 0.5**beta, rel=0.02)


def test_total_variation_equals_its_sum_in_float64():
    images = np.random.default_rng(0).random((2, 6, 7, 3))
    measured = TotalVariation(weight=1.0).measure(jnp.asarray(images, jnp.float32))
    for image, value in zip(images, measured, strict=True):
        expected = np.sum(np.diff(image, axis=0) ** 2) + np.sum(np.diff(image, axis=1) ** 2)
        assert value == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_total_variation_of_a_flat_image_has_a_finite_gradient(beta):
    stage = TotalVariation(weight=1.0, beta=beta)
    gradient = jax.grad(lambda z: stage.measure(z).sum())(jnp.ones((1, 4, 4, 3)))
    assert not gradient.any()


def test_noise_is_the_same_for_all_images_within_its_amplitude():
    images, mean = jnp.zeros((3, 16, 16, 3)), (0.485, 0.456, 0.406)
    noise = np.asarray(FromNoise().images(images, mean))
    np.testing.assert_array_equal(noise[0], noise[2])
    assert not np.array_equal(noise, FromNoise(seed=1).images(images, mean))
    off = (noise[0] - np.array(mean)) * 255
    assert np.abs(off).max() <= 10.001
    assert off.std() == pytest.approx(10 / np.sqrt(3), rel=0.05)  # The noise is uniform.
    wide = (np.asarray(FromNoise(amplitude=20.0).images(images, mean))[0] - np.array(mean)) * 255
    np.testing.assert_allclose(wide, 2 * off, atol=1e-3)
