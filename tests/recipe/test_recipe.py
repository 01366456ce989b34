import dataclasses
import json
import typing

import jax
import numpy as np
import pytest

from dfi_jax import (
    LBFGS,
    LBFGSB,
    RECIPES,
    Adam,
    CancelResidual,
    FromNoise,
    FromPrevious,
    Gain,
    InputError,
    Mask,
    MatchColor,
    Recipe,
    TransferDifference,
    UnguardedLBFGS,
    Unshrunk,
)
from dfi_jax.recipe import named_recipe
from dfi_jax.recipe.stage import Stage, choices, field_types


def all_stages(stage=Recipe):
    """A stage and all stages that its fields admit, however deep."""
    found = {stage}
    for annotation in field_types(stage).values():
        members = typing.get_args(annotation) if isinstance(annotation, type(tuple[int])) else ()
        for admitted in (annotation, *members):
            for choice in choices(admitted).values():
                if choice is not None:
                    found |= all_stages(choice)
    return found


def test_recipes_are_hashable_and_compare_by_value():
    assert hash(Recipe()) == hash(Recipe())
    assert Recipe().set({"features.size": "224"}) != Recipe()
    assert named_recipe("default") == RECIPES["default"] == Recipe()


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_json(name):
    recipe = RECIPES[name]
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_chainer_dfi_weighs_total_variation_as_its_formula():
    # It is 100·Σd²/elements, with differences d in the network's units, at 200 × 200.
    weight = RECIPES["chainer-dfi"].objective.total_variation.weight
    assert weight == pytest.approx(100 / 120_000)


def test_chainer_dfi_has_the_settings_of_its_code():
    recipe = RECIPES["chainer-dfi"]
    assert recipe.features.layers == ("conv3_1", "conv4_1", "conv5_1")
    assert (recipe.features.network, recipe.features.size) == ("raw", 200)
    assert (recipe.shrinkage, recipe.removal) == (Unshrunk(), None)
    assert recipe.vector.usual_alpha == 0.4
    assert recipe.objective.bounds is None
    assert recipe.start == FromNoise(amplitude=10.0)
    solver = recipe.solver
    assert (solver.iterations, solver.tolerance, solver.memory) == (1000, 0, 5)
    assert (solver.relaxation, solver.first_step, solver.curvature_floor) == (1, "gradient", 1e-5)
    assert (solver.gradient_tolerance, solver.change_tolerance) == (0, 0)
    assert recipe.finish == (
        MatchColor(),
        CancelResidual(iterations=600, every=20),
        TransferDifference(feather=0.0, truncate=True),
    )


def test_paper_has_the_settings_of_its_code():
    recipe = RECIPES["paper"]
    assert (recipe.features.network, recipe.features.size) == ("normalized", 200)
    variation = recipe.objective.total_variation
    assert recipe.objective.loss.weight == 1 / 3 / 2
    assert (variation.weight, variation.beta, variation.floor) == (0.001, 2, 0.001)
    assert (recipe.objective.bounds.low, recipe.objective.bounds.high) == (-128, 162)
    solver = recipe.solver
    assert (solver.iterations, solver.memory, solver.evaluations) == (500, 10, 15000)
    assert (solver.objective_tolerance, solver.gradient_tolerance) == (1e7 * 2.0**-52, 1e-5)
    assert (solver.tolerance, recipe.start.iterations_after(500)) == (0, 250)


def test_paper_torch_has_the_settings_of_its_code():
    recipe = RECIPES["paper-torch"]
    assert (recipe.features.size, recipe.features.preparation[1].multiple) == (200, 64)
    variation = recipe.objective.total_variation
    assert recipe.objective.loss.weight == 1
    assert (variation.weight, variation.beta, variation.floor) == (10, 2, 0.001)
    solver = recipe.solver
    assert (solver.iterations, solver.memory, solver.relaxation) == (500, 100, 1)
    assert (solver.first_step, solver.curvature_floor) == ("unit", 0)
    assert (solver.gradient_tolerance, solver.change_tolerance) == (1e-5, 1e-9)
    assert (solver.tolerance, recipe.start.iterations_after(500)) == (0, 250)


def test_dfi_tensorflow_has_the_settings_of_its_code():
    recipe = RECIPES["dfi-tensorflow"]
    assert recipe.features.size == 224
    variation = recipe.objective.total_variation
    assert (variation.weight, variation.beta) == (0.001, 2)
    assert recipe.objective.bounds.weight == 1
    solver = recipe.solver
    assert (solver.iterations, solver.tolerance) == (2001, 0)
    # Its pixels are grey levels, 0 to 255.
    assert solver.learning_rate == pytest.approx(0.1 / 255)
    assert solver.epsilon == pytest.approx(1e-8 * 255)
    assert (solver.drops, solver.drop_factor) == ((2000, 4000), 1 / 3)
    assert solver.epsilon_hat


def test_every_field_of_every_stage_is_documented():
    stages = all_stages()
    assert len(stages) > 20
    for stage in stages:
        for name in field_types(stage):
            assert f"  {name}: " in stage.__doc__, f"{stage.__name__}.{name}"


