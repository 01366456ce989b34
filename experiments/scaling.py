"""What a million edits cost: a model on paper, and what the compiler and many simulated devices say of it.

    python experiments/scaling.py

Prints tables in Markdown, in five minutes on 2 CPU cores; it needs the extra `demo`, for a photograph. No accelerator
is needed or used: FLOPs and bytes are counted by the CPU's compiler for the engine's own step (direct convolution,
float32) beside formulas from the layers' shapes; devices are the host's, as many as XLA is told that it has; seconds on
an accelerator are arithmetic, with FRACTION of its published peaks, which is assumed and not measured; and what the
host does is measured.
"""

import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from PIL import Image
from skimage.data import astronaut

from dfi_jax import attribute, batch, descent, edit, faces, image, parallel
from dfi_jax.problem import Problem, make_problem, problem_bytes
from dfi_jax.recipe import Recipe
from dfi_jax.reconstruct import stream
from dfi_jax.report import write_loss_curves
from dfi_jax.solver import make_solver
from dfi_jax.vgg import VGG, WIDTHS, Preprocess, block_of, feature_shapes, features, trunk_layers
from dfi_jax.weights import load_vgg

FRACTION = 0.4
"""Of a machine's peak FLOP/s, and of its bytes a second: an assumption. Seconds are in inverse proportion to it."""

EDITS, MEANS = 1_000_000, 200_000
RECIPE = Recipe()
NETWORKS = ("vgg19", "vgg16")
CLOCK = jax.ShapeDtypeStruct((), jnp.int32)
COLLECTIVE = re.compile(r"\b(?:all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)(?:-start)?\(")


class Machine(NamedTuple):
    """Devices, and the published peaks of one: FLOP/s at a precision, and bytes a second."""

    name: str
    devices: int
    flops: dict[str, float]
    bandwidth: float


H100 = Machine("H100 SXM", 1, {"highest": 67e12, "tf32": 495e12, "bfloat16": 989e12}, 3.35e12)
"""Dense, from NVIDIA's data sheet: float32, TF32 and bfloat16."""
V5E = Machine("TPU v5e-256", 256, {"highest": 197e12 / 6, "tf32": 197e12 / 3, "bfloat16": 197e12}, 819e9)
"""From Google's Cloud TPU documentation, in bfloat16: a product at `highest` is six passes of it, at `high` three."""
MACHINES = (H100, H100._replace(name="8 × H100 SXM", devices=8), V5E)


class Layer(NamedTuple):
    """A convolution: its output's shape and its input's channels."""

    name: str
    h: int
    w: int
    ci: int
    co: int

    def flops(self) -> int:
        """Of one image forwards by direct convolution; the gradient of the image takes as many."""
        return 2 * 9 * self.ci * self.co * self.h * self.w

    def flops_inside(self) -> int:
        """The same without products with the zeros beyond the border."""
        return 2 * self.ci * self.co * (3 * self.h - 2) * (3 * self.w - 2)

    def bytes(self, n: int) -> int:
        """Read and written for n images forwards at least: input, output and kernel once, in float32."""
        return 4 * (n * self.h * self.w * (self.ci + self.co) + 9 * self.ci * self.co)

    def gradient_bytes(self, n: int) -> int:
        """The same of the gradient, which reads the output again for its ReLU."""
        return self.bytes(n) + 4 * n * self.h * self.w * self.co


def layers(architecture: str, size: int) -> list[Layer]:
    """All convolutions up to conv5_1."""
    names = trunk_layers(architecture, RECIPE.layers)
    widths = [3, *(WIDTHS[block_of(name)] for name in names)]
    shapes = feature_shapes(architecture, names, (size, size))
    return [Layer(name, *shapes[name][:2], ci, shapes[name][2]) for name, ci in zip(names, widths, strict=False)]


def abstract(architecture: str, n: int, recipe: Recipe, sharding: Any = None) -> tuple[VGG, Problem, Any]:
    """The shapes of a network, of n problems and of their run; the compiler needs no more."""
    shape = partial(jax.ShapeDtypeStruct, dtype=jnp.float32)
    every = layers(architecture, recipe.size)
    params = {x.name: {"kernel": shape((3, 3, x.ci, x.co)), "bias": shape((x.co,))} for x in every}
    target = {x.name: shape((n, x.h, x.w, x.co)) for x in every if x.name in recipe.layers}
    vgg = VGG(params, architecture, Preprocess((0.5,) * 3, (0.25,) * 3), "shapes alone", "")
    problem = Problem(shape((n, recipe.size, recipe.size, 3)), target, {name: shape((n,)) for name in target})
    run = jax.eval_shape(partial(descent.begin, recipe=recipe), problem)
    spread = partial(jax.tree.map, lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding))
    return vgg, spread(problem), spread(run)


