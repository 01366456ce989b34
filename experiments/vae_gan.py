"""A VAE/GAN for faces of 64 × 64 pixels: an autoencoder whose metric and critic is one network.

The encoder gives a normal distribution q(z|x) of codes, the decoder draws a face x̃ from a code, and
the discriminator tells the dataset's faces from drawn ones. With d the discriminator's logit, f the
activations of its last convolution over their deviation, and z_p from the standard normal
distribution, each network descends its own loss:

    encoder         mean (f(x) − f(x̃))² + β·KL(q(z|x) ‖ N(0, 1)) + ε·mean (x − x̃)²
    decoder         mean (f(x) − f(x̃))² + γ·½[s(−d(x̃)) + s(−d(x_p))] + ε·mean (x − x̃)²
    discriminator   s(−d(x)) + ½[s(d(x̃)) + s(d(x_p))] + ρ/2·‖∇d(x)‖²

where s(t) = log(1 + eᵗ). Each loss is differentiated with respect to its own network alone, so that
neither the encoder serves the critic nor the critic the autoencoder, as in the paper.

What differs from the paper, so that a few minutes and 2344 faces are enough:

- The discriminator has a gradient penalty (Mescheder et al. 2018) instead of batch normalization
  and margins, which stop one network's training while the other is behind.
- The other networks have group normalization, so that an image's code doesn't depend on its batch.
- The convolutions go on to 4 × 4 cells, which saves dense layers of 17 million parameters each.
- f is divided by its deviation over the batch, by channel, so that β and γ don't depend on the
  scale of the discriminator's activations; and ε holds the overall colour.
- The weights that are kept are averages over the last steps.

References:
  Larsen, Sønderby, Larochelle and Winther, "Autoencoding beyond pixels using a learned similarity
  metric", ICML 2016, https://arxiv.org/abs/1512.09300.
  Mescheder, Geiger and Nowozin, "Which Training Methods for GANs do actually Converge?", ICML 2018,
  https://arxiv.org/abs/1801.04406.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, UInt8

CELLS = 4
"""Height and width of the deepest layer: 64 pixels halved four times."""

Images = Float[Array, "n 64 64 3"]
"""RGB faces in [−1, 1]."""

Params = Any
"""Parameters of a network."""


HE = nn.initializers.he_normal()
"""Initial weights of layers without normalization, whose activations have to keep their size."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The networks and their training.

    Attributes:
      width: Number of filters of the encoder's first convolution; the others have multiples of it.
      latent: Number of components of a code.
      batch: Number of faces in a step.
      rate: Step size of Adam.
      kl: β, the weight of the divergence.
      adversarial: γ, the weight of the critic in the decoder's loss.
      pixels: ε, the weight of the pixels.
      penalty: ρ, the weight of the discriminator's squared gradient.
      average: Weight of the past in the running average of the weights, at each step.
      shift: Largest shift of a face, in pixels.
      tone: Largest change of a face's contrast, as a share, and of its brightness, in [−1, 1].
    """

    width: int = 64
    latent: int = 128
    batch: int = 64
    rate: float = 2e-4
    kl: float = 3e-4
    adversarial: float = 0.1
    pixels: float = 0.5
    penalty: float = 1.0
    average: float = 0.998
    shift: int = 2
    tone: float = 0.1


class Normal(NamedTuple):
    """Independent normal distributions, by mean and logarithm of the variance."""

    mean: Float[Array, "n k"]
    log_variance: Float[Array, "n k"]


class Encoder(nn.Module):
    """Faces to distributions of codes."""

    settings: Settings

    @nn.compact
    def __call__(self, x: Images) -> Normal:
        for scale in (1, 2, 4, 4):
            x = nn.Conv(self.settings.width * scale, (5, 5), strides=2, use_bias=False)(x)
            x = nn.leaky_relu(nn.GroupNorm(num_groups=8)(x), 0.2)
        x = x.reshape(len(x), -1)
        mean = nn.Dense(self.settings.latent)(x)
        # exp(±8) is far beyond any variance that a code needs, and keeps the first steps finite.
        log_variance = 8 * jnp.tanh(nn.Dense(self.settings.latent)(x) / 8)
        return Normal(mean, log_variance)


class Decoder(nn.Module):
    """Codes to faces."""

    settings: Settings

    @nn.compact
    def __call__(self, z: Float[Array, "n k"]) -> Images:
        width = self.settings.width
        x = nn.Dense(CELLS * CELLS * 4 * width, use_bias=False)(z)
        x = x.reshape(-1, CELLS, CELLS, 4 * width)
        x = nn.leaky_relu(nn.GroupNorm(num_groups=8)(x), 0.2)
        for scale in (4, 4, 2):
            x = nn.Conv(width * scale, (3, 3), use_bias=False)(enlarge(x))
            x = nn.leaky_relu(nn.GroupNorm(num_groups=8)(x), 0.2)
        # Normalized here, few channels couldn't say how bright the whole face is.
        x = nn.leaky_relu(nn.Conv(width // 2, (3, 3), kernel_init=HE)(enlarge(x)), 0.2)
        return nn.tanh(nn.Conv(3, (3, 3))(x))


def enlarge(x: Float[Array, "n h w c"]) -> Float[Array, "n _ _ c"]:
    """Returns layers of twice the height and width, by repetition.

    A convolution of repeated pixels leaves no pattern of checks, unlike a transposed convolution.
    """
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)


class Discriminator(nn.Module):
    """Faces to activations of the last convolution, and logits that they are of the dataset."""

    settings: Settings

    @nn.compact
    def __call__(self, x: Images) -> tuple[Float[Array, "n 8 8 c"], Float[Array, " n"]]:
        width = self.settings.width
        x = nn.leaky_relu(nn.Conv(width // 2, (5, 5), kernel_init=HE)(x), 0.2)
        for scale in (2, 4):
            x = nn.Conv(width * scale, (5, 5), strides=2, kernel_init=HE)(x)
            x = nn.leaky_relu(x, 0.2)
        found = nn.Conv(4 * width, (5, 5), strides=2, kernel_init=HE)(x)
        x = nn.leaky_relu(found, 0.2).reshape(len(x), -1)
        x = nn.leaky_relu(nn.Dense(8 * width, kernel_init=HE)(x), 0.2)
        return found, nn.Dense(1)(x)[:, 0]


class Networks(NamedTuple):
    """Something for each of the three networks, such as its parameters."""

    encoder: Any
    decoder: Any
    discriminator: Any


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


def networks(settings: Settings) -> Networks:
    """Returns the networks without their parameters."""
    return Networks(Encoder(settings), Decoder(settings), Discriminator(settings))


def optimizer(settings: Settings) -> optax.GradientTransformation:
    """Returns Adam without momentum, which is RMSProp, as in the paper, with a corrected start."""
    return optax.adam(settings.rate, b1=0.0, b2=0.99)


def start(settings: Settings, key: Array) -> State:
    """Returns the state before the first step."""
    later, *keys = jax.random.split(key, 4)
    x, z = jnp.zeros((1, 64, 64, 3)), jnp.zeros((1, settings.latent))
    each = zip(networks(settings), keys, (x, z, x), strict=True)
    params = Networks(*(network.init(k, given)["params"] for network, k, given in each))
    moments = Networks(*(optimizer(settings).init(some) for some in params))
    # The first steps would be donated twice if the averages were the parameters themselves.
    return State(params, moments, jax.tree.map(jnp.copy, params), later, jnp.zeros((), jnp.int32))


def encode(settings: Settings, params: Params, x: Images) -> Normal:
    """Returns the distributions of the codes of faces."""
    found: Any = Encoder(settings).apply({"params": params}, x)
    return found


def decode(settings: Settings, params: Params, z: Float[Array, "n k"]) -> Images:
    """Returns the faces that codes stand for."""
    found: Any = Decoder(settings).apply({"params": params}, z)
    return found


def discriminate(
    settings: Settings, params: Params, x: Images
) -> tuple[Float[Array, "n 8 8 c"], Float[Array, " n"]]:
    """Returns the activations f, before they are scaled, and the logits of faces."""
    found: Any = Discriminator(settings).apply({"params": params}, x)
    return found


def from_bytes(images: UInt8[Array, "n 64 64 3"]) -> Images:
    """Returns faces of 8 bits in [−1, 1].

    >>> from_bytes(jnp.array([0, 255], jnp.uint8)).tolist()
    [-1.0, 1.0]
    """
    return jnp.asarray(images, jnp.float32) / 127.5 - 1


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
    variance = of.var(axis=(0, 1, 2)) + 1e-6
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
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Returns the encoder's loss, and its parts."""
    drawn, q = reconstruct(settings, encoder, params.decoder, batch)
    differs, _ = similarity(settings, params.discriminator, batch.x, drawn)
    kl = divergence(q)
    error = 127.5 * jnp.sqrt(jnp.mean((drawn - batch.x) ** 2))
    return differs + settings.kl * kl, {"similarity": differs, "kl": kl, "error": error}


