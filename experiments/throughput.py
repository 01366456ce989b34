"""How fast reconstruction is on this machine, beside PyTorch where that is installed: ratios measured in one run.

    python experiments/throughput.py [--quick] [--json] [--plot FILE]

Prints a table; `--json` prints one object instead. It needs jax, flax, optax and numpy alone,
PyTorch for the comparison (extra `bench`), and matplotlib for the plot. PyTorch runs what the authors' Torch backend
runs: `torch.optim.LBFGS`, history 100, step 1, no line search; its images are channels-last.

The time to a loss is that of an iteration, measured in turns with PyTorch's, times the iterations that it takes: the
machine may be busy in one minute and not in the next. Weights are VGG-16's and the starter vector's where the whole
package is installed, and He-normal random ones else; the table says which.
"""

import argparse
import contextlib
import importlib
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
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LAYERS = ("conv3_1", "conv4_1", "conv5_1")
SIZE = 200
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

from dfi_jax.objective import objective  # noqa: E402
from dfi_jax.recipe import Recipe  # noqa: E402
from dfi_jax.reconstruct import make_problem, reconstruct  # noqa: E402
from dfi_jax.vgg import VGG, WIDTHS, Preprocess, block_of, feature_shapes, features, prepare, trunk_layers  # noqa: E402

try:
    import torch
except ImportError:
    torch = None

