"""How fast is reconstruction beside PyTorch, in a queue, and as images grow?

    python benchmarks/throughput.py [--quick] [--json] [--plot FILE]

Measures, in one run: a value and gradient beside PyTorch's; the time to the lowest loss of
PyTorch's L-BFGS in 300 iterations; queues of problems; sizes up to 800 × 800; and the peak of
memory at 1000 × 1000. What is compared runs in turns, because the machine may be busy in one minute
and not in the next. JAX uses its default device, and PyTorch uses CUDA if it can. The comparison
needs the extra `torch`; without PyTorch it is left out. The run to a loss uses VGG-16 with the
starter vector for eyeglasses on a drawn face; all other weights and vectors are random, which is
enough to measure speed. `--quick` measures small images and few layers in seconds: it only shows
that the benchmark works.
"""

import argparse
import dataclasses
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from benchmark_options import make_parser, print_record
from throughput_tables import draw_plot, print_tables
from timing import describe_machine, time_in_turns
from workload import (
    count_flops,
    draw_faces,
    draw_problems,
    load_network,
    make_problems,
    make_value_and_gradient,
)

from dfi_jax import Recipe, reconstruct, starter

HAS_TORCH = importlib.util.find_spec("torch") is not None
"""Whether the comparison with PyTorch can be made."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is measured.

    Attributes:
      layers: Names of the layers.
      size: Height and width of the images, except where sizes are compared.
      steps: Networks and numbers of images whose value and gradient are timed.
      rounds: Number of rounds of the values and gradients.
      loss_weights: Name of the network of the run to a loss.
      torch_iterations: Number of PyTorch's iterations.
      largest: Largest number of dfi_jax's iterations until PyTorch's loss.
      both_units: Whether PyTorch also runs with the image in [0, 1] as its unknown.
      queues: Numbers of problems in the queues.
      queue_iterations: Number of iterations of each of these problems.
      queue_rounds: Number of rounds of the queues.
      sizes: Heights and widths that are compared.
      peak_size: Height and width at which the peak of memory is measured.
    """

    layers: tuple[str, ...] = Recipe().features.layers
    size: int = 200
    steps: tuple[tuple[str, int], ...] = (
        ("random-vgg19", 1),
        ("random-vgg19", 5),
        ("random-vgg16", 1),
        ("random-vgg16", 5),
    )
    rounds: int = 9
    loss_weights: str = "vgg16"
    torch_iterations: int = 300
    largest: int = 600
    both_units: bool = True
    queues: tuple[int, ...] = (1, 5, 25)
    queue_iterations: int = 6
    queue_rounds: int = 3
    sizes: tuple[int, ...] = (100, 200, 400, 600, 800)
    peak_size: int = 1000


CONFIG = Config()
QUICK = Config(
    layers=("conv1_1",),
    size=32,
    steps=(("random-vgg16", 1),),
    rounds=2,
    loss_weights="random-vgg16",
    torch_iterations=20,
    largest=40,
    both_units=False,
    queues=(1, 5),
    queue_iterations=2,
    queue_rounds=1,
    sizes=(16, 32),
    peak_size=32,
)


def run(config: Config) -> dict[str, Any]:
    """Returns everything that is measured."""
    machine = describe_machine()
    if HAS_TORCH:
        import torch_lbfgs

        machine["torch"] = torch_lbfgs.describe()
    record: dict[str, Any] = {"config": dataclasses.asdict(config), "machine": machine}
    # This comes first, while this process holds no memory of a device.
    peak_bytes = measure_peak(config)
    record["peak_bytes"] = peak_bytes
    record["steps"] = [time_step(*case, config=config) for case in config.steps]
    record["product_gflops"] = measure_product(config.rounds)
    record["to_loss"] = run_to_loss(config) if HAS_TORCH else None
    record["queues"] = time_queues(config)
    record["sizes"] = time_sizes(config)
    return record


def make_recipe(config: Config, *, size: int, iterations: int) -> Recipe:
    """Returns the recipe that is measured: without bounds, which PyTorch's side doesn't have.

    The vector is scaled as in the published systems. The preconditioner's penalties are those with
    which the objective falls fastest; the default recipe's make better pictures (docs/solver.md).
    """
    return Recipe().set(
        {
            "features.layers": ",".join(config.layers),
            "features.size": str(size),
            "vector": "unit_times_phi",
            "objective.bounds": "none",
            "solver.iterations": str(iterations),
            "solver.preconditioner.base_penalty": "0",
            "solver.preconditioner.fine_penalty": "3",
            "solver.preconditioner.chroma_penalty": "1",
        }
    )


