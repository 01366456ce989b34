"""What a million edits cost: a model on paper, and what the compiler and many simulated devices say of it.

    python experiments/scaling.py

Prints tables in Markdown, in under five minutes on 2 CPU cores; it needs the extras `demo`, for a photograph, and
`faces`. No accelerator is needed or used: FLOPs, bytes and memory are counted by the CPU's compiler in the engine's own
step (direct convolution, float32) beside formulas from the layers' shapes; devices are the host's, as many as XLA is
told that it has; seconds on an accelerator are arithmetic, with FRACTION of its published peaks, which is assumed and
not measured; and what the host does is measured.
"""

import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import timeit
from collections.abc import Callable, Iterable
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from PIL import Image
from skimage.data import astronaut

from dfi_jax import attribute, batch, descent, edit, faces, image, parallel, postprocess
from dfi_jax.data.dataset import BATCH
from dfi_jax.engine.problem import Problem, make_problem, problem_bytes
from dfi_jax.recipe import Recipe
from dfi_jax.engine.reconstruct import stream
from dfi_jax.report.sheet import write_loss_curves
from dfi_jax.network.vgg import VGG, Preprocess, feature_shapes, features, trunk_layers
from dfi_jax.network.weights import load_vgg

FRACTION = 0.4
"""Of a machine's peak FLOP/s, and of its bytes a second: an assumption. Seconds are in inverse proportion to it."""

EDITS, MEANS, AT_ONCE = 1_000_000, 200_000, 64
RECIPE = Recipe()
NETWORKS = ("vgg19", "vgg16")
CLOCK = jax.ShapeDtypeStruct((), jnp.int32)
COLLECTIVE = re.compile(r"\b(?:all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)(?:-start)?\(")


class Machine(NamedTuple):
    """Devices, and of each the published peaks, FLOP/s at a precision and bytes a second, and bytes of memory."""

    name: str
    devices: int
    flops: dict[str, float]
    bandwidth: float
    memory: float


H100 = Machine("H100 SXM", 1, {"highest": 67e12, "tf32": 495e12, "bfloat16": 989e12}, 3.35e12, 80e9)
"""Dense, from NVIDIA's data sheet: float32, TF32 and bfloat16."""
V5E = Machine("TPU v5e-256", 256, {"highest": 197e12 / 6, "tf32": 197e12 / 3, "bfloat16": 197e12}, 819e9, 16e9)
"""From Google's Cloud TPU documentation, in bfloat16: a product at `highest` is six passes of it, at `high` three."""
MACHINES = (H100, H100._replace(name="8 × H100 SXM", devices=8), V5E)


class Piece(NamedTuple):
    """A part of an evaluation: FLOPs, those without products with zeros beyond the border, and bytes moved."""

    name: str
    flops: float
    inside: float
    bytes: float


def pieces(architecture: str, n: int, *, gradient: bool = True, apart: bool = False) -> list[Piece]:
    """One iteration of n problems, or the features of n images: direct convolution, everything in float32.

    At least, a convolution reads input and kernel and writes its output; the gradient is as much, and reads the output
    again for its ReLU. The preconditioner is four Fourier transforms and two products between them, there and in the
    gradient; L-BFGS reads its pairs three times: for a new pair, before and after the small matrices.

    `apart` adds the passes that the CPU's compiler makes: bias and ReLU read and write the output, and so does the
    ReLU's gradient; a pooling moves its input 5½ times, for the maximum, its place and the gradient; the loss moves its
    features 8 times; the pairs are copied twice.
    """
    names = trunk_layers(architecture, RECIPE.layers)
    shapes = feature_shapes(architecture, names, (RECIPE.size, RECIPE.size))
    found, ci = [], 3
    for name, following in zip(names, (*names[1:], ""), strict=True):
        h, w, co = shapes[name]
        flops, inside = 2 * 9 * n * ci * co * h * w, 2 * n * ci * co * (3 * h - 2) * (3 * w - 2)
        into, out, kernel = 4 * n * h * w * ci, 4 * n * h * w * co, 4 * 9 * ci * co
        found.append(Piece(name, flops, inside, into + out + kernel))
        if gradient:
            found.append(Piece(name, flops, inside, into + 2 * out + kernel))
        if gradient and apart:
            passes = 4 + 5.5 * following.endswith("_1") + 8 * (name in RECIPE.layers)
            found.append(Piece(name, 0, 0, passes * out))
        ci = co
    if gradient:
        pixels, pairs = 3 * n * RECIPE.size**2, 2 * RECIPE.memory
        fourier = 4 * 2.5 * pixels * math.log2(RECIPE.size**2)  # 2.5 n log₂ n each
        found.append(Piece("preconditioner", fourier, fourier, 6 * 2 * 4 * pixels))
        passes, products = 7 if apart else 3, 3 * 2 * pairs * pixels
        found.append(Piece("L-BFGS", products, products, passes * 4 * pairs * pixels))
    return found


