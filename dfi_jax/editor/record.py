"""The record of an edit: everything about how it was made, as JSON can write it."""

import platform
from collections.abc import Sequence
from importlib import metadata
from itertools import chain
from typing import Any

import jax
import numpy as np

from dfi_jax.editor.work import Work
from dfi_jax.engine.slots import Reconstruction
from dfi_jax.network.vgg import VGG
from dfi_jax.recipe import TransferDifference
from dfi_jax.storage.files import tensors_sha256
from dfi_jax.vectors.attribute_vector import AttributeVector
from dfi_jax.vectors.provenance import Provenance
from dfi_jax.vectors.replacement import takes_away

NOISY = 0.8
"""Share of noise in the energy of an attribute vector above which an edit has a warning.

On LFW, two sets of 100 images have about 0.5, and two sets of 25 nearly reach the limit
(docs/vectors.md)."""

PACKAGES = ("dfi-jax", "jax", "jaxlib", "flax", "optax", "numpy", "pillow")
"""The packages whose versions are in every record."""


def make_record(
    work: Work, result: Reconstruction, *, vgg: VGG, batch_size: int | None
) -> dict[str, Any]:
    """Returns the record of an edit.

    Args:
      work: The job, with its photo, its recipe and its vector.
      result: The reconstructions.
      vgg: The network that the queue used.
      batch_size: Maximum number of problems at a time, or None for what the devices take.
    """
    photo, placement = work.located.photo, work.located.placement
    request = work.job.request(work.recipe)
    _, *finer = work.sizes()
    return {
        "photo": {"name": photo.name, "sha256": photo.sha256, "size": list(photo.size)},
        "mask": work.mask_record,
        **request,
        "dataset_sha256": work.job.dataset_sha256,
        "placement": placement.to_json(),
        "selections": work.selections,
        "vector": vector_record(work.vector),
        "finer": [vector_record(larger.vector) for larger in finer],
        "warnings": [
            *photo_warnings(work),
            *dict.fromkeys(chain(*map(work_warnings, work.sizes()))),
        ],
        "recipe": work.recipe.to_dict(),
        "network": network_record(vgg),
        "files": [f"alpha-{alpha:g}{photo.suffix}" for alpha in request["alphas"]],
        "iterations": result.iterations.tolist(),
        "evaluations": result.evaluations.tolist(),
        "objective": result.objective.tolist(),
        "history": result.history.tolist(),
        "device": {
            **device(),
            "count": jax.local_device_count(),
            "batch_size": batch_size,
        },
        "versions": {"python": platform.python_version()} | versions(),
        "seconds": {phase: round(seconds, 3) for phase, seconds in work.seconds.items()},
    }


def versions() -> dict[str, str]:
    """Returns the version of each of the `PACKAGES`.

    >>> versions()["numpy"] == np.__version__
    True
    """
    return {name: metadata.version(name) for name in PACKAGES}


CROP = (
    "the recipe's edit is the crop of the face in sRGB, which has 8 bits per channel and none of "
    "the photo's profile, metadata and transparency."
)
"""Warning about a recipe without the step `transfer_difference`."""


def device() -> dict[str, str]:
    """Returns the platform and the kind of the devices, which differ in the last bits of an edit.

    >>> device()["platform"] == jax.default_backend()
    True
    """
    return {"platform": jax.default_backend(), "kind": jax.local_devices()[0].device_kind}


SUBTRACTED = (
    "the attribute lies nearly everywhere in the face, so the average face didn't take its place; "
    "the vector was only subtracted."
)
"""Warning about an attribute such as age."""


def photo_warnings(work: Work) -> list[str]:
    """Returns sentences about what of the photo the finished photos lack."""
    photo = work.located.photo
    if any(isinstance(step, TransferDifference) for step in work.recipe.finish):
        return list(photo.losses)
    return [CROP] if photo.original is not None and photo.original.holds_more else []


