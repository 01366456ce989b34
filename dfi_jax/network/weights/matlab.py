"""A reader for MATLAB's files (version 5), as far as networks are stored in them.

SciPy's reader can end the process if a file is damaged. This one allocates no more than
`MOST_BYTES` at a time, whatever a file says about itself.

After a header of 128 bytes, a file consists of elements. An element is a tag, which holds its type
and its size in bytes, and its contents, padded to 8 bytes. The contents of an array are elements
again: its class, its shape, its name, and its numbers or the arrays in it. An element may be a
compressed array.

References:
  The MathWorks, "MAT-File Format",
  https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf.
"""

import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dfi_jax.network.weights.parameters import LARGEST

MOST_BYTES = 8 * LARGEST
"""The size of VGG's largest kernel in doubles. Larger arrays of numbers are skipped."""

MOST_AXES = 32
"""Maximum number of axes of an array."""

_HEADER = 128
_ARRAY, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 16: "u1"}
"""NumPy's name of the numbers in an element, by the element's type; 16 is text in UTF-8."""

_CELLS, _STRUCTURE, _TEXT, _DOUBLE, _SINGLE = 1, 2, 4, 6, 7
"""The classes of arrays that are read."""


def read_variable(path: Path, name: str) -> Any:
    """Returns a variable of a file, or None if the file doesn't have it.

    Arrays of doubles and singles are NumPy arrays, cell arrays are lists, texts are strings, and
    structures are lists of dicts. Everything else, and what is too large, is None.

    Raises:
      ValueError, zlib.error: If the file is damaged.
    """
    with path.open("rb") as file:
        order = {b"IM": "<", b"MI": ">"}.get(file.read(_HEADER)[-2:])
        if order is None:
            raise ValueError("its header states no byte order")
        size = path.stat().st_size
        while file.tell() < size:
            kind, length = _integers(_exactly(file.read, 8), order + "u4")
            end = file.tell() + length
            if end > size:
                raise ValueError("it ends inside an array")
            if kind in (_ARRAY, _COMPRESSED):
                elements = _Elements(file.read, order)
                if kind == _COMPRESSED:
                    elements = _Elements(_inflated(file, end), order)
                    kind, length, _ = elements.tag()
                found, value = elements.array(length, name)
                if found == name:
                    return value
            file.seek(end)
    return None


class _Elements:
    """Elements, read one after another.

    Attributes:
      position: Number of bytes that have been read.
    """

    def __init__(self, read: Callable[[int], bytes], order: str) -> None:
        self.position = 0
        self._read = read
        self._order = order

    def tag(self) -> tuple[int, int, bytes | None]:
        """Returns the type and size of an element, and its contents if the tag holds them."""
        tag = self._take(8)
        kind, size = _integers(tag, self._order + "u4")
        if kind >> 16:  # At most four bytes fit into the tag.
            return kind & 0xFFFF, kind >> 16, tag[4 : 4 + (kind >> 16)]
        return kind, size, None

    def array(self, size: int, wanted: str | None = None) -> tuple[str, Any]:
        """Returns the name and the value of an array.

        Args:
          size: Size of the contents in bytes.
          wanted: Name of the array to read; the value of another one is None.
        """
        end = self.position + size
        if not size:  # MATLAB writes an empty array so.
            return "", None
        flags, shape, name = self._values(), self._values(), self._text()
        if not flags or not 0 < len(shape) <= MOST_AXES:
            raise ValueError("an array has no class or no shape")
        kind, count = flags[0] & 0xFF, math.prod(shape)
        value: Any = None
        if wanted in (None, name):
            if kind == _CELLS:
                value = [self._inner() for _ in range(count)]
            elif kind == _STRUCTURE:
                value = self._structures(count)
            elif kind == _TEXT:
                value = self._text()
            elif kind in (_DOUBLE, _SINGLE):
                numbers = self._numbers()
                value = None if numbers is None else numbers.reshape(shape, order="F")
        if self.position > end:
            raise ValueError("an array is larger than it says")
        self._skip(end - self.position)
        return name, value

    def _inner(self) -> Any:
        kind, size, _ = self.tag()
        if kind != _ARRAY:
            raise ValueError(f"an element is of the type {kind} instead of an array")
        return self.array(size)[1]

    def _structures(self, count: int) -> list[dict[str, Any]]:
        (width,) = self._values()
        joined = self._text()
        if width <= 0 or not joined:
            raise ValueError("the names of a structure are empty")
        names = [joined[i : i + width].rstrip("\0") for i in range(0, len(joined), width)]
        return [{name: self._inner() for name in names} for _ in range(count)]

    def _text(self) -> str:
        return "".join(map(chr, self._values()))

    def _values(self) -> list[int]:
        numbers = self._numbers()
        if numbers is None or numbers.dtype.kind == "f" or numbers.size == 0:
            return []
        return [int(number) for number in numbers]

    def _numbers(self) -> np.ndarray | None:
        """Returns the numbers in an element, or None if they are too many or of another type."""
        kind, size, contents = self.tag()
        if contents is None:
            if size > MOST_BYTES or kind not in _NUMBERS:
                self._skip(size + -size % 8)
                return None
            contents = self._take(size)
            self._skip(-size % 8)
        return np.frombuffer(contents, self._order + _NUMBERS[kind])

    def _take(self, size: int) -> bytes:
        self.position += size
        return _exactly(self._read, size)

    def _skip(self, size: int) -> None:
        while size > 0:
            size -= len(self._take(min(size, MOST_BYTES)))


def _exactly(read: Callable[[int], bytes], size: int) -> bytes:
    data = read(size)
    if len(data) < size:
        raise ValueError("it ends inside an array")
    return data


def _integers(data: bytes, kind: str) -> list[int]:
    values: list[int] = np.frombuffer(data, kind).tolist()
    return values


def _inflated(file: BinaryIO, end: int) -> Callable[[int], bytes]:
    """Returns a function that reads the compressed data up to a position of a file."""
    inflate = zlib.decompressobj()

    def read(size: int) -> bytes:
        parts = []
        while size > 0 and not inflate.eof:
            data = inflate.unconsumed_tail or file.read(min(1 << 16, end - file.tell()))
            part = inflate.decompress(data, size)
            if not (part or data):
                break
            size -= len(part)
            parts.append(part)
        return b"".join(parts)

    return read
