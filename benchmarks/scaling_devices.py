"""The compiler's counts of the engine's step, and simulated devices, for `scaling.py`."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from dfi_jax import (
    VGG,
    Preprocess,
    Problem,
    Progress,
    Recipe,
    features,
    load_vgg,
    make_problem,
    prepare,
    reconstruct,
)
from dfi_jax.engine import descent, devices
from dfi_jax.network.vgg import feature_shapes, trunk_layers

COUNT = jax.ShapeDtypeStruct((), jnp.int32)
"""The shape of a number of steps or of a slot."""

COLLECTIVE = re.compile(
    r"\b(?:all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)(?:-start)?\("
)
"""The operations by which devices exchange data."""


def count_problem(architecture: str, *, recipe: Recipe) -> dict[str, float]:
    """Returns the FLOPs, bytes moved and bytes held that one more problem adds to a step.

    They are half the difference between four problems and two, as the compiler counts them.
    """
    counts = []
    for n in (2, 4):
        shapes = describe_batch(architecture, n, recipe=recipe)
        step = descent._step.lower(*shapes, recipe=recipe, mesh=devices.make_mesh(1)).compile()
        cost: Any = step.cost_analysis()
        memory: Any = step.memory_analysis()
        # The new state takes the place of the old one, so only one of them counts.
        held = memory.temp_size_in_bytes + memory.argument_size_in_bytes
        counts.append(np.array([cost["flops"], cost["bytes accessed"], held]))
    flops, moved, held = (counts[1] - counts[0]) / 2
    return {"flops": float(flops), "moved": float(moved), "held": float(held)}


def describe_batch(
    architecture: str, n: int, *, recipe: Recipe, sharding: Any = None
) -> tuple[VGG, Problem, Any]:
    """Returns the shapes of a network, of n problems and of their state, for the compiler."""
    shape: Any = partial(jax.ShapeDtypeStruct, dtype=jnp.float32)
    stage, size = recipe.features, recipe.features.seen_size
    names = trunk_layers(architecture, stage.layers)
    shapes = feature_shapes(architecture, names, size, pool_rounding=stage.pool_rounding)
    widths = [3, *(shapes[name][2] for name in names)]
    params = {
        name: {"kernel": shape((3, 3, width_in, width)), "bias": shape((width,))}
        for name, width_in, width in zip(names, widths, widths[1:], strict=False)
    }
    vgg = VGG(
        params=params,
        architecture=architecture,
        preprocess=Preprocess(mean=(0.5,) * 3, std=(0.25,) * 3),
        name="shapes only",
        sha256="",
    )
    target = {name: shape((n, *shapes[name])) for name in stage.layers}
    norms = {name: shape((n,)) for name in stage.layers}
    problem = Problem(shape((n, *size, 3)), target, norms)
    state = jax.eval_shape(partial(descent.begin, recipe=recipe), problem)

    def place(leaf: Any) -> Any:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    return vgg, jax.tree.map(place, problem), jax.tree.map(place, state)


def simulate(count: int) -> dict[str, Any]:
    """Returns what `run_simulation` finds in a process with that many simulated devices."""
    flags = {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={count}",
        "JAX_PLATFORMS": "cpu",
    }
    command = [sys.executable, str(Path(__file__)), str(count)]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | flags
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def run_simulation(count: int) -> dict[str, Any]:
    """Compiles the engine for the devices of this process and solves three problems per device."""
    recipe = Recipe().set(
        {
            "features.layers": "conv1_2,conv2_1",
            "features.size": "16",
            "vector": "unit_times_phi",
            "solver.iterations": "60",
            "solver.tolerance": "0.02",
            "solver.memory": "5",
        }
    )
    found = count_programs(count, recipe)
    vgg = prepare(load_vgg("random-vgg16"), layers=recipe.features.layers, winograd=False)
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.random((3 * count, 16, 16, 3)), jnp.float32)
    phi = features(vgg, images[:2], layers=recipe.features.layers)
    vector = {name: layer[0] - layer[1] for name, layer in phi.items()}
    alphas = jnp.asarray(rng.uniform(-0.5, 0.5, len(images)), jnp.float32)
    batch = make_problem(vgg, images, vector, alphas, recipe=recipe)
    steps, before = 0, dict[int, int]()

    def singles() -> Iterator[Problem]:
        for i in range(len(images)):
            yield jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], batch)

    def watch(progress: Progress) -> None:
        nonlocal steps, before
        now = progress.in_flight
        after = dict(zip(now.indices, now.iterations.tolist(), strict=True))
        steps += max(after[i] - before.get(i, 0) for i in after)
        before = after

    together = dict(reconstruct(vgg, singles(), recipe=recipe, batch_size=count, on_progress=watch))
    alone = dict(reconstruct(vgg, singles(), recipe=recipe, batch_size=1))
    pairs = [(together[i], alone[i]) for i in range(len(images))]
    iterations = np.array([a.iterations[0] for a, _ in pairs])
    return found | {
        "devices": count,
        "done": len(together),
        "problems": len(images),
        "fewest_iterations": int(iterations.min()),
        "most_iterations": int(iterations.max()),
        "same_end": int(sum(a.iterations[0] == b.iterations[0] for a, b in pairs)),
        "difference": float(max(np.abs(a.images - b.images).max() for a, b in pairs)),
        "occupancy": float(iterations.sum() / (count * steps)),
    }


def count_programs(count: int, recipe: Recipe) -> dict[str, Any]:
    """Returns the FLOPs, memory and collectives of the engine's programs for some devices."""
    mesh = devices.make_mesh(count)
    sharded = NamedSharding(mesh, PartitionSpec(devices.BATCH))
    replicated = NamedSharding(mesh, PartitionSpec())
    vgg, problem, state = describe_batch("vgg16", 2 * count, recipe=recipe, sharding=sharded)
    _, single, _ = describe_batch("vgg16", 1, recipe=recipe, sharding=replicated)
    step = descent._step.lower(vgg, problem, state, recipe=recipe, mesh=mesh).compile()
    loop = descent._steps.lower(vgg, problem, state, COUNT, recipe=recipe, mesh=mesh).compile()
    fill = descent.fill.lower(problem, state, single, COUNT, recipe=recipe).compile()
    programs = {"step": step, "loop": loop, "fill": fill}
    cost: Any = step.cost_analysis()
    memory: Any = step.memory_analysis()
    return {
        "flops": cost["flops"],
        "temporary_bytes": memory.temp_size_in_bytes,
        "collectives": {
            name: len(COLLECTIVE.findall(program.as_text() or ""))
            for name, program in programs.items()
        },
    }


if __name__ == "__main__":
    print(json.dumps(run_simulation(int(sys.argv[1]))))