def test_every_field_of_every_stage_can_be_set_by_its_path():
    def paths(stage, prefix=""):
        for name in field_types(type(stage)):
            value = getattr(stage, name)
            if isinstance(value, Stage):
                yield from paths(value, f"{prefix}{name}.")
            elif isinstance(value, tuple) and value and isinstance(value[0], Stage):
                for step in value:
                    yield from paths(step, f"{prefix}{name}.{step.kind}.")
            else:
                yield f"{prefix}{name}", value

    for start in RECIPES.values():
        for path, value in paths(start):
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            text = "none" if value is None else text
            assert start.set({path: text}) == start, path
            if isinstance(value, int | float) and not isinstance(value, bool):
                other = 2 * value + 20 if isinstance(value, int) else 0.75 * value or 0.5
                assert start.set({path: str(other)}) != start, path


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        (
            "features.network",
            "raww",
            "features.network is 'raww'; choose from any, raw, normalized",
        ),
        ("features.normalization", "l1", "normalization is 'l1'; choose from l2, none"),
        ("features.layers", "", "features.layers is empty; name at least one layer"),
        ("features.layers", "conv1_1,conv1_1", "features.layers contains the same item twice"),
        ("features.size", "8", "features.size is 8; give 16 or more"),
        ("features.size", "200.0", "features.size is '200.0'; give a whole number"),
        ("vector", "3", "recipe.vector is '3'; choose from gain, unit, unit_times_phi"),
        ("vector.scope", "layer", "gain"),
        ("objective.loss", "mse", "objective.loss is 'mse'; choose from sum_squares"),
        (
            "objective.bounds",
            "hard",
            "objective.bounds is 'hard'; choose from valid, linear, box, none",
        ),
        ("objective.bounds", "box", "bounds is box and its solver is lbfgs; set the solver to"),
        ("objective.bounds.penalty", "-1", "valid.penalty is -1.0; give 0 or more"),
        ("objective.bounds.penalty", "nan", "valid.penalty is nan; give a finite number"),
        ("features.pool_rounding", "sideways", "is 'sideways'; choose from down, up"),
        ("features.preparation", "crop", "preparation is 'crop'; choose from eight_bits"),
        (
            "features.preparation.padding.multiple",
            "2",
            "can't be set at 'preparation.padding.multiple'",
        ),
        ("objective.total_variation", "sobel", "choose from total_variation, channel_sum, none"),
        ("objective.total_variation.weight", "1", "is none and has no fields; set total_variation"),
        ("start", "zero", "recipe.start is 'zero'; choose from image, noise, uniform, previous"),
        ("solver", "sgd", "recipe.solver is 'sgd'; choose from lbfgs, unguarded_lbfgs,"),
        ("solver.iterations", "0", "lbfgs.iterations is 0; give 1 or more"),
        ("solver.tolerance", "-0.1", "lbfgs.tolerance is -0.1; give 0 or more"),
        ("solver.memory", "1" + "0" * 400, "give a finite whole number"),
        ("solver.memory", "0", "lbfgs.memory is 0; give 1 or more"),
        ("solver.relaxation", "0", "lbfgs.relaxation is 0.0; give more than 0"),
        ("solver.preconditioner", "jacobi", "preconditioner is 'jacobi'; choose from vgg, none"),
        ("solver.preconditioner.color", "maybe", "vgg.color is 'maybe'; give true or false"),
        ("solver.learning_rate", "1", "the recipe's lbfgs has no field 'learning_rate'"),
        ("finish", "sharpen", "recipe.finish is 'sharpen'; choose from match_color"),
        ("finish", "mask,mask", "finish contains the same item twice"),
        ("finish", "transfer_difference,mask", "give transfer_difference as the last step"),
        ("finish.mask.width", "3", "can't be set at 'finish.mask.width'"),
        ("finish.transfer_difference", "3", "can't be set at 'finish.transfer_difference'"),
        (
            "tv",
            "1",
            "the recipe has no field 'tv'; its fields are features, shrinkage, vector",
        ),
        ("features.size.x", "1", "the recipe's size is 200 and has no fields; set size itself"),
    ],
)
def test_a_setting_that_cannot_be_is_one_sentence(path, text, message):
    with pytest.raises(InputError) as error:
        Recipe().set({path: text})
    assert message in str(error.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Recipe(solver="lbfgs"),
        lambda: Recipe(finish=TransferDifference()),
        lambda: Recipe(finish=(TransferDifference(), MatchColor())),
        lambda: Recipe(finish=(TransferDifference(), TransferDifference(feather=0.1))),
        lambda: LBFGS(memory=True),
        lambda: LBFGS(iterations=10.0),
        lambda: Adam(learning_rate=-1.0),
        lambda: Adam(drops=(4000, 2000)),
        lambda: Adam(drops=(0, 2000)),
        lambda: Adam(drops=(2000.5,)),
        lambda: Adam(drop_factor=0.0),
        lambda: Adam(result="first"),
        lambda: UnguardedLBFGS(first_step="newton"),
        lambda: UnguardedLBFGS(relaxation=0.0),
        lambda: UnguardedLBFGS(curvature_floor=-1.0),
        lambda: LBFGSB(evaluations=0),
        lambda: FromPrevious(later_iterations=0.0),
        lambda: FromPrevious(later_iterations=1.5),
        lambda: MatchColor(over="layer"),
        lambda: Recipe().features.replace(layers=["conv1_1"]),
        lambda: Recipe().features.replace(layers=(3,)),
        lambda: Recipe().replace(tv_weight=1),
        lambda: RECIPES["chainer-dfi"].finish[1].replace(iterations=50),
    ],
)
def test_a_stage_that_exists_can_be_run(make):
    with pytest.raises(InputError, match=r"the recipe('s| has)"):
        make()


