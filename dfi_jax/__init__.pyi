# The public names, for type checkers and lazy_loader (SPEC 1).
from .data import Dataset, load_dataset, near
from .data.rule import RULES, Rule
from .data.selection import Anchor, Selection, select
from .data.wanted import Wanted
from .editor.editor import Editor
from .editor.job import Job
from .editor.result import Edit
from .editor.shortcut import edit
from .engine.objective import objective
from .engine.problem import Problem, make_problem
from .engine.reconstruction import reconstruct
from .engine.slots import InFlight, Reconstruction
from .errors import DfiError, FileError, InputError
from .network.vgg import VGG, Preprocess, features, prepare
from .network.weights import load_vgg
from .photo.photo import Photo
from .photo.placement import Placement
from .progress import Progress
from .recipe import (
    L2,
    LBFGS,
    LBFGSB,
    RECIPES,
    Adam,
    Box,
    CancelResidual,
    ChannelSum,
    Clip,
    EightBits,
    FeatureStage,
    FromImage,
    FromNoise,
    FromPrevious,
    FromUniform,
    FullRange,
    Gain,
    LinearPenalty,
    Mask,
    MatchColor,
    MeanSquare,
    MeanSquares,
    ObjectiveStage,
    Padding,
    Recipe,
    Relative,
    Replace,
    Replacement,
    Stretch,
    SumSquares,
    TotalVariation,
    TransferDifference,
    UnguardedLBFGS,
    Unit,
    UnitTimesPhi,
    Unshrunk,
    ValidPixels,
    VGGSpectrum,
    Wiener,
)
from .storage.cache import Cache
from .vectors.attribute_vector import AttributeVector
from .vectors.combination import combine, project_out
from .vectors.fitted import FittedDataset
from .vectors.provenance import Provenance
from .vectors.starters import starter, starter_names

__version__: str

__all__ = [
    "L2",
    "LBFGS",
    "LBFGSB",
    "RECIPES",
    "RULES",
    "VGG",
    "Adam",
    "Anchor",
    "AttributeVector",
    "Box",
    "Cache",
    "CancelResidual",
    "ChannelSum",
    "Clip",
    "Dataset",
    "DfiError",
    "Edit",
    "Editor",
    "EightBits",
    "FeatureStage",
    "FileError",
    "FittedDataset",
    "FromImage",
    "FromNoise",
    "FromPrevious",
    "FromUniform",
    "FullRange",
    "Gain",
    "InFlight",
    "InputError",
    "Job",
    "LinearPenalty",
    "Mask",
    "MatchColor",
    "MeanSquare",
    "MeanSquares",
    "ObjectiveStage",
    "Padding",
    "Photo",
    "Placement",
    "Preprocess",
    "Problem",
    "Progress",
    "Provenance",
    "Recipe",
    "Reconstruction",
    "Relative",
    "Replace",
    "Replacement",
    "Rule",
    "Selection",
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
    "Wanted",
    "Wiener",
    "combine",
    "edit",
    "features",
    "load_dataset",
    "load_vgg",
    "make_problem",
    "near",
    "objective",
    "prepare",
    "project_out",
    "reconstruct",
    "select",
    "starter",
    "starter_names",
]
