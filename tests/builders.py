"""What tests build in the same way."""

import inspect

import jax.numpy as jnp
import numpy as np

from dfi_jax import AttributeVector, Provenance, Recipe
from dfi_jax.network.vgg import feature_shapes

LAYERS = ("conv1_2", "conv2_1")


def small_recipe(size=16, iterations=25, layers=LAYERS, **settings):
    """A recipe of few, early layers. Other settings are paths with `__` for dots."""
    values = {"features.layers": ",".join(layers), "features.size": str(size)}
    values |= {name.replace("__", "."): str(value) for name, value in settings.items()}
    return Recipe().set(values | {"solver.iterations": str(iterations)})


def steady_recipe(**settings):
    """A recipe whose solver converges on the random network, with targets that can be reached.

    L-BFGS on a network with kinks enlarges the rounding of float32, above all far from a solution.
    The default recipe's penalties suit photographs and a trained network, and its gain asks for
    more than any image has.
    """
    penalties = {
        "solver__preconditioner__base_penalty": 0,
        "solver__preconditioner__fine_penalty": 3,
        "solver__preconditioner__chroma_penalty": 1,
    }
    if "solver" in settings:
        penalties = {}
    return small_recipe(**{"vector": "unit_times_phi"} | penalties | settings)


def make_vector(vgg, recipe, seed=0):
    """An attribute vector of noise that fits a network and a recipe."""
    rng = np.random.default_rng(seed)
    features = recipe.features
    shapes = feature_shapes(
        vgg.architecture,
        features.layers,
        features.seen_size,
        pool_rounding=features.pool_rounding,
    )
    w = {name: jnp.asarray(rng.normal(size=shape), jnp.float32) for name, shape in shapes.items()}
    return AttributeVector(w, make_provenance(vgg, recipe))


def make_provenance(vgg, recipe, **changes):
    """The provenance of a vector that fits a network and a recipe."""
    fields = {
        "dataset": "tests",
        "attributes": ("Smiling",),
        "k": 10,
        "n_source": 10,
        "n_target": 10,
        "network": vgg.name,
        "weights_sha256": vgg.sha256,
        "layers": recipe.features.layers,
        "pool_rounding": recipe.features.pool_rounding,
        "size": recipe.features.size,
        "preparation": recipe.features.preparation,
        "normalization": recipe.features.normalization,
    }
    return Provenance(**fields | changes)


def make_unchecked(kind, **fields):
    """An object of a dataclass whose own checks come first, without the types of the tests."""
    made = object.__new__(kind)
    inspect.unwrap(kind.__init__)(made, **fields)
    return made


def singles(problem):
    """The problems of a batch, one by one."""
    from jax import tree

    return [tree.map(lambda leaf, i=i: leaf[i : i + 1], problem) for i in range(len(problem.start))]