def size_of(tree: Any) -> int:
    """Bytes of a pytree."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def table(title: str, head: str, rows: Iterable[str]) -> None:
    """Prints one."""
    print("\n".join(["", f"### {title}", "", f"| {head} |", "| --- " * (head.count("|") + 1) + "|"]))
    for row in rows:
        print(f"| {row} |", flush=True)


def evaluation(architecture: str, size: int) -> tuple[int, int]:
    """FLOPs and least bytes of one image's features and their gradient, the kernels read for it alone."""
    every = layers(architecture, size)
    return sum(2 * x.flops() for x in every), sum(x.bytes(1) + x.gradient_bytes(1) for x in every)


def compiled_step(architecture: str, recipe: Recipe, n: int) -> Any:
    """The engine's step."""
    return descent._step.lower(
        *abstract(architecture, n, recipe), CLOCK, recipe=recipe, mesh=parallel.mesh(1)
    ).compile()


def flop_rows() -> Iterable[str]:
    """Formula and compiler, one value and gradient."""
    for name in NETWORKS:
        flops, moved = evaluation(name, RECIPE.size)
        inside = sum(2 * layer.flops_inside() for layer in layers(name, RECIPE.size))
        recipe = RECIPE.replace(preconditioner="none")  # its estimate is compiled as well, and runs once
        cost = compiled_step(name, recipe, 1).cost_analysis()
        found, touched = cost["flops"], cost["bytes accessed"]
        yield (f"{name} | {flops / 1e9:.2f} | {inside / 1e9:.2f} | {found / 1e9:.2f} | {found / inside:.3f} | "
               f"{moved / 1e6:.0f} | {touched / 1e6:.0f} | {touched / moved:.2f}")  # fmt: skip


def memory_rows() -> Iterable[str]:
    """`problem_bytes` and the compiler's account; what two problems more add is free of what all of them share."""
    for name in NETWORKS:
        for recipe in (RECIPE.replace(size=104), RECIPE):
            guess, whole = problem_bytes(name, recipe), {}
            for n in (1, 2, 4):
                found = compiled_step(name, recipe, n).memory_analysis()
                temporary, given, out = (
                    size / 1e6
                    for size in (found.temp_size_in_bytes, found.argument_size_in_bytes, found.output_size_in_bytes)
                )
                whole[n] = temporary + given
                yield (f"{name}, {recipe.size} | {n} | {temporary:.0f} | {given:.0f} | {out:.0f} | "
                       f"{n * guess / 1e6:.0f} | | ")  # fmt: skip
            each = (whole[4] - whole[2]) / 2
            yield f"{name}, {recipe.size} | one more | | | | {guess / 1e6:.0f} | {each:.0f} | {guess / 1e6 / each:.2f}"


def solver_rows() -> Iterable[str]:
    """L-BFGS and the Fourier transforms beside the network, of one image."""
    pixels, pairs = 3 * RECIPE.size**2, 2 * RECIPE.memory
    _, problem, run = abstract("vgg19", 1, RECIPE)
    value = jax.ShapeDtypeStruct((1,), jnp.float32)
    solve = jax.vmap(partial(descent._solve, make_solver(RECIPE)), in_axes=(None, 0, 0, 0, 0))
    cost = jax.jit(solve, donate_argnums=2).lower(CLOCK, problem.start, run.solver, run.unknown, value).compile()
    cost = cost.cost_analysis()
    flops, moved = evaluation("vgg19", RECIPE.size)
    fourier = 4 * 2.5 * pixels * math.log2(RECIPE.size**2)  # there and back, value and gradient; 2.5 n log₂ n each
    yield f"state: {pairs} + 7 images | {(pairs + 7) * pixels * 4 / 1e6:.1f} MB | | "
    yield f"state: the run's pytree | {size_of(run) / 1e6:.1f} MB | | "
    rows = {
        "L-BFGS: two passes over the pairs": (2 * 2 * pairs * pixels, 2 * pairs * 4 * pixels),
        "L-BFGS: three, as it is written": (3 * 2 * pairs * pixels, 3 * pairs * 4 * pixels),
        "L-BFGS, compiler": (cost["flops"], cost["bytes accessed"]),
        "four Fourier transforms, formula": (fourier, 4 * 2 * 4 * pixels),
    }
    for name, (work, traffic) in rows.items():
        yield f"{name} | {traffic / 1e6:.1f} MB | {work / flops:.2%} | {traffic / moved:.1%}"


