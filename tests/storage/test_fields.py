import dataclasses

import pytest

from dfi_jax.storage.fields import read_fields


@dataclasses.dataclass
class Place:
    name: str
    warm: bool = False
    near: tuple[str, ...] = ()
    point: tuple[float, float] | None = None


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"warm": "true"}, "warm is 'true' instead of bool"),
        ({"warm": 1}, "warm is 1 instead of bool"),
        ({"name": True}, "name is True instead of str"),
        ({"name": "\ud800"}, "surrogates not allowed"),
        ({"near": ["\ud800"]}, "surrogates not allowed"),
        ({"near": "home"}, "near is 'home' instead of"),
        ({"point": [1, True]}, "point is True instead of float"),
        ({"point": [1, 1e39]}, r"point is 1e\+39 instead of float"),
        ({"point": [1, 10**400]}, "instead of float"),
        ({"point": [1]}, r"point is \[1\] instead of"),
        ({"places": 1}, "'places' is unknown"),
    ],
)
def test_a_value_of_another_type_is_named(values, problem):
    with pytest.raises(ValueError, match=problem):
        read_fields(Place, values)
