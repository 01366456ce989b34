import dataclasses
import json

import pytest

from dfi_jax.errors import InputError
from dfi_jax.recipe import RECIPES, Recipe, named_recipe


def test_recipes_are_hashable_and_compare_by_value():
    assert hash(Recipe()) == hash(Recipe())
    assert Recipe(size=224) != Recipe()
    assert named_recipe("default") == RECIPES["default"]


def test_a_recipe_survives_json():
    for recipe in RECIPES.values():
        values = json.loads(recipe.to_json())
        lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
        assert Recipe(**values | lists) == recipe


def test_chainer_dfi_weighs_total_variation_as_its_formula():
    # 100 · Σ d² / elements, with differences d in the network's units, at 200 × 200
    assert RECIPES["chainer-dfi"].tv_weight == pytest.approx(100 / 120_000)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("network", "raww"), ("feature_norm", "l1"), ("vector_norm", 3), ("norm_scope", ""), ("loss", "mse"),
        ("tv_weight", -1.0), ("tv_weight", float("nan")), ("tv_beta", 0.5), ("layers", ()), ("layers", ["conv1_1"]),
        ("layers", ("conv1_1", "conv1_1")), ("layers", (3,)), ("size", 8), ("size", 200.0), ("size", True),
        ("init", "zero"), ("noise_seed", -1), ("bounds", "box"), ("solver", "sgd"), ("iterations", 0),
        ("tolerance", -0.1), ("memory", 0), ("relaxation", 0.0), ("preconditioner", "jacobi"),
        ("learning_rate", 0.0),
        ("postprocess", ("sharpen",)), ("postprocess", ("match_color", "match_color")),
        ("postprocess", ("transfer_difference", "match_color")),
    ],
)  # fmt: skip
def test_a_field_out_of_range_is_refused_by_name(field, value):
    with pytest.raises(InputError, match=f"recipe: {field}|recipe: transfer_difference"):
        Recipe(**{field: value})


def test_every_field_is_documented():
    for field in dataclasses.fields(Recipe):
        assert f"{field.name}:" in Recipe.__doc__


def test_unknown_names_are_refused_with_those_there_are():
    with pytest.raises(InputError, match="choose from default, chainer-dfi"):
        named_recipe("paper")
    with pytest.raises(InputError, match="no field tv; its fields are network"):
        Recipe().replace(tv=1)
