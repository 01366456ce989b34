import jax.numpy as jnp
import numpy as np
import pytest

from dfi_jax import Unshrunk, Wiener

RNG = np.random.default_rng(0)
W = RNG.normal(size=(5, 6, 3)).astype(np.float32)
VARIANCE = RNG.uniform(0.1, 2, size=(5, 6, 3)).astype(np.float32)


def average(squares, over):
    """The averages by loops, in float64."""
    squares = squares.astype(np.float64)
    if over == "activation":
        return squares
    if over == "channel":
        return np.broadcast_to(squares.mean(axis=(0, 1)), squares.shape)
    found = np.empty_like(squares)
    for i in range(squares.shape[0]):
        for j in range(squares.shape[1]):
            around = squares[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
            found[i, j] = around.mean(axis=(0, 1))
    return found


@pytest.mark.parametrize("over", ["activation", "neighborhood", "channel"])
@pytest.mark.parametrize("strength", [0.0, 1.0, 3.0])
def test_shrinkage_is_its_formula(over, strength):
    stage = Wiener(over=over, strength=strength)
    found = stage.shrink({"layer": jnp.asarray(W)}, {"layer": jnp.asarray(VARIANCE)})["layer"]
    kept = 1 - strength * average(VARIANCE, over) / average(W**2, over)
    np.testing.assert_allclose(found, W * np.maximum(kept, 0), atol=1e-5)


@pytest.mark.parametrize("focus", [0.5, 2.0])
def test_focus_is_a_second_factor_from_the_average_over_all_channels(focus):
    stages = (Wiener(over="activation", focus=c) for c in (focus, 0.0))
    layers = {"layer": jnp.asarray(W)}, {"layer": jnp.asarray(VARIANCE)}
    focused, shrunk = (np.asarray(stage.shrink(*layers)["layer"]) for stage in stages)
    power, noise = (
        average(squares.mean(axis=-1, keepdims=True), "neighborhood")
        for squares in (W.astype(np.float64) ** 2, VARIANCE.astype(np.float64))
    )
    factor = np.maximum(1 - focus * noise / power, 0)
    assert factor.min() < 0.9  # The factor isn't 1 everywhere.
    np.testing.assert_allclose(focused, shrunk * factor, atol=1e-5)


def test_focus_removes_noise_where_no_channel_has_the_attribute():
    noise = RNG.normal(size=(12, 12, 40)).astype(np.float32)
    noise[4:8, 4:8] += 3
    layer, variance = {"layer": jnp.asarray(noise)}, {"layer": jnp.ones(noise.shape)}
    shrunk, focused = (
        np.asarray(Wiener(focus=c).shrink(layer, variance)["layer"]) for c in (0.0, 1.5)
    )
    assert np.abs(shrunk[:2]).max() > 0.5
    assert not focused[:2].any()
    assert np.abs(focused[5:7, 5:7]).mean() > 2


@pytest.mark.parametrize("over", ["activation", "neighborhood", "channel"])
def test_shrinkage_brings_a_noisy_vector_nearer_to_the_truth(over):
    # A tenth of the channels has an attribute; everything else is noise.
    truth = np.zeros((12, 12, 40), np.float32)
    truth[4:8, 4:8, :4] = 3
    noisy = {"layer": jnp.asarray(truth + RNG.normal(size=truth.shape).astype(np.float32))}
    shrunk = Wiener(over=over).shrink(noisy, {"layer": jnp.ones(truth.shape)})["layer"]
    before = float(jnp.sum((noisy["layer"] - truth) ** 2))
    after = float(jnp.sum((shrunk - truth) ** 2))
    assert after < (0.7 if over == "activation" else 0.35) * before


def test_a_vector_without_signal_stays_zero():
    zero = {"layer": jnp.zeros((2, 2, 1))}
    assert not Wiener().shrink(zero, {"layer": jnp.ones((2, 2, 1))})["layer"].any()
    assert Unshrunk().shrink(zero, zero) is zero