def total(parts: Iterable[Piece]) -> Any:
    """FLOPs, those inside the border, and bytes."""
    return np.sum([part[1:] for part in parts], axis=0)


def seconds(parts: Iterable[Piece], machine: Machine, precision: str) -> float:
    """On one device at its peaks: each part takes what is longer, its FLOPs or its bytes."""
    return sum(max(part.flops / machine.flops[precision], part.bytes / machine.bandwidth) for part in parts)


def abstract(architecture: str, n: int, recipe: Recipe, sharding: Any = None) -> tuple[VGG, Problem, Any]:
    """The shapes of a network, of n problems and of their run; the compiler needs no more."""
    shape = partial(jax.ShapeDtypeStruct, dtype=jnp.float32)
    names = trunk_layers(architecture, recipe.layers)
    shapes = feature_shapes(architecture, names, (recipe.size, recipe.size))
    widths = [3, *(shapes[name][2] for name in names)]
    params = {name: {"kernel": shape((3, 3, ci, co)), "bias": shape((co,))}
              for name, ci, co in zip(names, widths, widths[1:], strict=False)}  # fmt: skip
    vgg = VGG(params, architecture, Preprocess((0.5,) * 3, (0.25,) * 3), "shapes alone", "")
    target = {name: shape((n, *shapes[name])) for name in recipe.layers}
    problem = Problem(shape((n, recipe.size, recipe.size, 3)), target, {name: shape((n,)) for name in target})
    run = jax.eval_shape(partial(descent.begin, recipe=recipe), problem)
    spread = partial(jax.tree.map, lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding))
    return vgg, spread(problem), spread(run)


def table(title: str, head: str, rows: Iterable[str]) -> None:
    """Prints one."""
    print("\n".join(["", f"### {title}", "", f"| {head} |", "| --- " * (head.count("|") + 1) + "|"]))
    for row in rows:
        print(f"| {row} |", flush=True)


def one_more(architecture: str, recipe: Recipe) -> Any:
    """FLOPs, bytes moved and bytes of memory of one more problem in the engine's step: half of what 4 have over 2."""
    counts = []
    for n in (2, 4):
        shapes = abstract(architecture, n, recipe)
        step = descent._step.lower(*shapes, CLOCK, recipe=recipe, mesh=parallel.mesh(1)).compile()
        cost, memory = step.cost_analysis(), step.memory_analysis()
        held = memory.temp_size_in_bytes + memory.argument_size_in_bytes  # the new state lies where the old one was
        counts.append([cost["flops"], cost["bytes accessed"], held])
    return (np.array(counts[1]) - counts[0]) / 2


def count_rows() -> Iterable[str]:
    """FLOPs and bytes of one more problem, formula and compiler."""
    for name in NETWORKS:
        found, moved, _ = one_more(name, RECIPE)
        (flops, inside, least), (_, _, apart) = (
            total(pieces(name, 2, apart=way)) - total(pieces(name, 1, apart=way)) for way in (False, True)
        )
        yield (f"{name} | {flops / 1e9:.2f} | {inside / 1e9:.2f} | {found / 1e9:.2f} | {found / inside:.3f} | "
               f"{least / 1e6:.0f} | {apart / 1e6:.0f} | {moved / 1e6:.0f} | {moved / apart:.2f}")  # fmt: skip


def memory_rows() -> Iterable[str]:
    """`problem_bytes` and the compiler's account."""
    for name in NETWORKS:
        for recipe in (RECIPE.replace(size=104), RECIPE):
            guess, held = problem_bytes(name, recipe), one_more(name, recipe)[2]
            fit = (f"{machine.memory / 2 / guess:.0f}" for machine in (H100, V5E))
            yield (f"{name}, {recipe.size} × {recipe.size} | {guess / 1e6:.0f} | {held / 1e6:.0f} | "
                   f"{guess / held:.2f} | {' | '.join(fit)}")  # fmt: skip


def piece_rows() -> Iterable[str]:
    """FLOPs a byte of each part, value and gradient, and the precisions at which a device waits for its memory."""
    parts: dict[str, Any] = {}
    for part in pieces("vgg19", AT_ONCE):
        parts[part.name] = parts.get(part.name, 0) + np.array([part.flops, part.bytes])
    for (flops, moved), alike in groupby(parts, lambda name: tuple(parts[name])):
        first, *others = alike
        waits = (", ".join(p for p, peak in m.flops.items() if flops / moved < peak / m.bandwidth) for m in (H100, V5E))
        yield (f"{first}{f' to {others[-1]}' if others else ''} | {flops / AT_ONCE / 1e9:.2f} | "
               f"{moved / AT_ONCE / 1e6:.1f} | {flops / moved:.0f} | {' | '.join(waits)}")  # fmt: skip
    least = (", ".join(f"{p} {peak / m.bandwidth:.0f}" for p, peak in m.flops.items()) for m in (H100, V5E))
    yield f"FLOPs a byte of the peaks | | | | {' | '.join(least)}"


