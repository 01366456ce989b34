import dataclasses
from typing import Literal

import numpy as np
import pytest

from dfi_jax.storage.fields import read_fields


@dataclasses.dataclass(frozen=True)
class Round:
    radius: float


@dataclasses.dataclass(frozen=True)
class Square:
    side: float


@dataclasses.dataclass
class Place:
    name: str
    warm: bool = False
    near: tuple[str, ...] = ()
    point: tuple[float, float] | None = None
    floor: Literal["wood", "stone"] = "wood"
    shape: Round | Square = Square(5.0)
    storeys: int | None = None


def test_values_of_the_right_types_come_back():
    values = {
        "name": "home",
        "warm": True,
        "near": ["station", "sea", "wood"],
        "point": [float(np.finfo(np.float32).max), -1],
        "floor": "stone",
        "shape": Square(2.0),
        "storeys": 2,
    }
    found = read_fields(Place, values)
    assert found == values | {"near": tuple(values["near"]), "point": tuple(values["point"])}
    assert [type(number) for number in found["point"]] == [float, float]
    assert read_fields(Place, {"near": [], "point": None}) == {"near": (), "point": None}


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"warm": "true"}, "warm is 'true' instead of bool"),
        ({"warm": 1}, "warm is 1 instead of bool"),
        ({"name": True}, "name is True instead of str"),
        ({"name": "\ud800"}, "surrogates not allowed"),
        ({"near": ["\ud800"]}, "surrogates not allowed"),
        ({"near": "home"}, r"near is 'home' instead of tuple\[str, "),
        ({"point": [1, True]}, "point is True instead of float"),
        ({"point": [1, 1e39]}, r"point is 1e\+39 instead of float"),
        ({"point": [1, 10**400]}, "instead of float"),
        ({"point": [1]}, r"point is \[1\] instead of"),
        ({"point": 3}, "point is 3 instead of"),
        ({"floor": "sand"}, "floor is 'sand' instead of"),
        ({"shape": None}, "shape is None instead of Round"),
        ({"storeys": 2.0}, "storeys is 2.0 instead of int"),
        ({"places": 1}, "'places' is unknown"),
    ],
)
def test_a_value_of_another_type_is_named(values, problem):
    with pytest.raises(ValueError, match=problem):
        read_fields(Place, values)
