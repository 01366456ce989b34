"""Deep Feature Interpolation in JAX: change an attribute of a face in a photograph, without training a model.

Reference: Upchurch, Gardner, Pleiss, Pless, Snavely, Bala and Weinberger, "Deep Feature Interpolation for Image
Content Changes", CVPR 2017, https://arxiv.org/abs/1611.05507.
"""

from dfi_jax import attribute
from dfi_jax.attribute import AttributeVector, Provenance
from dfi_jax.data import load_dataset
from dfi_jax.edit import Edited, edit_face
from dfi_jax.errors import DfiError, FileError, InputError
from dfi_jax.recipe import RECIPES, Recipe
from dfi_jax.reconstruct import Problem, Progress, Reconstruction, make_problem, reconstruct, sweep
from dfi_jax.subject import Subject, describe_subject, find_subject, select_images, vector_between
from dfi_jax.vgg import DEFAULT_LAYERS, VGG, Preprocess, features
from dfi_jax.weights import load_vgg

__all__ = [
    "DEFAULT_LAYERS",
    "RECIPES",
    "VGG",
    "AttributeVector",
    "DfiError",
    "Edited",
    "FileError",
    "InputError",
    "Preprocess",
    "Problem",
    "Progress",
    "Provenance",
    "Recipe",
    "Reconstruction",
    "Subject",
    "attribute",
    "describe_subject",
    "edit_face",
    "features",
    "find_subject",
    "load_dataset",
    "load_vgg",
    "make_problem",
    "reconstruct",
    "select_images",
    "sweep",
    "vector_between",
]