def simulate(devices: int) -> dict[str, Any]:
    """Compiles the step for so many devices of this process, and runs three problems a device through a queue."""
    recipe = Recipe(layers=("conv1_2", "conv2_1"), size=16, iterations=60, tolerance=0.001, memory=5)
    mesh = parallel.mesh(devices)
    spread, alone = NamedSharding(mesh, PartitionSpec(parallel.BATCH)), NamedSharding(mesh, PartitionSpec())
    vgg, problem, run = abstract("vgg16", 2 * devices, recipe, spread)
    _, single, _ = abstract("vgg16", 1, recipe, alone)
    step = descent._step.lower(vgg, problem, run, CLOCK, recipe=recipe, mesh=mesh).compile()
    loop = descent._steps.lower(vgg, problem, run, CLOCK, CLOCK, recipe=recipe, mesh=mesh).compile()
    place = descent.place.lower(problem, run, single, CLOCK, recipe=recipe).compile()
    found = {
        "flops": step.cost_analysis()["flops"],
        "temp": step.memory_analysis().temp_size_in_bytes,
        "collectives": ", ".join(str(len(COLLECTIVE.findall(each.as_text()))) for each in (step, loop, place)),
    }

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
    pairs = [(together[i], one_by_one[i]) for i in range(len(images))]
    return found | {
        "done": f"{len(together)} of {len(images)}",
        "iterations": f"{iterations.min()}–{iterations.max()}",
        "same_end": sum(a.iterations[0] == b.iterations[0] for a, b in pairs),
        "error": max(np.abs(a.images - b.images).max() for a, b in pairs),
        "occupancy": iterations.sum() / (devices * steps),
    }


def device_rows() -> Iterable[str]:
    """`simulate` in processes of their own."""
    for n in (1, 8, 64):
        flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={n}", "JAX_PLATFORMS": "cpu"}
        command = [sys.executable, __file__, "--simulate", str(n)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | flags)
        f = json.loads(done.stdout)
        yield (f"{n} | {f['flops'] / 1e6:.1f} | {f['temp'] / 1e6:.2f} | {f['collectives']} | {f['done']} | "
               f"{f['iterations']} | {f['same_end']:.0f} | {f['error']:.0e} | {f['occupancy']:.0%}")  # fmt: skip


def milliseconds(work: Callable[[], object], times: int) -> float:
    """The median of some runs, after one that doesn't count."""
    return 1e3 * float(np.median(timeit.repeat(work, number=1, repeat=times + 1)[1:]))


def measure_host(folder: Path) -> tuple[list[str], float]:
    """Rows of what one process does beside the devices, and the milliseconds of an edit; the edit is really made."""
    photograph, vgg, vector = astronaut().astype(np.float32) / 255, load_vgg("vgg16"), attribute.starter("eyeglasses")
    edited = edit.edit_face(vgg, photograph, vector, alphas=(0.4,), recipe=RECIPE, place=(125, 5, 325, 205))
    rows = []

    def row(what: str, *paths: Path, read: float = 0, written: float = 0) -> None:
        size, *taken = sum(path.stat().st_size for path in paths), read, written
        rows.append(" | ".join([what, f"{size:,}" if size else "", *(f"{ms:.3g}" if ms else "" for ms in taken)]))

    for name, picture in {"the face, 200 × 200": edited.faces[0], "the photograph": edited.photographs[0]}.items():
        for kind in ("PNG", "JPEG"):
            path = folder / f"one.{kind}"
            write = partial(Image.fromarray(image.to_bytes(picture)).save, path, format=kind, quality=90)
            written, read = milliseconds(write, 20), milliseconds(partial(image.read, path), 20)
            row(f"{name}, {kind}", path, read=read, written=written)
    found = milliseconds(partial(faces.detect, photograph), 3)
    row("the face found in the photograph", read=found)
    add = partial(postprocess.transfer_difference, edited.faces[0], edited.original, photograph, edited.place)
    added = milliseconds(add, 5)
    row("the difference added to the photograph", written=added)
    save = partial(edit.save, folder / "edit", edited, vgg=vgg, subject={}, seconds={}, force=True)
    saved = milliseconds(save, 5)
    files = sorted((folder / "edit").iterdir())
    row("the folder of an edit, one strength", *files, written=saved)
    for path in files:
        row(f"— {path.name}", path)
    plot = partial(write_loss_curves, folder / "loss.png", edited.history, ["α = 0.4"])
    row("— its plot alone", written=milliseconds(plot, 5))
    row("an edit: JPEG, face, difference, folder", read=read + found, written=added + saved)
    for dtype in ("float32", "int8"):
        attribute.save(folder / dtype, vector, dtype=dtype)
        row(f"an attribute vector, {dtype}", folder / dtype)
    manifest, out, count = folder / "jobs.jsonl", folder / "out", 2000
    lines = [{"photo": "one.PNG", "attribute": "eyeglasses", "name": f"{i}"} for i in range(count)]
    manifest.write_text("\n".join(map(json.dumps, lines)))
    jobs = batch.read_manifest(manifest)
    result = json.loads((folder / "edit" / "result.json").read_text())
    for job in jobs:
        (out / job.name).mkdir(parents=True)
        (out / job.name / "result.json").write_text(json.dumps(result | job.about(), indent=2))
    row(f"{count:,} lines of a manifest", manifest, read=milliseconds(lambda: batch.read_manifest(manifest), 5))
    scan = partial(batch.unfinished, jobs, out, recipe=RECIPE)
    row(f"{count:,} edits that are found done", read=milliseconds(scan, 5))
    return rows, read + found + added + saved