def simulate(devices: int) -> dict[str, Any]:
    """Compiles the step for so many devices of this process, and runs three problems a device through a queue."""
    recipe = Recipe(layers=("conv1_2", "conv2_1"), size=16, iterations=60, tolerance=0.02, memory=5)
    mesh = parallel.mesh(devices)
    spread, alone = NamedSharding(mesh, PartitionSpec(parallel.BATCH)), NamedSharding(mesh, PartitionSpec())
    vgg, problem, run = abstract("vgg16", 2 * devices, recipe, spread)
    _, single, _ = abstract("vgg16", 1, recipe, alone)
    step = descent._step.lower(vgg, problem, run, CLOCK, recipe=recipe, mesh=mesh).compile()
    loop = descent._steps.lower(vgg, problem, run, CLOCK, CLOCK, recipe=recipe, mesh=mesh).compile()
    place = descent.place.lower(problem, run, single, CLOCK, recipe=recipe).compile()
    found: dict[str, Any] = {"flops": step.cost_analysis()["flops"], "temp": step.memory_analysis().temp_size_in_bytes}
    programs = {"step": step, "loop": loop, "place": place}
    found |= {name: len(COLLECTIVE.findall(program.as_text())) for name, program in programs.items()}

    network = load_vgg("random-vgg16").replace(filters={})  # direct convolution, as above, however long the queue is
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.random((3 * devices, 16, 16, 3)), jnp.float32)
    phi = features(network, images[:2], layers=recipe.layers)
    vector = {name: layer[0] - layer[1] for name, layer in phi.items()}
    alphas = jnp.asarray(rng.uniform(-0.5, 0.5, len(images)), jnp.float32)
    every = make_problem(network, images, vector, alphas, recipe=recipe)
    steps, before = 0, {}

    def singles() -> Iterable[Problem]:
        return (jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], every) for i in range(len(images)))

    def watch(now: Any) -> None:
        nonlocal steps, before
        after = dict(zip(now.indices, now.iterations.tolist(), strict=True))
        steps, before = steps + max(after[i] - before.get(i, 0) for i in after), after

    together = dict(stream(network, singles(), recipe=recipe, batch_size=devices, on_progress=watch))
    one_by_one = dict(stream(network, singles(), recipe=recipe, batch_size=1))
    iterations = np.array([together[i].iterations[0] for i in range(len(images))])
    found["iterations"] = f"{iterations.min()}–{iterations.max()}"
    found["same_end"] = sum(int(together[i].iterations[0] == one_by_one[i].iterations[0]) for i in together)
    found["error"] = max(float(np.abs(together[i].images - one_by_one[i].images).max()) for i in together)
    return found | {"problems": len(images), "done": len(together), "occupancy": iterations.sum() / (devices * steps)}


def device_rows() -> Iterable[str]:
    """`simulate` in processes of their own."""
    for n in (1, 8, 64):
        flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={n}", "JAX_PLATFORMS": "cpu"}
        command = [sys.executable, __file__, "--simulate", str(n)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | flags)
        f = json.loads(done.stdout)
        yield (f"{n} | {f['flops'] / 1e6:.1f} | {f['temp'] / 1e6:.2f} | {f['step']}, {f['loop']}, {f['place']} | "
               f"{f['done']} of {f['problems']} | {f['iterations']} | {f['same_end']} | {f['error']:.0e} | "
               f"{f['occupancy']:.0%}")  # fmt: skip


def share_rows() -> Iterable[str]:
    """A manifest as `parallel.own` deals it."""
    for count in (1, 8, 64, 256):
        with mock.patch("jax.process_count", lambda count=count: count):
            sizes = []
            for i in range(count):
                with mock.patch("jax.process_index", lambda i=i: i):
                    sizes.append(len(parallel.own(range(EDITS))))
        yield f"{count} | {min(sizes):,}–{max(sizes):,} | {EDITS * count:,}"


def milliseconds(work: Callable[[], object], times: int) -> float:
    """The median of some runs, after one that doesn't count."""
    work()
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return 1e3 * float(np.median(taken))