def decoder_loss(
    decoder: Params, settings: Settings, params: Networks, batch: Batch
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Returns the decoder's loss, and what the critic adds to it."""
    drawn, _ = reconstruct(settings, params.encoder, decoder, batch)
    differs, logits = similarity(settings, params.discriminator, batch.x, drawn)
    _, prior = discriminate(settings, params.discriminator, decode(settings, decoder, batch.z))
    critic = (nn.softplus(-logits).mean() + nn.softplus(-prior).mean()) / 2
    return differs + settings.adversarial * critic, {"critic": critic}


def discriminator_loss(
    discriminator: Params, settings: Settings, params: Networks, batch: Batch
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
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
) -> tuple[State, dict[str, Float[Array, ""]]]:
    """Returns the state after a step of all networks, and what was measured in it."""
    key, *keys = jax.random.split(state.key, 5)
    chosen = jax.random.randint(keys[0], (settings.batch,), 0, len(images))
    shape = (settings.batch, settings.latent)
    batch = Batch(
        x=augment(settings, keys[1], images[chosen]),
        noise=jax.random.normal(keys[2], shape),
        z=jax.random.normal(keys[3], shape),
    )
    measured: dict[str, Array] = {}
    params, moments = [], []
    # What the three losses share is computed once: the compiler finds it.
    for loss, own, moment in zip(LOSSES, state.params, state.moments, strict=True):
        gradient, parts = jax.grad(loss, has_aux=True)(own, settings, state.params, batch)
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
) -> tuple[State, dict[str, Float[Array, ""]]]:
    """Returns the state after some steps, and the means of what was measured in them.

    The given state is used up: its memory holds the new one.
    """
    if jax.default_backend() != "cpu":
        return _scan(settings, state, images, steps=steps)
    # In a loop, XLA computes a CPU's convolutions ten times as slowly.
    found = []
    for _ in range(steps):
        state, measured = _step(settings, state, images)
        found.append(measured)
    return state, jax.tree.map(lambda *values: jnp.stack(values).mean(), *found)


_step = jax.jit(step, static_argnames="settings", donate_argnames="state")


@partial(jax.jit, static_argnames=("settings", "steps"), donate_argnames="state")
def _scan(
    settings: Settings, state: State, images: UInt8[Array, "m 64 64 3"], *, steps: int
) -> tuple[State, dict[str, Float[Array, ""]]]:
    state, measured = jax.lax.scan(
        lambda state, _: step(settings, state, images), state, length=steps
    )
    return state, {name: values.mean() for name, values in measured.items()}
