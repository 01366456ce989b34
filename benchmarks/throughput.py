"""How fast reconstruction is on this machine, beside PyTorch where that is installed: ratios measured in one run.

    python experiments/throughput.py [--quick] [--json] [--plot FILE]

Prints a table; `--json` prints one object instead, with null for what needs PyTorch where there is none. It needs jax,
flax, optax and numpy alone, PyTorch for the comparison (extra `bench`; `torch_lbfgs.py` says what it computes), and
matplotlib for the plot. Everything runs on JAX's default device, and in PyTorch on CUDA where it has that.

What is compared is run in turns, because the machine may be busy in one minute and not in the next: the time to a loss
is an iteration's median, taken in turns with PyTorch's, times the iterations that it takes. What is compiled is
compiled before. Weights of that run are VGG-16's, with the starter vector for eyeglasses on a drawn face, where the
whole package is installed, and VGG-19's shape with random weights else; the table says which. All other weights are
random, which do for speed.
"""

import argparse
import contextlib
import importlib
import importlib.util
import itertools
import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
import types
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SIZE = 200
ITERATIONS = 600
"""Ours at most, until the loss that PyTorch has after its."""

TORCH_ITERATIONS = 300


def stand_in_for_what_is_missing() -> None:
    """Lets the engine's modules be imported without jaxtyping, and without the rest of the package."""
    try:
        importlib.import_module("jaxtyping")
    except ImportError:
        module = types.ModuleType("jaxtyping")
        for name in ("Array", "Bool", "Float", "Int"):
            setattr(module, name, type(name, (), {"__class_getitem__": classmethod(lambda cls, _: cls)}))
        sys.modules["jaxtyping"] = module
    try:
        importlib.import_module("dfi_jax")
    except ImportError:
        for name in [name for name in sys.modules if name.startswith("dfi_jax")]:
            del sys.modules[name]
        package = types.ModuleType("dfi_jax")
        package.__path__ = [str(ROOT / "dfi_jax")]
        sys.modules["dfi_jax"] = package


stand_in_for_what_is_missing()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from dfi_jax.engine.objective import objective  # noqa: E402
from dfi_jax.engine.problem import make_problem  # noqa: E402
from dfi_jax.recipe import Recipe  # noqa: E402
from dfi_jax.engine.reconstruct import Progress, reconstruct  # noqa: E402
from dfi_jax.network.vgg import VGG, WIDTHS, Preprocess, block_of, feature_shapes, features, prepare, trunk_layers  # noqa: E402

HAS_TORCH = importlib.util.find_spec("torch") is not None
if HAS_TORCH:
    import torch_lbfgs

