"""The pure functions of the stages against their formulas in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfi_jax import (
    L2,
    ChannelSum,
    FromNoise,
    FromUniform,
    Gain,
    LinearPenalty,
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
        measured = TotalVariation(weight=10.0, beta=beta).measure(step, step)[0]
        # The floor of squared gradients adds a little.
        assert measured == pytest.approx(10 * 4 * 2 * 0.5**beta, rel=0.02)


def test_total_variation_equals_its_sum_in_float64():
    images = np.random.default_rng(0).random((2, 6, 7, 3))
    prepared = jnp.asarray(images, jnp.float32)
    measured = TotalVariation(weight=1.0).measure(prepared, 0 * prepared)
    for image, value in zip(images, measured, strict=True):
        # These are chainer-dfi's differences, which end at the border.
        expected = np.sum(np.diff(image, axis=0) ** 2) + np.sum(np.diff(image, axis=1) ** 2)
        assert value == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("beta", [2.0, 3.0])
def test_inner_total_variation_with_a_floor_is_that_of_the_authors_code(beta):
    """Σ max((z₀₀ − z₁₀)² + (z₀₀ − z₀₁)², f)^(β/2) over all but the last row and column."""
    images = np.random.default_rng(0).normal(0, 0.04, (2, 6, 7, 3))
    stage = TotalVariation(weight=10.0, beta=beta, positions="inner", floor=1e-3)

    def variation(image):
        here, below, right = image[:-1, :-1], image[1:, :-1], image[:-1, 1:]
        squares = (here - below) ** 2 + (here - right) ** 2
        assert 0.1 < np.mean(squares < 1e-3) < 0.9  # The floor matters, and isn't all.
        return 10 * np.sum(np.maximum(squares, 1e-3) ** (beta / 2))

    prepared = jnp.asarray(images, jnp.float32)
    gradient = jax.grad(lambda z: stage.measure(z, 0 * z).sum())(prepared)
    step = np.random.default_rng(1).normal(size=images.shape)
    for i, value in enumerate(stage.measure(prepared, 0 * prepared)):
        assert value == pytest.approx(variation(images[i]), rel=1e-5)
        h = 1e-7 * step[i]
        slope = (variation(images[i] + h) - variation(images[i] - h)) / 2e-7
        assert np.vdot(gradient[i], step[i]) == pytest.approx(slope, rel=1e-4)


def test_inner_total_variation_with_a_floor_has_the_gradient_that_pytorch_s_clamp_has():
    torch = pytest.importorskip("torch")
    images = np.random.default_rng(0).normal(0, 0.04, (2, 6, 7, 3)).astype(np.float32)
    x = torch.from_numpy(images).requires_grad_()
    across, down = x[:, :-1, :-1] - x[:, :-1, 1:], x[:, :-1, :-1] - x[:, 1:, :-1]
    value = 10 * torch.clamp(across**2 + down**2, min=1e-3).sum()
    value.backward()
    stage = TotalVariation(weight=10.0, positions="inner", floor=1e-3)
    found, gradient = jax.value_and_grad(lambda z: stage.measure(z, z).sum())(jnp.asarray(images))
    assert float(found) == pytest.approx(value.item(), rel=1e-5)
    np.testing.assert_allclose(gradient, x.grad.numpy(), atol=1e-5)


def test_gradients_below_the_floor_are_not_smoothed():
    stage = TotalVariation(weight=1.0, floor=0.01)
    image = jnp.full((1, 5, 5, 3), 0.5).at[0, 2, 2].add(0.05)
    assert not jax.grad(lambda z: stage.measure(z, z).sum())(image).any()
    image = image.at[0, 2, 2].add(0.1)
    assert jax.grad(lambda z: stage.measure(z, z).sum())(image).any()


@pytest.mark.parametrize("beta", [1.0, 2.0, 3.0])
def test_the_variation_of_channel_sums_is_that_of_dfi_tensorflow(beta):
    """Its filters [1, −1] cover all channels at once, and reach a row and column of zeros."""
    images = np.random.default_rng(0).random((2, 6, 7, 3))
    for i, value in enumerate(
        ChannelSum(beta=beta).measure(jnp.zeros(images.shape), jnp.asarray(images, jnp.float32))
    ):
        z = np.pad(255 * images[i], ((0, 1), (0, 1), (0, 0)))
        total = 0.0
        for y, x in np.ndindex(6, 7):
            total += np.sum(z[y, x] - z[y + 1, x]) ** 2 + np.sum(z[y, x] - z[y, x + 1]) ** 2
        assert value == pytest.approx(0.001 * total ** (beta / 2) / (255 * 6 * 7 * 3), rel=1e-5)


def test_the_variation_of_channel_sums_and_its_gradient_equal_a_convolution_in_pytorch():
    torch = pytest.importorskip("torch")
    image = np.random.default_rng(0).random((1, 6, 7, 3)).astype(np.float32)
    x = torch.from_numpy(image).requires_grad_()
    z = torch.nn.functional.pad(255 * x.permute(0, 3, 1, 2), (0, 1, 0, 1))
    down = torch.ones(1, 3, 2, 1) * torch.tensor([[[[1.0], [-1.0]]]])
    across = torch.ones(1, 3, 1, 2) * torch.tensor([[[[1.0, -1.0]]]])
    parts = (torch.nn.functional.conv2d(z, kernel) for kernel in (down, across))
    squares = sum((part[..., :6, :7] ** 2).sum() for part in parts)
    value = 0.001 * squares**0.75 / (255 * 6 * 7 * 3)
    value.backward()
    stage = ChannelSum(beta=1.5)
    found, gradient = jax.value_and_grad(lambda z: stage.measure(z, z).sum())(jnp.asarray(image))
    assert float(found) == pytest.approx(value.item(), rel=1e-5)
    np.testing.assert_allclose(gradient, x.grad.numpy(), rtol=1e-4, atol=1e-9)


def test_the_linear_penalty_is_the_mean_excess_in_grey_levels():
    images = np.random.default_rng(0).normal(0.5, 0.5, (2, 6, 7, 3))
    found = LinearPenalty(weight=2.0).measure(jnp.asarray(images, jnp.float32))
    for image, value in zip(255 * images, found, strict=True):
        below, above = (image - np.abs(image)) / 2, (image - 255 + np.abs(image - 255)) / 2
        expected = 2 * (-np.sum(below) + np.sum(above)) / image.size
        assert value == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("beta", [1.0, 2.0])
@pytest.mark.parametrize(("kind", "level"), [(TotalVariation, 1.0), (ChannelSum, 0.0)])
def test_variation_of_an_image_without_any_has_a_finite_gradient(kind, level, beta):
    stage = kind(weight=1.0, beta=beta)
    gradient = jax.grad(lambda z: stage.measure(z, z).sum())(jnp.full((1, 4, 4, 3), level))
    assert not gradient.any()


def test_noise_is_the_same_for_all_images_within_its_amplitude():
    images, mean = jnp.zeros((3, 16, 16, 3)), (0.485, 0.456, 0.406)
    noise = np.asarray(FromNoise().images(images, mean))
    np.testing.assert_array_equal(noise[0], noise[2])
    assert not np.array_equal(noise, FromNoise(seed=1).images(images, mean))
    off = (noise[0] - np.array(mean)) * 255
    assert len(np.unique(off)) > 0.99 * off.size  # Each value is drawn by itself.
    assert np.abs(off).max() <= 10.001
    assert off.std() == pytest.approx(10 / np.sqrt(3), rel=0.05)  # The noise is uniform.
    wide = (np.asarray(FromNoise(amplitude=20.0).images(images, mean))[0] - np.array(mean)) * 255
    np.testing.assert_allclose(wide, 2 * off, atol=1e-3)


def test_uniform_noise_covers_the_whole_range():
    images = jnp.zeros((3, 32, 32, 3))
    noise = np.asarray(FromUniform().images(images, (0.485, 0.456, 0.406)))
    np.testing.assert_array_equal(noise[0], noise[2])
    assert not np.array_equal(noise, FromUniform(seed=1).images(images, (0.5, 0.5, 0.5)))
    assert len(np.unique(noise[0])) > 0.99 * noise[0].size  # Each value is drawn by itself.
    # The share of n numbers below a level has a standard deviation of 0.5/√n at most.
    for level in (0.01, 0.25, 0.5, 0.9):
        assert np.mean(noise[0] < level) == pytest.approx(level, abs=4 * 0.5 / np.sqrt(3072))
    assert noise.min() >= 0
    assert noise.max() <= 1
