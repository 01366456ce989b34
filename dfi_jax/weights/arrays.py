"""Reading pickles of plain NumPy arrays, and of nothing else: an unpickler that runs no code."""

import io
import pickle
from typing import Any

import numpy as np

from dfi_jax.errors import FileError

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