RECIPE = Recipe(bounds="none", iterations=ITERATIONS)
LAYERS = RECIPE.layers
PREPROCESS = Preprocess((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def say(text: str) -> None:
    """Says how far it is."""
    print(text, file=sys.stderr, flush=True)


@cache
def random_vgg(architecture: str) -> VGG:
    """He-normal weights, made ready."""
    rng = np.random.default_rng(0)
    params, width = {}, 3
    for name in trunk_layers(architecture, LAYERS):
        out = WIDTHS[block_of(name)]
        kernel = rng.normal(0, math.sqrt(2 / (9 * width)), (3, 3, width, out)).astype(np.float32)
        params[name] = {"kernel": jnp.asarray(kernel), "bias": jnp.zeros(out)}
        width = out
    return prepare(VGG(params, architecture, PREPROCESS, f"random {architecture}", ""), layers=LAYERS)


def pictures(n: int, size: int) -> jax.Array:
    """Smooth pictures with edges, in [0, 1]."""
    y, x = (np.mgrid[:size, :size] / size)[..., None]
    rng = np.random.default_rng(1)
    images = []
    for _ in range(n):
        a, b, c = rng.uniform(-9, 9, (3, 3))
        waves = 0.5 + 0.25 * np.sin(a * x + b * y + c)
        disc = np.hypot(x - rng.uniform(0.3, 0.7), y - rng.uniform(0.3, 0.7)) < rng.uniform(0.1, 0.3)
        images.append(np.where(disc, 1 - waves, waves))
    return jnp.asarray(np.stack(images), jnp.float32)


def starting_point() -> tuple[VGG, dict[str, jax.Array], jax.Array]:
    """Network, vector and image of the run to a loss: real weights and vector where they are installed."""
    image, *others = jnp.split(pictures(3, SIZE), 3)
    try:
        from dfi_jax import attribute
        from dfi_jax.data.synthetic import MARGIN, load
        from dfi_jax.network.weights import load_vgg

        face = jnp.asarray(load(1, size=SIZE).read(0)[MARGIN:-MARGIN, MARGIN:-MARGIN])[None]
        return prepare(load_vgg("vgg16"), layers=LAYERS), attribute.starter("eyeglasses").features, face
    except ImportError:
        vgg = random_vgg("vgg19")
        a, b = (features(vgg.replace(filters=None), other, layers=LAYERS) for other in others)
        return vgg, {name: (a[name] - b[name])[0] for name in LAYERS}, image


def flops(architecture: str, size: int) -> int:
    """Of one image's features and their gradient by direct convolution: two a multiplication and addition."""
    total, width = 0, 3
    for h, w, out in feature_shapes(architecture, trunk_layers(architecture, LAYERS), (size, size)).values():
        total += 2 * (2 * 9 * width * out * h * w)
        width = out
    return total


def torch_loss(vgg: VGG, target: dict[str, jax.Array], norms: dict[str, jax.Array]) -> Any:
    """The objective in PyTorch."""
    return torch_lbfgs.make_objective({n: vgg.params[n] for n in trunk_layers(vgg.architecture, LAYERS)}, target, norms)


def in_turns(functions: list[Callable[[], Any]], times: int) -> list[list[float]]:
    """Seconds of each, one after the other, so many times, after one run of each that isn't counted."""
    for function in functions:
        function()
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(times):
        for function, taken in zip(functions, seconds, strict=True):
            started = time.perf_counter()
            function()
            taken.append(time.perf_counter() - started)
    return seconds


def spread(values: list[float]) -> str:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.3g} ({low:.3g}–{high:.3g})"


def gigaflops_of_a_product(times: int) -> float:
    """Of a float32 matrix product."""
    a = jnp.ones((2048, 2048))
    product = jax.jit(partial(jnp.matmul, precision="highest"))
    (seconds,) = in_turns([lambda: product(a, a).block_until_ready()], times)
    return 2 * 2048**3 / statistics.median(seconds) / 1e9


def step(architecture: str, n: int, times: int) -> tuple[str, float, float | None]:
    """A row of the table, our seconds, and PyTorch's over ours, for a value and gradient of n images."""
    vgg = random_vgg(architecture)
    images = pictures(n + 1, SIZE)
    phi = features(vgg.replace(filters=None), images[1:], layers=LAYERS)
    norms = {name: jnp.sum(layer**2, axis=(1, 2, 3)) for name, layer in phi.items()}
    start = images[:-1]

    @jax.jit
    def value_and_gradient(z: jax.Array, vgg: VGG) -> Any:
        return jax.value_and_grad(lambda z: objective(vgg, z, phi, norms, recipe=RECIPE).sum())(z)

    def ours() -> Any:
        return jax.block_until_ready(value_and_gradient(start, vgg))

    row = f"| {architecture}, {n} at once | "
    if not HAS_TORCH:
        (seconds,) = in_turns([ours], times)
        return row + f"{spread(seconds)} | | | |", statistics.median(seconds), None
    mean, std = PREPROCESS.mean, PREPROCESS.std
    theirs = torch_lbfgs.value_and_gradient(torch_loss(vgg, phi, norms), start, mean=mean, std=std)
    mine, other = in_turns([ours, theirs], times)
    (a, b), (c, d) = ours(), (found.cpu().numpy() for found in theirs())
    error = f"{abs(float(a) / float(c) - 1):.0e}, {np.linalg.norm(b - d) / np.linalg.norm(d):.0e}"
    ratios = [b / a for a, b in zip(mine, other, strict=True)]
    row += f"{spread(mine)} | {spread(other)} | {spread(ratios)} | {error} |"
    return row, statistics.median(mine), statistics.median(ratios)


class Enough(Exception):  # noqa: N818 (no error)
    """Ends a reconstruction."""


def on_cpu() -> bool:
    """Whether JAX's default device is a CPU."""
    return jax.default_backend() == "cpu"


def every() -> int:
    """Iterations between two looks: on an accelerator each look interrupts a compiled loop."""
    return 1 if on_cpu() else 5


def seconds_an_iteration(vgg: VGG, problem: Any, count: int) -> float:
    """Median of so many intervals between looks, after the first two looks, for all problems at once."""
    ticks: list[float] = []

    def tick(_: Progress) -> None:
        ticks.append(time.perf_counter())
        if len(ticks) == count + 2:
            raise Enough

    recipe = RECIPE.replace(size=problem.start.shape[1])
    with contextlib.suppress(Enough):
        reconstruct(vgg, problem, recipe=recipe, every=every(), on_progress=tick)
    return statistics.median(b - a for a, b in itertools.pairwise(ticks[1:])) / every()


def time_to_loss(quick: bool) -> dict[str, Any]:
    """Iterations and seconds to the loss that PyTorch has after 300 iterations, from the same start."""
    vgg, vector, start = starting_point()
    problem = make_problem(vgg.replace(filters=None), start, vector, jnp.array([0.4]), recipe=RECIPE)
    begun = time.perf_counter()
    seconds_an_iteration(vgg, problem, 1)
    compilation = time.perf_counter() - begun
    iterate = partial(torch_lbfgs.iterate, torch_loss(vgg, problem.target, problem.square_norms), start,
                      mean=vgg.preprocess.mean, std=vgg.preprocess.std, iterations=TORCH_ITERATIONS)  # fmt: skip
    in_pixels = math.inf if quick else min(loss for _, loss in iterate(scaled=False))
    rival, theirs = iterate(scaled=True), []
    ours: list[tuple[int, float, float]] = [(0, 0.0, math.inf)]  # iterations, seconds an iteration, loss
    since = time.perf_counter()

    def turn(progress: Progress) -> None:
        """Takes our time, and gives PyTorch 20 iterations for 10 of ours."""
        nonlocal since
        passed = progress.iteration - ours[-1][0]
        ours.append((progress.iteration, (time.perf_counter() - since) / passed, float(progress.objective[0])))
        if progress.iteration % 10 == 0:
            theirs.extend(itertools.islice(rival, 20))
        if len(theirs) == TORCH_ITERATIONS and ours[-1][2] <= min(in_pixels, *(loss for _, loss in theirs)):
            raise Enough
        since = time.perf_counter()

    with contextlib.suppress(Enough):
        reconstruct(vgg, problem, recipe=RECIPE, every=every(), on_progress=turn)
    del ours[0]
    losses = [loss for _, loss in theirs]
    reached = min(in_pixels, *losses)
    iterations = next((iteration for iteration, _, loss in ours if loss <= reached), None)
    a, b = statistics.median(seconds for _, seconds, _ in ours), statistics.median(seconds for seconds, _ in theirs)
    return {
        "network": vgg.name,
        "compilation": compilation,
        "loss": reached,
        "unknown": "the network's units" if quick or min(losses) <= in_pixels else "[0, 1]",
        "iterations": iterations,
        "seconds": a,
        "torch_seconds": b,
        "ratio": iterations and iterations * a / (TORCH_ITERATIONS * b),
        "start": abs(ours[0][2] / losses[0] - 1) if every() == 1 else None,
        "curves": {
            "dfi_jax": ([a * iteration for iteration, _, _ in ours], [loss for _, _, loss in ours]),
            "PyTorch": ([b * i for i in range(1, 1 + len(losses))], losses),
        },
    }


def problems_at(architecture: str, size: int, n: int) -> Any:
    """One picture at n strengths, along a vector that is noise: it does for time."""
    rng = np.random.default_rng(2)
    shapes = feature_shapes(architecture, LAYERS, (size, size))
    vector = {name: jnp.asarray(rng.standard_normal(shape, np.float32)) for name, shape in shapes.items()}
    images = jnp.repeat(pictures(1, size), n, axis=0)
    recipe = RECIPE.replace(size=size)
    unprepared = random_vgg(architecture).replace(filters=None)  # for one evaluation compilation is what takes time
    return make_problem(unprepared, images, vector, jnp.linspace(0.1, 0.5, n), recipe=recipe)


def several(counts: tuple[int, ...], rounds: int) -> dict[int, list[float]]:
    """Seconds an iteration and problem of queues of so many VGG-19 problems from beginning to end, in turns."""
    vgg, iterations = random_vgg("vgg19"), 6 if on_cpu() else 100
    run = partial(reconstruct, vgg, recipe=RECIPE.replace(iterations=iterations))
    seconds = in_turns([partial(run, problems_at("vgg19", SIZE, n)) for n in counts], rounds)
    return {n: [taken / (n * iterations) for taken in each] for n, each in zip(counts, seconds, strict=True)}


def peak(architecture: str, size: int) -> tuple[int, float]:
    """Bytes at the peak of three looks at one problem, and seconds an iteration, in a process of their own."""
    command = [sys.executable, __file__, "--peak-of", architecture, str(size)]
    whole = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=whole)
    size_in_bytes, seconds = done.stdout.split()
    return int(size_in_bytes), float(seconds)