def find_warnings(made: Provenance) -> list[str]:
    """Returns sentences about an attribute vector that the user should know.

    >>> import dfi_jax
    >>> find_warnings(dfi_jax.starter("older").provenance)
    []
    """
    if made.n_source == made.n_target == 1:
        return [
            "the noise in the attribute vector is unknown, because it comes from a single image "
            "without and a single one with the attribute; use more images."
        ]
    if made.noise_share is None or made.noise_share <= NOISY:
        return []
    return [
        f"{min(1, made.noise_share):.0%} of the attribute vector is noise, because it comes from "
        f"{made.n_source} images without and {made.n_target} with the attribute; use more images."
    ]


def work_warnings(work: Work) -> list[str]:
    """Returns sentences about an edit at one size that the user should know."""
    return [
        *mask_warnings(work),
        *vector_warnings(work),
        *warp_warnings(work),
        *finer_warnings(work),
    ]


def mask_warnings(work: Work) -> list[str]:
    """Returns a sentence if the mask leaves nothing of the face to edit."""
    if work.mask is None or work.mask.any():
        return []
    return ["the mask is black in the whole face, so the edit changes nothing."]


def finer_warnings(work: Work) -> list[str]:
    """Returns a sentence if the vector of the next larger size has other attributes."""
    if work.finer is None:
        return []
    here, there = (each.vector.provenance.attributes for each in (work, work.finer))
    if here == there:
        return []
    return [
        f"the attribute is {', '.join(here)} and that of the finer vector is {', '.join(there)}; "
        f"give vectors of the same attribute."
    ]


def vector_warnings(work: Work) -> list[str]:
    """Returns sentences about the vector, or about each vector of a sum."""
    found = []
    for vector, strength in work.parts or ((work.vector, 1.0),):
        if not strength:
            continue
        sentences = find_warnings(vector.provenance)
        if work.recipe.removal is not None:
            sentences += removal_warnings(vector, [strength * alpha for alpha in work.alphas])
        name = f"{','.join(vector.provenance.attributes)}: " if work.parts else ""
        found += [name + sentence for sentence in sentences]
    return found


def removal_warnings(vector: AttributeVector, alphas: Sequence[float]) -> list[str]:
    """Returns a sentence if nothing can be replaced where a vector takes an attribute away.

    >>> import dfi_jax
    >>> removal_warnings(dfi_jax.starter("eyeglasses"), [-1.0])
    []
    >>> removal_warnings(dfi_jax.starter("older"), [-1.0]) == [SUBTRACTED]
    True
    """
    attributes, replacement = vector.provenance.attributes, vector.replacement
    away = 1 if attributes and takes_away(attributes) else -1
    if not any(away * alpha > 0 for alpha in alphas):
        return []
    if replacement is not None:
        masks = (*replacement.forwards.values(), *replacement.backwards.values())
        return [] if any(mask.any() for mask in masks) else [SUBTRACTED]
    return [
        "the attribute vector was made before vectors had an average face, so it was only "
        "subtracted; compute it again to take the attribute away."
    ]


def warp_warnings(work: Work) -> list[str]:
    """Returns a sentence if the vector's faces were warped and the photo's isn't."""
    if work.warp is not None or not work.vector.provenance.warped:
        return []
    return [
        "the attribute vector was fitted to warped faces, and this face isn't warped; edit it with "
        "a warp (--warp)."
    ]


def network_record(vgg: VGG) -> dict[str, Any]:
    """Returns the network's name and identity, and how its convolutions are computed.

    >>> import dfi_jax
    >>> network_record(dfi_jax.load_vgg("random-vgg16"))["convolution"]
    'direct'
    """
    return {"name": vgg.name} | vgg.identity() | {"convolution": vgg.convolution}


def vector_record(vector: AttributeVector) -> dict[str, Any]:
    """Returns how a vector was made, and the SHA-256 of its numbers and its replacement's.

    >>> import dfi_jax
    >>> vector_record(dfi_jax.starter("older"))["attributes"]
    ['~Young']
    """
    layers = jax.tree.leaves_with_path((vector.features, vector.replacement))
    numbers = {jax.tree_util.keystr(path): np.asarray(layer) for path, layer in layers}
    fields = vector.provenance.to_dict().items()
    described = {name: list(v) if isinstance(v, tuple) else v for name, v in fields}
    return described | {"sha256": tensors_sha256(numbers)}
