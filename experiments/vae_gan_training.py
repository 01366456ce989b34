"""The training of the VAE/GAN (`vae_gan.py`): steps in which each network descends its own loss."""

from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, UInt8
from vae_gan import (
    Images,
    Networks,
    Normal,
    Params,
    Settings,
    decode,
    discriminate,
    encode,
    from_bytes,
    networks,
)

Parts = dict[str, Float[Array, ""]]
"""What is measured in a step, by name."""


class State(NamedTuple):
    """A training between two steps.

    Attributes:
      params: Parameters of the networks.
      moments: States of their optimizers.
      averages: Running averages of the parameters.
      key: Key of all later random numbers.
      step: Number of steps so far.
    """

    params: Networks
    moments: Networks
    averages: Networks
    key: Array
    step: Int[Array, ""]


class Batch(NamedTuple):
    """What a step's losses share.

    Attributes:
      x: Faces of the dataset.
      noise: Standard normal numbers that draw a code from each face's distribution.
      z: Codes from the prior distribution.
    """

    x: Images
    noise: Float[Array, "n k"]
    z: Float[Array, "n k"]


def optimizer(settings: Settings) -> optax.GradientTransformation:
    """Returns Adam without momentum, which is RMSProp, as in the paper, with a corrected start."""
    return optax.adam(settings.rate, b1=0.0, b2=0.99)


@partial(jax.jit, static_argnames="settings")
def start(settings: Settings, key: Array) -> State:
    """Returns the state before the first step."""
    later, *keys = jax.random.split(key, 4)
    x, z = jnp.zeros((1, 64, 64, 3)), jnp.zeros((1, settings.latent))
    each = zip(networks(settings), keys, (x, z, x), strict=True)
    params = Networks(*(network.init(k, given)["params"] for network, k, given in each))
    moments = Networks(*(optimizer(settings).init(some) for some in params))
    return State(params, moments, params, later, jnp.zeros((), jnp.int32))


def augment(settings: Settings, key: Array, images: UInt8[Array, "n 64 64 3"]) -> Images:
    """Returns faces mirrored, shifted and changed in tone at random."""
    mirrored, shifted, contrast, brightness = jax.random.split(key, 4)
    n, reach = len(images), settings.shift
    flip = jax.random.bernoulli(mirrored, 0.5, (n, 1, 1, 1))
    x = from_bytes(jnp.where(flip, images[:, :, ::-1], images))
    padded = jnp.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="edge")
    corners = jax.random.randint(shifted, (n, 2), 0, 2 * reach + 1)
    x = jax.vmap(lambda image, at: jax.lax.dynamic_slice(image, (*at, 0), (64, 64, 3)))(
        padded, corners
    )
    gain = 1 + settings.tone * jax.random.uniform(contrast, (n, 1, 1, 1), minval=-1)
    offset = settings.tone * jax.random.uniform(brightness, (n, 1, 1, 1), minval=-1)
    return jnp.clip(gain * x + offset, -1, 1)


def divergence(q: Normal) -> Float[Array, ""]:
    """Returns the mean of KL(q ‖ N(0, 1)) = ½Σ(m² + v − log v − 1), in nats.

    >>> divergence(Normal(jnp.ones((1, 3)), jnp.zeros((1, 3)))).item()
    1.5
    """
    each = q.mean**2 + jnp.exp(q.log_variance) - q.log_variance - 1
    return 0.5 * each.sum(axis=1).mean()


def distance(f: Float[Array, "n h w c"], of: Float[Array, "n h w c"]) -> Float[Array, ""]:
    """Returns the mean of (f − of)² over the variance of each channel of `of`.

    It is 1 if f is the mean of the channel everywhere, and 2 for another batch of the same kind.

    >>> of = jnp.array([0.0, 2.0]).reshape(2, 1, 1, 1)
    >>> round(distance(jnp.ones((2, 1, 1, 1)), of).item(), 3), distance(of, of).item()
    (1.0, 0.0)
    """
    variance = of.var(axis=(0, 1, 2), keepdims=True) + 1e-6
    return jnp.mean((f - of) ** 2 / jax.lax.stop_gradient(variance))


def reconstruct(
    settings: Settings, encoder: Params, decoder: Params, batch: Batch
) -> tuple[Images, Normal]:
    """Returns faces drawn from codes of the batch's faces, and the distributions of the codes."""
    q = encode(settings, encoder, batch.x)
    z = q.mean + jnp.exp(q.log_variance / 2) * batch.noise
    return decode(settings, decoder, z), q


def similarity(
    settings: Settings, discriminator: Params, x: Images, drawn: Images
) -> tuple[Float[Array, ""], Float[Array, " n"]]:
    """Returns how much drawn faces differ from the dataset's, and the logits of the drawn faces."""
    f, _ = discriminate(settings, discriminator, x)
    found, logits = discriminate(settings, discriminator, drawn)
    return distance(found, f) + settings.pixels * jnp.mean((drawn - x) ** 2), logits


