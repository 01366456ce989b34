"""The networks and problems that `throughput.py` measures."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dfi_jax import VGG, Problem, Recipe, load_dataset, load_vgg, make_problem, objective, prepare
from dfi_jax.network.vgg import feature_shapes, trunk_layers
from dfi_jax.recipe.features import Features


@cache
def load_network(name: str, layers: tuple[str, ...], prepared: bool) -> VGG:
    """Returns a network, whose kernels are made ready for many evaluations if `prepared`."""
    vgg = load_vgg(name)
    return prepare(vgg, layers=layers) if prepared else vgg


def draw_faces(n: int, size: int) -> Float[Array, "n s s 3"]:
    """Returns drawn faces."""
    dataset = load_dataset(f"synthetic:{2 * n}")
    return jnp.asarray(np.stack([dataset.face(2 * i, size) for i in range(n)]))


def recipe_shapes(
    architecture: str, layers: Sequence[str], recipe: Recipe
) -> dict[str, tuple[int, int, int]]:
    """Returns the shape (h, w, c) of layers for what the network sees with a recipe."""
    stage = recipe.features
    return feature_shapes(architecture, layers, stage.seen_size, pool_rounding=stage.pool_rounding)


def draw_vector(architecture: str, recipe: Recipe) -> Features:
    """Returns an attribute vector of noise, which is enough to measure speed."""
    rng = np.random.default_rng(0)
    shapes = recipe_shapes(architecture, recipe.features.layers, recipe)
    return {name: jnp.asarray(rng.standard_normal(s, np.float32)) for name, s in shapes.items()}


def draw_problems(vgg: VGG, n: int, *, recipe: Recipe) -> Problem:
    """Returns the problems of one face at n strengths."""
    face = draw_faces(1, recipe.features.size)
    vector = draw_vector(vgg.architecture, recipe)
    return make_problems(vgg, face, vector, np.linspace(0.1, 0.5, n), recipe=recipe)


def make_problems(
    vgg: VGG,
    face: Float[Array, "1 s s 3"],
    vector: Features,
    alphas: Float[np.ndarray, " n"],
    *,
    recipe: Recipe,
) -> Problem:
    """Returns the problems of one face at every strength."""
    # A target takes one evaluation, and compiling that for prepared kernels would take longer.
    return make_problem(
        dataclasses.replace(vgg, filters=None),
        jnp.repeat(face, len(alphas), axis=0),
        vector,
        jnp.asarray(alphas, jnp.float32),
        recipe=recipe,
    )


def make_value_and_gradient(
    vgg: VGG, problem: Problem, images: Float[Array, "n s s 3"], *, recipe: Recipe
) -> Callable[[], tuple[Array, Array]]:
    """Returns a function that computes the sum of the objectives, and its gradient."""

    @jax.jit
    def differentiate(z: Array, vgg: VGG, problem: Problem) -> tuple[Array, Array]:
        return jax.value_and_grad(lambda z: objective(vgg, z, problem, recipe=recipe).sum())(z)

    return partial(differentiate, images, vgg, problem)


def count_flops(architecture: str, recipe: Recipe) -> int:
    """Returns the FLOPs of one image's features and their gradient by direct convolution.

    A multiplication and an addition count as two.
    """
    names = trunk_layers(architecture, recipe.features.layers)
    total, width_in = 0, 3
    for height, width, width_out in recipe_shapes(architecture, names, recipe).values():
        total += 2 * (2 * 9 * width_in * width_out * height * width)
        width_in = width_out
    return total


def count_between_looks() -> int:
    """Returns the iterations between two looks, which interrupt a loop on an accelerator."""
    return 1 if jax.default_backend() == "cpu" else 5