POSITIVE = {
    *("beta", "drop_factor", "evaluations", "every", "iterations", "later_iterations"),
    *("learning_rate", "memory", "multiple", "relaxation", "size"),
}
"""Numbers of a recipe that have to be larger than 0. Others, but for these, may be 0."""

SIGNED = {"factor", "high", "low"}
"""Numbers that may be negative."""


def test_every_number_of_a_recipe_has_its_range():
    for stage in all_stages():
        for name, kind in field_types(stage).items():
            if kind not in (int, float) or name in SIGNED:
                continue
            for value in (-1, 0) if name in POSITIVE else (-1,):
                with pytest.raises(InputError, match=f"{stage.kind}.{name} is {value}.*; give"):
                    stage(**{name: kind(value)})
            if name not in POSITIVE or (stage is not CancelResidual and name != "size"):
                stage(**{name: kind(name in POSITIVE)})


def test_later_strengths_have_a_share_of_the_iterations_and_at_least_two():
    start = FromPrevious(later_iterations=0.5)
    assert [start.iterations_after(first) for first in (1, 2, 3, 5, 7)] == [1, 2, 2, 2, 3]


def test_settings_are_applied_in_their_order():
    recipe = Recipe().set(
        {
            "features.normalization": "l2",
            "features.normalization.scope": "concat",
            "finish": "match_color,cancel_residual,mask",
            "finish.cancel_residual.iterations": "40",
            "solver": "adam",
            "solver.learning_rate": "0.5",
        }
    )
    assert recipe.features.normalization.scope == "concat"
    assert recipe.finish[1].iterations == 40
    assert recipe.finish[2] == Mask()
    assert recipe.solver == Adam(learning_rate=0.5)


def test_values_of_python_are_set_like_their_texts():
    values = {"solver": "adam", "solver.iterations": 7, "solver.drops": [20, 40]}
    values |= {"solver.epsilon_hat": True, "objective.bounds": None, "vector.factor": 2.5}
    texts = {"solver": "adam", "solver.iterations": "7", "solver.drops": "20,40"}
    texts |= {"solver.epsilon_hat": "true", "objective.bounds": "none", "vector.factor": "2.5"}
    assert Recipe().set(values) == Recipe().set(texts)
    with pytest.raises(InputError, match=r"lbfgs\.iterations is '1\.5'; give a whole number"):
        Recipe().set({"solver.iterations": 1.5})


def test_a_float_of_numpy_becomes_python_s_which_leaves_float32_as_it_is():
    stage = Gain(factor=np.float64(3))
    with jax.enable_x64(True):
        w, phi = {"conv1_1": np.ones((1, 1, 2), "f")}, {"conv1_1": np.ones((1, 1, 1, 2), "f")}
        assert stage.scale(w, phi)["conv1_1"].dtype == np.float32
    assert repr(stage) == "Gain(factor=3.0)"


def test_drops_of_a_rate_are_set_as_numbers_and_survive_json():
    recipe = Recipe().set({"solver": "adam", "solver.drops": "2000, 4000"})
    assert recipe.solver.drops == (2000, 4000)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_a_solver_that_returns_its_last_image_evaluates_it_too():
    assert [solver.evaluations for solver in (LBFGS(iterations=7), Adam(iterations=7))] == [7, 7]
    assert UnguardedLBFGS(iterations=7).evaluations == 8
    assert Adam(iterations=7, result="last").evaluations == 8
    assert (LBFGSB(iterations=7).evaluations, LBFGSB(iterations=7).reported) == (15000, 7)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"kind": "recipe", "solver": {"kind": "sgd"}},
        {"kind": "recipe", "solver": {"kind": "lbfgs", "speed": 3}},
        {"kind": "recipe", "finish": "mask"},
        {"kind": "recipe", "solver": {"kind": "lbfgs", "memory": "5"}},
    ],
)
def test_json_of_no_recipe_is_rejected(values):
    with pytest.raises(InputError, match="the recipe's"):
        Recipe.from_dict(values)


def test_unknown_names_are_rejected_with_a_choice():
    with pytest.raises(InputError, match="'best' doesn't exist; choose from default, chainer-dfi"):
        named_recipe("best")


def test_stages_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe().solver.memory = 3
