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
