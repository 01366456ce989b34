"""What the tests of edits share."""

import jax.numpy as jnp
import numpy as np
from builders import small_recipe

from dfi_jax import Editor, features

RECIPE = small_recipe(size=32, iterations=4)
BOX = (10, 5, 60, 55)


def make_editor(vgg, recipe=RECIPE, **options):
    """An editor without a cache."""
    return Editor(**{"weights": vgg, "recipe": recipe, "cache": None} | options)


def phi(vgg, image, layer):
    """The features of an image in one layer."""
    return np.asarray(features(vgg, jnp.asarray(image)[None], layers=(layer,))[layer][0])