def report_peak(architecture: str, size: int) -> None:
    """What `peak` asks a process: of the device's memory, or on a CPU of the whole process."""
    seconds = seconds_an_iteration(random_vgg(architecture), problems_at(architecture, size, 1), 1)
    device = jax.devices()[0].memory_stats()
    unit = 1 if sys.platform == "darwin" else 1024
    print(device["peak_bytes_in_use"] if device else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, seconds)


def machine() -> str:
    """What the numbers are of."""
    cpu = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    versions = f"jax {jax.__version__}"
    if HAS_TORCH:
        versions += f", torch {torch_lbfgs.torch.__version__} on {torch_lbfgs.DEVICE}, float32 without TF32"
    return (
        f"{jax.devices()[0].device_kind}; {cpu}, {os.cpu_count()} cores; Python {platform.python_version()}, {versions}"
    )


def plot(path: Path, sizes: dict[int, float], run: dict[str, Any] | None) -> None:
    """Seconds against size, and losses against seconds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.loglog(list(sizes), list(sizes.values()), "o-")
    left.set(xlabel="height and width, pixels", ylabel="seconds an iteration", title="random vgg19")
    if run is not None:
        for name, (seconds, losses) in run["curves"].items():
            right.plot(seconds, losses, label=name)
        right.axhline(run["loss"], color="gray", linewidth=0.5)
        right.set(xlabel="seconds", ylabel="objective", title=run["network"])
        right.set_ylim(0.98 * run["loss"], 1.2 * run["loss"])
        right.legend()
    figure.savefig(path, dpi=120)


def table(*rows: str) -> list[str]:
    """Its lines; the first row is its head."""
    return ["", rows[0], "| --- " * (rows[0].count("|") - 1) + "|", *rows[1:]]


def main() -> None:
    """Measures one thing after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, sizes and networks")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--plot", type=Path, help="an image file for the curves")
    parser.add_argument("--peak-of", nargs=2, metavar=("ARCHITECTURE", "SIZE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak_of:
        report_peak(arguments.peak_of[0], int(arguments.peak_of[1]))
        return
    quick = arguments.quick
    found: dict[str, Any] = {}

    say("memory")  # first, as this process doesn't hold a device yet
    peaks = {name: peak(name, 1000) for name in (("vgg19",) if quick else ("vgg19", "vgg16"))}
    found["peak_bytes_1000"], seconds_1000 = peaks["vgg19"]
    lines = [f"Machine: {machine()}"]

    say("value and gradient")
    cases = [("vgg19", 1)] if quick else [("vgg19", 1), ("vgg19", 5), ("vgg16", 1), ("vgg16", 5)]
    steps = {case: step(*case, 12 if case[1] == 1 else 6) for case in cases}
    _, seconds, found["step_speedup"] = steps["vgg19", 1]
    found["gflops"], found["gemm_gflops"] = flops("vgg19", SIZE) / seconds / 1e9, gigaflops_of_a_product(12)
    head = "| value and gradient, 200 × 200 | ours, s | PyTorch, s | PyTorch over ours | value, gradient differ by |"
    lines += table(head, *(row for row, _, _ in steps.values()))
    lines += ["", f"VGG-19, one image: {found['gflops']:.0f} GFLOP/s, counted as direct convolution does; a matrix "
                  f"product of 2048 × 2048 has {found['gemm_gflops']:.0f}."]  # fmt: skip

    say("to PyTorch's loss")
    run = time_to_loss(quick) if HAS_TORCH else None
    found["loss_time_ratio"] = run and run["ratio"]
    if run is not None:
        iterations = run["iterations"] or f"more than {ITERATIONS}"
        ratio = f"{run['ratio']:.2f}" if run["ratio"] else "none"
        lines += table("| to a loss | iterations | s an iteration |",
                       f"| PyTorch | {TORCH_ITERATIONS} | {run['torch_seconds']:.3f} |",
                       f"| ours | {iterations} | {run['seconds']:.3f} |")  # fmt: skip
        lines += ["", f"The network is {run['network']}, the loss {run['loss']:.5f}, PyTorch's unknown an image in "
                      f"{run['unknown']}. Our time over PyTorch's: {ratio}; compilation, {run['compilation']:.0f} s, "
                      f"is not counted."]  # fmt: skip
        if run["start"] is not None:
            lines[-1] += f" At the start the two losses differ by {run['start']:.0e} of them."

    say("several in a queue")
    seconds_of = several((1, 5) if quick else (1, 5, 25) if on_cpu() else (1, 5, 25, 64), 3)
    ratios = [5 * five / one for one, five in zip(seconds_of[1], seconds_of[5], strict=True)]
    found["sweep_ratio"] = statistics.median(ratios)
    lines += table("| problems in a queue, VGG-19 | s an iteration and problem |",
                   *(f"| {n} | {spread(seconds)} |" for n, seconds in seconds_of.items()))  # fmt: skip
    lines += ["", f"Five take {spread(ratios)} times one."]

    say("sizes")
    sizes = {SIZE: statistics.median(seconds_of[1]), 1000: seconds_1000}
    for size in () if quick else (100, 400, 600, 800):
        sizes[size] = seconds_an_iteration(random_vgg("vgg19"), problems_at("vgg19", size, 1), 4)
    sizes = dict(sorted(sizes.items()))
    found["pixels_exponent"] = float(np.polyfit(2 * np.log(list(sizes)), np.log(list(sizes.values())), 1)[0])
    lines += table("| height and width, VGG-19 | s an iteration |",
                   *(f"| {size} | {seconds:.3f} |" for size, seconds in sizes.items()))  # fmt: skip
    most = ", ".join(f"{name} {size_in_bytes / 1e9:.2f} GB" for name, (size_in_bytes, _) in peaks.items())
    exponent = f"Seconds grow as pixels to the power {found['pixels_exponent']:.2f}."
    lines += ["", f"{exponent} Peak memory at 1000 × 1000: {most}."]
    if arguments.plot:
        plot(arguments.plot, sizes, run)
    print(json.dumps(found) if arguments.json else "\n".join(lines))


if __name__ == "__main__":
    main()