def host_rows(folder: Path) -> Iterable[str]:
    """What one process does beside the devices; the edit is the default recipe's, really made."""
    photograph, vgg, vector = astronaut().astype(np.float32) / 255, load_vgg("vgg16"), attribute.starter("eyeglasses")
    edited = edit.edit_face(vgg, photograph, vector, alphas=(0.4,), recipe=RECIPE, place=(125, 5, 325, 205))
    save = partial(edit.save, folder / "edit", edited, vgg=vgg, subject={}, seconds={}, force=True)
    yield f"an edit of one strength, photograph 512 × 512 | | {milliseconds(save, 5):.0f} | "
    files = sorted((folder / "edit").iterdir())
    for path in files:
        yield f"— {path.name} | {path.stat().st_size:,} | | "
    yield f"— all {len(files)}, of {EDITS:,} edits | {EDITS * sum(path.stat().st_size for path in files):,} | | "
    plot = partial(write_loss_curves, folder / "loss.png", edited.history, ["α = 0.4"])
    yield f"— loss.png alone | | {milliseconds(plot, 5):.0f} | "
    for name, picture in {"the face, 200 × 200": edited.faces[0], "the photograph": edited.photographs[0]}.items():
        for kind in ("PNG", "JPEG"):
            path = folder / f"one.{kind}"
            write = partial(Image.fromarray(image.to_bytes(picture)).save, path, format=kind, quality=90)
            taken = milliseconds(write, 20), milliseconds(partial(image.read, path), 20)
            yield f"{name}, {kind} | {path.stat().st_size:,} | {taken[0]:.1f} | {taken[1]:.1f}"
    if faces.are_found():
        yield f"the face found in the photograph | | | {milliseconds(partial(faces.detect, photograph), 3):.0f}"
    for dtype in ("float32", "int8"):
        attribute.save(folder / dtype, vector, dtype=dtype)
        yield f"an attribute vector, {dtype} | {(folder / dtype).stat().st_size:,} | | "
    manifest, out, count = folder / "jobs.jsonl", folder / "out", 2000
    lines = [{"photo": "one.PNG", "attribute": "eyeglasses", "name": f"{i}"} for i in range(count)]
    manifest.write_text("\n".join(map(json.dumps, lines)))
    jobs = batch.read_manifest(manifest)
    result = json.loads((folder / "edit" / "result.json").read_text())
    for job in jobs:
        (out / job.name).mkdir(parents=True)
        (out / job.name / "result.json").write_text(json.dumps(result | job.about(), indent=2))
    taken = milliseconds(lambda: batch.read_manifest(manifest), 5) / count
    yield f"a line of a manifest | {manifest.stat().st_size // count} | | {taken:.3f}"
    taken = milliseconds(lambda: batch.unfinished(jobs, out, recipe=RECIPE), 5) / count
    yield f"an edit that is found done | | | {taken:.3f}"


def rounding(images: int, at_once: int = 10) -> float:
    """The relative error of a mean of so many numbers in [0, 2], as `features.mean_features` takes it, in float32."""
    rng, width = np.random.default_rng(0), 1000
    mean, exact = np.zeros(width, np.float32), np.zeros(width)
    for count in range(0, images, at_once):
        numbers = rng.uniform(0, 2, (at_once, width)).astype(np.float32)
        weights = np.full(at_once, 1 / (count + at_once), np.float32)
        mean = np.float32(count / (count + at_once)) * mean + weights @ numbers
        exact += numbers.sum(0, np.float64)
    return float(np.abs(mean / (exact / images) - 1).max())


def roofline_rows() -> Iterable[str]:
    """FLOPs a byte of every layer, value and gradient, and the precisions at which a device waits for its memory."""
    for layer in layers("vgg19", RECIPE.size):
        one, many = (2 * n * layer.flops() / (layer.bytes(n) + layer.gradient_bytes(n)) for n in (1, 64))
        waits = (", ".join(p for p, flops in m.flops.items() if many < flops / m.bandwidth) for m in (H100, V5E))
        yield f"{layer.name} | {2 * layer.flops() / 1e9:.2f} | {one:.0f} | {many:.0f} | {' | '.join(waits)}"
    least = (", ".join(f"{p} {flops / m.bandwidth:.0f}" for p, flops in m.flops.items()) for m in (H100, V5E))
    yield f"the device's peaks: FLOPs a byte | | | | {' | '.join(least)}"


def batch_seconds(architecture: str, n: int, machine: Machine, precision: str, *, gradient: bool) -> float:
    """Of n images on one device: each layer takes what is longer, its FLOPs or its bytes, at FRACTION of the peak."""
    total = 0.0
    for layer in layers(architecture, RECIPE.size):
        for moved in (layer.bytes(n), layer.gradient_bytes(n))[: 1 + gradient]:
            total += max(n * layer.flops() / machine.flops[precision], moved / machine.bandwidth)
    if gradient:
        total += n * 3 * 2 * RECIPE.memory * 4 * 3 * RECIPE.size**2 / machine.bandwidth
    return total / FRACTION


