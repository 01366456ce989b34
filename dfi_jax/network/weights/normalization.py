"""Gatys' normalised network: every filter is rescaled to a mean activation of 1.

References:
  Gatys, Ecker and Bethge, "A Neural Algorithm of Artistic Style", 2015,
  https://arxiv.org/abs/1508.06576.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dfi_jax.errors import InputError
from dfi_jax.network.means import feature_moments
from dfi_jax.network.vgg import VGG

NORM_CORRELATION = -0.35
"""The rank correlation of kernel norms below which `is_normalized` calls a network normalised.

The measured correlations are 0.83 for torchvision's VGG-16, and −0.01 to 0.02 for eight random
networks. For torchvision's VGG-16 normalised with maximum and average pooling, they are −0.72 and
−0.79 on twelve of scikit-image's photos, −0.82 to −0.86 on 5 or 20 drawn faces, and −0.89 and −0.88
on 30 faces of LFW. The bound is halfway between the random networks and the nearest normalised one.
"""


class Normalized(NamedTuple):
    """The result of `normalize`.

    Attributes:
      vgg: Normalised network.
      dead: Number of filters in each layer that no image activates; they are left unchanged.
    """

    vgg: VGG
    dead: dict[str, int]


def normalize(vgg: VGG, batches: Iterable[Float[np.ndarray, "_ h w 3"]]) -> Normalized:
    """Scales each filter so that its mean post-ReLU activation over positions and images is 1.

    With m the mean activations of the raw network, layer by layer:

      kernel[…, i, o] ← kernel[…, i, o] · m_before[i] / m[o],  bias[o] ← bias[o] / m[o],

    where m is 1 for the image's channels and for filters that are never active. ReLU and both
    poolings commute with a positive factor per channel, so every activation of the new network is
    the old one divided by its channel's m.

    Args:
      vgg: Raw network.
      batches: Batches of images in [0, 1], all of one size.

    Raises:
      InputError: If the network is normalised already, or there are no images.

    >>> from dfi_jax.network.weights import load_vgg
    >>> raw = load_vgg("random-vgg16")
    >>> raw = raw.replace(params={"conv1_1": raw.params["conv1_1"]})  # only to be quick
    >>> images = np.random.default_rng(0).uniform(size=(1, 16, 16, 3)).astype(np.float32)
    >>> normalize(raw, [images]).vgg.normalized
    True
    """
    if vgg.normalized:
        raise InputError(f"{vgg.name} is normalised already; give raw weights.")
    means = feature_moments(vgg, batches, layers=tuple(vgg.params)).mean
    params, dead = {}, {}
    before: Float[Array, " c"] = jnp.ones(3, jnp.float32)
    for name, layer in vgg.params.items():
        activation = means[name].mean(axis=(0, 1))
        dead[name] = int(jnp.sum(activation <= 0))
        now = jnp.where(activation > 0, activation, 1)
        params[name] = {
            "kernel": layer["kernel"] * before[None, None, :, None] / now[None, None, None],
            "bias": layer["bias"] / now,
        }
        before = now
    digest = hashlib.sha256()
    for layer in params.values():
        for part in ("kernel", "bias"):
            digest.update(np.asarray(layer[part]).tobytes())
    normalized = dataclasses.replace(
        vgg,
        params=params,
        filters=None,  # Prepared filters have the raw kernels.
        name=f"{vgg.name} normalized",
        sha256=digest.hexdigest(),
        normalized=True,
    )
    return Normalized(normalized, dead)


def is_normalized(params: Mapping[str, Mapping[str, Any]]) -> bool:
    """Returns whether parameters belong to a normalised network, judging by their kernel norms.

    Training balances the norm of each filter with the norm of the next layer's weights that read
    its output, since a ReLU network doesn't change if the first is multiplied and the second
    divided by the same factor (Du et al. 2018). Across the filters of a layer, the two norms are
    therefore positively correlated, and in a random network they are uncorrelated. Normalising
    divides the first by the filter's mean activation and multiplies the second by it, which makes
    them negatively correlated. The median of their rank correlation over all pairs of layers is
    compared with `NORM_CORRELATION`.

    Args:
      params: Parameters by layer, shallowest first, at least two layers.

    References:
      Du, Hu and Lee, "Algorithmic Regularization in Learning Deep Homogeneous Models: Layers are
      Automatically Balanced", NeurIPS 2018, https://arxiv.org/abs/1806.00900.

    >>> from dfi_jax.network.weights.parameters import random_params
    >>> is_normalized(random_params("vgg16"))
    False
    """
    kernels = [np.asarray(layer["kernel"]) for layer in params.values()]
    correlations = []
    for kernel, following in itertools.pairwise(kernels):
        written = np.square(kernel).sum(axis=(0, 1, 2))
        read = np.square(following).sum(axis=(0, 1, 3))
        correlations.append(np.corrcoef(_ranks(written), _ranks(read))[0, 1])
    return bool(np.median(correlations) < NORM_CORRELATION)


def _ranks(values: Float[np.ndarray, " n"]) -> Any:
    return np.argsort(np.argsort(values))
