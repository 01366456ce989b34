"""The VAE/GAN of the experiments: what its losses are, and which network each of them moves."""

import dataclasses
import doctest
import functools
import importlib

import jax
import jax.numpy as jnp
import latent_edits
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import small_faces
import train_vae_gan
import vae_gan
import vae_gan_training
from vae_gan import Normal, Settings

SETTINGS = Settings(width=16, latent=4, batch=2)


@pytest.fixture(scope="module")
def state():
    """The state before the first step, with parameters that need no compiled initializers."""
    start = functools.partial(vae_gan_training.start, SETTINGS)
    blank = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(start, jax.random.key(0))
    )
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: jnp.asarray(0.1 * rng.standard_normal(leaf.shape, np.float32)), blank.params
    )
    return blank._replace(params=params, averages=params, key=jax.random.key(0))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def take_step(state, images):
    """The parameters after a step in which losses have other weights."""

    @jax.jit
    def take(weights):
        settings = dataclasses.replace(SETTINGS, **weights)
        return vae_gan_training.step(settings, state, jnp.asarray(images))[0].params

    plain = {name: getattr(SETTINGS, name) for name in ("kl", "adversarial", "penalty")}
    return lambda **changes: take(plain | changes)


def moved(before, after):
    """Which networks differ."""
    changed = jax.tree.map(lambda a, b: not np.array_equal(a, b), before, after)
    return {name for name, each in changed._asdict().items() if any(jax.tree.leaves(each))}


def test_a_step_moves_every_network(state, take_step):
    assert moved(state.params, take_step()) == {"encoder", "decoder", "discriminator"}


@pytest.mark.parametrize(
    ("weight", "network"),
    [("kl", "encoder"), ("adversarial", "decoder"), ("penalty", "discriminator")],
)
def test_each_weight_moves_its_own_network_alone(take_step, weight, network):
    assert moved(take_step(), take_step(**{weight: 10.0})) == {network}


def test_the_divergence_is_the_integral_of_its_definition():
    mean, variance = 0.7, 0.4
    q, p = scipy.stats.norm(mean, np.sqrt(variance)), scipy.stats.norm()
    expected, _ = scipy.integrate.quad(
        lambda t: q.pdf(t) * (q.logpdf(t) - p.logpdf(t)), mean - 10, mean + 10
    )
    found = vae_gan_training.divergence(
        Normal(jnp.full((2, 3), mean), jnp.full((2, 3), np.log(variance)))
    )
    assert found == pytest.approx(3 * expected, rel=1e-5)  # Three independent components.


def test_the_distance_of_unrelated_activations_is_two():
    rng = np.random.default_rng(0)
    scale = np.array([0.1, 5.0])
    f, of = (jnp.asarray(scale * rng.standard_normal((50, 8, 8, 2)) + 3) for _ in range(2))
    # 3200 values per channel know a variance to 3 %.
    assert vae_gan_training.distance(f, of) == pytest.approx(2, rel=0.05)
    means = of.mean(axis=(0, 1, 2), keepdims=True)
    assert vae_gan_training.distance(means + 0 * of, of) == pytest.approx(1, rel=1e-4)


def test_augmented_faces_are_windows_of_the_image_or_its_mirror(images):
    settings = Settings(shift=1, tone=0.0)
    found = np.asarray(vae_gan_training.augment(settings, jax.random.key(3), jnp.asarray(images)))
    for image, augmented in zip(images, found, strict=True):
        padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge") / 127.5 - 1
        windows = [
            side[y : y + 64, x : x + 64]
            for side in (padded, padded[:, ::-1])
            for y in range(3)
            for x in range(3)
        ]
        assert min(np.abs(window - augmented).max() for window in windows) < 1e-6


def test_a_file_of_small_faces_is_read_as_it_was_written(tmp_path, images):
    faces = small_faces.SmallFaces(
        images=images,
        names=np.array(["a", "b", "c"]),
        people=np.array(["Ann", "Ann", "Bob"]),
        attributes=np.array(["Smiling"]),
        scores=np.array([[1.0], [-1.0], [0.5]], np.float32),
        group=np.array(["vectors", "vectors", "photos"]),
    )
    small_faces.write(tmp_path / "faces.npz", faces)
    found = small_faces.load(str(tmp_path / "faces.npz"))
    assert all(np.array_equal(a, b) for a, b in zip(faces, found, strict=True))
    assert found.held_out.tolist() == [False, False, True]


def test_a_generator_is_read_as_it_was_trained(tmp_path, state, images):
    train_vae_gan.save(tmp_path / "weights.safetensors", SETTINGS, state.params)
    generator = latent_edits.Generator.load(tmp_path / "weights.safetensors")
    faces = images.astype(np.float32) / 255
    z = generator.encode(faces)
    expected = vae_gan.encode(SETTINGS, state.params.encoder, vae_gan.from_bytes(images)).mean
    np.testing.assert_allclose(z, expected, atol=1e-4)
    moved = generator.edit(faces, np.ones(4, np.float32), 0.5)
    np.testing.assert_allclose(moved, generator.decode(z + np.float32(0.5)), atol=1e-5)


def test_a_regression_without_a_penalty_is_numpys_least_squares(monkeypatch):
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((40, 3))
    z = (scores @ rng.standard_normal((3, 5)) + rng.standard_normal((40, 5))).astype(np.float32)
    monkeypatch.setattr(latent_edits, "PENALTY", 0.0)
    slopes, *_ = np.linalg.lstsq(np.column_stack([np.ones(40), scores]), z, rcond=None)
    on = scores[:, 1] > 0
    expected = slopes[2] * (scores[on, 1].mean() - scores[~on, 1].mean())
    np.testing.assert_allclose(
        latent_edits.regression(z, scores, 1, [0, 2]), expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", ["latent_edits", "train_vae_gan", "vae_gan", "vae_gan_training"])
def test_the_examples_in_docstrings_hold(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted
    assert not found.failed