def work_rows() -> Iterable[str]:
    """FLOPs, and bytes that a device reads and writes at least, in batches of 64."""
    pairs = 3 * 2 * RECIPE.memory * 4 * 3 * RECIPE.size**2
    for name in NETWORKS:
        flops, _ = evaluation(name, RECIPE.size)
        forward = sum(layer.bytes(64) for layer in layers(name, RECIPE.size)) / 64
        backward = sum(layer.gradient_bytes(64) for layer in layers(name, RECIPE.size)) / 64
        evaluations = EDITS * RECIPE.iterations
        yield (f"{name} | {evaluations * flops / 1e18:.2f} | {evaluations * (forward + backward + pairs) / 1e15:.1f} | "
               f"{MEANS * flops / 2 / 1e15:.2f} | {MEANS * forward / 1e12:.1f}")  # fmt: skip


def cost_rows() -> Iterable[str]:
    """A million edits and the mean features of 200,000 images, in batches of 64 a device."""
    for name in NETWORKS:
        for machine in MACHINES:
            for precision in machine.flops:
                step = batch_seconds(name, 64, machine, precision, gradient=True) / 64
                forward = batch_seconds(name, 64, machine, precision, gradient=False) / 64
                hours = EDITS * RECIPE.iterations * step / 3600
                yield (f"{name}, {machine.name}, {precision} | {step * RECIPE.iterations * 1e3:.1f} | {hours:.1f} | "
                       f"{hours / machine.devices:.2f} | {machine.devices / step / RECIPE.iterations:,.1f} | "
                       f"{MEANS * forward / 60:.2f} | {MEANS * forward / machine.devices:.1f}")  # fmt: skip


def goal_rows() -> Iterable[str]:
    """The fraction of an H100's peak that the goals for an edit of 100 iterations need."""
    for name in NETWORKS:
        flops = evaluation(name, RECIPE.size)[0] * RECIPE.iterations
        for goal, within in {"alone, 3 s": 3, "64 at once, 0.1 s each": 0.1}.items():
            shares = (f"{flops / within / peak:.1%}" for peak in H100.flops.values())
            yield f"{name}, {goal} | {flops / 1e12:.2f} | {flops / within / 1e12:.1f} | {' | '.join(shares)}"


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulate", type=int, help=argparse.SUPPRESS)
    devices = parser.parse_args().simulate
    if devices:
        print(json.dumps(simulate(devices), default=float))
        return
    print(f"jax {jax.__version__}, {jax.devices()[0].device_kind}, {os.cpu_count()} cores")
    table("One value and gradient, 200 × 200",
          "network | GFLOP, formula | without the border | compiler | over that | "
          "MB moved at least, formula | compiler | over it", flop_rows())  # fmt: skip
    table("Memory of a step, MB",
          "network, size | problems | temporary | arguments | outputs | `problem_bytes` | temporary and arguments | "
          "`problem_bytes` over that", memory_rows())  # fmt: skip
    table("The solver beside VGG-19's value and gradient, one image", "what | bytes | of the FLOPs | of the bytes",
          solver_rows())  # fmt: skip
    table("Simulated devices, images of 16 × 16; compiled for two problems a device",
          "devices | MFLOP a device | temporary MB a device | collectives in step, loop, place | done | "
          "iterations | same end as alone | largest difference | occupancy", device_rows())  # fmt: skip
    table("A million lines over processes", "processes | lines each | photographs looked for, by all", share_rows())
    table("FLOPs a byte, VGG-19, value and gradient",
          "layer | GFLOP an image | 1 image | 64 images | H100 waits at | v5e waits at", roofline_rows())  # fmt: skip
    table("Goals on one H100", "what | TFLOP an edit | TFLOP/s | of float32's peak | of TF32's | of bfloat16's",
          goal_rows())  # fmt: skip
    table(f"The work of {EDITS:,} edits of {RECIPE.iterations} iterations, and of the means of {MEANS:,} images",
          "network | edits: EFLOP | PB moved | means: PFLOP | TB moved", work_rows())  # fmt: skip
    table(f"At {FRACTION:.0%} of peak, assumed: {EDITS:,} edits of {RECIPE.iterations} iterations, means of {MEANS:,}",
          "network, machine, precision | ms an edit, one device | device-hours | hours | edits a second | "
          "means: device-minutes | seconds", cost_rows())  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        table("On the host, one process", "what | bytes | written, ms | read, ms", host_rows(Path(folder)))
    print(f"\nA mean of {MEANS:,} in float32, 10 at a time: relative error {rounding(MEANS):.0e} at most.")


if __name__ == "__main__":
    main()
