"""By what must a loss be multiplied so that chainer-dfi's solver minimises it?

`normalization.py` asks this. The solver (`UnguardedLBFGS`) has an image in grey levels (0 to 255)
as its unknown, starts from noise around the mean colour, and first steps by −gradient. It takes
every step, remembers five pairs (s, y) of a step and its change of the gradient, only if
yᵀs > 10⁻¹⁰, and divides by no less than 10⁻⁵ instead of a smaller yᵀs. All of these depend on the
factor of the loss, whereas the image that minimises it doesn't.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from matched_edits import Photos, phase

from dfi_jax import (
    RECIPES,
    VGG,
    FromNoise,
    MeanSquares,
    Problem,
    SumSquares,
    UnitTimesPhi,
    features,
)
from dfi_jax.engine.solver import make_solver
from dfi_jax.recipe.features import FeatureStage
from dfi_jax.recipe.objective import Loss

ALPHA = 0.4
"""Strength of the vector ‖φ(x)‖·w/‖w‖, by layer, as in chainer-dfi's demonstrations."""

LOSSES: dict[str, Loss] = {"mean": MeanSquares(), "sum": SumSquares()}
"""Losses whose factors are compared. chainer-dfi's is the first."""

ENOUGH = 0.9
"""Part of the best decrease that counts as minimised."""

SOLVER = make_solver(RECIPES["chainer-dfi"].solver)
"""chainer-dfi's L-BFGS."""


@partial(jax.jit, static_argnames=("stage", "loss", "count"))
def descend(
    vgg: VGG,
    problem: Problem,
    factors: Float[Array, " n"],
    *,
    stage: FeatureStage,
    loss: Loss,
    count: int,
) -> tuple[Float[Array, "i n"], Float[Array, " n"]]:
    """Returns the loss before each step, and the first step's root mean square in grey levels.

    Args:
      vgg: Network.
      problem: Problems.
      factors: Factor of the loss of each problem.
      stage: Features, with their normalisation.
      loss: Loss.
      count: Number of steps.
    """
    shape = problem.start.shape

    def measure(points: Array) -> tuple[Array, Array]:
        phi = features(vgg, points.reshape(shape) / 255, layers=stage.layers)
        values = loss.measure(stage.normalize(phi), problem.target, problem.square_norms)
        return jnp.sum(factors * values), values

    def update(gradient: Array, state: Any, point: Array, value: Array) -> tuple[Any, Any]:
        return SOLVER.update(gradient, state, point, value=value)

    def advance(carry: tuple[Array, Any], _: None) -> tuple[tuple[Array, Any], Any]:
        points, state = carry
        (_, values), gradient = jax.value_and_grad(measure, has_aux=True)(points)
        steps, state = jax.vmap(update)(gradient, state, points, factors * values)
        return (points + steps, state), (values, gradient_size(gradient))

    def gradient_size(gradient: Array) -> Array:
        return jnp.sqrt(jnp.mean(jnp.square(gradient), axis=1))

    points = 255 * problem.start.reshape(len(problem.start), -1)
    _, (history, sizes) = jax.lax.scan(
        advance, (points, jax.vmap(SOLVER.init)(points)), None, length=count + 1
    )
    return history, sizes[0]


def compare(
    vgg: VGG,
    photos: Photos,
    *,
    name: str,
    stage: FeatureStage,
    loss: str,
    exponents: Sequence[int],
    steps: int,
) -> dict[str, Any]:
    """Returns how far the solver comes with each factor of a loss.

    Args:
      vgg: Network.
      photos: The photos.
      name: Name of the normalisation of features.
      stage: Features, with their normalisation.
      loss: Name of the loss.
      exponents: Exponents of the powers of ten.
      steps: Number of steps.

    Returns:
      The loss at the start and, without a factor, the root mean square of the first step in grey
      levels; for each exponent, the part of the best decrease; and the exponents that reach
      `ENOUGH` of it. All are means over the photos.
    """
    start = FromNoise().images(photos.faces, vgg.preprocess.mean_rgb)
    problem = photos.problem(ALPHA * photos.factors(UnitTimesPhi()))._replace(start=start)
    every = jax.tree.map(lambda leaf: jnp.concatenate([leaf] * len(exponents)), problem)
    factors = np.repeat(10.0 ** np.array(exponents), len(start)).astype(np.float32)
    with phase(f"factors of the {loss} of {name}"):
        history, sizes = descend(
            vgg, every, jnp.asarray(factors), stage=stage, loss=LOSSES[loss], count=steps
        )
        left = np.asarray(history, np.float64)[[0, -1]].reshape(2, len(exponents), -1)
    # A loss that isn't finite any more hasn't decreased.
    decrease = np.maximum(np.nan_to_num(1 - left[1] / left[0], nan=0, neginf=0), 0)
    best = decrease.max(axis=0)
    shares = (decrease / np.where(best > 0, best, 1)).mean(axis=1).tolist()
    return {
        "features": name,
        "loss": loss,
        "start": float(left[0, 0].mean()),
        "first_step": float(np.mean(np.asarray(sizes) / factors)),
        "decrease": float(best.mean()),
        "exponents": list(exponents),
        "shares": shares,
        "enough": [e for e, share in zip(exponents, shares, strict=True) if share >= ENOUGH],
    }


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints one row per loss and normalisation, and the part of the decrease with each factor."""
    exponents = rows[0]["exponents"]
    powers = " | ".join(f"10^{e}" for e in exponents)
    print(f"| features | loss | at the start | first step, grey levels | enough | {powers} |")
    print("| --- " * (5 + len(exponents)) + "|")
    for row in rows:
        enough = f"10^{min(row['enough'])} … 10^{max(row['enough'])}" if row["enough"] else "none"
        shares = " | ".join(f"{share:.2f}" for share in row["shares"])
        measured = f"{row['start']:.2g} | {row['first_step']:.2g} | {enough}"
        print(f"| {row['features']} | {row['loss']} | {measured} | {shares} |")