def encoder_loss(
    encoder: Params, settings: Settings, params: Networks, batch: Batch
) -> tuple[Float[Array, ""], Parts]:
    """Returns the encoder's loss, and its parts."""
    drawn, q = reconstruct(settings, encoder, params.decoder, batch)
    differs, _ = similarity(settings, params.discriminator, batch.x, drawn)
    kl = divergence(q)
    error = 127.5 * jnp.sqrt(jnp.mean((drawn - batch.x) ** 2))
    return differs + settings.kl * kl, {"similarity": differs, "kl": kl, "error": error}


def decoder_loss(
    decoder: Params, settings: Settings, params: Networks, batch: Batch
) -> tuple[Float[Array, ""], Parts]:
    """Returns the decoder's loss, and what the critic adds to it."""
    drawn, _ = reconstruct(settings, params.encoder, decoder, batch)
    differs, logits = similarity(settings, params.discriminator, batch.x, drawn)
    _, prior = discriminate(settings, params.discriminator, decode(settings, decoder, batch.z))
    critic = (nn.softplus(-logits).mean() + nn.softplus(-prior).mean()) / 2
    return differs + settings.adversarial * critic, {"critic": critic}


def discriminator_loss(
    discriminator: Params, settings: Settings, params: Networks, batch: Batch
) -> tuple[Float[Array, ""], Parts]:
    """Returns the discriminator's loss, and the mean logits of each kind of faces."""
    drawn, _ = reconstruct(settings, params.encoder, params.decoder, batch)
    imagined = decode(settings, params.decoder, batch.z)

    def total(x: Images) -> tuple[Float[Array, ""], Float[Array, " n"]]:
        _, logits = discriminate(settings, discriminator, x)
        return logits.sum(), logits

    gradient, real = jax.grad(total, has_aux=True)(batch.x)
    _, recon = discriminate(settings, discriminator, drawn)
    _, prior = discriminate(settings, discriminator, imagined)
    penalty = jnp.mean(jnp.sum(gradient**2, axis=(1, 2, 3)))
    fake = (nn.softplus(recon).mean() + nn.softplus(prior).mean()) / 2
    loss = nn.softplus(-real).mean() + fake + settings.penalty / 2 * penalty
    parts = {"real": real.mean(), "recon": recon.mean(), "prior": prior.mean()}
    return loss, parts | {"slope": jnp.sqrt(penalty)}


LOSSES = Networks(encoder_loss, decoder_loss, discriminator_loss)
"""The loss of each network. The first argument is what it is differentiated by."""


def step(
    settings: Settings, state: State, images: UInt8[Array, "m 64 64 3"]
) -> tuple[State, Parts]:
    """Returns the state after a step of all networks, and what was measured in it."""
    key, *keys = jax.random.split(state.key, 5)
    chosen = jax.random.randint(keys[0], (settings.batch,), 0, len(images))
    shape = (settings.batch, settings.latent)
    batch = Batch(
        x=augment(settings, keys[1], images[chosen]),
        noise=jax.random.normal(keys[2], shape),
        z=jax.random.normal(keys[3], shape),
    )
    measured: Parts = {}
    params, moments = [], []
    # What the three losses share is computed once: the compiler finds it.
    for loss, own, moment in zip(LOSSES, state.params, state.moments, strict=True):
        gradient, parts = jax.grad(loss, has_aux=True)(own, settings, state.params, batch)
        with jax.numpy_dtype_promotion("standard"):  # Optax mixes integers and floats.
            update, moment = optimizer(settings).update(gradient, moment)
        params.append(optax.apply_updates(own, update))
        moments.append(moment)
        measured |= parts
    # A long average would still hold the random start after a few steps.
    kept = jnp.minimum(settings.average, (1 + state.step) / (10 + state.step))
    averages = jax.tree.map(
        lambda past, now: kept * past + (1 - kept) * now, state.averages, Networks(*params)
    )
    following = State(Networks(*params), Networks(*moments), averages, key, state.step + 1)
    return following, measured


def train(
    settings: Settings, state: State, images: UInt8[Array, "m 64 64 3"], *, steps: int
) -> tuple[State, Parts]:
    """Returns the state after some steps, and the means of what was measured in them."""
    if jax.default_backend() != "cpu":
        return _scan(settings, state, images, steps=steps)
    # In a loop, XLA computes a CPU's convolutions ten times as slowly.
    found = []
    for _ in range(steps):
        state, measured = _step(settings, state, images)
        found.append(measured)
    return state, jax.tree.map(lambda *values: jnp.stack(values).mean(), *found)


_step = jax.jit(step, static_argnames="settings")


@partial(jax.jit, static_argnames=("settings", "steps"))
def _scan(
    settings: Settings, state: State, images: UInt8[Array, "m 64 64 3"], *, steps: int
) -> tuple[State, Parts]:
    state, measured = jax.lax.scan(
        lambda state, _: step(settings, state, images), state, length=steps
    )
    return state, {name: values.mean() for name, values in measured.items()}
