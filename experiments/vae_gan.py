"""A VAE/GAN for faces of 64 × 64 pixels: an autoencoder whose metric and critic is one network.

The encoder gives a normal distribution q(z|x) of codes, the decoder draws a face x̃ from a code, and
the discriminator tells the dataset's faces from drawn ones. With d the discriminator's logit, f the
activations of its last convolution over their deviation, z_p a code from the standard normal
distribution, and x_p the face drawn from it, each network descends its own loss
(`vae_gan_training.py`):

    encoder         mean (f(x) − f(x̃))² + β·KL(q(z|x) ‖ N(0, 1)) + ε·mean (x − x̃)²
    decoder         mean (f(x) − f(x̃))² + γ·½[s(−d(x̃)) + s(−d(x_p))] + ε·mean (x − x̃)²
    discriminator   s(−d(x)) + ½[s(d(x̃)) + s(d(x_p))] + ρ/2·‖∇d(x)‖²

where s(t) = log(1 + eᵗ). Each loss is differentiated with respect to its own network alone. As in
the paper, the encoder therefore doesn't serve the critic, nor the critic the autoencoder.

What differs from the paper, so that a few minutes and 2344 faces are enough:

- The discriminator has a gradient penalty (Mescheder et al. 2018) instead of batch normalization
  and margins, which stop one network's training while the other is behind.
- The other networks have group normalization, so that an image's code doesn't depend on its batch.
- The convolutions continue down to 4 × 4 cells, which saves dense layers of 17 million parameters
  each.
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
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

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
    kl: float = 5e-4
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


def networks(settings: Settings) -> Networks:
    """Returns the networks without their parameters."""
    return Networks(Encoder(settings), Decoder(settings), Discriminator(settings))


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
