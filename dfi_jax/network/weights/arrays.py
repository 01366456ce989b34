"""A reader for pickles of plain NumPy arrays that runs no code from the file."""

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
    """Permits only the three names that a NumPy array is rebuilt from; any other could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if module in _ARRAY_MODULES and name in _ARRAY_PARTS:
            return _ARRAY_PARTS[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def read_array_pickle(file: io.BufferedIOBase, *, name: str) -> Any:
    """Reads a pickle of nested dicts and lists of plain NumPy arrays.

    Protocol 3, which published files use, and protocol 4 are supported.

    Args:
      file: File opened for reading bytes.
      name: Name of the file in an error.

    Raises:
      FileError: If the file isn't a pickle, is incomplete, or contains anything other than arrays,
        such as code.

    >>> file = io.BytesIO(pickle.dumps({"bias": np.zeros(2)}, protocol=3))
    >>> read_array_pickle(file, name="example")
    {'bias': array([0., 0.])}
    """
    try:
        return _ArrayUnpickler(file).load()
    except pickle.UnpicklingError as error:
        raise FileError(
            f"{name} contains something other than NumPy arrays ({error}) and was not read; "
            "get it again from its publisher."
        ) from None
    except Exception as error:  # Any opcode of a damaged pickle can fail, with any exception.
        raise FileError(f"{name} is damaged or isn't a pickle ({error}); get it again.") from None