def time_step(name: str, n: int, *, config: Config) -> dict[str, Any]:
    """Returns the seconds of a value and gradient of n images, with JAX and with PyTorch."""
    recipe = make_recipe(config, size=config.size, iterations=config.largest)
    vgg = load_network(name, config.layers, True)
    problem = draw_problems(vgg, n, recipe=recipe)
    start = draw_faces(n, config.size)

    functions: list[Callable[[], Any]] = [
        make_value_and_gradient(vgg, problem, start, recipe=recipe)
    ]
    row: dict[str, Any] = {"network": vgg.name, "images": n}
    if HAS_TORCH:
        import torch_lbfgs
        from time_to_loss import make_torch_objective

        theirs = torch_lbfgs.make_value_and_gradient(
            make_torch_objective(vgg, problem),
            start,
            mean=vgg.preprocess.mean,
            std=vgg.preprocess.std,
        )
        functions.append(theirs)
        (value, gradient), (other, on_device) = functions[0](), theirs()
        slope = on_device.cpu().numpy()
        row["value_differs"] = abs(float(value) / float(other) - 1)
        row["gradient_differs"] = float(np.linalg.norm(gradient - slope) / np.linalg.norm(slope))
    seconds = time_in_turns(functions, config.rounds)
    row["seconds"] = seconds[0]
    row["gflops"] = n * count_flops(vgg.architecture, recipe) / statistics.median(seconds[0]) / 1e9
    if HAS_TORCH:
        row["torch_seconds"] = seconds[1]
        row["ratios"] = [b / a for a, b in zip(*seconds, strict=True)]
    return row


def measure_product(rounds: int) -> float:
    """Returns the GFLOP/s of a float32 product of two matrices of 2048 × 2048."""
    a = jnp.ones((2048, 2048))
    product = jax.jit(partial(jnp.matmul, precision="highest"))
    (seconds,) = time_in_turns([partial(product, a, a)], rounds)
    return 2 * 2048**3 / statistics.median(seconds) / 1e9


def run_to_loss(config: Config) -> dict[str, Any]:
    """Returns the record of the run to PyTorch's loss."""
    from time_to_loss import time_to_loss

    recipe = make_recipe(config, size=config.size, iterations=config.largest)
    vgg = load_network(config.loss_weights, config.layers, True)
    if config.loss_weights.startswith("random-"):
        problem = draw_problems(vgg, 1, recipe=recipe)
    else:
        vector, face = starter("eyeglasses").features, draw_faces(1, config.size)
        problem = make_problems(vgg, face, vector, np.array([0.4]), recipe=recipe)
    return time_to_loss(
        vgg,
        problem,
        recipe=recipe,
        torch_iterations=config.torch_iterations,
        both_units=config.both_units,
    )


def time_queues(config: Config) -> list[dict[str, Any]]:
    """Returns the seconds per iteration and problem of queues from beginning to end, in turns."""
    recipe = make_recipe(config, size=config.size, iterations=config.queue_iterations)
    vgg = load_network(config.steps[0][0], config.layers, True)
    problems = {n: draw_problems(vgg, n, recipe=recipe) for n in config.queues}
    functions: list[Callable[[], Any]] = [
        partial(reconstruct, vgg, problem, recipe=recipe) for problem in problems.values()
    ]
    seconds = time_in_turns(functions, config.queue_rounds)
    return [
        {"problems": n, "seconds": [taken / (n * config.queue_iterations) for taken in each]}
        for n, each in zip(problems, seconds, strict=True)
    ]


def time_sizes(config: Config) -> list[dict[str, Any]]:
    """Returns the median seconds per iteration of one problem at each size."""
    found = []
    for size in config.sizes:
        recipe = make_recipe(config, size=size, iterations=config.queue_iterations)
        vgg = load_network(config.steps[0][0], config.layers, True)
        problem = draw_problems(vgg, 1, recipe=recipe)
        solve = partial(reconstruct, vgg, problem, recipe=recipe)
        (seconds,) = time_in_turns([solve], config.queue_rounds)
        taken = statistics.median(seconds) / config.queue_iterations
        found.append({"size": size, "seconds": taken})
    return found


def measure_peak(config: Config) -> int:
    """Returns the peak of memory of one problem, in bytes, in a process of its own."""
    command = [sys.executable, __file__, "--peak", json.dumps(dataclasses.asdict(config))]
    environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return int(done.stdout)


def print_peak(config: Config) -> None:
    """Prints the peak of the device's memory, or of this whole process's memory on a CPU."""
    recipe = make_recipe(config, size=config.peak_size, iterations=3)
    vgg = load_network(config.steps[0][0], config.layers, True)
    reconstruct(vgg, draw_problems(vgg, 1, recipe=recipe), recipe=recipe)
    device = jax.devices()[0].memory_stats()
    unit = 1 if sys.platform == "darwin" else 1024
    whole = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    print(device["peak_bytes_in_use"] if device else whole)


def main() -> None:
    """Measures and prints the tables."""
    parser = make_parser(__doc__)
    parser.add_argument("--plot", type=Path, help="image file for the curves")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        values = json.loads(arguments.peak)
        tuples = {k: tuple(map(tuple, v)) if k == "steps" else v for k, v in values.items()}
        print_peak(Config(**tuples | {"layers": tuple(values["layers"])}))
        return
    record = run(QUICK if arguments.quick else CONFIG)
    if arguments.plot:
        draw_plot(arguments.plot, record)
    print_record(record, print_tables, as_json=arguments.json)


if __name__ == "__main__":
    main()
