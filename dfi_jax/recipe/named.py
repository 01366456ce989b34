"""The recipes that have a name."""

from dfi_jax.errors import InputError
from dfi_jax.recipe.features import L2, FeatureStage
from dfi_jax.recipe.finish import CancelResidual, Clip, MatchColor, Stretch, TransferDifference
from dfi_jax.recipe.objective import (
    Box,
    ChannelSum,
    LinearPenalty,
    MeanSquares,
    ObjectiveStage,
    SumSquares,
    TotalVariation,
)
from dfi_jax.recipe.preparation import EightBits, FullRange, Padding
from dfi_jax.recipe.recipe import Recipe
from dfi_jax.recipe.shrinkage import Unshrunk
from dfi_jax.recipe.solver import LBFGSB, Adam, UnguardedLBFGS
from dfi_jax.recipe.start import FromImage, FromNoise, FromPrevious
from dfi_jax.recipe.vector import MeanSquare, Unit, UnitTimesPhi

RECIPES = {
    "default": Recipe(),
    # The article, https://github.com/dsanno/chainer-dfi. Its total variation is divided by the
    # number of values of a crop of 200 × 200 pixels.
    "chainer-dfi": Recipe(
        features=FeatureStage(network="raw", pool_rounding="up", preparation=(EightBits(),)),
        shrinkage=Unshrunk(),
        vector=UnitTimesPhi(),
        removal=None,
        objective=ObjectiveStage(
            loss=MeanSquares(),
            total_variation=TotalVariation(weight=100 / (3 * 200 * 200)),
            bounds=None,
        ),
        start=FromNoise(),
        solver=UnguardedLBFGS(
            iterations=1000,
            memory=5,
            first_step="gradient",
            curvature_floor=1e-5,
            gradient_tolerance=0.0,
            change_tolerance=0.0,
        ),
        finish=(MatchColor(), CancelResidual(), TransferDifference(feather=0.0, truncate=True)),
    ),
    # The DFI authors' code with Caffe and SciPy, https://github.com/paulu/deepfeatinterp. Its loss
    # is a third of ½Σd². A factor of the whole objective would change the first step.
    "paper": Recipe(
        features=FeatureStage(network="normalized", pool_rounding="up", preparation=(EightBits(),)),
        shrinkage=Unshrunk(),
        vector=MeanSquare(scope="concat"),
        removal=None,
        objective=ObjectiveStage(
            loss=SumSquares(weight=1 / 6),
            total_variation=TotalVariation(weight=0.001, positions="inner", floor=0.001),
            bounds=Box(),
        ),
        start=FromPrevious(later_iterations=0.5),
        solver=LBFGSB(),
        finish=(Clip(), MatchColor(over="image")),
    ),
    # The same code with its Torch backend.
    "paper-torch": Recipe(
        features=FeatureStage(preparation=(EightBits(), Padding())),
        shrinkage=Unshrunk(),
        vector=MeanSquare(scope="concat"),
        removal=None,
        objective=ObjectiveStage(
            loss=SumSquares(weight=1.0),
            total_variation=TotalVariation(weight=10.0, positions="inner", floor=0.001),
            bounds=None,
        ),
        start=FromPrevious(later_iterations=0.5),
        solver=UnguardedLBFGS(),
        finish=(Clip(), MatchColor(over="image")),
    ),
    # https://github.com/braun-steven/dfi-tensorflow. Adam's rate is 0.1 and its ε 1e-8, for pixels
    # in grey levels (0 to 255).
    "dfi-tensorflow": Recipe(
        features=FeatureStage(
            network="raw",
            size=224,
            preparation=(FullRange(), EightBits()),
            normalization=L2(scope="concat"),
        ),
        shrinkage=Unshrunk(),
        vector=Unit(scope="concat"),
        removal=None,
        objective=ObjectiveStage(
            loss=SumSquares(), total_variation=ChannelSum(), bounds=LinearPenalty()
        ),
        start=FromImage(),
        solver=Adam(
            iterations=2001,
            learning_rate=0.1 / 255,
            drops=(2000, 4000),
            drop_factor=1 / 3,
            epsilon=255e-8,
            epsilon_hat=True,
            result="last",
        ),
        finish=(Stretch(),),
    ),
}
"""Recipes by name. docs/recipes.md lists where `default` departs from `chainer-dfi`, and where the
recipes of the published systems depart from the originals."""


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
