"""The recipes that have a name."""

from dfi_jax.errors import InputError
from dfi_jax.recipe.features import FeatureStage
from dfi_jax.recipe.finish import CancelResidual, MatchColor, TransferDifference
from dfi_jax.recipe.objective import MeanSquares, ObjectiveStage, TotalVariation
from dfi_jax.recipe.recipe import Recipe
from dfi_jax.recipe.shrinkage import Unshrunk
from dfi_jax.recipe.solver import LBFGS
from dfi_jax.recipe.start import FromNoise
from dfi_jax.recipe.vector import UnitTimesPhi

RECIPES = {
    "default": Recipe(),
    "chainer-dfi": Recipe(
        features=FeatureStage(network="raw"),
        shrinkage=Unshrunk(),
        vector=UnitTimesPhi(),
        removal=None,
        objective=ObjectiveStage(
            loss=MeanSquares(),
            total_variation=TotalVariation(weight=100 / (3 * 200 * 200)),
            bounds=None,
        ),
        start=FromNoise(),
        solver=LBFGS(iterations=1000, memory=5, relaxation=1.0, preconditioner=None),
        finish=(MatchColor(), CancelResidual(), TransferDifference()),
    ),
}
"""Recipes by name. docs/recipes.md lists where `default` departs from `chainer-dfi`, and where
`chainer-dfi` departs from the original."""


def named_recipe(name: str) -> Recipe:
    """Returns the recipe with a name.

    Raises:
      InputError: If no recipe has that name.

    >>> named_recipe("chainer-dfi").solver.iterations
    1000
    """
    if name not in RECIPES:
        raise InputError(f"the recipe {name!r} doesn't exist; choose from {', '.join(RECIPES)}.")
    return RECIPES[name]
