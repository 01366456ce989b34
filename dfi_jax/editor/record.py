"""The record of an edit: everything about how it was made, as JSON can write it."""

import hashlib
import platform
from importlib import metadata
from typing import Any

import jax
import numpy as np

from dfi_jax.editor.work import Work
from dfi_jax.engine.slots import Reconstruction
from dfi_jax.network.vgg import VGG
from dfi_jax.vectors.attribute_vector import AttributeVector

PACKAGES = ("dfi-jax", "jax", "jaxlib", "flax", "optax", "numpy", "pillow")
"""The packages whose versions are in every record."""


def make_record(work: Work, result: Reconstruction, *, vgg: VGG) -> dict[str, Any]:
    """Returns the record of an edit.

    Args:
      work: The job, with its photo, its recipe and its vector.
      result: The reconstructions.
      vgg: The network that the queue used.
    """
    photo, placement = work.located.photo, work.located.placement
    request = work.job.request()
    return {
        "photo": {"name": photo.name, "sha256": photo.sha256, "size": list(photo.size)},
        **request,
        "placement": placement.to_json(),
        "selections": [selection.record() for selection in work.selections],
        "vector": _describe_vector(work.vector),
        "recipe": work.recipe.to_dict(),
        "network": describe_network(vgg),
        "files": [f"alpha-{alpha:g}{photo.suffix}" for alpha in request["alphas"]],
        "iterations": result.iterations.tolist(),
        "objective": result.objective.tolist(),
        "history": result.history.tolist(),
        "device": {"platform": jax.default_backend(), "kind": jax.devices()[0].device_kind},
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in PACKAGES},
        "seconds": {phase: round(seconds, 3) for phase, seconds in work.seconds.items()},
    }


def describe_network(vgg: VGG) -> dict[str, Any]:
    """Returns the network's name and identity, and how its convolutions are computed.

    >>> import dfi_jax
    >>> describe_network(dfi_jax.load_vgg("random-vgg16"))["convolution"]
    'direct'
    """
    return {"name": vgg.name} | vgg.identity() | {"convolution": vgg.convolution}


def _describe_vector(vector: AttributeVector) -> dict[str, Any]:
    digest = hashlib.sha256()
    for name in sorted(vector.features):
        digest.update(name.encode() + np.asarray(vector.features[name]).tobytes())
    fields = vector.provenance.to_dict().items()
    described = {name: list(v) if isinstance(v, tuple) else v for name, v in fields}
    return described | {"sha256": digest.hexdigest()}
