"""A reader for pickles of plain NumPy arrays that runs no code from the file."""

import io
import pickle
import re
from typing import Any

import numpy as np

from dfi_jax.errors import FileError

_MODULES = {"numpy", "numpy.core.multiarray", "numpy._core.multiarray"}
_NUMBERS = re.compile(r"[fiu][1248]")
_ORDERS = ("<", ">", "|", "=")


class _Type:
    """Stands for `numpy.dtype`, which ends the process if it gets a damaged state."""

    def __init__(self, name: Any = "", *_: Any) -> None:
        self._name = name
        self._order = "="

    def __setstate__(self, state: Any) -> None:
        self._order = state[1]

    def numpy(self) -> np.dtype[Any]:
        if self._order not in _ORDERS or not _NUMBERS.fullmatch(self._name):
            raise ValueError(f"an array is of the type {self._name!r}")
        return np.dtype(self._order + self._name)


class _Array:
    """Stands for `numpy.ndarray`, and for the function that makes an empty one."""

    def __init__(self, *_: Any) -> None:
        self.array: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, by_columns, data = state
        numbers = np.frombuffer(data, kind.numpy())
        # An array in the file's bytes would be read-only, unlike the arrays of other formats.
        self.array = numbers.reshape(shape, order="F" if by_columns else "C").copy()


_PARTS = {"_reconstruct": _Array, "ndarray": _Array, "dtype": _Type}


# The Python version, because the C version allocates as much memory as the file says.
class _ArrayUnpickler(pickle._Unpickler):
    """Permits only the three names that a NumPy array is rebuilt from; any other could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if module in _MODULES and name in _PARTS:
            return _PARTS[name]
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
        return _plain(_ArrayUnpickler(file).load())
    except pickle.UnpicklingError as error:
        raise FileError(
            f"{name} contains something other than NumPy arrays ({error}) and was not read; "
            "get it again from its publisher."
        ) from None
    except Exception as error:  # Any opcode of a damaged pickle can fail, with any exception.
        raise FileError(f"{name} is damaged or isn't a pickle ({error}); get it again.") from None


def _plain(value: Any) -> Any:
    """Returns a value with NumPy's arrays in place of their stand-ins."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    return value.array if isinstance(value, _Array) else value
