"""Deep Feature Interpolation in JAX: change an attribute of a face in a photograph, without training a model.

Reference: Upchurch, Gardner, Pleiss, Pless, Snavely, Bala and Weinberger, "Deep Feature Interpolation for Image
Content Changes", CVPR 2017, https://arxiv.org/abs/1611.05507.
"""

from dfi_jax import attribute
from dfi_jax.attribute import AttributeVector, Provenance
from dfi_jax.data import load_dataset
from dfi_jax.edit import Edited, Request, edit_face, edit_faces
from dfi_jax.errors import DfiError, FileError, InputError
from dfi_jax.problem import Problem, make_problem
from dfi_jax.recipe import RECIPES, Recipe
from dfi_jax.reconstruct import InFlight, Progress, Reconstruction, reconstruct, stream, sweep
from dfi_jax.subject import Subject, describe_subject, find_subject, select_images, vector_between
from dfi_jax.vgg import DEFAULT_LAYERS, VGG, Preprocess, features, prepare
from dfi_jax.weights import load_vgg

__all__ = [
    "DEFAULT_LAYERS",
    "RECIPES",
    "VGG",
    "AttributeVector",
    "DfiError",
    "Edited",
    "FileError",
    "InFlight",
    "InputError",
    "Preprocess",
    "Problem",
    "Progress",
    "Provenance",
    "Recipe",
    "Reconstruction",
    "Request",
    "Subject",
    "attribute",
    "describe_subject",
    "edit_face",
    "edit_faces",
    "features",
    "find_subject",
    "load_dataset",
    "load_vgg",
    "make_problem",
    "prepare",
    "reconstruct",
    "select_images",
    "stream",
    "sweep",
    "vector_between",
]
