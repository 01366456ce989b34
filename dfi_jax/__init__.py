"""Deep Feature Interpolation in JAX: change an attribute of a face in a photo without training.

A VGG network turns the face into features. They are moved along the mean difference between images
with and without the attribute, and the image that has the moved features is found.

>>> import dfi_jax
>>> face = dfi_jax.load_dataset("synthetic:1").face(0, 200)
>>> quick = dfi_jax.Recipe().set({"solver.iterations": "2"})
>>> edit = dfi_jax.edit(face, "eyeglasses", face="whole", recipe=quick)
>>> edit.photos[0].size
(200, 200)

References:
  Upchurch, Gardner, Pleiss, Pless, Snavely, Bala and Weinberger, "Deep Feature Interpolation for
  Image Content Changes", CVPR 2017, https://arxiv.org/abs/1611.05507.
"""

from importlib.metadata import version as _version

from dfi_jax.data import Dataset, load_dataset, near
from dfi_jax.data.selection import Anchor, Selection, select
from dfi_jax.data.wanted import Wanted
from dfi_jax.editor.editor import Editor
from dfi_jax.editor.job import Job
from dfi_jax.editor.result import Edit
from dfi_jax.editor.shortcut import edit
from dfi_jax.engine.objective import objective
from dfi_jax.engine.problem import Problem, make_problem
from dfi_jax.engine.reconstruction import reconstruct
from dfi_jax.engine.slots import InFlight, Reconstruction
from dfi_jax.errors import DfiError, FileError, InputError
from dfi_jax.network.vgg import VGG, Preprocess, features, prepare
from dfi_jax.network.weights import load_vgg
from dfi_jax.photo.photo import Photo
from dfi_jax.photo.placement import Placement
from dfi_jax.progress import Progress
from dfi_jax.recipe import (
    L2,
    LBFGS,
    RECIPES,
    Adam,
    CancelResidual,
    FeatureStage,
    FromImage,
    FromNoise,
    FromPrevious,
    Gain,
    Mask,
    MatchColor,
    MeanSquare,
    MeanSquares,
    ObjectiveStage,
    Recipe,
    Relative,
    Replace,
    Replacement,
    SumSquares,
    TotalVariation,
    TransferDifference,
    Unit,
    UnitTimesPhi,
    Unshrunk,
    ValidPixels,
    VGGSpectrum,
    Wiener,
)
from dfi_jax.storage.cache import Cache
from dfi_jax.vectors.attribute_vector import AttributeVector, Provenance
from dfi_jax.vectors.combination import combine, project_out
from dfi_jax.vectors.fitted import FittedDataset
from dfi_jax.vectors.starters import starter, starter_names

__version__ = _version("dfi-jax")

__all__ = [
    "L2",
    "LBFGS",
    "RECIPES",
    "VGG",
    "Adam",
    "Anchor",
    "AttributeVector",
    "Cache",
    "CancelResidual",
    "Dataset",
    "DfiError",
    "Edit",
    "Editor",
    "FeatureStage",
    "FileError",
    "FittedDataset",
    "FromImage",
    "FromNoise",
    "FromPrevious",
    "Gain",
    "InFlight",
    "InputError",
    "Job",
    "Mask",
    "MatchColor",
    "MeanSquare",
    "MeanSquares",
    "ObjectiveStage",
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
    "Selection",
    "SumSquares",
    "TotalVariation",
    "TransferDifference",
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
