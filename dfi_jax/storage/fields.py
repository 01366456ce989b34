"""Dataclasses that were written as JSON, and may come from any file."""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

LARGEST = float(np.finfo(np.float32).max)
"""Largest number. Its square is far from the largest float, so that it can be computed with."""


def plain(value: Any) -> Any:
    """Returns a value with Python's numbers and lists in place of NumPy's, which JSON can't hold.

    >>> plain({"k": np.int64(5), "box": (np.int64(1), 2), "alphas": np.zeros(2)})
    {'k': 5, 'box': (1, 2), 'alphas': [0.0, 0.0]}
    """
    match value:
        case np.ndarray() | np.generic():
            return value.tolist()
        case dict():
            return {name: plain(each) for name, each in value.items()}
        case list() | tuple():
            return type(value)(map(plain, value))
    return value


def read_fields(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a dataclass from what JSON holds: with tuples for lists.

    Args:
      kind: The dataclass. Its fields are texts, one of several texts, numbers, truth values, other
        objects that have been read already, tuples of such, or None.
      values: Value of each field. Fields with a default may be missing.

    Raises:
      ValueError: If a field is unknown, or its value is of another type or not finite.

    >>> @dataclasses.dataclass
    ... class Place:
    ...     name: str
    ...     point: tuple[float, float] | None = None
    >>> read_fields(Place, {"name": "home", "point": [1, 2.5]})
    {'name': 'home', 'point': (1.0, 2.5)}
    >>> read_fields(Place, {"name": 3})
    Traceback (most recent call last):
    ValueError: name is 3 instead of str
    """
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    if unknown := [name for name in values if name not in names]:
        raise ValueError(f"{unknown[0]!r} is unknown")
    return {name: _read(hints[name], value, name) for name, value in values.items()}


def _read(kind: Any, value: Any, where: str) -> Any:
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in parts:
            return None
        fitting = [part for part in parts if isinstance(part, type) and isinstance(value, part)]
        others = [part for part in parts if part is not type(None)]
        return _read((fitting or others)[0], value, where)
    if origin is Literal and value in parts:
        return value
    if origin is tuple and isinstance(value, list | tuple):
        kinds = parts[:1] * len(value) if parts[-1] is Ellipsis else parts
        if len(kinds) == len(value):
            return tuple(_read(*each, where) for each in zip(kinds, value, strict=True))
    elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if abs(value) <= LARGEST:
            return float(value)
    elif kind is str and isinstance(value, str):
        value.encode()  # A lone surrogate, which JSON can hold, raises a ValueError.
        return value
    elif isinstance(kind, type) and type(value) is kind:
        return value
    name = kind.__name__ if isinstance(kind, type) else str(kind)
    raise ValueError(f"{where} is {value!r} instead of {name}")