RECIPE = Recipe(bounds="none")
PREPROCESS = Preprocess((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def say(text: str) -> None:
    """Says how far it is."""
    print(text, file=sys.stderr, flush=True)


def random_vgg(architecture: str) -> VGG:
    """He-normal weights."""
    rng = np.random.default_rng(0)
    params, width = {}, 3
    for name in trunk_layers(architecture, LAYERS):
        out = WIDTHS[block_of(name)]
        kernel = rng.normal(0, math.sqrt(2 / (9 * width)), (3, 3, width, out)).astype(np.float32)
        params[name] = {"kernel": jnp.asarray(kernel), "bias": jnp.zeros(out)}
        width = out
    return VGG(params, architecture, PREPROCESS, f"random {architecture}", "")


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
        from dfi_jax.weights import load_vgg

        face = jnp.asarray(load(1, size=SIZE).read(0)[MARGIN:-MARGIN, MARGIN:-MARGIN])[None]
        return load_vgg("vgg16"), attribute.starter("eyeglasses").features, face
    except ImportError:
        vgg = random_vgg("vgg19")
        a, b = (features(vgg, other, layers=LAYERS) for other in others)
        return vgg, {name: (a[name] - b[name])[0] for name in LAYERS}, image


def flops(architecture: str, size: int) -> int:
    """Of one image's features and their gradient by direct convolution: two a multiplication and addition."""
    total, width = 0, 3
    for h, w, out in feature_shapes(architecture, trunk_layers(architecture, LAYERS), (size, size)).values():
        total += 2 * (2 * 9 * width * out * h * w)
        width = out
    return total


def torch_objective(vgg: VGG, target: dict[str, jax.Array], norms: dict[str, jax.Array]) -> Callable[[Any], Any]:
    """The same objective of images (n, h, w, 3) in PyTorch."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tensor = partial(torch.tensor, device=device)
    last = torch.channels_last
    names = trunk_layers(vgg.architecture, LAYERS)
    kernels = {n: tensor(np.array(vgg.params[n]["kernel"])).permute(3, 2, 0, 1).contiguous(memory_format=last)
               for n in names}  # fmt: skip
    biases = {n: tensor(np.array(vgg.params[n]["bias"])) for n in names}
    wanted = {n: tensor(np.array(target[n])).permute(0, 3, 1, 2) for n in LAYERS}
    norms = {n: tensor(np.array(norms[n])) for n in LAYERS}
    mean, std = (tensor(values).reshape(3, 1, 1) for values in (vgg.preprocess.mean, vgg.preprocess.std))

    def value(z: Any) -> Any:
        x, total = (z.permute(0, 3, 1, 2) - mean) / std, 0.0
        for name in names:
            if name.endswith("_1") and name != "conv1_1":
                x = torch.nn.functional.max_pool2d(x, 2)
            x = torch.relu(torch.nn.functional.conv2d(x, kernels[name], biases[name], padding=1))
            if name in LAYERS:
                total = total + ((x - wanted[name]) ** 2).sum((1, 2, 3)) / (2 * norms[name])
        return total.sum()

    return torch.compile(value) if device == "cuda" else value


def torch_images(images: jax.Array) -> Any:
    """A leaf (n, h, w, 3), which the objective sees as (n, 3, h, w) with channels last."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.tensor(np.array(images), device=device).requires_grad_()


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
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.3g} ({low:.3g}–{high:.3g})"


def step(architecture: str, n: int, times: int) -> tuple[str, float, float | None]:
    """A row of the table, our seconds, and PyTorch's over ours, for a value and gradient of n images."""
    vgg = prepare(random_vgg(architecture), layers=LAYERS)
    images = pictures(n + 1, SIZE)
    phi = features(vgg, images[1:], layers=LAYERS)
    norms = {name: jnp.sum(layer**2, axis=(1, 2, 3)) for name, layer in phi.items()}

    @jax.jit
    def ours(z: jax.Array, vgg: VGG) -> Any:
        return jax.value_and_grad(lambda z: objective(vgg, z, phi, norms, recipe=RECIPE).sum())(z)

    start = images[:-1]
    run = [lambda: jax.block_until_ready(ours(start, vgg))]
    if torch is not None:
        value, z = torch_objective(vgg, phi, norms), torch_images(start)

        def theirs() -> Any:
            z.grad = None
            total = value(z)
            total.backward()
            if z.is_cuda:
                torch.cuda.synchronize()
            return total.item(), z.grad.cpu().numpy()

        run.append(theirs)
        (a, b), (c, d) = ours(start, vgg), theirs()
        error = np.linalg.norm(b - d) / np.linalg.norm(d)
        say(f"{architecture}, {n}: relative difference of loss {abs(float(a) / c - 1):.1e}, of gradient {error:.1e}")
    seconds = in_turns(run, times)
    mine = statistics.median(seconds[0])
    if torch is None:
        return f"| {architecture}, {n} at once | {spread(seconds[0])} | | |", mine, None
    ratios = [b / a for a, b in zip(*seconds, strict=True)]
    row = f"| {architecture}, {n} at once | {spread(seconds[0])} | {spread(seconds[1])} | {spread(ratios)} |"
    return row, mine, statistics.median(ratios)


def gemm_gflops(times: int) -> float:
    """Of a float32 matrix product."""
    a = jnp.ones((2048, 2048))
    product = jax.jit(partial(jnp.matmul, precision="highest"))
    (seconds,) = in_turns([lambda: product(a, a).block_until_ready()], times)
    return 2 * 2048**3 / statistics.median(seconds) / 1e9


class Enough(Exception):  # noqa: N818 (no error)
    """Ends a reconstruction."""


def seconds_of_iterations(vgg: VGG, problem: Any, recipe: Recipe, count: int) -> float:
    """Median of so many iterations after the first two."""
    ticks: list[float] = []

    def tick(_: Any) -> None:
        ticks.append(time.perf_counter())
        if len(ticks) == count + 2:
            raise Enough

    with contextlib.suppress(Enough):
        reconstruct(vgg, problem, recipe=recipe, every=1, on_progress=tick)
    return statistics.median(b - a for a, b in itertools.pairwise(ticks[1:]))


def time_to_loss(turns: int) -> dict[str, Any]:
    """Iterations and seconds to the loss that PyTorch has after 300 iterations, from the same start."""
    vgg, vector, start = starting_point()
    vgg = prepare(vgg, layers=LAYERS)
    problem = make_problem(vgg, start, vector, jnp.array([0.4]), recipe=RECIPE)
    recipe = RECIPE.replace(iterations=TORCH_ITERATIONS)
    started = time.perf_counter()
    seconds_of_iterations(vgg, problem, recipe, 1)
    say(f"{vgg.name}: compiled in {time.perf_counter() - started:.1f} s")
    value, z = torch_objective(vgg, problem.target, problem.square_norms), torch_images(start)
    solver = torch.optim.LBFGS([z], lr=1, history_size=100, max_iter=1, tolerance_grad=0, tolerance_change=0)
    losses: list[float] = []

    def closure() -> Any:
        solver.zero_grad()
        loss = value(z)
        loss.backward()
        losses.append(loss.item())
        return loss

    ours, theirs = [], []
    for i in range(TORCH_ITERATIONS):
        started = time.perf_counter()
        solver.step(closure)  # one iteration, one evaluation; its memory stays from step to step
        theirs.append(time.perf_counter() - started)
        if (i + 1) % (TORCH_ITERATIONS // turns) == 0:
            ours.append(seconds_of_iterations(vgg, problem, recipe, 6))
    history = reconstruct(vgg, problem, recipe=recipe).history[0]
    reached = np.flatnonzero(history <= min(losses))
    iterations = int(reached[0]) + 1 if len(reached) else None
    a, b = statistics.median(ours), statistics.median(theirs)
    return {
        "network": vgg.name,
        "history": history.tolist(),
        "seconds": a,
        "torch_history": losses,
        "torch_seconds": b,
        "iterations": iterations,
        "ratio": iterations and iterations * a / (TORCH_ITERATIONS * b),
    }


def seconds_at(architecture: str, size: int, problems: int, count: int) -> float:
    """Of an iteration of so many problems at once, all of them together."""
    vgg = random_vgg(architecture)
    recipe = RECIPE.replace(size=size, iterations=max(300, count + 2))
    images = pictures(2, size)
    phi = features(vgg, images, layers=LAYERS)
    vector = {name: layer[1] - layer[0] for name, layer in phi.items()}
    alphas = jnp.linspace(0.1, 0.5, problems)
    problem = make_problem(vgg, jnp.repeat(images[:1], problems, axis=0), vector, alphas, recipe=recipe)
    return seconds_of_iterations(vgg, problem, recipe, count)


def peak_bytes(architecture: str, size: int) -> int:
    """Of three iterations of one problem, in a process of their own."""
    command = [sys.executable, __file__, "--peak-of", architecture, str(size)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout)


def report_peak(architecture: str, size: int) -> None:
    """What `peak_bytes` asks a process."""
    seconds_at(architecture, size, 1, 1)
    statistics_of_device = jax.devices()[0].memory_stats()
    if statistics_of_device:
        print(statistics_of_device["peak_bytes_in_use"])
    else:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def machine() -> str:
    """What the numbers are of."""
    cpu = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    versions = f"jax {jax.__version__}" + (f", torch {torch.__version__}" if torch else "")
    return (
        f"{jax.devices()[0].device_kind}; {cpu}, {os.cpu_count()} cores; Python {platform.python_version()}, {versions}"
    )


def plot(path: Path, sizes: dict[int, float], run: dict[str, Any] | None) -> None:
    """Seconds against size, and losses against seconds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.loglog(list(sizes), list(sizes.values()), "o-")
    left.set(xlabel="height and width, pixels", ylabel="seconds an iteration", title="random VGG-19")
    if run is not None:
        for name, history, seconds in (
            ("dfi_jax", "history", "seconds"),
            ("PyTorch", "torch_history", "torch_seconds"),
        ):
            right.plot(np.arange(1, 1 + len(run[history])) * run[seconds], run[history], label=name)
        right.axhline(min(run["torch_history"]), color="gray", linewidth=0.5)
        low = min(run["history"])
        right.set(xlabel="seconds", ylabel="objective", ylim=(0.98 * low, 1.2 * low), title=run["network"])
        right.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measures one thing after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions and sizes: under five minutes")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--plot", type=Path, help="an image file for the curves")
    parser.add_argument("--peak-of", nargs=2, metavar=("ARCHITECTURE", "SIZE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak_of:
        report_peak(arguments.peak_of[0], int(arguments.peak_of[1]))
        return
    quick = arguments.quick
    if torch is not None:
        torch.set_num_threads(os.cpu_count() or 1)
    lines = [f"Machine: {machine()}", ""]
    lines += [
        "| value and gradient, 200 × 200 | ours, s | PyTorch, s | PyTorch over ours |",
        "| --- | --- | --- | --- |",
    ]
    cases = [("vgg19", 1)] if quick else [("vgg19", 1), ("vgg19", 5), ("vgg16", 1), ("vgg16", 5)]
    found: dict[str, Any] = {}
    for architecture, n in cases:
        row, seconds, speedup = step(architecture, n, 12 if n == 1 else 6)
        lines.append(row)
        if (architecture, n) == ("vgg19", 1):
            found["step_speedup"], found["gflops"] = speedup, flops("vgg19", SIZE) / seconds / 1e9
            found["gemm_gflops"] = gemm_gflops(12)
    rates = f"{found['gflops']:.0f} GFLOP/s of direct convolution; a matrix product has {found['gemm_gflops']:.0f}."
    lines += ["", f"VGG-19, one image: {rates}"]

    say("to PyTorch's loss")
    run = time_to_loss(4 if quick else 10) if torch is not None else None
    found["loss_time_ratio"] = run and run["ratio"]
    if run is not None:
        took = f"{run['iterations']} of {run['seconds']:.3f} s" if run["iterations"] else "more than 300"
        theirs = f"{min(run['torch_history']):.5f} after 300 iterations of {run['torch_seconds']:.3f} s"
        ratio = f"{run['ratio']:.2f}" if run["ratio"] else "none"
        lines += ["", f"{run['network']}: PyTorch is at {theirs}; we are there after {took}: ratio of times {ratio}."]

    say("several at once")
    lines += ["", "| problems at once, VGG-19 | s an iteration | s an image |", "| --- | --- | --- |"]
    for n in (1, 5) if quick else (1, 5, 25):
        seconds = seconds_at("vgg19", SIZE, n, 8 if n == 1 else 4)
        found[f"_{n}"] = seconds
        lines.append(f"| {n} | {seconds:.3f} | {seconds / n:.3f} |")
    found["sweep_ratio"] = found.pop("_5") / found.pop("_1")
    found.pop("_25", None)

    say("sizes")
    sizes = {size: seconds_at("vgg19", size, 1, 4)
             for size in ((100, 200, 400) if quick else (100, 200, 400, 600, 800, 1000))}  # fmt: skip
    found["pixels_exponent"] = float(np.polyfit(2 * np.log(list(sizes)), np.log(list(sizes.values())), 1)[0])
    found["peak_bytes_1000"] = peak_bytes("vgg19", 1000)
    lines += ["", "| height and width | s an iteration |", "| --- | --- |"]
    lines += [f"| {size} | {seconds:.3f} |" for size, seconds in sizes.items()]
    peak = f"{found['peak_bytes_1000'] / 1e9:.2f} GB at 1000 × 1000"
    lines += ["", f"Seconds grow as pixels to the power {found['pixels_exponent']:.2f}; peak memory is {peak}."]
    if arguments.plot:
        plot(arguments.plot, sizes, run)
    print(json.dumps(found) if arguments.json else "\n".join(lines))


if __name__ == "__main__":
    main()
