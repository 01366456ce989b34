"""Edits by arithmetic with the codes of a VAE/GAN."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
import vae_gan
from flax.traverse_util import unflatten_dict
from jaxtyping import Array, Bool, Float
from vae_gan import Params, Settings

from dfi_jax.vectors.fitted import PENALTY
from dfi_jax.vectors.regression import regress

Faces = Float[np.ndarray, "n 64 64 3"]
"""RGB faces in [0, 1]."""

Codes = Float[np.ndarray, "n k"]
"""Means of the codes of faces."""


@dataclass(frozen=True)
class Generator:
    """A trained VAE/GAN.

    Attributes:
      settings: Networks and their training.
      params: Parameters of the encoder and the decoder, by these names.
    """

    settings: Settings
    params: Mapping[str, Params]

    @classmethod
    def load(cls, path: Path) -> "Generator":
        """Reads a file that `train_vae_gan.py` wrote."""
        with safetensors.safe_open(path, framework="numpy") as file:
            settings = Settings(**json.loads(file.metadata()["settings"]))
        tensors = safetensors.numpy.load_file(path)
        # On the device, no edit copies them again.
        return cls(settings, jax.device_put(unflatten_dict(tensors, sep="/")))

    def encode(self, faces: Faces) -> Codes:
        """Returns the means of the codes of faces."""
        return np.asarray(_encode(self.settings, self.params["encoder"], jnp.asarray(faces)))

    def decode(self, z: Codes) -> Faces:
        """Returns the faces that codes stand for."""
        return np.asarray(_decode(self.settings, self.params["decoder"], jnp.asarray(z)))

    def edit(self, faces: Faces, direction: Float[np.ndarray, " k"], alpha: float) -> Faces:
        """Returns the faces drawn from z + α·direction."""
        moved = _edit(self.settings, self.params, jnp.asarray(faces), alpha * direction[None])
        return np.asarray(moved)


@partial(jax.jit, static_argnames="settings")
def _encode(settings: Settings, params: Params, faces: Array) -> Array:
    return vae_gan.encode(settings, params, 2 * faces - 1).mean


@partial(jax.jit, static_argnames="settings")
def _decode(settings: Settings, params: Params, z: Array) -> Array:
    return (vae_gan.decode(settings, params, z) + 1) / 2


@partial(jax.jit, static_argnames="settings")
def _edit(settings: Settings, params: Mapping[str, Params], faces: Array, moved: Array) -> Array:
    z = _encode(settings, params["encoder"], faces)
    return _decode(settings, params["decoder"], z + moved)


def mean_difference(z: Codes, on: Bool[np.ndarray, " n"]) -> Float[np.ndarray, " k"]:
    """Returns the mean of the codes of faces with an attribute, minus that of the others.

    >>> z = np.array([[1.0, 0.0], [3.0, 0.0], [0.0, 5.0]], np.float32)
    >>> mean_difference(z, np.array([True, True, False])).tolist()
    [2.0, -5.0]
    """
    return z[on].mean(axis=0) - z[~on].mean(axis=0)


def regression(
    z: Codes, scores: Float[np.ndarray, "n a"], column: int, held: list[int]
) -> Float[np.ndarray, " k"]:
    """Returns an attribute's direction by least squares, as that of a fitted vector.

    Args:
      z: Codes of n faces.
      scores: Their scores for all attributes.
      column: The attribute.
      held: The attributes that are held constant.

    >>> scores = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    >>> z = (scores @ [[1.0, 0.0], [0.0, 3.0]]).astype(np.float32)
    >>> regression(z, scores, 0, [1]).round(3).tolist()
    [2.0, 0.0]
    """
    design = np.column_stack([np.ones(len(scores)), scores])
    on = scores[:, column] > 0
    gap = scores[on, column].mean() - scores[~on, column].mean()
    layer = z[:, None, None]  # A code is like the features of a layer with one cell.
    products, squares = {"z": np.tensordot(design.T, layer, 1)}, {"z": np.square(layer).sum(axis=0)}
    w, _ = regress(scores, products, squares, [column], held, np.array([gap]), penalty=PENALTY)
    return np.asarray(w["z"])[0, 0]
