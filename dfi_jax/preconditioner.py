"""The scale of a problem's unknown: how far each frequency, colour and place of an image is from well conditioned.

The Hessian of a distance of features is about JᵀWJ, with J the Jacobian of the features at the start and W the weights
of the loss. One probe p = JᵀW^½ξ, ξ standard normal, has that matrix for its covariance. Its spectrum, averaged over
the frequencies of a radius, and its energy, averaged over a place's surroundings, say where the Hessian is large; an
unknown that is scaled down there has a more even one, and L-BFGS needs fewer iterations.
"""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dfi_jax.recipe import Loss
from dfi_jax.vgg import Features

POWER = 0.35
"""Of the Hessian's inverse, in the spectrum and over places; ½ would be Newton's, if the two were all of it."""

BLUR = 3.0
"""Standard deviation, in pixels, of the Gaussian that averages a probe's energy over a place's surroundings."""

FLOOR = {"spectrum": 1e-4, "pixels": 1e-2}
"""The least that enters a power, over the spectrum's largest eigenvalue and over the mean energy."""

SHARED = 3
"""Radius, in waves an image, below which frequencies share an average: there are few of them."""


class Scale(NamedTuple):
    """Of the unknowns q of a batch: z = start + pixels·F⁻¹(spectrum·F(q)), F the 2-D Fourier transform of each colour.

    Attributes:
      spectrum: a symmetric matrix between colours for each radius, in waves an image.
      pixels: a factor for each place.
    """

    spectrum: Float[Array, "n r 3 3"]
    pixels: Float[Array, "n h w 1"]


def identity_scale(images: Float[Array, "n h w 3"]) -> Scale:
    """The scale that changes nothing."""
    n, h, w, _ = images.shape
    radii = int(_radius((h, w)).max()) + 1
    return Scale(jnp.broadcast_to(jnp.eye(3), (n, radii, 3, 3)), jnp.ones((n, h, w, 1)))


def probe_target(target: Features, square_norms: dict[str, Float[Array, " n"]], *, loss: Loss) -> Features:
    """target − W^(−½)ξ, the same ξ for every problem.

    The gradient of the objective is linear in its target: here it is JᵀW^½ξ more than at the target itself.
    """
    keys = jax.random.split(jax.random.key(0), len(target))
    moved = {}
    for key, (name, layer) in zip(keys, target.items(), strict=True):
        deviation = {
            "sum_squares": jnp.ones(()),
            "mean_squares": jnp.sqrt(layer[0].size / 2),
            "relative": jnp.sqrt(square_norms[name])[:, None, None, None],
        }[loss]
        moved[name] = layer - deviation * jax.random.normal(key, layer.shape[1:])
    return moved


def estimate_scale(probes: Float[Array, "n h w 3"]) -> Scale:
    """The scale of each problem from its probe p.

      spectrum(r) = (mean of Re F(p)F(p)* over the frequencies of radius r)^−POWER
      pixels = (Σ p² over colours, blurred)^−POWER

    each over the root of its mean square, so that on the whole an unknown is as large as an image.
    """
    size = (probes.shape[1], probes.shape[2])
    radius, count = _radius(size), _count(size)
    spectrum = jnp.fft.rfft2(probes, axes=(1, 2))
    products = jnp.real(spectrum[..., :, None] * jnp.conj(spectrum[..., None, :]))
    summed = jax.vmap(lambda each: jax.ops.segment_sum(each, radius.ravel(), len(count)))(
        products.reshape(len(probes), -1, 3, 3)
    )
    values, vectors = jnp.linalg.eigh(summed / np.maximum(count, 1)[:, None, None])
    largest = jnp.max(values, axis=(1, 2), keepdims=True)
    values = jnp.maximum(values, FLOOR["spectrum"] * largest) ** -POWER
    matrices = jnp.einsum("nrab,nrb,nrcb->nrac", vectors, values, vectors, precision="highest")
    square = jnp.sum(count[:, None] * values**2, axis=(1, 2)) / (3 * count.sum())

    frequency = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1]))
    gaussian = np.exp(-2 * (np.pi * BLUR * frequency) ** 2).astype(np.float32)
    energy = jnp.sum(probes**2, axis=3)
    mean = jnp.mean(energy, axis=(1, 2), keepdims=True)
    energy = jnp.fft.irfft2(jnp.fft.rfft2(energy) * gaussian, s=size)
    pixels = jnp.maximum(energy, FLOOR["pixels"] * mean) ** -POWER
    pixels = pixels / jnp.sqrt(jnp.mean(pixels**2, axis=(1, 2), keepdims=True))
    return Scale(matrices / jnp.sqrt(square)[:, None, None, None], pixels[..., None])


def to_image(
    unknown: Float[Array, "n h w 3"], start: Float[Array, "n h w 3"], scale: Scale | None
) -> Float[Array, "n h w 3"]:
    """The image z that the unknown q stands for; without a scale, start + q."""
    return start + (unknown if scale is None else scale.pixels * _filter(unknown, scale))


def to_unknown(gradient: Float[Array, "n h w 3"], scale: Scale | None) -> Float[Array, "n h w 3"]:
    """The gradient by the unknown, from that by the image."""
    return gradient if scale is None else _filter(scale.pixels * gradient, scale)


def _filter(images: Float[Array, "n h w 3"], scale: Scale) -> Float[Array, "n h w 3"]:
    """F⁻¹(spectrum·F(images)), which is its own transpose."""
    size = (images.shape[1], images.shape[2])
    matrices = scale.spectrum[:, _radius(size)]
    spectrum = jnp.sum(matrices * jnp.fft.rfft2(images, axes=(1, 2))[..., None, :], axis=-1)
    return jnp.fft.irfft2(spectrum, s=size, axes=(1, 2))


@cache
def _radius(size: tuple[int, int]) -> Int[np.ndarray, "h f"]:
    """Of each frequency of a real 2-D FFT, in waves over the longer side, `SHARED` at least."""
    frequency = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1]))
    return np.maximum(np.rint(frequency * max(size)).astype(int), SHARED) - SHARED


@cache
def _count(size: tuple[int, int]) -> Int[np.ndarray, " r"]:
    """Frequencies of each radius."""
    return np.bincount(_radius(size).ravel())
