"""The time to the lowest loss that PyTorch's L-BFGS reaches, for `throughput.py`."""

import contextlib
import itertools
import math
import statistics
import time
from functools import partial
from typing import Any

import jax.numpy as jnp
import torch_lbfgs
from workload import count_between_looks

from dfi_jax import VGG, Problem, Progress, Recipe, reconstruct
from dfi_jax.network.vgg import trunk_layers

TURN = 10
"""Number of dfi_jax's iterations after which PyTorch gets a turn of twice as many."""


class EnoughError(Exception):
    """Ends a reconstruction that has been watched for long enough."""


def make_torch_objective(vgg: VGG, problem: Problem) -> torch_lbfgs.Objective:
    """Returns the objective of a problem in PyTorch."""
    names = trunk_layers(vgg.architecture, list(problem.target))
    params = {name: vgg.params[name] for name in names}
    return torch_lbfgs.make_objective(params, problem.target, problem.square_norms)


def time_to_loss(
    vgg: VGG, problem: Problem, *, recipe: Recipe, torch_iterations: int, both_units: bool
) -> dict[str, Any]:
    """Returns the iterations and seconds that dfi_jax needs to reach PyTorch's lowest loss.

    Both sides start from the same image and run in turns, after compilation. The time is the median
    of an iteration's seconds, times the number of iterations.

    Args:
      vgg: Network.
      problem: Problem of length 1.
      recipe: Recipe with the largest number of iterations that dfi_jax may take.
      torch_iterations: Number of PyTorch's iterations.
      both_units: Whether PyTorch also runs with the image in [0, 1] as its unknown; the lower of
        the two losses is then the one to reach.
    """
    compilation = time_compilation(vgg, problem, recipe=recipe)
    iterate = partial(
        torch_lbfgs.iterate,
        make_torch_objective(vgg, problem),
        problem.start,
        mean=vgg.preprocess.mean,
        std=vgg.preprocess.std,
        iterations=torch_iterations,
    )
    in_pixels = min(loss for _, loss in iterate(scaled=False)) if both_units else math.inf
    rival = iterate(scaled=True)
    theirs: list[tuple[float, float]] = []
    # Each entry has the number of iterations, the seconds per iteration, and the loss.
    ours: list[tuple[int, float, float]] = []
    done, since = 0, time.perf_counter()

    def take_turns(progress: Progress) -> None:
        nonlocal done, since
        seconds = (time.perf_counter() - since) / (progress.done - done)
        done = progress.done
        ours.append((done, seconds, float(progress.in_flight.objective[0])))
        if done % TURN == 0:
            theirs.extend(itertools.islice(rival, 2 * TURN))
        if len(theirs) == torch_iterations:
            best = min(in_pixels, *(loss for _, loss in theirs))
            if ours[-1][2] <= best:
                raise EnoughError
        since = time.perf_counter()

    with contextlib.suppress(EnoughError):
        reconstruct(
            vgg, problem, recipe=recipe, every=count_between_looks(), on_progress=take_turns
        )
    theirs.extend(rival)
    losses = [loss for _, loss in theirs]
    reached = min(in_pixels, *losses)
    iterations = next((count for count, _, loss in ours if loss <= reached), None)
    seconds = statistics.median(seconds for _, seconds, _ in ours)
    torch_seconds = statistics.median(seconds for seconds, _ in theirs)
    ratio = None if iterations is None else iterations * seconds / (len(theirs) * torch_seconds)
    return {
        "network": vgg.name,
        "compilation": compilation,
        "loss": reached,
        "unknown": "[0, 1]" if in_pixels < min(losses) else "the network's units",
        "iterations": iterations,
        "seconds": seconds,
        "torch_iterations": len(theirs),
        "torch_seconds": torch_seconds,
        "ratio": ratio,
        "start_differs": abs(ours[0][2] / losses[0] - 1) if ours[0][0] == 1 else None,
        "curves": {
            "dfi_jax": [
                [seconds * count for count, _, _ in ours],
                [loss for _, _, loss in ours],
            ],
            "PyTorch": [
                [torch_seconds * count for count in range(1, 1 + len(losses))],
                losses,
            ],
        },
    }


def time_compilation(vgg: VGG, problem: Problem, *, recipe: Recipe) -> float:
    """Returns the seconds to the end of the second look, most of which is compilation."""
    looks = 0

    def stop(_: Progress) -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            raise EnoughError

    started = time.perf_counter()
    with contextlib.suppress(EnoughError):
        reconstruct(vgg, problem, recipe=recipe, every=count_between_looks(), on_progress=stop)
    jnp.zeros(()).block_until_ready()
    return time.perf_counter() - started