def work_rows() -> Iterable[str]:
    """FLOPs, and bytes that a device reads and writes at least."""
    for name in NETWORKS:
        steps, batches = EDITS * RECIPE.iterations / AT_ONCE, MEANS / BATCH
        flops, _, moved = steps * total(pieces(name, AT_ONCE))
        forwards, _, read = batches * total(pieces(name, BATCH, gradient=False))
        yield f"{name} | {flops / 1e18:.2f} | {moved / 1e15:.1f} | {forwards / 1e15:.2f} | {read / 1e12:.1f}"


def cost_rows(host: float) -> Iterable[str]:
    """A million edits and the mean features of 200,000 images; the host takes so many milliseconds for an edit."""
    for name, machines in {"vgg19": MACHINES, "vgg16": MACHINES[:1]}.items():
        for machine in machines:
            for precision in machine.flops:
                least, apart = (seconds(pieces(name, AT_ONCE, apart=way), machine, precision) for way in (False, True))
                hours = EDITS * RECIPE.iterations * least / AT_ONCE / FRACTION / 3600
                rate = EDITS * machine.devices / hours / 3600
                means = MEANS / BATCH * seconds(pieces(name, BATCH, gradient=False), machine, precision) / FRACTION
                yield (f"{name}, {machine.name}, {precision} | {least / AT_ONCE * 1e3:.3f} | {least / apart:.0%} | "
                       f"{hours:.1f} | {hours / machine.devices:.2f} | {rate:,.1f} | {rate * host / 1e3:,.0f} | "
                       f"{means / 60:.2f} | {means / machine.devices:.1f}")  # fmt: skip


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulate", type=int, help=argparse.SUPPRESS)
    devices = parser.parse_args().simulate
    if devices:
        print(json.dumps(simulate(devices), default=float))
        return
    print(f"jax {jax.__version__}, {jax.devices()[0].device_kind}, {os.cpu_count()} cores")
    table("One more problem in a step, 200 × 200",
          "network | GFLOP, formula | without the border | compiler | over that | "
          "MB moved, least | passes apart | compiler | over that", count_rows())  # fmt: skip
    table("Memory of one more problem, MB",
          "network, size | `problem_bytes` | compiler | over that | in half of an H100 | in half of a v5e",
          memory_rows())  # fmt: skip
    table("Simulated devices, images of 16 × 16; compiled for two problems a device",
          "devices | MFLOP a device | temporary MB a device | collectives in step, loop, place | done | "
          "iterations | same end as alone | largest difference | occupancy", device_rows())  # fmt: skip
    table(f"An iteration with VGG-19, by parts, {AT_ONCE} problems",
          "part | GFLOP a problem | MB | FLOPs a byte | H100 waits at | v5e waits at", piece_rows())  # fmt: skip
    table(f"The work of {EDITS:,} edits of {RECIPE.iterations} iterations, and of the means of {MEANS:,} images",
          "network | edits: EFLOP | PB moved | means: PFLOP | TB moved", work_rows())  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        rows, host = measure_host(Path(folder))
    table("On the host, one process", "what | bytes | read, ms | written, ms", rows)
    table(f"At {FRACTION:.0%} of peak, assumed: {EDITS:,} edits of {RECIPE.iterations} iterations, means of {MEANS:,}",
          "network, machine, precision | ms an iteration and problem at peak | of peak with passes apart | "
          "device-hours | hours | edits a second | host cores for that | means: device-minutes | seconds",
          cost_rows(host))  # fmt: skip


if __name__ == "__main__":
    main()
