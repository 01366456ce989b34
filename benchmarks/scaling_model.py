"""The work of an iteration on paper, and the machines that could do it, for `scaling.py`.

A multiplication and an addition count as two FLOPs. Convolutions are direct and in float32.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from dfi_jax import LBFGS, Recipe
from dfi_jax.network.vgg import feature_shapes, trunk_layers


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Devices and their published peaks.

    Attributes:
      name: Name of the machine.
      devices: Number of devices.
      flops: FLOP/s of one device at each precision.
      bandwidth: Bytes per second that one device reads and writes.
      memory: Bytes of memory of one device.
    """

    name: str
    devices: int
    flops: dict[str, float]
    bandwidth: float
    memory: float


_H100_FLOPS = {"highest": 67e12, "tf32": 495e12, "bfloat16": 989e12}

H100 = Machine(name="H100 SXM", devices=1, flops=_H100_FLOPS, bandwidth=3.35e12, memory=80e9)
"""The peaks of float32, TF32 and bfloat16 are from NVIDIA's data sheet, without sparsity."""

EIGHT_H100 = Machine(
    name="8 × H100 SXM", devices=8, flops=_H100_FLOPS, bandwidth=3.35e12, memory=80e9
)
"""Eight H100 GPUs."""

V5E = Machine(
    name="TPU v5e-256",
    devices=256,
    flops={"highest": 197e12 / 6, "tf32": 197e12 / 3, "bfloat16": 197e12},
    bandwidth=819e9,
    memory=16e9,
)
"""The peak of bfloat16 is from Google's Cloud TPU documentation.

A product takes six passes of bfloat16 at `highest`, and three at `tf32` (JAX's `high`).
"""


class Piece(NamedTuple):
    """A part of an evaluation.

    Attributes:
      name: Name of the part.
      flops: FLOPs.
      inside: FLOPs without products with the zeros beyond the border.
      moved: Bytes that are read and written.
    """

    name: str
    flops: float
    inside: float
    moved: float


def list_pieces(
    architecture: str,
    n: int,
    *,
    recipe: Recipe,
    gradient: bool = True,
    apart: bool = False,
) -> list[Piece]:
    """Returns the parts of an iteration of n problems, or of the features of n images.

    A convolution at least reads its input and kernel and writes its output. Its gradient moves as
    much, and reads the output again for the ReLU. The preconditioner takes two Fourier transforms
    with a product between them, and its gradient takes as many. L-BFGS reads its pairs three times:
    for a new pair, and before and after the small matrices.

    Args:
      architecture: Name of the architecture.
      n: Number of problems or images.
      recipe: Recipe of the problems.
      gradient: Whether the gradient and the solver are included.
      apart: Whether to add the passes that the CPU's compiler makes: bias and ReLU read and write
        the output, and so does the ReLU's gradient; a pooling moves its input 5½ times, for the
        maximum, its place and the gradient; the loss moves its features 8 times; the pairs are
        copied twice.
    """
    stage, (height, width) = recipe.features, recipe.features.seen_size
    names = trunk_layers(architecture, stage.layers)
    shapes = feature_shapes(architecture, names, (height, width), pool_rounding=stage.pool_rounding)
    found, width_in = [], 3
    for name, following in zip(names, (*names[1:], ""), strict=True):
        h, w, width_out = shapes[name]
        flops = 2 * 9 * n * width_in * width_out * h * w
        inside = 2 * n * width_in * width_out * (3 * h - 2) * (3 * w - 2)
        into, out = 4 * n * h * w * width_in, 4 * n * h * w * width_out
        kernel = 4 * 9 * width_in * width_out
        found.append(Piece(name, flops, inside, into + out + kernel))
        if gradient:
            found.append(Piece(name, flops, inside, into + 2 * out + kernel))
        if gradient and apart:
            passes = 4 + 5.5 * following.endswith("_1") + 8 * (name in stage.layers)
            found.append(Piece(name, 0, 0, passes * out))
        width_in = width_out
    if gradient:
        assert isinstance(recipe.solver, LBFGS)
        pixels, pairs = 3 * n * height * width, 2 * recipe.solver.memory
        # A Fourier transform of n real numbers takes 2.5 n log₂ n operations.
        fourier = 4 * 2.5 * pixels * math.log2(height * width)
        found.append(Piece("preconditioner", fourier, fourier, 6 * 2 * 4 * pixels))
        passes, products = 7 if apart else 3, 3 * 2 * pairs * pixels
        found.append(Piece("L-BFGS", products, products, passes * 4 * pairs * pixels))
    return found


def add_up(pieces: Iterable[Piece]) -> Piece:
    """Returns all parts as one."""
    columns = list(
        zip(*((piece.flops, piece.inside, piece.moved) for piece in pieces), strict=True)
    )
    flops, inside, moved = map(sum, columns)
    return Piece("all", flops, inside, moved)


def predict_seconds(pieces: Iterable[Piece], machine: Machine, precision: str) -> float:
    """Returns the seconds on one device at its peaks.

    Each part takes the longer of the time for its FLOPs and the time for its bytes.
    """
    peak, bandwidth = machine.flops[precision], machine.bandwidth
    return sum(max(piece.flops / peak, piece.moved / bandwidth) for piece in pieces)
