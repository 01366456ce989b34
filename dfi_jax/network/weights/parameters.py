"""The parameters of a VGG's convolutions as arrays, with what is known about them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dfi_jax.errors import FileError
from dfi_jax.network.vgg import ARCHITECTURES, WIDTHS, Preprocess, block_number, layer_names

Params = dict[str, dict[str, np.ndarray]]
"""Float32 arrays by layer, `{"conv1_1": {"kernel": (3, 3, 3, 64), "bias": (64,)}, …}`, HWIO."""

LARGEST = 9 * max(WIDTHS) ** 2
"""The number of numbers in VGG's largest kernel. Readers skip or reject what is larger, because a
damaged file may state any size."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Weights:
    """The contents of a file of weights.

    Attributes:
      params: Parameters by layer.
      architecture: Name of the architecture, a key of `vgg.ARCHITECTURES`.
      preprocess: Conversion of images to the network's input.
      format: Name of the file format.
      normalized: Whether every filter is rescaled to a mean activation of 1 (Gatys et al. 2015).
      source: Origin of a converted file's numbers, and their SHA-256; None for published files.
    """

    params: Params
    architecture: str
    preprocess: Preprocess
    format: str
    normalized: bool = False
    source: Mapping[str, str] | None = None


def random_params(architecture: str, *, seed: int = 0) -> Params:
    """Draws kernels from N(0, 2 / fan-in) (He et al. 2015) and biases from N(0, 0.05²).

    Args:
      architecture: Name of the architecture.
      seed: Seed of the random numbers.

    >>> random_params("vgg16")["conv1_2"]["kernel"].shape
    (3, 3, 64, 64)
    """
    rng = np.random.default_rng(seed)
    params: Params = {}
    width_in = 3
    for layer in layer_names(architecture):
        width = WIDTHS[block_number(layer)]
        kernel = rng.standard_normal((3, 3, width_in, width), np.float32)
        kernel = kernel * np.sqrt(2 / (9 * width_in))
        bias = rng.standard_normal(width, np.float32) * 0.05
        params[layer] = {"kernel": kernel.astype(np.float32), "bias": bias}
        width_in = width
    return params


def check_params(
    params: Mapping[str, Any], *, architecture: str, name: str, truncated: bool = False
) -> None:
    """Checks that every layer of an architecture is present, float32, finite and rightly shaped.

    Args:
      params: Parameters by layer.
      architecture: Name of the architecture.
      name: Name of the file in an error.
      truncated: Whether the deepest layers may be missing.

    Raises:
      FileError: If a layer is missing or wrong.

    >>> check_params(random_params("vgg16"), architecture="vgg16", name="random")
    """
    if architecture not in ARCHITECTURES:
        raise FileError(
            f"{name} holds a {architecture}, which isn't supported; "
            f"give a {' or '.join(ARCHITECTURES)}."
        )
    names = layer_names(architecture)
    if truncated and params:
        names = names[: 1 + max(names.index(layer) for layer in params)]
    width_in = 3
    for layer in names:
        width = WIDTHS[block_number(layer)]
        for part, shape in (("kernel", (3, 3, width_in, width)), ("bias", (width,))):
            array = (params.get(layer) or {}).get(part)
            if not isinstance(array, np.ndarray):
                raise FileError(f"{name} has no {part} of {layer}; give a complete {architecture}.")
            if array.dtype != np.float32 or array.shape != shape:
                raise FileError(
                    f"{name}: the {part} of {layer} should be float32 {shape} but is "
                    f"{array.dtype} {array.shape}; give a {architecture}."
                )
            if not np.isfinite(array).all():
                raise FileError(
                    f"{name}: the {part} of {layer} has values that aren't finite; "
                    "get the file again."
                )
        width_in = width
