"""A recipe: every choice in which implementations of DFI differ, as nested frozen dataclasses.

Each stage is a small dataclass that checks its own fields. All but the solver and the finish also
have the pure function that they configure. Recipes are hashable, so that jit takes them as static
arguments, and are written into every record as JSON.
"""

from dfi_jax.recipe.features import L2, FeatureStage
from dfi_jax.recipe.finish import (
    CancelResidual,
    Clip,
    Mask,
    MatchColor,
    Stretch,
    TransferDifference,
)
from dfi_jax.recipe.named import RECIPES, named_recipe
from dfi_jax.recipe.objective import (
    Box,
    ChannelSum,
    LinearPenalty,
    MeanSquares,
    ObjectiveStage,
    Relative,
    SumSquares,
    TotalVariation,
    ValidPixels,
)
from dfi_jax.recipe.preparation import EightBits, FullRange, Padding
from dfi_jax.recipe.recipe import Recipe
from dfi_jax.recipe.removal import Replace, Replacement
from dfi_jax.recipe.shrinkage import Unshrunk, Wiener
from dfi_jax.recipe.solver import LBFGS, LBFGSB, Adam, UnguardedLBFGS, VGGSpectrum
from dfi_jax.recipe.start import FromImage, FromNoise, FromPrevious, FromUniform
from dfi_jax.recipe.vector import Gain, MeanSquare, Unit, UnitTimesPhi

__all__ = [
    "L2",
    "LBFGS",
    "LBFGSB",
    "RECIPES",
    "Adam",
    "Box",
    "CancelResidual",
    "ChannelSum",
    "Clip",
    "EightBits",
    "FeatureStage",
    "FromImage",
    "FromNoise",
    "FromPrevious",
    "FromUniform",
    "FullRange",
    "Gain",
    "LinearPenalty",
    "Mask",
    "MatchColor",
    "MeanSquare",
    "MeanSquares",
    "ObjectiveStage",
    "Padding",
    "Recipe",
    "Relative",
    "Replace",
    "Replacement",
    "Stretch",
    "SumSquares",
    "TotalVariation",
    "TransferDifference",
    "UnguardedLBFGS",
    "Unit",
    "UnitTimesPhi",
    "Unshrunk",
    "VGGSpectrum",
    "ValidPixels",
    "Wiener",
    "named_recipe",
]
