"""What pays in the solver? The default recipe, with one thing changed at a time.

    python experiments/solver.py [--iterations N] [--quick] [--json]

Prints, for each variant, the objective after 3, 6 and 10 tenths of the iterations, and how much the
edit changes, in grey levels (`dfi_jax.metrics.change`): the mean absolute change, the same at the
border of the crop, and the root mean square beyond 0.3 cycles per pixel in luma and chroma, which
is noise that no attribute asked for. Seconds aren't compared, because the evaluation of the network
takes nearly all of an iteration in every variant.

The face is that of scikit-image's astronaut (the extra `demo`), edited by VGG-16 with the starter
vector for eyeglasses at α = 1. `--quick` tries a few variants at 32 × 32 pixels.
"""

import dataclasses
import sys
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import skimage.data
from command_line import run_experiment
from demo import POINTS
from jaxtyping import Array, Float

from dfi_jax import Photo, Placement, Recipe, load_vgg, make_problem, reconstruct, starter
from dfi_jax.engine.slots import Reconstruction
from dfi_jax.metrics.change import measure_change
from dfi_jax.network.vgg import VGG, feature_shapes
from dfi_jax.recipe.features import DEFAULT_LAYERS, Features

PENALTY = "solver.preconditioner.{}_penalty"
"""The path of a penalty in the recipe."""

CHANGES: dict[str, dict[str, str]] = {
    "default": {},
    "no base penalty": {PENALTY.format("base"): "0"},
    "base penalty 1": {PENALTY.format("base"): "1"},
    "fine penalty 100": {PENALTY.format("fine"): "100"},
    "fine penalty 1000": {PENALTY.format("fine"): "1000"},
    "chroma penalty 1": {PENALTY.format("chroma"): "1"},
    "penalties 0, 3 and 1": {
        PENALTY.format("base"): "0",
        PENALTY.format("fine"): "3",
        PENALTY.format("chroma"): "1",
    },
    "no preconditioner": {"solver.preconditioner": "none"},
    "no scale by place": {"solver.preconditioner.contrast_power": "0"},
    "no scale by colour": {"solver.preconditioner.color": "false"},
    "relaxation 1": {"solver.relaxation": "1"},
    "memory 5": {"solver.memory": "5"},
    "memory 10": {"solver.memory": "10"},
    "memory 50": {"solver.memory": "50"},
    "100 times the penalty on bounds": {"objective.bounds.penalty": "1"},
    "no bounds": {"objective.bounds": "none"},
}
"""What each variant sets in the recipe."""

FROM_HALF_ALPHA = "from α/2"
FROM_HALF_SIZE = "from half the size"
"""The variants of the default recipe that start from another image."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is compared.

    Attributes:
      variants: Names of variants.
      iterations: Number of iterations.
      coarse_iterations: Number of iterations at half the size, each of which costs a quarter.
      alpha: Strength.
      size: Height and width of the face.
      layers: Names of layers.
    """

    variants: tuple[str, ...] = (*CHANGES, FROM_HALF_ALPHA, FROM_HALF_SIZE)
    iterations: int = 30
    coarse_iterations: int = 20
    alpha: float = 1.0
    size: int = 200
    layers: tuple[str, ...] = DEFAULT_LAYERS


QUICK = Config(
    variants=("default", "no scale by place", FROM_HALF_ALPHA, FROM_HALF_SIZE),
    iterations=10,
    coarse_iterations=5,
    size=32,
    layers=("conv3_1",),
)


def run(config: Config) -> dict[str, Any]:
    """Runs every variant and returns its objectives and its amplitude of noise."""
    vgg = load_vgg("vgg16")
    photo = Photo.of(skimage.data.astronaut()).pixels
    face = jnp.asarray(Placement.from_landmarks(POINTS).crop(photo, size=config.size))[None]
    recipe = Recipe().set(
        {
            "features.layers": ",".join(config.layers),
            "features.size": str(config.size),
            "solver.iterations": str(config.iterations),
        }
    )
    marks = [max(1, config.iterations * tenths // 10) for tenths in (3, 6, 10)]
    rows = []
    for name in config.variants:
        print(name, file=sys.stderr, flush=True)
        start = None
        if name == FROM_HALF_ALPHA:
            start = jnp.asarray(solve(vgg, face, config.alpha / 2, recipe=recipe).images)
        if name == FROM_HALF_SIZE:
            start = enlarge(vgg, face, config, recipe=recipe)
        changed = recipe.set(CHANGES.get(name, {}))
        found = solve(vgg, face, config.alpha, recipe=changed, start=start)
        rows.append(
            {
                "variant": name,
                "objective": [float(found.history[0, mark - 1]) for mark in marks],
                "change": measure_change(np.asarray(face[0]), found.images[0])._asdict(),
            }
        )
    return {"config": dataclasses.asdict(config), "marks": marks, "rows": rows}


def solve(
    vgg: VGG,
    face: Float[Array, "1 h w 3"],
    alpha: float,
    *,
    recipe: Recipe,
    start: Float[Array, "1 h w 3"] | None = None,
) -> Reconstruction:
    """Edits the face with eyeglasses, starting from the face itself or from another image."""
    vector = resize_vector(starter("eyeglasses").features, recipe)
    problem = make_problem(vgg, face, vector, jnp.array([alpha]), recipe=recipe, start=start)
    return reconstruct(vgg, problem, recipe=recipe)


def resize_vector(vector: Features, recipe: Recipe) -> Features:
    """Returns an attribute vector of VGG-16 for faces of the recipe's size."""
    size = (recipe.features.size, recipe.features.size)
    shapes = feature_shapes("vgg16", recipe.features.layers, size)
    return {
        name: vector[name]
        if vector[name].shape == shape
        else jax.image.resize(vector[name], shape, "linear")
        for name, shape in shapes.items()
    }


def enlarge(
    vgg: VGG, face: Float[Array, "1 h w 3"], config: Config, *, recipe: Recipe
) -> Float[Array, "1 h w 3"]:
    """Returns the face plus the enlarged difference that an edit at half its size makes."""
    side = config.size // 2
    small = jax.image.resize(face, (1, side, side, 3), "cubic").clip(0, 1)
    recipe = recipe.set(
        {"features.size": str(side), "solver.iterations": str(config.coarse_iterations)}
    )
    difference = solve(vgg, small, config.alpha, recipe=recipe).images - small
    return face + jax.image.resize(difference, face.shape, "cubic")


def print_tables(record: dict[str, Any]) -> None:
    """Prints one row per variant."""
    marks = " | ".join(f"objective after {mark}" for mark in record["marks"])
    print(f"| variant | {marks} | change | at the border | luma noise | chroma noise |")
    print("| --- " * 8 + "|")
    for row in record["rows"]:
        objective = " | ".join(f"{value:.5f}" for value in row["objective"])
        change = " | ".join(f"{value:.2f}" for value in row["change"].values())
        print(f"| {row['variant']} | {objective} | {change} |")


def main() -> None:
    """Prints the table, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
