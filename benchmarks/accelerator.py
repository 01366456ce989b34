"""How long does an edit take on an accelerator, alone and in a batch?

    python benchmarks/accelerator.py [--quick] [--json]

Measures whole reconstructions by the default recipe, and a value and gradient beside PyTorch's, at
each precision. The faces are drawn; the vector is the starter `smiling`, and the weights are
ImageNet's. Compilation isn't counted. The targets' features are computed before, and take half an
evaluation. PyTorch takes part if it is installed and has CUDA. `--quick` measures small images and
few layers: it only shows that the benchmark works.
"""

import dataclasses
import importlib.util
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import numpy as np
from benchmark_options import run_benchmark
from timing import describe_machine, print_head, print_machine, time_in_turns
from workload import draw_faces, draw_vector, make_value_and_gradient

from dfi_jax import (
    VGG,
    Problem,
    Recipe,
    load_vgg,
    make_problem,
    prepare,
    reconstruct,
    starter,
)
from dfi_jax.network.conv import Precision


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is measured.

    Attributes:
      weights: Name of the network.
      precisions: Precisions. Images of the others are compared with those of the first.
      batches: Numbers of faces that are edited at once.
      rounds: Number of rounds of each measurement.
      changes: Changes to the default recipe.
    """

    weights: str = "vgg16"
    precisions: tuple[Precision, ...] = ("highest", "tf32")
    batches: tuple[int, ...] = (1, 64)
    rounds: int = 5
    changes: Mapping[str, str] = field(default_factory=dict)


QUICK = Config(
    weights="random-vgg16",
    batches=(2,),
    rounds=1,
    precisions=("highest", "tf32"),
    changes={"features.layers": "conv1_2", "features.size": "32", "solver.iterations": "3"},
)


def run(config: Config) -> dict[str, Any]:
    """Returns everything that is measured."""
    recipe = Recipe().set(config.changes)
    record: dict[str, Any] = {"config": dataclasses.asdict(config), "machine": describe_machine()}
    record["edits"], record["steps"] = [], []
    for n in config.batches:
        faces = draw_faces(n, recipe.features.size)
        first: np.ndarray | None = None
        for precision in config.precisions:
            exact = dataclasses.replace(load_vgg(config.weights), precision=precision)
            vgg, problem = prepare_problem(exact, faces, recipe=recipe)
            solve = partial(reconstruct, vgg, problem, recipe=recipe, batch_size=n)
            (seconds,) = time_in_turns([solve], config.rounds)
            images = solve().images
            first = images if first is None else first
            row = {"batch": n, "precision": precision}
            differ = float(np.abs(images - first).mean())
            record["edits"].append(row | {"seconds": seconds, "differ": 255 * differ})
            record["steps"].append(row | time_step(vgg, problem, faces, config, recipe=recipe))
    return record


def prepare_problem(vgg: VGG, faces: jax.Array, *, recipe: Recipe) -> tuple[VGG, Problem]:
    """Returns the network, ready for many evaluations, and the problem of adding a smile."""
    drawn = vgg.name.startswith("random-")
    vector = draw_vector(vgg.architecture, recipe) if drawn else starter("smiling").features
    problem = make_problem(vgg, faces, vector, np.ones(len(faces), np.float32), recipe=recipe)
    return prepare(vgg, layers=recipe.features.layers), problem


def time_step(
    vgg: VGG, problem: Problem, faces: jax.Array, config: Config, *, recipe: Recipe
) -> dict[str, Any]:
    """Returns the seconds of a value and gradient, with JAX and with PyTorch."""
    evaluate = make_value_and_gradient(vgg, problem, faces, recipe=recipe)
    (seconds,) = time_in_turns([evaluate], config.rounds)
    return {"seconds": seconds, "torch": time_torch(vgg, problem, faces, config)}


def time_torch(vgg: VGG, problem: Problem, faces: jax.Array, config: Config) -> list[float] | None:
    """Returns PyTorch's seconds of a value and gradient, or None without PyTorch on CUDA."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch
    import torch_lbfgs
    from time_to_loss import make_torch_objective

    if not torch.cuda.is_available():
        return None
    # Importing torch_lbfgs turned TF32 off.
    torch.backends.cudnn.allow_tf32 = vgg.precision == "tf32"
    preprocess = vgg.preprocess
    evaluate = torch_lbfgs.make_value_and_gradient(
        make_torch_objective(vgg, problem), faces, mean=preprocess.mean, std=preprocess.std
    )
    evaluate()
    seconds = []
    for _ in range(config.rounds):
        started = time.perf_counter()
        evaluate()
        seconds.append(time.perf_counter() - started)
    return seconds


def print_tables(record: dict[str, Any]) -> None:
    """Prints everything that is measured."""
    print_machine(record["machine"])
    print_head("| faces at once | precision | edit, ms per face | grey levels from the first |")
    for row in record["edits"]:
        taken = per_face(row["seconds"], row["batch"])
        print(f"| {row['batch']} | {row['precision']} | {taken} | {row['differ']:.2f} |")
    ratio = "PyTorch over dfi_jax"
    print_head(
        f"| faces at once | precision | value and gradient, ms per face | PyTorch | {ratio} |"
    )
    for row in record["steps"]:
        ours, theirs, times = per_face(row["seconds"], row["batch"]), "", ""
        if row["torch"] is not None:
            theirs = per_face(row["torch"], row["batch"])
            times = f"{statistics.median(row['torch']) / statistics.median(row['seconds']):.2f}"
        print(f"| {row['batch']} | {row['precision']} | {ours} | {theirs} | {times} |")


def per_face(seconds: list[float], batch: int) -> str:
    """Returns the median and the range of some seconds, in milliseconds per face."""
    median, low, high = (
        f"{1000 * of(seconds) / batch:.3g}" for of in (statistics.median, min, max)
    )
    return f"{median} ({low}–{high})"


def main() -> None:
    """Measures and prints the tables."""
    run_benchmark(__doc__, Config(), QUICK, run, print_tables)


if __name__ == "__main__":
    main()
