"""Gatys' normalised network: every filter rescaled so that its mean activation is 1, with nothing else changed.

Reference: Gatys, Ecker and Bethge, "A Neural Algorithm of Artistic Style", 2015, https://arxiv.org/abs/1508.06576.
"""

import dataclasses
import hashlib
from collections.abc import Iterable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dfi_jax.errors import InputError
from dfi_jax.features import mean_features
from dfi_jax.vgg import VGG


class Normalized(NamedTuple):
    """What `normalize` gives.

    Attributes:
      vgg: the normalised network.
      dead: filters of each layer that no image activates, which are left as they were.
    """

    vgg: VGG
    dead: dict[str, int]


def normalize(vgg: VGG, batches: Iterable[Float[np.ndarray, "_ h w 3"]]) -> Normalized:
    """Scales each filter so that its mean post-ReLU activation over all positions and images is 1.

    With m the mean activations of the raw network, layer by layer:

      kernel[…, i, o] ← kernel[…, i, o] · m_before[i] / m[o],  bias[o] ← bias[o] / m[o],

    with m = 1 for the image and for filters that are never active. ReLU and both poolings commute with a positive
    factor a channel, so every activation of the new network is the old one divided by its channel's m.

    Args:
      vgg: a raw network.
      batches: of images in [0, 1], all of one size.

    Raises:
      InputError: for a network that is normalised already, or where there is no image.
    """
    if vgg.normalized:
        raise InputError(f"{vgg.name} is normalised already; give raw weights.")
    means = mean_features(vgg, batches, layers=tuple(vgg.params))
    params, dead = {}, {}
    before: Float[Array, " c"] = jnp.ones(3)
    for name, layer in vgg.params.items():
        activation = means[name].mean(axis=(0, 1))
        dead[name] = int(jnp.sum(activation <= 0))
        now = jnp.where(activation > 0, activation, 1)
        params[name] = {"kernel": layer["kernel"] * before[:, None] / now, "bias": layer["bias"] / now}
        before = now
    digest = hashlib.sha256()
    for layer in params.values():
        for part in ("kernel", "bias"):
            digest.update(np.asarray(layer[part]).tobytes())
    return Normalized(
        dataclasses.replace(
            vgg, params=params, name=f"{vgg.name} normalized", sha256=digest.hexdigest(), normalized=True
        ),
        dead,
    )
